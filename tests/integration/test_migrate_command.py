"""``tocsin migrate``: does it say the truth by its exit status, and does it look without touching?"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tocsin.adapters.migrate import migrate as run_migrations
from tocsin.adapters.migrate import migrations
from tocsin.embedded.places import find_bindir

pytest_plugins = ("database",)

Migrate = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def migrate(tmp_path: Path) -> Migrate:
    def run(*words: str, url: str | None) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
        environment["TOCSIN_DATA_DIR"] = str(tmp_path / "data")
        if url is not None:
            environment["TOCSIN_DATABASE_URL"] = url
        command = [str(Path(sys.executable).with_name("tocsin")), "migrate", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)

    return run


def ask(dsn: str, query: str) -> list[tuple]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


def test_look_change_look(migrate: Migrate, empty_dsn: str) -> None:
    before = migrate("--check", url=empty_dsn)
    assert before.returncode == 1
    assert "pending: 0001_record.sql" in before.stderr
    assert "pending: 0002_storage.sql" in before.stderr
    assert ask(empty_dsn, "select to_regnamespace('tocsin')") == [(None,)], "it only looked"
    done = migrate(url=empty_dsn)
    assert done.returncode == 0
    assert "fixes are kept in partitions" in done.stderr
    assert ask(empty_dsn, "select kept_days > 8 * 365, compact_after_days from tocsin.storage") == [(True, 2)]
    assert migrate("--check", url=empty_dsn).returncode == 0
    assert migrate("--sql", url=empty_dsn).stdout.strip() == ""


def test_how_long_fixes_are_kept_is_not_changed_by_a_shell(migrate: Migrate, empty_dsn: str) -> None:
    """The shell of an administrator need not have the archivist's settings: a default there would change them."""
    assert migrate(url=empty_dsn).returncode == 0
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        connection.execute("select tocsin.history_configure(5000, 7, true)")
    again = migrate(url=empty_dsn)
    assert again.returncode == 0
    assert ask(empty_dsn, "select kept_days, compact_after_days from tocsin.storage") == [(5000, 7)]
    assert "5000 days" in again.stderr
    assert "2934" in again.stderr


def test_the_bench_fills_an_empty_database_only(empty_dsn: str, tmp_path: Path) -> None:
    """It looks before it migrates. The address by the variable: a password is not for the command line."""
    environment = {**os.environ, "TOCSIN_DATABASE_URL": empty_dsn}
    words = ["bench", "storage", "--devices", "2", "--hours", "1", "--data-dir", str(tmp_path)]
    command = [str(Path(sys.executable).with_name("tocsin")), *words]

    def bench() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)

    assert bench().returncode == 0
    assert ask(empty_dsn, "select count(*) from tocsin.fixes") == [(120,)]
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        connection.execute("drop schema tocsin cascade")
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / migrations()[0].name).write_bytes(migrations()[0].sql)
    asyncio.run(run_migrations(empty_dsn, tmp_path / "first"))
    refused = bench()
    assert refused.returncode == 2
    assert "one without any" in refused.stderr
    assert ask(empty_dsn, "select name from tocsin.migration") == [("0001_record.sql",)]


def test_the_sql_can_be_run_by_somebody_else(migrate: Migrate, empty_dsn: str) -> None:
    printed = migrate("--sql", url=empty_dsn)
    assert printed.returncode == 0
    psql = [str(find_bindir() / "psql"), "-qX", empty_dsn]
    subprocess.run(psql, input=printed.stdout, text=True, timeout=60, check=True)
    assert migrate("--check", url=empty_dsn).returncode == 0


def test_a_changed_file_is_refused_by_name(migrate: Migrate, empty_dsn: str) -> None:
    assert migrate(url=empty_dsn).returncode == 0
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        connection.execute("update tocsin.migration set sha256 = 'other' where number = 1")
    for words in ([], ["--check"], ["--sql"]):
        refused = migrate(*words, url=empty_dsn)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "0001_record.sql" in refused.stderr


def test_misuse_and_a_database_that_is_not_there(migrate: Migrate) -> None:
    secret = "host=/nonexistent dbname=x password=hunter2"
    for words, url in (
        (["--check", "--sql"], None),
        (["--check"], secret),
        ([], secret),
        ([], f"nonsense {secret}"),
    ):
        ended = migrate(*words, url=url)
        assert ended.returncode == 2
        assert "hunter2" not in ended.stderr
        assert "Traceback" not in ended.stderr


def test_the_data_folders_own_database(migrate: Migrate, tmp_path: Path) -> None:
    """Without an address: the embedded server of the data folder, which is not made only to be looked at."""
    assert migrate("--check", url=None).returncode == 1
    assert not (tmp_path / "data" / "database").exists()
    assert migrate(url=None).returncode == 0
    assert migrate("--check", url=None).returncode == 0
