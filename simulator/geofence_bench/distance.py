"""What does the vectorised stage of the engine cost by itself, distance and state and nothing else?

The structure of ``geofence.engine`` by columns, with its memory and none of its rules: screening (strangers,
duplicates, stragglers), the last fix of each device, one cache line a pair with a guard band, turns in which no
pair occurs twice, so that every pair sees its fixes in order. Only a row that leaves its band is judged, by the
plain rule of ``reference``. Below SCALAR_BELOW fixes the same memory is walked one by one.

A row, float64:  ax ay az lo2   bx by bz hi2      ECEF metres (NaN: not heard yet), guard band in m2.
Side 2i is the wearer of row i, 2i + 1 its protected person; so a side is half a line, and its three coordinates
are written at once.

Isolated here on purpose: ``geofence`` may offer this stage itself one day, and then this file becomes an adapter.
"""

from __future__ import annotations

import math
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from simulator.geofence_bench.reference import ALERT, FAR, LEAVE_FACTOR, PRE, PRE_FACTOR, Event, Floats, Ints, Work
from tocsin.geodesy import ecef, ecef_one
from tocsin.model.fix import FIX_DTYPE, Fixes

SCALAR_BELOW: Final = 40  # fixes
ROW: Final = 8
LO, HI = 3, 7
UNHEARD_MS, NEVER_MS = -(2**62), 2**62
BLOCK: Final = np.dtype(("V", FIX_DTYPE.itemsize))
POINT: Final = np.dtype(("V", 24))
SLACK_M: Final = 0.1  # by so much the band is cut too wide; then the distance is taken exactly
MEAN_RADIUS_M: Final = 6_371_009.0

Rows = npt.NDArray[Any]


