"""Is each planted fault paged within 10 s, by a second program that reads the same log? F02, F11, F26, F35.

Invariants 1 and 7: what was accepted is decided, sent and goes on to a human, or somebody hears that it does not.
The faults are put into the real parts by the test; the product has no switch for them. Everything runs on a real
log.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import numpy as np
import pytest
from audited import audited
from builders import DEVICES, PROTECTED, REALM, WEARER, Stopwatch, entry, eventually
from real_broker import cancelled
from recipients import courier, listening

from alerts.answers import Answer, Unchanged
from alerts.dispatcher import run_dispatcher
from alerts.folding import Folding
from alerts.line import Line, Outcome
from audit.auditor import Laws
from audit.laws.sent import Sent
from tocsin import subjects
from tocsin.adapters.jetstream import Bus
from tocsin.clock import AffineClock
from tocsin.model.episode import Channel, Event, FindingCause
from tocsin.model.finding import Code, Finding
from tocsin.model.fix import FIX_DTYPE, SILENT_TAIL, Source
from tocsin.model.order import Order
from tocsin.wire import decode_notice, decode_ruling, encode, encode_fixes

pytestmark = pytest.mark.timeout(120)

CLOCK: Final = AffineClock()
NOBODY_SENDS: Final = Sent(channels=frozenset())
OVER_HTTP: Final = frozenset({Channel.TELEASSISTANCE, Channel.POLICE, Channel.OPERATIONS})
PAGED_WITHIN_S: Final = 10.0
DAY_MS: Final = 86_400_000


@asynccontextmanager
async def desk(bus: Bus) -> AsyncIterator[None]:
    ready = asyncio.Event()
    task = asyncio.create_task(
        run_dispatcher(log_=bus.log, clock=CLOCK, realm=REALM, ready=ready.set, devices=bus.devices)
    )
    await ready.wait()
    try:
        yield
        assert not task.done(), task
    finally:
        await cancelled(task)


def found(number: int, code: Code = Code.PROX_ALERT) -> Finding:
    return entry(f"fnd_{number}", CLOCK.now_ms(), measure=f"msr_{number}", code=code)


async def happens(bus: Bus, *findings: Finding) -> None:
    for one in findings:
        await bus.log.append(subjects.findings(0, one.code.value), encode(one))


class OneInAThousand(Folding):
    """A dispatcher that settles some findings without a ruling."""

    ruled = 0
    dropped: list[tuple[str, Stopwatch]]

    async def rule(self, code: str, subject: str, event: Event) -> Answer:
        if isinstance(event, FindingCause):
            OneInAThousand.ruled += 1
            if OneInAThousand.ruled % 1000 == 500:
                self.dropped.append((event.finding.id, Stopwatch()))
                return Unchanged(reason="forgotten", episode=None)
        return await super().rule(code, subject, event)


async def test_a_dispatcher_that_drops_one_finding_in_a_thousand_is_paged_and_the_finding_named(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped: list[tuple[str, Stopwatch]] = []
    monkeypatch.setattr(OneInAThousand, "dropped", dropped, raising=False)
    monkeypatch.setattr(OneInAThousand, "ruled", 0)
    monkeypatch.setattr("alerts.dispatcher.Folding", OneInAThousand)
    async with desk(bus), audited(bus, CLOCK, laws=Laws(sent=NOBODY_SENDS)) as here:
        streaming = asyncio.create_task(_stream(bus, 2_400, code=Code.W_BATT_LOW))
        page = await here.paged("ruled", within_s=90)
        name, since = dropped[0]
        assert since.stop() <= PAGED_WITHIN_S
        assert name in page["commonAnnotations"]["description"]
        assert page["commonAnnotations"]["differences"] == "1"
        await streaming
        await here.passes(40)
        said = [
            line for one in here.firing("ruled") for line in one["commonAnnotations"]["description"].split("\n")
        ]
        assert [line.split()[2] for line in said] == [name for name, _ in dropped], "each once, and nothing else"
        assert len(dropped) == 2
        dropped[1][1].stop()
        assert not here.firing("near")


async def _stream(bus: Bus, many: int, code: Code) -> None:
    for first in range(0, many, 20):
        await asyncio.gather(*(happens(bus, found(first + one, code)) for one in range(20)))
        await asyncio.sleep(0.04)


class Liar(Line):
    """A line that says it was taken, and sent nothing, of one message."""

    lied: list[tuple[str, Stopwatch]]

    async def post(self, message_id: str, body: bytes, content_type: str, wall_ms: int) -> Outcome:
        if b"msr_13" in body and not self.lied:
            self.lied.append((message_id, Stopwatch()))
            return Outcome(result="accepted", status=200)
        return await super().post(message_id, body, content_type, wall_ms)


async def test_a_delivery_that_is_marked_sent_and_not_made_is_paged(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    lied: list[tuple[str, Stopwatch]] = []
    monkeypatch.setattr(Liar, "lied", lied, raising=False)
    monkeypatch.setattr("alerts.courier.Line", Liar)
    async with (
        listening(200) as platform,
        desk(bus),
        courier(bus.log, platform.url, clock=CLOCK),
        audited(bus, CLOCK, laws=Laws(sent=Sent(channels=OVER_HTTP))) as here,
    ):
        await happens(bus, *(found(number, Code.PROX_PREALERT) for number in range(30)))
        page = await here.paged("carried")
        assert lied[0][1].stop() <= PAGED_WITHIN_S
        assert lied[0][0] in page["commonAnnotations"]["description"]
        assert page["commonAnnotations"]["differences"] == "1"
        assert lied[0][0] not in platform.ids
        assert len(here.pages) == 1, "all the others were carried, and sent"


async def test_timers_that_are_dead_are_paged(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """He is there, nobody takes it, and nobody else hears of it (F35, invariant 7)."""

    async def dead(*_: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("alerts.dispatcher.run_timers", dead)
    async with desk(bus), audited(bus, CLOCK, laws=Laws(sent=NOBODY_SENDS)) as here:
        await happens(bus, found(1))
        await eventually(lambda: bus.log.last(subjects.EPISODES, subjects.episode("PROX_ALERT", "msr_1")))
        await here.passes(8)
        assert not here.pages, "its first rung is due at 10 s"
        await here.passes(12)
        page = await here.paged("answered")
        assert "'operators'" in page["commonAnnotations"]["description"]


async def test_living_timers_are_not(bus: Bus) -> None:
    """The twin of the one before, in real time: its rungs are climbed at 10 s and 20 s."""
    async with desk(bus), audited(bus, CLOCK, laws=Laws(sent=NOBODY_SENDS)) as here:
        await happens(bus, found(1))
        await eventually(lambda: _is_climbed(bus), within_s=60)
        assert not here.pages


async def _is_climbed(bus: Bus) -> bool:
    last = await bus.log.last(subjects.EPISODES, subjects.episode("PROX_ALERT", "msr_1"))
    return last is not None and len(decode_ruling(last.payload).episode.rungs) >= 2


def fixes(*at: tuple[str, float], now_ms: int) -> bytes:
    """Of a device, so many metres north of the place."""
    rows = np.zeros(len(at), FIX_DTYPE)
    for row, (device, north_m) in zip(rows, at, strict=True):
        row["device"], row["fix_ms"], row["t3_ms"], row["sent_ms"] = DEVICES[device].number, now_ms, now_ms, now_ms
        row["lat_e6"], row["lon_e6"] = 43_296_587 + round(north_m / 0.111), 5_369_731
        row["accuracy_dm"], row["source"] = 80, Source.GNSS
    assert len(SILENT_TAIL)
    return encode_fixes(rows)


async def test_fixes_that_nobody_judges_are_paged(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """The geofence is dead and he is inside, 700 m from her."""
    monkeypatch.setattr("audit.laws.near.NEW_MS", 0)
    now_ms = CLOCK.now_ms()
    for device in (WEARER, PROTECTED):
        await bus.devices.put(device, encode(DEVICES[device]))
    order = Order(
        id="msr_1", version=1, wearer=WEARER, protected=PROTECTED, alert_distance_m=1000,
        valid_from_ms=now_ms - DAY_MS, valid_until_ms=now_ms + DAY_MS,
    )  # fmt: skip
    await bus.orders.put(order.id, encode(order))
    async with desk(bus), audited(bus, CLOCK, laws=Laws(sent=NOBODY_SENDS)) as here:
        await _heard(bus, here.looks, 1_300.0)
        await here.passes(12)
        assert not here.pages, "he is outside"
        await _heard(bus, here.looks, 1_290.0)
        await _heard(bus, here.looks, 1_289.0)
        await _heard(bus, here.looks, 700.0, after_ms=15_000)
        await here.passes(4)
        assert not here.pages, "the geofence has 10 s"
        await here.passes(12)
        page = await here.paged("near")
        assert "msr_1" in page["commonAnnotations"]["description"]
        notice = await eventually(lambda: bus.log.last(subjects.NOTICES, subjects.notice("SYS_AUDIT")))
        assert decode_notice(notice.payload).subject == "near"
        told = await eventually(lambda: bus.log.last(subjects.EPISODES, subjects.episode("SYS_AUDIT", "near")))
        assert decode_ruling(told.payload).episode.priority == 1, "the supervisor sees it, too"


async def _heard(bus: Bus, looks: Callable[[], int], north_m: float, after_ms: int = 0) -> None:
    """Both say where they are; the auditor has looked at it."""
    now_ms = CLOCK.now_ms() + after_ms
    await bus.log.append(subjects.fixes(0), fixes((WEARER, north_m), (PROTECTED, 0.0), now_ms=now_ms))
    before = looks()
    await eventually(lambda: looks() > before + 1)
