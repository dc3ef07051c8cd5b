"""Is a watch that has died noticed by somebody who lives, again each hour, and ended when it lives again? F07."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from builders import NOW_MS, REALM, eventually
from prometheus_client import REGISTRY
from real_broker import cancelled

from alerts.clerk import Clerk, ClerkDoors, run_clerk
from alerts.desk import handle
from alerts.pulses import AGAIN_MS, AUDITOR, CANARY, LIVES, NO_PULSE, Watched, notice_due
from tocsin import subjects
from tocsin.model.episode import Episode, NoticeCause, Ruling, State
from tocsin.model.finding import Change, Code
from tocsin.model.notice import Notice
from tocsin.model.pulse import Pulse
from tocsin.testing.bus import MemoryBucket, MemoryLog
from tocsin.wire import decode_notice, encode

DAY_MS = 86_400_000
each = pytest.mark.parametrize("one", [AUDITOR, CANARY], ids=["auditor", "canary"])


def at(ms: int) -> Pulse:
    """Both clocks, so far apart as a replay's are: who asks the wrong one is found."""
    return Pulse(at_ms=NOW_MS + ms, wall_ms=NOW_MS // 2 + ms)


LONG_AGO = at(-DAY_MS)


def ruled(notice: Notice, before: Episode | None = None) -> Episode:
    answer = handle(before, NoticeCause(notice=notice), REALM, notice.at_ms)
    assert isinstance(answer, Ruling)
    return answer.episode


def closed(episode: Episode) -> Episode:
    return msgspec.structs.replace(episode, state=State.CLOSED)


def began(one: Watched, ms: int = 0) -> Notice:
    """Of a part whose last pulse was when its time had just run out at NOW."""
    notice = notice_due(one, at(-one.silent_ms), LONG_AGO, None, at(ms))
    assert notice is not None
    return notice


@each
def test_a_pulse_that_is_older_than_it_may_be_is_a_dead_part(one: Watched) -> None:
    assert notice_due(one, at(1 - one.silent_ms), LONG_AGO, None, at(0)) is None
    said = began(one)
    assert (said.code, said.subject, said.reason, said.at_ms) == (one.code, one.part, NO_PULSE, NOW_MS)


@pytest.mark.parametrize(("one", "code"), [(AUDITOR, Code.SYS_AUDIT), (CANARY, Code.SYS_CANARY_FAIL)])
def test_each_has_its_code_and_its_clock(one: Watched, code: Code) -> None:
    """A replay of a day in a minute leaves the auditor its minute."""
    assert one.code is code
    heard = Pulse(at_ms=NOW_MS, wall_ms=NOW_MS)
    later = {
        AUDITOR: Pulse(at_ms=NOW_MS, wall_ms=NOW_MS + DAY_MS),
        CANARY: Pulse(at_ms=NOW_MS + DAY_MS, wall_ms=NOW_MS),
    }
    for of, now in later.items():
        assert (notice_due(one, heard, heard, None, now) is not None) == (of is one)


@each
@pytest.mark.parametrize("pulse", [None, LONG_AGO], ids=["never", "of the day before"])
def test_whoever_starts_with_the_clerk_is_given_its_time(one: Watched, pulse: Pulse | None) -> None:
    assert notice_due(one, pulse, at(1 - one.silent_ms), None, at(0)) is None
    assert notice_due(one, pulse, at(-one.silent_ms), None, at(0)) is not None


@each
def test_it_is_said_once_whoever_looks_and_over_with_the_next_pulse(one: Watched) -> None:
    assert began(one).id == began(one, 60_000).id
    lasting = ruled(began(one))
    assert notice_due(one, at(-one.silent_ms), LONG_AGO, lasting, at(60_000)) is None
    over = notice_due(one, at(90_000), LONG_AGO, lasting, at(100_000))
    assert over is not None
    assert (over.change, over.reason, over.entry) == (Change.EXIT, LIVES, began(one).id)
    ended = ruled(over, lasting)
    assert not ended.lasts
    assert notice_due(one, at(95_000), LONG_AGO, ended, at(100_000)) is None


@each
def test_what_a_human_closed_is_said_again_each_hour_of_the_silence(one: Watched) -> None:
    """In which it is closed: what lasts is not said twice."""
    heard, episode = at(-one.silent_ms), ruled(began(one))
    for hour in (1, 2):
        now = at(hour * AGAIN_MS - one.silent_ms)
        assert notice_due(one, heard, LONG_AGO, closed(episode), at(hour * AGAIN_MS - one.silent_ms - 1)) is None
        assert notice_due(one, heard, LONG_AGO, episode, now) is None
        again = notice_due(one, heard, LONG_AGO, closed(episode), now)
        assert again is not None
        episode = ruled(again, closed(episode))
        assert episode.lasts


@each
def test_a_clerk_that_has_just_started_ends_nothing_by_an_old_pulse(one: Watched) -> None:
    lasting = ruled(began(one))
    assert notice_due(one, at(-one.silent_ms), at(1_000), lasting, at(2_000)) is None


# --- the clerk -----------------------------------------------------------------------------------------------


class Hours:
    """An hour that stands, and looks that are counted."""

    def __init__(self) -> None:
        self.ms = 0
        self.slept: list[float] = []

    def now_ms(self) -> int:
        return at(self.ms).at_ms

    def wall_ms(self) -> int:
        return at(self.ms).wall_ms

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0.001)


