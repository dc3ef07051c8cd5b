"""Does an alert stand for every pair that is near by the newest good fixes? F02, F14; invariant 1.

    both fixes good, at most 30 s apart, within d_A - MARGIN_M, the measure in force, no authorised hour:
        PROX_ALERT lasts at the measure, or was raised since, within 10 s

An own and plain reading of FIXES and of the buckets, that knows nothing of the geofence: no uncertainty, no
motion, no standing. It asks only where everybody would agree, so that what it finds is a fault and no other
opinion: a fix is good with a satellite's accuracy of 50 m at most, heard within 30 s, its own clock right, and
not further from the one before than MAX_SPEED would bring it. Places are asked for each look, by columns: 10,000
pairs in a few milliseconds. A pair is asked for once, until it has been well outside again (APART): what a human
closes while he is still there is not raised anew, and need not be.

Distances: the plane of the mean latitude on WGS84, within 1 m at 20 km of the geodesic (held to pyproj in
tests/unit/audit). Degrees are scaled by 1e6, milliseconds; those of patience by ``audit.attention``. Pure.
"""

from __future__ import annotations

from typing import Final
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import numpy.typing as npt

from audit.law import Difference
from audit.laws.reading import Place
from tocsin.clock import utc
from tocsin.model.device import Device
from tocsin.model.episode import Ruling
from tocsin.model.finding import Code
from tocsin.model.fix import Fixes, FixFlag, Source
from tocsin.model.geozone import Authorisation
from tocsin.model.order import Order

NAME: Final = "near"

WITHIN_MS: Final = 10_000
NEW_MS: Final = 15_000  # an order takes effect within 5 s of its approval (invariant 12), and is asked for later
MARGIN_M: Final = 25.0  # two readings of one distance differ by less; so does who comes first of two fixes
ACCURACY_MAX_DM: Final = 500
APART_MS: Final = 30_000  # between the two fixes, and between a fix and its reception
AHEAD_MS: Final = 5_000
SPEED_MAX_M_S: Final = 50.0
LEFT_M: Final = 500.0
LEFT_SHARE: Final = 0.5  # of d_A: who is so far outside has left by any rule of leaving
AROUND_MS: Final = 120_000  # of authorised hours: nothing is asked so near to them
NO_GOOD: Final = FixFlag.CLOCK_SKEW | FixFlag.BULK | FixFlag.PRESENCE
WAITING_MAX: Final = 5_000  # rows beside the newest of each unit, 500 kB: looks may fail for hours
EQUATOR_M: Final = 6_378_137.0
E2: Final = 0.00669437999014
PROX: Final = Code.PROX_ALERT.value

Columns = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class _Pair(msgspec.Struct, frozen=True, kw_only=True):
    order: Order
    known_ms: int


class _Table(msgspec.Struct, frozen=True, kw_only=True):
    """By columns: whose pair, the rows of both, the distance; and the devices by number, sorted."""

    measures: tuple[str, ...]
    wearers: npt.NDArray[np.int64]
    protected: npt.NDArray[np.int64]
    alert_m: Columns
    numbers: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]


