"""In which order, and how surely, does the world hear what was decided?

Findings first, and until they are on the log nothing more is judged. PROX_ALERT and ZONE_CORE_ENTRY go before
every other code of their step, then whatever else is P1, so that it does not wait behind a thousand losses.
What cannot overtake each other is what has one code and one measure (the exit behind its entry); so a *wave* of
findings is under way at once, in which no two are of the same code and measure.

Commands and standings come after the findings and hold up nobody: what the log does not take now waits for the
next turn. A command that has expired is not sent any more. Of the standings only the newest of each measure is
kept; None stands for a measure that is gone. Standings wait for the present: a replay would show the API the
past.

``t5_ms``, when the geofence decided, is stamped here. It is a measurement, and no part of what a finding is.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import islice
from typing import TypeVar

import msgspec
import structlog

from geofence.durable import until_durable
from geofence.engine import Step
from geofence.snapshot import Snapshot
from tocsin import subjects
from tocsin.clock import MS, Clock
from tocsin.errors import LogUnavailable, WireError
from tocsin.limits import PUBLISH_WAVE
from tocsin.model.command import Command
from tocsin.model.finding import Code, Finding
from tocsin.model.standing import Standing
from tocsin.ports import Bucket, Entry, Log
from tocsin.present import upto_present
from tocsin.telemetry import FINDINGS, ORDERED
from tocsin.wire import decode_finding, decode_standing, encode

REST_AGAIN_S = 1.0

T = TypeVar("T")

log = structlog.get_logger()

FIRST = frozenset({Code.PROX_ALERT, Code.ZONE_CORE_ENTRY})
P1 = 1
ALWAYS_P1 = frozenset({Code.RF_PROXIMITY})  # of which no finding says a priority


class Publisher:
    """What one partition has still to say. ``told``: its newest place in FINDINGS."""

    def __init__(self, log: Log, standings: Bucket, *, partition: int, clock: Clock) -> None:
        self.findings: deque[Finding] = deque()
        self.commands: deque[Command] = deque()
        self.standings: dict[str, Standing | None] = {}
        self.told = 0
        self.already: frozenset[str] = frozenset()
        """Findings that an earlier life has put on the log."""
        self._log = log
        self._bucket = standings
        self._partition = partition
        self._clock = clock
        self._rest_from_ms = 0

    def hold(self, judged: Step) -> None:
        """Take over what a step says."""
        t5_ms = self._clock.now_ms()
        news = [_stamped(one, t5_ms) for one in judged.findings if one.id not in self.already]
        self.findings.extend(most_urgent_first(news))
        self.commands.extend(judged.commands)
        self.standings.update((one.measure, one) for one in judged.standings)

    def retire(self, measures: Iterable[str]) -> None:
        """Nobody stands anywhere any more in these."""
        self.standings.update(dict.fromkeys(measures))

    def restore(self, kept: Snapshot) -> None:
        """What the life before this one had still to say."""
        self.told = kept.told
        self.findings.extend(kept.outbox)
        self.commands.extend(kept.commands)
        self.standings.update(kept.standings)

    @property
    def holds(self) -> bool:
        return bool(self.findings or self.commands or self.standings)

    # --- findings ----------------------------------------------------------------------------------------

    async def tell_findings(self) -> None:
        """Return when all are durable; raises a group of LogUnavailable after PUBLISH_FOR_S, and forgets none."""
        while wave := wave_of(self.findings, lambda one: (one.code, one.measure)):
            async with asyncio.TaskGroup() as group:
                for finding in wave:
                    group.create_task(self._tell(finding))
            for _ in wave:
                self.findings.popleft()

    async def remember_told(self) -> None:
        """Learn what of a replay's findings is on the log: its own memory of ids is short (DUPLICATE_WINDOW_S)."""
        found: set[str] = set()
        mine = subjects.findings(self._partition, "*")
        async for entries in upto_present(self._log.read(subjects.FINDINGS, mine, after=self.told)):
            found.update(name for entry in entries if (name := _id_in(entry)) is not None)
            self.told = entries[-1].sequence
        self.already = frozenset(found)

    def forget_told(self) -> None:
        """The replay is over."""
        self.already = frozenset()

    async def _tell(self, finding: Finding) -> None:
        subject, payload = subjects.findings(self._partition, finding.code.value), encode(finding)
        appended = await until_durable(
            lambda: self._log.append(subject, payload, dedupe_id=finding.id), clock=self._clock, what="finding"
        )
        self.told = max(self.told, appended.sequence)
        if not appended.duplicate:
            FINDINGS.labels(finding.code.value, finding.change.value).inc()

    # --- commands and standings --------------------------------------------------------------------------

    async def tell_rest(self) -> bool:
        """A wave of commands and one of standings; whether there is more that could go at once."""
        if self._clock.wall_ms() < self._rest_from_ms or not (self.commands or self.standings):
            return False
        if not (await self._tell_commands() and await self._tell_standings()):
            self._rest_from_ms = self._clock.wall_ms() + round(MS * REST_AGAIN_S)
            return False
        return bool(self.commands or self.standings)

    async def _tell_commands(self) -> bool:
        self._drop_expired()
        wave = wave_of(self.commands, lambda one: one.device)
        heard = await asyncio.gather(*(self._tell_command(one) for one in wave))
        rest = islice(self.commands, len(wave), None)
        self.commands = deque([*(one for one, ok in zip(wave, heard, strict=True) if not ok), *rest])
        return all(heard)

    def _drop_expired(self) -> None:
        now_ms = self._clock.now_ms()
        for one in self.commands:
            if one.expires_ms <= now_ms:
                ORDERED.labels(one.action.value, "expired").inc()
        self.commands = deque(one for one in self.commands if one.expires_ms > now_ms)

    async def _tell_command(self, command: Command) -> bool:
        try:
            await self._log.append(
                subjects.command(command.device, self._partition, command.action.value),
                encode(command),
                dedupe_id=f"{command.id}.{self._partition}",
            )
        except LogUnavailable as error:
            log.warning("command_waits_for_log", action=command.action.value, error=str(error))
            return False
        ORDERED.labels(command.action.value, "told").inc()
        return True

    async def _tell_standings(self) -> bool:
        wave = dict(islice(self.standings.items(), PUBLISH_WAVE))
        heard = await asyncio.gather(*(self._tell_standing(key, one) for key, one in wave.items()))
        for key, ok in zip(wave, heard, strict=True):
            if ok:
                del self.standings[key]
        return all(heard)

    async def _tell_standing(self, measure: str, standing: Standing | None) -> bool:
        try:
            if standing is None:
                await self._bucket.delete(measure)
            else:
                await self._bucket.put(measure, encode(standing))
        except LogUnavailable as error:
            log.warning("standing_waits_for_log", error=str(error))
            return False
        return True

    async def compare_standings(self, offered: Iterable[Standing], is_gone: Callable[[str], bool]) -> None:
        """Hold what the bucket does not say yet: of ``offered``, and of measures that are no longer there."""
        known = await self._standings_known()
        self.standings.update((one.measure, one) for one in offered if not _says(known.get(one.measure), one))
        self.standings.update((key, None) for key in known if is_gone(key))

    async def _standings_known(self) -> Mapping[str, bytes]:
        known: dict[str, bytes] = {}
        async for change in self._bucket.watch():
            if change is None:
                break
            if change.value is not None:
                known[change.key] = change.value
        return known


