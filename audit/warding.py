"""The shell around the warden: look at every bound, queue and clock each few seconds, and say what began or ended.

What cannot be asked now stands as it was: an outage of the log or the record is not said here. A notice that the
log does not take is said at the next look, under the same name. With a moved clock (a replay) no hour is judged.
A look that breaks is a difference of the law ``warden``, and the next one is made: the laws of the auditor, which
live in the same process, must not end with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import structlog

from audit import warden
from audit.law import Difference
from audit.warden import STAGES, Asked, Backlog, Clocks, Heard, Stage, Standing, Trouble
from tocsin import subjects
from tocsin.adapters.capacity import record_hour_ms, record_usages
from tocsin.adapters.postgres import Pool
from tocsin.clock import MS, AffineClock
from tocsin.errors import LogUnavailable, RecordUnavailable, WireError
from tocsin.limits import BROKER_INFLIGHT_MAX
from tocsin.model.finding import Code
from tocsin.model.notice import Notice
from tocsin.ports import Bucket, Entry, Log, Progress, Usage
from tocsin.present import upto_present
from tocsin.subjects import EPISODES, FIXES, STREAMS
from tocsin.telemetry import BOUNDED_USAGE, CLOCK_OFFSET, PIPELINE_OLDEST
from tocsin.wire import decode_ruling, decode_tally, encode

NAME = "warden"
LOOK_EVERY_S = 5.0
CODES = frozenset({Code.SYS_CAPACITY, Code.SYS_PIPELINE_LAG, Code.SYS_CLOCK})
STREAM_OF = {stream.name: stream for stream in STREAMS}
OPEN_FILES = Path("/proc/self/fd")
DISK_EVERY_MS = 60 * MS  # walking the folder of a large site takes a while
INGEST = ("fixes", "alarms-1", "alarms-2")

log = structlog.get_logger()


class Warding:
    """One life of the warden. ``folder``: whose disk is watched. ``pool`` None: there is no record to ask.
    ``partitions``: of the geofence, which has no queue and tells its place in ``tallies``. To the auditor it is
    an ``audit.law.Law`` whose only differences are looks that broke."""

    name = NAME

    def __init__(
        self,
        *,
        log: Log,
        tallies: Bucket,
        pool: Pool | None,
        clock: AffineClock,
        folder: Path,
        clock_moved: bool = False,
        stages: Sequence[Stage] = STAGES,
        partitions: int = 0,
    ) -> None:
        self._log = log
        self._tallies = tallies
        self._pool = pool
        self._clock = clock
        self._folder = folder
        self._clock_moved = clock_moved
        self._backlogs = [Backlog(stage) for stage in stages]
        self._usages: dict[str, Usage] = {}
        self._half: set[str] = set()
        self._disk: tuple[int, int] | None = None
        self._clocks = Clocks()
        self._readers = [Backlog(warden.reader_of(partition)) for partition in range(partitions)]
        self._heard: dict[str, Heard] = {}
        self._began_ms = clock.passed_ms()
        self._unsaid: list[Notice] = []
        self._broken: list[Difference] = []
        self.standing = Standing()

    async def run(self, ready: Callable[[], None]) -> None:
        """``ready`` when it knows what stands."""
        await self.adopt()
        ready()
        while True:
            await self.look_guarded()
            await asyncio.sleep(LOOK_EVERY_S)

    async def look_guarded(self) -> None:
        try:
            await self.look()
        except Exception as error:  # of whatever kind: it must not end the laws, and is itself a difference
            log.exception("warden_broken")
            detail = f"it could not look: {type(error).__name__}"
            broken = Difference(law=NAME, about=NAME, since_ms=self._clock.now_ms(), detail=detail)
            self._broken.append(broken)

    def differences(self, now_ms: int) -> list[Difference]:  # noqa: ARG002  # a Law's hour: a broken look has its own
        said, self._broken = self._broken, []
        return said

    async def adopt(self) -> None:
        """What another life has begun, and nobody ended."""
        async for entries in upto_present(self._log.read(EPISODES, EPISODES.subjects, newest_per_subject=True)):
            for entry in entries:
                self._adopt(entry)

    def _adopt(self, entry: Entry) -> None:
        try:
            episode = decode_ruling(entry.payload).episode
        except WireError as error:
            log.error("episode_unreadable", subject=entry.subject, error=str(error))
            return
        if episode.code in CODES and episode.lasts:
            newest = episode.raises[-1]
            self.standing.begun[episode.code, episode.subject] = newest.cause, newest.at_ms

    async def look(self) -> None:
        """Once at everything; what began or ended is said."""
        troubles: list[Trouble] = []
        judged: set[Code] = set()
        begun = self.standing.begun
        try:
            await self._see_usages()
            troubles += warden.too_full(self._usages.values(), begun)
            troubles += warden.behind(await self._ages_ms(), begun)
            judged |= {Code.SYS_CAPACITY, Code.SYS_PIPELINE_LAG}
            if not self._clock_moved:
                await self._see_clocks()
                troubles += self._clocks.troubles(begun)
                judged.add(Code.SYS_CLOCK)
        except LogUnavailable as error:
            log.info("warden_waits", error=str(error))
            return
        self._unsaid += self.standing.notices(troubles, frozenset(judged), self._clock.now_ms())
        await self._say()

    # --- full ------------------------------------------------------------------------------------------------

    async def _see_usages(self) -> None:
        found = [*await self._log.usages(), *await self._of_disk()]
        found += [*self._of_this_process(), *await self._of_ingest()]
        if self._pool is not None:
            try:
                found += await record_usages(self._pool)
            except RecordUnavailable as error:
                log.info("record_not_asked", error=str(error))  # what was seen last stands
        for one in found:
            self._usages[one.resource] = one
            BOUNDED_USAGE.labels(resource=one.resource).set(one.ratio)
            self._note_half(one)

    def _note_half(self, one: Usage) -> None:
        if one.ratio < warden.HALF:
            self._half.discard(one.resource)
        elif one.resource not in self._half and not one.gives_way:
            self._half.add(one.resource)
            log.warning("half_full", resource=one.resource, used=f"{one.ratio:.0%}")

    async def _of_disk(self) -> list[Usage]:
        """Our own files against these and what is free: what is somebody else's was never ours. Counted in a
        thread: whoever hears the broker shares this loop."""
        now_ms = self._clock.passed_ms()
        if self._disk is None or now_ms - self._disk[0] >= DISK_EVERY_MS:
            self._disk = now_ms, await asyncio.to_thread(_bytes_in, self._folder)
        own = self._disk[1]
        try:
            free = shutil.disk_usage(self._folder).free
        except OSError as error:  # no such folder: the auditor runs where the servers do not
            log.info("disk_not_asked", folder=str(self._folder), error=type(error).__name__)
            return []
        return [Usage(resource="disk.data", used=own, bound=own + free or 1)]

    def _of_this_process(self) -> Iterator[Usage]:
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if most > 0:
            yield Usage(resource="auditor.open_files", used=len(list(OPEN_FILES.iterdir())), bound=most)

    async def _of_ingest(self) -> list[Usage]:
        """The window of the broker is the bound of ingest's memory."""
        found = []
        for part in INGEST:
            value = await self._tallies.get(part)
            with contextlib.suppress(WireError):  # another version's: it has no figure for us
                held = decode_tally(value).accounts["messages"].in_hand if value is not None else 0
                found.append(Usage(resource=f"{part}.in_flight", used=held, bound=BROKER_INFLIGHT_MAX))
        return found

    # --- behind ----------------------------------------------------------------------------------------------

    async def _ages_ms(self) -> dict[Stage, int | None]:
        ages: dict[Stage, int | None] = {}
        for backlog in self._backlogs:
            progress = await self._log.progress(STREAM_OF[backlog.stage.stream], backlog.stage.queue)
            ages[backlog.stage] = backlog.age_ms(progress, self._clock.passed_ms())
        for backlog in self._readers:
            ages[backlog.stage] = await self._age_of_reader_ms(backlog)
        for stage, age_ms in ages.items():
            if age_ms is not None:
                PIPELINE_OLDEST.labels(stage=stage.word).set(age_ms / MS)
        return ages

    async def _age_of_reader_ms(self, backlog: Backlog) -> int | None:
        """None: it may still be starting."""
        stage, now_ms = backlog.stage, self._clock.passed_ms()
        last = await self._log.last(FIXES, stage.subject)
        heard = self._heard.setdefault(stage.word, Heard())
        value = await self._tallies.get(stage.word)
        try:
            heard.tells(stage.subject, None if value is None else decode_tally(value))
        except WireError as error:  # another version's, in an upgrade: where it was last stands
            log.info("place_unreadable", stage=stage.word, error=str(error))
        age_ms = backlog.age_ms(Progress(end=0 if last is None else last.sequence, settled=heard.place), now_ms)
        return age_ms if heard.is_judged(now_ms - self._began_ms) else None

    # --- wrong about the time --------------------------------------------------------------------------------

    async def _see_clocks(self) -> None:
        step_ms = self._clocks.stepped_ms(self._clock.wall_ms(), self._clock.passed_ms())
        CLOCK_OFFSET.labels(against="steady").set(step_ms / MS)
        await self._ask("log", self._log.hour_ms)
        if self._pool is not None:
            pool = self._pool
            try:
                await self._ask("record", lambda: record_hour_ms(pool))
            except RecordUnavailable as error:
                log.info("record_not_asked", error=str(error))

    async def _ask(self, whose: str, hour: Callable[[], Awaitable[int]]) -> None:
        before_ms = self._clock.wall_ms()
        said_ms = await hour()
        asked = Asked(before_ms=before_ms, said_ms=said_ms, after_ms=self._clock.wall_ms())
        offset_ms = self._clocks.answered(whose, asked)
        if offset_ms is not None:
            CLOCK_OFFSET.labels(against=whose).set(offset_ms / MS)

    async def _say(self) -> None:
        while self._unsaid:
            notice = self._unsaid[0]
            try:
                await self._log.append(subjects.notice(notice.code.value), encode(notice), dedupe_id=notice.id)
            except LogUnavailable as error:
                log.warning("notices_wait", error=str(error))
                return
            del self._unsaid[0]
            log.warning("noticed", code=notice.code.value, change=notice.change.value, subject=notice.subject)


def _bytes_in(folder: Path) -> int:
    """What its files hold. One that goes meanwhile, or is not ours to see, counts for nothing: the servers make
    and remove folders in there all the time. ``os.walk`` passes over what it cannot list, ``rglob`` raises."""
    total = 0
    for inside, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += Path(inside, name).lstat().st_size
    return total
