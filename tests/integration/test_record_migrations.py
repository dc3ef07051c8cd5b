"""Do the tables come up once, the same for everybody, and does a changed file stop the start?"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tocsin.adapters.migrate import MigrationRefused, migrate, migrations
from tocsin.adapters.postgres import Pool, open_pool, transaction
from tocsin.errors import RecordUnavailable

pytest_plugins = ("database",)


async def test_a_second_migration_changes_nothing(empty_dsn: str) -> None:
    names = [each.name for each in migrations()]
    assert await migrate(empty_dsn) == names
    assert await migrate(empty_dsn) == []


async def test_of_several_migrators_at_once_one_works(empty_dsn: str) -> None:
    applied = await asyncio.gather(*(migrate(empty_dsn) for _ in range(4)))
    assert sorted(map(len, applied)) == [0, 0, 0, len(migrations())]


async def test_an_applied_file_that_has_changed_is_refused(empty_dsn: str, tmp_path: Path) -> None:
    first = tmp_path / "0001_first.sql"
    first.write_text("create table one (i bigint)")
    await migrate(empty_dsn, tmp_path)
    first.write_text("create table one (i bigint, j bigint)")
    (tmp_path / "0002_second.sql").write_text("create table two (i bigint)")
    with pytest.raises(MigrationRefused, match=r"0001_first\.sql"):
        await migrate(empty_dsn, tmp_path)
    async with open_pool(empty_dsn) as pool, transaction(pool) as connection:
        cursor = await connection.execute("select relname from pg_class where relname in ('one', 'two')")
        assert await cursor.fetchall() == [("one",)]


async def test_a_file_that_fails_half_way_leaves_nothing(empty_dsn: str, tmp_path: Path) -> None:
    (tmp_path / "0001_first.sql").write_text("create table one (i bigint)")
    (tmp_path / "0002_second.sql").write_text("create table two (i bigint); select 1 / 0")
    with pytest.raises(Exception, match="division by zero"):
        await migrate(empty_dsn, tmp_path)
    (tmp_path / "0002_second.sql").write_text("create table two (i bigint)")
    assert await migrate(empty_dsn, tmp_path) == ["0002_second.sql"]


async def test_numbers_of_a_newer_version_are_left_alone(empty_dsn: str, tmp_path: Path) -> None:
    (tmp_path / "0001_first.sql").write_text("create table one (i bigint)")
    newer = tmp_path / "0002_second.sql"
    newer.write_text("create table two (i bigint)")
    await migrate(empty_dsn, tmp_path)
    newer.unlink()
    assert await migrate(empty_dsn, tmp_path) == []


def test_two_files_of_one_number_are_refused(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_text("")
    (tmp_path / "0001_b.sql").write_text("")
    with pytest.raises(MigrationRefused):
        migrations(tmp_path)


async def test_sessions_are_in_utc_and_bounded(pool: Pool) -> None:
    async with transaction(pool) as connection:
        cursor = await connection.execute(
            "select current_setting('TimeZone'), current_setting('statement_timeout')"
        )
        assert await cursor.fetchone() == ("UTC", "2500ms")


async def test_a_record_that_is_not_there_is_unavailable() -> None:
    async with open_pool("host=/nonexistent dbname=none") as pool:
        with pytest.raises(RecordUnavailable):
            async with transaction(pool):
                pass


async def test_a_record_that_hangs_or_may_not_be_written_is_unavailable(dsn: str) -> None:
    async with open_pool(dsn, statement_timeout_s=0.05) as pool:
        for statement in ("select pg_sleep(5)", "set transaction read only; create table t (i bigint)"):
            with pytest.raises(RecordUnavailable):
                async with transaction(pool) as connection:
                    await connection.execute(statement)


async def test_a_session_that_was_ended_is_replaced_without_an_error(dsn: str) -> None:
    async with open_pool(dsn, max_size=1) as pool, open_pool(dsn, max_size=1) as other:
        async with transaction(pool):
            pass
        async with transaction(other) as connection:
            await connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )
        async with transaction(pool) as connection:
            await connection.execute("select 1")


async def test_no_identifier_is_narrower_than_64_bits(pool: Pool) -> None:
    """F01, for the columns that count: identities, sequences, keys and their references."""
    async with transaction(pool) as connection:
        cursor = await connection.execute(
            """select table_name || '.' || column_name from information_schema.columns
               where table_schema = 'tocsin' and data_type in ('integer', 'smallint')
               and column_name ~ '(number|sequence|id|version|attempt|boot|seq)$'"""
        )
        assert await cursor.fetchall() == []
        cursor = await connection.execute("select sequencename, data_type::text from pg_sequences")
        assert {kind for _, kind in await cursor.fetchall()} == {"bigint"}
