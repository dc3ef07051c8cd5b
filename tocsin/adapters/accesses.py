"""Who has read this alert, or this measure?

The record of accesses, written from the log by ``alerts.recorder``, and by ``tocsin evidence export`` itself. Only
ever added to: the table refuses anything else. A message may come twice; its id makes it one row. Each is linked
into the chain of its day, in the same transaction. Times are milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from tocsin.adapters.postgres import Pool, Row, load_queries, ms_of, transaction
from tocsin.adapters.seals import seal_within
from tocsin.clock import AffineClock, Clock, utc
from tocsin.model.access import Access
from tocsin.sealing import of_access

SQL = load_queries("accesses.sql")

OFF_THE_LOG: Final = 0
"""The place of an access that did not come by the log, whose places begin at 1: a command wrote it."""

LIST_MAX = 10_000  # of one alert: far above what a day of every console of a site makes


class RecordedAccess(msgspec.Struct, frozen=True, kw_only=True):
    """An access and its place on the log, or OFF_THE_LOG."""

    sequence: int
    access: Access


class AccessRecord:
    """The table of accesses. Raises RecordUnavailable from every method. ``clock``: the hour of linking."""

    def __init__(self, pool: Pool, *, clock: Clock | None = None) -> None:
        self._pool = pool
        self._clock = clock or AffineClock()

    async def record_accesses(self, accesses: Sequence[RecordedAccess]) -> int:
        """All or none; returns how many were new. Raises RecordRefused for a value the record cannot hold."""
        rows = [_row(each) for each in sorted(accesses, key=lambda each: each.access.id)]  # locked in one order
        async with transaction(self._pool) as connection, connection.cursor() as cursor:
            await cursor.executemany(SQL["keep_access"], rows)
            new = cursor.rowcount
            items = [of_access(each.access) for each in accesses]
            await seal_within(connection, items, at_ms=self._clock.now_ms())
        return new

    async def accesses_to(self, object_id: str) -> tuple[RecordedAccess, ...]:
        """The first LIST_MAX, oldest first."""
        async with transaction(self._pool) as connection:
            cursor = await connection.execute(SQL["accesses_to"], [object_id, LIST_MAX])
            return tuple(read_access(row) for row in await cursor.fetchall())


def _row(each: RecordedAccess) -> tuple[Any, ...]:
    one = each.access
    said = (one.who, one.service, one.role, one.what, list(one.objects), one.purpose, one.places)
    return (one.id, each.sequence, utc(one.at_ms), *said)


def read_access(row: Row) -> RecordedAccess:
    sequence, name, at, who, service, role, what, objects, purpose, places = row
    return RecordedAccess(
        sequence=sequence,
        access=Access(
            id=name, at_ms=ms_of(at), who=who, service=service, role=role, what=what, objects=tuple(objects),
            purpose=purpose, places=places,
        ),
    )  # fmt: skip
