"""Does an order reach the unit through the real processes, whoever is killed on the way? Invariants 1 and 5, F02.

Where orders must come at a chosen moment the test gives them, and the geofence is silent: of several intervals the
newest on the log wins, whoever gave it. How the geofence decides is examined elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import AsyncIterator, Mapping

import numpy as np
import pytest
from builders import command, eventually
from lab_fixture import running_lab
from simulated_unit import alive

from geofence.assumptions import ALERT_S
from simulator.lab import Laboratory, PairWanted
from simulator.unit import Unit
from tocsin import subjects
from tocsin.adapters.jetstream import Bus, open_bus
from tocsin.model.device import DeviceKind
from tocsin.model.fix import FixFlag
from tocsin.ports import Entry
from tocsin.wire import decode_command, decode_fixes, encode

HIS, HERS = "his-w", "her-p"
KINDS = {HIS: DeviceKind.WEARER, HERS: DeviceKind.PROTECTED}
PAIR = PairWanted(key="one", wearer=HIS, protected=HERS, alert_distance_m=1000)
TAKES_NO_ORDERS = dict.fromkeys(KINDS, 3600)
"""Registered so, a device is given no order by the geofence; the downlink carries what is on the log anyway."""
WITHIN_S = 30.0

pytestmark = pytest.mark.timeout(240)


@contextlib.asynccontextmanager
async def units(lab: Laboratory, passwords: Mapping[str, str]) -> AsyncIterator[tuple[Unit, Unit]]:
    """His and hers, at one place."""
    url = lab.stack.addresses.mqtt_url
    async with (
        alive(HIS, KINDS[HIS], mqtt_url=url, password=passwords[HIS], clock=lab.clock) as his,
        alive(HERS, KINDS[HERS], mqtt_url=url, password=passwords[HERS], clock=lab.clock) as hers,
    ):
        yield his, hers


async def order(lab: Laboratory, bus: Bus, measure: str, name: str, device: str, interval_s: int) -> str:
    """As the geofence of this measure would, at once; returns its id."""
    at_ms = lab.clock.now_ms()
    said = command(name, device, at_ms=at_ms, expires_ms=at_ms + 60_000, interval_s=interval_s)
    place = subjects.command(device, subjects.partition_of(measure, lab.settings.partitions), said.action.value)
    await bus.log.append(place, encode(said), dedupe_id=said.id)
    return said.id


async def test_an_order_reaches_the_unit_over_the_death_of_the_downlink_and_the_answer_is_presence() -> None:
    async with running_lab() as (lab, told):
        passwords, measures = await lab.register(KINDS, [PAIR], reports_every_s=TAKES_NO_ORDERS)
        (measure,) = measures.values()
        async with (
            open_bus(lab.stack.addresses.nats_url, "geofence of the test") as bus,
            units(lab, passwords) as (his, hers),
        ):
            given = [await order(lab, bus, measure, "1", HIS, 60)]
            await eventually(lambda: his.interval_s == 60, within_s=WITHIN_S)
            _signal(lab, signal.SIGSTOP)  # these are leased to it, and die with it
            steps = (("2", 30), ("3", 10), ("4", 5))
            given += [await order(lab, bus, measure, name, HIS, interval_s) for name, interval_s in steps]
            given += [await order(lab, bus, measure, "1", HERS, 20)]
            _signal(lab, signal.SIGKILL)
            await eventually(lambda: told.gaps("downlink"), within_s=WITHIN_S)
            await eventually(lambda: (his.interval_s, hers.interval_s) == (5, 20), within_s=WITHIN_S)
            heard = "tocsin_ingest_messages_total"
            await eventually(lambda: lab.total(heard, lane="fix", outcome="present"), within_s=WITHIN_S)
            assert [one async for one in _orders(bus)] == given, "nobody else has given one"
        await eventually(lambda: _newest_alone_carried(lab), within_s=WITHIN_S)
        assert his.tally.commands <= await lab.total("tocsin_commands_total", outcome="sent")
        said = his.tally.points + hers.tally.points
        await eventually(lambda: _archived(lab, said), within_s=WITHIN_S)
        async with open_bus(lab.stack.addresses.nats_url, "archivist of the test") as bus:
            rows = np.concatenate([decode_fixes(one.payload) async for one in _kept(bus, subjects.FIXES)])
        present = (rows["flags"] & FixFlag.PRESENCE) != 0
        assert (int(rows["primary"].sum()), bool(rows["primary"][present].any())) == (said, False)
        assert present.any()


async def test_what_the_geofence_orders_for_an_alert_both_units_do() -> None:
    async with running_lab() as (lab, _):
        passwords, _ = await lab.register(KINDS, [PAIR])
        async with units(lab, passwords) as (his, hers):
            await eventually(lambda: (his.interval_s, hers.interval_s) == (ALERT_S, ALERT_S), within_s=WITHIN_S)


async def _newest_alone_carried(lab: Laboratory) -> bool:
    """One for each of the two was sent, and two of his were left for a newer one."""
    sent = await lab.total("tocsin_commands_total", outcome="sent")
    return sent >= 2 and await lab.total("tocsin_commands_total", outcome="superseded") >= 2


async def _archived(lab: Laboratory, number: int) -> bool:
    """Every fix that they said and no row more: presence is no fix."""
    found = await lab.accounted()
    return (found.archived, found.refused) == (number, 0)


async def _orders(bus: Bus) -> AsyncIterator[str]:
    async for one in _kept(bus, subjects.COMMANDS):
        yield decode_command(one.payload).id


async def _kept(bus: Bus, stream: subjects.Stream) -> AsyncIterator[Entry]:
    async with contextlib.aclosing(bus.log.read(stream, stream.subjects)) as reader:
        while batch := await anext(reader):
            for one in batch:
                yield one


def _signal(lab: Laboratory, number: signal.Signals) -> None:
    pid = lab.stack.supervisor.pid_of("downlink")
    assert pid is not None
    os.kill(pid, number)
