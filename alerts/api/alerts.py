"""Which alerts are there, and what happened to this one?

Open alerts come from the projection and need no database; closed ones and timelines come from the record, and are
refused with 503 while it is down.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Query, Response

from alerts.api import schemas, views
from alerts.api.deps import Deps, deps_of
from alerts.api.openapi import problems
from alerts.api.problems import Refusal
from alerts.api.projection import Projected
from alerts.api.reader import Reader, reads, reads_a_list
from alerts.api.roles import Permission
from tocsin.adapters.postgres import BadCursor
from tocsin.clock import MS, from_rfc3339
from tocsin.model.episode import Episode, State
from tocsin.model.finding import Code

LIST_MAX: Final = 200
DAY_MS: Final = 86_400 * MS
ID_PATTERN: Final = r"^[A-Za-z0-9_-]{1,64}$"

router = APIRouter(tags=["alerts"])

TheDeps = Annotated[Deps, Depends(deps_of)]
AlertId = Annotated[str, Path(pattern=ID_PATTERN, examples=["alr_0b8f1f6c3d2e8a4f9c7b6a5d4e3f2a1b"])]
Limit = Annotated[int, Query(ge=1, le=LIST_MAX)]
Cursor = Annotated[
    str | None, Query(max_length=200, pattern=r"^[!-~]+$", description="`next` of the page before.")
]


@router.get(
    "/alerts",
    summary="List alerts, the most urgent first",
    responses=problems("bad-cursor", "invalid-request", "record-unavailable", "not-ready"),
)
async def list_alerts(  # noqa: PLR0917  (one parameter of the query each)
    deps: TheDeps,
    reader: Annotated[Reader, Depends(reads_a_list)],
    open: Annotated[bool, Query(description="true: from the log; false: closed ones, from the record.")] = True,  # noqa: A002
    priority: Annotated[int | None, Query(ge=1, le=5)] = None,
    code: Code | None = None,
    measure: Annotated[str | None, Query(pattern=ID_PATTERN)] = None,
    since: Annotated[
        schemas.TimeIn | None, Query(alias="from", description="Closed ones: opened from here.")
    ] = None,
    until: Annotated[schemas.TimeIn | None, Query(alias="to", description="Closed ones: opened before.")] = None,
    canary: bool = False,
    limit: Limit = LIST_MAX,
    cursor: Cursor = None,
) -> schemas.Alerts:
    """Open alerts: untaken first, then priority, IMMINENT first within it, then age. Closed ones: newest first.

    A page of closed alerts filtered by priority may hold fewer than ``limit`` while ``next`` continues.
    """

    def wanted(episode: Episode) -> bool:
        return (
            priority in {None, episode.priority}
            and code in {None, episode.code}
            and (measure is None or measure in episode.measures)
        )

    if not open:
        from_ms = 0 if since is None else from_rfc3339(since)
        to_ms = deps.clock.now_ms() + DAY_MS if until is None else from_rfc3339(until)
        page = await deps.episodes.episodes(
            from_ms, to_ms, state=State.CLOSED, code=code, measure=measure, canary=canary, cursor=cursor,
            limit=limit,
        )  # fmt: skip
        items = [views.alert(episode) for episode in page.items if wanted(episode)]
        reader.saw("alerts", [item.id for item in items])
        return schemas.Alerts(items=items, next=page.next, cursor=str(deps.projection.sequence))
    if not deps.projection.ready.is_set():
        raise Refusal("not-ready")
    now_ms = deps.clock.now_ms()
    known = deps.projection.open_canaries(now_ms) if canary else deps.projection.open_episodes(now_ms)
    found = [each.episode for each in known if wanted(each.episode)]
    shown, following = _page(found, cursor, limit, now_ms)
    items = [views.alert(episode) for episode in shown]
    reader.saw("alerts", [item.id for item in items])
    return schemas.Alerts(items=items, next=following, cursor=str(deps.projection.sequence))


def _page(found: list[Episode], cursor: str | None, limit: int, now_ms: int) -> tuple[list[Episode], str | None]:
    """``limit`` episodes behind ``cursor``, and the cursor of what follows.

    An alert may change its rank between two pages; the live feed from the first page's cursor tells of it.
    """
    if cursor is not None:
        behind = _urgency_of(cursor)
        found = [episode for episode in found if views.urgency(episode, now_ms) > behind]
    shown = found[:limit]
    if len(found) <= limit:
        return shown, None
    return shown, "~".join(map(str, views.urgency(shown[-1], now_ms)))


def _urgency_of(cursor: str) -> views.Urgency:
    taken, priority, waits, opened_ms, episode_id = (*cursor.split("~", 4), *[""] * 5)[:5]
    numbers = (taken, priority, waits, opened_ms)
    if not (episode_id and all(number.isascii() and number.isdigit() for number in numbers)):
        raise BadCursor(cursor)
    return int(taken), int(priority), int(waits), int(opened_ms), episode_id


@router.get(
    "/alerts/{alert_id}",
    summary="Look at one alert",
    responses=problems("unknown-alert", "invalid-request", "record-unavailable", "not-ready"),
)
async def get_alert(
    alert_id: AlertId,
    deps: TheDeps,
    reader: Annotated[Reader, Depends(reads(Permission.SEE_ALERT))],
    response: Response,
) -> schemas.Alert:
    """From the log if it is open or closed lately, else from the record. The ETag is its version."""
    episode = await find(deps, alert_id)
    reader.saw("alert", [alert_id])
    response.headers["ETag"] = views.etag(episode.version)
    return views.alert(episode)


@router.get(
    "/alerts/{alert_id}/timeline",
    summary="Read what happened to one alert",
    responses=problems("unknown-alert", "invalid-request", "record-unavailable"),
)
async def get_timeline(
    alert_id: AlertId, deps: TheDeps, reader: Annotated[Reader, Depends(reads(Permission.SEE_TIMELINE))]
) -> schemas.TimelineReply:
    """Findings, presses, acts and each attempt to notify, as recorded so far."""
    recorded = await deps.episodes.timeline(alert_id)
    if not recorded.rulings:
        await find(deps, alert_id)
    reader.saw("timeline", [alert_id])
    return views.timeline(alert_id, recorded)


async def find(deps: Deps, alert_id: str) -> Episode:
    """The alert of this id. Raises Refusal (404; 503 while the log is being read), RecordUnavailable."""
    projected: Projected | None = deps.projection.find(alert_id)
    if projected is not None:
        return projected.episode
    if not deps.projection.ready.is_set():
        raise Refusal("not-ready")
    recorded = await deps.episodes.episode(alert_id)
    if recorded is None:
        raise Refusal("unknown-alert")
    return recorded
