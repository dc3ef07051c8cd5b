"""From which snapshot, and from which inputs behind it, was something decided?

A partition's shelf (``geofence.shelf``) says where its snapshots of the last hour lie and when each was written. A
finding of t5 was decided behind the newest that was written before t5. The inputs between two snapshots are a
*stretch*: fixes of FIXES, ticks of JOURNAL, and the measures of the later snapshot if they are others than before.
The last stretch goes on to the present.

A flood of alerts asks for the same stretches again and again: the newest STRETCHES_MAX are kept in memory and only
ever read on. At SNAPSHOT_EVERY_FIXES a stretch is 48 MB.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import structlog

from audit.case import UnknownMeasure, Why, case_of, check
from geofence import journal, shelf, snapshot
from geofence.journal import Place, Written
from geofence.pair_table import stack
from geofence.shelf import Shelf, Slot
from geofence.snapshot import Snapshot, SnapshotUnreadable
from tocsin import subjects, wire
from tocsin.clock import MS, Clock
from tocsin.errors import WireError
from tocsin.model.finding import Finding
from tocsin.model.fix import Fixes
from tocsin.ports import Entry, Log, Objects
from tocsin.present import upto_present
from tocsin.subjects import FIXES, JOURNAL, partition_of
from tocsin.wire import decode_fixes

STRETCHES_MAX: Final = 4  # a partition: the two newest, and as many of whoever is caught up with
BACK_MAX: Final = 3
"""How many snapshots back it is tried: a clock that was set back names one that is too new, and one that gives way
while it is read is another."""

log = structlog.get_logger()


class Aged(Exception):
    """Fixes or ticks that are needed are gone from the log."""


@dataclass(slots=True)
class Stretch:
    """What came behind one snapshot; up to the next one, if there is one. ``until``: read up to there."""

    slot: Slot
    kept: Snapshot
    fixes: list[tuple[int, Fixes]] = field(default_factory=list)
    ticks: list[Written] = field(default_factory=list)
    until: int = 0
    place: Place = journal.START
    behind: Slot | None = None

    def end(self, behind: Slot) -> None:
        """Nothing behind the next snapshot belongs to it."""
        self.fixes = [one for one in self.fixes if one[0] <= behind.sequence]
        self.ticks = [one for one in self.ticks if one.place.step <= behind.step]
        self.behind = behind


class Recall:
    """The partitions' past, as far as the log has it."""

    def __init__(self, log: Log, snapshots: Objects, *, partitions: int, clock: Clock) -> None:
        self._partitions = [
            PartitionsPast(log, snapshots, number, partitions, clock) for number in range(partitions)
        ]

    def refresh(self) -> None:
        """What was read as the present is not the present any more."""
        for one in self._partitions:
            one.is_fresh = False

    def of(self, measure: str) -> PartitionsPast:
        return self._partitions[partition_of(measure, len(self._partitions))]

    async def fixes_of(self, device: str, number: int, from_ms: int, until_ms: int) -> Fixes:
        """Of a unit without a measure, what was measured in [from_ms, until_ms] and is still on the log."""
        return await self.of(device).fixes_of(number, from_ms, until_ms)


