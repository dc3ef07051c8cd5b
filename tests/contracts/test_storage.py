"""Does the history keep the same promises as a hypertable of TimescaleDB and as partitions of PostgreSQL?

One examination, sat by both (habit 4): the embedded PostgreSQL, and the real extension. Behind it what only the
extension has. Cites F01 (numbers), A8 (one code path).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from real_record import patient_pool

from ingest.housekeeper import Plan, keep_house
from tocsin.adapters.fixes import FixArchive, TrackPoint
from tocsin.adapters.history import ChoreFailed, History, open_history
from tocsin.adapters.migrate import migrate, migrations
from tocsin.adapters.postgres import Pool, RecordRefused, open_pool, transaction
from tocsin.clock import AffineClock, utc
from tocsin.limits import READ_DAYS_MAX, READ_ROWS_MAX
from tocsin.model.fix import ABSENT, FIX_DTYPE, Fixes

pytest_plugins = ("database", "timescale")
pytestmark = pytest.mark.timeout(300)  # the first to need the extension installs and starts it: at most 190 s

MIDNIGHT_MS = 1_795_219_200_000  # 2026-11-21T00:00:00Z
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
NOON_MS = MIDNIGHT_MS + 12 * HOUR_MS
PLAN = Plan(kept_days=100, compact_after_days=2, own_jobs=True)


def batch(at_ms: int, *, devices: int = 1, count: int = 1, every_ms: int = 1000, **columns: int) -> Fixes:
    """``count`` fixes of each of ``devices`` from ``at_ms`` on, each received half a second after it was made."""
    fixes = np.zeros(devices * count, FIX_DTYPE)
    fixes["device"] = np.repeat(np.arange(1, devices + 1), count)
    fixes["fix_ms"] = at_ms + every_ms * np.tile(np.arange(count), devices)
    fixes["t3_ms"] = fixes["fix_ms"] + 500
    fixes["lat_e6"], fixes["lon_e6"], fixes["primary"] = 48_856_600, 2_352_200, 1
    for name, value in columns.items():
        fixes[name] = value
    return fixes


async def rows(pool: Pool, query: str) -> list[tuple]:
    async with transaction(pool) as connection:
        return await (await connection.execute(query.encode())).fetchall()


async def seen(pool: Pool, at_ms: int, device: int = 999) -> None:
    """A position of that hour: what retention believes besides the clock."""
    async with transaction(pool) as connection:
        await connection.execute(
            """insert into tocsin.last_position (device_number, measured_at, delay_ms, lat_e6, lon_e6)
               values (%s, %s, 0, 0, 0)""",
            [device, utc(at_ms)],
        )


async def kept_until(pool: Pool, history: History, until_ms: int) -> None:
    """The settings and the hour by which everything up to ``until_ms`` may go."""
    await history.configure(kept_days=100, compact_after_days=2, own_jobs=False)
    await seen(pool, until_ms + 100 * DAY_MS)


LIFTED = "update tocsin.hold set lifted_by = 'tj', lifted_at = '2026-11-22', lifted_because = 'judged' returning 1"


async def hold(pool: Pool, since_ms: int) -> None:
    """On something that began at that hour."""
    async with transaction(pool) as connection:
        await connection.execute(
            """insert into tocsin.hold (id, kind, what, subject, since, reason, authority, placed_by, placed_at)
               values ('hld_1', 'hold', 'measure', 'msr_1', %(at)s, 'appeal', 'TJ', 'greffe', %(at)s)""",
            {"at": utc(since_ms)},
        )


async def whole_track(archive: FixArchive, device: int = 1) -> list[TrackPoint]:
    """Everything of a device within a month of MIDNIGHT_MS, as the product reads it."""
    return list(
        await archive.read_track(device, MIDNIGHT_MS - 15 * DAY_MS, MIDNIGHT_MS + 15 * DAY_MS, READ_ROWS_MAX)
    )


@pytest.fixture(params=["partitions", "timescaledb"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def empty(kind: str, request: pytest.FixtureRequest) -> str:
    """A database of this kind without tables."""
    return str(request.getfixturevalue({"partitions": "empty_dsn", "timescaledb": "timescale_empty_dsn"}[kind]))


@pytest.fixture
async def record(empty: str) -> str:
    await migrate(empty)
    return empty


@pytest.fixture
async def pool(record: str) -> AsyncIterator[Pool]:
    async with patient_pool(record) as opened:
        yield opened


@pytest.fixture
def archive(pool: Pool) -> FixArchive:
    return FixArchive(pool)


@pytest.fixture
async def history(record: str) -> AsyncIterator[History]:
    async with open_history(record) as opened:
        yield opened


class TestStorage:
    """The examination."""

    async def test_what_was_decided_is_written_down(self, kind: str, history: History) -> None:
        storage = await history.storage()
        assert (storage.kind, storage.columnstore) == (kind, kind == "timescaledb")
        assert storage.version[0].isdigit()
        assert "timescaledb" in storage.reason
        assert (storage.kept_days, storage.compact_after_days, storage.own_jobs) == (None, None, False)

    async def test_settings_are_kept_once(self, history: History) -> None:
        async def configure(days: int) -> bool:
            return await history.configure(kept_days=days, compact_after_days=2, own_jobs=True)

        assert [await configure(days) for days in (100, 100, 50)] == [True, False, True]
        storage = await history.storage()
        assert (storage.kept_days, storage.own_jobs) == (50, storage.columnstore)

    # --- what goes in ---

    async def test_a_batch_archived_twice_is_there_once(self, archive: FixArchive) -> None:
        fixes = batch(NOON_MS, devices=20, count=10)
        first, second = await archive.archive(fixes), await archive.archive(fixes)
        assert (first.rows_inserted, first.duplicates) == (200, 0)
        assert (second.rows_inserted, second.duplicates) == (0, 200)

    async def test_what_a_device_did_not_say_is_null(self, archive: FixArchive) -> None:
        optional = ("accuracy_dm", "speed_cms", "course_ddeg", "battery_pct")
        await archive.archive(batch(NOON_MS, **dict.fromkeys(optional, ABSENT), seq=ABSENT))
        await archive.archive(batch(NOON_MS + 1, **dict.fromkeys(optional, 0)))
        absent, said = await whole_track(archive)
        assert [getattr(absent, name) for name in optional] == [None] * 4
        assert [getattr(said, name) for name in optional] == [0] * 4

    async def test_numbers_above_32_bits(self, archive: FixArchive, pool: Pool) -> None:
        """F01."""
        await archive.archive(batch(NOON_MS, device=2**31 + 1, boot=2**40, seq=2**41))
        assert len(await whole_track(archive, 2**31 + 1)) == 1
        assert list(await archive.last_positions([2**31 + 1])) == [2**31 + 1]
        assert await rows(pool, "select boot, seq from tocsin.fixes") == [(2**40, 2**41)]

    async def test_a_clock_far_off_goes_beside_the_history_and_makes_no_day(
        self, archive: FixArchive, pool: Pool, history: History
    ) -> None:
        ahead = batch(NOON_MS + 1000 * DAY_MS, t3_ms=NOON_MS)
        behind = batch(NOON_MS - 31 * DAY_MS, t3_ms=NOON_MS, accuracy_dm=ABSENT)
        fixes = np.concatenate([batch(NOON_MS), ahead, behind])
        first, second = await archive.archive(fixes), await archive.archive(fixes)
        assert (first.rows_inserted, first.astray, first.duplicates) == (1, 2, 0)
        assert (second.rows_inserted, second.astray, second.duplicates) == (0, 0, 3)
        assert [point.measured_ms for point in await whole_track(archive)] == [NOON_MS]
        assert (await archive.last_positions([1]))[1].measured_ms == NOON_MS, "not the one from the future"
        read = (
            "select measured_at, received_at, accuracy_dm from tocsin.astray(1, '2026-11-21Z', '2026-11-22Z', 10)"
        )
        assert await rows(pool, read) == [
            (utc(NOON_MS - 31 * DAY_MS), utc(NOON_MS), None),
            (utc(NOON_MS + 1000 * DAY_MS), utc(NOON_MS), 0),
        ]
        await kept_until(pool, history, MIDNIGHT_MS + DAY_MS)
        assert await history.retain_beside(MIDNIGHT_MS + DAY_MS, 100) == 2
        assert await history.retain(MIDNIGHT_MS + DAY_MS, 100) == 1, "one day, of the plausible one"
        assert await rows(pool, read) == [], "kept and dropped by the hour of their reception"

    # --- what comes out ---

    async def test_the_last_position_only_moves_forward(self, archive: FixArchive) -> None:
        for offset_ms in (1000, 0, 3000, 2000):
            await archive.archive(batch(NOON_MS + offset_ms, battery_pct=offset_ms // 1000))
        last = (await archive.last_positions([1, 99]))[1]
        assert (last.measured_ms, last.received_ms, last.battery_pct) == (NOON_MS + 3000, NOON_MS + 3500, 3)

    async def test_a_track_is_half_open_and_the_oldest_first(self, archive: FixArchive) -> None:
        await archive.archive(batch(NOON_MS, devices=2, count=10))
        track = await archive.read_track(1, NOON_MS + 2000, NOON_MS + 5000, 100)
        assert [point.measured_ms - NOON_MS for point in track] == [2000, 3000, 4000]
        first = await archive.read_track(1, NOON_MS, NOON_MS + DAY_MS, 4)
        assert [point.measured_ms - NOON_MS for point in first] == [0, 1000, 2000, 3000]

    async def test_no_read_is_unbounded(self, archive: FixArchive, pool: Pool) -> None:
        edge_ms = NOON_MS + READ_DAYS_MAX * DAY_MS
        assert await archive.read_track(1, NOON_MS, edge_ms, READ_ROWS_MAX) == ()
        with pytest.raises(RecordRefused, match="at most 31 days"):
            await archive.read_track(1, NOON_MS, edge_ms + 1, 1)
        with pytest.raises(RecordRefused, match="at most 10000 rows"):
            await archive.read_track(1, NOON_MS, edge_ms, READ_ROWS_MAX + 1)
        with pytest.raises(RecordRefused, match="the earlier one first"):
            await archive.read_track(1, NOON_MS, NOON_MS - 1, 1)
        with pytest.raises(RecordRefused, match="at most 10000 devices"):
            await archive.last_positions(range(READ_ROWS_MAX + 1))
        for bounds in (
            "'-infinity', 'infinity', 1",
            "null, '2026-11-21Z', 1",
            "'2026-11-21Z', '2026-11-22Z', null",
        ):
            for function in ("track", "astray", "hourly"):
                with pytest.raises(RecordRefused):
                    await rows(pool, f"select tocsin.{function}(1, {bounds})")

    async def test_who_reads_has_the_functions_and_not_the_tables(self, archive: FixArchive, pool: Pool) -> None:
        """The tables through no role; the functions through tocsin_reader; neither through PUBLIC."""
        await archive.archive(batch(NOON_MS))
        read = "select count(*) from tocsin.track(1, '2026-11-21Z', '2026-11-22Z', 10)"
        assert await as_role(pool, "tocsin_reader", read) == [(1,)]
        for table in ("fixes", "fixes_astray", "fixes_hourly", "last_position", "device"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await as_role(pool, "tocsin_reader", f"table tocsin.{table}")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await as_role(pool, "tocsin_reader", "select tocsin.history_retain('2030-01-01Z', 1)")
        rights = """select proname from pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner)))
                    where pronamespace = 'tocsin'::regnamespace and grantee = 0"""
        assert await rows(pool, rights) == [], "a function that PUBLIC may call"
        pinned = """select proname from pg_proc where pronamespace = 'tocsin'::regnamespace
                    and not coalesce('search_path=pg_catalog, pg_temp' = any(proconfig), false)"""
        assert await rows(pool, pinned) == [], "a function that trusts its caller's search_path"

    # --- what is done to it ---

    async def test_compaction_changes_no_answer(
        self, kind: str, archive: FixArchive, history: History, pool: Pool
    ) -> None:
        await archive.archive(batch(MIDNIGHT_MS, devices=5, count=200, every_ms=60_000))
        await archive.archive(batch(MIDNIGHT_MS + DAY_MS, devices=5, count=10, accuracy_dm=ABSENT))
        before = [await whole_track(archive, device) for device in range(1, 6)]
        counted = await rows(pool, "select count(*), sum(lat_e6), min(seq) from tocsin.fixes")
        days = 1 if kind == "timescaledb" else 0
        assert await history.compact(MIDNIGHT_MS + 2 * DAY_MS - 1, 10) == days, "a day that has not ended is left"
        assert await history.compact(MIDNIGHT_MS + 2 * DAY_MS, 1) == days
        assert await history.compact(MIDNIGHT_MS + 2 * DAY_MS, 1) == 0
        assert [await whole_track(archive, device) for device in range(1, 6)] == before
        assert await rows(pool, "select count(*), sum(lat_e6), min(seq) from tocsin.fixes") == counted

    async def test_a_late_row_goes_into_a_compacted_day_once(self, archive: FixArchive, history: History) -> None:
        fixes = batch(MIDNIGHT_MS, devices=3, count=50)
        await archive.archive(fixes)
        await history.compact(MIDNIGHT_MS + DAY_MS, 10)
        late = batch(MIDNIGHT_MS + 500, t3_ms=MIDNIGHT_MS + 3 * DAY_MS)
        outcomes = [await archive.archive(np.concatenate([late, fixes[:10]])) for _ in range(2)]
        assert [one.rows_inserted for one in outcomes] == [1, 0]
        assert [one.duplicates for one in outcomes] == [10, 11]
        assert [point.measured_ms - MIDNIGHT_MS for point in await whole_track(archive)][:3] == [0, 500, 1000]

    async def test_retention_drops_exactly_the_days_that_ended(
        self, archive: FixArchive, history: History, pool: Pool
    ) -> None:
        for day in range(-3, 2):  # the last moment of one day, the first of the next
            edge_ms = MIDNIGHT_MS + day * DAY_MS
            await archive.archive(np.concatenate([batch(edge_ms - 1), batch(edge_ms)]))
        await history.compact(MIDNIGHT_MS - DAY_MS, 10)
        await history.catch_up(100)
        everything = await whole_track(archive)
        await kept_until(pool, history, NOON_MS)
        assert await history.retain(NOON_MS, 1) == 1, "one step"
        assert await history.retain(NOON_MS, 100) == 3
        assert await history.retain(NOON_MS, 100) == 0
        assert await whole_track(archive) == [point for point in everything if point.measured_ms >= MIDNIGHT_MS]

    async def test_what_is_beside_the_days_goes_day_by_day(
        self, archive: FixArchive, history: History, pool: Pool
    ) -> None:
        """A setting that was lowered by years makes many small transactions, not one."""
        for day in range(-3, 1):
            await archive.archive(batch(NOON_MS + day * DAY_MS, devices=4))
        await history.catch_up(100)
        await archive.archive(batch(NOON_MS + 900 * DAY_MS, t3_ms=NOON_MS - 2 * DAY_MS))
        await kept_until(pool, history, NOON_MS)
        assert [await history.retain_beside(NOON_MS, 1) for _ in range(4)] == [4, 5, 4, 0]
        assert await rows(pool, "select count(*) from tocsin.fixes_hourly") == [(4,)], "today's"
        assert await history.retain(NOON_MS, 100) == 3, "the days themselves are still to be dropped"

    async def test_nothing_is_deleted_before_it_is_known_how_long_it_is_kept(
        self, archive: FixArchive, history: History, pool: Pool
    ) -> None:
        await archive.archive(batch(NOON_MS))
        await history.catch_up(1)
        await seen(pool, NOON_MS + 1000 * DAY_MS)
        assert await history.retain_beside(NOON_MS + 900 * DAY_MS, 10) == 0
        assert await history.retain(NOON_MS + 900 * DAY_MS, 10) == 0

    async def test_a_wrong_clock_deletes_nothing_and_says_so(
        self, archive: FixArchive, history: History, pool: Pool
    ) -> None:
        """1024 weeks ahead, once: each pass fails until the clock is right or the fleet agrees with it."""
        await archive.archive(np.concatenate([batch(NOON_MS - 200 * DAY_MS), batch(NOON_MS)]))
        await history.catch_up(10)
        left = "select (select count(*) from tocsin.fixes), (select count(*) from tocsin.fixes_hourly)"
        assert not await keep_house(pool, PLAN, NOON_MS + 7168 * DAY_MS)
        for verb in (history.retain, history.retain_beside):
            with pytest.raises(ChoreFailed, match="the newest position is of 2026-11-21"):
                await verb(NOON_MS + 7068 * DAY_MS, 1)
        assert await rows(pool, left) == [(2, 2)]
        assert await keep_house(pool, PLAN, NOON_MS)
        assert await rows(pool, left) == [(1, 1)], "the clock is right again"

    async def test_a_day_goes_when_clock_and_fleet_agree(
        self, archive: FixArchive, history: History, pool: Pool
    ) -> None:
        """The fleet is some seconds behind at midnight, which is no failure; a device may be 5 min ahead of us."""
        await archive.archive(batch(MIDNIGHT_MS - DAY_MS))
        await history.configure(kept_days=100, compact_after_days=2, own_jobs=False)
        over_ms = MIDNIGHT_MS + 100 * DAY_MS
        await seen(pool, over_ms - 1000)
        assert await history.retain(MIDNIGHT_MS + 60_000, 1) == 0, "the newest position is of before midnight"
        await seen(pool, over_ms + 200_000, device=998)
        assert await history.retain(MIDNIGHT_MS - 1, 1) == 0, "the clock is"
        assert await history.retain(MIDNIGHT_MS, 1) == 1

    # --- what the custodian asks of it (tocsin.retention) ---

    async def test_a_day_that_a_hold_needs_stays_with_every_day_behind_it(
        self, archive: FixArchive, history: History, pool: Pool
    ) -> None:
        """Invariant 14, F09. Until it is lifted; what was before the held thing goes by its own time."""
        days = [MIDNIGHT_MS + number * DAY_MS for number in range(4)]
        await archive.archive(np.concatenate([batch(day) for day in days]))
        await history.catch_up(10)
        await kept_until(pool, history, days[-1] + DAY_MS)
        await hold(pool, days[2] + HOUR_MS)
        assert [
            await history.retain_beside(days[-1] + DAY_MS, 10),
            await history.retain(days[-1] + DAY_MS, 10),
        ] == [2, 2]
        assert await rows(pool, "select count(*) from tocsin.fixes") == [(2,)]
        await rows(pool, LIFTED)
        assert await history.retain(days[-1] + DAY_MS, 10) == 2

    async def test_while_a_hold_stands_nobody_else_deletes(self, history: History, pool: Pool) -> None:
        """TimescaleDB's own job goes by the server's clock and asks nobody."""
        storage = await history.storage()
        await history.configure(kept_days=100, compact_after_days=2, own_jobs=True)
        await hold(pool, MIDNIGHT_MS)
        await history.configure(kept_days=100, compact_after_days=2, own_jobs=True)
        assert not (await history.storage()).own_jobs
        await rows(pool, LIFTED)
        await history.configure(kept_days=100, compact_after_days=2, own_jobs=True)
        assert (await history.storage()).own_jobs == storage.columnstore

    async def test_a_canary_is_no_witness_of_the_hour(
        self, archive: FixArchive, history: History, pool: Pool
    ) -> None:
        """F37: it reports by our own clock, and would vouch for it."""
        await archive.archive(batch(MIDNIGHT_MS, device=7))
        await history.configure(kept_days=100, compact_after_days=2, own_jobs=False)
        ((canary,),) = await rows(
            pool,
            """insert into tocsin.device (id, kind, password_bcrypt, created_at)
               values ('canary-1-w', 'bar_wearer', '', '2026-11-21') returning number""",
        )
        await seen(pool, MIDNIGHT_MS)
        await seen(pool, MIDNIGHT_MS + 900 * DAY_MS, device=canary)
        with pytest.raises(ChoreFailed, match="the newest position is of 2026-11-21"):
            await history.retain(MIDNIGHT_MS + 800 * DAY_MS, 1)

    async def test_the_fixes_of_one_device_are_erased_up_to_an_hour(
        self, archive: FixArchive, history: History, pool: Pool
    ) -> None:
        """Invariant 6: of a phone, in every table of the history, also in a day that has become columns."""
        await archive.archive(np.concatenate([batch(MIDNIGHT_MS, devices=2), batch(NOON_MS, devices=2)]))
        await archive.archive(batch(MIDNIGHT_MS - 40 * DAY_MS, devices=2, t3_ms=MIDNIGHT_MS))
        await history.catch_up(1000)
        await history.compact(MIDNIGHT_MS + 2 * DAY_MS, 10)
        await rows(pool, f"select tocsin.history_erase(array[1]::bigint[], '{utc(NOON_MS)}')")
        for table, left in (("fixes", [1, 2, 2]), ("fixes_astray", [2])):
            query = f"select device_number from tocsin.{table} order by 1"  # noqa: S608  (names of ours)
            assert [row[0] for row in await rows(pool, query)] == left
        await rows(pool, f"select tocsin.history_erase(array[1]::bigint[], '{utc(NOON_MS + DAY_MS)}')")
        assert await rows(pool, "select distinct device_number from tocsin.fixes") == [(2,)]
        assert await rows(pool, "select device_number from tocsin.last_position") == [(2,)]
        assert await rows(pool, "select distinct device_number from tocsin.fixes_hourly") == [(2,)]

    @pytest.mark.parametrize("days_as_columns", [0, 10])
    async def test_hours_of_one_unit_are_erased_by_the_custodian_and_counted(
        self, archive: FixArchive, history: History, pool: Pool, days_as_columns: int
    ) -> None:
        """Of a measure that is over (ADR 54); also in a day that has become columns, and of nobody else."""
        await archive.archive(batch(MIDNIGHT_MS, devices=3, count=144, every_ms=600_000))
        await archive.archive(batch(NOON_MS - 40 * DAY_MS, devices=2, t3_ms=NOON_MS))
        await history.catch_up(1000)
        if days_as_columns:
            await history.compact(MIDNIGHT_MS + 2 * DAY_MS, days_as_columns)
        others = [await whole_track(archive, device) for device in (1, 3)]
        span = "select fixes, astray, hours from tocsin.history_erase_span(2, '{}', '{}')"
        whole = span.format(utc(MIDNIGHT_MS), utc(MIDNIGHT_MS + DAY_MS))
        for name in ("tocsin_reader", "tocsin_recorder"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await as_role(pool, name, whole)
        anything = (
            f"select tocsin.history_next(2, '{utc(MIDNIGHT_MS - DAY_MS)}', '{utc(MIDNIGHT_MS + 2 * DAY_MS)}')"
        )
        assert await rows(pool, anything) == [(utc(MIDNIGHT_MS),)]
        part = span.format(utc(MIDNIGHT_MS), utc(NOON_MS + HOUR_MS // 2))
        assert await as_role(pool, "tocsin_custodian", part) == [(75, 1, 12)], "an hour that is over in part stays"
        assert await as_role(pool, "tocsin_custodian", whole) == [(69, 0, 12)]
        assert await as_role(pool, "tocsin_custodian", whole) == [(0, 0, 0)]
        assert await rows(pool, anything) == [(None,)]
        assert [await whole_track(archive, device) for device in (1, 2, 3)] == [others[0], [], others[1]]
        assert await archive.last_positions([2]) == {}
        assert await rows(pool, "select distinct device_number from tocsin.fixes_hourly order by 1") == [
            (1,),
            (3,),
        ]
        assert await rows(pool, "select device_number from tocsin.fixes_astray") == [(1,)]
        assert (await archive.archive(batch(NOON_MS, device=2))).rows_inserted == 1, "the day still takes rows"

    async def test_without_any_position_nothing_is_deleted(self, history: History) -> None:
        await history.ensure(MIDNIGHT_MS, MIDNIGHT_MS)
        await history.configure(kept_days=100, compact_after_days=2, own_jobs=False)
        assert await history.retain(NOON_MS + 900 * DAY_MS, 10) == 0

    async def test_the_archivist_of_the_version_before_still_archives(self, pool: Pool) -> None:
        """What 0.1.0 executes, after a rollback: its name for making days, its INSERT."""
        await rows(pool, "select tocsin.ensure_days(day, day) from unnest(array['2026-11-21'::date]) as day")
        insert = """insert into tocsin.fixes
                      (device_number, measured_at, delay_ms, lat_e6, lon_e6, source, flags, boot)
                    values (1, '2026-11-21 12:00Z', 500, 1, 2, 1, 0, 7) on conflict do nothing returning 1"""
        assert await rows(pool, insert) == [(1,)]
        assert await rows(pool, insert) == []

    async def test_a_rollup_counts_hours_and_changes_nothing_twice(
        self, archive: FixArchive, history: History, pool: Pool
    ) -> None:
        await archive.archive(batch(NOON_MS - 2000, count=4, speed_cms=300, accuracy_dm=ABSENT, battery_pct=50))
        await archive.archive(batch(NOON_MS + 30_000, speed_cms=900, accuracy_dm=77, battery_pct=ABSENT))
        assert [await history.catch_up(1) for _ in range(3)] == [1, 1, 0]
        query = """select extract(hour from hour)::int, fixes, last_at - first_at, speed_max_cms,
                   accuracy_worst_dm, accuracy_unknown, battery_min_pct
                   from tocsin.hourly(1, '2026-11-21Z', '2026-11-22Z', 10)"""
        hours = [(*row[:2], row[2].total_seconds(), *row[3:]) for row in await rows(pool, query)]
        assert hours == [(11, 2, 1.0, 300, None, 2, 50), (12, 3, 30.0, 900, 77, 2, 50)]
        assert await history.rollup(MIDNIGHT_MS, MIDNIGHT_MS + DAY_MS) == 0
        assert await history.rollup(NOON_MS, NOON_MS + 1) == 0, "a part of an hour never replaces the whole"

    async def test_a_late_row_makes_its_hour_due_again(
        self, archive: FixArchive, history: History, pool: Pool
    ) -> None:
        await archive.archive(batch(NOON_MS))
        await history.catch_up(10)
        await archive.archive(batch(NOON_MS + 1, t3_ms=NOON_MS + 20 * DAY_MS))
        assert await history.catch_up(10) == 1
        assert await rows(pool, "select fixes, delay_max_ms from tocsin.fixes_hourly") == [(2, 20 * DAY_MS - 1)]

    async def test_a_pass_of_the_housekeeper_does_it_all(
        self, archive: FixArchive, history: History, pool: Pool
    ) -> None:
        await archive.archive(batch(NOON_MS, devices=3))
        assert await keep_house(pool, PLAN, NOON_MS)
        storage = await history.storage()
        assert (storage.kept_days, storage.own_jobs) == (100, storage.columnstore)
        assert await rows(pool, "select count(*) from tocsin.fixes_hourly") == [(3,)]
        before = await whole_track(archive)
        assert await keep_house(pool, PLAN, NOON_MS + 3 * DAY_MS)
        assert await whole_track(archive) == before
        await seen(pool, NOON_MS + 101 * DAY_MS)
        assert await keep_house(pool, PLAN, NOON_MS + 101 * DAY_MS)
        left = "select (select count(*) from tocsin.fixes), (select count(*) from tocsin.fixes_hourly)"
        assert await rows(pool, left) == [(0, 0)]

    async def test_one_device_is_erased_from_compacted_days_too(
        self, archive: FixArchive, history: History, pool: Pool
    ) -> None:
        await archive.archive(batch(MIDNIGHT_MS, devices=3, count=50))
        await history.compact(MIDNIGHT_MS + DAY_MS, 1)
        await archive.archive(batch(NOON_MS, devices=3))
        async with transaction(pool) as connection:
            await connection.execute("delete from tocsin.fixes where device_number = 2")
        assert [len(await whole_track(archive, device)) for device in (1, 2, 3)] == [51, 0, 51]

    # --- where it comes from ---

    async def test_the_rows_of_the_first_version_are_carried_over(
        self, kind: str, empty: str, tmp_path: Path
    ) -> None:
        """A database as 0.1.0 left it: days in partitions, what a far-off clock said in the default one."""
        first = migrations()[0]
        (tmp_path / first.name).write_bytes(first.sql)
        await migrate(empty, tmp_path)
        async with open_pool(empty) as pool, transaction(pool) as connection:
            await connection.execute("select tocsin.ensure_days('2026-11-20', '2026-11-21')")
            await connection.execute(
                """insert into tocsin.fixes
                     (device_number, measured_at, delay_ms, lat_e6, lon_e6, source, flags, boot)
                   select d, '2026-11-20 23:59:00Z'::timestamptz + s * interval '1 s', 500, 1, 2, 1, 0, 7
                   from generate_series(1, 3) d, generate_series(0, 99) s
                   union all select 1, '2031-01-01Z', -1000, 3, 4, 1, 0, 7
                   union all select 2, '1970-01-01Z', 2147483647, 3, 4, 1, 0, 7
                   union all select 3, '2060-01-01Z', -2147483647, 3, 4, 1, 0, 7"""
            )
        began_ms = AffineClock().wall_ms() - 1000
        assert await migrate(empty) == [each.name for each in migrations()[1:]]
        async with open_pool(empty) as pool, open_history(empty) as history:
            archive = FixArchive(pool)
            assert (await history.storage()).kind == kind
            assert [len(await whole_track(archive, device)) for device in (1, 2, 3)] == [100] * 3
            astray = "select device_number, measured_at, received_at, lat_e6 from tocsin.fixes_astray order by 1"
            assert (await rows(pool, astray))[:1] == [(1, utc(1_924_992_000_000), utc(1_924_991_999_000), 3)]
            cut = [received_at for _, _, received_at, _ in (await rows(pool, astray))[1:]]
            assert all(utc(began_ms) <= hour <= utc(AffineClock().wall_ms() + 1000) for hour in cut), "not known"
            assert len(cut) == 2
            assert await rows(pool, "select count(*) from tocsin.fixes") == [(300,)]
            assert (await archive.archive(batch(MIDNIGHT_MS, count=3))).duplicates == 3, "the key came along"
            assert (await archive.archive(batch(MIDNIGHT_MS + HOUR_MS))).rows_inserted == 1
            await kept_until(pool, history, MIDNIGHT_MS)
            assert await history.retain(MIDNIGHT_MS, 10) == 1
            assert len(await whole_track(archive)) == 41


@asynccontextmanager
async def role(pool: Pool, name: str) -> AsyncIterator[psycopg.AsyncConnection]:
    async with transaction(pool) as connection:
        await connection.execute(f"set local role {name}".encode())
        yield connection


async def as_role(pool: Pool, name: str, query: str) -> list[tuple]:
    async with role(pool, name) as connection:
        return await (await connection.execute(query.encode())).fetchall()


# --- what only the extension has ---------------------------------------------------------------------------------


@pytest.fixture
async def timescale_pool(timescale_empty_dsn: str) -> AsyncIterator[Pool]:
    await migrate(timescale_empty_dsn)
    async with patient_pool(timescale_empty_dsn) as opened:
        yield opened


async def test_the_extension_cuts_days_and_has_its_own_jobs(timescale_pool: Pool) -> None:
    archive = FixArchive(timescale_pool)
    await archive.archive(np.concatenate([batch(MIDNIGHT_MS - 1), batch(MIDNIGHT_MS), batch(NOON_MS)]))
    chunks = """select range_start, range_end from timescaledb_information.chunks
                where hypertable_name = 'fixes' order by 1"""
    assert await rows(timescale_pool, chunks) == [
        (utc(MIDNIGHT_MS - DAY_MS), utc(MIDNIGHT_MS)), (utc(MIDNIGHT_MS), utc(MIDNIGHT_MS + DAY_MS)),
    ]  # fmt: skip
    jobs = """select proc_name, coalesce(config ->> 'drop_after', config ->> 'compress_after')
              from timescaledb_information.jobs where hypertable_name = 'fixes' order by 1"""
    assert await rows(timescale_pool, jobs) == [], "none before it is known how long fixes are kept"
    for plan in (PLAN, replace(PLAN, kept_days=50)):
        assert await keep_house(timescale_pool, plan, NOON_MS)
        assert await rows(timescale_pool, jobs) == [
            ("policy_compression", "2 days"), ("policy_retention", f"{plan.kept_days} days"),
        ]  # fmt: skip
    assert await keep_house(timescale_pool, replace(PLAN, own_jobs=False), NOON_MS)
    assert await rows(timescale_pool, jobs) == [], "a replay's days are not judged by today's date"


async def test_columns_take_a_fraction_of_the_room(timescale_pool: Pool, timescale_empty_dsn: str) -> None:
    await FixArchive(timescale_pool).archive(batch(MIDNIGHT_MS, devices=20, count=720, every_ms=60_000))
    async with open_history(timescale_empty_dsn) as history:
        assert await history.compact(MIDNIGHT_MS + DAY_MS, 1) == 1
    sizes = """select before_compression_total_bytes::float / after_compression_total_bytes
               from public.hypertable_columnstore_stats('tocsin.fixes')"""
    [(ratio,)] = await rows(timescale_pool, sizes)
    assert ratio > 5


@pytest.fixture
def support(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of the fixture ``timescale``, with a cache of the test's own and a script in npm's place."""
    module: Any = request.config.pluginmanager.get_plugin("timescale")
    monkeypatch.setattr(module, "CACHE", tmp_path)
    monkeypatch.setattr(module, "program", lambda name: str(tmp_path / name))
    return module


