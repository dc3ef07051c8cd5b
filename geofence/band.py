"""Until when, and within which bounds, can nothing change between two people?

Most fixes change nothing. ``clear`` is the cheap test, for pairs of which both report and that are far from every
bound; ``kept_apart`` the dear one. Both are for many, ``clear_until_ms`` and ``apart_until_ms`` for one, with the
same answers bit for bit. Their bounds are wider than what the rules compute, never narrower
(tests/properties/test_geofence_kernels.py, test_geofence_bounds.py).

Metres, seconds of age, hours in milliseconds.
"""

from __future__ import annotations

from math import ceil, inf, sqrt
from typing import Final, NamedTuple

import numpy as np

from geofence.assumptions import (
    CLOSING_MIN_M_S,
    FORGET_MS,
    FRESH_MS,
    IMMINENT_MS,
    LOSS_INTERVALS,
    R95,
    SILENT_M_S,
    SLACK_SIGMAS,
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
from geofence.motion import UNHEARD_MS, Mover
from geofence.separation import (
    AGE_MAX_S,
    NOWHERE_M,
    ROUNDED_S,
    SECOND_MS,
    SETTING_OFF,
    SETTING_OFF_M_S15,
    STILL_M2_S3,
    STILL_M_S,
    TURNED_LESS_PER_S,
    TURNED_PER_S,
    age_s_of,
    are_comparable,
    blind_not_before_ms,
    closings_m_s,
    sure_variance_m2,
    variance_of_m2,
)
from tocsin.geodesy import FloatArray, IntArray, chord_m
from tocsin.limits import PREALERT_FACTOR

LATE_MARGIN_M: Final = 12.0  # what 0.1 s of age makes of both slacks at ROAD_M_S, and the roundings
LOSS_MS_PER_S: Final = SECOND_MS * LOSS_INTERVALS


class Band(NamedTuple):
    """What holds for one pair until its next look, as far as nothing leaves it; a row of ``PairTable.bands``.

    ``lo_m``: for the distance less its doubts; of a pair in the pre-alert ring, whose course it bounds, for that
    between the fixes as they are; ``hi_m``: for the distance less the 95 % radii, these
    ``margin_m`` at least; nan: always look. ``ring_m``, ``blind_m``: into which radius time alone could carry
    the two, or make somebody silent a risk; -inf: nothing of the kind; ``blind_m`` below nothing: that risk has
    been said. ``watch_s``: how far ahead an approach is looked for; below nothing: one has been said, and lasts
    while it is so near. ``look_ms``: from then on every fix is looked at. ``said``: whose silence has been said
    already, WEARERS and PROTECTEDS, UNFIXED: his being without a fix only; whether a risk has been, RISK, and an
    APPROACH; whether the alert is UNPROVEN, and no fix has begun to prove it.
    """

    lo_m: float
    hi_m: float
    margin_m: float
    ring_m: float
    blind_m: float
    watch_s: float
    look_ms: float
    said: float


IN_NO_RING_M: Final = 0.0  # the margin of a band of a pair in no ring
WEARERS, PROTECTEDS, RISK, APPROACH, UNFIXED, UNPROVEN = 1, 2, 4, 8, 16, 32
CLEAR_STILL: Final = SLACK_SIGMAS * sqrt(2.0 * STILL_M2_S3)  # metres a second to the power 1.5, both standing
CLEAR_TURNED: Final = SLACK_SIGMAS * sqrt(TURNED_PER_S)
CLEAR_AHEAD_S: Final = max(TURN_S, IMMINENT_MS / SECOND_MS)  # neither carried in nor imminent within it


def clear_until_ms(own: Mover, partner: Mover, now_ms: float, band: Band) -> float:
    """The cheap test, for a pair of which both report: after a believed fix of ``own``, until when nothing can
    change between the two; 0 if that takes a closer look. Whatever moves is taken to move towards the other."""
    hour = min(own.overdue_ms, partner.overdue_ms)
    if band.said != 0.0 or now_ms > hour or not now_ms < band.look_ms:
        return 0.0
    age_s = max(now_ms - min(own.at_ms, partner.at_ms), 0.0) / SECOND_MS + 0.1
    both_m_s = own.speed_m_s + partner.speed_m_s
    raw_m, drift_m = chord_m(own.place, partner.place) - 1.0, age_s * both_m_s
    less_m = raw_m - R95 * (own.accuracy_m + partner.accuracy_m)
    doubt_m = age_s * sqrt(age_s) * (CLEAR_STILL + CLEAR_TURNED * both_m_s)
    reach_m = max(own.way_m, partner.way_m, drift_m + CLEAR_AHEAD_S * both_m_s)
    clear = (
        less_m - drift_m - doubt_m > max(band.lo_m, band.blind_m)
        and less_m + drift_m + 2.0 < band.hi_m
        and raw_m - reach_m > band.ring_m
    )
    return SECOND_MS * ceil(hour / SECOND_MS) if clear else 0.0


class Clear(NamedTuple):
    """For n pairs: whether nothing can have changed; for those the whole second before which nothing will."""

    quiet: Mask
    due_ms: FloatArray


def clear(own: FloatArray, partner: FloatArray, now_ms: FloatArray, bands: FloatArray) -> Clear:
    """``clear_until_ms`` for rows of both parties by columns (19, n) and bands by columns (8, n)."""
    lo_m, hi_m, _, ring_m, blind_m, _, look_ms, said = bands
    age_s = now_ms - np.minimum(own[AT], partner[AT])
    np.maximum(age_s, 0.0, out=age_s)
    age_s /= SECOND_MS
    age_s += 0.1
    both_m_s = own[SPEED] + partner[SPEED]
    drift_m = age_s * both_m_s
    raw_m = _lengths(own[X:AT] - partner[X:AT])
    raw_m -= 1.0
    less_m = own[ACCURACY] + partner[ACCURACY]
    less_m *= R95
    np.subtract(raw_m, less_m, out=less_m)
    doubt_m = np.sqrt(age_s)
    doubt_m *= age_s
    reach_m = CLEAR_AHEAD_S * both_m_s
    both_m_s *= CLEAR_TURNED
    both_m_s += CLEAR_STILL
    doubt_m *= both_m_s
    reach_m += drift_m
    np.maximum(reach_m, own[WAY], out=reach_m)
    np.maximum(reach_m, partner[WAY], out=reach_m)
    hour = np.minimum(own[OVERDUE], partner[OVERDUE])
    quiet = said == 0.0
    quiet &= now_ms <= hour
    quiet &= now_ms < look_ms
    raw_m -= reach_m
    quiet &= raw_m > ring_m
    np.subtract(less_m, drift_m, out=raw_m)
    raw_m -= doubt_m
    quiet &= raw_m > np.maximum(lo_m, blind_m)
    less_m += drift_m
    less_m += 2.0
    quiet &= less_m < hi_m
    hour /= SECOND_MS
    np.ceil(hour, out=hour)
    hour *= SECOND_MS
    return Clear(quiet, hour)


def apart_until_ms(  # noqa: C901, PLR0912, PLR0915  # one formula
    own: Mover,
    partner: Mover,
    now_ms: float,
    band: Band,
    role: int,
    by_clock: bool = False,
    slight: bool = False,
) -> float:
    """After a believed fix of ``own``, the party ``role``, or by the clock, ``own`` the wearer: the whole second
    before which nothing can change between the two, 0 if something can have changed now. Wider than what the
    rules compute, never narrower. ``slight``: nothing but how often a pair in no ring is to report, or the mark of
    the course of one in the pre-alert ring.

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
    variance_a, variance_b = variance_of_m2(age_a, speed_a), variance_of_m2(age_b, speed_b)
    late_a, late_b = now_ms > own.overdue_ms, now_ms > partner.overdue_ms
    late_m = late_a * own.silent_m_s * age_a + late_b * partner.silent_m_s * age_b
    moved_m = SLACK_SIGMAS * sqrt((not late_a) * variance_a + (not late_b) * variance_b)
    both_radii_m = R95 * (own.accuracy_m + partner.accuracy_m)
    low_m, beyond_m = near_m - both_radii_m, near_m - band.ring_m
    said = int(band.said)
    own_said = bool(said >> role & 1)
    held_m = beyond_m  # with the doubt that is held against it when only time has passed
    if not (own.is_first or partner.is_first):
        held_m += Z_CLOCK * sqrt(sure_variance_m2(age_a, speed_a) + sure_variance_m2(age_b, speed_b))
    quiet = (held_m if by_clock else beyond_m) > 0.0
    if not by_clock:
        came_a, came_b = came_m(own, partner)
        seen_m = raw_m - max(0.0, came_a, came_b) - 1.0
        turning_m_s = 2.0 * drift_m * (speed_a + speed_b) / (raw_m + NOWHERE_M)
        faded_m_s = towards_a + towards_b - closing_a * age_a / TURN_S - closing_b * age_b / TURN_S - turning_m_s
        in_course = band.margin_m != IN_NO_RING_M and band.ring_m > -inf
        most_m = raw_m + 1.0 - max(band.margin_m, both_radii_m)
        if in_course:
            quiet = quiet and most_m + drift_m < PREALERT_FACTOR * band.ring_m and now_ms < band.look_ms
            quiet = quiet and (slight or (raw_m - 1.0 > band.lo_m and most_m < band.hi_m))
        elif slight:
            quiet = quiet and band.margin_m == IN_NO_RING_M
        else:
            quiet = quiet and low_m - Z_FIX * sqrt(variance_a + variance_b) > band.lo_m
            quiet = quiet and most_m + drift_m < band.hi_m and now_ms < band.look_ms
        if said & UNPROVEN:
            is_old = now_ms - min(own.at_ms, partner.at_ms) > FRESH_MS
            quiet = quiet and (is_old or raw_m - 1.0 + both_radii_m > band.hi_m)
        quiet = quiet and seen_m > band.ring_m and not own_said
        if band.watch_s >= 0.0:
            quiet = quiet and beyond_m > band.watch_s * (closing_a + closing_b + turning_m_s + STILL_M_S)
        else:
            quiet = quiet and faded_m_s - STILL_M_S > CLOSING_MIN_M_S and are_comparable(own, partner)
            quiet = quiet and raw_m + drift_m + 1.0 - band.ring_m < -band.watch_s * (faded_m_s - STILL_M_S)
    else:
        since_ms = own.heard_ms if said & UNFIXED else inf if own_said else own.at_ms
        quiet = quiet and own.lost_ms(since_ms) > now_ms
    if not quiet or not (said >> (1 - role) & 1 or partner.lost_ms(partner.at_ms) > now_ms):
        return 0.0
    due_ms = inf
    carried_m_s = closing_a + closing_b + STILL_M_S
    if raw_m - TURN_S * carried_m_s - 1.0 <= band.ring_m:
        due_ms = now_ms + SECOND_MS * held_m / carried_m_s
    if said & RISK:
        if late_m == 0.0 or raw_m - both_radii_m - late_m + LATE_MARGIN_M > -band.blind_m:
            return 0.0
    elif (late_a or late_b) and low_m - band.blind_m <= moved_m + late_m:
        return 0.0
    else:
        due_ms = min(due_ms, blind_not_before_ms(own, partner, now_ms, low_m - band.blind_m))
    second_ms = SECOND_MS * (now_ms // SECOND_MS)  # what has come to be since, no clock has judged yet
    for one in (own, partner):
        for ms in (one.lost_ms(one.at_ms), one.lost_ms(one.heard_ms)):
            if ms > second_ms:
                due_ms = min(due_ms, ms)
    return SECOND_MS * max(ceil(due_ms / SECOND_MS), now_ms // SECOND_MS + 1.0) if due_ms < inf else inf


def came_m(a: Mover, b: Mover) -> tuple[float, float]:
    """By how much each was nearer to where the other is now at its fix before, along the line between them."""
    dx, dy, dz = a.x - b.x, a.y - b.y, a.z - b.z
    raw_m = sqrt(dx * dx + dy * dy + dz * dz) + NOWHERE_M
    was_a = dx * (a.x - a.before_x) + dy * (a.y - a.before_y) + dz * (a.z - a.before_z)
    was_b = dx * (b.before_x - b.x) + dy * (b.before_y - b.y) + dz * (b.before_z - b.z)
    return was_a / raw_m, was_b / raw_m


class KeptApart(NamedTuple):
    """For n pairs: whether nothing can have changed, or nothing but what is ``slight`` (``apart_until_ms``); for
    those the whole second before which nothing will."""

    quiet: Mask
    slight: Mask
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
    in_course = (margin_m != IN_NO_RING_M) & (ring_m > -inf)
    sure_m2 = _sure_variance_m2(age_a, speed_a) + _sure_variance_m2(age_b, speed_b)
    sure_m2[(own[BEFORE_MS] == UNHEARD_MS) | (partner[BEFORE_MS] == UNHEARD_MS)] = 0.0
    held_m = beyond_m + Z_CLOCK * np.sqrt(sure_m2)
    quiet, kept = (held_m if by_clock else beyond_m) > 0.0, np.True_
    if by_clock:
        quiet &= np.where(said & UNFIXED, lost_ms(own, HEARD), lost_ms(own, AT)) > now_ms
        quiet |= (held_m > 0.0) & (said & (WEARERS | UNFIXED) == WEARERS)
    else:
        seen_m = raw_m - 1.0 - np.maximum(_came_m(ways, own, raw_m), _came_m(-ways, partner, raw_m))
        turning_m_s = 2.0 * drift_m * (speed_a + speed_b) / (raw_m + NOWHERE_M)
        faded_m_s = (
            towards_a + towards_b - (closing_a * age_a + closing_b * age_b) / TURN_S - turning_m_s - STILL_M_S
        )
        least_m = np.where(in_course, raw_m - 1.0, low_m - Z_FIX * np.sqrt(variance_a + variance_b))
        most_m = raw_m + 1.0 - np.maximum(margin_m, both_radii_m)
        unasked = now_ms < look_ms
        kept = (least_m > lo_m) & unasked & (np.where(in_course, most_m, most_m + drift_m) < hi_m)
        quiet &= ~in_course | (unasked & (most_m + drift_m < PREALERT_FACTOR * ring_m))
        is_old = now_ms - np.minimum(own[AT], partner[AT]) > FRESH_MS
        quiet &= (said & UNPROVEN == 0) | is_old | (raw_m - 1.0 + both_radii_m > hi_m)
        quiet &= (seen_m > ring_m) & (said >> role & 1 == 0)
        quiet &= np.where(
            watch_s >= 0.0,
            beyond_m > watch_s * (carried_m_s + turning_m_s),
            (np.abs(own[AT] - partner[AT]) <= FORGET_MS)
            & (faded_m_s > CLOSING_MIN_M_S)
            & (raw_m + drift_m + 1.0 - ring_m < -watch_s * faded_m_s),
        )
    unfixed_ms, unheard_ms = lost_ms(partner, AT), lost_ms(partner, HEARD)
    quiet &= (unfixed_ms > now_ms) | (said >> (1 - role) & 1 != 0)
    is_risk = said & RISK != 0
    quiet &= np.where(
        is_risk,
        (late_a | late_b) & (raw_m - both_radii_m - late_m + LATE_MARGIN_M <= -blind_m),
        ~(late_a | late_b) | (left_m > moved_m + late_m),
    )
    due_ms = now_ms + SECOND_MS * held_m / carried_m_s
    due_ms[raw_m - TURN_S * carried_m_s - 1.0 > ring_m] = inf
    a_first = overdue_a <= overdue_b
    rate_a, rate_b = silent_a + speed_a, silent_b + speed_b
    rate_m_s = np.where(a_first, rate_a + SETTING_OFF * speed_b, rate_b + SETTING_OFF * speed_a)
    last_s = np.where(a_first, overdue_b - partner[AT], overdue_a - own[AT]) / SECOND_MS + ROUNDED_S
    rate_m_s += SETTING_OFF_M_S15 * np.sqrt(np.minimum(last_s, AGE_MAX_S))
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
    slight = quiet & (in_course | (margin_m == IN_NO_RING_M))
    return KeptApart(quiet & kept, slight, next_second_ms(due_ms, now_ms))


def may_show(partners: FloatArray, points: FloatArray, at_ms: FloatArray, radius_m: FloatArray) -> Mask:
    """``standing.may_show``, bit for bit, of fixes at ``points`` (3, n); never of a partner who was never seen."""
    ahead_s = np.maximum(at_ms - partners[AT], 0.0) / SECOND_MS + 0.1
    moved_m = partners[SPEED] * ahead_s + partners[WAY] + 1.0
    near: Mask = _lengths(points - partners[X:AT]) - moved_m <= radius_m
    near &= partners[AT] > UNHEARD_MS
    return near


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


def _sure_variance_m2(age_s: FloatArray, speed_m_s: FloatArray) -> FloatArray:
    sure_s = np.minimum(np.maximum(age_s - ROUNDED_S, 0.0), AGE_MAX_S)
    turned = TURNED_PER_S * np.maximum(1.0 - TURNED_LESS_PER_S * sure_s, 0.0)
    variance_m2: FloatArray = (speed_m_s * speed_m_s * turned + STILL_M2_S3) * (sure_s * sure_s * sure_s)
    return variance_m2


def _variance_m2(age_s: FloatArray, speed_m_s: FloatArray) -> FloatArray:
    variance_m2 = speed_m_s * speed_m_s
    variance_m2 *= TURNED_PER_S
    variance_m2 += STILL_M2_S3
    variance_m2 *= age_s * age_s * age_s
    return variance_m2
