"""Who is told that an endpoint does not take what it is sent? SYS_NOTIFY_FAIL, one episode for each endpoint.

It begins when a P1 or P2 was received by nobody within its time, when an endpoint says 410, when three heartbeats
running came to nothing, when its name leads to where nothing of ours may go; it ends with the first thing that the
endpoint takes (and what was wrong with its name with a name that is right). The log remembers which of them
lasts: a courier that starts knows nothing, and asks there before it says a beginning or an end. A human may close
the episode while the fault lasts; what fails ASK_AGAIN_S later raises it anew.

Nothing here keeps a delivery waiting: beginnings and ends stand in a queue of their own until the log has them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from tocsin import subjects
from tocsin.clock import MS, Clock
from tocsin.errors import LogUnavailable, WireError
from tocsin.model.episode import Episode
from tocsin.model.finding import Change, Code
from tocsin.model.ids import derived
from tocsin.model.notice import Notice
from tocsin.ports import Log
from tocsin.subjects import EPISODES
from tocsin.wire import decode_ruling, encode

NOT_RECEIVED: Final = "not_received"
GONE: Final = "endpoint_gone"
NO_HEARTBEAT: Final = "heartbeat_not_taken"
TAKES_AGAIN: Final = "takes_again"

ASK_AGAIN_S: Final = 60.0
SAY_AGAIN_S: Final = 0.5
CODE: Final = Code.SYS_NOTIFY_FAIL

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A fault that was said: the notice that began it."""

    id: str
    at_ms: int
    reason: str = ""


@dataclass(slots=True)
class _Known:
    """Of one endpoint. ``begun``: what this courier knows to last there, once it has asked the log."""

    begun: Begun | None = None
    has_asked: bool = False
    well: bool = False
    looked_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Word:
    """What is to be said of ``place``. ``ends``: the end, of what began for ``reason`` (empty: for any)."""

    place: str
    at_ms: int
    reason: str = ""
    ends: bool = False


class Hears(Protocol):
    """Whoever is told how an endpoint fares."""

    def failing(self, place: str, reason: str) -> None: ...

    def takes(self, place: str) -> None: ...


class Nobody:
    """Of a canary's receiver: what does not arrive there is SYS_CANARY_FAIL, and no notification failed."""

    def failing(self, place: str, reason: str) -> None: ...

    def takes(self, place: str) -> None: ...


class Faults:
    """``failing``, ``takes`` and ``cured`` are called from the road of an alert and return at once; ``serve`` says
    it."""

    def __init__(self, log_: Log, clock: Clock) -> None:
        self._log = log_
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._to_say: asyncio.Queue[_Word] = asyncio.Queue()

    def failing(self, place: str, reason: str) -> None:
        """Something that ``place`` should have taken was not. However often: it is looked into each minute."""
        known, now_ms = self._of(place), self._clock.now_ms()
        looked_ms = known.looked_ms
        if not known.well and looked_ms is not None and now_ms - looked_ms < ASK_AGAIN_S * MS:
            return
        known.well, known.looked_ms = False, now_ms
        self._to_say.put_nowait(_Word(place=place, reason=reason, at_ms=now_ms))

    def takes(self, place: str) -> None:
        """It has taken something."""
        known = self._of(place)
        if not known.well:
            known.well, known.looked_ms = True, None
            self._to_say.put_nowait(_Word(place=place, at_ms=self._clock.now_ms(), ends=True))

    def cured(self, place: str, reason: str) -> None:
        """What ``reason`` says of it is so no longer; of what else may be wrong there this knows nothing."""
        self._to_say.put_nowait(_Word(place=place, reason=reason, at_ms=self._clock.now_ms(), ends=True))

    def _of(self, place: str) -> _Known:
        return self._known.setdefault(place, _Known())

    async def serve(self) -> None:
        """Until cancelled: in order, each of them until the log has it."""
        while True:
            await self._until_said(await self._to_say.get())

    async def _until_said(self, word: _Word) -> None:
        while True:
            try:
                await (self._end(word) if word.ends else self._begin(word.place, word.reason, word.at_ms))
            except LogUnavailable as error:
                log.warning("fault_waits", place=word.place, error=str(error))
                await asyncio.sleep(SAY_AGAIN_S)
            else:
                return

    async def _begin(self, place: str, reason: str, at_ms: int) -> None:
        known = self._of(place)
        if known.begun is not None and at_ms - known.begun.at_ms < ASK_AGAIN_S * MS / 2:
            return  # the desk may not have ruled on it yet
        if not known.has_asked or known.begun is not None:  # a human may have closed it since
            known.begun, known.has_asked = await self._lasting(place), True
        if known.begun is None:
            begun = Begun(id=derived("ntc", CODE.value, place, "entry", at_ms), at_ms=at_ms, reason=reason)
            log.critical("endpoint_does_not_take", place=place, reason=reason)
            await self._append(_notice(begun.id, place, Change.ENTRY, at_ms, begun, reason))
            known.begun = begun

    async def _end(self, word: _Word) -> None:
        place, known = word.place, self._of(word.place)
        if not known.has_asked:
            known.begun, known.has_asked = await self._lasting(place), True
        begun = known.begun
        if begun is not None and word.reason in {"", begun.reason}:
            name = derived("ntc", CODE.value, place, "exit", begun.id)
            log.warning("endpoint_takes_again", place=place)
            await self._append(_notice(name, place, Change.EXIT, word.at_ms, begun, TAKES_AGAIN))
            known.begun = None

    async def _lasting(self, place: str) -> Begun | None:
        """What began the episode that lasts there, by the log."""
        found = await self._log.last(EPISODES, subjects.episode(CODE.value, place))
        if found is None:
            return None
        try:
            episode: Episode = decode_ruling(found.payload).episode
        except WireError as error:  # another version's: what it began is ended by a human
            log.error("fault_unreadable", place=place, error=str(error))
            return None
        newest = episode.raises[-1]
        return Begun(id=newest.cause, at_ms=newest.at_ms, reason=newest.event) if episode.lasts else None

    async def _append(self, notice: Notice) -> None:
        await self._log.append(subjects.notice(CODE.value), encode(notice), dedupe_id=notice.id)


def _notice(name: str, place: str, change: Change, at_ms: int, begun: Begun, reason: str) -> Notice:
    return Notice(
        id=name,
        code=CODE,
        subject=place,
        change=change,
        at_ms=at_ms,
        entry=begun.id,
        entry_ms=begun.at_ms,
        reason=reason,
        facts=(("endpoint", place),),
    )
