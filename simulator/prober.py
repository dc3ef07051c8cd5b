"""How well does a wearer learn where she is from the calls that he gets, and after how many is he found out? (F34)

The attacker knows d_A and where he is, and comes from another side each time, on a straight way that passes her at
up to AHEAD d_A, until his telephone rings or his courage ends; then he goes home. From the places of the calls he
fits hers by least squares, with the mean distance of a call at his disposal (a stronger attacker than there is),
and a weak belief that she lies ahead. The geofence is the real one, and so is the hour of the call; the operator
rings RING_S after he may. IMMINENT and an alert ring at once. Once PROBING is said, a crossing alone is not called
any more.

    python -m simulator.prober [TRIALS]

prints the median of his error behind each call, and the share of trials in which it stays above 1 km. Metres,
seconds.
"""

from __future__ import annotations

import sys
from cmath import rect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import cos, inf, pi, radians
from typing import Final

import numpy as np

from alerts.calls import NO_KEY, not_before_ms
from geofence import engine
from geofence.pair_table import PairTable, Roster, roster_of
from tocsin.clock import MS
from tocsin.model.command import Action
from tocsin.model.device import Device, DeviceKind
from tocsin.model.finding import Change, Code, Finding
from tocsin.model.fix import ABSENT, FIX_DTYPE, Fixes
from tocsin.model.order import Order

HER_LAT, HER_LON = 45.0, 3.0
METRES_PER_DEGREE: Final = 111_195.0
START_MS: Final = 1_795_219_200_000
BETWEEN_S: Final = 6 * 3600  # from one attempt to the next
RING_S: Final = 15  # an operator of the 30 s that he has
STARTS_AT: Final = 2.3  # of d_A
ATTEMPTS: Final = 4
AHEAD: Final = 1.5  # how far beside his way she may lie, of d_A
ACCURACY_M: Final = 8.0
KEY: Final = b"the key of a simulated dispatcher"
GRID: Final = 41
NOTHING: Final = np.empty(0, FIX_DTYPE)
TOWN_M: Final = 6000.0  # from her home to the edge of the town
KEPT_M: Final = 1000.0
HIS, HERS = 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Prober:
    """``step_m``, ``wait_s``: so far he goes at a time, and waits for a call; 0: he does not stop. ``dares``: how
    far he goes without having been called, of d_A; behind 1.3 he may be at the alert distance, a breach."""

    alert_m: int
    speed_m_s: float
    step_m: float = 0.0
    wait_s: float = 0.0
    dares: float = 9.0

    def walked_m(self, after_s: float) -> float:
        if not self.step_m:
            return self.speed_m_s * after_s
        turn_s = self.step_m / self.speed_m_s + self.wait_s
        steps, rest_s = divmod(after_s, turn_s)
        return self.step_m * steps + min(self.step_m, self.speed_m_s * rest_s)


@dataclass(slots=True)
class Learned:
    """One trial: where he was called, heading where, and how often behind each attempt; after how many crossings
    PROBING was said."""

    calls: list[tuple[complex, complex]] = field(default_factory=list)
    called: list[int] = field(default_factory=list)
    crossings: int = 0
    found_at: int | None = None


class _World:
    """The real geofence, one pair, second by second; she is at 0."""

    def __init__(self, alert_m: int, rng: np.random.Generator) -> None:
        devices = {
            "his": Device(id="his", number=HIS, kind=DeviceKind.WEARER),
            "hers": Device(id="hers", number=HERS, kind=DeviceKind.PROTECTED),
        }
        order = Order(
            id="msr_probed", version=1, wearer="his", protected="hers", alert_distance_m=alert_m,
            valid_from_ms=0, valid_until_ms=2**61,
        )  # fmt: skip
        roster = roster_of([order], devices, partition=0, partitions=1)
        self.table, _ = engine.revise(PairTable(Roster()), roster, START_MS)
        self.rng, self.interval_s = rng, {HIS: 60, HERS: 60}
        self.next_s = {HIS: 0.0, HERS: 0.0}

    def second(self, at_s: int, his: complex) -> list[Finding]:
        now_ms = START_MS + MS * at_s
        steps = [engine.step(self.table, NOTHING, now_ms)] if engine.is_due(self.table, now_ms) else []
        for number, place in ((HERS, 0j), (HIS, his)):
            if at_s >= self.next_s[number]:
                self.next_s[number] = at_s + self.interval_s[number]
                steps.append(engine.step(self.table, self._fix(number, place, now_ms), now_ms + 400))
        for command in (command for step in steps for command in step.commands):
            if command.action is Action.SET_CADENCE and command.interval_s is not None:
                number = HIS if command.device == "his" else HERS
                self.interval_s[number] = command.interval_s
                self.next_s[number] = min(self.next_s[number], at_s + command.interval_s)
        return [finding for step in steps for finding in step.findings]

    def _fix(self, number: int, place: complex, now_ms: int) -> Fixes:
        seen = place + complex(*self.rng.normal(0.0, ACCURACY_M / 1.515, 2))
        fix = np.zeros(1, FIX_DTYPE)
        fix["device"], fix["seq"], fix["fix_ms"], fix["sent_ms"] = number, now_ms // MS % 10**6, now_ms, now_ms
        fix["t3_ms"] = fix["t4_ms"] = now_ms + 400
        fix["lat_e6"] = round(1e6 * (HER_LAT + seen.imag / METRES_PER_DEGREE))
        fix["lon_e6"] = round(1e6 * (HER_LON + seen.real / METRES_PER_DEGREE / cos(radians(HER_LAT))))
        fix["accuracy_dm"], fix["speed_cms"] = round(10 * ACCURACY_M), ABSENT
        return fix


