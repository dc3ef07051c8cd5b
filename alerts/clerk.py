"""The shell around administration: know what the bus holds, look once a minute, say what is due.

Everything that it knows is read from the bus at its start; with the record down the buckets stand as they are, and
so does what it says. It looks when all of them have been read: what it does not know yet has not ended. A notice
that the log does not take now is due at the next look, under the same name. Each 15 s it looks whether every part
that nobody else would miss still goes round (``alerts.pulses``), and shows its own pulse, for which the auditor
looks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Generic, TypeVar

import structlog

from alerts.administration import OURS, Place, Seen, is_of_measure, notices_due
from alerts.catalogue import CATALOGUE
from alerts.pulses import AUDITOR, Hearing, Watched, age_ms, notice_due
from tocsin import subjects
from tocsin.clock import MS, Clock
from tocsin.errors import LogUnavailable, WireError
from tocsin.model.canary import is_canary
from tocsin.model.device import Device
from tocsin.model.episode import Episode
from tocsin.model.notice import Notice
from tocsin.model.order import Order
from tocsin.model.pulse import CLERK, Pulse
from tocsin.model.sign import LISTENING, Listening, Sign
from tocsin.model.standing import Standing
from tocsin.ports import Bucket, Entry, Log
from tocsin.pulsing import Pulsing
from tocsin.subjects import EPISODES
from tocsin.telemetry import AUDIT_AGE
from tocsin.wire import (
    decode_device,
    decode_listening,
    decode_order,
    decode_pulse,
    decode_ruling,
    decode_sign,
    decode_standing,
    encode,
)

WATCH_EVERY_S = 15.0
LOOK_EVERY = 4  # of these: once a minute
GAP_MS = int(3 * WATCH_EVERY_S * MS)  # two looks that did not come: it was asleep

FAULTS = frozenset(code for code, row in CATALOGUE.items() if row.fault)

T = TypeVar("T")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClerkDoors:
    """What of the bus the clerk needs. ``watched``: parts whose pulse in ``tallies`` is expected."""

    log: Log
    devices: Bucket
    orders: Bucket
    standings: Bucket
    signs: Bucket
    tallies: Bucket
    watched: tuple[Watched, ...] = ()


async def run_clerk(doors: ClerkDoors, *, clock: Clock, ready: Callable[[], None]) -> None:
    """Look until cancelled. ``ready`` when all is read, before the first look."""
    clerk, rounds = Clerk(doors), Pulsing(doors.tallies, CLERK, clock)
    async with asyncio.TaskGroup() as tasks:
        await clerk.follow(tasks)
        clerk.begin(pulse_of(clock))
        ready()
        for number in count():
            if number % LOOK_EVERY == 0:
                await clerk.look(clock.now_ms())
            await clerk.watch(pulse_of(clock))
            await rounds.went_round()
            await clock.sleep(WATCH_EVERY_S)


class Shelf(Generic[T]):
    """A bucket as it stands, of what can be read of it."""

    def __init__(self, bucket: Bucket, decode: Callable[[str, bytes], T]) -> None:
        self.there: dict[str, T] = {}
        self.complete = asyncio.Event()
        self._bucket = bucket
        self._decode = decode

    async def follow(self) -> None:
        async for change in self._bucket.watch():
            if change is None:
                self.complete.set()
            elif change.value is None:
                self.there.pop(change.key, None)
            else:
                self._learn(change.key, change.value)

    def _learn(self, key: str, value: bytes) -> None:
        if is_canary(key):  # no order expires, no unit waits to be fitted: nobody is told of it
            return
        try:
            self.there[key] = self._decode(key, value)
        except WireError as error:  # another version's: what was known of it stands, the others are read (F02)
            log.error("unreadable", key=key, error=str(error))


class Clerk:
    """One life of the part."""

    def __init__(self, doors: ClerkDoors) -> None:
        self._log = doors.log
        self._devices: Shelf[Device] = Shelf(doors.devices, lambda _, value: decode_device(value))
        self._orders: Shelf[Order] = Shelf(doors.orders, lambda _, value: decode_order(value))
        self._standings: Shelf[Standing] = Shelf(doors.standings, lambda _, value: decode_standing(value))
        self._signs: Shelf[Sign | Listening] = Shelf(doors.signs, _sign_or_listening)
        self._faults: dict[str, Episode] = {}
        self._lasting: dict[str, Episode] = {}
        self._said: dict[Place, Episode] = {}
        self._told: set[str] = set()
        self._told_of_pulses: set[str] = set()
        self._episodes_read = asyncio.Event()
        self._tallies = doors.tallies
        self._watched = {subjects.episode(one.code.value, one.part): one for one in doors.watched}
        self._silent: dict[str, Episode] = {}
        self.begin(Pulse(at_ms=0, wall_ms=0))

    def begin(self, now: Pulse) -> None:
        """From here on a pulse would have been seen."""
        self._began, self._hearing = now, Hearing(now, GAP_MS)

    async def follow(self, tasks: asyncio.TaskGroup) -> None:
        """Until all has been read; the tasks go on behind that."""
        shelves = (self._devices, self._orders, self._standings, self._signs)
        for shelf in shelves:
            tasks.create_task(shelf.follow())
        tasks.create_task(self._follow_episodes())
        for complete in (*(shelf.complete for shelf in shelves), self._episodes_read):
            await complete.wait()

    async def _follow_episodes(self) -> None:
        async for entries in self._log.read(EPISODES, EPISODES.subjects, newest_per_subject=True):
            if not entries:
                self._episodes_read.set()
            for entry in entries:
                self._learn(entry)

    def _learn(self, entry: Entry) -> None:
        try:
            episode = decode_ruling(entry.payload).episode
        except WireError as error:
            log.error("episode_unreadable", subject=entry.subject, error=str(error))
            return
        if entry.subject in self._watched:
            self._silent[entry.subject] = episode
            return
        if episode.is_canary:  # it is looked after by its own part
            return
        if episode.code in OURS:
            self._said[episode.code, episode.subject] = episode
            return
        _shelve(self._faults, entry.subject, episode, keep=episode.code in FAULTS)
        _shelve(self._lasting, entry.subject, episode, keep=is_of_measure(episode))

    def seen(self) -> Seen:
        there = self._signs.there
        listening = there.get(LISTENING)
        return Seen(
            devices=self._devices.there,
            orders=self._orders.there,
            standings=self._standings.there,
            signs={key: one for key, one in there.items() if isinstance(one, Sign)},
            listening=listening if isinstance(listening, Listening) else None,
            faults=self._faults,
            lasting=self._lasting,
            said=self._said,
        )

    async def look(self, now_ms: int) -> None:
        await self._say(notices_due(self.seen(), now_ms), self._told)

    async def watch(self, now: Pulse) -> None:
        """Of the parts that show a pulse."""
        try:
            values = {subject: await self._tallies.get(one.part) for subject, one in self._watched.items()}
        except LogUnavailable as error:
            log.warning("pulses_not_read", error=str(error))
            self._hearing.deaf(now)  # nobody could show one
            return
        if not self._hearing.look(now):
            log.warning(
                "pulses_not_watched", effect="the time since the look before this one counts for no silence"
            )
        due = [self._due(subject, value, now) for subject, value in values.items()]
        await self._say([notice for notice in due if notice is not None], self._told_of_pulses)

    def _due(self, subject: str, value: bytes | None, now: Pulse) -> Notice | None:
        one = self._watched[subject]
        try:
            heard = self._hearing.hear(one.part, None if value is None else decode_pulse(value))
        except WireError as error:  # another version's: it lives
            log.error("unreadable", key=one.part, error=str(error))
            return None
        if one is AUDITOR:
            AUDIT_AGE.set(max(0, age_ms(one, heard.pulse or self._began, now)) / MS)
        return notice_due(one, heard, self._hearing.silence_ms(one, heard), self._silent.get(subject), now)

    async def _say(self, due: Sequence[Notice], told: set[str]) -> None:
        """What is on the log in this life and waits for the dispatcher is not said at each look: the log forgets a
        name after two minutes."""
        told &= {one.id for one in due}
        for notice in due:
            if notice.id in told:
                continue
            try:
                await self._log.append(subjects.notice(notice.code.value), encode(notice), dedupe_id=notice.id)
            except LogUnavailable as error:
                log.warning("notices_wait", error=str(error))
                return
            told.add(notice.id)
            log.info("noticed", code=notice.code.value, change=notice.change.value, reason=notice.reason)


def pulse_of(clock: Clock) -> Pulse:
    """This moment, by both clocks."""
    return Pulse(at_ms=clock.now_ms(), wall_ms=clock.wall_ms())


def _shelve(shelf: dict[str, Episode], subject: str, episode: Episode, *, keep: bool) -> None:
    if keep and episode.lasts:
        shelf[subject] = episode
    else:
        shelf.pop(subject, None)


def _sign_or_listening(key: str, value: bytes) -> Sign | Listening:
    return decode_listening(value) if key == LISTENING else decode_sign(value)
