"""How many alarms did operators get, how quick was each stage, and what does a measure cost its parties?

Read from the record; without it 503. Neither a position nor a person's name is in a report. The definitions stand
where the figures are judged: ``alerts.alarm_rates``, ``alerts.service_levels``, ``alerts.burden`` (F39).
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query
from msgspec.structs import asdict
from pydantic import BaseModel

from alerts import alarm_rates, load, service_levels
from alerts.api import schemas
from alerts.api.access import requires
from alerts.api.alerts import TheDeps
from alerts.api.deps import Deps
from alerts.api.load import AlarmSource, window
from alerts.api.measures import MeasureId
from alerts.api.openapi import problems
from alerts.api.problems import Refusal
from alerts.api.reader import Reader, reads
from alerts.api.roles import Permission
from alerts.burden import Burden, burden
from tocsin.adapters.figures import Stage
from tocsin.adapters.orders import NotFound
from tocsin.clock import rfc3339
from tocsin.model.episode import Episode
from tocsin.model.finding import Code
from tocsin.timezones import PARIS, time_zone

OPERATORS_MAX: Final = 1_000
REPEATED_MAX: Final = 1_000
BURDEN_ALERTS_MAX: Final = 10_000
PAGE: Final = 200

router = APIRouter(tags=["reports"])

Since = Annotated[schemas.TimeIn | None, Query(alias="from", description="A day ago without.")]
Until = Annotated[schemas.TimeIn | None, Query(alias="to", description="Now without.")]


class FloodReply(BaseModel):
    since: schemas.Time
    until: schemas.Time
    alarms: int


class Chattering(BaseModel):
    alert: str
    code: Code
    subject: str
    raisings: int


class AlarmKpisReply(BaseModel):
    """Alarms of P1 to P4 in slots of ten minutes from ``from``. ``rate_mean``, ``rate_worst``: alarms a slot and
    operator. ``over_share``: of the slots, those with more than 10 an operator. A flood begins with a slot of 10
    an operator and ends before one of fewer than 5. ``stale``: alerts that stood open for 24 h or more within the
    window, by priority. ``chattering``: raised three times or more within 15 minutes. ``sources``: who rings most;
    ``sources_share``: their part of all raisings."""

    since: schemas.Time
    until: schemas.Time
    operators: int
    slots: int
    alarms: int
    by_priority: dict[int, int]
    rate_mean: float
    rate_worst: float
    over_share: float
    flood_s: int
    floods: list[FloodReply]
    stale: dict[int, int]
    chattering: list[Chattering]
    sources: list[AlarmSource]
    sources_share: float | None


class Bound(BaseModel):
    """So many of the alerts (1: all) have to be within ``limit_ms``, and were within ``measured_ms``."""

    share: float
    limit_ms: int
    measured_ms: int
    held: bool


class StageReply(BaseModel):
    """``measured_ms``: by the share of the alerts that took no longer. ``bounds``: what is required, if any."""

    priority: int
    stage: str
    alerts: int
    measured_ms: dict[str, int]
    bounds: list[Bound]


class SlowAlert(BaseModel):
    alert: str
    code: Code
    priority: int
    t3_t8_ms: int


class ServiceLevelsReply(BaseModel):
    """Of the alerts opened in the window. ``held``: every bound of every stage."""

    since: schemas.Time
    until: schemas.Time
    held: bool
    stages: list[StageReply]
    slowest: list[SlowAlert]


class BurdenOfCode(BaseModel):
    code: Code
    alerts: int
    raisings: int
    unfounded: int
    rang_her: int
    called_him: int
    lasted_s: int


class WhoApproached(BaseModel):
    """Of the raisings of rings: how much nearer each party came by moving, in all. ``wearer_share_pct``: null
    where nobody moved enough to say."""

    known: int
    unknown: int
    wearer_m: int
    protected_m: int
    wearer_share_pct: int | None
    mostly_wearer: int
    mostly_protected: int


class BurdenReply(BaseModel):
    """What the alerts of one measure that were opened in the window meant for its parties (CPP R24-22).
    ``hours``: raisings by the hour of the day in ``time_zone``. ``authorised``, ``explained``: alerts that rang
    nobody, because the order allows it, or one incident of many units explains it."""

    measure: str
    since: schemas.Time
    until: schemas.Time
    alert_distance_m: int
    days_in_force: float
    alerts: int
    raisings: int
    authorised: int
    explained: int
    by_code: list[BurdenOfCode]
    who_approached: WhoApproached
    time_zone: str
    hours: list[int]


@router.get(
    "/reports/alarm-kpis",
    summary="Rate alarms against what operators can read",
    dependencies=[Depends(requires(Permission.SEE_REPORTS))],
    responses=problems("invalid-request", "bad-window", "record-unavailable"),
)
async def alarm_kpis(
    deps: TheDeps,
    since: Since = None,
    until: Until = None,
    operators: Annotated[
        int | None, Query(ge=1, le=OPERATORS_MAX, description="At the desk; TOCSIN_OPERATORS without.")
    ] = None,
) -> AlarmKpisReply:
    """Rates per operator and ten minutes, floods, stale and chattering alarms, the ten worst (ISA-18.2)."""
    from_ms, to_ms = window(deps, since, until)
    figures, desk = deps.figures, operators or deps.settings.operators
    counted = await figures.alarms_by_slot(from_ms, to_ms, slot_s=alarm_rates.SLOT_S)
    found = alarm_rates.rates(counted, from_ms=from_ms, to_ms=to_ms, operators=desk)
    stale = await figures.standing(from_ms, to_ms, stands_s=load.STALE_S)
    loaded = await deps.alarm_load.between(from_ms, to_ms)
    raisings = sum(one.raisings for one in loaded.counted)
    return AlarmKpisReply(
        since=rfc3339(from_ms),
        until=rfc3339(to_ms),
        operators=desk,
        slots=found.slots,
        alarms=found.alarms,
        by_priority=dict(found.by_priority),
        rate_mean=round(found.mean, 4),
        rate_worst=round(found.worst, 4),
        over_share=round(found.over, 6),
        flood_s=found.flood_s,
        floods=[_flood(one) for one in found.floods],
        stale=stale,
        chattering=await _chattering(deps, from_ms, to_ms),
        sources=[AlarmSource(**asdict(one)) for one in loaded.sources],
        sources_share=round(sum(one.raisings for one in loaded.sources) / raisings, 4) if raisings else None,
    )


def _flood(one: alarm_rates.Flood) -> FloodReply:
    return FloodReply(since=rfc3339(one.from_ms), until=rfc3339(one.until_ms), alarms=one.alarms)


async def _chattering(deps: Deps, from_ms: int, to_ms: int) -> list[Chattering]:
    repeated = await deps.figures.repeated(from_ms, to_ms, raises=load.CHATTER_RAISES, limit=REPEATED_MAX)
    return [
        Chattering(alert=one.alert, code=one.code, subject=one.subject, raisings=len(one.hours_ms))
        for one in repeated
        if load.chatters(one.hours_ms)
    ]


@router.get(
    "/reports/sla",
    summary="Judge how quick every stage of the alerts was",
    dependencies=[Depends(requires(Permission.SEE_REPORTS))],
    responses=problems("invalid-request", "bad-window", "record-unavailable"),
)
async def service_level(deps: TheDeps, since: Since = None, until: Until = None) -> ServiceLevelsReply:
    """Percentiles by priority and stage, from the fix to the closing, and the bounds that they had to keep."""
    from_ms, to_ms = window(deps, since, until)
    stages = [_stage(one) for one in await deps.figures.stages(from_ms, to_ms, shares=service_levels.SHARES)]
    return ServiceLevelsReply(
        since=rfc3339(from_ms),
        until=rfc3339(to_ms),
        held=all(bound.held for one in stages for bound in one.bounds),
        stages=stages,
        slowest=[SlowAlert(**asdict(one)) for one in await deps.figures.slowest(from_ms, to_ms)],
    )


def _stage(one: Stage) -> StageReply:
    broken = dict(service_levels.broken(one.priority, one.stage, one.measured))
    return StageReply(
        priority=one.priority,
        stage=one.stage,
        alerts=one.alerts,
        measured_ms={str(share): ms for share, ms in one.measured.items()},
        bounds=[
            Bound(share=share, limit_ms=limit, measured_ms=one.measured[share], held=share not in broken)
            for share, limit in service_levels.BOUNDS.get((one.priority, one.stage), ())
        ],
    )


@router.get(
    "/measures/{measure_id}/burden",
    summary="Show what a measure costs its parties, and who came near",
    responses=problems(
        "unknown-measure", "invalid-request", "bad-window", "too-many-alerts", "record-unavailable",
        "log-unavailable",
    ),
)  # fmt: skip
async def burden_of_measure(
    measure_id: MeasureId,
    deps: TheDeps,
    reader: Annotated[Reader, Depends(reads(Permission.SEE_REPORTS))],
    since: Since = None,
    until: Until = None,
) -> BurdenReply:
    """For a court that is asked to revise the distances (CPP R24-22). At most a year, and 10,000 alerts."""
    from_ms, to_ms = window(deps, since, until)
    try:
        order = (await deps.orders.measure(measure_id)).order
    except NotFound:
        raise Refusal("unknown-measure") from None
    episodes = await _alerts_of(deps, measure_id, from_ms, to_ms)
    shown_her = await deps.figures.shown_her(measure_id, from_ms, to_ms)
    reader.saw("burden", [measure_id])
    in_force_ms = max(0, min(to_ms, order.valid_until_ms) - max(from_ms, order.valid_from_ms))
    return _burden_reply(
        burden(episodes, shown_her, time_zone(PARIS)),
        measure=measure_id,
        since=rfc3339(from_ms),
        until=rfc3339(to_ms),
        alert_distance_m=order.alert_distance_m,
        days_in_force=round(in_force_ms / load.DAY_MS, 3),
    )


async def _alerts_of(deps: Deps, measure: str, from_ms: int, to_ms: int) -> list[Episode]:
    found: list[Episode] = []
    cursor: str | None = None
    while True:
        page = await deps.episodes.episodes(from_ms, to_ms, measure=measure, cursor=cursor, limit=PAGE)
        found.extend(page.items)
        cursor = page.next
        if cursor is None:
            return found
        if len(found) >= BURDEN_ALERTS_MAX:
            raise Refusal("too-many-alerts", f"more than {BURDEN_ALERTS_MAX} in this time: ask for less of it")


def _burden_reply(
    found: Burden, *, measure: str, since: str, until: str, alert_distance_m: int, days_in_force: float
) -> BurdenReply:
    who = found.approach
    return BurdenReply(
        measure=measure,
        since=since,
        until=until,
        alert_distance_m=alert_distance_m,
        days_in_force=days_in_force,
        alerts=found.alerts,
        raisings=found.raisings,
        authorised=found.authorised,
        explained=found.explained,
        by_code=[
            BurdenOfCode(
                code=one.code,
                alerts=one.alerts,
                raisings=one.raisings,
                unfounded=one.unfounded,
                rang_her=one.rang_her,
                called_him=one.called_him,
                lasted_s=one.lasted_ms // 1000,
            )
            for one in found.by_code
        ],
        who_approached=WhoApproached(
            known=who.known,
            unknown=who.unknown,
            wearer_m=who.wearer_dm // 10,
            protected_m=who.protected_dm // 10,
            wearer_share_pct=who.share_pct,
            mostly_wearer=who.mostly_wearer,
            mostly_protected=who.mostly_protected,
        ),
        time_zone=PARIS,
        hours=list(found.hours),
    )
