"""Does the auditor hold its tongue while it cannot know, speak once when it does, and is it missed when it is
silent?

On the twin of the log, whose outage is a switch; with real servers in tests/acceptance. F02, F26, invariant 1.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from builders import NOW_MS, REALM, SECRET, entry, eventually, frozen_clock
from real_broker import cancelled

from alerts.desk import handle
from alerts.wire_tap import BATCH_MAX, WAITING_MAX, WireTap
from audit.attention import RECOVER_MS, STEP_MAX_MS, Attention
from audit.auditor import AuditDoors, Auditor, Laws
from audit.law import Difference
from audit.page import TOLD_MAX, Pager, page_of
from audit.spokesman import PAGE_LOOKS, QUIET_LOOKS, Spokesman
from tocsin import subjects
from tocsin.clock import AffineClock
from tocsin.model.episode import FindingCause, NoticeCause, Receipt, Ruling
from tocsin.model.finding import Change, Code
from tocsin.model.notice import Notice
from tocsin.subjects import AUDITOR_PULSE, NOTICES, RECEIPTS, WIRES
from tocsin.testing.bus import MemoryBucket, MemoryLog
from tocsin.wire import decode_notice, decode_pulse, decode_wire_answers, encode

# --- hours ---------------------------------------------------------------------------------------------------


def test_hours_pass_while_it_looks_and_not_while_the_log_is_away() -> None:
    attention = Attention(1_000)
    assert attention.looked(3_000) == 2_000
    assert attention.now_ms(3_500) == 2_500, "what is heard between two looks"
    attention.missed(5_000)
    assert attention.now_ms(9_000) == 2_000
    assert attention.looked(5_000 + RECOVER_MS) == 2_000
    assert attention.looked(7_000 + RECOVER_MS) == 4_000


def test_who_slept_for_a_minute_has_not_waited_for_one() -> None:
    attention = Attention(0)
    assert attention.looked(60_000) == STEP_MAX_MS


# --- the shell -----------------------------------------------------------------------------------------------


class World:
    def __init__(self) -> None:
        self.log = MemoryLog()
        self.tallies = MemoryBucket()
        self.steady_ms = 0
        self.pages: list[dict[str, Any]] = []
        self.clock = frozen_clock()
        self.auditor: Auditor | None = None

    async def looks(self, times: int = 1) -> None:
        for _ in range(times):
            self.steady_ms += 2_000
            assert self.auditor is not None
            await self.auditor.look()
            await asyncio.sleep(0)

    async def finds(self, name: str = "fnd_1", at_ms: int = NOW_MS) -> None:
        found = entry(name, at_ms)
        await self.log.append(subjects.findings(0, found.code.value), encode(found))

    async def rules(self, name: str = "fnd_1") -> None:
        ruling = handle(None, FindingCause(finding=entry(name)), REALM, NOW_MS)
        assert isinstance(ruling, Ruling)
        await self.log.append(subjects.episode("PROX_ALERT", "msr_1"), encode(ruling))


class Told(Pager):
    """A pager that is listened to where it speaks."""

    def __init__(self, world: World) -> None:
        super().__init__(url=None, http=None, clock=world.clock)
        self.world = world

    def page(self, page: Any) -> None:
        self.world.pages.append(json.loads(page.body))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr("audit.auditor._steady_ms", lambda: world.steady_ms)
    return world


@asynccontextmanager
async def beginning(world: World) -> AsyncIterator[None]:
    spokesman = Spokesman(log_=world.log, clock=world.clock, pager=Told(world), site="paca", realm=REALM)
    doors = AuditDoors(log=world.log, devices=MemoryBucket(), orders=MemoryBucket(), tallies=world.tallies)
    world.auditor = Auditor(doors, Laws(), spokesman, world.clock)
    async with asyncio.TaskGroup() as tasks:
        begun = asyncio.Event()
        holding = tasks.create_task(_hold(world.auditor, begun))
        await begun.wait()
        yield
        holding.cancel()


async def _hold(auditor: Auditor, begun: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as tasks:
        await auditor.begin(tasks)
        begun.set()
        await asyncio.Event().wait()


async def test_what_was_dropped_is_said_and_what_was_ruled_upon_is_not(world: World) -> None:
    async with beginning(world):
        await world.finds("fnd_1")
        await world.rules("fnd_1")
        await world.finds("fnd_2")
        await world.looks(5)
        (page,) = world.pages
        assert "fnd_2" in page["commonAnnotations"]["description"]
        assert page["commonAnnotations"]["differences"] == "1"


async def test_nothing_is_said_while_the_log_is_away_and_what_was_dropped_is_said_behind_it(world: World) -> None:
    async with beginning(world):
        await world.looks()
        await world.finds("fnd_1")
        await world.finds("fnd_2")
        world.log.down = True
        await world.looks(20)
        world.log.down = False
        await world.looks(2)
        assert not world.pages
        await world.rules("fnd_1")
        await world.looks(12)
        (page,) = world.pages
        assert "fnd_2" in page["commonAnnotations"]["description"]


async def test_without_the_log_it_has_no_pulse(world: World) -> None:
    async with beginning(world):
        await world.looks()
        assert decode_pulse(await world.tallies.get(AUDITOR_PULSE) or b"").wall_ms == NOW_MS
        await world.tallies.delete(AUDITOR_PULSE)
        world.log.down = True
        await world.looks()
        assert await world.tallies.get(AUDITOR_PULSE) is None


async def test_a_restart_asks_for_what_is_a_minute_old_and_for_nothing_older(world: World) -> None:
    await world.finds("fnd_old", NOW_MS - 61_000)
    await world.finds("fnd_ruled")
    await world.rules("fnd_ruled")
    await world.finds("fnd_young", NOW_MS - 5_000)
    async with beginning(world):
        await world.looks(5)
        (page,) = world.pages
        assert "fnd_young" in page["commonAnnotations"]["description"]
        assert page["commonAnnotations"]["differences"] == "1"


async def opened(log: MemoryLog, number: int, at_ms: int) -> Ruling:
    found = entry(f"fnd_{number}", at_ms, measure=f"msr_{number}")
    ruling = handle(None, FindingCause(finding=found), REALM, at_ms)
    assert isinstance(ruling, Ruling)
    await log.append(subjects.findings(0, found.code.value), encode(found))
    await log.append(subjects.episode("PROX_ALERT", f"msr_{number}"), encode(ruling))
    return ruling


async def taken(log: MemoryLog, ruling: Ruling) -> None:
    """By everybody, at the second attempt."""
    for one in ruling.notifications:
        for attempt, result in ((1, "status_503"), (2, "accepted")):
            receipt = Receipt(
                notification=one.id, episode=ruling.episode.id, version=1, channel=one.channel, attempt=attempt,
                t7_ms=ruling.at_ms + attempt, t8_ms=None, result=result,
            )  # fmt: skip
            await log.append(subjects.receipt("PROX_ALERT", ruling.episode.subject), encode(receipt))


async def test_a_restart_behind_a_storm_asks_for_no_receipt_that_it_did_not_read_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit.auditor.RECEIPTS_BACK_MAX", 40)
    rulings = [await opened(world.log, number, NOW_MS - 50_000 + 1_000 * number) for number in range(48)]
    for ruling in rulings[:-1]:
        await taken(world.log, ruling)
    assert len(world.log.entries(RECEIPTS)) > 40
    async with beginning(world):
        await world.looks(15)
        said = [one for one in world.pages if one["commonLabels"]["law"] == "sent"]
        told = "".join(one["commonAnnotations"]["description"] for one in said)
        assert rulings[-1].episode.id in told, "of what it has read all of it goes on asking"
        assert not [one for one in rulings[:-1] if one.episode.id in told]


async def test_nor_for_a_ruling_that_it_did_not_read_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a place that has been written over since, so that what stands there does not say it."""
    monkeypatch.setattr("audit.auditor.BACK_MAX", 6)
    await world.finds("fnd_first", NOW_MS - 30_000)
    await world.rules("fnd_first")
    for number in range(8):
        ruling = handle(
            None, FindingCause(finding=entry(f"fnd_{number}", NOW_MS - 20_000)), REALM, NOW_MS - 20_000
        )
        assert isinstance(ruling, Ruling)
        await world.log.append(subjects.episode("PROX_ALERT", "msr_1"), encode(ruling))
    async with beginning(world):
        await world.looks(8)
        assert not [one for one in world.pages if one["commonLabels"]["law"] == "ruled"]


