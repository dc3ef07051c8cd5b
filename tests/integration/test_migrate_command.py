"""``tocsin migrate``: does it say the truth by its exit status, and does it look without touching?"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

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


def test_the_sql_can_be_run_by_somebody_else(migrate: Migrate, empty_dsn: str) -> None:
    printed = migrate("--sql", url=empty_dsn)
    assert printed.returncode == 0
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        connection.execute(printed.stdout.encode())
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
