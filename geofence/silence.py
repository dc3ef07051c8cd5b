"""Who is silent, since when, and when does that become a risk? DOMAIN section 3 (time to blind risk), F05, F13,
F15.

A loss is a loss and never a breach. The hour of blind risk is when whoever is silent could be at the alert
distance: at the worst speed it ranks the silent, at the plausible one it is what UNCERTAIN and DEGRADED come
from. It is an hour and not a countdown, so that it stands still while nothing is heard, and an earlier look
never finds more time.

Metres, milliseconds. Pure.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

import numpy as np

from geofence.assumptions import R95, SILENT_M_S, WORST_M_S
from geofence.devices import ACCURACY, AT, INTERVAL, SPEED, TOLD, Mask, X
from geofence.motion import Mover, overdue_of_many
from geofence.pair_state import Look, Reason
from geofence.separation import SECOND_MS, Separation
from tocsin.geodesy import FloatArray
from tocsin.model.finding import Change, Code


def judge_silence(look: Look, *, by_clock: bool = False) -> None:
    """W_COMMS_LOSS, W_GNSS_LOSS, V_COMMS_LOSS: nothing for LOSS_INTERVALS intervals; a unit that was never heard
    has lost nothing. A loss begins by the clock, whoever else is heard before, or with the unit's own word; it
    ends with what was missed: another interval is no message."""
    state, wearer, protected = look.state, look.wearer, look.protected
    was_silent = state.wearer_lost or state.wearer_unfixed or state.protected_lost
    if not (by_clock or was_silent or wearer.heard_ms > wearer.received_ms):
        return
    lost = _is_lost(wearer, look, state.wearer_lost, by_clock)
    _change(look, Code.W_COMMS_LOSS, state.wearer_lost, lost, wearer.heard_ms)
    unfixed = _is_unfixed(look, lost, by_clock)
    _change(look, Code.W_GNSS_LOSS, state.wearer_unfixed, unfixed, wearer.at_ms)
    her_lost = _is_lost(protected, look, state.protected_lost, by_clock)
    _change(look, Code.V_COMMS_LOSS, state.protected_lost, her_lost, protected.heard_ms)
    state.wearer_lost, state.wearer_unfixed, state.protected_lost = lost, unfixed, her_lost


def _is_lost(mover: Mover, look: Look, before: bool, by_clock: bool) -> bool:
    if before:
        return mover.heard_ms < look.now_ms
    return by_clock and mover.is_known and look.now_ms >= mover.lost_ms(mover.heard_ms)


def _is_unfixed(look: Look, lost: bool, by_clock: bool) -> bool:
    """Heard, and no fix with it."""
    wearer, before = look.wearer, look.state.wearer_unfixed
    if before and wearer.received_ms < look.now_ms:
        return True
    missed = wearer.is_known and look.now_ms >= wearer.lost_ms(wearer.at_ms)
    begins = wearer.heard_ms > wearer.received_ms and not lost and (by_clock or wearer.heard_ms >= look.now_ms)
    return missed and (before or begins)


def _change(look: Look, code: Code, before: bool, now: bool, since_ms: float) -> None:
    if now and not before:
        reason = Reason.NO_FIX if code is Code.W_GNSS_LOSS else Reason.NO_MESSAGE
        look.say(code, Change.ENTRY, reason, silent_since_ms=int(since_ms))
    elif before and not now:
        look.say(code, Change.EXIT, Reason.HEARD_AGAIN)


def due_ms(look: Look) -> float:
    """The next hour at which somebody has been silent for too long."""
    state, wearer, protected = look.state, look.wearer, look.protected
    hour = inf
    if wearer.is_known and not state.wearer_lost:
        hour = wearer.lost_ms(wearer.heard_ms)
    unfixed_ms = wearer.lost_ms(wearer.at_ms)
    waits = wearer.heard_ms > wearer.received_ms and not state.wearer_lost
    is_ahead = waits or unfixed_ms > look.now_ms // SECOND_MS * SECOND_MS
    if wearer.is_known and not state.wearer_unfixed and is_ahead:
        hour = min(hour, unfixed_ms)
    if protected.is_known and not state.protected_lost:
        hour = min(hour, protected.lost_ms(protected.heard_ms))
    return hour


# --- time to blind risk ----------------------------------------------------------------------------------------


class Blind(NamedTuple):
    """The hours at which silence becomes risk, at the worst and at the plausible speed."""

    worst_ms: int
    plausible_ms: int


def blind(a: Mover, b: Mover, now_ms: int, seen: Separation, alert_m: float) -> Blind:
    """As if nobody spoke from now on. Those who are overdue move; while nobody is, both do."""
    silent = [one for one in (a, b) if now_ms > one.overdue_ms] or [a, b]
    left_m = seen.raw_m - seen.radii_m - alert_m
    hours = []
    for speeds in ([max(WORST_M_S, one.speed_m_s) for one in silent], [one.silent_m_s for one in silent]):
        moved_m = sum(speed * one.at_ms / SECOND_MS for speed, one in zip(speeds, silent, strict=True))
        hours.append(int(SECOND_MS * (left_m + moved_m) / sum(speeds)))
    return Blind(*hours)


class BlindHours(NamedTuple):
    """``Blind`` for n pairs, and which of them have somebody overdue."""

    worst_ms: FloatArray
    plausible_ms: FloatArray
    silent: Mask


def blind_hours(a: FloatArray, b: FloatArray, now_ms: float, alert_m: FloatArray) -> BlindHours:
    """For rows of both parties by columns (19, n) and their alert distances. Pairs of which one was never heard:
    -inf, first in every ranking."""
    over_a, over_b = (now_ms > overdue_of_many(one[AT], one[TOLD], one[INTERVAL]) for one in (a, b))
    nobody = ~(over_a | over_b)
    x, y, z = a[X:AT] - b[X:AT]
    left_m = np.sqrt(x * x + y * y + z * z) - R95 * (a[ACCURACY] + b[ACCURACY]) - alert_m
    moves_a, moves_b = (over_a | nobody), (over_b | nobody)
    hours = []
    for least_m_s in (WORST_M_S, SILENT_M_S):
        speed_a = np.maximum(a[SPEED], least_m_s) * moves_a
        speed_b = np.maximum(b[SPEED], least_m_s) * moves_b
        moved_m = (speed_a * a[AT] + speed_b * b[AT]) / SECOND_MS
        hours.append(SECOND_MS * (left_m + moved_m) / (speed_a + speed_b))
    unheard = (a[AT] < 0) | (b[AT] < 0)
    worst_ms, plausible_ms = (np.where(unheard, -np.inf, one) for one in hours)
    return BlindHours(worst_ms, plausible_ms, ~nobody)
