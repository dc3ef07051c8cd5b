"""Where is everybody, at any moment, in a city that does not exist?

A flat map around an origin (metres east and north), streets as a jittered grid, places on its crossings. A
person's movement is a ``Track``: a list of (second, place) joined by straight lines, so any moment can be asked,
once or by the million, and the answer never depends on what was asked before.
Chance comes in as a numpy ``Generator``.

Units: seconds of the scenario, metres, metres per second, degrees WGS84.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

MARSEILLE = (43.2965, 5.3698)
BLOCK_M = 250.0
JITTER_M = 60.0  # streets are not ruled lines; below half a block, so the grid cannot fold over itself
WALK_MPS = 1.4
WALK_MAX_M = 900.0  # farther than this they take the car
CAR_MPS = (5.0, 16.0)
STOP_CHANCE = 0.2  # a red light, at one crossing in five
STOP_S = (5.0, 30.0)
DWELL_S = (120.0, 1500.0)  # at home, at work, in a shop
FIRST_DWELL_S = (0.0, 300.0)  # the run begins in the middle of everybody's day

assert JITTER_M < BLOCK_M / 2

WGS84_A_M = 6_378_137.0
WGS84_E2 = 6.694379990141316e-3


@dataclass(frozen=True, slots=True)
class Plane:
    """The flat map laid on the ellipsoid: exact at the origin, 1 in 1,000 at 20 km."""

    lat: float
    lon: float

    def to_degrees(self, east_m: Floats, north_m: Floats) -> tuple[Floats, Floats]:
        """Arrays of one shape in, (lat, lon) of that shape out."""
        sine = math.sin(math.radians(self.lat))
        bend = 1.0 - WGS84_E2 * sine * sine
        meridian_m = WGS84_A_M * (1.0 - WGS84_E2) / bend**1.5
        parallel_m = WGS84_A_M / math.sqrt(bend) * math.cos(math.radians(self.lat))
        return self.lat + np.degrees(north_m / meridian_m), self.lon + np.degrees(east_m / parallel_m)


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """Straight legs. ``t`` rises strictly; before the first and after the last one stands still."""

    t: Floats
    east: Floats
    north: Floats

    def __post_init__(self) -> None:
        assert self.t.shape == self.east.shape == self.north.shape
        assert self.t.size > 0
        assert np.all(np.diff(self.t) > 0)

    @classmethod
    def through(cls, moments: Sequence[tuple[float, float, float]]) -> Self:
        """From (t, east, north); a moment that does not come after the one before it is left out."""
        kept = [moments[0]]
        for moment in moments[1:]:
            if moment[0] > kept[-1][0]:
                kept.append(moment)
        t, east, north = np.asarray(kept, dtype=np.float64).T
        return cls(t, east, north)

    def at(self, t: float | Floats) -> tuple[Floats, Floats]:
        """(east, north) at ``t``, a number or an array."""
        moments = np.asarray(t, dtype=np.float64)
        east, north = np.interp(moments, self.t, self.east), np.interp(moments, self.t, self.north)
        return np.asarray(east), np.asarray(north)

    def velocity(self, t: float) -> tuple[float, float]:
        """(east, north) in m/s on the leg that begins at or before ``t``; zero where they stand."""
        leg = int(np.searchsorted(self.t, t, side="right")) - 1
        if leg < 0 or leg + 1 >= self.t.size:
            return 0.0, 0.0
        lasts = self.t[leg + 1] - self.t[leg]
        return (
            float((self.east[leg + 1] - self.east[leg]) / lasts),
            float((self.north[leg + 1] - self.north[leg]) / lasts),
        )


@dataclass(frozen=True, slots=True, eq=False)
class City:
    """Crossings of a jittered grid: ``east`` and ``north`` of shape (side, side); the origin is in the middle."""

    east: Floats
    north: Floats

    @classmethod
    def invent(cls, rng: np.random.Generator, half_m: float) -> Self:
        """A city reaching ``half_m`` from the origin on each side."""
        blocks = math.ceil(half_m / BLOCK_M)
        line = np.arange(-blocks, blocks + 1) * BLOCK_M
        jitter = rng.uniform(-JITTER_M, JITTER_M, (2, line.size, line.size))
        return cls(line[:, None] + jitter[0], line[None, :] + jitter[1])

    @property
    def half_m(self) -> float:
        return int(self.east.shape[0] - 1) / 2 * BLOCK_M

    def crossing_near(self, east_m: float, north_m: float) -> tuple[int, int]:
        """The grid indices of the crossing whose block holds this point, clipped to the city."""
        blocks, last = self.east.shape[0] // 2, self.east.shape[0] - 1
        i, j = round(east_m / BLOCK_M) + blocks, round(north_m / BLOCK_M) + blocks
        return min(max(i, 0), last), min(max(j, 0), last)

    def point(self, crossing: tuple[int, int]) -> tuple[float, float]:
        return float(self.east[crossing]), float(self.north[crossing])

    def route(self, start: tuple[int, int], end: tuple[int, int]) -> list[tuple[float, float]]:
        """The corners of a way along the streets, both ends included: first along one street, then across."""
        (i0, j0), (i1, j1) = start, end
        along = [(i, j0) for i in _steps(i0, i1)]
        across = [(i1, j) for j in _steps(j0, j1)][1:]
        return [self.point(each) for each in along + across]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarter:
    """The part of the city one person never leaves: a disc of ``radius_m`` around a centre."""

    east: float
    north: float
    radius_m: float


def live(rng: np.random.Generator, city: City, quarter: Quarter, duration_s: float) -> Track:
    """A day of one person: home, work, shops, and the ways between, without ever leaving the quarter."""
    home, work, shop = (_place(rng, city, quarter) for _ in range(3))
    here, t = home, float(rng.uniform(*FIRST_DWELL_S)) * float(rng.integers(0, 2))
    moments = [(0.0, *city.point(here)), (t, *city.point(here))]
    while t <= duration_s:
        choices = [place for place in (home, work, shop) if place != here]
        if not choices:  # a very small quarter: all three on one crossing
            break
        there = choices[int(rng.integers(len(choices)))]
        moments += _travel(rng, t, city.route(here, there))
        here, t = there, moments[-1][0] + float(rng.uniform(*DWELL_S))
        moments.append((t, *city.point(here)))
    return Track.through(moments)


def _place(rng: np.random.Generator, city: City, quarter: Quarter) -> tuple[int, int]:
    """A crossing of the quarter; the corner between two of them is at most sqrt(2) times as far out."""
    reach = quarter.radius_m / math.sqrt(2.0) - BLOCK_M / math.sqrt(2.0) - JITTER_M * math.sqrt(2.0)
    assert reach > 0, "a quarter smaller than a block has no streets"
    radius = reach * math.sqrt(float(rng.uniform()))
    bearing = float(rng.uniform(0.0, 2.0 * math.pi))
    return city.crossing_near(
        quarter.east + radius * math.cos(bearing), quarter.north + radius * math.sin(bearing)
    )


def _travel(
    rng: np.random.Generator, leaves_s: float, route: Sequence[tuple[float, float]]
) -> list[tuple[float, float, float]]:
    """On foot when it is near, else by car, with red lights."""
    length_m = sum(math.dist(a, b) for a, b in pairwise(route))
    by_car = length_m > WALK_MAX_M
    t, moments = leaves_s, []
    for here, there in pairwise(route):
        t += math.dist(here, there) / (float(rng.uniform(*CAR_MPS)) if by_car else WALK_MPS)
        moments.append((t, *there))
        if by_car and rng.uniform() < STOP_CHANCE:
            t += float(rng.uniform(*STOP_S))
            moments.append((t, *there))
    return moments


def _steps(start: int, end: int) -> range:
    return range(start, end + 1) if start <= end else range(start, end - 1, -1)
