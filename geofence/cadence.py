"""How often are the two devices to report? DOMAIN section 2.

By the distance less its doubts, in bands; shorter at once, longer one band at a time and only after a while. The
bound holds nothing against a party for being silent: asking a silent unit more often does not make it speak.
What the wearer's unit is told depends on the band and the age of the state alone, so that nobody can read from
his own bracelet where she is (invariant 5); only the protected person's unit may be told otherwise. Seconds,
metres. Pure.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from geofence.assumptions import (
    ALERT_S,
    FAR_DISTANCES,
    FAR_S,
    NEAR_DISTANCES,
    NEAR_S,
    PREALERT_S,
    RELAX_FACTOR,
    RELAX_MS,
    SETTLED_MS,
    Z_FIX,
)
from geofence.pair_state import Look, PairState
from geofence.separation import Separation

STEPS_S: Final = (ALERT_S, PREALERT_S, NEAR_S, FAR_S)


class Asked(NamedTuple):
    """What one pair asks of its devices."""

    wearer_s: int
    protected_s: int


class Pace(NamedTuple):
    """What a pair asks for, and since when a longer interval would do."""

    interval_s: int
    relax_ms: int | None


def tell(look: Look, seen: Separation) -> None:
    """Bring ``interval_s`` of the pair up to date, after a fix, both known."""
    look.state.interval_s, look.state.relax_ms = pace(look.state, look.alert_m, look.now_ms, seen)


def pace(state: PairState, alert_m: float, now_ms: int, seen: Separation) -> Pace:
    """Shorter at once, longer by one band after a while."""
    nearest_m, interval_s = seen.best_m - seen.radii_m - Z_FIX * seen.doubt_m, state.interval_s
    if (wanted_s := _wanted_s(state, alert_m, now_ms, nearest_m)) < interval_s:
        return Pace(wanted_s, None)
    if _wanted_s(state, alert_m * RELAX_FACTOR, now_ms, nearest_m) <= interval_s:
        return Pace(interval_s, None)
    if state.relax_ms is None:
        return Pace(interval_s, now_ms)
    if now_ms - state.relax_ms >= RELAX_MS:
        return Pace(STEPS_S[STEPS_S.index(interval_s) + 1], None)
    return Pace(interval_s, state.relax_ms)


def _wanted_s(state: PairState, alert_m: float, now_ms: int, nearest_m: float) -> int:
    """What the state asks for, and without one the band."""
    if state.alert.inside:
        assert state.alert_ms is not None
        return ALERT_S if now_ms - state.alert_ms < SETTLED_MS else PREALERT_S
    if state.prealert.inside:
        return PREALERT_S
    if nearest_m > FAR_DISTANCES * alert_m:
        return FAR_S
    return NEAR_S if nearest_m > NEAR_DISTANCES * alert_m else PREALERT_S


def asked(state: PairState) -> Asked:
    """Her unit reports more while he approaches."""
    return Asked(state.interval_s, min(state.interval_s, ALERT_S) if state.imminent else state.interval_s)
