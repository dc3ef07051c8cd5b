"""The shell around the fleet's watch: hear every partition, look once a second, say, remember.

What must survive a restart is what has been *said*, and that is on the log: the subject of FINDINGS that is the
fleet's own is read from its beginning, and an entry without an exit is an incident that lasts, under the name that
it has. A finding is written with the expected last sequence of that subject: of two watches one is first, and the
other reads what it said. The bucket ``incidents`` keeps each open incident beyond the seven days of FINDINGS. Who
was heard when follows from FIXES behind a snapshot, which is written each minute and whenever something was said.

A look decides only if the watch can have heard: all that was on the log a look ago has been read, the log answers,
and the last look is not DEAF_MS old. Else the silence of everybody is counted from now: who cannot hear must not
call others silent. Without a snapshot the watch begins with the newest FIRST_READ_MAX messages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import structlog

from geofence import fleet_snapshot
from geofence.assumptions import DEAF_MS, FAR_S
from geofence.devices import HEARD
from geofence.fleet_findings import apply_said, finding_of, incident_of, open_of
from geofence.fleet_memory import Asked
from geofence.fleet_ranking import Pairs, pairs_of, ranked
from geofence.fleet_silence import FleetWatcher, Open, Verdict, roll_of
from geofence.order_watch import OrderWatch, Revision
from tocsin import subjects
from tocsin.clock import MS, Clock
from tocsin.errors import LogUnavailable, SequenceConflict, WireError
from tocsin.model.canary import is_canary
from tocsin.model.command import Action
from tocsin.model.device import DeviceKind
from tocsin.model.finding import Code
from tocsin.model.fleet import Dimension, Group, Incident, PairAtRisk
from tocsin.ports import Bucket, Entry, Log, Objects
from tocsin.present import upto_present
from tocsin.pulsing import UNSEEN, Rounds
from tocsin.subjects import COMMANDS, FINDINGS, FIXES
from tocsin.telemetry import FINDINGS as FINDINGS_SAID
from tocsin.telemetry import FLEET_INCIDENTS, FLEET_LOOKS, FLEET_MISSED
from tocsin.wire import decode_command, decode_finding, decode_fixes, decode_incident, encode

LOOK_S = 1.0
SNAPSHOT_EVERY_MS = 60_000
SHOWN_EVERY_MS = 10_000
FIRST_READ_MAX = 50_000  # messages: at 200 batches a second the newest four minutes, where each has spoken thrice
SNAPSHOT = "fleet-silence"
SUBJECT = subjects.findings(subjects.FLEET, Code.SYS_FLEET_SILENCE.value)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetDoors:
    """What of the bus the fleet's watch needs."""

    log: Log
    devices: Bucket
    orders: Bucket
    incidents: Bucket
    snapshots: Objects


async def run_fleet_watch(
    doors: FleetDoors, *, clock: Clock, ready: Callable[[], None], rounds: Rounds = UNSEEN
) -> None:
    """Watch until cancelled. ``ready`` is called when the fixes have been read to the present."""
    revisions: asyncio.Queue[Revision] = asyncio.Queue(1)
    watch = FleetWatch(doors, clock, rounds)
    async with asyncio.TaskGroup() as group:
        group.create_task(OrderWatch(devices=doors.devices, orders=doors.orders, clock=clock).run(revisions.put))
        await watch.begin(await revisions.get())
        group.create_task(watch.enrol_for_ever(revisions))
        group.create_task(watch.hear_for_ever())
        group.create_task(watch.obey_for_ever())
        ready()
        await watch.look_for_ever()


