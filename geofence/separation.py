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
    CLOSING_MIN_M_S,
    FORGET_MS,
    FRESH_MS,
    IMMINENT_MS,
    LOSS_INTERVALS,
    R95,
    SILENT_M_S,
    SLACK_SIGMAS,
    STILL_AT_60_S_M,
    TURN_S,
    Z_CLOCK,
    Z_FIX,
)
from geofence.devices import (
    ACCURACY,
    AT,
    BEFORE,
    BEFORE_MS,
    HEARD,
    INTERVAL,
    OVERDUE,
    SPEED,
    TOLD,
    WAY,
    Mask,
    V,
    X,
)
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


def blind_not_before_ms(a: Mover, b: Mover, now_ms: float, left_m: float) -> float:
    """A bound from below of the hour at which somebody is overdue and the distance has shrunk by ``left_m``, if
    nobody speaks: first one of them is overdue and the other moves as far as is plausible, then both are."""
    if b.overdue_ms < a.overdue_ms:
        a, b = b, a
    age_a, age_b = age_s_of(a, now_ms), age_s_of(b, now_ms)
    slack_a, slack_b = a.silent_m_s * age_a, b.silent_m_s * age_b
    rate_a, rate_b = a.silent_m_s + a.speed_m_s, b.silent_m_s + b.speed_m_s
    spent_m = slack_a + SLACK_SIGMAS * sqrt(_variance_of_m2(age_b, b.speed_m_s))
    rate_m_s = rate_a + SETTING_OFF * b.speed_m_s + SETTING_OFF_M_S
    one_ms = max(now_ms + SECOND_MS * (left_m - spent_m) / rate_m_s, a.overdue_ms)
    if one_ms < b.overdue_ms:
        return one_ms
    return max(now_ms + SECOND_MS * (left_m - slack_a - slack_b) / (rate_a + rate_b), b.overdue_ms)


def _variance_of_m2(age_s: float, speed_m_s: float) -> float:
    """At least ``unobserved_m2``, without a table; rather too old."""
    return (speed_m_s * speed_m_s * TURNED_PER_S + STILL_M2_S3) * (age_s * age_s * age_s)


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


# --- the guard band --------------------------------------------------------------------------------------------


class Band(NamedTuple):
    """What holds for one pair until its next look, as far as nothing leaves it; a row of ``PairTable.bands``.

    ``lo_m``: for the distance less its doubts; ``hi_m``: for the distance less the 95 % radii, these
    ``margin_m`` at least; nan: always look. ``ring_m``, ``blind_m``: into which radius time alone could carry
    the two, or make somebody silent a risk; -inf: nothing of the kind; ``blind_m`` below nothing: that risk has
    been said. ``watch_s``: how far ahead an approach is looked for; below nothing: one has been said, and lasts
    while it is so near. ``look_ms``: from then on every fix is looked at. ``said``: whose silence has been said
    already, WEARERS and PROTECTEDS, UNFIXED: his being without a fix only; whether a risk has been, RISK, and an
    APPROACH.
    """

    lo_m: float
    hi_m: float
    margin_m: float
    ring_m: float
    blind_m: float
    watch_s: float
    look_ms: float
    said: float


WEARERS, PROTECTEDS, RISK, APPROACH, UNFIXED = 1, 2, 4, 8, 16
CLEAR_STILL: Final = SLACK_SIGMAS * sqrt(2.0 * STILL_M2_S3)  # metres a second to the power 1.5, both standing
CLEAR_TURNED: Final = SLACK_SIGMAS * sqrt(TURNED_PER_S)
CLEAR_AHEAD_S: Final = max(TURN_S, IMMINENT_MS / SECOND_MS)  # neither carried in nor imminent within it


def clear_until_ms(own: Mover, partner: Mover, now_ms: float, band: Band) -> float:
    """The cheap test, for a pair of which both report: after a believed fix of ``own``, until when nothing can
    change between the two; 0 if that takes a closer look. Whatever moves is taken to move towards the other."""
    age_s = max(age_s_of(own, now_ms), age_s_of(partner, now_ms))
    both_m_s = own.speed_m_s + partner.speed_m_s
    raw_m, drift_m = chord_m(own.place, partner.place), age_s * both_m_s
    less_m = raw_m - 1.0 - R95 * (own.accuracy_m + partner.accuracy_m)
    doubt_m = age_s * sqrt(age_s) * (CLEAR_STILL + CLEAR_TURNED * both_m_s)
    reach_m = max(own.way_m, partner.way_m, drift_m + CLEAR_AHEAD_S * both_m_s)
    hour = min(own.overdue_ms, partner.overdue_ms)
    clear = (
        band.said == 0.0
        and now_ms <= hour
        and now_ms < band.look_ms
        and less_m - drift_m - doubt_m > max(band.lo_m, band.blind_m)
        and less_m + drift_m + 2.0 < band.hi_m
        and raw_m - reach_m - 1.0 > band.ring_m
    )
    return SECOND_MS * ceil(hour / SECOND_MS) if clear else 0.0


