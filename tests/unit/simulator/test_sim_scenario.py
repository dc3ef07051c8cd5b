"""Is the world the same for the same seed, does the story fit, and do the others keep clear?"""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.scenario import CLEAR_M, STORY_INSIDE_S, STORY_MAX_MPS, Approach, Couple, Scenario
from simulator.truth import nearest_m, separation_m
from tocsin.limits import EXIT_MARGIN_M
from tocsin.model.finding import Code
from tocsin.model.ids import is_device_id

FLAT_MAP = 2e-3  # what the plane may add to or take from a distance


def everything(scenario: Scenario) -> list[bytes | str]:
    tracks = [part.tobytes() for party in scenario.parties for part in dataclasses.astuple(party.track)]
    return [
        *tracks,
        *(party.device for party in scenario.parties),
        repr(scenario.presses),
        repr(scenario.approach),
    ]


def test_the_same_seed_makes_the_same_world() -> None:
    one, other, third = (Scenario.invent(seed, couples=5, duration_s=600, alert_km_max=3) for seed in (7, 7, 8))
    assert everything(one) == everything(other)
    assert everything(one) != everything(third)


def test_every_party_has_its_own_device() -> None:
    devices = [party.device for party in Scenario.invent(1, couples=12, duration_s=300).parties]
    assert len(set(devices)) == len(devices) == 25
    assert all(map(is_device_id, devices))


@given(duration_s=st.floats(84.0, 86_400.0), seed=st.integers(0, 1000))
@settings(max_examples=40)
def test_the_approach_is_where_its_schedule_says(duration_s: float, seed: int) -> None:
    scenario = Scenario.invent(seed, couples=1, duration_s=duration_s)
    couple, plan = scenario.couples[0], scenario.approach
    assert plan is not None

    def apart(t: float) -> float:
        return float(separation_m(scenario, couple, t))

    assert apart(plan.prealert_s) == pytest.approx(2000, rel=FLAT_MAP)
    assert apart(plan.alert_s) == pytest.approx(1000, rel=FLAT_MAP)
    assert apart(plan.alert_end_s) == pytest.approx(1000, rel=FLAT_MAP)
    assert apart(plan.prealert_end_s) == pytest.approx(2000, rel=FLAT_MAP)
    assert plan.alert_end_s - plan.alert_s == pytest.approx(STORY_INSIDE_S)
    assert 0 < plan.leaves_s < plan.prealert_s < plan.alert_s <= plan.turns_s < plan.alert_end_s
    assert plan.alert_end_s < plan.prealert_end_s < plan.arrives_s < duration_s
    assert plan.speed_mps <= STORY_MAX_MPS
    for outside_s in (0.0, duration_s):
        assert apart(outside_s) >= couple.prealert_distance_m + EXIT_MARGIN_M


def test_a_story_that_does_not_fit_says_how_long_it_needs() -> None:
    with pytest.raises(ValueError, match=r"30 s is too short for this story: give it (\d+) s") as refused:
        Scenario.invent(1, couples=1, duration_s=30)
    needed_s = int(str(refused.value).split("give it ")[1].split(" ")[0])
    assert Approach.plan(needed_s, 1000).speed_mps <= STORY_MAX_MPS


@pytest.mark.parametrize("seed", range(8))
def test_the_others_stay_out_of_the_pre_alert_distance(seed: int) -> None:
    scenario = Scenario.invent(seed, couples=25, duration_s=3600, alert_km_max=10)
    assert {couple.alert_distance_m for couple in scenario.couples} > {1000}
    for couple in scenario.couples[1:]:
        clear_m = couple.prealert_distance_m + CLEAR_M
        assert nearest_m(scenario, couple) >= clear_m * (1 - FLAT_MAP)


def test_without_a_story_nothing_happens() -> None:
    scenario = Scenario.invent(5, couples=3, duration_s=10, story=False)
    assert scenario.presses == ()
    assert scenario.approach is None
    assert all(nearest_m(scenario, each) > each.prealert_distance_m for each in scenario.couples)


def test_the_keys_are_pressed_by_the_right_people() -> None:
    scenario = Scenario.invent(5, couples=3, duration_s=100)
    assert [(one.device, one.code, one.at_s) for one in scenario.presses] == [
        ("sim-p-0001", Code.BAR_SOS, 35.0),
        ("sim-t-0000", Code.TGD_SOS, 70.0),
    ]


@pytest.mark.parametrize(("couples", "km"), [(0, 1), (100_001, 1), (1, 0), (1, 11)])
def test_an_impossible_fleet_is_refused(couples: int, km: int) -> None:
    with pytest.raises(ValueError):
        Scenario.invent(1, couples=couples, duration_s=100, alert_km_max=km)


def test_any_moment_can_be_asked() -> None:
    """Pure: asking in another order, or twice, changes nothing."""
    scenario = Scenario.invent(5, couples=2, duration_s=300)
    couple: Couple = scenario.couples[1]
    t = np.linspace(0, 300, 50)
    forwards = separation_m(scenario, couple, t)
    backwards = separation_m(scenario, couple, t[::-1])[::-1]
    assert np.array_equal(forwards, backwards)
