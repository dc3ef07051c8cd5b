"""Two worlds that differ in her place alone, within one state after another: is every byte on his topics the same?
Real broker, ingest, engine, desk and downlink; invariant 5, F33, F34.

The clock is handed in, and the engine is fed in step from the log, so that both worlds have the same hours; what
is compared is all that passes below ``tocsin/1/{wearer}/``: what he said, what he was told, how often and in which
order. She stands 60 m elsewhere in the one, and her unit is told of her protection meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from builders import (
    DEVICES,
    HANGS_AFTER_S,
    LAT,
    LON,
    NOW_MS,
    PROTECTED,
    REALM,
    WEARER,
    command,
    eventually,
    location,
)
from doors import NatsDoor
from msgspec.structs import replace
from real_broker import cancelled

from alerts.downlink import QUEUE, run_downlink
from alerts.episodes import place_of
from alerts.ledger import Ledger
from alerts.unit_states import PROTECTION_TYPES
from geofence import engine
from geofence.pair_table import PairTable, Roster, roster_of
from ingest.known import Known
from ingest.listener import run_fixes
from simulator import messages
from tocsin import subjects
from tocsin.adapters.jetstream import Bus, open_bus
from tocsin.clock import AffineClock
from tocsin.model.command import Action, Sentence, Shown
from tocsin.model.episode import Channel, FindingCause, Notification, Ruling
from tocsin.model.finding import Code
from tocsin.model.order import Order
from tocsin.wire import decode_fixes, decode_receipt, encode

WITHIN_S = 20.0
STEP_S = 10
NORTH_M = 1 / 111_195.0
HIS_KM = (9.0, 6.2, 6.0, 3.0, 2.9, 1.45, 1.4, 0.5, 0.4, 0.4)
"""How far he is from the place of the first world; each step is well inside the same state in both."""
HER_M = {"here": 0.0, "there": 60.0}
SAID = {2: Sentence.CALL_PLATFORM, 6: Sentence.TURN_BACK, 8: Sentence.LEAVE_ZONE, 9: Sentence.TURN_BACK}
"""Which sentence an operator orders behind which step; the last is refused: he is not there any more."""
ORDER = Order(
    id="msr_1", version=1, wearer=WEARER, protected=PROTECTED, alert_distance_m=1_000, valid_from_ms=0,
    valid_until_ms=2**61,
)  # fmt: skip
TYPE_OF = {shown: name for name, shown in PROTECTION_TYPES.items()}

PATIENCE = (
    "alerts.broker_line.COMMAND_PUBACK_S",
    "tocsin.adapters.jetstream.LEASE_S",
    "tocsin.adapters.jetstream.PUBLISH_TIMEOUT_S",
)
"""After these an order is said again, under the same id: in one world alone, if a machine stands still in it."""

pytestmark = pytest.mark.timeout(120)


@dataclass
class World:
    """One broker of its own, with her so far to the north."""

    her_m: float
    bus: Bus
    door: NatsDoor
    now_ms: int = NOW_MS
    taken: int = 0
    table: PairTable = field(init=False)
    heard: list[tuple[str, bytes]] = field(default_factory=list)
    hers: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = AffineClock(wall=lambda: self.now_ms / 1000)
        self.ledger = Ledger(self.bus.log, self.clock, REALM)
        measures = roster_of([ORDER], dict(DEVICES), partition=0, partitions=1)
        self.table, _ = engine.revise(PairTable(Roster()), measures, self.now_ms)

    async def live(self, his: aiomqtt.Client, hers: aiomqtt.Client) -> None:
        for step, km in enumerate(HIS_KM):
            self.now_ms += 1000 * STEP_S
            await self.reports(hers, PROTECTED, step, LAT + self.her_m * NORTH_M)
            await self.reports(his, WEARER, step, LAT + 1000 * km * NORTH_M)
            if step == 4:  # he is told why it was refused, and nothing else
                await his.publish(subjects.topic(WEARER, "loc"), b"not a position", qos=1)
                await eventually(lambda: any(topic.endswith("/err") for topic, _ in self.heard), within_s=WITHIN_S)
            if step in SAID:
                await self.is_told(SAID[step], step)
        done = messages.result(self.hers[-1]["id"], "done", now_ms=self.now_ms)
        await hers.publish(subjects.topic(PROTECTED, "res"), messages.encode(done), qos=1)
        await eventually(self._receipt_of_it, within_s=WITHIN_S)
        await self.is_told(Sentence.CALL_PLATFORM, len(HIS_KM))

    async def _receipt_of_it(self) -> bool:
        """What her unit answered is in the timeline of the alert: through ingest, the log and the downlink."""
        last = await self.bus.log.last(subjects.RECEIPTS, subjects.receipt(Code.PROX_ALERT.value, "msr_1"))
        receipt = None if last is None else decode_receipt(last.payload)
        return receipt is not None and (receipt.result, receipt.t8_ms) == ("done", self.now_ms)

    async def reports(self, unit: aiomqtt.Client, device: str, step: int, lat: float) -> None:
        """One position; acknowledged when the log has it, and judged before anything else happens."""
        payload = location(lat=lat, lon=LON, tst=self.now_ms // 1000, seq=step, acc=5, created_at=None)
        await unit.publish(subjects.topic(device, "loc"), payload, qos=1)
        rows = await eventually(self._new_rows, within_s=WITHIN_S)
        made = engine.step(self.table, rows, self.now_ms)
        assert not made.broken
        for order in made.commands:
            place = subjects.command(order.device, 0, order.action.value)
            await self.bus.log.append(place, encode(order), dedupe_id=order.id)
        for finding in made.findings:
            await self._rule(FindingCause(finding=finding))
        await eventually(self._all_carried, within_s=WITHIN_S)

    async def _all_carried(self) -> bool:
        progress = await self.bus.log.progress(subjects.COMMANDS, QUEUE)
        return progress.settled >= progress.end

    async def _new_rows(self) -> Any:
        last = await self.bus.log.last(subjects.FIXES, subjects.fixes(0))
        if last is None or last.sequence == self.taken:
            return None
        self.taken = last.sequence
        return decode_fixes(last.payload)

    async def _rule(self, event: FindingCause) -> None:
        """As the dispatcher would; her unit is told of the alert in the same step."""
        code, subject = place_of(event.finding)
        answer = await self.ledger.rule(code, subject, event)
        if not isinstance(answer, Ruling) or event.finding.code is not Code.PROX_ALERT:
            return
        told = Notification(id=f"evt_{event.finding.id}", channel=Channel.UNIT, type=TYPE_OF[Shown.ALERT])
        ruling = replace(
            answer, notifications=(told,), episode=replace(answer.episode, protected_told_ms=self.now_ms)
        )
        await self.bus.log.append(subjects.episode(code, subject), encode(ruling))
        await eventually(lambda: self.hers, within_s=WITHIN_S)

    async def is_told(self, sentence: Sentence, step: int) -> None:
        order = command(
            f"{sentence} {step}", action=Action.SAY, interval_s=None, sentence=sentence, by="A. Martin",
            at_ms=self.now_ms, expires_ms=self.now_ms + 60_000,
        )  # fmt: skip
        await self.bus.log.append(subjects.operators_command(WEARER, "say"), encode(order))
        status = [subjects.result(WEARER, order.id, one) for one in (subjects.SENT_BY, subjects.ENDED_BY)]

        async def is_settled() -> bool:
            return any([await self.bus.log.last(subjects.RESULTS, one) is not None for one in status])

        await eventually(is_settled, within_s=WITHIN_S)

    async def listen(self, ear: aiomqtt.Client) -> None:
        async for message in ear.messages:
            assert isinstance(message.payload, bytes)
            if message.topic.matches(f"tocsin/1/{WEARER}/#"):
                self.heard.append((message.topic.value, message.payload))
            elif message.topic.matches(subjects.topic(PROTECTED, "cmd")):
                said = json.loads(message.payload)
                self.hers += [said] if said["action"] == "protection" else []


@asynccontextmanager
async def opened(her_m: float) -> AsyncIterator[World]:
    home = Path(tempfile.mkdtemp(prefix="t-"))
    door = await NatsDoor.of_its_own(home, DEVICES)
    addresses = await door.server.start()
    door.url = addresses.mqtt_url
    try:
        async with open_bus(addresses.nats_url, "world") as bus:
            for device in DEVICES.values():
                await bus.devices.put(device.id, encode(device))
            await bus.orders.put(ORDER.id, encode(ORDER))
            yield World(her_m, bus, door)
    finally:
        await door.stop()
        shutil.rmtree(home)


async def life_of(her_m: float) -> World:
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(opened(her_m))
        bus, door = world.bus, world.door
        ingest, downlink = asyncio.Event(), asyncio.Event()
        parts = [
            asyncio.create_task(run_fixes(
                url=door.url, log=bus.log, devices=bus.devices, known=Known(partitions=1), clock=world.clock,
                linger_ms=1, ready=ingest.set, signs=bus.signs,
            )),
            asyncio.create_task(run_downlink(
                url=door.url, log_=bus.log, devices=bus.devices, orders=bus.orders, partitions=1,
                clock=world.clock, ready=downlink.set,
            )),
        ]  # fmt: skip
        for part in parts:
            stack.push_async_callback(cancelled, part)
        ear = await stack.enter_async_context(door.ingest("ear", clean=True))
        await ear.subscribe("tocsin/1/#", qos=1)
        listening = asyncio.create_task(world.listen(ear))
        stack.push_async_callback(cancelled, listening)
        async with asyncio.timeout(WITHIN_S):
            await ingest.wait()
            await downlink.wait()
        his = await stack.enter_async_context(door.device(WEARER))
        hers = await stack.enter_async_context(door.device(PROTECTED))
        await world.live(his, hers)
        last = f'"template":"{Sentence.CALL_PLATFORM}"'.encode()
        await eventually(lambda: sum(last in said for _, said in world.heard) == 2, within_s=WITHIN_S)
        assert not any(part.done() for part in parts)
    return world


async def test_every_byte_on_his_topics_is_the_same_wherever_she_is_within_the_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for patience in PATIENCE:
        monkeypatch.setattr(patience, HANGS_AFTER_S)
    here, there = await life_of(HER_M["here"]), await life_of(HER_M["there"])
    assert here.heard == there.heard
    told = [json.loads(said) for topic, said in here.heard if topic.endswith(("/cmd", "/err"))]
    assert [one["s"] for one in told if one.get("action") == "setCadence"] == [60, 30, 10, 5]
    said = [one["template"] for one in told if one.get("action") == "say"]
    assert said == ["call_platform", "turn_back", "leave_zone", "call_platform"], "and no word out of its state"
    assert sum(one["_type"] == "error" for one in told) == 1
    assert here.hers == there.hers
    assert [(one["state"], one["ring"]) for one in here.hers] == [("alert", True)], "meanwhile hers rings"
