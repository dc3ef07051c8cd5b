"""Which pairs does this partition decide about, and what is remembered of each?

Row i is the measure ``orders[i]`` (sorted by id), between the devices at ``places[i]``: wearer, protected
person. Where these are is in ``geofence.devices``. Beside the rows:

    bands          (n, 8), ``geofence.band.Band``: while nothing leaves it no rule can change anything, so
                   none is asked
    due_ms         before this hour time alone can change nothing either
    states         row -> PairState, only where it is not the state of a pair that is far apart and reporting
    asked          the interval that the pair asks of each of its devices
    phase          whether the measure is in force, as far as the pair has been judged
    protection     the last standing that was said, an index into PROTECTIONS; protection_ms: since when

Band and hour are cut generously: at their edge the rules are asked once too often, never once too seldom.

Pairs that share a device, directly or through others, are a *cluster*: within one the order of fixes matters,
between two it does not.

The table belongs to one worker, which changes it in place (``geofence.engine``). Hours are milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from math import inf, nan
from struct import Struct
from typing import Final, NamedTuple, cast

import msgspec
import numpy as np

from geofence.assumptions import (
    ALERT_S,
    COURSE_M,
    EVIDENCE_FIXES,
    EXIT_MARGIN_M,
    FAR_DISTANCES,
    FAR_S,
    IMMINENT_END_MS,
    IMMINENT_MS,
    LEAST_INTERVAL_S,
    NEAR_DISTANCES,
    NEAR_S,
    PREALERT_S,
    PROBING_MS,
    RELAX_FACTOR,
    RELAX_MS,
    SETTLED_MS,
)
from geofence.band import APPROACH, IN_NO_RING_M, PROTECTEDS, RISK, UNFIXED, UNPROVEN, WEARERS, Band
from geofence.cadence import Asked, asked
from geofence.conditions import WELL, Condition, ConditionTable
from geofence.devices import DeviceTable
from geofence.pair_state import WEARER, PairState
from geofence.quality import CODES, QualityTable
from geofence.zone_table import ZoneTable
from tocsin.geodesy import IntArray
from tocsin.limits import PREALERT_FACTOR
from tocsin.model.device import Device, DeviceKind
from tocsin.model.finding import Code
from tocsin.model.fix import FIX_DTYPE, Fixes
from tocsin.model.order import Order
from tocsin.model.standing import Protection
from tocsin.subjects import partition_of

NEVER_MS: Final = 2.0**52
PROTECTIONS: Final = tuple(Protection)
UNPROTECTED: Final = PROTECTIONS.index(Protection.UNPROTECTED)


class Phase(IntEnum):
    """Whether the measure is in force, as far as the pair has been judged."""

    WAITING = 0
    IN_FORCE = 1
    ENDED = 2


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


CLUSTER, SIDE, PARTNER, SEVERAL = range(4)


class Expanded(NamedTuple):
    """The pairs of n devices: of which of these, side (2 row + role), place of the other party."""

    of: IntArray
    sides: IntArray
    partners: IntArray


class PairTable:
    """The state of one partition. See the module for its memory. ``clock_ms``: the last hour that was ticked."""

    def __init__(self, roster: Roster) -> None:
        n = len(roster.orders)
        self.roster = roster
        self.clock_ms = 0
        numbers = np.array([device.number for device in roster.sides], np.int64)
        self.devices = DeviceTable(np.unique(numbers))
        self.conditions = ConditionTable(len(self.devices))
        self.places: IntArray = np.searchsorted(self.devices.numbers, numbers).reshape(n, 2)
        self.quality = QualityTable(len(self.devices))
        self.said_ms = np.zeros((2 * n, len(CODES)), np.int64)
        self.alert_m = np.array([order.alert_distance_m for order in roster.orders], np.float64)
        self.bands = np.full((n, len(ALWAYS_LOOK)), nan)
        self.due_ms = np.array([order.valid_from_ms for order in roster.orders], np.float64)
        self.until_ms = np.array([order.valid_until_ms for order in roster.orders], np.float64)
        self.phase = np.zeros(n, np.uint8)
        self.protection = np.full(n, UNPROTECTED, np.uint8)
        self.protection_ms = np.array([order.valid_from_ms for order in roster.orders], np.int64)
        self.asked = [Asked(FAR_S, FAR_S)] * n
        self.states: dict[int, PairState] = {}
        self.broken: set[int] = set()
        self.pairs: list[tuple[int, int]] = [(a, b) for a, b in self.places.tolist()]
        self.due_of, self.until_of = (cast("memoryview[float]", one.data) for one in (self.due_ms, self.until_ms))
        self._band_bytes = self.bands.reshape(-1).data.cast("B")
        self.alert_of, self.phase_of = self.alert_m.tolist(), self.phase.data
        self.protection_of = self.protection.data
        self.mark = np.zeros(max(n, 1), np.int64)
        self.waiting = np.zeros(max(n, 1), np.bool_)
        """Clusters of which something is left to be done (``geofence.ordinary``); none between two steps."""
        self.zones = ZoneTable(roster.orders)
        self.floor_of = [float(one.authorised.floor_m) if one.authorised else 0.0 for one in roster.orders]
        self._index()

    def __len__(self) -> int:
        return len(self.roster.orders)

    def _index(self) -> None:
        """Which pairs each device is in, as a ragged array and as tuples of sides (2 row + role); the clusters."""
        of_side = self.place_of_side = self.places.reshape(-1)
        self.sides_sorted = np.argsort(of_side, kind="stable")
        self.side_counts = np.bincount(of_side, minlength=len(self.devices)).astype(np.int64)
        self.sides_max = int(self.side_counts.max(initial=1))
        self.side_starts = np.cumsum(self.side_counts) - self.side_counts
        sides, starts = self.sides_sorted.tolist(), self.side_starts.tolist()
        counts = self.side_counts.tolist()
        self.sides_of = [tuple(sides[at : at + count]) for at, count in zip(starts, counts, strict=True)]
        self.device_of = [self.roster.sides[those[0]] for those in self.sides_of]
        self.hers = np.array([device.kind is DeviceKind.PROTECTED for device in self.device_of], np.bool_)
        self.is_hers = self.hers.data
        self.takes_orders = [device.reports_every_s is None for device in self.device_of]
        self._keep_told_intervals()
        self.first_of = self._first_pairs()

    def _keep_told_intervals(self) -> None:
        """Who obeys no command reports as it was registered to."""
        for place, device in enumerate(self.device_of):
            if device.reports_every_s is not None:
                self.devices.set_interval(place, max(LEAST_INTERVAL_S, device.reports_every_s))

    def _first_pairs(self) -> IntArray:
        """By device, in one line of the cache: its cluster, the side of its first pair, the place of the other
        party there, and whether there are more."""
        first = np.zeros((len(self.devices), 4), np.int64)
        if len(self):
            first[:, CLUSTER] = _clusters(self.sides_of, len(self))
            first[:, SIDE] = self.sides_sorted.take(self.side_starts)
            first[:, PARTNER] = self.place_of_side.take(first[:, SIDE] ^ 1)
            first[:, SEVERAL] = self.side_counts > 1
        return first

    def expand(self, places: IntArray, first: IntArray) -> Expanded:
        """All pairs of some devices: the first pair of each, then the further ones. ``first``: their rows of
        ``first_of``, by columns (4, n)."""
        several = np.flatnonzero(first[SEVERAL])
        index, sides, partners = np.arange(places.size), first[SIDE], first[PARTNER]
        if not several.size:
            return Expanded(index, sides, partners)
        found, pairs = [], 1
        of = [index]
        while several.size:
            those = places.take(several)
            found.append(self.sides_sorted.take(self.side_starts.take(those) + pairs))
            of.append(several)
            pairs += 1
            several = several[self.side_counts.take(those) > pairs]
        further = np.concatenate(found)
        return Expanded(
            np.concatenate(of),
            np.concatenate((sides, further)),
            np.concatenate((partners, self.place_of_side.take(further ^ 1))),
        )

    def asked_of_devices(self) -> IntArray:
        """The interval that each device is to be told: the shortest that any of its pairs asks."""
        if not len(self):
            return np.empty(0, np.int64)
        wanted: IntArray = np.minimum.reduceat(
            np.array(self.asked, np.int64).reshape(-1).take(self.sides_sorted), self.side_starts
        )
        return wanted

    # --- state -------------------------------------------------------------------------------------------

    def state(self, row: int) -> PairState:
        """A state that may be changed, and is not the table's until it is settled."""
        kept = self.states.get(row)
        return (
            PairState()
            if kept is None
            else msgspec.structs.replace(
                kept,
                suspicions=dict(kept.suspicions),
                opened=dict(kept.opened),
                left_ms=dict(kept.left_ms),
                put_off_ms=dict(kept.put_off_ms),
                graded=dict(kept.graded),
            )
        )

    def settle(self, row: int, state: PairState) -> None:
        """Write what a pair has become, and with it within which distance nothing can change."""
        if state == QUIET:
            self.states.pop(row, None)
        else:
            self.states[row] = state
        self.refresh(row)

    def keep(self, row: int, state: PairState) -> None:
        """What a look at the zones alone has changed: nothing that a band or an interval follows from."""
        if state == QUIET:
            self.states.pop(row, None)
        else:
            self.states[row] = state

    def _awaits(self, row: int, state: PairState) -> bool:
        """Whether the wearer's tag is being missed, and that is not said yet: the hour will."""
        his = self.conditions.of.get(self.pairs[row][WEARER])
        return his is not None and his.unheard is not None and Code.SEPARATION not in state.opened

    def conditions_of(self, row: int) -> tuple[Condition, Condition]:
        """Of his device and hers. A tamper that was said in this measure stays, whatever the unit calls itself."""
        wearer, protected = self.pairs[row]
        his = self.conditions.of.get(wearer, WELL)
        if his is not WELL and Code.STRAP_TAMPER not in self.states.get(row, QUIET).opened:
            his = self.conditions.for_new_measure(wearer, self.roster.orders[row].valid_from_ms)
        return his, self.conditions.of.get(protected, WELL)

    def refresh(self, row: int) -> None:
        """The band of a row, and what it asks of its devices, from its state. A pair of which one was never heard
        has none: with its first fix it becomes protected, however far apart they are."""
        state, band = self.states.get(row, QUIET), ALWAYS_LOOK
        is_judged = (
            self.phase_of[row] == Phase.IN_FORCE and row not in self.broken and not self._awaits(row, state)
        )
        if is_judged and state.is_settled and self._are_known(row):
            band = _floored(band_of(state, self.alert_of[row]), state, self.floor_of[row])
        _BAND.pack_into(self._band_bytes, row * _BAND.size, *band)
        self.asked[row] = asked(state)
        missed = self.devices.missed_of
        for role, place in enumerate(self.pairs[row]):
            if self._misses(2 * row + role):
                missed[place] = True
            elif missed[place]:
                missed[place] = any(map(self._misses, self.sides_of[place]))

    def _are_known(self, row: int) -> bool:
        wearer, protected = self.pairs[row]
        return self.devices.is_known(wearer) and self.devices.is_known(protected)

    def _misses(self, side: int) -> bool:
        """Whether a silence of this side has been said, and not its end."""
        state = self.states.get(side >> 1, QUIET)
        return state.protected_lost if side & 1 else state.wearer_lost or state.wearer_unfixed

    def look_always(self) -> None:
        """Without guard bands the rules are asked at every believed fix; they find the same."""
        self.bands[:] = ALWAYS_LOOK
        self.zones.burst(slice(None))

    def band(self, row: int) -> Band:
        return Band._make(_BAND.unpack_from(self._band_bytes, row * _BAND.size))

    # --- another roster ----------------------------------------------------------------------------------

    def rebuilt(self, roster: Roster) -> tuple[PairTable, tuple[int, ...]]:
        """A table for ``roster`` that remembers what continues, and the rows that must be judged at once.

        A pair continues with its measure, and keeps its rings and open findings; if its distance or a device
        changed it is judged at once. Any device that was heard here is remembered.
        """
        table = PairTable(roster)
        table.clock_ms = self.clock_ms
        table.quality.carry(self.quality, *table.devices.carry(self.devices))
        table.conditions.carry(self.conditions, self.devices.places(table.devices.numbers))
        table._keep_told_intervals()
        old_row = {order.id: row for row, order in enumerate(self.roster.orders)}
        judge: list[int] = []
        same: list[tuple[int, int]] = []
        for row, order in enumerate(roster.orders):
            old = old_row.get(order.id)
            if old is not None:
                table._carry(self, old, row)
                if self._geometry(old) != table._geometry(row):
                    judge.append(row)
                elif self.roster.orders[old] == order:
                    same.append((row, old))
        table.refresh_all()
        for row, old in same:  # nothing of theirs has changed, so neither has the hour of their next look
            table.due_ms[row], table.until_ms[row] = self.due_ms[old], self.until_ms[old]
        return table, tuple(judge)

    def heeds_hours(self, row: int) -> bool:
        """Whether hours decide something here besides beginning and end; or did, and what they left is open."""
        state = self.states.get(row, QUIET)
        return self.zones.watched[row] or bool(state.zones) or self._is_left_authorised(state)

    @staticmethod
    def _is_left_authorised(state: PairState) -> bool:
        """Whether anything is only recorded, which without an authorisation is an alert."""
        return any(opened.authorised for opened in state.opened.values())

    def refresh_all(self) -> None:
        """Bands of all rows; and every row is due, so that its hour is found again."""
        for row in range(len(self)):
            self.refresh(row)
        heeding = {row for row in self.states if self.heeds_hours(row)}.union(self.zones.watched_rows.tolist())
        self.until_ms[sorted(heeding)] = 0.0  # their zones are looked at with them
        self.zones.held[[row for row, state in self.states.items() if state.zones]] = True
        waits = self.phase == Phase.WAITING
        from_ms = np.array([order.valid_from_ms for order in self.roster.orders], np.float64)
        self.due_ms[:] = np.where(waits, from_ms, np.where(self.phase == Phase.ENDED, NEVER_MS, 0.0))

    def _geometry(self, row: int) -> tuple[int, tuple[Device, ...]]:
        """What the rings of a row follow from, besides the fixes."""
        return self.roster.orders[row].alert_distance_m, self.roster.sides[2 * row : 2 * row + 2]

    def _carry(self, source: PairTable, old: int, row: int) -> None:
        """Take over where one row of ``source`` stands."""
        order = self.roster.orders[row]
        if old in source.broken:
            self.broken.add(row)
        if source.phase[old] == Phase.IN_FORCE and self.clock_ms < order.valid_from_ms:
            return  # put off: it begins anew
        if source.phase[old] == Phase.ENDED and self.clock_ms < order.valid_until_ms:
            return  # prolonged after its end
        self.phase[row] = source.phase[old]
        self.said_ms[2 * row : 2 * row + 2] = source.said_ms[2 * old : 2 * old + 2]
        self.protection[row], self.protection_ms[row] = source.protection[old], source.protection_ms[old]
        if old in source.states:
            self.states[row] = source.states[old]


