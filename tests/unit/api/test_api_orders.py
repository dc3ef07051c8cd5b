"""Are orders and devices made once, whole, and with every reason when they are refused?"""

from __future__ import annotations

import pytest
from api_room import NOW, Room

from tocsin.model.geozone import Circle, Polygon

KEY = {"Idempotency-Key": "k-1"}
MEASURE = {
    "wearer": "b0000001", "protected": "b0000002", "alert_distance_m": 1000,
    "valid_from": "2026-11-21T00:00:00Z", "valid_until": "2027-05-21T00:00:00+02:00",
}  # fmt: skip


def said(answer) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["type"].removeprefix("/problems/")


async def pair(sue) -> None:
    for device, kind in (("b0000001", "bar_wearer"), ("b0000002", "bar_protected")):
        made = await sue.post(
            "/api/v1/devices", json={"id": device, "kind": kind}, headers={"Idempotency-Key": device}
        )
        assert made.status_code == 201


async def test_a_device_shows_its_password_once(room: Room) -> None:
    body = {"id": "tgd-0001", "kind": "tgd"}
    async with room.client("Tom") as tom:
        first = await tom.post("/api/v1/devices", json=body, headers=KEY)
        again = await tom.post("/api/v1/devices", json=body, headers=KEY)
        assert first.status_code == again.status_code == 201
        assert first.headers["location"] == again.headers["location"] == "/api/v1/devices/tgd-0001"
        password = first.json().pop("password")
        assert len(password) == 27
        shown = {"id": "tgd-0001", "kind": "tgd", "measures": [], "revoked_at": None, "reports_every_s": None,
                 "carrier": None, "apn": None, "region": None, "firmware": None}  # fmt: skip
        assert again.json() == shown | {"password": None}
        assert (await tom.get("/api/v1/devices/tgd-0001")).json() == shown
        other = await tom.post("/api/v1/devices", json=body, headers={"Idempotency-Key": "k-2"})
        assert said(other) == (409, "already-exists")
        assert said(await tom.get("/api/v1/devices/tgd-0002")) == (404, "unknown-device")
    assert room.orders.made_devices["tgd-0001"].password_bcrypt == "hash of 27"
    assert password.encode() not in b"".join(reply.body for _, reply in room.orders.replies.values())


async def test_a_phone_keeps_the_interval_that_it_was_made_with(room: Room) -> None:
    body = {"id": "phone-01", "kind": "bar_wearer", "reports_every_s": 30}
    async with room.client("Tom") as tom:
        made = await tom.post("/api/v1/devices", json=body, headers=KEY)
        again = await tom.post("/api/v1/devices", json=body, headers=KEY)
        assert (made.status_code, made.json()["reports_every_s"]) == (201, 30)
        assert again.json() == made.json() | {"password": None}
        assert (await tom.get("/api/v1/devices/phone-01")).json()["reports_every_s"] == 30
        assert (await tom.get("/api/v1/devices")).json()["items"][0]["reports_every_s"] == 30
        other = await tom.post("/api/v1/devices", json=body | {"reports_every_s": 60}, headers=KEY)
        assert said(other) == (422, "idempotency-key-reused")


@pytest.mark.parametrize("seconds", [0, -30, 3601, 30.5, "30", True, 2**63, [30]])
async def test_an_interval_that_is_none_is_refused_by_name(room: Room, seconds: object) -> None:
    body = {"id": "phone-01", "kind": "bar_wearer", "reports_every_s": seconds}
    async with room.client("Tom") as tom:
        answer = await tom.post("/api/v1/devices", json=body, headers=KEY)
        assert said(answer) == (422, "invalid-request")
        assert [one["pointer"] for one in answer.json()["errors"]] == ["/reports_every_s"]
    assert room.orders.made_devices == {}


TRAITS = {"carrier": "Orange", "apn": "m2m.example.fr", "region": "PACA 13", "firmware": "4.2.1"}


async def test_a_device_keeps_what_it_may_lose_together_with_others(room: Room) -> None:
    body = {"id": "unit-01", "kind": "bar_wearer", **TRAITS}
    async with room.client("Tom") as tom:
        made = await tom.post("/api/v1/devices", json=body, headers=KEY)
        assert made.status_code == 201
        assert TRAITS.items() <= made.json().items()
        assert TRAITS.items() <= (await tom.get("/api/v1/devices/unit-01")).json().items()
    assert room.orders.made_devices["unit-01"].apn == "m2m.example.fr"


