"""The shell of the ladder: when an hour comes that an alert has set, have it ruled upon.

Follows the newest ruling of every place, keeps one heap of hours, and sends ``Due`` through the ledger. It decides
nothing: the desk looks whether it is still due, so that several may run at once (the log's compare-and-set settles
it), a late one climbs every rung that it missed, and one that is killed has lost nothing: the next one reads the
same hours in the same rulings. What it holds is one hour for each open alert that has one, and twice as many moved
hours at most.

An outage of the log stops nothing but the writing: what was due is tried again until the log takes it. All places
are read anew each READ_AGAIN_S: what was lost on the way is late, and not lost.

A clock that is set back delays nothing (F37). Each place has an hour of its own: that of the clock, ``ahead`` by
what the clock was set back while the place waited, or by what its newest ruling is in the future. A later step
forward takes it back. So one place that was ruled upon by a wrong clock sets no other one wrong.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from typing import Final

import structlog

from alerts.answers import Answer, Unchanged
from alerts.course import Closing
from alerts.episodes import place
from alerts.escalation import ASK_AGAIN_S, Asks, next_due, next_step
from alerts.ledger import Ledger
from tocsin.clock import MS, Clock
from tocsin.errors import LogUnavailable, WireError
from tocsin.limits import CLOCK_BACK_TOLD_S
from tocsin.model.episode import Due, Episode
from tocsin.model.protocol import AS_AGREED, Protocol
from tocsin.ports import Entry, Log
from tocsin.subjects import EPISODES
from tocsin.telemetry import RULINGS
from tocsin.wire import decode_ruling

AT_ONCE_MAX: Final = 32  # rulings under way at once; a burst of 700 is 22 rounds of a few milliseconds
LOOK_EVERY_S: Final = 1.0  # at the hour: a clock that was set is noticed within this
AGAIN_S: Final = 0.5
AGAIN_MAX_S: Final = 30.0
FOLLOW_AGAIN_S: Final = 0.5
READ_AGAIN_S: Final = 300.0  # one message for each place: as often as a P1 is told again

Place = tuple[str, str]

log = structlog.get_logger()


class Timers:
    """One hour for each place; a place that is ruled upon is put in again by what the ruling says."""

    def __init__(
        self,
        clock: Clock,
        ledger: Ledger,
        closing: Closing,
        protocol: Protocol = AS_AGREED,
        passed_ms: Callable[[], int] | None = None,
    ) -> None:
        """``passed_ms``: since any moment, on this deployment's time, and never set (``clock.passed_ms``); None:
        ``clock`` is never set either."""
        self._clock = clock
        self._passed_ms = clock.now_ms if passed_ms is None else passed_ms
        self._apart_ms = clock.now_ms() - self._passed_ms()
        self._ahead: dict[Place, int] = {}
        self._ledger = ledger
        self._closing = closing
        self._protocol = protocol
        self._heap: list[tuple[int, Place]] = []
        self._waiting: dict[Place, tuple[int, Episode]] = {}
        self._sequences: dict[Place, int] = {}
        self._failures: dict[Place, int] = {}
        self._woken = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def held(self) -> int:
        """Everything that is remembered, of the places that wait and of others."""
        return sum(map(len, (self._heap, self._waiting, self._sequences, self._failures, self._ahead)))

    def apply(self, entry: Entry) -> None:
        """The newest ruling of a place."""
        try:
            ruling = decode_ruling(entry.payload)
        except WireError:  # another version's, in the middle of an upgrade: its own timers read it
            log.critical("unreadable", subject=entry.subject)
            return
        self._mind_the_clock()  # before an hour of its own is found for what it set
        episode = ruling.episode
        at = place(episode)
        if entry.sequence >= self._sequences.get(at, 0):
            self._failures.pop(at, None)
            if ruling.at_ms > self._hour_ms(at):
                self._ahead[at] = ruling.at_ms - self._clock.now_ms()
            self._set(at, next_due(episode, self._protocol), episode, entry.sequence)

    def _set(self, at: Place, due_ms: int | None, episode: Episode, sequence: int | None = None) -> None:
        if due_ms is None:
            self._forget(at)
            return
        if sequence is not None:
            self._sequences[at] = sequence
        at_clock_ms = due_ms - self._ahead.get(at, 0)
        self._waiting[at] = (at_clock_ms, episode)
        heapq.heappush(self._heap, (at_clock_ms, at))
        if len(self._heap) > 2 * len(self._waiting) + AT_ONCE_MAX:  # hours that were moved
            self._heap_anew()
        self._woken.set()

    def _heap_anew(self) -> None:
        self._heap = [(ms, where) for where, (ms, _) in self._waiting.items()]
        heapq.heapify(self._heap)

    def _hour_ms(self, at: Place) -> int:
        return self._clock.now_ms() + self._ahead.get(at, 0)

    def _mind_the_clock(self) -> None:
        """It was set: the hours of those who wait stand where they stood."""
        apart_ms = self._clock.now_ms() - self._passed_ms()
        back_ms = self._apart_ms - apart_ms
        if abs(back_ms) < CLOCK_BACK_TOLD_S * MS:
            return
        log.critical("clock_set", back_ms=back_ms, waiting=len(self._waiting))
        self._apart_ms = apart_ms
        for at, (at_clock_ms, episode) in self._waiting.items():
            before_ms = self._ahead.pop(at, 0)
            if after_ms := max(0, before_ms + back_ms):
                self._ahead[at] = after_ms
            self._waiting[at] = (at_clock_ms + before_ms - after_ms, episode)
        self._heap_anew()

    def _forget(self, at: Place) -> None:
        for known in (self._waiting, self._sequences, self._failures, self._ahead):
            known.pop(at, None)

    def _take(self, now_ms: int) -> list[tuple[Place, Episode]]:
        """What is due, the longest due first; each place once."""
        found: dict[Place, Episode] = {}
        while self._heap and self._heap[0][0] <= now_ms and len(found) < AT_ONCE_MAX:
            due_ms, at = heapq.heappop(self._heap)
            known = self._waiting.get(at)
            if known is not None and known[0] == due_ms and at not in found:
                found[at] = known[1]
        return list(found.items())

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._mind_the_clock()
            taken = self._take(self._clock.now_ms())
            if taken:
                await asyncio.gather(*(self._rule(at, episode) for at, episode in taken))
            else:
                await self._wait()

    async def _wait(self) -> None:
        """Until the next hour, or until there may be an earlier one."""
        self._woken.clear()
        left_s = (self._heap[0][0] - self._clock.now_ms()) / MS if self._heap else LOOK_EVERY_S
        hour = asyncio.ensure_future(self._clock.sleep(min(max(left_s, 0.001), LOOK_EVERY_S)))
        woken = asyncio.ensure_future(self._woken.wait())
        try:
            await asyncio.wait({hour, woken}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            hour.cancel()
            woken.cancel()

    async def _rule(self, at: Place, episode: Episode) -> None:
        followed = self._sequences.get(at)
        again_s: float | None = None
        answer: Answer | None = None
        try:
            due = Due(episode=episode.id, at_ms=self._hour_ms(at), closing=await self._asked(episode))
            answer = await self._ledger.rule(*at, due)
        except LogUnavailable as error:
            log.warning("due_again", alert=episode.id, reason=str(error))
            again_s = AGAIN_S
        except Exception:  # F02: one alert that cannot be ruled upon must not stop the hours of the others
            log.critical("due_failed", alert=episode.id, exc_info=True)
            RULINGS.labels(reason="poison").inc()
            self._failures[at] = self._failures.get(at, 0) + 1
            again_s = min(AGAIN_MAX_S, AGAIN_S * 2.0 ** min(self._failures[at], 10))
        if self._sequences.get(at) != followed:
            return  # another ruling was followed meanwhile, whose hours stand: this answer may be older
        if answer is not None:
            self._answered(at, answer)
        elif again_s is not None:
            self._again(at, episode, again_s)

    async def _asked(self, episode: Episode) -> bool | None:
        """Only where the step wants to know."""
        step = next_step(episode, self._protocol)
        return None if step is None or step.asks is Asks.NOTHING else await self._closing(episode)

    def _again(self, at: Place, episode: Episode, seconds: float) -> None:
        self._set(at, self._hour_ms(at) + round(seconds * MS), episode)

    def _answered(self, at: Place, answer: Answer) -> None:
        """From the ruling at once, not from its echo: what is late climbs on without waiting for the log."""
        episode = answer.episode
        if episode is None:  # the log has let it go by age: nothing happens there by itself any more
            self._forget(at)
            return
        due_ms = next_due(episode, self._protocol)
        if isinstance(answer, Unchanged) and due_ms is not None:
            due_ms = self._after_nothing(at, episode, due_ms, is_asking=answer.again)
        self._set(at, due_ms, episode)

    def _after_nothing(self, at: Place, episode: Episode, due_ms: int, *, is_asking: bool) -> int:
        """He was not closing: the next look, or what does not depend on him. Else it is as the log has it.

        He is looked at for as long as the alert lasts and nobody has it: without an end of its own, for whoever
        turned away may turn again. A look writes nothing."""
        now_ms = self._hour_ms(at)
        if not is_asking:
            return max(due_ms, now_ms + round(AGAIN_S * MS))
        sure = next_step(episode, self._protocol, closing=False)
        look_ms = now_ms + ASK_AGAIN_S * MS
        return look_ms if sure is None else min(look_ms, max(sure.at_ms, now_ms))


async def run_timers(log_: Log, timers: Timers, read_again_s: float = READ_AGAIN_S) -> None:
    """Until cancelled."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_follow(log_, timers, read_again_s))
        tasks.create_task(timers.run())


async def _follow(log_: Log, timers: Timers, read_again_s: float) -> None:
    while True:
        try:
            async with asyncio.timeout(read_again_s):
                await _follow_once(log_, timers)
        except TimeoutError:
            log.debug("timers_read_again", waiting=len(timers))


async def _follow_once(log_: Log, timers: Timers) -> None:
    """From the newest ruling of every place on."""
    after = 0
    while True:
        try:
            async for entries in log_.read(
                EPISODES, EPISODES.subjects, after=after, newest_per_subject=after == 0
            ):
                for entry in entries:
                    timers.apply(entry)
                    after = max(after, entry.sequence)
        except LogUnavailable as error:
            log.warning("timers_wait", reason=str(error))
        await asyncio.sleep(FOLLOW_AGAIN_S)
