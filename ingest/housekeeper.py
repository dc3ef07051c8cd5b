"""Who keeps the history of fixes in order, and what if that fails?

One pass an hour beside the archivist, one process at a time: the day after tomorrow has its partition, the hours
that got fixes are rolled up, old days become columns, days beyond their time are deleted. Each chore is a row of
``chores``, done in bounded steps. One that fails is counted, logged and tried again; the others are done all the
same, and archiving never waits for any of them.

The hour comes from the clock; passes are an hour of that clock apart, retries are seconds of the wall.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from tocsin import telemetry
from tocsin.adapters.history import History, my_turn
from tocsin.adapters.postgres import Pool
from tocsin.clock import Clock
from tocsin.errors import TocsinError
from tocsin.pulsing import UNSEEN, Rounds, is_away, rest

logger = structlog.get_logger(__name__)

EVERY_S: Final = 3600
RETRY_S: Final = 60
STATEMENT_TIMEOUT_S: Final = 300.0  # a day of 10,000 devices becomes columns in about 20 s
DAY_MS: Final = 86_400_000
AHEAD_DAYS: Final = 2  # two nights without us do not find a day missing
HOURS_A_STEP: Final = 1
DAYS_A_STEP: Final = 1
STEPS_MAX: Final = 31 * 24  # in one pass: a month of late hours; more waits for the next one


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long fixes are kept. ``own_jobs``: the clock is real time, so TimescaleDB's jobs may act on theirs."""

    kept_days: int
    compact_after_days: int
    own_jobs: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Chore:
    """``step`` does a part and returns how much; ``again``: until there was nothing left to do."""

    name: str
    step: Callable[[], Awaitable[int]]
    again: bool = True


def chores(history: History, plan: Plan, now_ms: int) -> Sequence[Chore]:
    """What a pass does, in this order: what the archive needs comes first."""
    compact_until_ms = now_ms - plan.compact_after_days * DAY_MS
    retain_until_ms = now_ms - plan.kept_days * DAY_MS
    return (
        Chore(name="ensure", step=lambda: history.ensure(now_ms, now_ms + AHEAD_DAYS * DAY_MS), again=False),
        Chore(name="configure", step=lambda: _configure(history, plan), again=False),
        Chore(name="rollup", step=lambda: history.catch_up(HOURS_A_STEP)),
        Chore(name="compact", step=lambda: history.compact(compact_until_ms, DAYS_A_STEP)),
        Chore(name="retain_beside", step=lambda: history.retain_beside(retain_until_ms, DAYS_A_STEP)),
        Chore(name="retain", step=lambda: history.retain(retain_until_ms, DAYS_A_STEP)),
    )


async def _configure(history: History, plan: Plan) -> int:
    return await history.configure(
        kept_days=plan.kept_days, compact_after_days=plan.compact_after_days, own_jobs=plan.own_jobs
    )


async def run_housekeeper(*, pool: Pool, plan: Plan, clock: Clock, rounds: Rounds = UNSEEN) -> None:
    """A pass now and one each hour, until cancelled; after a pass that was not whole, another one soon. Who never
    has the turn shows no pulse: whoever has it does, or nobody."""
    while True:
        try:
            is_whole = await keep_house(pool, plan, clock.now_ms(), rounds)
        except OtherAtIt:
            is_whole = False
        if is_whole:
            await rest(EVERY_S, clock, rounds)
        else:
            await asyncio.sleep(RETRY_S)


class OtherAtIt(TocsinError):
    """Another process has the turn."""


async def keep_house(pool: Pool, plan: Plan, now_ms: int, rounds: Rounds = UNSEEN) -> bool:
    """One pass; False when some of it has to be tried again. Raises OtherAtIt."""
    try:
        async with my_turn(pool) as history:
            if history is not None:
                return await do_all(chores(history, plan, now_ms), rounds)
    except TocsinError as error:
        _failed("turn", error)
        if is_away(error):
            await rounds.went_round()
        return False
    raise OtherAtIt


async def do_all(wanted: Sequence[Chore], rounds: Rounds) -> bool:
    """Whether all are done. Each step that is done is a round, and none behind a chore that fails by itself."""
    errors: list[TocsinError] = []
    for chore in wanted:
        error = await _do(chore, UNSEEN if any(not is_away(one) for one in errors) else rounds)
        errors += [] if error is None else [error]
    if all(is_away(one) for one in errors):
        await rounds.went_round()
    return not errors


async def _do(chore: Chore, rounds: Rounds) -> TocsinError | None:
    """Why not; None: it is done."""
    total = 0
    try:
        for _ in range(STEPS_MAX if chore.again else 1):
            amount = await chore.step()
            total += amount
            if not amount:
                break
            await rounds.went_round()
    except TocsinError as error:
        _failed(chore.name, error)
        return error
    telemetry.HOUSEKEEPING.labels(chore=chore.name, outcome="done").inc(total)
    if total:
        logger.info("housekeeping", chore=chore.name, amount=total)
    return None


def _failed(chore: str, error: Exception) -> None:
    telemetry.HOUSEKEEPING.labels(chore=chore, outcome="failed").inc()
    logger.error("housekeeping failed", chore=chore, reason=str(error), again_in_s=RETRY_S)
