"""Do the hours of an alert come, whoever is there to say so? The shell on the log in memory (F26, F35)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from builders import NOW_MS, REALM, act, entry, eventually
from real_broker import cancelled

from alerts.answers import Answer
from alerts.course import closing_by
from alerts.ledger import Ledger
from alerts.timers import AT_ONCE_MAX, Timers, run_timers
from tocsin.model.episode import (
    Deed,
    DeedKind,
    Due,
    Event,
    FindingCause,
    Fold,
    Outcome,
    Party,
    Reply,
    Ruling,
    Rung,
    Verb,
)
from tocsin.model.finding import Code
from tocsin.model.standing import Protection, Standing
from tocsin.model.zone import Zone
from tocsin.ports import Entry
from tocsin.subjects import EPISODES, Stream
from tocsin.testing.bus import MemoryBucket, MemoryLog
from tocsin.wire import decode_ruling, encode


class HandClock:
    """Its hour is set by the test; who sleeps looks again."""

    def __init__(self) -> None:
        self.ms = NOW_MS

    def now_ms(self) -> int:
        return self.ms

    def wall_ms(self) -> int:
        return self.ms

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0.005)


def climbed(log: MemoryLog) -> list[Rung]:
    rulings = [decode_ruling(one.payload) for one in log.entries(EPISODES)]
    return [one.audience for ruling in rulings for one in ruling.notifications[:1] if one.audience]


def started(log: MemoryLog, clock: HandClock, standings: MemoryBucket | None = None) -> asyncio.Task[None]:
    timers = Timers(clock, Ledger(log, clock, REALM), closing_by(log, standings, clock))
    return asyncio.create_task(run_timers(log, timers))


async def test_two_timers_killed_between_rungs_and_an_outage_make_one_ladder() -> None:
    log, clock = MemoryLog(), HandClock()
    await Ledger(log, clock, REALM).rule("PROX_ALERT", "msr_1", FindingCause(finding=entry()))
    both = [started(log, clock), started(log, clock)]
    clock.ms = NOW_MS + 10_000
    await eventually(lambda: climbed(log) == [Rung.OPERATORS])
    for task in both:
        await cancelled(task)
    log.down = True
    clock.ms = NOW_MS + 31_000  # nobody was there at 15, 20 and 30 s
    last = started(log, clock)
    await asyncio.sleep(0)
    log.down = False
    clock.ms = NOW_MS + 60_000
    await eventually(lambda: Rung.POLICE in climbed(log))
    await cancelled(last)
    assert climbed(log) == [Rung.OPERATORS, Rung.SUPERVISOR, Rung.BACKUP_SITE, Rung.POLICE]


async def turned(bucket: MemoryBucket, clock: HandClock, *, closing: bool = False) -> None:
    known = Standing(
        measure="msr_1", protection=Protection.PROTECTED, since_ms=0, reason="reporting", zone=Zone.PREALERT,
        at_ms=clock.ms, closing=closing, closing_ms=clock.ms,
    )  # fmt: skip
    await bucket.put("msr_1", encode(known))


def rulings(log: MemoryLog) -> list[Ruling]:
    return [decode_ruling(one.payload) for one in log.entries(EPISODES)]


async def asked(clock: HandClock, log: MemoryLog, at_ms: int) -> None:
    """The hour comes, and the look at him is over."""
    looks, clock.ms = log.looks, at_ms
    await eventually(lambda: log.looks >= looks + 2)


class CountingLog(MemoryLog):
    """How often the newest ruling of a place was asked for."""

    looks = 0

    async def last(self, stream: Stream, subject: str) -> Entry | None:
        self.looks += 1
        return await super().last(stream, subject)


async def test_whoever_turned_away_is_no_p1_and_is_looked_at_without_a_word_until_he_turns_again() -> None:
    """F24: an order, and he goes. Looked at each 10 s, and the log does not grow."""
    log, clock, bucket = CountingLog(), HandClock(), MemoryBucket()
    ledger, measure = Ledger(log, clock, REALM), ("PROX_PREALERT", "msr_1")
    opened = await ledger.rule(*measure, FindingCause(finding=entry(code=Code.PROX_PREALERT)))
    assert opened.episode is not None
    name = opened.episode.id
    ordered = Deed(kind=DeedKind.ORDER, at_ms=clock.ms, party=Party.WEARER, reply=Reply.ANSWERED)
    for said in (act(Verb.ACKNOWLEDGE, 1, episode=name), act(Verb.DO, 2, episode=name, deed=ordered)):
        assert isinstance(await ledger.rule(*measure, said), Ruling)
    timing = started(log, clock, bucket)
    written = len(rulings(log))
    for at_s in (60, 70, 80, 90, 100, 110):
        await turned(bucket, clock)
        await asked(clock, log, NOW_MS + at_s * 1000)
    assert len(rulings(log)) == written
    await turned(bucket, clock, closing=True)
    clock.ms = NOW_MS + 120_001
    await eventually(lambda: rulings(log)[-1].episode.code is Code.PREALERT_NO_ANSWER)
    await cancelled(timing)


async def test_what_has_ended_is_remembered_nowhere() -> None:
    log, clock = MemoryLog(), HandClock()
    ledger = Ledger(log, clock, REALM)
    timers = Timers(clock, ledger, closing_by(log, None, clock))
    for number in range(300):
        found = entry(f"fnd_{number}", measure=f"msr_{number}", code=Code.W_COMMS_LOSS)
        place = ("W_COMMS_LOSS", found.measure)
        opened = await ledger.rule(*place, FindingCause(finding=found))
        assert opened.episode is not None
        for verb, version, more in (
            (Verb.ACKNOWLEDGE, 1, {}), (Verb.RELEASE, 2, {}), (Verb.ACKNOWLEDGE, 3, {}),
            (Verb.CLOSE, 4, {"outcome": Outcome.TECHNICAL}),
        ):  # fmt: skip
            said = act(verb, version, episode=opened.episode.id, **more)
            assert isinstance(await ledger.rule(*place, said), Ruling)
    for one in log.entries(EPISODES):
        timers.apply(one)
        assert timers.held <= 4 * (len(timers) + 1) + AT_ONCE_MAX, "whatever number has come and gone"
    assert len(timers) == 0


async def test_a_place_that_the_log_has_let_go_is_let_go() -> None:
    log, clock = MemoryLog(), HandClock()
    other = MemoryLog()
    await Ledger(other, clock, REALM).rule("PROX_ALERT", "msr_1", FindingCause(finding=entry()))
    timers = Timers(clock, Ledger(log, clock, REALM), closing_by(log, None, clock))
    timers.apply(other.entries(EPISODES)[-1])
    assert len(timers) == 1
    running = asyncio.create_task(timers.run())
    clock.ms = NOW_MS + 10_000
    await eventually(lambda: len(timers) == 0)
    await cancelled(running)


# --- what comes late, or is lost on the way ---------------------------------------------------------------------


class SlowLedger(Ledger):
    """Between the log's yes and the answer to it others have their turn."""

    async def rule(self, code: str, subject: str, event: Event, *, under: Fold | None = None) -> Answer:
        answer = await super().rule(code, subject, event, under=under)
        rungs = answer.episode.rungs if isinstance(answer, Ruling) and isinstance(event, Due) else ()
        if Rung.SUPERVISOR in {one.rung for one in rungs} and self.meanwhile is not None:
            await self.meanwhile()
        return answer

    meanwhile: Callable[[], Awaitable[None]] | None = None


