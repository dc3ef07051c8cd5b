"""Is every alert of the geofence kept with what it was decided from, once, and where both were? On the real log
and record, with the real worker and dispatcher.

Cited: F10, invariant 11 (decided again, byte for byte), invariant 15.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from builders import eventually
from past_world import HER, HIM, MEASURE, World

from audit import witness
from audit.recall import Recall
from audit.track import OVER_MS, Tracks
from audit.witness import run_witness
from geofence import shelf, snapshot
from tocsin import subjects
from tocsin.adapters.fixes import FixArchive
from tocsin.adapters.postgres import Pool
from tocsin.adapters.seals import Seals
from tocsin.chain import Item, KeptAs, Kind, Link, faults
from tocsin.clock import MS
from tocsin.errors import RecordUnavailable
from tocsin.model.finding import Code
from tocsin.sealing import episode_chain
from tocsin.wire import decode_order, encode

pytest_plugins = ("database",)

DECIDE_AGAIN = """
import sys
from audit.case import check
payload = sys.stdin.buffer.read()
assert not {"nats", "psycopg"} & sys.modules.keys(), "nothing that could ask a server"
print(*check(payload), sep="\\n", end="")
"""


class Killed(Exception):
    """kill -9 between the commit and the settling."""


class Fatal(Seals):
    """Commits, and dies."""

    async def seal(self, items: Sequence[Item], **how: Any) -> list[Link]:
        links = await super().seal(items, **how)
        if links:
            raise Killed
        return links


class Away(Seals):
    """A record that is down for a while, in which nothing is committed."""

    asked = 0

    async def seal(self, items: Sequence[Item], **how: Any) -> list[Link]:
        self.asked += bool(items)
        if items and self.asked < 4:
            raise RecordUnavailable("down")
        return await super().seal(items, **how)


class WitnessWorld(World):
    seals_of: type[Seals] = Seals

    async def _witness(self, ready: Any) -> None:
        bus, seals = self.bus, self.seals_of(self.pool)
        recall = Recall(bus.log, bus.snapshots, partitions=1, clock=self.clock)
        tracks = Tracks(
            log=bus.log, devices=bus.devices, orders=bus.orders, archive=FixArchive(self.pool), recall=recall,
            seals=seals, clock=self.clock,
        )  # fmt: skip
        await run_witness(log_=bus.log, recall=recall, seals=seals, tracks=tracks, clock=self.clock, ready=ready)

    async def crosses(self) -> None:
        """From beyond the pre-alert distance into the alert ring."""
        for number, metres in enumerate((4_000.0, 2_600.0, 1_400.0, 700.0, 650.0)):
            await self.says(HER, 60.0 * (1 + number), 0.0)
            await self.says(HIM, 60.0 * (1 + number) + 5.0, metres)

    async def sealed(self, code: Code, kind: Kind) -> list[Link]:
        """The links of a kind in the chain of the alert; as soon as there are any."""

        async def found() -> list[Link]:
            episode = await self.episode(code)
            chain = [] if episode is None else await Seals(self.pool).links(episode_chain(episode.id))
            return [link for link in chain if link.kind is kind]

        links: list[Link] = await eventually(found, within_s=30)
        return links

    async def payloads(self, code: Code, kind: Kind) -> list[bytes]:
        links = await self.sealed(code, kind)
        opened = await Seals(self.pool).opened(links[0].chain)
        assert faults(links[0].chain, await Seals(self.pool).links(links[0].chain), opened) == []
        return [opened[link.number].payload for link in links]

    async def standing(self) -> None:
        """The worker has judged what was said: the pair has a standing."""

        async def is_known() -> bool:
            return await self.bus.standings.get(MEASURE) is not None

        await eventually(is_known, within_s=30)

    async def settled(self, *queues: str) -> None:
        """Every ruling is through these queues of the witness."""

        async def is_so() -> bool:
            both = [await self.bus.log.progress(subjects.EPISODES, name) for name in queues]
            return all(one.end == one.settled for one in both)

        await eventually(is_so, within_s=30)

    async def has_raised(self, code: Code) -> None:
        async def is_there() -> bool:
            return await self.episode(code) is not None

        await eventually(is_there, within_s=30)


@pytest.fixture
async def world(bus: Any, pool: Pool) -> WitnessWorld:
    made = WitnessWorld(bus, pool)
    await made.furnish()
    return made


async def decided_again(payload: bytes) -> str:
    """What differs, in a process of its own that knows of no server."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", DECIDE_AGAIN],
        input=payload,
        capture_output=True,
        env=bare,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


