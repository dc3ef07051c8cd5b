"""The shell of the independent auditor: read the log beside the road, ask the laws, page what does not agree.

Every LOOK_S it notes the end of each stream that it follows, waits until it has read up to there, and only then
asks: so it never says that something is missing which it has not read yet. While the log is away, or faster than
it can read, it says nothing, shows no pulse, and no hour of its patience passes (``audit.attention``); who is
silent for 60 s is missed by ``alerts.clerk``. Where it begins it reads a little of what was before (BACK_MS), and
of the episodes how each stands: a restart asks for nothing twice and misses no more than what it says in
docs/auditor.md.

It decides nothing, writes nothing but its notices and its pulse, and holds up nobody: its readers have no leases.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from audit.attention import Attention
from audit.law import Difference, Law
from audit.laws import reading
from audit.laws.answered import Answered
from audit.laws.carried import Carried
from audit.laws.clerk import Clerk
from audit.laws.near import Near
from audit.laws.reading import Awaited, place_in
from audit.laws.ruled import Ruled
from audit.laws.sent import Sent
from audit.spokesman import Spokesman
from tocsin.clock import MS, AffineClock
from tocsin.errors import LogUnavailable, WireError
from tocsin.model.pulse import CLERK, Pulse
from tocsin.ports import Bucket, Changed, Entry, Log
from tocsin.present import upto_present
from tocsin.subjects import ALARMS, AUDITOR_PULSE, EPISODES, FINDINGS, FIXES, NOTICES, RECEIPTS, WIRES, Stream
from tocsin.wire import (
    decode_alarm,
    decode_device,
    decode_finding,
    decode_fixes,
    decode_notice,
    decode_order,
    decode_receipt,
    decode_ruling,
    decode_wire_answers,
    encode,
)

LOOK_S: Final = 2.0
READ_WITHIN_S: Final = 5.0  # up to the end as it was: a follower that lost its server asks again after 6 s
BACK_MS: Final = 60_000  # how far behind its start it looks back
BACK_MAX: Final = 2_000  # entries of a stream; of a storm they may be less than that minute: see _horizon
RECEIPTS_BACK_MAX: Final = 8 * BACK_MAX  # a ruling has two notifications and more, each with its attempts
WRITTEN_MS: Final = 10_000  # an attempt has 5 s, and then its receipt is written: later ones may stand before it
CAUSES: Final = (FINDINGS, ALARMS, NOTICES)
TURN: Final = 64  # entries between two turns of the loop

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditDoors:
    """What of the bus the auditor needs."""

    log: Log
    devices: Bucket
    orders: Bucket
    tallies: Bucket


@dataclass(frozen=True, slots=True, kw_only=True)
class Laws:
    """Those that this shell feeds, in its own hours (``attention``), and ``others`` that hear of the world in
    their own way: these are asked at the hours that have passed for Tocsin's clock, whoever sets it."""

    ruled: Ruled = field(default_factory=Ruled)
    sent: Sent = field(default_factory=Sent)
    carried: Carried = field(default_factory=Carried)
    near: Near = field(default_factory=Near)
    answered: Answered = field(default_factory=Answered)
    clerk: Clerk = field(default_factory=Clerk)
    others: Sequence[Law] = ()

    @property
    def own(self) -> tuple[Law, ...]:
        return (self.ruled, self.sent, self.carried, self.near, self.answered)


async def run_auditor(
    doors: AuditDoors, *, laws: Laws, spokesman: Spokesman, clock: AffineClock, ready: Callable[[], None]
) -> None:
    """Until cancelled."""
    auditor = Auditor(doors, laws, spokesman, clock)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(spokesman.serve())
        await auditor.begin(tasks)
        ready()
        while True:
            await auditor.look()
            await asyncio.sleep(LOOK_S)