async def test_words_that_cannot_name_a_group_are_refused_each_by_name(room: Room) -> None:
    words = {"carrier": "", "apn": " padded", "region": "x" * 65, "firmware": "\u0000"}
    async with room.client("Tom") as tom:
        answer = await tom.post("/api/v1/devices", json={"id": "unit-01", "kind": "tgd", **words}, headers=KEY)
        assert said(answer) == (422, "invalid-request")
        pointers = [one["pointer"] for one in answer.json()["errors"]]
        assert pointers == ["/carrier", "/apn", "/region", "/firmware"]
    assert room.orders.made_devices == {}


async def test_a_key_is_needed_and_belongs_to_one_request_of_one_person(room: Room) -> None:
    body = {"id": "tgd-0001", "kind": "tgd"}
    async with room.client("Tom") as tom, room.client("Sue") as sue:
        for headers in ({}, {"Idempotency-Key": ""}, {"Idempotency-Key": "x" * 201}):
            answer = await tom.post("/api/v1/devices", json=body, headers=headers)
            assert said(answer) == (400, "idempotency-key-missing")
        assert (await tom.post("/api/v1/devices", json=body, headers=KEY)).status_code == 201
        other = await tom.post("/api/v1/devices", json=body | {"kind": "bar_wearer"}, headers=KEY)
        assert said(other) == (422, "idempotency-key-reused")
        hers = await sue.post("/api/v1/devices", json=body | {"id": "tgd-0002"}, headers=KEY)
        assert hers.status_code == 201


async def test_a_measure_is_ordered_seen_and_ended(room: Room) -> None:
    async with room.client("Sue") as sue, room.client("Jude") as jude:
        await pair(sue)
        made = await jude.post("/api/v1/measures", json=MEASURE, headers=KEY)
        assert made.status_code == 201
        measure = made.json()
        assert measure | {"id": ""} == {
            "id": "", "version": 1, "wearer": "b0000001", "protected": "b0000002", "alert_distance_m": 1000,
            "prealert_distance_m": 2000, "valid_from": "2026-11-21T00:00:00.000Z",
            "valid_until": "2027-05-20T22:00:00.000Z", "in_force": True, "created_at": NOW, "created_by": "Jude",
            "ended_at": None, "ended_by": None, "zones": [], "authorised": None,
        }  # fmt: skip
        room.clock.ms += 5000
        assert (await jude.post("/api/v1/measures", json=MEASURE, headers=KEY)).json() == measure
        url = f"/api/v1/measures/{measure['id']}"
        assert made.headers["location"] == url
        got = await jude.get(url)
        assert (got.json(), got.headers["etag"]) == (measure, '"1"')
        assert (await jude.get("/api/v1/measures", params={"live": "true"})).json()["items"] == [measure]
        assert said(await jude.post(f"{url}/ending")) == (428, "precondition-required")
        stale = await jude.post(f"{url}/ending", headers={"If-Match": '"7"'})
        assert said(stale) == (412, "stale-version")
        assert stale.headers["etag"] == stale.json()["etag"] == '"1"'
        ended = await jude.post(f"{url}/ending", headers={"If-Match": '"1"'})
        assert ended.headers["etag"] == '"2"'
        assert (ended.json()["in_force"], ended.json()["ended_by"]) == (False, "Jude")
        twice = await jude.post(f"{url}/ending", headers={"If-Match": '"2"'})
        assert said(twice) == (422, "order-refused")
        assert (await jude.get("/api/v1/measures", params={"live": "true"})).json()["items"] == []
        for method, path in (("GET", ""), ("POST", "/ending")):
            answer = await jude.request(method, f"/api/v1/measures/msr_none{path}", headers={"If-Match": '"1"'})
            assert said(answer) == (404, "unknown-measure")


