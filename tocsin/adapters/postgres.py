"""How is the record (PostgreSQL) reached?

A pool whose connections were seen alive, errors that say whether trying again can help, and named SQL from the
files beside the adapters. Nothing waits longer than a lease of the log unless it asks to, so that a worker whose
database hangs still owns the messages in its hands.

Times are seconds. Every session is in UTC.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from typing import Any, Final, Generic, TypeVar

import psycopg
import structlog
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from tocsin.clock import MS
from tocsin.errors import RecordHeld, RecordUnavailable, SettingError, TocsinError
from tocsin.limits import LEASE_S
from tocsin.model.canary import CANARYS_IN_SQL

logger = structlog.get_logger(__name__)

Connection = psycopg.AsyncConnection[Any]
Pool = AsyncConnectionPool[Connection]
Row = tuple[Any, ...]
T = TypeVar("T")

STATEMENT_TIMEOUT_S = 2.5  # a worker whose statement hangs hears of it while its lease still runs
POOL_TIMEOUT_S = 2.0
RECONNECT_S = 1.0  # psycopg's own back-off doubles without end: an hour's outage would be followed by another
CONNECT_TIMEOUT_S = 2
POOL_MAX = 8

RECORDER: Final = "tocsin_recorder"
"""Who only adds to the record (migration 0012)."""
CUSTODIAN: Final = "tocsin_custodian"
"""Who erases from it, and nobody else."""

assert max(STATEMENT_TIMEOUT_S, POOL_TIMEOUT_S) < LEASE_S

_SESSION = """
select set_config('TimeZone', 'UTC', false), set_config('statement_timeout', %s, false),
       set_config('client_min_messages', 'warning', false), set_config('search_path', 'pg_catalog, pg_temp', false)
"""
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


class RecordRefused(TocsinError):
    """The record cannot hold this value."""


class BadCursor(TocsinError):
    """This cursor was not given out by this list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """Some of a list; ``next`` is the cursor of what follows, None at the end."""

    items: tuple[T, ...]
    next: str | None


@contextmanager
def translated() -> Iterator[None]:
    """What PostgreSQL raises, in our words: RecordUnavailable may pass, RecordRefused will not. RecordHeld is
    of one statement (its time was over, a lock was another's), while others may well be answered.

    Anything else (a missing table, a right not granted) is a deployment that must be mended, and stays as it is.
    """
    try:
        yield
    except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable) as error:
        raise RecordHeld(str(error)) from error
    except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout) as error:
        raise RecordUnavailable(str(error)) from error
    except psycopg.errors.ReadOnlySqlTransaction as error:  # a standby, or a primary that was fenced
        raise RecordUnavailable(str(error)) from error
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        raise RecordRefused(str(error)) from error


@asynccontextmanager
async def open_pool(
    dsn: str,
    *,
    max_size: int = POOL_MAX,
    statement_timeout_s: float = STATEMENT_TIMEOUT_S,
    role: str | None = None,
) -> AsyncIterator[Pool]:
    """A pool of connections. Returns at once: a record that is down is an error of its users, not of the start.

    ``role``: what every session may do is what this role may. Where it cannot be had the sessions keep the rights
    of their login, and that is said once: alerts are recorded also where nobody made the roles.
    """
    told = False

    async def configure(connection: Connection) -> None:
        nonlocal told
        await connection.execute(_SESSION, [f"{int(statement_timeout_s * 1000)}ms"])
        reason = None if role is None else await _take_role(connection, role)
        await connection.commit()
        if reason is not None and not told:
            told = True
            logger.error("the record is open to more than its role", role=role, reason=reason)

    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)  # each failure is ours to report, and once
    pool: Pool = AsyncConnectionPool(
        with_timeout(dsn),
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


async def _take_role(connection: Connection, role: str) -> str | None:
    """Why the session is not this role now; None: it is."""
    try:
        async with connection.transaction():
            await connection.execute(sql.SQL("set role {}").format(sql.Identifier(role)))
    except (psycopg.errors.InvalidParameterValue, psycopg.errors.InsufficientPrivilege) as error:
        return error.diag.message_primary or type(error).__name__
    return None


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """One transaction, committed on a normal exit. Raises RecordUnavailable, RecordRefused."""
    with translated():
        async with pool.connection() as connection, connection.transaction():
            yield connection


def with_timeout(dsn: str) -> str:
    """The DSN with a bound for the connection, unless it has one. Raises SettingError when it is none."""
    try:
        known = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:  # its text would quote the password
        raise SettingError("TOCSIN_DATABASE_URL: not the address of a PostgreSQL database") from None
    if "connect_timeout" in known:
        return dsn
    return make_conninfo(dsn, connect_timeout=CONNECT_TIMEOUT_S)


def ms_of(moment: datetime) -> int:
    """The inverse of ``tocsin.clock.utc``."""
    return round(moment.timestamp() * MS)


def load_queries(file: str) -> Mapping[str, bytes]:
    """The statements of a .sql file beside this module, by the name in the ``-- name:`` line above each.
    ``{canarys}`` in one is the rule of ``tocsin.model.canary``, of a row of alerts."""
    text = resources.files(__package__).joinpath(file).read_text(encoding="utf-8")
    text = text.replace("{canarys}", CANARYS_IN_SQL)
    _, *parts = _NAME.split(text)
    return {name: body.strip().encode() for name, body in zip(parts[::2], parts[1::2], strict=True)}


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
