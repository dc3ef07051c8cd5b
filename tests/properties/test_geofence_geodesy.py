"""The distance against Karney's geodesic (pyproj), in every French territory and across the antimeridian."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod

from tocsin.geodesy import chord_m, distance_dm, ecef, ecef_one

GEOD = Geod(ellps="WGS84")
WITHIN_M = 0.01  # the chord is at most 9 mm short at 20 km

TERRITORIES = {
    "métropole": (41.3, 51.1, -5.2, 9.6),
    "Saint-Pierre-et-Miquelon": (46.7, 47.2, -56.5, -56.1),
    "Antilles": (14.3, 18.2, -63.2, -60.8),
    "Guyane": (2.1, 5.8, -54.6, -51.6),
    "Mayotte": (-13.1, -12.6, 44.9, 45.4),
    "La Réunion": (-21.4, -20.8, 55.2, 55.9),
    "Nouvelle-Calédonie": (-22.8, -19.5, 163.5, 168.2),
    "Polynésie": (-27.7, -7.8, -154.8, -134.4),
    "Wallis-et-Futuna": (-14.4, -13.1, -178.3, -176.0),
    "Terres australes": (-50.0, -37.7, 50.1, 77.7),
    "antimeridian": (-20.0, -12.0, 179.9, 180.1),
}
latitudes = st.integers(-90_000_000, 90_000_000)
longitudes = st.integers(-180_000_000, 180_000_000)


def geodesic_m(lat_a, lon_a, lat_b, lon_b):
    return GEOD.inv(lon_a / 1e6, lat_a / 1e6, lon_b / 1e6, lat_b / 1e6)[2]


@pytest.mark.parametrize("territory", TERRITORIES)
def test_up_to_20_km_the_chord_is_the_geodesic(territory):
    south, north, west, east = TERRITORIES[territory]
    draw = np.random.default_rng(20_261_121)
    lat, lon = draw.uniform(south, north, 2000), draw.uniform(west, east, 2000)
    azimuth, far_m = draw.uniform(0, 360, 2000), draw.uniform(0, 20_000, 2000)
    lon_b, lat_b, _ = GEOD.fwd(lon, lat, azimuth, far_m)
    a, b = (np.rint(np.array(one) * 1e6).astype(np.int64) for one in ((lat, lon), (lat_b, lon_b)))
    chord = np.linalg.norm(np.array(ecef(*a)) - np.array(ecef(*b)), axis=0)
    expected = np.array(GEOD.inv(a[1] / 1e6, a[0] / 1e6, b[1] / 1e6, b[0] / 1e6)[2])
    assert np.abs(chord - expected).max() <= WITHIN_M


@given(st.lists(st.tuples(latitudes, longitudes), min_size=1, max_size=50))
def test_one_position_has_the_same_bits_alone_and_in_company(positions):
    columns = ecef(*zip(*positions, strict=True))
    assert [ecef_one(*one) for one in positions] == list(zip(*(c.tolist() for c in columns), strict=True))


@given(latitudes, longitudes)
def test_a_position_lies_on_the_ellipsoid_and_where_numpy_puts_it(lat_e6, lon_e6):
    x, y, z = ecef_one(lat_e6, lon_e6)
    assert (x * x + y * y) / 6_378_137.0**2 + z * z / 6_356_752.314245**2 == pytest.approx(1, abs=1e-13)
    assert np.hypot(x, y) * np.sin(np.radians(lon_e6 / 1e6)) == pytest.approx(y, abs=1e-6)


@given(latitudes, longitudes, st.integers(-100_000, 100_000), st.integers(-100_000, 100_000))
def test_a_distance_is_symmetric_and_a_whole_number_of_decimetres(lat_e6, lon_e6, north, east):
    a, b = ecef_one(lat_e6, lon_e6), ecef_one(min(90_000_000, lat_e6 + north), lon_e6 + east)
    assert chord_m(a, b) == chord_m(b, a)
    assert abs(distance_dm(a, b) - 10 * chord_m(a, b)) <= 0.5
    assert distance_dm(a, a) == 0


def test_the_antimeridian_and_the_turn_are_nothing_special():
    assert ecef_one(0, 180_000_000) == ecef_one(0, -180_000_000)
    assert distance_dm(ecef_one(0, 179_999_999), ecef_one(0, -179_999_999)) == 2
    assert geodesic_m(0, 179_999_999, 0, -179_999_999) == pytest.approx(0.22, abs=0.01)
