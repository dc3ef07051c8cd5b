"""What was done about an alert, to whom it was given: once per key, with or without the record? F26, invariant 3.

What the desk rules on these verbs is examined with the desk. Here: what reaches it, and what its answer becomes.
"""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from api_room import NOW, NOW_MS, Room

from alerts.api import views
from alerts.desk import handle
from tocsin.model.episode import (
    Act,
    AlarmCause,
    Deed,
    DeedKind,
    Episode,
    Outcome,
    Party,
    Reached,
    Realm,
    Reply,
    Ruling,
    Rung,
    State,
    Verb,
)
from tocsin.model.finding import Alarm, Code
from tocsin.model.fix import ClockPoints

CALL = {"kind": "call", "party": "protected", "outcome": "answered", "note": "elle est chez elle"}


def _the_desk_rules_on_deeds() -> bool:
    key = Alarm(
        id="alm_1", code=Code.TGD_SOS, device="tgd-01", measures=(), at_ms=NOW_MS, silent=False, position=None,
        points=ClockPoints(),
    )  # fmt: skip
    opened = handle(None, AlarmCause(alarm=key), Realm.LAB, NOW_MS)
    assert isinstance(opened, Ruling)
    act = {"episode": opened.episode.id, "actor": "Ada", "at_ms": NOW_MS}
    taken = handle(opened.episode, Act(verb=Verb.ACKNOWLEDGE, expected_version=1, **act), Realm.LAB, NOW_MS)
    assert isinstance(taken, Ruling)
    deed = Deed(kind=DeedKind.NOTE, at_ms=NOW_MS)
    done = Act(verb=Verb.DO, expected_version=taken.episode.version, deed=deed, **act)
    return isinstance(handle(taken.episode, done, Realm.LAB, NOW_MS), Ruling)


with_the_desk = pytest.mark.skipif(
    not _the_desk_rules_on_deeds(), reason="the desk does not rule on deeds yet: it comes with the ladder"
)


@pytest.fixture
def heard(room: Room, monkeypatch: pytest.MonkeyPatch) -> list[Act]:
    """Every act that reaches the ledger, which then rules as ever."""
    found: list[Act] = []
    rule = room.ledger.rule

    async def listening(code: str, subject: str, event: Act):
        found.append(event)
        return await rule(code, subject, event)

    monkeypatch.setattr(room.ledger, "rule", listening)
    return found


async def taken(room: Room, by: str = "Ada") -> Episode:
    return await room.act(await room.press(), Verb.ACKNOWLEDGE, by)


async def post(client, episode: Episode, what: str, body: dict, key: str | None = "k-1", tag: str = '"2"'):
    headers = {"If-Match": tag} | ({} if key is None else {"Idempotency-Key": key})
    return await client.post(f"/api/v1/alerts/{episode.id}/{what}", json=body, headers=headers)


def slug(answer) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].removeprefix("/problems/")


@pytest.mark.parametrize(
    ("what", "body", "expected"),
    [
        ("actions", CALL, {
            "verb": Verb.DO, "note": "elle est chez elle",
            "deed": Deed(kind=DeedKind.CALL, at_ms=NOW_MS, party=Party.PROTECTED, reply=Reply.ANSWERED),
        }),
        ("actions", {"kind": "order", "party": "wearer", "started_at": "2026-11-21T11:59:00Z",
                     "ended_at": "2026-11-21T11:59:30Z"}, {
            "verb": Verb.DO,
            "deed": Deed(kind=DeedKind.ORDER, at_ms=NOW_MS - 60_000, until_ms=NOW_MS - 30_000, party=Party.WEARER),
        }),
        ("actions", {"kind": "no_voice"}, {"verb": Verb.DO, "deed": Deed(kind=DeedKind.NO_VOICE, at_ms=NOW_MS)}),
        ("handovers", {"to": "C. Petit", "note": "fin de service"},
         {"verb": Verb.HAND_OVER, "to": "C. Petit", "note": "fin de service"}),
        ("handoffs", {"rooms": ["CIC-13", "CORG-2A", "CIC-13"]},
         {"verb": Verb.HAND_OFF, "rooms": ("CIC-13", "CORG-2A")}),
        ("handoffs", {}, {"verb": Verb.HAND_OFF, "rooms": ()}),
    ],
)  # fmt: skip
async def test_what_he_says_is_what_the_desk_hears(
    room: Room, heard: list[Act], what: str, body: dict, expected: dict
) -> None:
    episode = await taken(room)
    heard.clear()
    async with room.client("Ada") as ada:
        await post(ada, episode, what, body)
    (act,) = heard
    assert (act.episode, act.actor, act.at_ms, act.expected_version) == (episode.id, "Ada", NOW_MS, 2)
    assert {name: getattr(act, name) for name in expected} == expected
    assert (act.service, act.supervises) == ("", False)
    assert act.keyed is not None
    assert act.keyed.at_ms == NOW_MS
    assert "k-1" not in act.keyed.key, "a hash: a key may be anybody's secret"


