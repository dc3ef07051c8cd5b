"""Is the auditor still comparing? Whoever watches everything is watched by the clerk (SYS_AUDIT, ``auditor``).

Its pulse stands in the bucket ``tallies``, in hours of the machine: it comes each two seconds, and only when all
that is on the log was read and compared. Silent for SILENT_S, it is said, and again each hour in which it is
still silent and a human has closed the alert; the next pulse ends it. What lasts is asked of the log, so that
nothing is remembered. An auditor that was never there is silent since this clerk began.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from tocsin import subjects
from tocsin.clock import MS, Clock
from tocsin.errors import LogUnavailable, WireError
from tocsin.model.episode import Episode
from tocsin.model.finding import Change, Code
from tocsin.model.ids import derived
from tocsin.model.notice import Notice
from tocsin.ports import Bucket, Log
from tocsin.subjects import AUDITOR_PULSE, EPISODES
from tocsin.telemetry import AUDIT_AGE
from tocsin.wire import decode_pulse, decode_ruling, encode

LOOK_EVERY_S: Final = 15.0  # of the machine's time
SILENT_S: Final = 60
AGAIN_S: Final = 3_600
CODE: Final = Code.SYS_AUDIT
SUBJECT: Final = "auditor"

log = structlog.get_logger()


class AuditWatch:
    """Of one clerk."""

    def __init__(self, log_: Log, tallies: Bucket, clock: Clock) -> None:
        self._log = log_
        self._tallies = tallies
        self._clock = clock
        self._since_wall_ms = clock.wall_ms()

    async def serve(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.look()
            except (LogUnavailable, WireError) as error:
                log.warning("auditor_not_looked_at", error=str(error))
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Raises LogUnavailable, WireError."""
        value = await self._tallies.get(AUDITOR_PULSE)
        heard_ms = self._since_wall_ms if value is None else decode_pulse(value).wall_ms
        age_ms = self._clock.wall_ms() - heard_ms
        AUDIT_AGE.set(max(0, age_ms) / MS)
        lasts = await self._lasting()
        if age_ms > SILENT_S * MS and lasts is None:
            log.critical("auditor_silent", age_s=age_ms // MS)
            await self._append(_entry(heard_ms, age_ms, self._clock.now_ms()))
        elif age_ms <= SILENT_S * MS and lasts is not None:
            await self._append(_exit(lasts, self._clock.now_ms()))

    async def _lasting(self) -> Episode | None:
        last = await self._log.last(EPISODES, subjects.episode(CODE.value, SUBJECT))
        episode = None if last is None else decode_ruling(last.payload).episode
        return episode if episode is not None and episode.lasts else None

    async def _append(self, notice: Notice) -> None:
        await self._log.append(subjects.notice(CODE.value), encode(notice), dedupe_id=notice.id)


def _entry(heard_ms: int, age_ms: int, now_ms: int) -> Notice:
    """One name for one silence, and hour of it."""
    name = derived("ntc", CODE.value, SUBJECT, heard_ms, age_ms // (AGAIN_S * MS))
    return Notice(
        id=name, code=CODE, subject=SUBJECT, change=Change.ENTRY, at_ms=now_ms, entry=name, entry_ms=now_ms,
        reason="silent", facts=(("silent_s", str(age_ms // MS)),),
    )  # fmt: skip


def _exit(episode: Episode, now_ms: int) -> Notice:
    newest = episode.raises[-1]
    return Notice(
        id=derived("ntc", newest.cause, Change.EXIT), code=CODE, subject=SUBJECT, change=Change.EXIT, at_ms=now_ms,
        entry=newest.cause, entry_ms=newest.at_ms, reason="heard_again",
    )  # fmt: skip