async def test_an_alert_is_decided_again_without_a_server(world: WitnessWorld) -> None:
    async with world.running("worker", "dispatcher", "witness"):
        await world.crosses()
        (link,) = await world.sealed(Code.PROX_ALERT, Kind.CASE)
        (payload,) = await world.payloads(Code.PROX_ALERT, Kind.CASE)
    case = json.loads(payload)
    assert (link.source, link.kept_as) == (f"case:{case['finding']['id']}", KeptAs.MEASURE_FILE)
    assert case["finding"]["code"] == "PROX_ALERT"
    assert (case["inputs"][-1]["type"], case["differs"]) == ("fix", [])
    assert await decided_again(payload) == ""
    case["inputs"][-1]["row"][case["columns"].index("lat_e6")] += 1
    assert "the finding is another" in await decided_again(json.dumps(case).encode())


async def test_what_a_changed_order_raises_is_decided_again(world: WitnessWorld) -> None:
    """No fix and no tick: the distance became five kilometres, and he stands at three."""
    async with world.running("worker", "dispatcher", "witness"):
        await world.says(HER, 60.0, 0.0)
        await world.says(HIM, 65.0, 3_000.0)
        before = await world.bus.orders.get(MEASURE)
        assert before is not None
        wider = msgspec.structs.replace(decode_order(before), version=2, alert_distance_m=5_000)
        await world.standing()
        world.at(70.0)
        await world.bus.orders.put(MEASURE, encode(wider))
        (payload,) = await world.payloads(Code.PROX_ALERT, Kind.CASE)
    case = json.loads(payload)
    assert (case["inputs"][-1]["type"], case["finding"]["order_version"]) == ("revised", 2)
    assert await decided_again(payload) == ""


async def test_killed_between_commit_and_settling_it_seals_one_case(world: WitnessWorld) -> None:
    world.seals_of = Fatal
    async with world.running("worker", "dispatcher"):
        await world.crosses()
        await world.has_raised(Code.PROX_ALERT)
        dying = await world.start("witness")
        async with asyncio.timeout(20):
            await asyncio.wait({dying})
        assert dying.exception() is not None
        world.seals_of = Seals
        async with world.running("witness"):
            await world.settled("witness")
            assert len(await world.sealed(Code.PROX_ALERT, Kind.CASE)) == 1


async def test_while_the_record_is_down_cases_wait(world: WitnessWorld) -> None:
    world.seals_of = Away
    async with world.running("worker", "dispatcher", "witness"):
        await world.crosses()
        (payload,) = await world.payloads(Code.PROX_ALERT, Kind.CASE)
    assert await decided_again(payload) == ""