@pytest.mark.parametrize(("name", "supervises"), [("Ada", False), ("Sue", True)])
async def test_a_take_over_says_why_and_whether_he_supervises(
    room: Room, heard: list[Act], name: str, supervises: bool
) -> None:
    episode = await taken(room, "Bob")
    heard.clear()
    async with room.client(name, **{"If-Match": '"2"'}) as client:
        body = {"take_over": True, "reason": "il ne répond plus"}
        await client.put(f"/api/v1/alerts/{episode.id}/acknowledgement", json=body)
    (act,) = heard
    assert (act.verb, act.actor, act.note, act.supervises) == (
        Verb.TAKE_OVER, name, "il ne répond plus", supervises,
    )  # fmt: skip


async def test_the_platform_and_its_human_are_both_in_the_act(room: Room, heard: list[Act]) -> None:
    episode = await taken(room)
    heard.clear()
    async with room.client("Alma", **{"Tocsin-Actor": "Zoe"}) as alma:
        await post(alma, episode, "actions", CALL)
    assert [(act.actor, act.service) for act in heard] == [("Zoe", "Alma")]


@pytest.mark.parametrize(
    ("what", "body", "pointer"),
    [
        ("actions", {"kind": "dance"}, "/kind"),
        ("actions", {"kind": "call"}, ""),
        ("actions", {"kind": "note", "party": "wearer"}, ""),
        ("actions", {"kind": "note", "outcome": "answered"}, ""),
        ("actions", {"kind": "message", "party": "contact", "outcome": "answered"}, ""),
        ("actions", {"kind": "note", "ended_at": "2026-11-21T11:59:00Z"}, ""),
        (
            "actions",
            {"kind": "note", "started_at": "2026-11-21T11:59:00Z", "ended_at": "2026-11-21T11:58:00Z"},
            "",
        ),
        ("actions", {"kind": "note", "started_at": "2026-11-21T12:05:01Z"}, "/started_at"),
        ("actions", {"kind": "note", "note": "nul \0"}, "/note"),
        ("handovers", {}, "/to"),
        ("handovers", {"to": " "}, "/to"),
        ("handovers", {"to": "a\nb"}, "/to"),
        ("handoffs", {"rooms": ["the police"]}, "/rooms/0"),
        ("handoffs", {"rooms": ["CIC-13"] * 17}, "/rooms"),
        ("acknowledgement", {}, ""),
        ("acknowledgement", {"take_over": True}, ""),
        ("acknowledgement", {"job": "monitor", "reason": "x"}, ""),
        ("acknowledgement", {"take_over": True, "reason": "  "}, "/reason"),
    ],
)
async def test_what_makes_no_sense_is_refused_where_it_makes_none(
    room: Room, heard: list[Act], what: str, body: dict, pointer: str
) -> None:
    episode = await taken(room)
    heard.clear()
    async with room.client("Sue", **{"If-Match": '"2"', "Idempotency-Key": "k"}) as sue:
        method = "PUT" if what == "acknowledgement" else "POST"
        answer = await sue.request(method, f"/api/v1/alerts/{episode.id}/{what}", json=body)
    assert slug(answer) == (422, "invalid-request")
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert heard == []


