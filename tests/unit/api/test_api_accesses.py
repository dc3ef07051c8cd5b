"""Is every read of an alert on the log, with who, why and when, and is a place shown to nobody unnoted?
DOMAIN section 5, invariant 17."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
from api_room import NOW_MS, HandClock, Room
from builders import eventually

from alerts.api import accesses as module
from alerts.api import live
from alerts.api.accesses import Accesses
from alerts.api.live import SHOWN_EVERY_S, _Seen
from alerts.api.roles import Caller
from tocsin.errors import LogUnavailable
from tocsin.limits import ACCESS_OBJECTS_MAX
from tocsin.model.access import Access
from tocsin.subjects import ACCESSES
from tocsin.testing.bus import MemoryLog
from tocsin.wire import decode_access

ADA = Caller(name="Ada", role="monitor")
HOME = {
    "id": "home", "kind": "core", "name": "",
    "geometry": {"type": "Point", "coordinates": [2.352222, 48.856613]}, "radius_m": 500,
}  # fmt: skip


def noted(log: MemoryLog) -> list[Access]:
    return [decode_access(entry.payload) for entry in log.entries(ACCESSES)]


async def newest(room: Room, count: int = 1) -> list[Access]:
    await eventually(lambda: len(noted(room.log)) >= count)
    return noted(room.log)[-count:]


READS = {
    "/alerts": "alerts",
    "/alerts?open=false": "alerts",
    "/queue": "queue",
    "/alerts/{alert}": "alert",
    "/alerts/{alert}/timeline": "timeline",
}


@pytest.mark.parametrize("path", READS)
async def test_who_looks_at_an_alert_is_on_the_log_with_why_and_when(room: Room, path: str) -> None:
    episode = await room.act(await room.press(), "acknowledge", "Ada")
    if "open=false" in path:
        episode = await room.act(episode, "close", "Ada", "technical")
    room.record.catch_up()
    async with room.client("Sue", **{"Tocsin-Purpose": "audit:2026-113"}) as sue:
        assert (await sue.get(f"/api/v1{path.format(alert=episode.id)}")).status_code == 200
    (access,) = await newest(room)
    assert access.id.startswith("acc_")
    assert access == Access(
        id=access.id, at_ms=NOW_MS, who="Sue", role="supervisor", what=READS[path], objects=(episode.id,),
        purpose="audit:2026-113",
    )  # fmt: skip


async def test_a_platform_reads_for_a_human_or_for_itself(room: Room) -> None:
    episode = await room.press()
    for headers, who in (({"Tocsin-Actor": "Zo%C3%A9"}, "Zoé"), ({}, "Alma")):
        async with room.client("Alma", **headers) as alma:
            await alma.get(f"/api/v1/alerts/{episode.id}")
        await eventually(lambda who=who: [one.who for one in noted(room.log)][-1:] == [who])
        assert noted(room.log)[-1].service == "Alma"


@pytest.mark.parametrize("said", ["because", "alert:", "alert:" + "x" * 65, "secret:1", "alert:a b"])
async def test_a_purpose_is_one_of_four(room: Room, said: str) -> None:
    async with room.client("Ada", **{"Tocsin-Purpose": said}) as ada:
        answer = await ada.get("/api/v1/alerts")
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-request")


async def test_what_was_refused_was_not_read(room: Room) -> None:
    async with room.client("Ada") as ada, room.client("Tom") as tom:
        assert (await ada.get("/api/v1/alerts/alr_none")).status_code == 404
        assert (await tom.get("/api/v1/alerts")).status_code == 403
        room.record.down = True
        assert (await ada.get("/api/v1/alerts?open=false")).status_code == 503
        await ada.get("/api/v1/alerts")
    (access,) = await newest(room)
    assert (access.what, access.objects) == ("alerts", ())
    assert len(noted(room.log)) == 1


async def test_alerts_are_read_while_the_log_is_away_and_noted_when_it_is_back(room: Room, monkeypatch) -> None:
    monkeypatch.setattr(module, "AGAIN_S", 0.01)
    episode = await room.press()
    room.log.down = True
    async with room.client("Ada") as ada:
        for _ in range(3):
            assert (await ada.get(f"/api/v1/alerts/{episode.id}")).status_code == 200
        await asyncio.sleep(0.05)  # it tries meanwhile, and must not lose what it has in hand
        assert noted(room.log) == []
        room.log.down = False
        found = await newest(room, 3)
    assert len({access.id for access in found}) == len(noted(room.log)) == 3


# --- a place ---------------------------------------------------------------------------------------------------


async def _with_a_home(room: Room) -> str:
    """A measure with a zone: a coordinate of hers."""
    async with room.client("Sue") as sue:
        for device, kind in (("b0000001", "bar_wearer"), ("b0000002", "bar_protected")):
            body = {"id": device, "kind": kind}
            made = await sue.post("/api/v1/devices", json=body, headers={"Idempotency-Key": device})
            assert made.status_code == 201, made.text
        body = {
            "wearer": "b0000001", "protected": "b0000002", "alert_distance_m": 1000,
            "valid_from": "2026-11-21T00:00:00Z", "valid_until": "2027-05-21T00:00:00Z", "zones": [HOME],
        }  # fmt: skip
        made = await sue.post("/api/v1/measures", json=body, headers={"Idempotency-Key": "k"})
    assert made.status_code == 201, made.text
    return made.json()["id"]


async def test_a_place_is_on_the_log_before_it_is_shown_or_it_is_not_shown(room: Room) -> None:
    measure = await _with_a_home(room)
    async with room.client("Jude", **{"Tocsin-Purpose": f"measure:{measure}"}) as jude:
        for path, what in ((f"/measures/{measure}", "measure"), ("/measures", "measures")):
            before = len(noted(room.log))
            shown = await jude.get(f"/api/v1{path}")
            assert "48.856613" in shown.text
            access = noted(room.log)[before]  # no waiting: it was there first
            assert (access.who, access.what, access.objects) == ("Jude", what, (measure,))
            assert (access.places, access.purpose) == (True, f"measure:{measure}")
            room.log.down = True
            refused = await jude.get(f"/api/v1{path}")
            assert (refused.status_code, refused.json()["type"]) == (503, "/problems/log-unavailable")
            assert "48.8" not in refused.text
            room.log.down = False


async def test_who_ends_a_measure_is_shown_its_places_and_noted(room: Room) -> None:
    measure = await _with_a_home(room)
    async with room.client("Jude", **{"If-Match": '"1"'}) as jude:
        assert (await jude.post(f"/api/v1/measures/{measure}/ending")).status_code == 200
    (access,) = await newest(room)
    assert (access.who, access.what, access.objects, access.places) == ("Jude", "measure", (measure,), True)


# --- the way to the log ----------------------------------------------------------------------------------------


def _outcomes() -> dict[str, float]:
    samples = [one for metric in module.ACCESSES.collect() for one in metric.samples]
    return {one.labels["outcome"]: one.value for one in samples if one.name.endswith("_total")}


async def test_what_is_too_much_is_counted_and_never_silent() -> None:
    log, before = MemoryLog(), _outcomes().get("lost", 0)
    kept = Accesses(log, HandClock(), life="one", most=2)
    for number in range(5):
        kept.note(ADA, "alert", [f"alr_{number}"])
    await kept.finish()
    assert [access.objects for access in noted(log)] == [("alr_0",), ("alr_1",)]
    assert _outcomes()["lost"] - before == 3


async def test_an_end_without_the_log_says_what_is_lost() -> None:
    log, before = MemoryLog(), _outcomes().get("lost", 0)
    kept = Accesses(log, HandClock(), life="one")
    for number in range(4):
        kept.note(ADA, "alert", [f"alr_{number}"])
    log.down = True
    await kept.finish()
    assert _outcomes()["lost"] - before == 4


async def test_a_long_list_is_named_whole() -> None:
    log = MemoryLog()
    kept = Accesses(log, HandClock(), life="one")
    names = [f"alr_{number}" for number in range(2 * ACCESS_OBJECTS_MAX + 1)]
    kept.note(ADA, "alerts", names)
    await kept.finish()
    found = noted(log)
    assert [name for access in found for name in access.objects] == names
    assert len({access.id for access in found}) == len(found) == 3


async def test_two_processes_and_two_reads_never_share_a_name() -> None:
    log = MemoryLog()
    for life in ("one", "two"):
        kept = Accesses(log, HandClock(), life=life)
        kept.note(ADA, "alert", ["alr_1"])
        kept.note(ADA, "alert", ["alr_1"])
        await kept.finish()
    assert len(noted(log)) == 4


async def test_keep_refuses_without_the_log() -> None:
    log = MemoryLog()
    log.down = True
    with pytest.raises(LogUnavailable):
        await Accesses(log, HandClock(), life="one").keep(ADA, "measure", ["msr_1"])


# --- the feed --------------------------------------------------------------------------------------------------


async def test_a_feed_notes_what_it_has_shown_once_a_minute_and_at_its_end() -> None:
    notes: list[Iterable[str]] = []
    seen = _Seen(notes.append)
    seen.add(["alr_1", "alr_2"], 0.0)
    seen.add(["alr_1"], SHOWN_EVERY_S - 0.1)
    assert notes == []
    seen.add(["alr_3"], SHOWN_EVERY_S)
    assert notes == [["alr_1", "alr_2", "alr_3"]]
    seen.add(["alr_1"], SHOWN_EVERY_S + 1)
    seen.note()
    seen.note()
    assert notes[1:] == [["alr_1"]]
    seen.add([f"alr_{number}" for number in range(ACCESS_OBJECTS_MAX)], 0.0)
    assert len(notes) == 3


async def test_who_follows_the_feed_is_on_the_log(room: Room) -> None:
    """The whole road of a feed that is cut: ASGI, generator, note."""

    episode = await room.press()
    notes: list[object] = []
    feed = live.events(room.projection, room.standings, room.clock, 0, notes.append)
    async for event in feed:
        if event.startswith(b"id:"):
            break
    await feed.aclose()
    assert notes == [[episode.id]]
