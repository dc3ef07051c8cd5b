"""How does what the rules said of a pair become a finding, a standing, a command? Nouns for the bus, with their
numbers.

The identity of a finding is derived from the measure, what is said, and what caused it: the fix, the second of the
clock, the version of the measure. So the same input gives the same id. Which hour it was decided (t5) is a
measurement of the worker's, and no part of it.
"""

from __future__ import annotations

from math import isfinite
from operator import itemgetter
from typing import Final, NamedTuple, TypedDict

import msgspec

from geofence import authority, silence
from geofence.assumptions import COMMAND_EXPIRES_MS, LATE_MS, LOCATE_EXPIRES_MS
from geofence.attribution import wearer_share_pct
from geofence.conditions import Report, said_of
from geofence.containment import ZoneLook, ZoneSaid
from geofence.devices import Verdict, told_m
from geofence.motion import Mover, Seen
from geofence.pair_state import (
    CODE_OF_RING,
    INSIDE,
    OUTSIDE,
    Look,
    Opened,
    PairState,
    Reason,
    Said,
)
from geofence.pair_table import PROTECTIONS, QUIET, PairTable, Phase
from geofence.separation import Separation, lower_m, radii_m, separation, slack_m, upper_m
from tocsin.geodesy import surface_e6
from tocsin.limits import ACCURACY_UNKNOWN_DM, FIX_PAST_MAX_S, PREALERT_FACTOR
from tocsin.model.command import Action, Command
from tocsin.model.device import Device
from tocsin.model.finding import Change, Code, Finding
from tocsin.model.fix import ABSENT, FIX_DTYPE, ClockPoints, DeviceEvent, FixPoint, Source
from tocsin.model.ids import alarm_id, derived
from tocsin.model.order import Order
from tocsin.model.standing import Protection, Standing
from tocsin.model.zone import Zone

RING_OF_CODE: Final = {code: ring for ring, code in CODE_OF_RING.items()}
OF_PREALERT: Final = frozenset({Code.PROX_PREALERT, Code.PROBING})
BLIND_CODES: Final = frozenset(
    {Code.UNCERTAIN, Code.DEGRADED, Code.W_COMMS_LOSS, Code.W_GNSS_LOSS, Code.V_COMMS_LOSS}
)


class Trigger(NamedTuple):
    """What made a pair change: part of the finding's identity, its hour, the clock points it has passed."""

    identity: tuple[str | int, ...]
    at_ms: int
    points: ClockPoints


class Taken(NamedTuple):
    """What is read of a message of the fix lane, by the names of FIX_DTYPE."""

    boot: int
    seq: int
    fix_ms: int
    sent_ms: int
    t3_ms: int
    t4_ms: int
    lat_e6: int
    lon_e6: int
    accuracy_dm: int
    speed_cms: int
    flags: int
    source: int
    battery_pct: int
    event: int
    pair_s1: int
    telemetry: int
    strap: int
    case: int
    permission: int


_FIELDS: Final = itemgetter(*(FIX_DTYPE.names.index(name) for name in Taken._fields))  # type: ignore[union-attr]


def taken_of(record: tuple[int, ...]) -> Taken:
    """From one record of FIX_DTYPE as a tuple."""
    return Taken._make(_FIELDS(record))


def fix_trigger(device: Device, fix: Taken) -> Trigger:
    sent_ms = None if fix.sent_ms == ABSENT else fix.sent_ms
    fix_ms = min(fix.fix_ms, fix.t3_ms)
    points = ClockPoints(t1_ms=fix_ms, t2_ms=sent_ms, t3_ms=fix.t3_ms, t4_ms=fix.t4_ms)
    return Trigger(identity_of_fix(device, fix), fix_ms, points)


def identity_of_fix(device: Device, fix: Taken) -> tuple[str | int, ...]:
    return device.id, min(fix.fix_ms, fix.t3_ms), fix.boot, fix.seq


def event_trigger(device: Device, fix: Taken) -> Trigger:
    """As ``fix_trigger``, at the hour that the event can have happened at."""
    return fix_trigger(device, fix)._replace(at_ms=event_hour_ms(fix))


