"""Does the judge allow at this hour what has just been found?

An authorisation (CPP R24-18 §3) is an exception to reporting, never to computing: what is found within its hours
is found, named and kept as ever, marked ``authorised``, and nobody is alerted. Two things end that. Nearer to her
than the inner floor he is an alert as always, hours or not, and so is what may be below it for all that is known:
in Udine in 2025 she was killed during an authorised outing (F23). And when the hours are over, whatever still
holds is said anew, and this time to everybody.

Metres; hours in milliseconds. Pure.
"""

from __future__ import annotations

from math import inf
from typing import Final, NamedTuple

from geofence.pair_state import Look, Reason, Said
from geofence.schedule import force
from geofence.separation import Separation
from tocsin.model.finding import Change, Code
from tocsin.model.order import Order

OF_NEARNESS: Final = (Code.PROX_ALERT, Code.PROX_PREALERT, Code.IMMINENT)
"""What may be authorised of the rings; a silence, a doubt or a proof of the one thing never hides another."""

UNMEASURED: Final = frozenset({Reason.UNCONFIRMED_INSIDE, Reason.LATE_INSIDE})
"""Why he may be inside without a believed fix whose distance was held against the floor; a doubt is never
authorised. By the clock alone he comes in at the outer edge, and the next fix is held against it."""


def floor_m(order: Order, now_ms: int) -> float | None:
    """Down to which distance nearness is authorised at this hour, 0 for any; None: it is not."""
    if order.authorised is None or not force(order.authorised.schedule, now_ms, brief=True).now:
        return None
    return float(order.authorised.floor_m)


class Allowance(NamedTuple):
    """Of a visit that is past. ``whole``: all of it was allowed; ``during_ms``: how much of it was within the
    hours; ``below_floor``: he was nearer than these allow."""

    whole: bool
    during_ms: int
    below_floor: bool


def in_hindsight(order: Order, first_ms: int, last_ms: int, nearest_ms: int, nearest_m: float) -> Allowance:
    """By the hours of ``order``, which is the only one that is asked. As live: what begins before the hours or
    outlasts them is not allowed, and what came below the floor is not either."""
    if order.authorised is None:
        return Allowance(whole=False, during_ms=0, below_floor=False)
    floor, during_ms, whole, at_ms = floor_m(order, nearest_ms), 0, True, first_ms
    while at_ms <= last_ms:
        stood = force(order.authorised.schedule, at_ms, brief=True)
        until_ms = min(stood.until_ms, last_ms)
        whole = whole and stood.now
        during_ms += (until_ms - at_ms) * stood.now
        at_ms = until_ms if until_ms < last_ms else last_ms + 1
    below = floor is not None and floor > 0.0 and nearest_m <= floor
    return Allowance(whole and not below, during_ms, below)


def changes_ms(order: Order, now_ms: int) -> float:
    """The hour until which that stays as it is."""
    return inf if order.authorised is None else force(order.authorised.schedule, now_ms, brief=True).until_ms


def judge_floor(look: Look, seen: Separation) -> None:
    """After a believed fix: below the floor the alert is one, be it new or be it authorised so far."""
    state = look.state
    if look.floor_m is None or not state.alert.inside or seen.nearest_m > look.floor_m or look.floor_m <= 0.0:
        return
    alert = Said(Code.PROX_ALERT, Change.ENTRY, Reason.BELOW_FLOOR, authorised=False)
    for at, said in enumerate(look.said):
        if (said.code, said.change) == (Code.PROX_ALERT, Change.ENTRY):
            look.said[at] = alert
            return
    opened = state.opened.get(Code.PROX_ALERT)
    if opened is not None and opened.authorised:
        _say_anew(look, alert)


def judge_end(look: Look) -> None:
    """What was authorised and goes on is said anew once it is not any more."""
    if look.floor_m is not None:
        return
    ended = {said.code for said in look.said}
    for code in OF_NEARNESS:
        opened = look.state.opened.get(code)
        if opened is not None and opened.authorised and code not in ended:
            _say_anew(look, Said(code, Change.ENTRY, Reason.AUTHORISATION_ENDED, authorised=False))


def _say_anew(look: Look, said: Said) -> None:
    """What was only recorded is an alert from here on, and is proved as one: its proof was only recorded, too."""
    look.said.append(said)
    if said.code is Code.PROX_ALERT:
        look.state.evidence = 0


def is_authorised(look: Look, said: Said) -> bool:
    """Whether this is only recorded: an end as its beginning was, a proof as the alert that it proves."""
    if said.authorised is not None:
        return said.authorised
    code = Code.PROX_ALERT if said.code is Code.EVIDENTIAL_BREACH else said.code
    opened = look.state.opened.get(code)
    if said.change is Change.EXIT or said.code is Code.EVIDENTIAL_BREACH:
        return opened is not None and opened.authorised
    if said.code not in OF_NEARNESS or look.floor_m is None:
        return False
    is_alert = opened is not None and not opened.authorised  # and goes on as one, however often it is said again
    may_be_below = said.code is Code.PROX_ALERT and said.reason in UNMEASURED and look.floor_m > 0.0
    return not (is_alert or may_be_below)
