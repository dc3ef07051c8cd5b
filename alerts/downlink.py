"""How does an order of the geofence, or of a human, reach the device? From COMMANDS to ``tocsin/1/{device}/cmd``.

QoS 1, settled when the broker has acknowledged it; the broker keeps it for a unit that is away. Devices are served
beside each other, the orders of one device in the order of the log:

* an order whose hour has passed is not sent;
* a device whose measures are decided in several partitions is asked an interval by each. It is told the shortest
  of what each has asked last: whatever a partition asks, it cannot take from the others what they need;
* of several intervals that wait for one device only the newest is sent, with that shortest one. Which these are,
  the log says, not this process: what a dead one held comes back to the next one behind newer orders;
* without the broker an order is given back and tried again, until its hour has passed;
* an order of a human (``subjects.OPERATOR``) is what no machine may say: a sentence in the state that it belongs
  to, a ring. What it came to is written down also where it was not sent.

What her unit shows of her protection goes beside all this (``alerts.protection_orders``); what units answer, and
whether, is followed in ``alerts.results``.

An order that is sent twice (a PUBACK that came too late, a restart) has the same id: the unit does it once.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final, NamedTuple

import aiomqtt
import msgspec
import structlog

from alerts.broker_line import Line
from alerts.channels import device as device_channel
from alerts.channels.device import NotSayable
from alerts.protection_orders import QUEUE as PROTECTION_QUEUE
from alerts.protection_orders import ProtectionOrders, Speaker
from alerts.results import ANSWERS_QUEUE, SENT_QUEUE, Results, Tracker
from alerts.unit_states import UnitStates
from tocsin import subjects
from tocsin.clock import Clock
from tocsin.errors import LogUnavailable, WireError
from tocsin.limits import DOWNLINK_PARALLEL_MAX
from tocsin.model.command import Action, Command, Stage
from tocsin.model.device import Device
from tocsin.model.ids import derived
from tocsin.mqtt import NO_FILES
from tocsin.ports import Bucket, Delivery, Entry, Log
from tocsin.pulsing import UNSEEN, Returning, Rounds
from tocsin.telemetry import COMMANDS
from tocsin.tls import TlsFiles
from tocsin.wire import decode_command, decode_device

QUEUE = "downlink"
LOOPS: Final = (QUEUE, PROTECTION_QUEUE, ANSWERS_QUEUE, SENT_QUEUE)
TAKE_MAX = 256
AGAIN_AFTER_S = 0.2
AGAIN_MAX_S = 2.0  # an order lives for a minute
INTERVALS_S: Final = device_channel.PROTECTED_INTERVALS_S  # no other is anybody's to ask

BY_MACHINES: Final = frozenset({Action.SET_CADENCE, Action.REPORT_LOCATION})
BY_HUMANS: Final = frozenset({Action.REPORT_LOCATION, Action.SAY, Action.RING})

log = structlog.get_logger()


async def run_downlink(
    *,
    url: str,
    log_: Log,
    devices: Bucket,
    orders: Bucket,
    partitions: int,
    clock: Clock,
    ready: Callable[[], None],
    tls: TlsFiles = NO_FILES,
    rounds: Rounds = UNSEEN,
) -> None:
    """Until cancelled. ``ready`` is called when both connections are there for the first time."""
    line, own_line = Line(url, tls), Line(url, tls, "protection")
    states = UnitStates()
    protection = ProtectionOrders(log_, devices, orders, clock, own_line, states, rounds)
    waited_for = {line, own_line}

    def connected(one: Line) -> None:
        waited_for.discard(one)
        if not waited_for:
            ready()

    async with asyncio.TaskGroup() as tasks:
        for one in (line, own_line):
            tasks.create_task(one.stay_connected(partial(connected, one)))
        tasks.create_task(protection.serve())
        tasks.create_task(Downlink(log_, devices, clock, line, partitions, states, rounds).serve())
        tasks.create_task(Tracker(log_, clock, protection.tell_again, rounds).serve())


class Asked(NamedTuple):
    """The newest interval that one partition asks."""

    sequence: int
    command: Command


class Downlink:
    """Takes orders from the log and hands them to the broker."""

    def __init__(
        self,
        log_: Log,
        devices: Bucket,
        clock: Clock,
        line: Speaker,
        partitions: int,
        states: UnitStates,
        rounds: Rounds = UNSEEN,
    ) -> None:
        self._log = log_
        self._rounds = rounds
        self._states = states
        self._results = Results(log_, clock)
        self._partitions = partitions
        self._devices = devices
        self._clock = clock
        self._line = line

    async def serve(self) -> None:
        async with self._log.queue(subjects.COMMANDS, QUEUE, parallel=DOWNLINK_PARALLEL_MAX) as queue:
            deliveries = Returning(queue, self._rounds, QUEUE)
            while True:
                taken = await deliveries.take(TAKE_MAX)
                await asyncio.gather(*(self._serve_one_device(some) for some in _by_device(taken)))

    async def _serve_one_device(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            await self._settle(delivery)

    async def _settle(self, delivery: Delivery) -> None:
        subject = delivery.entry.subject
        try:
            command = decode_command(delivery.entry.payload)
        except WireError as error:  # another version's, in the middle of an upgrade: its own downlink will read it
            log.critical("unreadable", subject=subject, error=str(error))
            COMMANDS.labels(action="unknown", outcome="unreadable").inc()
            await delivery.again(_wait_s(delivery.attempt))
            return
        try:
            outcome = await self._carry(command, delivery.entry)
        except (aiomqtt.MqttError, LogUnavailable):  # each says so once itself, and not for each order
            outcome = "again"
        except Exception:  # F02: one order that breaks something must not stop the others; it ends with its hour
            log.critical("command_failed", command=command.id, attempt=delivery.attempt, exc_info=True)
            outcome = "broken"
        COMMANDS.labels(action=command.action.value, outcome=outcome).inc()
        if outcome in {"again", "broken"}:
            await delivery.again(_wait_s(delivery.attempt))
        else:
            await delivery.done()

    async def _carry(self, command: Command, entry: Entry) -> str:
        """What became of it. Raises MqttError, LogUnavailable: it can be tried again."""
        outcome = await self._told(command, entry)
        if outcome not in {"sent", "again"} and subjects.is_operators(entry.subject):  # he who gave it asks
            stage = Stage.EXPIRED if outcome == "expired" else Stage.FAILED
            await self._results.ended(command, stage, outcome)
        return outcome

    async def _told(self, command: Command, entry: Entry) -> str:
        if self._has_expired(command):
            return "expired"
        device = await self._device(command.device)
        if device is None or not _stands_right(command, entry):
            return "no_device"
        if command.action is Action.SET_CADENCE:
            asked = await self._asked(device, subjects.partition_in(entry.subject))
            if any(one.sequence > entry.sequence and not self._has_expired(one.command) for one in asked):
                return "superseded"
            command = shortest(command, [one.command for one in asked])
        command = device_channel.told_as(command)
        if command.by and not self._states.is_complete:
            return "again"
        if command.action is Action.RING and self._states.is_silent(device):
            return "silent"
        try:
            conditions = self._states.conditions(device)
            said = device_channel.payload(command, device.kind, conditions)
        except NotSayable as error:
            log.critical("command_refused", command=command.id, action=command.action.value, error=str(error))
            return "refused"
        await self._line.publish(subjects.topic(device.id, device_channel.LEAF), said)
        await self._results.sent(command)
        return "sent"

    async def _asked(self, device: Device, partition: int) -> list[Asked]:
        """What each partition that decides about a measure of this device has asked last; mostly that is one look.
        A partition that has nothing to do with it any more has nothing to ask, whatever it once did."""
        partitions = {partition} | {subjects.partition_of(one, self._partitions) for one in device.measures}
        places = [subjects.command(device.id, one, Action.SET_CADENCE.value) for one in sorted(partitions)]
        entries = await asyncio.gather(*(self._log.last(subjects.COMMANDS, one) for one in places))
        return [asked for entry in entries if entry is not None and (asked := _interval_in(entry)) is not None]

    def _has_expired(self, command: Command) -> bool:
        return self._clock.now_ms() >= command.expires_ms

    async def _device(self, name: str) -> Device | None:
        """None: not registered, or revoked; there is nobody to tell."""
        value = await self._devices.get(name)
        return None if value is None else decode_device(value)


def _by_device(deliveries: Sequence[Delivery]) -> list[list[Delivery]]:
    """Each device's in the order of the log: what is tried again comes back behind what is newer."""
    found: defaultdict[str, list[Delivery]] = defaultdict(list)
    for delivery in sorted(deliveries, key=lambda one: one.entry.sequence):
        found[".".join(delivery.entry.subject.split(".")[:3])].append(delivery)
    return list(found.values())


