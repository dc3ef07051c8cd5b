"""How near is the record to one of its bounds, and what time has it? For the auditor's warden (F01)."""

from __future__ import annotations

from collections.abc import Sequence

from tocsin.adapters.postgres import Pool, load_queries, ms_of, transaction
from tocsin.ports import Usage

SQL = load_queries("capacity.sql")


async def record_usages(pool: Pool) -> Sequence[Usage]:
    """Connections, and the fullest sequence against the narrower of its own end and its column's. Raises
    RecordUnavailable."""
    async with transaction(pool) as connection:
        found = []
        for resource, query in (("record.connections", "connections"), ("record.sequence", "fullest_sequence")):
            row = await (await connection.execute(SQL[query])).fetchone()
            if row is not None:
                found.append(Usage(resource=resource, used=float(row[0]), bound=float(row[1])))
        return found


async def record_hour_ms(pool: Pool) -> int:
    """Raises RecordUnavailable."""
    async with transaction(pool) as connection:
        row = await (await connection.execute(SQL["hour"])).fetchone()
        assert row is not None
        return ms_of(row[0])
