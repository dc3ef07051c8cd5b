"""Hard lives for the engine: people near the edges of the rings, heard badly.

A life is who is watched (``Cast``) and what happens (``Act``): one person sets off, turns, stops, and one message
of his is received, in order or late, twice, from elsewhere, without a place. Everything is drawn by Hypothesis
from few, telling values, so that what fails shrinks to a short story. Metres, milliseconds.
"""

from __future__ import annotations

import math
import random
from typing import Final, NamedTuple

import msgspec
import numpy as np
from hypothesis import strategies as st

from geofence import engine, snapshot
from geofence.pair_table import PairTable, Phase, Roster, roster_of
from tocsin.model.device import Device, DeviceKind
from tocsin.model.fix import FIX_DTYPE, FixFlag
from tocsin.model.geozone import Authorisation, Circle, GeoZone, Hours, Polygon, Schedule, ZoneKind
from tocsin.model.order import Order

T0_MS: Final = 1_795_219_200_000
LAT_E6, LON_E6 = 48_000_000, 2_000_000
METRES_PER_DEGREE: Final = 111_195.0
EAST: Final = METRES_PER_DEGREE * math.cos(math.radians(48.0))
NO_FIXES: Final = np.empty(0, FIX_DTYPE)
STRANGER: Final = 7

# (wearer, protected, alert distance in km, begins after s, ends after s)
Measure = tuple[int, int, int, float, float]
ALWAYS: Final = (0.0, math.inf)
CASTS: Final[tuple[dict[str, Measure], ...]] = (
    {"msr_a": (1, 2, 1, *ALWAYS)},
    {"msr_a": (1, 2, 1, *ALWAYS), "msr_b": (1, 3, 2, *ALWAYS)},
    {"msr_a": (1, 2, 1, *ALWAYS), "msr_b": (4, 2, 1, *ALWAYS), "msr_c": (5, 6, 1, 45.0, 300.5)},
    {"msr_a": (1, 2, 1, *ALWAYS), "msr_b": (1, 3, 2, 30.0, math.inf), "msr_c": (4, 2, 1, *ALWAYS),
     "msr_d": (5, 6, 1, *ALWAYS)},
)  # fmt: skip


class Cast(NamedTuple):
    """``apart_m``: how far from the origin each of the six is at first, she of number 2 stands there;
    ``interval_s``: at which their units report whatever they are told, None: they obey. ``armed``: every measure
    has ZONES and AUTHORISED."""

    measures: dict[str, Measure]
    apart_m: tuple[int, ...]
    interval_s: int | None
    armed: bool = False


class Act(NamedTuple):
    """Somebody's message, ``gap_ms`` after the one before. ``course``: from now on, relative to whom he is kept
    from; ``speed_m_s`` None: as before."""

    who: int
    gap_ms: int
    course: str
    speed_m_s: float | None
    kind: str
    delay_ms: int
    accuracy_dm: int


def _box(west_m: float, south_m: float, east_m: float, north_m: float) -> Polygon:
    corners = [(west_m, south_m), (east_m, south_m), (east_m, north_m), (west_m, north_m), (west_m, south_m)]
    return Polygon(
        rings=(
            tuple(
                (LON_E6 + round(1e6 * x / EAST), LAT_E6 + round(1e6 * y / METRES_PER_DEGREE)) for x, y in corners
            ),
        )
    )


def _saturday(from_min: int, until_min: int) -> Schedule:
    """Minutes of the day on which the lives begin, at its midnight."""
    return Schedule(time_zone="UTC", hours=(Hours(day=6, from_min=from_min, until_min=until_min),))


ZONES: Final = (
    GeoZone(id="home", kind=ZoneKind.CORE, shape=Circle(centre=(LON_E6, LAT_E6), radius_m=250), buffer_m=400),
    GeoZone(id="school", kind=ZoneKind.BAN, shape=_box(900, -300, 1_500, 400), schedule=_saturday(1, 7)),
    GeoZone(id="lodging", kind=ZoneKind.STAY, shape=_box(1_800, -2_000, 9_000, 2_000), schedule=_saturday(0, 10)),
)
AUTHORISED: Final = Authorisation(schedule=_saturday(3, 6), floor_m=500)

