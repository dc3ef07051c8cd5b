"""Does the link of a notification acknowledge its alert, that one alone, and for as long as it should?"""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio
import structlog
from api_room import NOW_MS, Room, opened, replace_settings
from pydantic import HttpUrl, SecretStr

from alerts.api.callbacks import is_of_an_earlier_wait
from alerts.callback import Claim, Links, token_of
from tocsin.limits import ACK_EXPIRES_S, CALLBACK_VALID_S
from tocsin.model.episode import Channel, Episode, Outcome, Ruling, Verb
from tocsin.subjects import EPISODES
from tocsin.wire import decode_ruling

SECRET = "a secret of the tests, 32 characters"
ME = {"by": "Zoé Martin", "act": "acknowledge"}


@pytest_asyncio.fixture
async def room() -> AsyncIterator[Room]:
    settings = replace_settings(
        api_public_url=HttpUrl("https://tocsin.example"), callback_secret=SecretStr(SECRET)
    )
    async with opened(settings) as made:
        yield made


def token(alert: str, at_ms: int = NOW_MS, secret: str = SECRET) -> str:
    return token_of(Claim(alert, "teleassistance", at_ms), secret.encode())


async def answer(room: Room, link: str, body: dict = ME, **headers: str):
    async with room.client(None, **headers) as anybody:
        return await anybody.post(f"/api/v1/callbacks/{link}", json=body)


def slug(found) -> tuple[int, str]:
    return found.status_code, found.json()["type"].removeprefix("/problems/")


async def test_the_link_of_the_ruling_is_answered_with_no_other_credential(room: Room) -> None:
    """Twice: the second changes nothing. The record has the human, and that it was the link."""
    room.record.down = room.orders.down = True
    episode = await room.press()
    ruling = decode_ruling(room.log.entries(EPISODES)[-1].payload)
    told = next(one for one in ruling.notifications if one.channel is Channel.TELEASSISTANCE)
    link = Links(public_url="https://tocsin.example", secret=SECRET.encode())(ruling, told).rpartition("/")[2]
    taken = await answer(room, link)
    assert taken.json() == {
        "by": "Zoé Martin", "at": "2026-11-21T12:00:00.000Z", "expires_at": "2026-11-21T12:02:00.000Z",
        "version": 2,
    }  # fmt: skip
    await room.settle()
    again = await answer(room, link)
    assert (again.status_code, again.content, again.headers["etag"]) == (200, taken.content, '"2"')
    assert len(room.log.entries(EPISODES)) == 2
    (_, acted) = [decode_ruling(entry.payload) for entry in room.log.entries(EPISODES)]
    assert (acted.event.actor, acted.event.service) == ("Zoé Martin", "callback")
    assert acted.event.note == "link sent to teleassistance"
    assert room.projection.find(episode.id).episode.owner == "Zoé Martin"


async def test_an_alert_that_was_raised_again_is_his_all_the_same(room: Room, monkeypatch) -> None:
    """The link is of version 1, the alert is at 2 or 3, and the projection is behind: he says that he has it."""
    episode = await room.press()
    held = room.projection.find(episode.id)
    await room.press(cause="2")
    await room.press(cause="3")
    monkeypatch.setattr(room.projection, "find", lambda _id: held)
    assert (await answer(room, token(episode.id))).json()["version"] == 4


async def test_who_has_it_has_it(room: Room) -> None:
    episode = await room.press()
    await room.act(episode, Verb.ACKNOWLEDGE, "Ada")
    refused = await answer(room, token(episode.id))
    assert slug(refused) == (409, "already-owned")
    assert refused.json()["owner"] == "Ada"


async def test_a_link_of_an_earlier_wait_never_makes_it_look_taken(room: Room) -> None:
    """A repetition that comes when the acknowledgement has expired: nobody has said anything again."""
    episode = await room.press()
    link = token(episode.id)
    room.clock.ms += 5_000
    assert (await answer(room, link)).status_code == 200
    await room.settle()
    room.clock.ms += ACK_EXPIRES_S * 1000
    assert slug(await answer(room, link)) == (412, "stale-version")
    newer = token(episode.id, room.clock.ms)
    assert (await answer(room, newer)).status_code == 200


