"""How far apart are two people at one instant, at the best, at the least and at the most?

A distance is only as good as its older fix, so both parties are brought to the same instant before they are
compared; what accuracy, age and motion leave open makes it an interval (DOMAIN section 3: d_lb, d_hat, d_ub).

``separation`` is for one pair and decides; ``kept_apart`` is for many and says for which of them nothing can have
changed: its bounds are wider than what the rules compute, never narrower (tests/properties).

Metres, hours in milliseconds. What is compared is rounded to 0.1 m (DOMAIN, invariant 11).
"""

from __future__ import annotations

from math import ceil, inf, sqrt
from typing import Final, NamedTuple

import numpy as np

from geofence.assumptions import (
    CAP,
    FORGET_MS,
    FRESH_MS,
    LOSS_INTERVALS,
    OVERDUE_INTERVALS,
    OVERDUE_MS,
    R95,
    SILENT_M_S,
    SLACK_SIGMAS,
    STILL_AT_60_S_M,
    TURN_S,
    Z_CLOCK,
    Z_FIX,
)
from geofence.devices import ACCURACY, AT, BEFORE, BEFORE_MS, HEARD, INTERVAL, SPEED, TOLD, Mask, V, X
from geofence.motion import Mover
from tocsin.geodesy import FloatArray, IntArray, chord_m

STILL_M2_S3: Final = STILL_AT_60_S_M**2 / 60.0**3
TURNED_PER_S: Final = 2.0 / (3.0 * TURN_S)  # the first term of TURNED_S2 is larger than the whole
# How fast 2 sigma of whoever is not overdue grow, by his speed and beside it.
SETTING_OFF: Final = 2.0
SETTING_OFF_M_S: Final = 5.0
LATE_MARGIN_M: Final = 12.0  # what 0.1 s of age makes of both slacks at ROAD_M_S, and the roundings
NOWHERE_M: Final = 1e-3  # two at one place: a direction is asked for all the same
STILL_M_S: Final = 1e-3  # nobody stands so still that it takes for ever
SECOND_MS: Final = 1_000.0
LOSS_MS_PER_S: Final = SECOND_MS * LOSS_INTERVALS


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


def shown_m(mine: Mover, partner: Mover, now_ms: float, seen: Separation, radius_m: float) -> float:
    """The distance that a new fix of ``mine`` shows for a ring of ``radius_m``: inside if it is at most that.

    The least of three readings: what was observed on both sides; with both fixes fresh, the greater of raw and
    best, nothing held against it; the best, with the doubt held against it, but never more than CAP of the ring.
    A fix that is itself old (overdue, and not fresh) says where he was, not where he is: then only the first.
    """
    if not seen.is_live:
        return inf
    nearest_m = observed_m(mine, partner)
    if now_ms > max(mine.overdue_ms, mine.at_ms + FRESH_MS):
        return nearest_m
    if now_ms - mine.at_ms <= FRESH_MS and now_ms - partner.at_ms <= FRESH_MS:
        nearest_m = min(nearest_m, max(seen.raw_m, seen.best_m))
    return min(nearest_m, seen.best_m + min(Z_FIX * seen.doubt_m, CAP * radius_m))


def observed_m(a: Mover, b: Mover) -> float:
    """The nearest that they were at an instant which both have been observed around; inf if there is none."""
    nearest_m = inf
    for one, partner in ((a, b), (b, a)):
        if one.is_observed_around(partner.at_ms):
            nearest_m = min(nearest_m, quantised(chord_m(one.place_at(partner.at_ms), partner.place)))
    return nearest_m


class Slack(NamedTuple):
    """How much nearer, or farther, they may be than they are seen: ``metres``. ``overdue_ms``: since when somebody
    has been overdue, inf if nobody is."""

    metres: float
    overdue_ms: float


def slack(a: Mover, b: Mover, now_ms: float) -> Slack:
    """Whoever reports may have moved by some sigmas; whoever is overdue, at his own or the plausible speed."""
    metres = variance_m2 = 0.0
    overdue_ms = inf
    for mover in (a, b):
        if now_ms > mover.overdue_ms:
            overdue_ms = min(overdue_ms, mover.overdue_ms)
            metres += mover.silent_m_s * (now_ms - mover.at_ms) / SECOND_MS
        else:
            variance_m2 += mover.unobserved_m2(now_ms)
    return Slack(metres + SLACK_SIGMAS * sqrt(variance_m2), overdue_ms)


