"""Is a watch that has died noticed by somebody who lives, once, and ended when it lives again? F07."""

from __future__ import annotations

import asyncio

from builders import NOW_MS, REALM, eventually

from alerts.clerk import Clerk, ClerkDoors
from alerts.desk import handle
from alerts.pulses import CANARY, NO_PULSE, notice_due
from tocsin import subjects
from tocsin.model.episode import Episode, NoticeCause, Ruling
from tocsin.model.finding import Change, Code
from tocsin.model.notice import Notice
from tocsin.model.pulse import Pulse
from tocsin.testing.bus import MemoryBucket, MemoryLog
from tocsin.wire import decode_notice, encode

SILENT_MS = CANARY.silent_ms
LONG_AGO_MS = NOW_MS - 3_600_000


def ruled(notice: Notice, before: Episode | None = None) -> Episode:
    answer = handle(before, NoticeCause(notice=notice), REALM, notice.at_ms)
    assert isinstance(answer, Ruling)
    return answer.episode


def test_a_pulse_of_three_minutes_ago_is_a_dead_part() -> None:
    assert notice_due(CANARY, NOW_MS - SILENT_MS + 1, LONG_AGO_MS, None, NOW_MS) is None
    said = notice_due(CANARY, NOW_MS - SILENT_MS, LONG_AGO_MS, None, NOW_MS)
    assert said is not None
    assert (said.code, said.subject, said.reason) == (Code.SYS_CANARY_FAIL, "canary", NO_PULSE)


def test_one_that_has_never_lived_is_given_its_time_from_the_clerks_start() -> None:
    assert notice_due(CANARY, None, NOW_MS - SILENT_MS + 1, None, NOW_MS) is None
    assert notice_due(CANARY, None, NOW_MS - SILENT_MS, None, NOW_MS) is not None


def test_it_is_said_once_whoever_looks_and_over_with_the_next_pulse() -> None:
    first = notice_due(CANARY, LONG_AGO_MS, LONG_AGO_MS, None, NOW_MS)
    other = notice_due(CANARY, LONG_AGO_MS, LONG_AGO_MS, None, NOW_MS + 60_000)
    assert first is not None
    assert other is not None
    assert first.id == other.id
    lasting = ruled(first)
    assert notice_due(CANARY, LONG_AGO_MS, LONG_AGO_MS, lasting, NOW_MS + 60_000) is None
    over = notice_due(CANARY, NOW_MS + 90_000, LONG_AGO_MS, lasting, NOW_MS + 100_000)
    assert over is not None
    assert over.change is Change.EXIT
    ended = ruled(over, lasting)
    assert not ended.lasts
    assert notice_due(CANARY, NOW_MS + 95_000, LONG_AGO_MS, ended, NOW_MS + 100_000) is None


def test_a_clerk_that_has_just_started_ends_nothing_by_an_old_pulse() -> None:
    first = notice_due(CANARY, LONG_AGO_MS, LONG_AGO_MS, None, NOW_MS)
    assert first is not None
    assert notice_due(CANARY, LONG_AGO_MS, NOW_MS + 1_000, ruled(first), NOW_MS + 2_000) is None


async def test_the_clerk_says_it_of_what_is_expected_alone() -> None:
    for watched in ((CANARY,), ()):
        log, tallies = MemoryLog(), MemoryBucket()
        doors = ClerkDoors(
            log=log, devices=MemoryBucket(), orders=MemoryBucket(), standings=MemoryBucket(), signs=MemoryBucket(),
            tallies=tallies, watched=watched,
        )  # fmt: skip
        await tallies.put("canary", encode(Pulse(at_ms=NOW_MS, wall_ms=NOW_MS)))
        clerk = Clerk(doors)
        clerk.begin(NOW_MS)
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(_follow(clerk))
            for late_ms in (SILENT_MS - 1, SILENT_MS, SILENT_MS + 60_000):
                await clerk.look(NOW_MS + late_ms)
            said = [decode_notice(one.payload) for one in log.entries(subjects.NOTICES)]
            assert [one.at_ms for one in said] == ([NOW_MS + SILENT_MS] if watched else [])
            if watched:
                episode = handle(None, NoticeCause(notice=said[0]), REALM, NOW_MS + SILENT_MS)
                assert isinstance(episode, Ruling)
                await log.append(subjects.episode(CANARY.code.value, "canary"), encode(episode))
                await eventually(lambda: clerk._silent)  # noqa: B023  # asked before the next round of the loop
                back_ms = NOW_MS + SILENT_MS + 90_000
                await tallies.put("canary", encode(Pulse(at_ms=back_ms, wall_ms=back_ms)))
                await clerk.look(back_ms + 1)
                (_, end) = [decode_notice(one.payload) for one in log.entries(subjects.NOTICES)]
                assert (end.change, end.entry) == (Change.EXIT, said[0].id)
            following.cancel()


async def _follow(clerk: Clerk) -> None:
    async with asyncio.TaskGroup() as tasks:
        await clerk.follow(tasks)
