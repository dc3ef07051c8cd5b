"""How does a notification reach its recipient? One queue per channel, and within it one task and one client per
room, so that one that hangs delays no other.

The courier POSTs until a 2xx or the end of the ladder, keeps its lease alive meanwhile, and writes a receipt of
every attempt to the log. A room whose own line takes nothing for STAND_IN_AFTER_S is not left alone with it: the
default recipient hears the same message, on a ladder beside the room's. If the courier dies after the POST, the
next one repeats it under the same ``webhook-id``: a delivery may repeat, a notification never has two names
(ARCHITECTURE, A6).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from alerts.channels import registry
from alerts.channels.form import Sender
from alerts.line import Endpoint, Line, Outcome, client, trusted_by, trusted_by_all
from alerts.retries import (
    ACCEPTED,
    GAVE_UP,
    NO_ENDPOINT,
    NO_LONGER_TOLD,
    SETTLING,
    STAND_IN_AFTER_S,
    STOOD_IN,
    Attempt,
    GiveUp,
    Wait,
    ladder_of,
    next_attempt,
)
from tocsin import subjects
from tocsin.clock import MS, Clock
from tocsin.errors import LogUnavailable, WireError
from tocsin.limits import COURIER_PARALLEL_MAX, LEASE_RENEW_S
from tocsin.model.episode import Channel, Notification, Receipt, Ruling
from tocsin.model.ids import derived
from tocsin.model.room import DEFAULT_ROOM
from tocsin.ports import Delivery, Log
from tocsin.telemetry import NOTIFICATIONS, STAGE_SECONDS
from tocsin.wire import decode_ruling, encode

RECEIPT_AGAIN_S = 0.5
BROKEN_AGAIN_AFTER_S = 15.0

log = structlog.get_logger()


Recipients = Mapping[str, Endpoint]
"""By the name of the room; under DEFAULT_ROOM whoever hears of every other. Empty: nobody is configured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How a channel writes. ``is_told``: whether there is anything to write of this."""

    content_type: str
    body: Callable[[Ruling, Notification], bytes]
    is_told: Callable[[Ruling, Notification], bool] = lambda _ruling, _notification: True


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is on its way: the same bytes on every line and at every attempt. ``taken``: by the recipient itself,
    not by whoever stands in for it."""

    ruling: Ruling
    notification: Notification
    body: bytes
    taken: asyncio.Event = field(default_factory=asyncio.Event)