class Auditor:
    """One life of it."""

    def __init__(self, doors: AuditDoors, laws: Laws, spokesman: Spokesman, clock: AffineClock) -> None:
        self._doors = doors
        self._laws = laws
        self._spokesman = spokesman
        self._clock = clock
        self._attention = Attention(_steady_ms())
        self._read: dict[str, int] = {}
        self._began: dict[str, int] = {}
        self._horizons: dict[str, int] = {}  # what is of before has its answer, perhaps, where we do not read
        self._moved = asyncio.Event()

    async def begin(self, tasks: asyncio.TaskGroup) -> None:
        """Until all that stood has been read."""
        ends = await self._ends_in_the_end()
        self._began = dict(ends)
        receipts_ms = await self._horizon(RECEIPTS, ends, lambda one: decode_receipt(one).t7_ms + WRITTEN_MS)
        rulings_ms = await self._horizon(EPISODES, ends, lambda one: decode_ruling(one).at_ms)
        self._horizons = {EPISODES.name: receipts_ms, **dict.fromkeys((one.name for one in CAUSES), rulings_ms)}
        await self._read_standing()
        shelves = [(self._doors.orders, self._order), (self._doors.devices, self._device)]
        complete = [asyncio.Event() for _ in shelves]
        for (bucket, hear), event in zip(shelves, complete, strict=True):
            tasks.create_task(self._watch(bucket, hear, event))
        for event in complete:
            await event.wait()
        hearing: list[tuple[Stream, Callable[[Entry, int], None]]] = [
            (FINDINGS, self._finding), (ALARMS, self._alarm), (NOTICES, self._notice), (EPISODES, self._ruling),
            (RECEIPTS, self._receipt), (WIRES, self._wires), (FIXES, self._fixes),
        ]  # fmt: skip
        for stream, hear_one in hearing:
            after = _after(stream, ends)
            self._read[stream.name] = after
            tasks.create_task(self._follow(stream, after, hear_one))

    async def _horizon(self, stream: Stream, ends: dict[str, int], hour_of: Callable[[bytes], int]) -> int:
        """From which hour on all of a stream is read back: that of its oldest entry which is; 0: of any."""
        after = _after(stream, ends)
        if after == 0:
            return 0
        async for entries in self._doors.log.read(stream, stream.subjects, after=after):
            for entry in entries:
                try:
                    return hour_of(entry.payload)
                except WireError as error:
                    log.error("audit_unreadable", subject=entry.subject, error=str(error))
            if not entries:
                break
        return self._clock.now_ms()

    async def _ends_in_the_end(self) -> dict[str, int]:
        while True:
            try:
                return await self._ends()
            except LogUnavailable as error:
                log.warning("audit_waits", error=str(error))
                await asyncio.sleep(LOOK_S)

    async def _ends(self) -> dict[str, int]:
        """The newest entry that each stream has. Raises LogUnavailable."""
        ends = {}
        for stream in (FINDINGS, ALARMS, NOTICES, EPISODES, RECEIPTS, WIRES, FIXES):
            last = await self._doors.log.last(stream, stream.subjects)
            ends[stream.name] = 0 if last is None else last.sequence
        return ends

    # --- looks ---------------------------------------------------------------------------------------------

    async def look(self) -> None:
        try:
            async with asyncio.timeout(READ_WITHIN_S):
                await self._read_up_to(await self._ends())
        except (LogUnavailable, TimeoutError) as error:
            log.warning("audit_cannot_look", error=repr(error))
            self._attention.missed(_steady_ms())
            return
        now_ms = self._attention.looked(_steady_ms())
        for law in self._laws.own:
            self._spokesman.say(law.name, self._asked(law, now_ms))
        for law in self._laws.others:
            self._spokesman.say(law.name, self._asked(law, self._clock.passed_ms()))
        await self._look_at_clerk(now_ms)
        await self._show_pulse()

    async def _look_at_clerk(self, now_ms: int) -> None:
        clerk = self._laws.clerk
        try:
            clerk.shows(await self._doors.tallies.get(CLERK), now_ms)
        except LogUnavailable as error:
            log.warning("clerk_not_looked_at", error=str(error))
            return
        self._spokesman.say(clerk.name, self._asked(clerk, now_ms), lasts=clerk.lasts)

    @staticmethod
    def _asked(law: Law, now_ms: int) -> list[Difference]:
        try:
            return law.differences(now_ms)
        except Exception as error:  # one law that breaks must not silence the others, and is itself a difference
            log.exception("law_broken", law=law.name)
            detail = f"it could not be asked: {type(error).__name__}"
            return [Difference(law=law.name, about=law.name, since_ms=now_ms, detail=detail)]

    async def _read_up_to(self, ends: dict[str, int]) -> None:
        while any(self._read.get(name, 0) < end for name, end in ends.items()):
            self._moved.clear()
            await self._moved.wait()

    async def _show_pulse(self) -> None:
        pulse = Pulse(at_ms=self._clock.now_ms(), wall_ms=self._clock.wall_ms())
        try:
            await self._doors.tallies.put(AUDITOR_PULSE, encode(pulse))
        except LogUnavailable as error:
            log.warning("pulse_waits", error=str(error))

    # --- readers -------------------------------------------------------------------------------------------

    async def _read_standing(self) -> None:
        """How each episode stands, before anything is asked of it."""
        reader = self._doors.log.read(EPISODES, EPISODES.subjects, newest_per_subject=True)
        async for entries in upto_present(reader):
            for entry in entries:
                self._hear(self._standing, entry)
            await asyncio.sleep(0)

    async def _follow(self, stream: Stream, after: int, hear: Callable[[Entry, int], None]) -> None:
        async for entries in self._doors.log.read(stream, stream.subjects, after=after):
            for number, entry in enumerate(entries):
                self._hear(hear, entry)
                self._read[stream.name] = entry.sequence
                if number % TURN == TURN - 1:
                    await asyncio.sleep(0)
            self._moved.set()

    def _hear(self, hear: Callable[[Entry, int], None], entry: Entry) -> None:
        try:
            hear(entry, self._attention.now_ms(_steady_ms()))
        except WireError as error:  # another version's, in the middle of an upgrade: the others are read (F02)
            log.error("audit_unreadable", subject=entry.subject, error=str(error))

    async def _watch(self, bucket: Bucket, hear: Callable[[Changed], None], complete: asyncio.Event) -> None:
        async for change in bucket.watch():
            if change is None:
                complete.set()
                continue
            try:
                hear(change)
            except WireError as error:
                log.error("audit_unreadable", key=change.key, error=str(error))

    def _is_old(self, stream: Stream, sequence: int, at_ms: int) -> bool:
        """Of before our time: whether it was dealt with cannot be told any more."""
        since_ms = max(self._clock.now_ms() - BACK_MS, self._horizons.get(stream.name, 0))
        return sequence <= self._began[stream.name] and at_ms < since_ms

    # --- what is heard -------------------------------------------------------------------------------------

    def _finding(self, entry: Entry, heard_ms: int) -> None:
        finding = decode_finding(entry.payload)
        old = self._is_old(FINDINGS, entry.sequence, finding.points.t5_ms or finding.at_ms)
        self._await(reading.of_finding(finding, entry.sequence), heard_ms, old=old)

    def _alarm(self, entry: Entry, heard_ms: int) -> None:
        alarm = decode_alarm(entry.payload)
        at_ms = alarm.points.t4_ms or alarm.at_ms
        for one in reading.of_alarm(alarm, entry.sequence):
            self._await(one, heard_ms, old=self._is_old(ALARMS, entry.sequence, at_ms))

    def _notice(self, entry: Entry, heard_ms: int) -> None:
        notice = decode_notice(entry.payload)
        old = self._is_old(NOTICES, entry.sequence, notice.at_ms)
        self._await(reading.of_notice(notice, entry.sequence), heard_ms, old=old)

    def _await(self, one: Awaited | None, heard_ms: int, *, old: bool) -> None:
        if one is not None and not old:
            self._laws.ruled.await_(one, heard_ms)

    def _standing(self, entry: Entry, heard_ms: int) -> None:
        ruling, place = decode_ruling(entry.payload), place_in(entry.subject)
        self._spokesman.stands(ruling)
        self._laws.ruled.standing(place, ruling, heard_ms)
        self._laws.sent.standing(place, ruling, heard_ms)
        self._laws.near.ruling(place, ruling)
        self._laws.answered.ruling(place, ruling, heard_ms, self._clock.now_ms() - ruling.at_ms)

    def _ruling(self, entry: Entry, heard_ms: int) -> None:
        ruling, place = decode_ruling(entry.payload), place_in(entry.subject)
        if entry.sequence <= self._began[EPISODES.name]:
            self._laws.ruled.recall(place, ruling, heard_ms)
            if not self._is_old(EPISODES, entry.sequence, ruling.at_ms):
                self._laws.sent.owe(ruling, heard_ms)
            return
        self._laws.ruled.ruling(place, ruling, heard_ms)
        self._laws.sent.ruling(place, ruling, heard_ms)
        self._laws.near.ruling(place, ruling)
        self._laws.answered.ruling(place, ruling, heard_ms)

    def _receipt(self, entry: Entry, heard_ms: int) -> None:
        receipt = decode_receipt(entry.payload)
        self._laws.sent.receipt(receipt, heard_ms)
        if not self._is_old(RECEIPTS, entry.sequence, receipt.t7_ms):
            self._laws.carried.receipt(receipt, heard_ms)

    def _wires(self, entry: Entry, heard_ms: int) -> None:
        self._laws.carried.wires(decode_wire_answers(entry.payload), heard_ms)

    def _fixes(self, entry: Entry, _heard_ms: int) -> None:
        self._laws.near.fixes(decode_fixes(entry.payload))

    def _order(self, change: Changed) -> None:
        order = None if change.value is None else decode_order(change.value)
        self._laws.near.order(change.key, order, self._attention.now_ms(_steady_ms()))

    def _device(self, change: Changed) -> None:
        self._laws.near.device(change.key, None if change.value is None else decode_device(change.value))


def _after(stream: Stream, ends: dict[str, int]) -> int:
    """Behind which entry we begin to read."""
    if stream is FIXES:
        return ends[stream.name]
    return max(0, ends[stream.name] - (RECEIPTS_BACK_MAX if stream is RECEIPTS else BACK_MAX))


def _steady_ms() -> int:
    """Of the loop's own clock, that nobody sets."""
    return int(asyncio.get_running_loop().time() * MS)
