"""Which pairs of a silent group come first, who may read that, and is there no place in it? F05, F06, F33."""

from __future__ import annotations

import json
from typing import Any

import pytest
from api_room import NOW_MS, Room
from builders import eventually

from alerts.channels import teleassistance
from alerts.channels.form import Sender
from alerts.desk import handle
from tocsin.clock import rfc3339
from tocsin.limits import INCIDENT_TOLD_MAX
from tocsin.model.episode import Channel, Episode, FindingCause, Outcome, Realm, Ruling, Verb
from tocsin.model.finding import Change, Code, Finding
from tocsin.model.fix import ClockPoints
from tocsin.model.fleet import Dimension, Group, Incident, PairAtRisk, Party, Silenced
from tocsin.model.standing import Protection, Standing
from tocsin.model.zone import Zone
from tocsin.wire import encode

GROUP = Group(dimension=Dimension.APN, value="iot.carrier.example")
COUNT = 350
CODE = Code.SYS_FLEET_SILENCE


def at_risk(n: int, worst_ms: int | None) -> PairAtRisk:
    plausible_ms = None if worst_ms is None else worst_ms + 60_000
    return PairAtRisk(measure=f"msr_{n}", silent=Party.BOTH, worst_ms=worst_ms, plausible_ms=plausible_ms)


RANKED = (*(at_risk(n, NOW_MS - 5_000 + 1_000 * n) for n in range(1, COUNT)), at_risk(COUNT, None))


def silence(name: str = "fnd_fleet") -> Finding:
    told = Silenced(
        group=GROUP, silent=2 * COUNT, expected=2 * COUNT, since_ms=NOW_MS - 60_000, pairs=COUNT,
        worst=RANKED[:INCIDENT_TOLD_MAX],
    )  # fmt: skip
    return Finding(
        id=name, measure=GROUP.subject, order_version=0, code=CODE, change=Change.ENTRY, before=Zone.FAR,
        after=Zone.FAR, distance_dm=None, threshold_m=0, wearer=None, protected=None, entry=name, entry_ms=NOW_MS,
        at_ms=NOW_MS, reason="missed_beyond_losses", points=ClockPoints(t5_ms=NOW_MS), silenced=told,
        silent_since_ms=NOW_MS - 60_000,
    )  # fmt: skip


async def raised(room: Room, ranked: tuple[PairAtRisk, ...] | None = RANKED, entry: str = "fnd_fleet") -> Episode:
    """Its alert; and the bucket tells of ``ranked``, under the name ``entry``."""
    ruling = await room.ledger.rule(CODE.value, GROUP.subject, FindingCause(finding=silence()))
    assert isinstance(ruling, Ruling)
    await room.settle()
    if ranked is not None:
        now = Incident(
            entry=entry, entry_ms=NOW_MS, at_ms=NOW_MS + 10_000, group=GROUP, silent=690, expected=2 * COUNT,
            since_ms=NOW_MS - 60_000, ranked=ranked,
        )  # fmt: skip
        room.incidents.apply(GROUP.subject, encode(now))
    return ruling.episode


async def shown(room: Room, episode: Episode, name: str = "Ada") -> dict[str, Any]:
    async with room.client(name) as client:
        answer = await client.get(f"/api/v1/incidents/{episode.id}")
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


async def test_all_pairs_are_shown_in_the_order_of_their_blind_risk(room: Room) -> None:
    said = await shown(room, await raised(room))
    assert [one["measure"] for one in said["pairs"]] == [f"msr_{n}" for n in range(1, COUNT + 1)]
    said_of_all = {name: value for name, value in said.items() if name not in {"alert", "pairs"}}
    assert said_of_all == {
        "dimension": "apn", "value": GROUP.value, "silent": 690, "expected": 700, "complete": True,
        "since": rfc3339(NOW_MS - 60_000), "at": rfc3339(NOW_MS + 10_000),
    }  # fmt: skip
    assert said["pairs"][0] == {
        "measure": "msr_1", "silent": "both",
        "blind_risk": {"worst_at": rfc3339(NOW_MS - 4_000), "plausible_at": rfc3339(NOW_MS + 56_000)},
        "blind_worst_s": -4.0, "protection": None, "alerts": [],
    }  # fmt: skip
    assert (said["pairs"][-1]["blind_risk"], said["pairs"][-1]["blind_worst_s"]) == (None, None)


