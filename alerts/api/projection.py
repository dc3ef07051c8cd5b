"""What are the open alerts right now, and who wants to hear when one changes?

The projection follows the log alone, so that alerts are seen and acted upon while PostgreSQL is down
(ARCHITECTURE, A7). It holds every open episode and the RECENT_MAX that closed last. Its cursor is the sequence
of the newest entry that it has read. Each change goes to every feed; a feed holds at most one change per alert
and at most ``limit`` of them: who is too slow is told to start again (``gap``), never shown old news as new.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from alerts.api import views
from alerts.catalogue import CATALOGUE
from tocsin.clock import Clock
from tocsin.errors import LogUnavailable, WireError
from tocsin.model.episode import Episode
from tocsin.ports import Entry, Log
from tocsin.subjects import EPISODES
from tocsin.telemetry import ALERTS_OPEN, CONSOLES_LIVE
from tocsin.wire import decode_ruling

log = structlog.get_logger(__name__)

RECENT_MAX: Final = 500  # closed alerts kept for those who still look at them: a day of a large site
FEED_MAX: Final = 512  # alerts changed and not yet sent; 10 s of a slow client at 40 changes a second
CANARIES_MAX: Final = 256  # four of each pair where there are 64 partitions; one of a minute is open for seconds
COALESCE_S: Final = 0.1
AGAIN_S: Final = 0.5
PROBE_S: Final = 1.0  # how often the log is asked whether it lives: a follower that hears nothing cannot know
PROBE_SUBJECT: Final = "log.episode.probe.probe"
PRIORITY_URGENT: Final = 1
PRIORITIES: Final = tuple(sorted({one.priority for one in CATALOGUE.values()}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Projected:
    """An episode as its last ruling left it; ``encoded`` is its JSON, made once for all feeds."""

    sequence: int
    episode: Episode
    encoded: str


class Feed:
    """What one client has not been sent yet. ``due_at`` is in the loop's time, None: nothing to send."""

    def __init__(self, limit: int) -> None:
        self.gap = False
        self.due_at: float | None = None
        self.woken = asyncio.Event()
        self._limit = limit
        self._changed: dict[str, Projected] = {}

    def offer(self, change: Projected, now: float) -> None:
        """P1 is due at once, the others after a moment of company."""
        if self.gap:
            return  # the snapshot that he takes next holds it
        self._changed[change.episode.id] = change
        if len(self._changed) > self._limit:
            self.lose_track(now)
        urgent = change.episode.priority == PRIORITY_URGENT
        due_at = now if urgent or self.gap else now + COALESCE_S
        self.due_at = due_at if self.due_at is None else min(self.due_at, due_at)
        self.woken.set()

    def lose_track(self, now: float) -> None:
        self.gap, self.due_at = True, now
        self._changed.clear()
        self.woken.set()

    def take(self) -> list[Projected]:
        """Everything not yet sent, in the order of the log."""
        taken = sorted(self._changed.values(), key=lambda change: change.sequence)
        self._changed, self.gap, self.due_at = {}, False, None
        return taken


