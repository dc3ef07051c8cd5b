"""What did these fixes, or the passing hour, change between the parties of this partition? ◆ decides, pure.

``step`` is the only door. It touches neither clock nor log nor network: ``now_ms`` is handed in, and each fix
brings its own hour (``t3_ms``). So a batch, the same batch in pieces and its fixes one by one give the same
findings, under the same ids; so does doing the work again after a crash (ARCHITECTURE, A5). What is mutable is
the ``PairTable``, owned by one worker and changed in place.

Each fix, in the order of the batch:

1. its device is not of this partition: counted ``stranger``;
2. it is not newer than the last applied one of its device: counted ``duplicate`` or ``out_of_order``, and it moves
   nothing backwards; but a straggler (at most STRAGGLER_MAX_S behind: a broker gives a dead reader's messages out
   again after 10 s) that shows the wearer in a nearer ring than he is known to be, and not before he last left it,
   raises that ring: a crossing that one fix alone has seen is not lost with the reader that held it;
3. for each pair of the device: what the hour alone decides up to ``t3_ms`` (the measure begins or ends, an exit
   deadline passes), then the new position, then, if the distance left its guard band, the rules of
   ``geofence.separation``.

Two paths do this on the same memory: by columns, and one by one below SCALAR_BELOW fixes, where numpy costs more
than it saves. They agree bit for bit (tests/properties/test_geofence_engine.py). An empty batch is a tick:
step 3 by the hour alone, for all pairs.

An exception inside the rules of one pair marks it unprotected and is returned in ``Step.broken``; the others are
judged (ARCHITECTURE, A10). Its next fix asks the rules again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from geofence.pair_table import (
    FIX_BLOCK,
    FIX_MS_WORD,
    FIX_WORDS,
    HI,
    LO,
    ROW,
    Opened,
    PairTable,
    Phase,
    Roster,
)
from geofence.separation import RINGS, Move, Standing, nearest, on_distance, on_time, radius_dm, threshold_m
from tocsin.geodesy import FloatArray, IntArray, distance_dm, ecef, ecef_one
from tocsin.limits import STRAGGLER_MAX_S
from tocsin.model.command import Command
from tocsin.model.finding import Change, Code, Finding
from tocsin.model.fix import ABSENT, ClockPoints, Fixes, FixFlag, FixPoint
from tocsin.model.ids import derived
from tocsin.model.order import Order
from tocsin.model.standing import Standing as Stands
from tocsin.model.zone import Zone

STRAGGLER_MAX_MS = 1000 * STRAGGLER_MAX_S
SCALAR_BELOW = 40  # fixes; measured

CODE_OF_RING = {Zone.ALERT: Code.PROX_ALERT, Zone.PREALERT: Code.PROX_PREALERT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What became of the fixes of one step; their sum is the size of the batch without mere presence."""

    applied: int = 0
    duplicate: int = 0
    out_of_order: int = 0
    stranger: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one input gave. ``broken``: the measures that became unprotected because their rules failed."""

    findings: tuple[Finding, ...] = ()
    commands: tuple[Command, ...] = ()
    standings: tuple[Stands, ...] = ()
    counts: Counts = Counts()
    broken: tuple[str, ...] = ()


class Trigger(NamedTuple):
    """What made a pair change: part of the finding's identity, its hour, the clock points it has passed."""

    identity: tuple[str | int, ...]
    at_ms: int
    points: ClockPoints


def step(table: PairTable, batch: Fixes, now_ms: int) -> Step:
    """Judge a batch; an empty one is a tick at ``now_ms``. Findings in order of their fixes, then of measures."""
    heard, batch = batch.size, _without_presence(batch)
    if heard and not batch.size:
        return Step()  # not a tick
    run = _Run(table, now_ms)
    if not batch.size:
        table.now_ms = max(table.now_ms, now_ms)
        run.tick()
    else:
        table.now_ms = max(table.now_ms, int(batch["t3_ms"].max()))
        batch = _not_from_the_future(np.ascontiguousarray(batch))
        (run.one_by_one if batch.size < SCALAR_BELOW else run.by_columns)(batch)
    return run.result()


def _without_presence(batch: Fixes) -> Fixes:
    """Who was heard without a place has moved nowhere; nothing is decided from it yet."""
    present = (batch["flags"] & FixFlag.PRESENCE) != 0
    return batch[~present] if present.any() else batch


