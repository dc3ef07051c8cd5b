"""The record was away for long: does all that waits on the log get into it, in order, once? F02, invariants 1, 3.

A real broker and a real PostgreSQL. ``BACKLOG`` is how many rulings wait, and as many receipts, accesses, commands
and results:

    BACKLOG=100000 pytest -s tests/integration/test_record_backlog.py

prints how fast they drain.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import msgspec
import pytest
from builders import HANGS_AFTER_S
from real_broker import SERVICE_PASSWORD, cancelled

from alerts.recorder import run_recorder
from tocsin import subjects, wire
from tocsin.adapters.accesses import AccessRecord
from tocsin.adapters.commands import CommandRecord
from tocsin.adapters.episodes import EpisodeRecord
from tocsin.adapters.jetstream import Bus, open_bus
from tocsin.adapters.postgres import Pool, transaction
from tocsin.adapters.seals import Seals
from tocsin.chain import faults
from tocsin.embedded import EmbeddedBroker
from tocsin.limits import PUBLISH_WAVE
from tocsin.model.access import Access
from tocsin.model.command import Action, Command, CommandStatus, Stage
from tocsin.model.episode import (
    Act,
    Channel,
    Episode,
    Notification,
    Raise,
    Realm,
    Receipt,
    Ruling,
    State,
    Verb,
)
from tocsin.model.finding import Code
from tocsin.model.fix import ClockPoints
from tocsin.ports import Log
from tocsin.subjects import ACCESSES, COMMANDS, EPISODES, RECEIPTS, RESULTS, Stream

pytest_plugins = ("database",)
pytestmark = pytest.mark.timeout(900)

BACKLOG = int(os.environ.get("BACKLOG", "3000"))
EPISODES_OF_IT = 200  # each of them has BACKLOG / 200 rulings, one after another
NOON_MS = 1_795_262_400_000
QUEUES: tuple[tuple[Stream, str, str], ...] = (
    (EPISODES, subjects.RECORDER_EPISODES, "ruling"),
    (RECEIPTS, "recorder-receipts", "attempt"),
    (ACCESSES, "recorder-accesses", "access"),
    (COMMANDS, "recorder-commands", "command"),
    (RESULTS, "recorder-results", "result"),
)
ORDERED_BY = {
    "ruling": "stream_sequence", "attempt": "t7", "access": "stream_sequence", "command": "stream_sequence",
    "result": "stream_sequence",
}  # fmt: skip


def ruling(number: int) -> Ruling:
    which, version = number % EPISODES_OF_IT, number // EPISODES_OF_IT + 1
    episode = Episode(
        id=f"alr_{which}", code=Code.TGD_SOS, subject=f"tgd-{which}", realm=Realm.LAB, priority=1,
        state=State.RAISED, version=version, opened_ms=NOON_MS, recorded_ms=NOON_MS, measures=("msr_1",),
        device=f"tgd-{which}", causes=("alm_1",),
        raises=(Raise(version=1, cause="alm_1", at_ms=NOON_MS, points=ClockPoints()),),
    )  # fmt: skip
    act = Act(verb=Verb.DO, episode=episode.id, actor="Zoé", at_ms=NOON_MS, expected_version=version - 1)
    told = (Notification(id=f"evt_{number}", channel=Channel.TELEASSISTANCE, type="t"),)
    return Ruling(episode=episode, event=act, notifications=told, reason="done", at_ms=NOON_MS + number)


def receipt(number: int) -> Receipt:
    return Receipt(
        notification=f"evt_{number}", episode=f"alr_{number % EPISODES_OF_IT}", version=1,
        channel=Channel.TELEASSISTANCE, attempt=1, t7_ms=NOON_MS + number, t8_ms=None, result="timeout",
    )  # fmt: skip


def access(number: int) -> Access:
    return Access(
        id=f"acc_{number}", at_ms=NOON_MS + number, who="Zoé", role="monitor", what="alert",
        objects=(f"alr_{number % EPISODES_OF_IT}",),
    )  # fmt: skip


def command(number: int) -> Command:
    return Command(
        id=f"cmd_{number}", device=f"tgd-{number % EPISODES_OF_IT}", action=Action.REPORT_LOCATION,
        at_ms=NOON_MS + number, expires_ms=NOON_MS + number + 60_000,
    )  # fmt: skip


def status(number: int) -> CommandStatus:
    return CommandStatus(
        command=f"cmd_{number}", device=f"tgd-{number % EPISODES_OF_IT}", stage=Stage.SENT, at_ms=NOON_MS + number,
        reason="sent",
    )  # fmt: skip


async def said(log: Log) -> None:
    """All of it on the log, in the order of the numbers."""
    for first in range(0, BACKLOG, PUBLISH_WAVE):
        numbers = range(first, min(first + PUBLISH_WAVE, BACKLOG))
        messages: list[tuple[str, msgspec.Struct]] = []
        for number in numbers:
            which = f"tgd-{number % EPISODES_OF_IT}"
            messages += [
                (subjects.episode("TGD_SOS", which), ruling(number)),
                (subjects.receipt("TGD_SOS", which), receipt(number)),
                (subjects.access("alert"), access(number)),
                (subjects.operators_command(which, Action.REPORT_LOCATION), command(number)),
                (subjects.result(which, f"cmd_{number}", subjects.SENT_BY), status(number)),
            ]
        await asyncio.gather(*(log.append(subject, wire.encode(noun)) for subject, noun in messages))


async def drained(log: Log) -> dict[str, float]:
    """Seconds until each queue has settled everything, by the table that it fills."""
    began, found = time.perf_counter(), {}
    while len(found) < len(QUEUES):
        for stream, name, table in QUEUES:
            progress = await log.progress(stream, name)
            if table not in found and progress.settled >= progress.end:
                found[table] = time.perf_counter() - began
        await asyncio.sleep(0.05)
    return found


async def test_what_has_waited_is_recorded_in_order_and_once(
    pool: Pool, broker_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tocsin.adapters.jetstream.PUBLISH_TIMEOUT_S", HANGS_AFTER_S)  # said again it has no order
    server = EmbeddedBroker(home=broker_home, service_password=SERVICE_PASSWORD)
    addresses = await server.start()
    try:
        async with open_bus(addresses.nats_url, "tests.backlog") as bus:
            await _drain(bus, pool)
    finally:
        await server.stop()


async def _drain(bus: Bus, pool: Pool) -> None:
    await said(bus.log)
    recorder = asyncio.create_task(
        run_recorder(
            log=bus.log,
            record=EpisodeRecord(pool),
            accesses=AccessRecord(pool),
            commands=CommandRecord(pool),
            ready=lambda: None,
        )
    )
    seconds = await drained(bus.log)
    await cancelled(recorder)
    for table, took_s in seconds.items():
        print(f"{table}: {BACKLOG} in {took_s:.1f} s, {BACKLOG / took_s:.0f} a second")
    async with transaction(pool) as connection:

        async def column(query: str) -> list[object]:
            return [row[0] for row in await (await connection.execute(query.encode())).fetchall()]

        written = await column("select stream_sequence from tocsin.ruling")
        assert sorted(written) == list(range(1, BACKLOG + 1))
        hours = await column("select at from tocsin.access")
        assert len(hours) == BACKLOG
        versions = await column("select version from tocsin.episode")
        assert set(versions) <= {BACKLOG // EPISODES_OF_IT, BACKLOG // EPISODES_OF_IT + 1}
        assert len(await column("select distinct notification from tocsin.attempt")) == BACKLOG
        assert await column("select count(*) from tocsin.attempt") == [BACKLOG]
        assert await column("select count(*) from tocsin.link") == [len(QUEUES) * BACKLOG]
        chains = await column("select name from tocsin.chain")
        for table, row in ORDERED_BY.items():
            each = f"select min({row}), max({row}) from tocsin.{table}"  # noqa: S608  (names of ours)
            query = f"{each} group by xmin order by min(xmin::text::bigint)"
            batches = await (await connection.execute(query.encode())).fetchall()
            edges = [edge for batch in batches for edge in batch]
            assert edges == sorted(edges), f"{table}: each transaction behind the one before it"
    seals = Seals(pool)
    for chain in chains:
        assert faults(str(chain), await seals.links(str(chain)), await seals.opened(str(chain))) == []
