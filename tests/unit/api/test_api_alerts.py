"""Does everybody see the same alerts in the same order, with and without the record?"""

from __future__ import annotations

import json
import re

from api_room import NOW, NOW_MS, Room

from alerts.api import views
from tocsin.model.episode import Channel, Outcome, Receipt, Verb
from tocsin.model.finding import Code
from tocsin.subjects import episode as place


async def test_an_open_alert_says_all_that_the_desk_needs_and_no_coordinate(room: Room) -> None:
    episode = await room.approach()
    async with room.client() as ada:
        answer = await ada.get("/api/v1/alerts")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    listed = answer.json()
    assert listed["next"] is None
    assert listed["cursor"] == "1"
    assert listed["items"] == [
        {
            "id": episode.id, "version": 1, "code": "PROX_PREALERT", "label": "Zone de pré-alerte franchie",
            "duty": "Appeler le porteur à l'heure indiquée, sinon sous 30 s, et lui ordonner de s'éloigner, "
            "sans direction ni distance.",
            "priority": 2, "state": "raised", "phase": "raised", "owner": None,
            "measures": ["msr_1"], "device": None,
            "occurred_at": NOW, "recorded_at": NOW, "over_at": None, "acknowledged_at": None, "expires_at": None,
            "distance": {
                "best_m": 1823.4, "accuracy_m": 24.0, "lower_m": None, "upper_m": None, "threshold_m": 2000,
                "at": NOW, "fixes_at": NOW,
            },
            "low_confidence": False, "alert_expected_at": None, "silent_since": None, "blind_risk": None,
            "approach": None, "call_wearer_not_before": None,
            "evidential_at": None, "corrections": [], "zone": None, "authorised": False, "raises": 1,
            "silent": False, "outcome": None, "closed_at": None, "closed_by": None, "follows": None,
                "latched": False, "inspected": False, "events": [], "fleet": None, "folded_into": None,
            "waiting_since": views.time_of(episode.waiting_ms), "rungs": [], "deeds": [], "verified": False,
            "verified_at": None, "decided_at": None, "handed_off_at": None, "protected_told_at": None,
            "clock": {f"t{n}": NOW if n in {1, 6} else None for n in range(1, 10)},
        }
    ]  # fmt: skip
    assert not re.search(r"48\.?85|\blat(?!ched)|\blon", answer.text)


async def test_the_urgency_order_is_untaken_then_priority_then_age(room: Room) -> None:
    await room.approach("msr_old")
    room.clock.ms += 1000
    taken = await room.press("tgd-taken")
    await room.act(taken, Verb.ACKNOWLEDGE, "Bob")
    room.clock.ms += 1000
    await room.press("tgd-late")
    async with room.client() as ada:
        items = (await ada.get("/api/v1/alerts")).json()["items"]
    assert [(item["device"] or item["measures"][0]) for item in items] == ["tgd-late", "msr_old", "tgd-taken"]
    room.clock.ms += 120_000  # his acknowledgement has expired: it is for everybody again, above its old rank
    async with room.client() as ada:
        items = (await ada.get("/api/v1/alerts")).json()["items"]
    assert items[0]["device"] == "tgd-taken"


async def test_a_countdown_is_the_first_of_its_priority_on_every_page(room: Room) -> None:
    for number, code in enumerate([Code.PROX_PREALERT, Code.DEGRADED, Code.IMMINENT, Code.V_COMMS_LOSS]):
        room.clock.ms = NOW_MS + number
        await room.approach(f"msr_{number}", code)
    seen: list[str] = []
    cursor: dict[str, str] = {}
    async with room.client() as ada:
        for _ in range(4):
            page = (await ada.get("/api/v1/alerts", params={"limit": 1, **cursor})).json()
            seen += [item["code"] for item in page["items"]]
            cursor = {"cursor": page["next"]}
    assert seen == ["IMMINENT", "PROX_PREALERT", "DEGRADED", "V_COMMS_LOSS"]
    assert cursor == {"cursor": None}


async def test_filters_and_pages(room: Room) -> None:
    for number in range(5):
        room.clock.ms = NOW_MS + number
        await room.approach(f"msr_{number}")
    await room.press()
    async with room.client() as ada:
        assert len((await ada.get("/api/v1/alerts", params={"priority": 2})).json()["items"]) == 5
        assert len((await ada.get("/api/v1/alerts", params={"code": "TGD_SOS"})).json()["items"]) == 1
        assert len((await ada.get("/api/v1/alerts", params={"measure": "msr_3"})).json()["items"]) == 1
        seen, cursor = [], None
        while True:
            words = {"limit": 4} | ({"cursor": cursor} if cursor else {})
            page = (await ada.get("/api/v1/alerts", params=words)).json()
            seen += [item["id"] for item in page["items"]]
            if (cursor := page["next"]) is None:
                break
        assert len(seen) == len(set(seen)) == 6
        for bad in ("x", "1~2~3", "1~2~3~alr_1", "a~b~c~d~e", "1~2~1~3~"):
            answer = await ada.get("/api/v1/alerts", params={"cursor": bad})
            assert (answer.status_code, answer.json()["type"]) == (400, "/problems/bad-cursor")