def trial(prober: Prober, key: bytes, seed: int) -> Learned:
    """ATTEMPTS from sides that divide the circle, each off by up to 20 degrees."""
    rng = np.random.default_rng(seed)
    world, learned, first = _World(prober.alert_m, rng), Learned(), rng.uniform(0.0, 2 * pi)
    at_s = 0
    for attempt in range(ATTEMPTS):
        side = rect(1.0, first + attempt * 2 * pi * 2 / 5 + rng.uniform(-0.35, 0.35))
        past = 1j * side * rng.uniform(-AHEAD, AHEAD) * prober.alert_m
        at_s = _attempt(prober, world, learned, key, at_s, STARTS_AT * prober.alert_m * side, past) + BETWEEN_S
        learned.called.append(len(learned.calls))
    return learned


def _attempt(
    prober: Prober, world: _World, learned: Learned, key: bytes, at_s: int, start: complex, goal: complex
) -> int:
    """In until he is called, or is past her; then out again. Returns the hour at which he is away."""
    heading, began_s, call_s, inside = (goal - start) / abs(goal - start), at_s, float("inf"), False
    turned_s, turned = float("inf"), 0.0
    while True:
        walked = (
            prober.walked_m(at_s - began_s) if at_s < turned_s else turned - prober.speed_m_s * (at_s - turned_s)
        )
        place = start + heading * walked
        if walked < 0.0:
            return at_s
        for finding in world.second(at_s, place):
            inside, call_s = _hears(learned, finding, key, at_s, inside, call_s)
        is_past = walked > min(abs(goal - start), prober.dares * prober.alert_m)
        if at_s < turned_s and (at_s >= call_s or is_past):
            if at_s >= call_s:
                learned.calls.append((place, heading))
            turned_s, turned, call_s = at_s, walked, float("inf")
        at_s += 1


def _hears(
    learned: Learned, finding: Finding, key: bytes, at_s: int, inside: bool, call_s: float
) -> tuple[bool, float]:
    """What the desk makes of a finding: whether he is in the ring, and when he is rung up."""
    came = finding.change is Change.ENTRY
    match finding.code:
        case Code.PROX_PREALERT:
            learned.crossings += came
            waits_ms = (not_before_ms(finding, key) or finding.at_ms) - START_MS
            may_be_called = came and learned.found_at is None
            return came, max(at_s, waits_ms / MS) + RING_S if may_be_called else float(
                "inf"
            ) if not came else call_s
        case Code.IMMINENT | Code.PROX_ALERT if came:
            return True, min(call_s, at_s + RING_S)
        case Code.PROBING if came:
            learned.found_at = learned.crossings
    return inside, call_s


# --- what he makes of it -------------------------------------------------------------------------------------


def estimate(calls: Sequence[tuple[complex, complex]], radius_m: float, alert_m: float) -> complex:
    """The best fit to calls, each ``radius_m`` from her, and she ahead of him: on a grid drawn ever finer."""
    places = np.array([place for place, _ in calls])
    ahead = np.array([place + radius_m * heading for place, heading in calls])
    centre, half_m = complex(ahead.mean()), 2.5 * alert_m
    while half_m > 10.0:
        line = np.linspace(-half_m, half_m, GRID)
        grid = centre + line[:, None] + 1j * line[None, :]
        misfit = sum((np.abs(grid - place) - radius_m) ** 2 for place in places)
        misfit = misfit + sum(np.abs(grid - one) ** 2 for one in ahead) / 400.0
        centre, half_m = complex(grid.reshape(-1)[int(misfit.argmin())]), half_m / 4
    return centre