def event_hour_ms(fix: Taken) -> int:
    """An alarm is taken whatever its clock says; then it happened when it was heard."""
    return fix.fix_ms if 0 <= fix.t3_ms - fix.fix_ms <= FIX_PAST_MAX_S * 1000 else fix.t3_ms


def report_of(
    device: Device, taken: Taken, before: Mover, now_ms: int, fix: Seen | None, verdict: Verdict
) -> Report:
    """What a message says of its unit; ``fix`` None: it has no place."""
    is_event = taken.event != DeviceEvent.NONE
    rang = is_event and taken.boot != ABSENT
    by_cell = taken.source == Source.CELL and taken.accuracy_dm > 0
    old = verdict in OLD or (is_event and taken.t3_ms - event_hour_ms(taken) > LATE_MS)
    return Report(
        event=taken.event,
        said=said_of(
            taken.event,
            taken.source,
            taken.battery_pct,
            (taken.strap, taken.case, taken.permission),
            taken.pair_s1,
        ),
        pair_s=taken.pair_s1 - 1,
        at_ms=event_hour_ms(taken) if is_event else min(taken.fix_ms, taken.t3_ms),
        now_ms=now_ms,
        before=before,
        alarm=alarm_id(device.id, taken.boot, taken.seq, taken.fix_ms) if rang else "",
        cell=fix if by_cell else None,
        overtaken=old,
    )


OLD: Final = frozenset({Verdict.DUPLICATE, Verdict.OUT_OF_ORDER, Verdict.LATE})


def clock_trigger(at_ms: int) -> Trigger:
    return Trigger(("clock", at_ms), at_ms, ClockPoints())


def end_trigger(order: Order) -> Trigger:
    """The measure is over: nobody has seen him leave, and it ends what lasted for it."""
    return Trigger(("measure_ended", order.valid_until_ms), order.valid_until_ms, ClockPoints())


def measure_trigger(table: PairTable, row: int, now_ms: int) -> Trigger:
    """The measure did it at ``now_ms``, by beginning or by a new distance: what is known became relevant."""
    order = table.roster.orders[row]
    newest = int(max(table.devices.mover(place).at_ms for place in table.pairs[row]))
    return Trigger(("measure", order.version, now_ms), max(order.valid_from_ms, newest), ClockPoints())


# --- findings --------------------------------------------------------------------------------------------------


class Numbers(TypedDict, total=False):
    """What a finding knows of the distance and of silence."""

    distance_dm: int | None
    lower_dm: int
    upper_dm: int
    blind_worst_ms: int
    blind_plausible_ms: int


def finding(
    table: PairTable, row: int, said: Said, look: Look, seen: Separation | None, before: Zone, cause: Trigger
) -> Finding:
    """One thing said, with its numbers. What is open for an exit to name is brought up to date in the look's
    state."""
    order, state = table.roster.orders[row], look.state
    found_ms = cause.at_ms if said.at_ms is None else said.at_ms
    at_ms = _hour_ms(state, said, found_ms)
    name = derived("fnd", order.id, said.code.value, said.change.value, *cause.identity)
    authorised = authority.is_authorised(look, said)
    entry = _entry(state, said, Opened(id=name, at_ms=at_ms, authorised=authorised), found_ms)
    wearer, protected = table.pairs[row]
    return Finding(
        id=name,
        measure=order.id,
        order_version=order.version,
        code=said.code,
        change=said.change,
        before=before,
        after=state.zone,
        threshold_m=order.alert_distance_m * (PREALERT_FACTOR if said.code in OF_PREALERT else 1),
        wearer=fix_point(table, wearer),
        protected=fix_point(table, protected),
        entry=entry.id,
        entry_ms=entry.at_ms,
        at_ms=at_ms,
        reason=said.reason.value,
        points=cause.points,
        low_confidence=said.low_confidence,
        alert_ms=said.alert_ms,
        silent_since_ms=said.silent_since_ms,
        authorised=authorised,
        priority=said.priority,
        alarm=said.alarm,
        call_by_ms=said.call_by_ms,
        other_side=said.other_side,
        **_parts(said),
        **_numbers(said, look, seen),
    )


