"""In which ring is the wearer, and what does a new distance or the passing hour change?

Two rings lie around the protected person: alert (the distance of the order) and pre-alert (twice that). Each one
holds the wearer from the moment he comes in until there is evidence that he has left; his zone is the innermost
ring that holds him. Rules: DOMAIN section 3, ALERT, PRE-ALERT and EXIT.

| from \\ evidence | d <= d_A | d_A < d <= 2 d_A          | outside the exit bound of the ring          |
|-----------------|----------|---------------------------|---------------------------------------------|
| FAR             | ALERT    | PREALERT                  | FAR                                         |
| PREALERT        | ALERT    | PREALERT                  | EXIT_FIXES times running or EXIT_AFTER_S: FAR |
| ALERT           | ALERT    | by its own exit: PREALERT | by both exits at once: FAR                  |

The exit bound of ring D is D + max(EXIT_MARGIN_M, r), r the sum of both 95 % radii: worse accuracy can only keep
a ring longer. One evaluation inside the bound contradicts, and the count begins again.

Pure: plain integers in, a new ``Standing`` and the moves out. Units: decimetres, milliseconds.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from tocsin.limits import (
    ACCURACY_UNKNOWN_DM,
    EXIT_AFTER_S,
    EXIT_FIXES,
    EXIT_MARGIN_M,
    PREALERT_FACTOR,
    R95_PER_R68,
)
from tocsin.model.zone import Zone

EXIT_MARGIN_DM = 10 * EXIT_MARGIN_M
EXIT_AFTER_MS = 1000 * EXIT_AFTER_S
RINGS = (Zone.ALERT, Zone.PREALERT)


class Reason(StrEnum):
    """Why a pair changed its zone; the word that goes to the log, the screen and the evidence."""

    INSIDE_ALERT = "inside_alert_distance"
    INSIDE_PREALERT = "inside_prealert_distance"
    OUTSIDE_TWO_FIXES = "outside_two_fixes"
    OUTSIDE_60_S = "outside_60_s"


assert (EXIT_FIXES, EXIT_AFTER_S) == (2, 60), "the reasons name these numbers"


class Leaving(NamedTuple):
    """How far the evidence goes that the wearer has left one ring: times seen outside, hour of the first."""

    times: int = 0
    since_ms: int = 0

    @property
    def deadline_ms(self) -> int:
        return self.since_ms + EXIT_AFTER_MS


NOT_LEAVING = Leaving()


class Standing(NamedTuple):
    """Where a pair stands: its zone, and for each ring whether the wearer seems to be leaving it."""

    zone: Zone = Zone.FAR
    alert: Leaving = NOT_LEAVING
    prealert: Leaving = NOT_LEAVING

    @property
    def deadline_ms(self) -> int | None:
        """When the next ring lets him go unless something contradicts."""
        return min((leaving.deadline_ms for leaving in (self.alert, self.prealert) if leaving.times), default=None)


class Move(NamedTuple):
    """From one zone to another."""

    before: Zone
    after: Zone
    reason: Reason


def threshold_m(ring: Zone, alert_distance_m: int) -> int:
    """The radius of a ring, metres."""
    return alert_distance_m if ring is Zone.ALERT else PREALERT_FACTOR * alert_distance_m


def radius_dm(accuracy_a_dm: int, accuracy_b_dm: int) -> int:
    """Sum of both 95 % radii from the reported 68 % radii; a negative one was not reported."""
    reported = (ACCURACY_UNKNOWN_DM if one < 0 else one for one in (accuracy_a_dm, accuracy_b_dm))
    return round(R95_PER_R68 * sum(reported))


def exit_bound_dm(ring: Zone, alert_distance_m: int, radius: int) -> int:
    """From this distance on, an evaluation is evidence that he has left the ring."""
    return 10 * threshold_m(ring, alert_distance_m) + max(EXIT_MARGIN_DM, radius)


def on_distance(
    standing: Standing, *, alert_distance_m: int, distance_dm: int, radius: int, now_ms: int
) -> tuple[Standing, Move | None]:
    """A new distance, known at ``now_ms``; deadlines up to then have already been judged by ``on_time``."""
    assert alert_distance_m > 0
    assert standing.deadline_ms is None or standing.zone is not Zone.FAR
    leaving = {
        ring: _observed(held, distance_dm >= exit_bound_dm(ring, alert_distance_m, radius), now_ms)
        for ring, held in zip(RINGS, (standing.alert, standing.prealert), strict=True)
    }
    holding = (ring for ring in RINGS if standing.zone >= ring and leaving[ring].times < EXIT_FIXES)
    zone = max(nearest(alert_distance_m, distance_dm), next(holding, Zone.FAR))
    return _settled(standing, zone, leaving[Zone.ALERT], leaving[Zone.PREALERT], Reason.OUTSIDE_TWO_FIXES)


def on_time(standing: Standing, now_ms: int) -> tuple[Standing, Move | None]:
    """The hour alone: the earliest deadline that has passed. Ask again while it moves: another may have passed."""
    deadline = standing.deadline_ms
    if deadline is None or deadline > now_ms:
        return standing, None
    holding = (
        ring
        for ring, leaving in zip(RINGS, (standing.alert, standing.prealert), strict=True)
        if standing.zone >= ring and not (leaving.times and leaving.deadline_ms == deadline)
    )
    zone = next(holding, Zone.FAR)
    return _settled(standing, zone, standing.alert, standing.prealert, Reason.OUTSIDE_60_S)


def _observed(leaving: Leaving, outside: bool, now_ms: int) -> Leaving:
    if not outside:
        return NOT_LEAVING
    return Leaving(leaving.times + 1, leaving.since_ms if leaving.times else now_ms)


def nearest(alert_distance_m: int, distance_dm: int) -> Zone:
    """The zone that a distance alone shows, whatever was before."""
    inside = (ring for ring in RINGS if distance_dm <= 10 * threshold_m(ring, alert_distance_m))
    return next(inside, Zone.FAR)


def _settled(
    standing: Standing, zone: Zone, alert: Leaving, prealert: Leaving, exit_reason: Reason
) -> tuple[Standing, Move | None]:
    """The standing in ``zone``; a ring that does not hold him has nothing to leave."""
    settled = Standing(
        zone,
        alert if zone >= Zone.ALERT else NOT_LEAVING,
        prealert if zone >= Zone.PREALERT else NOT_LEAVING,
    )
    if zone == standing.zone:
        return settled, None
    entry_reason = Reason.INSIDE_ALERT if zone is Zone.ALERT else Reason.INSIDE_PREALERT
    return settled, Move(standing.zone, zone, entry_reason if zone > standing.zone else exit_reason)
