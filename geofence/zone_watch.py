"""What does this fix, or this hour, change about the zones of a measure? The rules of each, in the order of the
measure.

Called by the engine for a wearer who has left his ball (``geofence.zone_table``), and when the hours of a zone or
of an authorisation begin or end. Findings first, then the state: if the first fails, the second has not moved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import ceil, inf
from typing import Final

import numpy as np

from geofence import authority, findings
from geofence.assumptions import FORGET_MS, R95
from geofence.containment import (
    Way,
    ZoneLook,
    ZoneSaid,
    free_m,
    judge_authority,
    judge_ended,
    judge_fix,
    judge_hour,
    leads_through,
    out_ms,
    unseen,
)
from geofence.findings import Trigger
from geofence.motion import UNHEARD_MS, Mover
from geofence.pair_state import Look, PairState, Presence, Reason, Said
from geofence.pair_table import PairTable
from geofence.schedule import force
from geofence.separation import quantised
from geofence.zone_table import SLACK_M
from tocsin.geodesy import FloatArray, chord_m
from tocsin.model.finding import Change, Finding
from tocsin.model.geozone import Circle, GeoZone, ZoneKind

SECOND_MS: Final = 1_000
WAY_PIECES: Final = (
    32  # a way is looked at so often: off by 1.6 % of it, beside the 21 % that must be deep at least
)
NOWHERE: Final = Circle(centre=(0, 0), radius_m=0)


def judge(
    table: PairTable, row: int, now_ms: int, trigger: Callable[[], Trigger], *, by_fix: bool
) -> list[Finding]:
    """Ask the rules about all zones of one row, and remember what they made of it."""
    look, made = _look(table, row, now_ms), list[Finding]()
    away_m = _away_m(table, row, look.wearer)
    presences: dict[str, Presence] = {}
    free, due_ms = inf, min(authority.changes_ms(table.roster.orders[row], now_ms), _valid_until_ms(table, row))
    for here, zone_away_m, number in _looks(table, row, look, away_m):
        _ask(table, row, look, here, zone_away_m, number, by_fix=by_fix)
        if here.said:
            cause = trigger()
            made += [findings.zone_finding(table, row, said, here, zone_away_m, look, cause) for said in here.said]
        if here.presence != unseen(here.zone):
            presences[here.zone.id] = here.presence
        if number >= 0:
            due_ms = min(due_ms, table.zones.changes_ms(number, now_ms), _whole_s(out_ms(here.presence), now_ms))
            if table.zones.is_in_force(number, now_ms):
                free = min(free, free_m(here.zone, here.presence, zone_away_m))
    _remember(table, row, look, presences)
    table.zones.draw_ball(row, look.wearer.place, free - SLACK_M if look.wearer.is_known else -1.0)
    table.until_of[row] = due_ms
    table.due_of[row] = min(table.due_of[row], due_ms)
    return made


def ends_of_measure(table: PairTable, row: int) -> list[Finding]:
    """The end of whatever has been said of this pair and lasts: without it an alert of a measure that is over
    would last for ever, and its ladder would climb to the police. Nothing is measured any more: the exits have no
    distance."""
    order = table.roster.orders[row]
    cause, look = findings.end_trigger(order), _look(table, row, order.valid_until_ms)
    ended = [
        findings.finding(table, row, said, look, None, look.state.zone, cause)
        for code in sorted(look.state.opened)
        for said in [Said(code, Change.EXIT, Reason.MEASURE_ENDED)]
    ]
    for name, presence in sorted(look.state.zones.items()):
        here = ZoneLook(_gone(name, presence.kind), look.now_ms, presence)
        for code in sorted(presence.opened):
            said = ZoneSaid(code, Change.EXIT, Reason.MEASURE_ENDED)
            ended.append(findings.zone_finding(table, row, said, here, inf, look, cause))
    return ended


def _look(table: PairTable, row: int, now_ms: int) -> Look:
    wearer, protected = (table.devices.mover(place) for place in table.pairs[row])
    order = table.roster.orders[row]
    return Look(
        alert_m=table.alert_of[row], wearer=wearer, protected=protected, now_ms=now_ms, state=table.state(row),
        floor_m=authority.floor_m(order, now_ms),
    )  # fmt: skip


def _looks(table: PairTable, row: int, look: Look, away_m: FloatArray) -> Iterator[tuple[ZoneLook, float, int]]:
    """Those that are remembered and have gone from the measure, with -1: what they end must not end what begins
    under their name. Then the zones of the measure, with the distance and their number in the table."""
    known, numbers = look.state.zones, table.zones.of_row(row)
    kinds = {zone.id: zone.kind for zone in table.zones.zones[numbers.start : numbers.stop]}
    for name in sorted(known):
        if kinds.get(name) is not known[name].kind:
            yield ZoneLook(_gone(name, known[name].kind), look.now_ms, known[name]), inf, -1
    for at, number in enumerate(numbers):
        zone = table.zones.zones[number]
        before = known.get(zone.id)
        presence = before if before is not None and before.kind is zone.kind else unseen(zone)
        yield ZoneLook(zone, look.now_ms, presence), float(away_m[at]), number


def _gone(name: str, kind: ZoneKind) -> GeoZone:
    return GeoZone(id=name, kind=kind, shape=NOWHERE)


def _ask(
    table: PairTable, row: int, look: Look, here: ZoneLook, away_m: float, number: int, *, by_fix: bool
) -> None:
    wearer = look.wearer
    if number < 0 or not table.zones.is_in_force(number, look.now_ms):
        judge_ended(here)
        return
    radius_m = quantised(R95 * wearer.accuracy_m)
    if by_fix:
        way = None if away_m <= 0.0 or here.is_stay else _way(table, row, here.zone, number, wearer, away_m)
        judge_fix(here, away_m, radius_m, way)
    else:
        is_young = wearer.is_known and look.now_ms - wearer.at_ms <= FORGET_MS
        judge_hour(here, away_m if is_young else inf, radius_m)
    if look.floor_m is None:
        judge_authority(here)


def _away_m(table: PairTable, row: int, wearer: Mover) -> FloatArray:
    """To each zone of the row; inf: he was never seen."""
    numbers = np.array(table.zones.of_row(row), np.int64)
    if not (wearer.is_known and numbers.size):
        return np.full(numbers.size, inf)
    return table.zones.away_m(numbers, np.repeat(np.array([wearer.place]).T, numbers.size, 1))


def _way(table: PairTable, row: int, zone: GeoZone, number: int, wearer: Mover, away_m: float) -> Way | None:
    """The way from the fix before, if it leads through the zone, which was in force all the time."""
    before = (wearer.before_x, wearer.before_y, wearer.before_z)
    if wearer.before_ms == UNHEARD_MS or wearer.before_ms < table.roster.orders[row].valid_from_ms:
        return None
    long_m = chord_m(before, wearer.place)
    since_ms, at_ms = int(wearer.before_ms), int(wearer.at_ms)
    if away_m >= long_m or not _was_in_force(zone, since_ms, at_ms):
        return None
    shares = np.arange(1, WAY_PIECES) / WAY_PIECES
    here, there = np.array([before]).T, np.array([wearer.place]).T
    points = here + (there - here) * shares
    deep_m = -float(table.zones.away_m(np.full(shares.size, number), points).min())
    way = Way(since_ms, at_ms, long_m, deep_m)
    return way if leads_through(way, quantised(R95 * wearer.accuracy_m)) else None


def _was_in_force(zone: GeoZone, since_ms: int, until_ms: int) -> bool:
    if zone.schedule is None:
        return True
    stood = force(zone.schedule, since_ms)
    return stood.now and stood.until_ms > until_ms


def _remember(table: PairTable, row: int, look: Look, presences: dict[str, Presence]) -> None:
    if presences != look.state.zones:
        state: PairState = look.state
        state.zones = presences
        table.keep(row, state)
    table.zones.held[row] = bool(presences)


def _valid_until_ms(table: PairTable, row: int) -> float:
    return float(table.roster.orders[row].valid_until_ms)


def _whole_s(hour_ms: float, now_ms: int) -> float:
    """The clock judges on whole seconds."""
    if hour_ms == inf:
        return inf
    return float(SECOND_MS * max(ceil(hour_ms / SECOND_MS), now_ms // SECOND_MS + 1))
