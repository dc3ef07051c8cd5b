"""Which requests to endpoints were really answered? Noted at the wire, for whoever checks what the receipts say.

Under the lowest line (``alerts.line``): the client calls ``hears`` with each answer of the other side. It knows
nothing of notifications, ladders or receipts, so that a fault up there cannot hide itself here: the name is read
from the request as it left. ``audit.laws.carried`` compares.

Off the road of the alert: to note is to append to a list in memory, nothing waits for the log, and nothing that
fails here reaches a delivery. What cannot be kept is counted and said (``missed``). A life that ends in order
hands in what it has noted; one that begins says so, for the last quarter second of a killed one died with it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Final

import httpx2
import structlog

from tocsin import subjects
from tocsin.clock import Clock
from tocsin.errors import LogUnavailable
from tocsin.model.audit import WireAnswer, WireAnswers
from tocsin.ports import Log
from tocsin.telemetry import WIRE_MISSED
from tocsin.wire import encode

PART: Final = "courier"
FLUSH_S: Final = 0.25  # of the machine's time: the auditor waits 10 s
LAST_S: Final = 1.0  # of a courier that is stopped: nobody waits longer for what only excuses
BATCH_MAX: Final = 500  # of 80 bytes: 40 kB
WAITING_MAX: Final = 50_000  # 4 MB and some: an hour without the log at 14 answers a second; the oldest give way

log = structlog.get_logger()


class WireTap:
    """Of one courier, in this life."""

    def __init__(self, log_: Log, clock: Clock) -> None:
        self._log = log_
        self._clock = clock
        self._since_ms = clock.now_ms()
        self._waiting: deque[WireAnswer] = deque(maxlen=WAITING_MAX)
        self._missed = 0

    def hears(self, line: str) -> Callable[[httpx2.Response], Awaitable[None]]:
        """For the client of this endpoint."""

        async def heard(response: httpx2.Response) -> None:
            self.note(line, response.request.headers.get("webhook-id", ""), response.status_code)

        return heard

    def note(self, line: str, notification: str, status: int) -> None:
        if len(self._waiting) == WAITING_MAX:
            self._missed += 1
            WIRE_MISSED.inc()
        now_ms = self._clock.now_ms()
        self._waiting.append(WireAnswer(notification=notification, line=line, status=status, at_ms=now_ms))

    async def serve(self) -> None:
        """Until cancelled; then what still waits."""
        begun = False
        try:
            while True:
                if self._waiting or not begun:
                    begun = await self._flush() or begun
                if not self._waiting:
                    await asyncio.sleep(FLUSH_S)
        finally:
            await self._hand_in()

    async def _hand_in(self) -> None:
        """Their receipts are on the log, and the next life's word that excuses them may come too late."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_S):
                while self._waiting:
                    await self._flush()
        if self._waiting:
            log.warning("wire_answers_lost", answers=len(self._waiting))

    async def _flush(self) -> bool:
        """What was noted while this is under way stays for the next."""
        some, missed = tuple(islice(self._waiting, BATCH_MAX)), self._missed
        said = WireAnswers(since_ms=self._since_ms, at_ms=self._clock.now_ms(), answers=some, missed=missed)
        try:
            await self._log.append(subjects.wire(PART), encode(said))
        except LogUnavailable as error:
            log.warning("wire_answers_wait", answers=len(self._waiting), error=str(error))
            await asyncio.sleep(FLUSH_S)
            return False
        except Exception:  # of any kind: it would end the courier, and a note is worth no delivery
            log.exception("wire_answers_broken", answers=len(self._waiting))
            await asyncio.sleep(FLUSH_S)
            return False
        self._forget(some)
        self._missed -= missed
        return True

    def _forget(self, some: tuple[WireAnswer, ...]) -> None:
        """Those at the front that are kept now; some may have given way meanwhile."""
        kept = {id(one) for one in some}
        while self._waiting and id(self._waiting[0]) in kept:
            self._waiting.popleft()
