"""How far from each zone of his measure is a wearer, and how far may he go before that can matter?

All zones of a partition in flat arrays, the zones of row i from ``starts[i]`` on, ``counts[i]`` of them. Each is
drawn in the plane that touches the ellipsoid in its middle (``tocsin.geodesy.Plane``): a circle is its radius, a
polygon a geometry of shapely and, apart, its boundary, because a distance to a polygon is 0 all over its inside.

``away_m`` is signed: metres to the edge, below 0 inside; rounded to 0.1 m, as everything that decides. Beyond
PLANE_M from the middle, where a plane is none, it is the chord to the middle less the reach of the zone.

    balls (n, 4)   x y z r: while the last believed place of the wearer stays within r metres of this point no zone
                   of the row, no buffer and no way between two fixes can change anything; below 0: look. A row
                   without zones has an endless one. held (n)       whether anything is remembered about a zone of
                   the row

One compare a fix is what an armed measure costs; what leaves its ball is measured by columns. Both, and the rules
behind them, give the same findings as looking always (tests/properties/test_geofence_zones.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from typing import Final

import numpy as np
import numpy.typing as npt
import shapely

from geofence.assumptions import EXIT_MARGIN_M
from geofence.devices import Mask
from geofence.motion import Vector
from geofence.schedule import force
from tocsin.geodesy import FloatArray, IntArray
from tocsin.model.geozone import Circle, GeoZone, ZoneKind
from tocsin.model.geozone_problems import drawn_in, plane_of, reach_of_m
from tocsin.model.order import Order

PLANE_M: Final = 50_000.0
SLACK_M: Final = 2.0  # what the plane (0.4 m at PLANE_M), the rounding and the last place of a ball make together
LOOK: Final = -1.0


class ZoneTable:
    """The zones of one partition, row by row; arrays, and ``zones`` as they were ordered."""

    def __init__(self, orders: Sequence[Order]) -> None:
        self.zones: tuple[GeoZone, ...] = tuple(zone for order in orders for zone in order.zones)
        self.any = bool(self.zones)
        self.counts = np.array([len(order.zones) for order in orders], np.int64)
        self.starts = np.cumsum(self.counts) - self.counts
        self.watched = [bool(order.zones) or order.authorised is not None for order in orders]
        """Rows of which hours decide something besides their beginning and their end."""
        self.watched_rows = np.flatnonzero(self.watched)
        self.broken: set[int] = set()
        """Rows whose zones could not be judged."""
        self.held = np.zeros(len(orders), np.bool_)
        self.balls = np.zeros((len(orders), 4))
        self.balls[:, 3] = np.where(self.counts > 0, LOOK, inf)
        if self.any:
            self._draw()

    def _draw(self) -> None:
        planes = [plane_of(zone.shape) for zone in self.zones]
        self._frames: FloatArray = np.array([[plane.origin, plane.east, plane.north] for plane in planes])
        self._reach_m = np.array([reach_of_m(zone.shape) for zone in self.zones])
        self._round = np.array([isinstance(zone.shape, Circle) for zone in self.zones])
        shapes = [
            None if isinstance(zone.shape, Circle) else drawn_in(plane, zone.shape)
            for zone, plane in zip(self.zones, planes, strict=True)
        ]
        self._areas: npt.NDArray[np.object_] = np.array(shapes, np.object_)
        self._edges: npt.NDArray[np.object_] = shapely.boundary(self._areas)
        shapely.prepare(self._areas)
        self._buffer_m = np.array([float(zone.buffer_m) for zone in self.zones])
        self._stay = np.array([zone.kind is ZoneKind.STAY for zone in self.zones])
        self._in_force = np.zeros(len(self.zones), np.bool_)
        self._since_ms, self._until_ms = np.full(len(self.zones), inf), np.full(len(self.zones), -inf)

    def of_row(self, row: int) -> range:
        start = int(self.starts[row])
        return range(start, start + int(self.counts[row]))

    def expand(self, rows: IntArray) -> tuple[IntArray, IntArray]:
        """Rows -> (index into ``rows``, zone), one for each zone of each."""
        counts = self.counts.take(rows)
        of = np.repeat(np.arange(rows.size), counts)
        first = np.repeat(self.starts.take(rows) - (np.cumsum(counts) - counts), counts)
        return of, first + np.arange(of.size)

    # --- distances

    def away_m(self, zones: IntArray, points: FloatArray) -> FloatArray:
        """Of zones (k) and points (3, k)."""
        frames = self._frames.take(zones, 0)
        ways = points.T - frames[:, 0]
        chords_m = np.sqrt(_dots(ways, ways))
        east_m, north_m = _dots(ways, frames[:, 1]), _dots(ways, frames[:, 2])
        reach_m = self._reach_m.take(zones)
        away_m: FloatArray = chords_m - reach_m
        round_ = self._round.take(zones)
        near = chords_m <= PLANE_M
        circles, drawn = near & round_, near & ~round_
        away_m[circles] = np.sqrt(east_m * east_m + north_m * north_m)[circles] - reach_m[circles]
        if drawn.any():
            x, y, which = east_m[drawn], north_m[drawn], zones[drawn]
            edge_m = shapely.distance(self._edges.take(which), shapely.points(x, y))
            away_m[drawn] = np.where(shapely.intersects_xy(self._areas.take(which), x, y), -edge_m, edge_m)
        return np.rint(10.0 * away_m) / 10.0

    def in_force(self, zones: IntArray, now_ms: FloatArray) -> Mask:
        """Which zones (k) are in force at these hours (k)."""
        stale = (now_ms < self._since_ms.take(zones)) | (now_ms >= self._until_ms.take(zones))
        if stale.any():
            mask: Mask = self._in_force.take(zones)
            for at in np.flatnonzero(stale).tolist():
                mask[at] = self.is_in_force(int(zones[at]), int(now_ms[at]))
            return mask
        return self._in_force.take(zones)

    def is_in_force(self, zone: int, now_ms: int) -> bool:
        return self._force_of(zone, now_ms)[0]

    def changes_ms(self, zone: int, now_ms: int) -> float:
        """The hour behind ``now_ms`` until which it stays as it is."""
        return self._force_of(zone, now_ms)[1]

    def _force_of(self, zone: int, now_ms: int) -> tuple[bool, float]:
        if not self._since_ms[zone] <= now_ms < self._until_ms[zone]:
            schedule = self.zones[zone].schedule
            now = (True, -inf, inf) if schedule is None else force(schedule, now_ms)
            self._in_force[zone], self._since_ms[zone], self._until_ms[zone] = now
        return bool(self._in_force[zone]), float(self._until_ms[zone])

    # --- balls

    def have_left(self, rows: IntArray, points: FloatArray) -> Mask:
        """Which of the wearers of rows (n), at points (3, n), have left their balls."""
        balls = self.balls.take(rows, 0)
        ways = points.T - balls[:, :3]
        radii_m = balls[:, 3]
        left: Mask = ~(_dots(ways, ways) <= radii_m * radii_m)
        left |= radii_m < 0.0
        return left

    def has_left(self, row: int, place: Vector) -> bool:
        """The same for one."""
        return is_outside(self.balls[row].tolist(), place)

    def rest(self, rows: IntArray, points: FloatArray, ways_m: FloatArray, now_ms: FloatArray) -> Mask:
        """For wearers who have left their balls: draws a new one where the rules would say nothing, and says which
        of them those are. ``ways_m``: from their fix before, which may have led through a zone."""
        of, zones = self.expand(rows)
        away_m = self.away_m(zones, points.take(of, 1))
        stay = self._stay.take(zones)
        free_m = np.where(stay, EXIT_MARGIN_M - away_m, away_m - self._buffer_m.take(zones)) - SLACK_M
        free_m[~stay & (away_m <= ways_m.take(of))] = LOOK
        free_m[~self.in_force(zones, now_ms.take(of))] = inf
        radii_m = np.full(rows.size, inf)
        np.minimum.at(radii_m, of, free_m)
        quiet: Mask = (radii_m > 0.0) & ~self.held.take(rows)
        self.balls[rows[quiet], :3] = points[:, quiet].T
        self.balls[rows[quiet], 3] = radii_m[quiet]
        return quiet

    def draw_ball(self, row: int, place: Vector, radius_m: float) -> None:
        self.balls[row] = (*place, radius_m if radius_m > 0.0 else LOOK)

    def burst(self, rows: Iterable[int] | slice) -> None:
        """At the next fix these rows are looked at; without balls the rules find the same."""
        which = rows if isinstance(rows, slice) else list(rows)
        self.balls[which, 3] = np.where(self.counts[which] > 0, LOOK, inf)


def is_outside(ball: Sequence[float] | FloatArray, place: Vector) -> bool:
    """Whether a place has left a ball (x, y, z, radius), or there is none."""
    dx, dy, dz, radius_m = place[0] - ball[0], place[1] - ball[1], place[2] - ball[2], ball[3]
    return bool(radius_m < 0.0 or not dx * dx + dy * dy + dz * dz <= radius_m * radius_m)


def _dots(one: FloatArray, other: FloatArray) -> FloatArray:
    """Of rows (k, 3), by nothing but + and *: the same bits for one and for many."""
    product = one * other
    total: FloatArray = product[:, 0] + product[:, 1] + product[:, 2]
    return total
