"""How does an order of the geofence reach the device? From COMMANDS on the log to ``tocsin/1/{device}/cmd``.

QoS 1, settled when the broker has acknowledged it; the broker keeps it for a unit that is away. Devices are served
beside each other, the orders of one device in the order of the log:

* an order whose hour has passed is not sent;
* a device whose measures are decided in several partitions is asked an interval by each. It is told the shortest
  of what each has asked last: whatever a partition asks, it cannot take from the others what they need;
* of several intervals that wait for one device only the newest is sent, with that shortest one. Which these are,
  the log says, not this process: what a dead one held comes back to the next one behind newer orders;
* without the broker an order is given back and tried again, until its hour has passed.

An order that is sent twice (a PUBACK that came too late, a restart) has the same id: the unit does it once.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import aiomqtt
import msgspec
import structlog

from alerts.channels import device as device_channel
from alerts.channels.device import NotSayable
from tocsin import subjects
from tocsin.clock import Clock
from tocsin.errors import LogUnavailable, WireError
from tocsin.limits import COMMAND_PUBACK_S, DOWNLINK_PARALLEL_MAX
from tocsin.model.command import Action, Command
from tocsin.model.device import Device
from tocsin.model.ids import derived
from tocsin.mqtt import NO_FILES, client_to
from tocsin.ports import Bucket, Delivery, Entry, Log
from tocsin.telemetry import COMMANDS
from tocsin.tls import TlsFiles
from tocsin.wire import decode_command, decode_device

QUEUE = "downlink"
TAKE_MAX = 256
AGAIN_AFTER_S = 0.2
AGAIN_MAX_S = 2.0  # an order lives for a minute
RECONNECT_S = 0.5
INTERVALS_S: Final = device_channel.PROTECTED_INTERVALS_S  # no other is anybody's to ask
AT_ONCE = 10  # on their way to the broker: where aiomqtt begins to warn

log = structlog.get_logger()


async def run_downlink(
    *,
    url: str,
    log_: Log,
    devices: Bucket,
    partitions: int,
    clock: Clock,
    ready: Callable[[], None],
    tls: TlsFiles = NO_FILES,
) -> None:
    """Until cancelled."""
    line = Line(url, tls)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(line.stay_connected(ready))
        tasks.create_task(Downlink(log_, devices, clock, line, partitions).serve())


class Line:
    """The connection to the broker while there is one. It only speaks: the broker keeps no session of ours."""

    def __init__(self, url: str, tls: TlsFiles = NO_FILES) -> None:
        self._url = url
        self._tls = tls
        self._client: aiomqtt.Client | None = None
        self._given_up = asyncio.Event()
        self._places = asyncio.Semaphore(AT_ONCE)

    async def stay_connected(self, ready: Callable[[], None]) -> None:
        while True:
            try:
                async with client_to(self._url, self._tls, timeout_s=COMMAND_PUBACK_S) as client:
                    self._given_up.clear()
                    self._client = client
                    ready()
                    await self._until_lost(client)
            except aiomqtt.MqttError as error:
                log.warning("broker_connection_lost", session="downlink", error=repr(error))
            finally:
                self._client = None
            await asyncio.sleep(RECONNECT_S)

    async def _until_lost(self, client: aiomqtt.Client) -> None:
        """Raises MqttError when it is. Nothing is subscribed: listening ends with the connection. A broker that
        has left an order without its PUBACK is met anew, too: a connection may be dead before TCP says so."""
        ends = [asyncio.create_task(_listen(client)), asyncio.create_task(self._given_up.wait())]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            raise aiomqtt.MqttError("no PUBACK" if self._given_up.is_set() else "connection lost")
        finally:
            self._client = None
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)

    async def publish(self, topic: str, payload: bytes) -> None:
        """Returns at the PUBACK. Raises MqttError."""
        async with self._places:
            client = self._client
            if client is None:
                raise aiomqtt.MqttError("no connection")
            try:
                await client.publish(topic, payload, qos=1)
            except aiomqtt.MqttError:
                if self._client is client:  # else the next connection is there already
                    self._client = None
                    self._given_up.set()
                raise


async def _listen(client: aiomqtt.Client) -> None:
    async for _ in client.messages:
        pass


class Asked(NamedTuple):
    """The newest interval that one partition asks."""

    sequence: int
    command: Command


class Downlink:
    """Takes orders from the log and hands them to the broker."""

    def __init__(self, log_: Log, devices: Bucket, clock: Clock, line: Line, partitions: int) -> None:
        self._log = log_
        self._partitions = partitions
        self._devices = devices
        self._clock = clock
        self._line = line

    async def serve(self) -> None:
        async with self._log.queue(subjects.COMMANDS, QUEUE, parallel=DOWNLINK_PARALLEL_MAX) as deliveries:
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
        if self._has_expired(command):
            return "expired"
        device = await self._device(command.device)
        partition = _asked_by(command, entry)
        if device is None or partition is None:
            return "no_device"
        if command.action is Action.SET_CADENCE:
            asked = await self._asked(device, partition)
            if any(one.sequence > entry.sequence and not self._has_expired(one.command) for one in asked):
                return "superseded"
            command = shortest(command, [one.command for one in asked])
        try:
            said = device_channel.payload(command, device.kind)
        except NotSayable as error:
            log.critical("command_refused", command=command.id, action=command.action.value, error=str(error))
            return "refused"
        await self._line.publish(subjects.topic(device.id, device_channel.LEAF), said)
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


def _asked_by(command: Command, entry: Entry) -> int | None:
    """The partition whose order this is; None: it stands where no order of this kind for this device does."""
    try:
        partition = subjects.partition_in(entry.subject)
    except ValueError:
        return None
    place = subjects.command(command.device, partition, command.action.value)
    return partition if entry.subject == place else None


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