async def test_f26_an_answer_older_than_what_was_followed_does_not_take_its_hour() -> None:
    """Somebody takes it while its last rung is being ruled: else his hour would never come."""
    log, clock = MemoryLog(), HandClock()
    ledger, at = SlowLedger(log, clock, REALM), ("W_COMMS_LOSS", "msr_1")
    opened = await ledger.rule(*at, FindingCause(finding=entry(code=Code.W_COMMS_LOSS)))
    assert opened.episode is not None
    name = opened.episode.id
    timers = Timers(clock, ledger, closing_by(log, None, clock))

    async def taken() -> None:
        ledger.meanwhile = None
        newest = rulings(log)[-1].episode
        said = act(Verb.ACKNOWLEDGE, newest.version, at_ms=clock.ms, episode=name)
        await Ledger(log, clock, REALM).rule(*at, said)
        for one in log.entries(EPISODES):
            timers.apply(one)

    timers.apply(log.entries(EPISODES)[-1])
    ledger.meanwhile, clock.ms = taken, NOW_MS + 900_000
    running = asyncio.create_task(timers.run())
    await eventually(lambda: rulings(log)[-1].reason == "acknowledged")
    assert rulings(log)[-1].episode.acknowledgement_expires_ms == NOW_MS + 1_020_000
    clock.ms = NOW_MS + 1_020_000
    await eventually(lambda: "expired" in {one.reason for one in rulings(log)})
    await cancelled(running)


class LossyLog(MemoryLog):
    """What a follower is told of as it happens is lost on the way."""

    reads = 0

    async def read(
        self, stream: Stream, subject: str, *, after: int = 0, newest_per_subject: bool = False
    ) -> AsyncIterator[Sequence[Entry]]:
        async for entries in super().read(stream, subject, after=after, newest_per_subject=newest_per_subject):
            self.reads += 1
            if entries:
                yield entries
            break
        await asyncio.Event().wait()


