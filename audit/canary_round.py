"""Where is an invented pair at which second, and which stages has its crossing passed? Pure.

The plan. Both report each REPORT_S. She walks a circle of WALK_M an hour, so that no rule calls her unit frozen
or left at home; he stands OUTSIDE_M from her, due north, for one report of each minute INSIDE_M, and back. At
(OUTSIDE_M - INSIDE_M) / REPORT_S = 20 m/s nobody is implausible; he never leaves the pre-alert ring of 2 km, so
it is entered once in the life of a worker and no look-out for probing ever sees him come; he is believed to stand
when the fix comes that shows him inside, so it is that fix that raises the alert, and nothing before it.
It all lies in the Bay of Biscay, 300 km from any commune.

The judgement. A round is the crossing of one minute. It is complete when it has passed every ``Stage``; the first
that it has not passed is the one that is missing. What the parts say of themselves and what the receiver has in
hand are stages apart: a courier that says *sent* and sends nothing is found out (F07).

Milliseconds of Tocsin's clock, degrees WGS84, metres.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from math import cos, pi, radians, sin
from typing import Final, NamedTuple

from tocsin.clock import MS
from tocsin.limits import EXIT_MARGIN_M
from tocsin.model.canary import PREFIX
from tocsin.ports import Usage
from tocsin.subjects import EPISODES, RECEIPTS, partition_of

ROUND_S: Final = 60
REPORT_S: Final = 10
CROSSING_S: Final = 20  # of the round: behind two reports of somebody who stands, and before three outside
ALERT_DISTANCE_M: Final = 1_000  # the least that a judge may order
INSIDE_M: Final = 950.0
OUTSIDE_M: Final = 1_150.0
ACCURACY_M: Final = 10.0
SEA_LAT, SEA_LON = 46.0, -6.0
WALK_M: Final = 200.0  # further than a unit on a table wanders (50 m)
LAP_S: Final = 3_600
METRES_PER_DEGREE: Final = 111_195.0  # of a sphere; a thousandth more or less moves nobody across a ring

FAILS_AFTER_S: Final = 180  # DOMAIN section 4 wants each minute walked: two rounds may be lost to a restart
FAILS_AFTER_MS: Final = FAILS_AFTER_S * MS
HEARD_MAX: Final = 64  # what was heard of alerts: six stages of each, of rounds that are not given up yet
CROSSING_MAX: Final = 3
"""Pairs that cross in one minute; where there are more partitions they take turns. What they leave stays below
half of every stream, for a watch must not stop or displace what it watches: the results of one crossing a minute
are 2.5 MB a day (measured, docs/watching.md), kept for 7 on a stream of 128 MiB (ADR 46). The rulings, 36 MB, stay
on EPISODES until they are recorded: 2 GiB in 18 days without a record, hence ROOM_MAX."""
ROOM_MAX: Final = 0.5
"""From here on nobody crosses: the other half of EPISODES and of RECEIPTS is for people."""
ROOM_ON: Final = frozenset({f"{stream.name}.bytes" for stream in (EPISODES, RECEIPTS)})
NO_ROOM: Final = "no_room"
NAMES_MAX: Final = 100_000  # with 64 partitions a free number is found within a few hundred

assert ROUND_S % REPORT_S == 0
assert CROSSING_S % REPORT_S == 0
assert INSIDE_M < ALERT_DISTANCE_M < ALERT_DISTANCE_M + EXIT_MARGIN_M < OUTSIDE_M < 2 * ALERT_DISTANCE_M
assert FAILS_AFTER_S == 3 * ROUND_S


class Pair(NamedTuple):
    """The names of one canary."""

    measure: str

    @property
    def wearer(self) -> str:
        return f"{self.measure}-w"

    @property
    def protected(self) -> str:
        return f"{self.measure}-v"


def pairs(partitions: int) -> tuple[Pair, ...]:
    """One for each partition, by the least number whose measure falls there."""
    found: dict[int, Pair] = {}
    for number in range(NAMES_MAX):
        name = f"{PREFIX}{number}"
        found.setdefault(partition_of(name, partitions), Pair(name))
        if len(found) == partitions:
            return tuple(found[partition] for partition in range(partitions))
    raise AssertionError(f"no name for each of {partitions} partitions")


class Turn(NamedTuple):
    """Which minutes are a pair's: of each ``of`` in a row the one with this number."""

    number: int = 0
    of: int = 1

    def has(self, round_number: int) -> bool:
        return round_number % self.of == self.number

    @property
    def fails_after_ms(self) -> int:
        """Two rounds may be lost to a restart, of whoever walks each minute and of whoever does not."""
        return FAILS_AFTER_MS * self.of


