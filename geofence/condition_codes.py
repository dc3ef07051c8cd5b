"""What does the condition of its two devices mean for a pair: which codes begin, end, and become more urgent?

DOMAIN section 4. A code is asked of the signs of both devices at every look at the pair, so that a measure that
begins, a worker that comes back and an hour that has passed find the same. A code that is *latched* begins, and
again with each further opening, and never ends here (F27, invariant 8).

Priority by time to blind risk (TTB), where the catalogue says so: STRAP_TAMPER and SEPARATION are P1 while the TTB
is shorter than BLIND_SOON_MS at the worst speed, or not known, and P2 before; they become P1 by the hour.
V_DEVICE_OFF is P2 where the distance may be within FAR_DISTANCES alert distances. A unit that has lost its wearer
says where the *unit* is: the time to blind risk runs from where it was when it still had him (``Since.left``).

Milliseconds, metres. Pure.
"""

from __future__ import annotations

from math import inf
from typing import Final

from geofence.assumptions import BLIND_SOON_MS, FAR_DISTANCES
from geofence.conditions import LINK_LOST_MS, WELL, Condition, Sign, Since
from geofence.motion import Mover
from geofence.pair_state import WEARER, Look, Reason
from geofence.separation import Separation, blind_not_before_ms, lower_m, separation, slack_m
from geofence.silence import Blind, blind
from tocsin.model.finding import LATCHED, Change, Code

HIS: Final = {
    Sign.TAMPERED: Code.STRAP_TAMPER, Sign.NEAR: Code.RF_PROXIMITY, Sign.JAMMED: Code.JAMMING_SUSPECTED,
    Sign.STRAYED: Code.SPOOF_SUSPECTED, Sign.OFF: Code.W_DEVICE_OFF, Sign.FLAT: Code.W_BATT_DEAD,
    Sign.CRITICAL: Code.W_BATT_CRIT, Sign.LOW: Code.W_BATT_LOW,
}  # fmt: skip
HERS: Final = {
    Sign.NEAR: Code.RF_PROXIMITY, Sign.JAMMED: Code.JAMMING_SUSPECTED, Sign.STRAYED: Code.SPOOF_SUSPECTED,
    Sign.OFF: Code.V_DEVICE_OFF, Sign.FLAT: Code.V_DEVICE_OFF, Sign.LOW: Code.V_BATT_LOW,
}  # fmt: skip
CODES: Final = tuple(dict.fromkeys((*HIS.values(), Code.SEPARATION, *HERS.values())))
_CODES: Final = frozenset(CODES)
AGAIN: Final = frozenset({Code.STRAP_TAMPER, Code.RF_PROXIMITY})
"""Each further time is said again: it rang again."""
MOST_URGENT: Final = {Code.STRAP_TAMPER: 1, Code.SEPARATION: 1, Code.V_DEVICE_OFF: 2}
"""What time to blind risk, or the distance, can make of a code that does not have one priority."""


def judge_conditions(look: Look, seen: Separation | None) -> None:
    """Behind every other rule of this look, whose losses it reads."""
    his, hers = look.conditions
    opened = look.state.opened
    if his is WELL and hers is WELL and _CODES.isdisjoint(opened):
        return
    wanted = _wanted(look, his, hers)
    for code in CODES:
        since, before = wanted.get(code), opened.get(code)
        if since is None:
            if before is not None and code not in LATCHED:
                look.state.graded.pop(code, None)
                look.say(code, Change.EXIT, Reason.RECOVERED)
        elif before is None or (code in AGAIN and since.at_ms > before.at_ms):
            _begin(look, seen, code, since)
        elif code in look.state.graded:
            _grade_again(look, seen, code, since)


def _wanted(look: Look, his: Condition, hers: Condition) -> dict[Code, Since]:
    wanted: dict[Code, Since] = {}
    for of_sign, condition in ((HIS, his), (HERS, hers)):
        for sign, since in condition.signs.items():
            code = of_sign.get(sign)
            if code is not None and (code not in wanted or since.at_ms > wanted[code].at_ms):
                wanted[code] = since
    parted = his.parted(look.now_ms)
    if parted is not None:
        wanted[Code.SEPARATION] = parted
        if look.state.wearer_unfixed and Code.JAMMING_SUSPECTED not in wanted:  # F30: both radios at once
            wanted[Code.JAMMING_SUSPECTED] = Since(at_ms=look.now_ms, reason=Reason.GNSS_AND_TAG_LOST)
    return wanted


def _begin(look: Look, seen: Separation | None, code: Code, since: Since) -> None:
    hours, priority = _blind(look, seen, since), None
    if code in MOST_URGENT:
        priority = _priority(look, seen, code, hours)
        _remember(look, code, priority)
    look.say(
        code,
        Change.ENTRY,
        since.reason,
        at_ms=since.at_ms,
        alarm=since.alarm or None,
        blind=hours,
        priority=priority,
    )


def _grade_again(look: Look, seen: Separation | None, code: Code, since: Since) -> None:
    hours = _blind(look, seen, since)
    priority = _priority(look, seen, code, hours)
    if priority < look.state.graded[code]:
        _remember(look, code, priority)
        look.say(code, Change.ENTRY, Reason.BLIND_SOON, blind=hours, priority=priority, worse=True)


def _remember(look: Look, code: Code, priority: int) -> None:
    """Only what can still become more urgent is looked at again."""
    if priority > MOST_URGENT[code]:
        look.state.graded[code] = priority
    else:
        look.state.graded.pop(code, None)


def _priority(look: Look, seen: Separation | None, code: Code, hours: Blind | None) -> int:
    if code is Code.V_DEVICE_OFF:
        near_m = FAR_DISTANCES * look.alert_m
        held_m = slack_m(look.wearer, look.protected, look.now_ms)
        return 2 if seen is None or lower_m(seen, held_m) <= near_m else 3
    return 1 if hours is None or hours.worst_ms - look.now_ms < BLIND_SOON_MS else 2


def _blind(look: Look, seen: Separation | None, since: Since) -> Blind | None:
    """The hours of blind risk; None where one of the two was never seen."""
    wearer = _wearer(look, since)
    if seen is None or not wearer.is_known:
        return None
    apart = seen if wearer is look.wearer else separation(wearer, look.protected, look.now_ms)
    return blind(wearer, look.protected, look.now_ms, apart, look.alert_m)


def _wearer(look: Look, since: Since) -> Mover:
    return look.wearer if since.left is None else since.left


def due_ms(look: Look, seen: Separation | None) -> float:
    """The next hour at which time alone changes anything here."""
    his, hour = look.conditions[WEARER], inf
    if his.unheard is not None and his.unheard.at_ms + LINK_LOST_MS > look.now_ms:
        hour = float(his.unheard.at_ms + LINK_LOST_MS)
    if not look.state.graded:
        return hour
    overdue = [one for mover in look.movers if (one := mover.overdue_ms) >= look.now_ms]  # then both may move
    for code, since in _wanted(look, *look.conditions).items():
        if code not in look.state.graded or seen is None:
            continue
        if code is Code.V_DEVICE_OFF:
            left_m = seen.nearest_m - seen.radii_m - FAR_DISTANCES * look.alert_m - 1.0
            hour = min(hour, blind_not_before_ms(look.wearer, look.protected, look.now_ms, left_m))
        elif (hours := _blind(look, seen, since)) is not None:
            gone = _wearer(look, since).overdue_ms
            soon_ms = hours.worst_ms - BLIND_SOON_MS + 1
            hour = min(hour, soon_ms, *overdue, *([gone] if gone >= look.now_ms else ()))
    return hour
