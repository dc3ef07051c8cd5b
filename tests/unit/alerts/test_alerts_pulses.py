"""Is a part that has died, or stands still, noticed by somebody who lives, again each hour, and ended when it goes
round again? And is no silence counted in which nobody could have been heard? F07, F25, F26."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from builders import NOW_MS, REALM, eventually
from prometheus_client import REGISTRY
from real_broker import cancelled

from alerts.clerk import GAP_MS, WATCH_EVERY_S, Clerk, ClerkDoors, run_clerk
from alerts.desk import handle
from alerts.pulses import AGAIN_MS, AUDITOR, CANARY, LIVES, NO_PULSE, PARTS, Heard, Watched, age_ms, notice_due
from tocsin import subjects
from tocsin.model.episode import Episode, NoticeCause, Ruling, State
from tocsin.model.finding import Change, Code
from tocsin.model.notice import Notice
from tocsin.model.pulse import CLERK, Pulse
from tocsin.testing.bus import MemoryBucket, MemoryLog
from tocsin.wire import decode_notice, decode_pulse, encode

DAY_MS = 86_400_000
WATCHED = (AUDITOR, CANARY, *PARTS)
each = pytest.mark.parametrize("one", WATCHED, ids=[one.part for one in WATCHED])


def at(ms: int) -> Pulse:
    """Both clocks, so far apart as a replay's are: who asks the wrong one is found."""
    return Pulse(at_ms=NOW_MS + ms, wall_ms=NOW_MS // 2 + ms)


LONG_AGO = at(-DAY_MS)


def due(one: Watched, pulse: Pulse | None, since: Pulse, said: Episode | None, now: Pulse) -> Notice | None:
    """By a clerk that has heard all the time since ``since``."""
    unheard_ms = min(age_ms(one, pulse or since, now), age_ms(one, since, now))
    return notice_due(one, Heard(pulse, pulse or since, changes=False), unheard_ms, said, now)


def ruled(notice: Notice, before: Episode | None = None) -> Episode:
    answer = handle(before, NoticeCause(notice=notice), REALM, notice.at_ms)
    assert isinstance(answer, Ruling)
    return answer.episode


def closed(episode: Episode) -> Episode:
    return msgspec.structs.replace(episode, state=State.CLOSED)


def began(one: Watched, ms: int = 0) -> Notice:
    """Of a part whose last pulse was when its time had just run out at NOW."""
    notice = due(one, at(-one.silent_ms), LONG_AGO, None, at(ms))
    assert notice is not None
    return notice


@each
def test_a_pulse_that_is_older_than_it_may_be_is_a_dead_part(one: Watched) -> None:
    assert due(one, at(1 - one.silent_ms), LONG_AGO, None, at(0)) is None
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
        assert (due(one, heard, heard, None, now) is not None) == (of is one)


@pytest.mark.parametrize("one", PARTS, ids=[one.part for one in PARTS])
def test_a_part_is_silent_when_it_is_by_both_clocks(one: Watched) -> None:
    """Some loops sleep by Tocsin's clock and some by the machine's: a replay at any rate leaves each its time."""
    heard = Pulse(at_ms=NOW_MS, wall_ms=NOW_MS)
    fast = Pulse(at_ms=NOW_MS + DAY_MS, wall_ms=NOW_MS + one.silent_ms - 1)
    slow = Pulse(at_ms=NOW_MS + one.silent_ms - 1, wall_ms=NOW_MS + DAY_MS)
    assert due(one, heard, heard, None, fast) is due(one, heard, heard, None, slow) is None
    both = Pulse(at_ms=NOW_MS + one.silent_ms, wall_ms=NOW_MS + one.silent_ms)
    said = due(one, heard, heard, None, both)
    assert said is not None
    assert (said.code, said.subject, dict(said.facts)["part"]) == (Code.SYS_AUDIT, one.part, one.part)


@each
@pytest.mark.parametrize("pulse", [None, LONG_AGO], ids=["never", "of the day before"])
def test_whoever_starts_with_the_clerk_is_given_its_time(one: Watched, pulse: Pulse | None) -> None:
    assert due(one, pulse, at(1 - one.silent_ms), None, at(0)) is None
    assert due(one, pulse, at(-one.silent_ms), None, at(0)) is not None


@each
def test_it_is_said_once_whoever_looks_and_over_with_the_next_pulse(one: Watched) -> None:
    assert began(one).id == began(one, 60_000).id
    lasting = ruled(began(one))
    assert due(one, at(-one.silent_ms), LONG_AGO, lasting, at(60_000)) is None
    over = due(one, at(90_000), LONG_AGO, lasting, at(100_000))
    assert over is not None
    assert (over.change, over.reason, over.entry) == (Change.EXIT, LIVES, began(one).id)
    ended = ruled(over, lasting)
    assert not ended.lasts
    assert due(one, at(95_000), LONG_AGO, ended, at(100_000)) is None


@each
def test_what_a_human_closed_is_said_again_each_hour_of_the_silence(one: Watched) -> None:
    """In which it is closed: what lasts is not said twice."""
    heard, episode = at(-one.silent_ms), ruled(began(one))
    first = one.silent_ms // AGAIN_MS
    for hour in (first + 1, first + 2):
        now = at(hour * AGAIN_MS - one.silent_ms)
        assert due(one, heard, LONG_AGO, closed(episode), at(hour * AGAIN_MS - one.silent_ms - 1)) is None
        assert due(one, heard, LONG_AGO, episode, now) is None
        again = due(one, heard, LONG_AGO, closed(episode), now)
        assert again is not None
        episode = ruled(again, closed(episode))
        assert episode.lasts


@each
def test_a_clerk_that_has_just_started_ends_nothing_by_an_old_pulse(one: Watched) -> None:
    lasting = ruled(began(one))
    assert due(one, at(-one.silent_ms), at(1_000), lasting, at(2_000)) is None


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

    async def pass_until(self, ms: int) -> None:
        """A quarter of a minute at a time, with a whole look in each."""
        while self.ms < ms:
            self.ms += 15_000
            looked = len(self.slept)
            await eventually(lambda looked=looked: len(self.slept) > looked + 2)


class Office:
    def __init__(self, *watched: Watched) -> None:
        self.log, self.tallies = MemoryLog(), MemoryBucket()
        self.doors = ClerkDoors(
            log=self.log, devices=MemoryBucket(), orders=MemoryBucket(), standings=MemoryBucket(),
            signs=MemoryBucket(), tallies=self.tallies, watched=watched,
        )  # fmt: skip
        self.looked_ms = 0

    def said(self) -> list[tuple[str, Change, int]]:
        notices = [decode_notice(one.payload) for one in self.log.entries(subjects.NOTICES)]
        return [(one.subject, one.change, one.at_ms - NOW_MS) for one in notices]

    async def rules(self, one: Watched, episode: Episode | None = None) -> Episode:
        notice = decode_notice(self.log.entries(subjects.NOTICES)[-1].payload)
        ruling = handle(episode, NoticeCause(notice=notice), REALM, notice.at_ms)
        assert isinstance(ruling, Ruling)
        await self.log.append(subjects.episode(one.code.value, one.part), encode(ruling))
        return ruling.episode

    async def looks_until(self, clerk: Clerk, ms: int) -> None:
        """As it looks: each quarter of a minute."""
        while self.looked_ms < ms:
            self.looked_ms = min(self.looked_ms + int(WATCH_EVERY_S * 1_000), ms)
            await clerk.watch(at(self.looked_ms))

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
    for other in WATCHED:
        await office.tallies.put(other.part, encode(at(0)))
    async with office.clerk() as clerk:
        for late_ms in (one.silent_ms - 1, one.silent_ms, one.silent_ms + 15_000):
            await office.looks_until(clerk, late_ms)
        assert office.said() == [(one.part, Change.ENTRY, one.silent_ms)]
        await office.rules(one)
        await eventually(lambda: clerk._silent)
        back_ms = office.looked_ms + 1_000
        await office.tallies.put(one.part, encode(at(back_ms)))
        await office.looks_until(clerk, back_ms + 1)
        assert office.said()[1:] == [(one.part, Change.EXIT, back_ms + 1)]


async def test_a_part_that_shows_its_pulse_is_not_named_beside_one_that_does_not() -> None:
    """Of all parts one stands still."""
    stands_still = next(one for one in PARTS if one.part == "recorder")
    office = Office(*WATCHED)
    async with office.clerk() as clerk:
        for ms in range(0, 2 * stands_still.silent_ms, 15_000):
            for one in WATCHED:
                if one is not stands_still:
                    await office.tallies.put(one.part, encode(at(ms)))
            await office.looks_until(clerk, ms)
    assert [(part, change) for part, change, _ in office.said()] == [("recorder", Change.ENTRY)]


@each
async def test_no_silence_is_counted_while_the_machine_slept(one: Watched) -> None:
    """Nor when its clock was set: whoever looks was asleep, and so was everybody."""
    office = Office(one)
    await office.tallies.put(one.part, encode(at(0)))
    async with office.clerk() as clerk:
        slept_until_ms = office.looked_ms = one.silent_ms + GAP_MS
        await clerk.watch(at(slept_until_ms))
        await office.looks_until(clerk, slept_until_ms + one.silent_ms - 1)
        assert office.said() == []
        await office.looks_until(clerk, slept_until_ms + one.silent_ms)
        assert len(office.said()) == 1


@each
async def test_no_silence_is_counted_while_the_log_was_away(one: Watched) -> None:
    """Who could not show a pulse has its time to show one; that the log is away is not said of the parts."""
    office = Office(one)
    async with office.clerk() as clerk:
        office.tallies.down = True
        await office.looks_until(clerk, 2 * one.silent_ms)
        office.tallies.down = False
        await office.looks_until(clerk, 3 * one.silent_ms - 1)
        assert office.said() == []
        await office.looks_until(clerk, 3 * one.silent_ms)
        assert [part for part, *_ in office.said()] == [one.part]


@each
async def test_one_look_in_four_that_is_not_answered_hides_no_dead_part(one: Watched) -> None:
    """What was silence before it stays silence: it comes as much later as was not heard."""
    office = Office(one)
    await office.tallies.put(one.part, encode(at(0)))
    async with office.clerk() as clerk:
        for look in range(1, 2 * one.silent_ms // 15_000):
            office.tallies.down = look % 4 == 0
            await office.looks_until(clerk, look * 15_000)
    part, change, said_ms = office.said()[0]
    assert (part, change) == (one.part, Change.ENTRY)
    assert one.silent_ms < said_ms <= one.silent_ms * 4 // 3 + 15_000


@each
@pytest.mark.parametrize("slept_at_ms", [0, 30_000])
async def test_a_machine_that_sleeps_now_and_then_hides_no_dead_part(one: Watched, slept_at_ms: int) -> None:
    office = Office(one)
    async with office.clerk() as clerk:
        await office.looks_until(clerk, slept_at_ms)
        office.looked_ms += 8 * 3_600_000
        await clerk.watch(at(office.looked_ms))
        await office.looks_until(clerk, 8 * 3_600_000 + one.silent_ms - 1)
        assert office.said() == []
        await office.looks_until(clerk, 8 * 3_600_000 + one.silent_ms)
        assert [part for part, *_ in office.said()] == [one.part]


@each
async def test_a_clock_that_is_set_back_hides_no_dead_part(one: Watched) -> None:
    """Its last pulse is of an hour that is still to come; nor is it taken for a sign of life when that comes."""
    office = Office(one)
    async with office.clerk() as clerk:
        await office.looks_until(clerk, 30_000)
        await office.tallies.put(one.part, encode(at(30_000)))
        await clerk.watch(at(30_000))
        office.looked_ms = -DAY_MS
        await clerk.watch(at(office.looked_ms))
        await office.looks_until(clerk, one.silent_ms - DAY_MS - 1)
        assert office.said() == []
        await office.looks_until(clerk, one.silent_ms - DAY_MS)
        assert [part for part, *_ in office.said()] == [one.part]
        await office.rules(one)
        await eventually(lambda: clerk._silent)
        office.looked_ms = 0
        await clerk.watch(at(0))
        await office.looks_until(clerk, 60_000)
        assert [change for _, change, _ in office.said()] == [Change.ENTRY]


@each
async def test_a_part_that_lives_is_heard_whatever_its_clock_says(one: Watched) -> None:
    office = Office(one)
    async with office.clerk() as clerk:
        for look in range(1, 2 * one.silent_ms // 15_000):
            await office.tallies.put(one.part, encode(at(look * 15_000 - DAY_MS)))
            await office.looks_until(clerk, look * 15_000)
    assert office.said() == []


async def test_how_old_the_auditors_pulse_is_can_be_measured() -> None:
    office = Office(AUDITOR, CANARY)
    async with office.clerk() as clerk:
        await office.looks_until(clerk, 30_000)
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
        await office.looks_until(clerk, CANARY.silent_ms)
    assert office.said() == [(CANARY.part, Change.ENTRY, CANARY.silent_ms)]


async def test_it_looks_each_quarter_of_a_minute_with_or_without_the_log() -> None:
    office, hours, ready = Office(AUDITOR), Hours(), asyncio.Event()
    clerk = asyncio.create_task(run_clerk(office.doors, clock=hours, ready=ready.set))
    await asyncio.wait_for(ready.wait(), 60)
    office.log.down = True
    await hours.pass_until(AUDITOR.silent_ms)
    assert office.said() == []
    office.log.down = False
    await eventually(office.said)
    assert office.said() == [(AUDITOR.part, Change.ENTRY, AUDITOR.silent_ms)]
    assert {*hours.slept} == {15.0}
    await cancelled(clerk)


async def test_the_clerk_shows_a_pulse_of_its_own_when_it_has_looked() -> None:
    """For the auditor, who looks for it."""
    office, hours, ready = Office(AUDITOR), Hours(), asyncio.Event()
    clerk = asyncio.create_task(run_clerk(office.doors, clock=hours, ready=ready.set))
    for ms in (15_000, 30_000):
        await hours.pass_until(ms)
        value = await office.tallies.get(CLERK)
        assert value is not None
        assert decode_pulse(value) == at(ms)
    await cancelled(clerk)