class Office:
    def __init__(self, *watched: Watched) -> None:
        self.log, self.tallies = MemoryLog(), MemoryBucket()
        self.doors = ClerkDoors(
            log=self.log, devices=MemoryBucket(), orders=MemoryBucket(), standings=MemoryBucket(),
            signs=MemoryBucket(), tallies=self.tallies, watched=watched,
        )  # fmt: skip

    def said(self) -> list[tuple[str, Change, int]]:
        notices = [decode_notice(one.payload) for one in self.log.entries(subjects.NOTICES)]
        return [(one.subject, one.change, one.at_ms - NOW_MS) for one in notices]

    async def rules(self, one: Watched, episode: Episode | None = None) -> Episode:
        notice = decode_notice(self.log.entries(subjects.NOTICES)[-1].payload)
        ruling = handle(episode, NoticeCause(notice=notice), REALM, notice.at_ms)
        assert isinstance(ruling, Ruling)
        await self.log.append(subjects.episode(one.code.value, one.part), encode(ruling))
        return ruling.episode

    @asynccontextmanager
    async def clerk(self) -> AsyncIterator[Clerk]:
        clerk = Clerk(self.doors)
        clerk.begin(at(0))

        async def follow() -> None:
            async with asyncio.TaskGroup() as tasks:
                await clerk.follow(tasks)

        following = asyncio.create_task(follow())
        yield clerk
        await cancelled(following)


@each
async def test_the_clerk_says_it_of_what_is_expected_alone(one: Watched) -> None:
    office = Office(one)
    for part in (AUDITOR.part, CANARY.part):
        await office.tallies.put(part, encode(at(0)))
    async with office.clerk() as clerk:
        for late_ms in (one.silent_ms - 1, one.silent_ms, one.silent_ms + 15_000):
            await clerk.watch(at(late_ms))
        assert office.said() == [(one.part, Change.ENTRY, one.silent_ms)]
        await office.rules(one)
        await eventually(lambda: clerk._silent)
        await office.tallies.put(one.part, encode(at(DAY_MS)))
        await clerk.watch(at(DAY_MS + 1))
        assert office.said()[1:] == [(one.part, Change.EXIT, DAY_MS + 1)]


async def test_how_old_the_auditors_pulse_is_can_be_measured() -> None:
    office = Office(AUDITOR, CANARY)
    async with office.clerk() as clerk:
        for pulse, age_s in ((None, 45.0), (at(40_000), 5.0)):
            if pulse is not None:
                await office.tallies.put(AUDITOR.part, encode(pulse))
            await clerk.watch(at(45_000))
            assert REGISTRY.get_sample_value("tocsin_audit_age_seconds") == age_s


async def test_one_word_that_cannot_be_read_keeps_nobody_from_the_next() -> None:
    """F02: of another version's pulse it is known that it lives."""
    office = Office(AUDITOR, CANARY)
    await office.tallies.put(AUDITOR.part, b"\x09unreadable")
    async with office.clerk() as clerk:
        await clerk.watch(at(DAY_MS))
    assert office.said() == [(CANARY.part, Change.ENTRY, DAY_MS)]


async def test_it_looks_each_quarter_of_a_minute_with_or_without_the_log() -> None:
    office, hours, ready = Office(AUDITOR), Hours(), asyncio.Event()
    clerk = asyncio.create_task(run_clerk(office.doors, clock=hours, ready=ready.set))
    await asyncio.wait_for(ready.wait(), 5)
    office.log.down = True
    hours.ms = AUDITOR.silent_ms
    looked = len(hours.slept)
    await eventually(lambda: len(hours.slept) > looked + 8)
    assert office.said() == []
    office.log.down = False
    await eventually(office.said)
    assert office.said() == [(AUDITOR.part, Change.ENTRY, AUDITOR.silent_ms)]
    assert {*hours.slept} == {15.0}
    await cancelled(clerk)
