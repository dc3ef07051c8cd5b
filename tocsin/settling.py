"""How does a queue of the log get into the record, whatever becomes of the record meanwhile?

Take, keep, settle: only what the record has committed is settled, so what a dead worker had in its hands comes
again. On an outage what is not settled is given back and comes again to us. What the record refuses, or nobody
can read, is halved until the culprit is alone; that one is set aside, so that it does not keep the others from
the record.

A record that answers, but not in its time, gets half as much in a transaction, down to one message, and twice as
much after each that it took: slow, and not stopped.

Waits are seconds of the wall: an outage does not end sooner because a replay's clock runs faster.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

import structlog

from tocsin.adapters.postgres import RecordRefused
from tocsin.errors import LogUnavailable, RecordUnavailable, WireError
from tocsin.limits import LEASE_S
from tocsin.ports import Delivery

logger = structlog.get_logger(__name__)

BACKOFF_S: Final = 0.2
BACKOFF_MAX_S: Final = 2.0
MOST: Final = 2**20  # messages in one transaction, when nothing is slow: more than any ``worth``

assert BACKOFF_MAX_S < LEASE_S, "what is given back comes to us, not to a worker that will fail as well"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settler:
    """What one queue needs. ``keep`` commits some deliveries, or raises; nothing is settled before it returns."""

    name: str
    take: Callable[[], Awaitable[Sequence[Delivery]]]
    keep: Callable[[Sequence[Delivery]], Awaitable[None]]
    set_aside: Callable[[Delivery, Exception], None]
    worth: Callable[[Sequence[Delivery]], int] = len
    """How many of the first in hand make one transaction; at least 1."""

    async def run(self) -> None:
        """Until cancelled."""
        backoff_s, most = BACKOFF_S, MOST
        while True:
            hand = deque(await self.take())
            try:
                while hand:
                    count = min(self.worth(hand), most)
                    try:
                        await self._settle(hand, count)
                    except RecordUnavailable:
                        most = max(1, count // 2)
                        raise
                    backoff_s, most = BACKOFF_S, min(2 * most, MOST)
            except (RecordUnavailable, LogUnavailable) as error:
                logger.warning(f"{self.name} waits", reason=str(error), messages=len(hand), again_in_s=backoff_s)
                for delivery in hand:
                    await delivery.again(backoff_s)
                await asyncio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, BACKOFF_MAX_S)

    async def _settle(self, hand: deque[Delivery], count: int) -> None:
        """Keep and settle the first ``count`` in hand."""
        first = list(islice(hand, count))
        try:
            await self.keep(first)
        except (WireError, RecordRefused) as error:
            if count > 1:
                await self._settle(hand, count // 2)
                await self._settle(hand, count - count // 2)
                return
            self.set_aside(first[0], error)
        for delivery in first:
            await delivery.done()
            hand.popleft()
