"""How does a protected person's unit come to show her protection? From the rulings on EPISODES to its ``cmd``.

A queue and a connection of their own, so that an alert waits behind no interval. What a notification on
Channel.UNIT says is told as it stands when it is sent: if the newest ruling of its place says otherwise by then,
it is superseded; of several alerts about her the worst is shown (``alerts.unit_states``). An alert lives for
ALERT_EXPIRES_MS at the unit, its end until the next word. A unit that was away and answers that it came too late
is told again, as long as it is so.

It rings when a notification of an alert says so, and for nothing else: not when one of two alerts is over, not on
a TGD, and not while a key that was pressed silently stands open.

Whose unit: that of the finding, else that of the measure's order, else, when the order has gone (the measure
ended), the one whose place was known at the newest raising, else the device that the episode is about. Never a
wearer's, whatever went wrong before: its kind is looked up, and the payload is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from typing import Final, NamedTuple, Protocol

import aiomqtt
import msgspec
import structlog

from alerts.channels import device as device_channel
from alerts.channels.device import NotSayable
from alerts.results import Place, Results
from alerts.unit_states import UnitStates, shown_of, told
from tocsin import subjects
from tocsin.clock import MS, Clock
from tocsin.errors import LogUnavailable, WireError
from tocsin.limits import DOWNLINK_PARALLEL_MAX
from tocsin.model.canary import is_canary
from tocsin.model.command import Action, Command, CommandStatus, Shown
from tocsin.model.device import Device, DeviceKind
from tocsin.model.episode import Channel, FindingCause, Notification, Receipt, Ruling
from tocsin.model.ids import derived
from tocsin.ports import Bucket, Delivery, Entry, Log
from tocsin.pulsing import UNSEEN, Returning, Rounds
from tocsin.telemetry import COMMANDS
from tocsin.wire import decode_device, decode_order, decode_ruling

QUEUE: Final = "downlink-protection"
TAKE_MAX: Final = 256
ALERT_EXPIRES_MS: Final = 60 * MS  # of every order (the device protocol); who comes back later is told anew
OVER_EXPIRES_MS: Final = 24 * 3_600 * MS  # she must be told, whenever her unit comes back
AGAIN_AFTER_S: Final = 0.2
AGAIN_MAX_S: Final = 2.0

log = structlog.get_logger()


class Speaker(Protocol):
    """``alerts.broker_line.Line``."""

    async def publish(self, topic: str, payload: bytes) -> None:
        """Returns at the PUBACK. Raises MqttError."""


class _Said(NamedTuple):
    """One notification, as it came: where its episode stands, and for which time it is tried."""

    subject: str
    ruling: Ruling
    notification: Notification
    attempt: int

    @property
    def place(self) -> Place:
        _, _, code, about = self.subject.split(".")
        return code, about


class ProtectionOrders:
    """Tells the units of protected persons what they show."""

    def __init__(
        self,
        log_: Log,
        devices: Bucket,
        orders: Bucket,
        clock: Clock,
        line: Speaker,
        states: UnitStates,
        rounds: Rounds = UNSEEN,
    ) -> None:
        self._log = log_
        self._rounds = rounds
        self._devices = devices
        self._orders = orders
        self._clock = clock
        self._line = line
        self._states = states
        self._results = Results(log_, clock)
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)  # one order of a unit at a time
        self._present = asyncio.Event()

    async def serve(self) -> None:
        """Until cancelled. Nothing is told before the present is reached: what stands says what is told."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            await self._present.wait()
            async with self._log.queue(subjects.EPISODES, QUEUE, parallel=DOWNLINK_PARALLEL_MAX) as queue:
                deliveries = Returning(queue, self._rounds, QUEUE)
                while True:
                    taken = await deliveries.take(TAKE_MAX)
                    await asyncio.gather(*(self._settle(one) for one in taken))

    async def _follow(self) -> None:
        read = self._log.read(subjects.EPISODES, subjects.EPISODES.subjects, newest_per_subject=True)
        async for entries in read:
            for entry in entries:
                with contextlib.suppress(WireError):  # the queue says so, of every ruling that it cannot read
                    self._states.hear(entry.subject, entry.sequence, decode_ruling(entry.payload))
            if not entries:
                self._states.is_complete = True
                self._present.set()

    async def _settle(self, delivery: Delivery) -> None:
        subject = delivery.entry.subject
        try:
            ruling = decode_ruling(delivery.entry.payload)
        except WireError as error:  # another version's, in the middle of an upgrade: its own downlink will read it
            log.critical("unreadable", subject=subject, error=str(error))
            COMMANDS.labels(action=Action.PROTECTION.value, outcome="unreadable").inc()
            await delivery.again(AGAIN_MAX_S)
            return
        mine = [one for one in ruling.notifications if one.channel is Channel.UNIT]
        try:
            for notification in mine:
                await self._notify(delivery.entry, delivery.attempt, ruling, notification)
        except (aiomqtt.MqttError, LogUnavailable):  # each says so once itself
            COMMANDS.labels(action=Action.PROTECTION.value, outcome="again").inc()
            await delivery.again(_wait_s(delivery.attempt))
        except Exception:  # F02: one that breaks something must not stop the others, nor be forgotten
            log.critical("protection_failed", subject=subject, attempt=delivery.attempt, exc_info=True)
            COMMANDS.labels(action=Action.PROTECTION.value, outcome="broken").inc()
            await delivery.again(_wait_s(delivery.attempt))
        else:
            await delivery.done()

    async def _notify(self, entry: Entry, attempt: int, ruling: Ruling, notification: Notification) -> None:
        """To each unit that it concerns; mostly that is one. Raises MqttError, LogUnavailable."""
        shown = told(notification)
        units = await self._units(ruling)
        said = _Said(entry.subject, ruling, notification, attempt)
        if shown is None or not units:
            log.critical("unit_not_told", notification=notification.id, type=notification.type, units=len(units))
            await self._finish(said, None, "no_device" if shown else "refused")
            return
        for unit in units:
            async with self._turns[unit.id]:
                await self._tell(said, entry.sequence, unit, shown)

    async def _tell(self, said: _Said, sequence: int, unit: Device, shown: Shown) -> None:
        newest = await self._log.last(subjects.EPISODES, said.subject)
        if newest is not None:
            self._states.hear(newest.subject, newest.sequence, decode_ruling(newest.payload))
            if newest.sequence > sequence and shown_of(decode_ruling(newest.payload)) is not shown:
                await self._finish(said, unit, "superseded")
                return
        now = self._states.shown(unit)
        rings = shown is now is Shown.ALERT and self._may_ring(unit)
        name = derived("cmd", unit.id, said.notification.id, now.value)
        await self._order(said, unit, self._command(name, unit, now, rings=rings))

    async def _order(self, said: _Said, unit: Device, command: Command) -> None:
        try:
            payload = device_channel.payload(command, unit.kind)
        except NotSayable as error:
            log.critical("command_refused", command=command.id, action=command.action.value, error=str(error))
            await self._finish(said, unit, "refused")
            return
        receipt = self._receipt(said, unit.id, "sent")
        try:
            await self._line.publish(subjects.topic(unit.id, device_channel.LEAF), payload)
        except aiomqtt.MqttError:
            if said.attempt.bit_count() == 1:  # the first, and ever more seldom: an outage is no flood of receipts
                await self._results.receipt(said.place, msgspec.structs.replace(receipt, result="no_broker"))
            raise
        await self._results.sent(command, receipt, said.place)
        COMMANDS.labels(action=command.action.value, outcome="sent").inc()

    async def tell_again(self, sent: CommandStatus) -> None:
        """A unit has heard an order too late: what is so now, under another name. Raises MqttError,
        LogUnavailable."""
        unit = await self._device(sent.device)
        if sent.action is not Action.PROTECTION or sent.receipt is None or unit is None:
            return
        async with self._turns[unit.id]:
            now = self._states.shown(unit)
            if now is Shown.OVER:
                return  # of the end it hears by the ruling that ends it
            rings = bool(sent.rings) and now is Shown.ALERT and self._may_ring(unit)
            command = self._command(derived("cmd", sent.command, "again"), unit, now, rings=rings)
            payload = device_channel.payload(command, unit.kind)
            receipt = msgspec.structs.replace(
                sent.receipt,
                attempt=sent.receipt.attempt + 1,
                t7_ms=self._clock.now_ms(),
                t8_ms=None,
                result="sent",
            )
            await self._line.publish(subjects.topic(unit.id, device_channel.LEAF), payload)
            await self._results.sent(command, receipt, (sent.code, sent.subject))
            COMMANDS.labels(action=command.action.value, outcome="sent").inc()

    def _command(self, name: str, unit: Device, shows: Shown, *, rings: bool) -> Command:
        now_ms = self._clock.now_ms()
        lives_ms = OVER_EXPIRES_MS if shows is Shown.OVER else ALERT_EXPIRES_MS
        return Command(
            id=name, device=unit.id, action=Action.PROTECTION, at_ms=now_ms, expires_ms=now_ms + lives_ms,
            shows=shows, rings=rings,
        )  # fmt: skip

    def _may_ring(self, unit: Device) -> bool:
        return unit.kind is DeviceKind.PROTECTED and not self._states.is_silent(unit)

    # --- whose unit -----------------------------------------------------------------------------------------

    async def _units(self, ruling: Ruling) -> list[Device]:
        names = self._named(ruling) or await self._ordered(ruling) or self._known(ruling)
        found = [await self._device(name) for name in dict.fromkeys(names)]
        return [
            one
            for one in found
            if one is not None
            and one.kind is not DeviceKind.WEARER
            and is_canary(one.id) is ruling.episode.is_canary  # whatever names it, nobody's unit shows a test
        ]

    @staticmethod
    def _named(ruling: Ruling) -> list[str]:
        match ruling.event:
            case FindingCause(finding=finding) if finding.protected is not None:
                return [finding.protected.device]
            case _:
                return []

    async def _ordered(self, ruling: Ruling) -> list[str]:
        values = [await self._orders.get(measure) for measure in ruling.episode.measures]
        return [decode_order(value).protected for value in values if value is not None]

    @staticmethod
    def _known(ruling: Ruling) -> list[str]:
        protected = ruling.episode.protected
        return [protected.device if protected is not None else ruling.episode.device or ""]

    async def _device(self, name: str) -> Device | None:
        value = await self._devices.get(name) if name else None
        return None if value is None else decode_device(value)

    # --- what is written of it ------------------------------------------------------------------------------

    async def _finish(self, said: _Said, unit: Device | None, outcome: str) -> None:
        """It will not be told: say why."""
        await self._results.receipt(said.place, self._receipt(said, unit.id if unit else "", outcome))
        COMMANDS.labels(action=Action.PROTECTION.value, outcome=outcome).inc()

    def _receipt(self, said: _Said, unit: str, result: str) -> Receipt:
        return Receipt(
            notification=said.notification.id, episode=said.ruling.episode.id, version=said.ruling.episode.version,
            channel=Channel.UNIT, attempt=said.attempt, t7_ms=self._clock.now_ms(), t8_ms=None, result=result,
            recipient=unit, line=unit, canary=said.ruling.episode.is_canary,
        )  # fmt: skip


def _wait_s(attempt: int) -> float:
    return float(min(AGAIN_MAX_S, AGAIN_AFTER_S * 2.0 ** min(attempt, 10)))
