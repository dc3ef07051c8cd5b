"""Where does the courier bring what is about an invented pair, and what of it is anybody's fault? F38."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
from builders import SECRET, eventually
from prometheus_client import REGISTRY
from real_broker import cancelled
from recipients import CLOCK, Recipient, endpoints, listening, receipts, rule

from alerts import desk
from alerts.channels.form import Sender
from alerts.courier import run_courier
from alerts.line import Endpoint
from alerts.retries import ACCEPTED, NO_ENDPOINT
from audit.canary import notice_of
from audit.canary_round import Word
from audit.laws.carried import WITHIN_MS, Carried
from tocsin import subjects
from tocsin.model.audit import WireAnswer
from tocsin.model.episode import Channel, NoticeCause, Realm, Receipt, Ruling
from tocsin.model.room import DEFAULT_ROOM, SECOND
from tocsin.testing.bus import MemoryLog
from tocsin.wire import decode_wire_answers, encode

CANARY = "canary-0"


@asynccontextmanager
async def courier(log: MemoryLog, real: Recipient, canaries: Mapping[Channel, Endpoint]) -> AsyncIterator[None]:
    """In production: there a line that tells nobody is a fault."""
    ready = asyncio.Event()
    recipients = {
        Channel.TELEASSISTANCE: endpoints({DEFAULT_ROOM: real.url, SECOND: real.url}),
        Channel.OPERATIONS: endpoints({DEFAULT_ROOM: real.url}),
        Channel.POLICE: endpoints({DEFAULT_ROOM: real.url}),
    }
    serving = asyncio.create_task(
        run_courier(
            log_=log, clock=CLOCK, realm=Realm.PRODUCTION, sender=Sender(site="paca"), recipients=recipients,
            canaries=canaries, ready=ready.set,
        )
    )  # fmt: skip
    try:
        await ready.wait()
        yield
    finally:
        await cancelled(serving)


def of(url: str) -> dict[Channel, Endpoint]:
    return {
        one: Endpoint(url=f"{url}/{one.value}", secret=SECRET) for one in (Channel.TELEASSISTANCE, Channel.POLICE)
    }


def stages() -> float:
    """Every observation of the latency of alerts."""
    found = (one for metric in REGISTRY.collect() for one in metric.samples)
    return sum(one.value for one in found if one.name == "tocsin_stage_latency_seconds_count")


async def test_both_forms_go_to_its_receiver_and_nothing_to_anybody_else() -> None:
    log, before = MemoryLog(), stages()
    async with listening(200) as real, listening(200) as test, courier(log, real, of(test.url)):
        ruling = await rule(log, CANARY)
        await eventually(lambda: len(test.heard) == len(ruling.notifications))
        await eventually(lambda: len(receipts(log)) == 1)
        (one,) = receipts(log)
        assert (one.result, one.line, one.canary) == (ACCEPTED, "canary", True)
        assert {b"<status>Test</status>" in one.body or b'"test":true' in one.body for one in test.heard} == {True}
        assert stages() == before
        await rule(log, "msr_1")
        await eventually(lambda: real.heard)
        assert len(test.heard) == len(ruling.notifications)
        assert {b"canary" in one.body for one in real.heard} == {False}
        await eventually(lambda: len(receipts(log)) >= 2)
        assert {one.canary for one in receipts(log)[1:]} == {False}, "of the second line, too, should it be asked"
        assert all(b"canary" not in one.body and b"alr_" not in one.body for one in real.beats)


@pytest.mark.parametrize("has_receiver", [False, True])
async def test_what_its_receiver_does_not_take_is_nobodys_failure(has_receiver: bool) -> None:
    """Without one it is told to nobody. Fifteen seconds without a yes are SYS_NOTIFY_FAIL for anybody else."""
    log = MemoryLog()
    async with (
        listening(200) as real,
        listening(503) as test,
        courier(log, real, of(test.url) if has_receiver else {}),
    ):
        ruling = await rule(log, CANARY)
        if has_receiver:
            overdue_ms = ruling.at_ms + 20_000
            await eventually(lambda: CLOCK.now_ms() > overdue_ms and len(test.heard) > 2)
            assert {one.result for one in receipts(log)} == {"status_503"}
        else:
            await eventually(lambda: [one.result for one in receipts(log)] == [NO_ENDPOINT])
            assert (receipts(log, Channel.POLICE)[0].result, receipts(log)[0].canary) == (NO_ENDPOINT, True)
        assert real.heard == []
        assert log.entries(subjects.NOTICES) == []


async def test_the_word_of_the_system_about_a_canary_goes_to_humans_and_its_receipt_says_so() -> None:
    """F07: by the same courier, past the receiver of canaries."""
    log = MemoryLog()
    notice = notice_of(CANARY, Word("finding", CLOCK.now_ms()), None)
    said = desk.handle(None, NoticeCause(notice=notice), Realm.LAB, CLOCK.now_ms())
    assert isinstance(said, Ruling)
    async with listening(200) as real, listening(200) as test, courier(log, real, of(test.url)):
        await log.append(subjects.episode(said.episode.code.value, CANARY), encode(said))
        await eventually(lambda: receipts(log))
        assert {(one.result, one.canary) for one in receipts(log)} == {(ACCEPTED, False)}
        assert (bool(real.heard), test.heard) == (True, [])


async def test_its_deliveries_are_known_at_the_wire_by_the_word_of_its_receiver() -> None:
    """F11: the auditor compares what the tap noted with the receipts, of an invented pair too."""
    log = MemoryLog()
    async with listening(200) as real, listening(200) as test, courier(log, real, of(test.url)):
        names = {one.id for one in (await rule(log, CANARY)).notifications}
        await eventually(lambda: names == {one.notification for one in taken(log)})
        await eventually(lambda: names <= {one.notification for one in answers(log)})
    law = Carried()
    for said in log.entries(subjects.WIRES):
        law.wires(decode_wire_answers(said.payload), 0)
    for one in taken(log):
        law.receipt(one, 0)
    assert law.differences(WITHIN_MS) == []


def taken(log: MemoryLog) -> list[Receipt]:
    return [*receipts(log, Channel.TELEASSISTANCE), *receipts(log, Channel.POLICE)]


def answers(log: MemoryLog) -> list[WireAnswer]:
    return [one for said in log.entries(subjects.WIRES) for one in decode_wire_answers(said.payload).answers]
