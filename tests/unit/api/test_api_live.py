"""Does a console hear everything, in order, P1 at once, and is a slow one told so?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Collection
from itertools import pairwise

import pytest
from api_room import Room, opened

from alerts.api import live
from alerts.api.projection import Projection
from tocsin.model.episode import Outcome, Verb


@pytest.fixture(autouse=True)
def slow_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    """One beat at the beginning; the rest of the feed is then what the test made happen."""
    monkeypatch.setattr(live, "BEAT_S", 60.0)


class Console:
    """The feed of one client; ``hear`` is the next event that is no beat."""

    def __init__(self, room: Room, since: int | None) -> None:
        self.seen: list[Collection[str]] = []
        self._events: AsyncIterator[bytes] = live.events(
            room.projection, room.standings, room.clock, since, self.seen.append
        )

    async def next(self) -> tuple[str, str | None, object]:
        async with asyncio.timeout(60):
            lines = (await anext(self._events)).decode().strip().split("\n")
        fields = dict(line.split(": ", 1) for line in lines)
        return fields["event"], fields.get("id"), json.loads(fields["data"])

    async def hear(self) -> tuple[str, str | None, object]:
        while (event := await self.next())[0] == "beat":
            pass
        return event

    async def leave(self) -> None:
        await self._events.aclose()


async def joined(room: Room, since: int | None) -> Console:
    console = Console(room, since)
    assert (await console.next())[0] == "beat"
    return console


async def test_the_beat_says_the_hour_the_cursor_the_company_and_the_log(room: Room) -> None:
    console = Console(room, 0)
    assert await console.next() == (
        "beat", None,
        {
            "at": "2026-11-21T12:00:00.000Z", "cursor": "0", "consoles": 1, "log_age_ms": 0,
            "protection": {"protected": 0, "degraded": 0, "unprotected": 0},
        },
    )  # fmt: skip
    await console.leave()
    assert room.projection.consoles == 0


async def test_beats_come_every_second(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "BEAT_S", 0.01)
    console = Console(room, 0)
    assert [(await console.next())[0] for _ in range(4)] == ["beat"] * 4
    await console.leave()


async def test_without_a_cursor_the_feed_begins_with_what_is_open(room: Room) -> None:
    await room.press("tgd-1")
    closed = await room.act(await room.press("tgd-2"), Verb.ACKNOWLEDGE, "Ada")
    await room.act(closed, Verb.CLOSE, "Ada", Outcome.TECHNICAL)
    console = await joined(room, None)
    event, cursor, alerts = await console.hear()
    assert (event, cursor, [alert["device"] for alert in alerts]) == ("alerts", "1", ["tgd-1"])
    await console.leave()


async def test_changes_come_in_the_order_of_the_log_each_once(room: Room) -> None:
    console = await joined(room, 0)
    heard = []
    for number in range(5):
        episode = await room.press(f"tgd-{number}")
        event, cursor, alerts = await console.hear()
        heard.append((event, int(cursor), [alert["id"] for alert in alerts] == [episode.id]))
    assert heard == [("alerts", number, True) for number in range(1, 6)]
    assert all(first[1] < second[1] for first, second in pairwise(heard))
    await console.leave()


async def test_company_is_awaited_for_p2_and_not_for_p1(room: Room) -> None:
    loop = asyncio.get_running_loop()
    console = await joined(room, 0)
    started = loop.time()
    await room.approach("msr_1")
    await room.approach("msr_2")
    _, cursor, alerts = await console.hear()
    assert (cursor, [alert["measures"] for alert in alerts]) == ("2", [["msr_1"], ["msr_2"]])
    assert loop.time() - started >= 0.1
    await room.approach("msr_3")
    started = loop.time()
    await room.press()
    _, cursor, alerts = await console.hear()
    assert (cursor, [alert["priority"] for alert in alerts]) == ("4", [2, 1])
    assert loop.time() - started < 0.09
    await console.leave()


async def test_a_change_upon_a_change_is_told_once_as_it_is_now(room: Room) -> None:
    console = await joined(room, 0)
    episode = await room.press()
    await room.act(episode, Verb.ACKNOWLEDGE, "Bob")
    _, cursor, alerts = await console.hear()
    assert (cursor, [(alert["version"], alert["owner"]) for alert in alerts]) == ("2", [(2, "Bob")])
    await console.leave()


async def test_who_comes_back_hears_what_he_missed_closings_too(room: Room) -> None:
    first = await room.press("tgd-1")
    await room.press("tgd-2")
    taken = await room.act(first, Verb.ACKNOWLEDGE, "Ada")
    await room.act(taken, Verb.CLOSE, "Ada", Outcome.TECHNICAL)
    console = await joined(room, 2)
    _, cursor, alerts = await console.hear()
    assert (cursor, [(alert["id"], alert["state"]) for alert in alerts]) == ("4", [(first.id, "closed")])
    await console.leave()


async def test_a_slow_client_is_reset_and_nothing_grows() -> None:
    async with opened(projection=Projection(feed_max=3)) as room:
        slow, quick = await joined(room, 0), await joined(room, 0)
        for number in range(10):
            await room.press(f"tgd-{number}")
            await quick.hear()
        assert max(len(feed._changed) for feed in room.projection._feeds) <= 3
        assert (await slow.hear())[::2] == ("reset", {"cursor": "10"})
        await room.press("tgd-after")
        assert [alert["device"] for alert in (await slow.hear())[2]] == ["tgd-after"]
        await slow.leave()
        await quick.leave()


@pytest.mark.parametrize("since", [1, 99])
async def test_a_gap_is_a_reset(since: int) -> None:
    """1: a closed alert has been forgotten since; 99: that is not of this log."""
    async with opened(projection=Projection(recent_max=1)) as room:
        for number in range(3):
            taken = await room.act(await room.press(f"tgd-{number}"), Verb.ACKNOWLEDGE, "Ada")
            await room.act(taken, Verb.CLOSE, "Ada", Outcome.TECHNICAL)
        console = await joined(room, since)
        assert (await console.hear())[::2] == ("reset", {"cursor": "9"})
        await console.leave()


async def test_the_end_of_the_process_is_told(room: Room) -> None:
    console = await joined(room, 0)
    room.projection.drain()
    assert (await console.hear())[0] == "retire"


@pytest.mark.parametrize("since", ["x", "-1", "1" * 19, "²"])
async def test_a_cursor_is_a_number(room: Room, since: str) -> None:
    async with room.client() as ada:
        answer = await ada.get("/api/v1/live", params={"since": since})
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/bad-cursor")


async def test_a_projection_that_starts_late_reads_the_newest_of_each(room: Room) -> None:
    episode = await room.press()
    await room.act(episode, Verb.ACKNOWLEDGE, "Ada")
    later = Projection()
    following = asyncio.create_task(later.run(room.log, room.clock))
    async with asyncio.timeout(60):
        await later.ready.wait()
    assert later.find(episode.id).episode.owner == "Ada"
    assert later.sequence == 2
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_a_log_that_does_not_answer_is_not_called_heard() -> None:
    async with opened() as room:
        heard = room.projection.log_heard_ms
        room.log.down = True
        room.clock.ms += 7000
        console = Console(room, 0)
        assert heard is not None
        assert (await console.next())[2]["log_age_ms"] == 7000
        await console.leave()
