"""Is the error of the size it claims, does it wander rather than jump, and is it the same for the same seed?"""

import numpy as np
import pytest

from simulator.gnss import OPEN, PERFECT, URBAN, Sky, receiver_of
from simulator.scenario import Scenario
from simulator.truth import distance_m

SCENARIO = Scenario.invent(3, couples=2, duration_s=100_000, story=False)
HER = SCENARIO.couples[1].protected


def errors_m(sky: Sky, step_s: float, count: int) -> np.ndarray:
    receiver = receiver_of(SCENARIO, HER, sky)
    found = []
    for index in range(count):
        fix = receiver.fix(index * step_s)
        lat, lon = SCENARIO.position(HER, fix.t)
        found.append(float(distance_m(np.array(fix.lat), np.array(fix.lon), lat, lon)))
    return np.array(found)


def test_the_same_seed_makes_the_same_errors() -> None:
    one, other = (receiver_of(SCENARIO, HER, URBAN) for _ in range(2))
    assert [one.fixes(t) for t in range(200)] == [other.fixes(t) for t in range(200)]


def test_two_receivers_err_differently() -> None:
    his, hers = (receiver_of(SCENARIO, party, OPEN) for party in (SCENARIO.couples[1].wearer, HER))
    assert his.fix(0.0).accuracy_m != hers.fix(0.0).accuracy_m


def test_about_68_percent_lie_within_the_reported_radius() -> None:
    sky = Sky(sigma_m=5.0, tau_s=1.0, honesty=0.0)
    radius_m = receiver_of(SCENARIO, HER, sky).fix(0.0).accuracy_m
    assert np.mean(errors_m(sky, 30.0, 3000) <= radius_m) == pytest.approx(0.68, abs=0.03)


def test_the_error_wanders() -> None:
    """A second apart it is almost the same, an hour apart it has nothing to do with it."""
    near, far = errors_m(OPEN, 1.0, 2000), errors_m(OPEN, 3600.0, 2000)
    assert np.corrcoef(near[:-1], near[1:])[0, 1] > 0.9
    assert abs(np.corrcoef(far[:-1], far[1:])[0, 1]) < 0.1


def test_a_perfect_sky_tells_the_truth() -> None:
    assert errors_m(PERFECT, 10.0, 20).max() < 1e-6


def test_losses_and_duplicates_come_as_often_as_said() -> None:
    receiver = receiver_of(SCENARIO, HER, Sky(loss=0.2, duplicates=0.1))
    counts = [len(receiver.fixes(float(t))) for t in range(5000)]
    assert counts.count(0) / 5000 == pytest.approx(0.2, abs=0.03)
    assert counts.count(2) / 5000 == pytest.approx(0.08, abs=0.02)
