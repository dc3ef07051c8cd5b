"""Where was one party, now that both sides of each fix are known?

The rules of ADR 19 for what is believed, as they look in hindsight. A poor fix is not believed. One that cannot be
reached from the fix before, nor reach the one behind, while these two agree, is a jump that nobody confirmed;
so is one that stands alone between two contradictions. What two fixes running say is believed. The rule asks the
set of fixes and not the order in which they came, and asks no farther than two neighbours, FORGET_MS each.

Between two believed fixes that agree and are at most FORGET_MS apart a person is on the straight line. Elsewhere
he is taken to be where the nearest fix saw him for at most FRESH_MS, where ADR 19 holds nothing against an entry,
and of the rest nothing is known.

ECEF metres, milliseconds. A *leg* is one straight line: places (3, n) at its two hours.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from geofence.assumptions import FORGET_MS, FRESH_MS, IMPOSSIBLE_M_S, LATE_FROM_MS, POOR_DM, R95
from geofence.devices import Mask, accuracies_m
from tocsin.geodesy import FloatArray, IntArray, ecef
from tocsin.limits import ACCURACY_UNKNOWN_DM
from tocsin.model.track import Track, came_late


class Party(NamedTuple):
    """The believed fixes of one party in the order of their hours (n), and his legs (m) in theirs.

    ``fixes`` are the rows that they were; ``first`` and ``last`` say between which two fixes a leg leads, one and
    the same twice where he is only taken to have stayed.
    """

    fixes: Track
    at_ms: IntArray
    points: FloatArray
    accuracy_m: FloatArray
    claimed_m: FloatArray
    late: Mask
    begin_ms: IntArray
    end_ms: IntArray
    first: IntArray
    last: IntArray

    def legs_at(self, hours_ms: FloatArray) -> IntArray:
        """The leg on which he was at each hour; -1: nobody knows."""
        legs = np.searchsorted(self.begin_ms, hours_ms, "right") - 1
        known = legs >= 0
        known[known] = hours_ms[known] <= self.end_ms[legs[known]]
        return np.where(known, legs, -1)

    def places(self, legs: IntArray, hours_ms: FloatArray) -> FloatArray:
        """(3, n)."""
        first, last = self.first[legs], self.last[legs]
        way_ms = np.maximum(self.at_ms[last] - self.at_ms[first], 1)
        share = np.where(first == last, 0.0, (hours_ms - self.at_ms[first]) / way_ms)
        start = self.points[:, first]
        return start + (self.points[:, last] - start) * share

    def nearest_fix(self, hour_ms: float) -> int:
        """Index of the believed fix closest in time; the earlier of two."""
        return int(np.argmin(np.abs(self.at_ms - hour_ms)))


def party(track: Track) -> Party:
    """What is believed of a track, and the legs between."""
    fixes = _in_order(track[track["accuracy_dm"] <= POOR_DM])
    for unconfirmed in (_overruled, _alone):
        fixes = fixes[~unconfirmed(fixes)]
    at_ms, points, accuracy_m = _columns(fixes)
    told = fixes["accuracy_dm"].astype(np.int64)
    return Party(
        fixes,
        at_ms,
        points,
        accuracy_m,
        np.where(told > 0, told, ACCURACY_UNKNOWN_DM) / 10.0,
        came_late(fixes, LATE_FROM_MS),
        *_legs(at_ms, _agree(at_ms, points, accuracy_m, 1)),
    )


def _in_order(track: Track) -> Track:
    """By the hour, one of each; a clock that was ahead counts from the reception. Of two that say different things
    of one instant the more accurate counts."""
    at_ms = track["at_ms"] + np.minimum(track["delay_ms"], 0)
    told = np.where(track["accuracy_dm"] > 0, track["accuracy_dm"], ACCURACY_UNKNOWN_DM)
    order = np.lexsort((track["delay_ms"], track["lon_e6"], track["lat_e6"], told, at_ms))
    fixes = track[order]
    fixes["at_ms"] = at_ms[order]
    return fixes[np.diff(fixes["at_ms"], prepend=-1) > 0]


def _columns(fixes: Track) -> tuple[IntArray, FloatArray, FloatArray]:
    points = np.array(ecef(fixes["lat_e6"], fixes["lon_e6"])).reshape(3, -1)
    return fixes["at_ms"].astype(np.int64), points, accuracies_m(fixes["accuracy_dm"].astype(np.int64))


def _agree(at_ms: IntArray, points: FloatArray, accuracy_m: FloatArray, step: int) -> Mask:
    """Whether each fix can be reached from the one ``step`` before it (n - step), as ``motion.is_reachable``
    says."""
    ways = points[:, step:] - points[:, :-step]
    reach_m = IMPOSSIBLE_M_S * (at_ms[step:] - at_ms[:-step]) / 1_000.0
    reach_m = reach_m + R95 * (accuracy_m[step:] + accuracy_m[:-step])
    agree: Mask = (ways * ways).sum(axis=0) <= reach_m * reach_m
    return agree


def _near(at_ms: IntArray) -> Mask:
    near: Mask = np.diff(at_ms) <= FORGET_MS
    return near


def _overruled(fixes: Track) -> Mask:
    """Contradicted by both neighbours, which agree with each other."""
    jump = np.zeros(fixes.size, np.bool_)
    if fixes.size > 2:
        at_ms, points, accuracy_m = _columns(fixes)
        against = _near(at_ms) & ~_agree(at_ms, points, accuracy_m, 1)
        jump[1:-1] = against[:-1] & against[1:] & _agree(at_ms, points, accuracy_m, 2)
    return jump


def _alone(fixes: Track) -> Mask:
    """Contradicted by a neighbour and supported by none."""
    if fixes.size < 2:
        return np.zeros(fixes.size, np.bool_)
    at_ms, points, accuracy_m = _columns(fixes)
    near, agree = _near(at_ms), _agree(at_ms, points, accuracy_m, 1)
    against, supported = near & ~agree, near & agree
    return _either_side(against) & ~_either_side(supported)


def _either_side(between: Mask) -> Mask:
    """From the n - 1 spaces between n fixes to the fixes that have such a space beside them."""
    beside: Mask = np.append(between, False) | np.insert(between, 0, False)
    return beside


def _legs(at_ms: IntArray, agree: Mask) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """begin, end, first, last: the ways between fixes, and what is stayed at either side of a gap."""
    index = np.arange(at_ms.size)
    between = np.diff(at_ms)
    way = agree & (between <= FORGET_MS)
    stay_ms = np.minimum(FRESH_MS, between // 2)
    behind = np.append(~way, True) if at_ms.size else way
    ahead = np.insert(~way, 0, True) if at_ms.size else way
    until_ms = at_ms + np.append(stay_ms, FRESH_MS)[: at_ms.size]
    since_ms = at_ms - FRESH_MS
    since_ms[1:] = np.maximum(since_ms[1:], until_ms[:-1])
    begin_ms = np.concatenate([at_ms[:-1][way], at_ms[behind], since_ms[ahead]])
    end_ms = np.concatenate([at_ms[1:][way], until_ms[behind], at_ms[ahead]])
    first = np.concatenate([index[:-1][way], index[behind], index[ahead]])
    last = np.concatenate([index[1:][way], index[behind], index[ahead]])
    order = np.argsort(begin_ms, kind="stable")
    legs: npt.NDArray[np.int64] = np.array([begin_ms, end_ms, first, last])[:, order]
    return legs[0], legs[1], legs[2], legs[3]
