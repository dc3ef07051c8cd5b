"""Which measures are protected, which are not, and who may be at blind risk next?

From the bucket of standings alone: neither the record nor an alert is asked. No reply has a position in it. The
seconds to blind risk are those at the hour of the reply; what is negative is risk now (DOMAIN section 3).
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from alerts.api import schemas, views
from alerts.api.access import requires
from alerts.api.alerts import LIST_MAX, Cursor, Limit, TheDeps
from alerts.api.openapi import problems
from alerts.api.problems import Refusal
from alerts.api.roles import Permission
from alerts.api.standings import Rank, rank
from tocsin.adapters.postgres import BadCursor
from tocsin.clock import rfc3339
from tocsin.model.standing import Protection, Standing

router = APIRouter(tags=["protection"])


@router.get(
    "/protection",
    summary="List how well each measure is protected",
    dependencies=[Depends(requires(Permission.SEE_PROTECTION))],
    responses=problems("bad-cursor", "invalid-request", "not-ready"),
)
async def list_protection(
    deps: TheDeps,
    state: Annotated[list[Protection] | None, Query(description="Only these; may be repeated.")] = None,
    limit: Limit = LIST_MAX,
    cursor: Cursor = None,
) -> schemas.Protections:
    """Who may be at blind risk soonest comes first, then those of whom nobody can say.

    A measure may change its rank between two pages; the first page is the urgent one.
    """
    if not deps.standings.ready.is_set():
        raise Refusal("not-ready")
    now_ms = deps.clock.now_ms()
    shown, following = _page(deps.standings.ranked(state or ()), cursor, limit)
    return schemas.Protections(
        items=[views.protection(one, now_ms) for one in shown],
        next=following,
        counts=schemas.ProtectionCounts(**deps.standings.counts),
        at=rfc3339(now_ms),
    )


def _page(found: list[Standing], cursor: str | None, limit: int) -> tuple[list[Standing], str | None]:
    if cursor is not None:
        behind = _rank_of(cursor)
        found = [one for one in found if rank(one) > behind]
    shown = found[:limit]
    return shown, _cursor_at(shown[-1]) if len(found) > limit else None


def _cursor_at(one: Standing) -> str:
    return f"{'' if one.blind_worst_ms is None else one.blind_worst_ms}~{one.measure}"


def _rank_of(cursor: str) -> Rank:
    blind, _, measure = cursor.partition("~")
    if not measure or (blind and not (blind.isascii() and blind.isdigit())):
        raise BadCursor(cursor)
    return (not blind, int(blind or 0), measure)
