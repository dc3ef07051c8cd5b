"""Does this process live, can it do its work, and what has it counted?

Liveness tests no dependency. Ready means: alerts are served and can be acted upon. The record is reported and not
needed: with the database down, alerts go on.
"""

from __future__ import annotations

import asyncio
import os
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from alerts.api import schemas
from alerts.api.alerts import TheDeps
from alerts.api.deps import Deps
from alerts.api.projection import log_answers
from tocsin import telemetry
from tocsin.errors import RecordUnavailable

RECORD_ANSWERS_S: Final = 2.5

router = APIRouter(tags=["health"])


@router.get("/livez", summary="Does the process live?")
@router.get("/healthz", summary="Does the process live?", include_in_schema=False)
async def livez() -> dict[str, str]:
    """The loop turns, or this would not be read."""
    return {"status": "alive"}


@router.get(
    "/readyz",
    summary="Can the process do its work?",
    responses={503: {"model": schemas.Readiness, "description": "It cannot, or it is about to end."}},
)
async def readyz(deps: TheDeps, response: Response) -> schemas.Readiness:
    """``degraded``: ready for alerts, without the record or without knowing how the measures are protected."""
    log_ok, record = await asyncio.gather(log_answers(deps.log), _record(deps))
    projection = deps.projection
    unreadable = f"{projection.unreadable} unreadable rulings" if projection.unreadable else ""
    checks = [
        schemas.Check(name="log", ok=log_ok, needed=True),
        schemas.Check(name="projection", ok=projection.ready.is_set(), needed=True, detail=unreadable),
        _protection(deps),
        record,
    ]
    ready = not projection.draining and all(check.ok for check in checks if check.needed)
    degraded = not all(check.ok for check in checks if not check.needed)
    response.status_code = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
    return schemas.Readiness(ready=ready, draining=projection.draining, degraded=degraded, checks=checks)


def _protection(deps: Deps) -> schemas.Check:
    """Reported, not needed: who cannot see how well a pair is protected can still take its alerts."""
    unreadable = deps.standings.unreadable
    detail = f"{unreadable} unreadable standings" if unreadable else ""
    return schemas.Check(name="protection", ok=deps.standings.ready.is_set(), needed=False, detail=detail)


async def _record(deps: Deps) -> schemas.Check:
    try:
        async with asyncio.timeout(RECORD_ANSWERS_S):
            await deps.orders.measures(limit=1)
    except (RecordUnavailable, TimeoutError):
        detail = "open alerts are served and acted upon without it"
        return schemas.Check(name="record", ok=False, needed=False, detail=detail)
    return schemas.Check(name="record", ok=True, needed=False)


@router.get("/metrics", summary="What was counted", response_class=Response, include_in_schema=False)
async def metrics() -> Response:
    """Of every process of this machine where they share a directory, else of this one."""
    shared = "PROMETHEUS_MULTIPROC_DIR" in os.environ
    registry = telemetry.all_processes() if shared else REGISTRY
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
