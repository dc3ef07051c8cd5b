"""Which places has the judge named for each couple of the fleet?

Three polygons a measure, stars of 8 to 24 corners around a middle:

* ``home``, a core: her home, 150 to 400 m, with a buffer of 500 m;
* ``town``, a ban: 200 to 1500 m, somewhere within 8 km of his home, on the ways of whoever is under way;
* ``area``, a place to be: 6 km around his home, which nobody of the fleet leaves (they turn back at 4 km).

All are always in force. So nearly everybody is inside one polygon and outside two, as an order would have it.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from simulator.geofence_bench.life import METRES_PER_DEGREE
from simulator.geofence_bench.reference import Floats
from tocsin.model.geozone import GeoZone, Polygon, Position, ZoneKind
from tocsin.model.order import Order

CORNERS: Final = (8, 24)
HOME_M: Final = (150.0, 400.0)
HOME_BUFFER_M: Final = 500
TOWN_M: Final = (200.0, 1_500.0)
TOWN_AWAY_M: Final = (1_000.0, 8_000.0)
AREA_M: Final = (6_000.0, 7_000.0)


def armed(orders: list[Order], his: Floats, hers: Floats, rng: np.random.Generator) -> list[Order]:
    """The same orders with their places; homes (2, n) in degrees, latitude first."""
    return [
        msgspec.structs.replace(order, zones=_places(his[:, couple], hers[:, couple], rng))
        for couple, order in enumerate(orders)
    ]


def _places(his: Floats, hers: Floats, rng: np.random.Generator) -> tuple[GeoZone, ...]:
    course, away_m = rng.uniform(0, 2 * np.pi), rng.uniform(*TOWN_AWAY_M)
    town = his + _degrees(away_m * np.cos(course), away_m * np.sin(course), his[0])
    home = GeoZone(id="home", kind=ZoneKind.CORE, shape=_star(hers, HOME_M, rng), buffer_m=HOME_BUFFER_M)
    return (
        home,
        GeoZone(id="town", kind=ZoneKind.BAN, shape=_star(town, TOWN_M, rng)),
        GeoZone(id="area", kind=ZoneKind.STAY, shape=_star(his, AREA_M, rng)),
    )


def _star(middle: Floats, reach_m: tuple[float, float], rng: np.random.Generator) -> Polygon:
    """Whatever its radii are, it does not cross itself."""
    corners = int(rng.integers(*CORNERS, endpoint=True))
    angles, radii_m = 2 * np.pi * np.arange(corners) / corners, rng.uniform(*reach_m, corners)
    ring: list[Position] = []
    for angle, radius_m in zip(angles.tolist(), radii_m.tolist(), strict=True):
        lat, lon = middle + _degrees(radius_m * np.cos(angle), radius_m * np.sin(angle), middle[0])
        ring.append((round(1e6 * float(lon)), round(1e6 * float(lat))))
    return Polygon(rings=((*ring, ring[0]),))


def _degrees(north_m: float, east_m: float, lat: float) -> Floats:
    return np.array([north_m, east_m / np.cos(np.radians(lat))]) / METRES_PER_DEGREE
