"""What does the courier remember of one endpoint, and who may speak to it now?

A ``Door`` is one endpoint with everything that is its own, shared by all that goes out by it: its line, how long
it usually takes, whether it has said that it is gone, what it was last sent of each type, who waits for it.

First attempts and retries have connections of their own, so that no retry ever holds what a first attempt needs
(F02). First attempts are let in by priority, then by the hour of the ruling; P2 to P5 leave some room to P1
(invariant 2). LINE_EAGER of them at once are what an endpoint that is well needs: 700 alerts (F28) are then told
over 32 connections and not 700. Where they do not move on by MOVES_MIN in LOOK_S, as many more are opened, up to
LINE_FIRST_MAX: an endpoint that hangs must not hold up the first attempt of what comes behind.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from alerts.deadlines import USUAL_OF, usual_ms
from alerts.line import Line, Outcome
from alerts.retries import ACCEPTED
from tocsin.limits import LINE_EAGER, LINE_FIRST_MAX, LINE_RETRY_MAX, LINE_URGENT_MIN
from tocsin.model.episode import Channel, Notification, Ruling

LOOK_S: Final = 0.1  # an attempt that comes upon a queue waits no longer: less than half the median budget of P1
MOVES_MIN: Final = 10  # a tenth of a second: 700 in 7 s
URGENT: Final = 1


class Gate:
    """Lets in ``eager`` at once, more when they do not move on, never more than ``most``; of these ``urgent`` are
    for P1 alone. Waiters are let in by priority, then by hour."""

    def __init__(self, *, eager: int, most: int, urgent: int = 0) -> None:
        self._eager = eager
        self._most = most
        self._urgent = urgent
        self._inside = 0
        self._waiting: list[tuple[int, int, int, asyncio.Future[None]]] = []
        self._number = itertools.count()
        self._left = 0
        self._is_looking = False

    @asynccontextmanager
    async def entered(self, priority: int, at_ms: int) -> AsyncIterator[None]:
        await self._enter(priority, at_ms)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, priority: int, at_ms: int) -> None:
        if not self._waiting and self._inside < min(self._eager, self._limit(priority)):
            self._inside += 1
            return
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, at_ms, next(self._number), turn))
        self._look_later()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # let in and cancelled in the same turn of the loop
                self._leave()
            raise

    def _leave(self) -> None:
        self._inside -= 1
        self._left += 1
        self._let_in_one()

    def _look_later(self) -> None:
        if not self._is_looking:
            self._is_looking, self._left = True, 0
            asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def _look(self) -> None:
        self._is_looking = False
        if self._left < MOVES_MIN:
            for _ in range(self._eager):
                self._let_in_one()
        if self._waiting:
            self._look_later()

    def _let_in_one(self) -> None:
        while self._waiting and self._waiting[0][-1].done():
            heapq.heappop(self._waiting)
        if self._waiting and self._inside < self._limit(self._waiting[0][0]):
            heapq.heappop(self._waiting)[-1].set_result(None)
            self._inside += 1

    def _limit(self, priority: int) -> int:
        return self._most if priority <= URGENT else self._most - self._urgent


@dataclass(frozen=True, slots=True, kw_only=True)
class Newest:
    """The last message of a type that was for this endpoint, as its own envelope named it."""

    id: str
    alert: str
    version: int


@dataclass(slots=True, kw_only=True)
class Door:
    """``name``: a word for log and screen, and the place of its SYS_NOTIFY_FAIL. ``channel``: whose form what goes
    out by it has. ``gone``: it said 410, and has taken nothing since."""

    name: str
    channel: Channel
    line: Line
    first: Gate = field(
        default_factory=lambda: Gate(eager=LINE_EAGER, most=LINE_FIRST_MAX, urgent=LINE_URGENT_MIN)
    )
    again: Gate = field(default_factory=lambda: Gate(eager=LINE_RETRY_MAX, most=LINE_RETRY_MAX))
    gone: bool = False
    missed_beats: int = 0
    newest: dict[str, Newest] = field(default_factory=dict)
    _took_ms: deque[int] = field(default_factory=lambda: deque(maxlen=USUAL_OF))

    @property
    def usual_ms(self) -> int:
        return usual_ms(tuple(self._took_ms))

    def answered(self, outcome: Outcome, after_ms: int) -> None:
        """What one POST of a notification came to."""
        if outcome.result == ACCEPTED:
            self._took_ms.append(after_ms)
        self.heard(outcome)

    def heard(self, outcome: Outcome) -> None:
        """What one POST of any kind came to."""
        if outcome.result == ACCEPTED:
            self.gone = False
        elif outcome.status == HTTPStatus.GONE:
            self.gone = True

    def owes(self, ruling: Ruling, notification: Notification) -> None:
        """This is on its way to it."""
        episode = ruling.episode
        self.newest[notification.type] = Newest(id=notification.id, alert=episode.id, version=episode.version)
