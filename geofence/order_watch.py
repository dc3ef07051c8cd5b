"""Which measures and devices are there now?

Follows the buckets ``devices`` and ``orders`` and hands on the whole set whenever it has changed: first when both
have been read to the present, then at most once per COALESCE_S, so that an import of a thousand orders is a few
revisions and not a thousand. A value that cannot be read leaves the one before it in force.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import structlog

from tocsin.clock import Clock
from tocsin.errors import WireError
from tocsin.model.device import Device
from tocsin.model.order import Order
from tocsin.ports import Bucket
from tocsin.wire import NounDecoder, decode_device, decode_order

COALESCE_S = 0.1  # 2 % of the 5 s in which a changed order takes effect (invariant 12)

T = TypeVar("T", Device, Order)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """All orders and devices (by id) as they stand."""

    orders: tuple[Order, ...]
    devices: Mapping[str, Device]


class OrderWatch:
    """Keeps the two buckets in memory and says when they have changed."""

    def __init__(self, *, devices: Bucket, orders: Bucket, clock: Clock) -> None:
        self._buckets = (devices, orders)
        self._clock = clock
        self._devices: dict[str, Device] = {}
        self._orders: dict[str, Order] = {}
        self._present = [asyncio.Event(), asyncio.Event()]
        self._changed = asyncio.Event()

    async def run(self, deliver: Callable[[Revision], Awaitable[None]]) -> None:
        """Deliver a revision when both buckets are complete and after each burst of changes, without end."""
        async with asyncio.TaskGroup() as group:
            devices, orders = self._buckets
            group.create_task(self._follow(devices, decode_device, self._devices, self._present[0]))
            group.create_task(self._follow(orders, decode_order, self._orders, self._present[1]))
            for present in self._present:
                await present.wait()
            while True:
                self._changed.clear()
                await deliver(Revision(orders=tuple(self._orders.values()), devices=dict(self._devices)))
                await self._changed.wait()
                await self._clock.sleep(COALESCE_S)

    async def _follow(
        self, bucket: Bucket, decode: NounDecoder[T], known: dict[str, T], present: asyncio.Event
    ) -> None:
        async for change in bucket.watch():
            if change is None:
                present.set()
                continue
            if change.value is None:
                known.pop(change.key, None)
            else:
                try:
                    known[change.key] = decode(change.value)
                except WireError:
                    log.exception("bucket_value_unreadable", revision=change.revision)
            self._changed.set()
