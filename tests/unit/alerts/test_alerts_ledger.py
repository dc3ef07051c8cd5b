"""Do two dispatchers make one record? Ledger and dispatcher on the log in memory (A6, F02, invariant 1)."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from builders import NOW_MS, PREADVICE, PROTECTED, REALM, act, entry, eventually, frozen_clock, leaving, press
from real_broker import cancelled

from alerts import dispatcher
from alerts.desk import Refused, Unchanged
from alerts.dispatcher import FOUND, QUEUES, run_dispatcher
from alerts.ledger import Ledger
from tocsin import subjects
from tocsin.errors import LogUnavailable
from tocsin.limits import PROOF_WAITS_S
from tocsin.model.episode import AlarmCause, Channel, FindingCause, Receipt, Ruling, Verb
from tocsin.model.finding import Code, Finding
from tocsin.ports import Appended, Entry
from tocsin.subjects import EPISODES, Stream
from tocsin.telemetry import CONFLICTS, RULINGS
from tocsin.testing.bus import MemoryBucket, MemoryDelivery, MemoryLog, MemoryQueue
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
    return Ledger(log, frozen_clock(), REALM, protocol=PREADVICE)


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
        part = run_dispatcher(
            log_=log,
            clock=frozen_clock(),
            realm=REALM,
            ready=lambda: ready.append(None),
            devices=MemoryBucket(),
            protocol=PREADVICE,
        )
        return asyncio.create_task(part)

    tasks = [run() for _ in range(count)]
    try:
        await eventually(lambda: len(ready) == count)
        yield tasks
    finally:
        for task in tasks:
            await cancelled(task)


async def found(log: MemoryLog, finding: Finding) -> None:
    await log.append(subjects.findings(0, finding.code.value), encode(finding), dedupe_id=finding.id)


def queue_of(log: MemoryLog, name: str) -> AbstractAsyncContextManager[MemoryQueue]:
    """One of the dispatcher's own."""
    (mine,) = (one for one in QUEUES if one.name == name)
    return log.queue(mine.stream, mine.name, parallel=9, subject=mine.subject)


async def unsettled(log: MemoryLog, name: str) -> int:
    async with queue_of(log, name) as queue:
        return queue.unsettled


async def all_settled(log: MemoryLog) -> None:
    """Nothing is waiting or leased on any of the queues."""
    for one in QUEUES:
        async with queue_of(log, one.name) as queue:
            await eventually(lambda queue=queue: queue.unsettled == 0)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> dict[bytes, list[float]]:
    """What was asked of ``again``, by payload in order; each second lasts one millisecond."""
    asked: defaultdict[bytes, list[float]] = defaultdict(list)

    async def again(self: MemoryDelivery, after_s: float) -> None:
        asked[self.entry.payload].append(after_s)
        asyncio.get_running_loop().call_later(after_s / 1000, self.queue.give_back, self.entry.sequence)

    monkeypatch.setattr(MemoryDelivery, "again", again)
    return asked


EVER_MORE_SLOWLY = [0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0, 30.0]


def test_the_queues_are_these() -> None:
    """A name is durable state of a deployment; and every code of a finding has its queue, each finding one."""
    assert {one.name: (one.stream, one.subject) for one in QUEUES} == {
        "dispatcher-alarms": (subjects.ALARMS, "log.alarm.>"),
        **{
            f"dispatcher-{code}": (subjects.FINDINGS, f"log.finding.*.{code}")
            for code in (
                "PROX_ALERT",
                "PROX_PREALERT",
                "IMMINENT",
                "DEGRADED",
                "EVIDENTIAL_BREACH",
                "W_GNSS_LOSS",
                "W_COMMS_LOSS",
                "V_COMMS_LOSS",
                "ZONE_CORE_ENTRY",
                "ZONE_ENTRY",
                "ZONE_PREALERT",
                "ZONE_EXIT",
                "STRAP_TAMPER",
                "RF_PROXIMITY",
                "SEPARATION",
                "JAMMING_SUSPECTED",
                "SPOOF_SUSPECTED",
                "W_DEVICE_OFF",
                "V_DEVICE_OFF",
                "W_BATT_DEAD",
                "W_BATT_CRIT",
                "W_BATT_LOW",
                "V_BATT_LOW",
                "PROBING",
                "FROZEN_FIX",
                "LOW_YIELD",
                "V_NOT_CARRIED",
                "CLOCK_SKEW",
                "PAST_INCURSION",
                "SYS_FLEET_SILENCE",
            )
        },
        "dispatcher-notices": (subjects.NOTICES, "log.notice.>"),
        "dispatcher-receipts": (subjects.RECEIPTS, "log.receipt.>"),
    }


