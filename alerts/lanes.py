"""In which order does the desk take what waits for it, and how much of it at once?

The most urgent first, whatever queue it came by (invariant 2, F28): a key, then by the priority of its code, then
the receipts, which say how a delivery went and hold up none. At most AT_ONCE at a time: a ruling is two round
trips to the log, and one after the other they leave the log idle. What is about one place, of one queue, is taken
in the order of the log, one at a time; between queues compare-and-set decides, as between processes.

What is in hand already is not taken again: behind a long backlog a lease ends, and the entry comes a second time.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Final

AT_ONCE: Final = 16
URGENT: Final = 1  # keys, and what is P1
KEPT_FOR_URGENT: Final = 4  # whatever holds up the others

Name = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """``name``: the queue and the sequence of the entry. ``place``: what it must not overtake another one about.
    ``rank``: 0 is the most urgent. ``do`` handles its own failures."""

    name: Name
    place: Hashable
    rank: int
    do: Callable[[], Awaitable[None]]


class Lanes:
    """Everything that waits for the desk, done in ``tasks``. It is bounded by what the log leases."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks
        self._busy = 0
        self._ready: list[tuple[int, int, Work]] = []
        self._numbers = itertools.count()
        self._places: dict[Hashable, deque[Work]] = {}
        self._in_hand: set[Name] = set()

    def add(self, work: Work) -> None:
        """Unless it is in hand."""
        if work.name in self._in_hand:
            return
        self._in_hand.add(work.name)
        line = self._places.setdefault(work.place, deque())
        line.append(work)
        if len(line) == 1:
            self._offer(work)

    def _offer(self, work: Work) -> None:
        heapq.heappush(self._ready, (work.rank, next(self._numbers), work))
        self._begin()

    def _begin(self) -> None:
        """As many as may be done at once; what is first in order decides for all behind it."""
        while self._ready and self._busy < _most(self._ready[0][0]):
            self._busy += 1
            self._tasks.create_task(self._do(heapq.heappop(self._ready)[-1]))

    async def _do(self, work: Work) -> None:
        await work.do()
        self._busy -= 1
        self._in_hand.discard(work.name)
        line = self._places[work.place]
        line.popleft()
        if line:
            self._offer(line[0])
        else:
            del self._places[work.place]
        self._begin()


def _most(rank: int) -> int:
    return AT_ONCE if rank <= URGENT else AT_ONCE - KEPT_FOR_URGENT