QUIET: Final = PairState()
ALWAYS_LOOK: Final = Band(nan, nan, nan, nan, nan, nan, nan, 0.0)
_BAND: Final = Struct(f"{len(ALWAYS_LOOK)}d")


def band_of(state: PairState, alert_m: float) -> Band:
    """Until when, and where, a settled state stays as it is."""
    is_risk = state.uncertain_ms is not None and not state.alert.inside
    lost = state.wearer_lost or state.wearer_unfixed
    said = float(
        WEARERS * lost
        + UNFIXED * (lost and not state.wearer_lost)
        + PROTECTEDS * state.protected_lost
        + RISK * is_risk
        + APPROACH * state.imminent
        + UNPROVEN * (state.alert.inside and state.evidence == 0)
    )
    look_ms = inf if state.relax_ms is None else float(state.relax_ms + RELAX_MS)
    if state.probing_ms is not None:
        look_ms = min(look_ms, float(state.probing_ms + PROBING_MS))
    if state.alert.inside:
        if 0 < state.evidence < EVIDENCE_FIXES or state.alert_ms is None or not _keeps_pace(state, state.alert_ms):
            return ALWAYS_LOOK
        if state.relax_ms is None and state.interval_s == ALERT_S:
            look_ms = min(look_ms, float(state.alert_ms + SETTLED_MS))
        return Band(-inf, alert_m, EXIT_MARGIN_M, -inf, -inf, 0.0, look_ms, said)
    blind_m = alert_m if state.uncertain_ms is None else -alert_m
    if state.prealert.inside:
        if state.course is None or (state.relax_ms is None and state.interval_s != PREALERT_S):
            return ALWAYS_LOOK
        mark_m = state.course.mark_dm / 10
        radius_m, watch_s = (
            PREALERT_FACTOR * alert_m,
            (-IMMINENT_END_MS if state.imminent else IMMINENT_MS) / 1_000.0,
        )
        return Band(
            mark_m - COURSE_M, min(radius_m, mark_m), min(COURSE_M, EXIT_MARGIN_M), alert_m, blind_m, watch_s,
            look_ms, said,
        )  # fmt: skip
    lo_m, hi_m = _far_m(state, alert_m)
    return Band(lo_m, hi_m, IN_NO_RING_M, PREALERT_FACTOR * alert_m, blind_m, 0.0, look_ms, said)


