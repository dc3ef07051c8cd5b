"""How far apart are two people at one instant, at the best, at the least and at the most?

A distance is only as good as its older fix, so both parties are brought to the same instant before they are
compared; what accuracy, age and motion leave open makes it an interval (DOMAIN section 3: d_lb, d_hat, d_ub).

Metres, hours in milliseconds. What is compared is rounded to 0.1 m (DOMAIN, invariant 11).
"""

from __future__ import annotations

from math import inf, sqrt
from typing import Final, NamedTuple

from geofence.assumptions import (
    CAP,
    FORGET_MS,
    FRESH_MS,
    R95,
    SLACK_SIGMAS,
    STILL_AT_60_S_M,
    TURN_S,
    Z_CLOCK,
    Z_FIX,
)
from geofence.motion import AGE_MAX_DS, Mover
from tocsin.geodesy import chord_m

STILL_M2_S3: Final = STILL_AT_60_S_M**2 / 60.0**3
TURNED_PER_S: Final = 2.0 / (3.0 * TURN_S)  # the first term of TURNED_S2 is larger than the whole
TURNED_LESS_PER_S: Final = 3.0 / (4.0 * TURN_S)  # ... the second, which is less than nothing, as a part of it
ROUNDED_S: Final = 0.2  # by so much less ``age_s_of`` is rather too young
AGE_MAX_S: Final = AGE_MAX_DS / 10.0
# How fast he comes who is not overdue, carried on and by 2 sigma: by his speed, at any age at most ...
SETTING_OFF: Final = 2.0
# ... and from a stand, the faster the older his fix: by the root of its age.
SETTING_OFF_M_S15: Final = 1.5 * SLACK_SIGMAS * sqrt(STILL_M2_S3)
NOWHERE_M: Final = 1e-3  # two at one place: a direction is asked for all the same
STILL_M_S: Final = 1e-3  # nobody stands so still that it takes for ever
SECOND_MS: Final = 1_000.0


class Separation(NamedTuple):
    """``raw_m``: between the last fixes, whenever those were; ``best_m``: now, both carried on; ``doubt_m``: 1
    sigma of what nobody has observed, none at a first observation; ``radii_m``: the 95 % radii together;
    ``is_live``: the fixes are near enough in time to be compared at all, else best is raw."""

    raw_m: float
    best_m: float
    doubt_m: float
    radii_m: float
    is_live: bool

    @property
    def nearest_m(self) -> float:
        """The nearer of the two readings."""
        return min(self.raw_m, self.best_m)


def separation(a: Mover, b: Mover, now_ms: float) -> Separation:
    raw_m = quantised(chord_m(a.place, b.place))
    is_live = are_comparable(a, b)
    return Separation(
        raw_m,
        quantised(chord_m(a.place_at(now_ms), b.place_at(now_ms))) if is_live else raw_m,
        0.0 if a.is_first or b.is_first else doubt_m(a, b, now_ms),
        radii_m(a.accuracy_m, b.accuracy_m),
        is_live,
    )


def quantised(metres: float) -> float:
    """Rounded to a decimetre, as metres."""
    return round(10.0 * metres) / 10.0


def are_comparable(a: Mover, b: Mover) -> bool:
    return abs(a.at_ms - b.at_ms) <= FORGET_MS


def doubt_m(a: Mover, b: Mover, now_ms: float) -> float:
    return quantised(sqrt(a.unobserved_m2(now_ms) + b.unobserved_m2(now_ms)))


def radii_m(accuracy_a_m: float, accuracy_b_m: float) -> float:
    return quantised(R95 * (accuracy_a_m + accuracy_b_m))


def closing_m_s(a: Mover, b: Mover, now_ms: float, best_m: float) -> float:
    """How fast the distance shrinks, by what is left of both velocities; 0 where they are at one place."""
    if best_m <= 0.0:
        return 0.0
    (ax, ay, az), (bx, by, bz) = a.place_at(now_ms), b.place_at(now_ms)
    (ux, uy, uz), (wx, wy, wz) = a.velocity_at(now_ms), b.velocity_at(now_ms)
    return -((ax - bx) * (ux - wx) + (ay - by) * (uy - wy) + (az - bz) * (uz - wz)) / best_m


class Shown(NamedTuple):
    """What a new fix shows: ``nearest_m`` as was observed; ``expected_m``, against which ``doubt_m`` is held."""

    nearest_m: float
    expected_m: float
    doubt_m: float

    def for_ring(self, radius_m: float) -> float:
        """The distance for a ring of ``radius_m``: inside if it is at most that. The doubt counts for no more than
        CAP of the ring."""
        return min(self.nearest_m, self.expected_m + min(Z_FIX * self.doubt_m, CAP * radius_m))


NOTHING_SHOWN: Final = Shown(inf, inf, 0.0)


def shown_by(mine: Mover, partner: Mover, now_ms: float, seen: Separation) -> Shown:
    """By a fix of ``mine``, the least of three readings: what was observed on both sides; with both fixes fresh,
    the greater of raw and best, nothing held against it; the best, with the doubt held against it. A fix that is
    itself old (overdue, and not fresh) says where he was, not where he is: then only the first.
    """
    if not seen.is_live:
        return NOTHING_SHOWN
    nearest_m = observed_m(mine, partner)
    if now_ms > max(mine.overdue_ms, mine.at_ms + FRESH_MS):
        return Shown(nearest_m, inf, 0.0)
    if now_ms - mine.at_ms <= FRESH_MS and now_ms - partner.at_ms <= FRESH_MS:
        nearest_m = min(nearest_m, max(seen.raw_m, seen.best_m))
    return Shown(nearest_m, seen.best_m, seen.doubt_m)