COURSES: Final = {"toward": 0.0, "away": math.pi, "past": 0.4, "across": math.pi / 2}
KNOTS_M: Final = (0, 300, 900, 1_000, 1_100, 1_500, 1_900, 2_000, 2_150, 2_600, 4_000, 4_500, 6_000, 8_500, 30_000)

casts = st.builds(
    Cast,
    st.sampled_from(CASTS),
    st.tuples(*[st.sampled_from(KNOTS_M)] * 6),
    st.sampled_from([None, None, 10, 30]),
)
acts = st.builds(
    Act,
    st.sampled_from([1, 1, 1, 1, 2, 2, 2, 3, 4, 5, 6, STRANGER]),
    st.sampled_from([0, 300, 1_000, 4_700, 5_000, 5_000, 10_000, 10_000, 10_000, 29_900, 61_000, 200_000]),
    st.sampled_from(["toward", "toward", "past", "across", "away"]),
    st.sampled_from([None, None, None, 0.0, 1.4, 6.0, 14.0, 28.0, 38.0, 60.0]),
    st.sampled_from(["fix"] * 10 + ["presence", "again", "jump", "beside", "ahead", "frozen"]),
    st.sampled_from([0, 700, 700, 700, 2_500, 20_000, 31_000, 95_000]),
    st.sampled_from([-1, 0, 50, 50, 50, 120, 400, 1_490, 1_501, 6_000]),
)
lives = st.lists(acts, min_size=2, max_size=40)


def roster(
    cast: Cast, *, factor: int = 1, without: str = "", lifted: bool = False, revoked: bool = False
) -> Roster:
    """``lifted``: no measure has zones any more; ``revoked``: nor authorised hours."""
    devices = {
        f"b{n:07d}": Device(
            id=f"b{n:07d}", number=n, kind=DeviceKind.WEARER, reports_every_s=cast.interval_s if n != 2 else None
        )
        for n in range(1, 7)
    }
    orders = [
        Order(
            id=name, version=factor + lifted + 2 * revoked, wearer=f"b{wearer:07d}", protected=f"b{protected:07d}",
            alert_distance_m=1000 * km * factor, valid_from_ms=T0_MS + round(1000 * from_s),
            valid_until_ms=2**61 if until_s == math.inf else T0_MS + round(1000 * until_s),
            zones=ZONES if cast.armed and not lifted else (),
            authorised=AUTHORISED if cast.armed and not revoked else None,
        )
        for name, (wearer, protected, km, from_s, until_s) in cast.measures.items()
        if name != without
    ]  # fmt: skip
    return roster_of(orders, devices, partition=0, partitions=1)


def messages(cast: Cast, life: list[Act], lon_e6: int = LON_E6) -> np.ndarray:
    """What is received, in the order of reception."""
    fixes = np.zeros(len(life), FIX_DTYPE)
    places = {n: _first(n, cast.apart_m[n - 1]) for n in range(1, 7)} | {STRANGER: (0.0, 0.0)}
    ways = dict.fromkeys(places, (0.0, 0.0))
    speeds = dict.fromkeys(places, 0.0)
    t3_ms = T0_MS + 100
    for seq, (one, act) in enumerate(zip(fixes, life, strict=True)):
        t3_ms += act.gap_ms
        for n, (x, y) in places.items():
            places[n] = x + ways[n][0] * act.gap_ms / 1000, y + ways[n][1] * act.gap_ms / 1000
        seen_m = _seen(act, places, ways)
        one["device"], one["seq"], one["accuracy_dm"], one["sent_ms"] = act.who, seq, act.accuracy_dm, -1
        one["fix_ms"] = t3_ms - act.delay_ms + (7_000 + act.delay_ms) * (act.kind == "ahead")
        one["t3_ms"], one["t4_ms"], one["speed_cms"] = t3_ms, t3_ms + 1, round(100 * speeds[act.who])
        one["lat_e6"], one["lon_e6"] = _microdegrees(seen_m, lon_e6)
        one["flags"] = FixFlag.PRESENCE if act.kind == "presence" else 0
        before = np.flatnonzero(fixes["device"][:seq] == act.who)
        if before.size and act.kind in {"again", "frozen"}:
            for name in ("lat_e6", "lon_e6") + ("fix_ms", "accuracy_dm") * (act.kind == "again"):
                one[name] = fixes[name][before[-1]]
        if act.speed_m_s is not None:
            speeds[act.who], ways[act.who] = act.speed_m_s, _way(act, places)
    return fixes


