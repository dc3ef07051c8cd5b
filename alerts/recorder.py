"""How do rulings, receipts, accesses, commands and their results get from the log into the record?

A queue each, one transaction a batch, settled after the commit: what a dead recorder had in its hands comes again
and changes nothing. What is kept is linked into its chain in the same transaction (ARCHITECTURE, A13). With the
record down everything waits on the log, and no alert waits for it (A7).

What cannot be recorded (another version's message, a value that PostgreSQL cannot hold) is logged and settled: it
stays on the log, and must not keep the others from the record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog

from tocsin import telemetry, wire
from tocsin.adapters.accesses import AccessRecord, RecordedAccess
from tocsin.adapters.commands import CommandRecord, RecordedCommand, RecordedResult
from tocsin.adapters.episodes import EpisodeRecord, RecordedReceipt, RecordedRuling
from tocsin.adapters.postgres import RecordRefused
from tocsin.errors import RecordUnavailable, WireError
from tocsin.ports import Deliveries, Delivery, Entry, Log
from tocsin.pulsing import UNSEEN, Returning, Rounds
from tocsin.settling import Settler
from tocsin.subjects import ACCESSES, COMMANDS, EPISODES, RECEIPTS, RECORDER_EPISODES, RESULTS, place_in

logger = structlog.get_logger(__name__)

LINK_LATE_AGAIN_S = 10.0
LINK_LATE_AGAIN_MAX_S = 600.0  # what has waited since a migration may wait: the record's work goes first
LOOPS = ("rulings", "receipts", "accesses", "commands", "results")
TAKE_MAX = 500  # at 10 to 20 thousand rows a second a small part of a lease

T = TypeVar("T")


async def run_recorder(
    *,
    log: Log,
    record: EpisodeRecord,
    accesses: AccessRecord,
    commands: CommandRecord,
    ready: Callable[[], None],
    link_late: Callable[[], Awaitable[int]] | None = None,
    rounds: Rounds = UNSEEN,
) -> None:
    """Record until cancelled. ``ready`` is called when all queues are joined, whether or not the record is up.
    ``link_late``: what else is to be linked, once (``tocsin.adapters.late_links``)."""

    async def record_rulings(rulings: Sequence[RecordedRuling]) -> None:
        telemetry.RECORDED.inc(await record.record_rulings(rulings))

    async def record_accesses(read: Sequence[RecordedAccess]) -> None:
        telemetry.ACCESSES.labels(outcome="recorded").inc(await accesses.record_accesses(read))

    async def record_commands(said: Sequence[RecordedCommand]) -> None:
        await commands.record_commands(said)

    async def record_results(said: Sequence[RecordedResult]) -> None:
        await commands.record_results(said)

    async with (
        log.queue(EPISODES, RECORDER_EPISODES, parallel=TAKE_MAX) as episodes,
        log.queue(RECEIPTS, "recorder-receipts", parallel=TAKE_MAX) as receipts,
        log.queue(ACCESSES, "recorder-accesses", parallel=TAKE_MAX) as reads,
        log.queue(COMMANDS, "recorder-commands", parallel=TAKE_MAX) as orders,
        log.queue(RESULTS, "recorder-results", parallel=TAKE_MAX) as results,
        asyncio.TaskGroup() as parts,
    ):
        queues = (episodes, receipts, reads, orders, results)
        seen = [Returning(queue, rounds, loop) for queue, loop in zip(queues, LOOPS, strict=True)]
        of_rulings, of_receipts, of_reads, of_orders, of_results = seen
        parts.create_task(_settler(of_rulings, _read_ruling, record_rulings).run())
        parts.create_task(_settler(of_receipts, _read_receipt, record.record_receipts).run())
        parts.create_task(_settler(of_reads, _read_access, record_accesses).run())
        parts.create_task(_settler(of_orders, _read_command, record_commands).run())
        parts.create_task(_settler(of_results, _read_result, record_results).run())
        if link_late is not None:
            parts.create_task(_linked_late(link_late))
        ready()


async def _linked_late(link_late: Callable[[], Awaitable[int]]) -> None:
    """Beside the queues, and in nobody's way: until it is done, or cannot be. That it waits is said once."""
    again_in_s = LINK_LATE_AGAIN_S
    while True:
        try:
            linked = await link_late()
        except RecordUnavailable as error:
            if again_in_s == LINK_LATE_AGAIN_S:
                logger.warning("links wait for the record", reason=str(error), again_in_s=again_in_s)
            await asyncio.sleep(again_in_s)
            again_in_s = min(2 * again_in_s, LINK_LATE_AGAIN_MAX_S)
            continue
        except RecordRefused as error:  # they stay listed, and ``audit verify`` counts them
            logger.error("not linked", reason=type(error).__name__)
            return
        if linked:
            logger.info("linked what was kept without a link", links=linked)
        return


def _read_ruling(entry: Entry) -> RecordedRuling:
    return RecordedRuling(sequence=entry.sequence, ruling=wire.decode_ruling(entry.payload))


def _read_receipt(entry: Entry) -> RecordedReceipt:
    try:
        code, subject = place_in(entry.subject)
    except ValueError:
        raise WireError(f"no code and subject in {entry.subject}") from None
    return RecordedReceipt(code=code, subject=subject, receipt=wire.decode_receipt(entry.payload))


def _read_access(entry: Entry) -> RecordedAccess:
    return RecordedAccess(sequence=entry.sequence, access=wire.decode_access(entry.payload))


def _read_command(entry: Entry) -> RecordedCommand:
    return RecordedCommand(sequence=entry.sequence, command=wire.decode_command(entry.payload))


def _read_result(entry: Entry) -> RecordedResult:
    return RecordedResult(sequence=entry.sequence, status=wire.decode_command_status(entry.payload))


def _settler(
    queue: Deliveries, read: Callable[[Entry], T], record: Callable[[Sequence[T]], Awaitable[None]]
) -> Settler:
    async def take() -> Sequence[Delivery]:
        return await queue.take(TAKE_MAX)

    async def keep(deliveries: Sequence[Delivery]) -> None:
        await record([read(delivery.entry) for delivery in deliveries])

    return Settler(name="record", take=take, keep=keep, set_aside=_set_aside)


def _set_aside(delivery: Delivery, error: Exception) -> None:
    entry = delivery.entry
    logger.error(  # the sentence says it; a trace could carry the value
        "not recorded", subject=entry.subject, sequence=entry.sequence, reason=type(error).__name__
    )
