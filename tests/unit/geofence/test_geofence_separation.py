"""Every move between the rings, and every one that must not happen (DOMAIN section 3)."""

from __future__ import annotations

import pytest

from geofence.separation import (
    NOT_LEAVING,
    Leaving,
    Reason,
    Standing,
    exit_bound_dm,
    on_distance,
    on_time,
    radius_dm,
)
from tocsin.model.zone import Zone

FAR, PREALERT, ALERT = Zone.FAR, Zone.PREALERT, Zone.ALERT
ONCE = Leaving(1, 1000)


def judged(standing, distance_m, radius=0, now_ms=2000):
    return on_distance(
        standing, alert_distance_m=1000, distance_dm=round(10 * distance_m), radius=radius, now_ms=now_ms
    )


@pytest.mark.parametrize(
    ("standing", "distance_m", "zone", "reason"),
    [
        (Standing(FAR), 1000.0, ALERT, Reason.INSIDE_ALERT),
        (Standing(FAR), 1000.1, PREALERT, Reason.INSIDE_PREALERT),
        (Standing(FAR), 2000.0, PREALERT, Reason.INSIDE_PREALERT),
        (Standing(FAR), 2000.1, FAR, None),
        (Standing(PREALERT), 1000.0, ALERT, Reason.INSIDE_ALERT),
        (Standing(PREALERT), 1000.1, PREALERT, None),
        (Standing(PREALERT), 2099.9, PREALERT, None),
        (Standing(PREALERT), 2100.0, PREALERT, None),
        (Standing(PREALERT, NOT_LEAVING, ONCE), 2100.0, FAR, Reason.OUTSIDE_TWO_FIXES),
        (Standing(PREALERT, NOT_LEAVING, ONCE), 900.0, ALERT, Reason.INSIDE_ALERT),
        (Standing(ALERT), 1099.9, ALERT, None),
        (Standing(ALERT), 1100.0, ALERT, None),
        (Standing(ALERT), 50_000.0, ALERT, None),
        (Standing(ALERT, ONCE), 1100.0, PREALERT, Reason.OUTSIDE_TWO_FIXES),
        (Standing(ALERT, ONCE), 50_000.0, PREALERT, Reason.OUTSIDE_TWO_FIXES),
        (Standing(ALERT, ONCE, ONCE), 2100.0, FAR, Reason.OUTSIDE_TWO_FIXES),
        (Standing(ALERT, ONCE, ONCE), 2099.9, PREALERT, Reason.OUTSIDE_TWO_FIXES),
        (Standing(ALERT, ONCE, ONCE), 1099.9, ALERT, None),
    ],
)
def test_a_distance_moves_a_pair(standing, distance_m, zone, reason):
    after, move = judged(standing, distance_m)
    assert after.zone is zone
    assert (move.reason if move else None) is reason


def test_one_evaluation_inside_the_bound_begins_the_count_again():
    once, _ = judged(Standing(ALERT), 1100.0)
    assert once.alert == Leaving(1, 2000)
    contradicted, _ = judged(once, 1099.9)
    assert contradicted.deadline_ms is None
    assert judged(contradicted, 1100.0)[0].zone is ALERT


def test_in_the_new_zone_only_the_outer_ring_may_still_be_left():
    after, _ = judged(Standing(ALERT, ONCE), 2200.0, now_ms=2000)
    assert after == Standing(PREALERT, NOT_LEAVING, Leaving(1, 2000))


def test_the_hour_ends_what_nothing_contradicted():
    standing = Standing(ALERT, ONCE)
    assert on_time(standing, 60_999) == (standing, None)
    after, move = on_time(standing, 61_000)
    assert (after, move.reason) == (Standing(PREALERT), Reason.OUTSIDE_60_S)


def test_two_deadlines_pass_one_after_the_other():
    first, move = on_time(Standing(ALERT, ONCE, Leaving(1, 5000)), 100_000)
    assert (move.before, move.after) == (ALERT, PREALERT)
    second, move = on_time(first, 100_000)
    assert (move.before, move.after) == (PREALERT, FAR)
    assert on_time(second, 10**9) == (Standing(FAR), None)


def test_one_deadline_of_both_rings_is_one_move():
    _, move = on_time(Standing(ALERT, ONCE, ONCE), 61_000)
    assert (move.before, move.after) == (ALERT, FAR)


@pytest.mark.parametrize(("a_dm", "b_dm", "radius"), [(100, 200, 487), (0, 0, 0), (-1, 0, 2433), (-1, -1, 4866)])
def test_an_unknown_accuracy_is_the_worst_case(a_dm, b_dm, radius):
    assert radius_dm(a_dm, b_dm) == radius


def test_the_exit_margin_is_100_m_or_the_radius():
    assert exit_bound_dm(ALERT, 1000, 999) == 11_000
    assert exit_bound_dm(PREALERT, 1000, 1001) == 21_001
