"""What is remembered of each unit to tell, over time, whether it can be believed? F10, F15, F20, F37; ADR 29.

Columns beside those of ``geofence.devices``, one place a device. A fix writes what it shows of its own unit:

    received                     it came in time, and was believed or poor: one more of those expected
    repeats, exact_ms            how often running the place was repeated on the move; since when place and
                                 accuracy have been the same to the last digit (0: they are not)
    skew_ms, skew_run            how far the clock was off, and how often running: above 0 off, below 0 right

and what only the hour shows is written by ``geofence.quality_hour``:

    received_before, expected, counted_ms     of the parts of the window; until when was counted what is expected
    anchor, away_ms, still_ms                 from where she has not moved, the fix that said otherwise, how long

``found`` (n, 4) is what is the matter with each, in the order of CODES, 0 for nothing. ``hear_one``, and for many
``hear_many`` and what follows it, write the same, bit for bit (tests/properties/test_geofence_quality.py). Most
fixes move, are in time and find nothing open: of those only the number is taken.

Milliseconds, metres. ``due_ms``: when somebody must look (``geofence.quality_findings``).
"""

from __future__ import annotations

from math import inf
from typing import Final, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from geofence.assumptions import (
    FROZEN_AT_REST_MS,
    FROZEN_REPEATS,
    MOVING_CMS,
    SKEW_FIXES,
    SKEW_MS,
    SKEW_STEADY_MS,
    YIELD_PARTS,
)
from geofence.devices import ACCURACY, AT, Mask, Verdict, X
from geofence.motion import Mover, Seen
from tocsin.geodesy import FloatArray, IntArray
from tocsin.model.finding import Code
from tocsin.model.fix import ABSENT, Source

CODES: Final = (Code.FROZEN_FIX, Code.LOW_YIELD, Code.V_NOT_CARRIED, Code.CLOCK_SKEW)
FROZEN, LOW, NOT_CARRIED, SKEWED = range(4)
MOVING, AT_REST = 1, 2  # of FROZEN: how it was seen
GNSS: Final = int(Source.GNSS)
SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60_000
IN_TIME: Final = frozenset({Verdict.ACCEPTED, Verdict.POOR})

Column = npt.NDArray[np.generic]


class Shown(NamedTuple):
    """What a message says besides where and when, of one or of many."""

    skew_ms: int
    speed_cms: int
    source: int
    is_told: bool


class ShownByMany(NamedTuple):
    """``Shown`` by columns."""

    skew_ms: IntArray
    speed_cms: IntArray
    source: IntArray
    is_told: npt.NDArray[np.bool_]


def skew_of(sent_ms: int, fix_ms: int, t3_ms: int) -> int:
    """How far its clock is ahead of reception, as far as a message shows it. A fix may be older than its message,
    never newer: without the hour of sending only a clock ahead is seen."""
    return max(fix_ms - t3_ms, 0) if sent_ms == ABSENT else sent_ms - t3_ms


def skews_of(sent_ms: IntArray, fix_ms: IntArray, t3_ms: IntArray) -> IntArray:
    skews: IntArray = np.where(sent_ms == ABSENT, np.maximum(fix_ms - t3_ms, 0), sent_ms - t3_ms)
    return skews


OfFixes = tuple[IntArray, IntArray, IntArray, FloatArray, npt.NDArray[np.uint8], npt.NDArray[np.bool_]]
"""Of ``QualityTable``: skew_ms, skew_run, repeats, exact_ms, found, busy."""


def hear_more(columns: OfFixes, place: int, before: Mover, fix: Seen, shown: Shown, believed: bool) -> bool:
    """What a fix that has more to tell than that it came changes; whether anything is now found, or no more. Of
    one that was not ``believed`` what it says of the place counts for nothing. In a form that can be compiled
    (``geofence.ordinary``)."""
    skews_ms, runs, repeats, exacts_ms, found, busy = columns
    was_frozen, was_skewed = int(found[place, FROZEN]), int(found[place, SKEWED])
    run, skew_ms, skewed = _clocked(int(runs[place]), int(skews_ms[place]), was_skewed, shown.skew_ms)
    times, exact_ms, frozen = int(repeats[place]), float(exacts_ms[place]), was_frozen
    if believed:
        times, exact_ms, frozen = _placed(times, exact_ms, frozen, before, fix, shown)
    runs[place], skews_ms[place], repeats[place], exacts_ms[place] = run, skew_ms, times, exact_ms
    found[place, FROZEN], found[place, SKEWED] = frozen, skewed
    busy[place] = run != 0 or times > 0 or exact_ms > 0 or frozen > 0 or skewed > 0
    return frozen != was_frozen or skewed != was_skewed


