"""Does the queue show every alert once without PostgreSQL, and who reads how many there were? F25, F28."""

from __future__ import annotations

import pytest
from api_room import NOW_MS, Room

from tocsin.clock import rfc3339
from tocsin.model.finding import Code

REPORT = "/api/v1/reports/alarm-load"


async def test_the_queue_is_folded_by_the_chain_of_events_without_the_record(room: Room) -> None:
    room.record.down = True
    await room.approach(code=Code.PROX_PREALERT, cause="1")
    inner = await room.approach(code=Code.PROX_ALERT, cause="2")
    key = await room.press("tgd-01")
    async with room.client("Bob") as client:
        answer = await client.get("/api/v1/queue")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert {line["alert"]["id"] for line in found["lines"]} == {inner.id, key.id}
    assert [one["code"] for line in found["lines"] for one in line["under"]] == ["PROX_PREALERT"]
    assert (found["alerts"], found["repeated"], found["chattering"], found["stale"]) == (3, 0, 0, [])


async def test_three_presses_chatter_and_stay_one_line(room: Room) -> None:
    for cause in "123":
        await room.press("tgd-01", cause=cause)
    async with room.client() as client:
        (line,) = (await client.get("/api/v1/queue")).json()["lines"]
    assert line["chattering"]
    assert line["alert"]["raises"] == 3


async def test_the_report_counts_a_window(room: Room) -> None:
    await room.press()
    room.record.catch_up()
    async with room.client("Sue") as client:
        answer = await client.get(REPORT, params={"from": rfc3339(NOW_MS - 1000), "to": rfc3339(NOW_MS + 1000)})
        before = await client.get(REPORT, params={"to": rfc3339(NOW_MS)})
    found = answer.json()
    assert (found["actionable"], found["actionable_per_pair_day"]) == (1, None)
    (row,) = found["by_code"]
    assert (row["code"], row["priority"], row["alerts"]) == ("TGD_SOS", 1, 1)
    assert before.json()["by_code"] == []


@pytest.mark.parametrize(
    "window",
    [{"from": rfc3339(NOW_MS), "to": rfc3339(NOW_MS)}, {"from": "2020-01-01T00:00:00Z", "to": rfc3339(NOW_MS)}],
)
async def test_a_window_that_is_none_is_refused(room: Room, window: dict[str, str]) -> None:
    async with room.client("Sue") as client:
        answer = await client.get(REPORT, params=window)
    assert answer.status_code == 400
    assert answer.json()["type"] == "/problems/bad-window"


async def test_without_the_record_there_is_no_report(room: Room) -> None:
    room.record.down = True
    async with room.client("Sue") as client:
        assert (await client.get(REPORT)).status_code == 503