async def test_what_was_lost_on_the_way_is_late_and_not_lost() -> None:
    log, clock = LossyLog(), HandClock()
    ledger = Ledger(log, clock, REALM)
    timers = Timers(clock, ledger, closing_by(log, None, clock))
    task = asyncio.create_task(run_timers(log, timers, read_again_s=0.02))
    await eventually(lambda: log.reads)
    await ledger.rule("PROX_ALERT", "msr_1", FindingCause(finding=entry()))
    clock.ms = NOW_MS + 10_000
    await eventually(lambda: climbed(log) == [Rung.OPERATORS])
    await cancelled(task)


# --- a clock that is set (F37) ----------------------------------------------------------------------------------


class SetClock(HandClock):
    """Somebody sets it; ``passed`` is what really has."""

    passed = 0

    def goes(self, seconds: float) -> None:
        self.ms += round(seconds * 1000)
        self.passed += round(seconds * 1000)

    def passed_ms(self) -> int:
        return self.passed


def timed(log: MemoryLog, clock: SetClock, ledger: Ledger) -> asyncio.Task[None]:
    timers = Timers(clock, ledger, closing_by(log, None, clock), passed_ms=clock.passed_ms)
    return asyncio.create_task(run_timers(log, timers))


async def test_f37_a_clock_that_is_set_back_delays_no_rung() -> None:
    log, clock = MemoryLog(), SetClock()
    ledger = Ledger(log, clock, REALM)
    await ledger.rule("PROX_ALERT", "msr_1", FindingCause(finding=entry()))
    task = timed(log, clock, ledger)
    for at_s, rung in ((10, Rung.OPERATORS), (20, Rung.SUPERVISOR), (30, Rung.BACKUP_SITE), (60, Rung.POLICE)):
        passed_s = clock.passed / 1000
        clock.goes(at_s - passed_s - 1)
        await asyncio.sleep(0.05)
        assert rung not in climbed(log), "nor is it early"
        clock.ms -= 600_000 if at_s == 10 else 0
        clock.goes(1)
        await eventually(lambda rung=rung: climbed(log)[-1:] == [rung])
    hours = [one.at_ms for one in rulings(log)]
    assert hours == [NOW_MS + at_s * 1000 for at_s in (0, 10, 19, 20, 30, 60)], "her unit at once"
    await cancelled(task)


async def test_f37_nor_one_that_was_set_back_while_nobody_was_there() -> None:
    """The newest ruling is in the future: 10 s of its ladder are left, not 310."""
    log, clock = MemoryLog(), SetClock()
    ledger = Ledger(log, clock, REALM)
    await ledger.rule("PROX_ALERT", "msr_1", FindingCause(finding=entry()))
    clock.ms -= 300_000
    task = timed(log, clock, ledger)
    await asyncio.sleep(0.05)
    assert climbed(log) == []
    clock.goes(10)
    await eventually(lambda: climbed(log) == [Rung.OPERATORS])
    await cancelled(task)


async def test_f37_who_takes_it_by_a_clock_that_was_set_back_has_it_for_120_s() -> None:
    log, clock = MemoryLog(), SetClock()
    ledger = Ledger(log, clock, REALM)
    opened = await ledger.rule("PROX_ALERT", "msr_1", FindingCause(finding=entry()))
    assert opened.episode is not None
    task = timed(log, clock, ledger)
    clock.goes(10)
    await eventually(lambda: climbed(log) == [Rung.OPERATORS])
    clock.ms -= 600_000
    said = act(Verb.ACKNOWLEDGE, 2, at_ms=clock.ms, episode=opened.episode.id)
    assert isinstance(await ledger.rule("PROX_ALERT", "msr_1", said), Ruling)
    clock.goes(119)
    await eventually(lambda: Rung.POLICE in climbed(log))
    assert rulings(log)[-1].episode.owner == "A. Martin"
    clock.goes(1)
    await eventually(lambda: rulings(log)[-1].reason == "expired")
    await cancelled(task)


async def test_f37_a_step_forward_behind_it_takes_it_back() -> None:
    log, clock = MemoryLog(), SetClock()
    ledger = Ledger(log, clock, REALM)
    timers = Timers(clock, ledger, closing_by(log, None, clock), passed_ms=clock.passed_ms)
    await ledger.rule("PROX_ALERT", "msr_1", FindingCause(finding=entry()))
    task = asyncio.create_task(run_timers(log, timers))
    await eventually(lambda: len(timers) == 1)
    for step_ms in (-600_000, 600_000):
        clock.ms += step_ms
        await asyncio.sleep(0.05)
    clock.goes(9)
    await asyncio.sleep(0.05)
    assert climbed(log) == [], "10 s are 10 s"
    clock.goes(1)
    await eventually(lambda: climbed(log) == [Rung.OPERATORS])
    await cancelled(task)
