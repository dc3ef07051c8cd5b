"""Which places did the judge name, at which hours, and when may the wearer be nearer than the distances?

A *zone* is a fixed place, the rings of ``tocsin.model.zone`` go with the protected person. Kinds: ``core``, her
home, work or school, and ``ban``, any other place that he must keep out of; ``stay``, where he must be. An
*authorisation* (CPP R24-18 §3) is hours at which he may be where he otherwise may not: an exception to reporting,
never to computing.

Positions are microdegrees in GeoJSON's order, longitude first. Edges are straight on the ground. Hours are those
of the clock on the wall of the place, minutes since its midnight.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

Position = tuple[int, int]
"""Longitude and latitude, microdegrees."""

LinearRing = tuple[Position, ...]


class ZoneKind(StrEnum):
    CORE = "core"
    BAN = "ban"
    STAY = "stay"


class Hours(msgspec.Struct, frozen=True, kw_only=True):
    """Once a week, from ``from_min`` of ``day`` (1 is Monday) to ``until_min``, 1440 being its midnight; an end
    that is not behind the beginning is on the day after."""

    day: int
    from_min: int
    until_min: int


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """``time_zone``: an IANA name."""

    time_zone: str
    hours: tuple[Hours, ...]


class Circle(msgspec.Struct, frozen=True, kw_only=True, tag="circle"):
    centre: Position
    radius_m: int


class Polygon(msgspec.Struct, frozen=True, kw_only=True, tag="polygon"):
    """The outline, then holes; each ring ends where it began."""

    rings: tuple[LinearRing, ...]


class GeoZone(msgspec.Struct, frozen=True, kw_only=True):
    """``buffer_m``: nearer than this to a core or a ban he is warned of, and that is no breach. ``schedule`` None:
    always. ``name``: for the operator."""

    id: str
    kind: ZoneKind
    shape: Circle | Polygon
    name: str = ""
    buffer_m: int = 0
    schedule: Schedule | None = None


class Authorisation(msgspec.Struct, frozen=True, kw_only=True):
    """Hours at which rings and zones are computed and recorded, and nobody is alerted; but nearer than ``floor_m``
    to her is an alert as always (F23)."""

    schedule: Schedule
    floor_m: int = 0
