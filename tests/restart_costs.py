"""What do a tick, fifty findings, a snapshot and a restart cost? The figures of docs/adr/0024.

    .venv/bin/python tests/restart_costs.py

A broker of its own, one partition of 10,000 pairs with names and places drawn from a seed. One line a figure.
Latencies are medians; everything runs in one process beside the broker.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np

sys.path.append(str(Path(__file__).parent / "unit/geofence"))
from geofence_pairs import T0_MS, P, W, World, device, order

from geofence import engine, snapshot
from geofence.order_watch import Revision
from geofence.publisher import Publisher
from geofence.scribe import Scribe
from geofence.worker import Doors, Worker
from tocsin import subjects
from tocsin.adapters.jetstream import Bus, open_bus
from tocsin.clock import AffineClock
from tocsin.embedded import EmbeddedBroker
from tocsin.model.fix import FIX_DTYPE
from tocsin.model.order import Order
from tocsin.wire import encode, encode_fixes

PAIRS = 10_000
CLOCK = AffineClock()
CHANCE = np.random.default_rng(1)


def told(what: str, value: float, unit: str) -> None:
    print(f"{what:45} {value:12.2f} {unit}")


async def seconds(work) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


def fixes(first: int, size: int):
    """Any devices of the partition, each somewhere in 7 km, and its other party 30 km away: nothing is found."""
    some = np.zeros(size, FIX_DTYPE)
    some["device"] = CHANCE.integers(1, 2 * PAIRS + 1, size)
    some["fix_ms"] = some["t3_ms"] = some["t4_ms"] = T0_MS + 1000 * first + np.arange(size)
    some["sent_ms"], some["boot"], some["seq"] = -1, 7919 * some["device"], first + np.arange(size)
    some["accuracy_dm"] = CHANCE.integers(30, 300, size)
    some["lat_e6"] = 48_000_000 + 100 * (some["device"] // 2) + CHANCE.integers(0, 20_000, size)
    some["lon_e6"] = 2_000_000 + 500_000 * (some["device"] % 2) + CHANCE.integers(0, 100_000, size)
    return encode_fixes(some)


def revision() -> Revision:
    orders = tuple(
        Order(
            id=f"msr_{CHANCE.bytes(16).hex()}", version=1, wearer=device(2 * n + 1).id,
            protected=device(2 * n + 2).id, alert_distance_m=1000, valid_from_ms=0, valid_until_ms=2**61,
        )
        for n in range(PAIRS)
    )  # fmt: skip
    return Revision(orders=orders, devices={device(n).id: device(n) for n in range(1, 2 * PAIRS + 1)})


def worker(bus: Bus, life: str) -> Worker:
    doors = Doors(
        log=bus.log, devices=bus.devices, orders=bus.orders, standings=bus.standings, snapshots=bus.snapshots
    )
    return Worker(doors, partition=0, partitions=1, clock=CLOCK, life=life)


async def ticks(bus: Bus) -> None:
    scribe = Scribe(bus.log, 1, "f" * 32, CLOCK)
    took = sorted([await seconds(scribe.write(step=n, now_ms=T0_MS, after=10**6)) for n in range(1, 2001)])
    told("a tick in the journal, median", 1000 * took[1000], "ms")
    told("a tick in the journal, 99 %", 1000 * took[1980], "ms")
    state = (await bus.client.jetstream().stream_info("JOURNAL")).state
    told("a tick in the journal", state.bytes / state.messages, "bytes")


async def findings(bus: Bus) -> None:
    world = World(order())
    world.fix(P, 0)
    world.fix(W, 1, 500)
    (one,) = world.findings
    steps = [
        [msgspec.structs.replace(one, id=f"fnd_{turn}_{n}", measure=f"msr_{n}") for n in range(50)]
        for turn in range(40)
    ]
    publisher = Publisher(bus.log, bus.standings, partition=1, clock=CLOCK)

    async def one_by_one(some) -> None:
        for finding in some:
            await bus.log.append(subjects.findings(1, "PROX_ALERT"), encode(finding), dedupe_id=finding.id)

    async def in_a_wave(some) -> None:
        publisher.hold(engine.Step(findings=tuple(some)))
        await publisher.tell_findings()

    for how, some in ((one_by_one, steps[:20]), (in_a_wave, steps[20:])):
        took = [await seconds(how(step)) for step in some]
        told(f"50 findings, {how.__name__}", 1000 * statistics.median(took), "ms")


async def restarts(bus: Bus) -> None:
    measures = revision()
    told("a start with nothing at all", await seconds(worker(bus, "a").begin(measures)), "s")
    told("a start with a snapshot, nothing behind it", await seconds(worker(bus, "b").begin(measures)), "s")
    for base in range(0, 20_000, 500):
        await asyncio.gather(
            *(bus.log.append(subjects.fixes(0), fixes(2 * n, 2)) for n in range(base, base + 500))
        )
    told("a start with 20,000 messages of 2 fixes behind", await seconds(worker(bus, "c").begin(measures)), "s")
    for n in range(1000):
        await bus.log.append(subjects.fixes(0), fixes(40_000 + 500 * n, 500))
    last = worker(bus, "d")
    told("the same and 1,000 messages of 500 fixes", await seconds(last.begin(measures)), "s")
    last._changed = True
    told("a snapshot, written", 1000 * await seconds(last.save()), "ms")
    payload = snapshot.dump(snapshot.Snapshot(table=last.table, sequence=last.sequence))
    told("a snapshot", len(payload) / 1000, "kB")


async def main() -> None:
    home = Path(tempfile.mkdtemp(prefix="t-"))
    server = EmbeddedBroker(home=home, service_password="costs")
    try:
        async with open_bus((await server.start()).nats_url, "costs") as bus:
            for part in (ticks, findings, restarts):
                await part(bus)
    finally:
        await server.stop()
        shutil.rmtree(home)


if __name__ == "__main__":
    asyncio.run(main())