NIGHTS = {"time_zone": "Europe/Paris", "hours": [{"days": ["mon", "sun"], "from": "22:00", "until": "06:00"}]}
SCHOOL = {
    "id": "school", "kind": "core", "name": "École", "radius_m": None, "buffer_m": 200, "schedule": NIGHTS,
    "geometry": {
        "type": "Polygon",
        "coordinates": [[[5.369, 43.296], [5.372, 43.296], [5.372, 43.299], [5.369, 43.299], [5.369, 43.296]]],
    },
}  # fmt: skip
LODGING = {
    "id": "lodging", "kind": "stay", "name": "", "radius_m": 150, "buffer_m": 0, "schedule": None,
    "geometry": {"type": "Point", "coordinates": [5.4, 43.3]},
}  # fmt: skip


async def test_places_and_hours_come_out_as_they_went_in(room: Room) -> None:
    """And as they are judged: longitude first, microdegrees, days by number."""
    body = MEASURE | {"zones": [SCHOOL, LODGING], "authorised": {"schedule": NIGHTS, "floor_m": 300}}
    async with room.client("Sue") as sue, room.client("Ada") as monitor:
        await pair(sue)
        made = await sue.post("/api/v1/measures", json=body, headers=KEY)
        assert made.status_code == 201
        assert {name: made.json()[name] for name in ("zones", "authorised")} == {
            "zones": [SCHOOL, LODGING], "authorised": {"schedule": NIGHTS, "floor_m": 300},
        }  # fmt: skip
        url = made.headers["location"]
        assert (await sue.get(url)).json() == made.json()
        assert (await monitor.get(url)).status_code == 403, "where her school is the desk is not told"
    school, lodging = room.orders.made_measures[made.json()["id"]].order.zones
    assert isinstance(school.shape, Polygon)
    assert isinstance(lodging.shape, Circle)
    assert school.shape.rings[0][1] == (5_372_000, 43_296_000)
    assert (lodging.shape.centre, lodging.shape.radius_m) == ((5_400_000, 43_300_000), 150)
    assert school.schedule is not None
    assert [(one.day, one.from_min, one.until_min) for one in school.schedule.hours] == [
        (1, 1320, 360), (7, 1320, 360),
    ]  # fmt: skip


async def test_places_that_are_none_are_refused_with_every_reason(room: Room) -> None:
    bow = {"type": "Polygon", "coordinates": [[[5.0, 43.0], [5.1, 43.1], [5.1, 43.0], [5.0, 43.1], [5.0, 43.0]]]}
    open_ = {"type": "Polygon", "coordinates": [SCHOOL["geometry"]["coordinates"][0][:-1]]}
    swapped = {"type": "Point", "coordinates": [43.3, 105.4]}
    body = MEASURE | {
        "zones": [
            SCHOOL | {"geometry": bow}, SCHOOL | {"id": "School!", "geometry": open_},
            LODGING | {"geometry": swapped, "radius_m": 5, "buffer_m": 10},
        ],
        "authorised": {"schedule": NIGHTS | {"time_zone": "Europe/Atlantis"}, "floor_m": 1000},
    }  # fmt: skip
    async with room.client("Sue") as sue:
        await pair(sue)
        answer = await sue.post("/api/v1/measures", json=body, headers=KEY)
    assert said(answer) == (422, "order-refused")
    assert {(error["pointer"], error["code"]) for error in answer.json()["errors"]} == {
        ("/zones/0/geometry/coordinates", "zone-shape"), ("/zones/1/id", "zone-id"),
        ("/zones/1/geometry/coordinates/0", "zone-open"), ("/zones/2/buffer_m", "zone-buffer"),
        ("/zones/2/geometry/coordinates", "position"), ("/zones/2/radius_m", "zone-size"),
        ("/authorised/schedule/time_zone", "time-zone"), ("/authorised/floor_m", "floor"),
    }  # fmt: skip
    assert "43.0" not in answer.text, "a refusal repeats no coordinate"


