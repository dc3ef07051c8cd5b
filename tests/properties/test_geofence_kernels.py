"""Each kernel for many is the rule for one: bit for bit where it decides, a bound where it only saves work."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from geofence import silence, standing
from geofence.assumptions import ALERT_S, FORGET_MS, NEAR_S, PREALERT_S, SETTLED_MS
from geofence.band import apart_until_ms, clear, clear_until_ms, kept_apart, may_show
from geofence.devices import NEWLY, DeviceTable, Verdict
from geofence.motion import Mover, Seen, movement, movements, overdue_from
from geofence.pair_state import INSIDE, PairState
from geofence.pair_table import ALWAYS_LOOK, band_of
from geofence.quality import QualityTable
from geofence.quality_hour import count, count_one
from geofence.remembered import Course
from geofence.separation import (
    age_s_of,
    blind_not_before_ms,
    lower_m,
    overdue_since_ms,
    separation,
    slack_m,
    sure_variance_m2,
    upper_m,
    variance_of_m2,
)

NOW_MS = 1_795_219_200_000.0
RADIUS_M = 6_378_137.0

metres = st.one_of(st.just(0.0), st.just(-0.0), st.floats(-3_000, 3_000).filter(lambda m: abs(m) > 1e-9))
"""No difference between two places on the ellipsoid is less than a nanometre and not nothing."""
ways = st.tuples(metres, metres, metres)
accuracies = st.sampled_from([1.0, 5.0, 12.05, 40.0, 150.0])
ages_ms = st.one_of(st.sampled_from([0, 1, 99, 5_000, 30_000, 95_000]), st.integers(0, 900_000))


def moved(
    x_m: float, way: tuple[float, float, float], age_ms: int, dt_ms: int, told: tuple[float, int, float]
) -> Mover:
    """Seen twice, ``dt_ms`` apart, the second time at ``x_m`` along the coast of Gabon; given its interval an hour
    ago, or since it was seen."""
    accuracy_m, interval_s, told_share = told
    place = (RADIUS_M, x_m, 0.0)
    before = tuple(here - step for here, step in zip(place, way, strict=True))
    walked = tuple(here - there for here, there in zip(place, before, strict=True))
    of, speed, way_m = movement(walked, float(dt_ms), accuracy_m, accuracy_m)
    at_ms = NOW_MS - age_ms
    told_ms = at_ms + told_share * age_ms // 1 if told_share else NOW_MS - 3_600_000.0
    last = (*place, at_ms, accuracy_m, at_ms, float(interval_s), at_ms)
    overdue_ms = overdue_from(at_ms, told_ms, interval_s)
    return Mover(*last, *before, at_ms - dt_ms, *of, speed, told_ms, way_m, overdue_ms)


def reporting_every(*intervals_s: int) -> st.SearchStrategy[Mover]:
    told = st.tuples(accuracies, st.sampled_from(intervals_s), st.sampled_from([0.0, 0.0, 0.5, 1.0]))
    places_m = st.floats(0, 40_000) | st.floats(900, 2_300)
    return st.builds(moved, places_m, ways, ages_ms, st.integers(1, 200_000), told)


movers = reporting_every(5, 10, 30, 60)
states = st.sampled_from(
    [
        PairState(),
        PairState(interval_s=NEAR_S),
        PairState(interval_s=PREALERT_S),
        PairState(interval_s=NEAR_S, relax_ms=int(NOW_MS) - 20_000),
        PairState(prealert=INSIDE, interval_s=PREALERT_S),
        PairState(prealert=INSIDE, interval_s=PREALERT_S, imminent=True),
        *(
            PairState(prealert=INSIDE, interval_s=PREALERT_S, imminent=imminent, course=Course(0, mark_dm, None))
            for imminent in (False, True)
            for mark_dm in (12_000, 19_000, 20_500)
        ),
        PairState(prealert=INSIDE, alert=INSIDE, alert_ms=int(NOW_MS) - 9_000, interval_s=ALERT_S),
        PairState(prealert=INSIDE, alert=INSIDE, alert_ms=int(NOW_MS) - 9_000, evidence=2, interval_s=ALERT_S),
        PairState(
            prealert=INSIDE, alert=INSIDE, alert_ms=int(NOW_MS) - 9_000_000, evidence=2, interval_s=PREALERT_S
        ),
        PairState(uncertain_ms=int(NOW_MS) - 90_000, degraded=True),
        PairState(uncertain_ms=int(NOW_MS) - 90_000, degraded=True, wearer_lost=True),
        PairState(wearer_unfixed=True),
        PairState(uncertain_ms=int(NOW_MS) - 90_000, degraded=True, protected_lost=True, interval_s=NEAR_S),
    ]
)


def columns(*those: Mover) -> np.ndarray:
    return np.array(those, np.float64).T.copy()


@given(st.lists(st.tuples(ways, st.integers(1, 200_000), accuracies, accuracies), min_size=1))
def test_velocities_are_the_velocity(rows: list[tuple[tuple[float, float, float], int, float, float]]) -> None:
    """Also of who stands, is too fast, or was seen too long ago; -0.0 is not 0.0 here."""
    steps, dt_ms, here_m, there_m = (np.array(column, np.float64) for column in zip(*rows, strict=True))
    vectors, speeds, ways_m = movements(steps.T, dt_ms, here_m, there_m)
    for index, (way, dt, here, there) in enumerate(rows):
        one, speed, way_m = movement(way, float(dt), here, there)
        one = tuple(part + 0.0 for part in one)
        of_many = np.array([*vectors[:, index], speeds[index], ways_m[index]])
        assert np.array([*one, speed, way_m]).tobytes() == of_many.tobytes()


@given(movers, ways, st.integers(-5_000, 200_000), accuracies)
def test_a_plain_fix_is_accepted_as_one_is_heard(
    mover: Mover, way: tuple[float, float, float], dt_ms: int, accuracy_m: float
) -> None:
    tables = [DeviceTable(np.array([7])) for _ in range(2)]
    for table in tables:
        table.write(0, mover)
    at_ms, now_ms = mover.at_ms + dt_ms, mover.at_ms + dt_ms + 700.0
    point = tuple(here + step for here, step in zip(mover.place, way, strict=True))
    rows, points = tables[0].rows.T.copy(), np.array([point]).T.copy()
    given_ = (np.array([at_ms]), np.array([accuracy_m]))
    assume(tables[0].plain(rows, np.zeros(1, bool), points, *given_).all())
    tables[0].accept(np.array([0]), rows, points, *given_, np.array([now_ms]))
    told_dm = round(10 * accuracy_m)
    assert (
        tables[1].hear(0, mover, Seen(at_ms, point, accuracy_m), now_ms, told_dm=told_dm, received_ms=now_ms)
        is Verdict.ACCEPTED
    )
    assert tables[0].rows.tobytes() == tables[1].rows.tobytes()


@given(
    st.lists(st.tuples(movers, st.booleans(), st.sampled_from([0, 1, 60_000, 500_000])), min_size=1, max_size=4),
    st.integers(0, 300_000),
)
def test_what_was_to_be_expected_of_many_is_what_was_of_one(
    units: list[tuple[Mover, bool, int]], later_ms: int
) -> None:
    """Of units that were heard, of one that never was, and of some that nobody has counted yet."""
    units = [*units, (Mover._make(NEWLY), False, 0)]
    devices, hers = DeviceTable(np.arange(len(units))), np.array([one for _, one, _ in units])
    several, single = QualityTable(len(units)), QualityTable(len(units))
    for place, (mover, _, ago_ms) in enumerate(units):
        devices.write(place, mover)
        for quality in (several, single):
            quality.counted_ms[place], quality.received[place] = (NOW_MS - ago_ms) * (ago_ms > 0), 3
    count(several, devices, hers, NOW_MS + later_ms)
    for place in range(len(units)):
        count_one(single, place, devices.mover(place), NOW_MS + later_ms, is_hers=bool(hers[place]))
    assert several.pack() == single.pack()


@given(movers, movers, st.sampled_from([1_000.0, 2_000.0, 20_000.0]))
def test_who_may_be_shown_near_by_many_may_be_by_one(a: Mover, b: Mover, radius_m: float) -> None:
    fix = Seen(a.at_ms, a.place, a.accuracy_m)
    near = may_show(columns(b), np.array([fix.place]).T, np.array([fix.at_ms]), np.array([radius_m]))
    assert bool(near[0]) is standing.may_show(b, fix, radius_m)


@settings(max_examples=300)
@given(movers, movers, st.sampled_from([1_000.0, 2_000.0]), states, st.integers(0, 1))
def test_the_band_for_many_is_the_band_for_one(
    a: Mover, b: Mover, alert_m: float, state: PairState, role: int
) -> None:
    band = band_of(state, alert_m)
    for by_clock in (False, True):
        role *= not by_clock
        until_ms = apart_until_ms(a, b, NOW_MS, band, role, by_clock=by_clock)
        kept = kept_apart(
            columns(a), columns(b), np.array([NOW_MS]), np.array([band]).T, np.array([role]), by_clock=by_clock
        )
        assert bool(kept.quiet[0]) is (until_ms > 0.0)
        assert not until_ms or kept.due_ms[0] == until_ms
        if not by_clock:
            slight_ms = apart_until_ms(a, b, NOW_MS, band, role, slight=True)
            assert bool(kept.slight[0]) is (slight_ms > 0.0)
            assert not slight_ms or kept.due_ms[0] == slight_ms


@settings(max_examples=300)
@given(movers, movers, st.sampled_from([1_000.0, 2_000.0]), states, st.integers(0, 1))
def test_a_pair_in_the_alert_ring_is_never_looked_at_slightly(
    a: Mover, b: Mover, alert_m: float, state: PairState, role: int
) -> None:
    """And of any other whoever is within his band is within it but for pace and mark."""
    band = band_of(state, alert_m)
    slight_ms = apart_until_ms(a, b, NOW_MS, band, role, slight=True)
    if state.alert.inside:
        assert slight_ms == 0.0
    elif until_ms := apart_until_ms(a, b, NOW_MS, band, role):
        assert slight_ms == until_ms


def test_beyond_the_bound_of_a_longer_interval_the_pace_is_all_that_may_change() -> None:
    """Both stand 4.5 alert distances apart and report every 30 s: a longer interval is due, and nothing else."""
    told = (5.0, NEAR_S, 0.0)
    a, b = (moved(x_m, (0.0, 0.1, 0.0), 2_000, 30_000, told) for x_m in (0.0, 4_500.0))
    band = band_of(PairState(interval_s=NEAR_S), 1_000.0)
    assert apart_until_ms(a, b, NOW_MS, band, 0) == 0.0
    assert apart_until_ms(a, b, NOW_MS, band, 0, slight=True) > NOW_MS


@settings(max_examples=300)
@given(movers, movers, st.sampled_from([1_000.0, 2_000.0]), states, st.integers(0, 1))
def test_what_is_clear_is_within_the_band(a: Mover, b: Mover, alert_m: float, state: PairState, role: int) -> None:
    """The cheap test says nothing that the dear one does not, nor of a later hour; for many as for one."""
    band = band_of(state, alert_m)
    until_ms = clear_until_ms(a, b, NOW_MS, band)
    many = clear(columns(a), columns(b), np.array([NOW_MS]), np.array([band]).T)
    assert bool(many.quiet[0]) is (until_ms > 0.0)
    assert not until_ms or many.due_ms[0] == until_ms <= apart_until_ms(a, b, NOW_MS, band, role)


@given(movers, movers, st.integers(0, 1))
def test_a_pair_without_a_band_is_always_looked_at(a: Mover, b: Mover, role: int) -> None:
    assert apart_until_ms(a, b, NOW_MS, ALWAYS_LOOK, role) == 0.0


@given(movers, movers, st.sampled_from([1_000.0, 2_000.0]))
def test_the_hours_of_blind_risk_are_the_hour_of_one(a: Mover, b: Mover, alert_m: float) -> None:
    """Within the decimetres to which the distance of one is rounded, and a millisecond."""
    seen = separation(a, b, NOW_MS)
    one = silence.blind(a, b, int(NOW_MS), seen, alert_m)
    many = silence.blind_hours(columns(a), columns(b), NOW_MS, np.array([alert_m]))
    for hour_ms, hours_ms in zip(one, (many.worst_ms, many.plausible_ms), strict=True):
        assert abs(hour_ms - hours_ms[0]) <= 1.0 + 1000 * 0.11 / 14.0


@given(movers, movers, st.sampled_from([10.0, 300.0]))
def test_of_one_movement_a_worse_accuracy_only_widens_the_interval(a: Mover, b: Mover, more_m: float) -> None:
    """With the velocity given: a worse accuracy also shrinks the velocity, and a slower man may be farther."""
    worse = a._replace(accuracy_m=a.accuracy_m + more_m)
    bounds = []
    for one in (a, worse):
        seen, held_m = separation(one, b, NOW_MS), slack_m(one, b, NOW_MS)
        assert lower_m(seen, held_m) <= seen.best_m <= upper_m(seen, held_m) + 0.05
        bounds.append((lower_m(seen, held_m), upper_m(seen, held_m)))
    assert bounds[1][0] <= bounds[0][0]
    assert bounds[1][1] >= bounds[0][1]


HE_FELL_SILENT = moved(4_500.0, (0.0, 0.1, 0.0), 51_000, 60_000, (5.0, 30, 0.0))
SHE_SPEAKS_SELDOM = moved(0.0, (0.0, 0.1, 0.0), 281_000, 60_000, (5.0, 300, 0.0))


@given(movers, reporting_every(60, 300, 900), st.sampled_from([1_000.0, 2_000.0]), st.floats(0, 1) | st.just(1.0))
@example(HE_FELL_SILENT, SHE_SPEAKS_SELDOM, 1_000.0, 1.0)
def test_before_the_hour_of_blind_risk_there_is_none(a: Mover, b: Mover, alert_m: float, share: float) -> None:
    """Also where one of the two has set off since a fix that is minutes old, and is not overdue yet."""

    def is_risk(at_ms: float) -> bool:
        seen, held_m = separation(a, b, at_ms), slack_m(a, b, at_ms)
        return overdue_since_ms(a, b, at_ms) < inf and lower_m(seen, held_m) <= alert_m

    assume(not is_risk(NOW_MS))
    seen = separation(a, b, NOW_MS)
    hour = blind_not_before_ms(a, b, NOW_MS, seen.nearest_m - seen.radii_m - alert_m - 1.0)
    assert not is_risk(NOW_MS + share * max(0.0, hour - 1.0 - NOW_MS))


@pytest.mark.parametrize("apart_ms", [FORGET_MS - 1_000, FORGET_MS + 1_000])
def test_an_approach_that_was_said_ends_with_fixes_that_cannot_be_compared(apart_ms: int) -> None:
    """He comes at 5 m/s, 1.15 km away; her unit reports each five minutes."""
    he = moved(1_150.0, (0.0, -50.0, 0.0), 700, 10_000, (5.0, 10, 0.0))
    she = moved(0.0, (0.0, 0.1, 0.0), 700 + apart_ms, 60_000, (5.0, 300, 0.0))
    state = PairState(prealert=INSIDE, imminent=True, interval_s=PREALERT_S, course=Course(0, 12_500, None))
    until_ms = apart_until_ms(he, she, NOW_MS, band_of(state, 1_000.0), 0, slight=True)
    assert (until_ms > 0.0) is (apart_ms < FORGET_MS)


@pytest.mark.parametrize(
    ("interval_s", "relaxing_s", "keeps"),
    [(5, None, True), (5, -150, False), (5, 30, True), (10, None, True), (10, 30, False), (60, None, False)],
)
def test_an_alert_has_a_band_only_if_fixes_leave_its_pace_alone(
    interval_s: int, relaxing_s: int | None, keeps: bool
) -> None:
    """``relaxing_s``: since when, counted from the hour at which a longer interval may be asked for first."""
    alert_ms = int(NOW_MS) - 60_000
    relax_ms = None if relaxing_s is None else alert_ms + SETTLED_MS + 1_000 * relaxing_s
    for evidence in (0, 2):
        state = PairState(
            alert=INSIDE, prealert=INSIDE, alert_ms=alert_ms, evidence=evidence, interval_s=interval_s,
            relax_ms=relax_ms,
        )  # fmt: skip
        assert (band_of(state, 1_000.0) is not ALWAYS_LOOK) is keeps


@given(movers)
def test_the_bounds_of_a_variance_hold_it(mover: Mover) -> None:
    age_s, exact_m2 = age_s_of(mover, NOW_MS), mover.unobserved_m2(NOW_MS)
    assert sure_variance_m2(age_s, mover.speed_m_s) <= exact_m2 <= variance_of_m2(age_s, mover.speed_m_s)


@given(movers, movers)
def test_who_is_named_first_changes_nothing(a: Mover, b: Mover) -> None:
    one, other = separation(a, b, NOW_MS), separation(b, a, NOW_MS)
    assert one == other
    assert silence.blind(a, b, int(NOW_MS), one, 1000.0) == silence.blind(b, a, int(NOW_MS), other, 1000.0)
