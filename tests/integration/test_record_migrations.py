"""Do the tables come up once, the same for everybody, and does a changed file stop the start?"""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest
from builders import eventually

from tocsin.adapters.migrate import (
    MIGRATION_LOCK,
    MigrationFailed,
    MigrationRefused,
    inspect,
    migrate,
    migrations,
    script,
)
from tocsin.adapters.postgres import Pool, open_pool, transaction
from tocsin.embedded.places import find_bindir
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
    with pytest.raises(MigrationFailed, match=r"0002_second\.sql: division by zero"):
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


async def test_a_migration_gives_way_to_the_traffic_and_tries_again(
    empty_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tocsin.adapters.migrate.LOCK_TIMEOUT_S", 0.05)
    monkeypatch.setattr("tocsin.adapters.migrate.LOCK_PAUSE_S", 0.0)
    (tmp_path / "0001_first.sql").write_text("create table public.one (i bigint)")
    await migrate(empty_dsn, tmp_path)
    (tmp_path / "0002_second.sql").write_text("alter table public.one add j bigint")
    async with open_pool(empty_dsn) as pool:
        async with transaction(pool) as reader:
            await reader.execute("select * from public.one")
            with pytest.raises(RecordUnavailable, match=r"0002_second\.sql: no lock in 5 tries"):
                await migrate(empty_dsn, tmp_path)
            monkeypatch.setattr("tocsin.adapters.migrate.LOCK_TRIES", 10_000)
            waiting = asyncio.create_task(migrate(empty_dsn, tmp_path))
            await waits_for_a_lock(pool)
        assert await waiting == ["0002_second.sql"]


async def waits_for_a_lock(pool: Pool, mode: str = "AccessExclusiveLock") -> None:
    async def asked() -> bool:
        async with transaction(pool) as connection:
            cursor = await connection.execute(
                "select from pg_locks where not granted and mode = %s and locktype = 'relation'", [mode]
            )
            return await cursor.fetchone() is not None

    await eventually(asked)


FIRST_VERSION_ROW = """insert into tocsin.fixes
  (device_number, measured_at, delay_ms, lat_e6, lon_e6, source, flags, boot)
  values (%s, %s, 500, 1, 2, 1, 0, 7)"""

# Enough of the extension for 0002 to copy the history into another table, on a server without it.
STAND_IN = """
set allow_system_table_mods = on;
create schema stand_in;
insert into pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
  select 99999, 'timescaledb', 10, 'stand_in'::regnamespace, false, '9.9';
create function stand_in.by_range(text, interval) returns text language sql as 'select $1';
create function stand_in.create_hypertable(regclass, text, create_default_indexes boolean) returns int
  language sql as 'select 1';
"""


@pytest.mark.parametrize(
    ("kind", "day", "ends_in"),
    [
        ("timescaledb", "2026-11-21", "fixes"),
        ("partitions", "2026-11-21", "fixes"),
        ("timescaledb", "2031-01-01", "fixes_astray"),
        ("partitions", "2031-01-01", "fixes_astray"),
    ],
)
async def test_a_row_that_is_committed_beside_the_copy_of_the_history_is_in_it(
    empty_dsn: str, tmp_path: Path, kind: str, day: str, ends_in: str
) -> None:
    """An archivist of 0.1.0 is in the middle of a batch when 0002 begins: of a day, or of the net."""
    (tmp_path / migrations()[0].name).write_bytes(migrations()[0].sql)
    await migrate(empty_dsn, tmp_path)
    async with open_pool(empty_dsn) as pool:
        async with transaction(pool) as setup:
            await setup.execute("select tocsin.ensure_days('2026-11-20', '2026-11-21')")
            await setup.execute(FIRST_VERSION_ROW, [1, f"{day} 09:00Z"])
            if kind == "timescaledb":
                await setup.execute(STAND_IN)
        async with transaction(pool) as archivist:
            await archivist.execute(FIRST_VERSION_ROW, [99, f"{day} 10:00Z"])
            migrating = asyncio.create_task(migrate(empty_dsn))
            await waits_for_a_lock(pool, "ExclusiveLock")
            async with transaction(pool) as reader:
                assert await (await reader.execute("select count(*) from tocsin.fixes")).fetchone() == (1,)
        await migrating
        async with transaction(pool) as after:
            assert await (await after.execute("select kind from tocsin.storage")).fetchone() == (kind,)
            query = f"table tocsin.{ends_in}"
            assert sorted(row[0] for row in await (await after.execute(query.encode())).fetchall()) == [1, 99]


async def test_to_look_changes_nothing_and_names_what_is_pending_and_changed(
    empty_dsn: str, tmp_path: Path
) -> None:
    for name in ("0001_first.sql", "0002_second.sql"):
        (tmp_path / name).write_text("select 1")
    assert [each.name for each in (await inspect(empty_dsn, tmp_path)).pending] == [
        "0001_first.sql",
        "0002_second.sql",
    ]
    async with open_pool(empty_dsn) as pool, transaction(pool) as connection:
        assert await (await connection.execute("select to_regnamespace('tocsin')")).fetchone() == (None,)
    await migrate(empty_dsn, tmp_path)
    assert (await inspect(empty_dsn, tmp_path)).up_to_date
    (tmp_path / "0001_first.sql").write_text("select 2")
    state = await inspect(empty_dsn, tmp_path)
    assert ([each.name for each in state.changed], state.pending) == (["0001_first.sql"], ())


def psql(dsn: str, sql: str) -> subprocess.CompletedProcess[str]:
    """By the psql of the embedded PostgreSQL, without any option that would make it stricter."""
    command = [str(find_bindir() / "psql"), "-qX", dsn]
    return subprocess.run(command, input=sql, capture_output=True, text=True, timeout=60, check=False)


async def test_the_script_does_what_the_migration_does(empty_dsn: str) -> None:
    """For those whose database is changed by an administrator with psql."""
    ran = await asyncio.to_thread(psql, empty_dsn, script(migrations()))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (await inspect(empty_dsn)).up_to_date
    assert await migrate(empty_dsn) == []
    again = await asyncio.to_thread(psql, empty_dsn, script(migrations()))
    assert again.returncode == 3, "printed before somebody else migrated"


async def test_the_script_ends_at_the_file_that_fails(empty_dsn: str, tmp_path: Path) -> None:
    for name, sql in (
        ("0001_first.sql", "create table public.one (i bigint)"),
        ("0002_second.sql", "create table public.two (i bigint); select 1 / 0"),
        ("0003_third.sql", "create table public.three (i bigint)"),
    ):
        (tmp_path / name).write_text(f"{sql};")
    ran = await asyncio.to_thread(psql, empty_dsn, script(migrations(tmp_path)))
    assert ran.returncode == 3
    assert "division by zero" in ran.stderr
    async with open_pool(empty_dsn) as pool, transaction(pool) as connection:
        cursor = await connection.execute("select relname from pg_class where relname in ('one', 'two', 'three')")
        assert await cursor.fetchall() == [("one",)]
        assert await (await connection.execute("select number from tocsin.migration")).fetchall() == [(1,)]


async def test_the_script_waits_for_a_migrator_and_gives_way_to_the_traffic(
    empty_dsn: str, tmp_path: Path
) -> None:
    (tmp_path / "0001_first.sql").write_text("create table public.one (i bigint);")
    await migrate(empty_dsn, tmp_path)
    (tmp_path / "0002_second.sql").write_text("alter table public.one add j bigint;")
    text = script([each for each in migrations(tmp_path) if each.number == 2])
    async with open_pool(empty_dsn) as pool:
        async with transaction(pool) as migrator:
            await migrator.execute("select pg_advisory_xact_lock(%s)", [MIGRATION_LOCK])
            running = asyncio.create_task(asyncio.to_thread(psql, empty_dsn, text))

            async def waits() -> bool:
                async with transaction(pool) as other:
                    query = "select from pg_locks where not granted and locktype = 'advisory'"
                    return await (await other.execute(query)).fetchone() is not None

            await eventually(waits)
        assert (await running).returncode == 0
        async with transaction(pool) as reader:
            await reader.execute("delete from tocsin.migration where number = 2")
        async with transaction(pool) as reader:
            await reader.execute("select * from public.one")
            impatient = text.replace("lock_timeout = '5s'", "lock_timeout = '50ms'")
            ran = await asyncio.to_thread(psql, empty_dsn, impatient)
    assert (ran.returncode, "lock timeout" in ran.stderr, impatient != text) == (3, True, True)


def test_two_files_of_one_number_are_refused(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_text("")
    (tmp_path / "0001_b.sql").write_text("")
    with pytest.raises(MigrationRefused):
        migrations(tmp_path)


async def test_sessions_are_in_utc_and_bounded(dsn: str) -> None:
    async with open_pool(dsn) as pool, transaction(pool) as connection:
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
    """F01, invariant 16, for the columns that count: identities, sequences, keys and their references."""
    async with transaction(pool) as connection:
        cursor = await connection.execute(
            """select table_name || '.' || column_name from information_schema.columns
               where table_schema = 'tocsin' and data_type in ('integer', 'smallint')
               and column_name ~ '(number|sequence|id|version|attempt|boot|seq)$'"""
        )
        assert await cursor.fetchall() == []
        cursor = await connection.execute("select sequencename, data_type::text from pg_sequences")
        assert {kind for _, kind in await cursor.fetchall()} == {"bigint"}


async def test_a_unit_that_bears_a_canarys_name_stops_the_upgrade(empty_dsn: str, tmp_path: Path) -> None:
    """F38: somebody real would be taken for invented, and the alerts about her told to nobody."""
    for each in migrations():
        if each.number < 15:
            (tmp_path / each.name).write_bytes(each.sql)
    await migrate(empty_dsn, tmp_path)
    async with open_pool(empty_dsn) as pool, transaction(pool) as connection:
        await connection.execute(
            "insert into tocsin.device (id, kind, password_bcrypt, created_at)"
            " values ('canary-3-w', 'bar_wearer', 'x', '2026-11-01')"
        )
    with pytest.raises(MigrationFailed, match=r"0015_reserved_names\.sql.*canary-3-w"):
        await migrate(empty_dsn)
    async with open_pool(empty_dsn) as pool, transaction(pool) as connection:
        await connection.execute("delete from tocsin.device")
    assert "0015_reserved_names.sql" in await migrate(empty_dsn)
