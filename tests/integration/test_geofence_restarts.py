"""On the real log, a worker that dies at least twenty times says what one that never died would have (F01, F02).

The clock runs at sixty times the wall's: an exit by the hour (60 s) takes a second.
The fixes come from a world that does not care about deaths. What FIXES and JOURNAL give through the bare engine,
in one go, is what must stand on FINDINGS: no more, no less, the same bytes but for t5.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import deque
from contextlib import asynccontextmanager

import numpy as np
from geofence_lives import DEVICES, Killed, Mortal, Mortality, without_t5
from geofence_pairs import T0_MS, fix, order

from geofence import engine, journal
from geofence.pair_table import PairTable, Roster, roster_of, stack
from geofence.scribe import PartitionTaken
from geofence.worker import Doors, run_worker
from tocsin import subjects
from tocsin.clock import AffineClock
from tocsin.present import upto_present
from tocsin.subjects import COMMANDS, FINDINGS, FIXES, JOURNAL
from tocsin.wire import decode_finding, decode_fixes, encode, encode_fixes

LIVES = 20
TICKS = 2  # so many must have mattered, however many lives that takes
RATE = 60.0
WEARERS = (1, 3, 5, 7)
ORDERS = tuple(order(f"msr_{wearer}", wearer, wearer + 1) for wearer in WEARERS)
PLACES_M = (700.0, 750.0, 1150.0)  # in, in, out once, as a car can; then silence until the hour says so
SILENT_S = 70.0


class World:
    """Fixes, findings and workers on one real bus."""

    def __init__(self, bus):
        self.bus = bus
        self.clock = AffineClock(epoch_ms=T0_MS, anchor_ms=round(time.time() * 1000), rate=RATE)
        self.names = (f"life {number}" for number in itertools.count())

    async def furnish(self):
        for device in DEVICES.values():
            await self.bus.devices.put(device.id, encode(device))
        for one in ORDERS:
            await self.bus.orders.put(one.id, encode(one))
        return self

    def now_s(self):
        return (self.clock.now_ms() - T0_MS) / 1000

    async def live(self, wearer):
        """One couple, without end."""
        for seq in itertools.count():
            for east_m in PLACES_M:
                now_s = self.now_s()
                both = [fix(wearer + 1, now_s, seq=seq), fix(wearer, now_s, east_m, seq=seq)]
                payload = encode_fixes(np.concatenate(both))
                await self.bus.log.append(subjects.fixes(0), payload)
                await self.clock.sleep(5.0)
            await self.clock.sleep(SILENT_S)

    @asynccontextmanager
    async def people(self):
        living = [asyncio.create_task(self.live(wearer)) for wearer in WEARERS]
        try:
            yield
        finally:
            for one in living:
                one.cancel()
            await asyncio.gather(*living, return_exceptions=True)

    def worker(self, mortality=None, ready=lambda: None):
        bus, mortality = self.bus, mortality or Mortality()
        doors = Doors(
            log=Mortal(bus.log, mortality),
            devices=bus.devices,
            orders=bus.orders,
            standings=Mortal(bus.standings, mortality),
            snapshots=Mortal(bus.snapshots, mortality),
        )
        return asyncio.create_task(
            run_worker(doors, partition=0, partitions=1, clock=self.clock, life=next(self.names), ready=ready)
        )

    async def entries(self, stream):
        reader = self.bus.log.read(stream, stream.subjects)
        return [entry async for some in upto_present(reader) for entry in some]

    async def findings(self):
        """By code and measure, in the order of the log."""
        found = {}
        for entry in await self.entries(FINDINGS):
            one = decode_finding(entry.payload)
            assert entry.subject == subjects.findings(0, one.code.value)
            found.setdefault((one.code, one.measure), []).append(without_t5(one))
        return found

    async def explained(self):
        """What FIXES and JOURNAL give, in one go, without any worker."""
        roster = roster_of(ORDERS, DEVICES, partition=0, partitions=1)
        table, _ = engine.revise(PairTable(Roster()), roster, 0)
        found = {}
        written = journal.read(await self.entries(JOURNAL), journal.START)
        assert (written.missing, written.unreadable) == (0, ())
        ticks = deque(written.ticks)
        for piece in [*journal.merged(await self.entries(FIXES), ticks), *ticks]:
            if isinstance(piece, journal.Written):
                judged = engine.step(table, stack(()), piece.tick.now_ms)
            else:
                judged = engine.step(table, stack(decode_fixes(entry.payload) for entry in piece), 0)
            for one in judged.findings:
                found.setdefault((one.code, one.measure), []).append(without_t5(one))
        return found


async def test_killed_twenty_times_it_resumes_to_the_same(bus):
    seed = random.randrange(10**6)
    chance, world = random.Random(seed), await World(bus).furnish()
    async with world.people():
        lives = 0
        while lives < LIVES or len(await world.entries(JOURNAL)) < TICKS:
            lives += 1
            mortality = Mortality(chance.randint(3, 16), after=chance.random() < 0.5)
            life = world.worker(mortality)
            async with asyncio.timeout(20):
                await asyncio.wait({life})
            assert life.exception().split(Killed)[1] is None, f"seed {seed}"
    await finished(world)
    assert await world.findings() == await world.explained(), f"seed {seed}"


async def finished(world):
    """One last life, which judges what is left and comes to an orderly end."""
    ready = asyncio.Event()
    life = world.worker(ready=ready.set)
    async with asyncio.timeout(20):
        await ready.wait()
    life.cancel()
    await asyncio.wait({life})


async def test_of_two_workers_one_gives_up(bus):
    """F02: a partition is judged by one. Whoever finds another's tick in the journal stops, and names it."""
    world = await World(bus).furnish()
    ready = [asyncio.Event(), asyncio.Event()]
    workers = {world.worker(ready=one.set) for one in ready}
    async with world.people(), asyncio.timeout(30):
        for one in ready:
            await one.wait()
        gone, left = await asyncio.wait(workers, return_when=asyncio.FIRST_COMPLETED)
    (loser,), (winner,) = gone, left
    assert loser.exception().split(PartitionTaken)[1] is None
    winner.cancel()
    await asyncio.wait({winner})
    await finished(world)
    assert await world.findings() == await world.explained()


async def test_the_streams_of_journal_and_commands_are_made(bus):
    for stream, subject in (
        (JOURNAL, subjects.journal(0)),
        (COMMANDS, subjects.command("b0000001", 0, "setCadence")),
    ):
        first = await bus.log.append(subject, b"1", expected_last=0)
        await bus.log.append(subject, b"2", expected_last=first.sequence)
        assert (await bus.log.extent(stream)).messages == 2
