"""Who sees to it that nothing is kept longer than it may be, and that what is held stays?

A pass an hour by Tocsin's clock, one process at a time: positions of phones from the record, which need nothing
but PostgreSQL and have the strictest law; superseded rulings and receipts of canaries from the log; then what is
over from the record, each with its proof (``tocsin.adapters.retention``); positions by measure, and the rows of
measures and units (``alerts.unit_erasure``); rows of canaries, fixes of phones. What may go is decided by
``tocsin.retention``. Each chore is done in bounded steps, and one that fails is counted, logged and tried again
while the others are done. A pass that is killed has erased what it had committed, each with its proof, and the
next one goes on.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

import structlog

from alerts.forgetting import PASS_MS, Forgetting
from alerts.forgetting_receipts import ForgettingReceipts
from alerts.passed_over import PassedOver
from alerts.unit_erasure import UnitErasure
from tocsin import telemetry
from tocsin.adapters.history_proof import BY
from tocsin.adapters.holds import Holds
from tocsin.adapters.postgres import Pool
from tocsin.adapters.reconcile import missing_rulings, system_alerts_kept_from_ms
from tocsin.adapters.retention import PAGE, Candidate, HoldsChanged, Hours, RetentionRecord, my_turn
from tocsin.chain import KeptAs
from tocsin.clock import MS, Clock
from tocsin.errors import LogUnavailable, TocsinError
from tocsin.ports import Log
from tocsin.pulsing import UNSEEN, Rounds, is_away, rest
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
    doubt_of_positions,
    verdict,
)
from tocsin.sealing import device_chain, measure_chain

EVERY_S: Final = PASS_MS // MS
RETRY_S: Final = 60
STATEMENT_TIMEOUT_S: Final = 300.0  # a file of some ten thousand rulings
ERASED_MAX: Final = 20_000  # transactions of one pass: at some 5 ms each two minutes; more waits for the next one

Chores = tuple[tuple[str, Callable[[int], Awaitable[int]]], ...]

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """So many of this class would have this word. ``of``: ``record``, payloads and their rows; ``history``, units
    with positions; ``rows``, measures and units. ``hold``: which one keeps them."""

    of: str
    kept_as: KeptAs
    word: Word
    rule: str
    files: int
    hold: str | None = None


class ClockDoubted(TocsinError):
    """Nothing is erased, the hour is not believed:"""


class HourNoted(ClockDoubted):
    """Nothing is erased before the next pass:"""


class Unforeseen(TocsinError):
    """What a chore was not written for; the name of the error."""


class Unreadable(TocsinError):
    """Nobody here can read it, nor say what it is about."""


class Custodian:
    """One life of the part."""

    def __init__(self, *, log: Log, pool: Pool, terms: Terms, clock: Clock, rounds: Rounds = UNSEEN) -> None:
        self.work = Work(rounds)
        self._record = RetentionRecord(pool)
        self._units = UnitErasure(pool, terms=terms, clock=clock, by=BY)
        self._holds = Holds(pool)
        self._terms = terms
        self._clock = clock
        self._hour_of_log = log.hour_ms

        async def missing(known: Sequence[tuple[str, int]]) -> Sequence[tuple[str, int]]:
            return await missing_rulings(pool, known)

        async def kept_from_ms() -> int:
            return await system_alerts_kept_from_ms(pool)

        self._log = Forgetting(log, missing, kept_from_ms)
        self._receipts = ForgettingReceipts(log)

    async def keep(self, now_ms: int) -> bool:
        """One pass, judged at this hour; False when some of it has to be tried again.

        Raises RecordUnavailable, ClockDoubted."""
        known = await self._record.hours()
        why = doubt(now_ms, position_ms=known.position_ms, pass_ms=known.pass_ms, believed_ms=known.believed_ms)
        if why is not None:
            await self._keep_doubting(now_ms, known, why)
        return await self._do_all((*self._of_phones(), *self._of_years()), now_ms)

    def _of_phones(self) -> Chores:
        """What has a law of days."""
        return (("positions", self._erase_positions), ("log", self._forget), ("fixes", self._erase_fixes))

    def _of_years(self) -> Chores:
        return (
            ("receipts", self._receipts.forget),
            ("record", self._erase_files),
            ("history", self._units.histories),
            ("rows", self._units.rows),
            ("canaries", self._erase_canaries),
        )

    async def _do_all(self, chores: Chores, hour_ms: int) -> bool:
        is_whole = await self.work.do_all(chores, hour_ms)
        await self._record.passed(hour_ms)
        return is_whole

    async def _keep_doubting(self, now_ms: int, known: Hours, why: str) -> NoReturn:
        """Positions of phones alone, if a fleet that is silent is all that speaks against the hour."""
        if known.position_ms is None and known.pass_ms is None:
            await self._record.passed(now_ms)
            raise HourNoted(why)
        hour_ms = now_ms - await self._ahead_ms(known)
        still = doubt_of_positions(
            hour_ms, position_ms=known.position_ms, heard_ms=known.heard_ms, pass_ms=known.pass_ms
        )
        if still is None:
            await self._do_all(self._of_phones(), hour_ms)
            raise ClockDoubted(f"{why}; positions of phones went by every clock in reach")
        raise ClockDoubted(f"{why}; {still}")

    async def _ahead_ms(self, known: Hours) -> int:
        """How far our clock is ahead of that of PostgreSQL, or of the log: the one that is furthest behind."""
        witnesses = [known.server_ms]
        try:
            witnesses.append(await self._hour_of_log())
        except LogUnavailable as error:
            logger.info("the log says no hour", reason=str(error))
        return max(0, self._clock.wall_ms() - min(witnesses))

    async def _forget(self, now_ms: int) -> int:
        forgotten = await self._log.forget(now_ms)
        telemetry.OVERDUE_POSITIONS.set(forgotten.overdue)
        if forgotten.overdue:
            logger.error("positions beyond their time on the log", rulings=forgotten.overdue)
        return forgotten.rulings

    async def _erase_positions(self, now_ms: int) -> int:
        return await self._erase("positions", self._record.positions(), now_ms)

    async def _erase_files(self, now_ms: int) -> int:
        return await self._erase("record", self._record.files(now_ms, self._terms), now_ms)

    async def _erase(self, chore: str, candidates: AsyncIterator[Candidate], now_ms: int) -> int:
        """What is over of these. One that fails is passed over, and the rest goes; raises its error at the end if
        trying again can help."""
        erased, over = 0, PassedOver(chore)
        revision, holds = await self._record.revision(), await self._holds.standing()
        with_them = await self._record.held_with(holds)
        async for one in candidates:
            if one.unreadable:
                over.add(one.chain, Unreadable())
            elif (said := judged(one, holds, with_them, now_ms, self._terms)).word is Word.OVER:
                try:
                    erased += await self._erase_one(one, said, revision)
                    over.away = 0
                except HoldsChanged:
                    raise
                except TocsinError as error:
                    over.add(one.chain, error)
            if erased >= ERASED_MAX:
                logger.warning("more is over than one pass erases", erased=erased)
                break
        over.tell()
        return erased

    async def _erase_one(self, one: Candidate, said: Verdict, revision: int) -> bool:
        """From the log first: once the record has lost it nobody could say that the log may. False: not yet."""
        if one.place is not None:
            code, subject, last_sequence = one.place
            if not await self._log.forget_alert(code, subject, one.rows.episodes[0], last_sequence):
                logger.info("its log cannot go yet", chain=one.chain)
                return False
        again = True
        while again:
            done = await self._record.erase(one, said, revision=revision, clock=self._clock, by=BY)
            again = done.again
            telemetry.ERASED.labels(kept_as=one.file.kept_as.value).inc(done.payloads)
        return True

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


async def preview(pool: Pool, now_ms: int, terms: Terms, clock: Clock) -> list[Line]:
    """What a pass at that hour would do to the record, and nothing is done. Raises RecordUnavailable."""
    holds = await Holds(pool).standing()
    counted: Counter[tuple[str, KeptAs, Word, str, str]] = Counter()
    record = RetentionRecord(pool)
    with_them = await record.held_with(holds)
    async for one in record.walk(now_ms, terms):
        said = judged(one, holds, with_them, now_ms, terms)
        counted["record", one.file.kept_as, said.word, said.rule, said.hold or ""] += 1
    async for found in UnitErasure(pool, terms=terms, clock=clock, by=BY).preview(now_ms):
        counted[found.of, found.kept_as, found.said.word, found.said.rule, found.said.hold or ""] += 1
    return [
        Line(of=of, kept_as=kept_as, word=word, rule=rule, files=files, hold=hold or None)
        for (of, kept_as, word, rule, hold), files in sorted(counted.items())
    ]


class Work:
    """Chores one after another, and behind each one a word that we went round: however many there are, no pass
    takes longer than one may be silent. None while one of them fails by itself, until it is done again."""

    def __init__(self, rounds: Rounds) -> None:
        self._rounds = rounds
        self._failing: set[str] = set()

    async def do_all(self, chores: Chores, hour_ms: int) -> bool:
        """Whether all are done."""
        return all([await self._do(name, chore, hour_ms) for name, chore in chores])

    async def went_round(self) -> None:
        if not self._failing:
            await self._rounds.went_round()

    async def _do(self, name: str, chore: Callable[[int], Awaitable[int]], hour_ms: int) -> bool:
        error = await _done(name, chore, hour_ms)
        (self._failing.discard if error is None or _is_of_others(error) else self._failing.add)(name)
        await self.went_round()
        return error is None


def _is_of_others(error: Exception) -> bool:
    """What is away for everybody, an hour that is doubted, and custody that was changed meanwhile."""
    return is_away(error) or isinstance(error, (ClockDoubted, HoldsChanged))


async def _done(name: str, chore: Callable[[int], Awaitable[int]], now_ms: int) -> Exception | None:
    """Why not; None: it is."""
    try:
        total = await chore(now_ms)
    except HoldsChanged as error:  # decided again, a minute later
        logger.info("custody again", chore=name, reason=str(error))
        return error
    except TocsinError as error:
        _failed(name, error)
        return error
    except Exception as error:  # noqa: BLE001  # a fault of ours in one chore must not stop the law's hours of the others
        _failed(name, Unforeseen(type(error).__name__))  # its words may have a place in them
        return error
    telemetry.CUSTODY.labels(chore=name, outcome="done").inc()
    if total:
        logger.info("custody", chore=name, amount=total)
    return None


def _failed(chore: str, error: Exception) -> None:
    telemetry.CUSTODY.labels(chore=chore, outcome="failed").inc()
    logger.error("custody failed", chore=chore, reason=str(error), again_in_s=RETRY_S)


class OtherAtIt(TocsinError):
    """Another process has the turn."""


async def keep_in_turn(custodian: Custodian, pool: Pool, now_ms: int) -> bool:
    """One pass; False when it has to be tried again. Raises OtherAtIt. What fails for us alone is no round."""
    try:
        async with my_turn(pool) as mine:
            if mine:
                return await custodian.keep(now_ms)
    except HourNoted as error:  # as a new record begins: it is no failure
        logger.info("custody begins", reason=str(error), again_in_s=RETRY_S)
        await custodian.work.went_round()
    except TocsinError as error:
        _failed("turn", error)
        if _is_of_others(error):
            await custodian.work.went_round()
    else:
        raise OtherAtIt
    return False


async def run_custodian(
    *, log: Log, pool: Pool, terms: Terms, clock: Clock, ready: Callable[[], None], rounds: Rounds = UNSEEN
) -> None:
    """A pass now and one each hour, until cancelled; after one that was not whole, another one soon. Who never
    has the turn shows no pulse: whoever has it does, or nobody."""
    custodian = Custodian(log=log, pool=pool, terms=terms, clock=clock, rounds=rounds)
    ready()
    while True:
        try:
            is_whole = await keep_in_turn(custodian, pool, clock.now_ms())
        except OtherAtIt:
            is_whole = False
        if is_whole:
            await rest(EVERY_S, clock, rounds)
        else:
            await asyncio.sleep(RETRY_S)
