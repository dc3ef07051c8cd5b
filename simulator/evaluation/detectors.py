"""Who is judged? The engine as it is in production, and beside it the simple rules that such systems use.

A detector reads the messages of one session in the order of their reception and says, for each distance, when it
raised the alert. ``tocsin`` runs ``ingest``'s rule for late fixes and ``geofence.engine.step``, message by
message and second by second; the others are a dozen lines each, on a local plane:

* ``naive``: the last fix of each, a threshold, back at 1.1 times the distance. The floor to beat.
* ``hysteresis``: the same, and back only after EXIT_FIXES positions running outside the exit distance.
* ``accuracy_gate``: naive on the fixes that say they are good and do not jump.

``interval`` runs the rules proposed for the next engine, as they stand in ``simulator.evaluation.interval``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from geofence import engine
from geofence.pair_table import PairTable, Roster, roster_of
from simulator.evaluation.interval.change import Change as Changed
from simulator.evaluation.interval.change import Kind
from simulator.evaluation.interval.device import Seen, seen
from simulator.evaluation.interval.pair import Pair
from simulator.evaluation.scoring import Spoken
from simulator.evaluation.traces import PROTECTED, WEARER, Floats, Stream
from tocsin.clock import MS
from tocsin.geodesy import ecef
from tocsin.limits import EXIT_FIXES, EXIT_MARGIN_M, LATE_AFTER_S
from tocsin.model.device import Device, DeviceKind
from tocsin.model.finding import Change, Code
from tocsin.model.fix import ABSENT, FIX_DTYPE, Fixes
from tocsin.model.order import Order

Logs = dict[int, "Log"]
Detector = Callable[[Stream, Sequence[int]], Mapping[int, Spoken]]

PARTNER_AGE_MAX_S: Final = 180.0
BACK_FACTOR: Final = 1.1
METRES_PER_DEGREE: Final = (111_195.0, 111_320.0)  # north; east, times the cosine of the latitude
GATE_ACCURACY_DM: Final = 1_500
GATE_SPEED_M_S: Final = 50.0
NO_FIXES: Final = np.empty(0, FIX_DTYPE)
AFTERWARDS_S: Final = 600.0  # for so long after the last message ``interval`` still hears the clock


@dataclass(slots=True)
class Log:
    """What one detector says of one distance, as it says it: when something began and ended."""

    alerts_s: list[float] = field(default_factory=list)
    alert_ends_s: list[float] = field(default_factory=list)
    doubts_s: list[float] = field(default_factory=list)
    doubt_ends_s: list[float] = field(default_factory=list)
    degraded_s: list[float] = field(default_factory=list)
    degraded_ends_s: list[float] = field(default_factory=list)

    def spoken(self, end_s: float) -> Spoken:
        """What is still open ends with the session."""
        return Spoken(
            alerts_s=np.array(self.alerts_s, float),
            standing_s=_spans(self.alerts_s, self.alert_ends_s, end_s),
            doubt_s=_spans(self.doubts_s, self.doubt_ends_s, end_s),
            degraded_s=_spans(self.degraded_s, self.degraded_ends_s, end_s),
        )


def _spans(starts_s: list[float], ends_s: list[float], end_s: float) -> Floats:
    ends_s = ends_s + [end_s] * (len(starts_s) - len(ends_s))
    return np.array([starts_s, ends_s], float).T.reshape(-1, 2)


def spoken(logs: Logs, stream: Stream) -> dict[int, Spoken]:
    end_s = float(stream.received_ms[-1]) / MS + AFTERWARDS_S
    return {distance: log.spoken(end_s) for distance, log in logs.items()}


# --- the engine ----------------------------------------------------------------------------------------------


def tocsin(stream: Stream, distances_m: Sequence[int]) -> Mapping[int, Spoken]:
    """The engine on one pair of people, under one measure for each distance."""
    table = _table(stream, distances_m)
    logs: Logs = {distance: Log() for distance in distances_m}
    fixes = _fixes(stream)
    now_ms = int(stream.received_ms[0])
    for index in range(fixes.size):
        received_ms = int(stream.received_ms[index])
        for second_ms in range(_next_second(now_ms), received_ms, MS):
            if table.due_ms.min() <= second_ms:  # else the tick has nothing to say
                _note(engine.step(table, NO_FIXES, second_ms), second_ms, logs)
        now_ms = received_ms
        if received_ms - int(stream.fix_ms[index]) <= LATE_AFTER_S * MS:
            _note(engine.step(table, fixes[index : index + 1], now_ms), now_ms, logs)
    return spoken(logs, stream)


def _next_second(now_ms: int) -> int:
    return (now_ms // MS + 1) * MS


def _note(step: engine.Step, now_ms: int, logs: Logs) -> None:
    for finding in step.findings:
        if finding.code is Code.PROX_ALERT:
            log = logs[finding.threshold_m]
            (log.alerts_s if finding.change is Change.ENTRY else log.alert_ends_s).append(now_ms / MS)


def _table(stream: Stream, distances_m: Sequence[int]) -> PairTable:
    first_ms, last_ms = int(stream.received_ms[0]), int(stream.received_ms[-1])
    orders = [
        Order(
            id=f"msr_{distance}", version=1, wearer="wearer", protected="protected", alert_distance_m=distance,
            valid_from_ms=first_ms - LATE_AFTER_S * MS, valid_until_ms=last_ms + 24 * 3600 * MS,
        )
        for distance in distances_m
    ]  # fmt: skip
    devices = {
        "wearer": Device(id="wearer", number=1 + WEARER, kind=DeviceKind.WEARER),
        "protected": Device(id="protected", number=1 + PROTECTED, kind=DeviceKind.PROTECTED),
    }
    table, _ = engine.revise(PairTable(Roster()), roster_of(orders, devices, partition=0, partitions=1), first_ms)
    return table


def _fixes(stream: Stream) -> Fixes:
    fixes = np.zeros(stream.role.size, FIX_DTYPE)
    fixes["device"] = 1 + stream.role
    fixes["seq"] = np.arange(fixes.size)
    fixes["fix_ms"], fixes["t3_ms"], fixes["t4_ms"] = stream.fix_ms, stream.received_ms, stream.received_ms
    fixes["lat_e6"], fixes["lon_e6"] = _microdegrees(stream)
    fixes["accuracy_dm"] = stream.accuracy_dm
    for name in ("sent_ms", "speed_cms", "course_ddeg", "battery_pct"):
        fixes[name] = ABSENT
    return fixes


def _microdegrees(stream: Stream) -> tuple[Floats, Floats]:
    return np.round(stream.lat_e7 / 10), np.round(stream.lon_e7 / 10)


# --- the rules proposed for the next engine -------------------------------------------------------------------


def interval(stream: Stream, distances_m: Sequence[int]) -> Mapping[int, Spoken]:
    """Each distance by itself; between the messages the clock is heard when it is due."""
    fixes, received_s = _seen(stream), (stream.received_ms / MS).tolist()
    logs: Logs = {}
    for distance in distances_m:
        pair, said = Pair(alert_m=float(distance)), list[Changed]()
        for role, at_s, fix in zip(stream.role.tolist(), received_s, fixes, strict=True):
            said += _ticks(pair, at_s)
            said += pair.on_fix(role, at_s, fix, stream.period_s)
        said += _ticks(pair, received_s[-1] + AFTERWARDS_S)
        logs[distance] = _log(said)
    return spoken(logs, stream)


def _ticks(pair: Pair, until_s: float) -> Iterator[Changed]:
    while pair.due_s < until_s:
        yield from pair.on_tick(pair.due_s)


def _seen(stream: Stream) -> list[Seen]:
    """The fixes as admission would hand them on: places in whole microdegrees."""
    points = zip(*(axis.tolist() for axis in ecef(*_microdegrees(stream))), strict=True)
    told_m = [None if dm < 0 else dm / 10 for dm in stream.accuracy_dm.tolist()]
    return [seen(*one) for one in zip((stream.fix_ms / MS).tolist(), points, told_m, strict=True)]


def _log(said: Sequence[Changed]) -> Log:
    log = Log()
    kept = {
        Kind.ALERT: log.alerts_s, Kind.ALERT_LOW_CONFIDENCE: log.alerts_s, Kind.ALERT_END: log.alert_ends_s,
        Kind.UNCERTAIN: log.doubts_s, Kind.UNCERTAIN_END: log.doubt_ends_s,
        Kind.DEGRADED: log.degraded_s, Kind.DEGRADED_END: log.degraded_ends_s,
    }  # fmt: skip
    for at_s, kind in said:
        if kind in kept:
            kept[kind].append(at_s)
    return log


# --- simple rules --------------------------------------------------------------------------------------------


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
    return spoken(logs, stream)


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


DETECTORS: Final[Mapping[str, Detector]] = {
    "tocsin": tocsin,
    "interval": interval,
    "naive": naive,
    "hysteresis": hysteresis,
    "accuracy_gate": accuracy_gate,
}
