"""The shell around the engine for one partition: pull, step, publish, keep.

It begins where the newest snapshot ends: the fixes behind it and the journalled ticks behind it are judged
again, each tick where it was applied, with the measures of then; the same findings come out under the same ids,
and those that the log has are not said twice. Then the measures of now, and the present (ADR 24). Without a
snapshot that can be read it replays both streams as far as they are kept, with the measures of now.

What cannot be read again is durable before anybody hears of it: a tick stands in the journal before it is
applied, what a changed measure gave lies in a snapshot before it is said. Between two waits the state is always
whole: the table, its places in FIXES and JOURNAL, and what is still to be said belong together.

A finding is never skipped, and nothing is judged while one is not durable: after PUBLISH_FOR_S without a
confirmed write the worker gives up. So it does when another worker judges the same partition
(``scribe.PartitionTaken``).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import structlog

from geofence import engine, journal
from geofence.journal import Place, Written
from geofence.keeper import Keeper
from geofence.newcomers import Newcomers
from geofence.order_watch import OrderWatch, Revision
from geofence.pair_table import PairTable, Roster, roster_of, stack
from geofence.publisher import Publisher
from geofence.scribe import PartitionTaken, Scribe
from geofence.snapshot import Snapshot
from tocsin import subjects
from tocsin.clock import MS, Clock
from tocsin.errors import LogUnavailable, WireError
from tocsin.limits import CLOCK_BACK_TOLD_S
from tocsin.model.fix import Fixes
from tocsin.model.tally import Tally
from tocsin.ports import Bucket, Entry, Log, Objects
from tocsin.present import upto_present
from tocsin.subjects import FIXES, partition_of
from tocsin.telemetry import CLOCK_BACK, GEOFENCE_FIXES, JOURNAL_STEPS, PAIRS, REPLAY_SECONDS
from tocsin.wire import decode_fixes, encode

TICK_S = 1.0
INBOX_MAX = 64  # inputs waiting; the log keeps the rest
STEP_MAX_FIXES = 10_000  # where a batch stops getting cheaper per fix

PLACE_EVERY_S = 1.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """The hour when nothing else was heard. It waits its turn: fixes read before it are judged before it."""

    now_ms: int


Input = Sequence[Entry] | Revision | Tick


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """What of the bus a worker needs."""

    log: Log
    devices: Bucket
    orders: Bucket
    standings: Bucket
    snapshots: Objects
    tallies: Bucket | None = None


async def run_worker(
    doors: Doors, *, partition: int, partitions: int, clock: Clock, life: str, ready: Callable[[], None]
) -> None:
    """Judge one partition until cancelled. ``ready`` is called when the fixes have been read to the present.

    ``life`` is a name that no other run of a worker has.
    """
    inbox: asyncio.Queue[Input] = asyncio.Queue(INBOX_MAX)
    watch = OrderWatch(devices=doors.devices, orders=doors.orders, clock=clock)
    async with asyncio.TaskGroup() as group:
        group.create_task(watch.run(inbox.put))
        first = await inbox.get()
        assert isinstance(first, Revision)
        worker = Worker(doors, partition=partition, partitions=partitions, clock=clock, life=life)
        try:
            await worker.begin(first)
            group.create_task(_pump_fixes(doors.log, partition, worker.sequence, inbox))
            group.create_task(_pump_ticks(clock, inbox))
            group.create_task(worker.keep_shelf())
            if doors.tallies is not None:
                group.create_task(_tell_place(worker, doors.tallies, partition, life, clock))
            ready()
            await worker.run(inbox)
        finally:
            await worker.end()


async def _tell_place(worker: Worker, tallies: Bucket, partition: int, life: str, clock: Clock) -> None:
    """How far it has judged, once a second: whoever looks for lag has no queue to ask (``audit.warden``)."""
    name, subject = f"geofence-{partition}", subjects.fixes(partition)
    while True:
        places = {subject: worker.sequence}
        tally = Tally(part=name, life=life, at_ms=clock.now_ms(), accounts={}, places=places)
        with contextlib.suppress(LogUnavailable):  # said by the next one
            await tallies.put(name, encode(tally))
        await asyncio.sleep(PLACE_EVERY_S)


async def _pump_fixes(log: Log, partition: int, after: int, inbox: asyncio.Queue[Input]) -> None:
    async for entries in log.read(FIXES, subjects.fixes(partition), after=after):
        await inbox.put(entries)


async def _pump_ticks(clock: Clock, inbox: asyncio.Queue[Input]) -> None:
    while True:
        await inbox.put(Tick(now_ms=clock.now_ms()))
        await clock.sleep(TICK_S)


class Worker:
    """The state of one partition and its doors. ``sequence``, ``place``: up to where in FIXES and JOURNAL."""

    def __init__(self, doors: Doors, *, partition: int, partitions: int, clock: Clock, life: str) -> None:
        self.table = PairTable(Roster())
        self.sequence = 0
        self.place = Place()
        self.publisher = Publisher(doors.log, doors.standings, partition=partition, clock=clock)
        self._keeper = Keeper(doors.snapshots, partition=partition, partitions=partitions, clock=clock)
        self._scribe = Scribe(doors.log, partition, life, clock)
        self._log = doors.log
        self._partition = partition
        self._partitions = partitions
        self._clock = clock
        self._hour_ms = 0
        self._tick_ms = 0
        self._unfit: set[str] = set()
        self._changed = False
        self._fenced = False

    # --- the beginning and the end -----------------------------------------------------------------------

    async def begin(self, first: Revision) -> None:
        """From the newest snapshot to the present and to the measures of now."""
        began_ms = self._clock.wall_ms()
        kept = await self._keeper.load()
        if kept is None:
            await self.take_revision(first, now_ms=self.table.clock_ms)
            await self._replay(None)
        else:
            await self._restore(kept)
            newcomers = Newcomers(self._roster_of(first), self.table)
            await self._replay(newcomers)
            await self.take_revision(first, seeds=newcomers.seeds())
        await self._look_at_standings()
        REPLAY_SECONDS.labels(str(self._partition)).set((self._clock.wall_ms() - began_ms) / MS)

    async def _restore(self, kept: Snapshot) -> None:
        self.table, self.sequence, self.place = kept.table, kept.sequence, kept.place
        self.publisher.restore(kept)
        await self.publisher.tell_findings()

    async def _replay(self, newcomers: Newcomers | None) -> None:
        """Fixes and journalled ticks up to the present."""
        await self.publisher.remember_told()
        ticks = deque((await self._scribe.read(self.place)).ticks)
        fixes = self._log.read(FIXES, subjects.fixes(self._partition), after=self.sequence)
        async for entries in upto_present(fixes):
            for piece in journal.merged(entries, ticks):
                await self._take_again(piece, newcomers)
        for tick in ticks:
            await self._take_again(tick, newcomers)
        self.publisher.forget_told()

    async def _take_again(self, piece: Sequence[Entry] | Written, newcomers: Newcomers | None) -> None:
        if isinstance(piece, Written):
            self._apply(piece)
            JOURNAL_STEPS.labels("replayed").inc()
            await self.publisher.tell_findings()
        else:
            await self._take_fixes(piece, newcomers)
        await self._save_if_due()

    async def _look_at_standings(self) -> None:
        mine = {order.id for order in self.table.roster.orders}
        await self.publisher.compare_standings(
            engine.standings(self.table),
            lambda key: partition_of(key, self._partitions) == self._partition and key not in mine,
        )

    async def end(self) -> None:
        """Keep what is known, unless it is another's to know."""
        if not self._fenced:
            await self.save()
            await self._keeper.shelve()

    # --- inputs ------------------------------------------------------------------------------------------

    async def run(self, inbox: asyncio.Queue[Input]) -> None:
        while True:
            waiting = [await inbox.get()]
            while not inbox.empty():
                waiting.append(inbox.get_nowait())
            await self.take(waiting)
            while await self.publisher.tell_rest() and inbox.empty():
                continue

    async def take(self, waiting: Iterable[Input]) -> None:
        """Take inputs in order; runs of fixes are taken together."""
        entries: list[Entry] = []
        for one in waiting:
            if isinstance(one, Tick | Revision):
                await self._take_fixes(entries)
                entries = []
            match one:
                case Tick():
                    await self.take_tick(one)
                case Revision():
                    await self.take_revision(one)
                case _:
                    entries.extend(one)
        await self._take_fixes(entries)
        await self._save_if_due()

    async def _take_fixes(self, entries: Iterable[Entry], newcomers: Newcomers | None = None) -> None:
        for some in _portions(entries):
            batch = stack(fixes for _, fixes in some)
            if newcomers is not None:
                newcomers.watch(batch)
            if batch.size:
                self._hold(engine.step(self.table, batch, self._clock.now_ms()))
            self.sequence = some[-1][0].sequence
            self._keeper.fixes += batch.size
            await self.publisher.tell_findings()

    async def take_tick(self, tick: Tick) -> None:
        """Durable first, then applied, then said; nothing at all if there is nothing to look at."""
        now_ms = self._never_back(tick.now_ms)
        if not engine.is_due(self.table, now_ms):
            return
        try:
            written = await self._scribe.write(step=self.place.step + 1, now_ms=now_ms, after=self.sequence)
        except PartitionTaken:
            self._fenced = True
            log.critical("partition_taken", partition=self._partition, then="give up")
            raise
        self._apply(written)
        await self.publisher.tell_findings()

    def _never_back(self, now_ms: int) -> int:
        """The hour of a tick: not before that of an applied one, whatever becomes of the wall clock."""
        back_ms = self._tick_ms - now_ms
        if back_ms > MS * CLOCK_BACK_TOLD_S:
            CLOCK_BACK.inc()
            log.critical("clock_set_back", partition=self._partition, back_ms=back_ms)
        self._tick_ms = now_ms
        return max(now_ms, self._hour_ms)

    def _apply(self, written: Written) -> None:
        self._hold(engine.step(self.table, NO_FIXES, written.tick.now_ms))
        self.place = written.place
        self._hour_ms = max(self._hour_ms, written.tick.now_ms)

    async def take_revision(
        self, revision: Revision, *, now_ms: int | None = None, seeds: Fixes | None = None
    ) -> None:
        """Judge by the measures of now; what that gives is kept before it is said. ``seeds``: see Newcomers."""
        roster = self._roster_of(revision)
        self._tell_unfit(roster)
        known = {order.id for order in self.table.roster.orders}
        hour_ms = max(self._clock.now_ms(), self._hour_ms) if now_ms is None else now_ms
        before = self.table
        self.table, judged = engine.revise(before, roster, hour_ms)
        PAIRS.labels(str(self._partition)).set(len(self.table))
        if self.table is before:
            return
        self._hold(judged)
        if seeds is not None and seeds.size:
            self._hold(engine.step(self.table, seeds, hour_ms))
        self.publisher.retire(known - {order.id for order in roster.orders})
        await self.save()
        await self.publisher.tell_findings()

    def _roster_of(self, revision: Revision) -> Roster:
        return roster_of(revision.orders, revision.devices, partition=self._partition, partitions=self._partitions)

    def _tell_unfit(self, roster: Roster) -> None:
        if newly_unfit := set(roster.unfit) - self._unfit:
            log.critical("measures_unprotected", reason="cannot_be_judged", measures=sorted(newly_unfit))
        self._unfit = set(roster.unfit)

    def _hold(self, judged: engine.Step) -> None:
        self._changed = True
        self.publisher.hold(judged)
        for outcome in engine.Counts.__struct_fields__:
            if number := getattr(judged.counts, outcome):
                GEOFENCE_FIXES.labels(outcome).inc(number)
        for broken in judged.broken:
            log.critical("measure_unprotected", reason="rules_failed", measure=broken)

    # --- snapshots ---------------------------------------------------------------------------------------

    async def save(self) -> None:
        """Write a snapshot if anything changed; an alert does not wait for one that cannot be written."""
        if not (self._changed or self.publisher.holds):
            return
        kept = Snapshot(
            table=self.table,
            sequence=self.sequence,
            place=self.place,
            told=self.publisher.told,
            outbox=tuple(self.publisher.findings),
            commands=tuple(self.publisher.commands),
            standings=self.publisher.standings,
        )
        self._changed = not await self._keeper.save(kept)

    async def keep_shelf(self) -> None:
        """Beside ``run``: the snapshots of the last hour, for whoever decides a finding again."""
        await self._keeper.keep_shelf()

    async def _save_if_due(self) -> None:
        if self._keeper.is_due:
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
