"""What is remembered of a pair besides where the two are, and in which words is a change said?

Most pairs are far apart and reporting: such a pair has the state ``PairState()`` and is not kept. Hours are whole
milliseconds, distances metres.

Two rings lie around the protected person: alert (the distance of the order) and pre-alert (twice that). Each holds
the wearer from the moment he comes in until there is evidence that he has left; his zone is the innermost ring
that holds him.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from geofence.assumptions import ALERT_S, EXIT_FIXES, EXIT_MARGIN_M, EXIT_MS, FAR_S, PREALERT_S
from geofence.motion import Mover
from geofence.remembered import Course, Crossing, Origin
from tocsin.limits import PREALERT_FACTOR
from tocsin.model.finding import MEASURE_ENDED_REASON, Change, Code
from tocsin.model.geozone import ZoneKind
from tocsin.model.zone import Zone

if TYPE_CHECKING:
    from geofence.conditions import Condition

WEARER, PROTECTED = 0, 1
assert (WEARER, PROTECTED) == (0, 1), "the columns of a row of pairs, and the lowest bit of a side"
RINGS: Final = (Zone.ALERT, Zone.PREALERT)
CODE_OF_RING: Final = {Zone.ALERT: Code.PROX_ALERT, Zone.PREALERT: Code.PROX_PREALERT}


class Reason(StrEnum):
    """Why something began or ended; the word that goes to the log, the screen and the evidence."""

    INSIDE_ALERT = "inside_alert_distance"
    INSIDE_PREALERT = "inside_prealert_distance"
    CARRIED_INSIDE = "expected_inside_without_a_fix"
    UNCONFIRMED_INSIDE = "unconfirmed_fix_inside"
    LATE_INSIDE = "overtaken_fix_inside"
    OUTSIDE_TWO_FIXES = "outside_two_fixes"
    OUTSIDE_60_S = "outside_60_s"
    UNBELIEVED_FIX = "unbelieved_fix_inside"
    ONE_READING = "one_reading_inside"
    SILENT_IN_REACH = "silent_in_reach"
    UNRESOLVED_60_S = "unresolved_60_s"
    RESOLVED = "resolved"
    CLOSING = "closing"
    NOT_CLOSING = "no_longer_closing"
    CERTAIN_TWICE = "certain_two_fixes"
    NO_MESSAGE = "no_message"
    NO_FIX = "no_fix"
    HEARD_AGAIN = "heard_again"
    REPORTING = "reporting"
    NEVER_HEARD = "never_heard"
    NOT_IN_FORCE = "not_in_force"
    RULES_FAILED = "rules_failed"
    INSIDE_ZONE = "inside_zone"
    IN_BUFFER = "near_zone"
    CROSSED_ZONE = "way_through_zone"
    OUTSIDE_STAY = "outside_place_to_be"
    BACK_IN_STAY = "back_in_place_to_be"
    CAME_INTO_FORCE = "zone_came_into_force"
    ZONE_NOT_IN_FORCE = "zone_not_in_force"
    MEASURE_ENDED = MEASURE_ENDED_REASON
    BELOW_FLOOR = "below_floor_while_authorised"
    AUTHORISATION_ENDED = "authorisation_ended"
    STRAP_OPEN = "strap_open"
    CASE_OPEN = "case_open"
    RADIOS_MEET = "units_hear_each_other"
    SAYS_JAMMED = "unit_says_jammed"
    GNSS_AND_TAG_LOST = "no_fix_and_no_tag"
    TAG_NOT_HEARD = "tag_not_heard"
    TAG_NOT_TOLD = "tag_no_longer_told"
    PERMISSION_DENIED = "permission_denied"
    CELL_ELSEWHERE = "cell_place_elsewhere"
    SWITCHED_OFF = "switched_off"
    BATTERY_FLAT = "battery_flat"
    BATTERY_CRITICAL = "battery_critical"
    BATTERY_LOW = "battery_low"
    RECOVERED = "recovered"
    BLIND_SOON = "blind_risk_soon"
    SPREAD_BEARINGS = "shallow_entries_from_spread_bearings"
    QUIET_A_WEEK = "quiet_for_a_week"
    REPEATED_MOVING = "place_repeated_on_the_move"
    REPEATED_FOR_HOURS = "place_repeated_for_hours"
    MOVES_AGAIN = "moves_again"
    FIXES_MISSING = "fixes_missing"
    FIXES_BACK = "fixes_come_again"
    STILL_8_HOURS = "still_for_8_waking_hours"
    CLOCK_OFF = "clock_off"
    CLOCK_RIGHT = "clock_right_again"


assert (EXIT_FIXES, EXIT_MS) == (2, 60_000), "the reasons name these numbers"


NEVER_ALERTS: Final = 2**52


class Ring(NamedTuple):
    """``outside``: evaluations running that say he has left, the first at ``since_ms``."""

    inside: bool = False
    outside: int = 0
    since_ms: int = 0

    @property
    def out_ms(self) -> float:
        """When the clock alone lets him out; inf without evidence."""
        return self.since_ms + EXIT_MS if self.outside else inf


INSIDE: Final = Ring(inside=True)
OUTSIDE: Final = Ring()


def evaluated(ring: Ring, distance_m: float, radius_m: float, radii_m: float, now_ms: int) -> Ring:
    """A ring that held him, after one more distance: out on EXIT_FIXES running beyond the margin."""
    if distance_m < radius_m + max(EXIT_MARGIN_M, radii_m):
        return INSIDE
    if ring.outside + 1 >= EXIT_FIXES:
        return OUTSIDE
    return Ring(inside=True, outside=ring.outside + 1, since_ms=ring.since_ms if ring.outside else now_ms)


class Opened(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The entry finding that an exit will name. ``authorised``: it was recorded, and nobody alerted. ``worse_ms``:
    when it was last said to have become more urgent."""

    id: str
    at_ms: int
    authorised: bool = False
    worse_ms: int = 0

    @property
    def newest_ms(self) -> int:
        return max(self.at_ms, self.worse_ms)


