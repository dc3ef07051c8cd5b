"""A whole Tocsin behind ingest for stories of the past: real log, real record, an hour that the story sets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from builders import bulk, eventually, location, message, topic
from real_broker import cancelled

from alerts.dispatcher import run_dispatcher
from alerts.recorder import run_recorder
from geofence.assumptions import PAST_SETTLES_MS
from geofence.retrospect import LookBack, run_retrospect
from geofence.worker import Doors, run_worker
from ingest.admission import AdmittedFix, admit
from ingest.archivist import run_archivist
from ingest.known import Known
from tocsin import subjects
from tocsin.adapters.accesses import AccessRecord
from tocsin.adapters.commands import CommandRecord
from tocsin.adapters.episodes import EpisodeRecord
from tocsin.adapters.fixes import FixArchive
from tocsin.adapters.jetstream import Bus
from tocsin.adapters.orders import Orders
from tocsin.adapters.postgres import Pool
from tocsin.adapters.retrospect import Retrospect
from tocsin.model.device import Device, DeviceKind
from tocsin.model.episode import Episode, Realm, Ruling
from tocsin.model.finding import Code, Finding
from tocsin.model.fix import FIX_DTYPE
from tocsin.model.geozone import Authorisation
from tocsin.model.order import Order
from tocsin.wire import decode_finding, decode_ruling, encode, encode_fixes

T0_S = 1_795_219_200
LAT, LON = 48.0, 2.0
METRES_PER_DEGREE = 111_195.0
MEASURE = "msr_past"
HER, HIM = "her-unit", "his-unit"
FUTURE_S = 10**7


class SetClock:
    """The hour of the story. A sleep is a short one of the machine's, so that loops go round."""

    def __init__(self) -> None:
        self.ms = T0_S * 1000

    def now_ms(self) -> int:
        return self.ms

    wall_ms = now_ms

    async def sleep(self, seconds: float) -> None:
        del seconds
        await asyncio.sleep(0.01)


