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


def tell(look: Look, seen: Separation) -> None:
    """Bring ``interval_s`` of the pair up to date, after a fix, both known."""
    state = look.state
    nearest_m = seen.best_m - seen.radii_m - Z_FIX * seen.doubt_m
    if (wanted_s := _wanted_s(look, nearest_m, 1.0)) < state.interval_s:
        state.interval_s, state.relax_ms = wanted_s, None
    elif _wanted_s(look, nearest_m, RELAX_FACTOR) <= state.interval_s:
        state.relax_ms = None
    elif state.relax_ms is None:
        state.relax_ms = look.now_ms
    elif look.now_ms - state.relax_ms >= RELAX_MS:
        state.interval_s, state.relax_ms = STEPS_S[STEPS_S.index(state.interval_s) + 1], None


def _wanted_s(look: Look, nearest_m: float, factor: float) -> int:
    """What the state asks for, and without one the band."""
    state = look.state
    if state.alert.inside:
        assert state.alert_ms is not None
        return ALERT_S if look.now_ms - state.alert_ms < SETTLED_MS else PREALERT_S
    if state.prealert.inside:
        return PREALERT_S
    if nearest_m > FAR_DISTANCES * look.alert_m * factor:
        return FAR_S
    return NEAR_S if nearest_m > NEAR_DISTANCES * look.alert_m * factor else PREALERT_S


def asked(state: PairState) -> Asked:
    """Her unit reports more while he approaches."""
    return Asked(state.interval_s, min(state.interval_s, ALERT_S) if state.imminent else state.interval_s)