async def test_a_pair_comes_with_how_it_stands_and_its_own_open_alerts(room: Room) -> None:
    episode = await raised(room)
    own = await room.approach("msr_7", Code.PROX_ALERT)
    closed = await room.act(await room.approach("msr_8", Code.PROX_ALERT), Verb.ACKNOWLEDGE, "Ada")
    await room.act(closed, Verb.CLOSE, "Ada", Outcome.FALSE_ALARM)
    standing = Standing(
        measure="msr_7", protection=Protection.DEGRADED, since_ms=NOW_MS, reason="silent_in_reach", zone=Zone.FAR,
        at_ms=NOW_MS,
    )  # fmt: skip
    await room.bucket.put("msr_7", encode(standing))
    await eventually(room.standings.ranked)
    pairs = {one["measure"]: one for one in (await shown(room, episode))["pairs"]}
    assert (pairs["msr_7"]["protection"], pairs["msr_7"]["alerts"]) == ("degraded", [own.id])
    assert (pairs["msr_8"]["protection"], pairs["msr_8"]["alerts"]) == (None, [])


async def test_an_incident_that_has_shrunk_is_still_shown_whole(room: Room) -> None:
    said = await shown(room, await raised(room, RANKED[:12]))
    assert (len(said["pairs"]), said["complete"]) == (12, True)


@pytest.mark.parametrize("entry", ["fnd_of_another_incident", None])
async def test_without_the_bucket_the_alert_itself_names_the_most_urgent(room: Room, entry: str | None) -> None:
    """It is over, or the bucket tells of a later one of the same group: that is not this alert's."""
    episode = await raised(room, None) if entry is None else await raised(room, RANKED[::-1], entry)
    said = await shown(room, episode)
    assert said["complete"] is False
    assert [one["measure"] for one in said["pairs"]] == [one.measure for one in RANKED[:INCIDENT_TOLD_MAX]]
    assert (said["silent"], said["at"]) == (700, rfc3339(NOW_MS))


@pytest.mark.parametrize(
    ("name", "status"), [("Ada", 200), ("Bob", 200), ("Sue", 200), ("Jude", 403), ("Tom", 403)]
)
async def test_who_may_see_protection_may_see_an_incident(room: Room, name: str, status: int) -> None:
    episode = await raised(room)
    async with room.client(name) as client:
        answer = await client.get(f"/api/v1/incidents/{episode.id}")
    assert answer.status_code == status
    if status == 403:
        assert "msr_" not in answer.text


async def test_an_alert_that_is_no_incident_has_no_pairs(room: Room) -> None:
    episode = await room.approach()
    async with room.client() as ada:
        answer = await ada.get(f"/api/v1/incidents/{episode.id}")
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/unknown-alert")


async def test_no_word_of_a_place(room: Room) -> None:
    episode = await raised(room)
    await room.approach("msr_7", Code.PROX_ALERT)
    words = json.dumps(await shown(room, episode))
    assert not any(word in words for word in ("lat", "lon", "48.85", "2.35", "position", "distance"))


def test_the_webhook_tells_the_group_the_count_and_whom_to_look_at_first() -> None:
    ruling = handle(None, FindingCause(finding=silence()), Realm.LAB, NOW_MS)
    assert isinstance(ruling, Ruling)
    (told,) = [one for one in ruling.notifications if one.channel is Channel.TELEASSISTANCE]
    data = json.loads(teleassistance.body(ruling, told, Sender(site="paca")))["data"]
    assert (data["code"], data["priority"], data["silent_since"]) == (CODE, 1, rfc3339(NOW_MS - 60_000))
    first = data["fleet"].pop("first")
    assert data["fleet"] == {
        "dimension": "apn", "value": GROUP.value, "silent": 700, "expected": 700, "pairs": COUNT,
    }  # fmt: skip
    assert len(first) == INCIDENT_TOLD_MAX
    assert first[0] == {"measure": "msr_1", "silent": "both", "blind_risk_at": rfc3339(NOW_MS - 4_000)}
    assert [one["measure"] for one in first] == [one.measure for one in RANKED[:INCIDENT_TOLD_MAX]]
    assert "distance_m" not in data, "there is none"