class Courier:
    """Serves one channel. Without a line nobody is configured there, which is said on every notification."""

    def __init__(
        self, *, channel: Channel, lines: Mapping[str, Line], form: Form, log_: Log, clock: Clock
    ) -> None:
        self._channel = channel
        self._lines = lines
        self._form = form
        self._log = log_
        self._clock = clock
        self._settled: set[str] = set()  # of rulings whose lease is ours: what is given back is not told again

    async def serve(self) -> None:
        """Until cancelled: each ruling in a task of its own, so that a retry holds up nobody."""
        name = f"courier-{self._channel.value}"
        async with (
            self._log.queue(subjects.EPISODES, name, parallel=COURIER_PARALLEL_MAX) as deliveries,
            asyncio.TaskGroup() as tasks,
        ):
            while True:
                for delivery in await deliveries.take(COURIER_PARALLEL_MAX):
                    tasks.create_task(self._deliver(delivery))

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            ruling = decode_ruling(delivery.entry.payload)
        except WireError as error:  # another version's, in the middle of an upgrade: its own courier will read it
            log.critical("unreadable", subject=delivery.entry.subject, error=str(error))
            await delivery.again(BROKEN_AGAIN_AFTER_S)
            return
        mine = [one for one in ruling.notifications if one.channel is self._channel]
        try:
            async with _leased(delivery):
                await self._notify_each(ruling, [one for one in mine if one.id not in self._settled])
        except Exception:
            log.exception("delivery_failed", subject=delivery.entry.subject, sequence=delivery.entry.sequence)
            NOTIFICATIONS.labels(channel=self._channel.value, outcome="broken").inc()
            await delivery.again(BROKEN_AGAIN_AFTER_S)
        else:
            await delivery.done()
            self._settled.difference_update(one.id for one in mine)

    async def _notify_each(self, ruling: Ruling, notifications: Sequence[Notification]) -> None:
        """At the same time, so that no room waits for another; one that cannot be told does not end the others."""
        outcomes = await asyncio.gather(
            *(self._notify(ruling, one) for one in notifications), return_exceptions=True
        )
        for notification, outcome in zip(notifications, outcomes, strict=True):
            if outcome is None:
                self._settled.add(notification.id)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def _notify(self, ruling: Ruling, notification: Notification) -> None:
        """To its room; where that has no line of its own, to whoever hears of every other."""
        if not self._form.is_told(ruling, notification):
            nothing = Message(ruling=ruling, notification=notification, body=b"")
            await self._receipt(nothing, 0, self._clock.now_ms(), Outcome(result=NO_LONGER_TOLD))
            return
        told = Message(ruling=ruling, notification=notification, body=self._form.body(ruling, notification))
        own, default = self._lines.get(notification.recipient), self._lines.get(DEFAULT_ROOM)
        if own is None or default is None or own is default:
            await self._climb(told, own or default)
        else:
            await self._with_a_stand_in(told, own, default)

    async def _with_a_stand_in(self, told: Message, own: Line, default: Line) -> None:
        """The default recipient too, once the room has taken nothing for STAND_IN_AFTER_S or its ladder has ended.
        The room's ladder goes on all the while; when the room has taken it, nobody else is tried any more."""
        async with asyncio.TaskGroup() as tasks:
            room = tasks.create_task(self._climb(told, own))
            patience = tasks.create_task(self._clock.sleep(STAND_IN_AFTER_S))
            await asyncio.wait({room, patience}, return_when=asyncio.FIRST_COMPLETED)
            patience.cancel()
            if not told.taken.is_set():
                log.error(
                    "room_does_not_answer", notification=told.notification.id, room=told.notification.recipient
                )
                await self._climb(told, default, STOOD_IN)

    async def _climb(self, told: Message, line: Line | None, by: str = "") -> None:
        """Up the ladder until somebody has taken it. ``by`` stands before the result in every receipt."""
        ladder = ladder_of(told.ruling.episode.priority)
        first_ms = self._clock.now_ms()
        made = 0
        while not told.taken.is_set():
            match next_attempt(made, first_ms, self._clock.now_ms(), ladder):
                case Wait(seconds=seconds):
                    await self._clock.sleep(seconds)
                case GiveUp():
                    await self._receipt(told, made, self._clock.now_ms(), Outcome(result=by + GAVE_UP))
                    log.error(
                        "notification_given_up",
                        notification=told.notification.id,
                        channel=self._channel.value,
                        room=told.notification.recipient,
                        by_default=bool(by),
                    )
                    return
                case Attempt():
                    made += 1
                    t7_ms = self._clock.now_ms()
                    outcome = await self._post(line, told)
                    if outcome.result == ACCEPTED and not by:
                        told.taken.set()  # before the receipt, which waits for the log
                    await self._receipt(told, made, t7_ms, replace(outcome, result=by + outcome.result))
                    if outcome.result in {ACCEPTED, NO_ENDPOINT}:
                        return

    async def _post(self, line: Line | None, told: Message) -> Outcome:
        if line is None:
            return Outcome(result=NO_ENDPOINT)
        return await line.post(told.notification.id, told.body, self._form.content_type, self._clock.wall_ms())

    async def _receipt(self, told: Message, attempt: int, t7_ms: int, outcome: Outcome) -> None:
        episode, notification = told.ruling.episode, told.notification
        accepted = outcome.result in {ACCEPTED, STOOD_IN + ACCEPTED}
        receipt = Receipt(
            notification=notification.id,
            episode=episode.id,
            version=episode.version,
            channel=self._channel,
            attempt=attempt,
            t7_ms=t7_ms,
            t8_ms=self._clock.now_ms() if accepted else None,
            result=outcome.result,
            status=outcome.status,
            recipient=notification.recipient,
        )
        NOTIFICATIONS.labels(channel=self._channel.value, outcome=outcome.result).inc()
        self._measure(told.ruling, receipt)
        await self._write(receipt, subjects.receipt(episode.code.value, episode.subject))

    async def _write(self, receipt: Receipt, subject: str) -> None:
        """The receipt of an attempt that settles the notification is written before the next thing is done; that
        of a failed attempt must not hold up the next attempt."""
        by = (STOOD_IN,) if receipt.result.startswith(STOOD_IN) else ()  # its attempts are counted on their own
        name = derived("rct", receipt.notification, receipt.attempt, receipt.t7_ms, *by)
        while True:
            try:
                await self._log.append(subject, encode(receipt), dedupe_id=name)
            except LogUnavailable as error:
                log.warning("receipt_waits", result=receipt.result, error=str(error))
                if receipt.result not in SETTLING:
                    return
                await asyncio.sleep(RECEIPT_AGAIN_S)
            else:
                return

    def _measure(self, ruling: Ruling, receipt: Receipt) -> None:
        raising = ruling.episode.raises[-1]
        t3_ms = raising.points.t3_ms
        if raising.version != ruling.episode.version or t3_ms is None or receipt.t8_ms is None:
            return
        STAGE_SECONDS.labels(start="t3", end="t7").observe((receipt.t7_ms - t3_ms) / MS)
        STAGE_SECONDS.labels(start="t3", end="t8").observe((receipt.t8_ms - t3_ms) / MS)


@contextlib.asynccontextmanager
async def _leased(delivery: Delivery) -> AsyncIterator[None]:
    """Keep the lease while the body runs."""

    async def renew() -> None:
        while True:
            await asyncio.sleep(LEASE_RENEW_S)
            await delivery.still_working()

    keeper = asyncio.create_task(renew())
    try:
        yield
    finally:
        keeper.cancel()


async def run_courier(
    *,
    log_: Log,
    clock: Clock,
    sender: Sender,
    recipients: Mapping[Channel, Recipients],
    ready: Callable[[], None],
) -> None:
    """Every channel, until cancelled."""
    trusted = trusted_by_all()
    async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        for channel, form in forms(sender).items():
            lines = {
                room: Line(
                    endpoint=endpoint,
                    http=await stack.enter_async_context(client(trusted_by(endpoint.tls, trusted))),
                )
                for room, endpoint in recipients.get(channel, {}).items()
            }
            courier = Courier(channel=channel, lines=lines, form=form, log_=log_, clock=clock)
            tasks.create_task(courier.serve())
        ready()


def forms(sender: Sender) -> Mapping[Channel, Form]:
    """How each channel writes, for this site."""
    return {
        channel: Form(content_type=one.content_type, body=one.written_by(sender), is_told=one.is_told)
        for channel, one in registry.FORMS.items()
    }
