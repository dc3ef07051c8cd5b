"""Does an order reach the unit through the real processes, whoever is killed on the way? Invariants 1 and 5, F02.

The geofence is spoken for by the test, which appends what it would: how it decides is examined elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import numpy as np
import pytest
from builders import LAT, LON, command, eventually
from lab_fixture import running_lab

from simulator.gnss import SkyFix
from simulator.lab import Laboratory, PairWanted
from simulator.unit import Line, Unit
from tocsin import subjects
from tocsin.adapters.jetstream import Bus, open_bus
from tocsin.model.device import DeviceKind
from tocsin.model.fix import Fixes, FixFlag
from tocsin.wire import decode_fixes, encode

HIS, HERS = "his-w", "her-p"
WITHIN_S = 30.0

pytestmark = pytest.mark.timeout(240)


class Somewhere:
    def fixes(self, t: float) -> list[SkyFix]:
        return [self.fix(t)]

    def fix(self, t: float) -> SkyFix:
        return SkyFix(t=t, lat=LAT, lon=LON, accuracy_m=5.0, speed_mps=0.0, course_deg=0.0)


@contextlib.asynccontextmanager
async def alive(lab: Laboratory, device: str, kind: DeviceKind, password: str) -> AsyncIterator[Unit]:
    port = urlsplit(lab.stack.addresses.mqtt_url).port
    assert port is not None
    unit = Unit(
        device, kind, Somewhere(), line=Line(host="127.0.0.1", port=port, password=password), clock=lab.clock,
        start_ms=lab.clock.now_ms(), rng=np.random.default_rng(1), interval_s=3600.0,
    )  # fmt: skip
    async with asyncio.TaskGroup() as group:
        group.create_task(unit.run())
        async with asyncio.timeout(WITHIN_S):
            await unit.connected.wait()
        yield unit
        unit.stop()


async def order(lab: Laboratory, bus: Bus, measure: str, name: str, device: str, interval_s: int) -> None:
    """As the geofence of this measure would."""
    at_ms = lab.clock.now_ms()
    said = command(name, device, at_ms=at_ms, expires_ms=at_ms + 60_000, interval_s=interval_s)
    place = subjects.command(device, subjects.partition_of(measure, lab.settings.partitions), said.action.value)
    await bus.log.append(place, encode(said), dedupe_id=said.id)


async def test_an_order_reaches_the_unit_over_the_death_of_the_downlink_and_the_answer_is_presence() -> None:
    async with running_lab() as (lab, told):
        pair = PairWanted(key="one", wearer=HIS, protected=HERS, alert_distance_m=1000)
        passwords, measures = await lab.register({HIS: DeviceKind.WEARER, HERS: DeviceKind.PROTECTED}, [pair])
        async with (
            open_bus(lab.stack.addresses.nats_url, "geofence of the test") as bus,
            alive(lab, HIS, DeviceKind.WEARER, passwords[HIS]) as his,
            alive(lab, HERS, DeviceKind.PROTECTED, passwords[HERS]) as hers,
        ):
            await order(lab, bus, measures["one"], "1", HIS, 60)
            await eventually(lambda: his.interval_s == 60, within_s=WITHIN_S)
            _kill(lab)
            for name, interval_s in (("2", 30), ("3", 10), ("4", 5)):
                await order(lab, bus, measures["one"], name, HIS, interval_s)
            await order(lab, bus, measures["one"], "1", HERS, 20)
            await eventually(lambda: told.gaps("downlink"), within_s=WITHIN_S)
            await eventually(lambda: (his.interval_s, hers.interval_s) == (5, 20), within_s=WITHIN_S)
            heard = "tocsin_ingest_messages_total"
            await eventually(lambda: lab.total(heard, lane="fix", outcome="present"), within_s=WITHIN_S)
        # The first may have been carried and not been counted yet when the downlink was killed: it comes again.
        await eventually(lambda: _all_carried(lab, 5), within_s=WITHIN_S)
        sent = await lab.total("tocsin_commands_total", outcome="sent")
        assert 3 <= sent <= 5
        assert his.tally.commands <= sent
        said = his.tally.points + hers.tally.points
        await eventually(lambda: _archived(lab, said), within_s=WITHIN_S)
        async with open_bus(lab.stack.addresses.nats_url, "archivist of the test") as bus:
            rows = np.concatenate([fixes async for fixes in _kept(bus)])
        present = (rows["flags"] & FixFlag.PRESENCE) != 0
        assert (int(rows["primary"].sum()), bool(rows["primary"][present].any())) == (said, False)
        assert present.any()


async def _all_carried(lab: Laboratory, number: int) -> bool:
    """Each was sent, or left for a newer one."""
    sent = await lab.total("tocsin_commands_total", outcome="sent")
    return sent + await lab.total("tocsin_commands_total", outcome="superseded") >= number


async def _archived(lab: Laboratory, number: int) -> bool:
    """Every fix that they said and no row more: presence is no fix."""
    found = await lab.accounted()
    return (found.archived, found.refused) == (number, 0)


async def _kept(bus: Bus) -> AsyncIterator[Fixes]:
    async with contextlib.aclosing(bus.log.read(subjects.FIXES, subjects.FIXES.subjects)) as reader:
        while batch := await anext(reader):
            for one in batch:
                yield decode_fixes(one.payload)


def _kill(lab: Laboratory) -> None:
    pid = lab.stack.supervisor.pid_of("downlink")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
