"""How do fixes get from the log into the archive?

Batches are put together until a transaction is worth its commit, archived, and only then settled: what a dead
archivist had in its hands comes again and is found to be known. The live lane and the backlog lane are archived
beside each other. With the record down fixes wait on the log; nothing in the path of an alert waits for this.

A batch that cannot be read, or holds what the record cannot, is counted, logged and settled: it must not keep
the others from the archive.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate, islice, takewhile

import numpy as np
import structlog

from tocsin import telemetry, wire
from tocsin.adapters.fixes import FixArchive
from tocsin.adapters.postgres import RecordRefused
from tocsin.clock import Clock
from tocsin.errors import LogUnavailable, RecordUnavailable, WireError
from tocsin.limits import BATCH_MAX_FIXES
from tocsin.model.fix import FIX_DTYPE, Fixes
from tocsin.ports import Deliveries, Delivery, Log
from tocsin.subjects import FIXES, LATE

logger = structlog.get_logger(__name__)

ROWS_WORTH_A_COMMIT = 500
ROWS_MAX = 5_000  # in one transaction
COMPANY_S = 0.1  # what a small batch waits for others: nobody waits for the archive
TAKE_MAX = 60  # messages in hand: 60 full batches are 60,000 rows, a second of work and a third of a lease
BACKOFF_S = 0.2
BACKOFF_MAX_S = 2.0  # below LEASE_S: what is given back comes to us, not to a worker that will fail as well

assert ROWS_MAX >= BATCH_MAX_FIXES


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A leased message and the fixes in it."""

    delivery: Delivery
    fixes: Fixes


async def run_archivist(*, log: Log, archive: FixArchive, clock: Clock, ready: Callable[[], None]) -> None:
    """Archive until cancelled. ``ready``: both queues are joined, whether or not the record is up."""
    async with (
        log.queue(FIXES, "archivist-fixes", parallel=2 * TAKE_MAX) as fixes,
        log.queue(LATE, "archivist-late", parallel=2 * TAKE_MAX) as late,
        asyncio.TaskGroup() as lanes,
    ):
        lanes.create_task(_follow(fixes, archive, clock))
        lanes.create_task(_follow(late, archive, clock))
        ready()


async def _follow(queue: Deliveries, archive: FixArchive, clock: Clock) -> None:
    """Take, archive, settle; on an outage give back what is not settled, and wait."""
    backoff_s = BACKOFF_S
    while True:
        hand = deque(await _gather(queue))
        try:
            while hand:
                await _archive(hand, _worth_a_transaction(hand), archive)
        except (RecordUnavailable, LogUnavailable) as error:
            logger.warning("archive waits", reason=str(error), batches=len(hand), again_in_s=backoff_s)
            for batch in hand:
                await batch.delivery.again(backoff_s)
            await clock.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, BACKOFF_MAX_S)
        else:
            backoff_s = BACKOFF_S


async def _gather(queue: Deliveries) -> list[Batch]:
    """At least one message, and those of a moment more; what cannot be read is settled."""
    taken = list(await queue.take(TAKE_MAX))
    with suppress(TimeoutError):
        async with asyncio.timeout(COMPANY_S):
            while len(taken) < TAKE_MAX and sum(map(_rows, taken)) < ROWS_WORTH_A_COMMIT:
                taken += await queue.take(TAKE_MAX - len(taken))
    return await _readable(taken)


def _rows(delivery: Delivery) -> int:
    return len(delivery.entry.payload) // FIX_DTYPE.itemsize


async def _readable(deliveries: Sequence[Delivery]) -> list[Batch]:
    batches = []
    for delivery in deliveries:
        try:
            batches.append(Batch(delivery=delivery, fixes=wire.decode_fixes(delivery.entry.payload)))
        except WireError as error:
            await _set_aside(delivery, error)
    return batches


def _worth_a_transaction(hand: Sequence[Batch]) -> int:
    """How many of the first batches make one transaction: one, or what stays within ROWS_MAX."""
    rows = accumulate(len(batch.fixes) for batch in hand)
    return max(1, sum(1 for _ in takewhile(lambda total: total <= ROWS_MAX, rows)))


async def _archive(hand: deque[Batch], count: int, archive: FixArchive) -> None:
    """Archive and settle the first ``count`` in hand; what is refused is halved until the culprit is alone."""
    first = list(islice(hand, count))
    try:
        archived = await archive.archive(np.concatenate([batch.fixes for batch in first]))
    except RecordRefused as error:
        if count > 1:
            await _archive(hand, count // 2, archive)
            await _archive(hand, count - count // 2, archive)
            return
        await _set_aside(first[0].delivery, error)
        hand.popleft()
        return
    for batch in first:
        await batch.delivery.done()
        hand.popleft()
    telemetry.ARCHIVED.labels(outcome="archived").inc(archived.rows_inserted)
    telemetry.ARCHIVED.labels(outcome="duplicate").inc(archived.duplicates)


async def _set_aside(delivery: Delivery, error: Exception) -> None:
    """Counted as one: how many fixes were in it, nobody can read."""
    entry = delivery.entry
    telemetry.ARCHIVED.labels(outcome="unreadable").inc()
    logger.error("not archived", subject=entry.subject, sequence=entry.sequence, reason=type(error).__name__)
    await delivery.done()
