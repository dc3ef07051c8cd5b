"""How do fixes get from the log into the archive?

Batches are put together until a transaction is worth its commit, archived, and only then settled: what a dead
archivist had in its hands comes again and is found to be known. The live lane and the backlog lane are archived
beside each other. With the record down fixes wait on the log; nothing in the path of an alert waits for this.

A batch that cannot be read, or holds what the record cannot, is counted, logged and settled: it must not keep
the others from the archive.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import accumulate, takewhile

import numpy as np
import structlog

from ingest.archive_counts import ArchiveCounts
from ingest.tally import write_for_ever
from tocsin import telemetry, wire
from tocsin.adapters.fixes import FixArchive
from tocsin.clock import AffineClock, Clock
from tocsin.limits import BATCH_MAX_FIXES
from tocsin.model.fix import FIX_DTYPE
from tocsin.ports import Bucket, Deliveries, Delivery, Log
from tocsin.pulsing import UNSEEN, Returning, Rounds
from tocsin.settling import Settler
from tocsin.subjects import ARCHIVIST_FIXES, FIXES, LATE, Stream

logger = structlog.get_logger(__name__)

LANES = ("fixes", "late")
ROWS_WORTH_A_COMMIT = 500
ROWS_MAX = 5_000  # in one transaction
COMPANY_S = 0.1  # what a small batch waits for others: nobody waits for the archive
TAKE_MAX = 60  # messages in hand: 60 full batches are 60,000 rows, a second of work and a third of a lease

CLOCK = AffineClock()

assert ROWS_MAX >= BATCH_MAX_FIXES


async def run_archivist(
    *,
    log: Log,
    archive: FixArchive,
    ready: Callable[[], None],
    tallies: Bucket | None = None,
    clock: Clock = CLOCK,
    rounds: Rounds = UNSEEN,
) -> None:
    """Archive until cancelled. ``ready``: both queues are joined, whether or not the record is up."""
    counts = ArchiveCounts()
    async with (
        log.queue(FIXES, ARCHIVIST_FIXES, parallel=2 * TAKE_MAX) as fixes,
        log.queue(LATE, "archivist-late", parallel=2 * TAKE_MAX) as late,
        asyncio.TaskGroup() as lanes,
    ):
        for lane, queue, stream in zip(LANES, (fixes, late), (FIXES, LATE), strict=True):
            lanes.create_task(_settler(Returning(queue, rounds, lane), archive, counts, stream).run())
        lanes.create_task(write_for_ever(counts.counts, tallies, clock))
        ready()


def _settler(queue: Deliveries, archive: FixArchive, counts: ArchiveCounts, stream: Stream) -> Settler:
    async def take() -> Sequence[Delivery]:
        return await _gather(queue)

    async def keep(deliveries: Sequence[Delivery]) -> None:
        await _archive(deliveries, archive, counts, stream)

    def set_aside(delivery: Delivery, error: Exception) -> None:
        _set_aside(delivery, error)
        counts.set_aside(delivery, stream)

    return Settler(name="archive", take=take, keep=keep, set_aside=set_aside, worth=_worth_a_transaction)


async def _gather(queue: Deliveries) -> list[Delivery]:
    """What there is, and what a moment more brings."""
    taken = list(await queue.take(TAKE_MAX))
    with suppress(TimeoutError):
        async with asyncio.timeout(COMPANY_S):
            while len(taken) < TAKE_MAX and sum(map(_rows, taken)) < ROWS_WORTH_A_COMMIT:
                taken += await queue.take(TAKE_MAX - len(taken))
    return taken


def _rows(delivery: Delivery) -> int:
    return len(delivery.entry.payload) // FIX_DTYPE.itemsize


def _worth_a_transaction(hand: Sequence[Delivery]) -> int:
    """How many of the first messages make one transaction: one, or what stays within ROWS_MAX."""
    return max(1, sum(1 for _ in takewhile(lambda total: total <= ROWS_MAX, accumulate(map(_rows, hand)))))


async def _archive(
    deliveries: Sequence[Delivery], archive: FixArchive, counts: ArchiveCounts, stream: Stream
) -> None:
    batches = [wire.decode_fixes(delivery.entry.payload) for delivery in deliveries]
    archived = await archive.archive(np.concatenate(batches))
    telemetry.ARCHIVED.labels(outcome="archived").inc(archived.rows_inserted)
    telemetry.ARCHIVED.labels(outcome="archived_astray").inc(archived.astray)
    telemetry.ARCHIVED.labels(outcome="duplicate").inc(archived.duplicates)
    counts.archived(deliveries, batches, archived, stream)


def _set_aside(delivery: Delivery, error: Exception) -> None:
    """Counted as one: how many fixes were in it, nobody can read."""
    entry = delivery.entry
    telemetry.ARCHIVED.labels(outcome="unreadable").inc()
    logger.error("not archived", subject=entry.subject, sequence=entry.sequence, reason=type(error).__name__)
