"""Which positions of units, and which rows of measures and units, go in this pass of the custodian?

Two chores. ``histories``: of each unit everything before its edge (``tocsin.unit_history``), a day a transaction.
``rows``: a measure whose file is gone and whose two units have lost what was its own, then a unit that was
revoked, whose history is over and proven, and that nothing names any more. Each is judged with all holds that
stand, those of its alerts with them. A unit or a measure that fails is passed over, and the rest goes. Hours:
milliseconds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from alerts.passed_over import PassedOver
from tocsin import telemetry
from tocsin.adapters.erasure import ErasureRecord, Registered
from tocsin.adapters.holds import Holds
from tocsin.adapters.postgres import Pool
from tocsin.adapters.retention import HoldsChanged, RetentionRecord
from tocsin.chain import KeptAs
from tocsin.clock import Clock
from tocsin.errors import TocsinError
from tocsin.retention import Hold, Terms, Verdict, What, Word, rule_of, verdict
from tocsin.sealing import device_chain
from tocsin.unit_history import UnitLife, edge_of

DAYS_MAX: Final = 20_000
"""Days of units in one pass: at 5 ms two minutes. Three measures of two years that end on one day have 4,400."""

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Something that is not part of a chain, and what becomes of it. ``of``: ``history`` or ``rows``."""

    of: str
    kept_as: KeptAs
    said: Verdict


class UnitErasure:
    """Raises RecordUnavailable, RecordRefused, HoldsChanged from every method."""

    def __init__(self, pool: Pool, *, terms: Terms, clock: Clock, by: str) -> None:
        self._record = RetentionRecord(pool)
        self._erasure = ErasureRecord(pool, by=by, clock=clock)
        self._holds = Holds(pool)
        self._terms = terms

    async def histories(self, now_ms: int) -> int:
        """Days that were gone through."""
        days, over = 0, PassedOver("history")
        revision, holds = await self._standing()
        async for life in self._erasure.units(now_ms, self._terms):
            edge_ms, at_ms = edge_of(life, holds, now_ms, self._terms).at_ms, life.erased_ms
            try:
                while at_ms < edge_ms and days < DAYS_MAX:
                    at_ms = await self._erasure.erase_day(life, at_ms, edge_ms, revision)
                    days, over.away = days + 1, 0
                if at_ms < edge_ms or (life.unproved and life.erased_ms >= edge_ms):
                    await self._erasure.prove(life)  # it stands still here: nobody knows for how long
            except HoldsChanged:
                await self._erasure.prove(life)
                raise
            except TocsinError as error:
                over.add(device_chain(life.id), error)
            if days >= DAYS_MAX:
                logger.warning("more days are over than one pass erases", days=days)
                break
        over.tell()
        return days

    async def rows(self, now_ms: int) -> int:
        """Measures and units of which the name alone is left."""
        gone, days, over = 0, 0, PassedOver("rows")
        revision, holds = await self._standing()
        async for one in self._registered(now_ms):
            said = await self._judged(one, holds, now_ms)
            if said.word is not Word.OVER:
                continue
            if days >= DAYS_MAX:
                logger.warning("more rows are over than one pass erases", days=days)
                break
            try:
                days += await self._clear(one, now_ms, revision)
                await self._erasure.erase_row(one, said, revision)
                telemetry.ERASED_ROWS.labels(what=one.what.value).inc()
                gone, over.away = gone + 1, 0
            except HoldsChanged:
                raise
            except TocsinError as error:
                over.add(one.chain, error)
        over.tell()
        return gone

    async def _clear(self, one: Registered, now_ms: int, revision: int) -> int:
        """Days, or months without anything, behind the edge of a unit that is nobody's."""
        days, at_ms = 0, now_ms if one.life is None else one.life.erased_ms
        while one.life is not None and at_ms < now_ms:
            at_ms = await self._erasure.erase_rest(one.life, at_ms, now_ms, revision)
            days += 1
        return days

    async def preview(self, now_ms: int) -> AsyncIterator[Judged]:
        """What both chores would find at that hour. A row that waits for its file or a history comes later."""
        _, holds = await self._standing()
        async for life in self._erasure.units(now_ms, self._terms):
            edge = edge_of(life, holds, now_ms, self._terms)
            if edge.at_ms > life.erased_ms:
                rule = rule_of(KeptAs.MEASURE_FILE, self._terms)
                yield Judged(of="history", kept_as=KeptAs.MEASURE_FILE, said=Verdict(word=Word.OVER, rule=rule))
            if edge.said is not None and edge.said.word is Word.HELD:
                yield Judged(of="history", kept_as=KeptAs.MEASURE_FILE, said=edge.said)
        async for one in self._registered(now_ms):
            yield Judged(of="rows", kept_as=one.file.kept_as, said=await self._judged(one, holds, now_ms))

    async def _standing(self) -> tuple[int, Sequence[Hold]]:
        """A held alert holds its measures, and what their units have in common with them."""
        revision, holds = await self._record.revision(), await self._holds.standing()
        return revision, [*holds, *await self._record.held_with(holds)]

    async def _registered(self, now_ms: int) -> AsyncIterator[Registered]:
        async for one in self._erasure.measures(now_ms, self._terms):
            yield one
        async for one in self._erasure.retired(now_ms, self._terms):
            yield one

    async def _judged(self, one: Registered, holds: Sequence[Hold], now_ms: int) -> Verdict:
        """A row stays until the history that it gives a time is over and proven; a hold may keep it."""
        said = verdict(one.file, holds, now_ms, self._terms)
        if said.word is Word.OVER:
            for life in await self._lives(one):
                if life.unproved or edge_of(life, (), now_ms, self._terms).at_ms > life.erased_ms:
                    kept = edge_of(life, holds, now_ms, self._terms).said
                    is_held = kept is not None and kept.word is Word.HELD
                    return kept if is_held and kept is not None else Verdict(word=Word.IN_TIME, rule=said.rule)
        return said

    async def _lives(self, one: Registered) -> Sequence[UnitLife]:
        if one.what is What.MEASURE:
            return await self._erasure.lives(one.parties)
        return [] if one.life is None else [one.life]
