"""Does the care of the history go on by the clock that it is given, alone, and in nobody's way?

On partitions: what depends on the kind of storage is in ``tests/contracts/test_storage.py``.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
import structlog
from builders import eventually
from structlog.testing import CapturingLogger

from ingest.housekeeper import DAY_MS, EVERY_S, OtherAtIt, Plan, keep_house, run_housekeeper
from tocsin import telemetry
from tocsin.adapters.history import my_turn
from tocsin.adapters.postgres import Pool, open_pool, transaction
from tocsin.clock import MS
from tocsin.errors import RecordUnavailable
from tocsin.pulsing import REST_S

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


async def ensured(pool: Pool) -> None:
    """The days of NOW are there, and so is a position of it."""
    async with transaction(pool) as connection:
        await connection.execute("select tocsin.history_ensure('2026-11-21', '2026-11-23')")
        await connection.execute(
            """insert into tocsin.last_position (device_number, measured_at, delay_ms, lat_e6, lon_e6)
               values (1, '2026-11-21Z', 0, 0, 0)"""
        )


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
    minutes = EVERY_S // int(REST_S)
    for minute in range(minutes):
        clock.step()
        await eventually(lambda minute=minute: len(clock.slept) == minute + 2)
    assert (await partitions(pool))[-1] == "fixes_20261123"
    assert clock.slept == [REST_S] * (minutes + 1)
    keeper.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeper


class Counted:
    def __init__(self) -> None:
        self.number = 0

    async def went_round(self, loop: str = "") -> None:
        self.number += 1


async def test_one_process_at_a_time(pool: Pool, dsn: str) -> None:
    async with open_pool(dsn, max_size=1) as other:
        async with my_turn(other) as history:
            assert history is not None
            rounds = Counted()
            with pytest.raises(OtherAtIt):
                await keep_house(pool, PLAN, NOW_MS, rounds)
            assert rounds.number == 0, "who stands by shows no pulse"
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
    await ensured(pool)
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


async def test_without_the_record_a_pass_fails_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    output = CapturingLogger()  # of our own: another test may have configured and cached the common one
    monkeypatch.setattr("ingest.housekeeper.logger", structlog.wrap_logger(output, processors=[]))
    async with open_pool("host=/nonexistent dbname=none") as nowhere:
        assert not await keep_house(nowhere, PLAN, NOW_MS)
    [said] = output.calls
    assert (said.method_name, said.kwargs["event"], said.kwargs["chore"]) == (
        "error",
        "housekeeping failed",
        "turn",
    )


LOCKS = """select relation::regclass::text, mode from pg_locks
           where pid = pg_backend_pid() and relation::regclass::text like 'tocsin.%'"""


async def test_deleting_and_dropping_do_not_share_a_lock(pool: Pool) -> None:
    """While rows are deleted nobody is locked out; while nobody gets in only a table is dropped."""
    await keep_house(pool, PLAN, NOW_MS - 200 * DAY_MS)
    await ensured(pool)
    async with transaction(pool) as setup:
        await setup.execute(
            """insert into tocsin.fixes_hourly select d, '2026-05-05 10:00Z', 1, '2026-05-05 10:00Z',
                 '2026-05-05 10:00Z', null, null, 1, 0, null from generate_series(1, 100) d"""
        )
        await setup.execute(
            """insert into tocsin.fixes (device_number, measured_at, delay_ms, lat_e6, lon_e6, source, flags, boot)
               values (1, '2026-05-01Z', 0, 0, 0, 1, 0, 7)"""  # no such day: in the net
        )
    until = "'2026-08-13Z', 1"
    async with transaction(pool) as deleting:
        cursor = await deleting.execute(f"select tocsin.history_retain_beside({until})".encode())
        assert await cursor.fetchone() == (1,), "the oldest day: what lay in the net"
        cursor = await deleting.execute(f"select tocsin.history_retain_beside({until})".encode())
        assert await cursor.fetchone() == (100,)
        held = set(await (await deleting.execute(LOCKS)).fetchall())
        assert ("tocsin.fixes_hourly", "RowExclusiveLock") in held
        assert {mode for _, mode in held} <= {"AccessShareLock", "RowExclusiveLock"}
        async with transaction(pool) as archivist:
            await archivist.execute("set local lock_timeout = '1s'")
            await archivist.execute(
                """insert into tocsin.fixes
                     (device_number, measured_at, delay_ms, lat_e6, lon_e6, source, flags, boot)
                   values (1, '2026-11-21 10:00Z', 0, 0, 0, 1, 0, 7)"""
            )
    async with transaction(pool) as dropping:
        cursor = await dropping.execute(f"select tocsin.history_retain({until})".encode())
        assert await cursor.fetchone() == (1,)
        held = set(await (await dropping.execute(LOCKS)).fetchall())
        assert ("tocsin.fixes", "AccessExclusiveLock") in held
        written = {name for name, mode in held if mode == "RowExclusiveLock"}
        assert written == set(), "nothing is deleted row by row under that lock"


async def test_what_the_record_refuses_is_a_failed_chore(pool: Pool) -> None:
    async with transaction(pool) as connection:
        await connection.execute("drop function tocsin.history_catch_up")
    failed = counted("rollup", "failed")
    assert not await keep_house(pool, PLAN, NOW_MS)
    assert counted("rollup", "failed") == failed + 1
    assert len(await partitions(pool)) == 3, "the archive has its days all the same"
