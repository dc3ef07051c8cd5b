"""The shell of the desk: take a finding, an alarm or a receipt, have it ruled upon, settle it.

A queue for the keys, one for the receipts and one for each code of a finding, so that a key never waits behind
distances, nor an alert behind anything else (invariant 2); what has come by any of them is taken in the order of
``alerts.lanes``. A dispatcher that dies leaves its leases to the
next one; what it had already ruled on is found among the causes. UNCERTAIN is shown (``standings``) and opens no
alert: its findings are not read here. What an incident of the fleet explains is folded (``alerts.folding``). The
hours that an alert sets by itself come from ``alerts.timers``, which runs beside the queues.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import structlog

from alerts import desk
from alerts.calls import NO_KEY
from alerts.catalogue import CATALOGUE
from alerts.course import closing_by
from alerts.desk import Answer, Unchanged
from alerts.episodes import IN_PLACE_OF, KEYS, place_of
from alerts.folding import INCIDENT, Folding
from alerts.lanes import Lanes, Work
from alerts.ledger import Ledger
from alerts.routing import EVERYTHING_TO_THE_DEFAULT, Routing
from alerts.timers import Timers, run_timers
from tocsin import subjects
from tocsin.clock import Clock
from tocsin.errors import LogUnavailable, WireError
from tocsin.model.episode import AlarmCause, Event, FindingCause, NoticeCause, Realm, Receipt
from tocsin.model.finding import NOTICES, Code
from tocsin.model.protocol import AS_AGREED, Protocol
from tocsin.ports import Bucket, Delivery, Entry, Log
from tocsin.subjects import EPISODES
from tocsin.telemetry import RULINGS
from tocsin.wire import decode_alarm, decode_finding, decode_notice, decode_receipt, decode_ruling

AGAIN_AFTER_S = 0.2
AGAIN_MAX_S = 30.0
TAKE_MAX = 256
BEHIND_ALL = 9  # receipts: they say how a delivery went, and hold up none
UNREADABLE = 0  # at once: it is only given back
LEASED_MAX = (
    10_000  # what waits for its next try counts as leased: a rollback's worth of it must not stop the rest
)

STANDS_AT = {code.value: place.value for code, place in IN_PLACE_OF.items()}
"""By the code that an episode is said as; any other stands under its own."""

INCIDENTS = subjects.episode(INCIDENT.value, "*")

Placed = tuple[str, str, Event]
Reader = Callable[[Entry], list[Placed]]
"""What an entry is about: as a rule one place. What a unit says of itself is about each of its measures."""

log = structlog.get_logger()


async def run_dispatcher(
    *,
    log_: Log,
    clock: Clock,
    realm: Realm,
    ready: Callable[[], None],
    devices: Bucket,
    routing: Routing = EVERYTHING_TO_THE_DEFAULT,
    call_key: bytes = NO_KEY,
    protocol: Protocol = AS_AGREED,
    standings: Bucket | None = None,
    passed_ms: Callable[[], int] | None = None,
) -> None:
    """Until cancelled. Without ``standings`` it is not known who still comes nearer, which counts as yes.
    ``passed_ms``: of ``clock``, None where nobody sets that (``alerts.timers``)."""
    ledger = Ledger(log_, clock, realm, routing, call_key, protocol)
    desk_ = Folding(log_, devices, ledger)
    timers = Timers(clock, ledger, closing_by(log_, standings, clock), protocol, passed_ms)
    async with asyncio.TaskGroup() as tasks:
        lanes = Lanes(tasks)
        for queue in QUEUES:
            tasks.create_task(_serve(log_, desk_, queue, lanes))
        tasks.create_task(_unfold_for_ever(log_, desk_))
        tasks.create_task(run_timers(log_, timers))
        ready()


async def _serve(log_: Log, desk_: Folding, queue: Queue, lanes: Lanes) -> None:
    async with log_.queue(queue.stream, queue.name, parallel=LEASED_MAX, subject=queue.subject) as deliveries:
        while True:
            for delivery in await deliveries.take(TAKE_MAX):
                lanes.add(_work(desk_, delivery, queue))


def _work(desk_: Folding, delivery: Delivery, queue: Queue) -> Work:
    name = (queue.name, delivery.entry.sequence)
    try:
        placed = queue.read(delivery.entry)
    except WireError as error:
        give_back = functools.partial(_unreadable, delivery, error)
        return Work(name=name, place=name, rank=UNREADABLE, do=give_back)
    code, subject, event = placed[0]
    place = (queue.name, code, subject)
    return Work(
        name=name, place=place, rank=_rank(code, event), do=functools.partial(_settle, desk_, delivery, placed)
    )


def _rank(code: str, event: Event) -> int:
    """By the worst that its code can be: what a finding says of its own priority is for people."""
    if isinstance(event, Receipt):
        return BEHIND_ALL
    return 0 if code in KEYS else CATALOGUE[Code(code)].priority


async def _unreadable(delivery: Delivery, error: WireError) -> None:
    """Another version's, in the middle of an upgrade: its own dispatcher will read it."""
    log.critical("unreadable", subject=delivery.entry.subject, error=str(error))
    RULINGS.labels(reason="unreadable").inc()
    await delivery.again(_wait_s(delivery.attempt))


