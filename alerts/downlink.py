"""How does an order of the geofence reach the device? From COMMANDS on the log to ``tocsin/1/{device}/cmd``.

QoS 1, settled when the broker has acknowledged it; the broker keeps it for a unit that is away. Devices are served
beside each other, the orders of one device in the order of the log:

* an order whose hour has passed is not sent;
* of several intervals that wait for one device the newest is sent. Which that is the log says, not this process:
  what a dead one held comes back to the next one behind newer orders;
* without the broker an order is given back and tried again, until its hour has passed.

An order that is sent twice (a PUBACK that came too late, a restart) has the same id: the unit does it once.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Sequence

import aiomqtt
import structlog

from alerts.channels import device as device_channel
from alerts.channels.device import NotSayable
from tocsin import subjects
from tocsin.clock import Clock
from tocsin.errors import LogUnavailable, WireError
from tocsin.limits import COMMAND_PUBACK_S, DOWNLINK_PARALLEL_MAX
from tocsin.model.command import Action, Command
from tocsin.model.device import Device
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
AT_ONCE = 10  # on their way to the broker: where aiomqtt begins to warn

log = structlog.get_logger()


async def run_downlink(
    *,
    url: str,
    log_: Log,
    devices: Bucket,
    clock: Clock,
    ready: Callable[[], None],
    tls: TlsFiles = NO_FILES,
) -> None:
    """Until cancelled."""
    line = Line(url, tls)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(line.stay_connected(ready))
        tasks.create_task(Downlink(log_, devices, clock, line).serve())


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


class Downlink:
    """Takes orders from the log and hands them to the broker."""

    def __init__(self, log_: Log, devices: Bucket, clock: Clock, line: Line) -> None:
        self._log = log_
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
        if self._clock.now_ms() >= command.expires_ms:
            return "expired"
        if command.action is Action.SET_CADENCE and await self._is_superseded(entry):
            return "superseded"
        device = await self._device(command.device)
        if device is None or entry.subject != subjects.command(device.id):
            return "no_device"
        try:
            said = device_channel.payload(command, device.kind)
        except NotSayable as error:
            log.critical("command_refused", command=command.id, action=command.action.value, error=str(error))
            return "refused"
        await self._line.publish(subjects.topic(device.id, device_channel.LEAF), said)
        return "sent"

    async def _is_superseded(self, entry: Entry) -> bool:
        """Whether a newer interval for this device is on the log. Mostly nothing newer is, which is one look."""
        newest = await self._log.last(subjects.COMMANDS, entry.subject)
        if newest is None or newest.sequence <= entry.sequence:
            return False
        following = self._log.read(subjects.COMMANDS, entry.subject, after=entry.sequence)
        try:
            async for entries in following:
                if not entries or any(map(_is_interval, entries)):
                    return bool(entries)
        finally:
            if isinstance(following, AsyncGenerator):
                await following.aclose()
        return False

    async def _device(self, name: str) -> Device | None:
        """None: not registered, or revoked; there is nobody to tell."""
        value = await self._devices.get(name)
        return None if value is None else decode_device(value)


def _by_device(deliveries: Sequence[Delivery]) -> list[list[Delivery]]:
    """Each device's in the order of the log: what is tried again comes back behind what is newer."""
    found: defaultdict[str, list[Delivery]] = defaultdict(list)
    for delivery in sorted(deliveries, key=lambda one: one.entry.sequence):
        found[delivery.entry.subject].append(delivery)
    return list(found.values())


def _is_interval(entry: Entry) -> bool:
    """What cannot be read replaces nothing."""
    try:
        return decode_command(entry.payload).action is Action.SET_CADENCE
    except WireError:
        return False


def _wait_s(attempt: int) -> float:
    return float(min(AGAIN_MAX_S, AGAIN_AFTER_S * 2.0 ** min(attempt, 10)))
