"""What does the passing hour change, between messages?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from geofence import quality_findings, zone_watch
from geofence.band import apart_until_ms, kept_apart
from geofence.findings import Trigger, clock_trigger, measure_trigger
from geofence.looks import SECOND_MS, Looks
from geofence.pair_state import PROTECTED, WEARER, Look, PairState
from geofence.pair_table import NEVER_MS, Phase
from geofence.rules import judge_believed, judge_hour
from geofence.separation import Separation
from tocsin.geodesy import IntArray

ZONES_AGAIN_MS: Final = 60_000  # where zones could not be judged: by then, or by the next fix


class Hours(Looks):
    """Looks that the clock, or a changed measure, is the cause of."""

    def tick(self) -> None:
        """Second by second: what one pair asks of a device holds for all of its pairs from the next second on."""
        due_ms, clock_ms = self.table.due_ms, self.table.clock_ms
        while (first_ms := due_ms.min(initial=np.inf)) <= clock_ms:
            rows = np.flatnonzero(due_ms == first_ms)
            hour_ms = int(first_ms) or SECOND_MS * (clock_ms // SECOND_MS)  # 0: since a new roster
            for row in self._not_apart(rows, hour_ms).tolist():
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

    def advance(self, index: int, sides: Sequence[int], now_ms: int) -> None:
        """The same for the pairs of one device, up to ``now_ms``: an order that one of them gives may make another
        due."""
        due_of = self.table.due_of
        for side in sides:
            if due_of[side >> 1] <= now_ms:
                break
        else:
            return
        rows = [side >> 1 for side in sides]
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
            self.found.extend((index, row, one) for one in zone_watch.ends_of_measure(table, row))
            self._settle(row, PairState())
            self._stand(row, order.valid_until_ms)
        elif table.phase[row] == Phase.WAITING:
            table.phase[row] = Phase.IN_FORCE
            quality_findings.look_at_new_measure(table, row, hour_ms)
            self._judge_measure(index, row, hour_ms)
        else:
            if hour_ms >= table.until_of[row]:
                self._watch(index, row, hour_ms, lambda: clock_trigger(hour_ms), by_fix=False)
            self._look(index, row, hour_ms, judge_hour, lambda: clock_trigger(hour_ms))

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
            judge_believed(look, seen, newest)

        self._watch(index, row, now_ms, lambda: measure_trigger(self.table, row, now_ms), by_fix=False)
        self._look(index, row, now_ms, rules, lambda: measure_trigger(self.table, row, now_ms))

    def _watch(self, index: int, row: int, now_ms: int, trigger: Callable[[], Trigger], *, by_fix: bool) -> None:
        """The hours and the zones of one row. Where they cannot be judged the pair is unprotected until they can,
        and its rings are judged all the same."""
        table = self.table
        if not table.heeds_hours(row):
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
