"""Which zones cannot be carried out, and are old orders still read?"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tocsin import wire
from tocsin.limits import SCHEDULE_HOURS_MAX, ZONE_POINTS_MAX, ZONES_MAX
from tocsin.model.geozone import Authorisation, Circle, GeoZone, Hours, Polygon, Schedule, ZoneKind
from tocsin.model.geozone_problems import problems_of_authorisation, problems_of_zones
from tocsin.model.order import Order

LON, LAT = 5_369_000, 43_296_000


def ring(*corners: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """Closed; thousandths of a degree from the school's corner."""
    return tuple((LON + 1_000 * x, LAT + 1_000 * y) for x, y in (*corners, corners[0]))


SQUARE = ring((0, 0), (3, 0), (3, 3), (0, 3))
SCHOOL = GeoZone(id="school", kind=ZoneKind.CORE, shape=Polygon(rings=(SQUARE,)))
DAY = Schedule(time_zone="Europe/Paris", hours=(Hours(day=1, from_min=480, until_min=1_020),))


def with_(**changes: Any) -> GeoZone:
    return msgspec.structs.replace(SCHOOL, **changes)


def poly(*rings: Any) -> GeoZone:
    return with_(shape=Polygon(rings=tuple(rings)))


def disc(radius_m: int, centre: tuple[int, int] = (LON, LAT)) -> GeoZone:
    return with_(shape=Circle(centre=centre, radius_m=radius_m))


def weekly(**changes: Any) -> GeoZone:
    return with_(schedule=msgspec.structs.replace(DAY, **changes))


def hours(day: int, from_min: int, until_min: int) -> GeoZone:
    return weekly(hours=(Hours(day=day, from_min=from_min, until_min=until_min),))


@pytest.mark.parametrize(
    "zone",
    [
        SCHOOL,
        poly(SQUARE, ring((1, 1), (2, 1), (2, 2), (1, 2))),
        poly(tuple(reversed(SQUARE))),
        disc(30), disc(20_000), disc(500, (-179_999_999, -89_000_000)),
        with_(buffer_m=10_000), with_(kind=ZoneKind.STAY), weekly(), hours(7, 1_320, 360), hours(1, 0, 1_440),
    ],
)  # fmt: skip
def test_these_can_be(zone: GeoZone) -> None:
    assert problems_of_zones([zone]) == []


@pytest.mark.parametrize(
    ("zone", "pointer", "code"),
    [
        (with_(id="École"), "/id", "zone-id"),
        (with_(id=""), "/id", "zone-id"),
        (with_(buffer_m=-1), "/buffer_m", "zone-buffer"),
        (with_(buffer_m=10_001), "/buffer_m", "zone-buffer"),
        (with_(kind=ZoneKind.STAY, buffer_m=50), "/buffer_m", "zone-buffer"),
        (disc(29), "/radius_m", "zone-size"),
        (disc(20_001), "/radius_m", "zone-size"),
        (disc(100, (180_000_001, 0)), "/geometry/coordinates", "position"),
        (disc(100, (43_300_000, 105_400_000)), "/geometry/coordinates", "position"),
        (poly(), "/geometry/coordinates", "zone-shape"),
        (poly(SQUARE[:-1]), "/geometry/coordinates/0", "zone-open"),
        (poly(SQUARE[:2]), "/geometry/coordinates/0", "zone-ring"),
        (poly((*SQUARE[:3], (0, 91_000_000), SQUARE[0])), "/geometry/coordinates/0/3", "position"),
        (poly(ring((0, 0), (3, 3), (3, 0), (0, 3))), "/geometry/coordinates", "zone-shape"),
        (poly(SQUARE, ring((5, 5), (6, 5), (6, 6))), "/geometry/coordinates", "zone-shape"),
        (poly(tuple((LON + x, LAT + y) for x, y in ((0, 0), (100, 0), (100, 100), (0, 0)))),
         "/geometry/coordinates", "zone-size"),
        (poly(ring((0, 0), (600, 0), (600, 1))), "/geometry/coordinates", "zone-size"),
        (poly(ring(*((n, n * n) for n in range(ZONE_POINTS_MAX)))), "/geometry/coordinates", "zone-size"),
        (weekly(time_zone="Europe/Atlantis"), "/schedule/time_zone", "time-zone"),
        (weekly(time_zone="../../etc/passwd"), "/schedule/time_zone", "time-zone"),
        (weekly(hours=()), "/schedule/hours", "hours"),
        (weekly(hours=DAY.hours * (SCHEDULE_HOURS_MAX + 1)), "/schedule/hours", "hours"),
        (hours(0, 0, 60), "/schedule/hours", "hours"),
        (hours(8, 0, 60), "/schedule/hours", "hours"),
        (hours(1, 1_440, 60), "/schedule/hours", "hours"),
        (hours(1, 0, 1_441), "/schedule/hours", "hours"),
        (hours(1, 0, 0), "/schedule/hours", "hours"),
        (hours(1, 600, 600), "/schedule/hours", "hours"),
    ],
)  # fmt: skip
def test_and_these_cannot_and_it_is_said_where(zone: GeoZone, pointer: str, code: str) -> None:
    (problem,) = problems_of_zones([zone])
    assert (problem.pointer, problem.code) == (f"/zones/0{pointer}", code)
    assert not any(figures in problem.detail for figures in ("5.36", "43.29", "5369", "43296")), "no coordinate"


def test_every_reason_of_every_zone_is_told_at_once() -> None:
    wrong = [with_(id="a", buffer_m=-1), disc(1), with_(id="a"), weekly(time_zone="Mars", hours=())]
    found = {(one.pointer, one.code) for one in problems_of_zones(wrong)}
    assert found == {
        ("/zones/0/id", "zone-twice"), ("/zones/0/buffer_m", "zone-buffer"), ("/zones/1/radius_m", "zone-size"),
        ("/zones/1/id", "zone-twice"), ("/zones/2/id", "zone-twice"), ("/zones/3/id", "zone-twice"),
        ("/zones/3/schedule/time_zone", "time-zone"), ("/zones/3/schedule/hours", "hours"),
    }  # fmt: skip


def test_no_more_zones_than_are_judged() -> None:
    many = [with_(id=f"z{n}") for n in range(ZONES_MAX + 1)]
    assert problems_of_zones(many[:-1]) == []
    assert [one.code for one in problems_of_zones(many)] == ["zones"]


@pytest.mark.parametrize(("floor_m", "right"), [(0, True), (900, True), (901, False), (-1, False)])
def test_a_floor_lies_below_the_alert_distance(floor_m: int, right: bool) -> None:
    """F23."""
    found = problems_of_authorisation(Authorisation(schedule=DAY, floor_m=floor_m), 1_000)
    assert [one.pointer for one in found] == ([] if right else ["/authorised/floor_m"])


def test_an_order_from_before_there_were_zones_is_read() -> None:
    old = {
        "id": "msr_1", "version": 1, "wearer": "w", "protected": "p", "alert_distance_m": 1000, "valid_from_ms": 0,
        "valid_until_ms": 1,
    }  # fmt: skip
    order = wire.decode_order(wire.encode(Order(**old))[:1] + msgspec.msgpack.encode(old))
    assert (order.zones, order.authorised) == ((), None)
    whole = msgspec.structs.replace(order, zones=(SCHOOL, disc(50)), authorised=Authorisation(schedule=DAY))
    assert wire.decode_order(wire.encode(whole)) == whole
