"""How far apart are two people at one instant, and how far may they be at the least?

A distance is only as good as its older fix, so both parties are brought to the same instant before they are
compared. Metres, seconds.
"""

from __future__ import annotations

from math import inf, sqrt
from typing import NamedTuple

from reference.interval.device import Device, minus
from reference.interval.settings import CAP, D_LB_SIGMAS, FORGET_S, FRESH_S, R95, SILENT_M_S, Z_FIX
from tocsin.geodesy import chord_m


class Apart(NamedTuple):
    """What a new fix says about the two. ``as_they_stand_m``: between the last fixes, whenever those were;
    ``expected_m``: now, both carried on; ``doubt_m``: 1 sigma of what nobody has observed; ``radii_m``: the 95 %
    radii together; ``is_live``: the two fixes are near enough in time to be compared at all."""

    as_they_stand_m: float
    expected_m: float
    doubt_m: float
    radii_m: float
    is_live: bool


def apart(a: Device, b: Device, now_s: float) -> Apart:
    """A first observation has nothing before it that could be doubted: if it is inside, that is an alert."""
    as_they_stand_m = chord_m(a.last.place_m, b.last.place_m)
    is_live = are_comparable(a, b)
    is_first = a.accepted == 1 or b.accepted == 1
    return Apart(
        as_they_stand_m=as_they_stand_m,
        expected_m=expected_m(a, b, now_s) if is_live else as_they_stand_m,
        doubt_m=0.0 if is_first else doubt_m(a, b, now_s),
        radii_m=radii_m(a, b),
        is_live=is_live,
    )


def are_comparable(a: Device, b: Device) -> bool:
    return abs(a.last.at_s - b.last.at_s) <= FORGET_S


def expected_m(a: Device, b: Device, now_s: float) -> float:
    return chord_m(a.place_at(now_s), b.place_at(now_s))


def doubt_m(a: Device, b: Device, now_s: float) -> float:
    return sqrt(a.unobserved_m2(now_s) + b.unobserved_m2(now_s))


def radii_m(a: Device, b: Device) -> float:
    return R95 * (a.last.accuracy_m + b.last.accuracy_m)


def closing_m_s(a: Device, b: Device, now_s: float, expected_m: float) -> float:
    """How fast the distance shrinks, by what is left of both velocities."""
    way = minus(a.place_at(now_s), b.place_at(now_s))
    drift = minus(a.velocity_at(now_s), b.velocity_at(now_s))
    return -(way[0] * drift[0] + way[1] * drift[1] + way[2] * drift[2]) / expected_m


def observed_m(a: Device, b: Device) -> float:
    """The nearest that they were at an instant which both have been observed around; inf if there is none."""
    nearest_m = inf
    for one, partner in ((a, b), (b, a)):
        if one.is_observed_around(partner.last.at_s):
            nearest_m = min(nearest_m, chord_m(one.place_at(partner.last.at_s), partner.last.place_m))
    return nearest_m


def shown_m(mine: Device, partner: Device, now_s: float, seen: Apart, radius_m: float) -> float:
    """The distance that a fix of ``mine`` shows for a ring: inside if it is at most ``radius_m``.

    The least of three readings: what was observed on both sides; with both fixes fresh, the greater of as they
    stand and expected, with nothing held against it; what is expected, with the doubt held against it, but never
    more than CAP of the ring. A fix that is itself old says where he was, not where he is: then only the first.
    """
    if not seen.is_live:
        return inf
    nearest_m = observed_m(mine, partner)
    if now_s > mine.overdue_s():
        return nearest_m
    if now_s - mine.last.at_s <= FRESH_S and now_s - partner.last.at_s <= FRESH_S:
        nearest_m = min(nearest_m, max(seen.as_they_stand_m, seen.expected_m))
    return min(nearest_m, seen.expected_m + min(Z_FIX * seen.doubt_m, CAP * radius_m))


class Bound(NamedTuple):
    """The least distance that is still plausible; whether anybody is overdue."""

    lower_m: float
    anyone_overdue: bool


def lower_bound(a: Device, b: Device, now_s: float) -> Bound:
    """Whoever reports may have moved by 2 sigma; whoever is overdue, at his own or the plausible speed."""
    nearest_m = min(chord_m(a.last.place_m, b.last.place_m), expected_m(a, b, now_s))
    slack_m = variance_m2 = 0.0
    anyone_overdue = False
    for device in (a, b):
        if now_s > device.overdue_s():
            anyone_overdue = True
            slack_m += silent_m_s(device) * (now_s - device.last.at_s)
        else:
            variance_m2 += device.unobserved_m2(now_s)
    return Bound(nearest_m - radii_m(a, b) - slack_m - D_LB_SIGMAS * sqrt(variance_m2), anyone_overdue)


def silent_m_s(device: Device) -> float:
    return max(SILENT_M_S, device.speed_m_s)


def blind_not_before_s(a: Device, b: Device, now_s: float, radius_m: float) -> float:
    """A bound from below of the hour at which somebody is overdue and the lower bound inside ``radius_m``, if
    nobody speaks: everybody moves as fast as is allowed from now on. The clock need not look earlier."""
    first_s = min(a.overdue_s(), b.overdue_s())
    last_s = max(a.overdue_s(), b.overdue_s())
    left_m = min(chord_m(a.last.place_m, b.last.place_m), expected_m(a, b, now_s)) - radii_m(a, b) - radius_m
    if now_s < last_s:
        left_m -= D_LB_SIGMAS * doubt_m(a, b, max(now_s, first_s))
    left_m -= sum(silent_m_s(one) * max(0.0, now_s - one.last.at_s) for one in (a, b))
    fastest_m_s = sum(silent_m_s(one) + one.speed_m_s for one in (a, b))
    return max(first_s, now_s + max(0.0, left_m) / fastest_m_s)
