"""Is ordinary life ever an incident, and is any outage one in time? F05: from seeds, with losses."""

from __future__ import annotations

import numpy as np
from fleet_lives import NAMES, Life, member, mixed
from hypothesis import given, settings
from hypothesis import strategies as st

DAY_S = 86_400.0
FOUND_WITHIN_S = 90.0
SMALLEST = 12  # of a group that the early rule can tell from losses of 5 %, with a few to spare


def test_a_year_of_ordinary_life_with_3_percent_loss_opens_no_incident():
    """365 groups for a day each: what is looked at is a group at a moment, and whose day it is does not matter."""
    devices = [member(n, region=f"day {n % 365}") for n in range(1, 365 * 20 + 1)]
    life = Life(devices, loss=0.03)
    assert life.run(DAY_S, look_s=30.0) == []
    assert 0.01 < life.watcher.missed_share < 0.06, "there was something to be mistaken"


@settings(max_examples=40, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(200, 700),
    groups=st.integers(2, 6),
    name=st.sampled_from(NAMES),
    one=st.integers(0, 199),
    loss=st.sampled_from([0.0, 0.01, 0.03, 0.05]),
    from_s=st.floats(120.0, 400.0),
)
def test_any_group_that_falls_silent_is_one_incident_under_its_own_name(
    seed, count, groups, name, one, loss, from_s
):
    devices = mixed(count, groups)
    life = Life(devices, seed=seed, loss=loss)
    value = getattr(devices[one], name)
    mine = life.mask(**{name: value})
    assert mine.sum() >= SMALLEST
    life.silence(mine, from_s).run(from_s + 400)
    ((at_s, found, change, _),) = life.said
    assert change == "entry"
    assert from_s < at_s <= from_s + FOUND_WITHIN_S
    assert (life.watcher.roll.of(found) == mine).all(), "another name may be of the same devices"


@settings(max_examples=15, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), step=st.sampled_from([1.0, 2.0, 5.0]), split=st.floats(30.0, 500.0))
def test_a_watch_that_starts_again_in_the_middle_decides_as_if_it_had_not(seed, step, split):
    """What it has heard, what is lost and what is open are all that it needs."""
    devices = mixed(200)

    def lived(restarts_s):
        life = Life(devices, seed=seed)
        life.silence(life.mask(carrier="carrier 1"), 300.0, 900.0)
        at_s = 0.0
        for until_s in (np.ceil(split_s / step) * step for split_s in (*restarts_s, 1300.0)):
            life.run(until_s, from_s=at_s, look_s=step)
            at_s = until_s
            before, life.watcher = life.watcher, type(life.watcher)(life.watcher.roll)
            life.watcher.memory, life.watcher.losses = before.memory, dict(before.losses)
            life.watcher.open, life.watcher.looked_ms = dict(before.open), before.looked_ms
        return life.said

    assert lived(()) == lived((split,))