class PartitionsPast:
    """One partition's. ``is_fresh``: what was found is of now."""

    def __init__(self, log: Log, snapshots: Objects, partition: int, partitions: int, clock: Clock) -> None:
        self.is_fresh = False
        self._log = log
        self._snapshots = snapshots
        self._partition = partition
        self._of = partitions
        self._clock = clock
        self._shelf = Shelf()
        self._stretches: OrderedDict[Slot, Stretch] = OrderedDict()
        self._loaded: OrderedDict[Slot, Snapshot] = OrderedDict()
        self._gone = 0

    async def case_of(self, finding: Finding) -> tuple[bytes, list[str]] | Why:
        """The case, and what differs when it is decided again; or why there is none. The newest snapshot whose
        case is decided again counts; if none of them is, the newest. Raises LogUnavailable."""
        await self._look()
        try:
            return await self._best(finding)
        except Aged:
            return Why.STREAM_AGED

    async def _best(self, finding: Finding) -> tuple[bytes, list[str]] | Why:
        made: tuple[bytes, list[str]] | None = None
        told_ms = finding.points.t5_ms or finding.at_ms
        for back in range(min(BACK_MAX, len(self._shelf.before(told_ms)))):
            payload = await self._from(finding, self._shelf.before(told_ms)[back])
            if payload is None:
                continue
            differs = check(payload)
            if not differs:
                return payload, differs
            made = made or (payload, differs)
        return made or Why.NO_SNAPSHOT

    async def _from(self, finding: Finding, first: Slot) -> bytes | None:
        """The case that begins at ``first``; None if that snapshot is not there any more, or does not know it."""
        way = await self._way(first, finding.points.t5_ms or finding.at_ms)
        if not way:
            return None
        is_ended = way[-1].at_ms > (finding.points.t5_ms or finding.at_ms)
        ends = way[1:] if is_ended else [*way[1:], None]
        stretches = [await self._stretch(slot, behind) for slot, behind in zip(way, ends, strict=False)]
        kept = [one for slot in way if (one := await self._kept(slot)) is not None]
        try:
            return case_of(
                kept[0],
                finding,
                [one for stretch in stretches for one in stretch.fixes],
                [one for stretch in stretches for one in stretch.ticks],
                revisions=list(_revisions(kept)),
                partition=self._partition,
                partitions=self._of,
            )
        except UnknownMeasure:
            return None

    async def _way(self, first: Slot, until_ms: int) -> list[Slot]:
        """From ``first`` to the first snapshot that was written behind ``until_ms``, if there is one; without
        those that are not there any more. Empty: the first is none of them."""
        slots = self._shelf.slots[self._shelf.slots.index(first) :]
        found: list[Slot] = []
        for slot in slots:
            if await self._kept(slot) is not None:
                found.append(slot)
                if slot.at_ms > until_ms:
                    break
        return found if found[:1] == [first] else []

    async def fixes_of(self, number: int, from_ms: int, until_ms: int) -> Fixes:
        """Of one unit, from the log: from the newest snapshot of before on, or else from its beginning."""
        await self._look()
        after = next((slot.sequence for slot in self._shelf.before(from_ms)), 0)
        found: list[Fixes] = []
        reader = upto_present(self._log.read(FIXES, subjects.fixes(self._partition), after=after))
        async for entries in reader:
            for entry in entries:
                fixes = _decoded(entry)
                of_it = (fixes["device"] == number) & (fixes["fix_ms"] >= from_ms) & (fixes["fix_ms"] <= until_ms)
                if of_it.any():
                    found.append(fixes[of_it])
        return stack(found)

    # --- reading -----------------------------------------------------------------------------------------

    async def _look(self) -> None:
        if self.is_fresh:
            return
        self._shelf = shelf.load(await self._snapshots.get(shelf.shelf_name(self._partition, self._of)))
        self._gone = (await self._log.extent(FIXES)).gone
        for slot in [slot for slot in self._stretches if slot not in self._shelf.slots]:
            del self._stretches[slot]
        for stretch in self._stretches.values():
            if stretch.slot == self._shelf.slots[-1]:
                await self._read_on(stretch, None)
        self.is_fresh = True

    async def _stretch(self, slot: Slot, behind: Slot | None) -> Stretch:
        """From one snapshot, that is there, to another. Raises Aged."""
        found = self._stretches.get(slot)
        if found is None or found.behind not in {None, behind}:
            kept = await self._kept(slot)
            if kept is None or self._is_aged(slot):
                raise Aged
            found = Stretch(slot=slot, kept=kept, until=kept.sequence, place=kept.place)
            await self._read_on(found, behind)
            self._stretches[slot] = found
        elif behind is not None and found.behind is None:
            await self._read_on(found, behind)
        if behind is not None:
            found.end(behind)
        self._stretches.move_to_end(slot)
        while len(self._stretches) > STRETCHES_MAX:
            self._stretches.popitem(last=False)
        return found

    def _is_aged(self, slot: Slot) -> bool:
        """Whether fixes or ticks behind this snapshot may be gone: they go by age, and by nothing else."""
        return self._gone > slot.sequence and slot.at_ms <= self._clock.now_ms() - MS * FIXES.keep_s

    async def _kept(self, slot: Slot) -> Snapshot | None:
        """The snapshot that lies there, if it is still the one that the shelf says."""
        if slot not in self._loaded:
            kept = await self._load(slot)
            if kept is None:
                return None
            self._loaded[slot] = kept
            while len(self._loaded) > STRETCHES_MAX + 1:
                self._loaded.popitem(last=False)
        self._loaded.move_to_end(slot)
        return self._loaded[slot]

    async def _load(self, slot: Slot) -> Snapshot | None:
        payload = await self._snapshots.get(shelf.slot_name(self._partition, self._of, slot.number))
        try:
            kept = None if payload is None else snapshot.load(payload)
        except SnapshotUnreadable as error:
            log.warning("snapshot_unreadable", partition=self._partition, slot=slot.number, error=str(error))
            return None
        if kept is None or (kept.sequence, kept.place.step) != (slot.sequence, slot.step):
            return None
        return kept

    async def _read_on(self, stretch: Stretch, behind: Slot | None) -> None:
        """Up to the next snapshot, or to the present."""
        fixes = upto_present(self._log.read(FIXES, subjects.fixes(self._partition), after=stretch.until))
        async for entries in fixes:
            some = [entry for entry in entries if behind is None or entry.sequence <= behind.sequence]
            stretch.fixes.extend((entry.sequence, decoded) for entry in some if (decoded := _decoded(entry)).size)
            if some:
                stretch.until = some[-1].sequence
            if len(some) < len(entries):
                break
        await fixes.aclose()
        ticks = upto_present(
            self._log.read(JOURNAL, subjects.journal(self._partition), after=stretch.place.sequence)
        )
        found = journal.read([entry async for entries in ticks for entry in entries], stretch.place)
        if found.missing:
            raise Aged
        stretch.ticks.extend(one for one in found.ticks if behind is None or one.place.step <= behind.step)
        if stretch.ticks:
            stretch.place = stretch.ticks[-1].place


def _decoded(entry: Entry) -> Fixes:
    """What the geofence could not read either gave nothing."""
    try:
        return decode_fixes(entry.payload)
    except WireError:
        return decode_fixes(_NONE)


_NONE: Final = wire.FIXES_HEADER


def _revisions(kept: list[Snapshot]) -> Iterator[Snapshot]:
    """Those whose measures are not those of the one before: they were written because of that."""
    for before, one in pairwise(kept):
        if _measures(before) != _measures(one):
            yield one


def _measures(kept: Snapshot) -> tuple[object, ...]:
    return kept.table.roster.orders, kept.table.roster.sides
