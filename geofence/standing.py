"""In which rings is the wearer, and is that certain? The rules of one pair for a new fix and for the hour.

| what is seen                                                    | what it does                                 |
|-----------------------------------------------------------------|----------------------------------------------|
| a believed fix that shows him inside a ring (``Shown``)         | in the ring, at once                         |
| one beyond the ring and max(EXIT_MARGIN_M, both 95 % radii)     | evidence of leaving: EXIT_FIXES running end it, or EXIT_MS after the first |
| any other                                                       | takes that evidence back                     |
| a poor or implausible fix inside the alert distance             | UNCERTAIN at once; a low-confidence alert after HOLD_MS or one interval, unless a good fix of that device comes first |
| raw or expected inside, and not shown so                        | UNCERTAIN at once                            |
| somebody overdue, and d_lb inside                               | UNCERTAIN                                    |
| UNCERTAIN, or overdue, for DEGRADED_AFTER_MS                    | DEGRADED                                     |
| both reporting, and expected inside by Z_CLOCK sigmas           | in the ring, by the clock                    |

Only a fix or the alert itself ends UNCERTAIN: with time alone, a distance that is carried on may grow faster than
what is held against it. The alert ring holds the pre-alert ring. Rules: DOMAIN section 3; their reasons:
docs/adr/0019-distance-under-uncertainty.md. Pure.
"""  # noqa: E501  # a table

from __future__ import annotations

from math import inf

from geofence.assumptions import DEGRADED_AFTER_MS, FORGET_MS, HOLD_MS, POOR_DM, TURN_S, Z_CLOCK
from geofence.motion import Mover, Seen, overdue_from
from geofence.pair_state import (
    CODE_OF_RING,
    INSIDE,
    NEVER_ALERTS,
    OUTSIDE,
    RINGS,
    Look,
    Reason,
    evaluated,
)
from geofence.separation import (
    Separation,
    are_comparable,
    blind_not_before_ms,
    carried_in_not_before_ms,
    lower_m,
    overdue_since_ms,
    quantised,
    shown_by,
    slack_m,
)
from tocsin.geodesy import chord_m
from tocsin.model.finding import Change, Code
from tocsin.model.zone import Zone

# --- a believed fix --------------------------------------------------------------------------------------------


def judge_rings(look: Look, role: int, seen: Separation) -> None:
    """A believed fix of the party ``role``, both known."""
    state, mine, partner = look.state, look.movers[role], look.movers[1 - role]
    state.suspicions.pop(role, None)
    if state.unconfirmed == role:
        state.unconfirmed = -1
    shown = shown_by(mine, partner, look.now_ms, seen)
    if shown.for_ring(look.alert_m) <= look.alert_m:
        if state.unconfirmed >= 0:  # now it is certain, and said so
            state.unconfirmed = -1
            look.say(Code.PROX_ALERT, Change.ENTRY, Reason.INSIDE_ALERT)
        enter(look, Zone.ALERT, Reason.INSIDE_ALERT)
        return
    radius_m = look.radius_m(Zone.PREALERT)
    is_inside = shown.for_ring(radius_m) <= radius_m
    if is_inside:
        enter(look, Zone.PREALERT, Reason.INSIDE_PREALERT)
    if state.unconfirmed < 0:  # else his next good fix will say, not hers
        _evaluate(look, seen, entered=is_inside)


def _evaluate(look: Look, seen: Separation, *, entered: bool) -> None:
    """What a distance says of the rings that hold him, and that it does not show him in."""
    state = look.state
    if state.alert.inside:
        state.alert = evaluated(state.alert, seen.best_m, look.alert_m, seen.radii_m, look.now_ms)
        if not state.alert.inside:
            _leave(look, Zone.ALERT, Reason.OUTSIDE_TWO_FIXES)
    state.one_reading = not state.alert.inside and seen.nearest_m <= look.alert_m
    if state.prealert.inside and not entered:
        radius_m = look.radius_m(Zone.PREALERT)
        state.prealert = evaluated(state.prealert, seen.best_m, radius_m, seen.radii_m, look.now_ms)
        if not state.prealert.inside:
            _leave(look, Zone.PREALERT, Reason.OUTSIDE_TWO_FIXES)


def enter(look: Look, ring: Zone, reason: Reason, *, low_confidence: bool = False) -> None:
    """Into a ring, and into those around it; said of the innermost that is new."""
    state = look.state
    was, state.prealert = state.zone, INSIDE
    if ring is Zone.ALERT:
        state.alert = INSIDE
    if was >= ring:
        return
    state.hasten()
    if ring is Zone.ALERT:
        state.alert_ms, state.one_reading = look.now_ms, False
        state.suspicions.clear()
        if state.imminent:
            state.imminent = False
            look.say(Code.IMMINENT, Change.EXIT, Reason.INSIDE_ALERT)
    look.say(CODE_OF_RING[ring], Change.ENTRY, reason, low_confidence=low_confidence)


def _leave(look: Look, ring: Zone, reason: Reason, at_ms: int | None = None) -> None:
    if ring is Zone.ALERT:
        look.state.alert_ms, look.state.evidence = None, 0
    look.say(CODE_OF_RING[ring], Change.EXIT, reason, at_ms=at_ms)