def zone_finding(
    table: PairTable, row: int, said: ZoneSaid, here: ZoneLook, away_m: float, look: Look, cause: Trigger
) -> Finding:
    """One thing said of one zone, with the distance of the two, which whoever acts on it needs. What is open is
    brought up to date in the presence of ``here``."""
    order, opened = table.roster.orders[row], dict(here.presence.opened)
    at_ms = cause.at_ms if said.at_ms is None else said.at_ms
    name = derived("fnd", order.id, said.code.value, said.change.value, here.zone.id, *cause.identity)
    entry = Opened(id=name, at_ms=at_ms, authorised=_is_authorised(said, look))
    if said.change is Change.ENTRY:
        opened[said.code] = entry
    else:
        entry = opened.pop(said.code, entry)
        at_ms = max(at_ms, entry.newest_ms)
    here.presence = msgspec.structs.replace(here.presence, opened=opened)
    seen = separation(look.wearer, look.protected, look.now_ms) if look.is_known else None
    wearer, protected = table.pairs[row]
    return Finding(
        id=name,
        measure=order.id,
        order_version=order.version,
        code=said.code,
        change=said.change,
        before=look.state.zone,
        after=look.state.zone,
        threshold_m=order.alert_distance_m,
        wearer=fix_point(table, wearer),
        protected=fix_point(table, protected),
        entry=entry.id,
        entry_ms=entry.at_ms,
        at_ms=at_ms,
        reason=said.reason.value,
        points=cause.points,
        authorised=entry.authorised,
        zone=here.zone.id,
        zone_dm=round(10 * away_m) if isfinite(away_m) else None,
        crossed_from_ms=said.way.from_ms if said.way else None,
        crossed_until_ms=said.way.until_ms if said.way else None,
        **_numbers(Said(said.code, said.change, said.reason), look, seen),
    )


def _is_authorised(said: ZoneSaid, look: Look) -> bool:
    return look.floor_m is not None if said.authorised is None else said.authorised


def is_news(state: PairState, said: Said) -> bool:
    """An end of what never began is none: who came straight into the alert ring was never said to be in the
    other."""
    return said.change is Change.ENTRY or said.code in state.opened


def _hour_ms(state: PairState, said: Said, found_ms: int) -> int:
    """The desk tells what is over by these hours. What the clock said may be ended by a fix that was taken before
    and heard behind it: no end is told of an hour before what it ends, and no beginning behind such an end of one
    before that."""
    opened = state.opened.get(said.code)
    if said.change is Change.EXIT:
        return found_ms if opened is None else max(found_ms, opened.newest_ms)
    return max(found_ms, state.put_off_ms.get(said.code, -1) + 1)


def _entry(state: PairState, said: Said, here: Opened, found_ms: int) -> Opened:
    """What this begins or ends, to be remembered; a ring was left when it was found to be, whatever is told."""
    if said.worse:
        began = state.opened[said.code]
        state.opened[said.code] = msgspec.structs.replace(began, worse_ms=here.at_ms)
        return began
    if said.change is Change.ENTRY:
        state.put_off_ms.pop(said.code, None)
        if said.code is not Code.EVIDENTIAL_BREACH:
            state.opened[said.code] = here
        return here
    if said.code in RING_OF_CODE:
        state.left_ms[RING_OF_CODE[said.code]] = found_ms
    if here.at_ms > found_ms:
        state.put_off_ms[said.code] = here.at_ms
    return state.opened.pop(said.code, here)


