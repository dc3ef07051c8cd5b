"""When was each device of the whole fleet heard, where, and how often is it to report? By columns.

One column a device, in the order of ``numbers``; the rows are those of ``geofence.devices`` (19, n), of which
X Y Z AT ACCURACY HEARD INTERVAL SPEED TOLD are used, so that the hours of blind risk are reckoned by the same rule
as the engine's. A place is taken as it comes: it ranks, and raises nothing.

Primary copies of fixes and the presence rows, which are nobody's primary: hearing one twice changes nothing.
Milliseconds, ECEF metres, seconds for intervals.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field

import numpy as np

from geofence.assumptions import FAR_S, ROAD_M_S
from geofence.devices import ACCURACY, AT, HEARD, INTERVAL, SPEED, TOLD, WIDTH, Mask, X
from geofence.motion import UNHEARD_MS
from tocsin.geodesy import FloatArray, IntArray, ecef
from tocsin.limits import ACCURACY_UNKNOWN_DM
from tocsin.model.fix import Fixes, FixFlag

CM_PER_M = 100.0
DM_PER_M = 10.0


def _nothing_heard(count: int) -> FloatArray:
    rows = np.zeros((WIDTH, count))
    rows[[AT, HEARD, TOLD]] = UNHEARD_MS
    rows[INTERVAL] = FAR_S
    return rows


def _never(numbers: IntArray) -> FloatArray:
    return np.full(numbers.size, -np.inf)


@dataclass(slots=True)
class Asked:
    """How often each partition asks a device to report. A unit that several share is told the shortest
    (``alerts.downlink``); whoever has no measure of it any more asks for FAR_S."""

    intervals_s: dict[str, dict[int, int]] = field(default_factory=dict)

    def by(self, partition: int, device: str, interval_s: int) -> int:
        """The newest of this partition; returns what the device is told now."""
        mine = self.intervals_s.setdefault(device, {})
        mine[partition] = interval_s
        return min(mine.values())

    def among(self, devices: Container[str]) -> Asked:
        return Asked({name: asked for name, asked in self.intervals_s.items() if name in devices})


@dataclass(slots=True)
class FleetMemory:
    """``before_s``: the interval before the one it was told last; who has not spoken since may not have heard.
    ``left_ms``: when it had been heard as an incident ended without it."""

    numbers: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    rows: FloatArray = field(default_factory=lambda: _nothing_heard(0))
    before_s: FloatArray = field(default_factory=lambda: np.empty(0))
    left_ms: FloatArray = field(default_factory=lambda: np.empty(0))

    def __len__(self) -> int:
        return int(self.numbers.size)

    def among(self, numbers: IntArray) -> FleetMemory:
        """The memory of these devices (sorted): what is known of them, and nothing of strangers."""
        known = FleetMemory(
            numbers, _nothing_heard(numbers.size), np.full(numbers.size, float(FAR_S)), _never(numbers)
        )
        there = self.places(numbers)
        here = np.flatnonzero(there >= 0)
        known.rows[:, here] = self.rows[:, there[here]]
        known.before_s[here] = self.before_s[there[here]]
        known.left_ms[here] = self.left_ms[there[here]]
        return known

    def places(self, numbers: IntArray) -> IntArray:
        """Device numbers -> columns, -1 for a stranger."""
        if not len(self):
            return np.full(numbers.size, -1, np.int64)
        places = np.minimum(np.searchsorted(self.numbers, numbers), len(self) - 1)
        return np.where(self.numbers[places] == numbers, places, -1)

    def hear(self, fixes: Fixes) -> None:
        """Take messages in any order: the newest hour stays."""
        present = fixes["flags"] & int(FixFlag.PRESENCE) != 0
        mine = fixes[present | (fixes["primary"] == 1)]
        places = self.places(mine["device"])
        mine, places = mine[places >= 0], places[places >= 0]
        np.maximum.at(self.rows[HEARD], places, mine["t3_ms"])
        located = mine["flags"] & int(FixFlag.PRESENCE) == 0
        self._place(mine[located], places[located])

    def _place(self, fixes: Fixes, places: IntArray) -> None:
        """The newest place of each, by the hour of the fix; one that a clock put into the future is of its hour
        of reception."""
        fix_ms = np.minimum(fixes["fix_ms"], fixes["t3_ms"])
        order = np.argsort(fix_ms, kind="stable")
        newer = order[fix_ms[order] > self.rows[AT, places[order]]]  # of several the last one written stays
        fixes, places = fixes[newer], places[newer]
        self.rows[AT, places] = fix_ms[newer]
        self.rows[X:AT, places] = ecef(fixes["lat_e6"], fixes["lon_e6"])
        accuracy_dm = np.where(fixes["accuracy_dm"] > 0, fixes["accuracy_dm"], ACCURACY_UNKNOWN_DM)
        self.rows[ACCURACY, places] = accuracy_dm / DM_PER_M
        self.rows[SPEED, places] = np.clip(fixes["speed_cms"] / CM_PER_M, 0.0, ROAD_M_S)

    def tell(self, place: int, interval_s: int, at_ms: int) -> None:
        """A device was told how often to report. Who is told the same again may still not know it."""
        if interval_s == self.rows[INTERVAL, place]:
            return
        self.before_s[place] = self.rows[INTERVAL, place]
        self.rows[INTERVAL, place], self.rows[TOLD, place] = interval_s, at_ms

    def intervals_s(self) -> FloatArray:
        """How often each reports, at the least: an order that it may not have heard shortens nothing."""
        told_s, heard = self.rows[INTERVAL], self.rows[HEARD] > self.rows[TOLD]
        least_s: FloatArray = np.where(heard, told_s, np.maximum(told_s, self.before_s))
        return least_s

    def is_known(self) -> Mask:
        known: Mask = self.rows[HEARD] > UNHEARD_MS
        return known

    def leave(self, chosen: Mask) -> None:
        """Whoever of these is silent is nobody's news until heard again."""
        self.left_ms[chosen] = self.rows[HEARD, chosen]

    def is_left(self) -> Mask:
        left: Mask = self.left_ms == self.rows[HEARD]
        return left
