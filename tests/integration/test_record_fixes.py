"""Does the archive keep every fix once, whatever the order, the day, the number of archivists and the outages?"""

from __future__ import annotations

import asyncio
from pathlib import Path

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from builders import NOW_MS, known, message, topic
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.admission import Presence, admit
from ingest.archivist import run_archivist
from tocsin import wire
from tocsin.adapters.fixes import EARLIEST_MS, INT4_MAX, LATEST_MS, Archived, FixArchive, plausible
from tocsin.adapters.migrate import migrate
from tocsin.adapters.postgres import Pool, ms_of, open_pool, transaction
from tocsin.embedded import EmbeddedPostgres
from tocsin.model.fix import ABSENT, FIX_DTYPE, Fixes
from tocsin.subjects import FIXES, LATE, late
from tocsin.subjects import fixes as fixes_subject
from tocsin.testing.bus import MemoryLog

pytest_plugins = ("database",)

NOON_MS = 1_795_262_400_000  # 2026-11-21T12:00:00Z
DAY_MS = 86_400_000
F01 = 2**31


def batch(*, devices: int = 1, count: int = 1, at_ms: int = NOON_MS, first: int = 1, **columns: int) -> Fixes:
    """``count`` fixes of each of ``devices``, a second apart, received half a second later."""
    fixes = np.zeros(devices * count, FIX_DTYPE)
    fixes["device"] = np.repeat(np.arange(first, first + devices), count)
    fixes["fix_ms"] = at_ms + 1000 * np.tile(np.arange(count), devices)
    fixes["t3_ms"] = fixes["fix_ms"] + 500
    fixes["lat_e6"], fixes["lon_e6"], fixes["primary"] = 48_856_600, 2_352_200, 1
    for name, value in columns.items():
        fixes[name] = value
    return fixes


async def rows(pool: Pool, query: str) -> list[tuple]:
    async with transaction(pool) as connection:
        return await (await connection.execute(query)).fetchall()


async def count(pool: Pool) -> int:
    return (await rows(pool, "select count(*) from tocsin.fixes"))[0][0]