async def test_closed_alerts_and_timelines_come_from_the_record(room: Room) -> None:
    episode = await room.approach(code=Code.PROX_ALERT)
    taken = await room.act(episode, Verb.ACKNOWLEDGE, "Bob")
    closed = await room.act(taken, Verb.CLOSE, "Bob", Outcome.LEFT_ZONE)
    room.record.catch_up()
    room.record.attempts.append(
        Receipt(
            notification="evt_1", episode=episode.id, version=1, channel=Channel.POLICE, attempt=1,
            t7_ms=NOW_MS + 10, t8_ms=NOW_MS + 90, result="accepted", status=202,
        )
    )  # fmt: skip
    async with room.client() as ada:
        assert (await ada.get("/api/v1/alerts")).json()["items"] == []
        items = (await ada.get("/api/v1/alerts", params={"open": "false"})).json()["items"]
        assert [(one["id"], one["outcome"], one["closed_by"]) for one in items] == [
            (closed.id, "left_zone", "Bob")
        ]
        before = {"open": "false", "to": "2026-11-21T12:00:00Z"}
        assert (await ada.get("/api/v1/alerts", params=before)).json()["items"] == []
        entries = (await ada.get(f"/api/v1/alerts/{episode.id}/timeline")).json()["entries"]
    told = [(each["source"], each["nature"], each["what"]) for each in entries]
    assert told == [
        ("machine", "fact", "opened"),
        ("human", "fact", "acknowledged"),
        ("human", "assessment", "closed"),
        ("delivery", "fact", "accepted"),
    ]
    assert "lat" not in json.dumps(entries)


async def test_with_the_record_down_open_alerts_are_served_and_acted_upon(room: Room) -> None:
    room.record.down = room.orders.down = True
    episode = await room.press()
    async with room.client() as ada:
        assert len((await ada.get("/api/v1/alerts")).json()["items"]) == 1
        got = await ada.get(f"/api/v1/alerts/{episode.id}")
        assert (got.status_code, got.headers["etag"]) == (200, '"1"')
        url = f"/api/v1/alerts/{episode.id}"
        body = {"job": "monitor"}
        taken = await ada.put(f"{url}/acknowledgement", json=body, headers={"If-Match": '"1"'})
        assert taken.status_code == 200
        closed = await ada.post(f"{url}/closure", json={"outcome": "technical"}, headers={"If-Match": '"2"'})
        assert closed.status_code == 200
        for path in (
            "alerts?open=false", f"alerts/{episode.id}/timeline", "alerts/alr_unknown",
        ):  # fmt: skip
            answer = await ada.get(f"/api/v1/{path}")
            assert (answer.status_code, answer.json()["type"]) == (503, "/problems/record-unavailable"), path
            assert answer.headers["retry-after"] == "2"
        ready = await ada.get("/readyz")
    assert ready.status_code == 200
    assert (ready.json()["ready"], ready.json()["degraded"]) == (True, True)


async def test_an_alert_that_closed_long_ago_is_looked_up_in_the_record(room: Room) -> None:
    episode = await room.press()
    room.record.catch_up()
    room.projection._open.clear()
    async with room.client() as ada:
        assert (await ada.get(f"/api/v1/alerts/{episode.id}")).json()["id"] == episode.id
        answer = await ada.get("/api/v1/alerts/alr_unknown")
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/unknown-alert")
        assert (await ada.get("/api/v1/alerts/alr_unknown/timeline")).status_code == 404


async def test_one_unreadable_ruling_does_not_blind_the_rest(room: Room) -> None:
    await room.log.append(place("TGD_SOS", "future"), b"\x09of another version")
    await room.press()
    async with room.client() as ada:
        assert len((await ada.get("/api/v1/alerts")).json()["items"]) == 1
        checks = {check["name"]: check for check in (await ada.get("/readyz")).json()["checks"]}
    assert checks["projection"]["detail"] == "1 unreadable rulings"


async def test_until_the_log_is_read_nothing_is_said_to_be_open(room: Room) -> None:
    room.projection.ready.clear()
    async with room.client() as ada:
        for path in ("alerts", "alerts/alr_1", "live"):
            answer = await ada.get(f"/api/v1/{path}")
            assert (answer.status_code, answer.json()["type"]) == (503, "/problems/not-ready"), path
        assert (await ada.get("/readyz")).status_code == 503


async def test_a_receipt_shows_at_once_without_a_new_version(room: Room) -> None:
    episode = await room.press()
    receipt = Receipt(
        notification="evt_1", episode=episode.id, version=1, channel=Channel.TELEASSISTANCE, attempt=1,
        t7_ms=NOW_MS + 10, t8_ms=NOW_MS + 90, result="accepted", status=200,
    )  # fmt: skip
    await room.ledger.rule(episode.code, episode.subject, receipt)
    await room.settle()
    async with room.client() as ada:
        shown = (await ada.get(f"/api/v1/alerts/{episode.id}")).json()
    assert (shown["version"], shown["clock"]["t8"]) == (1, "2026-11-21T12:00:00.090Z")
