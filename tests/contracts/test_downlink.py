"""Does an order on the log reach its device and no other, in time or not at all? On both brokers, a real log.

Cited: F31 (whose topic), F34 (what a wearer's unit is told), invariant 5.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from builders import DEVICES, PROTECTED, WEARER, command, eventually
from doors import DEVICE_PASSWORD, Door, MosquittoDoor, NatsDoor, maybe_cut, skip_without_mosquitto
from real_broker import cancelled
from simulated_unit import alive

from alerts.channels.device import told_as
from alerts.downlink import run_downlink
from simulator.unit import Unit
from tocsin import subjects
from tocsin.adapters.jetstream import Bus
from tocsin.clock import AffineClock
from tocsin.model.command import Action, Command
from tocsin.model.device import DeviceKind
from tocsin.telemetry import COMMANDS
from tocsin.wire import encode

CLOCK = AffineClock()
DEADLINE_S = 20.0
PARTITION = 0

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
async def registered(bus: Bus) -> Bus:
    for device in DEVICES.values():
        await bus.devices.put(device.id, encode(device))
    return bus


@pytest.fixture(params=["nats", "mosquitto"])
async def mortal(request: pytest.FixtureRequest, broker_home: Path) -> AsyncIterator[Door]:
    """A broker of the devices to be killed at will; the log is the session's."""
    if request.param == "mosquitto":
        skip_without_mosquitto()
        opened: Door = MosquittoDoor(broker_home, DEVICES)
    else:
        opened = await NatsDoor.of_its_own(broker_home, DEVICES)
    await opened.start()
    yield opened
    await opened.stop()


@asynccontextmanager
async def downlink(door: Door, bus: Bus) -> AsyncIterator[None]:
    ready = asyncio.Event()
    part = run_downlink(
        url=door.url,
        tls=door.tls,
        log_=bus.log,
        devices=bus.devices,
        orders=bus.orders,
        partitions=1,
        clock=CLOCK,
        ready=ready.set,
    )
    task = asyncio.create_task(part)
    try:
        async with asyncio.timeout(DEADLINE_S):
            await ready.wait()
        yield
        assert not task.done()
    finally:
        await cancelled(task)


def fresh(name: str, device: str = WEARER, lives_s: float = 60, **changes: Any) -> Command:
    at_ms = CLOCK.now_ms()
    return command(name, device, at_ms=at_ms, expires_ms=at_ms + round(1000 * lives_s), **changes)


async def say(bus: Bus, *orders: Command) -> None:
    for order in orders:
        await bus.log.append(
            subjects.command(order.device, PARTITION, order.action.value), encode(order), dedupe_id=order.id
        )


async def heard(unit: aiomqtt.Client) -> dict[str, Any]:
    async with asyncio.timeout(DEADLINE_S):
        payload = (await anext(unit.messages)).payload
    assert isinstance(payload, bytes)
    said: dict[str, Any] = json.loads(payload)
    return said


def counted(outcome: str, action: Action = Action.SET_CADENCE) -> float:
    value: float = COMMANDS.labels(action=action.value, outcome=outcome)._value.get()
    return value


async def test_an_order_reaches_its_device_and_no_other(door: Door, registered: Bus) -> None:
    order, hers = fresh("his"), fresh("hers", PROTECTED, action=Action.REPORT_LOCATION, interval_s=None)
    async with door.device(WEARER) as his_unit, door.device(PROTECTED) as her_unit:
        for ear in (subjects.topic(WEARER, "cmd"), subjects.topic(PROTECTED, "cmd"), "tocsin/1/+/cmd", "#"):
            await his_unit.subscribe(ear, qos=1)
        await her_unit.subscribe(subjects.topic(PROTECTED, "cmd"), qos=1)
        async with downlink(door, registered):
            await say(registered, hers, order)
            assert (await heard(her_unit))["id"] == told_as(hers).id
            assert await heard(his_unit) == {
                "_type": "cmd", "id": told_as(order).id, "action": "setCadence", "s": 30,
                "exp": order.expires_ms // 1000,
            }  # fmt: skip


async def test_an_expired_order_does_not_arrive(door: Door, registered: Bus) -> None:
    before = counted("expired", Action.REPORT_LOCATION)
    async with door.device(WEARER) as unit, downlink(door, registered):
        await unit.subscribe(subjects.topic(WEARER, "cmd"), qos=1)
        late = fresh("late", lives_s=-1, action=Action.REPORT_LOCATION, interval_s=None)
        await say(registered, late, in_time := fresh("in time", interval_s=5))
        assert (await heard(unit))["id"] == told_as(in_time).id, "and nothing before it"
    assert counted("expired", Action.REPORT_LOCATION) == before + 1