def errors_m(prober: Prober, key: bytes, trials: int) -> tuple[list[list[float]], list[int | None]]:
    """His errors behind the first attempt, the second ...; inf before he was ever called. And after how many
    crossings he was found."""
    learned = [trial(prober, key, seed) for seed in range(trials)]
    every = [abs(place) for one in learned for place, _ in one.calls]
    radius_m = float(np.mean(every)) if every else 0.0
    behind: list[list[float]] = [[] for _ in range(ATTEMPTS)]
    for one in learned:
        for errors, count in zip(behind, one.called, strict=True):
            errors.append(abs(estimate(one.calls[:count], radius_m, prober.alert_m)) if count else inf)
    return behind, [one.found_at for one in learned]


# --- who is not looking for her ------------------------------------------------------------------------------


def ordinary_week(alert_m: int, home_at: float, seed: int) -> tuple[int, bool]:
    """He lives ``home_at`` d_A from her and drives, at 10 m/s and straight, to work and back on five days, twice
    to one shop, and every second day somewhere in the town (TOWN_M), never on a way that leads within 1.2 d_A of
    her. How often he came into the pre-alert ring, and whether PROBING was said of him."""
    rng = np.random.default_rng(seed)
    world, learned, at_s = _World(alert_m, rng), Learned(), 0
    home = complex(home_at * alert_m)
    work, shop = _somewhere(rng, home, alert_m), _somewhere(rng, home, alert_m)
    for day in range(7):
        away = [work] * (day < 5) + [shop] * (day in {2, 5}) + [_somewhere(rng, home, alert_m)] * (day % 2)
        for goal in away:
            for start, end in ((home, goal), (goal, home)):
                for second in range(int(abs(end - start) / 10.0) + 120):
                    passed = min(1.0, 10.0 * second / abs(end - start))
                    for finding in world.second(at_s + second, start + (end - start) * passed):
                        _hears(learned, finding, NO_KEY, at_s, inside=False, call_s=inf)
                at_s += 4 * 3600
    return learned.crossings, learned.found_at is not None


def _somewhere(rng: np.random.Generator, home: complex, alert_m: int) -> complex:
    while True:
        goal = complex(*rng.uniform(-TOWN_M, TOWN_M, 2))
        way = home + np.linspace(0.0, 1.0, 200) * (goal - home)
        if np.abs(way).min() > 1.2 * alert_m and abs(goal - home) > 300.0:
            return goal


PROBERS: Final = {
    "walks, turns in time": Prober(alert_m=0, speed_m_s=1.4, dares=0.8),
    "walks on": Prober(alert_m=0, speed_m_s=1.4),
    "walks 100 m, waits 11 min": Prober(alert_m=0, speed_m_s=1.4, step_m=100.0, wait_s=660.0, dares=0.8),
    "drives, turns in time": Prober(alert_m=0, speed_m_s=14.0, dares=0.8),
    "drives on": Prober(alert_m=0, speed_m_s=14.0),
}


def report(trials: int) -> Iterator[str]:
    yield f"| d_A | He | Called | Median error behind attempt 1 to {ATTEMPTS} | Above 1 km | Found at crossing |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for alert_m in (1000, 2000, 5000, 10_000):
        for name, kind in PROBERS.items():
            for how, key in (("at once", NO_KEY), ("at a drawn hour", KEY)):
                behind, found = errors_m(replace(kind, alert_m=alert_m), key, trials)
                medians = ", ".join(_metres(float(np.median(each))) for each in behind)
                kept = ", ".join(f"{np.mean(np.array(each) > KEPT_M):.0%}" for each in behind)
                yield f"| {alert_m // 1000} km | {name} | {how} | {medians} | {kept} | {_found(found)} |"


def ordinary(weeks: int) -> Iterator[str]:
    yield "| d_A | He lives | Pre-alerts a week | Weeks with PROBING |"
    yield "| --- | --- | --- | --- |"
    for alert_m in (1000, 2000):
        for home_at in (2.1, 3.0):
            lived = [ordinary_week(alert_m, home_at, seed) for seed in range(weeks)]
            crossings = np.mean([count for count, _ in lived])
            found = sum(found for _, found in lived)
            yield f"| {alert_m // 1000} km | {home_at} d_A away | {crossings:.1f} | {found} of {weeks} |"


def _metres(error_m: float) -> str:
    return "nothing" if error_m == inf else f"{error_m:,.0f} m"


def _found(found: Sequence[int | None]) -> str:
    """The median, and how many were not found."""
    never = sum(one is None for one in found)
    shown = [one for one in found if one is not None]
    return f"{np.median(shown):.0f}" + (f", {never} of {len(found)} never" if never else "") if shown else "never"


if __name__ == "__main__":
    for line in report(int(sys.argv[1]) if len(sys.argv) > 1 else 20):
        print(line)
    for line in ordinary(int(sys.argv[1]) if len(sys.argv) > 1 else 20):
        print(line)