def _clocked(run: int, last_ms: int, found: int, skew_ms: int) -> tuple[int, int, int]:
    """How often running, by how much, and whether that is the matter with it, of a clock."""
    if abs(skew_ms) > SKEW_MS:
        is_steady = run > 0 and abs(skew_ms - last_ms) <= SKEW_STEADY_MS
        run, last_ms = min(run + 1, SKEW_FIXES) if is_steady else 1, skew_ms
    elif found:
        run = min(run, 0) - 1
    else:
        run, last_ms = 0, 0
    if run <= -SKEW_FIXES:
        return 0, 0, 0
    return run, last_ms, 1 if run >= SKEW_FIXES else found


def _placed(
    times: int, exact_ms: float, found: int, before: Mover, fix: Seen, shown: Shown
) -> tuple[int, float, int]:
    """How often running on the move, since when exactly, and whether that is the matter, of a place repeated."""
    if fix.place != before.place:
        return 0, 0.0, 0
    if shown.speed_cms >= MOVING_CMS:
        times = min(times + 1, FROZEN_REPEATS)
    elif shown.speed_cms != ABSENT:
        times = 0
    is_exact = fix.accuracy_m == before.accuracy_m and shown.source == GNSS and shown.is_told
    if not is_exact:
        exact_ms = 0.0
    elif exact_ms == 0.0:
        exact_ms = before.at_ms
    if times >= FROZEN_REPEATS:
        found = MOVING
    elif is_exact and found == 0:
        found = AT_REST if fix.at_ms - exact_ms >= FROZEN_AT_REST_MS else 0
    return times, exact_ms, found


