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
from typing import Final, NamedTuple

import msgspec

from geofence.assumptions import ALERT_S, EXIT_FIXES, EXIT_MARGIN_M, EXIT_MS, FAR_S, PREALERT_S
from geofence.motion import Mover
from tocsin.limits import PREALERT_FACTOR
from tocsin.model.finding import Change, Code
from tocsin.model.zone import Zone

WEARER, PROTECTED = 0, 1
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


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """The entry finding that an exit will name."""

    id: str
    at_ms: int


class PairState(msgspec.Struct, kw_only=True, omit_defaults=True):
    """``suspicions``: whose fix was not believed and inside, and when it becomes an alert, NEVER_ALERTS if it
    cannot; ``unconfirmed``: whose good fix a low-confidence alert waits for, -1 nobody's. ``one_reading``: raw
    or expected inside, and the rule for entering not met by it. ``evidence``: evaluations running that say
    "inside" whatever is doubted, EVIDENCE_FIXES until the alert ends. ``interval_s``: what this pair asks of its
    devices, ``relax_ms``: since when a longer one would do."""

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
            self.suspicions or self.unconfirmed >= 0 or self.one_reading or self.imminent
            or self.alert.outside or self.prealert.outside
            or (self.uncertain_ms is not None and not self.degraded)
        )  # fmt: skip


class Said(NamedTuple):
    """Something began or ended; ``at_ms`` where it was not the hour of what caused the look."""

    code: Code
    change: Change
    reason: Reason
    at_ms: int | None = None
    low_confidence: bool = False
    alert_ms: int | None = None
    silent_since_ms: int | None = None


@dataclass(slots=True)
class Look:
    """One look at one pair: what the rules see, the state that they change, and what they say. ``at_ms`` None in
    what is said means: the hour of whatever caused the look."""

    alert_m: float
    wearer: Mover
    protected: Mover
    now_ms: int
    state: PairState
    said: list[Said] = field(default_factory=list)

    @property
    def movers(self) -> tuple[Mover, Mover]:
        return self.wearer, self.protected

    @property
    def is_known(self) -> bool:
        return self.wearer.is_known and self.protected.is_known

    def radius_m(self, ring: Zone) -> float:
        return self.alert_m if ring is Zone.ALERT else PREALERT_FACTOR * self.alert_m

    def say(self, code: Code, change: Change, reason: Reason, **more: int | bool | None) -> None:
        self.said.append(Said(code, change, reason, **more))  # type: ignore[arg-type]