def _keeps_pace(state: PairState, alert_ms: int) -> bool:
    """Whether believed fixes leave the interval of an alert alone, until the hour of its band. One that came to be
    by the clock, by a straggler or behind a break has seen none that would have set it right."""
    if state.interval_s == ALERT_S:
        return state.relax_ms is None or state.relax_ms >= alert_ms + SETTLED_MS
    return state.interval_s == PREALERT_S and state.relax_ms is None


def _floored(band: Band, state: PairState, floor_m: float) -> Band:
    """Where an alert is only recorded, its band ends at the floor below which it is one."""
    alert = state.opened.get(Code.PROX_ALERT)
    return band._replace(lo_m=max(band.lo_m, floor_m)) if alert is not None and alert.authorised else band


def _far_m(state: PairState, alert_m: float) -> tuple[float, float]:
    """Where the distance may be, less its doubts, without another interval being asked for, or this one longer."""
    near_m, far_m = NEAR_DISTANCES * alert_m, FAR_DISTANCES * alert_m
    if state.relax_ms is not None:  # as long as a longer one would do
        return {NEAR_S: RELAX_FACTOR * far_m, PREALERT_S: RELAX_FACTOR * near_m}.get(state.interval_s, nan), inf
    if state.interval_s == FAR_S:
        return far_m, inf
    if state.interval_s == NEAR_S:
        return near_m, RELAX_FACTOR * far_m
    return -inf, RELAX_FACTOR * near_m if state.interval_s == PREALERT_S else nan


def _clusters(sides_of: list[tuple[int, ...]], pairs: int) -> IntArray:
    """For each device the number of its cluster: the least row among its pairs and theirs."""
    root = list(range(pairs))

    def found(row: int) -> int:
        while root[row] != row:
            root[row] = root[root[row]]
            row = root[row]
        return row

    for sides in sides_of:
        for side in sides[1:]:
            one, two = sorted((found(sides[0] >> 1), found(side >> 1)))
            root[two] = one
    return np.array([found(sides[0] >> 1) for sides in sides_of], np.int64)


def stack(batches: Iterable[Fixes]) -> Fixes:
    """Several batches as one, in order."""
    several = list(batches)
    return several[0] if len(several) == 1 else np.concatenate([np.empty(0, FIX_DTYPE), *several])