def most_urgent_first(found: Sequence[Finding]) -> list[Finding]:
    """Of one code and measure the order stays: an entry that is P1 takes the end before it along."""
    urgent = {(one.code, one.measure) for one in found if one.priority == P1 or one.code in ALWAYS_P1}
    return sorted(found, key=lambda one: (one.code not in FIRST, (one.code, one.measure) not in urgent))


def wave_of(waiting: Iterable[T], lane: Callable[[T], Hashable]) -> list[T]:
    """The first of ``waiting`` that may be under way at once: no two of one lane, at most PUBLISH_WAVE."""
    wave: list[T] = []
    lanes: set[Hashable] = set()
    for one in islice(waiting, PUBLISH_WAVE):
        if lane(one) in lanes:
            break
        lanes.add(lane(one))
        wave.append(one)
    return wave


def _id_in(entry: Entry) -> str | None:
    """Of a finding that cannot be read nothing is known: it is said again, and the log or the desk knows it."""
    try:
        return decode_finding(entry.payload).id
    except WireError:
        log.warning("finding_unreadable", sequence=entry.sequence)
        return None


def _stamped(finding: Finding, t5_ms: int) -> Finding:
    return msgspec.structs.replace(finding, points=msgspec.structs.replace(finding.points, t5_ms=t5_ms))


def _says(payload: bytes | None, standing: Standing) -> bool:
    """Whether this value of the bucket tells of ``standing``, at whatever hour it was looked at."""
    if payload is None:
        return False
    try:
        known = decode_standing(payload)
    except WireError:
        return False
    return msgspec.structs.replace(known, at_ms=standing.at_ms) == standing
