"""Is a stream that fills, a sequence near its end, a queue held back found on the real ones? F01, F02.

A broker of the test's own whose streams are small, a real PostgreSQL, the desk's own reading of the notices.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from builders import REALM, eventually
from builders import preadvised as handle

from audit.warden import STAGES
from audit.warding import Warding
from tocsin import subjects
from tocsin.adapters.capacity import record_hour_ms, record_usages
from tocsin.adapters.jetstream import Bus, open_bus
from tocsin.adapters.postgres import Pool, transaction
from tocsin.clock import AffineClock
from tocsin.embedded import EmbeddedBroker
from tocsin.model.episode import NoticeCause
from tocsin.model.finding import Code
from tocsin.model.notice import Notice
from tocsin.present import upto_present
from tocsin.subjects import LATE, NOTICES, STREAMS
from tocsin.wire import decode_notice, encode

pytest_plugins = ("database",)

SMALL_B = 1_000_000


@pytest.fixture
async def small_bus(broker_home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bus]:
    """LATE holds a megabyte."""
    streams = tuple(replace(one, max_bytes=SMALL_B) if one is LATE else one for one in STREAMS)
    monkeypatch.setattr("tocsin.adapters.jetstream.STREAMS", streams)
    server = EmbeddedBroker(home=broker_home, service_password="small")
    try:
        addresses = await server.start()
        async with open_bus(addresses.nats_url, "small") as opened:
            yield opened
    finally:
        await server.stop()


def warding(bus: Bus, folder: Path, pool: Pool | None = None) -> Warding:
    return Warding(
        log=bus.log, tallies=bus.tallies, pool=pool, clock=AffineClock(), folder=folder, stages=STAGES[:1]
    )


async def said(bus: Bus) -> list[Notice]:
    """All that stands there: what one reader is brought comes in one batch or in several."""
    batches = upto_present(bus.log.read(NOTICES, NOTICES.subjects))
    return [decode_notice(one.payload) async for entries in batches for one in entries]


async def of_late(bus: Bus) -> list[tuple[str, str]]:
    return [(one.subject, one.change.value) for one in await said(bus) if one.subject.startswith("LATE_bytes")]


async def fill(bus: Bus, share: float) -> None:
    used = {one.resource: one.used for one in await bus.log.usages()}["LATE.bytes"]
    while used < share * SMALL_B:
        await bus.log.append(subjects.late(0), bytes(10_000))
        used = {one.resource: one.used for one in await bus.log.usages()}["LATE.bytes"]


async def test_a_stream_that_fills_raises_at_both_levels_and_ends(small_bus: Bus, tmp_path: Path) -> None:
    """F01, and over a restart of the auditor: another life ends what the first began."""
    first = warding(small_bus, tmp_path)
    await first.look()
    assert await of_late(small_bus) == []
    await fill(small_bus, 0.70)
    await first.look()
    await fill(small_bus, 0.85)
    await first.look()
    entries = [("LATE_bytes-70", "entry"), ("LATE_bytes-85", "entry")]
    assert await of_late(small_bus) == entries
    for notice in await said(small_bus):  # as the desk takes them
        place = subjects.episode(notice.code.value, notice.subject)
        decided = handle(None, NoticeCause(notice=notice), REALM, notice.at_ms)
        await small_bus.log.append(place, encode(decided), expected_last=0)
    await small_bus.client.jetstream().purge_stream("LATE")
    second = warding(small_bus, tmp_path)
    await second.adopt()
    await second.look()
    assert await of_late(small_bus) == [*entries, ("LATE_bytes-70", "exit"), ("LATE_bytes-85", "exit")]


async def test_a_queue_held_back_is_behind_and_is_so_no_longer(small_bus: Bus, tmp_path: Path) -> None:
    hours = [1_000.0]
    one = Warding(
        log=small_bus.log, tallies=small_bus.tallies, pool=None, clock=AffineClock(steady=lambda: hours[0]),
        folder=tmp_path, stages=STAGES[:1], clock_moved=True,
    )  # fmt: skip

    async def lag() -> list[str]:
        return [one.change.value for one in await said(small_bus) if one.code is Code.SYS_PIPELINE_LAG]

    async with small_bus.log.queue(subjects.ALARMS, STAGES[0].queue, parallel=1) as queue:
        await small_bus.log.append(subjects.alarm("unit-1"), b"1")
        (delivery,) = await queue.take(1)
        await one.look()
        hours[0] += 15
        await one.look()
        assert await lag() == ["entry"]
        await delivery.done()
        await eventually(lambda: _settled(small_bus))
        await one.look()
        assert await lag() == ["entry", "exit"]


async def _settled(bus: Bus) -> bool:
    return (await bus.log.progress(subjects.ALARMS, STAGES[0].queue)).settled == 1


async def test_a_sequence_of_an_int_column_near_its_end_is_found(pool: Pool) -> None:
    """F01: the sequence itself could count on to 2^63; the column could not."""
    before = {one.resource: one for one in await record_usages(pool)}
    assert before["record.sequence"].ratio < 0.01
    assert 0 < before["record.connections"].ratio < 1
    async with transaction(pool) as connection:
        await connection.execute("create schema narrow")
        await connection.execute("create sequence narrow.numbers as bigint")
        await connection.execute("create table narrow.rows (id int primary key default nextval('narrow.numbers'))")
        await connection.execute("alter sequence narrow.numbers owned by narrow.rows.id")
        await connection.execute("select setval('narrow.numbers', (2^31 * 0.9)::bigint)")
    after = {one.resource: one for one in await record_usages(pool)}
    assert after["record.sequence"].ratio == pytest.approx(0.9, abs=0.001)


async def test_an_identity_near_its_end_rings(small_bus: Bus, pool: Pool, tmp_path: Path) -> None:
    async with transaction(pool) as connection:
        await connection.execute("create schema narrow")
        await connection.execute("create table narrow.rows (id int generated always as identity)")
        await connection.execute("select setval('narrow.rows_id_seq', (2^31 * 0.9)::bigint)")
    await warding(small_bus, tmp_path, pool).look()
    subjects_said = {one.subject for one in await said(small_bus)}
    assert {"record_sequence-70", "record_sequence-85"} <= subjects_said


async def test_the_record_says_what_time_it_has(pool: Pool) -> None:
    clock = AffineClock()
    before_ms = clock.wall_ms()
    assert before_ms - 1 <= await record_hour_ms(pool) <= clock.wall_ms() + 1
