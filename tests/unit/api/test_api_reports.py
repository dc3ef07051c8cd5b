"""Can a supervisor and a court read the figures, by their definitions, and nobody else? F11, F17, F25, F39."""

from __future__ import annotations

import pytest
from api_room import NOW_MS, Room

from alerts.service_levels import SHARES
from tocsin.adapters.figures import Repeated, Slow, Stage
from tocsin.clock import rfc3339
from tocsin.model.finding import Code

REPORTS = ("/api/v1/reports/alarm-kpis", "/api/v1/reports/sla", "/api/v1/measures/msr_1/burden")
MEASURE = {
    "wearer": "b0000001", "protected": "b0000002", "alert_distance_m": 1000,
    "valid_from": rfc3339(NOW_MS - 86_400_000), "valid_until": rfc3339(NOW_MS + 86_400_000),
}  # fmt: skip
KEY = {"Idempotency-Key": "k1"}
WINDOW = {"from": rfc3339(NOW_MS - 3_600_000), "to": rfc3339(NOW_MS + 1000)}


async def test_rates_are_of_the_operators_that_are_named(room: Room) -> None:
    room.figures.slots = {(0, 1): 12, (0, 2): 12}
    room.figures.raised = [
        Repeated(alert="alr_1", code=Code.PROX_ALERT, subject="msr_1", hours_ms=(0, 60_000, 120_000)),
        Repeated(alert="alr_2", code=Code.PROX_ALERT, subject="msr_2", hours_ms=(0, 60_000, 3_600_000)),
    ]
    room.figures.stood = {3: 2}
    async with room.client("Sue") as client:
        one = (await client.get(REPORTS[0], params=WINDOW)).json()
        two = (await client.get(REPORTS[0], params=WINDOW | {"operators": "3"})).json()
    assert (one["operators"], one["alarms"], one["rate_worst"]) == (1, 24, 24.0)
    assert [each["alarms"] for each in one["floods"]] == [24]
    assert (two["rate_worst"], two["floods"]) == (8.0, [])
    assert [each["alert"] for each in one["chattering"]] == ["alr_1"]
    assert one["stale"] == {"3": 2}


async def test_a_broken_bound_is_named(room: Room) -> None:
    measured = dict.fromkeys(SHARES, 100) | {1.0: 12_000}
    room.figures.passed = [Stage(priority=1, stage="t3_t8", alerts=7, measured=measured)]
    room.figures.slow = [Slow(alert="alr_1", code=Code.PROX_ALERT, priority=1, t3_t8_ms=12_000)]
    async with room.client("Sue") as client:
        found = (await client.get(REPORTS[1], params=WINDOW)).json()
    assert not found["held"]
    (stage,) = found["stages"]
    assert [(one["share"], one["held"]) for one in stage["bounds"]] == [
        (0.5, True), (0.99, True), (0.999, True), (1.0, False),
    ]  # fmt: skip
    assert found["slowest"][0]["alert"] == "alr_1"


async def test_the_burden_of_a_measure_is_shown_with_its_days(room: Room) -> None:
    async with room.client("Sue") as client:
        for name, kind in (("b0000001", "bar_wearer"), ("b0000002", "bar_protected")):
            await client.post(
                "/api/v1/devices", json={"id": name, "kind": kind}, headers={"Idempotency-Key": name}
            )
        measure = (await client.post("/api/v1/measures", json=MEASURE, headers=KEY)).json()["id"]
        episode = await room.approach(measure=measure)
        room.record.catch_up()
        room.figures.her = frozenset({episode.id})
        answer = await client.get(f"/api/v1/measures/{measure}/burden", params=WINDOW)
    found = answer.json()
    assert answer.status_code == 200, answer.text
    assert (found["alerts"], found["by_code"][0]["rang_her"]) == (1, 1)
    assert found["days_in_force"] > 0
    assert len(found["hours"]) == 24


async def test_a_measure_that_is_none_has_no_burden(room: Room) -> None:
    async with room.client("Sue") as client:
        assert (await client.get(REPORTS[2])).status_code == 404


@pytest.mark.parametrize("report", REPORTS)
async def test_a_window_that_is_none_is_refused(room: Room, report: str) -> None:
    async with room.client("Sue") as client:
        answer = await client.get(report, params={"from": rfc3339(NOW_MS), "to": rfc3339(NOW_MS)})
    assert answer.json()["type"] == "/problems/bad-window"


@pytest.mark.parametrize("report", REPORTS[:2])
async def test_without_the_record_there_is_no_report(room: Room, report: str) -> None:
    room.record.down = True
    async with room.client("Sue") as client:
        assert (await client.get(report)).status_code == 503
