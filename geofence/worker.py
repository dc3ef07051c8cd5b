"""The shell around the engine for one partition: pull, step, publish, keep.

It begins where the newest snapshot ends, or at the start of the stream if there is none or it is unreadable.
What a crash costs is work done twice: the fixes behind the snapshot are judged again and give findings of the same
ids, which the log already has. What does not come from the fixes (ticks, changed measures) cannot be read again;
so its findings go into a snapshot, as ``outbox``, before they go to the log.

A finding is never skipped, and nothing is judged while one is not durable: after PUBLISH_FOR_S without a confirmed
write the worker gives up, with the finding in its last snapshot's outbox or the fixes that gave it still unread.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import structlog

from geofence import engine, snapshot
from geofence.order_watch import OrderWatch, Revision
from geofence.pair_table import PairTable, Roster, roster_of, stack
from tocsin import subjects
from tocsin.clock import MS, Clock
from tocsin.errors import LogUnavailable, WireError
from tocsin.limits import SNAPSHOT_EVERY_S
from tocsin.model.finding import Finding
from tocsin.model.fix import Fixes
from tocsin.ports import Bucket, Entry, Log, Objects
from tocsin.subjects import FIXES
from tocsin.telemetry import FINDINGS, GEOFENCE_FIXES, PAIRS
from tocsin.wire import decode_fixes, encode

TICK_S = 1.0
INBOX_MAX = 64  # inputs waiting; the log keeps the rest
STEP_MAX_FIXES = 10_000  # where a batch stops getting cheaper per fix
PUBLISH_FOR_S = 60.0
PUBLISH_WAIT_MIN_S = 0.05
PUBLISH_WAIT_MAX_S = 1.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """The hour when nothing else was heard. It waits its turn: fixes read before it are judged before it."""

    now_ms: int


Input = Sequence[Entry] | Revision | Tick


async def run_worker(
    *,
    log: Log,
    devices: Bucket,
    orders: Bucket,
    snapshots: Objects,
    partition: int,
    partitions: int,
    clock: Clock,
    ready: Callable[[], None],
) -> None:
    """Judge one partition until cancelled. ``ready`` is called when the fixes have been read to the present."""
    inbox: asyncio.Queue[Input] = asyncio.Queue(INBOX_MAX)
    watch = OrderWatch(devices=devices, orders=orders, clock=clock)
    async with asyncio.TaskGroup() as group:
        group.create_task(watch.run(inbox.put))
        first = await inbox.get()
        assert isinstance(first, Revision)
        worker = Worker(log, snapshots, partition=partition, partitions=partitions, clock=clock)
        await worker.restore()
        await worker.take_revision(first)
        group.create_task(_pump_fixes(log, partition, worker.sequence, inbox))
        group.create_task(_pump_ticks(clock, inbox))
        try:
            await worker.run(inbox, ready)
        finally:
            await worker.save()


async def _pump_fixes(log: Log, partition: int, after: int, inbox: asyncio.Queue[Input]) -> None:
    async for entries in log.read(FIXES, subjects.fixes(partition), after=after):
        await inbox.put(entries)


async def _pump_ticks(clock: Clock, inbox: asyncio.Queue[Input]) -> None:
    while True:
        await clock.sleep(TICK_S)
        await inbox.put(Tick(now_ms=clock.now_ms()))


class Worker:
    """The state of one partition and its doors."""

    def __init__(self, log: Log, snapshots: Objects, *, partition: int, partitions: int, clock: Clock) -> None:
        self.sequence = 0
        self.table = PairTable(Roster())
        self._outbox: deque[Finding] = deque()
        self._log = log
        self._snapshots = snapshots
        self._partition = partition
        self._partitions = partitions
        self._clock = clock
        self._unfit: set[str] = set()
        self._present = False
        self._changed = False
        self._saved_wall_ms = clock.wall_ms()

    # --- inputs ------------------------------------------------------------------------------------------

    async def run(self, inbox: asyncio.Queue[Input], ready: Callable[[], None]) -> None:
        while True:
            waiting = [await inbox.get()]
            while not inbox.empty():
                waiting.append(inbox.get_nowait())
            await self._take(waiting, ready)
            await self._save_if_time()

    async def _take(self, waiting: list[Input], ready: Callable[[], None]) -> None:
        """Take inputs in order; runs of fixes are taken together."""
        entries: list[Entry] = []
        for one in waiting:
            match one:
                case Tick():
                    await self._take_fixes(entries)
                    await self._take_tick(one)
                case Revision():
                    await self._take_fixes(entries)
                    await self.take_revision(one)
                case _ if one:
                    entries.extend(one)
                case _:
                    await self._take_fixes(entries)
                    self._reach_present(ready)
        await self._take_fixes(entries)

    def _reach_present(self, ready: Callable[[], None]) -> None:
        if not self._present:
            self._present = True
            ready()

    async def _take_fixes(self, entries: list[Entry]) -> None:
        """Judge and forget ``entries``."""
        for some in _portions(entries):
            batch = stack(fixes for _, fixes in some)
            if batch.size:
                self._hold(engine.step(self.table, batch, self._clock.now_ms()))
                await self._publish()
            self.sequence = some[-1][0].sequence
            self._changed = True
        entries.clear()

    async def _take_tick(self, tick: Tick) -> None:
        """The hour is an input from the present on; in a replay each fix brings its own."""
        if self._present:
            self._hold(engine.step(self.table, NO_FIXES, tick.now_ms))
            await self._keep_then_publish()

    async def take_revision(self, revision: Revision) -> None:
        roster = roster_of(
            revision.orders, revision.devices, partition=self._partition, partitions=self._partitions
        )
        if newly_unfit := set(roster.unfit) - self._unfit:
            log.critical("measures_unprotected", reason="cannot_be_judged", measures=sorted(newly_unfit))
        self._unfit = set(roster.unfit)
        now_ms = self._clock.now_ms() if self._present else self.table.clock_ms
        self.table, judged = engine.revise(self.table, roster, now_ms)
        PAIRS.labels(str(self._partition)).set(len(self.table))
        self._changed = True
        self._hold(judged)
        await self._keep_then_publish()

    # --- findings ----------------------------------------------------------------------------------------

    def _hold(self, judged: engine.Step) -> None:
        self._outbox.extend(judged.findings)
        for outcome in ("applied", "duplicate", "out_of_order", "stranger"):
            if number := getattr(judged.counts, outcome):
                GEOFENCE_FIXES.labels(outcome).inc(number)
        for broken in judged.broken:
            log.critical("measure_unprotected", reason="rules_failed", measure=broken)

    async def _keep_then_publish(self) -> None:
        """For findings that no replay would give again."""
        if self._outbox:
            await self.save()
            await self._publish()

    async def _publish(self) -> None:
        while self._outbox:
            await self._append(self._outbox[0])
            finding = self._outbox.popleft()
            FINDINGS.labels(finding.code.value, finding.change.value).inc()
            self._changed = True

    async def _append(self, finding: Finding) -> None:
        """Return when the finding is durable; raises LogUnavailable after PUBLISH_FOR_S."""
        subject, payload = subjects.findings(self._partition, finding.code.value), encode(finding)
        waited_s, wait_s = 0.0, PUBLISH_WAIT_MIN_S
        while True:
            try:
                await self._log.append(subject, payload, dedupe_id=finding.id)
            except LogUnavailable:
                if waited_s >= PUBLISH_FOR_S:
                    raise
                log.warning("finding_waits_for_log", waited_s=waited_s)
            else:
                return
            await self._clock.sleep(wait_s)
            waited_s, wait_s = waited_s + wait_s, min(2 * wait_s, PUBLISH_WAIT_MAX_S)

    # --- snapshots ---------------------------------------------------------------------------------------

    @property
    def _snapshot_name(self) -> str:
        return f"geofence-{self._partition}-of-{self._partitions}"

    async def restore(self) -> None:
        """Begin at the newest snapshot; publish what it had not yet published."""
        payload = await self._snapshots.get(self._snapshot_name)
        if payload is None:
            return
        try:
            kept = snapshot.load(payload)
        except snapshot.SnapshotUnreadable:
            log.exception("snapshot_unreadable", then="replay from the start")
            return
        self.table, self.sequence = kept.table, kept.sequence
        self._outbox.extend(kept.outbox)
        await self._publish()

    async def save(self) -> None:
        """Write a snapshot if anything changed; an alert does not wait for one that cannot be written."""
        if not (self._changed or self._outbox):
            return
        kept = snapshot.Snapshot(table=self.table, sequence=self.sequence, outbox=tuple(self._outbox))
        try:
            await self._snapshots.put(self._snapshot_name, snapshot.dump(kept))
        except LogUnavailable:
            log.exception("snapshot_not_written")
        else:
            self._changed = False
        self._saved_wall_ms = self._clock.wall_ms()

    async def _save_if_time(self) -> None:
        if self._clock.wall_ms() - self._saved_wall_ms >= MS * SNAPSHOT_EVERY_S:
            await self.save()


NO_FIXES = stack(())


def _portions(entries: Iterable[Entry]) -> list[list[tuple[Entry, Fixes]]]:
    """Entries decoded, in groups of about STEP_MAX_FIXES fixes, at least one entry each."""
    portions: list[list[tuple[Entry, Fixes]]] = []
    size = 0
    for entry in entries:
        fixes = _decoded(entry)
        if not portions or size + fixes.size > STEP_MAX_FIXES:
            portions.append([])
            size = 0
        portions[-1].append((entry, fixes))
        size += fixes.size
    return portions


def _decoded(entry: Entry) -> Fixes:
    """The fixes of an entry; of one that cannot be read none, loudly: the fixes behind it must be judged."""
    try:
        return decode_fixes(entry.payload)
    except WireError as error:
        GEOFENCE_FIXES.labels("unreadable").inc()
        log.critical("batch_unreadable", sequence=entry.sequence, error=str(error))
        return NO_FIXES
