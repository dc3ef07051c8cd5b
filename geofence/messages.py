"""What does one message of one device change, for all its pairs?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from geofence import findings, standing
from geofence.assumptions import MOVING_CMS
from geofence.band import apart_until_ms, clear_until_ms
from geofence.devices import HEARD, Verdict, accuracy_of_m
from geofence.findings import Taken, clock_trigger, event_trigger, fix_trigger, taken_of
from geofence.hours import Hours
from geofence.looks import Identity
from geofence.motion import Mover, Seen, Vector
from geofence.pair_state import WEARER, Look
from geofence.pair_table import Phase
from geofence.quality import Shown, skew_of
from geofence.rules import DISBELIEVED, Heard, judge_believed, judge_losses, judge_unbelieved
from geofence.separation import Separation
from tocsin.geodesy import ecef_one
from tocsin.limits import PREALERT_FACTOR
from tocsin.model.fix import Fixes, FixFlag

PRESENCE: Final = int(FixFlag.PRESENCE)  # a plain number: a flag is slow to compare with
OUTCOMES: Final = tuple("applied" if one is Verdict.ACCEPTED else one.name.lower() for one in Verdict)


class Messages(Hours):
    """Looks that a message is the cause of, one message at a time."""

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
        try:
            if taken.flags & PRESENCE:
                self._be_present(index, place, taken, now_ms)
            else:
                self._hear(index, place, sides, taken, now_ms)
        except Exception as error:  # noqa: BLE001  the others must be judged, whatever it was
            self._break_all(index, sides, now_ms, error)

    def _hear(self, index: int, place: int, sides: Sequence[int], taken: Taken, now_ms: int) -> None:
        """A message with a position."""
        table, devices, told_dm = self.table, self.devices, taken.accuracy_dm
        before, point = devices.mover(place), ecef_one(taken.lat_e6, taken.lon_e6)
        fix = Seen(float(min(taken.fix_ms, taken.t3_ms)), point, accuracy_of_m(told_dm))
        verdict = devices.hear(place, before, fix, float(now_ms), told_dm=told_dm, received_ms=float(taken.t3_ms))
        is_believed = verdict is Verdict.ACCEPTED
        self.counts[OUTCOMES[verdict]] += 1
        self.counts["ahead"] += taken.fix_ms > taken.t3_ms
        self.counts["frozen"] += is_believed and point == before.place and taken.speed_cms >= MOVING_CMS
        table.quality.hear_one(place, verdict, before, fix, shown_of(taken), now_ms)
        for side in sides:
            if is_believed:
                if not self._is_apart(index, side, now_ms):
                    self._judge_fix(index, side, verdict, None, now_ms, lambda: taken)
            elif not self._says_nothing(side, verdict, fix, now_ms):
                heard = Heard(before, fix, told_dm, float(taken.t3_ms))
                self._judge_fix(index, side, verdict, heard, now_ms, lambda: taken)
        if is_believed and _returns(before, now_ms):
            self._order(index, place, int(before.interval_s), now_ms, self._identity(place, taken))
        if taken.telemetry:
            self._heed(index, place, before, taken, now_ms, fix, verdict)
        if self.asking:
            self._give_orders(index, now_ms, self._identity(place, taken))
        if table.zones.any and is_believed:
            self._judge_zones(index, sides, point, now_ms, taken)

    def _is_apart(self, index: int, side: int, now_ms: int) -> bool:
        """Whether the pair has not left its guard band; then it is only due later, or has changed slightly."""
        table, row = self.table, side >> 1
        if table.phase_of[row] != Phase.IN_FORCE:
            return False
        role, pair = side & 1, table.pairs[row]
        own, partner = self.devices.mover(pair[role]), self.devices.mover(pair[1 - role])
        band, hour = table.band(row), float(now_ms)
        until_ms = clear_until_ms(own, partner, hour, band) or apart_until_ms(own, partner, hour, band, role)
        if until_ms:
            table.due_of[row] = min(until_ms, table.until_of[row])
            return True
        until_ms = apart_until_ms(own, partner, hour, band, role, slight=True)
        if not until_ms:
            return False
        table.due_of[row] = min(until_ms, table.until_of[row])
        return self._look_slightly(index, row, now_ms)

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

    def _cannot_show(self, side: int, fix: Seen, distances: int) -> bool:
        """Whether a fix is farther from whoever he is kept from than so many alert distances."""
        table, row = self.table, side >> 1
        partner = self.devices.mover(table.pairs[row][1 - (side & 1)])
        return not (partner.is_known and standing.may_show(partner, fix, distances * table.alert_of[row]))

    def _heed(
        self, index: int, place: int, before: Mover, taken: Taken, now_ms: int, fix: Seen | None = None,
        verdict: Verdict = Verdict.PRESENCE,
    ) -> None:  # fmt: skip
        """What the message says of its unit, for all its pairs, if it is anything new."""
        table, device = self.table, self.table.device_of[place]
        report = findings.report_of(device, taken, before, now_ms, fix, verdict)
        if not table.conditions.is_other(place, report.said):
            return
        if table.conditions.hear(place, report):
            for row in (side >> 1 for side in table.sides_of[place]):
                if table.phase_of[row] == Phase.IN_FORCE:
                    with self._contained(index, (2 * row,), now_ms):
                        self._look(index, row, now_ms, judge_losses, lambda: event_trigger(device, taken))

    def _identity(self, place: int, taken: Taken) -> Identity:
        return findings.identity_of_fix(self.table.device_of[place], taken)

    def _be_present(self, index: int, place: int, taken: Taken, now_ms: int) -> None:
        """A message without a position: while the last fix is young it says nothing about any pair."""
        self.counts["presence"] += 1
        before = self.devices.mover(place)
        self.devices.rows[place, HEARD] = max(before.heard_ms, now_ms)
        if now_ms >= before.lost_ms(before.at_ms) or self.devices.missed[place]:
            for side in self.table.sides_of[place]:
                if self.table.phase_of[side >> 1] == Phase.IN_FORCE:
                    self._look(index, side >> 1, now_ms, judge_losses, lambda: clock_trigger(now_ms))
        if taken.telemetry:
            self._heed(index, place, before, taken, now_ms)

    def _judge_fix(
        self,
        index: int,
        side: int,
        verdict: Verdict,
        heard: Heard | None,
        now_ms: int,
        taken: Callable[[], Taken],
    ) -> None:
        """``heard`` None: ACCEPTED without a thought. ``taken``: the message, for what is said because of it."""
        table, row, role = self.table, side >> 1, side & 1
        if table.phase_of[row] != Phase.IN_FORCE:
            return
        valid_from_ms = table.roster.orders[row].valid_from_ms

        def rules(look: Look, seen: Separation | None) -> None:
            if verdict is Verdict.ACCEPTED:
                judge_believed(look, seen, role)
            else:
                assert heard is not None
                judge_unbelieved(look, seen, role, verdict, heard, valid_from_ms)

        try:
            self._look(index, row, now_ms, rules, lambda: fix_trigger(table.roster.sides[side], taken()))
        except Exception as error:  # noqa: BLE001  the others must be judged, whatever it was
            self._break(index, row, now_ms, error)

    def _judge_zones(self, index: int, sides: Sequence[int], place: Vector, now_ms: int, taken: Taken) -> None:
        """After a believed fix of a device, for the measures whose wearer carries it."""
        for side in sides:
            row, is_mine = side >> 1, side & 1 == WEARER and self.table.phase_of[side >> 1] == Phase.IN_FORCE
            if is_mine and self.table.zones.has_left(row, place):
                self._watch_fix(index, row, now_ms, taken)

    def _watch_fix(self, index: int, row: int, now_ms: int, taken: Taken) -> None:
        device = self.table.roster.sides[2 * row + WEARER]
        self._watch(index, row, now_ms, lambda: fix_trigger(device, taken), by_fix=True)


def _returns(before: Mover, now_ms: int) -> bool:
    """Whether a device is heard for the first time, or after so long that it may have missed what it was told."""
    return now_ms >= before.lost_ms(before.heard_ms)


def shown_of(taken: Taken) -> Shown:
    skew_ms = skew_of(taken.sent_ms, taken.fix_ms, taken.t3_ms)
    return Shown(skew_ms, taken.speed_cms, taken.source, taken.accuracy_dm > 0)
