"""One simulated unit on a real connection, for the tests of what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import numpy as np
from builders import LAT, LON

from simulator.gnss import SkyFix
from simulator.unit import Line, Unit
from tocsin.clock import Clock
from tocsin.model.device import DeviceKind

CONNECTED_WITHIN_S = 30.0


class Somewhere:
    """A receiver that always knows, and says the same."""

    def fixes(self, t: float) -> list[SkyFix]:
        return [self.fix(t)]

    def fix(self, t: float) -> SkyFix:
        return SkyFix(t=t, lat=LAT, lon=LON, accuracy_m=5.0, speed_mps=0.0, course_deg=0.0)


@asynccontextmanager
async def alive(
    device: str, kind: DeviceKind, *, mqtt_url: str, password: str, clock: Clock
) -> AsyncIterator[Unit]:
    """Connected, and reporting so seldom that only an order makes it speak again."""
    port = urlsplit(mqtt_url).port
    assert port is not None
    unit = Unit(
        device, kind, Somewhere(), line=Line(host="127.0.0.1", port=port, password=password), clock=clock,
        start_ms=clock.now_ms(), rng=np.random.default_rng(1), interval_s=3600.0,
    )  # fmt: skip
    async with asyncio.TaskGroup() as group:
        group.create_task(unit.run())
        async with asyncio.timeout(CONNECTED_WITHIN_S):
            await unit.connected.wait()
        yield unit
        unit.stop()