def _stands_right(command: Command, entry: Entry) -> bool:
    """Whether it stands where orders of this kind for this device do: a human's in one place, a machine's in
    another, and of a machine no more than it may order."""
    if subjects.is_operators(entry.subject):
        place = subjects.operators_command(command.device, command.action.value)
        return entry.subject == place and bool(command.by) and command.action in BY_HUMANS
    try:
        partition = subjects.partition_in(entry.subject)
    except ValueError:
        return False
    place = subjects.command(command.device, partition, command.action.value)
    return entry.subject == place and not command.by and command.action in BY_MACHINES


def _interval_in(entry: Entry) -> Asked | None:
    """What cannot be read asks for nothing and replaces nothing."""
    try:
        command = decode_command(entry.payload)
    except WireError:
        return None
    return Asked(entry.sequence, command) if command.interval_s in INTERVALS_S else None


def shortest(command: Command, asked: Iterable[Command]) -> Command:
    """``command`` with the shortest interval that anybody asks; one that nobody may ask stays as it is. Said with
    another interval than its own it has another name, derived from both: a unit does what it has been told under
    one name only once."""
    if command.interval_s not in INTERVALS_S:
        return command
    interval_s = min(one.interval_s for one in (command, *asked) if one.interval_s is not None)
    if interval_s == command.interval_s:
        return command
    name = derived("cmd", command.id, interval_s)
    return msgspec.structs.replace(command, id=name, interval_s=interval_s)


def _wait_s(attempt: int) -> float:
    return float(min(AGAIN_MAX_S, AGAIN_AFTER_S * 2.0 ** min(attempt, 10)))