def _first(number: int, apart_m: int) -> tuple[float, float]:
    if number == 2:
        return 0.0, 0.0
    angle = (0.0, 0.0, 0.0, 0.3, 2.0, 2.0, 2.1)[number]
    return apart_m * math.cos(angle), apart_m * math.sin(angle)


def _partner(who: int) -> int:
    return {1: 2, 2: 1, 3: 1, 4: 2, 5: 6, 6: 5, STRANGER: 1}[who]


def _way(act: Act, places: dict[int, tuple[float, float]]) -> tuple[float, float]:
    (x, y), (px, py) = places[act.who], places[_partner(act.who)]
    course = math.atan2(py - y, px - x) + COURSES[act.course]
    return act.speed_m_s * math.cos(course), act.speed_m_s * math.sin(course)


def _seen(
    act: Act, places: dict[int, tuple[float, float]], ways: dict[int, tuple[float, float]]
) -> tuple[float, float]:
    """Where the fix says that he was when it was taken; a jump is 25 km away, or beside whom he is kept from."""
    if act.kind == "beside":
        x, y = places[_partner(act.who)]
        return x + 250.0, y
    age_s = act.delay_ms / 1000
    x, y = places[act.who]
    return x - ways[act.who][0] * age_s + 25_000.0 * (act.kind == "jump"), y - ways[act.who][1] * age_s


def _microdegrees(place_m: tuple[float, float], lon_e6: int) -> tuple[int, int]:
    east, north = place_m
    lon = lon_e6 + round(1e6 * east / EAST)
    return LAT_E6 + round(1e6 * north / METRES_PER_DEGREE), (lon + 180_000_000) % 360_000_000 - 180_000_000


# --- playing them ----------------------------------------------------------------------------------------------