def lower_m(seen: Separation, slack_m: float) -> float:
    """d_lb: the least distance that is still plausible. Never below 0, never more for a worse accuracy."""
    return max(0.0, quantised(seen.nearest_m - seen.radii_m - slack_m))


def upper_m(seen: Separation, slack_m: float) -> float:
    """d_ub: the greatest."""
    return quantised(max(seen.raw_m, seen.best_m) + seen.radii_m + slack_m)


# --- when to look again ----------------------------------------------------------------------------------------


def blind_not_before_ms(a: Mover, b: Mover, now_ms: float, seen: Separation, radius_m: float) -> float:
    """A bound from below of the hour at which somebody is overdue and d_lb at most ``radius_m``, if nobody speaks:
    first one of them is overdue and the other moves as far as is plausible, then both are."""
    if b.overdue_ms < a.overdue_ms:
        a, b = b, a
    left_m = seen.nearest_m - seen.radii_m - radius_m - 1.0
    moved_b = SLACK_SIGMAS * sqrt(b.unobserved_m2(now_ms))
    slack_a, slack_b = (one.silent_m_s * max(0.0, now_ms - one.at_ms) / SECOND_MS for one in (a, b))
    rate_a = a.silent_m_s + a.speed_m_s
    one_ms = now_ms + SECOND_MS * (left_m - slack_a - moved_b) / (
        rate_a + SETTING_OFF * b.speed_m_s + SETTING_OFF_M_S
    )
    if max(one_ms, a.overdue_ms) < b.overdue_ms:
        return max(one_ms, a.overdue_ms)
    both_ms = now_ms + SECOND_MS * (left_m - slack_a - slack_b) / (rate_a + b.silent_m_s + b.speed_m_s)
    return max(both_ms, b.overdue_ms)


def carried_in_not_before_ms(a: Mover, b: Mover, now_ms: float, seen: Separation, radius_m: float) -> float:
    """The same of the hour at which both, still reporting, are carried into ``radius_m``; inf if never: a velocity
    that fades carries nobody farther than TURN_S of it."""
    closing_a, closing_b = closings_m_s(a, b)
    carried_m_s = closing_a + closing_b
    left_m = seen.raw_m + Z_CLOCK * seen.doubt_m - radius_m - 1.0  # the doubt can only grow
    if left_m > TURN_S * carried_m_s:
        return inf
    left_m -= closing_a * (now_ms - a.at_ms) / SECOND_MS + closing_b * (now_ms - b.at_ms) / SECOND_MS
    at_ms = now_ms + (SECOND_MS * left_m / carried_m_s if left_m > 0.0 else 0.0)
    return at_ms if at_ms < min(a.overdue_ms, b.overdue_ms) else inf


def closings_m_s(a: Mover, b: Mover) -> tuple[float, float]:
    """The part of each velocity that is directed at the other, as they were last seen; 0 if it leads away."""
    dx, dy, dz = a.x - b.x, a.y - b.y, a.z - b.z
    raw_m = sqrt(dx * dx + dy * dy + dz * dz) + NOWHERE_M
    closing_a = max(0.0, -(dx * a.vx + dy * a.vy + dz * a.vz)) / raw_m
    return closing_a, max(0.0, dx * b.vx + dy * b.vy + dz * b.vz) / raw_m


# --- the guard band --------------------------------------------------------------------------------------------


class Band(NamedTuple):
    """What holds for one pair until its next look, as far as nothing leaves it; a row of ``PairTable.bands``.

    ``lo_m``: for the distance less its doubts; ``hi_m``: for the distance less the 95 % radii, these
    ``margin_m`` at least; nan: always look. ``ring_m``, ``blind_m``: into which radius time alone could carry
    the two, or make somebody silent a risk; -inf: nothing of the kind; ``blind_m`` below nothing: that risk has
    been said. ``watch_s``: how far ahead an approach is looked for. ``look_ms``: from then on every fix is
    looked at. ``lost``: whose silence has been said already, 1 the wearer's, 2 the protected person's, 3 both.
    """

    lo_m: float
    hi_m: float
    margin_m: float
    ring_m: float
    blind_m: float
    watch_s: float
    look_ms: float
    lost: float