# --- a fix that is not believed, and one that was overtaken ----------------------------------------------------


def suspect(look: Look, role: int, fix: Seen, told_dm: int) -> bool:
    """Whether a poor or implausible fix shows him inside, the partner known and no alert standing.

    A jump counts as it stands; a poor fix towards an alert only as far as it outweighs what was known.
    """
    state, mine, partner = look.state, look.movers[role], look.movers[1 - role]
    seen_from = partner.place
    if fix.at_ms >= partner.at_ms or partner.is_observed_around(fix.at_ms):
        seen_from = partner.place_at(fix.at_ms)
    if quantised(chord_m(fix.place, seen_from)) > look.alert_m:
        return False
    alert_ms: float = NEVER_ALERTS
    weighed = fix.place if told_dm <= POOR_DM else _weighed(mine, fix)
    near_in_time = abs(fix.at_ms - partner.at_ms) <= FORGET_MS
    if near_in_time and quantised(chord_m(weighed, seen_from)) <= look.alert_m:
        alert_ms = look.now_ms + min(HOLD_MS, 1_000 * int(mine.interval_s))
    state.suspicions[role] = min(int(alert_ms), state.suspicions.get(role, NEVER_ALERTS))
    return True


def may_show(partner: Mover, fix: Seen, radius_m: float) -> bool:
    """Whether a fix, seen from wherever the partner may count as being, can be inside ``radius_m`` at all."""
    ahead_s = max(0.0, fix.at_ms - partner.at_ms) / 1_000.0 + 0.1
    before = (partner.before_x, partner.before_y, partner.before_z)
    moved_m = partner.speed_m_s * ahead_s + chord_m(partner.place, before) + 1.0
    return chord_m(fix.place, partner.place) - moved_m <= radius_m


def _weighed(mine: Mover, fix: Seen) -> tuple[float, float, float]:
    """A poor fix drawn towards where he was expected, each by its variance; behind a long silence as it is."""
    if not mine.is_known or fix.at_ms - mine.at_ms > FORGET_MS:
        return fix.place
    x, y, z = mine.place_at(fix.at_ms)
    known_m2 = mine.unobserved_m2(fix.at_ms) + mine.accuracy_m**2
    share = known_m2 / (known_m2 + fix.accuracy_m**2)
    return x + (fix.place[0] - x) * share, y + (fix.place[1] - y) * share, z + (fix.place[2] - z) * share


def reconsider(look: Look, role: int, fix: Seen) -> None:
    """A good fix that a newer one of its device has overtaken: a crossing that it alone has seen is not lost
    with the reader that held it up. It raises a ring that he is not in, and has not left since."""
    state, partner = look.state, look.movers[1 - role]
    if abs(fix.at_ms - partner.at_ms) > FORGET_MS:
        return
    distance_m = quantised(chord_m(fix.place, partner.place_at(fix.at_ms)))
    doubt_m = quantised(partner.unobserved_m2(fix.at_ms) ** 0.5) if fix.at_ms > partner.at_ms else 0.0
    for ring in RINGS:
        radius_m = look.radius_m(ring)
        if distance_m + min(doubt_m, radius_m / 2) <= radius_m:
            if ring > state.zone and fix.at_ms > state.left_ms.get(ring, -1):
                enter(look, ring, Reason.LATE_INSIDE)
            return


# --- the hour --------------------------------------------------------------------------------------------------


def judge_hour(look: Look, seen: Separation | None) -> None:
    """What time alone decides at a whole second; ``seen`` None: one of them was never seen."""
    state = look.state
    for ring in RINGS:
        held = ring is Zone.PREALERT and state.alert.inside
        of_ring = state.alert if ring is Zone.ALERT else state.prealert
        if of_ring.out_ms <= look.now_ms and not held:
            if ring is Zone.ALERT:
                state.alert = OUTSIDE
            else:
                state.prealert = OUTSIDE
            _leave(look, ring, Reason.OUTSIDE_60_S, at_ms=int(of_ring.out_ms))
    if state.alert.inside:
        return
    if state.suspicion_ms <= look.now_ms:
        state.unconfirmed = min(state.suspicions, key=lambda role: state.suspicions[role])
        enter(look, Zone.ALERT, Reason.UNCONFIRMED_INSIDE, low_confidence=True)
    elif seen is not None and _are_reporting(look) and seen.is_live:
        _carry_in(look, seen.best_m + Z_CLOCK * seen.doubt_m)


def _are_reporting(look: Look) -> bool:
    return look.now_ms < min(look.wearer.overdue_ms, look.protected.overdue_ms)


def _carry_in(look: Look, distance_m: float) -> None:
    """Both are where they are expected, doubt held against it, and no fix has said so yet."""
    if distance_m <= look.alert_m:
        enter(look, Zone.ALERT, Reason.CARRIED_INSIDE)
    elif not look.state.prealert.inside and distance_m <= look.radius_m(Zone.PREALERT):
        enter(look, Zone.PREALERT, Reason.CARRIED_INSIDE)


