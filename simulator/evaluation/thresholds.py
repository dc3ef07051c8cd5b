"""What would the simple rules have said that such systems use? A dozen lines each, on a local plane.

* ``naive``: the last fix of each, a threshold, back at 1.1 times the distance. The floor to beat.
* ``hysteresis``: the same, and back only after EXIT_FIXES positions running outside the exit distance.
* ``accuracy_gate``: naive on the fixes that say they are good and do not jump.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from simulator.evaluation.said import AFTERWARDS_S, Log, Logs, spoken
from simulator.evaluation.scoring import Spoken
from simulator.evaluation.traces import Stream
from tocsin.clock import MS
from tocsin.limits import EXIT_FIXES, EXIT_MARGIN_M

PARTNER_AGE_MAX_S: Final = 180.0
BACK_FACTOR: Final = 1.1
METRES_PER_DEGREE: Final = (111_195.0, 111_320.0)  # north; east, times the cosine of the latitude
GATE_ACCURACY_DM: Final = 1_500
GATE_SPEED_M_S: Final = 50.0


def naive(stream: Stream, distances_m: Sequence[int]) -> Mapping[int, Spoken]:
    return _threshold(stream, distances_m, gated=False, back_after=1, back_m=lambda d: BACK_FACTOR * d)


def hysteresis(stream: Stream, distances_m: Sequence[int]) -> Mapping[int, Spoken]:
    return _threshold(
        stream, distances_m, gated=False, back_after=EXIT_FIXES,
        back_m=lambda d: max(BACK_FACTOR * d, d + EXIT_MARGIN_M),
    )  # fmt: skip


def accuracy_gate(stream: Stream, distances_m: Sequence[int]) -> Mapping[int, Spoken]:
    return _threshold(stream, distances_m, gated=True, back_after=1, back_m=lambda d: BACK_FACTOR * d)


def _threshold(
    stream: Stream, distances_m: Sequence[int], *, gated: bool, back_after: int, back_m: Callable[[int], float]
) -> Mapping[int, Spoken]:
    north, east = _plane(stream)
    fix_s, received_s = stream.fix_ms / MS, stream.received_ms / MS
    last: list[tuple[float, float, float] | None] = [None, None]
    outside = dict.fromkeys(distances_m, back_after)  # so many positions running; inside when fewer
    logs: Logs = {distance: Log() for distance in distances_m}
    for index, role in enumerate(stream.role.tolist()):
        fix = (float(fix_s[index]), float(east[index]), float(north[index]))
        mine, other = last[role], last[1 - role]
        if (mine is None or fix[0] >= mine[0]) and not (gated and _is_poor(stream, index, mine, fix)):
            last[role] = mine = fix
        if mine is None or other is None or abs(mine[0] - other[0]) > PARTNER_AGE_MAX_S:
            continue
        apart_m = math.hypot(mine[1] - other[1], mine[2] - other[2])
        for distance in distances_m:
            if outside[distance] >= back_after and apart_m < distance:
                outside[distance] = 0
                logs[distance].alerts_s.append(float(received_s[index]))
            elif outside[distance] < back_after:
                outside[distance] = outside[distance] + 1 if apart_m > back_m(distance) else 0
                if outside[distance] >= back_after:
                    logs[distance].alert_ends_s.append(float(received_s[index]))
    return spoken(logs, int(stream.received_ms[-1]) + AFTERWARDS_S * MS)


def _plane(stream: Stream) -> tuple[np.ndarray, np.ndarray]:
    """Metres north and east, good to a few in a thousand over the walk of a session."""
    lat, lon = stream.lat_e7 / 1e7, stream.lon_e7 / 1e7
    return lat * METRES_PER_DEGREE[0], lon * METRES_PER_DEGREE[1] * math.cos(math.radians(float(lat.mean())))


def _is_poor(
    stream: Stream, index: int, before: tuple[float, float, float] | None, fix: tuple[float, float, float]
) -> bool:
    if stream.accuracy_dm[index] > GATE_ACCURACY_DM:
        return True
    if before is None or fix[0] <= before[0]:
        return False
    return math.hypot(fix[1] - before[1], fix[2] - before[2]) / (fix[0] - before[0]) > GATE_SPEED_M_S
