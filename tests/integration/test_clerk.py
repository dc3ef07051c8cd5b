"""Does the clerk say on the real log what is due, once, and the end of it? With a dispatcher, without a database.

From the message of a phone to the alert that it is told of, and over a restart of every part.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiomqtt
import pytest
from builders import DEVICES, NOW_MS, NOW_S, REALM, TGD, event, eventually, status, topic
from builders import entry as found
from doors import Door
from real_broker import cancelled

from alerts.administration import DAY_MS
from alerts.clerk import ClerkDoors, run_clerk
from alerts.dispatcher import run_dispatcher
from ingest.known import Known
from ingest.listener import run_fixes
from tocsin import subjects
from tocsin.adapters.jetstream import Bus
from tocsin.clock import AffineClock
from tocsin.model.episode import Episode, State
from tocsin.model.finding import Code
from tocsin.model.order import Order
from tocsin.model.sign import LISTENING, Listening, Sign
from tocsin.model.standing import Protection, Standing
from tocsin.model.zone import Zone
from tocsin.wire import decode_ruling, encode

pytestmark = pytest.mark.timeout(60)


class Hours:
    """An hour that the test moves, and looks that follow each other without a minute between them."""

    def __init__(self) -> None:
        self.ms = NOW_MS
        self.clock = AffineClock(wall=lambda: self.ms / 1000)
        self.looked = 0

    def now_ms(self) -> int:
        return self.ms

    def wall_ms(self) -> int:
        return self.ms

    async def sleep(self, seconds: float) -> None:
        self.looked += 1
        await asyncio.sleep(0.02)  # the twin of a minute


@asynccontextmanager
async def office(bus: Bus, hours: Hours) -> AsyncIterator[None]:
    """A clerk and a dispatcher of this life."""
    doors = ClerkDoors(
        log=bus.log, devices=bus.devices, orders=bus.orders, standings=bus.standings, signs=bus.signs,
        tallies=bus.tallies,
    )  # fmt: skip
    ready = asyncio.Event()
    parts = [
        asyncio.create_task(run_clerk(doors, clock=hours, ready=ready.set)),  # type: ignore[arg-type]
        asyncio.create_task(
            run_dispatcher(log_=bus.log, clock=hours.clock, realm=REALM, ready=lambda: None, devices=bus.devices)
        ),
    ]
    await ready.wait()
    try:
        yield
    finally:
        for part in parts:
            await cancelled(part)


async def episode(bus: Bus, code: Code, subject: str) -> Episode | None:
    last = await bus.log.last(subjects.EPISODES, subjects.episode(code.value, subject))
    return decode_ruling(last.payload).episode if last else None


async def furnish(bus: Bus) -> None:
    """A measure that ends in 20 days, of which nobody was heard, a phone with a low battery, a loss."""
    for device in DEVICES.values():
        await bus.devices.put(device.id, encode(device))
    order = Order(
        id="msr_1", version=1, wearer="wearer-1", protected="protected-1", alert_distance_m=1000,
        valid_from_ms=NOW_MS - 4 * DAY_MS, valid_until_ms=NOW_MS + 20 * DAY_MS,
    )  # fmt: skip
    await bus.orders.put(order.id, encode(order))
    other = Order(
        id="msr_2", version=1, wearer="wearer-2", protected="protected-2", alert_distance_m=1000,
        valid_from_ms=NOW_MS, valid_until_ms=NOW_MS + 300 * DAY_MS,
    )  # fmt: skip
    await bus.orders.put(other.id, encode(other))
    since_ms = NOW_MS - 4 * DAY_MS
    unheard = Standing(
        measure="msr_1", protection=Protection.UNPROTECTED, since_ms=since_ms, reason="never_heard", zone=Zone.FAR,
        at_ms=since_ms,
    )  # fmt: skip
    await bus.standings.put("msr_1", encode(unheard))
    phone = Sign(
        device=TGD, first_ms=NOW_MS - 20 * DAY_MS, heard_ms=NOW_MS - 2 * DAY_MS, battery_pct=20,
        low_since_ms=NOW_MS - 2 * DAY_MS,
    )  # fmt: skip
    await bus.signs.put(TGD, encode(phone))
    await bus.signs.put(LISTENING, encode(Listening(since_ms=NOW_MS - 20 * DAY_MS, at_ms=NOW_MS)))
    loss = found("fnd_lost", NOW_MS - 2 * DAY_MS, code=Code.W_COMMS_LOSS)
    await bus.log.append(subjects.findings(0, loss.code.value), encode(loss))


RAISED = {
    Code.ORDER_EXPIRING: "msr_1", Code.ORDER_NOT_FITTED: "msr_1", Code.TGD_UNREACHABLE: TGD,
    Code.TGD_BATT_LOW: TGD, Code.TGD_TEST_MISSED: TGD,
}  # fmt: skip


async def test_what_is_due_is_raised_once_and_ends_over_a_restart_of_both(bus: Bus) -> None:
    await furnish(bus)
    hours = Hours()
    async with office(bus, hours):
        for code, subject in RAISED.items():
            await eventually(lambda code=code, subject=subject: episode(bus, code, subject))
        loss = await eventually(lambda: episode(bus, Code.W_COMMS_LOSS, "msr_1"))
        await eventually(lambda: episode(bus, Code.OPEN_FAULT_24H, loss.id))
    said = (await bus.log.extent(subjects.NOTICES)).messages
    assert said == len(RAISED) + 1
    hours.looked = 0
    async with office(bus, hours):
        await eventually(lambda: hours.looked >= 3)
        assert (await bus.log.extent(subjects.NOTICES)).messages == said, "the same life goes on"
        await bus.orders.delete("msr_1")
        await bus.devices.delete(TGD)
        ending = {**RAISED, Code.W_COMMS_LOSS: "msr_1", Code.OPEN_FAULT_24H: loss.id}
        del ending[Code.TGD_BATT_LOW]  # a message: closed as it was told
        for code, subject in ending.items():
            await eventually(lambda code=code, subject=subject: _is_over(bus, code, subject))


async def _is_over(bus: Bus, code: Code, subject: str) -> bool:
    found = await episode(bus, code, subject)
    assert found is not None
    assert len(found.raises) == 1
    return found.over_ms is not None


async def test_a_phone_says_that_it_was_tested_and_somebody_is_told(bus: Bus, nats_door: Door) -> None:
    """From MQTT to the alert, which nobody has to close."""
    for device in DEVICES.values():
        await bus.devices.put(device.id, encode(device))
    hours, ready = Hours(), asyncio.Event()
    ingest = asyncio.create_task(
        run_fixes(
            url=nats_door.url, log=bus.log, devices=bus.devices, signs=bus.signs, known=Known(partitions=1),
            clock=hours.clock, linger_ms=1, ready=ready.set,
        )
    )  # fmt: skip
    await ready.wait()
    async with office(bus, hours), nats_door.device(TGD) as phone:
        await _says(phone, "state", status(batt=12))
        await _says(phone, "evt", event("self_test", tst=NOW_S - 5))
        tested = await eventually(lambda: episode(bus, Code.TGD_TEST_OK, TGD))
        low = await eventually(lambda: episode(bus, Code.TGD_BATT_LOW, TGD))
    await cancelled(ingest)
    assert (tested.state, tested.opened_ms, tested.device) == (State.CLOSED, NOW_MS - 5_000, TGD)
    assert (low.state, low.raises[0].event) == (State.CLOSED, "battery_low")


async def _says(phone: aiomqtt.Client, leaf: str, payload: bytes) -> None:
    await phone.publish(topic(TGD, leaf), payload, qos=1)
