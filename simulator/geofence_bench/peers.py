"""How else is the same work done? Two peers, each given its messages in the form that suits it best.

* ``python``: a dictionary, a loop and the haversine formula, as most such services begin. On a sphere: some of its
  events come at another message than on the ellipsoid, or never.
* ``pyproj``: ``Geod.inv`` on whole columns, the state machine by columns too, in turns in which no pair occurs
  twice, so that the order is exact.

Neither screens messages nor remembers more than places: what they are spared counts for them.
"""

from __future__ import annotations

from math import asin, cos, radians, sin, sqrt
from typing import Final, NamedTuple

import numpy as np
from pyproj import Geod

from simulator.geofence_bench.reference import (
    ALERT,
    FAR,
    LEAVE_FACTOR,
    PRE,
    PRE_FACTOR,
    Event,
    Floats,
    Ints,
    Work,
    pairs_of,
)  # fmt: skip

EARTH_RADIUS_M: Final = 6_371_008.8


class Columns(NamedTuple):
    """Messages by column: device (from 0), degrees."""

    device: Ints
    lat: Floats
    lon: Floats


class Lists(NamedTuple):
    """The same as Python numbers."""

    device: list[int]
    lat: list[float]
    lon: list[float]


class PythonHaversine:
    """Message by message, whatever the batch."""

    def __init__(self, work: Work) -> None:
        self._wearer, self._protected = work.wearer.tolist(), work.protected.tolist()
        self._alert_m: list[float] = work.alert_m.tolist()
        self._pairs_of = pairs_of(work)
        self._places: list[tuple[float, float, float] | None] = [None] * work.devices
        self._state, self._count = [FAR] * len(self._alert_m), 0

    def step(self, batch: Lists) -> list[Event]:
        events = []
        places, state, first = self._places, self._state, self._count
        for index, (device, lat, lon) in enumerate(zip(*batch, strict=True)):
            phi = radians(lat)
            places[device] = (phi, radians(lon), cos(phi))
            for pair in self._pairs_of[device]:
                his, hers = places[self._wearer[pair]], places[self._protected[pair]]
                if his is None or hers is None:
                    continue
                after = _next_state(state[pair], self._alert_m[pair], haversine_m(his, hers))
                if after != state[pair]:
                    state[pair] = after
                    events.append(Event(first + index, pair, after))
        self._count += len(batch.device)
        return events


def haversine_m(a: tuple[float, float, float], b: tuple[float, float, float]) -> float:
    """Of (latitude, longitude, cosine of the latitude) in radians."""
    half = sin((b[0] - a[0]) / 2) ** 2 + a[2] * b[2] * sin((b[1] - a[1]) / 2) ** 2
    return 2 * EARTH_RADIUS_M * asin(sqrt(half))


def _next_state(before: int, alert_m: float, distance_m: float) -> int:
    if distance_m < (LEAVE_FACTOR * alert_m if before == ALERT else alert_m):
        return ALERT
    pre_m = PRE_FACTOR * alert_m
    return PRE if distance_m < (LEAVE_FACTOR * pre_m if before else pre_m) else FAR


class PyprojColumns:
    """Places by side (2i the wearer of pair i, 2i + 1 the protected person), NaN while not heard."""

    def __init__(self, work: Work) -> None:
        of_side = np.stack((work.wearer, work.protected), 1).ravel()
        self._sides = np.argsort(of_side, kind="stable")
        self._counts = np.bincount(of_side, minlength=work.devices)
        self._starts = np.cumsum(self._counts) - self._counts
        self._alert_m, self._state = work.alert_m, np.zeros(len(work.alert_m), np.int8)
        self._lat, self._lon = np.full(of_side.size, np.nan), np.full(of_side.size, np.nan)
        self._mark = np.zeros(len(work.alert_m), np.int64)
        self._geod, self._count = Geod(ellps="WGS84"), 0

    def step(self, batch: Columns) -> list[Event]:
        index, sides = self._expanded(batch.device)
        events: list[Event] = []
        while sides.size:
            pairs, here = sides >> 1, np.arange(sides.size)
            self._mark[pairs[::-1]] = here[::-1]  # of several writes to one place the last stays
            is_first = self._mark.take(pairs) == here
            if is_first.all():
                self._turn(batch, index, sides, events)
                break
            self._turn(batch, index[is_first], sides[is_first], events)
            index, sides = index[~is_first], sides[~is_first]
        self._count += len(batch.device)
        events.sort()
        return events

    def _expanded(self, devices: Ints) -> tuple[Ints, Ints]:
        """(index into ``devices``, side): one for each pair of each, in order."""
        counts = self._counts.take(devices)
        index = np.repeat(np.arange(devices.size), counts)
        starts = np.repeat(self._starts.take(devices) - (np.cumsum(counts) - counts), counts)
        return index, self._sides.take(starts + np.arange(index.size))

    def _turn(self, batch: Columns, index: Ints, sides: Ints, events: list[Event]) -> None:
        lat, lon, pairs = self._lat, self._lon, sides >> 1
        lat[sides], lon[sides] = batch.lat.take(index), batch.lon.take(index)
        his, hers = 2 * pairs, 2 * pairs + 1
        distance_m = self._geod.inv(lon.take(his), lat.take(his), lon.take(hers), lat.take(hers))[2]
        before, alert_m = self._state.take(pairs), self._alert_m.take(pairs)
        pre_m = PRE_FACTOR * alert_m
        after = (distance_m < np.where(before == ALERT, LEAVE_FACTOR * alert_m, alert_m)).astype(np.int8)
        after += distance_m < np.where(before != FAR, LEAVE_FACTOR * pre_m, pre_m)
        changed = np.flatnonzero(after != before)
        self._state[pairs.take(changed)] = after.take(changed)
        numbers = self._count + index.take(changed)
        events += map(Event, numbers.tolist(), pairs.take(changed).tolist(), after.take(changed).tolist())
