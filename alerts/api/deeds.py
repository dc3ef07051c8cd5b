"""What did the operator do about this alert, and to whom does he give it?

Actions, hand-overs and hand-offs to the police. Each is said once under an Idempotency-Key (``alerts.api.keys``),
on what he saw (``If-Match``), and renews his acknowledgement: who works on an alert does not lose it. The answer
tells of the act alone, so that its repetition has the same one, whatever became of the alert since; the ETag
beside it is that of the alert as it is now, for the next act.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Response

from alerts.api import schemas, views
from alerts.api.access import acts
from alerts.api.acts import COMMON, IfMatch, Said, act
from alerts.api.alerts import AlertId, TheDeps
from alerts.api.deps import Deps
from alerts.api.keys import KeyedAct, checked_act_key, repeated
from alerts.api.once import IdempotencyKey
from alerts.api.openapi import WITH_BODY, problems
from alerts.api.problems import Refusal
from alerts.api.roles import Caller
from tocsin.clock import MS, from_rfc3339, rfc3339
from tocsin.limits import ACT_AHEAD_MAX_S
from tocsin.model.episode import Deed, Verb

router = APIRouter(tags=["alerts"])

_PROBLEMS: Final = problems(
    "not-owner", "not-acknowledged", "idempotency-key-missing", "idempotency-key-reused", *COMMON, *WITH_BODY
)


@router.post("/alerts/{alert_id}/actions", summary="Say what you did about an alert", responses=_PROBLEMS)
async def add_action(
    alert_id: AlertId,
    body: schemas.ActionRequest,
    actor: Annotated[Caller, Depends(acts(Verb.DO))],
    deps: TheDeps,
    response: Response,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> schemas.ActReply:
    """A call, an order, a message, a note; that nobody speaks on the line; that the police are not needed."""
    keyed = checked_act_key(actor, idempotency_key, body)
    said = Said(verb=Verb.DO, deed=_deed(body, deps.clock.now_ms()), note=body.note)
    return await _said_once(deps, actor, alert_id, if_match, said, keyed, response)


@router.post("/alerts/{alert_id}/handovers", summary="Hand an alert over to a colleague", responses=_PROBLEMS)
async def hand_over(
    alert_id: AlertId,
    body: schemas.HandoverRequest,
    actor: Annotated[Caller, Depends(acts(Verb.HAND_OVER))],
    deps: TheDeps,
    response: Response,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> schemas.ActReply:
    """Only its owner, to one named human, who has it from then on: his acknowledgement expires like any other."""
    keyed = checked_act_key(actor, idempotency_key, body)
    said = Said(verb=Verb.HAND_OVER, to=body.to, note=body.note)
    return await _said_once(deps, actor, alert_id, if_match, said, keyed, response)


@router.post(
    "/alerts/{alert_id}/handoffs",
    summary="Hand an alert off to the police",
    status_code=HTTPStatus.ACCEPTED,
    responses=_PROBLEMS,
)
async def hand_off(
    alert_id: AlertId,
    body: schemas.HandoffRequest,
    actor: Annotated[Caller, Depends(acts(Verb.HAND_OFF))],
    deps: TheDeps,
    response: Response,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> schemas.ActReply:
    """As verified by you. The rooms are told from here on; each attempt is in the timeline."""
    keyed = checked_act_key(actor, idempotency_key, body)
    said = Said(verb=Verb.HAND_OFF, rooms=tuple(dict.fromkeys(body.rooms)), note=body.note)
    return await _said_once(deps, actor, alert_id, if_match, said, keyed, response)


async def _said_once(
    deps: Deps,
    actor: Caller,
    alert_id: str,
    if_match: str | None,
    said: Said,
    keyed: KeyedAct,
    response: Response,
) -> schemas.ActReply:
    """A function of what is kept of the act, and of nothing that may have changed since."""
    episode = await act(deps, actor, alert_id, if_match, said, keyed)
    applied = repeated(episode, keyed)
    assert applied is not None, "what was applied is remembered"
    response.headers["ETag"] = views.etag(episode.version)
    return schemas.ActReply(
        alert=episode.id,
        verb=said.verb,
        by=actor.name,
        service=actor.service or None,
        at=rfc3339(applied.at_ms),
    )


def _deed(body: schemas.ActionRequest, now_ms: int) -> Deed:
    """Raises Refusal (422) for what is still to come."""
    at_ms = now_ms if body.started_at is None else from_rfc3339(body.started_at)
    until_ms = None if body.ended_at is None else from_rfc3339(body.ended_at)
    hours = {"/started_at": at_ms, "/ended_at": until_ms}
    late = [name for name, ms in hours.items() if ms is not None and ms > now_ms + ACT_AHEAD_MAX_S * MS]
    if late:
        detail = f"at most {ACT_AHEAD_MAX_S} s ahead of our clock"
        errors = [{"pointer": name, "code": "in-the-future", "detail": detail} for name in late]
        raise Refusal("invalid-request", errors=errors)
    return Deed(kind=body.kind, at_ms=at_ms, until_ms=until_ms, party=body.party, reply=body.outcome)