async def test_when_it_was_given_back_the_newer_link_is_good_and_the_older_is_not(room: Room) -> None:
    """It is the episode that says when it came back."""
    episode = await room.press()
    room.clock.ms += 5_000
    taken = await room.act(episode, Verb.ACKNOWLEDGE, "Ada")
    room.clock.ms += 5_000
    await room.act(taken, Verb.RELEASE, "Ada")
    assert slug(await answer(room, token(episode.id))) == (412, "stale-version")
    assert (await answer(room, token(episode.id, room.clock.ms))).json()["by"] == "Zoé Martin"


@pytest.mark.parametrize(
    ("freed_ms", "acknowledged_ms", "expires_ms", "is_earlier"),
    [
        (None, None, None, False),
        (NOW_MS, None, None, False),
        (NOW_MS + 1, None, None, True),
        (None, NOW_MS + 5, NOW_MS + 10, True),
        (None, NOW_MS + 5, NOW_MS + 11, False),
    ],
)
async def test_which_wait_a_link_is_of(
    room: Room, freed_ms: int | None, acknowledged_ms: int | None, expires_ms: int | None, is_earlier: bool
) -> None:
    episode = await room.act(await room.press(), Verb.ACKNOWLEDGE, "Ada")
    facts: Episode = msgspec.structs.replace(
        episode,
        freed_ms=freed_ms,
        waiting_ms=freed_ms,
        acknowledged_ms=acknowledged_ms,
        acknowledgement_expires_ms=expires_ms,
    )
    assert is_of_an_earlier_wait(facts, Claim(episode.id, "x", NOW_MS), NOW_MS + 10) is is_earlier


async def test_what_became_more_urgent_is_taken_by_the_link_of_before(room: Room) -> None:
    """A P2 whose ladder begins anew as a P1: nobody has had it, and the yes comes at the worst moment."""
    episode = await room.press()
    facts: Episode = msgspec.structs.replace(episode, waiting_ms=NOW_MS + 180_000)
    assert not is_of_an_earlier_wait(facts, Claim(episode.id, "x", NOW_MS), NOW_MS + 181_000)


async def test_what_it_is_not_worth(room: Room) -> None:
    episode = await room.press()
    old = token(episode.id, NOW_MS - CALLBACK_VALID_S * 1000)
    assert slug(await answer(room, old)) == (410, "callback-expired")
    forged = token(episode.id, secret="another secret, as long as the other")
    for wrong in (forged, "x", "x.y", "é", token(episode.id)[:-1], "x" * 1000):
        assert slug(await answer(room, wrong)) == (404, "unknown-callback")
    assert slug(await answer(room, token("alr_none"))) == (404, "unknown-alert")
    for body, status in (
        ({"by": "Zoe", "act": "close"}, 422), ({"by": "", "act": "acknowledge"}, 422), ({"by": "Zoe"}, 422),
        ({"by": "Ada", "act": "acknowledge"}, 403),
    ):  # fmt: skip
        assert (await answer(room, token(episode.id), body)).status_code == status
    assert room.projection.find(episode.id).episode.version == 1


async def test_a_closed_alert_is_closed(room: Room) -> None:
    episode = await room.act(await room.press(), Verb.ACKNOWLEDGE, "Ada")
    await room.act(episode, Verb.CLOSE, "Ada", Outcome.TECHNICAL)
    assert slug(await answer(room, token(episode.id))) == (409, "already-closed")


async def test_without_a_secret_there_are_no_links() -> None:
    async with opened() as room:
        episode = await room.press()
        assert slug(await answer(room, token(episode.id))) == (404, "unknown-callback")


async def test_the_link_is_in_no_log(room: Room, caplog: pytest.LogCaptureFixture, monkeypatch) -> None:
    episode = await room.press()
    link = token(episode.id)

    async def broken(*_words: object) -> Ruling:
        raise ZeroDivisionError

    monkeypatch.setattr(room.ledger, "rule", broken)
    with structlog.testing.capture_logs() as lines:
        failed = await answer(room, link)
    assert slug(failed) == (500, "internal-error")
    assert lines
    assert link not in repr(lines) + caplog.text + failed.text
    assert link.partition(".")[0] not in repr(lines) + caplog.text + failed.text
