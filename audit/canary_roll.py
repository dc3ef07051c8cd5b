"""Are the invented pairs registered and ordered, and can their units log in?

In the record like anybody, through ``tocsin.adapters.orders``, and from there by the projector on the buckets
that ingest, geofence and broker follow. Doing it again changes nothing. A password follows from the part's secret
and the name of the unit, so that a restart knows it without keeping it; a secret that was changed gives the units
other ones. An order lasts ORDER_LASTS_MS and is prolonged RENEWED_BEFORE_MS before its end. While the record is
down the buckets hold what was ordered, and the pairs walk on.
"""

from __future__ import annotations

import contextlib
import hmac
from typing import Final

from audit.canary_round import ALERT_DISTANCE_M, REPORT_S, Pair
from tocsin.adapters.orders import AlreadyExists, NotFound, Orders
from tocsin.clock import MS
from tocsin.embedded import hash_password, is_password_of
from tocsin.model.device import DeviceKind
from tocsin.model.order import Order

DAY_MS: Final = 86_400 * MS
ORDER_LASTS_MS: Final = 30 * DAY_MS
RENEWED_BEFORE_MS: Final = 15 * DAY_MS  # a record that is away for two weeks stops no canary
BY: Final = "canary"


def password_of(secret: str, device: str) -> str:
    """256 bits in hex."""
    return hmac.digest(secret.encode(), f"login:{device}".encode(), "sha256").hex()


async def enrol(orders: Orders, pair: Pair, secret: str, now_ms: int) -> None:
    """Both units and the measure. Raises RecordUnavailable, and DeviceRevoked where somebody has revoked one."""
    await _unit(orders, pair.wearer, DeviceKind.WEARER, secret, now_ms)
    await _unit(orders, pair.protected, DeviceKind.PROTECTED, secret, now_ms)
    try:
        known = (await orders.measure(pair.measure)).order
    except NotFound:
        await _ordered(orders, pair, now_ms)
        return
    if known.valid_until_ms - now_ms < RENEWED_BEFORE_MS:
        await orders.prolong_canary(pair.measure, until_ms=now_ms + ORDER_LASTS_MS, by=BY, now_ms=now_ms)


async def _unit(orders: Orders, name: str, kind: DeviceKind, secret: str, now_ms: int) -> None:
    """It takes no orders about how often to report: the round is the plan's."""
    password = password_of(secret, name)
    try:
        known = await orders.device(name, now_ms)
    except NotFound:
        with contextlib.suppress(AlreadyExists):  # another one was faster
            await orders.create_device(name, kind, hash_password(password), now_ms, reports_every_s=REPORT_S)
        return
    if not is_password_of(password, known.password_bcrypt):
        await orders.renew_device(name, hash_password(password), now_ms)


async def _ordered(orders: Orders, pair: Pair, now_ms: int) -> None:
    order = Order(
        id=pair.measure,
        version=1,
        wearer=pair.wearer,
        protected=pair.protected,
        alert_distance_m=ALERT_DISTANCE_M,
        valid_from_ms=now_ms - 60 * MS,
        valid_until_ms=now_ms + ORDER_LASTS_MS,
    )
    with contextlib.suppress(AlreadyExists):
        await orders.create_measure(order, by=BY, now_ms=now_ms)