class Projection:
    """The episodes as the log has them, in this process."""

    def __init__(self, *, recent_max: int = RECENT_MAX, feed_max: int = FEED_MAX) -> None:
        self.sequence = 0
        self.unreadable = 0
        self.ready = asyncio.Event()
        self.draining = False
        self.log_heard_ms: int | None = None
        self._recent_max = recent_max
        self._feed_max = feed_max
        self._open: dict[str, Projected] = {}
        self._recent: OrderedDict[str, Projected] = OrderedDict()
        self._canaries: OrderedDict[str, Projected] = OrderedDict()  # open and closed
        self._forgotten = 0  # the newest sequence of a closed alert that is no longer held
        self._feeds: set[Feed] = set()

    async def run(self, source: Log, clock: Clock) -> None:
        """Follow the log until cancelled."""
        async with asyncio.TaskGroup() as parts:
            parts.create_task(self._follow(source))
            parts.create_task(self._probe(source, clock))

    async def _follow(self, source: Log) -> None:
        while True:
            try:
                newest = self.sequence == 0
                after = self.sequence
                async for entries in source.read(
                    EPISODES, EPISODES.subjects, after=after, newest_per_subject=newest
                ):
                    self.apply(entries)
                    if not entries:
                        self.ready.set()
            except LogUnavailable as error:
                log.warning("projection waits", reason=str(error))
            await asyncio.sleep(AGAIN_S)

    async def _probe(self, source: Log, clock: Clock) -> None:
        while True:
            if await log_answers(source):
                self.log_heard_ms = clock.wall_ms()
            await asyncio.sleep(PROBE_S)

    def apply(self, entries: Sequence[Entry]) -> None:
        """Take in what the log says; an entry of another version is counted and must not blind the rest."""
        for entry in entries:
            self.sequence = max(self.sequence, entry.sequence)
            try:
                self._apply_one(entry)
            except WireError as error:
                self.unreadable += 1
                log.error("ruling unreadable", sequence=entry.sequence, reason=str(error))
            except Exception:  # one alert that cannot be shown must not take the others from the operators
                self.unreadable += 1
                log.critical("ruling not shown", sequence=entry.sequence, exc_info=True)
        for priority in PRIORITIES:
            count = sum(each.episode.priority == priority for each in self._open.values())
            ALERTS_OPEN.labels(priority=str(priority)).set(count)

    def _apply_one(self, entry: Entry) -> None:
        episode = decode_ruling(entry.payload).episode
        known = self.find(episode.id)
        if known is None or known.sequence < entry.sequence:
            encoded = views.alert(episode).model_dump_json()
            self._take_in(Projected(sequence=entry.sequence, episode=episode, encoded=encoded))

    def _take_in(self, change: Projected) -> None:
        episode = change.episode
        if episode.is_canary:
            self._take_in_canary(change)
            return
        self._open.pop(episode.id, None)
        self._recent.pop(episode.id, None)
        if episode.is_open:
            self._open[episode.id] = change
        else:
            self._recent[episode.id] = change
            if len(self._recent) > self._recent_max:
                _, oldest = self._recent.popitem(last=False)
                self._forgotten = max(self._forgotten, oldest.sequence)
        now = asyncio.get_running_loop().time()
        for feed in self._feeds:
            feed.offer(change, now)

    def _take_in_canary(self, change: Projected) -> None:
        """In no queue, no feed and no count, and in nobody's place among those that closed lately."""
        self._canaries.pop(change.episode.id, None)
        self._canaries[change.episode.id] = change
        while len(self._canaries) > CANARIES_MAX:
            self._canaries.popitem(last=False)

    def find(self, episode_id: str) -> Projected | None:
        """An open episode, or one that closed lately."""
        return self._open.get(episode_id) or self._recent.get(episode_id) or self._canaries.get(episode_id)

    def open_canaries(self, now_ms: int) -> list[Projected]:
        """Alerts of invented pairs: for who looks after the system, and only where he asks for them."""
        found = (each for each in self._canaries.values() if each.episode.is_open)
        return sorted(found, key=lambda each: views.urgency(each.episode, now_ms))

    def open_episodes(self, now_ms: int) -> list[Projected]:
        """Most urgent first; of no canary."""
        return sorted(self._open.values(), key=lambda each: views.urgency(each.episode, now_ms))

    @property
    def consoles(self) -> int:
        return len(self._feeds)

    @contextmanager
    def feed(self, since: int | None) -> Iterator[Feed]:
        """A place at the feed; it begins with what changed behind ``since``, or with all that is open."""
        feed, now = Feed(self._feed_max), asyncio.get_running_loop().time()
        missed = list(self._open.values())
        if since is not None:
            missed = [each for each in (*missed, *self._recent.values()) if each.sequence > since]
            if not self._forgotten <= since <= self.sequence:
                feed.lose_track(now)
        for each in sorted(missed, key=lambda each: each.sequence):
            feed.offer(each, now)
        self._feeds.add(feed)
        CONSOLES_LIVE.inc()
        try:
            yield feed
        finally:
            self._feeds.discard(feed)
            CONSOLES_LIVE.dec()

    def drain(self) -> None:
        """Every feed ends; new ones are refused by readiness."""
        self.draining = True
        for feed in self._feeds:
            feed.woken.set()


async def log_answers(source: Log) -> bool:
    """Whether the log answers within PROBE_S."""
    try:
        async with asyncio.timeout(PROBE_S):  # not wait_for: in Python 3.11 it may swallow a cancellation
            await source.last(EPISODES, PROBE_SUBJECT)
    except (LogUnavailable, TimeoutError):
        return False
    return True
