"""Where is unit n just now, and what does its receiver say? A day in an invented city, from a seed.

Wearers live in the west, protected persons in the east, quarters of 2 km radius whose edges are 12 km apart: at an
alert distance of 1 km no pair of the background ever comes near, so that every alert of the run is the canary's,
and any other one is an error. Units: seconds since the start of the run, metres, degrees.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Final, Self

import numpy as np

from simulator.gnss import SkyFix
from simulator.motion import MARSEILLE, City, Plane, Quarter, Track, live

CITY_HALF_M: Final = 12_000.0
QUARTER_M: Final = 2_000.0
APART_M: Final = 8_000.0  # each side's centre from the middle
SIGMA_M: Final = 5.0  # of one fix; fixes of a background unit need not remember each other's error
DAY_S: Final = 4 * 3600.0  # the part of a day that is invented
JOIN_WITHIN_S: Final = 3 * 3600.0  # the run begins at another hour of each unit's day

assert 2 * (APART_M - QUARTER_M) > 10_000.0, "farther apart than any alert distance"
assert APART_M + QUARTER_M <= CITY_HALF_M

PLANE: Final = Plane(*MARSEILLE)


@cache
def city(seed: int) -> City:
    return City.invent(np.random.default_rng(seed), CITY_HALF_M)


@dataclass(slots=True, eq=False)
class Walk:
    """One person of the background, and the receiver that he carries."""

    track: Track
    joined_s: float
    rng: np.random.Generator

    @classmethod
    def invent(cls, seed: int, index: int) -> Self:
        """Even: a wearer, odd: a protected person."""
        rng = np.random.default_rng([seed, index])
        quarter = Quarter(east=-APART_M if index % 2 == 0 else APART_M, north=0.0, radius_m=QUARTER_M)
        return cls(live(rng, city(seed), quarter, DAY_S), float(rng.uniform(0.0, JOIN_WITHIN_S)), rng)

    def fix(self, t: float) -> SkyFix:
        """What the receiver says at second ``t`` of the run."""
        there_s = self.joined_s + t
        east, north = self.track.at(there_s)
        error_m = self.rng.normal(0.0, SIGMA_M, 2)
        lat, lon = PLANE.to_degrees(east + error_m[0], north + error_m[1])
        velocity = self.track.velocity(there_s)
        return SkyFix(
            t=t,
            lat=float(lat),
            lon=float(lon),
            accuracy_m=2 * SIGMA_M,
            speed_mps=math.hypot(*velocity),
            course_deg=math.degrees(math.atan2(*velocity)) % 360.0,
        )
