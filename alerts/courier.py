"""How do notifications leave? One queue per channel; every delivery in a task of its own, the most urgent first.

The courier hands each notification to a ``Telling``, which tries its lines until one has taken it or every ladder
has ended, and keeps the lease alive meanwhile. Of what the log has handed out the most urgent is begun first,
and each endpoint lets in first attempts by rank (``alerts.doors``): nothing is throttled before its first
delivery. If the courier dies after the POST, the next one repeats it under the same ``webhook-id``: a delivery may
repeat, a notification never has two names (ARCHITECTURE, A6). Its deadlines are counted from the ruling, so the
death of a courier moves none of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

import structlog

from alerts.addresses import examine
from alerts.channels import registry
from alerts.channels.form import Sender
from alerts.doors import Door
from alerts.faults import Faults, Nobody
from alerts.heartbeat import Heart, beat_for_ever
from alerts.line import TLS_FAILED, Endpoint, Heard, Line, Outcome, client, trusted_by, trusted_by_all
from alerts.retries import NO_ENDPOINT, NO_LONGER_TOLD
from alerts.telling import Form, Forms, Office, Receipts, Telling, Way
from alerts.urgency import KEY, most_urgent_of
from alerts.wire_tap import WireTap
from tocsin import subjects
from tocsin.clock import Clock
from tocsin.errors import WireError
from tocsin.limits import COURIER_PARALLEL_MAX, LEASE_RENEW_S, SETTLED_MAX
from tocsin.model.episode import Channel, Notification, Realm, Ruling, Rung
from tocsin.model.finding import Code
from tocsin.model.room import DEFAULT_ROOM, SECOND
from tocsin.ports import Delivery, Log
from tocsin.telemetry import NOTIFICATIONS
from tocsin.wire import decode_ruling

BROKEN_AGAIN_AFTER_S = 15.0

FIRST: Final = "first"
OWN: Final = "own"
DEFAULT: Final = "default"
OPERATIONS: Final = "operations"
CANARY: Final = "canary"

MUST_BE_REACHED: Final = (Channel.TELEASSISTANCE, Channel.POLICE)
"""Operations are told by whoever runs the system, or by nobody."""
NOTIFY_FAIL_PRIORITY_MAX: Final = 2  # as where an endpoint does not take (``alerts.deadlines``)

log = structlog.get_logger()


Recipients = Mapping[str, Endpoint]
"""By the name of the room; under DEFAULT_ROOM whoever hears of every other, and of a channel that has one endpoint
or two the first; under SECOND the second. Empty: nobody is configured."""

Doors = Mapping[Channel, Mapping[str, Door]]

CanaryDoors = Mapping[Channel, Door]
"""The test receiver's, one for each form: all that is ever told of a canary goes there, and nothing else does."""

NO_CANARIES: Final[CanaryDoors] = MappingProxyType({})


