"""What does an operator see as one line, and how many alarms did everybody get? F25, F26, F28.

The queue is made here of what the projection holds, so that it is served while PostgreSQL is down; the report is
read from the record. Neither has a position in it, and neither names a person.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query
from msgspec.structs import asdict
from pydantic import BaseModel

from alerts import load
from alerts.api import schemas, views
from alerts.api.access import requires
from alerts.api.alerts import TheDeps
from alerts.api.deps import Deps
from alerts.api.openapi import problems
from alerts.api.problems import Refusal
from alerts.api.reader import Reader, reads
from alerts.api.roles import Permission
from tocsin.adapters.alarm_load import AlarmLoad
from tocsin.clock import from_rfc3339, rfc3339
from tocsin.model.episode import Episode
from tocsin.model.finding import Code

DAYS_MAX: Final = 366

router = APIRouter(tags=["alerts"])


class QueueLine(BaseModel):
    """``under``: other alerts of the same chain of events, which need no line of their own now. ``chattering``:
    raised again and again within minutes."""

    alert: schemas.Alert
    under: list[schemas.Alert]
    chattering: bool


class QueueReply(BaseModel):
    """``lines`` in the order in which they want a human; ``stale``: nothing has happened to them for a day."""

    lines: list[QueueLine]
    stale: list[schemas.Alert]
    alerts: int
    repeated: int
    chattering: int


class AlarmsOfCode(BaseModel):
    code: Code
    priority: int
    alerts: int
    raisings: int
    unfounded: int
    still_open: int


class FalseCallsOfMeasure(BaseModel):
    measure: str
    calls: int


class AlarmSource(BaseModel):
    code: Code
    subject: str
    alerts: int
    raisings: int


class AlarmLoadReply(BaseModel):
    """Alerts opened in ``[from, to)`` that people were told of. ``actionable``: of P1 to P3.
    ``actionable_per_pair_day``: null without a measure in force. ``false_calls``: her unit was told, and a human
    then called it a false alarm or technical; the measures with most of them, as ``sources`` are the places with
    most raisings."""

    since: schemas.Time
    until: schemas.Time
    pairs: int
    pair_days: float
    actionable: int
    actionable_per_pair_day: float | None
    by_code: list[AlarmsOfCode]
    false_calls: list[FalseCallsOfMeasure]
    sources: list[AlarmSource]


@router.get(
    "/queue",
    summary="List open alerts as lines, one for each chain of events",
    responses=problems("invalid-request", "not-ready"),
)
async def queue(deps: TheDeps, reader: Annotated[Reader, Depends(reads(Permission.SEE_ALERTS))]) -> QueueReply:
    """Every open alert is in it once. An untaken P1 is never under another line, nor what somebody has in hand."""
    if not deps.projection.ready.is_set():
        raise Refusal("not-ready")
    now_ms = deps.clock.now_ms()
    ranked = [each.episode for each in deps.projection.open_episodes(now_ms)]
    seen, counts = load.folded(ranked, now_ms), load.counts(ranked, now_ms)
    reader.saw("queue", [one.id for one in ranked])
    return QueueReply(
        lines=[_line(one) for one in seen.lines],
        stale=_shown(seen.stale),
        alerts=len(ranked),
        repeated=counts["repeated"],
        chattering=counts["chattering"],
    )


def _line(one: load.Line) -> QueueLine:
    return QueueLine(
        alert=views.alert(one.episode), under=_shown(one.under), chattering=load.is_chattering(one.episode)
    )


def _shown(episodes: tuple[Episode, ...]) -> list[schemas.Alert]:
    return [views.alert(one) for one in episodes]


@router.get(
    "/reports/alarm-load",
    summary="Count the alarms of a time, and those for nothing",
    dependencies=[Depends(requires(Permission.SEE_REPORTS))],
    responses=problems("invalid-request", "bad-window", "record-unavailable"),
)
async def alarm_load(
    deps: TheDeps,
    since: Annotated[schemas.TimeIn | None, Query(alias="from", description="A day ago without.")] = None,
    until: Annotated[schemas.TimeIn | None, Query(alias="to", description="Now without.")] = None,
) -> AlarmLoadReply:
    """Alarms by code, per pair and day, false calls per victim, and who rings most. At most a year."""
    return _reply(await deps.alarm_load.between(*window(deps, since, until)))


def window(deps: Deps, since: str | None, until: str | None) -> tuple[int, int]:
    """From when to when, in milliseconds; a day until now where nothing is said. Refuses more than a year."""
    to_ms = deps.clock.now_ms() if until is None else from_rfc3339(until)
    from_ms = to_ms - load.DAY_MS if since is None else from_rfc3339(since)
    if not 0 < to_ms - from_ms <= DAYS_MAX * load.DAY_MS:
        raise Refusal("bad-window", f"`to` lies behind `from`, by {DAYS_MAX} days at most")
    return from_ms, to_ms


def _reply(found: AlarmLoad) -> AlarmLoadReply:
    return AlarmLoadReply(
        since=rfc3339(found.from_ms),
        until=rfc3339(found.to_ms),
        pairs=found.pairs,
        pair_days=round(found.pair_days, 3),
        actionable=found.actionable,
        actionable_per_pair_day=found.actionable_per_pair_day,
        by_code=[AlarmsOfCode(**asdict(one)) for one in found.counted],
        false_calls=[FalseCallsOfMeasure(**asdict(one)) for one in found.false_calls],
        sources=[AlarmSource(**asdict(one)) for one in found.sources],
    )
