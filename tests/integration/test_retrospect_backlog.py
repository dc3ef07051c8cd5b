"""A carrier comes back and fifty pairs say at once what they buffered: is that looked at in bounded memory, once,
and is each incursion of it found? (F05)

The real record; an archive in place of the archivist, with which this is not concerned.
"""

from __future__ import annotations

import asyncio
import tracemalloc
from typing import Final

import numpy as np
from builders import frozen_clock

from geofence.assumptions import PAST_SETTLES_MS
from geofence.retrospect import DUE_MAX, LookBack
from tocsin import subjects
from tocsin.adapters.fixes import FixArchive
from tocsin.adapters.orders import Orders
from tocsin.adapters.postgres import Pool
from tocsin.adapters.retrospect import SLOT_MS, Retrospect
from tocsin.model.device import DeviceKind
from tocsin.model.finding import Code, Finding
from tocsin.model.fix import FIX_DTYPE, Fixes, FixFlag
from tocsin.model.order import Order
from tocsin.model.track import TRACK_DTYPE
from tocsin.testing.bus import MemoryLog
from tocsin.wire import decode_finding

pytest_plugins = ("database",)

PAIRS, FIXES, EVERY_S = 50, 300, 30  # each party buffered 300 fixes: two and a half hours
T0_MS: Final = 1_795_219_200_000
END_MS: Final = T0_MS + 1000 * EVERY_S * FIXES
METRES_PER_E6: Final = 0.111195
MEMORY_MAX: Final = 2 * PAIRS * FIXES * TRACK_DTYPE.itemsize
"""Less, at the worst moment and all in all, than the tracks of all pairs in their tightest form: one window of one
measure is in memory at a time, as rows and as arrays, and a page of what is to be told."""


async def furnished(pool: Pool) -> list[tuple[int, int]]:
    """The numbers of each pair's devices."""
    orders, found = Orders(pool), []
    for n in range(PAIRS):
        his = await orders.create_device(f"his-{n:03d}", DeviceKind.WEARER, "x", T0_MS)
        hers = await orders.create_device(f"her-{n:03d}", DeviceKind.PROTECTED, "x", T0_MS)
        order = Order(
            id=f"msr_{n:03d}", version=1, wearer=his.id, protected=hers.id, alert_distance_m=1_000,
            valid_from_ms=T0_MS - 1, valid_until_ms=END_MS + 10**9,
        )  # fmt: skip
        await orders.create_measure(order, by="x", now_ms=T0_MS)
        found.append((his.number, hers.number))
    return found


def buffered(device: int, metres: np.ndarray) -> Fixes:
    fixes = np.zeros(metres.size, FIX_DTYPE)
    fixes["device"], fixes["primary"], fixes["flags"], fixes["accuracy_dm"] = device, 1, FixFlag.BULK, 50
    fixes["fix_ms"] = T0_MS + 1000 * EVERY_S * np.arange(metres.size)
    fixes["t3_ms"], fixes["seq"] = END_MS + 1_000, np.arange(metres.size)
    fixes["lat_e6"], fixes["lon_e6"] = 48_000_000 + np.round(metres / METRES_PER_E6), 2_000_000
    return fixes


def visits(pair: int) -> np.ndarray:
    """5 km away; inside as often as the number of the pair modulo 4, for five minutes each."""
    metres = np.full(FIXES, 5_000.0)
    for visit in range(pair % 4):
        metres[40 + 60 * visit : 50 + 60 * visit] = 500.0 + pair
        metres[[39 + 60 * visit, 50 + 60 * visit]] = 2_500.0
    return metres


async def looked_at(record: Retrospect, clock_ms: int) -> tuple[MemoryLog, int]:
    """The log of findings, and how many turns it took."""
    log, turns = MemoryLog(), 0
    looking = LookBack(log, record, frozen_clock(clock_ms), 1)  # type: ignore[arg-type]
    prox_alerts = subjects.findings("*", Code.PROX_ALERT.value)
    desk = subjects.dispatcher(Code.PROX_ALERT.value)
    async with log.queue(subjects.FINDINGS, desk, parallel=1, subject=prox_alerts):  # up to date: there are none
        while await looking.turn():
            turns += 1
    return log, turns


async def said(log: MemoryLog) -> list[Finding]:
    found: list[Finding] = []
    async for entries in log.read(subjects.FINDINGS, subjects.FINDINGS.subjects):
        if not entries:
            break
        found += [decode_finding(one.payload) for one in entries]
    return found


async def test_a_reconnection_of_fifty_pairs_is_looked_at_once_and_in_bounded_memory(pool: Pool) -> None:
    archive, record = FixArchive(pool), Retrospect(pool)
    numbers = await furnished(pool)
    for pair, (his, hers) in enumerate(numbers):
        both = [buffered(his, visits(pair)), buffered(hers, np.zeros(FIXES))]
        await archive.archive(np.concatenate(both))
    slots = await record.waiting()
    assert slots == 2 * PAIRS * (EVERY_S * FIXES * 1000 // SLOT_MS)
    tracemalloc.start()
    try:
        log, turns = await asyncio.wait_for(looked_at(record, END_MS + PAST_SETTLES_MS + 400_000), 60)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MEMORY_MAX, peak
    assert turns == -(-slots // DUE_MAX), "each quarter of an hour once"
    assert await record.waiting() == 0
    found = await said(log)
    assert {one.code for one in found} == {Code.PAST_INCURSION}
    standing = (await record.said(f"msr_{n:03d}", T0_MS, END_MS) for n in range(PAIRS))
    last = [len(each.findings) - len(each.withdrawn) async for each in standing]
    assert last == [n % 4 for n in range(PAIRS)]