def clear(own: FloatArray, partner: FloatArray, now_ms: FloatArray, bands: FloatArray) -> KeptApart:
    """``clear_until_ms`` for rows of both parties by columns (19, n) and bands by columns (8, n)."""
    lo_m, hi_m, _, ring_m, blind_m, _, look_ms, said = bands
    age_s = np.maximum(now_ms - np.minimum(own[AT], partner[AT]), 0.0)
    age_s /= SECOND_MS
    age_s += 0.1
    both_m_s = own[SPEED] + partner[SPEED]
    raw_m, drift_m = _lengths(own[X:AT] - partner[X:AT]), age_s * both_m_s
    less_m = raw_m - 1.0 - R95 * (own[ACCURACY] + partner[ACCURACY])
    doubt_m = age_s * np.sqrt(age_s) * (CLEAR_STILL + CLEAR_TURNED * both_m_s)
    reach_m = np.maximum(own[WAY], partner[WAY])
    np.maximum(reach_m, drift_m + CLEAR_AHEAD_S * both_m_s, out=reach_m)
    hour = np.minimum(own[OVERDUE], partner[OVERDUE])
    quiet = (said == 0.0) & (now_ms <= hour) & (now_ms < look_ms)
    quiet &= less_m - drift_m - doubt_m > np.maximum(lo_m, blind_m)
    quiet &= less_m + drift_m + 2.0 < hi_m
    quiet &= raw_m - reach_m - 1.0 > ring_m
    hour /= SECOND_MS
    np.ceil(hour, out=hour)
    hour *= SECOND_MS
    return KeptApart(quiet, hour)


