"""When is a partition's memory written down, and what was written last?

When a replay from the last snapshot would begin to be felt: after SNAPSHOT_EVERY_FIXES fixes or SNAPSHOT_EVERY_S
of the wall, if anything changed; besides that when the worker says so (a changed measure, an orderly end). One
that could not be written is tried again after SNAPSHOT_AGAIN_S: an alert does not wait for it.

Those of the last hour are kept beside the newest (``geofence.shelf``), for whoever decides a finding again. They
are put there behind the back of the worker (``keep_shelf``), one at a time: what nobody begins from costs no fix a
millisecond. A finding of a measure that has just come can be decided again from no other than those that know it.
So each of a burst is put there, and what the log did not take, as the newest or there, waits for it to take it: up
to SPARES_MAX, and of more the newest. Of what is missing there an older one serves.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, NamedTuple

import structlog

from geofence import shelf, snapshot
from geofence.shelf import Shelf, Slot
from geofence.snapshot import Snapshot
from tocsin.clock import MS, Clock
from tocsin.errors import LogUnavailable
from tocsin.limits import SNAPSHOT_AGAIN_S, SNAPSHOT_EVERY_FIXES, SNAPSHOT_EVERY_S
from tocsin.ports import Objects
from tocsin.telemetry import SNAPSHOT_BYTES, SNAPSHOT_SECONDS

SPARES_MAX: Final = 8  # of a megabyte each at 10,000 pairs
SHELF_AGAIN_S: Final = 1.0

log = structlog.get_logger()


class Spare(NamedTuple):
    """A snapshot that is to be put on the shelf. ``at_ms``: since when it was the newest."""

    payload: bytes
    sequence: int
    step: int
    at_ms: int


class Keeper:
    """The snapshots of one partition of so many. ``fixes``: taken since the last one."""

    def __init__(self, snapshots: Objects, *, partition: int, partitions: int, clock: Clock) -> None:
        self.fixes = 0
        self._snapshots = snapshots
        self._partition = partition
        self._partitions = partitions
        self._called = shelf.newest_name(partition, partitions)
        self._clock = clock
        self._spares: deque[Spare] = deque(maxlen=SPARES_MAX)
        self._has_spare = asyncio.Event()
        self._shelf: Shelf | None = None
        self._shelving = asyncio.Lock()
        self._is_refused = False
        self._due_ms = clock.wall_ms() + MS * SNAPSHOT_EVERY_S

    @property
    def is_due(self) -> bool:
        return self.fixes >= SNAPSHOT_EVERY_FIXES or self._clock.wall_ms() >= self._due_ms

    async def load(self) -> Snapshot | None:
        """The newest snapshot; None if there is none, or, loudly, none that can be read."""
        payload = await self._snapshots.get(self._called)
        if payload is None:
            return None
        try:
            kept = snapshot.load(payload)
        except snapshot.SnapshotUnreadable:
            log.exception("snapshot_unreadable", partition=self._partition, then="replay from the start")
            return None
        self._offer(kept, payload, self._clock.now_ms())
        return kept

    async def save(self, kept: Snapshot) -> bool:
        """Whether it is durable."""
        began_ms, at_ms = self._clock.wall_ms(), self._clock.now_ms()
        payload = snapshot.dump(kept)
        try:
            await self._snapshots.put(self._called, payload)
        except LogUnavailable:
            log.exception("snapshot_not_written", partition=self._partition)
            self._wrote("failed", began_ms, again_s=SNAPSHOT_AGAIN_S)
            return False
        finally:
            self._offer(kept, payload, at_ms)
        SNAPSHOT_BYTES.labels(str(self._partition)).set(len(payload))
        self._wrote("written", began_ms, again_s=SNAPSHOT_EVERY_S)
        return True

    def _wrote(self, outcome: str, began_ms: int, *, again_s: int) -> None:
        now_ms = self._clock.wall_ms()
        SNAPSHOT_SECONDS.labels(outcome).observe((now_ms - began_ms) / MS)
        self._due_ms = now_ms + MS * again_s
        self.fixes = 0

    # --- those of the last hour --------------------------------------------------------------------------

    def _offer(self, kept: Snapshot, payload: bytes, at_ms: int) -> None:
        self._spares.append(Spare(payload, kept.sequence, kept.place.step, at_ms))
        self._has_spare.set()

    async def keep_shelf(self) -> None:
        """Put on the shelf what was written, until cancelled; beside the worker, which never waits for it."""
        while True:
            await self._has_spare.wait()
            if not await self.shelve():
                await asyncio.sleep(SHELF_AGAIN_S)

    async def shelve(self) -> bool:
        """Put on the shelf what waits for it. False: the log does not take it; said once, and it waits."""
        async with self._shelving:
            try:
                while self._spares:
                    await self._put_on_shelf(spare := self._spares[0])
                    if self._spares[0] is spare:  # a newer one may have taken its room meanwhile
                        self._spares.popleft()
            except LogUnavailable:
                self._shelf = None  # what the log has of it is not known any more
                if not self._is_refused:
                    log.exception("snapshot_not_shelved", partition=self._partition, then="tried again")
                self._is_refused = True
                return False
            self._is_refused = False
            self._has_spare.clear()
            return True

    async def _put_on_shelf(self, spare: Spare) -> None:
        """The slot first, then the shelf that names it."""
        name = shelf.shelf_name(self._partition, self._partitions)
        known = self._shelf or shelf.load(await self._snapshots.get(name))
        number = known.room(spare.at_ms)
        await self._snapshots.put(shelf.slot_name(self._partition, self._partitions, number), spare.payload)
        here = Slot(number=number, sequence=spare.sequence, step=spare.step, at_ms=spare.at_ms)
        new = known.with_one(here)
        await self._snapshots.put(name, shelf.dump(new))
        self._shelf = new
