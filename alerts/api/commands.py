"""What is a unit asked to do by a human, and what came of it?

An order is put on the log, and needs no database: the downlink looks whether the unit is there and whether this
may be said to it now (``alerts.channels.device``), and says why not. 202 means that it waits there; the place in
``Location`` says how far it has come.

Idempotent by the log: an order is named after its unit, who gave it and his ``Idempotency-Key``, and what is first
written of it is what was asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self

from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from alerts.api import schemas
from alerts.api.access import requires
from alerts.api.alerts import TheDeps
from alerts.api.deps import Deps
from alerts.api.devices import DeviceId
from alerts.api.once import IdempotencyKey, checked_key
from alerts.api.openapi import WITH_BODY, Responses, problems
from alerts.api.problems import Refusal
from alerts.api.roles import Caller, Permission, Role
from alerts.results import ANSWER_GRACE_MS, known_of
from tocsin import subjects
from tocsin.clock import MS, rfc3339
from tocsin.model.command import ENDS, Action, Command, CommandStatus, Sentence, Stage, furthest
from tocsin.model.ids import derived
from tocsin.wire import encode

LIVES_MS: Final[Mapping[Action, int]] = {
    Action.REPORT_LOCATION: 20 * MS,  # a place that is older answers nobody's question
    Action.SAY: 60 * MS,
    Action.RING: 60 * MS,
}
WORKSHOP: Final = frozenset({Action.REPORT_LOCATION})
"""Who keeps the units running asks where one is, and speaks to nobody through it."""

router = APIRouter(tags=["devices"])

Orderer = Annotated[Caller, Depends(requires(Permission.ORDER_UNITS))]
CommandId = Annotated[str, Path(pattern="^cmd_[0-9a-f]{32}$", examples=["cmd_0f0e87bbd7ad8ff6b2b6e5f8c1d2a3b4"])]


class CommandRequest(BaseModel):
    """``sentence`` belongs to ``say``."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["reportLocation", "say", "ring"]
    sentence: Annotated[Sentence | None, Field(description="Of the closed list; for `say`.")] = None

    @model_validator(mode="after")
    def _has_its_argument(self) -> Self:
        if (self.sentence is not None) is not (self.action == Action.SAY.value):
            raise ValueError("sentence belongs to say, and say needs one")
        return self


class CommandReply(BaseModel):
    """How far an order has come. ``reason`` is the word of whoever spoke last: of the unit (`done`, `rejected` …)
    or of Tocsin (`refused`: not to be said to this unit in its state; `no_device`, `unanswered` …)."""

    id: str
    device: str
    action: str | None
    sentence: Sentence | None
    by: str | None
    state: Stage
    reason: str
    at: schemas.Time
    expires_at: schemas.Time | None


def _accepted() -> Responses:
    return {
        202: {"model": CommandReply, "description": "It waits on the log; `Location` says what comes of it."},
        **problems(
            "idempotency-key-missing", "idempotency-key-reused", "invalid-request", "log-unavailable", *WITH_BODY
        ),
    }


@router.post(
    "/devices/{device_id}/commands",
    summary="Order a unit to do something",
    status_code=202,
    response_class=Response,
    responses=_accepted(),
)
async def give_command(
    device_id: DeviceId, body: CommandRequest, caller: Orderer, deps: TheDeps,
    idempotency_key: IdempotencyKey = None,
) -> Response:  # fmt: skip
    """To report its position now, to say a sentence of the closed list, to ring. A wearer's unit says a sentence
    only in the state that it belongs to, and never rings."""
    action = Action(body.action)
    _check_role(caller.role, action)
    name = derived("cmd", device_id, "operator", caller.name, checked_key(idempotency_key))
    asked = hashlib.sha256(body.model_dump_json().encode()).hexdigest()
    queued = await _queued(deps, device_id, name)
    if queued is None:
        now_ms = deps.clock.now_ms()
        queued = CommandStatus(
            command=name, device=device_id, stage=Stage.QUEUED, at_ms=now_ms, reason="queued", action=action,
            expires_ms=now_ms + LIVES_MS[action], by=caller.name, sentence=body.sentence, fingerprint=asked,
        )  # fmt: skip
        place = subjects.result(device_id, name, subjects.QUEUED_BY)
        await deps.log.append(place, encode(queued), dedupe_id=f"{name}.queued")
    elif queued.fingerprint != asked:
        raise Refusal("idempotency-key-reused")
    order = _order(queued)
    await deps.log.append(
        subjects.operators_command(device_id, action.value), encode(order), dedupe_id=f"{name}.{subjects.OPERATOR}"
    )
    where = {"Location": f"/api/v1/devices/{device_id}/commands/{name}"}
    return Response(_reply([queued], 0).model_dump_json(), 202, where, media_type="application/json")


@router.get(
    "/devices/{device_id}/commands/{command_id}",
    summary="What came of an order to a unit",
    responses=problems("unknown-command", "invalid-request", "log-unavailable"),
)
async def get_command(device_id: DeviceId, command_id: CommandId, _caller: Orderer, deps: TheDeps) -> CommandReply:
    """Of any order of the last days, the geofence's too."""
    known = await known_of(deps.log, device_id, command_id)
    if not known:
        raise Refusal("unknown-command")
    return _reply(known, deps.clock.now_ms())


def _check_role(role: Role, action: Action) -> None:
    if role == "technical" and action not in WORKSHOP:
        raise Refusal("forbidden", f"the role {role} may not order {action.value}")


async def _queued(deps: Deps, device: str, name: str) -> CommandStatus | None:
    return next((one for one in await known_of(deps.log, device, name) if one.stage is Stage.QUEUED), None)


def _order(queued: CommandStatus) -> Command:
    """As it was first asked: what is repeated is no second order, and lives no longer."""
    assert queued.action is not None
    assert queued.expires_ms is not None
    return Command(
        id=queued.command, device=queued.device, action=queued.action, at_ms=queued.at_ms,
        expires_ms=queued.expires_ms, sentence=queued.sentence, by=queued.by,
    )  # fmt: skip


def _reply(known: list[CommandStatus], now_ms: int) -> CommandReply:
    newest = furthest(known)
    assert newest is not None
    about = next((one for one in known if one.action is not None), newest)
    state, reason, at_ms = newest.stage, newest.reason, newest.at_ms
    if state not in ENDS and about.expires_ms is not None and now_ms > about.expires_ms + ANSWER_GRACE_MS:
        state, reason, at_ms = Stage.EXPIRED, "unanswered", about.expires_ms
    return CommandReply(
        id=about.command, device=about.device, action=about.action, sentence=about.sentence, by=about.by or None,
        state=state, reason=reason, at=rfc3339(at_ms),
        expires_at=None if about.expires_ms is None else rfc3339(about.expires_ms),
    )  # fmt: skip
