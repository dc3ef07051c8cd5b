"""What do a case and the shelf cost? The figures of docs/adr/0043.

    .venv/bin/python tests/case_costs.py

One partition of 10,000 pairs, as in tests/restart_costs.py, and 20,000 fixes behind the snapshot.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from restart_costs import PAIRS, T0_MS, P, W, fixes, order, revision, told

from audit.case import case_of, check
from geofence import engine, journal, snapshot
from geofence.keeper import Keeper
from geofence.pair_table import PairTable, Roster, roster_of
from geofence.snapshot import Snapshot
from tocsin.adapters.jetstream import open_bus
from tocsin.clock import AffineClock
from tocsin.embedded import EmbeddedBroker
from tocsin.model.fix import FIX_DTYPE
from tocsin.wire import decode_fixes

BEHIND = 20_000


def partition() -> tuple[Snapshot, list[tuple[int, np.ndarray]], list[journal.Written], engine.Step]:
    measures = revision()
    roster = roster_of((*measures.orders, order("msr_x", W, P)), measures.devices, partition=0, partitions=1)
    table, _ = engine.revise(PairTable(Roster()), roster, T0_MS)
    engine.step(table, decode_fixes(fixes(0, 5 * PAIRS)), 0)
    payload = snapshot.dump(Snapshot(table=table, sequence=1))
    told("a snapshot", len(payload) / 1000, "kB")
    began = time.perf_counter()
    kept = snapshot.load(payload)
    told("a snapshot, loaded", 1000 * (time.perf_counter() - began), "ms")
    behind = [(2 + n, decode_fixes(fixes(5 * PAIRS + 500 * n, 500))) for n in range(BEHIND // 500)]
    ticks = [
        journal.Written(
            tick=journal.Tick(step=n + 1, now_ms=T0_MS + 100_000 + 1000 * n, after=1 + n // 8, life="a"),
            place=journal.Place(step=n + 1, sequence=n + 1),
        )
        for n in range(300)
    ]
    last = np.zeros(2, FIX_DTYPE)
    last["device"], last["accuracy_dm"], last["sent_ms"], last["seq"] = [P, W], 50, -1, 10**6
    last["fix_ms"] = last["t3_ms"] = last["t4_ms"] = T0_MS + 600_000
    last["lat_e6"], last["lon_e6"] = 48_000_000, [2_000_000, 2_001_000]
    behind.append((behind[-1][0] + 1, last))
    for one in (*journal_order(behind, ticks),):
        step = engine.step(table, *one)
    return kept, behind, ticks, step


def journal_order(behind, ticks):
    for sequence, some in behind:
        yield some, 0
        for one in ticks:
            if one.tick.after == sequence:
                yield np.empty(0, FIX_DTYPE), one.tick.now_ms


async def main() -> None:
    kept, behind, ticks, step = partition()
    (finding, *_) = step.findings
    began = time.perf_counter()
    payload = case_of(kept, finding, behind, ticks)
    made = time.perf_counter()
    assert check(payload) == []
    told("a case, made", 1000 * (made - began), "ms")
    told("a case, checked", 1000 * (time.perf_counter() - made), "ms")
    told("a case", len(payload) / 1000, "kB")
    home = Path(tempfile.mkdtemp(prefix="t-"))
    server = EmbeddedBroker(home=home, service_password="costs")
    try:
        async with open_bus((await server.start()).nats_url, "costs") as bus:
            keeper = Keeper(bus.snapshots, partition=0, partitions=1, clock=AffineClock())
            for what, work in (
                ("a snapshot, saved", lambda: keeper.save(kept)),
                ("put on the shelf", keeper.shelve),
            ):
                began = time.perf_counter()
                await work()
                told(what, 1000 * (time.perf_counter() - began), "ms")
    finally:
        await server.stop()
        shutil.rmtree(home)


if __name__ == "__main__":
    asyncio.run(main())