# --- certainty -------------------------------------------------------------------------------------------------


def judge_certainty(look: Look, seen: Separation | None, *, by_fix: bool) -> None:
    """UNCERTAIN and DEGRADED, behind everything else of this look."""
    state = look.state
    overdue_ms = inf if seen is None else overdue_since_ms(look.wearer, look.protected, look.now_ms)
    why = _why_unsure(look, seen, overdue_ms)
    if why is None:
        if state.uncertain_ms is not None and (by_fix or state.alert.inside):
            _resolve(look)
        return
    if state.uncertain_ms is None:
        state.uncertain_ms, state.uncertain_reason = look.now_ms, why
        look.say(Code.UNCERTAIN, Change.ENTRY, why)
    if not state.degraded and look.now_ms >= _degraded_ms(look, overdue_ms):
        state.degraded = True
        since_ms = _silent_since_ms(look) if why is Reason.SILENT_IN_REACH else None
        look.say(Code.DEGRADED, Change.ENTRY, Reason.UNRESOLVED_60_S, silent_since_ms=since_ms)


def _silent_since_ms(look: Look) -> int | None:
    """The last message of whoever is not heard; None: both are, and it is the fixes that fail."""
    silent_ms = [
        int(one.heard_ms)
        for one in look.movers
        if look.now_ms > overdue_from(one.heard_ms, one.told_ms, one.interval_s)
    ]
    return min(silent_ms, default=None)


def _why_unsure(look: Look, seen: Separation | None, overdue_ms: float) -> Reason | None:
    state = look.state
    if state.alert.inside:
        return None
    if state.suspicions:
        return Reason.UNBELIEVED_FIX
    if state.one_reading:
        return Reason.ONE_READING
    if seen is not None and overdue_ms < inf:
        held_m = slack_m(look.wearer, look.protected, look.now_ms)
        return Reason.SILENT_IN_REACH if lower_m(seen, held_m) <= look.alert_m else None
    return None


def _resolve(look: Look) -> None:
    state = look.state
    reason = Reason.INSIDE_ALERT if state.alert.inside else Reason.RESOLVED
    if state.degraded:
        look.say(Code.DEGRADED, Change.EXIT, reason)
    look.say(Code.UNCERTAIN, Change.EXIT, reason)
    state.uncertain_ms, state.uncertain_reason, state.degraded = None, "", False


def _degraded_ms(look: Look, overdue_ms: float) -> float:
    """Unresolved for DEGRADED_AFTER_MS, counted from when somebody became overdue if that was earlier: at the
    hour of plausible blind risk a long silence needs no further minute."""
    uncertain_ms = look.state.uncertain_ms
    assert uncertain_ms is not None
    return max(uncertain_ms, min(uncertain_ms, overdue_ms) + DEGRADED_AFTER_MS)


# --- when to look again ----------------------------------------------------------------------------------------


def undisturbed_until_ms(look: Look, seen: Separation | None) -> float:
    """``silence.due_ms`` and ``due_ms`` of most pairs, cheaper; 0 where those must be asked. While both report,
    nothing is going on in their rings, and the next one is too far to be carried in: until somebody is overdue."""
    state, now_ms, wearer, protected = look.state, look.now_ms, look.wearer, look.protected
    hour = min(wearer.overdue_ms, protected.overdue_ms)
    if seen is None or state.is_in_doubt or not state.is_settled or now_ms > hour:
        return 0.0
    if not state.alert.inside:
        ahead_s = (now_ms - min(wearer.at_ms, protected.at_ms)) / 1_000.0 + TURN_S
        near_m = seen.nearest_m - ahead_s * (wearer.speed_m_s + protected.speed_m_s) - 1.0
        if near_m <= look.radius_m(Zone.ALERT if state.prealert.inside else Zone.PREALERT):
            return 0.0
    return hour


def due_ms(look: Look, seen: Separation | None) -> float:
    """A bound from below of the hour at which time alone could change anything here."""
    state = look.state
    hour = min(state.alert.out_ms, state.prealert.out_ms)
    if state.alert.inside:
        return hour
    if state.suspicion_ms < NEVER_ALERTS:
        hour = min(hour, state.suspicion_ms)
    if seen is not None and _are_reporting(look) and are_comparable(look.wearer, look.protected):
        ring = Zone.ALERT if state.prealert.inside else Zone.PREALERT
        radius_m = look.radius_m(ring)
        hour = min(hour, carried_in_not_before_ms(look.wearer, look.protected, look.now_ms, seen, radius_m))
    if state.degraded:
        return hour
    if state.uncertain_ms is not None:
        overdue_ms = min(mover.overdue_ms for mover in look.movers) if seen is not None else inf
        return min(hour, max(state.uncertain_ms, min(state.uncertain_ms, overdue_ms) + DEGRADED_AFTER_MS))
    if seen is None:
        return hour
    left_m = seen.nearest_m - seen.radii_m - look.alert_m - 1.0
    return min(hour, blind_not_before_ms(look.wearer, look.protected, look.now_ms, left_m))