def _numbers(said: Said, look: Look, seen: Separation | None) -> Numbers:
    """An accuracy that was not told is the worst case here: this is a claim."""
    if seen is None:
        return {"distance_dm": None}
    claimed_m = [told_m(mover.accuracy_m) or ACCURACY_UNKNOWN_DM / 10.0 for mover in look.movers]
    claimed = seen._replace(radii_m=radii_m(*claimed_m))
    held_m = slack_m(look.wearer, look.protected, look.now_ms)
    numbers = Numbers(
        distance_dm=round(10 * seen.best_m),
        lower_dm=round(10 * lower_m(claimed, held_m)),
        upper_dm=round(10 * upper_m(claimed, held_m)),
    )
    if said.blind is not None:
        numbers["blind_worst_ms"], numbers["blind_plausible_ms"] = said.blind
    elif said.code in BLIND_CODES:
        hours = silence.blind(look.wearer, look.protected, look.now_ms, seen, look.alert_m)
        numbers["blind_worst_ms"], numbers["blind_plausible_ms"] = hours
    return numbers


class Shares(TypedDict, total=False):
    """Who approached, or went."""

    wearer_share_pct: int | None
    wearer_approach_dm: int
    protected_approach_dm: int


def _parts(said: Said) -> Shares:
    if said.wearer_dm is None or said.protected_dm is None:
        return {}
    return {
        "wearer_share_pct": wearer_share_pct(said.wearer_dm, said.protected_dm, said.change),
        "wearer_approach_dm": said.wearer_dm,
        "protected_approach_dm": said.protected_dm,
    }


def broken_finding(table: PairTable, row: int, now_ms: int) -> Finding:
    """The rules of this pair failed: said with nothing that they would have had to compute."""
    order = table.roster.orders[row]
    wearer, protected = table.pairs[row]
    zone = table.states.get(row, QUIET).zone
    name = derived("fnd", order.id, Code.DEGRADED.value, Reason.RULES_FAILED.value, now_ms)
    return Finding(
        id=name,
        measure=order.id,
        order_version=order.version,
        code=Code.DEGRADED,
        change=Change.ENTRY,
        before=zone,
        after=zone,
        distance_dm=None,
        threshold_m=order.alert_distance_m,
        wearer=fix_point(table, wearer),
        protected=fix_point(table, protected),
        entry=name,
        entry_ms=now_ms,
        at_ms=now_ms,
        reason=Reason.RULES_FAILED.value,
        points=ClockPoints(),
    )


def _is_sound(mover: Mover) -> bool:
    return all(map(isfinite, mover))


def sound_state(table: PairTable, row: int) -> None:
    """Leave nothing in the state of a broken pair on which the rules would fail for ever: one that is no state,
    or with which they fail a second time, begins anew. What is open stays open."""
    state = table.states.get(row, QUIET)
    try:
        msgspec.convert(msgspec.to_builtins(state, str_keys=False), PairState)
    except (msgspec.ValidationError, TypeError, ValueError):
        table.states[row] = PairState()
        return
    if row in table.broken:
        table.states[row] = _as_opened(state)


def _as_opened(state: PairState) -> PairState:
    """What is left of a state with which the rules fail: what has been said to have begun and not to have
    ended."""
    opened = dict(state.opened)
    alert, uncertain = opened.get(Code.PROX_ALERT), opened.get(Code.UNCERTAIN)
    return PairState(
        alert=INSIDE if alert else OUTSIDE,
        prealert=INSIDE if alert or Code.PROX_PREALERT in opened else OUTSIDE,
        alert_ms=alert.at_ms if alert else None,
        uncertain_ms=uncertain.at_ms if uncertain else None,
        degraded=uncertain is not None and Code.DEGRADED in opened,
        imminent=Code.IMMINENT in opened and alert is None,
        wearer_lost=Code.W_COMMS_LOSS in opened,
        wearer_unfixed=Code.W_GNSS_LOSS in opened,
        protected_lost=Code.V_COMMS_LOSS in opened,
        opened=opened,
        left_ms=dict(state.left_ms),
        put_off_ms=dict(state.put_off_ms),
        zones=dict(state.zones),
        graded=dict(state.graded),
        crossings=state.crossings,
        probing_ms=opened[Code.PROBING].at_ms if Code.PROBING in opened else None,
    )


def remember_broken(table: PairTable, row: int, said: Finding) -> None:
    """What the end of it will name, when the rules answer again."""
    state = table.state(row)
    state.opened[Code.DEGRADED] = Opened(id=said.id, at_ms=said.at_ms)
    table.states[row] = state