async def test_a_case_that_cannot_be_made_is_sealed_as_that_and_told(
    world: WitnessWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shelf and its snapshots are gone: never silently."""
    monkeypatch.setattr(witness, "EARLY_TRIES", 2)
    async with world.running("worker", "dispatcher"):
        await world.crosses()
        await world.has_raised(Code.PROX_ALERT)
    await world.bus.snapshots.put(shelf.shelf_name(0, 1), b"not a shelf")  # by now nobody makes it anew
    async with world.running("witness"):
        (payload,) = await world.payloads(Code.PROX_ALERT, Kind.CASE)
        assert json.loads(payload)["why"] == "no_snapshot"
        assert "no snapshot" in await decided_again(payload)
        notice = await eventually(
            lambda: world.bus.log.last(subjects.NOTICES, subjects.notice(Code.SYS_AUDIT.value))
        )
        assert b"no_snapshot" in notice.payload


async def test_a_snapshot_that_comes_late_to_the_shelf_is_waited_for(
    world: WitnessWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log that stood still for seconds just then has cost no case, and nobody is told."""
    monkeypatch.setattr(witness, "UNSHELVED_MS", 3_600 * MS)  # the crossing takes some minutes of the world's
    name = shelf.shelf_name(0, 1)
    async with world.running("worker", "dispatcher"):
        await world.crosses()
        await world.has_raised(Code.PROX_ALERT)
    known = await world.bus.snapshots.get(name)
    assert known is not None
    await world.bus.snapshots.put(name, b"not a shelf")
    async with world.running("witness"):
        await asyncio.sleep(witness.EARLY_MS / MS + 1.0)  # longer than a case that differs is doubted
        await world.bus.snapshots.put(name, known)
        (payload,) = await world.payloads(Code.PROX_ALERT, Kind.CASE)
        assert await decided_again(payload) == ""
    assert await world.bus.log.last(subjects.NOTICES, subjects.notice(Code.SYS_AUDIT.value)) is None


async def test_the_shelf_keeps_what_was_newest(world: WitnessWorld) -> None:
    """Each snapshot that a worker wrote lies in the slot that the shelf says, and is the one that it says."""
    async with world.running("worker"):
        await world.says(HER, 60.0, 0.0)
        await world.standing()
    async with world.running("worker"):
        await world.says(HIM, 70.0, 5_000.0)
    bus = world.bus
    slots = shelf.load(await bus.snapshots.get(shelf.shelf_name(0, 1))).slots
    assert len(slots) >= 3
    assert len({slot.number for slot in slots}) == len(slots)
    for slot in slots:
        payload = await bus.snapshots.get(shelf.slot_name(0, 1, slot.number))
        assert payload is not None
        kept = snapshot.load(payload)
        assert (kept.sequence, kept.place.step) == (slot.sequence, slot.step)
    assert await bus.snapshots.get(shelf.newest_name(0, 1)) == payload


async def test_where_both_were_is_sealed_when_it_is_over(world: WitnessWorld) -> None:
    async with world.running("worker", "dispatcher", "archivist"):
        await world.crosses()
        for at_s, metres in ((400.0, 1_300.0), (460.0, 1_500.0), (520.0, 1_700.0)):
            await world.says(HIM, at_s, metres)

        async def is_over() -> bool:
            episode = await world.episode(Code.PROX_ALERT)
            return episode is not None and episode.over_ms is not None

        await eventually(is_over, within_s=30)
        await world.archived(13)
        world.later(OVER_MS)
        async with world.running("witness"):
            (payload,) = await world.payloads(Code.PROX_ALERT, Kind.TRACK)
            await world.settled("witness", "witness-tracks")
            (link,) = await world.sealed(Code.PROX_ALERT, Kind.TRACK)
    episode = await world.episode(Code.PROX_ALERT)
    assert episode is not None
    track = json.loads(payload)
    assert (link.source, link.kept_as) == (f"track:{episode.over_ms}", KeptAs.MEASURE_FILE)
    assert track["devices"].keys() == {HER, HIM}
    assert (track["from_ms"], track["until_ms"]) == (episode.opened_ms - 1_800_000, episode.over_ms)
    his = track["devices"][HIM]
    assert his["columns"][:4] == ["measured_ms", "received_ms", "lat_e6", "lon_e6"]
    assert [row[0] for row in his["rows"]] == sorted(row[0] for row in his["rows"])
    assert len(his["rows"]) >= 6


async def test_what_is_written_over_while_it_is_read_is_read_again(bus: Any) -> None:
    """The chunks of the one that was begun with are gone: whoever waits for them waits for ever."""
    writing = True

    async def write() -> None:
        number = 0
        while writing:
            number += 1
            await bus.snapshots.put("shelf", b"%d" % number)
            await asyncio.sleep(0.005)

    await bus.snapshots.put("shelf", b"0")
    writer = asyncio.create_task(write())
    async with asyncio.timeout(60):
        read = [int(await bus.snapshots.get("shelf") or b"-1") for _ in range(40)]
    writing = False
    await writer
    assert read == sorted(read)
    assert read[0] >= 0
