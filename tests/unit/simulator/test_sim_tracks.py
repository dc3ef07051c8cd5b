"""Do the units of the storage bench live as units do: at rest most of the time, never seen exactly, once each?"""

from __future__ import annotations

import numpy as np

from simulator.tracks import Fleet
from tocsin.adapters.fixes import plausible
from tocsin.model.fix import Fixes

START_MS = 1_795_219_200_000
DEVICES, ROUNDS, INTERVAL_S = 300, 288, 300


def day(seed: int) -> Fixes:
    fleet = Fleet(DEVICES, interval_s=INTERVAL_S, start_ms=START_MS, rng=np.random.default_rng(seed))
    return np.stack([fleet.round() for _ in range(ROUNDS)])


def test_the_same_seed_is_the_same_day() -> None:
    assert day(1).tobytes() == day(1).tobytes()
    assert day(1).tobytes() != day(2).tobytes()


def test_every_fix_is_the_archives_to_keep_and_no_two_are_the_same() -> None:
    fixes = day(1).ravel()
    assert plausible(fixes).all()
    assert fixes["primary"].all()
    assert len(np.unique(fixes[["device", "fix_ms"]])) == DEVICES * ROUNDS
    assert (fixes["t3_ms"] > fixes["fix_ms"]).all()


def test_most_rest_some_move_and_nobody_is_seen_exactly() -> None:
    fixes = day(1)
    moving = fixes["course_ddeg"] >= 0
    assert 0.03 < moving.mean() < 0.3
    step_e6 = np.hypot(np.diff(fixes["lat_e6"], axis=0), np.diff(fixes["lon_e6"], axis=0))
    rests = ~(moving[1:] | moving[:-1])
    assert 10 < np.median(step_e6[rests]) < 300, "an error of metres"
    assert (step_e6[rests] == 0).mean() < 0.01
    assert np.median(step_e6[moving[1:]]) > 3000, "a walk of five minutes is hundreds of metres"
    assert 0 <= fixes["battery_pct"].min() <= fixes["battery_pct"].max() <= 100
