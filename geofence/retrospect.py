"""What do fixes that came late prove, and who keeps that? The shell of ``past``.

The archive notes, with the fixes themselves, which quarters of an hour of which device got fixes that came late.
When nothing more is to be expected of them (PAST_SETTLES_MS behind the newest of them, so that whoever reports in
time has been heard), the history of both parties is read anew, and what it shows is compared with what was alerted
and said. Work goes by hours and, within them, by measure; one window is in memory at a time.

With the record down it waits, and no alert waits for it. What is to be said is kept before it is told: killed at
any moment, it says the same again under the same names, or finds that nothing is left to say.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import msgspec
import structlog

from geofence.assumptions import (
    PAST_QUIET_MS,
    PAST_SETTLES_MS,
    PAST_WAITS_MS,
    PAST_WIDEST_MS,
    REACH_MS,
    VISIT_SLACK_MS,
)
from geofence.past import Tracks, Visit, Window, extent, is_over, judge
from tocsin import subjects
from tocsin.adapters.retrospect import SLOT_MS, Due, Pair, Retrospect
from tocsin.clock import Clock
from tocsin.errors import LogUnavailable, RecordUnavailable
from tocsin.model.finding import Code, Finding
from tocsin.ports import Log
from tocsin.pulsing import UNSEEN, Rounds, is_away
from tocsin.subjects import EPISODES, FINDINGS, FIXES
from tocsin.telemetry import FINDINGS as FINDINGS_SAID
from tocsin.telemetry import RETROSPECT_DUE, RETROSPECT_WINDOWS
from tocsin.wire import encode

LOOK_EVERY_S: Final = 1.0
AGAIN_S: Final = 2.0  # after an outage
DUE_MAX: Final = 256  # quarters of an hour of a device in one turn
WINDOW_SLOTS_MAX: Final = 24  # of one measure at once: six hours, 2 x 4,320 fixes at 5 s
TELL_MAX: Final = 256

FENCES: Final = (
    (FIXES, subjects.ARCHIVIST_FIXES),
    (FINDINGS, subjects.dispatcher(Code.PROX_ALERT.value)),
    (EPISODES, subjects.RECORDER_EPISODES),
)
"""What must have got as far as now: the history of fixes, and the record of what was alerted. In the order in
which a message goes."""

LOOK_AGAIN: Final = frozenset({"failed", "goes_on"})
"""Outcomes after which the same hours are looked at again, PAST_SETTLES_MS from now."""

log_ = structlog.get_logger()


class Task(NamedTuple):
    """One window of one measure, and the quarters of an hour that asked for it."""

    window: Window
    pair: Pair
    due: tuple[Due, ...]


async def run_retrospect(
    *,
    log: Log,
    record: Retrospect,
    clock: Clock,
    partitions: int,
    ready: Callable[[], None],
    rounds: Rounds = UNSEEN,
) -> None:
    """Until cancelled. Ready whether or not the record is up."""
    looking = LookBack(log, record, clock, partitions, rounds)
    ready()
    while True:
        try:
            busy = await looking.turn()
        except (RecordUnavailable, LogUnavailable) as error:
            log_.warning("retrospect_waits", reason=str(error), again_in_s=AGAIN_S)
            if is_away(error):
                await rounds.went_round()
            await clock.sleep(AGAIN_S)
            continue
        await rounds.went_round()
        if not busy:
            await clock.sleep(LOOK_EVERY_S)


class LookBack:
    """One worker."""

    def __init__(
        self, log: Log, record: Retrospect, clock: Clock, partitions: int, rounds: Rounds = UNSEEN
    ) -> None:
        self._rounds = rounds
        self._log = log
        self._record = record
        self._clock = clock
        self._partitions = partitions

    async def turn(self) -> bool:
        """Look at what is due; whether there may be more. Raises RecordUnavailable, LogUnavailable."""
        await self._tell()
        now_ms = self._clock.now_ms()
        due = await self._record.due(
            settled_ms=now_ms - PAST_SETTLES_MS,
            quiet_ms=now_ms - PAST_QUIET_MS,
            waited_ms=now_ms - PAST_WAITS_MS,
            limit=DUE_MAX,
        )
        RETROSPECT_DUE.set(await self._record.waiting())
        if not due:
            return False
        await self._until_caught_up()
        again: set[Due] = set()
        for task in tasks(due, await self._pairs(due)):
            if not await self._done(task):
                again.update(task.due)
            await self._rounds.went_round()
        await self._tell()
        await self._record.done([one for one in due if one not in again])
        if again:
            await self._record.postpone(again, now_ms)
        return True

    async def _pairs(self, due: Sequence[Due]) -> tuple[Pair, ...]:
        hours = [one.slot_ms for one in due]
        return await self._record.pairs({one.device_number for one in due}, min(hours), max(hours) + SLOT_MS)

    async def _until_caught_up(self) -> None:
        """Until everything that is on the log now is in the record, as far as it counts here. Whoever is waited
        for is said to be behind by the warden."""
        for stream, queue in FENCES:
            progress = await self._log.progress(stream, queue)
            end = progress.end
            while progress.settled < end:
                await self._rounds.went_round()
                await self._clock.sleep(LOOK_EVERY_S / 10)
                progress = await self._log.progress(stream, queue)

    async def _done(self, task: Task) -> bool:
        """Whether this window needs no more looking at. One that cannot be judged does not stop the others."""
        try:
            outcome = await self._look(task.pair, task.window)
        except (RecordUnavailable, LogUnavailable):
            raise
        except Exception:  # F02: looked at again later, loudly
            log_.critical("retrospect_failed", measure=task.pair.order.id, exc_info=True)
            outcome = "failed"
        RETROSPECT_WINDOWS.labels(outcome).inc()
        return outcome not in LOOK_AGAIN

    async def _look(self, pair: Pair, asked: Window) -> str:
        """Say what is to be said of this window; the outcome in a word."""
        order = pair.order
        tracks, window = await self._tracks(pair, asked)
        alerts = await self._record.alerts(
            order.id, window.from_ms - VISIT_SLACK_MS, window.until_ms + VISIT_SLACK_MS
        )
        said = await self._record.said(order.id, *window)
        now_ms = self._clock.now_ms()
        visits, over_by_ms = [Visit(*one) for one in alerts], now_ms - PAST_SETTLES_MS
        news = judge(order, tracks, window, visits, said.findings, said.withdrawn, over_by_ms)
        if news:
            await self._record.say([_stamped(one, now_ms) for one in news], now_ms)
        if not is_over(order, tracks, window, over_by_ms):
            return "goes_on"
        return "news" if news else "nothing_new"

    async def _tracks(self, pair: Pair, asked: Window) -> tuple[Tracks, Window]:
        """What the history has, of a window in which whatever touches it is whole; at most PAST_WIDEST_MS
        wider."""
        window, step_ms = asked, REACH_MS
        while True:
            from_ms, until_ms = window.from_ms - REACH_MS, window.until_ms + REACH_MS
            wearer = await self._record.track(pair.wearer, from_ms, until_ms)
            tracks = Tracks(wearer, await self._record.track(pair.protected, from_ms, until_ms))
            whole = extent(pair.order, tracks, window)
            wider = widened(asked, window, whole, step_ms)
            if wider == window:
                return tracks, window
            window, step_ms = wider, 2 * step_ms

    async def _tell(self) -> None:
        """What was kept and is not known to be on the log."""
        while findings := await self._record.untold(TELL_MAX):
            for finding in findings:
                await self._append(finding)
            await self._record.told([one.id for one in findings])

    async def _append(self, finding: Finding) -> None:
        partition = subjects.partition_of(finding.measure, self._partitions)
        subject = subjects.findings(partition, finding.code.value)
        appended = await self._log.append(subject, encode(finding), dedupe_id=finding.id)
        if not appended.duplicate:
            FINDINGS_SAID.labels(finding.code.value, finding.change.value).inc()


def tasks(due: Iterable[Due], pairs: Iterable[Pair]) -> list[Task]:
    """The windows of all pairs, by their hours and then by measure: quarters of an hour that are close together
    are one window, of at most WINDOW_SLOTS_MAX."""
    of_device: dict[int, list[Due]] = defaultdict(list)
    for one in due:
        of_device[one.device_number].append(one)
    found = [
        Task(window, pair, some)
        for pair in pairs
        for window, some in _windows(sorted({*of_device[pair.wearer], *of_device[pair.protected]}, key=_slot))
    ]
    return sorted(found, key=lambda task: (task.window, task.pair.order.id))


def _slot(one: Due) -> tuple[int, int]:
    return one.slot_ms, one.device_number


def _windows(due: Sequence[Due]) -> Iterable[tuple[Window, tuple[Due, ...]]]:
    together: list[Due] = []
    for one in due:
        if together and (
            one.slot_ms > together[-1].slot_ms + SLOT_MS + 2 * REACH_MS
            or one.slot_ms >= together[0].slot_ms + WINDOW_SLOTS_MAX * SLOT_MS
        ):
            yield _window(together), tuple(together)
            together = []
        together.append(one)
    if together:
        yield _window(together), tuple(together)


def _window(due: Sequence[Due]) -> Window:
    """All hours about which the late fixes may change something."""
    return Window(due[0].slot_ms - REACH_MS, due[-1].slot_ms + SLOT_MS + REACH_MS)


def widened(asked: Window, window: Window, whole: Window, step_ms: int) -> Window:
    """``window``, wider by ``step_ms`` at least on each side on which what touches it crosses its edge."""
    from_ms, until_ms = window
    if whole.from_ms < from_ms:
        from_ms = max(min(whole.from_ms, from_ms - step_ms), asked.from_ms - PAST_WIDEST_MS)
    if whole.until_ms > until_ms:
        until_ms = min(max(whole.until_ms, until_ms + step_ms), asked.until_ms + PAST_WIDEST_MS)
    return Window(from_ms, until_ms)


def _stamped(finding: Finding, t5_ms: int) -> Finding:
    """With the hour at which it was decided: a measurement, and no part of what it is."""
    return msgspec.structs.replace(finding, points=msgspec.structs.replace(finding.points, t5_ms=t5_ms))