class World:
    """Two units, one measure, and what the parts make of them."""

    def __init__(self, bus: Bus, pool: Pool) -> None:
        self.bus, self.pool, self.clock = bus, pool, SetClock()
        self.record = Retrospect(pool)
        self._devices: dict[str, Device] = {}
        self._boot = 1
        self._seq = 0

    async def furnish(self, authorised: Authorisation | None = None) -> None:
        orders, now_ms = Orders(self.pool), self.clock.now_ms()
        for name, kind in ((HER, DeviceKind.PROTECTED), (HIM, DeviceKind.WEARER)):
            await orders.create_device(name, kind, "x", now_ms)
        order = Order(
            id=MEASURE, version=1, wearer=HIM, protected=HER, alert_distance_m=1_000,
            valid_from_ms=now_ms - 1000 * FUTURE_S, valid_until_ms=now_ms + 1000 * FUTURE_S, authorised=authorised,
        )  # fmt: skip
        await orders.create_measure(order, by="a judge", now_ms=now_ms)
        self._devices = {name: await orders.device(name, now_ms) for name in (HER, HIM)}
        for device in self._devices.values():
            await self.bus.devices.put(device.id, encode(device))
        await self.bus.orders.put(order.id, encode(order))

    @asynccontextmanager
    async def running(self, *parts: str) -> AsyncIterator[dict[str, asyncio.Task[None]]]:
        started = {part: await self.start(part) for part in parts}
        try:
            yield started
        finally:
            for task in started.values():
                await cancelled(task)

    async def start(self, part: str) -> asyncio.Task[None]:
        is_ready = asyncio.Event()
        task: asyncio.Task[None] = asyncio.create_task(getattr(self, f"_{part}")(is_ready.set))
        waiting = asyncio.create_task(is_ready.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED, timeout=20)
        waiting.cancel()
        assert is_ready.is_set(), task
        return task

    async def _worker(self, ready: Any) -> None:
        bus = self.bus
        doors = Doors(
            log=bus.log, devices=bus.devices, orders=bus.orders, standings=bus.standings, snapshots=bus.snapshots
        )
        await run_worker(doors, partition=0, partitions=1, clock=self.clock, life="one", ready=ready)

    async def _archivist(self, ready: Any) -> None:
        await run_archivist(log=self.bus.log, archive=FixArchive(self.pool), ready=ready)

    async def _recorder(self, ready: Any) -> None:
        await run_recorder(
            log=self.bus.log,
            record=EpisodeRecord(self.pool),
            accesses=AccessRecord(self.pool),
            commands=CommandRecord(self.pool),
            ready=ready,
        )

    async def _dispatcher(self, ready: Any) -> None:
        bus = self.bus
        await run_dispatcher(log_=bus.log, devices=bus.devices, clock=self.clock, realm=Realm.LAB, ready=ready)

    async def _retrospect(self, ready: Any) -> None:
        await run_retrospect(log=self.bus.log, record=self.record, clock=self.clock, partitions=1, ready=ready)

    def looking(self, log: Any = None, record: Any = None) -> LookBack:
        return LookBack(log or self.bus.log, record or self.record, self.clock, 1)

    # --- what units say ------------------------------------------------------------------------------------

    def point(self, at_s: float, metres: float) -> dict[str, Any]:
        self._seq += 1
        return {
            "lat": LAT + metres / METRES_PER_DEGREE, "lon": LON, "tst": T0_S + int(at_s), "acc": 5.0,
            "seq": self._seq, "boot": self._boot,
        }  # fmt: skip

    async def says(self, device: str, at_s: float, metres: float) -> None:
        """One fix, in time."""
        self.at(at_s)
        await self._sent(device, "loc", location(**self.point(at_s, metres), created_at=T0_S + int(at_s)))

    async def delivers(self, device: str, at_s: float, track: list[tuple[float, float]]) -> None:
        """What was buffered, in one message."""
        self.at(at_s)
        points = [self.point(*one) for one in track]
        await self._sent(device, "bulk", bulk(*points, created_at=T0_S + int(at_s)))

    async def _sent(self, device: str, leaf: str, payload: bytes) -> None:
        known = Known(partitions=1, devices=self._devices)
        now_ms = self.clock.now_ms()
        admitted = list(admit(message(payload, topic(device, leaf), now_ms), known, now_ms))
        assert all(isinstance(one, AdmittedFix) for one in admitted), admitted
        rows = np.array([row for one in admitted for _, row in one.copies], FIX_DTYPE)
        lane = subjects.late if admitted[0].late else subjects.fixes
        await self.bus.log.append(lane(0), encode_fixes(rows))

    def at(self, at_s: float) -> None:
        self.clock.ms = max(self.clock.ms, round(1000 * (T0_S + at_s)))

    def later(self, ms: int = PAST_SETTLES_MS + 20_000) -> None:
        self.clock.ms += ms

    # --- what came of it -----------------------------------------------------------------------------------

    async def archived(self, count: int) -> None:
        async def is_there() -> bool:
            tracks = [await self.record.track(one.number, 1000 * T0_S, 1000 * (T0_S + FUTURE_S // 10))
                      for one in self._devices.values()]  # fmt: skip
            return sum(track.size for track in tracks) == count

        await eventually(is_there)

    async def findings(self, *codes: Code) -> list[Finding]:
        reader = self.bus.log.read(subjects.FINDINGS, subjects.FINDINGS.subjects)
        found: list[Finding] = []
        async for entries in reader:
            if not entries:
                break
            found += [decode_finding(one.payload) for one in entries]
        return [one for one in found if one.code in codes or not codes]

    async def ruling(self, code: Code) -> Ruling | None:
        last = await self.bus.log.last(subjects.EPISODES, subjects.episode(code.value, MEASURE))
        return decode_ruling(last.payload) if last else None

    async def episode(self, code: Code) -> Episode | None:
        ruling = await self.ruling(code)
        return ruling.episode if ruling else None

    async def nothing_left(self) -> None:
        """All that is due has been looked at."""

        async def is_so() -> bool:
            return await self.record.waiting() == 0

        await eventually(is_so, within_s=30)


def way(from_s: int, from_m: float, until_s: int, to_m: float, every_s: int = 30) -> list[tuple[float, float]]:
    """At an even speed; the last second left out."""
    return [
        (float(at_s), from_m + (to_m - from_m) * (at_s - from_s) / (until_s - from_s))
        for at_s in range(from_s, until_s, every_s)
    ]
