"""Which rooms answer for a circle: the tree against plain arithmetic, and what must hold of both.

The counterpart knows nothing of shapely: it lays every corner into metres around the middle, asks by crossings
whether the middle is inside, and how far each side is away. They may differ only where the circle touches a border
within 0.2 % of its radius (a polygon of 64 sides).
"""

from __future__ import annotations

import math

import numpy as np
from builders import squares
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod

from alerts.territory import Territory, circles, metres_per_degree
from tocsin.model.room import DEFAULT_ROOM

WITHIN = 0.002
GEOD = Geod(ellps="WGS84")
CELLS = (
    ("CIC-13", 5.3, 43.2, 5.4, 43.3), ("CORG-13", 5.4, 43.2, 5.6, 43.3), ("CORG-13", 5.3, 43.3, 5.5, 43.4),
    ("CORG-83", 5.5, 43.3, 5.6, 43.4),
    ("CIC-974", 55.4, -21.0, 55.5, -20.9), ("CORG-974", 55.5, -21.0, 55.6, -20.9),
)  # fmt: skip
TERRITORY = squares(*CELLS)
PLACES = st.one_of(
    st.tuples(st.floats(43.15, 43.45), st.floats(5.25, 5.65)),
    st.tuples(st.floats(-21.05, -20.85), st.floats(55.35, 55.65)),
)
RADII = st.floats(1.0, 20_000.0)
QUESTIONS = st.tuples(PLACES, RADII)


def apart_m(lat: float, lon: float, cell: tuple[str, float, float, float, float]) -> float:
    """Metres from a place to a rectangle; 0 inside. Plain."""
    _, west, south, east, north = cell
    east_m, north_m = (float(one[0]) for one in metres_per_degree(np.array([lat])))
    corners = [
        ((x - lon) * east_m, (y - lat) * north_m)
        for x, y in ((west, south), (east, south), (east, north), (west, north))
    ]
    sides = list(zip(corners, corners[1:] + corners[:1], strict=True))
    crossings = sum(
        (y1 > 0) != (y2 > 0) and x1 + (x2 - x1) * (0 - y1) / (y2 - y1) > 0 for (x1, y1), (x2, y2) in sides
    )
    return 0.0 if crossings % 2 else min(to_side_m(*side) for side in sides)


def to_side_m(a: tuple[float, float], b: tuple[float, float]) -> float:
    dx, dy = b[0] - a[0], b[1] - a[1]
    share = max(0.0, min(1.0, -(a[0] * dx + a[1] * dy) / (dx * dx + dy * dy)))
    return math.hypot(a[0] + share * dx, a[1] + share * dy)


@given(question=QUESTIONS)
def test_the_tree_and_plain_arithmetic_agree(question: tuple[tuple[float, float], float]) -> None:
    (lat, lon), radius_m = question
    found = set(TERRITORY.rooms_at(lat, lon, radius_m)) - {DEFAULT_ROOM}
    certain = {cell[0] for cell in CELLS if apart_m(lat, lon, cell) <= radius_m}
    possible = {cell[0] for cell in CELLS if apart_m(lat, lon, cell) <= radius_m * (1 + WITHIN) + 0.01}
    assert certain <= found <= possible


@given(questions=st.lists(QUESTIONS, min_size=1, max_size=20), cut=st.integers(0, 20))
def test_many_at_once_are_each_alone(questions: list[tuple[tuple[float, float], float]], cut: int) -> None:
    """Splitting a batch or turning it round changes nothing."""
    lat, lon, radius_m = (
        np.array(one) for one in zip(*((*place, radius) for place, radius in questions), strict=True)
    )
    whole = TERRITORY.rooms_at_each(lat, lon, radius_m)
    assert whole == [TERRITORY.rooms_at(*place, radius) for place, radius in questions]
    assert whole[::-1] == TERRITORY.rooms_at_each(lat[::-1], lon[::-1], radius_m[::-1])
    parts = [TERRITORY.rooms_at_each(*(one[part] for one in (lat, lon, radius_m))) for part in
             (slice(cut), slice(cut, None))]  # fmt: skip
    assert whole == parts[0] + parts[1]


@given(question=QUESTIONS, more_m=st.floats(0.0, 5_000.0))
def test_a_wider_circle_never_loses_a_room_and_nobody_is_nobody(
    question: tuple[tuple[float, float], float], more_m: float
) -> None:
    """Worse accuracy tells at least as many."""
    (lat, lon), radius_m = question
    found = TERRITORY.rooms_at(lat, lon, radius_m)
    assert found
    assert set(found) - {DEFAULT_ROOM} <= set(TERRITORY.rooms_at(lat, lon, radius_m + more_m))


@given(lat=st.floats(-60, 60), lon=st.floats(-170, 170), radius_m=st.floats(10.0, 20_000.0))
def test_the_circle_is_a_circle_in_metres(lat: float, lon: float, radius_m: float) -> None:
    """Against Karney's geodesic: every corner at least at the radius, and at most 0.4 % beyond it."""
    corners = np.array(circles(np.array([lat]), np.array([lon]), np.array([radius_m]))[0].exterior.coords)
    middle = np.full(len(corners), [lon]), np.full(len(corners), [lat])
    away_m = GEOD.inv(*middle, corners[:, 0], corners[:, 1])[2]
    assert away_m.min() >= radius_m * 0.996
    assert away_m.max() <= radius_m * 1.004 + radius_m * radius_m * math.tan(math.radians(abs(lat))) / 6.3e6


def test_at_sea_and_abroad_it_is_the_default() -> None:
    for lat, lon in ((42.0, 6.0), (51.5, -0.1), (90.0, 0.0), (-90.0, 180.0), (0.0, -180.0)):
        assert TERRITORY.rooms_at(lat, lon, 500.0) == (DEFAULT_ROOM,)
    assert isinstance(TERRITORY, Territory)
