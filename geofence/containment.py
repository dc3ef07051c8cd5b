"""Is he in a place that he must keep out of, or out of the one where he must be? The rules of one zone.

| what is seen, while the zone is in force                        | what it does                                 |
|-----------------------------------------------------------------|----------------------------------------------|
| a believed fix inside a core or a ban                           | ZONE_CORE_ENTRY or ZONE_ENTRY, at once; so is a first one |
| one in the buffer around it                                     | ZONE_PREALERT, at once; no breach            |
| one beyond the edge and max(EXIT_MARGIN_M, its 95 % radius)     | evidence of leaving: EXIT_FIXES running end it, or EXIT_MS after the first |
| any other                                                       | takes that evidence back                     |
| two outside, and the way between them deep enough through it    | ZONE_(CORE_)ENTRY all the same, with the hours between which it was |
| the same evidence of having left a place to be                  | ZONE_EXIT; a fix inside ends it              |
| the zone comes into force, and the last fix is not forgotten    | as if that fix came now; of a place to be it is the first evidence |
| it is not in force any more, or no zone of the measure          | what is open ends                            |

A fix that is poor or implausible enters nothing: a ban is no ring around her, and what it says of her the rings
hear. A way between two fixes is evidence only if he could hardly have gone around: somebody whose way was as winding
as people's are on average (WINDING) can have been off the straight line by some share of it, and so deep, and
the 95 % radius more, must the line lead into the zone; after WAY_MAX_MS there is no line any more (F13).

The wearer is the only party here. Metres to the edge, below 0 inside; hours in milliseconds. Pure.
"""  # noqa: E501  # a table

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf, sqrt
from typing import Final, NamedTuple

import msgspec

from geofence.assumptions import EXIT_MARGIN_M, WAY_MAX_MS, WINDING
from geofence.pair_state import INSIDE, OUTSIDE, Presence, Reason, Ring, evaluated
from tocsin.model.finding import Change, Code
from tocsin.model.geozone import GeoZone, ZoneKind

CODE_OF: Final = {
    ZoneKind.CORE: Code.ZONE_CORE_ENTRY,
    ZoneKind.BAN: Code.ZONE_ENTRY,
    ZoneKind.STAY: Code.ZONE_EXIT,
}
UNSEEN: Final = {kind: Presence(kind=kind, zone=INSIDE if kind is ZoneKind.STAY else OUTSIDE) for kind in ZoneKind}


class Way(NamedTuple):
    """Between two believed fixes, both outside: ``deep_m`` into the zone at the deepest, ``long_m`` altogether."""

    from_ms: int
    until_ms: int
    long_m: float
    deep_m: float


class ZoneSaid(NamedTuple):
    """Something began or ended; ``at_ms`` where it was not the hour of what caused the look; ``way``: where no fix
    was inside."""

    code: Code
    change: Change
    reason: Reason
    at_ms: int | None = None
    way: Way | None = None
    authorised: bool | None = None


@dataclass(slots=True)
class ZoneLook:
    """One look at one zone: the state that the rules change, and what they say."""

    zone: GeoZone
    now_ms: int
    presence: Presence
    said: list[ZoneSaid] = field(default_factory=list)

    @property
    def code(self) -> Code:
        return CODE_OF[self.zone.kind]

    @property
    def is_stay(self) -> bool:
        return self.zone.kind is ZoneKind.STAY


def unseen(zone: GeoZone) -> Presence:
    """What is known of him there before anything is: innocent of both."""
    return UNSEEN[zone.kind]


# --- a believed fix --------------------------------------------------------------------------------------------


def judge_fix(look: ZoneLook, away_m: float, radius_m: float, way: Way | None) -> None:
    """``radius_m``: the 95 % radius of the fix."""
    before = look.presence.zone
    ring = _after(before, away_m, 0.0, radius_m, look.now_ms)
    through = way if way is not None and not (before.inside or ring.inside) else None
    if through is not None:
        ring = evaluated(INSIDE, away_m, 0.0, radius_m, look.now_ms)
    _turn_zone(look, ring, Reason.OUTSIDE_TWO_FIXES, way=through)
    _turn_buffer(look, away_m, radius_m)


def _after(ring: Ring, away_m: float, edge_m: float, radius_m: float, now_ms: int) -> Ring:
    if away_m <= edge_m:
        return INSIDE
    return evaluated(ring, away_m, edge_m, radius_m, now_ms) if ring.inside else OUTSIDE


def _turn_zone(
    look: ZoneLook, ring: Ring, left: Reason, *, came: Reason | None = None, at_ms: int | None = None,
    way: Way | None = None,
) -> None:  # fmt: skip
    was = look.presence.zone.inside
    look.presence = msgspec.structs.replace(look.presence, zone=ring)
    if ring.inside == was:
        return
    change = Change.ENTRY if ring.inside is not look.is_stay else Change.EXIT
    if look.is_stay:
        reason = Reason.BACK_IN_STAY if ring.inside else Reason.OUTSIDE_STAY
    elif ring.inside:
        reason = came or (Reason.INSIDE_ZONE if way is None else Reason.CROSSED_ZONE)
    else:
        reason = left
    _say(look, ZoneSaid(look.code, change, reason, at_ms, way))