def apart_until_ms(
    own: Mover, partner: Mover, now_ms: float, band: Band, role: int, *, by_clock: bool = False
) -> float:
    """After a believed fix of ``own``, the party ``role``, or by the clock, ``own`` the wearer: the whole second
    before which nothing can change between the two, 0 if something can have changed now. Wider than what the
    rules compute, never narrower.

    ``near_m`` is at most raw and best: what is carried on moves the distance by its part along the line between
    the two at most. ``seen_m`` is at most what was observed on both sides.
    """
    raw_m = chord_m(own.place, partner.place)
    age_a, age_b = age_s_of(own, now_ms), age_s_of(partner, now_ms)
    speed_a, speed_b = own.speed_m_s, partner.speed_m_s
    towards_a, towards_b = closings_m_s(own, partner)
    closing_a, closing_b = max(0.0, towards_a), max(0.0, towards_b)
    drift_m = speed_a * age_a + speed_b * age_b
    near_m = raw_m - closing_a * age_a - closing_b * age_b - 1.0
    variance_a, variance_b = _variance_of_m2(age_a, speed_a), _variance_of_m2(age_b, speed_b)
    late_a, late_b = now_ms > own.overdue_ms, now_ms > partner.overdue_ms
    late_m = late_a * own.silent_m_s * age_a + late_b * partner.silent_m_s * age_b
    moved_m = SLACK_SIGMAS * sqrt((not late_a) * variance_a + (not late_b) * variance_b)
    both_radii_m = R95 * (own.accuracy_m + partner.accuracy_m)
    low_m, beyond_m = near_m - both_radii_m, near_m - band.ring_m
    said = int(band.said)
    own_said = bool(said >> role & 1)
    quiet = beyond_m > 0.0
    if not by_clock:
        seen_m = raw_m - max(0.0, *came_m(own, partner)) - 1.0
        turning_m_s = 2.0 * drift_m * (speed_a + speed_b) / (raw_m + NOWHERE_M)
        faded_m_s = towards_a + towards_b - closing_a * age_a / TURN_S - closing_b * age_b / TURN_S - turning_m_s
        quiet = quiet and low_m - Z_FIX * sqrt(variance_a + variance_b) > band.lo_m and now_ms < band.look_ms
        quiet = quiet and raw_m + drift_m + 1.0 - max(band.margin_m, both_radii_m) < band.hi_m
        quiet = quiet and seen_m > band.ring_m and not own_said
        if band.watch_s >= 0.0:
            quiet = quiet and beyond_m > band.watch_s * (closing_a + closing_b + turning_m_s + STILL_M_S)
        else:
            quiet = quiet and faded_m_s - STILL_M_S > CLOSING_MIN_M_S
            quiet = quiet and raw_m + drift_m + 1.0 - band.ring_m < -band.watch_s * (faded_m_s - STILL_M_S)
    else:
        since_ms = own.heard_ms if said & UNFIXED else inf if own_said else own.at_ms
        quiet = quiet and own.lost_ms(since_ms) > now_ms
    if not quiet or not (said >> (1 - role) & 1 or partner.lost_ms(partner.at_ms) > now_ms):
        return 0.0
    hours = [inf]
    carried_m_s = closing_a + closing_b + STILL_M_S
    if raw_m - TURN_S * carried_m_s - 1.0 <= band.ring_m:
        hours.append(now_ms + SECOND_MS * beyond_m / carried_m_s)
    if said & RISK:
        if late_m == 0.0 or raw_m - both_radii_m - late_m + LATE_MARGIN_M > -band.blind_m:
            return 0.0
    elif low_m - band.blind_m <= moved_m + late_m:
        return 0.0
    else:
        hours.append(blind_not_before_ms(own, partner, now_ms, low_m - band.blind_m))
    second_ms = SECOND_MS * (now_ms // SECOND_MS)  # what has come to be since, no clock has judged yet
    for one in (own, partner):
        hours += [ms for ms in (one.lost_ms(one.at_ms), one.lost_ms(one.heard_ms)) if ms > second_ms]
    return SECOND_MS * max(ceil(min(hours) / SECOND_MS), now_ms // SECOND_MS + 1.0) if min(hours) < inf else inf


def came_m(a: Mover, b: Mover) -> tuple[float, float]:
    """By how much each was nearer to where the other is now at its fix before, along the line between them."""
    dx, dy, dz = a.x - b.x, a.y - b.y, a.z - b.z
    raw_m = sqrt(dx * dx + dy * dy + dz * dz) + NOWHERE_M
    was_a = dx * (a.x - a.before_x) + dy * (a.y - a.before_y) + dz * (a.z - a.before_z)
    was_b = dx * (b.before_x - b.x) + dy * (b.before_y - b.y) + dz * (b.before_z - b.z)
    return was_a / raw_m, was_b / raw_m


class KeptApart(NamedTuple):
    """For n pairs: whether nothing can have changed; for those the whole second before which nothing will."""

    quiet: Mask
    due_ms: FloatArray


def kept_apart(  # noqa: PLR0915  # one formula; in pieces it would be arrays handed around
    own: FloatArray, partner: FloatArray, now_ms: FloatArray, bands: FloatArray, role: IntArray, *,
    by_clock: bool = False,
) -> KeptApart:  # fmt: skip
    """``apart_until_ms`` for rows of both parties by columns (19, n), bands by columns (8, n), roles (n)."""
    lo_m, hi_m, margin_m, ring_m, blind_m, watch_s, look_ms, of_whom = bands
    age_a, age_b = _ages_s(own, now_ms), _ages_s(partner, now_ms)
    speed_a, speed_b = own[SPEED], partner[SPEED]
    ways = own[X:AT] - partner[X:AT]
    raw_m = _lengths(ways.copy())
    towards_a, towards_b = -_dot(ways, own[V:SPEED]), _dot(ways, partner[V:SPEED])
    towards_a /= raw_m + NOWHERE_M
    towards_b /= raw_m + NOWHERE_M
    closing_a, closing_b = np.maximum(towards_a, 0.0), np.maximum(towards_b, 0.0)
    drift_m = speed_a * age_a + speed_b * age_b
    near_m = raw_m - closing_a * age_a - closing_b * age_b - 1.0
    variance_a, variance_b = _variance_m2(age_a, speed_a), _variance_m2(age_b, speed_b)
    silent_a, silent_b = np.maximum(speed_a, SILENT_M_S), np.maximum(speed_b, SILENT_M_S)
    slack_a, slack_b = silent_a * age_a, silent_b * age_b
    overdue_a, overdue_b = own[OVERDUE], partner[OVERDUE]
    late_a, late_b = now_ms > overdue_a, now_ms > overdue_b
    moved_m = SLACK_SIGMAS * np.sqrt(variance_a * ~late_a + variance_b * ~late_b)
    both_radii_m = R95 * (own[ACCURACY] + partner[ACCURACY])
    low_m, late_m = near_m - both_radii_m, slack_a * late_a + slack_b * late_b
    left_m, beyond_m = low_m - blind_m, near_m - ring_m
    said, carried_m_s = of_whom.astype(np.int64), closing_a + closing_b + STILL_M_S
    quiet = beyond_m > 0.0
    if by_clock:
        quiet &= np.where(said & UNFIXED, lost_ms(own, HEARD), lost_ms(own, AT)) > now_ms
        quiet |= (beyond_m > 0.0) & (said & (WEARERS | UNFIXED) == WEARERS)
    else:
        seen_m = raw_m - 1.0 - np.maximum(_came_m(ways, own, raw_m), _came_m(-ways, partner, raw_m))
        turning_m_s = 2.0 * drift_m * (speed_a + speed_b) / (raw_m + NOWHERE_M)
        faded_m_s = (
            towards_a + towards_b - (closing_a * age_a + closing_b * age_b) / TURN_S - turning_m_s - STILL_M_S
        )
        quiet &= (low_m - Z_FIX * np.sqrt(variance_a + variance_b) > lo_m) & (now_ms < look_ms)
        quiet &= raw_m + drift_m + 1.0 - np.maximum(margin_m, both_radii_m) < hi_m
        quiet &= (seen_m > ring_m) & (said >> role & 1 == 0)
        quiet &= np.where(
            watch_s >= 0.0,
            beyond_m > watch_s * (carried_m_s + turning_m_s),
            (faded_m_s > CLOSING_MIN_M_S) & (raw_m + drift_m + 1.0 - ring_m < -watch_s * faded_m_s),
        )
    unfixed_ms, unheard_ms = lost_ms(partner, AT), lost_ms(partner, HEARD)
    quiet &= (unfixed_ms > now_ms) | (said >> (1 - role) & 1 != 0)
    is_risk = said & RISK != 0
    quiet &= np.where(
        is_risk,
        (late_a | late_b) & (raw_m - both_radii_m - late_m + LATE_MARGIN_M <= -blind_m),
        left_m > moved_m + late_m,
    )
    due_ms = now_ms + SECOND_MS * beyond_m / carried_m_s
    due_ms[raw_m - TURN_S * carried_m_s - 1.0 > ring_m] = inf
    a_first = overdue_a <= overdue_b
    rate_a, rate_b = silent_a + speed_a, silent_b + speed_b
    rate_m_s = np.where(a_first, rate_a + SETTING_OFF * speed_b, rate_b + SETTING_OFF * speed_a) + SETTING_OFF_M_S
    spent_m = np.where(a_first, slack_a, slack_b)
    spent_m += SLACK_SIGMAS * np.sqrt(np.where(a_first, variance_b, variance_a))
    blind_ms = now_ms + SECOND_MS * (left_m - spent_m) / rate_m_s
    np.maximum(blind_ms, np.minimum(overdue_a, overdue_b), out=blind_ms)
    last_ms = np.maximum(overdue_a, overdue_b)
    both_ms = now_ms + SECOND_MS * (left_m - slack_a - slack_b) / (rate_a + rate_b)
    np.copyto(blind_ms, np.maximum(both_ms, last_ms), where=blind_ms >= last_ms)
    np.minimum(due_ms, blind_ms, out=due_ms, where=~is_risk)
    second_ms = SECOND_MS * (now_ms // SECOND_MS)  # what has come to be since, no clock has judged yet
    for ms in (unfixed_ms, unheard_ms, lost_ms(own, AT), lost_ms(own, HEARD)):
        np.minimum(due_ms, ms, out=due_ms, where=ms > second_ms)
    return KeptApart(quiet, next_second_ms(due_ms, now_ms))


def _came_m(ways: FloatArray, rows: FloatArray, raw_m: FloatArray) -> FloatArray:
    came_m = _dot(ways, rows[X:AT] - rows[BEFORE:BEFORE_MS])
    came_m /= raw_m + NOWHERE_M
    return np.maximum(came_m, 0.0)


def _dot(ways: FloatArray, others: FloatArray) -> FloatArray:
    product: FloatArray = ways * others
    product[0] += product[1]
    product[0] += product[2]
    along: FloatArray = product[0]
    return along


def next_second_ms(due_ms: FloatArray, now_ms: FloatArray) -> FloatArray:
    """The first whole second at or behind ``due_ms``, and behind ``now_ms``."""
    due_s = np.maximum(np.ceil(due_ms / SECOND_MS), np.floor(now_ms / SECOND_MS) + 1.0)
    due_s *= SECOND_MS
    return due_s


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
    """Rather too old: the rules count in whole tenths. Of a fix from behind this hour: none."""
    age_s: FloatArray = np.maximum(now_ms - rows[AT], 0.0)
    age_s /= SECOND_MS
    age_s += 0.1
    return age_s


def _variance_m2(age_s: FloatArray, speed_m_s: FloatArray) -> FloatArray:
    variance_m2 = speed_m_s * speed_m_s
    variance_m2 *= TURNED_PER_S
    variance_m2 += STILL_M2_S3
    variance_m2 *= age_s * age_s * age_s
    return variance_m2
