"""Was the wearer inside the alert distance, at an hour that is past, and how near?

Both parties are brought to the same instants (``hindsight``), so between two hours of a leg of either the distance
is that of two points on straight lines: where it passes a radius, and where it is least, is exact. A *stretch*
begins when the wearer comes within the ring's margin (ADR 19: d_A + max(100 m, r)) and ends when he has been seen
beyond it, or not at all, for EXIT_MS. A stretch in which he was within d_A is an *incursion*: it lasts from the
first to the last instant at which that was observed: both on a way between two fixes, or one of them at the hour
of a fix. All of it follows from the set of fixes alone (DOMAIN section 3).

ECEF metres, milliseconds; what is said is whole milliseconds and decimetres.
"""

from __future__ import annotations

from math import sqrt
from typing import Final, NamedTuple

import numpy as np

from geofence.assumptions import (
    EXIT_MARGIN_M,
    EXIT_MS,
    FORGET_MS,
    R95,
    ROAD_M_S,
    SLACK_SIGMAS,
)
from geofence.devices import Mask
from geofence.hindsight import Party, party
from geofence.motion import STILL_M2, TURNED_S2, age_ds
from tocsin.geodesy import FloatArray, IntArray
from tocsin.model.track import Track

ALWAYS: Final = (-(2**52), 2**52)
NO_FLOATS: Final = np.empty(0)


class Incursion(NamedTuple):
    """``begin_ms`` to ``end_ms``: the stretch; ``first_ms`` to ``last_ms``: within the alert distance. The fixes
    are indices into the parties': the closest in time to the first instant, and to the least distance."""

    begin_ms: int
    end_ms: int
    first_ms: int
    last_ms: int
    nearest_ms: int
    distance_dm: int
    lower_dm: int
    upper_dm: int
    entry_fixes: tuple[int, int]
    nearest_fixes: tuple[int, int]


class Stretch(NamedTuple):
    """``incursion`` None: he was near, and never seen within the alert distance."""

    begin_ms: int
    end_ms: int
    incursion: Incursion | None


def incursions(
    wearer: Track, protected: Track, alert_m: int, from_ms: int, until_ms: int, in_force: tuple[int, int] = ALWAYS
) -> tuple[Incursion, ...]:
    """Those that touch ``[from_ms, until_ms]``, oldest first. The tracks reach REACH_MS farther, on both sides.

    ``in_force``: of a measure that was not, nothing is said.
    """
    found = stretches(party(wearer), party(protected), alert_m, in_force)
    inside = (one.incursion for one in found if one.end_ms >= from_ms and one.begin_ms <= until_ms)
    return tuple(one for one in inside if one is not None)


def stretches(
    wearer: Party, protected: Party, alert_m: int, in_force: tuple[int, int] = ALWAYS
) -> tuple[Stretch, ...]:
    """All of these two tracks, oldest first."""
    knots = _knots(wearer, protected, in_force)
    begin_ms, end_ms = knots[:-1], knots[1:]
    middle_ms = (begin_ms + end_ms) / 2.0
    legs = wearer.legs_at(middle_ms), protected.legs_at(middle_ms)
    known = (legs[0] >= 0) & (legs[1] >= 0)
    begin_ms, end_ms = begin_ms[known], end_ms[known]
    his, hers = legs[0][known], legs[1][known]
    here = wearer.places(his, begin_ms) - protected.places(hers, begin_ms)
    there = wearer.places(his, end_ms) - protected.places(hers, end_ms)
    margin_m = alert_m + np.maximum(EXIT_MARGIN_M, R95 * (_accuracy_m(wearer, his) + _accuracy_m(protected, hers)))
    stays = _is_stay(wearer, his) | _is_stay(protected, hers)
    ways = _Ways(begin_ms, end_ms, here, there - here, *_observed(begin_ms, end_ms, stays, wearer, protected))
    radius_m = np.full(margin_m.shape, float(alert_m))
    return _grouped(ways, ways.within(margin_m), ways.inside(radius_m), wearer, protected)


def _knots(wearer: Party, protected: Party, in_force: tuple[int, int]) -> FloatArray:
    """Every hour at which a leg of either begins or ends, while the measure is in force."""
    hours = np.concatenate([wearer.begin_ms, wearer.end_ms, protected.begin_ms, protected.end_ms])
    if not hours.size:
        return NO_FLOATS
    return np.unique(np.clip(hours, *in_force)).astype(np.float64)


def _is_stay(one: Party, legs: IntArray) -> Mask:
    stay: Mask = one.first[legs] == one.last[legs]
    return stay


def _observed(
    begin_ms: FloatArray, end_ms: FloatArray, stays: Mask, wearer: Party, protected: Party
) -> tuple[FloatArray, FloatArray]:
    """Shares between which a way was observed: of a stay only what lies between, or at, hours of fixes; an empty
    range (1, 0) where there is none."""
    hours = np.concatenate([wearer.at_ms, protected.at_ms])
    at_begin, at_end = ~stays | np.isin(begin_ms, hours), ~stays | np.isin(end_ms, hours)
    return np.where(at_begin, 0.0, 1.0), np.where(at_end, 1.0, 0.0)


def _accuracy_m(one: Party, legs: IntArray) -> FloatArray:
    """The worse of a leg's two fixes."""
    return np.maximum(one.accuracy_m[one.first[legs]], one.accuracy_m[one.last[legs]])


