"""Is every read of an alert on the log, with who and why? DOMAIN section 5, invariant 17.

A reply is noted when it is made, and nobody waits for the note: it goes to the log behind the reply, in its order,
and waits here while the log is away. What is more than ACCESSES_WAITING_MAX, or still waits when the process ends,
is lost, counted and said. A reply with coordinates is another matter: it is on the log before it leaves, or it is
refused (503). What leaves as evidence has to be linked into the chain of its day before that (``seal``).

Why: the header ``Tocsin-Purpose``, recorded where it is given. What those see who handle alerts is about people by
pseudonymous ids, and is not refused for want of a purpose (docs/adr/0034-acts-and-accesses-over-the-api.md);
evidence, and who has read what, are (docs/adr/0053-the-proof-over-the-api.md).
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import structlog

from alerts.api.roles import Caller
from tocsin.adapters.accesses import OFF_THE_LOG, RecordedAccess
from tocsin.clock import Clock
from tocsin.errors import LogUnavailable
from tocsin.limits import ACCESS_OBJECTS_MAX, ACCESSES_WAITING_MAX
from tocsin.model.access import Access
from tocsin.model.ids import derived
from tocsin.ports import Log
from tocsin.subjects import access as subject_of
from tocsin.telemetry import ACCESSES
from tocsin.wire import encode

log = structlog.get_logger(__name__)

AGAIN_S: Final = 0.5
FINISH_S: Final = 1.0  # of the 3 s in which a server that ends finishes its requests


class SealedAccesses(Protocol):
    """What ``tocsin.adapters.accesses.AccessRecord`` offers to who cannot wait for the recorder. Raises
    RecordUnavailable."""

    async def record_accesses(self, accesses: Sequence[RecordedAccess]) -> int: ...


class Accesses:
    """The notes of this process, on their way to the log. ``life`` is a word that no other process has: the ids
    are made of it and a number."""

    def __init__(
        self, log_: Log, clock: Clock, *, life: str | None = None, most: int = ACCESSES_WAITING_MAX
    ) -> None:
        self._log = log_
        self._clock = clock
        self._life = life or secrets.token_hex(16)
        self._most = most
        self._numbers = itertools.count(1)
        self._waiting: deque[Access] = deque()
        self._woken = asyncio.Event()

    def note(
        self, caller: Caller, what: str, objects: Iterable[str], purpose: str = "", *, places: bool = False
    ) -> None:
        """At once, and written as soon as the log takes it. ``places``: of the reply to what is done already, and
        cannot be refused any more."""
        if len(self._waiting) >= self._most:
            ACCESSES.labels(outcome="lost").inc()
            return
        self._waiting.extend(self._made(caller, what, objects, purpose, places=places))
        self._woken.set()

    async def keep(self, caller: Caller, what: str, objects: Iterable[str], purpose: str = "") -> None:
        """Of a reply with coordinates, before it leaves. Raises LogUnavailable: then it must not."""
        for one in self._made(caller, what, objects, purpose, places=True):
            await self._write(one)

    async def seal(
        self, record: SealedAccesses, caller: Caller, what: str, objects: Iterable[str], purpose: str
    ) -> None:
        """Of what leaves as evidence, before its first byte: in the record and in the chain of its day when this
        returns, and past the log, as ``tocsin evidence export`` does. Raises RecordUnavailable."""
        made = self._made(caller, what, objects, purpose, places=True)
        await record.record_accesses([RecordedAccess(sequence=OFF_THE_LOG, access=one) for one in made])
        ACCESSES.labels(outcome="noted").inc()

    def _made(
        self, caller: Caller, what: str, objects: Iterable[str], purpose: str, *, places: bool
    ) -> Iterable[Access]:
        """One, or as many as it takes to name everything."""
        named = tuple(objects)
        for first in range(0, max(1, len(named)), ACCESS_OBJECTS_MAX):
            yield Access(
                id=derived("acc", self._life, next(self._numbers)),
                at_ms=self._clock.now_ms(),
                who=caller.label,
                role=caller.role,
                service=caller.service,
                what=what,
                objects=named[first : first + ACCESS_OBJECTS_MAX],
                purpose=purpose,
                places=places,
            )

    async def _write(self, one: Access) -> None:
        await self._log.append(subject_of(one.what), encode(one), dedupe_id=one.id)
        ACCESSES.labels(outcome="noted").inc()

    async def run(self) -> None:
        """Write what waits, in its order, until cancelled."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                await self._write_all()
            except LogUnavailable as error:
                log.warning("accesses wait", reason=str(error), waiting=len(self._waiting))
                await asyncio.sleep(AGAIN_S)
                self._woken.set()

    async def _write_all(self) -> None:
        while self._waiting:
            await self._write(self._waiting[0])
            self._waiting.popleft()

    async def finish(self) -> None:
        """The last words of a process that ends, when nobody runs ``run`` any longer: what the log does not take
        now is lost, and counted."""
        try:
            async with asyncio.timeout(FINISH_S):
                await self._write_all()
        except (LogUnavailable, TimeoutError) as error:
            ACCESSES.labels(outcome="lost").inc(len(self._waiting))
            log.error("accesses lost", messages=len(self._waiting), reason=repr(error))