class Courier:
    """Serves one channel. Without a line nobody is configured there, which is said on every notification."""

    def __init__(
        self, *, channel: Channel, doors: Doors, office: Office, canaries: CanaryDoors = NO_CANARIES
    ) -> None:
        self._channel = channel
        self._doors = doors
        self._canaries = canaries
        self._office = office
        self._unheard = replace(office, faults=Nobody())
        self._form = office.forms[channel]
        self._settled: set[str] = set()  # of rulings whose lease is ours: what is given back is not told again
        self._in_hand: set[int] = set()  # entries by their sequence
        self._to_begin: asyncio.PriorityQueue[tuple[int, int, Delivery, Ruling | WireError]] = (
            asyncio.PriorityQueue()
        )
        self._numbers = itertools.count()

    async def serve(self) -> None:
        """Until cancelled: each ruling in a task of its own, so that a retry holds up nobody."""
        name = f"courier-{self._channel.value}"
        async with (
            self._office.log.queue(subjects.EPISODES, name, parallel=COURIER_PARALLEL_MAX) as deliveries,
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(self._begin_for_ever(tasks))
            while True:
                for delivery in await deliveries.take(COURIER_PARALLEL_MAX):
                    self._receive(delivery)
                await asyncio.sleep(0)

    def _receive(self, delivery: Delivery) -> None:
        """Unless it is in hand: on a machine that is too busy a lease ends, and the entry comes a second time."""
        if delivery.entry.sequence in self._in_hand:
            return
        self._in_hand.add(delivery.entry.sequence)
        ruling = _read(delivery)
        rank = most_urgent_of(ruling) if isinstance(ruling, Ruling) else KEY
        self._to_begin.put_nowait((rank, next(self._numbers), delivery, ruling))

    async def _begin_for_ever(self, tasks: asyncio.TaskGroup) -> None:
        """One in each turn of the loop: what comes in the middle of 700 is not behind their first steps."""
        while True:
            _, _, delivery, ruling = await self._to_begin.get()
            tasks.create_task(self._deliver(delivery, ruling))
            await asyncio.sleep(0)

    async def _deliver(self, delivery: Delivery, ruling: Ruling | WireError) -> None:
        try:
            await self._settle(delivery, ruling)
        finally:
            self._in_hand.discard(delivery.entry.sequence)

    async def _settle(self, delivery: Delivery, ruling: Ruling | WireError) -> None:
        if isinstance(ruling, WireError):  # in the middle of an upgrade: its own courier will read it
            log.critical("unreadable", subject=delivery.entry.subject, error=str(ruling))
            await delivery.again(BROKEN_AGAIN_AFTER_S)
            return
        mine = [one for one in ruling.notifications if one.channel is self._channel]
        if not mine:
            await delivery.done()
            return
        try:
            async with _leased(delivery):
                await self._notify_each(ruling, [one for one in mine if one.id not in self._settled])
        except Exception:
            log.exception("delivery_failed", subject=delivery.entry.subject, sequence=delivery.entry.sequence)
            NOTIFICATIONS.labels(channel=self._channel.value, line="", outcome="broken").inc()
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
                self._remember_settled(notification.id)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    def _remember_settled(self, name: str) -> None:
        """A bound, for what is given back goes to another courier as a rule, and is never heard of again here. Any
        of them may be forgotten: whoever has that one hears it a second time, under the same id."""
        if len(self._settled) >= SETTLED_MAX:
            self._settled.pop()
        self._settled.add(name)

    async def _notify(self, ruling: Ruling, notification: Notification) -> None:
        if not self._form.is_told(ruling, notification):
            await self._say_untold(ruling, notification, NO_LONGER_TOLD)
        elif ways := ways_of(ruling, notification, self._doors, self._canaries):
            office = self._unheard if ruling.episode.is_canary else self._office
            await Telling(office, ruling, notification, ways).run()
        else:
            self._say_nobody_there(ruling)
            await self._say_untold(ruling, notification, NO_ENDPOINT)

    def _say_nobody_there(self, ruling: Ruling) -> None:
        """A rung that looks climbed and has told nobody. Outside production nobody may be meant."""
        episode = ruling.episode
        if (
            self._channel in MUST_BE_REACHED
            and DEFAULT_ROOM not in self._doors[self._channel]
            and episode.realm is Realm.PRODUCTION
            and not episode.is_canary
            and episode.priority <= NOTIFY_FAIL_PRIORITY_MAX
            and episode.code is not Code.SYS_NOTIFY_FAIL
        ):
            self._office.faults.failing(self._channel.value, NO_ENDPOINT)

    async def _say_untold(self, ruling: Ruling, notification: Notification, why: str) -> None:
        receipts = Receipts(office=self._office, ruling=ruling, notification=notification)
        now_ms = self._office.clock.now_ms()
        await receipts.write(Outcome(result=why), attempt=0, t7_ms=now_ms, t8_ms=None, way=None)


def _read(delivery: Delivery) -> Ruling | WireError:
    try:
        return decode_ruling(delivery.entry.payload)
    except WireError as error:
        return error


def ways_of(ruling: Ruling, notification: Notification, doors: Doors, canaries: CanaryDoors) -> Sequence[Way]:
    """The lines of one notification of this ruling: of a canary its receiver's alone, nobody's where none is set;
    of anybody else never that."""
    if ruling.episode.is_canary:
        door = canaries.get(notification.channel)
        return [] if door is None else [Way(door=door, line=CANARY)]
    return ways_to(notification, doors)


def ways_to(notification: Notification, doors: Doors) -> Sequence[Way]:
    """The lines of one notification, in order; empty where nobody is configured. The rung of the back-up site is
    two notifications, one for each endpoint: the second hears of it once, by its own, and where there is no second
    nobody does (the first has the other)."""
    known = doors[notification.channel]
    default = known.get(DEFAULT_ROOM)
    match notification.channel:
        case Channel.POLICE:
            return _to_a_room(known.get(notification.recipient), default)
        case Channel.TELEASSISTANCE if default is not None:
            first, second = Way(door=default, line=FIRST), known.get(SECOND)
            at_second = [] if second is None else [Way(door=second, line=SECOND)]
            if notification.recipient == SECOND:
                ways = at_second
            else:
                ways = [first] if notification.audience is Rung.BACKUP_SITE else [first, *at_second]
            if not ways:
                return []
            operations = doors.get(Channel.OPERATIONS, {}).get(DEFAULT_ROOM)
            third = [] if operations is None else [Way(door=operations, line=OPERATIONS, settles=False)]
            return [*ways, *third]
        case Channel.OPERATIONS if default is not None:
            return [Way(door=default, line=OPERATIONS)]
        case _:
            return []


def _to_a_room(own: Door | None, default: Door | None) -> Sequence[Way]:
    """The default recipient stands in for a room that does not answer: a human there can ring it up (F04)."""
    if own is None or own is default:
        return [] if default is None else [Way(door=default, line=DEFAULT)]
    stand_in = [] if default is None else [Way(door=default, line=DEFAULT, settles=False)]
    return [Way(door=own, line=OWN), *stand_in]


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
    realm: Realm,
    sender: Sender,
    recipients: Mapping[Channel, Recipients],
    ready: Callable[[], None],
    canaries: Mapping[Channel, Endpoint] = MappingProxyType({}),
) -> None:
    """Every channel, the heartbeats, and what is said of endpoints that do not take; until cancelled."""
    faults = Faults(log_, clock)
    office = Office(log=log_, clock=clock, forms=forms(sender), faults=faults)
    heart = Heart(site=sender.site, realm=realm, clock=clock, faults=faults)
    tap = WireTap(log_, clock)
    async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        trusted = trusted_by_all()
        doors = await _doors(stack, recipients, trusted, tap)
        receiver = await _canary_doors(stack, canaries, trusted, tap)
        tasks.create_task(tap.serve())
        for channel in office.forms:
            courier = Courier(channel=channel, doors=doors, office=office, canaries=receiver)
            tasks.create_task(courier.serve())
        _say_certificates(doors, faults)
        tasks.create_task(faults.serve())
        tasks.create_task(examine([door for of in doors.values() for door in of.values()], faults))
        tasks.create_task(beat_for_ever(heart, [door for channel in HEARD for door in doors[channel].values()]))
        ready()


