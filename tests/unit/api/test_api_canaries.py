"""Is an invented pair in no list, count or feed of anybody's, found by who asks, and its name nobody's? F38."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from api_room import Room
from builders import eventually
from prometheus_client import REGISTRY
from test_api_protection import standing

from alerts.api import live
from alerts.api.projection import CANARIES_MAX, RECENT_MAX
from tocsin.model.episode import Verb
from tocsin.model.finding import Code
from tocsin.wire import encode

CANARY = "canary-0"
ALERTS = "/api/v1/alerts"


async def got(room: Room, path: str, who: str = "Ada", status: int = 200, **query: Any) -> Any:
    await room.settle()
    async with room.client(who) as client:
        answer = await client.get(path, params=query)
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_of_a_canary_nothing_is_in_the_list_the_queue_or_the_count(room: Room) -> None:
    hers = await room.approach("msr_1", Code.PROX_ALERT)
    await room.approach(CANARY, Code.PROX_ALERT)
    assert [one["id"] for one in (await got(room, ALERTS))["items"]] == [hers.id]
    queue = await got(room, "/api/v1/queue")
    assert ([line["alert"]["id"] for line in queue["lines"]], queue["alerts"]) == ([hers.id], 1)
    assert REGISTRY.get_sample_value("tocsin_alerts_open", {"priority": "1"}) == 1


async def test_who_looks_after_the_system_asks_for_them_and_sees_nobody_else(room: Room) -> None:
    await room.approach("msr_1", Code.PROX_ALERT)
    canary = await room.approach(CANARY, Code.PROX_ALERT)
    shown = await got(room, ALERTS, "Tom", canary="true")
    assert [one["id"] for one in shown["items"]] == [canary.id]
    await got(room, ALERTS, "Tom", status=403)
    for operator in ("Ada", "Sue"):
        await got(room, ALERTS, operator, status=403, canary="true")


async def test_closed_ones_are_two_lists_too(room: Room) -> None:
    closed = []
    for measure in ("msr_1", CANARY):
        episode = await room.approach(measure, Code.PROX_ALERT)
        taken = await room.act(episode, Verb.ACKNOWLEDGE, "Ada")
        closed.append(await room.act(taken, Verb.CLOSE, "Ada", outcome="technical"))
    room.record.catch_up()
    hers, canary = closed
    assert [one["id"] for one in (await got(room, ALERTS, open="false"))["items"]] == [hers.id]
    shown = await got(room, ALERTS, "Tom", open="false", canary="true")
    assert [one["id"] for one in shown["items"]] == [canary.id]


async def test_no_console_hears_of_one(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "BEAT_S", 60.0)
    await room.approach(CANARY, Code.PROX_ALERT)
    hers = await room.approach("msr_1", Code.PROX_ALERT)
    await room.settle()
    feed = live.events(room.projection, room.standings, room.clock, None, lambda _: None)
    async with asyncio.timeout(60):
        assert (await anext(feed)).startswith(b"event: beat")
        said = json.loads((await anext(feed)).decode().split("data: ")[1])
    assert [one["id"] for one in said] == [hers.id]
    await feed.aclose()


async def test_one_alert_of_it_is_found_and_acted_upon_by_its_id(room: Room) -> None:
    """The canary walks this road as any platform does."""
    canary = await room.approach(CANARY, Code.PROX_ALERT)
    await room.settle()
    async with room.client("Alma", **{"Tocsin-Actor": "canary", "If-Match": '"1"'}) as alma:
        taken = await alma.put(f"{ALERTS}/{canary.id}/acknowledgement", json={"job": "teleassistance"})
    assert (taken.status_code, taken.json()["by"]) == (200, "canary")


async def test_a_day_of_rounds_takes_nobodys_place_among_those_that_closed_lately(room: Room) -> None:
    episode = await room.approach("msr_1", Code.PROX_ALERT)
    taken = await room.act(episode, Verb.ACKNOWLEDGE, "Ada")
    closed = await room.act(taken, Verb.CLOSE, "Ada", outcome="technical")
    for number in range(RECENT_MAX + 10):
        await room.approach(f"canary-{number}", Code.PROX_ALERT)
    await room.settle()
    assert room.projection.find(closed.id) is not None
    assert len(room.projection.open_canaries(room.clock.now_ms())) == CANARIES_MAX


async def test_nobody_is_protected_by_one(room: Room) -> None:
    await room.bucket.put(CANARY, encode(standing(CANARY)))
    await room.bucket.put("msr_1", encode(standing()))
    await eventually(room.standings.ranked)
    shown = await got(room, "/api/v1/protection")
    assert [one["measure"] for one in shown["items"]] == ["msr_1"]
    assert sum(shown["counts"].values()) == 1


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["canary-0-w", "canary-0", "canary-of-mine", "canary-77-v"])
async def test_nobody_registers_a_unit_under_a_canarys_name(room: Room, name: str) -> None:
    async with room.client("Tom", **{"Idempotency-Key": "k"}) as tom:
        answer = await tom.post("/api/v1/devices", json={"id": name, "kind": "bar_wearer"})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["pointer"], error["code"]) == ("/id", "reserved-name")
    assert "invented pairs" in error["detail"]


async def test_nobody_orders_a_measure_about_one_and_hears_of_both_names_at_once(room: Room) -> None:
    order = {
        "wearer": "canary-0-w", "protected": "canary-0-v", "alert_distance_m": 1000,
        "valid_from": "2026-11-21T00:00:00Z", "valid_until": "2027-11-21T00:00:00Z",
    }  # fmt: skip
    async with room.client("Jude", **{"Idempotency-Key": "k"}) as court:
        answer = await court.post("/api/v1/measures", json=order)
    assert answer.status_code == 422
    assert [one["pointer"] for one in answer.json()["errors"]] == ["/wearer", "/protected"]
