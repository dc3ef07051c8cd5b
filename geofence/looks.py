"""What does one look at one pair do to the table, and what is said and ordered because of it?

A look asks rules about one pair, makes findings of what they say, writes the state that they left and finds the
hour of the next look. Whatever goes wrong inside makes that pair unprotected and stops there (ARCHITECTURE, A10).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import ceil, floor
from typing import Final

from msgspec.structs import replace

from geofence import authority, condition_codes, findings, quality_hour, silence, standing
from geofence.approach import course_of, forget_course
from geofence.assumptions import FAR_S
from geofence.attribution import attribute, begin_leg
from geofence.cadence import pace
from geofence.condition_codes import judge_conditions
from geofence.devices import INTERVAL
from geofence.findings import Trigger
from geofence.motion import Mover
from geofence.outcome import Counts, Step
from geofence.pair_state import PROTECTED, WEARER, Look, PairState, Reason
from geofence.pair_table import NEVER_MS, PROTECTIONS, QUIET, UNPROTECTED, PairTable, Phase
from geofence.probing import watch_crossings
from geofence.separation import Separation, separation
from tocsin.model.command import Command
from tocsin.model.finding import Change, Code, Finding
from tocsin.model.standing import Protection, Standing

PROTECTED_NOW: Final = PROTECTIONS.index(Protection.PROTECTED)
DEGRADED: Final = PROTECTIONS.index(Protection.DEGRADED)
SECOND_MS: Final = 1000

Identity = tuple[str | int, ...]
Rules = Callable[[Look, Separation | None], None]


class Looks:
    """One call of ``engine.step``: collects what is found with its place in the order, and what broke."""

    def __init__(self, table: PairTable) -> None:
        self.table = table
        self.devices = table.devices
        self.counts = dict.fromkeys(Counts.__struct_fields__, 0)
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

    def _look(self, index: int, row: int, now_ms: int, rules: Rules, trigger: Callable[[], Trigger]) -> None:
        """Ask the rules about one pair. Findings first, then the state: if the first fails, the second has not
        moved."""
        table, devices = self.table, self.devices
        wearer, protected = table.pairs[row]
        state = table.state(row)
        zone, course = state.zone, state.course
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
        forget_course(state)
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
        if look.said or state.course != course or table.protection_of[row] != _protection(look):
            self._stand(row, now_ms)

    def _look_slightly(self, index: int, row: int, now_ms: int) -> bool:
        """A look at a pair of which a fix can have changed nothing but how often it is to report, in no ring, or
        the mark of its course, in the pre-alert ring; False if it takes a whole one."""
        kept = self.table.states.get(row, QUIET)
        change = self._set_mark if kept.prealert.inside else self._set_pace
        if change is self._set_pace and kept.probing_ms is not None:  # the first fix behind a spell ends it
            return False
        try:
            change(row, kept, now_ms)
        except Exception as error:  # noqa: BLE001  the others must be judged, whatever it was
            self._break(index, row, now_ms, error)
        return True

    def _set_pace(self, row: int, kept: PairState, now_ms: int) -> None:
        table, (wearer, protected) = self.table, self.table.pairs[row]
        movers = self.devices.mover(wearer), self.devices.mover(protected)
        new = pace(kept, table.alert_of[row], now_ms, separation(*movers, now_ms))
        if new != (kept.interval_s, kept.relax_ms):
            state = table.state(row)
            state.interval_s, state.relax_ms = new
            begin_leg(state, movers, now_ms, crossed=False)
            self._settle(row, state)

    def _set_mark(self, row: int, kept: PairState, now_ms: int) -> None:
        wearer, protected = self.table.pairs[row]
        seen = separation(self.devices.mover(wearer), self.devices.mover(protected), now_ms)
        if (course := course_of(kept.course, now_ms, seen)) != kept.course:
            self._settle(row, replace(kept, course=course))
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
            self._break_all(index, sides, now_ms, error)

    def _break_all(self, index: int, sides: Sequence[int], now_ms: int, error: Exception) -> None:
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
        if not table.takes_orders[place] or before.interval_s == wanted_s:
            return
        quality_hour.count_one(table.quality, place, before, now_ms, is_hers=bool(table.is_hers[place]))
        self.devices.tell(place, wanted_s, now_ms)
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
        """Of whoever makes the distance uncertain: the party that is not believed, or else the older fix; and of
        the wearer always. Asked only when the doubt is not about her, he could read from it which it is, and that
        follows from her place (invariant 5)."""
        older = WEARER if look.wearer.at_ms <= look.protected.at_ms else PROTECTED
        role = next(reversed(look.state.suspicions), older)
        for place in {self.table.pairs[row][WEARER]: None, self.table.pairs[row][role]: None}:
            if self.table.takes_orders[place]:
                command = findings.location_command(self.table.device_of[place], look.now_ms, identity)
                self.commands.append((index, command))


def _protection(look: Look) -> int:
    """What ``findings.protection`` says of a pair in force whose rules have just answered."""
    if not look.is_known:
        return UNPROTECTED
    return DEGRADED if look.state.degraded else PROTECTED_NOW
