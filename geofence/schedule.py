"""Is this in force at that hour, and when does that change next?

A schedule is weekly hours on the wall of a place, the engine counts milliseconds UTC; between the two stand the
two days a year on which an hour is skipped or occurs twice. Decided, and not left to a library:

* an hour that is **skipped** is the moment of the leap: what begins or ends at 02:30 begins or ends when the hands
  jump from 02:00 to 03:00; what lies within has no length and is not;
* an hour that **occurs twice** makes a prohibition as long as it can be, from the first 02:30 or to the second,
  and an exception (``brief``) as short as it can be. So it is one span, and never ends to begin again.

Nothing here depends on the number of the week, of GPS or any other. Pure: a schedule, an hour, and the rules of
time that are part of the installation (``tocsin.timezones``).
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final, NamedTuple

from tocsin.model.geozone import Hours, Schedule
from tocsin.timezones import time_zone

DAY_MS: Final = 86_400_000
DAY_MIN: Final = 1_440
AROUND_DAYS: Final = range(-3, 11)
"""Days of which the spans are looked at together: one before each way for the date of the place, one for a span
that goes on into the next day, and a whole week, in which a change occurs if one ever does."""
LOOK_AGAIN_DAYS: Final = 7

Span = tuple[int, int]


class Force(NamedTuple):
    """``now``: whether it is in force; ``since_ms``: no change between this hour and that asked about;
    ``until_ms``: it stays so until then, at least."""

    now: bool
    since_ms: int
    until_ms: int


def force(schedule: Schedule, at_ms: int, *, brief: bool = False) -> Force:
    """How it stands at an hour. One that never changes is asked about again after a week."""
    day = at_ms // DAY_MS
    edges = _edges(schedule, day, brief)
    n = bisect_right(edges, at_ms)
    until_ms = min(
        edges[n] if n < len(edges) else (day + LOOK_AGAIN_DAYS) * DAY_MS, (day + LOOK_AGAIN_DAYS) * DAY_MS
    )
    since_ms = max(edges[n - 1] if n else day * DAY_MS, day * DAY_MS)
    return Force(n % 2 == 1, since_ms, until_ms)


@lru_cache(maxsize=4_096)
def _edges(schedule: Schedule, day: int, brief: bool) -> tuple[int, ...]:
    """Beginnings and ends around a day (UTC, since 1970) in turn, spans that touch being one."""
    zone, first = time_zone(schedule.time_zone), datetime.fromtimestamp(0, UTC).date()
    spans: list[Span] = []
    for away in AROUND_DAYS:
        here = first + timedelta(days=day + away)
        spans += [_span(zone, here, one, brief) for one in schedule.hours if one.day == here.isoweekday()]
    edges: list[int] = []
    for begin_ms, end_ms in sorted(span for span in spans if span[0] < span[1]):
        if edges and begin_ms <= edges[-1]:
            edges[-1] = max(edges[-1], end_ms)
        else:
            edges += (begin_ms, end_ms)
    return tuple(edges)


def _span(zone: tzinfo, here: date, hours: Hours, brief: bool) -> Span:
    goes_on = hours.until_min <= hours.from_min
    begin_ms = instant_ms(zone, here, hours.from_min, second=brief)
    return begin_ms, instant_ms(zone, here + timedelta(days=goes_on), hours.until_min, second=not brief)


def instant_ms(zone: tzinfo, here: date, minute: int, *, second: bool) -> int:
    """When the clock of the place shows that minute of that day; of two such hours the first, or the second."""
    wall = datetime(here.year, here.month, here.day) + timedelta(minutes=minute)  # noqa: DTZ001  # hands on a wall
    one, other = (_utc_ms(wall.replace(tzinfo=zone, fold=fold)) for fold in (0, 1))
    if other < one:
        return _leap_ms(zone, other, one)
    return other if second else one


def _utc_ms(wall: datetime) -> int:
    return round(wall.timestamp()) * 1_000


def _leap_ms(zone: tzinfo, before_ms: int, after_ms: int) -> int:
    """The second between two hours at which the hands jump."""
    before, after = before_ms // 1_000, after_ms // 1_000
    old = _offset(zone, before)
    while after - before > 1:
        middle = (before + after) // 2
        before, after = (middle, after) if _offset(zone, middle) == old else (before, middle)
    return after * 1_000


def _offset(zone: tzinfo, at_s: int) -> timedelta | None:
    return datetime.fromtimestamp(at_s, zone).utcoffset()


assert AROUND_DAYS[-1] > LOOK_AGAIN_DAYS + 1
assert DAY_MIN * 60_000 == DAY_MS