class _Ways(NamedTuple):
    """How the one moved as seen from the other: from ``here`` by ``way`` (3, n), each within its two hours.
    ``since`` and ``until`` (n): the shares of it that were observed."""

    begin_ms: FloatArray
    end_ms: FloatArray
    here: FloatArray
    way: FloatArray
    since: FloatArray
    until: FloatArray

    def inside(self, radius_m: FloatArray) -> tuple[FloatArray, FloatArray]:
        """``within``, as far as it was observed."""
        enter, leave = self.within(radius_m)
        enter, leave = np.maximum(enter, self.since), np.minimum(leave, self.until)
        seen = enter <= leave
        return np.where(seen, enter, np.nan), np.where(seen, leave, np.nan)

    def within(self, radius_m: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Shares of each way (n) between which the distance is at most ``radius_m``; NaN where it never is."""
        a, b, c = self._square(radius_m)
        root = np.sqrt(np.where(b * b >= a * c, b * b - a * c, np.nan))
        still = a == 0.0
        with np.errstate(divide="ignore", invalid="ignore"):
            enter, leave = (-b - root) / a, (-b + root) / a
        enter[still] = np.where(c[still] <= 0.0, 0.0, np.nan)
        leave[still] = np.where(c[still] <= 0.0, 1.0, np.nan)
        passes = (leave >= 0.0) & (enter <= 1.0)
        return np.where(passes, np.clip(enter, 0.0, 1.0), np.nan), np.where(
            passes, np.clip(leave, 0.0, 1.0), np.nan
        )

    def nearest(self) -> tuple[FloatArray, FloatArray]:
        """The share of each way at which the distance is least, and that distance."""
        a, b, _ = self._square(np.zeros(self.begin_ms.shape))
        share = np.clip(-b / np.where(a == 0.0, 1.0, a), self.since, np.maximum(self.since, self.until))
        there = self.here + self.way * share
        return share, np.sqrt((there * there).sum(axis=0))

    def hours(self, share: FloatArray) -> FloatArray:
        return np.asarray(self.begin_ms + (self.end_ms - self.begin_ms) * share)

    def _square(self, radius_m: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """a s² + 2 b s + c is the square of the distance at the share s, less that of the radius."""
        here, way = self.here, self.way
        return (way * way).sum(axis=0), (here * way).sum(axis=0), (here * here).sum(axis=0) - radius_m * radius_m


def _grouped(
    ways: _Ways,
    near: tuple[FloatArray, FloatArray],
    inside: tuple[FloatArray, FloatArray],
    wearer: Party,
    protected: Party,
) -> tuple[Stretch, ...]:
    """Stretches: ways within the margin with less than EXIT_MS between them."""
    rows = np.flatnonzero(~np.isnan(near[0]))
    if not rows.size:
        return ()
    begin_ms, end_ms = ways.hours(near[0])[rows], ways.hours(near[1])[rows]
    first_ms, last_ms = ways.hours(inside[0]), ways.hours(inside[1])
    nearest_ms, nearest_m = ways.nearest()
    nearest_ms = ways.hours(nearest_ms)
    cuts = np.flatnonzero(begin_ms[1:] - end_ms[:-1] >= EXIT_MS) + 1
    found = []
    for some, start_ms, stop_ms in zip(
        np.split(rows, cuts), begin_ms[np.append(0, cuts)], end_ms[np.append(cuts, rows.size) - 1], strict=True
    ):
        begin, end = round(start_ms), round(stop_ms)
        within = some[~np.isnan(first_ms[some])]
        if not within.size:
            found.append(Stretch(begin, end, None))
            continue
        least = within[np.argmin(nearest_m[within])]
        found.append(
            Stretch(
                begin,
                end,
                _incursion(
                    (begin, end),
                    (round(first_ms[within[0]]), round(last_ms[within[-1]])),
                    round(nearest_ms[least]),
                    float(nearest_m[least]),
                    (wearer, protected),
                ),
            )
        )
    return tuple(found)


def _incursion(
    stretch: tuple[int, int], visit: tuple[int, int], at_ms: int, distance_m: float, parties: tuple[Party, Party]
) -> Incursion:
    doubt_m = SLACK_SIGMAS * sqrt(sum(_unobserved_m2(one, at_ms) for one in parties))
    nearest_fixes = parties[0].nearest_fix(at_ms), parties[1].nearest_fix(at_ms)
    doubt_m += R95 * sum(float(one.claimed_m[fix]) for one, fix in zip(parties, nearest_fixes, strict=True))
    return Incursion(
        *stretch,
        *visit,
        nearest_ms=at_ms,
        distance_dm=round(10.0 * distance_m),
        lower_dm=round(10.0 * max(0.0, distance_m - doubt_m)),
        upper_dm=round(10.0 * (distance_m + doubt_m)),
        entry_fixes=(parties[0].nearest_fix(visit[0]), parties[1].nearest_fix(visit[0])),
        nearest_fixes=nearest_fixes,
    )


def _unobserved_m2(one: Party, at_ms: int) -> float:
    """Variance of what he did between the fix closest in time and that hour, at the speed that the way shows."""
    leg = int(one.legs_at(np.array([float(at_ms)]))[0])
    fix = one.nearest_fix(at_ms)
    age = age_ds(abs(at_ms - int(one.at_ms[fix])), 0.0)
    speed_m_s = 0.0
    if leg >= 0 and one.first[leg] != one.last[leg]:
        way = one.points[:, one.last[leg]] - one.points[:, one.first[leg]]
        seconds = (one.at_ms[one.last[leg]] - one.at_ms[one.first[leg]]) / 1_000.0
        speed_m_s = min(ROAD_M_S, float(np.sqrt((way * way).sum())) / float(seconds))
    return STILL_M2[age] + speed_m_s * speed_m_s * TURNED_S2[age]


assert EXIT_MS < FORGET_MS, "a stretch is not joined over a silence in which nothing can be known"