@pytest.mark.parametrize("what", ["actions", "handovers", "handoffs"])
@pytest.mark.parametrize("key", [None, "", "x" * 201])
async def test_a_key_is_asked_for(room: Room, heard: list[Act], what: str, key: str | None) -> None:
    body = {"actions": CALL, "handovers": {"to": "Zoe"}, "handoffs": {}}[what]
    episode = await taken(room)
    heard.clear()
    async with room.client("Ada") as ada:
        assert slug(await post(ada, episode, what, body, key)) == (400, "idempotency-key-missing")
    assert heard == []


# --- the same again ------------------------------------------------------------------------------------------


@with_the_desk
@pytest.mark.parametrize(
    ("what", "body", "verb"),
    [("actions", CALL, "do"), ("handovers", {"to": "C. Petit"}, "hand_over"), ("handoffs", {}, "hand_off")],
)
async def test_a_repetition_has_the_same_answer_and_does_nothing(
    room: Room, what: str, body: dict, verb: str
) -> None:
    """Also when the alert has gone on meanwhile, with the record down from the start (invariant 3)."""
    room.record.down = room.orders.down = True
    episode = await taken(room)
    async with room.client("Ada") as ada:
        first = await post(ada, episode, what, body)
        assert first.status_code == (202 if what == "handoffs" else 200), first.text
        assert first.json() == {"alert": episode.id, "verb": verb, "by": "Ada", "service": None, "at": NOW}
        await room.settle()
        await room.press(cause="2")
        room.clock.ms += 60_000
        after = room.projection.find(episode.id).episode
        again = [await post(ada, episode, what, body, tag=tag) for tag in ('"2"', '"1"', f'"{after.version}"')]
        assert [(one.status_code, one.content) for one in again] == [(first.status_code, first.content)] * 3
        assert room.projection.find(episode.id).episode == after
        other = body | {"note": "autre chose"}
        assert slug(await post(ada, episode, what, other)) == (422, "idempotency-key-reused")


@with_the_desk
async def test_ten_at_once_are_one_deed(room: Room) -> None:
    episode = await taken(room)
    async with room.client("Ada") as ada:
        answers = await asyncio.gather(*(post(ada, episode, "actions", CALL) for _ in range(10)))
    await room.settle()
    assert {(one.status_code, one.content) for one in answers} == {(200, answers[0].content)}
    assert len(room.projection.find(episode.id).episode.deeds) == 1


@with_the_desk
async def test_a_key_is_its_owners(room: Room) -> None:
    """The same word of another one, and of the same one for something else, is another key."""
    episode = await taken(room)
    async with room.client("Ada") as ada, room.client("Sue") as sue:
        assert (await post(ada, episode, "actions", CALL)).status_code == 200
        await room.settle()
        assert slug(await post(sue, episode, "actions", CALL, tag='"3"')) == (409, "not-owner")
        assert (await post(ada, episode, "handoffs", {}, tag='"3"')).status_code == 202


@with_the_desk
async def test_a_closure_with_a_key_is_answered_twice_and_without_one_refused(room: Room) -> None:
    episode, body = await taken(room), {"outcome": "false_alarm"}
    async with room.client("Ada") as ada:
        first = await post(ada, episode, "closure", body)
        await room.settle()
        again = await post(ada, episode, "closure", body)
        assert (again.status_code, again.json()) == (first.status_code, first.json())
        assert slug(await post(ada, episode, "closure", body | {"note": "x"})) == (422, "idempotency-key-reused")
        assert slug(await post(ada, episode, "closure", body, None)) == (409, "already-closed")