class Played:
    """One table, and all that it said."""

    def __init__(self, cast: Cast, *, banded: bool = True) -> None:
        self.banded, self.steps, self.hour_ms = banded, list[engine.Step](), T0_MS
        self.table = PairTable(Roster())
        self.revise(roster(cast), T0_MS)

    def _took(self, step: engine.Step) -> engine.Step:
        assert not step.broken
        self.steps.append(step)
        return step

    def hear(self, batch: np.ndarray) -> None:
        """One batch; without the band the rules are asked about every fix (of a batch of one)."""
        if not self.banded:
            self.table.look_always()
        if batch.size:
            self._took(engine.step(self.table, batch, int(batch["t3_ms"][-1]) + 5))
            self._check_begun(int(batch["t3_ms"].max()))

    def tick(self, now_ms: int, *, everybody: bool = False) -> None:
        """``everybody``: also the pairs that are not due."""
        if everybody:
            in_force = self.table.phase == Phase.IN_FORCE
            self.table.due_ms[in_force] = np.minimum(self.table.due_ms[in_force], now_ms)
        if engine.is_due(self.table, now_ms):
            self._took(engine.step(self.table, NO_FIXES, now_ms))
        self._check_begun(now_ms)

    def _check_begun(self, now_ms: int) -> None:
        """No measure is in force before its time."""
        self.hour_ms = max(self.hour_ms, now_ms)
        for row, order in enumerate(self.table.roster.orders):
            assert self.table.phase[row] == Phase.WAITING or self.hour_ms >= order.valid_from_ms

    def revise(self, measures: Roster, now_ms: int) -> None:
        self.table, step = engine.revise(self.table, measures, now_ms)
        self._took(step)

    def restart(self) -> None:
        """As a worker comes back: the table from its snapshot, and the measures as they are."""
        measures = self.table.roster
        self.table = snapshot.load(self.kept()).table
        self.revise(measures, self.table.clock_ms)

    def by_the_second(
        self, fixes: np.ndarray, *, everybody: bool = False, at: int = -1, measures: Roster | None = None
    ) -> None:
        """One message at a time, and the clock on every whole second before it and for five minutes behind.
        ``measures``: from message ``at`` on."""
        next_s = T0_MS // 1000 + 1
        for index in range(fixes.size + 1):
            last = index == fixes.size
            until_s = next_s + 300 if last else int(fixes["t3_ms"][index]) // 1000
            for second in range(next_s, until_s + 1):
                self.tick(1000 * second, everybody=everybody)
            next_s = max(next_s, until_s + 1)
            if index == at and measures is not None:
                self.revise(measures, 1000 * next_s - 1000)
            self.hear(fixes[index : index + 1])

    # --- what is compared

    def said(self) -> bytes:
        """Findings and commands, in their order."""
        findings = [one for step in self.steps for one in step.findings]
        commands = [one for step in self.steps for one in step.commands]
        return msgspec.msgpack.encode((findings, commands))

    def stood(self) -> bytes:
        """The last standing of each measure."""
        last = {one.measure: one for step in self.steps for one in step.standings}
        return msgspec.msgpack.encode([last[name] for name in sorted(last)])

    def kept(self) -> bytes:
        return snapshot.dump(snapshot.Snapshot(table=self.table, sequence=0))

    def memory(self) -> tuple[object, ...]:
        """What the next decision follows from, without the bounds that only save work."""
        table, devices = self.table, self.table.devices
        arrays = (devices.rows, table.phase, table.protection, table.protection_ms)
        kept = (*(one.tobytes() for one in arrays), dict(devices.other), table.states, table.asked, table.broken)
        return (*kept, table.quality.pack(), table.said_ms.tobytes())


# --- long lives ------------------------------------------------------------------------------------------------


def long_life(seed: int, size: int = 150) -> tuple[Cast, list[Act]]:
    """More than Hypothesis would draw at once: reports in time, on roads, with the odd mishap; by a seed."""
    rng = random.Random(seed)
    measures = rng.choice(CASTS)
    numbers = sorted({who for wearer, protected, *_ in measures.values() for who in (wearer, protected)})
    cast = Cast(measures, tuple(rng.choice(KNOTS_M) for _ in range(6)), rng.choice((None, None, 10, 30)))
    life = [
        Act(
            who=rng.choice(numbers),
            gap_ms=rng.choice((0, 300, 700, 1_000, 1_500, 2_500, 2_500, 4_700, 5_000, 5_000, 10_000, 29_900)),
            course=rng.choice(("toward", "toward", "past", "across", "away")),
            speed_m_s=rng.choice((None,) * 8 + (0.0, 1.4, 6.0, 14.0, 28.0, 38.0)),
            kind=rng.choice(
                ("fix",) * 40 + ("presence", "presence", "again", "jump", "beside", "ahead", "frozen")
            ),
            delay_ms=rng.choice((700,) * 8 + (0, 2_500, 20_000, 31_000, 95_000)),
            accuracy_dm=rng.choice((50,) * 10 + (-1, 0, 120, 120, 400, 1_490, 1_501, 6_000)),
        )
        for _ in range(size)
    ]
    silent = rng.randrange(size)
    life[silent] = life[silent]._replace(gap_ms=rng.choice((61_000, 95_000, 200_000, 700_000)))
    return cast, life
