"""Is the life of an alert in the record whole, whatever the order, the repetitions and the outages on the way?"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from alerts.recorder import run_recorder
from tocsin import subjects, wire
from tocsin.adapters.accesses import AccessRecord
from tocsin.adapters.commands import CommandRecord
from tocsin.adapters.episodes import EpisodeRecord, RecordedReceipt, RecordedRuling, Timeline
from tocsin.adapters.migrate import migrate
from tocsin.adapters.postgres import BadCursor, Pool, RecordRefused, open_pool, transaction
from tocsin.embedded import EmbeddedPostgres
from tocsin.model.episode import (
    Act,
    AlarmCause,
    Channel,
    Episode,
    Notification,
    Outcome,
    Raise,
    Realm,
    Receipt,
    Ruling,
    State,
    Verb,
)
from tocsin.model.finding import Alarm, Code
from tocsin.model.fix import ClockPoints, FixPoint
from tocsin.subjects import EPISODES, RECEIPTS
from tocsin.testing.bus import MemoryLog

pytest_plugins = ("database",)

NOON_MS = 1_795_262_400_000
DAY_MS = 86_400_000
F01 = 2**31

POINT = FixPoint(device="tgd-1", lat_e6=48_856_600, lon_e6=2_352_200, accuracy_dm=None, fix_ms=NOON_MS)
ALARM = Alarm(
    id="alm_1", code=Code.TGD_SOS, device="tgd-1", measures=(), at_ms=NOON_MS, silent=False, position=POINT,
    points=ClockPoints(t1_ms=NOON_MS),
)  # fmt: skip


def life(number: int = 1, opened_ms: int = NOON_MS) -> list[Ruling]:
    """Raised, taken, closed: three rulings of one episode, the first with two notifications."""
    raised = Episode(
        id=f"alr_{number:04d}", code=Code.TGD_SOS, subject=f"tgd-{number}", realm=Realm.LAB, priority=1,
        state=State.RAISED, version=1, opened_ms=opened_ms, recorded_ms=opened_ms + 5, measures=("msr_1",),
        device=f"tgd-{number}", causes=("alm_1",),
        raises=(Raise(version=1, cause="alm_1", at_ms=opened_ms, points=ClockPoints(t1_ms=opened_ms)),),
    )  # fmt: skip
    taken = msgspec.structs.replace(
        raised, state=State.ACKNOWLEDGED, version=2, owner="operator-1", acknowledged_ms=opened_ms + 9_000
    )
    closed = msgspec.structs.replace(
        taken,
        state=State.CLOSED,
        version=3,
        outcome=Outcome.FALSE_ALARM,
        closed_ms=opened_ms + 60_000,
        note="l'été",
    )
    told = tuple(Notification(id=f"evt_{number}_{channel}", channel=channel, type="raised") for channel in Channel)

    def act(verb: Verb, version: int) -> Act:
        return Act(verb=verb, episode=raised.id, actor="operator-1", at_ms=opened_ms, expected_version=version)

    return [
        Ruling(episode=raised, event=AlarmCause(alarm=ALARM), notifications=told, reason="key", at_ms=opened_ms),
        Ruling(episode=taken, event=act(Verb.ACKNOWLEDGE, 1), notifications=(), reason="taken", at_ms=opened_ms),
        Ruling(episode=closed, event=act(Verb.CLOSE, 2), notifications=(), reason="closed", at_ms=opened_ms),
    ]


def receipt(number: int = 1, attempt: int = 1, **changes: object) -> Receipt:
    plain = Receipt(
        notification=f"evt_{number}_police", episode=f"alr_{number:04d}", version=1, channel=Channel.POLICE,
        attempt=attempt, t7_ms=NOON_MS + attempt, t8_ms=None, result="timeout",
    )  # fmt: skip
    return msgspec.structs.replace(plain, **changes)


def received(*receipts: Receipt) -> list[RecordedReceipt]:
    return [RecordedReceipt(code="TGD_SOS", subject="tgd-1", receipt=one) for one in receipts]


def blanked(rulings: Sequence[RecordedRuling]) -> tuple[RecordedRuling, ...]:
    """As the tables have them: without the place of the press."""
    alarm = AlarmCause(alarm=msgspec.structs.replace(ALARM, position=None))
    return tuple(
        msgspec.structs.replace(each, ruling=msgspec.structs.replace(each.ruling, event=alarm))
        if isinstance(each.ruling.event, AlarmCause)
        else each
        for each in rulings
    )


def placed(rulings: Sequence[Ruling], first: int = 1) -> list[RecordedRuling]:
    return [RecordedRuling(sequence=first + index, ruling=ruling) for index, ruling in enumerate(rulings)]


TABLES = ("ruling", "episode", "notification", "attempt")


async def everything(pool: Pool) -> dict[str, list[tuple]]:
    async with transaction(pool) as connection:
        return {
            table: await (await connection.execute(f"table tocsin.{table} order by 1, 2, 3")).fetchall()
            for table in TABLES
        }


async def forget(pool: Pool) -> None:
    """As if nothing had ever been kept: a database of its own would take 30 ms, for each of 120 orders."""
    async with transaction(pool) as connection:
        await connection.execute("set local session_replication_role = replica")  # no trigger speaks
        chains = ("chain", "link", "opened")
        await connection.execute(f"truncate {', '.join(f'tocsin.{table}' for table in (*TABLES, *chains))}")


async def test_what_was_decided_is_read_back(pool: Pool) -> None:
    record, rulings = EpisodeRecord(pool), placed(life())
    assert await record.record_rulings(rulings) == 3
    again, taken = receipt(attempt=1), receipt(attempt=2, t8_ms=NOON_MS + 90, result="taken", status=202)
    await record.record_receipts(received(taken, again))
    assert await record.episode("alr_0001") == rulings[-1].ruling.episode
    assert await record.episode("alr_none") is None
    assert await record.timeline("alr_0001") == Timeline(rulings=blanked(rulings), attempts=(again, taken))


async def test_attempts_of_two_lines_in_the_same_millisecond_are_two(pool: Pool) -> None:
    """Who was asked beside whom, and what was written before there were two lines."""
    record = EpisodeRecord(pool)
    await record.record_rulings(placed(life()))
    attempts = tuple(receipt(attempt=1, line=line) for line in ("", "first", "second"))
    await record.record_receipts(received(*attempts))
    await record.record_receipts(received(*attempts))
    assert (await record.timeline("alr_0001")).attempts == attempts


async def test_an_attempt_is_read_back_with_the_room_that_its_ruling_names(pool: Pool) -> None:
    """Two rooms of one alert: the table has no column for them, and the timeline tells them apart."""
    record, (opened, *_) = EpisodeRecord(pool), life()
    rooms = ("CIC-13", "CORG-13")
    told = tuple(
        Notification(id=f"evt_{room}", channel=Channel.POLICE, type="raised", recipient=room) for room in rooms
    )
    await record.record_rulings(placed([msgspec.structs.replace(opened, notifications=told)]))
    attempts = tuple(
        receipt(attempt=number, notification=f"evt_{room}", recipient=room) for number, room in enumerate(rooms, 1)
    )
    await record.record_receipts(received(*attempts))
    assert (await record.timeline("alr_0001")).attempts == attempts


async def test_order_and_repetition_change_nothing(pool: Pool) -> None:
    """Every order of five messages, each batch given twice, ends in the same rows."""
    record, rulings = EpisodeRecord(pool), placed(life())
    receipts = [receipt(attempt=1), receipt(attempt=1, t7_ms=NOON_MS + 500)]
    await record.record_rulings(rulings)
    await record.record_receipts(received(*receipts))
    expected = await everything(pool)
    for order in itertools.permutations([*rulings, *receipts]):
        await forget(pool)
        for one in [*order, order[0]]:
            if isinstance(one, Receipt):
                await record.record_receipts(received(one))
            else:
                await record.record_rulings([one])
        assert await everything(pool) == expected


async def test_one_batch_in_any_order_is_the_same_batch(pool: Pool) -> None:
    record, rulings = EpisodeRecord(pool), placed([*life(1), *life(2)])
    await record.record_rulings(rulings)
    expected = await everything(pool)
    await forget(pool)
    assert await record.record_rulings([*rulings[::-1], *rulings]) == len(rulings)
    assert await everything(pool) == expected


async def test_concurrent_recorders_of_the_same_rulings_do_not_block_each_other(pool: Pool) -> None:
    record = EpisodeRecord(pool)
    rulings = placed([ruling for number in range(1, 30) for ruling in life(number)])
    new = await asyncio.gather(*(record.record_rulings(part) for part in (rulings, rulings[::-1], rulings)))
    assert sum(new) == len(rulings)


async def test_a_log_that_was_made_anew_does_not_hide_behind_the_old_numbers(pool: Pool) -> None:
    record = EpisodeRecord(pool)
    await record.record_rulings(placed(life(1)))
    assert await record.record_rulings(placed(life(2))) == 3


async def test_lists_are_newest_first_paged_and_filtered(pool: Pool) -> None:
    record = EpisodeRecord(pool)
    for number in range(1, 8):
        await record.record_rulings(placed(life(number, NOON_MS + (number // 2) * 1000), first=10 * number))
    await record.record_rulings(placed(life(9)[:1], first=900))
    window = (NOON_MS, NOON_MS + DAY_MS)
    seen, cursor = [], None
    while True:
        page = await record.episodes(*window, state=State.CLOSED, cursor=cursor, limit=3)
        seen += [episode.id for episode in page.items]
        if (cursor := page.next) is None:
            break
    assert seen == [f"alr_{number:04d}" for number in range(7, 0, -1)]
    assert [one.id for one in (await record.episodes(*window, state=State.RAISED)).items] == ["alr_0009"]
    assert len((await record.episodes(*window, measure="msr_1")).items) == 8
    assert (await record.episodes(*window, measure="msr_2")).items == ()
    assert (await record.episodes(*window, code=Code.BAR_SOS)).items == ()
    assert (await record.episodes(NOON_MS - DAY_MS, NOON_MS)).items == ()
    for wrong in ("x", "1", "~a", "1~"):
        with pytest.raises(BadCursor):
            await record.episodes(*window, cursor=wrong)


async def test_sequences_of_the_log_above_32_bits(pool: Pool) -> None:
    record = EpisodeRecord(pool)
    await record.record_rulings(placed(life(), first=F01 - 1))
    assert [each.sequence for each in (await record.timeline("alr_0001")).rulings] == [F01 - 1, F01, F01 + 1]


async def test_a_value_that_cannot_be_held_is_refused_whole(pool: Pool) -> None:
    record = EpisodeRecord(pool)
    bad = msgspec.structs.replace(life(2)[0], reason="nul \0")
    with pytest.raises(RecordRefused):
        await record.record_rulings(placed([*life(1), bad]))
    assert await record.episode("alr_0001") is None


# --- the recorder -------------------------------------------------------------------------------------------


async def say(log: MemoryLog, rulings: Sequence[Ruling]) -> None:
    for ruling in rulings:
        await log.append(subjects.episode(ruling.episode.code, ruling.episode.subject), wire.encode(ruling))


async def settled(log: MemoryLog) -> None:
    """Until both queues are empty."""
    async with (
        asyncio.timeout(60),
        log.queue(EPISODES, "recorder-episodes", parallel=1) as episodes,
        log.queue(RECEIPTS, "recorder-receipts", parallel=1) as receipts,
    ):
        while episodes.unsettled or receipts.unsettled:  # a twin tells nobody
            await asyncio.sleep(0.01)


async def test_what_cannot_be_recorded_does_not_keep_the_others_from_the_record(pool: Pool) -> None:
    log, ready = MemoryLog(), asyncio.Event()
    await say(log, life(1))
    await say(log, [msgspec.structs.replace(life(2)[0], reason="nul \0")])
    await log.append(subjects.episode("TGD_SOS", "tgd-3"), b"\x07from another version")
    await say(log, life(4))
    await log.append(subjects.receipt("TGD_SOS", "tgd-1"), wire.encode(receipt()))
    record = EpisodeRecord(pool)
    worker = asyncio.create_task(
        run_recorder(
            log=log, record=record, accesses=AccessRecord(pool), commands=CommandRecord(pool), ready=ready.set
        )
    )
    await ready.wait()
    await settled(log)
    worker.cancel()
    assert [len((await record.timeline(f"alr_{number:04d}")).rulings) for number in (1, 2, 4)] == [3, 0, 3]
    assert (await record.timeline("alr_0001")).attempts == (receipt(),)


async def test_with_the_server_stopped_meanwhile_nothing_is_missing(
    own_home: Path,
) -> None:
    log, server = MemoryLog(), EmbeddedPostgres(home=own_home)
    dsn = await server.start()
    await migrate(dsn)
    async with open_pool(dsn) as pool:
        record = EpisodeRecord(pool)
        worker = asyncio.create_task(
            run_recorder(
                log=log,
                record=record,
                accesses=AccessRecord(pool),
                commands=CommandRecord(pool),
                ready=lambda: None,
            )
        )
        await say(log, life(1))
        await settled(log)
        await server.stop()
        for number in range(2, 20):
            await say(log, life(number))
            await log.append(subjects.receipt("TGD_SOS", f"tgd-{number}"), wire.encode(receipt(number)))
        await asyncio.sleep(0.5)
        await server.start()
        await settled(log)
        for number in range(1, 20):
            timeline = await record.timeline(f"alr_{number:04d}")
            assert (len(timeline.rulings), len(timeline.attempts)) == (3, 0 if number == 1 else 1)
            assert (await record.episode(f"alr_{number:04d}")).state is State.CLOSED
        worker.cancel()
    await server.stop()
