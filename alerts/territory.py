"""Which rooms answer for a circle on the map?

Outlines of communes in a tree of rectangles (STRtree). The circle is laid into degrees with the two radii of
curvature at its own latitude, as a polygon of 64 sides *around* it, at most 0.13 % wider than the circle. Taking
the ellipsoid for flat is wrong by less than 0.2 % at 20 km in France, by 1 in 10,000 at an ordinary 600 m: what
the margin is for. No outline may cross the antimeridian: none of France does.

Degrees WGS84, metres. Pure: arrays in, names out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import shapely

from tocsin.geodesy import E2, SEMI_MAJOR_M
from tocsin.model.room import DEFAULT_ROOM
from tocsin.territory_file import Areas

SIDES: Final = 64
LATITUDE_MAX_DEG: Final = 89.0  # nearer the pole a degree of longitude is nothing; France is not there

_ANGLES = np.arange(SIDES) * (2.0 * np.pi / SIDES)
_AROUND = np.stack((np.cos(_ANGLES), np.sin(_ANGLES)), axis=1) / np.cos(np.pi / SIDES)

Floats = npt.NDArray[np.float64]


class Territory:
    """Communes and their rooms, ready to be asked."""

    def __init__(self, areas: Areas) -> None:
        self._areas = areas
        self._tree = shapely.STRtree(outlines(areas))

    def rooms_at(self, lat: float, lon: float, radius_m: float) -> tuple[str, ...]:
        """Every room whose territory touches the circle, by name; the default one where there is none."""
        (found,) = self.rooms_at_each(np.array([lat]), np.array([lon]), np.array([radius_m]))
        return found

    def rooms_at_each(self, lat: Floats, lon: Floats, radius_m: Floats) -> list[tuple[str, ...]]:
        """The same for n circles at once: three arrays of n -> n tuples."""
        which, area = self._tree.query(circles(lat, lon, radius_m), predicate="intersects")
        found: list[set[str]] = [set() for _ in range(len(lat))]
        for index, room in zip(which.tolist(), self._areas.room_index[area].tolist(), strict=True):
            found[index].add(self._areas.rooms[room])
        return [tuple(sorted(rooms)) or (DEFAULT_ROOM,) for rooms in found]

    def communes_at(self, lat: float, lon: float, radius_m: float) -> list[tuple[str, str, str]]:
        """(code, name, room) of every commune that the circle touches, by code: for a human who asks why."""
        circle = circles(np.array([lat]), np.array([lon]), np.array([radius_m]))[0]
        touched: Sequence[int] = self._tree.query(circle, predicate="intersects").tolist()
        areas = self._areas
        return sorted((areas.codes[i], areas.names[i], areas.rooms[areas.room_index[i]]) for i in touched)

    @property
    def rooms(self) -> tuple[str, ...]:
        """Every room that some place has."""
        return self._areas.rooms

    def __len__(self) -> int:
        return len(self._areas.codes)


def outlines(areas: Areas) -> npt.NDArray[np.object_]:
    """n multipolygons in degrees, x east and y north."""
    offsets = (areas.rings, areas.polygons, areas.areas)
    found: npt.NDArray[np.object_] = shapely.from_ragged_array(
        shapely.GeometryType.MULTIPOLYGON, areas.lon_lat_e6 / 1e6, offsets
    )
    return found


def circles(lat: Floats, lon: Floats, radius_m: Floats) -> npt.NDArray[np.object_]:
    """n polygons in degrees, each around the circle of so many metres."""
    east_m, north_m = metres_per_degree(lat)
    reach = np.stack((radius_m / east_m, radius_m / north_m), axis=1)
    middle = np.stack((lon, lat), axis=1)
    found: npt.NDArray[np.object_] = shapely.polygons(middle[:, None, :] + reach[:, None, :] * _AROUND[None, :, :])
    return found


def metres_per_degree(lat: Floats) -> tuple[Floats, Floats]:
    """Metres to the degree of longitude and of latitude at these latitudes: the two radii of curvature (WGS84)."""
    phi = np.radians(np.clip(lat, -LATITUDE_MAX_DEG, LATITUDE_MAX_DEG))
    bend = 1.0 - E2 * np.sin(phi) ** 2
    east_m = SEMI_MAJOR_M / np.sqrt(bend) * np.cos(phi)
    north_m = SEMI_MAJOR_M * (1.0 - E2) / bend**1.5
    return np.radians(1.0) * east_m, np.radians(1.0) * north_m