async def test_an_order_waits_at_the_broker_for_a_unit_that_is_away(door: Door, registered: Bus) -> None:
    """The unit itself looks at ``exp``: MQTT 3.1.1 knows no expiry."""
    async with door.device(WEARER, clean=False) as unit:
        await unit.subscribe(subjects.topic(WEARER, "cmd"), qos=1)
    before = counted("sent")
    async with downlink(door, registered):
        await say(registered, order := fresh("while away"))
        await eventually(lambda: counted("sent") == before + 1)
    async with door.device(WEARER, clean=False) as unit:
        assert (await heard(unit))["id"] == told_as(order).id
        await unit.unsubscribe(subjects.topic(WEARER, "cmd"))


async def test_while_the_broker_is_dead_an_order_waits_and_the_newest_arrives(
    mortal: Door, registered: Bus
) -> None:
    async with downlink(mortal, registered):
        async with maybe_cut(mortal.device(WEARER, clean=False)) as unit:
            await unit.subscribe(subjects.topic(WEARER, "cmd"), qos=1)
            await say(registered, fresh("before", interval_s=60))
            assert (await heard(unit))["s"] == 60
            await mortal.on_disk()
            await mortal.kill()
        tried = counted("again")
        await say(registered, fresh("into the void", interval_s=30))
        await eventually(lambda: counted("again") > tried)
        await say(registered, fresh("the newest", interval_s=5))
        await mortal.start()
        async with mortal.device(WEARER, clean=False) as unit:
            assert (await heard_after(60, unit))["s"] == 5, "30 s, which waited too, is not said any more"


async def test_a_broker_that_hangs_is_met_anew_and_the_order_arrives(mortal: Door, registered: Bus) -> None:
    """No PUBACK and no end of the connection: TCP would notice minutes later."""
    async with mortal.device(WEARER) as unit, downlink(mortal, registered):
        await unit.subscribe(subjects.topic(WEARER, "cmd"), qos=1)
        tried = counted("again")
        os.kill(mortal.pid, signal.SIGSTOP)
        try:
            await say(registered, order := fresh("into the void"))
            await eventually(lambda: counted("again") > tried + 1)
        finally:
            os.kill(mortal.pid, signal.SIGCONT)
        assert (await heard(unit))["id"] == told_as(order).id


async def heard_after(interval_s: int, unit: aiomqtt.Client) -> dict[str, Any]:
    """What a killed broker had not written down as delivered it delivers again."""
    while (said := await heard(unit))["s"] == interval_s:
        pass
    return said


# --- the simulated unit obeys ----------------------------------------------------------------------------------


def wearers(door: Door, clock: AffineClock) -> AbstractAsyncContextManager[Unit]:
    return alive(WEARER, DeviceKind.WEARER, mqtt_url=door.url, password=DEVICE_PASSWORD, clock=clock)


async def test_the_unit_changes_its_interval_and_says_done(nats_door: Door, registered: Bus) -> None:
    """The whole way down and the answer's way up."""
    order = fresh("5 s", interval_s=5)
    async with nats_door.ingest("ear", clean=True) as ear, wearers(nats_door, CLOCK) as unit:
        await ear.subscribe(subjects.topic(WEARER, "res"), qos=1)
        async with downlink(nats_door, registered):
            await say(registered, order)
            answer = await heard(ear)
    assert (answer["_type"], answer["id"], answer["result"]) == ("result", told_as(order).id, "done")
    assert unit.interval_s == 5


async def test_the_unit_is_asked_for_a_position_and_sends_it(nats_door: Door, registered: Bus) -> None:
    order = fresh("where", action=Action.REPORT_LOCATION, interval_s=None)
    async with nats_door.ingest("ear", clean=True) as ear, wearers(nats_door, CLOCK) as unit:
        await eventually(lambda: unit.tally.points == 1)
        await ear.subscribe(subjects.topic(WEARER, "res"), qos=1)
        async with downlink(nats_door, registered):
            await say(registered, order)
            assert (await heard(ear))["result"] == "accepted"
            await eventually(lambda: unit.tally.points == 2)


async def test_an_order_that_was_too_long_on_its_way_is_refused_by_the_unit(
    nats_door: Door, registered: Bus
) -> None:
    """Its own clock says so: here it is two minutes ahead of ours."""
    ahead = AffineClock(epoch_ms=CLOCK.now_ms() + 120_000, anchor_ms=CLOCK.wall_ms())
    async with nats_door.ingest("ear", clean=True) as ear, wearers(nats_door, ahead) as unit:
        await ear.subscribe(subjects.topic(WEARER, "res"), qos=1)
        async with downlink(nats_door, registered):
            await say(registered, fresh("5 s", interval_s=5))
            assert (await heard(ear))["result"] == "expired"
    assert unit.interval_s == 3600