async def test_a_repeated_batch_changes_nothing(pool: Pool) -> None:
    archive, fixes = FixArchive(pool), batch(devices=20, count=10)
    first, second = await archive.archive(fixes), await archive.archive(fixes)
    assert (first.rows_inserted, first.duplicates) == (200, 0)
    assert (second.rows_inserted, second.duplicates) == (0, 200)
    twice = await archive.archive(np.concatenate([batch(at_ms=NOON_MS + DAY_MS // 4)] * 2))
    assert (twice.rows_inserted, twice.duplicates) == (1, 1)


async def test_only_primary_copies_are_kept(pool: Pool) -> None:
    fixes = batch(devices=3)
    fixes["primary"][1] = 0
    assert (await FixArchive(pool).archive(fixes)).rows_inserted == 2
    assert (await FixArchive(pool).archive(fixes[1:2])).rows_inserted == 0


async def test_a_unit_that_was_heard_without_a_place_is_not_in_the_history(pool: Pool) -> None:
    """Nor on the map: its row has the coordinates of the Gulf of Guinea."""
    (heard,) = admit(message(b"{}", topic(leaf="state")), known(), NOW_MS)
    assert isinstance(heard, Presence)
    fixes = np.array([row for _, row in heard.copies], FIX_DTYPE)
    assert await FixArchive(pool).archive(fixes) == Archived(rows_inserted=0, astray=0, duplicates=0)
    assert await rows(pool, "select 1 from tocsin.fixes") == []
    assert await rows(pool, "select 1 from tocsin.last_position") == []


async def test_what_a_device_did_not_say_is_null(pool: Pool) -> None:
    absent = batch(accuracy_dm=ABSENT, speed_cms=ABSENT, course_ddeg=ABSENT, battery_pct=ABSENT, seq=ABSENT)
    said = batch(accuracy_dm=0, speed_cms=0, course_ddeg=0, battery_pct=0, seq=0, at_ms=NOON_MS + 1)
    await FixArchive(pool).archive(np.concatenate([absent, said]))
    query = "select accuracy_dm, speed_cms, course_ddeg, battery_pct, seq from tocsin.fixes order by measured_at"
    assert await rows(pool, query) == [(None,) * 5, (0,) * 5]


async def test_a_batch_over_midnight_and_a_late_day_each_find_their_partition(pool: Pool) -> None:
    archive = FixArchive(pool)
    await archive.archive(batch(count=10, at_ms=NOON_MS + DAY_MS // 2 - 5000))
    week_ago = batch(count=3, at_ms=NOON_MS - 7 * DAY_MS)
    week_ago["t3_ms"] = NOON_MS
    await archive.archive(week_ago)
    by_day = "select tableoid::regclass::text, count(*) from tocsin.fixes group by 1 order by 1"
    assert await rows(pool, by_day) == [
        ("tocsin.fixes_20261114", 3), ("tocsin.fixes_20261121", 5), ("tocsin.fixes_20261122", 5),
    ]  # fmt: skip


async def test_the_last_position_only_moves_forward(pool: Pool) -> None:
    archive = FixArchive(pool)
    for offset_ms in (1000, 0, 3000, 2000):
        await archive.archive(batch(at_ms=NOON_MS + offset_ms, battery_pct=offset_ms // 1000))
    last = (await archive.last_positions([1, 99]))[1]
    assert (last.measured_ms, last.received_ms, last.battery_pct) == (NOON_MS + 3000, NOON_MS + 3500, 3)


async def test_a_track_is_half_open_and_bounded(pool: Pool) -> None:
    archive = FixArchive(pool)
    await archive.archive(batch(devices=2, count=10))
    track = await archive.read_track(1, NOON_MS + 2000, NOON_MS + 5000, 100)
    assert [point.measured_ms - NOON_MS for point in track] == [2000, 3000, 4000]
    assert len(await archive.read_track(1, NOON_MS, NOON_MS + DAY_MS, 4)) == 4


async def test_concurrent_archivists_of_the_same_fixes_keep_each_once(pool: Pool) -> None:
    """Each has its own memory of days, all race for the partitions, in different orders."""
    parts = [batch(devices=30, count=5, at_ms=NOON_MS - day * DAY_MS) for day in range(4)]
    orders = [parts, parts[::-1], parts[2:] + parts[:2], parts]

    async def work(archive: FixArchive, order: list[Fixes]) -> int:
        return sum([(await archive.archive(part[::-1])).rows_inserted for part in order])

    inserted = await asyncio.gather(*(work(FixArchive(pool), order) for order in orders))
    assert sum(inserted) == await count(pool) == 4 * 150


async def test_numbers_above_32_bits(pool: Pool) -> None:
    fixes = batch(devices=20, first=F01 - 10)
    fixes["boot"] = fixes["seq"] = fixes["device"] + 2**40
    archive = FixArchive(pool)
    await archive.archive(fixes)
    assert len(await archive.read_track(F01 + 9, NOON_MS, NOON_MS + 1, 10)) == 1
    assert sorted(await archive.last_positions(fixes["device"].tolist())) == list(range(F01 - 10, F01 + 10))
    assert await rows(pool, "select max(boot), max(seq) from tocsin.fixes") == [(F01 + 9 + 2**40,) * 2]


EXTREMES = hnp.arrays(np.uint8, FIX_DTYPE.itemsize).map(lambda raw: raw.view(FIX_DTYPE).copy())


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    fixes=EXTREMES,
    edge=st.sampled_from([-(2**63), -1, 0, 2**31, 2**63 - 1, NOON_MS - 30 * DAY_MS, NOON_MS + 300_000]),
    when=st.sampled_from(["fix_ms", "t3_ms"]),
)
def test_every_column_survives_the_way_to_the_table_and_back(dsn: str, fixes: Fixes, edge: int, when: str) -> None:
    fixes["primary"] = 1
    fixes["t3_ms"] = NOON_MS
    fixes[when] = edge

    async def there_and_back() -> tuple:
        async with open_pool(dsn, max_size=1) as pool:
            async with transaction(pool) as connection:
                await connection.execute("truncate tocsin.fixes, tocsin.fixes_astray")
            await FixArchive(pool).archive(fixes)
            return (await rows(pool, query))[0]

    fix, sound = fixes[0], bool(plausible(fixes)[0])
    query = "select * from tocsin.fixes" if sound else "select * from tocsin.fixes_astray"
    got = asyncio.run(there_and_back())
    measured, received = (min(max(int(fix[name]), EARLIEST_MS), LATEST_MS) for name in ("fix_ms", "t3_ms"))
    assert ms_of(got[1]) == measured
    assert (got[2] if sound else ms_of(got[2])) == (min(received - measured, INT4_MAX) if sound else received)
    plain = [int(fix[name]) for name in ("device", "lat_e6", "lon_e6", "source", "flags", "boot")]
    assert [got[0], got[3], got[4], got[9], got[10], got[11]] == plain
    optional = [int(fix[name]) for name in ("accuracy_dm", "speed_cms", "course_ddeg", "battery_pct", "seq")]
    assert [*got[5:9], got[12]] == [None if value == ABSENT else value for value in optional]


# --- the archivist ------------------------------------------------------------------------------------------


async def settled(log: MemoryLog) -> None:
    """Until both queues are empty."""
    async with (
        log.queue(FIXES, "archivist-fixes", parallel=1) as live,
        log.queue(LATE, "archivist-late", parallel=1) as old,
    ):
        while live.unsettled or old.unsettled:  # a twin tells nobody
            await asyncio.sleep(0.01)


async def test_both_lanes_reach_the_archive_and_a_poisoned_batch_blocks_nobody(pool: Pool) -> None:
    log, ready = MemoryLog(), asyncio.Event()
    for number in range(30):
        await log.append(fixes_subject(number % 2), wire.encode_fixes(batch(devices=40, first=1 + 40 * number)))
    await log.append(fixes_subject(0), b"not a batch")
    await log.append(late(0), wire.encode_fixes(batch(devices=5, at_ms=NOON_MS - DAY_MS)))
    worker = asyncio.create_task(run_archivist(log=log, archive=FixArchive(pool), ready=ready.set))
    await ready.wait()
    await settled(log)
    worker.cancel()
    assert await count(pool) == 30 * 40 + 5


async def test_with_the_server_stopped_nothing_is_lost(own_home: Path) -> None:
    log, server = MemoryLog(), EmbeddedPostgres(home=own_home)
    dsn = await server.start()
    await migrate(dsn)
    async with open_pool(dsn) as pool:
        archive = FixArchive(pool)
        worker = asyncio.create_task(run_archivist(log=log, archive=archive, ready=lambda: None))
        await log.append(fixes_subject(0), wire.encode_fixes(batch(devices=100)))
        await settled(log)
        await server.stop()
        for number in range(1, 10):
            await log.append(fixes_subject(0), wire.encode_fixes(batch(devices=100, first=1 + 100 * number)))
        await asyncio.sleep(0.5)
        await server.start()
        await settled(log)
        assert await count(pool) == 1000
        worker.cancel()
        with pytest.raises(asyncio.CancelledError):
            await worker
    await server.stop()