def is_due(table: PairTable, now_ms: int) -> bool:
    """Whether a tick at ``now_ms`` has anything to look at; one that has not changes nothing."""
    return bool((table.due_ms <= now_ms).any())


def _not_from_the_future(batch: Fixes) -> Fixes:
    """A fix ahead of its own reception is taken as of its reception.

    Otherwise one fix from a clock that runs ahead would make every honest one behind it old news, for as long as
    the clock was ahead: minutes in which the device is not seen.
    """
    if (batch["fix_ms"] <= batch["t3_ms"]).all():
        return batch
    taken = batch.copy()
    taken["fix_ms"] = np.minimum(batch["fix_ms"], batch["t3_ms"])
    return taken


def revise(table: PairTable, roster: Roster, now_ms: int) -> tuple[PairTable, Step]:
    """The table for a changed set of measures, judged at once where that changes something for a pair.

    A measure that is no longer there leaves without a word: the desk hears of exits by evidence only.
    """
    if (roster.orders, roster.sides) == (table.roster.orders, table.roster.sides):
        return table, Step()
    table.now_ms = max(table.now_ms, now_ms)
    table, changed = table.rebuilt(roster)
    run = _Run(table, now_ms)
    run.tick()
    for row in changed:
        run.judge_measure(row)
    return table, run.result()


