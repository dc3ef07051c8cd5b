"""How do rulings and receipts get from the log into the record?

Two queues, one transaction a batch, settled after the commit: what a dead recorder had in its hands comes again
and changes nothing. With the record down everything waits on the log, and no alert waits for it
(ARCHITECTURE, A7).

What cannot be recorded (another version's message, a value that PostgreSQL cannot hold) is logged and settled: it
stays on the log, and must not keep the others from the record.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from typing import TypeVar

import structlog

from tocsin import telemetry, wire
from tocsin.adapters.episodes import EpisodeRecord, RecordedRuling
from tocsin.adapters.postgres import RecordRefused
from tocsin.clock import Clock
from tocsin.errors import LogUnavailable, RecordUnavailable, WireError
from tocsin.model.episode import Receipt
from tocsin.ports import Deliveries, Delivery, Entry, Log
from tocsin.subjects import EPISODES, RECEIPTS

logger = structlog.get_logger(__name__)

TAKE_MAX = 500  # at 10 to 20 thousand rows a second a small part of a lease
BACKOFF_S = 0.2
BACKOFF_MAX_S = 2.0  # below LEASE_S: what is given back comes to us, not to a worker that will fail as well

T = TypeVar("T")


async def run_recorder(*, log: Log, record: EpisodeRecord, clock: Clock, ready: Callable[[], None]) -> None:
    """Record until cancelled. ``ready`` is called when both queues are joined, whether or not the record is up."""

    async def record_rulings(rulings: Sequence[RecordedRuling]) -> None:
        telemetry.RECORDED.inc(await record.record_rulings(rulings))

    async with (
        log.queue(EPISODES, "recorder-episodes", parallel=TAKE_MAX) as episodes,
        log.queue(RECEIPTS, "recorder-receipts", parallel=TAKE_MAX) as receipts,
        asyncio.TaskGroup() as parts,
    ):
        parts.create_task(_follow(episodes, _read_ruling, record_rulings, clock))
        parts.create_task(_follow(receipts, _read_receipt, record.record_receipts, clock))
        ready()


def _read_ruling(entry: Entry) -> RecordedRuling:
    return RecordedRuling(sequence=entry.sequence, ruling=wire.decode_ruling(entry.payload))


def _read_receipt(entry: Entry) -> Receipt:
    return wire.decode_receipt(entry.payload)


async def _follow(
    queue: Deliveries, read: Callable[[Entry], T], keep: Callable[[Sequence[T]], Awaitable[None]], clock: Clock
) -> None:
    """Take, record, settle; on an outage give back what is not settled, and wait."""
    backoff_s = BACKOFF_S
    while True:
        hand = deque(await queue.take(TAKE_MAX))
        try:
            await _record(hand, len(hand), read, keep)
        except (RecordUnavailable, LogUnavailable) as error:
            logger.warning("record waits", reason=str(error), messages=len(hand), again_in_s=backoff_s)
            for delivery in hand:
                await delivery.again(backoff_s)
            await clock.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, BACKOFF_MAX_S)
        else:
            backoff_s = BACKOFF_S


async def _record(
    hand: deque[Delivery],
    count: int,
    read: Callable[[Entry], T],
    keep: Callable[[Sequence[T]], Awaitable[None]],
) -> None:
    """Record and settle the first ``count`` in hand; what is refused is halved until the culprit is alone."""
    first = list(islice(hand, count))
    try:
        await keep([read(delivery.entry) for delivery in first])
    except (WireError, RecordRefused) as error:
        if count > 1:
            await _record(hand, count // 2, read, keep)
            await _record(hand, count - count // 2, read, keep)
            return
        entry = first[0].entry
        logger.error(  # the sentence says it; a trace could carry the value
            "not recorded", subject=entry.subject, sequence=entry.sequence, reason=type(error).__name__
        )
    for delivery in first:
        await delivery.done()
        hand.popleft()
