"""Is the clerk, who misses every other part, missed itself, and for as long as it is away? F07, F26."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from builders import REALM, frozen_clock
from hypothesis import given
from hypothesis import strategies as st

from audit.auditor import AuditDoors, Auditor, Laws
from audit.laws.clerk import AGAIN_MS, NAME, Clerk
from audit.page import Pager
from audit.spokesman import QUIET_LOOKS, Spokesman
from tocsin.clock import MS
from tocsin.model.pulse import CLERK, CLERK_SILENT_S
from tocsin.testing.bus import MemoryBucket, MemoryLog

SILENT_MS = CLERK_SILENT_S * MS
LOOK_MS = 2_000


def test_it_is_missed_once_it_has_been_silent_for_its_time() -> None:
    law = Clerk()
    law.shows(b"1", 0)
    assert law.differences(SILENT_MS - 1) == []
    (said,) = law.differences(SILENT_MS)
    assert (said.law, said.about) == (NAME, NAME)
    assert law.differences(SILENT_MS + 1) == []


@pytest.mark.parametrize("pulse", [None, b"of a life before", b"\x09another version's"])
def test_what_stands_there_is_no_sign_of_life_and_any_change_is_one(pulse: bytes | None) -> None:
    law = Clerk()
    law.shows(pulse, 0)
    law.shows(pulse, SILENT_MS)
    assert law.differences(SILENT_MS)
    law.shows(b"\x09new", SILENT_MS + 1)
    assert not law.lasts
    assert law.differences(2 * SILENT_MS) == []


def test_it_is_said_again_each_hour() -> None:
    law = Clerk()
    law.shows(b"1", 0)
    said = [ms for ms in range(0, 3 * AGAIN_MS, 60_000) if law.differences(ms)]
    assert said == [SILENT_MS, SILENT_MS + AGAIN_MS, SILENT_MS + 2 * AGAIN_MS]


def test_of_one_that_has_not_been_heard_what_was_said_lasts() -> None:
    """An auditor that has just started ends nothing that another life of it has begun."""
    law = Clerk()
    assert law.lasts
    law.shows(b"1", 0)
    assert law.lasts
    law.shows(b"2", 1)
    assert not law.lasts


def test_a_slow_clock_leaves_it_its_looks() -> None:
    law = Clerk(rate=0.5)
    law.shows(b"1", 0)
    assert law.differences(SILENT_MS) == []
    assert law.differences(2 * SILENT_MS)


@given(st.lists(st.integers(1, SILENT_MS - 1), max_size=20))
def test_who_comes_back_in_time_is_never_missed(gaps_ms: list[int]) -> None:
    law, now_ms = Clerk(), 0
    law.shows(b"", 0)
    for number, gap_ms in enumerate(gaps_ms):
        now_ms += gap_ms
        assert law.differences(now_ms) == []
        law.shows(b"%d" % number, now_ms)


# --- in the auditor ------------------------------------------------------------------------------------------


class Told(Pager):
    def __init__(self) -> None:
        super().__init__(url=None, http=None, clock=frozen_clock())
        self.pages: list[Any] = []

    def page(self, page: Any) -> None:
        self.pages.append(json.loads(page.body))

    def of_the_clerk(self) -> list[str]:
        return [one["status"] for one in self.pages if one["commonLabels"]["law"] == NAME]


class World:
    """``hours``: the auditor's steady clock."""

    def __init__(self, hours: list[int]) -> None:
        self.log, self.tallies, self.pager = MemoryLog(), MemoryBucket(), Told()
        self.hours = hours
        doors = AuditDoors(log=self.log, devices=MemoryBucket(), orders=MemoryBucket(), tallies=self.tallies)
        clock = frozen_clock()
        spokesman = Spokesman(log_=self.log, clock=clock, pager=self.pager, site="paca", realm=REALM)
        self.auditor = Auditor(doors, Laws(), spokesman, clock)

    async def looks(self, times: int) -> None:
        for _ in range(times):
            self.hours[0] += LOOK_MS
            await self.auditor.look()
            await asyncio.sleep(0)

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[None]:
        async def hold() -> None:
            async with asyncio.TaskGroup() as tasks:
                await self.auditor.begin(tasks)
                begun.set()
                await asyncio.Event().wait()

        begun = asyncio.Event()
        holding = asyncio.create_task(hold())
        await begun.wait()
        yield
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    hours = [0]
    monkeypatch.setattr("audit.auditor._steady_ms", lambda: hours[0])
    return World(hours)


async def test_it_is_paged_lasts_while_it_stands_still_and_ends_when_it_looks_again(world: World) -> None:
    async with world.looking():
        await world.tallies.put(CLERK, b"1")
        await world.looks(SILENT_MS // LOOK_MS)
        assert world.pager.of_the_clerk() == []
        await world.looks(2)
        assert world.pager.of_the_clerk() == ["firing"]
        await world.looks(3 * QUIET_LOOKS)
        assert world.pager.of_the_clerk() == ["firing"], "it is as silent as it was"
        for number in range(2 * QUIET_LOOKS):
            await world.tallies.put(CLERK, b"back %d" % number)
            await world.looks(1)
        assert world.pager.of_the_clerk() == ["firing", "resolved"]


async def test_while_the_log_is_away_it_is_not_silent(world: World) -> None:
    async with world.looking():
        await world.looks(1)
        world.log.down = world.tallies.down = True
        await world.looks(2 * SILENT_MS // LOOK_MS)
        world.log.down = world.tallies.down = False
        await world.looks(30)
        assert world.pager.of_the_clerk() == []