async def test_what_it_cannot_read_silences_nothing_else(world: World) -> None:
    async with beginning(world):
        await world.log.append(subjects.findings(0, "PROX_ALERT"), b"\xffanother version's")
        await world.finds("fnd_1")
        await world.looks(5)
        assert len(world.pages) == 1


async def test_a_law_that_breaks_is_a_difference_and_the_others_are_asked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(_self: Any, _now_ms: int) -> list[Difference]:
        raise KeyError("x")

    monkeypatch.setattr("audit.laws.near.Near.differences", breaks)
    async with beginning(world):
        await world.finds("fnd_1")
        await world.looks(5)
        assert {one["commonLabels"]["law"] for one in world.pages} == {"near", "ruled"}


# --- the spokesman -------------------------------------------------------------------------------------------


def differences(many: int) -> list[Difference]:
    return [
        Difference(law="ruled", about=f"fnd_{one}", since_ms=NOW_MS, detail=f"fnd_{one} is missing")
        for one in range(many)
    ]


@asynccontextmanager
async def spoken(world: World) -> AsyncIterator[Spokesman]:
    spokesman = Spokesman(log_=world.log, clock=world.clock, pager=Told(world), site="paca", realm=REALM)
    task = asyncio.create_task(spokesman.serve())
    try:
        yield spokesman
    finally:
        await cancelled(task)


async def test_a_thousand_are_one_page_and_what_goes_on_is_one_each_half_minute() -> None:
    world = World()
    async with spoken(world) as spokesman:
        spokesman.say("ruled", differences(1_000))
        for _ in range(PAGE_LOOKS):
            spokesman.say("ruled", differences(2))
        counts = [(one["commonAnnotations"]["differences"], one["truncatedAlerts"]) for one in world.pages]
        assert counts == [("1000", 1_000 - TOLD_MAX), (str(2 * PAGE_LOOKS), 2 * PAGE_LOOKS - TOLD_MAX)]


