"""A fleet of 400 pairs that reports once a minute, on the real bus, and what its parts say of it.

Wearers are the numbers 1 to PAIRS, protected persons those + HERS. Pairs 1 to LOST are of carrier ``one``, far
apart; the others, ``OTHERS``, are of carrier ``two``, just outside the pre-alert ring, until ``near_s`` sends each
of them inside. The clock runs ``rate`` times as fast as the wall's, and what a busy machine delays is so many
times later.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import numpy as np
import pytest
from builders import REALM
from geofence_pairs import T0_MS, order
from real_broker import cancelled

from alerts.dispatcher import run_dispatcher
from geofence.assumptions import DEAF_MS
from geofence.fleet_watch import FleetDoors, run_fleet_watch
from geofence.worker import Doors, run_worker
from tocsin import subjects
from tocsin.adapters.jetstream import Bus
from tocsin.clock import AffineClock
from tocsin.model.device import Device, DeviceKind
from tocsin.model.episode import Episode, Ruling
from tocsin.model.finding import Change, Code, Finding
from tocsin.model.fix import FIX_DTYPE, Fixes
from tocsin.subjects import EPISODES, FINDINGS, Stream
from tocsin.wire import decode_finding, decode_ruling, encode, encode_fixes

RATE = 4.0
PAIRS, LOST, EVERY_S = 400, 350, 60
OTHERS = np.arange(LOST + 1, PAIRS + 1)
HERS = 1000
E6_PER_KM = 8_993  # of latitude
WARM_S = 70.0  # everybody has spoken once
P1_HARD_MS = 10_000  # DOMAIN 2: none later, t3 to t8


def name_of(number: int) -> str:
    return f"b{number:07d}"


class World:
    """``lost_s``: since when the carrier is silent. ``near_s``: from when on each pair is inside the alert ring.

    What is on FINDINGS and EPISODES is followed, not asked for again and again: the parts share this loop."""

    def __init__(self, bus: Bus, rate: float = RATE) -> None:
        self.bus = bus
        self.clock = AffineClock(epoch_ms=T0_MS, anchor_ms=round(time.time() * 1000), rate=rate)
        self.lost_s: float | None = None
        self.near_s = np.full(PAIRS + 1, np.inf)
        self.findings: list[Finding] = []
        self.rulings: list[Ruling] = []

    def now_s(self) -> float:
        return (self.clock.now_ms() - T0_MS) / 1000

    async def furnish(self) -> None:
        for n in range(1, PAIRS + 1):
            for number, kind in ((n, DeviceKind.WEARER), (n + HERS, DeviceKind.PROTECTED)):
                one = Device(
                    id=name_of(number), number=number, kind=kind, measures=(f"msr_{n}",), reports_every_s=EVERY_S,
                    carrier="one" if n <= LOST else "two",
                )  # fmt: skip
                await self.bus.devices.put(one.id, encode(one))
            await self.bus.orders.put(f"msr_{n}", encode(order(f"msr_{n}", n, n + HERS)))

    # --- what it says --------------------------------------------------------------------------------------

    def fixes(self, pairs: np.ndarray) -> Fixes:
        """Of both parties, now."""
        fixes = np.zeros(2 * len(pairs), FIX_DTYPE)
        now_ms = self.clock.now_ms()
        fixes["device"] = np.concatenate([pairs, pairs + HERS])
        fixes["seq"], fixes["primary"], fixes["accuracy_dm"] = now_ms // 1000, 1, 50
        for name in ("fix_ms", "sent_ms", "t3_ms", "t4_ms"):
            fixes[name] = now_ms
        apart_km = np.where(pairs <= LOST, 20 + pairs / 10, np.where(self.now_s() >= self.near_s[pairs], 0.9, 2.2))
        km = np.concatenate([apart_km, np.zeros(pairs.size)])
        fixes["lat_e6"] = 43_300_000 + (km * E6_PER_KM).astype(np.int64)
        fixes["lon_e6"], fixes["speed_cms"], fixes["course_ddeg"], fixes["battery_pct"] = 5_400_000, -1, -1, -1
        return fixes

    async def speak(self, fixes: Fixes) -> None:
        await self.bus.log.append(subjects.fixes(0), encode_fixes(fixes))

    async def live(self) -> None:
        """Each pair in its second of the minute; those of the lost carrier while it is there."""
        pairs = np.arange(1, PAIRS + 1)
        done = int(self.now_s())
        while True:
            now = int(self.now_s())
            due = np.isin(pairs % EVERY_S, np.arange(done + 1, now + 1) % EVERY_S)
            if self.lost_s is not None:
                due &= pairs > LOST
            if due.any():
                await self.speak(self.fixes(pairs[due]))
            done = now
            await self.clock.sleep(1.0)

    # --- what is said of it --------------------------------------------------------------------------------

    async def _follow(self, stream: Stream, decoded: Callable[[bytes], Any], into: list[Any]) -> None:
        async with aclosing(self.bus.log.read(stream, stream.subjects)) as reader:
            async for entries in reader:
                into += [decoded(one.payload) for one in entries]

    def found(self, code: Code, change: Change = Change.ENTRY) -> list[Finding]:
        return [one for one in self.findings if one.code is code and one.change is change]

    def episodes(self) -> list[Episode]:
        """The newest state of each."""
        newest = {one.episode.id: one.episode for one in self.rulings}
        return list(newest.values())

    def late_ms(self, since: str = "t3_ms") -> dict[str, int]:
        """Of each alert ring that was raised, by its measure: from there to t6."""
        first = {one.episode.subject: one for one in reversed(self.rulings) if one.episode.code is Code.PROX_ALERT}
        points = {measure: one.episode.raises[0].points for measure, one in first.items()}
        return {measure: one.t6_ms - getattr(one, since) for measure, one in points.items()}

    @asynccontextmanager
    async def lives(self) -> AsyncIterator[None]:
        """All parts at work. One that ends by itself ends the test."""
        heard = asyncio.Event()
        bus = self.bus
        fleet = FleetDoors(
            log=bus.log, devices=bus.devices, orders=bus.orders, incidents=bus.incidents, snapshots=bus.snapshots
        )
        doors = Doors(
            log=bus.log, devices=bus.devices, orders=bus.orders, standings=bus.standings, snapshots=bus.snapshots
        )
        parts = [
            asyncio.create_task(one)
            for one in (
                self._follow(FINDINGS, decode_finding, self.findings),
                self._follow(EPISODES, decode_ruling, self.rulings),
                run_dispatcher(
                    log_=bus.log, clock=self.clock, realm=REALM, ready=lambda: None, devices=bus.devices
                ),
                run_worker(doors, partition=0, partitions=1, clock=self.clock, life="a", ready=lambda: None),
                run_fleet_watch(fleet, clock=self.clock, ready=heard.set),
                self.live(),
            )
        ]
        try:
            with pytest.MonkeyPatch.context() as patch:
                # who did not look for ten seconds is deaf: of the wall, however fast this clock is
                patch.setattr("geofence.fleet_watch.DEAF_MS", round(DEAF_MS * self.clock.rate))
                await heard.wait()
                yield
            assert [one.exception() for one in parts if one.done()] == []
        finally:
            for one in parts:
                await cancelled(one)
