"""How well is each measure protected right now? The bucket ``standings``, in this process.

Geofence writes, this follows: it needs the log alone, so that the answer is there while PostgreSQL is down
(ARCHITECTURE, A7). A value that cannot be read leaves the one before it; a measure whose key is deleted is judged
by nobody any longer and disappears. Times are milliseconds.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final

import structlog

from tocsin.errors import LogUnavailable, WireError
from tocsin.model.canary import is_canary
from tocsin.model.standing import Protection, Standing
from tocsin.ports import Bucket, Changed
from tocsin.telemetry import PROTECTION_PAIRS
from tocsin.wire import decode_standing

log = structlog.get_logger(__name__)

AGAIN_S: Final = 0.5

Rank = tuple[bool, int, str]


def rank(standing: Standing) -> Rank:
    """Smaller comes first: who may be at blind risk soonest, at the worst speed; nobody knows when, last."""
    blind_ms = standing.blind_worst_ms
    return (blind_ms is None, blind_ms or 0, standing.measure)


class Standings:
    """The newest standing of each measure. ``ready``: the bucket has been read to the present."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self.unreadable = 0
        self._known: dict[str, Standing] = {}
        self._counts: Counter[Protection] = Counter()

    async def run(self, bucket: Bucket) -> None:
        """Follow until cancelled."""
        while True:
            try:
                async for change in bucket.watch():
                    if change is None:
                        self.ready.set()
                    else:
                        self.apply(change)
            except LogUnavailable as error:
                log.warning("standings wait", reason=str(error))
            await asyncio.sleep(AGAIN_S)

    def apply(self, change: Changed) -> None:
        """Take in one change; what cannot be read is counted and costs one measure its news. A canary is
        nobody whom anything protects."""
        if is_canary(change.key):
            return
        after: Standing | None = None
        if change.value is not None:
            try:
                after = decode_standing(change.value)
            except WireError as error:
                self.unreadable += 1
                log.error("standing unreadable", revision=change.revision, reason=str(error))
                return
        if (before := self._known.pop(change.key, None)) is not None:
            self._count(before.protection, -1)
        if after is not None:
            self._known[change.key] = after
            self._count(after.protection, 1)

    def _count(self, protection: Protection, step: int) -> None:
        self._counts[protection] += step
        PROTECTION_PAIRS.labels(state=protection.value).set(self._counts[protection])

    @property
    def counts(self) -> Mapping[str, int]:
        """How many measures are in each state; every state is named."""
        return {protection.value: self._counts[protection] for protection in Protection}

    def ranked(self, wanted: Collection[Protection] = ()) -> list[Standing]:
        """Those in one of the ``wanted`` states (none: all), by ``rank``."""
        return sorted((one for one in self._known.values() if not wanted or one.protection in wanted), key=rank)