class QualityTable:
    """The columns of ``n`` devices. ``hour_ms``: the whole minute up to which the hour has been judged; ``part``:
    which part of the window that was."""

    KEPT: Final = (
        "skew_ms", "skew_run", "repeats", "exact_ms", "received", "received_before", "expected", "counted_ms",
        "anchor", "away_ms", "still_ms", "found",
    )  # fmt: skip

    def __init__(self, n: int) -> None:
        self.hour_ms = self.part = 0
        self.due_ms = inf
        self.skew_ms, self.skew_run = np.zeros(n, np.int64), np.zeros(n, np.int64)
        self.repeats, self.exact_ms = np.zeros(n, np.int64), np.zeros(n)
        self.received = np.zeros(n, np.int64)
        self.received_before = np.zeros((n, YIELD_PARTS), np.int64)
        self.expected, self.counted_ms = np.zeros((n, YIELD_PARTS + 1)), np.zeros(n)
        self.anchor, self.away_ms, self.still_ms = np.zeros((n, 4)), np.zeros(n), np.zeros(n)
        self.found = np.zeros((n, len(CODES)), np.uint8)
        self.busy = np.zeros(n, np.bool_)
        """Whether the next fix has something to end or to go on with."""
        self.of_fixes: OfFixes = (
            self.skew_ms, self.skew_run, self.repeats, self.exact_ms, self.found, self.busy
        )  # fmt: skip
        self.received_of, self.busy_of = self.received.data, self.busy.data
        self.counted_of, self.expected_of = (
            cast("memoryview[float]", one.data) for one in (self.counted_ms, self.expected)
        )

    # --- memory

    def carry(self, source: QualityTable, here: IntArray, there: IntArray) -> None:
        """Remember what ``source`` knows of devices: its places ``there`` are ``here`` now. Somebody looks at
        once: what is the matter with a unit is news to a new measure."""
        self.hour_ms, self.part = source.hour_ms, source.part
        self.due_ms = inf if source.due_ms == inf else 0.0
        for name in self.KEPT:
            getattr(self, name)[here] = getattr(source, name)[there]
        self._index(here)

    def pack(self) -> dict[str, bytes]:
        return {name: getattr(self, name).tobytes() for name in self.KEPT}

    def unpack(self, kept: dict[str, bytes], *, hour_ms: int, part: int, due_ms: float) -> None:
        """Raises ValueError when the columns are not those of as many devices."""
        if kept.keys() != set(self.KEPT):
            raise ValueError("other columns of quality than this version's")
        self.hour_ms, self.part, self.due_ms = hour_ms, part, due_ms
        for name in self.KEPT:
            column: Column = getattr(self, name)
            column[:] = np.frombuffer(kept[name], column.dtype).reshape(column.shape)
        self._index(np.arange(self.busy.size))

    def _index(self, at: IntArray) -> None:
        found = self.found.take(at, 0)
        self.busy[at] = (
            (self.skew_run.take(at) != 0) | (self.repeats.take(at) > 0) | (self.exact_ms.take(at) > 0)
            | (found[:, FROZEN] > 0) | (found[:, SKEWED] > 0)
        )  # fmt: skip

    def look_from(self, now_ms: float, step_ms: int) -> None:
        """Somebody must look on the next whole minute, or second."""
        self.due_ms = min(self.due_ms, float(step_ms * (int(now_ms) // step_ms + 1)))

    # --- one fix

    def hear_one(self, place: int, verdict: Verdict, before: Mover, fix: Seen, shown: Shown, now_ms: int) -> None:
        """A message with a place; the device stood as ``before``."""
        self.look_from(now_ms, MINUTE_MS)
        if verdict in IN_TIME:
            self.received_of[place] += 1
        repeats = verdict is Verdict.ACCEPTED and fix.place == before.place
        if not (repeats or abs(shown.skew_ms) > SKEW_MS or self.busy_of[place]):
            return
        believed = verdict is Verdict.ACCEPTED
        if hear_more(self.of_fixes, place, before, fix, shown, believed):
            self.look_from(now_ms, SECOND_MS)

    # --- many

    def hear_many(self, places: IntArray, odd: Mask, now_ms: FloatArray) -> IntArray:
        """Fixes in time, that were believed or poor; no device occurs twice. Which of them have more to tell than
        that they came: these are ``odd``, or of a unit with something open."""
        if places.size:
            self.look_from(float(now_ms.min()), MINUTE_MS)
        self.received[places] += 1
        return np.flatnonzero(odd | self.busy.take(places))

    def hear_believed(
        self, some: IntArray, movers: FloatArray, points: FloatArray, at_ms: FloatArray, accuracy_m: FloatArray,
        shown: ShownByMany, now_ms: FloatArray,
    ) -> None:  # fmt: skip
        """Those that have more to tell, of devices that stood as ``movers`` (19, n)."""
        was = self.found.take(some, 0)
        self._clocks(some, shown.skew_ms)
        self._places(some, movers, points, at_ms, accuracy_m, shown)
        self._look_again(some, was, now_ms)

    def hear_poor(self, some: IntArray, skew_ms: IntArray, now_ms: FloatArray) -> None:
        """The same of poor ones: what they say of the place counts for nothing."""
        was = self.found.take(some, 0)
        self._clocks(some, skew_ms)
        self._look_again(some, was, now_ms)

    def _look_again(self, some: IntArray, was: npt.NDArray[np.uint8], now_ms: FloatArray) -> None:
        self._index(some)
        changed = (self.found.take(some, 0) != was).any(axis=1)
        if changed.any():
            self.look_from(float(now_ms[changed].min()), SECOND_MS)

    def _clocks(self, some: IntArray, skew_ms: IntArray) -> None:
        run, last_ms = self.skew_run.take(some), self.skew_ms.take(some)
        found = self.found[some, SKEWED] > 0
        off = np.abs(skew_ms) > SKEW_MS
        steady = (run > 0) & (np.abs(skew_ms - last_ms) <= SKEW_STEADY_MS)
        up = np.where(steady, np.minimum(run + 1, SKEW_FIXES), 1)
        run = np.where(off, up, np.where(found, np.minimum(run, 0) - 1, 0))
        right = run <= -SKEW_FIXES
        found = (found | (run >= SKEW_FIXES)) & ~right
        self.skew_ms[some] = np.where(off, skew_ms, np.where(found, last_ms, 0))
        self.skew_run[some], self.found[some, SKEWED] = np.where(right, 0, run), found

    def _places(
        self, some: IntArray, movers: FloatArray, points: FloatArray, at_ms: FloatArray, accuracy_m: FloatArray,
        shown: ShownByMany,
    ) -> None:  # fmt: skip
        same = (movers[X:AT] == points).all(axis=0)
        moves, rests = shown.speed_cms >= MOVING_CMS, (shown.speed_cms < MOVING_CMS) & (shown.speed_cms != ABSENT)
        repeats = np.minimum(self.repeats.take(some) + moves, FROZEN_REPEATS)
        repeats = np.where(~same | rests, 0, repeats)
        exact = same & (accuracy_m == movers[ACCURACY]) & (shown.source == Source.GNSS) & shown.is_told
        since_ms = self.exact_ms.take(some)
        since_ms = np.where(exact, np.where(since_ms > 0, since_ms, movers[AT]), 0.0)
        found = self.found[some, FROZEN]
        for_hours = exact & (found == 0) & (at_ms - since_ms >= FROZEN_AT_REST_MS)
        found = np.where(repeats >= FROZEN_REPEATS, MOVING, np.where(for_hours, AT_REST, found))
        self.repeats[some], self.exact_ms[some] = repeats, since_ms
        self.found[some, FROZEN] = np.where(same, found, 0)
