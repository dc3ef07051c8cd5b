"""Does the oracle say what a patient look at the truth, ten times a second, would say?"""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.motion import MARSEILLE, Plane, Track
from simulator.oracle import Reporting, oracle
from simulator.scenario import Couple, Party, Scenario
from tocsin.limits import EXIT_MARGIN_M
from tocsin.model.device import DeviceKind
from tocsin.model.finding import Code

STEP_S = 0.1
FAST = Reporting(near_s=1.0, prealert_s=1.0, early_s=0.0, allowance_s=0.0)


def world(track: Track, duration_s: float) -> Scenario:
    """She stands at the origin, he follows ``track``."""
    hers = Track.through([(0.0, 0.0, 0.0)])
    couple = Couple(
        key="couple-0000",
        wearer=Party(device="sim-w-0000", kind=DeviceKind.WEARER, track=track),
        protected=Party(device="sim-p-0000", kind=DeviceKind.PROTECTED, track=hers),
        alert_distance_m=1000,
    )
    empty = Scenario.invent(0, couples=1, duration_s=duration_s, story=False)
    return replace(empty, couples=(couple,), phones=())


def entries_by_hand(scenario: Scenario, bound_m: float) -> list[float]:
    """In plain Python on the plane: when he comes inside, with the exit margin in between."""
    couple, found, inside = scenario.couples[0], [], False
    for step in range(int(scenario.duration_s / STEP_S) + 1):
        t = step * STEP_S
        his, hers = couple.wearer.track.at(t), couple.protected.track.at(t)
        d = math.hypot(his[0] - hers[0], his[1] - hers[1])
        if not inside and d <= bound_m:
            found.append(t)
            inside = True
        elif inside and d >= bound_m + EXIT_MARGIN_M:
            inside = False
    return found


legs = st.lists(st.tuples(st.floats(30.0, 120.0), st.floats(500.0, 2600.0)), min_size=2, max_size=6)


@given(legs=legs)
@settings(max_examples=60, deadline=None)
def test_entries_are_those_of_brute_force(legs: list[tuple[float, float]]) -> None:
    t, moments = 0.0, [(0.0, 2600.0, 0.0)]
    for lasts_s, distance_m in legs:
        t += lasts_s
        moments.append((t, distance_m, 0.0))
    clear_of_bounds = [abs(m[1] - edge) > 8 for m in moments for edge in (1000, 1100, 2000, 2100)]
    if not all(clear_of_bounds):
        return  # a turn on the edge itself: the flat map and the ellipsoid may rightly differ
    scenario = world(Track.through(moments), t)
    for code, bound_m in ((Code.PROX_ALERT, 1000), (Code.PROX_PREALERT, 2000)):
        ours = [one.earliest_s for one in oracle(scenario, FAST) if one.code is code]
        assert ours == pytest.approx(entries_by_hand(scenario, bound_m), abs=1.0)


@pytest.mark.parametrize("seed", range(5))
def test_the_story_and_nothing_else(seed: int) -> None:
    scenario = Scenario.invent(seed, couples=20, duration_s=600, alert_km_max=4)
    plan = scenario.approach
    assert plan is not None
    expected = oracle(scenario)
    assert sorted((one.code.value, one.subject) for one in expected) == [
        ("BAR_SOS", "sim-p-0001"),
        ("PROX_ALERT", "couple-0000"),
        ("PROX_PREALERT", "couple-0000"),
        ("STRAP_TAMPER", "couple-0002"),
        ("TGD_SOS", "sim-t-0000"),
    ]
    windows = {one.code: (one.earliest_s, one.latest_s) for one in expected}
    assert windows[Code.PROX_ALERT][0] < plan.alert_s < windows[Code.PROX_ALERT][1]
    assert windows[Code.PROX_PREALERT][0] < plan.prealert_s < windows[Code.PROX_PREALERT][1]
    assert all(one.required for one in expected)


def test_a_ring_crossed_faster_than_the_unit_speaks_is_not_required() -> None:
    scenario = Scenario.invent(1, couples=2, duration_s=90)
    required = {one.code: one.required for one in oracle(scenario)}
    assert required == {
        Code.PROX_PREALERT: False,  # 15 s of pre-alert at 30 s between two fixes
        Code.PROX_ALERT: True,
        Code.BAR_SOS: True,
        Code.TGD_SOS: True,
    }


def test_whoever_was_never_seen_in_the_prealert_ring_reports_as_from_outside_it() -> None:
    rules = Reporting(near_s=30.0, prealert_s=10.0, early_s=0.0, allowance_s=5.0)

    def within_s(crossing_s: float) -> float:
        """How long after the entry the alert may come, if he needs so long for the pre-alert ring."""
        there_s = 10.0 + 1100.0 / 1000.0 * crossing_s
        track = Track.through(
            [(0.0, 2100.0, 0.0), (10.0, 2100.0, 0.0), (there_s, 1000.0, 0.0), (300.0, 900.0, 0.0)]
        )
        (alert,) = [one for one in oracle(world(track, 300.0), rules) if one.code is Code.PROX_ALERT]
        return alert.latest_s - there_s

    assert within_s(crossing_s=30.0) == pytest.approx(35.0, abs=0.5)
    assert within_s(crossing_s=40.0) == pytest.approx(15.0, abs=0.5)


def test_who_begins_inside_is_expected_at_once() -> None:
    scenario = world(Track.through([(0.0, 900.0, 0.0), (100.0, 950.0, 0.0)]), 100.0)
    assert [(one.code, one.earliest_s) for one in oracle(scenario, FAST)] == [
        (Code.PROX_ALERT, 0.0),
        (Code.PROX_PREALERT, 0.0),
    ]


def test_a_wobble_on_the_edge_is_one_alert() -> None:
    """He leaves the ring by less than the exit margin and comes back: the same stay."""
    track = Track.through([(0.0, 1500.0, 0.0), (50.0, 950.0, 0.0), (60.0, 1060.0, 0.0), (70.0, 950.0, 0.0)])
    assert [one.code for one in oracle(world(track, 80.0), FAST)].count(Code.PROX_ALERT) == 1


def test_a_dip_between_two_seconds_is_seen() -> None:
    track = Track.through([(0.0, 1100.0, 0.0), (10.45, 999.0, 0.0), (20.9, 1100.0, 0.0)])
    scenario = replace(world(track, 20.0), plane=Plane(*MARSEILLE))
    assert [one.code for one in oracle(scenario, FAST)].count(Code.PROX_ALERT) == 1
    assert np.all(np.diff(track.t) > 0)