class DistanceEngine:
    """Fixes as the bus carries them in, events out. The number of device d is d + 1."""

    def __init__(self, work: Work) -> None:
        n = len(work.alert_m)
        self.alert_m: list[float] = work.alert_m.tolist()
        self.state = [FAR] * n
        self.rows = _cache_lines(n)
        self.flat = self.rows.reshape(-1)
        self.flat_view = cast("memoryview[float]", self.flat.data)
        self.points: Rows = np.lib.stride_tricks.as_strided(self.flat[:3].view(POINT), (2 * n,), (32,))
        self.rows[:, LO], self.rows[:, HI] = (PRE_FACTOR * work.alert_m + SLACK_M) ** 2, math.inf
        self.last = np.zeros(work.devices, FIX_DTYPE)
        self.last_blocks = self.last.view(BLOCK)
        self.heard_ms = np.full(work.devices + 1, UNHEARD_MS, np.int64)
        self.heard_ms[-1] = NEVER_MS  # the place of all strangers, of whom nothing is news
        self.heard_view = self.heard_ms.data
        self._index_devices(work)
        self._mark_pair, self._mark_device = np.zeros(n, np.int64), np.zeros(work.devices + 1, np.int64)
        self._contested = np.zeros(n, np.bool_)
        self._numbers = np.arange(0, dtype=np.int64)
        self._count = 0

    def _index_devices(self, work: Work) -> None:
        """``sides_of`` each device; for columns its first side, and where its further ones lie."""
        of_side = np.stack((work.wearer, work.protected), 1).ravel()
        self._sides = np.argsort(of_side, kind="stable")
        counts = np.bincount(of_side, minlength=work.devices)
        starts = np.cumsum(counts) - counts
        self._first_side, self._further, self._further_from = self._sides[starts], counts - 1, starts + 1
        self._is_several = counts > 1
        sides = self._sides.tolist()
        self.sides_of = [tuple(sides[a : a + c]) for a, c in zip(starts.tolist(), counts.tolist(), strict=True)]
        self._place = np.full(work.devices + 2, work.devices, np.int64)  # by number; a stranger at both ends
        self._place[1:-1] = np.arange(work.devices)

    def step(self, batch: Fixes) -> list[Event]:
        events: list[Event] = []
        if batch.size < SCALAR_BELOW:
            self._one_by_one(batch, events)
        else:
            self._by_columns(batch, events)
        self._count += batch.size
        events.sort()
        return events

    # --- one by one

    def _one_by_one(self, batch: Fixes, events: list[Event]) -> None:
        blocks = batch.view(BLOCK)
        columns = (batch[name].tolist() for name in ("device", "fix_ms", "lat_e6", "lon_e6"))
        for index, (number, fix_ms, lat_e6, lon_e6) in enumerate(zip(*columns, strict=True)):
            if not 0 < number < self.heard_ms.size or fix_ms <= self.heard_view[number - 1]:
                continue
            self.heard_view[number - 1] = fix_ms
            self.last_blocks[number - 1] = blocks[index]
            point = ecef_one(lat_e6, lon_e6)
            for side in self.sides_of[number - 1]:
                self._touch(index, side, point, events)

    def _touch(self, index: int, side: int, point: tuple[float, float, float], events: list[Event]) -> None:
        flat, slot, start = self.flat_view, 4 * side, (side >> 1) * ROW
        flat[slot], flat[slot + 1], flat[slot + 2] = point
        dx, dy, dz = (flat[start + axis] - flat[start + 4 + axis] for axis in range(3))
        square = dx * dx + dy * dy + dz * dz
        if square < flat[start + LO] or square > flat[start + HI]:
            self._judge(index, side >> 1, square, events)

    # --- by columns

    def _by_columns(self, batch: Fixes, events: list[Event]) -> None:
        fresh, places = self._screened(batch)
        points = np.empty((places.size, 3))
        points[:, 0], points[:, 1], points[:, 2] = ecef(
            *(_taken(batch[name], fresh) for name in ("lat_e6", "lon_e6"))
        )
        index, sides = self._expanded(places)
        pairs, here = sides >> 1, self._up_to(sides.size)
        self._mark_pair[pairs] = here
        beaten = np.flatnonzero(self._mark_pair.take(pairs) != here)
        if not beaten.size:
            self._turn(fresh, points, index, sides, events)
            return
        self._contested[pairs.take(beaten)] = True
        contested = self._contested.take(pairs)
        self._contested[pairs.take(beaten)] = False
        alone = np.flatnonzero(~contested)
        self._turn(fresh, points, index.take(alone), sides.take(alone), events)
        several = np.flatnonzero(contested)
        self._in_turns(fresh, points, index.take(several), sides.take(several), events)

    def _screened(self, batch: Fixes) -> tuple[Ints | None, Ints]:
        """(index of each fix that is news, None for all; places of their devices); remembers the last fixes."""
        places, times = self._place.take(batch["device"], mode="clip"), np.ascontiguousarray(batch["fix_ms"])
        blocks, fresh, here = batch.view(BLOCK), None, self._up_to(places.size)
        self._mark_device[places] = here
        if not (self._mark_device.take(places) == here).all():
            fresh = self._news_in_order(places, times)
        elif not (is_news := times > self.heard_ms.take(places)).all():
            fresh = np.flatnonzero(is_news)
        if fresh is not None:
            places, times, blocks = places.take(fresh), times.take(fresh), blocks[fresh]
        self.heard_ms[places] = times  # of several writes to one place the last stays
        self.last_blocks[places] = blocks
        return fresh, places

    def _news_in_order(self, places: Ints, times: Ints) -> Ints:
        """The same where a device speaks more than once: news is what is newer than all before it."""
        newest = dict(zip(places.tolist(), self.heard_ms.take(places).tolist(), strict=True))
        fresh = []
        for at, (place, ms) in enumerate(zip(places.tolist(), times.tolist(), strict=True)):
            if ms > newest[place]:
                newest[place] = ms
                fresh.append(at)
        return np.array(fresh, np.int64)

    def _expanded(self, places: Ints) -> tuple[Ints, Ints]:
        """(index into ``places``, side): the first side of each, then the further ones of those who have some."""
        index, sides = self._up_to(places.size), self._first_side.take(places)
        several = np.flatnonzero(self._is_several.take(places))
        if not several.size:
            return index, sides
        theirs = places.take(several)
        counts = self._further.take(theirs)
        starts = np.repeat(self._further_from.take(theirs) - (np.cumsum(counts) - counts), counts)
        more = self._sides.take(starts + np.arange(starts.size))
        return np.concatenate((index, np.repeat(several, counts))), np.concatenate((sides, more))

    def _in_turns(self, fresh: Ints | None, points: Floats, index: Ints, sides: Ints, events: list[Event]) -> None:
        """Pairs that are touched more than once: in order, and by columns as long as it is worth it."""
        order = np.argsort(index, kind="stable")
        index, sides = index.take(order), sides.take(order)
        while sides.size >= SCALAR_BELOW:
            pairs, here = sides >> 1, self._up_to(sides.size)
            self._mark_pair[pairs[::-1]] = here[::-1]
            is_first = self._mark_pair.take(pairs) == here
            self._turn(fresh, points, index[is_first], sides[is_first], events)
            index, sides = index[~is_first], sides[~is_first]
        for at, side in zip(index.tolist(), sides.tolist(), strict=True):
            x, y, z = points[at].tolist()
            self._touch(_one(fresh, at), side, (x, y, z), events)

    def _turn(self, fresh: Ints | None, points: Floats, index: Ints, sides: Ints, events: list[Event]) -> None:
        """No pair twice."""
        self.points[sides] = points.view(POINT).ravel().take(index)
        ax, ay, az, low, bx, by, bz, high = self.rows.take(sides >> 1, 0).T
        square, other = ax - bx, ay - by
        square *= square
        other *= other
        square += other
        np.subtract(az, bz, out=other)
        other *= other
        square += other
        for at in np.flatnonzero((square < low) | (square > high)).tolist():
            self._judge(_one(fresh, int(index[at])), int(sides[at]) >> 1, float(square[at]), events)

    def _up_to(self, n: int) -> Ints:
        if self._numbers.size < n:
            self._numbers = np.arange(n, dtype=np.int64)
        return self._numbers[:n]

    # --- one row that left its band

    def _judge(self, index: int, pair: int, square_m2: float, events: list[Event]) -> None:
        alert_m, before = self.alert_m[pair], self.state[pair]
        distance_m = arc_m(math.sqrt(square_m2))
        if distance_m < alert_m * (LEAVE_FACTOR if before == ALERT else 1.0):
            state = ALERT
        elif distance_m < PRE_FACTOR * alert_m * (LEAVE_FACTOR if before != FAR else 1.0):
            state = PRE
        else:
            state = FAR
        if state != before:
            self.state[pair] = state
            start = pair * ROW
            self.flat_view[start + LO], self.flat_view[start + HI] = band_m2(alert_m, state)
            events.append(Event(self._count + index, pair, state))


def _taken(column: Rows, chosen: Ints | None) -> Rows:
    return column if chosen is None else column.take(chosen)


def _one(fresh: Ints | None, at: int) -> int:
    return at if fresh is None else int(fresh[at])


def band_m2(alert_m: float, state: int) -> tuple[float, float]:
    """Between these squares nothing can change in this state."""
    enters_m, leaves_m = (
        (PRE_FACTOR * alert_m, math.inf),
        (alert_m, PRE_FACTOR * alert_m * LEAVE_FACTOR),
        (-math.inf, alert_m * LEAVE_FACTOR),
    )[state]
    return (enters_m + SLACK_M) ** 2 if enters_m > 0 else -1.0, (leaves_m - SLACK_M) ** 2


def arc_m(chord_m: float) -> float:
    """Along the ground: 8 mm more than the chord at 20 km, to some hundredths of a millimetre."""
    return chord_m * (1.0 + chord_m * chord_m / (24.0 * MEAN_RADIUS_M * MEAN_RADIUS_M))


def _cache_lines(n: int) -> Floats:
    memory = np.full((n + 1) * ROW, np.nan)
    offset = (-memory.ctypes.data % 64) // 8
    return memory[offset : offset + n * ROW].reshape(n, ROW)
