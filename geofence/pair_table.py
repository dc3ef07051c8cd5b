"""Which pairs does this partition decide about, and what is remembered of each?

Row i is the measure ``orders[i]`` (sorted by id); side 2i is its wearer, side 2i + 1 its protected person. The
memory that every fix touches is one cache line a pair, float64:

    ax ay az   bx by bz   lo2 hi2        ECEF metres of both sides (NaN: not heard yet), guard band in m2

While the squared distance lies in [lo2, hi2] and the hour is before ``due_ms``, no rule can change anything for
this pair, so no rule is asked. The band is cut generously: at its edge the rules are
asked once too often, never once too seldom. Everything else lies in side arrays:

    last     FIX_DTYPE[2n]   the fix that stands in the row; its t3 and so on go into findings
    zone, phase              uint8[n]
    leaving  int64[n, 2, 2]  count and first hour of the exit evidence, for the alert and the pre-alert ring
    entries                  the open entry finding of each ring, id and hour

The table belongs to one worker, which changes it in place (``geofence.engine``). Times are milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import cast

import msgspec
import numpy as np
import numpy.typing as npt

from geofence.separation import EXIT_MARGIN_DM, Leaving, Standing, threshold_m
from tocsin.geodesy import IntArray, ecef
from tocsin.limits import PREALERT_FACTOR
from tocsin.model.device import Device
from tocsin.model.fix import FIX_DTYPE, Fixes
from tocsin.model.order import Order
from tocsin.model.zone import Zone
from tocsin.subjects import partition_of

ROW = 8
LO, HI = 6, 7
FIX_WORDS = FIX_DTYPE.itemsize // 8
FIX_MS_WORD = 3
FIX_BLOCK = np.dtype(("V", FIX_DTYPE.itemsize))  # copied without a look at its fields
UNHEARD_MS = -(2**62)
"""fix_ms of a side that has not been heard."""
NEVER_MS = 2**62
DENSE_FACTOR, DENSE_FREE = 64, 4096  # device numbers are given in sequence: a table of 8 bytes each, 512 a device
BAND_SLACK_M = 0.1  # distances are compared in decimetres: the band gives way by one

assert FIX_DTYPE.fields is not None
assert FIX_DTYPE.fields["fix_ms"][1] == 8 * FIX_MS_WORD


class Phase(IntEnum):
    """Whether the measure is in force, as far as the pair has been judged."""

    WAITING = 0
    IN_FORCE = 1
    ENDED = 2


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """The entry finding that an exit will name."""

    id: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """What is in force for one partition: sorted orders, the wearer and protected person of each.

    ``unfit``: measures that cannot be judged, because a device is unknown or on both sides or the distance is
    not positive. They are unprotected, and somebody must be told.
    """

    orders: tuple[Order, ...] = ()
    sides: tuple[Device, ...] = ()
    unfit: tuple[str, ...] = ()


def roster_of(
    orders: Iterable[Order], devices: Mapping[str, Device], *, partition: int, partitions: int
) -> Roster:
    """The part of ``orders`` that belongs to this partition; ``devices`` by id."""
    mine = sorted((one for one in orders if partition_of(one.id, partitions) == partition), key=lambda one: one.id)
    fit = [one for one in mine if _can_be_judged(one, devices)]
    return Roster(
        orders=tuple(fit),
        sides=tuple(_bare(devices[name]) for one in fit for name in (one.wearer, one.protected)),
        unfit=tuple(one.id for one in mine if not _can_be_judged(one, devices)),
    )


def _can_be_judged(order: Order, devices: Mapping[str, Device]) -> bool:
    known = order.wearer in devices and order.protected in devices
    return known and order.wearer != order.protected and order.alert_distance_m > 0


def _bare(device: Device) -> Device:
    """A device without what the geofence does not need, so that it neither rebuilds for it nor keeps it."""
    return Device(id=device.id, number=device.number, kind=device.kind, reports_every_s=device.reports_every_s)


class PairTable:
    """The state of one partition. See the module for its memory.

    ``now_ms`` is the latest hour that any input has carried.
    """

    def __init__(self, roster: Roster) -> None:
        n = len(roster.orders)
        self.roster = roster
        self.now_ms = 0
        self.rows = _cache_lines(n)
        self.flat = self.rows.reshape(-1)
        self.flat_view = cast("memoryview[float]", self.flat.data)
        self.last = np.zeros(2 * n, FIX_DTYPE)
        self.last["fix_ms"] = UNHEARD_MS
        self.last_words = self.last.view(np.int64).reshape(-1, FIX_WORDS)
        self.last_blocks = self.last.view(FIX_BLOCK)
        self.words_view = self.last_words.reshape(-1).data
        self.zone = np.zeros(n, np.uint8)
        self.phase = np.zeros(n, np.uint8)
        self.leaving = np.zeros((n, 2, 2), np.int64)
        self.left_ms = np.full((n, 2), UNHEARD_MS, np.int64)
        self.entries: list[dict[Zone, Opened]] = [{} for _ in range(n)]
        self.unprotected: set[int] = set()
        self.due_ms = np.array([order.valid_from_ms for order in roster.orders], np.int64)
        self.due_view = self.due_ms.data
        self._index_devices()

    def __len__(self) -> int:
        return len(self.roster.orders)

    def _index_devices(self) -> None:
        of_side = np.array([device.number for device in self.roster.sides], np.int64)
        self.numbers, device_of_side = np.unique(of_side, return_inverse=True)
        self.sides_sorted = np.argsort(device_of_side, kind="stable")
        self.side_counts = np.bincount(device_of_side, minlength=self.numbers.size).astype(np.int64)
        self.side_starts = np.cumsum(self.side_counts) - self.side_counts
        self.first_side = self.sides_sorted[self.side_starts]
        self.place_by_number = _place_by_number(self.numbers)
        starts, counts, sides = (a.tolist() for a in (self.side_starts, self.side_counts, self.sides_sorted))
        self.sides_of: dict[int, tuple[int, ...]] = {
            number: tuple(sides[start : start + count])
            for number, start, count in zip(self.numbers.tolist(), starts, counts, strict=True)
        }

    # --- devices -----------------------------------------------------------------------------------------

    def places_of(self, numbers: IntArray) -> IntArray:
        """Device numbers -> their places among the devices of this table, -1 for a stranger."""
        if self.place_by_number is not None:
            inside = (numbers >= 0) & (numbers < self.place_by_number.size)
            return np.where(inside, self.place_by_number.take(numbers, mode="clip"), -1)
        places = np.searchsorted(self.numbers, numbers)
        places[places == self.numbers.size] = 0
        places[self.numbers.take(places) != numbers] = -1
        return places

    def heard_ms(self, places: IntArray) -> IntArray:
        """The fix_ms of the last fix applied of each place (UNHEARD_MS for none)."""
        heard: IntArray = self.last_words[self.first_side.take(places), FIX_MS_WORD]
        return heard

    def expand(self, places: IntArray) -> tuple[IntArray, IntArray]:
        """Places -> (index into ``places``, side), one for each pair of each, in order."""
        counts = self.side_counts.take(places)
        index = np.repeat(np.arange(places.size), counts)
        starts = np.repeat(self.side_starts.take(places) - (np.cumsum(counts) - counts), counts)
        return index, self.sides_sorted.take(starts + np.arange(index.size))

    # --- rows --------------------------------------------------------------------------------------------

    def standing(self, row: int) -> Standing:
        (alert, prealert) = self.leaving[row].tolist()
        return Standing(Zone(int(self.zone[row])), Leaving(*alert), Leaving(*prealert))

    def settle(self, row: int, standing: Standing, phase: Phase) -> None:
        """Write what a row has become, and with it until when and within which distance nothing can change."""
        self.zone[row] = standing.zone
        self.phase[row] = phase
        self.leaving[row, 0], self.leaving[row, 1] = standing.alert, standing.prealert
        self.refresh(row)

    def refresh(self, row: int) -> None:
        """Due hour and band of a row from its state."""
        order, standing, phase = self.roster.orders[row], self.standing(row), Phase(int(self.phase[row]))
        self.due_ms[row] = _due_ms(order, standing, phase)
        self.rows[row, LO], self.rows[row, HI] = _band_m2(order.alert_distance_m, standing, phase)

    def points(self, row: int) -> tuple[tuple[float, float, float], tuple[float, float, float]] | None:
        """Where both parties are, or None while one has not been heard."""
        ax, ay, az, bx, by, bz = self.rows[row, :LO].tolist()
        if math.isnan(ax) or math.isnan(bx):
            return None
        return (ax, ay, az), (bx, by, bz)

    # --- rebuilding --------------------------------------------------------------------------------------

    def place_all(self) -> None:
        """Coordinates, due hours and bands of all rows from ``last`` and the state."""
        heard = np.flatnonzero(self.last["fix_ms"] != UNHEARD_MS)
        slots = (heard >> 1) * ROW + (heard & 1) * 3
        for axis, values in enumerate(ecef(self.last["lat_e6"].take(heard), self.last["lon_e6"].take(heard))):
            self.flat[slots + axis] = values
        for row in range(len(self)):
            self.refresh(row)

    def rebuilt(self, roster: Roster) -> tuple[PairTable, tuple[int, ...]]:
        """A table for ``roster`` that remembers what continues, and the rows that must be judged at once.

        A pair continues with its measure, and keeps its zone and open entries; if its distance or a device
        changed it is judged at once. Any device that was heard here keeps its last fix.
        """
        table = PairTable(roster)
        table.now_ms = self.now_ms
        old_row = {order.id: row for row, order in enumerate(self.roster.orders)}
        judge: list[int] = []
        for row, order in enumerate(roster.orders):
            table.seed(self, row)
            old = old_row.get(order.id)
            if old is not None:
                table.carry(self, old, row)
                if self._geometry(old) != table._geometry(row):
                    judge.append(row)
        table.place_all()
        return table, tuple(judge)

    def _geometry(self, row: int) -> tuple[int, tuple[Device, ...]]:
        """What the zone of a row follows from, besides the fixes."""
        return self.roster.orders[row].alert_distance_m, self.roster.sides[2 * row : 2 * row + 2]

    def carry(self, source: PairTable, old: int, row: int) -> None:
        """Take over where one row of ``source`` stands."""
        if old in source.unprotected:
            self.unprotected.add(row)
        if source.phase[old] == Phase.IN_FORCE and self.now_ms < self.roster.orders[row].valid_from_ms:
            return  # put off: it begins anew
        if source.phase[old] == Phase.ENDED and self.now_ms < self.roster.orders[row].valid_until_ms:
            return  # prolonged after its end
        self.zone[row] = source.zone[old]
        self.phase[row] = source.phase[old]
        self.leaving[row] = source.leaving[old]
        self.left_ms[row] = source.left_ms[old]
        self.entries[row] = dict(source.entries[old])

    def seed(self, source: PairTable, row: int) -> None:
        """Give a row the last fixes that its devices have in ``source``."""
        for side in (2 * row, 2 * row + 1):
            known = source.sides_of.get(self.roster.sides[side].number)
            if known:
                self.last[side] = source.last[known[0]]


def _due_ms(order: Order, standing: Standing, phase: Phase) -> int:
    """The next hour at which something changes by itself."""
    match phase:
        case Phase.WAITING:
            return order.valid_from_ms
        case Phase.ENDED:
            return NEVER_MS
        case Phase.IN_FORCE:
            deadline = standing.deadline_ms
            return order.valid_until_ms if deadline is None else min(deadline, order.valid_until_ms)


def _band_m2(alert_m: int, standing: Standing, phase: Phase) -> tuple[float, float]:
    """Squared metres between which no distance changes anything."""
    if phase is not Phase.IN_FORCE:
        return -1.0, math.inf
    if standing.deadline_ms is not None:
        return math.inf, -1.0  # somebody seems to be leaving: every distance says something
    inner = {Zone.FAR: PREALERT_FACTOR * alert_m, Zone.PREALERT: alert_m, Zone.ALERT: None}[standing.zone]
    low = -1.0 if inner is None else (inner + BAND_SLACK_M) ** 2
    if standing.zone is Zone.FAR:
        return low, math.inf
    return low, (threshold_m(standing.zone, alert_m) + EXIT_MARGIN_DM / 10 - BAND_SLACK_M) ** 2


def _place_by_number(numbers: IntArray) -> IntArray | None:
    """A place for every number up to the largest (-1: none), if they lie close enough together to be worth it."""
    top = int(numbers.max(initial=0))
    if int(numbers.min(initial=0)) < 0 or top >= DENSE_FACTOR * numbers.size + DENSE_FREE:
        return None
    places = np.full(top + 1, -1, np.int64)
    places[numbers] = np.arange(numbers.size)
    return places


def _cache_lines(n: int) -> npt.NDArray[np.float64]:
    """n rows of 64 bytes, each within one line of the cache, all coordinates unknown."""
    memory = np.full((n + 1) * ROW, np.nan)
    offset = (-memory.ctypes.data % 64) // 8
    rows = memory[offset : offset + n * ROW].reshape(n, ROW)
    rows[:, LO], rows[:, HI] = -1.0, math.inf
    return rows


def stack(batches: Iterable[Fixes]) -> Fixes:
    """Several batches as one, in order."""
    several = list(batches)
    return several[0] if len(several) == 1 else np.concatenate([np.empty(0, FIX_DTYPE), *several])
