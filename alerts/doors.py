"""What does the courier remember of one endpoint, and who may speak to it now?

A ``Door`` is one endpoint with everything that is its own, shared by all that goes out by it: its line, how long
it usually takes, whether it has said that it is gone, what it was last sent of each type, who waits for it.

First attempts and retries have connections of their own, so that no retry ever holds what a first attempt needs
(F02). First attempts are let in by rank (``alerts.urgency``), then by the hour of the ruling; what is not about a
P1 leaves some room to what is, and everything leaves some to a P1 that nobody has heard of yet (invariant 2).
LINE_EAGER at once are what an endpoint that is well needs: 700 alerts (F28) are then told over 32 connections and
not 700, and no more than these are before a P1. Whoever has had no answer for HANGS_AFTER_LOOKS looks holds up
nobody: another goes in for him, up to LINE_FIRST_MAX. It is counted for each alone, so that an endpoint that is
only busy gets no more than it answers, and one that answers some of its calls holds up nothing by the others.
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
from alerts.urgency import NEW, URGENT
from tocsin.limits import LINE_EAGER, LINE_FIRST_MAX, LINE_NEW_MIN, LINE_RETRY_MAX, LINE_URGENT_MIN
from tocsin.model.episode import Channel, Notification, Ruling

LOOK_S: Final = 0.1
HANGS_AFTER_LOOKS: Final = 3
"""0.2 to 0.3 s: 700 are then attempted within 10 s at an endpoint that hangs. Looks and not seconds, so that a
courier which had no processor for a second does not take it for a silence of the endpoint: answers that have come
meanwhile are read before the next look."""


class Gate:
    """Lets in ``eager`` at once, and one more for each that hangs, never more than ``most``. Of ``eager`` places
    ``new`` are for P1 that nobody has heard of, of ``most`` ``urgent`` for what is about P1. Waiters are let in by
    rank, then by hour."""

    def __init__(self, *, eager: int, most: int, new: int = 0, urgent: int = 0) -> None:
        self._eager = eager
        self._most = most
        self._new = new
        self._urgent = urgent
        self._waiting: list[tuple[int, int, int, object, asyncio.Future[None]]] = []
        self._number = itertools.count()
        self._looks_at: dict[object, int] = {}  # whoever is inside: how often he was looked at
        self._hanging = 0
        self._is_looking = False

    @asynccontextmanager
    async def entered(self, rank: int, at_ms: int) -> AsyncIterator[None]:
        guest = object()
        await self._enter(guest, rank, at_ms)
        try:
            yield
        finally:
            self._leave(guest)

    async def _enter(self, guest: object, rank: int, at_ms: int) -> None:
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (rank, at_ms, next(self._number), guest, turn))
        self._let_in()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # let in and cancelled in the same turn of the loop
                self._leave(guest)
            raise

    def _admit(self, guest: object) -> None:
        self._looks_at[guest] = 0
        self._look_later()

    def _leave(self, guest: object) -> None:
        if self._looks_at.pop(guest) >= HANGS_AFTER_LOOKS:
            self._hanging -= 1
        self._let_in()

    def _look_later(self) -> None:
        if not self._is_looking:
            self._is_looking = True
            asyncio.get_running_loop().call_later(LOOK_S, self.look)

    def look(self) -> None:
        """Each LOOK_S, while anybody is inside."""
        self._is_looking = False
        for guest in self._looks_at:
            self._looks_at[guest] += 1
        self._hanging = sum(looks >= HANGS_AFTER_LOOKS for looks in self._looks_at.values())
        self._let_in()
        if self._looks_at:
            self._look_later()

    def _let_in(self) -> None:
        while self._waiting:
            rank, _, _, guest, turn = self._waiting[0]
            if not (turn.done() or self._has_room(rank)):
                return
            heapq.heappop(self._waiting)
            if not turn.done():
                self._admit(guest)
                turn.set_result(None)

    def _has_room(self, rank: int) -> bool:
        eager = self._eager if rank <= NEW else self._eager - self._new
        most = self._most if rank <= URGENT else self._most - self._urgent
        return len(self._looks_at) < min(eager + self._hanging, most)


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
        default_factory=lambda: Gate(
            eager=LINE_EAGER, most=LINE_FIRST_MAX, new=LINE_NEW_MIN, urgent=LINE_URGENT_MIN
        )
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
