"""Does the care of the history go on by the clock that it is given, alone, and in nobody's way?

On partitions: what depends on the kind of storage is in ``tests/contracts/test_storage.py``.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from builders import eventually

from ingest.housekeeper import DAY_MS, EVERY_S, Plan, keep_house, run_housekeeper
from tocsin import telemetry
from tocsin.adapters.history import my_turn
from tocsin.adapters.postgres import Pool, open_pool, transaction
from tocsin.clock import MS
from tocsin.errors import RecordUnavailable

pytest_plugins = ("database",)

NOW_MS = 1_795_219_200_000  # 2026-11-21T00:00:00Z
PLAN = Plan(kept_days=100, compact_after_days=2, own_jobs=True)


def counted(chore: str, outcome: str) -> float:
    return telemetry.HOUSEKEEPING.labels(chore=chore, outcome=outcome)._value.get()


async def partitions(pool: Pool) -> list[str]:
    query = """select relname from pg_inherits join pg_class on oid = inhrelid
               where inhparent = 'tocsin.fixes'::regclass and relname <> 'fixes_default' order by 1"""
    async with transaction(pool) as connection:
        return [name for (name,) in await (await connection.execute(query)).fetchall()]


@dataclass
class SteppedClock:
    """A clock whose hours pass when the test says so."""

    at_ms: int = NOW_MS
    slept: list[float] = field(default_factory=list)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def now_ms(self) -> int:
        return self.at_ms

    def wall_ms(self) -> int:
        return self.at_ms

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._wake.clear()
        await self._wake.wait()
        self.at_ms += round(seconds * MS)

    def step(self) -> None:
        self._wake.set()


async def test_days_are_there_before_they_begin_hour_after_hour(pool: Pool) -> None:
    clock = SteppedClock(at_ms=NOW_MS - EVERY_S * MS)
    keeper = asyncio.create_task(run_housekeeper(pool=pool, plan=PLAN, clock=clock))
    await eventually(lambda: len(clock.slept) == 1)
    assert await partitions(pool) == ["fixes_20261120", "fixes_20261121", "fixes_20261122"]
    clock.step()
    await eventually(lambda: len(clock.slept) == 2)
    assert (await partitions(pool))[-1] == "fixes_20261123"
    assert clock.slept == [EVERY_S] * 2
    keeper.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeper


async def test_one_process_at_a_time(pool: Pool, dsn: str) -> None:
    async with open_pool(dsn, max_size=1) as other:
        async with my_turn(other) as history:
            assert history is not None
            assert await keep_house(pool, PLAN, NOW_MS), "not ours to do, and no failure"
            assert await partitions(pool) == []
        assert await keep_house(pool, PLAN, NOW_MS), "the turn was given back"
    assert len(await partitions(pool)) == 3


async def test_a_turn_that_ended_in_an_error_is_given_back(pool: Pool, dsn: str) -> None:
    async with open_pool(dsn, max_size=1) as other:
        with pytest.raises(RecordUnavailable):
            async with my_turn(other) as history:
                raise RecordUnavailable("in the middle of a pass")
        async with my_turn(pool) as history:
            assert history is not None


async def test_a_chore_that_fails_is_counted_and_the_others_are_done(pool: Pool, dsn: str) -> None:
    """A reader holds the old day: retention gives way by itself and is tried again, nobody queues behind it."""
    old_ms = NOW_MS - 200 * DAY_MS
    assert await keep_house(pool, PLAN, old_ms)
    failed, rolled_up = counted("retain", "failed"), counted("rollup", "done")
    async with transaction(pool) as reader:
        await reader.execute("select count(*) from tocsin.fixes")
        async with transaction(pool) as writer:
            await writer.execute("insert into tocsin.rollup_due values ('2026-11-20 10:00Z')")
        async with open_pool(dsn, max_size=1, statement_timeout_s=600) as patient, asyncio.timeout(60):
            assert not await keep_house(patient, PLAN, NOW_MS)
    assert counted("retain", "failed") == failed + 1
    assert counted("rollup", "done") == rolled_up + 1
    assert await keep_house(pool, PLAN, NOW_MS)
    assert await partitions(pool) == ["fixes_20261121", "fixes_20261122", "fixes_20261123"]


async def test_without_the_record_a_pass_fails_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    async with open_pool("host=/nonexistent dbname=none") as nowhere:
        assert not await keep_house(nowhere, PLAN, NOW_MS)
    assert "housekeeping failed" in capsys.readouterr().out


async def test_what_the_record_refuses_is_a_failed_chore(pool: Pool) -> None:
    async with transaction(pool) as connection:
        await connection.execute("drop function tocsin.history_catch_up")
    failed = counted("rollup", "failed")
    assert not await keep_house(pool, PLAN, NOW_MS)
    assert counted("rollup", "failed") == failed + 1
    assert len(await partitions(pool)) == 3, "the archive has its days all the same"
