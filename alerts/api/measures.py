"""What did the court order, and how is an order given or ended?

A measure is created whole or refused with every reason at once; it is in force on the road within 5 s
(``alerts.order_projector``). Ending one is now, and on what the caller saw (``If-Match``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from alerts.api import places, schemas, views
from alerts.api.access import requires
from alerts.api.acts import IfMatch, version_seen
from alerts.api.alerts import ID_PATTERN, LIST_MAX, Cursor, Limit, TheDeps
from alerts.api.deps import OrderBook
from alerts.api.devices import refuse_reserved
from alerts.api.once import IdempotencyKey, checked_key, created, once
from alerts.api.openapi import creation, problems
from alerts.api.problems import Refusal
from alerts.api.reader import Reader, reads
from alerts.api.roles import Caller, Permission
from tocsin.adapters.orders import NotFound, Reply
from tocsin.clock import from_rfc3339
from tocsin.model.ids import derived
from tocsin.model.order import Order

router = APIRouter(tags=["measures"])

MeasureReader = Annotated[Reader, Depends(reads(Permission.SEE_MEASURES))]
Court = Annotated[Caller, Depends(requires(Permission.ORDER_MEASURES))]
MeasureId = Annotated[str, Path(pattern=ID_PATTERN, examples=["msr_0b8f1f6c3d2e8a4f9c7b6a5d4e3f2a1b"])]


@router.get(
    "/measures",
    summary="List measures",
    responses=problems("bad-cursor", "invalid-request", "record-unavailable", "log-unavailable"),
)
async def list_measures(
    deps: TheDeps,
    reader: MeasureReader,
    live: Annotated[bool, Query(description="Only those that have not ended.")] = False,
    limit: Limit = LIST_MAX,
    cursor: Cursor = None,
) -> schemas.Measures:
    """In the order in which they were made."""
    now_ms = deps.clock.now_ms()
    page = await deps.orders.measures(live_at_ms=now_ms if live else None, cursor=cursor, limit=limit)
    await _shown(reader, "measures", [each.order for each in page.items])
    return schemas.Measures(items=[views.measure(each, now_ms) for each in page.items], next=page.next)


async def _shown(reader: Reader, what: str, orders: Sequence[Order]) -> None:
    """A zone is drawn where she lives or works: with one, the read is on the log before the reply leaves."""
    shown = [order.id for order in orders]
    if any(order.zones for order in orders):
        await reader.sees_places(what, shown)
    else:
        reader.saw(what, shown)


@router.post(
    "/measures",
    summary="Order a measure",
    status_code=201,
    response_class=Response,
    responses=creation(schemas.MeasureReply, "Ordered."),
)
async def create_measure(
    body: schemas.MeasureRequest, caller: Court, deps: TheDeps, idempotency_key: IdempotencyKey = None
) -> Response:
    """422 names every reason why it cannot be carried out."""
    refuse_reserved({"/wearer": body.wearer, "/protected": body.protected})
    key, now_ms = checked_key(idempotency_key), deps.clock.now_ms()
    order = Order(
        id=derived("msr", caller.name, key, now_ms),
        version=1,
        wearer=body.wearer,
        protected=body.protected,
        alert_distance_m=body.alert_distance_m,
        valid_from_ms=from_rfc3339(body.valid_from),
        valid_until_ms=from_rfc3339(body.valid_until),
        zones=tuple(places.zone(one) for one in body.zones),
        authorised=None if body.authorised is None else places.authorisation(body.authorised),
    )

    async def work(orders: OrderBook) -> Reply:
        made = await orders.create_measure(order, by=caller.name, now_ms=now_ms)
        return Reply(status=201, body=views.measure(made, now_ms).model_dump_json().encode())

    reply = await once(deps, caller, key, body, work)
    made = schemas.MeasureReply.model_validate_json(reply.body)
    return created("measures", made.id, reply.status, reply.body)


@router.get(
    "/measures/{measure_id}",
    summary="Look at one measure",
    responses=problems("unknown-measure", "invalid-request", "record-unavailable", "log-unavailable"),
)
async def get_measure(
    measure_id: MeasureId, deps: TheDeps, reader: MeasureReader, response: Response
) -> schemas.MeasureReply:
    """The ETag is its version."""
    try:
        known = await deps.orders.measure(measure_id)
    except NotFound:
        raise Refusal("unknown-measure") from None
    await _shown(reader, "measure", [known.order])
    response.headers["ETag"] = views.etag(known.order.version)
    return views.measure(known, deps.clock.now_ms())


@router.post(
    "/measures/{measure_id}/ending",
    summary="End a measure now",
    responses=problems(
        "unknown-measure", "stale-version", "precondition-required", "etag-not-quoted", "invalid-request",
        "order-refused", "record-unavailable",
    ),
)  # fmt: skip
async def end_measure(
    measure_id: MeasureId, caller: Court, deps: TheDeps, response: Response, if_match: IfMatch = None
) -> schemas.MeasureReply:
    """A new version that is in force until now, or not at all if it had not begun."""
    version, now_ms = version_seen(if_match), deps.clock.now_ms()
    try:
        ended = await deps.orders.end_measure(
            measure_id, expected_version=version, at_ms=now_ms, by=caller.name, now_ms=now_ms
        )
    except NotFound:
        raise Refusal("unknown-measure") from None
    deps.accesses.note(caller, "measure", [measure_id], places=bool(ended.order.zones))
    response.headers["ETag"] = views.etag(ended.order.version)
    return views.measure(ended, now_ms)