def fix_point(table: PairTable, place: int) -> FixPoint | None:
    """The last believed fix of a device; None if there was none, or if its memory is damaged."""
    mover = table.devices.mover(place)
    if not (mover.is_known and _is_sound(mover)):
        return None
    lat_e6, lon_e6 = surface_e6(mover.place)
    accuracy_m = told_m(mover.accuracy_m)
    return FixPoint(
        device=table.device_of[place].id,
        lat_e6=lat_e6,
        lon_e6=lon_e6,
        accuracy_dm=None if accuracy_m is None else round(10 * accuracy_m),
        fix_ms=int(mover.at_ms),
    )


# --- standings -------------------------------------------------------------------------------------------------


def protection(table: PairTable, row: int) -> tuple[Protection, str]:
    """How well a pair is protected, and why so."""
    state = table.states.get(row, QUIET)
    if row in table.broken:
        return Protection.UNPROTECTED, Reason.RULES_FAILED
    if table.phase_of[row] != Phase.IN_FORCE:
        return Protection.UNPROTECTED, Reason.NOT_IN_FORCE
    if not all(table.devices.mover(place).is_known for place in table.pairs[row]):
        return Protection.UNPROTECTED, Reason.NEVER_HEARD
    if state.degraded:
        return Protection.DEGRADED, state.uncertain_reason
    return Protection.PROTECTED, state.uncertain_reason or Reason.REPORTING


def standing(table: PairTable, row: int, now_ms: int) -> Standing:
    """Where a pair stands; remembers since when, if that is new."""
    what, why = protection(table, row)
    if PROTECTIONS[table.protection[row]] is not what:
        table.protection[row], table.protection_ms[row] = PROTECTIONS.index(what), now_ms
    state = table.states.get(row, QUIET)
    wearer, protected = (table.devices.mover(place) for place in table.pairs[row])
    is_known = wearer.is_known and protected.is_known and row not in table.broken
    in_doubt = is_known and state.is_in_doubt
    hours = _blind(wearer, protected, now_ms, table.alert_of[row]) if in_doubt else None
    return Standing(
        measure=table.roster.orders[row].id,
        protection=what,
        since_ms=min(int(table.protection_ms[row]), now_ms),
        reason=str(why),
        zone=state.zone,
        at_ms=now_ms,
        closing=None if state.course is None else state.course.nearer,
        closing_ms=None if state.course is None else state.course.at_ms,
        uncertain_since_ms=state.uncertain_ms,
        wearer_heard_ms=_heard_ms(wearer),
        protected_heard_ms=_heard_ms(protected),
        blind_worst_ms=hours.worst_ms if hours else None,
        blind_plausible_ms=hours.plausible_ms if hours else None,
    )


def _heard_ms(mover: Mover) -> int | None:
    return int(mover.heard_ms) if mover.is_known and _is_sound(mover) else None


def _blind(wearer: Mover, protected: Mover, now_ms: int, alert_m: float) -> silence.Blind:
    return silence.blind(wearer, protected, now_ms, separation(wearer, protected, now_ms), alert_m)


# --- commands --------------------------------------------------------------------------------------------------


def cadence_command(device: Device, interval_s: int, now_ms: int, identity: tuple[str | int, ...]) -> Command:
    return Command(
        id=derived("cmd", device.id, Action.SET_CADENCE.value, interval_s, *identity),
        device=device.id,
        action=Action.SET_CADENCE,
        at_ms=now_ms,
        expires_ms=now_ms + COMMAND_EXPIRES_MS,
        interval_s=interval_s,
    )


def location_command(device: Device, now_ms: int, identity: tuple[str | int, ...]) -> Command:
    return Command(
        id=derived("cmd", device.id, Action.REPORT_LOCATION.value, *identity),
        device=device.id,
        action=Action.REPORT_LOCATION,
        at_ms=now_ms,
        expires_ms=now_ms + LOCATE_EXPIRES_MS,
    )
