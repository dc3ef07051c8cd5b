"""Is every access in the record once, in its order, and never changed again, whatever the record went through?
DOMAIN section 5, invariant 17; ARCHITECTURE A7."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import psycopg
import pytest
from builders import eventually

from alerts.recorder import run_recorder
from tocsin import subjects, wire
from tocsin.adapters.accesses import AccessRecord, RecordedAccess
from tocsin.adapters.commands import CommandRecord
from tocsin.adapters.episodes import EpisodeRecord
from tocsin.adapters.postgres import Pool
from tocsin.errors import RecordUnavailable
from tocsin.model.access import Access
from tocsin.subjects import ACCESSES
from tocsin.testing.bus import MemoryLog

pytest_plugins = ("database",)

NOON_MS = 1_795_262_400_000
F01 = 2**31


def access(number: int, **changes: object) -> Access:
    whole = {
        "id": f"acc_{number:06}", "at_ms": NOON_MS + number, "who": "Zoé", "role": "platform", "service": "Alma",
        "what": "alert", "objects": ("alr_1",), "purpose": "alert:alr_1",
    }  # fmt: skip
    return Access(**{**whole, **changes})


def placed(numbers: Sequence[int], first: int = 1) -> list[RecordedAccess]:
    return [RecordedAccess(sequence=first + index, access=access(one)) for index, one in enumerate(numbers)]


async def test_what_was_read_is_read_back_once_whatever_the_order(pool: Pool) -> None:
    record, rows = AccessRecord(pool), placed(range(5), first=F01)
    rows[2] = RecordedAccess(sequence=F01 + 2, access=access(2, objects=(), service="", purpose="", places=True))
    rows[3] = RecordedAccess(sequence=F01 + 3, access=access(3, objects=("alr_2", "alr_1"), what="alerts"))
    assert await record.record_accesses([*rows[::-1], rows[0]]) == 5
    assert await record.record_accesses(rows) == 0
    assert await record.accesses_to("alr_1") == (rows[0], rows[1], rows[3], rows[4])
    assert await record.accesses_to("alr_2") == (rows[3],)
    assert await record.accesses_to("alr_9") == ()


async def test_recorders_of_the_same_accesses_do_not_block_each_other(pool: Pool) -> None:
    record, rows = AccessRecord(pool), placed(range(200))
    new = await asyncio.gather(*(record.record_accesses(part) for part in (rows, rows[::-1], rows)))
    assert sum(new) == 200


class Stuttering:
    """The record, out of reach at every other call, and once behind the commit: what was kept comes again."""

    def __init__(self, record: AccessRecord) -> None:
        self._record = record
        self.calls = 0

    async def record_accesses(self, accesses: Sequence[RecordedAccess]) -> int:
        self.calls += 1
        if self.calls % 2:
            raise RecordUnavailable("away")
        new = await self._record.record_accesses(accesses)
        if self.calls == 4:
            raise RecordUnavailable("the answer was lost")
        return new


async def test_a_backlog_drains_once_and_in_order_through_outages_and_what_nobody_can_read(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tocsin.settling.BACKOFF_S", 0.001)
    log, record, count = MemoryLog(), AccessRecord(pool), 2_000
    for number in range(count):
        await log.append(subjects.access("alert"), wire.encode(access(number)))
        if number == 700:
            await log.append(subjects.access("alert"), b"\x07from another version")
            await log.append(subjects.access("alert"), wire.encode(access(9_999, who="nul \0")))
    recorder = asyncio.create_task(
        run_recorder(
            log=log,
            record=EpisodeRecord(pool),
            accesses=Stuttering(record),
            commands=CommandRecord(pool),
            ready=lambda: None,
        )
    )
    async with log.queue(ACCESSES, "recorder-accesses", parallel=1) as queue:
        await eventually(lambda: not queue.unsettled, within_s=60)
    recorder.cancel()
    kept = await record.accesses_to("alr_1")
    assert [each.access for each in kept] == [access(number) for number in range(count)]
    assert [each.sequence for each in kept] == sorted(each.sequence for each in kept)


async def test_the_table_says_who_looked_at_whom(dsn: str, pool: Pool) -> None:
    """By hand, as an auditor asks today."""
    await AccessRecord(pool).record_accesses(placed([1, 2]))
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        found = await connection.execute(
            "select who, service, purpose from tocsin.access where 'alr_1' = any(objects) order by at"
        )
        assert await found.fetchall() == [("Zoé", "Alma", "alert:alr_1")] * 2
