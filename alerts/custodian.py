"""Who sees to it that nothing is kept longer than it may be, and that what is held stays?

A pass an hour by Tocsin's clock, one process at a time: superseded rulings from the log, then what is over from
the record, each with its proof (``tocsin.adapters.retention``), rows of canaries, fixes of phones. What may go is
decided by ``tocsin.retention``. Each chore is done in bounded steps, and one that fails is counted, logged and
tried again while the others are done. A pass that is killed has erased what it had committed, each with its proof,
and the next one goes on.

An hour that is not believed erases nothing (F37): a clock far ahead would empty the record in one pass.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import structlog

from alerts.forgetting import PASS_MS, Forgetting
from tocsin import telemetry
from tocsin.adapters.holds import Holds
from tocsin.adapters.postgres import Pool
from tocsin.adapters.reconcile import missing_rulings
from tocsin.adapters.retention import PAGE, Candidate, HoldsChanged, RetentionRecord, my_turn
from tocsin.chain import KeptAs
from tocsin.clock import MS, Clock
from tocsin.errors import TocsinError
from tocsin.ports import Log
from tocsin.retention import (
    CANARY_KEPT_MS,
    DAY_MS,
    LEAVE_DAYS,
    TGD_POSITION_DAYS,
    Hold,
    HoldKind,
    Terms,
    Verdict,
    What,
    Word,
    doubt,
    verdict,
)
from tocsin.sealing import device_chain, measure_chain

EVERY_S: Final = PASS_MS // MS
RETRY_S: Final = 60
STATEMENT_TIMEOUT_S: Final = 300.0  # a file of some ten thousand rulings
ERASED_MAX: Final = 20_000  # transactions of one pass: at some 5 ms each two minutes; more waits for the next one
BY: Final = "tocsin custodian"

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """So many payloads and rows of this class would have this word. ``hold``: which one keeps them."""

    kept_as: KeptAs
    word: Word
    rule: str
    files: int
    hold: str | None = None


class ClockDoubted(TocsinError):
    """Nothing is erased, the hour is not believed:"""


class Custodian:
    """One life of the part."""

    def __init__(self, *, log: Log, pool: Pool, terms: Terms) -> None:
        self._record = RetentionRecord(pool)
        self._holds = Holds(pool)
        self._terms = terms

        async def missing(known: Sequence[tuple[str, int]]) -> Sequence[tuple[str, int]]:
            return await missing_rulings(pool, known)

        self._log = Forgetting(log, missing)

    async def keep(self, now_ms: int) -> bool:
        """One pass; False when some of it has to be tried again. Raises RecordUnavailable, ClockDoubted."""
        await self._believe(now_ms)
        chores: tuple[tuple[str, Callable[[int], Awaitable[int]]], ...] = (
            ("log", self._forget),
            ("record", self._erase),
            ("canaries", self._erase_canaries),
            ("fixes", self._erase_fixes),
        )
        done = [await _do(name, chore, now_ms) for name, chore in chores]
        await self._record.passed(now_ms)
        return all(done)

    async def _believe(self, now_ms: int) -> None:
        known = await self._record.hours()
        why = doubt(now_ms, **asdict(known))
        if why is None:
            return
        if known.position_ms is None and known.pass_ms is None:
            await self._record.passed(now_ms)
        raise ClockDoubted(why)

    async def _forget(self, now_ms: int) -> int:
        forgotten = await self._log.forget(now_ms)
        telemetry.OVERDUE_POSITIONS.set(forgotten.overdue)
        if forgotten.overdue:
            logger.error("positions beyond their time on the log", rulings=forgotten.overdue)
        return forgotten.rulings

    async def _erase(self, now_ms: int) -> int:
        erased = 0
        revision, holds = await self._record.revision(), await self._holds.standing()
        with_them = await self._record.held_with(holds)
        async for one in self._record.walk(now_ms, self._terms):
            said = judged(one, holds, with_them, now_ms, self._terms)
            if said.word is not Word.OVER:
                continue
            await self._erase_one(one, said, revision, now_ms)
            erased += 1
            if erased >= ERASED_MAX:
                logger.warning("more is over than one pass erases", erased=erased)
                break
        return erased

    async def _erase_one(self, one: Candidate, said: Verdict, revision: int, now_ms: int) -> None:
        """From the log first: once the record has lost it nobody could say that the log may."""
        if one.place is not None:
            code, subject, last_sequence = one.place
            await self._log.forget_alert(code, subject, one.rows.episodes[0], last_sequence)
        again = True
        while again:
            done = await self._record.erase(one, said, revision=revision, at_ms=now_ms, by=BY)
            again = done.again
            telemetry.ERASED.labels(kept_as=one.file.kept_as.value).inc(done.payloads)

    async def _erase_canaries(self, now_ms: int) -> int:
        total = 0
        while gone := await self._record.erase_canaries(now_ms - CANARY_KEPT_MS):
            total += gone
        return total

    async def _erase_fixes(self, now_ms: int) -> int:
        """Of phones and of canaries, which have no place in the history of years. A leave is of the device."""
        leaves = {one.subject for one in await self._holds.standing() if _is_leave_of_device(one)}
        times: dict[int, list[int]] = {}
        for number, name, is_canary in await self._record.unlocated():
            days = LEAVE_DAYS if name in leaves else TGD_POSITION_DAYS
            before_ms = now_ms - CANARY_KEPT_MS if is_canary else now_ms + PASS_MS - days * DAY_MS
            times.setdefault(before_ms, []).append(number)
        total = 0
        for before_ms, numbers in times.items():
            for start in range(0, len(numbers), PAGE):
                total += await self._record.erase_fixes(numbers[start : start + PAGE], before_ms)
        return total


def judged(one: Candidate, holds: Sequence[Hold], with_them: Sequence[Hold], now_ms: int, terms: Terms) -> Verdict:
    """A position goes with the pass before its time is over: the next one would be too late. A held alert keeps
    the orders of its measures and what their units were told (``with_them``), and no other alert of them."""
    if one.chain.startswith((measure_chain(""), device_chain(""))):
        holds = [*holds, *with_them]
    hour_ms = now_ms + PASS_MS if one.file.kept_as is KeptAs.TGD_POSITION else now_ms
    return verdict(one.file, holds, hour_ms, terms)


def _is_leave_of_device(one: Hold) -> bool:
    return one.kind is HoldKind.LEAVE and one.what is What.DEVICE


async def preview(pool: Pool, now_ms: int, terms: Terms) -> list[Line]:
    """What a pass at that hour would do to the record, and nothing is done. Raises RecordUnavailable."""
    holds = await Holds(pool).standing()
    counted: Counter[tuple[KeptAs, Word, str, str]] = Counter()
    record = RetentionRecord(pool)
    with_them = await record.held_with(holds)
    async for one in record.walk(now_ms, terms):
        said = judged(one, holds, with_them, now_ms, terms)
        counted[one.file.kept_as, said.word, said.rule, said.hold or ""] += 1
    return [
        Line(kept_as=kept_as, word=word, rule=rule, files=files, hold=hold or None)
        for (kept_as, word, rule, hold), files in sorted(counted.items())
    ]


async def _do(name: str, chore: Callable[[int], Awaitable[int]], now_ms: int) -> bool:
    try:
        total = await chore(now_ms)
    except HoldsChanged as error:  # decided again, a minute later
        logger.info("custody again", chore=name, reason=str(error))
        return False
    except TocsinError as error:
        _failed(name, error)
        return False
    telemetry.CUSTODY.labels(chore=name, outcome="done").inc()
    if total:
        logger.info("custody", chore=name, amount=total)
    return True


def _failed(chore: str, error: Exception) -> None:
    telemetry.CUSTODY.labels(chore=chore, outcome="failed").inc()
    logger.error("custody failed", chore=chore, reason=str(error), again_in_s=RETRY_S)


async def keep_in_turn(custodian: Custodian, pool: Pool, now_ms: int) -> bool:
    """One pass, unless another process is at it; False when it has to be tried again."""
    try:
        async with my_turn(pool) as mine:
            return await custodian.keep(now_ms) if mine else True
    except TocsinError as error:
        _failed("turn", error)
        return False


async def run_custodian(*, log: Log, pool: Pool, terms: Terms, clock: Clock, ready: Callable[[], None]) -> None:
    """A pass now and one each hour, until cancelled; after one that was not whole, another one soon."""
    custodian = Custodian(log=log, pool=pool, terms=terms)
    ready()
    while True:
        if await keep_in_turn(custodian, pool, clock.now_ms()):
            await clock.sleep(EVERY_S)
        else:
            await asyncio.sleep(RETRY_S)