def observed_m(a: Mover, b: Mover) -> float:
    """The nearest that they were at an instant which both have been observed around; inf if there is none."""
    nearest_m = inf
    for one, partner in ((a, b), (b, a)):
        if one.is_observed_around(partner.at_ms):
            nearest_m = min(nearest_m, quantised(chord_m(one.place_at(partner.at_ms), partner.place)))
    return nearest_m


def slack_m(a: Mover, b: Mover, now_ms: float) -> float:
    """How much nearer, or farther, they may be than they are seen. Whoever reports may have moved by some sigmas;
    whoever is overdue, at his own or the plausible speed."""
    metres = variance_m2 = 0.0
    for mover in (a, b):
        if now_ms > mover.overdue_ms:
            metres += mover.silent_m_s * (now_ms - mover.at_ms) / SECOND_MS
        else:
            variance_m2 += mover.unobserved_m2(now_ms)
    return metres + SLACK_SIGMAS * sqrt(variance_m2)


def overdue_since_ms(a: Mover, b: Mover, now_ms: float) -> float:
    """Since when somebody has been overdue; inf if nobody is."""
    hour = min(a.overdue_ms, b.overdue_ms)
    return hour if hour < now_ms else inf


def lower_m(seen: Separation, held_m: float) -> float:
    """d_lb: the least distance that is still plausible, by ``slack_m``. Never below 0, never more for a worse
    accuracy."""
    return max(0.0, quantised(seen.nearest_m - seen.radii_m - held_m))


def upper_m(seen: Separation, held_m: float) -> float:
    """d_ub: the greatest."""
    return quantised(max(seen.raw_m, seen.best_m) + seen.radii_m + held_m)


# --- when to look again ----------------------------------------------------------------------------------------


def blind_not_before_ms(a: Mover, b: Mover, now_ms: float, left_m: float) -> float:
    """A bound from below of the hour at which somebody is overdue and the distance has shrunk by ``left_m``, if
    nobody speaks: first one of them is overdue and the other moves as far as is plausible, then both are."""
    if b.overdue_ms < a.overdue_ms:
        a, b = b, a
    age_a, age_b = age_s_of(a, now_ms), age_s_of(b, now_ms)
    slack_a, slack_b = a.silent_m_s * age_a, b.silent_m_s * age_b
    rate_a, rate_b = a.silent_m_s + a.speed_m_s, b.silent_m_s + b.speed_m_s
    spent_m = slack_a + SLACK_SIGMAS * sqrt(variance_of_m2(age_b, b.speed_m_s))
    last_s = min((b.overdue_ms - b.at_ms) / SECOND_MS + ROUNDED_S, AGE_MAX_S)  # then both are overdue
    rate_m_s = rate_a + SETTING_OFF * b.speed_m_s + SETTING_OFF_M_S15 * sqrt(last_s)
    one_ms = max(now_ms + SECOND_MS * (left_m - spent_m) / rate_m_s, a.overdue_ms)
    if one_ms < b.overdue_ms:
        return one_ms
    return max(now_ms + SECOND_MS * (left_m - slack_a - slack_b) / (rate_a + rate_b), b.overdue_ms)


def variance_of_m2(age_s: float, speed_m_s: float) -> float:
    """At least ``unobserved_m2``, without a table; rather too old."""
    return (speed_m_s * speed_m_s * TURNED_PER_S + STILL_M2_S3) * (age_s * age_s * age_s)


def sure_variance_m2(age_s: float, speed_m_s: float) -> float:
    """At most ``unobserved_m2``, of an age by ``age_s_of``: two terms of TURNED_S2, which lie below the whole."""
    sure_s = min(max(age_s - ROUNDED_S, 0.0), AGE_MAX_S)
    turned = TURNED_PER_S * max(1.0 - TURNED_LESS_PER_S * sure_s, 0.0)
    return (speed_m_s * speed_m_s * turned + STILL_M2_S3) * (sure_s * sure_s * sure_s)


def age_s_of(mover: Mover, now_ms: float) -> float:
    """Rather too old: the rules count in whole tenths. Of a fix from behind this hour: none."""
    return max(now_ms - mover.at_ms, 0.0) / SECOND_MS + 0.1


def carried_in_not_before_ms(a: Mover, b: Mover, now_ms: float, seen: Separation, radius_m: float) -> float:
    """The same of the hour at which both, still reporting, are carried into ``radius_m``; inf if never: a velocity
    that fades carries nobody farther than TURN_S of it."""
    closing_a, closing_b = (max(0.0, one) for one in closings_m_s(a, b))
    carried_m_s = closing_a + closing_b
    left_m = seen.raw_m + Z_CLOCK * seen.doubt_m - radius_m - 1.0  # the doubt can only grow
    if left_m > TURN_S * carried_m_s:
        return inf
    left_m -= closing_a * (now_ms - a.at_ms) / SECOND_MS + closing_b * (now_ms - b.at_ms) / SECOND_MS
    at_ms = now_ms + (SECOND_MS * left_m / carried_m_s if left_m > 0.0 else 0.0)
    return at_ms if at_ms < min(a.overdue_ms, b.overdue_ms) else inf


def closings_m_s(a: Mover, b: Mover) -> tuple[float, float]:
    """The part of each velocity that is directed at the other, as they were last seen; below 0 it leads away."""
    dx, dy, dz = a.x - b.x, a.y - b.y, a.z - b.z
    raw_m = sqrt(dx * dx + dy * dy + dz * dz) + NOWHERE_M
    return -(dx * a.vx + dy * a.vy + dz * a.vz) / raw_m, (dx * b.vx + dy * b.vy + dz * b.vz) / raw_m
