"""The worker among the twins: what it publishes, what it survives."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import numpy as np
import pytest
from geofence_pairs import T0_MS, P, W, device, fix, order

from geofence import journal, snapshot
from geofence.durable import PUBLISH_FOR_S
from geofence.order_watch import OrderWatch
from geofence.worker import Doors, run_worker
from tocsin import subjects
from tocsin.errors import LogUnavailable
from tocsin.subjects import JOURNAL
from tocsin.testing.bus import MemoryBucket, MemoryLog, MemoryObjects
from tocsin.wire import decode_finding, encode, encode_fixes


class HandClock:
    """A clock that a test moves by hand; whoever sleeps wakes when it has passed."""

    def __init__(self):
        self.ms = T0_MS
        self._moved = asyncio.Condition()

    def now_ms(self):
        return self.ms

    wall_ms = now_ms

    async def sleep(self, seconds):
        until = self.ms + 1000 * seconds
        async with self._moved:
            await self._moved.wait_for(lambda: self.ms >= until)

    async def move(self, seconds):
        async with self._moved:
            self.ms += round(1000 * seconds)
            self._moved.notify_all()


class EagerClock(HandClock):
    """Sleeping is free and moves the hour."""

    async def sleep(self, seconds):
        self.ms += round(1000 * seconds)
        await asyncio.sleep(0)


class Site:
    """The world around one worker."""

    def __init__(self):
        self.log, self.snapshots, self.clock = MemoryLog(), MemoryObjects(), HandClock()
        self.devices, self.orders, self.standings = MemoryBucket(), MemoryBucket(), MemoryBucket()
        self.lives = 0

    async def furnish(self, *orders):
        for number in range(1, 5):
            await self.devices.put(device(number).id, encode(device(number)))
        for one in orders or (order(),):
            await self.orders.put(one.id, encode(one))
        return self

    async def send(self, *fixes):
        return (await self.log.append(subjects.fixes(0), encode_fixes(np.concatenate(fixes)))).sequence

    @asynccontextmanager
    async def worker(self):
        """A worker that has reached the present, killed at the end."""
        ready = asyncio.Event()
        self.lives += 1
        task = asyncio.create_task(
            run_worker(
                self.doors,
                partition=0,
                partitions=1,
                clock=self.clock,
                life=f"life {self.lives}",
                ready=ready.set,
            )
        )
        present = asyncio.create_task(ready.wait())
        await asyncio.wait({task, present}, return_when=asyncio.FIRST_COMPLETED)
        present.cancel()
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait({task})

    @property
    def doors(self):
        return Doors(
            log=self.log,
            devices=self.devices,
            orders=self.orders,
            standings=self.standings,
            snapshots=self.snapshots,
        )

    @property
    def found(self):
        """Of the rings: what silence does meanwhile is told in other tests."""
        found = (decode_finding(entry.payload) for entry in self.log.entries(subjects.FINDINGS))
        return [one for one in found if one.code.value.startswith("PROX_")]

    async def told(self, number):
        """Wait until so many findings of the rings are on the log."""
        async for _ in self.log.read(subjects.FINDINGS, subjects.findings(0, "*")):
            if len(self.found) >= number:
                return [(one.code.value, one.change.value, one.reason) for one in self.found]
        return None


IN = ("PROX_ALERT", "entry", "inside_alert_distance")
OUT = ("PROX_ALERT", "exit", "outside_two_fixes")
OUT_BY_THE_HOUR = ("PROX_ALERT", "exit", "outside_60_s")


async def test_an_approach_is_published_under_its_own_id():
    site = await Site().furnish()
    async with site.worker():
        await site.send(fix(P, 0), fix(W, 1, 950))
        assert await site.told(1) == [IN]
    (entry,) = site.log.entries(subjects.FINDINGS)
    assert entry.subject == "log.finding.0.PROX_ALERT"
    assert (await site.log.append(entry.subject, b"", dedupe_id=site.found[0].id)).duplicate


async def test_fixes_that_waited_are_judged_before_it_is_ready():
    site = await Site().furnish()
    await site.send(fix(P, 0), fix(W, 1, 950))
    async with site.worker():
        assert len(site.found) == 1


async def test_a_second_life_tells_nothing_twice_and_forgets_nothing():
    site = await Site().furnish()
    async with site.worker():
        await site.send(fix(P, 0), fix(W, 1, 950))
        await site.told(1)
        await site.send(fix(W, 3, 1110))
    await site.send(fix(W, 5, 1110))
    async with site.worker():
        assert await site.told(2) == [IN, OUT]
    site.snapshots = MemoryObjects()
    async with site.worker():
        assert [one.change.value for one in site.found] == ["entry", "exit"]


async def test_a_damaged_snapshot_costs_a_replay():
    site = await Site().furnish()
    await site.snapshots.put("geofence-0-of-1", b"not a snapshot")
    await site.send(fix(P, 0), fix(W, 1, 950))
    async with site.worker():
        assert await site.told(1) == [IN]


async def test_a_batch_that_cannot_be_read_does_not_stop_the_next():
    site = await Site().furnish()
    await site.log.append(subjects.fixes(0), b"TOCFIX\x00\x09")
    await site.send(fix(P, 0), fix(W, 1, 950))
    async with site.worker():
        assert await site.told(1) == [IN]


async def test_a_tick_finds_what_nobody_contradicted():
    site = await Site().furnish()
    async with site.worker():
        await site.send(fix(P, 0), fix(W, 1, 950), fix(W, 3, 1110))
        await site.told(1)
        await site.clock.move(64)
        assert await site.told(2) == [IN, OUT_BY_THE_HOUR]


async def test_a_changed_measure_is_judged_without_a_fix():
    site = await Site().furnish()
    async with site.worker():
        await site.send(fix(P, 0), fix(W, 1, 950), fix(W, 3, 1110), fix(W, 5, 1110))
        await site.told(2)
        await site.orders.put("msr_a", encode(order(version=2, alert_distance_m=2000)))
        while len(site.found) < 3:
            await site.clock.move(0.1)
            await asyncio.sleep(0)
    assert site.found[-1].order_version == 2


class Stubborn(MemoryLog):
    """Refuses findings for a while."""

    refusals = 0

    async def append(self, subject, payload, **kwargs):
        if subject.startswith("log.finding") and self.refusals:
            self.refusals -= 1
            raise LogUnavailable(subject)
        return await super().append(subject, payload, **kwargs)


async def test_a_finding_waits_for_the_log():
    site = Site()
    site.log, site.clock = Stubborn(), EagerClock()
    site.log.refusals = 5
    await site.furnish()
    await site.send(fix(P, 0), fix(W, 1, 950))
    async with site.worker():
        assert await site.told(1) == [IN]


async def test_a_worker_that_cannot_publish_dies_and_the_next_one_publishes():
    site = Site()
    site.log, site.clock = Stubborn(), EagerClock()
    site.log.refusals = 10**6
    await site.furnish()
    await site.send(fix(P, 0), fix(W, 1, 950))
    async with site.worker() as task:
        await asyncio.wait({task})
        assert task.exception().split(LogUnavailable)[1] is None
    assert site.clock.ms >= T0_MS + 1000 * PUBLISH_FOR_S
    site.log.refusals = 0
    async with site.worker():
        assert await site.told(1) == [IN]


class Slow(MemoryLog):
    """Takes many turns of the loop before it gives the first entry."""

    async def read(self, *args, **kwargs):
        for _ in range(100):
            await asyncio.sleep(0)
        async for entries in super().read(*args, **kwargs):
            yield entries


async def test_a_replay_lives_in_its_own_hour():
    """The measure is over when the worker starts, and was not when these fixes were sent; ticks come meanwhile."""
    site = Site()
    site.log, site.clock = Slow(), EagerClock()
    site.clock.ms += 500_000
    await site.furnish(order(valid_until_ms=T0_MS + 100_000))
    await site.send(fix(P, 0), fix(W, 1, 950))
    async with site.worker():
        assert await site.told(2) == [IN, ("PROX_ALERT", "exit", "measure_ended")]


class Watched(MemoryObjects):
    """Tells what is written under the name that a worker begins from."""

    def __init__(self):
        super().__init__()
        self.written = asyncio.Queue()

    async def put(self, name, value):
        await super().put(name, value)
        if name == "geofence-0-of-1":
            await self.written.put(value)


async def test_what_no_replay_would_give_is_kept_before_it_is_said():
    """A changed measure cannot be read again: its findings lie in a snapshot before anybody hears of them."""
    site = Site()
    site.log, site.snapshots = Stubborn(), Watched()
    await site.furnish()
    async with site.worker():
        await site.send(fix(P, 0), fix(W, 1, 1500))
        await site.told(1)
        site.log.refusals = 10**6
        await site.orders.put("msr_a", encode(order(version=2, alert_distance_m=2000)))
        await site.snapshots.written.get()  # of the first measures
        while site.snapshots.written.empty():
            await site.clock.move(0.1)
            await asyncio.sleep(0)
        kept = snapshot.load(site.snapshots.written.get_nowait())
        assert site.clock.ms < T0_MS + 1000 * PUBLISH_FOR_S, "not in the last moments of one that gave up"
    assert [(one.code.value, one.order_version) for one in kept.outbox] == [("PROX_ALERT", 2)]
    site.log.refusals = 0
    async with site.worker():
        assert (await site.told(2))[1][:2] == IN[:2]


async def test_a_tick_is_in_the_journal_before_it_is_said():
    site = Site()
    site.log = Stubborn()
    await site.furnish()
    async with site.worker():
        seen = await site.send(fix(P, 0), fix(W, 1, 950), fix(W, 3, 1110))
        await site.told(1)
        site.log.refusals = 10**6
        await site.clock.move(64)
        async for entries in site.log.read(JOURNAL, subjects.journal(0)):
            if entries:
                break
    ticks = [journal.decode(entry.payload) for entry in site.log.entries(JOURNAL)]
    assert [(one.step, one.now_ms, one.after) for one in ticks] == [(1, site.clock.ms, seen)]
    assert len(site.found) == 1
    site.log.refusals = 0
    async with site.worker():
        assert await site.told(2) == [IN, OUT_BY_THE_HOUR]


async def test_a_burst_of_orders_is_one_revision():
    site = await Site().furnish()
    revisions = asyncio.Queue()
    watch = OrderWatch(devices=site.devices, orders=site.orders, clock=site.clock)
    task = asyncio.create_task(watch.run(revisions.put))
    first = await revisions.get()
    assert ([one.id for one in first.orders], len(first.devices)) == (["msr_a"], 4)
    for number in range(20):
        await site.orders.put(f"msr_{number}", encode(order(f"msr_{number}")))
    await site.orders.put("msr_a", b"\x09 of another version")
    await site.orders.delete("msr_0")
    while revisions.empty():
        await site.clock.move(0.1)
        await asyncio.sleep(0)
    assert {one.id for one in revisions.get_nowait().orders} == {"msr_a", *(f"msr_{n}" for n in range(1, 20))}
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