async def test_a_law_that_agrees_again_is_ended_for_receiver_and_supervisor() -> None:
    world = World()
    async with spoken(world) as spokesman:
        spokesman.say("ruled", differences(1))
        for _ in range(QUIET_LOOKS + 5):
            spokesman.say("ruled", [])
        assert [one["status"] for one in world.pages] == ["firing", "resolved"]
        assert len({one["alerts"][0]["fingerprint"] for one in world.pages}) == 1
        await eventually(lambda: len(world.log.entries(NOTICES)) == 2)
        begun, ended = [decode_notice(one.payload) for one in world.log.entries(NOTICES)]
        assert (begun.change, ended.change, ended.entry) == (Change.ENTRY, Change.EXIT, begun.id)
        assert begun.subject == "ruled"


async def test_what_an_auditor_before_has_said_is_ended_by_the_next() -> None:
    world = World()
    notice = Notice(
        id="ntc_1", code=Code.SYS_AUDIT, subject="sent", change=Change.ENTRY, at_ms=NOW_MS, entry="ntc_1",
        entry_ms=NOW_MS, reason="differs",
    )  # fmt: skip
    ruling = handle(None, NoticeCause(notice=notice), REALM, NOW_MS)
    assert isinstance(ruling, Ruling)
    async with spoken(world) as spokesman:
        spokesman.stands(ruling)
        for _ in range(QUIET_LOOKS):
            spokesman.say("sent", [])
        await eventually(lambda: world.log.entries(NOTICES))
        assert decode_notice(world.log.entries(NOTICES)[0].payload).entry == "ntc_1"


async def test_a_page_is_tried_until_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.page.AGAIN_S", (0.0,))
    answers = [503, None, 307, 200]
    heard: list[httpx2.Request] = []

    async def endpoint(request: httpx2.Request) -> httpx2.Response:
        heard.append(request)
        status = answers[len(heard) - 1]
        if status is None:
            raise httpx2.ConnectError("nobody there")
        return httpx2.Response(status)

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(endpoint)) as http:
        pager = Pager(url="http://operations.example", secret=SECRET, http=http, clock=AffineClock())
        task = asyncio.create_task(pager.serve())
        pager.page(page_of("ruled", differences(1), site="paca", realm=REALM, since_ms=NOW_MS, at_ms=NOW_MS))
        await eventually(lambda: len(heard) == 4)
        await cancelled(task)
    assert len({one.headers["webhook-id"] for one in heard}) == 1
    assert json.loads(heard[0].content)["commonLabels"]["alertname"] == "SYS_AUDIT"


# --- the tap -------------------------------------------------------------------------------------------------


@asynccontextmanager
async def tapped(log: MemoryLog) -> AsyncIterator[WireTap]:
    tap = WireTap(log, frozen_clock())
    task = asyncio.create_task(tap.serve())
    try:
        yield tap
    finally:
        await cancelled(task)


def kept(log: MemoryLog) -> list[str]:
    return [one.notification for batch in log.entries(WIRES) for one in decode_wire_answers(batch.payload).answers]


async def test_a_tap_says_that_it_begins_and_keeps_what_it_hears_in_order() -> None:
    log = MemoryLog()
    async with tapped(log) as tap:
        await eventually(lambda: log.entries(WIRES))
        names = [f"evt_{number}" for number in range(BATCH_MAX + 7)]
        for name in names:
            tap.note("teleassistance", name, 200)
        await eventually(lambda: kept(log) == names)


async def test_while_the_log_is_away_a_tap_keeps_the_newest_and_says_how_many_it_missed() -> None:
    log = MemoryLog()
    log.down = True
    async with tapped(log) as tap:
        for number in range(WAITING_MAX + 3):
            tap.note("teleassistance", f"evt_{number}", 200)
        log.down = False
        await eventually(lambda: len(kept(log)) == WAITING_MAX, within_s=30)
        assert kept(log)[0] == "evt_3"
        assert sum(decode_wire_answers(one.payload).missed for one in log.entries(WIRES)) == 3


async def test_a_tap_that_is_stopped_in_order_hands_in_what_it_has_noted() -> None:
    """Their receipts are on the log already, and the next life is some seconds away."""
    log = MemoryLog()
    names = [f"evt_{number}" for number in range(BATCH_MAX + 7)]
    async with tapped(log) as tap:
        await eventually(lambda: log.entries(WIRES))
        for name in names:
            tap.note("teleassistance", name, 200)
    assert kept(log) == names


async def test_a_tap_that_is_stopped_without_the_log_ends_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alerts.wire_tap.LAST_S", 0.05)
    log = MemoryLog()
    async with tapped(log) as tap:
        await eventually(lambda: log.entries(WIRES))
        log.down = True
        tap.note("teleassistance", "evt_1", 200)
    assert kept(log) == []
