"""May this human do that to this alert, now?

Taking, releasing, closing: the desk decides, through the same ledger as the dispatcher, and needs neither the
database nor another process. ``If-Match`` says what he saw. What is not one of our tags (``*``, a weak one, a
list) matches nothing: an act is on what was seen.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Response

from alerts import desk
from alerts.api import schemas, views
from alerts.api.access import Caller, Permission, requires
from alerts.api.alerts import AlertId, TheDeps, find
from alerts.api.deps import Deps
from alerts.api.openapi import WITH_BODY, problems
from alerts.api.problems import Refusal
from tocsin.model.episode import Act, Episode, Outcome, Verb

TAG: Final = re.compile(r'"(\d{1,9})"')
NOT_SEEN: Final = 0  # versions begin at 1

router = APIRouter(tags=["alerts"])

Actor = Annotated[Caller, Depends(requires(Permission.ACT_ON_ALERTS))]
IfMatch = Annotated[str | None, Header(description="The ETag of what you saw. 428 without.", examples=['"3"'])]
_COMMON: Final = (
    "unknown-alert", "already-closed", "stale-version", "precondition-required", "etag-not-quoted",
    "invalid-request", "not-ready", "log-unavailable", "record-unavailable",
)  # fmt: skip


@router.put(
    "/alerts/{alert_id}/acknowledgement",
    summary="Take an alert into your hands",
    responses=problems("already-owned", *_COMMON, *WITH_BODY),
)
async def acknowledge(
    alert_id: AlertId,
    body: schemas.AcknowledgementRequest,
    actor: Actor,
    deps: TheDeps,
    response: Response,
    if_match: IfMatch = None,
) -> schemas.Acknowledgement:
    """It is yours for 120 s, or until you release or close it. Repeating it changes nothing."""
    episode = await _act(deps, actor, alert_id, if_match, Verb.ACKNOWLEDGE, note=f"job: {body.job}")
    response.headers["ETag"] = views.etag(episode.version)
    taken_at, expires_at = (
        views.time_of(episode.acknowledged_ms),
        views.time_of(episode.acknowledgement_expires_ms),
    )
    assert episode.owner is not None
    assert taken_at is not None
    assert expires_at is not None
    return schemas.Acknowledgement(by=episode.owner, at=taken_at, expires_at=expires_at, version=episode.version)


@router.delete(
    "/alerts/{alert_id}/acknowledgement",
    summary="Give an alert back",
    responses=problems("not-owner", "not-acknowledged", *_COMMON),
)
async def release(
    alert_id: AlertId, actor: Actor, deps: TheDeps, response: Response, if_match: IfMatch = None
) -> schemas.Alert:
    """Only its owner; it is then for everybody to take."""
    episode = await _act(deps, actor, alert_id, if_match, Verb.RELEASE)
    response.headers["ETag"] = views.etag(episode.version)
    return views.alert(episode)


@router.post(
    "/alerts/{alert_id}/closure",
    summary="Close an alert with its outcome",
    responses=problems(
        "not-owner", "not-acknowledged", "outcome-missing", "inspection-missing", *_COMMON, *WITH_BODY
    ),
)
async def close(
    alert_id: AlertId,
    body: schemas.ClosureRequest,
    actor: Actor,
    deps: TheDeps,
    response: Response,
    if_match: IfMatch = None,
) -> schemas.Alert:
    """Only its owner, after taking it; a latched one only with ``inspected``. What comes later is a new alert."""
    episode = await _act(
        deps, actor, alert_id, if_match, Verb.CLOSE, outcome=body.outcome, note=body.note, inspected=body.inspected
    )
    response.headers["ETag"] = views.etag(episode.version)
    return views.alert(episode)


def version_seen(if_match: str | None) -> int:
    """Raises Refusal: 428 without the header, 400 for a bare number, which nobody can mean otherwise."""
    if if_match is None:
        raise Refusal("precondition-required")
    if if_match.strip().isdecimal():
        raise Refusal("etag-not-quoted")
    tag = TAG.fullmatch(if_match.strip())
    return int(tag[1]) if tag else NOT_SEEN


async def _act(
    deps: Deps, actor: Caller, alert_id: str, if_match: str | None, verb: Verb,
    *, outcome: Outcome | None = None, note: str = "", inspected: bool = False,
) -> Episode:  # fmt: skip
    """The alert after the act. Raises Refusal, LogUnavailable, and RecordUnavailable for what is not open."""
    version = version_seen(if_match)
    seen = await find(deps, alert_id)
    if not seen.is_open:
        raise refusal(desk.Objection.CLOSED, seen)
    act = Act(
        verb=verb,
        episode=alert_id,
        actor=actor.name,
        at_ms=deps.clock.now_ms(),
        expected_version=version,
        outcome=outcome,
        note=note,
        inspected=inspected,
    )
    answer = await deps.ledger.rule(seen.code.value, seen.subject, act)
    if answer.episode is not None and answer.episode.id != alert_id:
        raise refusal(desk.Objection.CLOSED, seen)  # closed meanwhile, and another one is in its place
    if isinstance(answer, desk.Refused):
        raise refusal(answer.objection, answer.episode)
    assert answer.episode is not None
    return answer.episode


def refusal(objection: desk.Objection, episode: Episode | None) -> Refusal:
    """The problem of the desk's word, with what the actor should have seen."""
    if episode is None:
        return Refusal(objection.value)
    tag = views.etag(episode.version)
    members: dict[str, Any] = {
        "etag": tag,
        "state": episode.state.value,
        "owner": episode.owner,
        "expires_at": views.time_of(episode.acknowledgement_expires_ms),
    }
    detail = f"taken by {episode.owner}" if objection is desk.Objection.ALREADY_OWNED else ""
    return Refusal(objection.value, detail, headers={"ETag": tag}, members=members)
