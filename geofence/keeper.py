"""When is a partition's memory written down, and what was written last?

When a replay from the last snapshot would begin to be felt: after SNAPSHOT_EVERY_FIXES fixes or SNAPSHOT_EVERY_S
of the wall, if anything changed; besides that when the worker says so (a changed measure, an orderly end). One
that could not be written is tried again after SNAPSHOT_AGAIN_S: an alert does not wait for it.
"""

from __future__ import annotations

import structlog

from geofence import snapshot
from geofence.snapshot import Snapshot
from tocsin.clock import MS, Clock
from tocsin.errors import LogUnavailable
from tocsin.limits import SNAPSHOT_AGAIN_S, SNAPSHOT_EVERY_FIXES, SNAPSHOT_EVERY_S
from tocsin.ports import Objects
from tocsin.telemetry import SNAPSHOT_BYTES, SNAPSHOT_SECONDS

log = structlog.get_logger()


class Keeper:
    """The snapshots of one partition of so many. ``fixes``: taken since the last one."""

    def __init__(self, snapshots: Objects, *, partition: int, partitions: int, clock: Clock) -> None:
        self.fixes = 0
        self._snapshots = snapshots
        self._partition = partition
        self._called = f"geofence-{partition}-of-{partitions}"
        self._clock = clock
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
            return snapshot.load(payload)
        except snapshot.SnapshotUnreadable:
            log.exception("snapshot_unreadable", partition=self._partition, then="replay from the start")
            return None

    async def save(self, kept: Snapshot) -> bool:
        """Whether it is durable."""
        began_ms = self._clock.wall_ms()
        payload = snapshot.dump(kept)
        try:
            await self._snapshots.put(self._called, payload)
        except LogUnavailable:
            log.exception("snapshot_not_written", partition=self._partition)
            self._wrote("failed", began_ms, again_s=SNAPSHOT_AGAIN_S)
            return False
        SNAPSHOT_BYTES.labels(str(self._partition)).set(len(payload))
        self._wrote("written", began_ms, again_s=SNAPSHOT_EVERY_S)
        return True

    def _wrote(self, outcome: str, began_ms: int, *, again_s: int) -> None:
        now_ms = self._clock.wall_ms()
        SNAPSHOT_SECONDS.labels(outcome).observe((now_ms - began_ms) / MS)
        self._due_ms = now_ms + MS * again_s
        self.fixes = 0