@pytest.mark.parametrize("held", [one for one in FOUND if one is not Code.EVIDENTIAL_BREACH])
async def test_neither_a_key_nor_an_alert_waits_behind_what_takes_long(
    log: SlowLog, monkeypatch: pytest.MonkeyPatch, held: Code
) -> None:
    """Invariant 2."""
    rule, stuck = dispatcher.Ledger.rule, asyncio.Event()

    async def slow(self: Ledger, code: str, subject: str, event: object, **how: object) -> object:
        if code == held:
            stuck.set()
            await asyncio.Event().wait()
        return await rule(self, code, subject, event, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(dispatcher.Ledger, "rule", slow)
    async with dispatching(log, 1):
        await found(log, entry("fnd_held", code=held))
        await stuck.wait()
        other = Code.PROX_ALERT if held is not Code.PROX_ALERT else Code.IMMINENT
        await found(log, entry("fnd_free", code=other))
        await log.append(subjects.alarm(PROTECTED), encode(press()))
        await eventually(lambda: len(rulings(log)) == 2)
    assert {one.episode.code for one in rulings(log)} == {other, Code.BAR_SOS}


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
    async with queue_of(log, "dispatcher-PROX_ALERT") as queue:
        await queue.take(1)  # taken, never settled: dead
        async with dispatching(log, 1):
            queue.expire_leases()
            await all_settled(log)
    assert [one.reason for one in rulings(log)] == ["opened"]


async def test_nothing_is_lost_while_the_log_takes_nothing(log: SlowLog) -> None:
    await found(log, entry())
    log.down = True
    async with dispatching(log, 1):
        async with queue_of(log, "dispatcher-PROX_ALERT") as queue:
            for _ in range(1_000):  # the dispatcher meets the outage many times over
                await asyncio.sleep(0)
            assert queue.unsettled == 1
        log.down = False
        await all_settled(log)
    assert [one.reason for one in rulings(log)] == ["opened"]


async def test_what_cannot_be_read_stops_nothing_and_is_never_settled(
    log: SlowLog, waits: dict[bytes, list[float]]
) -> None:
    """F02: one in ten keeps failing; all others are ruled upon, and it is tried again ever more slowly."""
    before = counted("unreadable")
    rubbish = [b"\x09rubbish 0", b"\x09rubbish 1"]
    for number in range(20):
        whole = encode(entry(f"fnd_{number}"))
        await log.append(subjects.findings(0, CODE), whole if number % 10 else rubbish[number // 10])
    async with dispatching(log):
        await eventually(lambda: len(rulings(log)) == 18)
        await eventually(lambda: all(len(waits[one]) >= len(EVER_MORE_SLOWLY) for one in rubbish))
        assert await unsettled(log, "dispatcher-PROX_ALERT") == 2
        await found(log, entry("fnd_later"))
        await eventually(lambda: len(rulings(log)) == 19)
    assert counted("unreadable") - before == sum(len(waits[one]) for one in rubbish)
    for one in rubbish:
        assert waits[one][: len(EVER_MORE_SLOWLY)] == EVER_MORE_SLOWLY
    assert set(waits) == set(rubbish)


async def test_what_cannot_be_ruled_upon_stops_nothing_and_is_not_forgotten(
    log: SlowLog, monkeypatch: pytest.MonkeyPatch, waits: dict[bytes, list[float]]
) -> None:
    """F02: an event on which the desk itself breaks is tried again ever more slowly, until it is ruled upon."""
    before, rule = counted("poison"), dispatcher.Ledger.rule
    broken, bad = True, encode(press("alm_bad"))

    async def breaks(self: Ledger, code: str, subject: str, event: object, **how: object) -> object:
        if broken and isinstance(event, AlarmCause) and event.alarm.id == "alm_bad":
            raise ZeroDivisionError
        return await rule(self, code, subject, event, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(dispatcher.Ledger, "rule", breaks)
    for name in ("alm_bad", "alm_good"):
        await log.append(subjects.alarm(PROTECTED), encode(press(name)))
    async with dispatching(log):
        await eventually(lambda: len(waits[bad]) >= len(EVER_MORE_SLOWLY))
        assert await unsettled(log, "dispatcher-alarms") == 1
        assert [one.episode.causes for one in rulings(log)] == [("alm_good",)]
        broken = False
        await all_settled(log)
    assert waits[bad][: len(EVER_MORE_SLOWLY)] == EVER_MORE_SLOWLY
    assert counted("poison") - before == len(waits[bad])
    assert rulings(log)[-1].episode.causes == ("alm_good", "alm_bad")


def proof(name: str = "fnd_proof", **changes: object) -> Finding:
    return entry(name, code=Code.EVIDENTIAL_BREACH, **changes)


async def test_a_proof_that_overtakes_its_alert_is_kept_for_it(
    log: SlowLog, waits: dict[bytes, list[float]]
) -> None:
    """Two queues: the entry may be ruled upon after what proves it."""
    async with dispatching(log):
        await found(log, proof())
        await eventually(lambda: len(waits[encode(proof())]) >= 3)
        assert rulings(log) == []
        await found(log, entry())
        await all_settled(log)
    assert [one.reason for one in rulings(log)] == ["opened", "proven"]
    assert waits[encode(proof())][:3] == EVER_MORE_SLOWLY[:3]
    told = {one.channel for ruling in rulings(log)[1:] for one in ruling.notifications}
    assert told <= {Channel.UNIT}, "her unit may ring: nobody else is told"


async def test_a_proof_whose_alert_never_comes_is_given_up_and_counted(log: SlowLog) -> None:
    before = counted("no_alert_to_prove")
    await found(log, proof(at_ms=NOW_MS - PROOF_WAITS_S * 1000))
    async with dispatching(log):
        await all_settled(log)
    assert counted("no_alert_to_prove") - before == 1
    assert rulings(log) == []


async def test_doubt_is_not_read_here(log: SlowLog) -> None:
    await found(log, entry("fnd_doubt", code=Code.UNCERTAIN))
    async with dispatching(log):
        await found(log, entry())
        await all_settled(log)
    assert [one.episode.code for one in rulings(log)] == [Code.PROX_ALERT]


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