@pytest.mark.parametrize(
    "change",
    [
        {"geometry": {"type": "Point", "coordinates": [5.4, 43.3, 100.0]}},
        {"geometry": {"type": "LineString", "coordinates": []}},
        {"geometry": {"type": "Point", "coordinates": [5.4, "43.3 N"]}},
        {"radius_m": None},
        {"radius_m": 150.5},
        {"schedule": NIGHTS | {"hours": [{"days": ["Montag"], "from": "22:00", "until": "06:00"}]}},
        {"schedule": NIGHTS | {"hours": [{"days": ["mon"], "from": "25:00", "until": "06:00"}]}},
        {"kind": "zone"},
        {"radius": 100},
    ],
)
async def test_a_place_that_cannot_be_read_is_refused(room: Room, change: dict[str, object]) -> None:
    async with room.client("Sue") as sue:
        await pair(sue)
        answer = await sue.post("/api/v1/measures", json=MEASURE | {"zones": [LODGING | change]}, headers=KEY)
    assert said(answer) == (422, "invalid-request")
    assert all(error["pointer"].startswith("/zones/0") for error in answer.json()["errors"])


async def test_a_bad_order_is_refused_with_every_reason(room: Room) -> None:
    async with room.client("Sue") as sue:
        await pair(sue)
        bad = MEASURE | {
            "wearer": "b0000002", "protected": "nobody", "alert_distance_m": 1500,
            "valid_until": "2026-11-20T00:00:00Z",
        }  # fmt: skip
        answer = await sue.post("/api/v1/measures", json=bad, headers=KEY)
        assert said(answer) == (422, "order-refused")
        assert {(error["pointer"], error["code"]) for error in answer.json()["errors"]} == {
            ("/wearer", "device-kind"), ("/protected", "unknown-device"), ("/alert_distance_m", "alert-distance"),
            ("/valid_until", "period"),
        }  # fmt: skip
        corrected = await sue.post("/api/v1/measures", json=MEASURE, headers=KEY)
        assert corrected.status_code == 201  # what was refused left no reply behind


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"alert_distance_m": "1000"}, "/alert_distance_m"),
        ({"alert_distance_m": 1000.0}, "/alert_distance_m"),
        ({"alert_distance_m": True}, "/alert_distance_m"),
        ({"valid_from": "2026-11-21"}, "/valid_from"),
        ({"valid_from": "2026-11-21T00:00:00"}, "/valid_from"),
        ({"valid_from": "2026-02-30T00:00:00Z"}, "/valid_from"),
        ({"valid_from": 0}, "/valid_from"),
        ({"wearer": ""}, "/wearer"),
        ({"wearer": None}, "/wearer"),
        ({"a/b~c": 1}, "/a~1b~0c"),
    ],
)
async def test_a_body_is_strict(room: Room, change: dict, pointer: str) -> None:
    async with room.client("Jude") as jude:
        answer = await jude.post("/api/v1/measures", json=MEASURE | change, headers=KEY)
    assert said(answer) == (422, "invalid-request")
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


async def test_all_faults_of_a_body_are_named_at_once_and_nothing_is_repeated(room: Room) -> None:
    async with room.client("Jude") as jude:
        answer = await jude.post("/api/v1/measures", json={"wearer": 7, "secret": "hunter2"}, headers=KEY)
    pointers = {error["pointer"] for error in answer.json()["errors"]}
    assert pointers == {
        "/wearer",
        "/protected",
        "/alert_distance_m",
        "/valid_from",
        "/valid_until",
        "/secret",
    }
    assert "hunter2" not in answer.text


@pytest.mark.parametrize("name", ["tocsin", "ingest", "fleet"])
async def test_a_name_of_the_services_is_refused_as_what_it_is(room: Room, name: str) -> None:
    async with room.client("Tom") as tom:
        answer = await tom.post("/api/v1/devices", json={"id": name, "kind": "tgd"}, headers=KEY)
    assert said(answer) == (422, "order-refused")
    (error,) = answer.json()["errors"]
    assert (error["pointer"], error["code"]) == ("/id", "device-id-reserved")
    assert "reserved" in error["detail"]


@pytest.mark.parametrize("name", ["ab", "B-1", "-b1", "b_1", "b.1", "b 1", "x" * 33, "b1\n", "bracelet-é"])
async def test_the_schema_is_as_strict_as_the_rule_for_names(room: Room, name: str) -> None:
    async with room.client("Tom") as tom:
        answer = await tom.post("/api/v1/devices", json={"id": name, "kind": "tgd"}, headers=KEY)
        schema = (await tom.get("/openapi.json")).json()["components"]["schemas"]["DeviceRequest"]
    assert said(answer) == (422, "invalid-request")
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/id"]
    assert schema["properties"]["id"]["pattern"] == "^[a-z0-9][a-z0-9-]{2,31}$"
    assert schema["properties"]["id"]["not"] == {"enum": ["ear", "fleet", "ingest", "tocsin"]}