class Presence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is remembered about one zone: as with the rings around her, ``zone`` and ``buffer`` hold him from the
    moment he comes in until there is evidence that he has left. ``kind``: of the zone that this was said of; one
    of another kind under its name is another zone."""

    kind: ZoneKind = ZoneKind.BAN
    zone: Ring = OUTSIDE
    buffer: Ring = OUTSIDE
    opened: dict[Code, Opened] = {}


class PairState(msgspec.Struct, kw_only=True, omit_defaults=True):
    """``suspicions``: whose fix was not believed and inside, and when it becomes an alert, NEVER_ALERTS if it
    cannot; ``unconfirmed``: whose good fix a low-confidence alert waits for, -1 nobody's. ``one_reading``: raw or
    expected inside, and the rule for entering not met by it. ``evidence``: evaluations running that say "inside"
    whatever is doubted, EVIDENCE_FIXES until the alert ends. ``interval_s``: what this pair asks of its devices,
    ``relax_ms``: since when a longer one would do. ``put_off_ms``: ends told of a later hour than they were found
    at, until it begins again (``findings``). ``zones``: by id, never changed in place. ``graded``: the priority
    that was said of what time to blind risk can still make more urgent. ``origin``: where both stood when the
    present leg of the approach began, ``earlier``: the one before it (``attribution``). ``visit``: a stay in the
    pre-alert ring that may still prove shallow, ``crossings``: those that did, ``probing_ms``: the last of a
    spell of PROBING (``probing``). ``course``: whether he comes nearer within the pre-alert ring
    (``approach``)."""

    alert: Ring = OUTSIDE
    prealert: Ring = OUTSIDE
    alert_ms: int | None = None
    suspicions: dict[int, int] = {}
    unconfirmed: int = -1
    one_reading: bool = False
    uncertain_ms: int | None = None
    uncertain_reason: str = ""
    degraded: bool = False
    imminent: bool = False
    evidence: int = 0
    interval_s: int = FAR_S
    relax_ms: int | None = None
    wearer_lost: bool = False
    wearer_unfixed: bool = False
    protected_lost: bool = False
    opened: dict[Code, Opened] = {}
    left_ms: dict[int, int] = {}
    put_off_ms: dict[Code, int] = {}
    zones: dict[str, Presence] = {}
    graded: dict[Code, int] = {}
    origin: Origin | None = None
    earlier: Origin | None = None
    visit: Crossing | None = None
    crossings: tuple[Crossing, ...] = ()
    probing_ms: int | None = None
    course: Course | None = None

    @property
    def zone(self) -> Zone:
        if self.alert.inside:
            return Zone.ALERT
        return Zone.PREALERT if self.prealert.inside else Zone.FAR

    def hasten(self) -> None:
        """A ring that he came into asks for its interval at once, also where no believed fix has seen it."""
        wanted_s = ALERT_S if self.alert.inside else PREALERT_S
        if wanted_s < self.interval_s:
            self.interval_s, self.relax_ms = wanted_s, None

    @property
    def is_in_doubt(self) -> bool:
        """Whether a silence or a doubt has been said and not taken back: its beginning and its end are both
        told, so that the hours of blind risk cannot outlast it in a standing."""
        return (
            self.wearer_lost or self.wearer_unfixed or self.protected_lost
            or self.uncertain_ms is not None or self.degraded
        )  # fmt: skip

    @property
    def suspicion_ms(self) -> int:
        """When the first suspicion becomes an alert."""
        return min(self.suspicions.values(), default=NEVER_ALERTS)

    @property
    def is_settled(self) -> bool:
        """Whether nothing is going on but what may go on for long: a ring that holds him, a silence that was
        said."""
        return not (
            self.suspicions or self.unconfirmed >= 0 or self.one_reading
            or self.alert.outside or self.prealert.outside
            or (self.imminent and not self.prealert.inside)
            or (self.uncertain_ms is not None and not self.degraded) or self.graded
        )  # fmt: skip


class Said(NamedTuple):
    """Something began or ended; ``at_ms`` where it was not the hour of what caused the look. ``authorised`` None:
    as the hour has it (``geofence.authority``). ``blind``: the hours of blind risk (worst, plausible), where they
    are not those of the look; ``worse``: what began before is more urgent now. ``wearer_dm``, ``protected_dm``:
    ``attribution``; ``call_by_ms``, ``other_side``: ``probing``."""

    code: Code
    change: Change
    reason: Reason
    at_ms: int | None = None
    low_confidence: bool = False
    alert_ms: int | None = None
    silent_since_ms: int | None = None
    authorised: bool | None = None
    priority: int | None = None
    alarm: str | None = None
    blind: tuple[int, int] | None = None
    worse: bool = False
    wearer_dm: int | None = None
    protected_dm: int | None = None
    call_by_ms: int | None = None
    other_side: bool = False


@dataclass(slots=True)
class Look:
    """One look at one pair: what the rules see, the state that they change, and what they say. ``at_ms`` None in
    what is said means: the hour of whatever caused the look. ``floor_m``: at this hour nearness is authorised down
    to there; None: it is not. ``conditions``: of his device and hers."""

    alert_m: float
    wearer: Mover
    protected: Mover
    now_ms: int
    state: PairState
    said: list[Said] = field(default_factory=list)
    floor_m: float | None = None
    conditions: tuple[Condition, ...] = ()

    @property
    def movers(self) -> tuple[Mover, Mover]:
        return self.wearer, self.protected

    @property
    def is_known(self) -> bool:
        return self.wearer.is_known and self.protected.is_known

    def radius_m(self, ring: Zone) -> float:
        return self.alert_m if ring is Zone.ALERT else PREALERT_FACTOR * self.alert_m

    def say(
        self,
        code: Code,
        change: Change,
        reason: Reason,
        *,
        at_ms: int | None = None,
        low_confidence: bool = False,
        alert_ms: int | None = None,
        silent_since_ms: int | None = None,
        authorised: bool | None = None,
        priority: int | None = None,
        alarm: str | None = None,
        blind: tuple[int, int] | None = None,
        worse: bool = False,
    ) -> None:
        self.said.append(
            Said(
                code, change, reason, at_ms, low_confidence, alert_ms, silent_since_ms, authorised, priority,
                alarm, blind, worse,
            )
        )  # fmt: skip
