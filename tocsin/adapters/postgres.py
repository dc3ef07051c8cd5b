"""How is the record (PostgreSQL) reached, and which tables does it have?

The only door of the product to psycopg: a pool whose connections were seen alive, errors that say whether trying
again can help, named SQL from the files beside the adapters, and the migrations. Nothing waits longer than a lease
of the log unless it asks to, so that a worker whose database hangs still owns the messages in its hands.

Times are seconds. Every session is in UTC.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, Generic, TypeVar

import psycopg
import structlog
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from tocsin.clock import MS
from tocsin.errors import RecordUnavailable, TocsinError
from tocsin.limits import LEASE_S

log = structlog.get_logger(__name__)

Connection = psycopg.AsyncConnection[Any]
Pool = AsyncConnectionPool[Connection]
Row = tuple[Any, ...]
T = TypeVar("T")

STATEMENT_TIMEOUT_S = 2.5  # a worker whose statement hangs hears of it while its lease still runs
POOL_TIMEOUT_S = 2.0
RECONNECT_S = 1.0  # psycopg's own back-off doubles without end: an hour's outage would be followed by another
CONNECT_TIMEOUT_S = 2
POOL_MAX = 8
LOCK_TIMEOUT_S = 5  # a migration that cannot have its lock gives way to the traffic
MIGRATION_LOCK = 0x746F6373696E  # "tocsin"

assert max(STATEMENT_TIMEOUT_S, POOL_TIMEOUT_S) < LEASE_S

_SESSION = """
select set_config('TimeZone', 'UTC', false), set_config('statement_timeout', %s, false),
       set_config('client_min_messages', 'warning', false), set_config('search_path', 'pg_catalog, pg_temp', false)
"""
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_MIGRATION_NAME = re.compile(r"(\d{4})_\w+\.sql")

_MIGRATIONS_TABLE = """
create schema if not exists tocsin;
create table if not exists tocsin.migration (
  number bigint primary key,
  name text not null,
  sha256 text not null,
  applied_at timestamptz not null default clock_timestamp()
);
"""


class RecordRefused(TocsinError):
    """The record cannot hold this value."""


class MigrationRefused(TocsinError):
    """The tables were made by another version of this file; nothing was changed."""


class BadCursor(TocsinError):
    """This cursor was not given out by this list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """Some of a list; ``next`` is the cursor of what follows, None at the end."""

    items: tuple[T, ...]
    next: str | None


@contextmanager
def translated() -> Iterator[None]:
    """What PostgreSQL raises, in our words: RecordUnavailable may pass, RecordRefused will not.

    Anything else (a missing table, a right not granted) is a deployment that must be mended, and stays as it is.
    """
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout) as error:
        raise RecordUnavailable(str(error)) from error
    except psycopg.errors.ReadOnlySqlTransaction as error:  # a standby, or a primary that was fenced
        raise RecordUnavailable(str(error)) from error
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        raise RecordRefused(str(error)) from error


@asynccontextmanager
async def open_pool(
    dsn: str, *, max_size: int = POOL_MAX, statement_timeout_s: float = STATEMENT_TIMEOUT_S
) -> AsyncIterator[Pool]:
    """A pool of connections. Returns at once: a record that is down is an error of its users, not of the start."""

    async def configure(connection: Connection) -> None:
        await connection.execute(_SESSION, [f"{int(statement_timeout_s * 1000)}ms"])
        await connection.commit()

    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)  # each failure is ours to report, and once
    pool: Pool = AsyncConnectionPool(
        _with_timeout(dsn),
        min_size=1,
        max_size=max_size,
        timeout=POOL_TIMEOUT_S,
        reconnect_timeout=RECONNECT_S,
        configure=configure,
        check=AsyncConnectionPool.check_connection,
        name="record",
        open=False,
    )
    await pool.open(wait=False)
    try:
        yield pool
    finally:
        await pool.close()


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """One transaction, committed on a normal exit. Raises RecordUnavailable, RecordRefused."""
    with translated():
        async with pool.connection() as connection, connection.transaction():
            yield connection