async def test_another_password_each_time_and_the_first_one_is_gone(room: Room) -> None:
    async with room.client("Tom") as tom:
        first = await tom.post("/api/v1/devices", json={"id": "tgd-0001", "kind": "tgd"}, headers=KEY)
        shown = [await tom.post("/api/v1/devices/tgd-0001/password") for _ in range(2)]
        assert [answer.status_code for answer in shown] == [200, 200]
        passwords = {answer.json()["password"] for answer in (first, *shown)}
        assert len(passwords) == 3
        assert all(len(one) == 27 for one in passwords)
        assert said(await tom.post("/api/v1/devices/tgd-0002/password")) == (404, "unknown-device")


async def test_a_device_in_use_is_not_revoked_and_its_measures_are_named(room: Room) -> None:
    async with room.client("Sue") as sue:
        await pair(sue)
        made = (await sue.post("/api/v1/measures", json=MEASURE, headers=KEY)).json()
        for device in ("b0000001", "b0000002"):
            refused = await sue.delete(f"/api/v1/devices/{device}")
            assert said(refused) == (409, "device-in-use")
            assert refused.json()["measures"] == [made["id"]]
            assert made["id"] in refused.json()["detail"]
        await sue.post(f"/api/v1/measures/{made['id']}/ending", headers={"If-Match": '"1"'})
        room.clock.ms += 1
        revoked = await sue.delete("/api/v1/devices/b0000001")
        assert (revoked.status_code, revoked.json()["revoked_at"]) == (200, "2026-11-21T12:00:00.001Z")


async def test_a_revoked_device_is_kept_and_never_comes_back(room: Room) -> None:
    async with room.client("Sue") as sue:
        await pair(sue)
        first = await sue.delete("/api/v1/devices/b0000001")
        room.clock.ms += 60_000
        assert (await sue.delete("/api/v1/devices/b0000001")).json() == first.json(), "twice is once"
        assert (await sue.get("/api/v1/devices/b0000001")).json()["revoked_at"] == NOW
        assert [one["id"] for one in (await sue.get("/api/v1/devices")).json()["items"]] == [
            "b0000001",
            "b0000002",
        ]
        assert said(await sue.post("/api/v1/devices/b0000001/password")) == (409, "device-revoked")
        again = await sue.post("/api/v1/devices", json={"id": "b0000001", "kind": "tgd"}, headers=KEY)
        assert said(again) == (409, "already-exists")
        ordered = await sue.post("/api/v1/measures", json=MEASURE, headers={"Idempotency-Key": "k-2"})
        assert said(ordered) == (422, "order-refused")
        assert [error["code"] for error in ordered.json()["errors"]] == ["device-revoked"]
        assert said(await sue.delete("/api/v1/devices/b0000009")) == (404, "unknown-device")
    assert room.orders.made_devices["b0000001"].password_bcrypt == ""


async def test_lists_have_pages(room: Room) -> None:
    async with room.client("Sue") as sue:
        await pair(sue)
        page = (await sue.get("/api/v1/devices", params={"limit": 1})).json()
        assert [item["id"] for item in page["items"]] == ["b0000001"]
        page = (await sue.get("/api/v1/devices", params={"limit": 1, "cursor": page["next"]})).json()
        assert ([item["id"] for item in page["items"]], page["next"]) == (["b0000002"], None)
        for path in ("devices", "measures"):
            assert said(await sue.get(f"/api/v1/{path}", params={"cursor": "x"})) == (400, "bad-cursor")
            assert said(await sue.get(f"/api/v1/{path}", params={"limit": 201})) == (422, "invalid-request")


async def test_with_the_record_down_orders_wait(room: Room) -> None:
    room.orders.down = True
    async with room.client("Sue") as sue:
        body = {"id": "tgd-0001", "kind": "tgd"}
        assert said(await sue.post("/api/v1/devices", json=body, headers=KEY)) == (503, "record-unavailable")
        for path in ("devices", "devices/x-1", "measures", "measures/msr_1"):
            assert said(await sue.get(f"/api/v1/{path}")) == (503, "record-unavailable")
