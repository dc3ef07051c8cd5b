"""Is a track what its plan says, at any moment, and does nobody leave their quarter or drive too fast?"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod

from simulator.motion import CAR_MPS, MARSEILLE, WALK_MPS, City, Plane, Quarter, Track, live
from simulator.truth import distance_m

DURATION_S = 7200.0
QUARTER = Quarter(east=400.0, north=-300.0, radius_m=1500.0)


def someone(seed: int) -> Track:
    rng = np.random.default_rng(seed)
    return live(rng, City.invent(rng, 4000.0), QUARTER, DURATION_S)


@given(seed=st.integers(0, 10_000))
def test_nobody_leaves_the_quarter(seed: int) -> None:
    track = someone(seed)
    reach = np.hypot(track.east - QUARTER.east, track.north - QUARTER.north)
    assert reach.max() <= QUARTER.radius_m  # corners bound straight legs: a disc is convex


@given(seed=st.integers(0, 10_000))
def test_speeds_are_those_of_feet_and_cars(seed: int) -> None:
    track = someone(seed)
    speeds = np.hypot(np.diff(track.east), np.diff(track.north)) / np.diff(track.t)
    moving = speeds[speeds > 1e-9]
    walking = np.isclose(moving, WALK_MPS)
    assert np.all(walking | ((moving >= CAR_MPS[0] - 1e-6) & (moving <= CAR_MPS[1] + 1e-6)))


def test_people_do_move() -> None:
    assert sum(someone(seed).t.size > 10 for seed in range(50)) > 45


def test_one_moment_and_many_agree() -> None:
    track = someone(3)
    t = np.linspace(-10.0, DURATION_S, 500)
    east, north = track.at(t)
    for index in (0, 17, 499):
        assert (float(track.at(t[index])[0]), float(track.at(t[index])[1])) == (east[index], north[index])


def test_velocity_is_the_derivative_of_the_position() -> None:
    track = Track.through([(0.0, 0.0, 0.0), (10.0, 30.0, 40.0), (20.0, 30.0, 40.0)])
    assert track.velocity(5.0) == (3.0, 4.0)
    assert track.velocity(15.0) == (0.0, 0.0)
    assert track.velocity(-1.0) == track.velocity(25.0) == (0.0, 0.0)


def test_a_route_keeps_to_the_streets() -> None:
    city = City.invent(np.random.default_rng(1), 2000.0)
    start, end = city.crossing_near(-900.0, 600.0), city.crossing_near(700.0, -800.0)
    route = city.route(start, end)
    crossings = {city.point((i, j)) for i in range(city.east.shape[0]) for j in range(city.east.shape[1])}
    assert route[0] == city.point(start)
    assert route[-1] == city.point(end)
    assert set(route) <= crossings
    assert len(route) == abs(start[0] - end[0]) + abs(start[1] - end[1]) + 1


@pytest.mark.parametrize("bearing", [0.0, 1.0, 2.5, 4.0])
@pytest.mark.parametrize("length_m", [100.0, 2_000.0, 20_000.0])
def test_the_flat_map_keeps_distances(bearing: float, length_m: float) -> None:
    east, north = np.array(length_m * math.cos(bearing)), np.array(length_m * math.sin(bearing))
    lat, lon = Plane(*MARSEILLE).to_degrees(east, north)
    assert float(distance_m(np.array(MARSEILLE[0]), np.array(MARSEILLE[1]), lat, lon)) == pytest.approx(
        length_m, rel=2e-3
    )


@given(lat=st.floats(41.0, 51.0), lon=st.floats(-5.0, 9.0), dlat=st.floats(-0.2, 0.2), dlon=st.floats(-0.25, 0.25))
def test_truth_measures_what_the_ellipsoid_measures(lat: float, lon: float, dlat: float, dlon: float) -> None:
    """Against pyproj, the counterpart that the oracle does without: within 1 cm up to 30 km."""
    ours = distance_m(*(np.array(each) for each in (lat, lon, lat + dlat, lon + dlon)))
    *_, geodesic_m = Geod(ellps="WGS84").inv(lon, lat, lon + dlon, lat + dlat)
    assert float(ours) == pytest.approx(geodesic_m, abs=0.01)
