"""What is remembered of each device, and is a new fix of it believed?

The memory that every fix touches is one row a device, float64 (``geofence.motion.Mover`` names them):

    x y z   at_ms accuracy_m heard_ms interval_s received_ms     the last believed fix, ECEF metres
    bx by bz before_ms   vx vy vz speed                          the one before, and the velocity from it
    told_ms way_m overdue_ms                                     when it was given its interval; derived

Beside it, for the few that jumped, the other place where they may be. A fix that nobody could have reached in
time is a second hypothesis and no more; the next fix that fits it better than the present place is believed at
once, and so is the first one back.

``hear`` is the rule for one fix; ``accept`` writes, bit for bit, what ``hear`` would for the many that need no
second thought: ``plain`` says which these are. No device may occur twice in one call of ``accept``.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from math import inf
from struct import Struct
from typing import Final, cast

import numpy as np
import numpy.typing as npt

from geofence.assumptions import (
    FAR_S,
    FORGET_MS,
    IMPOSSIBLE_M_S,
    LATE_MS,
    POOR_DM,
    R95,
    UNTOLD_ACCURACY_M,
)
from geofence.motion import (
    UNHEARD_MS,
    Mover,
    Seen,
    Vector,
    is_reachable,
    movement,
    movements,
    overdue_from,
    overdue_of_many,
)
from tocsin.geodesy import FloatArray, IntArray

WIDTH: Final = 19
X, AT, ACCURACY, HEARD, INTERVAL, RECEIVED, BEFORE, BEFORE_MS, V, SPEED, TOLD, WAY, OVERDUE = (
    0, 3, 4, 5, 6, 7, 8, 11, 12, 15, 16, 17, 18,
)  # fmt: skip
DENSE_FACTOR, DENSE_FREE = 64, 4096  # device numbers are given in sequence: a table of 8 bytes each, 512 a device
AT_REST: Final = (0.0, 0.0, 0.0, 0.0)  # velocity and speed
NOWHERE: Final = (0.0, 0.0, 0.0, UNHEARD_MS)
NEWLY: Final = (
    *NOWHERE, 0.0, UNHEARD_MS, float(FAR_S), 0.0, *NOWHERE, *AT_REST, UNHEARD_MS, 0.0, UNHEARD_MS,
)  # fmt: skip
_ROW: Final = Struct(f"{WIDTH}d")
_BLOCK: Final = np.dtype(("V", _ROW.size))  # a row as one thing: it is copied at once
SURE_M: Final = 0.01  # by so much the vectorised test of a jump is stricter: what is close goes to the exact one

Mask = npt.NDArray[np.bool_]


class Verdict(IntEnum):
    """What became of one fix."""

    ACCEPTED = 0
    DUPLICATE = 1
    OUT_OF_ORDER = 2
    LATE = 3
    POOR = 4
    IMPLAUSIBLE = 5
    PRESENCE = 6


class DeviceTable:
    """The devices of one partition; ``place`` is the index of one among them, in the order of ``numbers``."""

    def __init__(self, numbers: IntArray) -> None:
        self.numbers = numbers
        self.rows = np.tile(np.array(NEWLY), (numbers.size, 1))
        self._bytes = self.rows.reshape(-1).data.cast("B")
        self._blocks = self.rows.reshape(-1).view(_BLOCK)
        self.other: dict[int, Seen] = {}
        self.doubted = np.zeros(numbers.size, np.bool_)
        """Whether there is another hypothesis."""
        self.missed = np.zeros(numbers.size, np.bool_)
        """Whose silence has been said."""
        self.missed_of = self.missed.data
        self._numbers_of_rows = cast("memoryview[float]", self.rows.data)
        self.place_of = {number: place for place, number in enumerate(numbers.tolist())}
        self._dense = _place_by_number(numbers)

    def __len__(self) -> int:
        return int(self.numbers.size)

    def places(self, numbers: IntArray) -> IntArray:
        """Device numbers -> places, -1 for a stranger."""
        if self._dense is not None:
            return self._dense.take(numbers, mode="clip")
        places = np.searchsorted(self.numbers, numbers)
        places[places == self.numbers.size] = 0
        places[self.numbers.take(places) != numbers] = -1
        return places

    def mover(self, place: int) -> Mover:
        return Mover._make(_ROW.unpack_from(self._bytes, place * _ROW.size))

    def is_known(self, place: int) -> bool:
        return self._numbers_of_rows[place, AT] > UNHEARD_MS

    def write(self, place: int, mover: Mover) -> None:
        _ROW.pack_into(self._bytes, place * _ROW.size, *mover)

    def tell(self, place: int, interval_s: int, now_ms: int) -> bool:
        """Whether the device is told something new. Its time to answer begins anew, unless it owes an answer
        already: an order makes nobody speak."""
        mover = self.mover(place)
        if mover.interval_s == interval_s:
            return False
        told_ms = float(now_ms) if now_ms <= mover.overdue_ms else mover.told_ms
        self._set_interval(place, mover, interval_s, told_ms)
        return True

    def set_interval(self, place: int, interval_s: int) -> None:
        """The device reports at an interval of its own."""
        mover = self.mover(place)
        self._set_interval(place, mover, interval_s, mover.told_ms)

    def _set_interval(self, place: int, mover: Mover, interval_s: int, told_ms: float) -> None:
        overdue_ms = overdue_from(mover.at_ms, told_ms, interval_s)
        self.write(place, mover._replace(interval_s=float(interval_s), told_ms=told_ms, overdue_ms=overdue_ms))

    def carry(self, source: DeviceTable) -> tuple[IntArray, IntArray]:
        """Remember what ``source`` knows of the devices that are here too: their places here, and there."""
        there = source.places(self.numbers)
        here = np.flatnonzero(there >= 0)
        self.rows[here] = source.rows[there[here]]
        for place, old in zip(here.tolist(), there[here].tolist(), strict=True):
            if old in source.other:
                self._doubt(place, source.other[old])
        return here, there[here]

    def remember_others(self, others: Mapping[int, Seen]) -> None:
        for place, other in others.items():
            self._doubt(place, other)

    # --- one fix

    def hear(
        self, place: int, mover: Mover, seen: Seen, now_ms: float, *, told_dm: int, received_ms: float
    ) -> Verdict:
        """Judge one fix of a device that stands as ``mover``, and remember it. ``told_dm``: its accuracy."""
        heard_ms = max(mover.heard_ms, now_ms)
        if seen.at_ms <= mover.at_ms:
            verdict = Verdict.DUPLICATE if seen.at_ms == mover.at_ms else Verdict.OUT_OF_ORDER
        elif received_ms - seen.at_ms > LATE_MS:  # by its own reception: a clock ahead makes nobody late
            verdict = Verdict.LATE
        elif told_dm > POOR_DM:
            verdict = Verdict.POOR
        elif (believed := self._believed(place, mover, seen)) is None:
            verdict = Verdict.IMPLAUSIBLE
        else:
            first = (*seen.place, seen.at_ms, seen.accuracy_m, heard_ms, mover.interval_s, now_ms)
            *second, way_m = believed
            overdue_ms = overdue_from(seen.at_ms, mover.told_ms, mover.interval_s)
            self.write(place, Mover._make((*first, *second, mover.told_ms, way_m, overdue_ms)))
            return Verdict.ACCEPTED
        self.write(place, mover._replace(heard_ms=heard_ms))
        return verdict

    def _believed(self, place: int, mover: Mover, seen: Seen) -> tuple[float, ...] | None:
        """The fix before, velocity, speed and way behind a fix that is believed; None if it is not."""
        if not mover.is_known:
            return (*seen.place, UNHEARD_MS, *AT_REST, 0.0)
        here_m2 = _square(seen.place, mover.place)
        there_m2 = self._from_other_m2(place, seen) if place in self.other else inf
        if here_m2 <= there_m2 and is_reachable(mover.place, mover.at_ms, mover.accuracy_m, seen):
            return continued(mover, seen)
        if there_m2 < inf:  # of the way there nothing is known
            self._doubt(place, Seen(mover.at_ms, mover.place, mover.accuracy_m))
            return (*seen.place, seen.at_ms, *AT_REST, 0.0)
        self._doubt(place, seen)
        return None

    def _from_other_m2(self, place: int, seen: Seen) -> float:
        """How far from the other hypothesis, if it can be reached from there and is not forgotten; else inf."""
        other = self.other[place]
        if seen.at_ms - other.at_ms > FORGET_MS:
            del self.other[place]
            self.doubted[place] = False
            return inf
        if seen.at_ms <= other.at_ms or not is_reachable(other.place, other.at_ms, other.accuracy_m, seen):
            return inf
        return _square(seen.place, other.place)

    def _doubt(self, place: int, other: Seen) -> None:
        self.other[place] = other
        self.doubted[place] = True

    # --- many

    def plain(
        self, movers: FloatArray, doubted: Mask, points: FloatArray, at_ms: FloatArray, accuracy_m: FloatArray
    ) -> Mask:
        """Which fixes continue a known movement beyond any question. ``movers`` (19, n), ``points`` (3, n)."""
        dt_ms = at_ms - movers[AT]
        reach_m = accuracy_m + movers[ACCURACY]
        reach_m *= R95
        reach_m += dt_ms * (IMPOSSIBLE_M_S / 1_000.0)
        reach_m -= SURE_M
        ways = points - movers[X:AT]
        ways *= ways
        ways[0] += ways[1]
        ways[0] += ways[2]
        reach_m *= reach_m
        near: Mask = ways[0] <= reach_m
        near &= dt_ms > 0.0
        near &= movers[BEFORE_MS] > UNHEARD_MS
        near &= ~doubted
        return near

    def several(self, places: IntArray) -> FloatArray:
        """The rows of these devices, by columns (19, n)."""
        return np.ascontiguousarray(self.rows.take(places, 0).T)

    def accept(
        self, places: IntArray, movers: FloatArray, points: FloatArray, at_ms: FloatArray, accuracy_m: FloatArray,
        now_ms: FloatArray,
    ) -> FloatArray:  # fmt: skip
        """Remember fixes that are ``plain`` of devices that stood as ``movers``; the rows as they are now, both by
        columns (19, n)."""
        columns = np.empty((WIDTH, places.size))
        columns[X:AT] = points
        columns[AT], columns[ACCURACY] = at_ms, accuracy_m
        np.maximum(movers[HEARD], now_ms, out=columns[HEARD])
        columns[INTERVAL], columns[RECEIVED], columns[TOLD] = movers[INTERVAL], now_ms, movers[TOLD]
        columns[BEFORE:V] = movers[X:ACCURACY]
        columns[V:SPEED], columns[SPEED], columns[WAY] = movements(
            points - movers[X:AT], at_ms - movers[AT], accuracy_m, movers[ACCURACY]
        )
        columns[OVERDUE] = overdue_of_many(at_ms, movers[TOLD], movers[INTERVAL])
        self._blocks[places] = np.ascontiguousarray(columns.T).reshape(-1).view(_BLOCK)
        return columns


def mover_at(rows: FloatArray, place: int) -> Mover:
    """``DeviceTable.mover``, for a loop over the rows themselves."""
    row = rows[place]
    return Mover(
        row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8], row[9], row[10], row[11], row[12],
        row[13], row[14], row[15], row[16], row[17], row[18],
    )  # fmt: skip


Continued = tuple[float, float, float, float, float, float, float, float, float]


def continued(mover: Mover, seen: Seen) -> Continued:
    """The fix before, velocity, speed and way behind a fix that goes on from where the device was."""
    x, y, z = seen.place
    way = (x - mover.x, y - mover.y, z - mover.z)
    (vx, vy, vz), speed_m_s, way_m = movement(way, seen.at_ms - mover.at_ms, seen.accuracy_m, mover.accuracy_m)
    return mover.x, mover.y, mover.z, mover.at_ms, vx, vy, vz, speed_m_s, way_m


def accuracy_of_m(told_dm: int) -> float:
    """The radius that counts: none told, or a radius of nothing, is no precision but silence."""
    return told_dm / 10.0 if told_dm > 0 else UNTOLD_ACCURACY_M


def told_m(accuracy_m: float) -> float | None:
    """What the unit said of its last fix; None for nothing."""
    return None if accuracy_m == UNTOLD_ACCURACY_M else accuracy_m


def accuracies_m(told_dm: IntArray) -> FloatArray:
    return np.where(told_dm > 0, told_dm / 10.0, UNTOLD_ACCURACY_M)


def _square(a: Vector, b: Vector) -> float:
    dx, dy, dz = a[0] - b[0], a[1] - b[1], a[2] - b[2]
    return dx * dx + dy * dy + dz * dz


def _place_by_number(numbers: IntArray) -> IntArray | None:
    """A place for every number up to the largest, if they lie close enough together to be worth it; a stranger's
    -1 at both ends, where whatever lies outside is clipped to."""
    top = int(numbers.max(initial=0))
    if int(numbers.min(initial=1)) < 1 or top >= DENSE_FACTOR * numbers.size + DENSE_FREE:
        return None
    places = np.full(top + 2, -1, np.int64)
    places[numbers] = np.arange(numbers.size)
    return places
