"""Will he be there soon (IMMINENT), and is the breach beyond doubt (EVIDENTIAL BREACH)? DOMAIN section 3. Pure.

And does he still come nearer, behind the order to turn back (``Course``)? By distance, not by speed: at a walk the
velocity that two fixes show is less than their errors. A mark is set at each COURSE_M nearer, and at as much
farther, or both 95 % radii if that is more; what lies between two marks changes nothing, so that the guard band
may skip it (``band.Band``). Between the fixes themselves: what is carried on overshoots whoever turns.
"""

from __future__ import annotations

from math import inf

from geofence.assumptions import (
    CLOSING_MIN_M_S,
    COURSE_M,
    EVIDENCE_FIXES,
    FRESH_MS,
    IMMINENT_END_MS,
    IMMINENT_MS,
)
from geofence.devices import told_m
from geofence.pair_state import Look, PairState, Reason
from geofence.remembered import Course
from geofence.separation import SECOND_MS, Separation, closing_m_s, slack_m, upper_m
from tocsin.model.finding import Change, Code
from tocsin.model.zone import Zone


def judge_approach(look: Look, seen: Separation) -> None:
    """After a believed fix and its rings."""
    state = look.state
    left_ms = _left_ms(look, seen) if state.prealert.inside and not state.alert.inside else inf
    wanted = left_ms <= (IMMINENT_END_MS if state.imminent else IMMINENT_MS)
    if wanted and not state.imminent:
        look.say(Code.IMMINENT, Change.ENTRY, Reason.CLOSING, alert_ms=look.now_ms + round(left_ms))
    elif state.imminent and not wanted:
        look.say(Code.IMMINENT, Change.EXIT, Reason.NOT_CLOSING)
    state.imminent = wanted
    state.course = course_of(state.course, look.now_ms, seen)
    _prove(look, seen)


def _left_ms(look: Look, seen: Separation) -> float:
    """Time to the alert distance at the present closing speed."""
    if not seen.is_live:
        return inf
    closing = closing_m_s(look.wearer, look.protected, look.now_ms, seen.best_m)
    return SECOND_MS * (seen.best_m - look.alert_m) / closing if closing > CLOSING_MIN_M_S else inf


def forget_course(state: PairState) -> None:
    """Behind every look: a course is that of one stay between the two rings."""
    if state.zone is not Zone.PREALERT:
        state.course = None


def course_of(course: Course | None, now_ms: int, seen: Separation) -> Course | None:
    """What a believed fix makes of the course."""
    if not seen.is_live:
        return course
    raw_dm = round(10 * seen.raw_m)
    if course is None:
        return Course(now_ms, raw_dm, None)
    if raw_dm <= course.mark_dm - 10 * COURSE_M:
        return Course(now_ms, raw_dm, nearer=True)
    if raw_dm >= course.mark_dm + 10 * max(COURSE_M, seen.radii_m):
        return Course(now_ms, raw_dm, nearer=False)
    return course


def _prove(look: Look, seen: Separation) -> None:
    """d_ub inside, both fixes fresh and their accuracy told, EVIDENCE_FIXES times running: stricter than ALERT,
    and said once of each."""
    state = look.state
    if not state.alert.inside:
        state.evidence = 0
    if not state.alert.inside or state.evidence >= EVIDENCE_FIXES:
        return
    oldest_ms = look.now_ms - min(look.wearer.at_ms, look.protected.at_ms)
    is_told = all(told_m(mover.accuracy_m) is not None for mover in look.movers)
    certain = upper_m(seen, slack_m(look.wearer, look.protected, look.now_ms)) <= look.alert_m
    state.evidence = state.evidence + 1 if seen.is_live and certain and is_told and oldest_ms <= FRESH_MS else 0
    if state.evidence == EVIDENCE_FIXES:
        look.say(Code.EVIDENTIAL_BREACH, Change.ENTRY, Reason.CERTAIN_TWICE)