class FleetWatch:
    """One life of the watch. Its tasks share a loop; none awaits between reading and changing what it knows."""

    def __init__(self, doors: FleetDoors, clock: Clock, rounds: Rounds = UNSEEN) -> None:
        self._rounds = rounds
        self.watcher = FleetWatcher(roll_of(()))
        self._doors = doors
        self._clock = clock
        self._pairs: Pairs | None = None
        self._last_said = 0
        self._fixes = self._commands = 0
        self._must_have_read = 0
        self._deaf_ms = 0
        self._looked_ms = self._kept_ms = self._shown_ms = 0
        self._numbers: dict[str, int] = {}
        self._asked = Asked()
        self._over: set[str] = set()

    # --- the beginning --------------------------------------------------------------------------------------

    async def begin(self, first: Revision) -> None:
        """What has been said, what has been heard, up to the present."""
        await self._restore()
        self.enrol(first)
        await self._read_what_was_said()
        fixes = self._doors.log.read(FIXES, FIXES.subjects, after=self._fixes)
        async for entries in upto_present(fixes):
            self.hear(entries)
        commands = self._doors.log.read(COMMANDS, COMMANDS.subjects, newest_per_subject=True)
        async for entries in upto_present(commands):
            self.obey(entries)
        now_ms = self._clock.now_ms()
        heard_ms = self.watcher.memory.rows[HEARD].max(initial=0)
        if now_ms - heard_ms > FAR_S * MS:  # nobody at all: then it is the road that was closed until now
            self._deaf_ms = now_ms
        self._looked_ms = now_ms

    async def _restore(self) -> None:
        payload = await self._doors.snapshots.get(SNAPSHOT)
        try:
            if payload is not None:
                kept = fleet_snapshot.load(payload)
                self.watcher.memory, self.watcher.losses = kept.memory(), dict(kept.losses)
                self._fixes, self._commands = kept.fixes, kept.commands
                return
        except fleet_snapshot.FleetSnapshotUnreadable:
            log.exception("fleet_snapshot_unreadable", then="begin with the newest fixes")
        there = await self._doors.log.extent(FIXES)
        self._fixes = max(0, there.gone + there.messages - FIRST_READ_MAX)

    async def _read_what_was_said(self) -> None:
        """The incidents that last: those of the bucket, and those of FINDINGS, which knows better."""
        shown = await self._shown()
        lasting = {one.group: open_of(one) for one in shown.values() if one is not None}
        self._last_said = 0
        async for entries in upto_present(self._doors.log.read(FINDINGS, SUBJECT)):
            for entry in entries:
                self._last_said = entry.sequence
                _apply(entry, lasting)
        self.watcher.open = lasting
        for key in shown.keys() - {group.subject for group in lasting}:
            await self._doors.incidents.delete(key)
        self._count_open()

    async def _shown(self) -> dict[str, Incident | None]:
        """What the bucket holds; None: it cannot be read."""
        shown: dict[str, Incident | None] = {}
        async for change in self._doors.incidents.watch():
            if change is None:
                break
            if change.value is not None:
                shown[change.key] = _readable(change.value)
        return shown

    # --- what is heard --------------------------------------------------------------------------------------

    def enrol(self, revision: Revision) -> None:
        """A TGD is heard during its SOS only: its silence is no news. A canary has neither carrier nor anybody to
        protect: it counts for no threshold, and ranks nowhere."""
        devices = {
            key: one
            for key, one in revision.devices.items()
            if one.kind is not DeviceKind.TGD and not is_canary(key)
        }
        self.watcher.enrol(roll_of(list(devices.values())))
        self._numbers = {key: one.number for key, one in devices.items()}
        self._asked = self._asked.among(self._numbers)
        self._pairs = pairs_of(revision.orders, devices, self.watcher.memory)

    async def enrol_for_ever(self, revisions: asyncio.Queue[Revision]) -> None:
        while True:
            self.enrol(await revisions.get())

    async def hear_for_ever(self) -> None:
        async for entries in self._doors.log.read(FIXES, FIXES.subjects, after=self._fixes):
            self.hear(entries)

    def hear(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            try:
                self.watcher.memory.hear(decode_fixes(entry.payload))
            except WireError as error:
                log.critical("batch_unreadable", sequence=entry.sequence, error=str(error))
            self._fixes = entry.sequence

    async def obey_for_ever(self) -> None:
        async for entries in self._doors.log.read(COMMANDS, COMMANDS.subjects, after=self._commands):
            self.obey(entries)

    def obey(self, entries: Sequence[Entry]) -> None:
        """How often each was told to report."""
        for entry in entries:
            is_new = entry.sequence > self._commands
            self._commands = max(self._commands, entry.sequence)
            if subjects.is_operators(entry.subject):
                continue  # no interval is a human's to ask
            try:
                command, partition = decode_command(entry.payload), subjects.partition_in(entry.subject)
            except (WireError, ValueError) as error:
                log.error("command_unreadable", sequence=entry.sequence, error=str(error))
                continue
            place = self._column_of(command.device)
            if command.action is Action.SET_CADENCE and command.interval_s and place >= 0:
                told_s = self._asked.by(partition, command.device, command.interval_s)
                if is_new:  # else the snapshot knows when it was told
                    self.watcher.memory.tell(place, told_s, command.at_ms)

    def _column_of(self, device: str) -> int:
        number = self._numbers.get(device)
        return -1 if number is None else int(self.watcher.memory.places(np.array([number]))[0])

    # --- a look ---------------------------------------------------------------------------------------------

    async def look_for_ever(self) -> None:
        while True:
            await self.look()
            await self._clock.sleep(LOOK_S)

    async def look(self) -> None:
        """Decide, say, show, keep; what the log does not take now is decided again at the next look. One that
        cannot decide is none: whoever reads too slowly, or no more, watches nobody."""
        try:
            can = await self._can_have_heard()
            FLEET_LOOKS.labels("decided" if can else "behind").inc()
            if can:
                await self._decide(self._clock.now_ms())
                await self._rounds.went_round()
        except LogUnavailable as error:
            FLEET_LOOKS.labels("log_unavailable").inc()
            self._deaf_ms = self._clock.now_ms()
            log.warning("fleet_waits_for_log", error=str(error))

    async def _can_have_heard(self) -> bool:
        """Raises LogUnavailable."""
        there = await self._doors.log.extent(FIXES)
        must, self._must_have_read = self._must_have_read, there.gone + there.messages
        now_ms = self._clock.now_ms()
        if now_ms - self._looked_ms > DEAF_MS:
            self._deaf_ms = now_ms
        if self._fixes < must:
            return False
        self._looked_ms = now_ms
        return True

    async def _decide(self, now_ms: int) -> None:
        """Everything is reckoned before anything is awaited: meanwhile others may be enrolled."""
        verdicts = self.watcher.look(now_ms, self._deaf_ms)
        for verdict, pairs in [(one, self._ranked(one, now_ms)) for one in verdicts]:
            await self._say(verdict, pairs, now_ms)
        FLEET_MISSED.set(self.watcher.missed_share)
        if now_ms - self._shown_ms >= SHOWN_EVERY_MS:
            await self._show(now_ms)
        if now_ms - self._kept_ms >= SNAPSHOT_EVERY_MS:
            await self._keep(now_ms)

    def _ranked(self, verdict: Verdict, now_ms: int) -> tuple[PairAtRisk, ...]:
        assert self._pairs is not None, "begin() enrols"
        return ranked(self._pairs, self.watcher.memory, verdict.missed, now_ms)

    async def _say(self, verdict: Verdict, pairs: tuple[PairAtRisk, ...], now_ms: int) -> None:
        """Durable first, remembered then. Raises LogUnavailable."""
        finding = finding_of(verdict, pairs, now_ms)
        try:
            said = await self._doors.log.append(
                SUBJECT, encode(finding), dedupe_id=finding.id, expected_last=self._last_said
            )
        except SequenceConflict:
            log.warning("fleet_said_by_another", then="read what was said")
            await self._read_what_was_said()
            return
        self._last_said = said.sequence
        FINDINGS_SAID.labels(finding.code.value, finding.change.value).inc()
        log.warning(
            "fleet_silence", change=finding.change.value, reason=verdict.reason, pairs=len(pairs),
            dimension=verdict.group.dimension.value, group=verdict.group.value,
        )  # fmt: skip
        await self._remember(verdict, Open(verdict.group, finding.id, now_ms, verdict.since_ms), pairs, now_ms)

    async def _remember(self, verdict: Verdict, opened: Open, pairs: tuple[PairAtRisk, ...], now_ms: int) -> None:
        subject = verdict.group.subject
        if verdict.over is None:
            self.watcher.begin(opened)
            await self._doors.incidents.put(subject, encode(incident_of(verdict, opened, pairs, now_ms)))
        else:
            self.watcher.end(verdict.group)
            self._over.add(subject)
            await self._take_away()
        self._count_open()
        await self._keep(now_ms)

    async def _take_away(self) -> None:
        """What is over is shown no longer; what the log does not take now goes with the next showing."""
        for subject in self._over - {group.subject for group in self.watcher.open}:
            await self._doors.incidents.delete(subject)
        self._over.clear()

    def _count_open(self) -> None:
        for dimension in Dimension:
            number = sum(group.dimension is dimension for group in self.watcher.open)
            FLEET_INCIDENTS.labels(dimension.value).set(number)

    async def _show(self, now_ms: int) -> None:
        """Each incident as it stands now: it grows and shrinks without a new alert."""
        self._shown_ms = now_ms
        await self._take_away()
        standing = [
            incident_of(one, one.over, self._ranked(one, now_ms), now_ms)
            for one in self.watcher.standing(now_ms, self._deaf_ms)
            if one.over is not None
        ]
        for incident in standing:
            await self._doors.incidents.put(incident.group.subject, encode(incident))

    async def _keep(self, now_ms: int) -> None:
        """A watch that cannot write its snapshot reads more at its next start, and that is all."""
        self._kept_ms = now_ms
        kept = fleet_snapshot.snapshot_of(
            self.watcher.memory, self.watcher.losses, fixes=self._fixes, commands=self._commands
        )
        try:
            await self._doors.snapshots.put(SNAPSHOT, fleet_snapshot.dump(kept))
        except LogUnavailable:
            log.exception("fleet_snapshot_not_written")


def _readable(payload: bytes) -> Incident | None:
    try:
        return decode_incident(payload)
    except WireError as error:
        log.error("incident_unreadable", error=str(error), then="rely on what was said")
        return None


def _apply(entry: Entry, lasting: dict[Group, Open]) -> None:
    try:
        apply_said(decode_finding(entry.payload), lasting)
    except WireError as error:
        log.critical("finding_unreadable", sequence=entry.sequence, error=str(error))
