"""May this human do that to this alert, now?

The desk decides, through the same ledger as the dispatcher, and needs neither the database nor another process.
``If-Match`` says what he saw. What is not one of our tags (``*``, a weak one, a list) matches nothing: an act is
on what was seen. Who may do which verb at all is in ``alerts.api.roles``; what a platform does is done by the
human whom it names, and the record has both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Query, Response

from alerts import desk
from alerts.api import schemas, views
from alerts.api.access import acts, checked_verb
from alerts.api.alerts import AlertId, TheDeps, find
from alerts.api.deps import Deps
from alerts.api.keys import KeyedAct, checked_act_key, repeated
from alerts.api.once import IdempotencyKey
from alerts.api.openapi import WITH_BODY, problems
from alerts.api.problems import Refusal
from alerts.api.roles import Caller
from alerts.episodes import place
from tocsin.model.episode import Act, Deed, Episode, Outcome, Verb

TAG: Final = re.compile(r'"(\d{1,9})"')
NOT_SEEN: Final = 0  # versions begin at 1

router = APIRouter(tags=["alerts"])

IfMatch = Annotated[str | None, Header(description="The ETag of what you saw. 428 without.", examples=['"3"'])]
COMMON: Final = (
    "unknown-alert", "already-closed", "stale-version", "precondition-required", "etag-not-quoted",
    "actor-missing", "actor-refused", "invalid-request", "not-ready", "log-unavailable", "record-unavailable",
)  # fmt: skip


@router.put(
    "/alerts/{alert_id}/acknowledgement",
    summary="Take an alert into your hands",
    responses=problems("already-owned", "not-owner", *COMMON, *WITH_BODY),
)
async def acknowledge(
    alert_id: AlertId,
    body: schemas.AcknowledgementRequest,
    actor: Annotated[Caller, Depends(acts(Verb.ACKNOWLEDGE))],
    deps: TheDeps,
    response: Response,
    if_match: IfMatch = None,
) -> schemas.Acknowledgement:
    """It is yours for 120 s from the last thing that you did about it, or until you give it away or close it.
    Repeating it changes nothing. ``take_over``: from whoever has it; a monitor only once it has expired."""
    verb = Verb.TAKE_OVER if body.take_over else Verb.ACKNOWLEDGE
    checked_verb(actor, verb)
    episode = await act(deps, actor, alert_id, if_match, Said(verb=verb, note=body.note))
    return acknowledged(episode, response)


def acknowledged(episode: Episode, response: Response) -> schemas.Acknowledgement:
    """The reply to whoever has it now."""
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
    responses=problems("not-owner", "not-acknowledged", *COMMON),
)
async def release(
    alert_id: AlertId,
    actor: Annotated[Caller, Depends(acts(Verb.RELEASE))],
    deps: TheDeps,
    response: Response,
    reason: Annotated[str, Query(max_length=schemas.NOTE_MAX, pattern=r"^[^\x00]*$")] = "",
    if_match: IfMatch = None,
) -> schemas.Alert:
    """Only its owner; it is then for everybody to take."""
    episode = await act(deps, actor, alert_id, if_match, Said(verb=Verb.RELEASE, note=reason))
    response.headers["ETag"] = views.etag(episode.version)
    return views.alert(episode)


@router.post(
    "/alerts/{alert_id}/closure",
    summary="Close an alert with its outcome",
    responses=problems(
        "not-owner", "not-acknowledged", "outcome-missing", "inspection-missing", "idempotency-key-missing",
        "idempotency-key-reused", *COMMON, *WITH_BODY,
    ),
)  # fmt: skip
async def close(
    alert_id: AlertId,
    body: schemas.ClosureRequest,
    actor: Annotated[Caller, Depends(acts(Verb.CLOSE))],
    deps: TheDeps,
    response: Response,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> schemas.Alert:
    """Only its owner, after taking it; a latched one only with ``inspected``. What comes later is a new alert.

    Without Idempotency-Key a repetition is refused as already-closed, with it the closed alert is the answer."""
    keyed = None if idempotency_key is None else checked_act_key(actor, idempotency_key, body)
    said = Said(verb=Verb.CLOSE, outcome=body.outcome, note=body.note, inspected=body.inspected)
    episode = await act(deps, actor, alert_id, if_match, said, keyed)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What he wants to do; the fields are those of ``Act``."""

    verb: Verb
    note: str = ""
    outcome: Outcome | None = None
    inspected: bool = False
    to: str = ""
    deed: Deed | None = None
    rooms: tuple[str, ...] = ()


async def act(
    deps: Deps, actor: Caller, alert_id: str, if_match: str | None, said: Said, keyed: KeyedAct | None = None
) -> Episode:
    """The alert after the act, or, under the key of one that was applied, as it is now. Raises Refusal,
    LogUnavailable, and RecordUnavailable for what is not open."""
    version = version_seen(if_match)
    seen = await find(deps, alert_id)
    if keyed is not None and repeated(seen, keyed) is not None:
        return seen
    answer = await ruled(deps, actor, seen, version, said, keyed)
    if isinstance(answer, desk.Refused):
        raise refusal(answer.objection, answer.episode)
    assert answer.episode is not None
    return answer.episode


async def ruled(
    deps: Deps, actor: Caller, seen: Episode, version: int, said: Said, keyed: KeyedAct | None = None
) -> desk.Answer:
    """What the desk says. Raises Refusal for an alert that is closed, or has a successor in its place."""
    if not seen.is_open:
        raise refusal(desk.Objection.CLOSED, seen)
    now_ms = deps.clock.now_ms()
    wanted = Act(
        verb=said.verb,
        episode=seen.id,
        actor=actor.name,
        at_ms=now_ms,
        expected_version=version,
        supervises=actor.supervises,
        service=actor.service,
        keyed=None if keyed is None else keyed.applied(now_ms),
        note=said.note,
        outcome=said.outcome,
        inspected=said.inspected,
        to=said.to,
        deed=said.deed,
        rooms=said.rooms,
    )
    answer = await deps.ledger.rule(*place(seen), wanted)
    if answer.episode is not None and answer.episode.id != seen.id:
        raise refusal(desk.Objection.CLOSED, seen)  # closed meanwhile, and another one is in its place
    return answer


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
