"""Who is told what the laws found, and how often? A page at once, and a notice for the supervisor's screen.

The first difference of a law is paged at the look that found it; what the same law finds after that is gathered,
and paged each PAGE_LOOKS looks: a thousand at once are one page, and what goes on is not a page each two seconds.
The NOTICE (SYS_AUDIT, its subject is the law's name) goes the way of every alert, beside the page and not instead
of it: raised with the first difference and again with each further page, ended when the law has found nothing for
QUIET_LOOKS looks. A human closes it. What lasts on the log when the auditor starts is gone on with.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from audit.law import Difference
from audit.page import Pager, page_of
from tocsin import subjects
from tocsin.clock import Clock
from tocsin.errors import LogUnavailable
from tocsin.model.episode import Realm, Ruling
from tocsin.model.finding import Change, Code
from tocsin.model.ids import derived
from tocsin.model.notice import Notice
from tocsin.ports import Log
from tocsin.telemetry import AUDIT_DIFFERENCES
from tocsin.wire import encode

PAGE_LOOKS: Final = 15  # half a minute
QUIET_LOOKS: Final = 30  # a minute
SAY_AGAIN_S: Final = 0.5
DIFFERS: Final = "differs"
AGREES: Final = "agrees_again"
CODE: Final = Code.SYS_AUDIT

log = structlog.get_logger()


@dataclass(slots=True)
class _Trouble:
    """Of one law. ``begun``: the notice that lasts, and its hour; ``since_page``, ``quiet``: looks."""

    begun: tuple[str, int] | None = None
    since_ms: int = 0
    since_page: int = PAGE_LOOKS
    quiet: int = 0
    gathered: list[Difference] = field(default_factory=list)


class Spokesman:
    """``say`` is called once a look and law, with nothing when it found nothing."""

    def __init__(self, *, log_: Log, clock: Clock, pager: Pager, site: str, realm: Realm) -> None:
        self._log = log_
        self._clock = clock
        self._pager = pager
        self._site = site
        self._realm = realm
        self._troubles: defaultdict[str, _Trouble] = defaultdict(_Trouble)
        self._notices: asyncio.Queue[Notice] = asyncio.Queue()

    async def serve(self) -> None:
        """Until cancelled: pages, and notices in order, each until the log has it."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pager.serve())
            while True:
                await self._until_noticed(await self._notices.get())

    async def _until_noticed(self, notice: Notice) -> None:
        while True:
            try:
                await self._log.append(subjects.notice(CODE.value), encode(notice), dedupe_id=notice.id)
            except LogUnavailable as error:
                log.warning("notice_waits", about=notice.subject, error=str(error))
                await asyncio.sleep(SAY_AGAIN_S)
            else:
                return

    def stands(self, ruling: Ruling) -> None:
        """What somebody before us has said, and has not ended."""
        episode = ruling.episode
        if episode.code is CODE and episode.lasts:
            newest = episode.raises[-1]
            trouble = self._troubles[episode.subject]
            trouble.begun, trouble.since_ms = (newest.cause, newest.at_ms), episode.opened_ms

    def say(self, law: str, found: Sequence[Difference], *, lasts: bool = False) -> None:
        """``lasts``: what was found before is still so, though it is not said again."""
        trouble = self._troubles[law]
        trouble.since_page += 1
        trouble.gathered += found
        if found:
            AUDIT_DIFFERENCES.labels(law=law).inc(len(found))
        trouble.quiet = 0 if found or lasts else trouble.quiet + 1
        if trouble.gathered and trouble.since_page >= PAGE_LOOKS:
            self._tell(law, trouble)
        elif trouble.begun is not None and trouble.quiet >= QUIET_LOOKS:
            self._end(law, trouble)

    def _tell(self, law: str, trouble: _Trouble) -> None:
        now_ms, found = self._clock.now_ms(), tuple(trouble.gathered)
        if trouble.begun is None:
            trouble.since_ms = now_ms
        trouble.gathered.clear()
        trouble.since_page = 0
        self._page(law, trouble, found, now_ms)
        name = derived("ntc", CODE.value, law, Change.ENTRY, now_ms)
        facts = (("differences", str(len(found))), ("first", found[0].about))
        self._notices.put_nowait(_notice(name, law, Change.ENTRY, now_ms, (name, now_ms), facts))
        trouble.begun = (name, now_ms)

    def _end(self, law: str, trouble: _Trouble) -> None:
        assert trouble.begun is not None
        now_ms = self._clock.now_ms()
        name = derived("ntc", CODE.value, law, Change.EXIT, trouble.begun[0])
        self._page(law, trouble, (), now_ms)
        self._notices.put_nowait(_notice(name, law, Change.EXIT, now_ms, trouble.begun, ()))
        trouble.begun = None

    def _page(self, law: str, trouble: _Trouble, found: Sequence[Difference], now_ms: int) -> None:
        self._pager.page(
            page_of(law, found, site=self._site, realm=self._realm, since_ms=trouble.since_ms, at_ms=now_ms)
        )


def _notice(
    name: str, law: str, change: Change, at_ms: int, begun: tuple[str, int], facts: tuple[tuple[str, str], ...]
) -> Notice:
    return Notice(
        id=name,
        code=CODE,
        subject=law,
        change=change,
        at_ms=at_ms,
        entry=begun[0],
        entry_ms=begun[1],
        reason=DIFFERS if change is Change.ENTRY else AGREES,
        facts=facts,
    )
