"""Is it shown which pairs are protected, and who may be at blind risk next? (invariant 13)"""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from api_room import NOW, NOW_MS, Room
from builders import eventually

from alerts.api.standings import Standings
from tocsin.clock import rfc3339
from tocsin.model.standing import Protection, Standing
from tocsin.model.zone import Zone
from tocsin.ports import Changed
from tocsin.telemetry import PROTECTION_PAIRS
from tocsin.wire import encode

PATH = "/api/v1/protection"
DEGRADED, PROTECTED, UNPROTECTED = Protection.DEGRADED, Protection.PROTECTED, Protection.UNPROTECTED


def standing(measure: str = "msr_1", protection: Protection = DEGRADED, **changes: Any) -> Standing:
    return Standing(
        **{
            "measure": measure, "protection": protection, "since_ms": NOW_MS - 75_000, "reason": "overdue",
            "zone": Zone.FAR, "at_ms": NOW_MS - 1_000, **changes,
        }
    )  # fmt: skip


async def shown(room: Room, **query: Any) -> dict[str, Any]:
    async with room.client() as ada:
        answer = await ada.get(PATH, params=query)
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


async def written(room: Room, *standings: Standing) -> None:
    """And read: the last one is what the board knows of its measure."""
    for one in standings:
        await room.bucket.put(one.measure, encode(one))
    await eventually(lambda: standings[-1] in room.standings.ranked())


async def test_everything_that_is_known_is_shown_and_no_place(room: Room) -> None:
    known = standing(
        zone=Zone.PREALERT, uncertain_since_ms=NOW_MS - 135_000, wearer_heard_ms=NOW_MS - 140_000,
        protected_heard_ms=NOW_MS - 2_000, blind_worst_ms=NOW_MS - 5_500, blind_plausible_ms=NOW_MS + 60_000,
    )  # fmt: skip
    await written(room, known)
    assert await shown(room) == {
        "items": [
            {
                "measure": "msr_1", "protection": "degraded", "since": rfc3339(NOW_MS - 75_000), "age_s": 75.0,
                "reason": "overdue", "zone": "prealert", "uncertain_since": rfc3339(NOW_MS - 135_000),
                "wearer_heard_at": rfc3339(NOW_MS - 140_000), "protected_heard_at": rfc3339(NOW_MS - 2_000),
                "blind_risk": {
                    "worst_at": rfc3339(NOW_MS - 5_500), "plausible_at": rfc3339(NOW_MS + 60_000),
                },
                "blind_worst_s": -5.5, "blind_plausible_s": 60.0, "updated_at": rfc3339(NOW_MS - 1_000),
            }
        ],
        "next": None, "counts": {"protected": 0, "degraded": 1, "unprotected": 0}, "at": NOW,
    }  # fmt: skip


async def test_the_seconds_are_those_of_the_hour_of_the_answer(room: Room) -> None:
    await written(room, standing(blind_worst_ms=NOW_MS + 10_000))
    room.clock.ms += 12_000
    (item,) = (await shown(room))["items"]
    assert (item["blind_worst_s"], item["blind_plausible_s"], item["age_s"]) == (-2.0, None, 87.0)


async def test_what_is_unknown_is_null(room: Room) -> None:
    await written(room, standing(protection=UNPROTECTED, reason="never_heard"))
    (item,) = (await shown(room))["items"]
    unknown = {name for name, value in item.items() if value is None}
    assert unknown == {
        "uncertain_since", "wearer_heard_at", "protected_heard_at", "blind_risk", "blind_worst_s",
        "blind_plausible_s",
    }  # fmt: skip


RANKED = (
    standing("msr_z", blind_worst_ms=NOW_MS - 1),
    standing("msr_b", PROTECTED, blind_worst_ms=NOW_MS + 5, blind_plausible_ms=NOW_MS - 9),
    standing("msr_c", blind_worst_ms=NOW_MS + 5),
    standing("msr_a", UNPROTECTED),
    standing("msr_d", PROTECTED),
)


@pytest.mark.parametrize("order", list(permutations(RANKED))[::17])
async def test_who_may_be_at_risk_soonest_comes_first_the_unknown_last(
    room: Room, order: tuple[Standing, ...]
) -> None:
    await written(room, *order)
    assert [one["measure"] for one in (await shown(room))["items"]] == [one.measure for one in RANKED]


