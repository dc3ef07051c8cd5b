"""Where is one person now, how sure is that, and may the new fix be true?

A device remembers its last accepted fix, the one before, and after a jump the other place where it may be. From
the last two fixes comes a velocity, as far as it stands out of its own error. A person's velocity fades with the
correlation time TURN_S (Ornstein-Uhlenbeck): he is expected where the fading velocity has carried him, and what he
may have done meanwhile, unobserved, is the variance of that movement. Who stood still may have set off.

Places are ECEF in metres, times seconds, ``accuracy_m`` the reported radius that holds 68 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, inf, sqrt
from typing import Final, NamedTuple

from reference.interval.settings import (
    FORGET_S,
    IMPOSSIBLE_M_S,
    OVERDUE_INTERVALS,
    OVERDUE_S,
    R95,
    ROAD_M_S,
    STILL_AT_60_S_M,
    TURN_S,
    UNTOLD_ACCURACY_M,
    VELOCITY_SIGMAS,
)  # fmt: skip
from tocsin.geodesy import chord_m

Vector = tuple[float, float, float]

AT_REST: Final[Vector] = (0.0, 0.0, 0.0)


class Seen(NamedTuple):
    """One fix as it is remembered."""

    at_s: float
    place_m: Vector
    accuracy_m: float


def seen(at_s: float, place_m: Vector, accuracy_m: float | None) -> Seen:
    """``accuracy_m`` None: the device told none."""
    return Seen(at_s, place_m, UNTOLD_ACCURACY_M if accuracy_m is None else accuracy_m)


NEVER: Final = Seen(-inf, AT_REST, 0.0)


@dataclass(slots=True)
class Device:
    """``before`` is None while ``last`` continues no movement; ``other`` is the hypothesis not believed now: a
    rejected jump, or the place left by an accepted one. ``velocity_m_s`` is already shrunk."""

    interval_s: float
    last: Seen = NEVER
    before: Seen | None = None
    other: Seen | None = None
    velocity_m_s: Vector = AT_REST
    speed_m_s: float = 0.0
    accepted: int = 0

    @property
    def is_known(self) -> bool:
        return self.accepted > 0

    def overdue_s(self) -> float:
        """When it will have been silent for longer than one lost report explains."""
        return self.last.at_s + OVERDUE_INTERVALS * self.interval_s + OVERDUE_S

    # --- where

    def place_at(self, at_s: float) -> Vector:
        """Between the two fixes on the straight line; behind the last, carried on by the fading velocity."""
        dt_s = at_s - self.last.at_s
        if dt_s >= 0.0:
            return self._carried_on(dt_s)
        if self.before is None:
            return self.last.place_m
        share = (at_s - self.before.at_s) / (self.last.at_s - self.before.at_s)
        return moved(self.before.place_m, minus(self.last.place_m, self.before.place_m), share)

    def _carried_on(self, dt_s: float) -> Vector:
        if self.speed_m_s == 0.0:
            return self.last.place_m
        return moved(self.last.place_m, self.velocity_m_s, TURN_S * (1.0 - exp(-dt_s / TURN_S)))

    def velocity_at(self, at_s: float) -> Vector:
        """What is left of the velocity."""
        return moved(AT_REST, self.velocity_m_s, exp(-(at_s - self.last.at_s) / TURN_S))

    def is_observed_around(self, at_s: float) -> bool:
        """Whether the hour lies between the two fixes: the place then was seen from both sides."""
        before = self.before
        return before is not None and before.at_s <= at_s <= self.last.at_s < before.at_s + FORGET_S

    def unobserved_m2(self, at_s: float) -> float:
        """Variance of the movement since the last fix: of setting off, and of the velocity having changed."""
        dt_s = at_s - self.last.at_s
        if dt_s <= 0.0:
            return 0.0
        minutes = dt_s / 60.0
        variance_m2 = STILL_AT_60_S_M**2 * minutes * minutes * minutes
        if self.speed_m_s:
            turns = dt_s / TURN_S
            faded = exp(-turns)
            spread = max(0.0, 2 * turns - 3 + 4 * faded - faded * faded)  # exact: OU, given the velocity at 0
            variance_m2 += (self.speed_m_s * TURN_S) ** 2 * spread
        return variance_m2

    # --- plausible?

    def accept(self, fix: Seen) -> bool:
        """Whether ``fix``, newer than the last, is believed; it is remembered either way.

        A fix that nobody could have reached in time is a second hypothesis and no more. The next fix that fits it
        better than the present place is believed at once: so the second fix at a new place, and the first one back
        at the old place. A counter of rejections raised false alerts on the way back from a run of outliers.
        """
        if not self.is_known:
            self._continue(fix)
            return True
        here_m, there_m = chord_m(fix.place_m, self.last.place_m), self._from_other_m(fix)
        if is_reachable(self.last, fix) and here_m <= there_m:
            self._continue(fix)
        elif there_m < inf:
            self._go_over(fix)
        else:
            self.other = fix
            return False
        return True

    def _from_other_m(self, fix: Seen) -> float:
        """How far from the other hypothesis, if it can be reached from there and is not forgotten; else inf."""
        if self.other is not None and fix.at_s - self.other.at_s > FORGET_S:
            self.other = None
        if self.other is None or fix.at_s <= self.other.at_s or not is_reachable(self.other, fix):
            return inf
        return chord_m(fix.place_m, self.other.place_m)

    def _continue(self, fix: Seen) -> None:
        if self.is_known:
            self.velocity_m_s, self.speed_m_s = velocity(self.last, fix)
            self.before = self.last
        self.last = fix
        self.accepted += 1

    def _go_over(self, fix: Seen) -> None:
        """The other hypothesis was right; of the way there nothing is known, so no velocity."""
        self.other, self.last, self.before = self.last, fix, None
        self.velocity_m_s, self.speed_m_s = AT_REST, 0.0
        self.accepted += 1


def is_reachable(from_: Seen, to: Seen) -> bool:
    """Whether the way, less both 95 % radii, was possible at IMPOSSIBLE_M_S."""
    way_m = chord_m(to.place_m, from_.place_m) - R95 * (to.accuracy_m + from_.accuracy_m)
    return way_m <= IMPOSSIBLE_M_S * (to.at_s - from_.at_s)


def velocity(from_: Seen, to: Seen) -> tuple[Vector, float]:
    """Velocity and speed between two fixes, shrunk by what their errors alone would show (James-Stein)."""
    dt_s = to.at_s - from_.at_s
    way = minus(to.place_m, from_.place_m)
    raw: Vector = (way[0] / dt_s, way[1] / dt_s, way[2] / dt_s)
    squared = raw[0] * raw[0] + raw[1] * raw[1] + raw[2] * raw[2]
    if dt_s > FORGET_S or squared > ROAD_M_S * ROAD_M_S or squared == 0.0:
        return AT_REST, 0.0
    noise = (to.accuracy_m * to.accuracy_m + from_.accuracy_m * from_.accuracy_m) / (dt_s * dt_s)
    share = 1.0 - VELOCITY_SIGMAS**2 * noise / squared
    if share <= 0.0:
        return AT_REST, 0.0
    return moved(AT_REST, raw, share), sqrt(squared) * share


def minus(a: Vector, b: Vector) -> Vector:
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


def moved(place_m: Vector, way: Vector, times: float) -> Vector:
    return place_m[0] + way[0] * times, place_m[1] + way[1] * times, place_m[2] + way[2] * times
