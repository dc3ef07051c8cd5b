"""Can two people have one alert, can anybody act on what he has not seen?"""

from __future__ import annotations

import asyncio

import pytest
from api_room import Room

from tocsin.model.episode import Outcome, Verb

BODIES = {"acknowledgement": {"job": "monitor"}, "closure": {"outcome": "false_alarm", "note": "un essai"}}


async def do(client, episode_id: str, verb: str, tag: str | None):
    headers = {} if tag is None else {"If-Match": tag}
    url = f"/api/v1/alerts/{episode_id}"
    match verb:
        case "take":
            return await client.put(f"{url}/acknowledgement", json={"job": "monitor"}, headers=headers)
        case "release":
            return await client.delete(f"{url}/acknowledgement", headers=headers)
        case _:
            return await client.post(f"{url}/closure", json=BODIES["closure"], headers=headers)


def said(answer) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].removeprefix("/problems/")


async def test_take_release_take_close(room: Room) -> None:
    episode = await room.press()
    async with room.client("Ada") as ada:
        taken = await do(ada, episode.id, "take", '"1"')
        assert taken.status_code == 200
        assert taken.headers["etag"] == '"2"'
        assert taken.json() == {
            "by": "Ada", "at": "2026-11-21T12:00:00.000Z", "expires_at": "2026-11-21T12:02:00.000Z", "version": 2,
        }  # fmt: skip
        again = await do(ada, episode.id, "take", '"1"')
        assert (again.status_code, again.json()["version"]) == (200, 2)
        released = await do(ada, episode.id, "release", '"2"')
        assert (released.status_code, released.json()["state"], released.json()["owner"]) == (
            200,
            "raised",
            None,
        )
        await do(ada, episode.id, "take", '"3"')
        closed = await do(ada, episode.id, "close", '"4"')
        assert (closed.status_code, closed.json()["state"], closed.json()["outcome"]) == (
            200,
            "closed",
            "false_alarm",
        )
        assert said(await do(ada, episode.id, "take", '"5"')) == (409, "already-closed")


@pytest.mark.parametrize("verb", ["take", "release", "close"])
@pytest.mark.parametrize(
    ("tag", "status", "slug"),
    [
        (None, 428, "precondition-required"),
        ('"3"', 412, "stale-version"),
        ('W/"2"', 412, "stale-version"),
        ("2", 400, "etag-not-quoted"),
        ("*", 412, "stale-version"),
        ('"2", "1"', 412, "stale-version"),
        ('"two"', 412, "stale-version"),
        ("", 412, "stale-version"),
        ('"2"', 200, ""),
    ],
)
async def test_if_match(room: Room, verb: str, tag: str | None, status: int, slug: str) -> None:
    episode = await room.press()
    if verb == "take":
        episode = await room.press(cause="2")  # version 2, nobody's
    else:
        episode = await room.act(episode, Verb.ACKNOWLEDGE, "Ada")  # version 2, his own
    async with room.client("Ada") as ada:
        answer = await do(ada, episode.id, verb, tag)
    assert answer.status_code == status
    if slug:
        assert said(answer) == (status, slug)
    if status == 412:
        assert answer.headers["etag"] == answer.json()["etag"] == '"2"'
        assert answer.json()["owner"] == episode.owner


@pytest.mark.parametrize(("verb", "status"), [("take", 200), ("release", 412), ("close", 412)])
async def test_any_version_is_good_to_take_what_nobody_has_had_since(room: Room, verb: str, status: int) -> None:
    """F26: it rang again while he reached for it. What is in a hand is acted on as it was seen."""
    episode = await room.press()
    if verb == "take":
        await room.press(cause="2")
    else:
        await room.act(episode, Verb.ACKNOWLEDGE, "Ada")
    async with room.client("Ada") as ada:
        assert (await do(ada, episode.id, verb, '"1"')).status_code == status


