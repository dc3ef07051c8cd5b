"""The shell of the desk: take a finding, an alarm or a receipt, have it ruled upon, settle it.

Three queues with a task each, so that a key never waits behind positions (invariant 2). A dispatcher that dies
leaves its leases to the next one; what it had already ruled on is found among the causes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from alerts.episodes import place_of
from alerts.ledger import Ledger
from tocsin import subjects
from tocsin.clock import Clock
from tocsin.errors import LogUnavailable, WireError
from tocsin.model.episode import AlarmCause, Event, FindingCause, Realm
from tocsin.ports import Delivery, Entry, Log
from tocsin.telemetry import RULINGS
from tocsin.wire import decode_alarm, decode_finding, decode_receipt

AGAIN_AFTER_S = 0.2
LEASED_MAX = 256
ATTEMPTS_MAX = 10

Reader = Callable[[Entry], tuple[str, str, Event]]

log = structlog.get_logger()


async def run_dispatcher(*, log_: Log, clock: Clock, realm: Realm, ready: Callable[[], None]) -> None:
    """Until cancelled."""
    ledger = Ledger(log_, clock, realm)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_serve(log_, ledger, subjects.ALARMS, "dispatcher-alarms", _alarm_event))
        tasks.create_task(_serve(log_, ledger, subjects.FINDINGS, "dispatcher-findings", _finding_event))
        tasks.create_task(_serve(log_, ledger, subjects.RECEIPTS, "dispatcher-receipts", _receipt_event))
        ready()


async def _serve(log_: Log, ledger: Ledger, stream: subjects.Stream, name: str, read: Reader) -> None:
    async with log_.queue(stream, name, parallel=LEASED_MAX) as deliveries:
        while True:
            for delivery in await deliveries.take(LEASED_MAX):
                await _settle(ledger, delivery, read)


async def _settle(ledger: Ledger, delivery: Delivery, read: Reader) -> None:
    try:
        code, subject, event = read(delivery.entry)
    except WireError as error:
        log.error("unreadable", subject=delivery.entry.subject, error=str(error))
        RULINGS.labels(reason="unreadable").inc()
        await delivery.done()
        return
    try:
        await ledger.rule(code, subject, event)
    except LogUnavailable as error:
        log.warning("rule_again", subject=delivery.entry.subject, error=str(error))
        await delivery.again(AGAIN_AFTER_S)
    except Exception:  # noqa: BLE001  (F02: one event that cannot be ruled upon must not stop the others)
        await _set_aside(delivery)
    else:
        await delivery.done()


async def _set_aside(delivery: Delivery) -> None:
    """Try a few times more, then leave it in the log, counted and shouted about."""
    log.exception("ruling_failed", subject=delivery.entry.subject, sequence=delivery.entry.sequence)
    if delivery.attempt < ATTEMPTS_MAX:
        await delivery.again(AGAIN_AFTER_S)
        return
    RULINGS.labels(reason="poison").inc()
    await delivery.done()


def _alarm_event(entry: Entry) -> tuple[str, str, Event]:
    alarm = decode_alarm(entry.payload)
    return (*place_of(alarm), AlarmCause(alarm=alarm))


def _finding_event(entry: Entry) -> tuple[str, str, Event]:
    finding = decode_finding(entry.payload)
    return (*place_of(finding), FindingCause(finding=finding))


def _receipt_event(entry: Entry) -> tuple[str, str, Event]:
    _, _, code, subject = entry.subject.split(".")
    return code, subject, decode_receipt(entry.payload)
