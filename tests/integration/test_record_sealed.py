"""Is what the record keeps linked once, however often and by whomever it comes? F09, F10, invariants 1, 14, 15.

Real PostgreSQL: what is asked here is what it does with two writers, and with one that dies.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Sequence

import builders
import msgspec
import psycopg
import pytest

from alerts import desk
from alerts.recorder import run_recorder
from tocsin import subjects, wire
from tocsin.adapters.accesses import AccessRecord, RecordedAccess
from tocsin.adapters.commands import CommandRecord, RecordedCommand, RecordedResult
from tocsin.adapters.episodes import EpisodeRecord, RecordedReceipt, RecordedRuling
from tocsin.adapters.postgres import Pool, Row, transaction
from tocsin.adapters.seals import SKEW_MAX_MS, Seals
from tocsin.chain import KeptAs, Kind, Link, Wrong, faults
from tocsin.clock import AffineClock
from tocsin.errors import RecordUnavailable
from tocsin.model.access import Access
from tocsin.model.command import Action, Command, CommandStatus, Stage
from tocsin.model.episode import Channel, FindingCause, Realm, Receipt, Ruling
from tocsin.sealing import PlacesPayload, access_chain
from tocsin.subjects import ACCESSES, COMMANDS, EPISODES, RECEIPTS, RESULTS, Stream
from tocsin.testing.bus import MemoryLog

pytest_plugins = ("database",)

EPISODE_COUNT = 4
F01 = 2**31
QUEUES: tuple[tuple[Stream, str], ...] = (
    (EPISODES, subjects.RECORDER_EPISODES), (RECEIPTS, "recorder-receipts"), (ACCESSES, "recorder-accesses"),
    (COMMANDS, "recorder-commands"), (RESULTS, "recorder-results"),
)  # fmt: skip


def fixed(at_ms: int = builders.NOW_MS) -> AffineClock:
    return AffineClock(wall=lambda: at_ms / 1000)


def ruling(number: int, measure: str = "msr_1") -> Ruling:
    """A crossing, with the places of both: one of ``EPISODE_COUNT`` alerts."""
    answer = desk.handle(None, FindingCause(finding=builders.entry(measure=measure)), Realm.LAB, builders.NOW_MS)
    assert isinstance(answer, Ruling)
    episode = msgspec.structs.replace(answer.episode, id=f"alr_{number % EPISODE_COUNT}", subject=measure)
    return msgspec.structs.replace(answer, episode=episode)


def rulings(count: int) -> list[RecordedRuling]:
    return [RecordedRuling(sequence=number + 1, ruling=ruling(number)) for number in range(count)]


def receipt(number: int) -> Receipt:
    return Receipt(
        notification=f"evt_{number}", episode=f"alr_{number % EPISODE_COUNT}", version=1, channel=Channel.POLICE,
        attempt=1, t7_ms=builders.NOW_MS, t8_ms=None, result="timeout",
    )  # fmt: skip


def received(numbers: Sequence[int], subject: str = "msr_1", code: str = "PROX_ALERT") -> list[RecordedReceipt]:
    return [RecordedReceipt(code=code, subject=subject, receipt=receipt(number)) for number in numbers]


def access(number: int) -> Access:
    return Access(id=f"acc_{number}", at_ms=builders.NOW_MS, who="Zoé", role="monitor", what="alert", objects=())


def command(number: int, device: str = "b0000001") -> Command:
    return Command(
        id=f"cmd_{number}", device=device, action=Action.REPORT_LOCATION, at_ms=builders.NOW_MS,
        expires_ms=builders.NOW_MS + 60_000,
    )  # fmt: skip


def status(number: int, device: str = "b0000001") -> CommandStatus:
    return CommandStatus(
        command=f"cmd_{number}", device=device, stage=Stage.SENT, at_ms=builders.NOW_MS, reason="sent"
    )


async def rows(pool: Pool, query: str) -> list[Row]:
    async with transaction(pool) as connection:
        return await (await connection.execute(query.encode())).fetchall()


async def links(pool: Pool) -> list[Link]:
    """All of them; every chain holds together, and its cursor stands at its end."""
    seals, found = Seals(pool), []
    for name, length, hash_ in await rows(pool, "select name, length, hash from tocsin.chain order by name"):
        chain = await seals.links(name)
        assert faults(name, chain, await seals.opened(name), end=(length, bytes(hash_))) == []
        found += chain
    return found


async def test_each_row_has_one_link_and_each_place_is_beside_it(pool: Pool) -> None:
    """F09, F10: what was decided can be shown to be what was decided; where they were is apart from it."""
    record, commands = EpisodeRecord(pool), CommandRecord(pool)
    await record.record_rulings(rulings(8))
    await record.record_receipts(received(range(8)))
    await AccessRecord(pool).record_accesses([RecordedAccess(sequence=1, access=access(1))])
    await commands.record_commands([RecordedCommand(sequence=F01 + 5, command=command(1))])
    await commands.record_results([RecordedResult(sequence=F01 + 6, status=status(1))])
    kinds = Counter((one.chain.partition("/")[0], one.kind) for one in await links(pool))
    assert kinds == {
        ("episode", Kind.RULING): 8, ("episode", Kind.PLACES): 8, ("episode", Kind.ATTEMPT): 8,
        ("accesses", Kind.ACCESS): 1, ("device", Kind.COMMAND): 1, ("device", Kind.RESULT): 1,
    }  # fmt: skip
    assert await commands.commands("b0000001") == (RecordedCommand(sequence=F01 + 5, command=command(1)),)
    assert await commands.results("b0000001") == (RecordedResult(sequence=F01 + 6, status=status(1)),)


async def test_a_log_that_was_made_anew_gives_no_place_twice(pool: Pool) -> None:
    """Its sequences begin at 1 again; what was said there first stays, and what is said there now is kept."""
    record, done = CommandRecord(pool), msgspec.structs.replace(status(1), stage=Stage.DONE, reason="done")
    for told, came in ((command(1), status(1)), (command(2), done)):
        await record.record_commands([RecordedCommand(sequence=1, command=told)])
        await record.record_results([RecordedResult(sequence=1, status=came)])
    assert {one.command.id for one in await record.commands("b0000001")} == {"cmd_1", "cmd_2"}
    assert {one.status.stage for one in await record.results("b0000001")} == {Stage.SENT, Stage.DONE}
    assert [one.source for one in await links(pool)] == [
        "command:1:cmd_1", "result:1:cmd_1:sent", "command:1:cmd_2", "result:1:cmd_1:done",
    ]  # fmt: skip


async def test_no_table_of_alerts_has_a_place(pool: Pool) -> None:
    """Searched as bytes, in every column: F33. The payload beside the link has it, and no other."""
    record = EpisodeRecord(pool)
    placed = RecordedRuling(sequence=1, ruling=ruling(1))
    await record.record_rulings([placed])
    finding = builders.entry()
    assert finding.wearer is not None
    secret, packed = str(finding.wearer.lat_e6), msgspec.msgpack.encode(finding.wearer.lat_e6).hex()
    for table in ("ruling", "episode", "notification"):
        ((text,),) = await rows(pool, f"select string_agg(t::text, '') from tocsin.{table} t")  # noqa: S608
        assert secret not in text
        assert packed not in text
        assert "lat_e6" not in text
    ((kept,),) = await rows(
        pool, "select payload from tocsin.opened natural join tocsin.link where kind = 'places'"
    )
    assert msgspec.json.decode(kept, type=PlacesPayload).places["event/finding/wearer"] == finding.wearer
    (told,) = (await record.timeline("alr_1")).rulings
    assert isinstance(told.ruling.event, FindingCause)
    assert (told.ruling.event.finding.wearer, told.ruling.event.finding.id) == (None, finding.id)


async def test_a_batch_of_which_a_part_was_kept_before_is_completed(pool: Pool) -> None:
    record, batch = EpisodeRecord(pool), rulings(12)
    assert await record.record_rulings(batch[3:7]) == 4
    assert await record.record_rulings(batch) == 8
    assert await record.record_rulings(batch[::-1]) == 0
    assert len(await links(pool)) == 2 * len(batch)


async def test_every_order_of_arrival_holds_together(pool: Pool) -> None:
    record = EpisodeRecord(pool)
    batch = [RecordedRuling(sequence=number + 1, ruling=ruling(0)) for number in range(3)]
    for number, order in enumerate(itertools.permutations(batch)):
        named = [
            msgspec.structs.replace(
                each,
                ruling=msgspec.structs.replace(
                    each.ruling, episode=msgspec.structs.replace(each.ruling.episode, id=f"alr_order_{number}")
                ),
            )
            for each in order
        ]
        for each in named:
            await record.record_rulings([each])
    assert len(await links(pool)) == 6 * 2 * 3


async def test_recorders_side_by_side_neither_fork_a_chain_nor_wait_in_a_circle(pool: Pool) -> None:
    """The same messages, cut into other batches and in another order, rulings and receipts of the same alerts."""
    one, other = EpisodeRecord(pool), EpisodeRecord(pool)
    batch, answers = rulings(120), received(range(120))

    async def records(record: EpisodeRecord, size: int, *, backwards: bool) -> None:
        starts = list(range(0, len(batch), size))
        for start in reversed(starts) if backwards else starts:
            await record.record_rulings(batch[start : start + size])
            await record.record_receipts(answers[start : start + size][:: -1 if backwards else 1])

    async with asyncio.TaskGroup() as both:
        both.create_task(records(one, 17, backwards=False))
        both.create_task(records(other, 23, backwards=True))
        both.create_task(records(one, 40, backwards=False))
    kinds = Counter(link.kind for link in await links(pool))
    assert kinds == {Kind.RULING: 120, Kind.PLACES: 120, Kind.ATTEMPT: 120}


async def test_a_recorder_killed_in_the_middle_leaves_neither_row_nor_link(pool: Pool, dsn: str) -> None:
    """It has written its rows and waits for the chain when its session is ended."""
    record, batch = EpisodeRecord(pool), rulings(4)
    await record.record_rulings(batch[:1])
    async with await psycopg.AsyncConnection.connect(dsn) as other:
        await other.execute("select from tocsin.chain where name = 'episode/alr_0' for update")
        working = asyncio.create_task(record.record_rulings(batch))
        victim = await _waiting(dsn)
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as third:
            await third.execute("select pg_terminate_backend(%s)", [victim])
        with pytest.raises(RecordUnavailable):
            await working
    assert await rows(pool, "select count(*) from tocsin.ruling") == [(1,)]
    assert len(await links(pool)) == 2
    assert await record.record_rulings(batch) == 3
    assert len(await links(pool)) == 8


async def _waiting(dsn: str) -> int:
    """The session that waits for a row, as soon as one does."""
    query = "select pid from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    async with asyncio.timeout(60), await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        while (found := await (await connection.execute(query)).fetchone()) is None:
            await asyncio.sleep(0.01)
    return int(found[0])


async def test_a_canary_is_kept_and_not_linked(pool: Pool) -> None:
    record, commands = EpisodeRecord(pool), CommandRecord(pool)
    await record.record_rulings([RecordedRuling(sequence=1, ruling=ruling(1, "canary-1"))])
    await record.record_receipts(received([1], subject="canary-1"))
    await commands.record_commands([RecordedCommand(sequence=1, command=command(1, "canary-1-w"))])
    await commands.record_results([RecordedResult(sequence=1, status=status(1, "canary-1-w"))])
    for table in ("ruling", "attempt", "command", "result"):
        assert await rows(pool, f"select count(*) from tocsin.{table}") == [(1,)]  # noqa: S608
    ((text,),) = await rows(pool, "select string_agg(r::text, '') from tocsin.ruling r")
    assert "lat_e6" not in text
    assert await rows(pool, "select from tocsin.chain") == []


async def test_the_receipt_of_a_tgd_is_kept_as_its_alert(pool: Pool) -> None:
    record = EpisodeRecord(pool)
    await record.record_receipts(received([1], subject="tgd-1", code="TGD_SOS"))
    await record.record_receipts(received([2]))
    assert {one.source.split(":")[1]: one.kept_as for one in await links(pool)} == {
        "evt_1": KeptAs.TGD_FILE, "evt_2": KeptAs.MEASURE_FILE
    }  # fmt: skip


async def test_two_clocks_that_differ_a_little_make_no_fault_and_one_moved_back_does(pool: Pool) -> None:
    async def kept(sequence: int, at_ms: int) -> None:
        record = AccessRecord(pool, clock=fixed(at_ms))
        await record.record_accesses([RecordedAccess(sequence=sequence, access=access(sequence))])

    chain = access_chain(builders.NOW_MS)
    await kept(1, builders.NOW_MS)
    await kept(2, builders.NOW_MS - SKEW_MAX_MS)
    seals = Seals(pool)
    assert faults(chain, await seals.links(chain), await seals.opened(chain)) == []
    await kept(3, builders.NOW_MS - SKEW_MAX_MS - 1)
    (found,) = faults(chain, await seals.links(chain), await seals.opened(chain))
    assert (found.number, found.wrong) == (3, Wrong.CLOCK_BACK)


async def test_two_recorders_at_work_on_one_log_link_each_message_once(pool: Pool) -> None:
    """The whole part, twice: queues, batches, leases."""
    log, count = MemoryLog(), 60

    async def recorder() -> None:
        await run_recorder(
            log=log, record=EpisodeRecord(pool), accesses=AccessRecord(pool), commands=CommandRecord(pool),
            ready=lambda: None,
        )  # fmt: skip

    for number in range(count):
        for subject, noun in (
            (subjects.episode("PROX_ALERT", "msr_1"), ruling(number)),
            (subjects.receipt("PROX_ALERT", "msr_1"), receipt(number)),
            (subjects.access("alert"), access(number)),
            (subjects.operators_command("b0000001", Action.REPORT_LOCATION), command(number)),
            (subjects.result("b0000001", f"cmd_{number}", subjects.SENT_BY), status(number)),
        ):
            await log.append(subject, wire.encode(noun))
    both = [asyncio.create_task(recorder()) for _ in range(2)]
    for stream, name in QUEUES:
        async with log.queue(stream, name, parallel=1) as queue:
            await builders.eventually(lambda queue=queue: not queue.unsettled, within_s=60)
    for one in both:
        one.cancel()
    assert Counter(link.kind for link in await links(pool)) == dict.fromkeys(
        (Kind.RULING, Kind.PLACES, Kind.ATTEMPT, Kind.ACCESS, Kind.COMMAND, Kind.RESULT), count
    )


async def test_what_has_no_place_on_the_log_is_set_aside(pool: Pool) -> None:
    """A receipt under a subject that names no code: not guessed at, and in nobody's way."""
    log = MemoryLog()
    await log.append("log.receipt.odd", wire.encode(receipt(1)))
    await log.append(subjects.receipt("PROX_ALERT", "msr_1"), wire.encode(receipt(2)))
    recorder = asyncio.create_task(
        run_recorder(
            log=log, record=EpisodeRecord(pool), accesses=AccessRecord(pool), commands=CommandRecord(pool),
            ready=lambda: None,
        )
    )  # fmt: skip
    async with log.queue(RECEIPTS, "recorder-receipts", parallel=1) as queue:
        await builders.eventually(lambda: not queue.unsettled, within_s=30)
    recorder.cancel()
    assert await rows(pool, "select notification from tocsin.attempt") == [("evt_2",)]
