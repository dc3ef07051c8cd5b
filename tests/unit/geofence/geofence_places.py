"""Fixed places around the house of the stories: metres east and north, hours since the story began."""

from __future__ import annotations

from cmath import phase
from math import degrees

from geofence_pairs import GEOD, HOME

from tocsin.model.geozone import Authorisation, Circle, GeoZone, Hours, Polygon, Schedule, ZoneKind

SATURDAY = 6  # the stories begin at its midnight, UTC


def position(place):
    lon, lat, _ = GEOD.fwd(HOME[1], HOME[0], 90.0 - degrees(phase(complex(place))), abs(place))
    return round(lon * 1e6), round(lat * 1e6)


def disc(name, kind, place, radius_m, **more):
    shape = Circle(centre=position(place), radius_m=radius_m)
    return GeoZone(id=name, kind=ZoneKind(kind), shape=shape, **more)


def box(name, kind, west_south, east_north, **more):
    (w, s), (e, n) = ((one.real, one.imag) for one in map(complex, (west_south, east_north)))
    corners = (complex(w, s), complex(e, s), complex(e, n), complex(w, n), complex(w, s))
    return GeoZone(
        id=name, kind=ZoneKind(kind), shape=Polygon(rings=(tuple(position(one) for one in corners),)), **more
    )


def between(since, until):
    """ "mm:ss" of the story, whole minutes, once on that Saturday."""
    (from_min, _), (until_min, _) = (map(int, one.split(":")) for one in (since, until))
    return Schedule(time_zone="UTC", hours=(Hours(day=SATURDAY, from_min=from_min, until_min=until_min),))


def authorised(since, until, floor_m=0):
    return Authorisation(schedule=between(since, until), floor_m=floor_m)
