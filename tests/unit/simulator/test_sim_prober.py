"""What does a wearer learn from the calls, with and without the hour that is drawn? Seeded trials (F34)."""

from __future__ import annotations

import numpy as np
import pytest

from alerts.calls import NO_KEY
from simulator.prober import KEPT_M, KEY, Prober, errors_m, estimate, ordinary_week

TRIALS = 6
WALKS = Prober(alert_m=2000, speed_m_s=1.4, dares=0.8)


def medians(prober: Prober, key: bytes) -> list[float]:
    behind, _ = errors_m(prober, key, TRIALS)
    return [float(np.median(each)) for each in behind]


def test_he_is_found_within_four_crossings() -> None:
    for key in (NO_KEY, KEY):
        _, found = errors_m(WALKS, key, TRIALS)
        assert all(one is not None and one <= 4 for one in found), found


def test_called_at_the_edge_he_knows_her_house_and_called_later_he_does_not() -> None:
    """The control: without a key every call comes at once, and the second gives her away."""
    at_once, drawn = medians(WALKS, NO_KEY), medians(WALKS, KEY)
    assert at_once[1] < 200
    assert min(drawn) > KEPT_M, "up to the fourth crossing"


@pytest.mark.parametrize(
    "prober",
    [
        Prober(alert_m=1000, speed_m_s=14.0, dares=0.8),
        Prober(alert_m=2000, speed_m_s=1.4, step_m=100.0, wait_s=660.0),
    ],
    ids=["he drives", "he waits for the call"],
)
def test_the_limits_that_are_known(prober: Prober) -> None:
    """Safety gives no time to wait at 14 m/s and 1 km; patience outlasts any delay. It is not kept."""
    assert medians(prober, KEY)[-1] < KEPT_M


def test_the_attacker_is_able() -> None:
    """Three exact calls from three sides give her place: the simulation is not too weak to show anything."""
    calls = [(2000 * side, -side) for side in (1 + 0j, -0.5 + 0.866j, -0.5 - 0.866j)]
    assert abs(estimate(calls, 2000.0, 1000.0)) < 20


def test_an_ordinary_week_is_no_probing() -> None:
    weeks = [ordinary_week(1000, 2.1, seed) for seed in range(5)]
    assert sum(crossings for crossings, _ in weeks) > 10, "he does come near"
    assert not any(found for _, found in weeks)
