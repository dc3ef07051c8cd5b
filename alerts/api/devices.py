"""Which units may speak, and how does a new one get its password?

The password is made here, shown once in the reply that makes the device, and kept as a bcrypt hash only: neither
the table of devices nor the reply kept for repetition holds it. A repeated request therefore gets the same device
and ``"password": null``; who lost the first reply makes another device.
"""

from __future__ import annotations

import secrets
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Response

from alerts.api import schemas, views
from alerts.api.access import Caller, Permission, requires
from alerts.api.alerts import ID_PATTERN, LIST_MAX, Cursor, Limit, TheDeps
from alerts.api.deps import OrderBook
from alerts.api.once import IdempotencyKey, checked_key, created, once
from alerts.api.openapi import WITH_BODY, Responses, problems
from alerts.api.problems import Refusal
from tocsin.adapters.orders import NotFound, Reply

PASSWORD_BYTES: Final = 20

router = APIRouter(tags=["devices"])

Reader = Depends(requires(Permission.SEE_DEVICES))
Workshop = Annotated[Caller, Depends(requires(Permission.MAKE_DEVICES))]
DeviceId = Annotated[str, Path(pattern=ID_PATTERN, examples=["b0000001"])]
_CREATED: Final[Responses] = {
    201: {"model": schemas.NewDevice, "description": "Made; the password is shown this once."}
}


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
    responses={
        **_CREATED,
        **problems(
            "idempotency-key-missing", "idempotency-key-reused", "invalid-request", "order-refused",
            "already-exists", "record-unavailable", *WITH_BODY,
        ),
    },
)  # fmt: skip
async def create_device(
    body: schemas.DeviceRequest, caller: Workshop, deps: TheDeps, idempotency_key: IdempotencyKey = None
) -> Response:
    """The password is shown once: a repeated request gets null in its place."""
    key, now_ms = checked_key(idempotency_key), deps.clock.now_ms()
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    made_now = False

    async def work(orders: OrderBook) -> Reply:
        nonlocal made_now
        made = await orders.create_device(body.id, body.kind, deps.hash_password(password), now_ms)
        made_now = True
        return Reply(status=201, body=_reply(views.device(made), None))

    reply = await once(deps, caller, key, body, work)
    device = schemas.DeviceReply.model_validate_json(reply.body)
    return created("devices", device.id, reply.status, _reply(device, password) if made_now else reply.body)


def _reply(device: schemas.DeviceReply, password: str | None) -> bytes:
    return schemas.NewDevice(**device.model_dump(), password=password).model_dump_json().encode()


@router.get(
    "/devices/{device_id}",
    summary="Look at one device",
    dependencies=[Reader],
    responses=problems("unknown-device", "invalid-request", "record-unavailable"),
)
async def get_device(device_id: DeviceId, deps: TheDeps) -> schemas.DeviceReply:
    """Its kind, and the measures that name it."""
    try:
        return views.device(await deps.orders.device(device_id, deps.clock.now_ms()))
    except NotFound:
        raise Refusal("unknown-device") from None