@pytest.mark.parametrize(
    ("state", "measures"),
    [
        ("degraded", ["msr_z", "msr_c"]),
        ("protected", ["msr_b", "msr_d"]),
        ("unprotected", ["msr_a"]),
        (["degraded", "unprotected"], ["msr_z", "msr_c", "msr_a"]),
    ],
)
async def test_only_what_is_asked_for(room: Room, state: object, measures: list[str]) -> None:
    await written(room, *RANKED)
    said = await shown(room, state=state)
    assert [one["measure"] for one in said["items"]] == measures
    assert said["counts"] == {"protected": 2, "degraded": 2, "unprotected": 1}, "of all, whatever was asked for"


async def test_pages_hold_each_measure_once(room: Room) -> None:
    await written(room, *RANKED)
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await shown(room, limit=2, **cursor)
        seen += [one["measure"] for one in page["items"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert seen == [one.measure for one in RANKED]


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ({"cursor": "x"}, "bad-cursor"),
        ({"cursor": "x~msr_1"}, "bad-cursor"),
        ({"cursor": "²~msr_1"}, "invalid-request"),
        ({"cursor": "12~"}, "bad-cursor"),
        ({"state": "dégradée"}, "invalid-request"),
        ({"limit": 0}, "invalid-request"),
    ],
)
async def test_a_wrong_question_is_named(room: Room, query: dict[str, Any], problem: str) -> None:
    async with room.client() as ada:
        answer = await ada.get(PATH, params=query)
    assert answer.json()["type"] == f"/problems/{problem}"


async def test_it_needs_no_record(room: Room) -> None:
    """A7: PostgreSQL is down."""
    room.record.down = room.orders.down = True
    await written(room, standing())
    assert len((await shown(room))["items"]) == 1


async def test_an_unreadable_standing_leaves_the_one_before_and_is_told(room: Room) -> None:
    await written(room, standing("msr_1", UNPROTECTED), standing("msr_2"))
    await room.bucket.put("msr_1", b"\x09of another version")
    await room.bucket.put("msr_3", b"\x01rubbish")
    await written(room, standing("msr_2", PROTECTED))
    said = await shown(room)
    assert {one["measure"]: one["protection"] for one in said["items"]} == {
        "msr_1": "unprotected", "msr_2": "protected",
    }  # fmt: skip
    async with room.client() as ada:
        checks = {check["name"]: check for check in (await ada.get("/readyz")).json()["checks"]}
    assert checks["protection"] == {
        "name": "protection", "ok": True, "needed": False, "detail": "2 unreadable standings",
    }  # fmt: skip


async def test_a_measure_that_is_no_longer_judged_disappears(room: Room) -> None:
    await written(room, standing("msr_1"), standing("msr_2"))
    await room.bucket.delete("msr_1")
    await room.bucket.delete("msr_unknown")
    await eventually(lambda: len(room.standings.ranked()) == 1)
    said = await shown(room)
    assert [one["measure"] for one in said["items"]] == ["msr_2"]
    assert said["counts"] == {"protected": 0, "degraded": 1, "unprotected": 0}


async def test_until_the_bucket_is_read_nobody_is_said_to_be_protected_and_alerts_go_on(room: Room) -> None:
    await room.press()
    room.standings.ready.clear()
    async with room.client() as ada:
        answer = await ada.get(PATH)
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/not-ready")
        assert len((await ada.get("/api/v1/alerts")).json()["items"]) == 1
        assert (await ada.get("/readyz")).status_code == 200


def test_the_gauge_counts_as_the_board_does() -> None:
    board, changes = Standings(), []
    for number, protection in enumerate([DEGRADED, UNPROTECTED, DEGRADED, PROTECTED]):
        changes.append(Changed(key=f"msr_{number % 3}", value=encode(standing(protection=protection)), revision=1))
    for change in (*changes, Changed(key="msr_2", value=None, revision=1), *changes[:1]):
        board.apply(change)
    expected = {"protected": 0, "degraded": 1, "unprotected": 1}
    assert board.counts == expected
    assert {state: PROTECTION_PAIRS.labels(state=state)._value.get() for state in expected} == expected
