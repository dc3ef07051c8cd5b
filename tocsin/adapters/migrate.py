"""Which tables does the record have, and how does it get the next ones?

Numbered files of SQL in ``migrations/``, each applied once, in a transaction of its own, by one migrator at a
time. An applied file is never edited: its checksum is kept, and a file that differs is refused by name. Numbers
above ours belong to a newer version that runs beside this one, and are left alone.

A migration that cannot have a lock gives way to the traffic and tries again; times are seconds of the wall.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

import psycopg
import structlog
from psycopg import sql

from tocsin.adapters.postgres import Connection, translated, with_timeout
from tocsin.errors import RecordUnavailable, TocsinError

log = structlog.get_logger(__name__)

LOCK_TIMEOUT_S: Final = 5
LOCK_TRIES: Final = 5
LOCK_PAUSE_S: Final = 1.0  # between them: what waited behind our lock passes
MIGRATOR_WAIT_S: Final = 600  # for another migrator, who may be copying a history
MIGRATION_LOCK: Final = 0x746F6373696E  # "tocsin"

_NAME = re.compile(r"(\d{4})_\w+\.sql")
_TABLE: Final = """\
create schema if not exists tocsin;
create table if not exists tocsin.migration (
  number bigint primary key,
  name text not null,
  sha256 text not null,
  applied_at timestamptz not null default clock_timestamp()
);
"""
_NOTE: Final = "insert into tocsin.migration (number, name, sha256) values ({}, {}, {})"
_SCRIPT_HEAD: Final = f"""\
-- For psql, which ends with 3 at the first error: the file that it was in is rolled back, those before it stand.
-- A lock that is not had in {LOCK_TIMEOUT_S} s is such an error; print the script anew and run it again.
\\set ON_ERROR_STOP on
-- The tables belong to whoever runs this, and must belong to the role of TOCSIN_DATABASE_URL. If that is not you:
-- set role tocsin;
set client_min_messages = 'warning';
set lock_timeout = '{MIGRATOR_WAIT_S}s';
select pg_advisory_lock({MIGRATION_LOCK});
set lock_timeout = '{LOCK_TIMEOUT_S}s';
"""
_SCRIPT_END: Final = f"select pg_advisory_unlock({MIGRATION_LOCK});"


class MigrationRefused(TocsinError):
    """The tables were made by another version of this file; nothing was changed."""


class MigrationFailed(TocsinError):
    """PostgreSQL did not take this file; it was rolled back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One numbered file of SQL, as it is on disk."""

    number: int
    name: str
    sql: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql).hexdigest()

    @property
    def note(self) -> str:
        """The statement that remembers it as applied."""
        values = map(sql.Literal, (self.number, self.name, self.sha256))
        return sql.SQL(_NOTE).format(*values).as_string()


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a record has of our migrations."""

    pending: tuple[Migration, ...]
    changed: tuple[Migration, ...]  # applied, and not as the file is now
    untouched: bool = True  # no migrator was ever here

    @property
    def up_to_date(self) -> bool:
        return not self.pending and not self.changed


def migrations(folder: Traversable | None = None) -> list[Migration]:
    """The migrations of ``folder`` (ours by default) in order; raises MigrationRefused when two share a number."""
    folder = folder or resources.files(__package__).joinpath("migrations")
    found = [
        Migration(number=int(match[1]), name=file.name, sql=file.read_bytes())
        for file in folder.iterdir()
        if (match := _NAME.fullmatch(file.name))
    ]
    if len({each.number for each in found}) != len(found):
        raise MigrationRefused("two files have the same number")
    return sorted(found, key=lambda each: each.number)


def script(pending: Sequence[Migration]) -> str:
    """What ``migrate`` would do, for ``psql``: each file with its note in one transaction, up to an error."""
    parts = [f"begin;\n{each.sql.decode()}\n{each.note};\ncommit;\n" for each in pending]
    return "\n".join([_SCRIPT_HEAD, _TABLE, *parts, _SCRIPT_END]) if parts else ""


async def inspect(dsn: str, folder: Traversable | None = None) -> State:
    """What is missing and what has changed; changes nothing. Raises RecordUnavailable."""
    async with _connected(dsn) as connection:
        return await _state(connection, migrations(folder))


async def migrate(dsn: str, folder: Traversable | None = None) -> list[str]:
    """Bring the tables up to date; returns the names of the files applied now.

    Raises MigrationRefused (a changed file), MigrationFailed (a wrong one), RecordUnavailable.
    """
    wanted = migrations(folder)
    async with _connected(dsn) as connection:
        await connection.execute(f"set lock_timeout = '{MIGRATOR_WAIT_S}s'")
        await connection.execute("select pg_advisory_lock(%s)", [MIGRATION_LOCK])
        await connection.execute(f"set lock_timeout = '{LOCK_TIMEOUT_S}s'")
        await connection.execute("set client_min_messages = 'warning'")
        state = await _state(connection, wanted)
        if state.changed:
            raise MigrationRefused(f"applied, and changed since: {_names(state.changed)}")
        for each in state.pending:
            await _apply(connection, each)
    return [each.name for each in state.pending]


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[Connection]:
    with translated():
        async with await psycopg.AsyncConnection.connect(with_timeout(dsn), autocommit=True) as connection:
            yield connection


async def _state(connection: Connection, wanted: Sequence[Migration]) -> State:
    cursor = await connection.execute("select to_regclass('tocsin.migration') is not null")
    applied: dict[int, str] = {}
    if touched := await cursor.fetchone() == (True,):
        cursor = await connection.execute("select number, sha256 from tocsin.migration")
        applied = dict(await cursor.fetchall())
    return State(
        pending=tuple(each for each in wanted if each.number not in applied),
        changed=tuple(each for each in wanted if applied.get(each.number, each.sha256) != each.sha256),
        untouched=not touched,
    )


async def _apply(connection: Connection, migration: Migration) -> None:
    """Once, or after some tries. Raises RecordUnavailable when the lock is never to be had."""
    for _ in range(LOCK_TRIES):
        try:
            async with connection.transaction():
                await connection.execute(_TABLE)
                await connection.execute(migration.sql)
                await connection.execute(migration.note)
        except psycopg.errors.LockNotAvailable:
            log.warning("migration waits for a lock", file=migration.name)
            await asyncio.sleep(LOCK_PAUSE_S)
        except psycopg.OperationalError:  # the server, not the file
            raise
        except psycopg.Error as error:
            raise MigrationFailed(f"{migration.name}: {error.diag.message_primary or error}") from error
        else:
            log.info("migrated", file=migration.name)
            return
    raise RecordUnavailable(f"{migration.name}: no lock in {LOCK_TRIES} tries of {LOCK_TIMEOUT_S} s")


def _names(some: Sequence[Migration]) -> str:
    return ", ".join(each.name for each in some)
