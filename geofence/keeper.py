"""When is a partition's memory written down, and what was written last?

When a replay from the last snapshot would begin to be felt: after SNAPSHOT_EVERY_FIXES fixes or SNAPSHOT_EVERY_S
of the wall, if anything changed; besides that when the worker says so (a changed measure, an orderly end). One
that could not be written is tried again after SNAPSHOT_AGAIN_S: an alert does not wait for it.

Those of the last hour are kept beside the newest (``geofence.shelf``), for whoever decides a finding again. They
are put there behind the back of the worker (``keep_shelf``), one at a time, and of several that wait the newest:
what nobody begins from costs no fix a millisecond, and one that is missing there makes an older one serve.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import structlog

from geofence import shelf, snapshot
from geofence.shelf import Shelf, Slot
from geofence.snapshot import Snapshot
from tocsin.clock import MS, Clock
from tocsin.errors import LogUnavailable
from tocsin.limits import SNAPSHOT_AGAIN_S, SNAPSHOT_EVERY_FIXES, SNAPSHOT_EVERY_S
from tocsin.ports import Objects
from tocsin.telemetry import SNAPSHOT_BYTES, SNAPSHOT_SECONDS

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
        self._spare: Spare | None = None
        self._has_spare = asyncio.Event()
        self._shelf: Shelf | None = None
        self._shelving = asyncio.Lock()
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
        SNAPSHOT_BYTES.labels(str(self._partition)).set(len(payload))
        self._wrote("written", began_ms, again_s=SNAPSHOT_EVERY_S)
        self._offer(kept, payload, at_ms)
        return True

    def _wrote(self, outcome: str, began_ms: int, *, again_s: int) -> None:
        now_ms = self._clock.wall_ms()
        SNAPSHOT_SECONDS.labels(outcome).observe((now_ms - began_ms) / MS)
        self._due_ms = now_ms + MS * again_s
        self.fixes = 0

    # --- those of the last hour --------------------------------------------------------------------------

    def _offer(self, kept: Snapshot, payload: bytes, at_ms: int) -> None:
        self._spare = Spare(payload, kept.sequence, kept.place.step, at_ms)
        self._has_spare.set()

    async def keep_shelf(self) -> None:
        """Put on the shelf what was written, until cancelled; beside the worker, which never waits for it."""
        while True:
            await self._has_spare.wait()
            await self.shelve()

    async def shelve(self) -> None:
        """Put on the shelf what waits for it. One that cannot be written is passed over, and said."""
        async with self._shelving:
            spare, self._spare = self._spare, None
            self._has_spare.clear()
            if spare is None:
                return
            try:
                await self._put_on_shelf(spare)
            except LogUnavailable:
                self._shelf = None  # what the log has of it is not known any more
                log.exception("snapshot_not_shelved", partition=self._partition, then="an older one serves")

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
