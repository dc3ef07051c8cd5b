"""The canary and the walks: plausible fixes, and crossings that the real engine sees just as the canary does."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from loadtests.canary import ACCURACY_M, PERIOD_S, UNSURE_M, WEARER_INTERVAL_S, Post, Shuttle, distance_m
from loadtests.walks import Walk
from simulator.gnss import SkyFix
from simulator.recording import RecordedFix, RecordedPair, Recording
from simulator.replay import in_one_process
from simulator.truth import distance_m as metres_between
from tocsin.clock import MS

D_M = 1000.0
START_MS = 1_795_000_000_000
IMPLAUSIBLE_MPS = 90.0  # docs/domain.md, section 3


def apart_m(a: SkyFix, b: SkyFix) -> float:
    return float(metres_between(np.float64(a.lat), np.float64(a.lon), np.float64(b.lat), np.float64(b.lon)))


def shuttle(phase_s: float = 0.0) -> Shuttle:
    return Shuttle(wearer="w-1", alert_distance_m=D_M, start_ms=START_MS, phase_s=phase_s)


def moments(rng: np.random.Generator, rounds: float) -> list[float]:
    """When a busy unit really reports: at its interval, and up to a quarter of it later."""
    gaps = WEARER_INTERVAL_S * rng.uniform(1.0, 1.25, int(rounds * PERIOD_S / WEARER_INTERVAL_S))
    return [float(t) for t in np.cumsum(gaps)]


def recorded(device: str, t: float, fix: SkyFix) -> RecordedFix:
    at_ms = START_MS + round(t * MS)
    return RecordedFix(
        device=device, fix_ms=at_ms, received_ms=at_ms + 3, lat=round(fix.lat, 6), lon=round(fix.lon, 6),
        accuracy_m=ACCURACY_M, source="gnss",
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_the_engine_raises_each_crossing_of_the_canary_and_no_other(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, post = shuttle(phase_s=float(rng.uniform(0, PERIOD_S))), Post()
    said = [recorded("p-1", 0.0, post.fixes(0.0)[0])]
    for t in moments(rng, rounds=6):
        said += [recorded("w-1", t, fix) for fix in one.fixes(t)]
    pair = RecordedPair(wearer="w-1", protected="p-1", alert_distance_m=int(D_M))
    found = in_one_process(Recording(messages=tuple(said), pairs=(pair,)), partitions=1)
    raised = [crossing.at_ms for crossing in found if crossing.code == "PROX_ALERT"]
    assert raised == [crossing.fix_ms for crossing in one.crossings]
    assert len(raised) >= 5


def test_each_fix_is_plausible_after_the_one_before_and_none_is_on_the_edge() -> None:
    one, post = shuttle(), Post()
    fixes = [one.fixes(t)[0] for t in moments(np.random.default_rng(1), rounds=10)]
    for before, after in pairwise(fixes):
        assert apart_m(before, after) / (after.t - before.t) < IMPLAUSIBLE_MPS
    for fix in fixes:
        assert abs(apart_m(fix, post.fix(fix.t)) - D_M) > UNSURE_M / 2


def test_the_way_is_told_round_by_round() -> None:
    assert distance_m(D_M, 0.0) == distance_m(D_M, 7 * PERIOD_S) > D_M + 100
    assert min(distance_m(D_M, phase_s) for phase_s in np.linspace(0, PERIOD_S, 500)) < D_M


def test_a_silence_outside_is_no_new_crossing() -> None:
    """One fix outside may not have ended the episode: what follows is not judged."""
    one = shuttle()
    inside, outside = _second_of(D_M - 10.0), 0.5
    for t in (inside, PERIOD_S + outside, PERIOD_S + inside):
        one.fixes(t)
    assert len(one.crossings) == 1


def _second_of(wanted_m: float) -> float:
    return next(float(t) for t in np.arange(0.0, PERIOD_S, 0.01) if distance_m(D_M, t) <= wanted_m + 0.1)


def test_the_background_never_comes_near_and_says_the_same_from_the_same_seed() -> None:
    for index in range(0, 20, 2):
        wearer, protected, again = Walk.invent(7, index), Walk.invent(7, index + 1), Walk.invent(7, index)
        for t in np.linspace(0.0, 1800.0, 30):
            fix = wearer.fix(float(t))
            assert fix == again.fix(float(t))
            assert apart_m(fix, protected.fix(float(t))) > 10_000.0
