"""What of the log is not in the record? (ARCHITECTURE A7: the record catches up with the log, in order, once)

Whoever asks hands in what the log holds. Nothing is repaired here: what is missing is on the log still, and the
recorder's queue says whether it is only late. Times are milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tocsin.adapters.postgres import Pool, load_queries, ms_of, transaction
from tocsin.clock import utc
from tocsin.model.episode import Receipt

SQL = load_queries("reconcile.sql")

ASKED_AT_ONCE: Final = 5_000  # within the pool's statement timeout on any machine

Place = tuple[str, int]
"""An episode, and the sequence of one of its rulings on the log."""


async def missing_rulings(pool: Pool, known: Sequence[Place]) -> list[Place]:
    """Those of ``known`` that the record does not hold. Raises RecordUnavailable."""
    missing: list[Place] = []
    for start in range(0, len(known), ASKED_AT_ONCE):
        some = known[start : start + ASKED_AT_ONCE]
        values = {"episodes": [one for one, _ in some], "sequences": [sequence for _, sequence in some]}
        async with transaction(pool) as connection:
            missing += await (await connection.execute(SQL["missing_rulings"], values)).fetchall()
    return missing


async def system_alerts_kept_from_ms(pool: Pool) -> int:
    """Since when the record keeps what the system says of a canary for longer than a day (migration 0018), by the
    clock of the record's machine. Raises RecordUnavailable."""
    async with transaction(pool) as connection:
        row = await (await connection.execute(SQL["system_alerts_kept_from"])).fetchone()
    return 0 if row is None else ms_of(row[0])


async def missing_attempts(pool: Pool, known: Sequence[Receipt]) -> int:
    """How many of ``known`` the record does not hold. Raises RecordUnavailable."""
    missing = 0
    for start in range(0, len(known), ASKED_AT_ONCE):
        some = known[start : start + ASKED_AT_ONCE]
        values = {
            "notifications": [one.notification for one in some],
            "attempts": [one.attempt for one in some],
            "t7s": [utc(one.t7_ms) for one in some],
            "lines": [one.line for one in some],
        }
        async with transaction(pool) as connection:
            missing += len(await (await connection.execute(SQL["missing_attempts"], values)).fetchall())
    return missing