async def test_two_operators_race_and_one_is_told_who_was_first(room: Room) -> None:
    episode = await room.press()
    async with room.client("Ada") as ada, room.client("Bob") as bob:
        first, second = await asyncio.gather(
            do(ada, episode.id, "take", '"1"'), do(bob, episode.id, "take", '"1"')
        )
    answers = {"Ada": first, "Bob": second}
    winner = next(name for name, answer in answers.items() if answer.status_code == 200)
    loser = next(answer for name, answer in answers.items() if name != winner)
    assert said(loser) == (409, "already-owned")
    assert loser.json()["owner"] == winner
    assert loser.json()["detail"] == f"taken by {winner}"
    assert loser.headers["etag"] == '"2"'
    assert loser.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("verb", ["release", "close"])
async def test_only_the_owner_releases_and_closes(room: Room, verb: str) -> None:
    episode = await room.press()
    async with room.client("Ada") as ada:
        assert said(await do(ada, episode.id, verb, '"1"')) == (409, "not-acknowledged")
        await room.act(episode, Verb.ACKNOWLEDGE, "Bob")
        answer = await do(ada, episode.id, verb, '"2"')
    assert said(answer) == (409, "not-owner")
    assert answer.json()["owner"] == "Bob"


async def test_what_comes_after_the_close_is_another_alert(room: Room) -> None:
    first = await room.press()
    taken = await room.act(first, Verb.ACKNOWLEDGE, "Ada")
    await room.act(taken, Verb.CLOSE, "Ada", Outcome.TECHNICAL)
    second = await room.press(cause="2")
    async with room.client("Ada") as ada:
        assert said(await do(ada, first.id, "take", '"1"')) == (409, "already-closed")
        shown = (await ada.get(f"/api/v1/alerts/{second.id}")).json()
    assert (shown["owner"], shown["follows"], shown["version"]) == (None, first.id, 1)


async def test_an_act_does_not_fall_upon_the_successor(room: Room, monkeypatch) -> None:
    """The projection is behind: it still shows the first alert, and both have had version 1."""
    first = await room.press()
    held = room.projection.find(first.id)
    taken = await room.act(first, Verb.ACKNOWLEDGE, "Bob")
    await room.act(taken, Verb.CLOSE, "Bob", Outcome.TECHNICAL)
    second = await room.press(cause="2")
    monkeypatch.setattr(room.projection, "find", lambda _id: held)
    async with room.client("Ada") as ada:
        assert said(await do(ada, first.id, "take", '"1"')) == (409, "already-closed")
    monkeypatch.undo()
    assert room.projection.find(second.id).episode.owner is None


async def test_an_act_on_nothing_and_an_act_without_log(room: Room) -> None:
    episode = await room.press()
    async with room.client("Ada") as ada:
        assert said(await do(ada, "alr_none", "take", '"1"')) == (404, "unknown-alert")
        room.log.down = True
        assert said(await do(ada, episode.id, "take", '"1"')) == (503, "log-unavailable")
        ready = await ada.get("/readyz")
        assert ready.status_code == 503
        assert [check["ok"] for check in ready.json()["checks"] if check["name"] == "log"] == [False]


async def test_the_job_and_the_note_reach_the_evidence(room: Room) -> None:
    episode = await room.press()
    async with room.client("Bob") as bob:
        await do(bob, episode.id, "take", '"1"')
        await do(bob, episode.id, "close", '"2"')
        room.record.catch_up()
        entries = (await bob.get(f"/api/v1/alerts/{episode.id}/timeline")).json()["entries"]
    assert [entry["detail"].get("note") for entry in entries] == [None, "job: monitor", "un essai"]


async def test_without_auth_the_actor_says_his_own_name() -> None:
    from api_room import opened, without_auth  # noqa: PLC0415

    async with opened(without_auth()) as room:
        episode = await room.press()
        async with room.client(None, **{"Tocsin-Actor": "Chlo%C3%A9"}) as chloe, room.client(None) as nobody:
            taken = await do(chloe, episode.id, "take", '"1"')
            assert taken.json()["by"] == "Chloé"
            assert (await nobody.get("/api/v1/me")).json()["name"] == "lab"