def apart_until_ms(own: Mover, partner: Mover, now_ms: float, band: Band, role: int) -> float:
    """After a believed fix of ``own``, the party ``role``: the whole second before which nothing can change
    between the two, 0 if something can have changed now. Wider than what the rules compute, never narrower.

    ``near_m`` is at most raw and best: what is carried on moves the distance by its part along the line between
    the two at most. ``seen_m`` is at most what was observed on both sides.
    """
    raw_m = chord_m(own.place, partner.place)
    age_a, age_b = (now_ms - own.at_ms) / SECOND_MS + 0.1, (now_ms - partner.at_ms) / SECOND_MS + 0.1
    speed_a, speed_b = own.speed_m_s, partner.speed_m_s
    closing_a, closing_b = closings_m_s(own, partner)
    drift_m = speed_a * age_a + speed_b * age_b
    near_m = raw_m - closing_a * age_a - closing_b * age_b - 1.0
    seen_m = raw_m - max(_way_m(own), _way_m(partner)) - 1.0
    variance_a = age_a * age_a * age_a * (STILL_M2_S3 + TURNED_PER_S * speed_a * speed_a)
    variance_b = age_b * age_b * age_b * (STILL_M2_S3 + TURNED_PER_S * speed_b * speed_b)
    overdue_a, overdue_b = own.overdue_ms, partner.overdue_ms
    slack_a, slack_b = own.silent_m_s * age_a, partner.silent_m_s * age_b
    late_a, late_b = now_ms > overdue_a, now_ms > overdue_b
    moved_m = SLACK_SIGMAS * sqrt((not late_a) * variance_a + (not late_b) * variance_b)
    both_radii_m = R95 * (own.accuracy_m + partner.accuracy_m)
    low_m, late_m = near_m - both_radii_m, late_a * slack_a + late_b * slack_b
    left_m, beyond_m = low_m - band.blind_m, near_m - band.ring_m
    turning_m_s = 2.0 * drift_m * (speed_a + speed_b) / (raw_m + NOWHERE_M)
    closing_m_s = closing_a + closing_b + turning_m_s + STILL_M_S
    unfixed_ms = partner.lost_ms(partner.at_ms)
    quiet = low_m - Z_FIX * sqrt(variance_a + variance_b) > band.lo_m and now_ms < band.look_ms
    quiet = quiet and raw_m + drift_m + 1.0 - max(band.margin_m, both_radii_m) < band.hi_m
    quiet = quiet and min(near_m, seen_m) > band.ring_m and beyond_m > band.watch_s * closing_m_s
    if not quiet or int(band.lost) >> role & 1 or not (int(band.lost) >> (1 - role) & 1 or unfixed_ms > now_ms):
        return 0.0
    carried_m_s = closing_a + closing_b + STILL_M_S
    hours = (
        [] if raw_m - TURN_S * carried_m_s - 1.0 > band.ring_m else [now_ms + SECOND_MS * beyond_m / carried_m_s]
    )
    if band.blind_m < 0.0:
        if late_m == 0.0 or raw_m - both_radii_m - late_m + LATE_MARGIN_M > -band.blind_m:
            return 0.0
    elif left_m <= moved_m + late_m:
        return 0.0
    else:
        hours.append(_blind_ms(own, partner, now_ms, left_m, slack_a, slack_b, variance_a, variance_b))
    hours.append(own.lost_ms(own.at_ms))
    second_ms = SECOND_MS * (now_ms // SECOND_MS)  # what has come to be since, no clock has judged yet
    hours += [one for one in (unfixed_ms, partner.lost_ms(partner.heard_ms)) if one > second_ms]
    return SECOND_MS * max(ceil(min(hours) / SECOND_MS), now_ms // SECOND_MS + 1.0)


def _blind_ms(
    own: Mover, partner: Mover, now_ms: float, left_m: float, slack_a: float, slack_b: float, variance_a: float,
    variance_b: float,
) -> float:  # fmt: skip
    """``blind_not_before_ms`` from what the guard band has computed."""
    speed_a, speed_b = own.speed_m_s, partner.speed_m_s
    overdue_a, overdue_b = own.overdue_ms, partner.overdue_ms
    if overdue_a <= overdue_b:
        spent_m = slack_a + SLACK_SIGMAS * sqrt(variance_b)
        rate_m_s = own.silent_m_s + speed_a + SETTING_OFF * speed_b
    else:
        spent_m = slack_b + SLACK_SIGMAS * sqrt(variance_a)
        rate_m_s = partner.silent_m_s + speed_b + SETTING_OFF * speed_a
    blind_ms = now_ms + SECOND_MS * (left_m - spent_m) / (rate_m_s + SETTING_OFF_M_S)
    blind_ms = max(blind_ms, min(overdue_a, overdue_b))
    if blind_ms < max(overdue_a, overdue_b):
        return blind_ms
    both_m_s = own.silent_m_s + partner.silent_m_s + speed_a + speed_b
    return max(now_ms + SECOND_MS * (left_m - slack_a - slack_b) / both_m_s, overdue_a, overdue_b)


def _way_m(mover: Mover) -> float:
    dx, dy, dz = mover.x - mover.before_x, mover.y - mover.before_y, mover.z - mover.before_z
    return sqrt(dx * dx + dy * dy + dz * dz)


class KeptApart(NamedTuple):
    """For n pairs: whether nothing can have changed; for those the whole second before which nothing will."""

    quiet: Mask
    due_ms: FloatArray


def kept_apart(  # noqa: PLR0915  # one formula; in pieces it would be arrays handed around
    own: FloatArray, partner: FloatArray, now_ms: FloatArray, bands: FloatArray, role: IntArray
) -> KeptApart:
    """``apart_until_ms`` for rows of both parties by columns (17, n), bands by columns (8, n), roles (n)."""
    lo_m, hi_m, margin_m, ring_m, blind_m, watch_s, look_ms, lost = bands
    age_a, age_b = _ages_s(own, now_ms), _ages_s(partner, now_ms)
    speed_a, speed_b = own[SPEED], partner[SPEED]
    ways = own[X:AT] - partner[X:AT]
    closing_a, closing_b = -_dot(ways, own), _dot(ways, partner)
    raw_m = _lengths(ways)
    closing_a /= raw_m + NOWHERE_M
    closing_b /= raw_m + NOWHERE_M
    np.maximum(closing_a, 0.0, out=closing_a)
    np.maximum(closing_b, 0.0, out=closing_b)
    drift_m = speed_a * age_a + speed_b * age_b
    near_m = raw_m - closing_a * age_a - closing_b * age_b - 1.0
    seen_m = np.maximum(
        _lengths(own[X:AT] - own[BEFORE:BEFORE_MS]), _lengths(partner[X:AT] - partner[BEFORE:BEFORE_MS])
    )
    np.subtract(raw_m - 1.0, seen_m, out=seen_m)
    variance_a, variance_b = _variance_m2(age_a, speed_a), _variance_m2(age_b, speed_b)
    silent_a, silent_b = np.maximum(speed_a, SILENT_M_S), np.maximum(speed_b, SILENT_M_S)
    slack_a, slack_b = silent_a * age_a, silent_b * age_b
    overdue_a, overdue_b = overdue_ms(own), overdue_ms(partner)
    late_a, late_b = now_ms > overdue_a, now_ms > overdue_b
    moved_m = SLACK_SIGMAS * np.sqrt(variance_a * ~late_a + variance_b * ~late_b)
    both_radii_m = R95 * (own[ACCURACY] + partner[ACCURACY])
    low_m, late_m = near_m - both_radii_m, slack_a * late_a + slack_b * late_b
    left_m, beyond_m = low_m - blind_m, near_m - ring_m
    closing_a += closing_b
    closing_a += STILL_M_S
    due_ms = now_ms + SECOND_MS * beyond_m / closing_a
    due_ms[raw_m - TURN_S * closing_a - 1.0 > ring_m] = inf
    closing_a += 2.0 * drift_m * (speed_a + speed_b) / (raw_m + NOWHERE_M)
    unfixed_ms, unheard_ms = lost_ms(partner, AT), lost_ms(partner, HEARD)
    fixed, said = unfixed_ms > now_ms, blind_m < 0.0
    quiet = (low_m - Z_FIX * np.sqrt(variance_a + variance_b) > lo_m) & (now_ms < look_ms)
    quiet &= raw_m + drift_m + 1.0 - np.maximum(margin_m, both_radii_m) < hi_m
    quiet &= (np.minimum(near_m, seen_m) > ring_m) & (beyond_m > watch_s * closing_a)
    quiet &= np.where(
        said,
        (late_a | late_b) & (raw_m - both_radii_m - late_m + LATE_MARGIN_M <= -blind_m),
        left_m > moved_m + late_m,
    )
    whose = lost.astype(np.int64)
    quiet &= (whose >> role & 1 == 0) & (fixed | (whose >> (1 - role) & 1 != 0))
    a_first = overdue_a <= overdue_b
    rate_a, rate_b = silent_a + speed_a, silent_b + speed_b
    rate_m_s = np.where(a_first, rate_a + SETTING_OFF * speed_b, rate_b + SETTING_OFF * speed_a) + SETTING_OFF_M_S
    spent_m = np.where(a_first, slack_a, slack_b)
    spent_m += SLACK_SIGMAS * np.sqrt(np.where(a_first, variance_b, variance_a))
    blind_ms = now_ms + SECOND_MS * (left_m - spent_m) / rate_m_s
    np.maximum(blind_ms, np.minimum(overdue_a, overdue_b), out=blind_ms)
    last_ms = np.maximum(overdue_a, overdue_b)
    both_ms = now_ms + SECOND_MS * (left_m - slack_a - slack_b) / (rate_a + rate_b)
    np.maximum(both_ms, last_ms, out=both_ms)
    np.copyto(blind_ms, both_ms, where=blind_ms >= last_ms)
    np.minimum(due_ms, blind_ms, out=due_ms, where=~said)
    np.minimum(due_ms, lost_ms(own, AT), out=due_ms)
    second_ms = SECOND_MS * (now_ms // SECOND_MS)  # what has come to be since, no clock has judged yet
    np.minimum(due_ms, unfixed_ms, out=due_ms, where=unfixed_ms > second_ms)
    np.minimum(due_ms, unheard_ms, out=due_ms, where=unheard_ms > second_ms)
    return KeptApart(quiet, next_second_ms(due_ms, now_ms))


def _dot(ways: FloatArray, rows: FloatArray) -> FloatArray:
    """Of ways (3, n) and the velocities in ``rows``."""
    product: FloatArray = ways * rows[V:SPEED]
    product[0] += product[1]
    product[0] += product[2]
    along: FloatArray = product[0]
    return along


def next_second_ms(due_ms: FloatArray, now_ms: FloatArray) -> FloatArray:
    """The first whole second at or behind ``due_ms``, and behind ``now_ms``."""
    due_s = np.maximum(np.ceil(due_ms / SECOND_MS), np.floor(now_ms / SECOND_MS) + 1.0)
    due_s *= SECOND_MS
    return due_s


def overdue_ms(rows: FloatArray) -> FloatArray:
    """When each will have been silent for longer than one lost report explains; ``rows`` by columns (17, n)."""
    hours: FloatArray = np.maximum(rows[AT], rows[TOLD])
    hours += (SECOND_MS * OVERDUE_INTERVALS) * rows[INTERVAL] + OVERDUE_MS
    return hours


def lost_ms(rows: FloatArray, since: int) -> FloatArray:
    """When each will have said nothing for LOSS_INTERVALS intervals, the last at column ``since``."""
    hours: FloatArray = np.maximum(rows[since], rows[TOLD])
    hours += LOSS_MS_PER_S * rows[INTERVAL]
    return hours


def _lengths(ways: FloatArray) -> FloatArray:
    ways *= ways
    ways[0] += ways[1]
    ways[0] += ways[2]
    lengths: FloatArray = np.sqrt(ways[0])
    return lengths


def _ages_s(rows: FloatArray, now_ms: FloatArray) -> FloatArray:
    """Rather too old: the rules count in whole tenths."""
    age_s: FloatArray = now_ms - rows[AT]
    age_s /= SECOND_MS
    age_s += 0.1
    return age_s


def _variance_m2(age_s: FloatArray, speed_m_s: FloatArray) -> FloatArray:
    variance_m2 = speed_m_s * speed_m_s
    variance_m2 *= TURNED_PER_S
    variance_m2 += STILL_M2_S3
    variance_m2 *= age_s * age_s * age_s
    return variance_m2
