"""Is he looking for her, and how long may the call to him wait? (F34)

Each call at the pre-alert ring tells the wearer that he is 2 d_A from her. Circles of that radius about two
crossings meet in two places, about three in one: where she is. So:

* A *shallow entry* is a stay in the pre-alert ring that she did not bring about, that ended without an alert, and
  that he left within TURNED_BACK_DEG of where he came in: who leaves by another side was on his way somewhere. How
  deep it led does not matter: since the call may wait, who turns back when it comes turns back deep. Its bearing
  is his, as seen from her, when he came in. Who lives at the edge and crosses it on one road has one bearing.
* Shallow entries from PROBING_SIDES sides, each SIDE_DEG from the others, within PROBING_MS are PROBING: said
  once, when he has left for the third time and before a fourth call. A spell ends when he has not done it for
  PROBING_MS.
* The call to him may wait, as long as CALL_LEFT_MS are left until he could be at the alert distance at his and her
  present speed, and never less than CALL_SPEED_M_S. ``call_by_ms`` is that limit; None: call at once.
  ``other_side``: he has been in the ring within PROBING_MS from another side, and this call would be the second
  circle: it waits as long as is safe, and who turns back before learns nothing. Otherwise it waits at most
  CALL_WAIT_MAX_MS, and how long is chance, drawn where the secret is (``alerts.calls``).

Whatever is said of a crossing rests on looks that no guard band skips: the crossings themselves, and the first
fix behind the end of a spell (``pair_table.band_of``). Pure; metres, milliseconds, whole degrees from north.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import atan2, degrees, inf, sqrt

from geofence.assumptions import (
    CALL_LEFT_MS,
    CALL_SPEED_M_S,
    CALL_WAIT_MAX_MS,
    CROSSINGS_MAX,
    PROBING_MS,
    PROBING_SIDES,
    SIDE_DEG,
    TURNED_BACK_DEG,
)
from geofence.attribution import wearer_share_pct
from geofence.motion import Vector
from geofence.pair_state import Look, Reason, Said
from geofence.remembered import Crossing
from geofence.separation import SECOND_MS, Separation
from tocsin.model.finding import Change, Code

CIRCLE_DEG = 360
LED_PCT = 50  # by whom the distance shrank more


def watch_quiet(look: Look) -> None:
    """After a believed fix: a spell that has been quiet ends."""
    state = look.state
    if state.probing_ms is not None and look.now_ms >= state.probing_ms + PROBING_MS:
        state.probing_ms, state.crossings = None, ()
        look.say(Code.PROBING, Change.EXIT, Reason.QUIET_A_WEEK)


def watch_crossings(look: Look, seen: Separation | None) -> None:
    """Behind ``attribution.attribute``: what was said of the rings in this look."""
    for index, said in enumerate(tuple(look.said)):
        match said.code, said.change:
            case Code.PROX_PREALERT, Change.ENTRY:
                look.said[index] = _come(look, seen, said)
            case Code.PROX_ALERT, Change.ENTRY:
                look.state.visit = None
            case Code.PROX_PREALERT, Change.EXIT:
                _go(look)
            case _:
                pass


def _come(look: Look, seen: Separation | None, said: Said) -> Said:
    state = look.state
    here = _here(look)
    state.visit = None if _is_hers(said) else here
    if (
        seen is None
        or said.reason is not Reason.INSIDE_PREALERT
        or state.imminent
        or state.uncertain_ms is not None
    ):
        return said
    other_side = any(_apart_deg(here, one) >= SIDE_DEG for one in _recent(state.crossings, look.now_ms))
    longest_ms = inf if other_side else CALL_WAIT_MAX_MS
    return said._replace(call_by_ms=call_by_ms(look, seen, longest_ms), other_side=other_side)


def _here(look: Look) -> Crossing:
    he, she = (mover.place_at(look.now_ms) for mover in look.movers)
    return Crossing(look.now_ms, bearing_deg(she, he))


def _is_hers(said: Said) -> bool:
    """Whether it was she who came to him, as far as that can be said."""
    if said.wearer_dm is None or said.protected_dm is None:
        return False
    share_pct = wearer_share_pct(said.wearer_dm, said.protected_dm, said.change)
    return share_pct is not None and share_pct < LED_PCT


def _go(look: Look) -> None:
    """He has left: by where he came in, or through."""
    state = look.state
    came, state.visit = state.visit, None
    if came is None or _apart_deg(came, _here(look)) > TURNED_BACK_DEG:
        return
    state.crossings = (*_recent(state.crossings, look.now_ms), came)[-CROSSINGS_MAX:]
    if state.probing_ms is not None:
        state.probing_ms = look.now_ms
    elif sides([one.bearing_deg for one in state.crossings]) >= PROBING_SIDES:
        state.probing_ms = look.now_ms
        look.say(Code.PROBING, Change.ENTRY, Reason.SPREAD_BEARINGS)


def _recent(crossings: Iterable[Crossing], now_ms: int) -> tuple[Crossing, ...]:
    return tuple(one for one in crossings if now_ms - one.at_ms <= PROBING_MS)


def sides(bearings_deg: Sequence[int]) -> int:
    """The most of these bearings of which each is SIDE_DEG or more from every other."""
    around = sorted({bearing % CIRCLE_DEG for bearing in bearings_deg})
    return max(
        (_from(around[at:] + [one + CIRCLE_DEG for one in around[:at]]) for at in range(len(around))), default=0
    )


def _from(around: Sequence[int]) -> int:
    """Beginning with the first, always the next that is far enough, from it and from the first on the way back."""
    count, last = 1, around[0]
    for one in around[1:]:
        if one - last >= SIDE_DEG and around[0] + CIRCLE_DEG - one >= SIDE_DEG:
            count, last = count + 1, one
    return count


def _apart_deg(one: Crossing, other: Crossing) -> int:
    turn = abs(one.bearing_deg - other.bearing_deg) % CIRCLE_DEG
    return min(turn, CIRCLE_DEG - turn)


def bearing_deg(origin: Vector, place: Vector) -> int:
    """From ``origin``, whole degrees from north; both ECEF. The vertical is a sphere's: 0.2 degrees off."""
    x, y, z = origin
    dx, dy, dz = place[0] - x, place[1] - y, place[2] - z
    axis_m = sqrt(x * x + y * y)
    east = (x * dy - y * dx) / axis_m
    north = (axis_m * dz - z * (x * dx + y * dy) / axis_m) / sqrt(x * x + y * y + z * z)
    return round(degrees(atan2(east, north))) % CIRCLE_DEG


def call_by_ms(look: Look, seen: Separation, longest_ms: float) -> int | None:
    """Until when the call may wait. Both speeds count whole: he may turn towards her in a moment."""
    speed_m_s = max(CALL_SPEED_M_S, look.wearer.speed_m_s + look.protected.speed_m_s)
    left_ms = SECOND_MS * (seen.nearest_m - look.alert_m) / speed_m_s - CALL_LEFT_MS
    return look.now_ms + int(min(left_ms, longest_ms)) if left_ms > 0 and seen.is_live else None
