"""Which units may speak, how does one get its password, and how is it silenced?

A password is made here, shown once in the reply that makes it, and kept as a bcrypt hash only: neither the table
of devices nor the reply kept for repetition holds it. A repeated request to make a device therefore gets the same
device and ``"password": null``; who lost the first reply asks for another password, which ends the one before.

Revoking needs no ``If-Match``: there is one thing to change, it goes one way only, and doing it twice is doing it
once. What must not be overlooked, a measure that needs the device, is looked at in the same transaction.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Response

from alerts.api import schemas, views
from alerts.api.access import requires
from alerts.api.alerts import ID_PATTERN, LIST_MAX, Cursor, Limit, TheDeps
from alerts.api.deps import OrderBook
from alerts.api.once import IdempotencyKey, checked_key, created, once
from alerts.api.openapi import creation, problems
from alerts.api.problems import Refusal
from alerts.api.roles import Caller, Permission
from tocsin.adapters.orders import DeviceInUse, NotFound, Reply
from tocsin.model.canary import PREFIX, is_reserved
from tocsin.model.device import Traits

PASSWORD_BYTES: Final = 20

router = APIRouter(tags=["devices"])

Reader = Depends(requires(Permission.SEE_DEVICES))
Workshop = Annotated[Caller, Depends(requires(Permission.MAKE_DEVICES))]
DeviceId = Annotated[str, Path(pattern=ID_PATTERN, examples=["b0000001"])]


@router.get(
    "/devices",
    summary="List devices",
    dependencies=[Reader],
    responses=problems("bad-cursor", "invalid-request", "record-unavailable"),
)
async def list_devices(deps: TheDeps, limit: Limit = LIST_MAX, cursor: Cursor = None) -> schemas.Devices:
    """In the order in which they were made."""
    page = await deps.orders.devices(deps.clock.now_ms(), cursor=cursor, limit=limit)
    return schemas.Devices(items=[views.device(each) for each in page.items], next=page.next)


@router.post(
    "/devices",
    summary="Make a device and its MQTT password",
    status_code=201,
    response_class=Response,
    responses=creation(schemas.NewDevice, "Made; the password is shown this once."),
)
async def create_device(
    body: schemas.DeviceRequest, caller: Workshop, deps: TheDeps, idempotency_key: IdempotencyKey = None
) -> Response:
    """The password is shown once: a repeated request gets null in its place."""
    refuse_reserved({"/id": body.id})
    key, now_ms = checked_key(idempotency_key), deps.clock.now_ms()
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    made_now = False

    async def work(orders: OrderBook) -> Reply:
        nonlocal made_now
        made = await orders.create_device(
            body.id, body.kind, deps.hash_password(password), now_ms,
            reports_every_s=body.reports_every_s, traits=Traits(**body.traits()),
        )  # fmt: skip
        made_now = True
        return Reply(status=201, body=_reply(views.device(made), None))

    reply = await once(deps, caller, key, body, work)
    device = schemas.DeviceReply.model_validate_json(reply.body)
    return created("devices", device.id, reply.status, _reply(device, password) if made_now else reply.body)


def refuse_reserved(named: Mapping[str, str]) -> None:
    """By the pointer to each name. Raises Refusal (422): a canary's name makes whoever has it invented, and alerts
    about her are told to no human."""
    errors = [
        {
            "pointer": pointer,
            "code": "reserved-name",
            "detail": f"{PREFIX}… is for the system's own invented pairs",
        }
        for pointer, name in named.items()
        if is_reserved(name)
    ]
    if errors:
        raise Refusal("invalid-request", errors=errors)


def _reply(device: schemas.DeviceReply, password: str | None) -> bytes:
    return schemas.NewDevice(**device.model_dump(), password=password).model_dump_json().encode()


@router.get(
    "/devices/{device_id}",
    summary="Look at one device",
    dependencies=[Reader],
    responses=problems("unknown-device", "invalid-request", "record-unavailable"),
)
async def get_device(device_id: DeviceId, deps: TheDeps) -> schemas.DeviceReply:
    """Its kind, how often it reports where nobody tells it, and the measures that name it."""
    try:
        return views.device(await deps.orders.device(device_id, deps.clock.now_ms()))
    except NotFound:
        raise Refusal("unknown-device") from None


@router.delete(
    "/devices/{device_id}",
    summary="Revoke a device",
    responses=problems("unknown-device", "device-in-use", "invalid-request", "record-unavailable"),
)
async def revoke_device(device_id: DeviceId, caller: Workshop, deps: TheDeps) -> schemas.DeviceReply:
    """Its login and its connection end within seconds. The record keeps it; its id is never given again."""
    try:
        revoked = await deps.orders.revoke_device(device_id, by=caller.name, now_ms=deps.clock.now_ms())
    except NotFound:
        raise Refusal("unknown-device") from None
    except DeviceInUse as error:
        detail = f"end these measures first: {', '.join(error.measures)}"
        raise Refusal("device-in-use", detail, members={"measures": list(error.measures)}) from None
    return views.device(revoked)


@router.post(
    "/devices/{device_id}/password",
    summary="Give a device another password",
    responses=problems("unknown-device", "device-revoked", "invalid-request", "record-unavailable"),
)
async def renew_password(device_id: DeviceId, _caller: Workshop, deps: TheDeps) -> schemas.NewDevice:
    """Shown this once; the one before ends within seconds. Each request makes another: repeat it if a reply was
    lost."""
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    try:
        renewed = await deps.orders.renew_device(device_id, deps.hash_password(password), deps.clock.now_ms())
    except NotFound:
        raise Refusal("unknown-device") from None
    return schemas.NewDevice(**views.device(renewed).model_dump(), password=password)
