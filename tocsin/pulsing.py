"""Does this part go round? Its loops say each time that they did; when all of them have, its pulse is shown.

No timer shows it: a loop that hangs (a lock, a connection that nobody answers, a full queue) keeps it from being
shown, whatever else of the process is alive. A worker at a queue has gone round when it comes back for more, and
comes back each IDLE_S where there is nothing. At most each SHOWN_EVERY_S, so that it costs a busy loop nothing.
Waits are of the wall.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import structlog

from tocsin.clock import MS, Clock
from tocsin.errors import LogUnavailable, RecordHeld, RecordUnavailable
from tocsin.model.pulse import Pulse
from tocsin.ports import Bucket, Deliveries, Delivery
from tocsin.wire import encode

SHOWN_EVERY_S: Final = 5.0
IDLE_S: Final = 5.0
REST_S: Final = 60.0  # how often who sleeps for an hour says so
LOOP: Final = "loop"  # of a part that has one

log = structlog.get_logger()


class Rounds(Protocol):
    """Where the loops of a part say that they went round."""

    async def went_round(self, loop: str = LOOP) -> None: ...


class Unseen:
    """Nobody looks."""

    async def went_round(self, loop: str = LOOP) -> None:
        """Said to nobody."""


UNSEEN: Final[Rounds] = Unseen()


class Pulsing:
    """Of one part, under the key ``part`` of ``tallies``. ``loops``: without any one of them it is not shown."""

    def __init__(self, tallies: Bucket, part: str, clock: Clock, loops: Iterable[str] = (LOOP,)) -> None:
        self._tallies = tallies
        self._part = part
        self._clock = clock
        self._loops = frozenset(loops)
        self._left = set(self._loops)
        self._shown_ms = -MS * int(SHOWN_EVERY_S)

    async def went_round(self, loop: str = LOOP) -> None:
        """What the log does not take now is shown behind the next round of all."""
        assert loop in self._loops, loop
        self._left.discard(loop)
        now = Pulse(at_ms=self._clock.now_ms(), wall_ms=self._clock.wall_ms())
        if self._left or 0 <= now.wall_ms - self._shown_ms < SHOWN_EVERY_S * MS:
            return
        self._left, self._shown_ms = set(self._loops), now.wall_ms
        try:
            await self._tallies.put(self._part, encode(now))
        except LogUnavailable as error:
            log.info("pulse_waits", part=self._part, error=str(error))


def is_away(error: Exception) -> bool:
    """Whether a round that failed with this is one: what it needs is away for everybody, and others say that."""
    return isinstance(error, (RecordUnavailable, LogUnavailable)) and not isinstance(error, RecordHeld)


async def rest(seconds: float, clock: Clock, rounds: Rounds) -> None:
    """Sleep behind a pass, and say so: a pulse that the log did not take when the pass was over is shown then."""
    while seconds > 0:
        await clock.sleep(min(seconds, REST_S))
        seconds -= REST_S
        await rounds.went_round()


class Returning:
    """``ports.Deliveries`` whose worker is seen to come back for more."""

    def __init__(self, queue: Deliveries, rounds: Rounds, loop: str) -> None:
        self._queue = queue
        self._rounds = rounds
        self._loop = loop
        self._hears = True

    async def take(self, limit: int) -> Sequence[Delivery]:
        """As the queue's; none where nothing has come for IDLE_S. That is a round if the log says that there is
        nothing, and none if it knows of no such queue."""
        if self._hears:
            await self._rounds.went_round(self._loop)
        self._hears = True
        try:
            async with asyncio.timeout(IDLE_S):
                return await self._queue.take(limit)
        except TimeoutError:
            self._hears = await self._queue.hears()
            return ()

    async def hears(self) -> bool:
        return await self._queue.hears()