async def _settle(desk_: Folding, delivery: Delivery, placed: Sequence[Placed]) -> None:
    try:
        answers = [await desk_.rule(*one) for one in placed]
    except LogUnavailable as error:
        log.warning("rule_again", subject=delivery.entry.subject, error=str(error))
        await delivery.again(AGAIN_AFTER_S)
    except Exception:  # F02: one event that cannot be ruled upon must not stop the others, nor be forgotten
        log.critical("ruling_failed", subject=delivery.entry.subject, attempt=delivery.attempt, exc_info=True)
        RULINGS.labels(reason="poison").inc()
        await delivery.again(_wait_s(delivery.attempt))
    else:
        await _settle_ruled(delivery, answers)


async def _unfold_for_ever(log_: Log, desk_: Folding) -> None:
    """Each ruling on an incident, the operator's too, may be its end."""
    async with log_.queue(EPISODES, "dispatcher-unfold", parallel=1, subject=INCIDENTS) as deliveries:
        while True:
            for delivery in await deliveries.take(1):
                await _unfold(desk_, delivery)


async def _unfold(desk_: Folding, delivery: Delivery) -> None:
    try:
        raised = await desk_.unfold(decode_ruling(delivery.entry.payload).episode, delivery.still_working)
    except LogUnavailable as error:
        log.warning("unfold_again", error=str(error))
        await delivery.again(AGAIN_AFTER_S)
    except Exception:  # F02: as above
        log.critical("unfolding_failed", attempt=delivery.attempt, exc_info=True)
        RULINGS.labels(reason="poison").inc()
        await delivery.again(_wait_s(delivery.attempt))
    else:
        if raised:
            log.warning("unfolded", losses=raised)
        await delivery.done()


async def _settle_ruled(delivery: Delivery, answers: Sequence[Answer]) -> None:
    """Done, unless the event came before what it is about."""
    match answers[0]:
        case Unchanged(again=True):
            await delivery.again(_wait_s(delivery.attempt))
        case Unchanged(reason=desk.NO_ALERT_TO_PROVE) as answer:
            log.error("no_alert_to_prove", subject=delivery.entry.subject, sequence=delivery.entry.sequence)
            RULINGS.labels(reason=answer.reason).inc()
            await delivery.done()
        case _:
            await delivery.done()


def _wait_s(attempt: int) -> float:
    """Ever more slowly, and for as long as the log keeps the event: what was accepted is never settled unruled."""
    return float(min(AGAIN_MAX_S, AGAIN_AFTER_S * 2.0 ** min(attempt, 20)))


def _alarm_event(entry: Entry) -> list[Placed]:
    alarm = decode_alarm(entry.payload)
    if alarm.code in KEYS or not alarm.measures:
        return [(*place_of(alarm), AlarmCause(alarm=alarm))]
    each = [msgspec.structs.replace(alarm, measures=(measure,)) for measure in alarm.measures]
    return [(*place_of(one), AlarmCause(alarm=one)) for one in each]


def _finding_event(entry: Entry) -> list[Placed]:
    finding = decode_finding(entry.payload)
    return [(*place_of(finding), FindingCause(finding=finding))]


def _notice_event(entry: Entry) -> list[Placed]:
    notice = decode_notice(entry.payload)
    return [(*place_of(notice), NoticeCause(notice=notice))]


def _receipt_event(entry: Entry) -> list[Placed]:
    """Where its episode stands, by whatever code of the two the courier has named it."""
    _, _, code, subject = entry.subject.split(".")
    return [(STANDS_AT.get(code, code), subject, decode_receipt(entry.payload))]


@dataclass(frozen=True, slots=True)
class Queue:
    """One durable queue."""

    name: str
    stream: subjects.Stream
    subject: str
    read: Reader


FOUND = tuple(code for code in Code if code not in {*KEYS, *NOTICES, *IN_PLACE_OF, Code.UNCERTAIN})
"""What the geofence finds and the desk hears of; a code that is new has its queue from the first hour."""

QUEUES = (
    Queue("dispatcher-alarms", subjects.ALARMS, subjects.ALARMS.subjects, _alarm_event),
    *(
        Queue(
            subjects.dispatcher(code.value), subjects.FINDINGS, subjects.findings("*", code.value), _finding_event
        )
        for code in FOUND
    ),
    Queue("dispatcher-notices", subjects.NOTICES, subjects.NOTICES.subjects, _notice_event),
    Queue("dispatcher-receipts", subjects.RECEIPTS, subjects.RECEIPTS.subjects, _receipt_event),
)