@with_the_desk
async def test_the_timeline_tells_what_was_done(room: Room) -> None:
    episode = await taken(room)
    async with room.client("Ada") as ada:
        await post(ada, episode, "actions", CALL)
        await post(ada, episode, "handoffs", {"rooms": ["CIC-13"]}, tag='"3"')
        await room.settle()
        version = room.projection.find(episode.id).episode.version
        await post(ada, episode, "handovers", {"to": "C. Petit", "note": "fin"}, tag=f'"{version}"')
        room.record.catch_up()
        entries = (await ada.get(f"/api/v1/alerts/{episode.id}/timeline")).json()["entries"]
    done, off, over = [one["detail"] for one in entries if one["source"] == "human"][1:]
    assert done == {
        "note": "elle est chez elle", "service": None, "kind": "call", "party": "protected",
        "outcome": "answered", "from": NOW, "until": None,
    }  # fmt: skip
    assert off == {"note": "", "service": None, "rooms": "CIC-13"}
    assert over == {"note": "fin", "service": None, "to": "C. Petit"}


# --- how far it has come -------------------------------------------------------------------------------------

TAKEN = {"state": State.ACKNOWLEDGED, "owner": "Ada", "acknowledged_ms": NOW_MS}
CALLED = Deed(kind=DeedKind.CALL, at_ms=NOW_MS, party=Party.WEARER)
BEFORE = Deed(kind=DeedKind.CALL, at_ms=NOW_MS - 1, party=Party.WEARER)


@pytest.mark.parametrize(
    ("facts", "phase"),
    [
        ({}, "raised"),
        ({"t8_ms": NOW_MS}, "presented"),
        (TAKEN, "acknowledged"),
        ({**TAKEN, "deeds": (BEFORE,)}, "acknowledged"),
        ({**TAKEN, "deeds": (BEFORE, CALLED)}, "in_action"),
        ({**TAKEN, "deeds": (CALLED,), "handed_off_ms": NOW_MS}, "handed_off"),
        ({"deeds": (CALLED,), "handed_off_ms": NOW_MS}, "raised"),
        ({**TAKEN, "handed_off_ms": NOW_MS, "over_ms": NOW_MS}, "over"),
        ({"over_ms": NOW_MS}, "over"),
        ({**TAKEN, "over_ms": NOW_MS, "state": State.CLOSED, "outcome": Outcome.LEFT_ZONE}, "closed"),
        ({"state": State.FOLDED}, "folded"),
    ],
)
async def test_the_phase_is_told_by_the_facts(room: Room, facts: dict, phase: str) -> None:
    episode = await room.press()
    facts = dict(facts)
    if (t8_ms := facts.pop("t8_ms", None)) is not None:
        raising = episode.raises[0]
        points = msgspec.structs.replace(raising.points, t8_ms=t8_ms)
        facts["raises"] = (msgspec.structs.replace(raising, points=points),)
    assert views.phase(msgspec.structs.replace(episode, **facts)) == phase


async def test_the_sheet_tells_what_was_done_and_who_was_told(room: Room) -> None:
    episode = msgspec.structs.replace(
        await room.press(), waiting_ms=NOW_MS, rungs=(Reached(rung=Rung.SUPERVISOR, at_ms=NOW_MS),),
        deeds=(Deed(kind=DeedKind.CALL, at_ms=NOW_MS, until_ms=NOW_MS, party=Party.WEARER, reply=Reply.REFUSED),),
        verified_ms=NOW_MS, decided_ms=NOW_MS, handed_off_ms=NOW_MS, protected_told_ms=NOW_MS,
    )  # fmt: skip
    shown = views.alert(episode).model_dump(mode="json")
    assert shown["deeds"] == [
        {"kind": "call", "at": NOW, "until": NOW, "party": "wearer", "outcome": "refused"},
    ]
    assert shown["rungs"] == [{"rung": "supervisor", "at": NOW}]
    assert shown["verified"] is True
    hours = ("waiting_since", "verified_at", "decided_at", "handed_off_at", "protected_told_at")
    assert [shown[hour] for hour in hours] == [NOW] * 5
