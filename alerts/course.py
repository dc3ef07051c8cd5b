"""Does the wearer still come nearer? What the standings say of it, and how long that counts. (DOMAIN section 3)

Asked at the hour of a rung that depends on it, and never before: the answer is as old as the newest standing. The
geofence writes one at each 100 m nearer or farther, at a silence and at a doubt, and not while he stands: so that
what it said last is an answer only for a while, and never behind a silence or a doubt of either of them. From then
on nothing is known, which the ladder takes for yes. Stopping is no turning back.

Times are milliseconds. Ours.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from tocsin import subjects
from tocsin.clock import MS, Clock
from tocsin.errors import WireError
from tocsin.model.episode import Episode
from tocsin.model.finding import Code
from tocsin.model.standing import Protection, Standing
from tocsin.model.zone import Zone
from tocsin.ports import Bucket, Log
from tocsin.subjects import EPISODES
from tocsin.wire import decode_ruling, decode_standing

NEARER_COUNTS_S: Final = 30  # three reports of the pre-alert band: he has had time to turn since
AWAY_COUNTS_S: Final = 120  # who goes on walking away has said so again: 100 m take 71 s, and a report or two

Closing = Callable[[Episode], Awaitable[bool | None]]

log = structlog.get_logger()


def closing_of(standing: Standing, now_ms: int) -> bool | None:
    """None: not known."""
    is_doubtful = standing.protection is not Protection.PROTECTED or standing.uncertain_since_ms is not None
    if standing.zone is not Zone.PREALERT or standing.closing_ms is None or standing.closing is None:
        return None
    if is_doubtful or standing.blind_worst_ms is not None:
        return None
    counts_s = NEARER_COUNTS_S if standing.closing else AWAY_COUNTS_S
    return standing.closing if now_ms - standing.closing_ms <= counts_s * MS else None


def of_all(answers: list[bool | None]) -> bool | None:
    """Of several measures: one that he closes in on is enough, and all must be known not to be."""
    if True in answers:
        return True
    return False if answers and None not in answers else None


def closing_by(log_: Log, standings: Bucket | None, clock: Clock) -> Closing:
    """True while an IMMINENT of a measure lasts, whatever its standing says; else by the standings."""

    async def of_measure(measure: str) -> bool | None:
        last = await log_.last(EPISODES, subjects.episode(Code.IMMINENT.value, measure))
        if last is not None and _lasts(last.payload):
            return True
        value = None if standings is None else await standings.get(measure)
        return None if value is None else _of_value(value, clock.now_ms())

    async def closing(episode: Episode) -> bool | None:
        return of_all([await of_measure(measure) for measure in episode.measures])

    return closing


def _lasts(payload: bytes) -> bool:
    """What cannot be read says nothing, and holds up no rung."""
    try:
        return decode_ruling(payload).episode.lasts
    except WireError:
        log.critical("unreadable", what="imminent")
        return False


def _of_value(value: bytes, now_ms: int) -> bool | None:
    try:
        return closing_of(decode_standing(value), now_ms)
    except WireError:
        log.critical("unreadable", what="standing")
        return None