def _turn_buffer(look: ZoneLook, away_m: float, radius_m: float, came: Reason | None = None) -> None:
    """Around a zone that holds him the buffer does, too, and is not said."""
    zone, presence = look.zone, look.presence
    if look.is_stay or not zone.buffer_m:
        return
    held = presence.zone.inside
    ring = INSIDE if held else _after(presence.buffer, away_m, zone.buffer_m, radius_m, look.now_ms)
    was = presence.buffer.inside
    look.presence = msgspec.structs.replace(presence, buffer=ring)
    if ring.inside and not was and not held:
        _say(look, ZoneSaid(Code.ZONE_PREALERT, Change.ENTRY, came or Reason.IN_BUFFER))
    elif was and not ring.inside:
        _say(look, ZoneSaid(Code.ZONE_PREALERT, Change.EXIT, Reason.OUTSIDE_TWO_FIXES))


def _say(look: ZoneLook, said: ZoneSaid) -> None:
    """An end of what was never said is none."""
    if said.change is Change.ENTRY or said.code in look.presence.opened:
        look.said.append(said)


# --- the hour --------------------------------------------------------------------------------------------------


def judge_hour(look: ZoneLook, away_m: float, radius_m: float) -> None:
    """What time alone decides. ``away_m`` of the last believed fix, inf if it is forgotten."""
    presence = look.presence
    if (out_ms := presence.zone.out_ms) <= look.now_ms:
        _turn_zone(look, OUTSIDE, Reason.OUTSIDE_60_S, at_ms=int(out_ms))
    if (out_ms := presence.buffer.out_ms) <= look.now_ms and not look.presence.zone.inside:
        look.presence = msgspec.structs.replace(look.presence, buffer=OUTSIDE)
        _say(look, ZoneSaid(Code.ZONE_PREALERT, Change.EXIT, Reason.OUTSIDE_60_S, int(out_ms)))
    if look.presence is presence and presence == unseen(look.zone) and away_m < inf:
        _begin(look, away_m, radius_m)


def _begin(look: ZoneLook, away_m: float, radius_m: float) -> None:
    """Of a fix that was looked at while the zone was in force this says nothing new."""
    if look.is_stay:
        ring = evaluated(INSIDE, away_m, 0.0, radius_m, look.now_ms)
        look.presence = msgspec.structs.replace(look.presence, zone=ring)
        return
    _turn_zone(look, INSIDE if away_m <= 0.0 else OUTSIDE, Reason.OUTSIDE_60_S, came=Reason.CAME_INTO_FORCE)
    _turn_buffer(look, away_m, radius_m, Reason.CAME_INTO_FORCE)


def judge_ended(look: ZoneLook) -> None:
    """It is not in force, or no zone any more: whatever is open ends. What is open stays until its end is found,
    which names it."""
    for code in look.presence.opened:
        look.said.append(ZoneSaid(code, Change.EXIT, Reason.ZONE_NOT_IN_FORCE))
    look.presence = msgspec.structs.replace(unseen(look.zone), opened=look.presence.opened)


def judge_authority(look: ZoneLook) -> None:
    """The hours of an authorisation are over: what it covered and goes on is said anew."""
    ended = {said.code for said in look.said}
    for code, opened in look.presence.opened.items():
        if opened.authorised and code not in ended:
            again = ZoneSaid(code, Change.ENTRY, Reason.AUTHORISATION_ENDED, authorised=False)
            look.said.append(again)


# --- a way between two fixes -----------------------------------------------------------------------------------


def off_line(gap_ms: float) -> float:
    """How far off the straight line, as a share of it, a way of average winding may lead; inf: no line."""
    for up_to_ms, straight in WINDING:
        if gap_ms <= up_to_ms:
            return sqrt(1.0 / (straight * straight) - 1.0) / 2.0
    return inf


def leads_through(way: Way, radius_m: float) -> bool:
    """Whether the line lies so deep in the zone that he can hardly have gone around."""
    gap_ms = way.until_ms - way.from_ms
    if not 0 < gap_ms <= WAY_MAX_MS:
        return False
    return way.deep_m >= off_line(gap_ms) * way.long_m + radius_m


# --- how long nothing can change -------------------------------------------------------------------------------


def free_m(zone: GeoZone, presence: Presence, away_m: float) -> float:
    """How far he may move, at least, without any rule changing anything; at or below 0: look."""
    free = _free_of(presence.zone, away_m, 0.0)
    if zone.buffer_m and zone.kind is not ZoneKind.STAY and not presence.zone.inside:
        free = min(free, _free_of(presence.buffer, away_m, float(zone.buffer_m)))
    return free


def _free_of(ring: Ring, away_m: float, edge_m: float) -> float:
    if not ring.inside:
        return away_m - edge_m
    return -inf if ring.outside else edge_m + EXIT_MARGIN_M - away_m


def out_ms(presence: Presence) -> float:
    """When the clock alone takes him out of something."""
    return min(presence.zone.out_ms, presence.buffer.out_ms)