def _with_timeout(dsn: str) -> str:
    """The DSN with a bound for the connection, unless it has one."""
    if "connect_timeout" in conninfo_to_dict(dsn):
        return dsn
    return make_conninfo(dsn, connect_timeout=CONNECT_TIMEOUT_S)


def ms_of(moment: datetime) -> int:
    """The inverse of ``tocsin.clock.utc``."""
    return round(moment.timestamp() * MS)


def load_queries(file: str) -> Mapping[str, bytes]:
    """The statements of a .sql file beside this module, by the name in the ``-- name:`` line above each."""
    text = resources.files(__package__).joinpath(file).read_text(encoding="utf-8")
    _, *parts = _NAME.split(text)
    return {name: body.strip().encode() for name, body in zip(parts[::2], parts[1::2], strict=True)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One numbered file of SQL, as it is on disk."""

    number: int
    name: str
    sql: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql).hexdigest()


def migrations(folder: Traversable | None = None) -> list[Migration]:
    """The migrations of ``folder`` (ours by default) in order; raises MigrationRefused when two share a number."""
    folder = folder or resources.files(__package__).joinpath("migrations")
    found = [
        Migration(number=int(match[1]), name=file.name, sql=file.read_bytes())
        for file in folder.iterdir()
        if (match := _MIGRATION_NAME.fullmatch(file.name))
    ]
    if len({each.number for each in found}) != len(found):
        raise MigrationRefused("two files have the same number")
    return sorted(found, key=lambda each: each.number)


async def ensure_database(maintenance_dsn: str, name: str) -> None:
    """Create the database unless it exists. Raises RecordUnavailable."""
    with translated():
        async with await psycopg.AsyncConnection.connect(maintenance_dsn, autocommit=True) as connection:
            found = await connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
            if await found.fetchone() is None:
                await connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def socket_dsn(folder: str, user: str, database: str) -> str:
    """The address of a database behind a Unix socket."""
    return make_conninfo(host=folder, user=user, dbname=database)


async def migrate(dsn: str, folder: Traversable | None = None) -> list[str]:
    """Bring the tables up to date; returns the names of the files applied now.

    One transaction a file, one migrator at a time. Numbers above ours belong to a newer version that runs beside
    this one, and are left alone. Raises MigrationRefused when an applied file has changed since.
    """
    wanted = migrations(folder)
    with translated():
        async with await psycopg.AsyncConnection.connect(_with_timeout(dsn), autocommit=True) as connection:
            await connection.execute("select pg_advisory_lock(%s)", [MIGRATION_LOCK])
            await connection.execute(f"set lock_timeout = '{LOCK_TIMEOUT_S}s'")
            await connection.execute("set client_min_messages = 'warning'")
            await connection.execute(_MIGRATIONS_TABLE)
            pending = await _pending(connection, wanted)
            for each in pending:
                await _apply(connection, each)
    return [each.name for each in pending]


async def _pending(connection: Connection, wanted: list[Migration]) -> list[Migration]:
    cursor = await connection.execute("select number, sha256 from tocsin.migration")
    applied = dict(await cursor.fetchall())
    changed = [each.name for each in wanted if applied.get(each.number, each.sha256) != each.sha256]
    if changed:
        raise MigrationRefused(f"applied, and changed since: {', '.join(changed)}")
    return [each for each in wanted if each.number not in applied]


async def _apply(connection: Connection, migration: Migration) -> None:
    async with connection.transaction():
        await connection.execute(migration.sql)
        await connection.execute(
            "insert into tocsin.migration (number, name, sha256) values (%s, %s, %s)",
            [migration.number, migration.name, migration.sha256],
        )
    log.info("migrated", file=migration.name)