class Near:
    """``order``, ``device``: as the buckets say them, None: gone. ``fixes``: as they come, a look takes them
    all."""

    def __init__(self) -> None:
        self._pairs: dict[str, _Pair] = {}
        self._devices: dict[str, int] = {}
        self._rows: dict[int, int] = {}
        self._table: _Table | None = None
        self._batches: list[Fixes] = []
        self._waiting = 0
        self._lat, self._lon, self._ms = (np.zeros(0, np.int64) for _ in range(3))
        self._good, self._fresh, self._leapt = (np.zeros(0, bool) for _ in range(3))
        self._lasting: set[str] = set()
        self._there: set[str] = set()
        self._near: dict[str, int | None] = {}  # since when an alert is awaited; None: it came
        self._asked: set[str] = set()

    @property
    def name(self) -> str:
        return NAME

    # --- what is heard -------------------------------------------------------------------------------------

    def order(self, name: str, order: Order | None, heard_ms: int) -> None:
        self._table = None
        if order is None:
            self._pairs.pop(name, None)
            self._near.pop(name, None)
        else:
            self._pairs[name] = _Pair(order=order, known_ms=heard_ms)

    def device(self, name: str, device: Device | None) -> None:
        if device is None:
            self._devices.pop(name, None)
        elif self._devices.get(name) == device.number:
            return
        else:
            self._devices[name] = device.number
        self._table = None

    def fixes(self, batch: Fixes) -> None:
        self._batches.append(batch)
        self._waiting += len(batch)
        if self._waiting >= WAITING_MAX:
            self._batches, self._waiting = [_newest(np.concatenate(self._batches))], 0

    def ruling(self, place: Place, ruling: Ruling) -> None:
        code, measure = place
        if code != PROX:
            return
        self._there.add(measure)
        episode = ruling.episode
        if episode.lasts or episode.authorised:
            self._lasting.add(measure)
            if measure in self._near:
                self._near[measure] = None
        if not episode.lasts:
            self._lasting.discard(measure)

    # --- what does not agree -------------------------------------------------------------------------------

    def differences(self, now_ms: int) -> list[Difference]:
        """Each once in one nearness."""
        table = self._table = self._table or self._laid_out()
        self._take(table)
        self._look(table, now_ms)
        due = [
            measure
            for measure, since_ms in self._near.items()
            if since_ms is not None and now_ms - since_ms >= WITHIN_MS
        ]
        for measure in due:
            self._near[measure] = None
        return [_difference(measure, now_ms) for measure in due]

    def _laid_out(self) -> _Table:
        """Anew when an order or a device has changed: seldom, and 20 ms for 10,000 pairs."""
        numbers = sorted({*self._devices.values()})
        for number in numbers:
            self._rows.setdefault(number, len(self._rows))
        self._grow(len(self._rows))
        pairs = [
            (name, pair.order)
            for name, pair in self._pairs.items()
            if pair.order.wearer in self._devices and pair.order.protected in self._devices
        ]
        return _Table(
            measures=tuple(name for name, _ in pairs),
            wearers=np.array([self._row(one.wearer) for _, one in pairs], np.int64),
            protected=np.array([self._row(one.protected) for _, one in pairs], np.int64),
            alert_m=np.array([one.alert_distance_m for _, one in pairs], float),
            numbers=np.array(numbers, np.int64),
            rows=np.array([self._rows[number] for number in numbers], np.int64),
        )

    def _row(self, device: str) -> int:
        return self._rows[self._devices[device]]

    def _grow(self, length: int) -> None:
        more = length - len(self._ms)
        if more > 0:
            self._lat, self._lon, self._ms = (np.pad(one, (0, more)) for one in (self._lat, self._lon, self._ms))
            self._good, self._fresh, self._leapt = (
                np.pad(one, (0, more)) for one in (self._good, self._fresh, self._leapt)
            )

    def _take(self, table: _Table) -> None:
        """The newest place of each unit, of what came since the last look."""
        self._fresh[:] = False
        batches, self._batches, self._waiting = self._batches, [], 0
        if not batches or not len(table.numbers):
            return
        fixes = _newest(np.concatenate(batches))
        index = np.minimum(np.searchsorted(table.numbers, fixes["device"]), len(table.numbers) - 1)
        known = table.numbers[index] == fixes["device"]
        self._keep(fixes[known], table.rows[index[known]])

    def _keep(self, fixes: Fixes, rows: npt.NDArray[np.int64]) -> None:
        newer = fixes["fix_ms"] > self._ms[rows]
        fixes, rows = fixes[newer], rows[newer]
        lat, lon, at_ms = (fixes[name].astype(np.int64) for name in ("lat_e6", "lon_e6", "fix_ms"))
        moved_m = distances_m(lat, lon, self._lat[rows], self._lon[rows])
        plausible = (self._ms[rows] == 0) | (moved_m * 1e3 <= SPEED_MAX_M_S * (at_ms - self._ms[rows]))
        self._good[rows] = _is_good(fixes) & plausible & ~self._leapt[rows]  # nor behind a leap: once settled
        self._leapt[rows] = ~plausible
        self._lat[rows], self._lon[rows], self._ms[rows], self._fresh[rows] = lat, lon, at_ms, True

    def _look(self, table: _Table, now_ms: int) -> None:
        his, hers = table.wearers, table.protected
        if not len(his):
            return
        looked = (self._fresh[his] | self._fresh[hers]) & self._good[his] & self._good[hers]
        looked &= np.abs(self._ms[his] - self._ms[hers]) <= APART_MS
        rows = np.flatnonzero(looked)
        his, hers, alert_m = his[rows], hers[rows], table.alert_m[rows]
        apart_m = distances_m(self._lat[his], self._lon[his], self._lat[hers], self._lon[hers])
        at_ms = np.maximum(self._ms[his], self._ms[hers])
        for place in np.flatnonzero(apart_m > alert_m + np.maximum(LEFT_M, LEFT_SHARE * alert_m)):
            self._leaves(table.measures[rows[place]])
        for place in np.flatnonzero(apart_m <= alert_m - MARGIN_M):
            self._comes(table.measures[rows[place]], int(at_ms[place]), now_ms)

    def _leaves(self, measure: str) -> None:
        self._asked.add(measure)
        if self._near.get(measure, 0) is None:
            self._near.pop(measure)

    def _comes(self, measure: str, at_ms: int, now_ms: int) -> None:
        pair = self._pairs[measure]
        if measure in self._near or now_ms - pair.known_ms < NEW_MS or not _is_asked(pair.order, at_ms):
            return
        # What was there before we looked for the first time may have been closed by a human meanwhile.
        known = measure in self._lasting or (measure not in self._asked and measure in self._there)
        self._asked.add(measure)
        self._near[measure] = None if known else now_ms