HEARD: Final = (Channel.TELEASSISTANCE, Channel.OPERATIONS)
"""Who has heartbeats."""


async def _doors(
    stack: contextlib.AsyncExitStack,
    recipients: Mapping[Channel, Recipients],
    trusted: ssl.SSLContext,
    tap: WireTap,
) -> Doors:
    return {
        channel: {
            room: Door(
                name=_name(channel, room),
                channel=channel,
                line=await _line(stack, endpoint, trusted, tap.hears(_name(channel, room))),
            )
            for room, endpoint in recipients.get(channel, {}).items()
        }
        for channel in Channel
    }


async def _canary_doors(
    stack: contextlib.AsyncExitStack, endpoints: Mapping[Channel, Endpoint], trusted: ssl.SSLContext, tap: WireTap
) -> CanaryDoors:
    """Beside the others: without a heartbeat, and examined by nobody but the canary itself."""
    return {
        channel: Door(
            name=f"{CANARY}-{channel.value}",
            channel=channel,
            line=await _line(stack, endpoint, trusted, tap.hears(f"{CANARY}-{channel.value}")),
        )
        for channel, endpoint in endpoints.items()
    }


async def _line(
    stack: contextlib.AsyncExitStack, endpoint: Endpoint, trusted: ssl.SSLContext, heard: Heard
) -> Line:
    """Files of one recipient that cannot be read, after a renewal at night, keep nobody else from hearing."""
    try:
        context = trusted_by(endpoint.tls, trusted)
    except OSError as error:
        effect = "nothing is sent there"
        log.critical("certificates_unusable", host=endpoint.host, reason=str(error), effect=effect)
        return Line(endpoint=endpoint, http=None)
    return Line(endpoint=endpoint, http=await stack.enter_async_context(client(context, heard)))


def _say_certificates(doors: Doors, faults: Faults) -> None:
    """At once, for the rooms of the police have no heartbeat."""
    for door in (door for of in doors.values() for door in of.values()):
        if door.line.http is None:
            faults.failing(door.name, TLS_FAILED)
        else:
            faults.cured(door.name, TLS_FAILED)


def _name(channel: Channel, room: str) -> str:
    """``teleassistance``, ``teleassistance-second``, ``police-CIC-13``."""
    return channel.value if room == DEFAULT_ROOM else f"{channel.value}-{room}"


def forms(sender: Sender) -> Forms:
    """How each channel writes, for this site."""
    return {
        channel: Form(content_type=one.content_type, body=one.written_by(sender), is_told=one.is_told)
        for channel, one in registry.FORMS.items()
    }
