"""The shapes: how many units when, when it ends, and how much they say."""

from __future__ import annotations

from itertools import pairwise

import pytest

from loadtests.shapes import AWAY_S, CONNECTS_PER_S, Plan, Shape

USERS, SECONDS = 300, 30.0
CONNECTING_S = USERS / CONNECTS_PER_S


def plan(shape: Shape, users: int = USERS, seconds: float = SECONDS) -> Plan:
    return Plan(shape=shape, users=users, seconds=seconds)


@pytest.mark.parametrize(
    ("shape", "at"),
    [
        (Shape.STEADY, {0.0: 300, 32.9: 300, 33.0: None}),
        (Shape.RAMP, {0.0: 30, 11.5: 165, 23.0: 300, 32.9: 300, 33.0: None}),
        (Shape.SPIKE, {0.0: 60, 9.9: 60, 10.5: 300, 22.9: 300, 23.5: 60, 32.9: 60, 33.0: None}),
        (Shape.RECONNECT, {0.0: 300, 17.9: 300, 18.5: 15, 20.9: 15, 21.5: 300, 38.9: 300, 39.0: None}),
    ],
)
def test_how_many_when(shape: Shape, at: dict[float, int | None]) -> None:
    assert {second: plan(shape).units_at(second) for second in at} == at


@pytest.mark.parametrize("shape", Shape)
@pytest.mark.parametrize(("users", "seconds"), [(1, 1.0), (20, 8.0), (300, 30.0), (4000, 600.0)])
def test_every_shape_reaches_all_and_never_more_and_ends(shape: Shape, users: int, seconds: float) -> None:
    one = plan(shape, users, seconds)
    found = [one.units_at(step * one.lasts_s / 1000) for step in range(1000)]
    assert max(found) == users  # type: ignore[type-var]
    assert min(found) >= 1  # type: ignore[type-var]
    assert one.units_at(one.lasts_s) is None
    assert one.lasts_s >= seconds


def test_a_ramp_never_asks_for_more_than_may_connect() -> None:
    one = plan(Shape.RAMP, 4000, 1.0)
    steps = [one.units_at(float(second)) or 0 for second in range(int(one.lasts_s))]
    assert max(b - a for a, b in pairwise(steps)) <= CONNECTS_PER_S


@pytest.mark.parametrize(
    ("shape", "unit_seconds"),
    [
        (Shape.STEADY, 300 * 30.0),
        (Shape.RAMP, 165 * 23.0 + 300 * 10.0 - 300 * CONNECTING_S),
        (Shape.SPIKE, 60 * 10.0 + 300 * 13.0 + 60 * 10.0 - 300 * CONNECTING_S),
        (Shape.RECONNECT, 300 * 18.0 + 15 * AWAY_S + 300 * 18.0 - 2 * 300 * CONNECTING_S),
    ],
)
def test_what_is_said_is_the_area_below(shape: Shape, unit_seconds: float) -> None:
    assert plan(shape).fixes(5.0) == pytest.approx(unit_seconds / 5.0, rel=1e-3)
