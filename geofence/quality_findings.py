"""Which measures hear that a unit cannot be believed, and when is that over?

What is the matter belongs to a device (``geofence.quality``); it is said for each of its measures in force, and
for a measure that begins later, when it begins. Of two units of one measure with the same trouble both beginnings
are said and one end, when neither has it any more: an alert of the desk is one of (code, measure). A measure that
ends takes its findings with it without a word, as it does with all others.

Who was told when is ``said_ms`` of the table (sides, codes), 0 for nobody. The name of a finding follows from the
measure, the code, whose unit it is, and the second of the tick that found it: the same for each replay of the
journal.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from geofence import quality_hour
from geofence.findings import fix_point
from geofence.pair_state import Reason
from geofence.pair_table import QUIET, PairTable, Phase
from geofence.quality import AT_REST, CODES, LOW, MINUTE_MS, MOVING, SECOND_MS, SKEWED
from tocsin.model.finding import Change, Code, Finding
from tocsin.model.fix import ClockPoints
from tocsin.model.ids import derived

BEGINS: Final = {
    Code.FROZEN_FIX: {MOVING: Reason.REPEATED_MOVING, AT_REST: Reason.REPEATED_FOR_HOURS},
    Code.LOW_YIELD: {1: Reason.FIXES_MISSING},
    Code.V_NOT_CARRIED: {1: Reason.STILL_8_HOURS},
    Code.CLOCK_SKEW: {1: Reason.CLOCK_OFF},
}
ENDS: Final = {
    Code.FROZEN_FIX: Reason.MOVES_AGAIN,
    Code.LOW_YIELD: Reason.FIXES_BACK,
    Code.V_NOT_CARRIED: Reason.MOVES_AGAIN,
    Code.CLOCK_SKEW: Reason.CLOCK_RIGHT,
}


def judge(table: PairTable) -> list[tuple[int, Finding]]:
    """At the hour of a tick: what began or ended, with the row of its measure."""
    if not is_due(table, table.clock_ms):
        return []
    quality, minute_ms = table.quality, MINUTE_MS * (table.clock_ms // MINUTE_MS)
    if minute_ms > quality.hour_ms:
        quality_hour.judge_hour(quality, table.devices, table.hers, minute_ms)
    quality.due_ms = float(quality.hour_ms + MINUTE_MS)
    return _tell(table, SECOND_MS * (table.clock_ms // SECOND_MS))


def is_due(table: PairTable, now_ms: int) -> bool:
    return table.quality.due_ms <= now_ms


def look_at_new_measure(table: PairTable, row: int, hour_ms: int) -> None:
    """What is the matter with its units is news to a measure that begins: for this tick, or the next one. When it
    is told must not follow from what else there is to look at in the partition."""
    if (table.quality.found[table.places[row]] > 0).any():
        table.quality.due_ms = min(table.quality.due_ms, float(hour_ms))


def _tell(table: PairTable, hour_ms: int) -> list[tuple[int, Finding]]:
    is_now = table.quality.found.take(table.places.reshape(-1), 0) > 0
    in_force = np.repeat(table.phase == Phase.IN_FORCE, 2)
    table.said_ms[~in_force] = 0
    said = table.said_ms > 0
    told: list[tuple[int, Finding]] = []
    for side, which in np.argwhere((is_now != said) & in_force[:, None]).tolist():
        one = (_begin if is_now[side, which] else _end)(table, side, which, hour_ms)
        if one is not None:
            told.append((side >> 1, one))
    return told


def _begin(table: PairTable, side: int, which: int, hour_ms: int) -> Finding:
    place = table.pairs[side >> 1][side & 1]
    reason = BEGINS[CODES[which]][int(table.quality.found[place, which])]
    table.said_ms[side, which] = hour_ms
    name = _name(table, side, which, Change.ENTRY, hour_ms)
    return _finding(table, side, which, reason, name, Change.ENTRY, hour_ms, hour_ms)


def _end(table: PairTable, side: int, which: int, hour_ms: int) -> Finding | None:
    began_ms, table.said_ms[side, which] = int(table.said_ms[side, which]), 0
    if table.said_ms[side ^ 1, which]:
        return None  # the other unit of the measure still has it
    entry = _name(table, side, which, Change.ENTRY, began_ms)
    return _finding(table, side, which, ENDS[CODES[which]], entry, Change.EXIT, began_ms, hour_ms)


def _name(table: PairTable, side: int, which: int, change: Change, hour_ms: int) -> str:
    """Of whose unit it is, and not of which: an exit names its entry also when the unit was exchanged."""
    return derived("fnd", table.roster.orders[side >> 1].id, CODES[which].value, change.value, side & 1, hour_ms)


def _finding(
    table: PairTable,
    side: int,
    which: int,
    reason: Reason,
    entry: str,
    change: Change,
    began_ms: int,
    hour_ms: int,
) -> Finding:
    row, place = side >> 1, table.pairs[side >> 1][side & 1]
    order, zone, quality = table.roster.orders[row], table.states.get(row, QUIET).zone, table.quality
    received, expected = quality_hour.window(quality, slice(place, place + 1))
    return Finding(
        id=_name(table, side, which, change, hour_ms), measure=order.id, order_version=order.version,
        code=CODES[which], change=change, before=zone, after=zone, distance_dm=None,
        threshold_m=order.alert_distance_m, wearer=fix_point(table, table.pairs[row][0]),
        protected=fix_point(table, table.pairs[row][1]), entry=entry, entry_ms=began_ms, at_ms=hour_ms,
        reason=reason.value, points=ClockPoints(), device=table.device_of[place].id,
        skew_ms=int(quality.skew_ms[place]) if which == SKEWED else None,
        received=int(received[0]) if which == LOW else None,
        expected=round(float(expected[0])) if which == LOW else None,
    )  # fmt: skip
