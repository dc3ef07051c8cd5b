"""How is the history of fixes kept in order: its days made, counted by the hour, turned into columns, dropped?

The verbs have the same names whether ``tocsin.fixes`` is a hypertable or daily partitions; which it is was
decided by migration 0002 and can be read (``Storage``), and nothing here asks. Each verb is one transaction, does
a bounded part of the work and returns how much that was. No hour is read here: each is handed in, in
milliseconds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import psycopg

from tocsin.adapters.postgres import Connection, Pool, Row, load_queries, translated, with_timeout
from tocsin.clock import utc
from tocsin.errors import TocsinError

SQL = load_queries("history.sql")
TURN_LOCK: Final = 0x686F757365  # "house"


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """What was decided at migration time and configured since. None: not configured yet, so nothing is deleted."""

    kind: str
    columnstore: bool
    version: str
    reason: str
    kept_days: int | None
    compact_after_days: int | None
    own_jobs: bool


class ChoreFailed(TocsinError):
    """The record did not do this to the history:"""


class History:
    """The verbs, on one connection in autocommit. Each raises RecordUnavailable, ChoreFailed."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def configure(self, *, kept_days: int, compact_after_days: int, own_jobs: bool) -> bool:
        """Keep these in the record; ``own_jobs``: TimescaleDB may act by real time too. True: it is new."""
        return bool(await self._ask("configure", kept_days, compact_after_days, own_jobs))

    async def ensure(self, first_ms: int, last_ms: int) -> int:
        """Make the days from one moment to the other; returns how many were missing."""
        return await self._ask("ensure", utc(first_ms).date(), utc(last_ms).date())

    async def catch_up(self, hours_max: int) -> int:
        """Roll up the oldest hours that got fixes since they were rolled up last."""
        return await self._ask("catch_up", hours_max)

    async def rollup(self, from_ms: int, to_ms: int) -> int:
        """Roll up these hours, whole; returns how many rows are new or different."""
        return await self._ask("rollup", utc(from_ms), utc(to_ms))

    async def compact(self, until_ms: int, days_max: int) -> int:
        """Turn days that ended by then into columns, oldest first; 0 where there is no columnstore."""
        return await self._ask("compact", utc(until_ms), days_max)

    async def retain_beside(self, until_ms: int, days_max: int) -> int:
        """Delete what is beside the fixes of such days; returns how many rows. Locks nobody out."""
        return await self._ask("retain_beside", utc(until_ms), days_max)

    async def retain(self, until_ms: int, days_max: int) -> int:
        """Drop days that ended by then, oldest first; none before ``configure``.

        Raises ChoreFailed when the fleet's newest position says that they are not over: the clock is wrong.
        """
        return await self._ask("retain", utc(until_ms), days_max)

    async def bytes(self) -> int:
        """What the fixes take on disk, with their index; not what is beside them."""
        return await self._ask("bytes")

    async def storage(self) -> Storage:
        return Storage(**dict(zip(Storage.__slots__, await self._row("storage"), strict=True)))

    async def _ask(self, verb: str, *values: object) -> int:
        return int((await self._row(verb, *values))[0])

    async def _row(self, verb: str, *values: object) -> Row:
        try:
            with translated():
                row: Row | None = await (await self._connection.execute(SQL[verb], values)).fetchone()
        except (
            psycopg.Error
        ) as error:  # a right that is missing, an extension that changed; without the row's values
            raise ChoreFailed(f"{verb}: {error.diag.message_primary}") from None
        assert row is not None
        return row


@asynccontextmanager
async def open_history(dsn: str) -> AsyncIterator[History]:
    """The verbs on a connection of their own, without a bound of time: for commands that a person waits for."""
    with translated():
        async with await psycopg.AsyncConnection.connect(with_timeout(dsn), autocommit=True) as connection:
            await connection.execute("set timezone = 'UTC'")
            yield History(connection)


@asynccontextmanager
async def my_turn(pool: Pool) -> AsyncIterator[History | None]:
    """The verbs for one process at a time; None while it is another one's turn. Raises RecordUnavailable."""
    with translated():
        async with pool.connection() as connection:
            await connection.set_autocommit(True)
            try:
                cursor = await connection.execute(SQL["take_turn"], [TURN_LOCK])
                mine = await cursor.fetchone() == (True,)
                yield History(connection) if mine else None
            finally:  # a connection that is gone took its lock with it
                if not connection.closed:
                    await connection.execute(SQL["end_turns"])
                    await connection.set_autocommit(False)