class _Run:
    """One call of ``step``: collects findings with their place in the order, and what broke."""

    def __init__(self, table: PairTable, now_ms: int) -> None:
        self.table = table
        self.now_ms = now_ms
        self.applied = self.duplicate = self.out_of_order = self.stranger = 0
        self.found: list[tuple[int, int, Finding]] = []
        self.broken: list[str] = []

    def result(self) -> Step:
        self.found.sort(key=lambda one: one[:2])
        return Step(
            findings=tuple(finding for _, _, finding in self.found),
            counts=Counts(
                applied=self.applied,
                duplicate=self.duplicate,
                out_of_order=self.out_of_order,
                stranger=self.stranger,
            ),
            broken=tuple(self.broken),
        )

    # --- the hour ----------------------------------------------------------------------------------------

    def tick(self) -> None:
        for row in np.flatnonzero(self.table.due_ms <= self.table.now_ms).tolist():
            self.advance(0, row, self.table.now_ms)

    def judge_measure(self, row: int) -> None:
        """Judge a pair because its measure changed, with the fixes at hand."""
        if self.table.phase[row] == Phase.IN_FORCE:
            self.judge(0, row, self.table.now_ms, lambda: self._measure_trigger(row))

    # --- fixes, one by one -------------------------------------------------------------------------------

    def one_by_one(self, batch: Fixes) -> None:
        table = self.table
        blocks = batch.view(FIX_BLOCK)
        columns = (batch[name].tolist() for name in ("device", "fix_ms", "t3_ms", "lat_e6", "lon_e6"))
        for index, (number, fix_ms, t3_ms, lat_e6, lon_e6) in enumerate(zip(*columns, strict=True)):
            sides = table.sides_of.get(number)
            if sides is None:
                self.stranger += 1
                continue
            heard_ms = table.words_view[sides[0] * FIX_WORDS + FIX_MS_WORD]
            if self._is_news(fix_ms, heard_ms):
                point = ecef_one(lat_e6, lon_e6)
                for side in sides:
                    self._touch(index, side, point, t3_ms, blocks[index])
            elif heard_ms - STRAGGLER_MAX_MS <= fix_ms < heard_ms:
                point = ecef_one(lat_e6, lon_e6)
                for side in sides:
                    self._reconsider(index, side, point, t3_ms, blocks[index])

    def _is_news(self, fix_ms: int, heard_ms: int) -> bool:
        """Whether a fix is newer than the last applied one of its device; counts it."""
        news = fix_ms > heard_ms
        self.applied += news
        self.duplicate += fix_ms == heard_ms
        self.out_of_order += fix_ms < heard_ms
        return news

    def _touch(self, index: int, side: int, point: tuple[float, float, float], t3_ms: int, block: np.void) -> None:
        """Apply one fix to one pair."""
        table, row = self.table, side >> 1
        if table.due_view[row] <= t3_ms:
            self.advance(index, row, t3_ms)
        flat, start = table.flat_view, row * ROW
        slot = start + 3 * (side & 1)
        flat[slot], flat[slot + 1], flat[slot + 2] = point
        table.last_blocks[side] = block
        dx, dy, dz = (flat[start + axis] - flat[start + 3 + axis] for axis in range(3))
        square = dx * dx + dy * dy + dz * dz
        if square < flat[start + LO] or square > flat[start + HI]:
            self.judge_fix(index, side, t3_ms)

    def _reconsider(
        self, index: int, side: int, point: tuple[float, float, float], t3_ms: int, block: np.void
    ) -> None:
        """A straggler: raise what it alone shows, with its own place and hour; then be where the newer fix is."""
        table, row = self.table, side >> 1
        if table.due_view[row] <= t3_ms:
            self.advance(index, row, t3_ms)
        place = slice(3 * (side & 1), 3 * (side & 1) + 3)
        newer_point, newer_block = table.rows[row, place].copy(), table.last_blocks[side].copy()
        table.rows[row, place], table.last_blocks[side] = point, block
        try:
            with self._contained(row):
                if self._shows_more(row, int(table.last["fix_ms"][side])):
                    self.judge_fix(index, side, t3_ms)
        finally:
            table.rows[row, place], table.last_blocks[side] = newer_point, newer_block

    def _shows_more(self, row: int, fix_ms: int) -> bool:
        """Whether the parties, as they stand, are in a nearer ring than is known, and this is news of it."""
        table, points, order = self.table, self.table.points(row), self.table.roster.orders[row]
        if table.phase[row] != Phase.IN_FORCE or points is None or fix_ms < order.valid_from_ms:
            return False
        ring = nearest(order.alert_distance_m, distance_dm(*points))
        return bool(ring > table.zone[row] and fix_ms > table.left_ms[row, RINGS.index(ring)])

    # --- fixes by columns --------------------------------------------------------------------------------

    def by_columns(self, batch: Fixes) -> None:
        table = self.table
        places = table.places_of(batch["device"])
        if self._has_stragglers(places, batch["fix_ms"]):
            self.one_by_one(batch)
            return
        fresh = self._screened(places, batch["fix_ms"])
        if not fresh.size:
            return
        blocks = batch.view(FIX_BLOCK)
        points = np.empty((batch.size, 3))
        points[fresh, 0], points[fresh, 1], points[fresh, 2] = ecef(
            batch["lat_e6"].take(fresh), batch["lon_e6"].take(fresh)
        )
        expanded, sides = table.expand(places.take(fresh))
        index = fresh.take(expanded)
        t3_ms: IntArray = np.ascontiguousarray(batch["t3_ms"])
        left = np.arange(sides.size)
        while left.size:  # in turns that have no pair twice: a pair sees its fixes in order
            first = _first_of_each(sides.take(left) >> 1, len(table))
            if np.count_nonzero(first) < SCALAR_BELOW:
                break
            turn, left = left[first], left[~first]
            self._turn(index.take(turn), sides.take(turn), points, t3_ms, blocks)
        for at in left.tolist():
            one = int(index[at])
            x, y, z = points[one].tolist()
            self._touch(one, int(sides[at]), (x, y, z), int(t3_ms[one]), blocks[one])

    def _has_stragglers(self, places: IntArray, fix_ms: IntArray) -> bool:
        """Whether any fix is older than one of its device that was heard before, here or in this batch.

        Rare, and the order of everything then matters: such a batch goes one by one.
        """
        known = np.flatnonzero(places >= 0)
        mine, times = places.take(known), fix_ms.take(known)
        if (times < self.table.heard_ms(mine)).any():
            return True
        order = np.argsort(mine, kind="stable")
        mine, times = mine.take(order), times.take(order)
        return bool(((mine[1:] == mine[:-1]) & (times[1:] < times[:-1])).any())

    def _screened(self, places: IntArray, fix_ms: IntArray) -> IntArray:
        """Indices of the fixes that are news; counts all."""
        known = np.flatnonzero(places >= 0)
        self.stranger += places.size - known.size
        mine, heard = places.take(known), self.table.heard_ms(places.take(known))
        times = fix_ms.take(known)
        if _first_of_each(mine, self.table.numbers.size).all():
            news = times > heard
            duplicate = int((times == heard).sum())
            self.applied += int(news.sum())
            self.duplicate += duplicate
            self.out_of_order += int(known.size - news.sum() - duplicate)
            return known[news]
        return known[self._news_in_order(mine.tolist(), times.tolist(), heard.tolist())]

    def _news_in_order(self, places: list[int], fix_ms: list[int], heard_ms: list[int]) -> list[int]:
        """The same where a device speaks more than once in the batch."""
        newest = dict(zip(places, heard_ms, strict=True))
        news = []
        for at, (place, ms) in enumerate(zip(places, fix_ms, strict=True)):
            if self._is_news(ms, newest[place]):
                newest[place] = ms
                news.append(at)
        return news

    def _turn(self, index: IntArray, sides: IntArray, points: FloatArray, t3_ms: IntArray, blocks: Fixes) -> None:
        """Apply fixes to pairs, no pair twice."""
        table, rows = self.table, sides >> 1
        now_ms = t3_ms.take(index)
        for at in np.flatnonzero(table.due_ms.take(rows) <= now_ms).tolist():
            self.advance(int(index[at]), int(rows[at]), int(now_ms[at]))
        slots = rows * ROW + 3 * (sides & 1)
        for axis in range(3):
            table.flat[slots + axis] = points[:, axis].take(index)
        table.last_blocks[sides] = blocks.take(index)
        pairs = table.rows.take(rows, 0)
        apart = pairs[:, 0:3] - pairs[:, 3:6]
        apart *= apart
        square = apart[:, 0] + apart[:, 1] + apart[:, 2]
        for at in np.flatnonzero((square < pairs[:, LO]) | (square > pairs[:, HI])).tolist():
            self.judge_fix(int(index[at]), int(sides[at]), int(now_ms[at]))

    # --- one pair ----------------------------------------------------------------------------------------

    def advance(self, index: int, row: int, now_ms: int) -> None:
        """What the hour alone decides for one pair, up to ``now_ms``, in the order of the deadlines."""
        with self._contained(row):
            while self.table.due_ms[row] <= now_ms:
                self._pass_deadline(index, row, now_ms)

    def _pass_deadline(self, index: int, row: int, now_ms: int) -> None:
        table, order = self.table, self.table.roster.orders[row]
        standing = table.standing(row)
        deadline = standing.deadline_ms
        if order.valid_until_ms <= now_ms and (deadline is None or order.valid_until_ms <= deadline):
            table.entries[row] = {}
            table.settle(row, Standing(), Phase.ENDED)
        elif table.phase[row] == Phase.WAITING:
            table.settle(row, Standing(), Phase.IN_FORCE)
            self._judge(index, row, now_ms, lambda: self._measure_trigger(row))
        else:
            assert deadline is not None
            trigger = Trigger(("deadline", deadline), deadline, ClockPoints(t5_ms=self.now_ms))
            self._conclude(index, row, *on_time(standing, now_ms), lambda: trigger)

    def judge_fix(self, index: int, side: int, now_ms: int) -> None:
        self.judge(index, side >> 1, now_ms, lambda: self._fix_trigger(side))

    def judge(self, index: int, row: int, now_ms: int, trigger: Callable[[], Trigger]) -> None:
        with self._contained(row):
            self._judge(index, row, now_ms, trigger)
            self.table.unprotected.discard(row)

    def _judge(self, index: int, row: int, now_ms: int, trigger: Callable[[], Trigger]) -> None:
        table = self.table
        points = table.points(row)
        if points is None:
            return
        wearer, protected = table.last["accuracy_dm"][2 * row : 2 * row + 2].tolist()
        standing, move = on_distance(
            table.standing(row),
            alert_distance_m=table.roster.orders[row].alert_distance_m,
            distance_dm=distance_dm(*points),
            radius=radius_dm(wearer, protected),
            now_ms=now_ms,
        )
        self._conclude(index, row, standing, move, trigger)

    def _conclude(
        self, index: int, row: int, standing: Standing, move: Move | None, trigger: Callable[[], Trigger]
    ) -> None:
        """Findings first, then the state: if the first fails, the second has not moved."""
        table = self.table
        opened = dict(table.entries[row])
        told = trigger() if move else None
        findings = self._findings(row, move, opened, told) if move and told else []
        table.settle(row, standing, Phase.IN_FORCE)
        table.entries[row] = opened
        if move is not None and move.after < move.before:
            left = [place for place, ring in enumerate(RINGS) if move.after < ring <= move.before]
            assert told is not None
            table.left_ms[row, left] = told.at_ms
        self.found.extend((index, row, finding) for finding in findings)

    @contextmanager
    def _contained(self, row: int) -> Iterator[None]:
        """Whatever goes wrong inside makes one pair unprotected and stops there (ARCHITECTURE, A10)."""
        table = self.table
        try:
            yield
        except Exception as error:  # noqa: BLE001  the others must be judged, whatever it was
            if row not in table.unprotected:
                self.broken.append(f"{table.roster.orders[row].id}: {error!r}")
            table.unprotected.add(row)
            table.rows[row, LO], table.rows[row, HI] = math.inf, -1.0  # ask again at every fix

    # --- findings ----------------------------------------------------------------------------------------

    def _findings(self, row: int, move: Move, opened: dict[Zone, Opened], trigger: Trigger) -> list[Finding]:
        """The findings of a move; ``opened`` is brought up to date."""
        order = self.table.roster.orders[row]
        if move.after > move.before:
            name = _finding_id(order, move.after, Change.ENTRY, trigger)
            opened[move.after] = Opened(id=name, at_ms=trigger.at_ms)
            return [self._finding(row, move, move.after, Change.ENTRY, opened[move.after], trigger)]
        left = [ring for ring in RINGS if move.after < ring <= move.before and ring in opened]
        return [self._finding(row, move, ring, Change.EXIT, opened.pop(ring), trigger) for ring in left]

    def _finding(
        self, row: int, move: Move, ring: Zone, change: Change, entry: Opened, trigger: Trigger
    ) -> Finding:
        table, order = self.table, self.table.roster.orders[row]
        points = table.points(row)
        assert points is not None
        return Finding(
            id=_finding_id(order, ring, change, trigger),
            measure=order.id,
            order_version=order.version,
            code=CODE_OF_RING[ring],
            change=change,
            before=move.before,
            after=move.after,
            distance_dm=distance_dm(*points),
            threshold_m=threshold_m(ring, order.alert_distance_m),
            wearer=self._fix_point(2 * row),
            protected=self._fix_point(2 * row + 1),
            entry=entry.id,
            entry_ms=entry.at_ms,
            at_ms=trigger.at_ms,
            reason=move.reason.value,
            points=trigger.points,
        )

    def _fix_point(self, side: int) -> FixPoint:
        fix = self.table.last[side]
        accuracy = int(fix["accuracy_dm"])
        return FixPoint(
            device=self.table.roster.sides[side].id,
            lat_e6=int(fix["lat_e6"]),
            lon_e6=int(fix["lon_e6"]),
            accuracy_dm=None if accuracy < 0 else accuracy,
            fix_ms=int(fix["fix_ms"]),
        )

    def _fix_trigger(self, side: int) -> Trigger:
        """A fix of ``side`` did it."""
        fix = self.table.last[side]
        fix_ms, sent_ms = int(fix["fix_ms"]), int(fix["sent_ms"])
        points = ClockPoints(
            t1_ms=fix_ms,
            t2_ms=None if sent_ms == ABSENT else sent_ms,
            t3_ms=int(fix["t3_ms"]),
            t4_ms=int(fix["t4_ms"]),
            t5_ms=self.now_ms,
        )
        device = self.table.roster.sides[side].id
        return Trigger((device, fix_ms, int(fix["boot"]), int(fix["seq"])), fix_ms, points)

    def _measure_trigger(self, row: int) -> Trigger:
        """The measure did it, by beginning or by a new distance: what is known became relevant."""
        order = self.table.roster.orders[row]
        newest = int(self.table.last["fix_ms"][2 * row : 2 * row + 2].max())
        at_ms = max(order.valid_from_ms, newest)
        return Trigger(("measure", order.version, order.valid_from_ms), at_ms, ClockPoints(t5_ms=self.now_ms))


def _first_of_each(values: IntArray, below: int) -> npt.NDArray[np.bool_]:
    """Which of these numbers in [0, below) occur for the first time."""
    mark = np.empty(below, np.int64)
    here = np.arange(values.size)
    mark[values[::-1]] = here[::-1]  # of several writes to one place the last stays
    first: npt.NDArray[np.bool_] = mark.take(values) == here
    return first


def _finding_id(order: Order, ring: Zone, change: Change, trigger: Trigger) -> str:
    return derived("fnd", order.id, CODE_OF_RING[ring].value, change.value, *trigger.identity)
