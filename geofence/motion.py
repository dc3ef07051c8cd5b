"""Where is somebody now, how sure is that, and may the new fix be true?

Between two fixes a person is on the straight line; behind the last one he is carried on by the velocity that the
last two showed, which fades with the correlation time TURN_S (Ornstein-Uhlenbeck). What he may have done
meanwhile, unobserved, is a variance: of having set off from a stand, and of having changed his velocity.

Whatever depends on an age is a table over ages in tenths of a second (``age_ds``): the quantisation of DOMAIN
invariant 11, one look-up instead of an exponential, and the same bits in numpy and in plain Python.

ECEF metres; hours in milliseconds, whole numbers kept as floats; variances in m2.
"""

from __future__ import annotations

from math import exp, sqrt
from typing import Final, NamedTuple

import numpy as np

from geofence.assumptions import (
    FORGET_MS,
    IMPOSSIBLE_M_S,
    LOSS_INTERVALS,
    OVERDUE_INTERVALS,
    OVERDUE_MS,
    R95,
    ROAD_M_S,
    SILENT_M_S,
    STILL_AT_60_S_M,
    TURN_S,
    VELOCITY_SIGMAS,
)
from tocsin.geodesy import FloatArray

Vector = tuple[float, float, float]

DS: Final = 100.0  # milliseconds in a tenth of a second
AGE_MAX_DS: Final = 6_000  # ten minutes: a velocity has faded to less than 1 % by then
UNHEARD_MS: Final = float(-(2**52))
ROAD_M2_S2: Final = ROAD_M_S * ROAD_M_S
VELOCITY_NOISE: Final = VELOCITY_SIGMAS * VELOCITY_SIGMAS


def _rounded(value: float) -> float:
    """To a millionth: what a mathematical library makes of the last place must not reach a decision."""
    return round(value, 6)


def _carry_s(age_s: float) -> float:
    return TURN_S * (1.0 - exp(-age_s / TURN_S))


def _turned_s2(age_s: float) -> float:
    """Variance of the way for one m/s: exact for a fading velocity that was known at age 0."""
    turns, faded = age_s / TURN_S, exp(-age_s / TURN_S)
    return float(TURN_S * TURN_S * max(0.0, 2.0 * turns - 3.0 + 4.0 * faded - faded * faded))


_AGES_S = [tenth / 10.0 for tenth in range(AGE_MAX_DS + 1)]
CARRY_S: Final = tuple(_rounded(_carry_s(age)) for age in _AGES_S)
FADED: Final = tuple(_rounded(exp(-age / TURN_S)) for age in _AGES_S)
TURNED_S2: Final = tuple(_rounded(_turned_s2(age)) for age in _AGES_S)
STILL_M2: Final = tuple(_rounded(STILL_AT_60_S_M**2 * (age / 60.0) ** 3) for age in _AGES_S)