EACH_MINUTE: Final = Turn()


def turn_of(partition: int, partitions: int) -> Turn:
    """No more than CROSSING_MAX have the same minute, and somebody crosses in each."""
    of = -(-partitions // CROSSING_MAX)
    return Turn(partition % of, of)


class Place(NamedTuple):
    lat: float
    lon: float


def has_room(usages: Iterable[Usage]) -> bool:
    """On the streams that a round fills."""
    return all(one.ratio < ROOM_MAX for one in usages if one.resource in ROOM_ON)


def round_at(at_ms: int) -> int:
    """The number of the minute."""
    return at_ms // (ROUND_S * MS)


def begins_ms(number: int) -> int:
    return number * ROUND_S * MS


def crossing_ms(number: int) -> int:
    """The hour of the one fix of this round that shows him inside."""
    return begins_ms(number) + CROSSING_S * MS


def next_report_ms(at_ms: int) -> int:
    """The first report behind this hour."""
    return (at_ms // (REPORT_S * MS) + 1) * REPORT_S * MS


def her_place(at_ms: int) -> Place:
    angle = 2 * pi * (at_ms / MS % LAP_S) / LAP_S
    return _moved(Place(SEA_LAT, SEA_LON), WALK_M * cos(angle), WALK_M * sin(angle))


def his_place(at_ms: int, *, rests: bool = False) -> Place:
    is_inside = at_ms == crossing_ms(round_at(at_ms)) and not rests
    return _moved(her_place(at_ms), INSIDE_M if is_inside else OUTSIDE_M, 0.0)


def _moved(place: Place, north_m: float, east_m: float) -> Place:
    lat = place.lat + north_m / METRES_PER_DEGREE
    return Place(lat, place.lon + east_m / (METRES_PER_DEGREE * cos(radians(SEA_LAT))))


class Stage(StrEnum):
    """What a round passes, in this order. PUBLISHED: the broker has the crossing fix. FINDING: the geofence has
    said it. RAISED: the desk has ruled on that finding. SENT: the courier says that it was taken. TAKEN: the
    receiver has it, signed. ACKNOWLEDGED, HANDED_OFF: the API has done what the canary asked. POLICE: the receiver
    has the CAP message. CLOSED: the alert has its outcome."""

    PUBLISHED = "published"
    FINDING = "finding"
    RAISED = "raised"
    SENT = "sent"
    TAKEN = "taken"
    ACKNOWLEDGED = "acknowledged"
    HANDED_OFF = "handed_off"
    POLICE = "police"
    CLOSED = "closed"


@dataclass(slots=True)
class Round:
    """One crossing. ``alert``: under which name it is followed, once known; ``t3_ms``: when ingest had it."""

    number: int
    passed: dict[Stage, int] = field(default_factory=dict)
    alert: str = ""
    t3_ms: int | None = None
    counted: bool = False

    def passes(self, stage: Stage, at_ms: int) -> None:
        """The first time counts: what is delivered twice is passed once."""
        self.passed.setdefault(stage, at_ms)

    @property
    def missing(self) -> Stage | None:
        """None: complete."""
        return next((stage for stage in Stage if stage not in self.passed), None)

    @property
    def complete_ms(self) -> int | None:
        return None if self.missing else max(self.passed.values())


@dataclass(slots=True)
class Lasting:
    """A SYS_CANARY_FAIL that was said: the notice that began it, and when."""

    entry: str
    at_ms: int


class Word(NamedTuple):
    """What is to be said of a pair now. ``reason``: the stage that is missing; empty: it is over."""

    reason: str
    at_ms: int


@dataclass(slots=True)
class Watch:
    """What is known of the rounds of one pair. ``complete_ms``: when the last one was complete; before any, when
    the watch began, so that a start is given its time too. ``lasting``: the failure that stands.
    ``rests``: nobody crosses now, for want of room. ``turn``: the minutes in which this pair does."""

    complete_ms: int
    turn: Turn = EACH_MINUTE
    lasting: Lasting | None = None
    was_complete: bool = False
    rests: bool = False
    rounds: dict[int, Round] = field(default_factory=dict)
    heard: dict[tuple[str, Stage], int] = field(default_factory=dict)

    def begin(self, number: int) -> Round:
        """Rounds that began before a failure would are given up: an alert of then is no crossing of now."""
        kept = number - self.turn.fails_after_ms // (ROUND_S * MS)
        self.rounds = {old: one for old, one in self.rounds.items() if old > kept}
        return self.rounds.setdefault(number, Round(number))

    def crossed(self, at_ms: int) -> Round | None:
        """The round whose crossing was at this hour, if it was walked in this life."""
        found = self.rounds.get(round_at(at_ms))
        return found if found is not None and at_ms == crossing_ms(found.number) else None

    def raised(self, crossed_ms: int, alert: str, at_ms: int) -> None:
        """The desk has ruled on the crossing of that hour. What was heard of its alert before counts now."""
        found = self.crossed(crossed_ms)
        if found is None:
            return
        found.alert = alert
        found.passes(Stage.RAISED, at_ms)
        for (about, stage), heard_ms in self.heard.items():
            self._count(found, about, stage, heard_ms)

    def hears(self, alert: str, stage: Stage, at_ms: int) -> None:
        """Of an alert, whether or not it is known yet whose: streams are read side by side."""
        self.heard[alert, stage] = at_ms
        while len(self.heard) > HEARD_MAX:
            self.heard.pop(next(iter(self.heard)))
        for one in self.rounds.values():
            self._count(one, alert, stage, at_ms)

    @staticmethod
    def _count(one: Round, alert: str, stage: Stage, at_ms: int) -> None:
        """Several rounds have one alert where nobody could close it in between; what happened to it before a
        crossing says nothing of that one."""
        if one.alert == alert and at_ms >= crossing_ms(one.number):
            one.passes(stage, at_ms)

    def look(self) -> list[Round]:
        """Take note of what is complete; returns those that have become so since the last look."""
        done = [one for one in self.rounds.values() if one.complete_ms is not None and not one.counted]
        for one in done:
            one.counted, self.was_complete = True, True
            self.complete_ms = max(self.complete_ms, one.complete_ms or 0)
        return done

    def age_s(self, now_ms: int) -> float:
        return max(0, now_ms - self.complete_ms) / MS

    def word(self, now_ms: int) -> Word | None:
        """Whether something is to be said: the failure once, its end with the next complete round."""
        if now_ms - self.complete_ms >= self.turn.fails_after_ms:
            return None if self.lasting else Word(self._missing(now_ms), now_ms)
        if self.lasting is not None and self.was_complete and self.complete_ms > self.lasting.at_ms:
            return Word("", self.complete_ms)
        return None

    def _missing(self, now_ms: int) -> str:
        """By the newest round that has had a minute: the one under way has not failed yet."""
        if self.rests:
            return NO_ROOM
        old = [
            one for number, one in sorted(self.rounds.items()) if now_ms >= begins_ms(number + 1) and one.missing
        ]
        return (old[-1].missing or Stage.PUBLISHED).value if old else Stage.PUBLISHED.value
