"""Why can these zones and hours not be carried out? Every reason at once, with its place in the request.

A reason never repeats a coordinate: a refusal is logged and shown, and a zone may be her home.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from math import pi

import shapely

from tocsin.geodesy import Plane, chord_m, ecef_one
from tocsin.limits import (
    ALERT_FLOOR_BELOW_M,
    SCHEDULE_HOURS_MAX,
    ZONE_AREA_MIN_M2,
    ZONE_BUFFER_MAX_M,
    ZONE_POINTS_MAX,
    ZONE_RADIUS_MAX_M,
    ZONE_RADIUS_MIN_M,
    ZONES_MAX,
)
from tocsin.model.geozone import Authorisation, Circle, GeoZone, LinearRing, Polygon, Position, Schedule, ZoneKind
from tocsin.model.problem import Problem
from tocsin.timezones import names

ZONE_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
DAY_MIN = 24 * 60
LON_MAX_E6, LAT_MAX_E6 = 180_000_000, 90_000_000
RING_POINTS_MIN = 4
assert pi * ZONE_RADIUS_MIN_M**2 >= ZONE_AREA_MIN_M2


def problems_of_zones(zones: Sequence[GeoZone]) -> list[Problem]:
    """Empty when all can be carried out."""
    found = [
        Problem(pointer="/zones", code="zones", detail=f"{len(zones)} zones, at most {ZONES_MAX}")
        for _ in range(len(zones) > ZONES_MAX)
    ]
    times = Counter(zone.id for zone in zones)
    for at, zone in enumerate(zones[:ZONES_MAX]):
        here = f"/zones/{at}"
        if ZONE_ID.fullmatch(zone.id) is None:
            detail = f"{zone.id!r} is not 1 to 32 of a-z, 0-9 and -, beginning with a letter or digit"
            found.append(Problem(pointer=f"{here}/id", code="zone-id", detail=detail))
        if times[zone.id] > 1:
            found.append(
                Problem(pointer=f"{here}/id", code="zone-twice", detail=f"{times[zone.id]} zones are {zone.id!r}")
            )
        found += _of_buffer(zone, here)
        found += _of_circle(zone.shape, here) if isinstance(zone.shape, Circle) else _of_polygon(zone.shape, here)
        if zone.schedule is not None:
            found += _of_schedule(zone.schedule, f"{here}/schedule")
    return found


def problems_of_authorisation(authorised: Authorisation | None, alert_distance_m: int) -> list[Problem]:
    if authorised is None:
        return []
    found = list(_of_schedule(authorised.schedule, "/authorised/schedule"))
    if not 0 <= authorised.floor_m <= alert_distance_m - ALERT_FLOOR_BELOW_M:
        detail = (
            f"{authorised.floor_m} m is not at least 0 and {ALERT_FLOOR_BELOW_M} m below the alert distance of "
            f"{alert_distance_m} m"
        )
        found.append(Problem(pointer="/authorised/floor_m", code="floor", detail=detail))
    return found


def _of_buffer(zone: GeoZone, here: str) -> Iterator[Problem]:
    most_m = 0 if zone.kind is ZoneKind.STAY else ZONE_BUFFER_MAX_M
    if not 0 <= zone.buffer_m <= most_m:
        detail = f"a buffer of {zone.buffer_m} m, 0 to {most_m} m around a zone of kind {zone.kind.value}"
        yield Problem(pointer=f"{here}/buffer_m", code="zone-buffer", detail=detail)


# --- shapes ----------------------------------------------------------------------------------------------------


def _of_circle(circle: Circle, here: str) -> Iterator[Problem]:
    if not _is_on_earth(circle.centre):
        yield _off_earth(f"{here}/geometry/coordinates")
    if not ZONE_RADIUS_MIN_M <= circle.radius_m <= ZONE_RADIUS_MAX_M:
        detail = f"a radius of {circle.radius_m} m, {ZONE_RADIUS_MIN_M} to {ZONE_RADIUS_MAX_M} m"
        yield Problem(pointer=f"{here}/radius_m", code="zone-size", detail=detail)


def _of_polygon(polygon: Polygon, here: str) -> Iterator[Problem]:
    at = f"{here}/geometry/coordinates"
    if not polygon.rings:
        yield Problem(pointer=at, code="zone-shape", detail="a polygon without an outline")
        return
    points = sum(map(len, polygon.rings))
    if points > ZONE_POINTS_MAX:
        yield Problem(pointer=at, code="zone-size", detail=f"{points} positions, at most {ZONE_POINTS_MAX}")
        return
    of_rings = [problem for n, ring in enumerate(polygon.rings) for problem in _of_ring(ring, f"{at}/{n}")]
    yield from of_rings
    if not of_rings:
        yield from _of_area(polygon, at)


def _of_ring(ring: LinearRing, at: str) -> Iterator[Problem]:
    if len(ring) < RING_POINTS_MIN:
        detail = f"{len(ring)} positions, at least {RING_POINTS_MIN}: three corners and the first again"
        yield Problem(pointer=at, code="zone-ring", detail=detail)
    elif ring[0] != ring[-1]:
        yield Problem(pointer=at, code="zone-open", detail="the last position is not the first one again")
    for n, position in enumerate(ring):
        if not _is_on_earth(position):
            yield _off_earth(f"{at}/{n}")


def _of_area(polygon: Polygon, at: str) -> Iterator[Problem]:
    plane = plane_of(polygon)
    reach_m = reach_of_m(polygon)
    if reach_m > ZONE_RADIUS_MAX_M:
        detail = f"it reaches {reach_m:.0f} m from its middle, at most {ZONE_RADIUS_MAX_M} m"
        yield Problem(pointer=at, code="zone-size", detail=detail)
        return
    drawn = drawn_in(plane, polygon)
    reason = shapely.is_valid_reason(drawn)
    if not shapely.is_valid(drawn):
        yield Problem(pointer=at, code="zone-shape", detail=f"no polygon: {reason.partition('[')[0].lower()}")
    elif drawn.area < ZONE_AREA_MIN_M2:
        detail = f"{drawn.area:.0f} m2, at least {ZONE_AREA_MIN_M2} m2: a unit does not know its place better"
        yield Problem(pointer=at, code="zone-size", detail=detail)


def _is_on_earth(position: Position) -> bool:
    lon_e6, lat_e6 = position
    return abs(lon_e6) <= LON_MAX_E6 and abs(lat_e6) <= LAT_MAX_E6


def _off_earth(pointer: str) -> Problem:
    detail = "a longitude of -180 to 180 degrees, then a latitude of -90 to 90"
    return Problem(pointer=pointer, code="position", detail=detail)


# --- the plane of a zone ---------------------------------------------------------------------------------------


def middle_of(shape: Circle | Polygon) -> Position:
    """The centre of a circle, of a polygon the middle of the box around its outline."""
    if isinstance(shape, Circle):
        return shape.centre
    lons, lats = zip(*shape.rings[0], strict=True)
    return (min(lons) + max(lons)) // 2, (min(lats) + max(lats)) // 2


def plane_of(shape: Circle | Polygon) -> Plane:
    lon_e6, lat_e6 = middle_of(shape)
    return Plane.at(lat_e6, lon_e6)


def reach_of_m(shape: Circle | Polygon) -> float:
    """No place of it is farther than this from its middle."""
    if isinstance(shape, Circle):
        return float(shape.radius_m)
    middle = plane_of(shape).origin
    return max(chord_m(ecef_one(lat_e6, lon_e6), middle) for lon_e6, lat_e6 in shape.rings[0])


def drawn_in(plane: Plane, polygon: Polygon) -> shapely.Polygon:
    """In metres east and north of the plane's origin."""
    outline, *holes = [[plane.of(ecef_one(lat_e6, lon_e6)) for lon_e6, lat_e6 in ring] for ring in polygon.rings]
    return shapely.Polygon(outline, holes)


# --- hours -----------------------------------------------------------------------------------------------------


def _of_schedule(schedule: Schedule, here: str) -> Iterator[Problem]:
    if schedule.time_zone not in names():
        detail = f"{schedule.time_zone!r} is no time zone of the IANA list"
        yield Problem(pointer=f"{here}/time_zone", code="time-zone", detail=detail)
    if not 0 < len(schedule.hours) <= SCHEDULE_HOURS_MAX:
        detail = f"{len(schedule.hours)} spans of hours a week, 1 to {SCHEDULE_HOURS_MAX}"
        yield Problem(pointer=f"{here}/hours", code="hours", detail=detail)
    for hours in dict.fromkeys(schedule.hours):
        right = 1 <= hours.day <= 7 and 0 <= hours.from_min < DAY_MIN and 0 < hours.until_min <= DAY_MIN
        if not right or hours.from_min == hours.until_min:
            detail = "from 00:00 to 23:59, until 00:01 to 24:00, and not both the same"
            yield Problem(pointer=f"{here}/hours", code="hours", detail=detail)
            return
