"""Who is in which zone, once more: one fix, one zone, pyproj and shapely, nothing of the engine's.

A zone is projected azimuthally equidistant about its middle, every fix with it; lists and floats, no arrays, no
memory beside a few words a zone. For wearers whose fixes are good, in order and believed.
"""

from __future__ import annotations

from functools import lru_cache

from pyproj import Transformer
from shapely.geometry import Point, Polygon

MARGIN_M = 100.0
R95 = 1.622


@lru_cache
def _flat(lon, lat):
    about = f"+proj=aeqd +lat_0={lat} +lon_0={lon} +ellps=WGS84 +units=m"
    return Transformer.from_crs("EPSG:4326", about, always_xy=True)


@lru_cache
def shape(zone):
    """(projection, polygon or disc in metres)."""
    if hasattr(zone.shape, "radius_m"):
        lon, lat = (value / 1e6 for value in zone.shape.centre)
        return _flat(lon, lat), Point(0.0, 0.0).buffer(zone.shape.radius_m, quad_segs=2_000)
    rings = [[(lon / 1e6, lat / 1e6) for lon, lat in ring] for ring in zone.shape.rings]
    lons, lats = zip(*rings[0], strict=True)
    flat = _flat((min(lons) + max(lons)) / 2, (min(lats) + max(lats)) / 2)
    outline, *holes = [[flat.transform(*place) for place in ring] for ring in rings]
    return flat, Polygon(outline, holes)


def away_m(zone, lat_e6, lon_e6):
    """Metres to the edge, below 0 inside."""
    flat, drawn = shape(zone)
    here = Point(flat.transform(lon_e6 / 1e6, lat_e6 / 1e6))
    edge_m = drawn.boundary.distance(here)
    return -edge_m if drawn.covers(here) else edge_m


class Watch:
    """One zone that is always in force, and one wearer. ``events``: (second, "in" or "out")."""

    def __init__(self, zone):
        self.zone, self.events, self.doubtful = zone, [], False
        self.inside, self.out_since_s = zone.kind.value == "stay", None

    def hear(self, at_s, lat_e6, lon_e6, accuracy_m):
        """A believed fix, received at ``at_s``; ``doubtful`` once an edge was nearer than 0.2 m."""
        self.until(at_s)
        away = away_m(self.zone, lat_e6, lon_e6)
        beyond = away - max(MARGIN_M, R95 * accuracy_m)
        self.doubtful |= min(abs(away), abs(beyond)) < 0.2
        if away <= 0.0:
            self._turn(at_s, inside=True)
        elif self.inside and beyond >= 0.0:
            if self.out_since_s is None:
                self.out_since_s = at_s
            else:
                self._turn(at_s, inside=False)
        else:
            self.out_since_s = None

    def until(self, at_s):
        """The clock: out since a minute."""
        if self.out_since_s is not None and at_s >= self.out_since_s + 60:
            self._turn(self.out_since_s + 60, inside=False)

    def _turn(self, at_s, *, inside):
        if inside != self.inside:
            self.events.append((at_s, "in" if inside else "out"))
        self.inside, self.out_since_s = inside, None