def age_ds(now_ms: float, at_ms: float) -> int:
    """Tenths of a second from ``at_ms`` to ``now_ms``, within the tables; 0 when it lies ahead."""
    return min(max(int((now_ms - at_ms + DS / 2) // DS), 0), AGE_MAX_DS)


class Mover(NamedTuple):
    """One device as its row in ``geofence.devices`` says.

    ``accuracy_m`` of the last fix; ``heard_ms``: the last message of any kind, ``received_ms``: that of the last
    fix; ``interval_s``: what it was told at ``told_ms``. Behind a first fix, and behind a jump that was believed,
    ``before`` is the last fix itself, and there is no velocity; ``before_ms`` of a first fix is UNHEARD_MS.
    ``way_m`` between the two fixes, and ``overdue_ms`` (``overdue_from``) follow from the rest.
    """

    x: float
    y: float
    z: float
    at_ms: float
    accuracy_m: float
    heard_ms: float
    interval_s: float
    received_ms: float
    before_x: float
    before_y: float
    before_z: float
    before_ms: float
    vx: float
    vy: float
    vz: float
    speed_m_s: float
    told_ms: float
    way_m: float
    overdue_ms: float

    @property
    def place(self) -> Vector:
        return self.x, self.y, self.z

    @property
    def is_known(self) -> bool:
        return self.at_ms > UNHEARD_MS

    @property
    def is_first(self) -> bool:
        """Whether it has been seen at one instant only."""
        return self.before_ms == UNHEARD_MS

    def lost_ms(self, since_ms: float) -> float:
        """When it will have said nothing for LOSS_INTERVALS intervals, the last at ``since_ms``."""
        return max(since_ms, self.told_ms) + 1_000.0 * LOSS_INTERVALS * self.interval_s

    @property
    def silent_m_s(self) -> float:
        """How fast he plausibly moves while nothing is heard of him."""
        return max(SILENT_M_S, self.speed_m_s)

    def place_at(self, at_ms: float) -> Vector:
        """Between the two fixes on the straight line; behind the last, carried on by the fading velocity."""
        if at_ms >= self.at_ms:
            if self.speed_m_s == 0.0:
                return self.x, self.y, self.z
            carry_s = CARRY_S[age_ds(at_ms, self.at_ms)]
            return self.x + self.vx * carry_s, self.y + self.vy * carry_s, self.z + self.vz * carry_s
        if self.before_ms >= self.at_ms:
            return self.x, self.y, self.z
        share = (at_ms - self.before_ms) / (self.at_ms - self.before_ms)
        return (
            self.before_x + (self.x - self.before_x) * share,
            self.before_y + (self.y - self.before_y) * share,
            self.before_z + (self.z - self.before_z) * share,
        )

    def velocity_at(self, at_ms: float) -> Vector:
        """What is left of the velocity, m/s."""
        left = FADED[age_ds(at_ms, self.at_ms)]
        return self.vx * left, self.vy * left, self.vz * left

    def is_observed_around(self, at_ms: float) -> bool:
        """Whether the hour lies between the two fixes: the place then was seen from both sides."""
        return self.before_ms <= at_ms <= self.at_ms < self.before_ms + FORGET_MS and self.before_ms < self.at_ms

    def unobserved_m2(self, at_ms: float) -> float:
        """Variance of the movement since the last fix."""
        age = age_ds(at_ms, self.at_ms)
        return STILL_M2[age] + self.speed_m_s * self.speed_m_s * TURNED_S2[age]


class Seen(NamedTuple):
    """One fix as it is remembered beside the rows."""

    at_ms: float
    place: Vector
    accuracy_m: float


def overdue_from(at_ms: float, told_ms: float, interval_s: float) -> float:
    """When a unit will have been silent for longer than one lost report explains: since its last fix, or since it
    was told to report at another interval."""
    return max(at_ms, told_ms) + 1_000.0 * OVERDUE_INTERVALS * interval_s + OVERDUE_MS


def overdue_of_many(at_ms: FloatArray, told_ms: FloatArray, interval_s: FloatArray) -> FloatArray:
    """``overdue_from``, bit for bit, by columns."""
    hours: FloatArray = np.maximum(at_ms, told_ms)
    hours += (1_000.0 * OVERDUE_INTERVALS) * interval_s + OVERDUE_MS
    return hours


def is_reachable(from_: Vector, from_ms: float, from_accuracy_m: float, to: Seen) -> bool:
    """Whether the way, less both 95 % radii, was possible at IMPOSSIBLE_M_S."""
    dx, dy, dz = to.place[0] - from_[0], to.place[1] - from_[1], to.place[2] - from_[2]
    reach_m = IMPOSSIBLE_M_S * (to.at_ms - from_ms) / 1_000.0 + R95 * (to.accuracy_m + from_accuracy_m)
    return dx * dx + dy * dy + dz * dz <= reach_m * reach_m


class Movement(NamedTuple):
    """What a way between two fixes shows: velocity and speed (m/s), length (m)."""

    velocity: Vector
    speed_m_s: float
    way_m: float


def movement(way: Vector, dt_ms: float, accuracy_m: float, accuracy_before_m: float) -> Movement:
    """The velocity of a way, shrunk by what the errors of its ends alone would show (James-Stein)."""
    x, y, z = way
    square_m2 = x * x + y * y + z * z
    way_m, per_s = sqrt(square_m2), 1_000.0 / dt_ms
    squared = square_m2 * (per_s * per_s)
    if dt_ms > FORGET_MS or squared > ROAD_M2_S2 or squared == 0.0:
        return Movement((0.0, 0.0, 0.0), 0.0, way_m)
    noise = VELOCITY_NOISE * (accuracy_m * accuracy_m + accuracy_before_m * accuracy_before_m) * (per_s * per_s)
    share = 1.0 - noise / squared
    if share <= 0.0:
        return Movement((0.0, 0.0, 0.0), 0.0, way_m)
    share *= per_s
    return Movement((x * share, y * share, z * share), way_m * share, way_m)


class Movements(NamedTuple):
    """``Movement`` for n ways: (3, n), (n), (n)."""

    velocities: FloatArray
    speeds_m_s: FloatArray
    ways_m: FloatArray


def movements(
    ways: FloatArray, dt_ms: FloatArray, accuracy_m: FloatArray, accuracy_before_m: FloatArray
) -> Movements:
    """``movement``, bit for bit, for ways (3, n). What the errors alone would show is never nothing: so where the
    way shows less, the share is nothing without being asked for."""
    squares = ways * ways
    square_m2 = squares[0]
    square_m2 += squares[1]
    square_m2 += squares[2]
    ways_m, per_s = np.sqrt(square_m2), 1_000.0 / dt_ms
    per_s2 = per_s * per_s
    squared = square_m2 * per_s2
    noise = VELOCITY_NOISE * (accuracy_m * accuracy_m + accuracy_before_m * accuracy_before_m)
    noise *= per_s2
    share = np.divide(noise, np.maximum(squared, noise))
    np.subtract(1.0, share, out=share)
    share *= (squared <= ROAD_M2_S2) & (dt_ms <= FORGET_MS)
    share *= per_s
    velocities = ways * share
    velocities += 0.0  # nothing is -0.0, as in the other one
    return Movements(velocities, ways_m * share, ways_m)
