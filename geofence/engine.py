"""What did these fixes, or the passing hour, change between the parties of this partition? ◆ decides, pure.

``step`` is the only door. It touches neither clock nor log nor network: ``now_ms`` is handed in with a tick, and
each fix brings its own hour (``t3_ms``). So a batch, the same batch in pieces and its fixes one by one give the
same findings, under the same ids; so does doing the work again after a crash (ARCHITECTURE, A5). What is mutable
is the ``PairTable``, owned by one worker and changed in place.

Each fix, in the order of the batch:

1. its device is not of this partition: counted ``stranger``;
2. for each pair of the device, what the hour alone decides on every whole second up to the fix;
3. the device is heard, and the fix believed or not (``geofence.devices``): counted, and flagged where its
   quality is at fault; nothing is dropped silently;
4. for each pair, if it has left its guard band: rings, approach, losses, certainty, cadence;
5. what the pairs now ask of a device that takes orders, if it is anything new, becomes a command.

Two paths do this on the same memory: by columns, in turns in which no cluster of pairs occurs twice, and one by
one below SCALAR_BELOW fixes, where numpy costs more than it saves. They agree bit for bit, and with asking every
rule at every fix (tests/properties/test_geofence_splits.py, test_geofence_bounds.py). An empty batch is a tick:
step 2 for all pairs that are due.

An exception inside the rules of one pair makes it unprotected, with a finding, and is returned in ``Step.broken``;
the others are judged (ARCHITECTURE, A10). Its next fix asks the rules again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil, floor
from typing import Final, NamedTuple

import numpy as np

from geofence import (
    authority,
    condition_codes,
    findings,
    quality_findings,
    quality_hour,
    silence,
    standing,
    zone_watch,
)
from geofence.approach import judge_approach
from geofence.assumptions import FAR_S, LATE_MS, MOVING_CMS, POOR_DM
from geofence.attribution import attribute
from geofence.cadence import tell
from geofence.condition_codes import judge_conditions
from geofence.conditions import classes_of
from geofence.devices import AT, HEARD, INTERVAL, WAY, Mask, Verdict, X, accuracies_m, accuracy_of_m
from geofence.findings import (
    Taken,
    Trigger,
    clock_trigger,
    event_trigger,
    fix_trigger,
    measure_trigger,
    taken_of,
)
from geofence.motion import Mover, Seen, Vector, is_reachable
from geofence.pair_state import PROTECTED, WEARER, Look, PairState, Reason
from geofence.pair_table import NEVER_MS, PROTECTIONS, UNPROTECTED, PairTable, Phase, Roster
from geofence.probing import watch_crossings, watch_quiet
from geofence.quality import Shown, ShownByMany, skew_of, skews_of
from geofence.separation import Separation, apart_until_ms, clear, clear_until_ms, kept_apart, lost_ms, separation
from tocsin.geodesy import FloatArray, IntArray, ecef, ecef_one
from tocsin.limits import PREALERT_FACTOR, STRAGGLER_MAX_S
from tocsin.model.command import Command
from tocsin.model.finding import Change, Code, Finding
from tocsin.model.fix import Fixes, FixFlag
from tocsin.model.standing import Protection, Standing

PROTECTED_NOW: Final = PROTECTIONS.index(Protection.PROTECTED)
DEGRADED: Final = PROTECTIONS.index(Protection.DEGRADED)

Identity = tuple[str | int, ...]
Rules = Callable[[Look, Separation | None], None]

STRAGGLER_MAX_MS: Final = 1000 * STRAGGLER_MAX_S
SCALAR_BELOW: Final = 8  # fixes; measured
SECOND_MS: Final = 1000
ZONES_AGAIN_MS: Final = 60_000  # where zones could not be judged: by then, or by the next fix


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What became of the fixes of one step; without the flags, the sum is the size of the batch.

    ``applied``: believed; ``late``: history; ``poor``, ``implausible``: heard, held against the rings and not
    believed; ``presence``: messages without a position. Flags: ``ahead`` of its own reception (taken as of it);
    ``frozen``: the place repeated by a unit that says it moves.
    """

    applied: int = 0
    duplicate: int = 0
    out_of_order: int = 0
    late: int = 0
    poor: int = 0
    implausible: int = 0
    presence: int = 0
    stranger: int = 0
    ahead: int = 0
    frozen: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one input gave. ``broken``: the measures that became unprotected because their rules failed."""

    findings: tuple[Finding, ...] = ()
    commands: tuple[Command, ...] = ()
    standings: tuple[Standing, ...] = ()
    counts: Counts = Counts()
    broken: tuple[str, ...] = ()


def step(table: PairTable, batch: Fixes, now_ms: int) -> Step:
    """Judge a batch; an empty one is a tick at ``now_ms``. Findings in order of their fixes, then of measures."""
    run = _Run(table)
    if not batch.size:
        table.clock_ms = max(table.clock_ms, now_ms)
        run.tick()
    elif batch.size < SCALAR_BELOW:
        run.one_by_one(batch)
    else:
        run.by_columns(np.ascontiguousarray(batch))
    return run.result()


def is_due(table: PairTable, now_ms: int) -> bool:
    """Whether a tick at ``now_ms`` has anything to look at; one that has not changes nothing."""
    return bool((table.due_ms <= now_ms).any()) or quality_findings.is_due(table, now_ms)


def revise(table: PairTable, roster: Roster, now_ms: int) -> tuple[PairTable, Step]:
    """The table for a changed set of measures, judged at once where that changes something for a pair.

    A measure that is no longer there leaves without a word: the desk hears of exits by evidence only.
    """
    if (roster.orders, roster.sides) == (table.roster.orders, table.roster.sides):
        return table, Step()
    table.clock_ms = max(table.clock_ms, now_ms)
    before = table
    table, changed = before.rebuilt(roster)
    run = _Run(table)
    run.release(before)
    run.tick()
    for row in changed:
        run.judge_measure(row)
    for place in np.flatnonzero(table.asked_of_devices() != table.devices.rows[:, INTERVAL]).tolist():
        run.give_order(0, place, table.clock_ms, ("measures", table.clock_ms))
    return table, run.result()


def standings(table: PairTable) -> tuple[Standing, ...]:
    """How well every pair of the table is protected, as of the last tick."""
    return tuple(findings.standing(table, row, table.clock_ms) for row in range(len(table)))


DISBELIEVED: Final = frozenset({Verdict.POOR, Verdict.IMPLAUSIBLE})
OUTCOMES: Final = tuple("applied" if one is Verdict.ACCEPTED else one.name.lower() for one in Verdict)


class Heard(NamedTuple):
    """A fix that needs a thought: the device before it, the fix, the accuracy it told."""

    before: Mover
    fix: Seen
    told_dm: int


class _Run:
    """One call of ``step``: collects what is found with its place in the order, and what broke."""

    def __init__(self, table: PairTable) -> None:
        self.table = table
        self.devices = table.devices
        self.counts = dict.fromkeys(Counts.__slots__, 0)
        self.found: list[tuple[int, int, Finding]] = []
        self.commands: list[tuple[int, Command]] = []
        self.stood: dict[int, Standing] = {}
        self.broken: list[str] = []
        self.asking: list[int] = []
        """Rows that ask something else of their devices than before."""

    def result(self) -> Step:
        self.found.sort(key=lambda one: one[:2])
        self.commands.sort(key=lambda one: one[0])
        return Step(
            findings=tuple(finding for _, _, finding in self.found),
            commands=tuple(command for _, command in self.commands),
            standings=tuple(self.stood[row] for row in sorted(self.stood)),
            counts=Counts(**self.counts),
            broken=tuple(self.broken),
        )

    # --- the hour ----------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Second by second: what one pair asks of a device holds for all of its pairs from the next second on."""
        due_ms, clock_ms = self.table.due_ms, self.table.clock_ms
        while (rows := np.flatnonzero(due_ms <= clock_ms)).size:
            first_ms = due_ms[rows].min()
            hour_ms = int(first_ms) or SECOND_MS * (clock_ms // SECOND_MS)  # 0: since a new roster
            for row in self._not_apart(rows[due_ms[rows] == first_ms], hour_ms).tolist():
                with self._contained(0, (2 * row,), hour_ms):
                    self._pass_hour(0, row, hour_ms)
            self._give_orders(0, hour_ms, ("clock", hour_ms))
        self.found.extend((0, row, one) for row, one in quality_findings.judge(self.table))

    def _not_apart(self, rows: IntArray, hour_ms: int) -> IntArray:
        """Those of these rows for which the hour itself may change something; the others are due later."""
        table, devices = self.table, self.devices
        wearers, protected = devices.rows.take(table.places[rows], 0).transpose(1, 2, 0)
        hours = np.full(rows.size, float(hour_ms))
        kept = kept_apart(
            wearers, protected, hours, table.bands.take(rows, 0).T, np.zeros(rows.size, np.int64), by_clock=True
        )
        until_ms = table.until_ms.take(rows)
        quiet = kept.quiet & (table.phase.take(rows) == Phase.IN_FORCE) & (hour_ms < until_ms)
        table.due_ms[rows[quiet]] = np.minimum(kept.due_ms, until_ms)[quiet]
        left: IntArray = rows[~quiet]
        return left

    def advance(self, index: int, sides: Sequence[int], now_ms: int) -> None:
        """The same for the pairs of one device, up to ``now_ms``: an order that one of them gives may make another
        due."""
        due_of, rows = self.table.due_of, [side >> 1 for side in sides]
        while (first_ms := min(due_of[row] for row in rows)) <= now_ms:
            hour_ms = int(first_ms) or SECOND_MS * (now_ms // SECOND_MS)  # 0: since a new roster
            for row in rows:
                if due_of[row] == first_ms and not self._is_apart_by_clock(row, hour_ms):
                    with self._contained(index, (2 * row,), now_ms):
                        self._pass_hour(index, row, hour_ms)
            self._give_orders(index, hour_ms, ("clock", hour_ms))

    def _pass_hour(self, index: int, row: int, hour_ms: int) -> None:
        table, order = self.table, self.table.roster.orders[row]
        if hour_ms >= order.valid_until_ms:
            table.phase[row], table.due_ms[row] = Phase.ENDED, NEVER_MS
            self._settle(row, PairState())
            self._stand(row, order.valid_until_ms)
        elif table.phase[row] == Phase.WAITING:
            table.phase[row] = Phase.IN_FORCE
            self._judge_measure(index, row, hour_ms)
        else:
            if hour_ms >= table.until_of[row]:
                self._watch(index, row, hour_ms, lambda: clock_trigger(hour_ms), by_fix=False)
            self._look(index, row, hour_ms, _judge_hour, lambda: clock_trigger(hour_ms))

    def judge_measure(self, row: int) -> None:
        """Judge a pair because its measure changed, with the fixes at hand."""
        now_ms = self.table.clock_ms
        if self.table.phase[row] == Phase.IN_FORCE:
            with self._contained(0, (2 * row,), now_ms):
                self._judge_measure(0, row, now_ms)

    def _judge_measure(self, index: int, row: int, now_ms: int) -> None:
        wearer, protected = (self.devices.mover(place) for place in self.table.pairs[row])
        newest = WEARER if wearer.at_ms >= protected.at_ms else PROTECTED

        def rules(look: Look, seen: Separation | None) -> None:
            look.state.origin = look.state.earlier = None  # of another device perhaps
            _judge_believed(look, seen, newest)

        self._watch(index, row, now_ms, lambda: measure_trigger(self.table, row, now_ms), by_fix=False)
        self._look(index, row, now_ms, rules, lambda: measure_trigger(self.table, row, now_ms))

    # --- fixes, one by one -------------------------------------------------------------------------------

    def one_by_one(self, batch: Fixes) -> None:
        place_of = self.devices.place_of
        for index, record in enumerate(batch.tolist()):
            place = place_of.get(record[0])
            if place is None:
                self.counts["stranger"] += 1
            else:
                self._take(index, place, taken_of(record))

    def _take(self, index: int, place: int, taken: Taken) -> None:
        """One message of one device, for all its pairs."""
        table, sides = self.table, self.table.sides_of[place]
        now_ms = max(taken.t3_ms, table.clock_ms)
        self.advance(index, sides, now_ms)
        with self._contained(index, sides, now_ms):
            before = self.devices.mover(place)
            if taken.flags & FixFlag.PRESENCE:
                self._be_present(index, place, before, now_ms)
                self._heed(index, place, before, taken, now_ms)
                return
            self.counts["ahead"] += taken.fix_ms > taken.t3_ms
            point = ecef_one(taken.lat_e6, taken.lon_e6)
            fix = Seen(float(min(taken.fix_ms, taken.t3_ms)), point, accuracy_of_m(taken.accuracy_dm))
            verdict = self.devices.hear(
                place, before, fix, float(now_ms), told_dm=taken.accuracy_dm, received_ms=float(taken.t3_ms)
            )
            self.counts[OUTCOMES[verdict]] += 1
            table.quality.hear_one(place, verdict, before, fix, _shown(taken), now_ms)
            if point == before.place and taken.speed_cms >= MOVING_CMS and verdict is Verdict.ACCEPTED:
                self.counts["frozen"] += 1
            heard = Heard(before, fix, taken.accuracy_dm)
            for side in sides:
                if not (
                    self._is_apart(side, now_ms)
                    if verdict is Verdict.ACCEPTED
                    else self._says_nothing(side, verdict, fix, now_ms)
                ):
                    self._judge_fix(index, side, verdict, heard, now_ms, taken)
            if verdict is Verdict.ACCEPTED and _returns(before, now_ms):
                self._order(index, place, int(before.interval_s), now_ms, self._identity(place, taken))
            self._heed(index, place, before, taken, now_ms, fix, verdict)
            if self.asking:
                self._give_orders(index, now_ms, self._identity(place, taken))
            if table.zones.any and verdict is Verdict.ACCEPTED:
                self._judge_zones(index, sides, fix.place, now_ms, taken)

    def _is_apart(self, side: int, now_ms: int) -> bool:
        """Whether the pair has not left its guard band; then it is only due later."""
        table, row = self.table, side >> 1
        if table.phase_of[row] != Phase.IN_FORCE:
            return False
        role, pair = side & 1, table.pairs[row]
        own, partner = self.devices.mover(pair[role]), self.devices.mover(pair[1 - role])
        band, hour = table.band(row), float(now_ms)
        until_ms = clear_until_ms(own, partner, hour, band) or apart_until_ms(own, partner, hour, band, role)
        if not until_ms:
            return False
        table.due_of[row] = min(until_ms, table.until_of[row])
        return True

    def _is_apart_by_clock(self, row: int, hour_ms: int) -> bool:
        """``_not_apart`` for one row."""
        table = self.table
        if table.phase_of[row] != Phase.IN_FORCE or hour_ms >= table.until_of[row]:
            return False
        wearer, protected = (self.devices.mover(place) for place in table.pairs[row])
        until_ms = apart_until_ms(wearer, protected, float(hour_ms), table.band(row), WEARER, by_clock=True)
        if until_ms:
            table.due_of[row] = min(until_ms, table.until_of[row])
        return bool(until_ms)

    def _says_nothing(self, side: int, verdict: Verdict, fix: Seen, now_ms: int) -> bool:
        """Whether a fix that was not believed is too far away to be held against the rings, and touches no
        silence."""
        place = self.table.pairs[side >> 1][side & 1]
        own = self.devices.mover(place)
        if self.devices.missed[place] or now_ms >= own.lost_ms(own.at_ms):
            return False
        if verdict in {Verdict.DUPLICATE, Verdict.LATE}:
            return True
        return self._cannot_show(side, fix, 1 if verdict in DISBELIEVED else PREALERT_FACTOR)

    def _heed(
        self, index: int, place: int, before: Mover, taken: Taken, now_ms: int, fix: Seen | None = None,
        verdict: Verdict = Verdict.PRESENCE,
    ) -> None:  # fmt: skip
        """What the message says of its unit, for all its pairs, if it is anything new."""
        table, device = self.table, self.table.device_of[place]
        report = findings.report_of(device, taken, before, now_ms, fix, verdict) if taken.telemetry else None
        if report is None or not table.conditions.is_other(place, report.said):
            return
        if table.conditions.hear(place, report):
            for row in (side >> 1 for side in table.sides_of[place]):
                if table.phase_of[row] == Phase.IN_FORCE:
                    with self._contained(index, (2 * row,), now_ms):
                        self._look(index, row, now_ms, _judge_losses, lambda: event_trigger(device, taken))

    def _identity(self, place: int, taken: Taken) -> Identity:
        return fix_trigger(self.table.device_of[place], taken).identity

    def _be_present(self, index: int, place: int, before: Mover, now_ms: int) -> None:
        """A message without a position: while the last fix is young it says nothing about any pair."""
        self.counts["presence"] += 1
        self.devices.rows[place, HEARD] = max(before.heard_ms, now_ms)
        if now_ms < before.lost_ms(before.at_ms) and not self.devices.missed[place]:
            return
        for side in self.table.sides_of[place]:
            if self.table.phase_of[side >> 1] == Phase.IN_FORCE:
                self._look(index, side >> 1, now_ms, _judge_losses, lambda: clock_trigger(now_ms))

    def _judge_fix(
        self, index: int, side: int, verdict: Verdict, heard: Heard | None, now_ms: int, taken: Taken
    ) -> None:
        """``heard`` None: ACCEPTED without a thought."""
        table, row, role = self.table, side >> 1, side & 1
        if table.phase_of[row] != Phase.IN_FORCE:
            return
        valid_from_ms = table.roster.orders[row].valid_from_ms

        def rules(look: Look, seen: Separation | None) -> None:
            if verdict is Verdict.ACCEPTED:
                _judge_believed(look, seen, role)
            else:
                assert heard is not None
                _judge_unbelieved(look, seen, role, verdict, heard, valid_from_ms)

        with self._contained(index, (2 * row,), now_ms):
            device = table.roster.sides[side]
            self._look(index, row, now_ms, rules, lambda: fix_trigger(device, taken))

    # --- fixes by columns --------------------------------------------------------------------------------

    def by_columns(self, batch: Fixes) -> None:
        """In turns that have no cluster twice; what is left for a last, small one goes one by one."""
        columns = _Columns(batch, self.devices.places(batch["device"]), self.table.clock_ms)
        left = np.flatnonzero(columns.places >= 0)
        self.counts["stranger"] += batch.size - left.size
        clusters = self.table.cluster_of.take(columns.places.take(left))
        while left.size:
            first = _first_of_each(clusters, self.table.mark)
            if np.count_nonzero(first) < SCALAR_BELOW:
                break
            self._turn(columns, left[first])
            left, clusters = left[~first], clusters[~first]
        self.some(columns, left)

    def some(self, columns: _Columns, which: IntArray) -> None:
        """A few of a batch, one by one."""
        for index in which.tolist():
            self._take(index, int(columns.places[index]), columns.taken(index))

    def _turn(self, columns: _Columns, which: IntArray) -> None:
        """Messages of different clusters: the hour first, then the odd ones one by one, then the many."""
        table, devices = self.table, self.devices
        places, now_ms = columns.places.take(which), columns.now_ms.take(which)
        of, sides = table.expand(places)
        rows = sides >> 1
        due = table.due_ms.take(rows) <= now_ms.take(of)
        if due.any():
            for at in np.unique(of[due]).tolist():
                self.advance(int(which[at]), table.sides_of[int(places[at])], int(now_ms[at]))
        movers = devices.rows.take(places, 0)
        usual = self._usual(columns, which, places, now_ms, movers)
        if not usual.all():
            heard = self._only_heard(columns, which, places, now_ms, movers)
            self.some(columns, which[~(usual | heard)])
            which, places, now_ms, movers = which[usual], places[usual], now_ms[usual], movers[usual]
            kept = usual.take(of)
            of, sides = (np.cumsum(usual) - 1).take(of[kept]), sides[kept]
        own = self._accept(columns, which, places, now_ms, movers)
        self._judge_many(columns, which, own, sides, of, now_ms)

    def _usual(
        self, columns: _Columns, which: IntArray, places: IntArray, now_ms: FloatArray, movers: FloatArray
    ) -> Mask:
        """Which messages are fixes to be believed without a second thought."""
        usual = self.devices.plain(
            movers, self.devices.doubted.take(places), columns.points.take(which, 1), columns.fix_ms.take(which),
            columns.accuracy_m.take(which),
        )  # fmt: skip
        usual &= columns.good.take(which)
        usual &= now_ms < lost_ms(movers.T, HEARD)
        return usual if columns.said is None else usual & ~self._tells(columns, which, places)

    def _tells(self, columns: _Columns, which: IntArray, places: IntArray) -> Mask:
        """Which messages say something new of their unit."""
        assert columns.said is not None
        news: Mask = self.table.conditions.is_news(columns.said.take(which, 0), places)
        return news

    def _only_heard(
        self, columns: _Columns, which: IntArray, places: IntArray, now_ms: FloatArray, movers: FloatArray
    ) -> Mask:
        """Messages that say nothing of any pair but that the unit is alive: while its last fix is young and no
        silence of it has been said, its presence, and a poor fix that is far from whoever it is kept from."""
        young = (now_ms < lost_ms(movers.T, AT)) & ~self.devices.missed.take(places)
        if columns.said is not None:
            young &= ~self._tells(columns, which, places)
        heard, poor = columns.present.take(which) & young, columns.poor.take(which) & young
        self.counts["presence"] += int(np.count_nonzero(heard))
        poor &= columns.fix_ms.take(which) > movers[:, AT]
        for at in np.flatnonzero(poor).tolist():
            heard[at] = self._is_poor_and_far(columns, int(which[at]), int(places[at]))
        self.devices.rows[places[heard], HEARD] = np.maximum(movers[heard, HEARD], now_ms[heard])
        return heard

    def _is_poor_and_far(self, columns: _Columns, index: int, place: int) -> bool:
        """Whether a poor fix cannot show any of its pairs inside the alert distance; then that is all of it."""
        x, y, z = columns.points[:, index].tolist()
        fix = Seen(float(columns.fix_ms[index]), (x, y, z), float(columns.accuracy_m[index]))
        if not all(self._cannot_show(side, fix, 1) for side in self.table.sides_of[place]):
            return False
        self.counts["poor"] += 1
        self.counts["ahead"] += bool(columns.ahead[index])
        shown, now_ms = _shown(columns.taken(index)), int(columns.now_ms[index])
        self.table.quality.hear_one(place, Verdict.POOR, self.devices.mover(place), fix, shown, now_ms)
        return True

    def _cannot_show(self, side: int, fix: Seen, distances: int) -> bool:
        """Whether a fix is farther from whoever he is kept from than so many alert distances."""
        table, row = self.table, side >> 1
        partner = self.devices.mover(table.pairs[row][1 - (side & 1)])
        return not (partner.is_known and standing.may_show(partner, fix, distances * table.alert_of[row]))

    def _accept(
        self, columns: _Columns, which: IntArray, places: IntArray, now_ms: FloatArray, movers: FloatArray
    ) -> FloatArray:
        """The rows of the devices as they are now, by columns (19, n)."""
        self.counts["applied"] += int(which.size)
        if columns.some_ahead:
            self.counts["ahead"] += int(np.count_nonzero(columns.ahead.take(which)))
        points = columns.points.take(which, 1)
        if (moving := columns.batch["speed_cms"].take(which) >= MOVING_CMS).any():
            stands = (movers[moving, :3] == points[:, moving].T).all(axis=1)
            self.counts["frozen"] += int(np.count_nonzero(stands))
        at_ms, accuracy_m = columns.fix_ms.take(which), columns.accuracy_m.take(which)
        shown = columns.shown(which)
        self.table.quality.hear_many(places, movers, points, at_ms, accuracy_m, shown, now_ms)
        return self.devices.accept(places, movers, points, at_ms, accuracy_m, now_ms)

    def _judge_many(
        self,
        columns: _Columns,
        which: IntArray,
        own: FloatArray,
        sides: IntArray,
        of: IntArray,
        now_ms: FloatArray,
    ) -> None:
        """The pairs of fixes that were believed: those that have not left their guard band are only due later."""
        table, rows = self.table, sides >> 1
        partners = self.devices.rows.take(table.places.reshape(-1).take(sides ^ 1), 0).T
        if sides.size > which.size:
            own, now_ms = own.take(of, 1), now_ms.take(of)
        bands = table.bands.take(rows, 0).T
        quiet, due_ms = clear(own, partners, now_ms, bands)
        rest = np.flatnonzero(~quiet)
        if rest.size:
            quiet[rest], due_ms[rest] = kept_apart(
                own[:, rest], partners[:, rest], now_ms[rest], bands[:, rest], sides[rest] & 1
            )
        quiet &= table.phase.take(rows) == Phase.IN_FORCE
        still = rows[quiet]
        table.due_ms[still] = np.minimum(due_ms[quiet], table.until_ms.take(still))
        looks, last = np.flatnonzero(~quiet), -1
        for at in looks[np.lexsort((sides[looks], of[looks]))].tolist():  # all pairs of one fix, then its orders
            index = int(which[of[at]])
            if last not in {-1, index}:
                self._give_orders_for(columns, last)
            last = index
            self._judge_fix(index, int(sides[at]), Verdict.ACCEPTED, None, int(now_ms[at]), columns.taken(index))
        if last >= 0:
            self._give_orders_for(columns, last)
        if table.zones.any:
            self._judge_zones_of_many(columns, which, own, sides, of, now_ms)

    def _give_orders_for(self, columns: _Columns, index: int) -> None:
        if self.asking:
            place = int(columns.places[index])
            identity = self._identity(place, columns.taken(index))
            self._give_orders(index, int(columns.now_ms[index]), identity)

    # --- zones -------------------------------------------------------------------------------------------

    def _judge_zones(self, index: int, sides: Sequence[int], place: Vector, now_ms: int, taken: Taken) -> None:
        """After a believed fix of a device, for the measures whose wearer carries it."""
        for side in sides:
            row, is_mine = side >> 1, side & 1 == WEARER and self.table.phase_of[side >> 1] == Phase.IN_FORCE
            if is_mine and self.table.zones.has_left(row, place):
                self._watch_fix(index, row, now_ms, taken)

    def _judge_zones_of_many(
        self,
        columns: _Columns,
        which: IntArray,
        own: FloatArray,
        sides: IntArray,
        of: IntArray,
        now_ms: FloatArray,
    ) -> None:
        """The same by columns: who is in his ball, then who is in none of the zones, then the others."""
        table, rows = self.table, sides >> 1
        mine = np.flatnonzero((sides & 1 == WEARER) & (table.phase.take(rows) == Phase.IN_FORCE))
        mine = mine[table.zones.have_left(rows.take(mine), own[X:AT].take(mine, 1))]
        if not mine.size:
            return
        points = own[X:AT].take(mine, 1)
        try:
            rest = table.zones.rest(rows.take(mine), points, own[WAY].take(mine), now_ms.take(mine))
        except Exception:  # noqa: BLE001  whose zone it was comes out when they are asked one by one
            rest = np.zeros(mine.size, np.bool_)
        for at in mine[~rest].tolist():
            index = int(which[of[at]])
            self._watch_fix(index, int(rows[at]), int(now_ms[at]), columns.taken(index))

    def _watch_fix(self, index: int, row: int, now_ms: int, taken: Taken) -> None:
        device = self.table.roster.sides[2 * row + WEARER]
        self._watch(index, row, now_ms, lambda: fix_trigger(device, taken), by_fix=True)

    def _watch(self, index: int, row: int, now_ms: int, trigger: Callable[[], Trigger], *, by_fix: bool) -> None:
        """The zones of one row. Where they cannot be judged the pair is unprotected until they can, and its rings
        are judged all the same."""
        table = self.table
        if not table.zones.watched[row]:
            return
        try:
            made = zone_watch.judge(table, row, now_ms, trigger, by_fix=by_fix)
        except Exception as error:  # noqa: BLE001  the others must be judged, whatever it was
            table.zones.broken.add(row)
            table.zones.burst([row])
            table.until_of[row] = min(table.roster.orders[row].valid_until_ms, now_ms + ZONES_AGAIN_MS)
            self._break(index, row, now_ms, error)
            return
        table.zones.broken.discard(row)
        self.found.extend((index, row, one) for one in made)

    # --- one look ----------------------------------------------------------------------------------------

    def _look(self, index: int, row: int, now_ms: int, rules: Rules, trigger: Callable[[], Trigger]) -> None:
        """Ask the rules about one pair. Findings first, then the state: if the first fails, the second has not
        moved."""
        table, devices = self.table, self.devices
        wearer, protected = table.pairs[row]
        state = table.state(row)
        zone = state.zone
        look = Look(
            alert_m=table.alert_of[row],
            wearer=devices.mover(wearer),
            protected=devices.mover(protected),
            now_ms=now_ms,
            state=state,
            floor_m=authority.floor_m(table.roster.orders[row], now_ms),
            conditions=table.conditions_of(row),
        )
        seen = separation(look.wearer, look.protected, now_ms) if look.is_known else None
        rules(look, seen)
        attribute(look, seen)
        watch_crossings(look, seen)
        authority.judge_end(look)
        judge_conditions(look, seen)
        is_mended = row in table.broken and row not in table.zones.broken
        if is_mended and not state.degraded and Code.DEGRADED in state.opened:
            look.say(Code.DEGRADED, Change.EXIT, Reason.RESOLVED)
        if look.said:
            cause = trigger()
            made = [
                findings.finding(table, row, said, look, seen, zone, cause)
                for said in look.said
                if findings.is_news(state, said)
            ]
            self.found.extend((index, row, one) for one in made)
            if any((one.code, one.change) == (Code.UNCERTAIN, Change.ENTRY) for one in made):
                self._ask_for_a_fix(index, row, look, cause.identity)
        self._schedule(row, look, seen)
        if is_mended:
            table.broken.discard(row)
        self._settle(row, state)
        if look.said or table.protection_of[row] != _protection(look):
            self._stand(row, now_ms)

    def _schedule(self, row: int, look: Look, seen: Separation | None) -> None:
        until_ms = self.table.until_of[row]
        hour = standing.undisturbed_until_ms(look, seen) or min(silence.due_ms(look), standing.due_ms(look, seen))
        hour = min(hour, condition_codes.due_ms(look, seen))
        if hour < until_ms:
            whole_s = max(-floor(-hour / SECOND_MS), look.now_ms // SECOND_MS + 1)
            hour = float(SECOND_MS * whole_s)
        self.table.due_of[row] = min(hour, until_ms)

    def _settle(self, row: int, state: PairState) -> None:
        asked = self.table.asked[row]
        self.table.settle(row, state)
        if self.table.asked[row] != asked:
            self.asking.append(row)

    def _stand(self, row: int, now_ms: int) -> None:
        self.stood[row] = findings.standing(self.table, row, now_ms)

    @contextmanager
    def _contained(self, index: int, sides: Sequence[int], now_ms: int) -> Iterator[None]:
        """Whatever goes wrong inside makes these pairs unprotected and stops there (ARCHITECTURE, A10)."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  the others must be judged, whatever it was
            for side in sides:
                self._break(index, side >> 1, now_ms, error)

    def _break(self, index: int, row: int, now_ms: int, error: Exception) -> None:
        table = self.table
        findings.sound_state(table, row)
        if row not in table.broken:
            self.broken.append(f"{table.roster.orders[row].id}: {type(error).__name__}")
            table.broken.add(row)
            said = findings.broken_finding(table, row, now_ms)
            findings.remember_broken(table, row, said)
            self.found.append((index, row, said))
            self._stand(row, now_ms)
        table.refresh(row)
        table.due_ms[row] = table.until_ms[row] if table.until_ms[row] > now_ms else NEVER_MS

    # --- commands ----------------------------------------------------------------------------------------

    def _give_orders(self, index: int, now_ms: int, identity: Identity) -> None:
        """Tell the devices of the rows that ask something new, if it is news to them."""
        if not self.asking:
            return
        rows, self.asking = self.asking, []
        for place in sorted({place for row in rows for place in self.table.pairs[row]}):
            self.give_order(index, place, now_ms, identity)

    def give_order(self, index: int, place: int, now_ms: int, identity: Identity) -> None:
        table = self.table
        wanted_s = min(table.asked[side >> 1][side & 1] for side in table.sides_of[place])
        before = self.devices.mover(place)
        if table.takes_orders[place] and self.devices.rows[place, INTERVAL] != wanted_s:
            quality_hour.count(table.quality, self.devices, table.hers, now_ms, slice(place, place + 1))
        if table.takes_orders[place] and self.devices.tell(place, wanted_s, now_ms):
            self._order(index, place, wanted_s, now_ms, identity)
            hour = self._matters_ms(before, self.devices.mover(place), now_ms)
            for row in {side >> 1 for side in table.sides_of[place]}:
                if table.phase_of[row] == Phase.IN_FORCE:
                    table.due_of[row] = min(table.due_of[row], hour)

    @staticmethod
    def _matters_ms(before: Mover, after: Mover, now_ms: int) -> float:
        """The first whole second at which another interval can change anything: he is overdue, or lost, earlier;
        he was and is not any more; or at the hour at which he would have been, the clock may carry him in."""
        hours = [before.overdue_ms, after.overdue_ms, after.lost_ms(after.at_ms), after.lost_ms(after.heard_ms)]
        was_late = now_ms > before.overdue_ms or now_ms >= before.lost_ms(before.at_ms)
        hour = now_ms if was_late else min(hours)
        return float(SECOND_MS * max(ceil(hour / SECOND_MS), now_ms // SECOND_MS + 1))

    def release(self, before: PairTable) -> None:
        """Who has no measure here any more is asked for nothing more than FAR_S: another partition may still ask
        for more, and is told apart from this one by the downlink."""
        for place, device in enumerate(before.device_of):
            asked = before.takes_orders[place] and before.devices.rows[place, INTERVAL] < FAR_S
            if asked and device.number not in self.devices.place_of:
                now_ms = self.table.clock_ms
                order = findings.cadence_command(device, FAR_S, now_ms, ("released", now_ms))
                self.commands.append((0, order))

    def _order(self, index: int, place: int, interval_s: int, now_ms: int, identity: Identity) -> None:
        if self.table.takes_orders[place]:
            command = findings.cadence_command(self.table.device_of[place], interval_s, now_ms, identity)
            self.commands.append((index, command))

    def _ask_for_a_fix(self, index: int, row: int, look: Look, identity: Identity) -> None:
        """Of whoever makes the distance uncertain: the party that is not believed, or else the older fix."""
        older = WEARER if look.wearer.at_ms <= look.protected.at_ms else PROTECTED
        role = next(reversed(look.state.suspicions), older)
        place = self.table.pairs[row][role]
        if self.table.takes_orders[place]:
            command = findings.location_command(self.table.device_of[place], look.now_ms, identity)
            self.commands.append((index, command))


class _Columns:
    """A batch as the turns read it: hours and accuracies of all, places on the ellipsoid of those that are
    known."""

    def __init__(self, batch: Fixes, places: IntArray, clock_ms: int) -> None:
        self.batch, self.places = batch, places
        fix_ms, t3_ms, told_dm = batch["fix_ms"], batch["t3_ms"], batch["accuracy_dm"]
        self.fix_ms = np.minimum(fix_ms, t3_ms).astype(np.float64)
        self.now_ms = np.maximum(t3_ms, clock_ms).astype(np.float64)
        self.accuracy_m = accuracies_m(told_dm)
        self.present: Mask = (batch["flags"] & FixFlag.PRESENCE) != 0
        timely = (t3_ms - fix_ms <= LATE_MS) & ~self.present
        self.good: Mask = timely & (told_dm <= POOR_DM)
        self.poor: Mask = timely & ~self.good
        self.ahead: Mask = (fix_ms > t3_ms) & ~self.present
        self.some_ahead = bool(self.ahead.any())
        self.said = classes_of(batch)
        self.points: FloatArray = np.array(ecef(batch["lat_e6"], batch["lon_e6"]))

        self.skew_ms = skews_of(batch["sent_ms"], fix_ms, t3_ms)

    def shown(self, which: IntArray) -> ShownByMany:
        """What else they say, to judge the quality of their units."""
        speed_cms, source = (self.batch[name].take(which) for name in ("speed_cms", "source"))
        return ShownByMany(self.skew_ms.take(which), speed_cms, source, self.batch["accuracy_dm"].take(which) > 0)

    def taken(self, index: int) -> Taken:
        return taken_of(self.batch[index].item())


# --- rules in their order --------------------------------------------------------------------------------------


def _judge_believed(look: Look, seen: Separation | None, role: int) -> None:
    if seen is not None:
        standing.judge_rings(look, role, seen)
        judge_approach(look, seen)
        authority.judge_floor(look, seen)
        watch_quiet(look)
    silence.judge_silence(look)
    if seen is not None:
        standing.judge_certainty(look, seen, by_fix=True)
        tell(look, seen)


def _judge_unbelieved(
    look: Look, seen: Separation | None, role: int, verdict: Verdict, heard: Heard, valid_from_ms: int
) -> None:
    """A poor or implausible fix may be the truth; one that was overtaken may have seen what no other has; an old
    one is history."""
    partner, is_inside = look.movers[1 - role], False
    if verdict in DISBELIEVED and partner.is_known and not look.state.alert.inside:
        is_inside = standing.suspect(look, role, heard.fix, heard.told_dm)
    if verdict is Verdict.OUT_OF_ORDER and seen is not None and _is_straggler(heard, valid_from_ms):
        standing.reconsider(look, role, heard.fix)
    silence.judge_silence(look)
    if is_inside or look.state.alert.inside:  # a straggler's alert ends UNCERTAIN too
        standing.judge_certainty(look, seen, by_fix=False)


def _is_straggler(heard: Heard, valid_from_ms: int) -> bool:
    """Whether a fix that was overtaken is young, good and possible, and the measure was in force."""
    before, fix = heard.before, heard.fix
    newer = Seen(before.at_ms, before.place, before.accuracy_m)
    is_young = fix.at_ms >= before.at_ms - STRAGGLER_MAX_MS
    is_good = heard.told_dm <= POOR_DM and is_reachable(fix.place, fix.at_ms, fix.accuracy_m, newer)
    return is_young and is_good and fix.at_ms >= valid_from_ms


def _judge_hour(look: Look, seen: Separation | None) -> None:
    standing.judge_hour(look, seen)
    silence.judge_silence(look, by_clock=True)
    standing.judge_certainty(look, seen, by_fix=False)


def _judge_losses(look: Look, _: Separation | None) -> None:
    silence.judge_silence(look)


def _protection(look: Look) -> int:
    """What ``findings.protection`` says of a pair in force whose rules have just answered."""
    if not look.is_known:
        return UNPROTECTED
    return DEGRADED if look.state.degraded else PROTECTED_NOW


def _returns(before: Mover, now_ms: int) -> bool:
    """Whether a device is heard for the first time, or after so long that it may have missed what it was told."""
    return now_ms >= before.lost_ms(before.heard_ms)


def _shown(taken: Taken) -> Shown:
    skew_ms = skew_of(taken.sent_ms, taken.fix_ms, taken.t3_ms)
    return Shown(skew_ms, taken.speed_cms, taken.source, taken.accuracy_dm > 0)


def _first_of_each(values: IntArray, mark: IntArray) -> Mask:
    """Which of these numbers occur for the first time; ``mark`` has a place for each, with anything in it."""
    here = np.arange(values.size)
    mark[values[::-1]] = here[::-1]  # of several writes to one place the last stays
    first: Mask = mark.take(values) == here
    return first