def becomes(npm: Path, script: str) -> None:
    npm.write_text(f"#!/bin/sh\n{script}\n")
    npm.chmod(0o755)


def test_an_npm_that_hangs_has_not_reached_its_registry(
    support: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert support.NPM_WITHIN_S + support.READY_WITHIN_S < 300, "the skip comes before the end of pytestmark"
    monkeypatch.setattr(support, "NPM_WITHIN_S", 0.2)
    becomes(tmp_path / "npm", "exec sleep 60")
    with pytest.raises(support.NpmUnreachable, match="not done in"):
        support.install()


def test_npm_trusts_what_the_machine_trusts(support: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a proxy that ends TLS; what somebody has set already is left."""
    monkeypatch.setattr(support, "SYSTEM_CA", tmp_path)
    monkeypatch.delenv("NODE_EXTRA_CA_CERTS", raising=False)
    monkeypatch.delenv("NODE_USE_SYSTEM_CA", raising=False)
    becomes(tmp_path / "npm", "mkdir node_modules; env > node_modules/env")
    said = (support.install() / "node_modules" / "env").read_text().splitlines()
    assert {"NODE_USE_SYSTEM_CA=1", f"NODE_EXTRA_CA_CERTS={tmp_path}"} <= set(said)
    monkeypatch.setenv("NODE_USE_SYSTEM_CA", "0")
    assert support.trusting()["NODE_USE_SYSTEM_CA"] == "0"


async def test_a_bridge_that_died_is_started_again(timescale: object, capsys: pytest.CaptureFixture[str]) -> None:
    before = (timescale.dsn(), timescale.starts)  # type: ignore[attr-defined]
    timescale.kill()  # type: ignore[attr-defined]
    assert (timescale.dsn() != before[0], timescale.starts) == (True, before[1] + 1)  # type: ignore[attr-defined]
    assert "has died" in capsys.readouterr().err
