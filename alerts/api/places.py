"""How are the places and hours of a measure written in a request, and shown again?

Geometry is GeoJSON (RFC 7946): degrees, longitude first, WGS84, rings closed. It knows no circle: a ``Point`` with
a ``radius_m`` is one. Hours are those of the clock on the wall of the place, days ``mon`` to ``sun``; an end that
is not behind its beginning is on the day after. What goes out is what came in, to the microdegree.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tocsin.limits import SCHEDULE_HOURS_MAX, ZONE_POINTS_MAX
from tocsin.model import geozone
from tocsin.model.geozone import GeoZone, ZoneKind

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: Final[tuple[Day, ...]] = get_args(Day)
E6: Final = 1_000_000
EXAMPLE: Final = [[[5.369, 43.296], [5.372, 43.296], [5.372, 43.299], [5.369, 43.299], [5.369, 43.296]]]

Degrees = Annotated[float, Field(ge=-360.0, le=360.0)]  # what is no place on earth is refused by its problem
Position = Annotated[
    list[Degrees], Field(min_length=2, max_length=2, description="Longitude, latitude.", examples=[EXAMPLE[0][0]])
]
Ring = Annotated[list[Position], Field(max_length=ZONE_POINTS_MAX)]
Wall = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$|^24:00$", examples=["22:00"])]
Metres = Annotated[int, Field(strict=True)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)


class Point(_Part):
    """The middle of a circle."""

    type: Literal["Point"]
    coordinates: Position


class Polygon(_Part):
    """The outline, then holes."""

    type: Literal["Polygon"]
    coordinates: Annotated[list[Ring], Field(max_length=ZONE_POINTS_MAX, examples=[EXAMPLE])]


class Span(_Part):
    """``from`` is on each of ``days``."""

    days: Annotated[list[Day], Field(min_length=1, max_length=len(DAYS))]
    from_: Annotated[Wall, Field(alias="from")]
    until: Wall


class Schedule(_Part):
    """Every week, on the clock of ``time_zone``, an IANA name."""

    time_zone: Annotated[str, Field(max_length=64, examples=["Europe/Paris"])]
    hours: Annotated[list[Span], Field(max_length=SCHEDULE_HOURS_MAX)]


class Place(_Part):
    """``core``: home, work or school of the protected person; ``ban``: he must keep out; ``stay``: he must be
    there.

    ``buffer_m``: nearer than this to a core or a ban he is warned of, and that is no breach. ``schedule`` null:
    always.
    """

    id: Annotated[str, Field(max_length=64, examples=["school"])]
    kind: ZoneKind
    name: Annotated[str, Field(max_length=80, pattern=r"^[^\x00-\x1f]*$")] = ""
    geometry: Annotated[Point | Polygon, Field(discriminator="type")]
    radius_m: Annotated[Metres | None, Field(description="Of a Point, and of nothing else.")] = None
    buffer_m: Metres = 0
    schedule: Schedule | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.radius_m is None) == isinstance(self.geometry, Point):
            raise ValueError("a Point has a radius_m, a Polygon has none")
        return self


class Authorised(_Part):
    """Within these hours nearness is found and kept as ever, and nobody is alerted; but nearer than ``floor_m`` is
    an alert as always, 0: no floor."""

    schedule: Schedule
    floor_m: Metres


# --- in --------------------------------------------------------------------------------------------------------


def zone(place: Place) -> GeoZone:
    return GeoZone(
        id=place.id,
        kind=place.kind,
        shape=_shape(place),
        name=place.name,
        buffer_m=place.buffer_m,
        schedule=None if place.schedule is None else _weekly(place.schedule),
    )


def authorisation(hours: Authorised) -> geozone.Authorisation:
    return geozone.Authorisation(schedule=_weekly(hours.schedule), floor_m=hours.floor_m)


def _shape(place: Place) -> geozone.Circle | geozone.Polygon:
    if isinstance(place.geometry, Point):
        assert place.radius_m is not None
        return geozone.Circle(centre=_microdegrees(place.geometry.coordinates), radius_m=place.radius_m)
    rings = tuple(tuple(_microdegrees(one) for one in ring) for ring in place.geometry.coordinates)
    return geozone.Polygon(rings=rings)


def _microdegrees(position: list[float]) -> geozone.Position:
    lon, lat = position
    return round(lon * E6), round(lat * E6)


def _weekly(schedule: Schedule) -> geozone.Schedule:
    hours = tuple(
        geozone.Hours(day=DAYS.index(day) + 1, from_min=_minute(span.from_), until_min=_minute(span.until))
        for span in schedule.hours
        for day in span.days
    )
    return geozone.Schedule(time_zone=schedule.time_zone, hours=hours)


def _minute(wall: str) -> int:
    hours, minutes = wall.split(":")
    return 60 * int(hours) + int(minutes)


# --- out -------------------------------------------------------------------------------------------------------


def place(known: GeoZone) -> Place:
    geometry, radius_m = _geometry(known.shape)
    return Place(
        id=known.id,
        kind=known.kind,
        name=known.name,
        geometry=geometry,
        radius_m=radius_m,
        buffer_m=known.buffer_m,
        schedule=None if known.schedule is None else _shown(known.schedule),
    )


def authorised(known: geozone.Authorisation) -> Authorised:
    return Authorised(schedule=_shown(known.schedule), floor_m=known.floor_m)


def _geometry(shape: geozone.Circle | geozone.Polygon) -> tuple[Point | Polygon, int | None]:
    if isinstance(shape, geozone.Circle):
        return Point(type="Point", coordinates=_degrees(shape.centre)), shape.radius_m
    return Polygon(type="Polygon", coordinates=[[_degrees(one) for one in ring] for ring in shape.rings]), None


def _degrees(position: geozone.Position) -> list[float]:
    return [value / E6 for value in position]


def _shown(schedule: geozone.Schedule) -> Schedule:
    """Days with the same hours together, in their order."""
    days: dict[tuple[int, int], list[Day]] = {}
    for one in schedule.hours:
        days.setdefault((one.from_min, one.until_min), []).append(DAYS[one.day - 1])
    spans = [Span.model_validate({"days": of, "from": _wall(a), "until": _wall(b)}) for (a, b), of in days.items()]
    return Schedule(time_zone=schedule.time_zone, hours=spans)


def _wall(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
