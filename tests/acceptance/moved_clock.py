"""An hour that a test moves: whoever sleeps until then wakes, and nobody before."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math

from tocsin.clock import MS, AffineClock

_MACHINE = AffineClock()


class MovedClock:
    """Stands still until it is moved; ``tocsin.clock.Clock``."""

    def __init__(self, at_ms: int) -> None:
        self._ms = at_ms
        self._number = itertools.count()
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []

    def now_ms(self) -> int:
        return self._ms

    def wall_ms(self) -> int:
        return _MACHINE.wall_ms()

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._ms + math.ceil(seconds * MS), next(self._number), turn))
        await turn

    def move(self, to_ms: int) -> None:
        assert to_ms >= self._ms, "an hour does not come back"
        self._ms = to_ms
        while self._sleepers and self._sleepers[0][0] <= to_ms:
            turn = heapq.heappop(self._sleepers)[-1]
            if not turn.done():
                turn.set_result(None)
