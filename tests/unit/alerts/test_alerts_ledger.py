"""Do two dispatchers make one record? Ledger and dispatcher on the log in memory (A6, F02, invariant 1)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from builders import PROTECTED, REALM, act, entry, eventually, frozen_clock, leaving, press
from real_broker import cancelled

from alerts import dispatcher
from alerts.desk import Refused, Unchanged
from alerts.dispatcher import run_dispatcher
from alerts.ledger import Ledger
from tocsin import subjects
from tocsin.errors import LogUnavailable
from tocsin.model.episode import AlarmCause, FindingCause, Receipt, Ruling, Verb
from tocsin.model.finding import Finding
from tocsin.ports import Appended, Entry
from tocsin.subjects import EPISODES, Stream
from tocsin.telemetry import CONFLICTS, RULINGS
from tocsin.testing.bus import MemoryLog
from tocsin.wire import decode_ruling, encode

CODE, PLACE = "PROX_ALERT", subjects.episode("PROX_ALERT", "msr_1")


class SlowLog(MemoryLog):
    """Every call gives way before it acts, so that two writers do meet between load and set."""

    async def last(self, stream: Stream, subject: str) -> Entry | None:
        await asyncio.sleep(0)
        found = await super().last(stream, subject)
        await asyncio.sleep(0)
        return found

    async def append(
        self, subject: str, payload: bytes, *, dedupe_id: str | None = None, expected_last: int | None = None
    ) -> Appended:
        await asyncio.sleep(0)
        return await super().append(subject, payload, dedupe_id=dedupe_id, expected_last=expected_last)


def ledger(log: MemoryLog) -> Ledger:
    return Ledger(log, frozen_clock(), REALM)


def rulings(log: MemoryLog) -> list[Ruling]:
    return [decode_ruling(one.payload) for one in log.entries(EPISODES)]


def counted(reason: str) -> float:
    return float(RULINGS.labels(reason=reason)._value.get())


@pytest.fixture
def log() -> SlowLog:
    return SlowLog()


async def test_two_ledgers_lose_no_update_and_tell_nothing_twice(log: SlowLog) -> None:
    conflicts = CONFLICTS._value.get()
    findings = [entry(f"fnd_{number}") for number in range(20)]
    both = [ledger(log), ledger(log)]
    await asyncio.gather(*(one.rule(CODE, "msr_1", FindingCause(finding=f)) for f in findings for one in both))
    made = rulings(log)
    assert CONFLICTS._value.get() > conflicts, "they never met: this proves nothing"
    assert [one.episode.version for one in made] == list(range(1, 21))
    assert set(made[-1].episode.causes) == {one.id for one in findings}
    told = [one.id for ruling in made for one in ruling.notifications]
    assert len(told) == len(set(told)) == 40


async def test_two_hands_reach_for_one_alert_and_one_has_it(log: SlowLog) -> None:
    await ledger(log).rule(CODE, "msr_1", FindingCause(finding=entry()))
    answers = await asyncio.gather(
        *(ledger(log).rule(CODE, "msr_1", act(Verb.ACKNOWLEDGE, 1, name)) for name in ("A", "B", "C"))
    )
    assert Counter(type(answer) for answer in answers) == {Ruling: 1, Refused: 2}
    assert len(log.entries(EPISODES)) == 2


async def test_a_ruling_that_was_kept_without_being_confirmed_is_not_made_twice(log: SlowLog) -> None:
    """The confirmation is lost on the way, the finding comes again."""

    class Deaf(SlowLog):
        deaf = True

        async def append(self, *args: object, **named: object) -> Appended:
            kept = await super().append(*args, **named)  # type: ignore[arg-type]
            if self.deaf:
                self.deaf = False
                raise LogUnavailable("no answer")
            return kept

    deaf = Deaf()
    cause = FindingCause(finding=entry())
    with pytest.raises(LogUnavailable):
        await ledger(deaf).rule(CODE, "msr_1", cause)
    assert isinstance(await ledger(deaf).rule(CODE, "msr_1", cause), Unchanged)
    assert len(deaf.entries(EPISODES)) == 1


# --- the dispatcher --------------------------------------------------------------------------------------------


@asynccontextmanager
async def dispatching(log: MemoryLog, count: int = 2) -> AsyncIterator[list[asyncio.Task[None]]]:
    ready: list[None] = []

    def run() -> asyncio.Task[None]:
        part = run_dispatcher(log_=log, clock=frozen_clock(), realm=REALM, ready=lambda: ready.append(None))
        return asyncio.create_task(part)

    tasks = [run() for _ in range(count)]
    try:
        await eventually(lambda: len(ready) == count)
        yield tasks
    finally:
        for task in tasks:
            await cancelled(task)


async def found(log: MemoryLog, finding: Finding) -> None:
    await log.append(subjects.findings(0), encode(finding), dedupe_id=finding.id)


async def all_settled(log: MemoryLog) -> None:
    """Nothing is waiting or leased on any of the three queues."""
    names = ("dispatcher-alarms", "dispatcher-findings", "dispatcher-receipts")
    streams = (subjects.ALARMS, subjects.FINDINGS, subjects.RECEIPTS)
    for stream, name in zip(streams, names, strict=True):
        async with log.queue(stream, name, parallel=1) as queue:
            await eventually(lambda queue=queue: queue.unsettled == 0)


async def test_two_dispatchers_share_the_work_and_make_one_record(log: SlowLog) -> None:
    visits = [entry(f"fnd_in{number}", measure=f"msr_{number % 3}") for number in range(12)]
    async with dispatching(log):
        for number, visit in enumerate(visits):
            await found(log, visit)
            await found(log, leaving(visit, f"fnd_out{number}"))
            await log.append(subjects.alarm(PROTECTED), encode(press(f"alm_{number}")))
            await log.append(subjects.alarm(PROTECTED), encode(press(f"alm_{number}")))  # both readers kept it
        await all_settled(log)
    made = rulings(log)
    causes = Counter(one.cause for ruling in made for one in ruling.episode.raises[-1:] if ruling.notifications)
    assert causes == dict.fromkeys([*(one.id for one in visits), *(f"alm_{n}" for n in range(12))], 1)
    told = [one.id for ruling in made for one in ruling.notifications]
    assert len(told) == len(set(told)) == 24 * 2


async def test_a_dispatcher_that_dies_leaves_its_work_to_the_next(log: SlowLog) -> None:
    await found(log, entry())
    async with log.queue(subjects.FINDINGS, "dispatcher-findings", parallel=9) as queue:
        await queue.take(1)  # taken, never settled: dead
        async with dispatching(log, 1):
            queue.expire_leases()
            await all_settled(log)
    assert [one.reason for one in rulings(log)] == ["opened"]


async def test_nothing_is_lost_while_the_log_takes_nothing(log: SlowLog) -> None:
    await found(log, entry())
    log.down = True
    async with dispatching(log, 1):
        async with log.queue(subjects.FINDINGS, "dispatcher-findings", parallel=9) as queue:
            for _ in range(1_000):  # the dispatcher meets the outage many times over
                await asyncio.sleep(0)
            assert queue.unsettled == 1
        log.down = False
        await all_settled(log)
    assert [one.reason for one in rulings(log)] == ["opened"]


async def test_what_cannot_be_read_stops_nothing(log: SlowLog) -> None:
    """F02: one in ten keeps failing; all others are ruled upon."""
    before = counted("unreadable")
    for number in range(20):
        await log.append(
            subjects.findings(0), b"\x09rubbish" if number % 10 == 0 else encode(entry(f"fnd_{number}"))
        )
    async with dispatching(log):
        await all_settled(log)
    assert len(rulings(log)) == 18
    assert counted("unreadable") - before == 2


async def test_what_cannot_be_ruled_upon_stops_nothing(log: SlowLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """F02: an event on which the desk itself breaks is tried again, then left, counted, in the log."""
    before, rule = counted("poison"), dispatcher.Ledger.rule
    tried: list[str] = []

    async def breaks(self: Ledger, code: str, subject: str, event: object) -> object:
        if isinstance(event, AlarmCause) and event.alarm.id == "alm_bad":
            tried.append(event.alarm.id)
            raise ZeroDivisionError
        return await rule(self, code, subject, event)  # type: ignore[arg-type]

    monkeypatch.setattr(dispatcher.Ledger, "rule", breaks)
    for name in ("alm_bad", "alm_good"):
        await log.append(subjects.alarm(PROTECTED), encode(press(name)))
    async with dispatching(log):
        await all_settled(log)
    assert len(tried) == dispatcher.ATTEMPTS_MAX
    assert counted("poison") - before == 1
    assert [one.episode.causes for one in rulings(log)] == [("alm_good",)]


async def test_receipts_find_their_episode(log: SlowLog) -> None:
    await found(log, entry())
    async with dispatching(log):
        await all_settled(log)
        (opened,) = rulings(log)
        notification = opened.notifications[0]
        taken = Receipt(
            notification=notification.id, episode=opened.episode.id, version=1, channel=notification.channel,
            attempt=1, t7_ms=1, t8_ms=2, result="accepted",
        )  # fmt: skip
        for _ in range(3):
            await log.append(subjects.receipt(CODE, "msr_1"), encode(taken))
        await all_settled(log)
    assert [one.reason for one in rulings(log)] == ["opened", "receipt"]
    assert rulings(log)[-1].episode.points.t8_ms == 2