def _newest(fixes: Fixes) -> Fixes:
    """Where each unit was last; of one hour what came last. Units that are not known yet among them."""
    places = fixes[(fixes["flags"] & np.uint16(FixFlag.PRESENCE)) == 0]
    order = np.argsort(places["fix_ms"], kind="stable")[::-1]
    _, first = np.unique(places["device"][order], return_index=True)
    newest: Fixes = places[order[first]]
    return newest


def _is_good(fixes: Fixes) -> Mask:
    heard_ms = fixes["t3_ms"] - fixes["fix_ms"]
    good: Mask = (
        ((fixes["flags"] & np.uint16(NO_GOOD)) == 0)
        & (fixes["accuracy_dm"] > 0)
        & (fixes["accuracy_dm"] <= ACCURACY_MAX_DM)
        & np.isin(fixes["source"], (Source.UNKNOWN, Source.GNSS))
        & (heard_ms <= APART_MS)
        & (heard_ms >= -AHEAD_MS)
    )
    return good


def distances_m(lat: Numbers, lon: Numbers, other_lat: Numbers, other_lon: Numbers) -> Columns:
    """Between places in microdegrees, by columns: the plane of the mean latitude, with its two radii."""
    mean = np.radians((lat + other_lat) * 0.5e-6)
    square = 1.0 - E2 * np.sin(mean) ** 2
    east = np.radians((lon - other_lon) * 1e-6) * EQUATOR_M / np.sqrt(square) * np.cos(mean)
    north = np.radians((lat - other_lat) * 1e-6) * EQUATOR_M * (1.0 - E2) / square**1.5
    apart: Columns = np.hypot(east, north)
    return apart


def _is_asked(order: Order, at_ms: int) -> bool:
    """In force, and in no hour in which the judge allows it, each with some room for two readers."""
    if not order.valid_from_ms + NEW_MS <= at_ms < order.valid_until_ms - NEW_MS:
        return False
    allowed = order.authorised
    return allowed is None or not any(_allows(allowed, at_ms + by) for by in (-AROUND_MS, 0, AROUND_MS))


def _allows(allowed: Authorisation, at_ms: int) -> bool:
    """By the clock on the wall of the place. Spans are each looked at in their own week, and from the one
    before."""
    there = utc(at_ms).astimezone(ZoneInfo(allowed.schedule.time_zone))
    minute = (there.isoweekday() - 1) * 1440 + there.hour * 60 + there.minute
    week = 7 * 1440
    for span in allowed.schedule.hours:
        begins = (span.day - 1) * 1440 + span.from_min
        lasts = span.until_min - span.from_min + (0 if span.until_min > span.from_min else 1440)
        if (minute - begins) % week < lasts:
            return True
    return False


def _difference(measure: str, now_ms: int) -> Difference:
    detail = f"by the newest fixes the parties of {measure} are within its alert distance, and no alert lasts"
    return Difference(law=NAME, about=measure, since_ms=now_ms, detail=detail)
