"""Who is told that an endpoint does not take? One beginning and one end, whatever dies between them. F26."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from builders import NOW_MS, REALM, eventually
from real_broker import cancelled

from alerts.desk import handle
from alerts.faults import ASK_AGAIN_S, Faults
from tocsin import subjects
from tocsin.clock import AffineClock
from tocsin.model.episode import Act, Episode, NoticeCause, Outcome, Ruling, Verb
from tocsin.model.finding import Change
from tocsin.model.notice import Notice
from tocsin.subjects import EPISODES, NOTICES
from tocsin.testing.bus import MemoryLog
from tocsin.wire import decode_notice, decode_ruling, encode

PLACE = subjects.episode("SYS_NOTIFY_FAIL", "teleassistance")


@dataclass
class Hand:
    """The hour, moved by hand."""

    now_s: float = NOW_MS / 1000

    def __call__(self) -> float:
        return self.now_s


class Desk:
    """A log, and a dispatcher that rules when it is asked to."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.hand = Hand()
        self.clock = AffineClock(wall=self.hand)
        self.read = 0

    @property
    def said(self) -> list[Notice]:
        return [decode_notice(one.payload) for one in self.log.entries(NOTICES)]

    @property
    def changes(self) -> list[Change]:
        return [one.change for one in self.said]

    async def episode(self) -> Episode | None:
        last = await self.log.last(EPISODES, PLACE)
        return None if last is None else decode_ruling(last.payload).episode

    async def rule(self) -> None:
        for notice in self.said[self.read :]:
            await self._on(NoticeCause(notice=notice))
        self.read = len(self.said)

    async def close(self) -> None:
        for verb in (Verb.ACKNOWLEDGE, Verb.CLOSE):
            episode = await self.episode()
            assert episode is not None
            await self._on(
                Act(
                    verb=verb, episode=episode.id, actor="D. Martin", at_ms=self.clock.now_ms(),
                    expected_version=episode.version, outcome=Outcome.TECHNICAL,
                )
            )  # fmt: skip

    async def _on(self, event: NoticeCause | Act) -> None:
        ruling = handle(await self.episode(), event, REALM, self.clock.now_ms())
        assert isinstance(ruling, Ruling), ruling
        await self.log.append(PLACE, encode(ruling))

    @asynccontextmanager
    async def courier(self) -> AsyncIterator[Faults]:
        faults = Faults(self.log, self.clock)
        serving = asyncio.create_task(faults.serve())
        try:
            yield faults
        finally:
            await cancelled(serving)


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def until(desk: Desk, *changes: Change) -> None:
    await eventually(lambda: desk.changes == list(changes))
    await asyncio.sleep(0.02)
    assert desk.changes == list(changes)


async def test_a_thousand_failures_begin_one_episode_and_one_acceptance_ends_it(desk: Desk) -> None:
    async with desk.courier() as faults:
        for _ in range(1_000):
            faults.failing("teleassistance", "not_received")
        await until(desk, Change.ENTRY)
        await desk.rule()
        for _ in range(1_000):
            faults.takes("teleassistance")
        await until(desk, Change.ENTRY, Change.EXIT)
        await desk.rule()
    episode = await desk.episode()
    assert episode is not None
    assert episode.over_ms == desk.clock.now_ms()
    assert len(episode.raises) == 1


async def test_each_endpoint_has_its_own(desk: Desk) -> None:
    async with desk.courier() as faults:
        faults.failing("teleassistance", "not_received")
        faults.failing("operations", "heartbeat_not_taken")
        await until(desk, Change.ENTRY, Change.ENTRY)
    assert [(one.subject, one.reason) for one in desk.said] == [
        ("teleassistance", "not_received"), ("operations", "heartbeat_not_taken"),
    ]  # fmt: skip


async def test_the_end_is_said_though_the_desk_has_not_ruled_on_the_beginning(desk: Desk) -> None:
    async with desk.courier() as faults:
        faults.failing("teleassistance", "not_received")
        faults.takes("teleassistance")
        await until(desk, Change.ENTRY, Change.EXIT)
    assert desk.said[1].entry == desk.said[0].id


async def test_a_courier_that_starts_ends_what_another_began(desk: Desk) -> None:
    async with desk.courier() as first:
        first.failing("teleassistance", "not_received")
        await until(desk, Change.ENTRY)
    await desk.rule()
    async with desk.courier() as next_one:
        next_one.failing("teleassistance", "not_received")
        next_one.takes("teleassistance")
        await until(desk, Change.ENTRY, Change.EXIT)
    assert desk.said[1].entry == desk.said[0].id


async def test_a_courier_that_starts_says_no_end_of_what_nobody_began(desk: Desk) -> None:
    async with desk.courier() as faults:
        faults.takes("teleassistance")
        faults.failing("operations", "not_received")  # behind it in the queue
        await until(desk, Change.ENTRY)
    assert desk.said[0].subject == "operations"


async def test_what_a_human_closed_while_it_lasts_is_raised_anew(desk: Desk) -> None:
    async with desk.courier() as faults:
        faults.failing("teleassistance", "not_received")
        await until(desk, Change.ENTRY)
        await desk.rule()
        desk.hand.now_s += ASK_AGAIN_S
        faults.failing("teleassistance", "not_received")
        await until(desk, Change.ENTRY)
        await desk.close()
        desk.hand.now_s += ASK_AGAIN_S
        faults.failing("teleassistance", "not_received")
        await until(desk, Change.ENTRY, Change.ENTRY)


async def test_with_the_log_down_it_is_said_later_and_in_order(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alerts.faults.SAY_AGAIN_S", 0.01)
    desk.log.down = True
    async with desk.courier() as faults:
        faults.failing("teleassistance", "endpoint_gone")
        faults.takes("teleassistance")
        desk.log.down = False
        await until(desk, Change.ENTRY, Change.EXIT)


async def test_a_name_that_is_right_now_ends_what_was_wrong_with_the_name_and_nothing_else(desk: Desk) -> None:
    """A restart with TOCSIN_WEBHOOK_NETWORKS set; the rooms of the police take nothing that would end it."""
    async with desk.courier() as first:
        first.failing("police", "address_refused")
        first.failing("operations", "not_received")
        await until(desk, Change.ENTRY, Change.ENTRY)
    for notice in desk.said:
        ruling = handle(None, NoticeCause(notice=notice), REALM, desk.clock.now_ms())
        assert isinstance(ruling, Ruling)
        await desk.log.append(subjects.episode("SYS_NOTIFY_FAIL", notice.subject), encode(ruling))
    async with desk.courier() as next_one:
        next_one.cured("operations", "address_refused")
        next_one.cured("teleassistance", "address_refused")
        next_one.cured("police", "address_refused")
        await until(desk, Change.ENTRY, Change.ENTRY, Change.EXIT)
    assert (desk.said[2].subject, desk.said[2].entry) == ("police", desk.said[0].id)
