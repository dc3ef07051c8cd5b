"""How do the stages hear of a device or a measure that was changed in the record?

PostgreSQL is the record; what the stages watch are two buckets on the log (ARCHITECTURE, A7). The projector looks
for changes five times a second and puts them there: an order changed takes effect within 5 s (invariant 12). At
its start, and each minute, it compares all of both sides and repairs the buckets. With the record down the stages
keep what the buckets hold. Several may run; one works.

The theory: a change is a reason to look, never a value. What is put is what the tables hold at that moment, so
doing it twice, or in another order, or after a crash in the middle, ends in the same buckets.

Behind that, so that no order waits for it, each version of a measure is linked into the measure's chain: from the
table of versions, which nothing is lost from while no projector runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

import structlog

from tocsin import wire
from tocsin.adapters.orders import Orders, Projection
from tocsin.clock import MS, Clock
from tocsin.errors import LogUnavailable, RecordUnavailable
from tocsin.model.device import Device
from tocsin.model.order import Order
from tocsin.ports import Bucket
from tocsin.pulsing import UNSEEN, Rounds, is_away

log = structlog.get_logger(__name__)

POLL_S = 0.2
BACKOFF_MAX_S = 2.0  # with the pool's own second to connect again: still within 5 s of the record's return
RECONCILE_EVERY_S = 60
PUTS_AT_ONCE = 32


async def run_order_projector(
    *,
    source: Orders,
    devices: Bucket,
    orders: Bucket,
    clock: Clock,
    ready: Callable[[], None],
    rounds: Rounds = UNSEEN,
) -> None:
    """Project until cancelled. ``ready``: the buckets agree with the record, or another projector sees to it."""
    projector = OrderProjector(source=source, devices=devices, orders=orders, hour=clock.now_ms)
    backoff_s = POLL_S
    told = False
    while True:
        try:
            worked = await projector.look(clock.now_ms())
        except (RecordUnavailable, LogUnavailable) as error:
            log.warning("orders wait", reason=str(error), again_in_s=backoff_s)
            if is_away(error):
                await rounds.went_round()
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, BACKOFF_MAX_S)
            continue
        backoff_s = POLL_S
        if projector.is_mine:
            await rounds.went_round()
        if not told:
            told = True
            ready()
        if not worked:
            await asyncio.sleep(POLL_S)


class OrderProjector:
    """One look after another, each with its hour. ``since`` is up to when all is projected, None: not known.
    ``hour``: of linking, which a long look may come to late; by default that of the look."""

    def __init__(
        self, *, source: Orders, devices: Bucket, orders: Bucket, hour: Callable[[], int] | None = None
    ) -> None:
        self._hour = hour
        self._source = source
        self._devices = devices
        self._orders = orders
        self._since_ms: int | None = None
        self._reconciled_ms = 0

    @property
    def is_mine(self) -> bool:
        """Whether we had the turn at the last look. Whoever never has it shows no pulse."""
        return self._since_ms is not None

    async def look(self, now_ms: int) -> bool:
        """Bring the buckets up to date; True when something was done and there may be more.

        Raises RecordUnavailable, LogUnavailable: nothing is marked as done that was not.
        """
        since_ms = self._since_ms
        if since_ms is None or not 0 <= now_ms - self._reconciled_ms < RECONCILE_EVERY_S * MS:
            return await self._reconcile(now_ms)
        async with self._source.changes(since_ms, now_ms) as projection:
            if projection is None:
                self._since_ms = None
                return False
            await self._put(projection)
        self._since_ms = now_ms
        if projection.orders:
            await self._source.seal_versions(self._hour or now_ms, of=projection.orders)
        return bool(projection.devices or projection.orders)

    async def _reconcile(self, now_ms: int) -> bool:
        async with self._source.everything(now_ms) as projection:
            if projection is None:  # another one works; whoever takes over from it must not rely on its past
                self._since_ms = None
                return False
            repairs = Projection(
                devices=_difference(projection.devices, await contents(self._devices)),
                orders=_difference(projection.orders, await contents(self._orders)),
            )
            await self._put(repairs)
        self._since_ms = self._reconciled_ms = now_ms
        if repairs.devices or repairs.orders:
            log.info("buckets repaired", devices=len(repairs.devices), orders=len(repairs.orders))
        await self._source.seal_versions(self._hour or now_ms)
        return False

    async def _put(self, projection: Projection) -> None:
        """Devices first: an order names devices."""
        await _put_all(self._devices, projection.devices)
        await _put_all(self._orders, projection.orders)


async def contents(bucket: Bucket) -> dict[str, bytes]:
    """All keys of a bucket as they stand."""
    found: dict[str, bytes] = {}
    changes = bucket.watch()
    async for change in changes:
        if change is None:
            break
        if change.value is None:
            found.pop(change.key, None)
        else:
            found[change.key] = change.value
    if isinstance(changes, AsyncGenerator):
        await changes.aclose()
    return found


Nouns = Mapping[str, Device | None] | Mapping[str, Order | None]


def _difference(wanted: Nouns, present: Mapping[str, bytes]) -> dict[str, Any]:
    """What of ``wanted`` is missing or different, and None for what should not be there."""
    changed = {
        key: noun for key, noun in wanted.items() if noun is not None and present.get(key) != wire.encode(noun)
    }
    return {**changed, **dict.fromkeys(present.keys() - wanted.keys())}


async def _put_all(bucket: Bucket, nouns: Nouns) -> None:
    """Keys do not depend on each other; a bounded number is on its way at once."""
    slots = asyncio.Semaphore(PUTS_AT_ONCE)

    async def put(key: str, noun: Device | Order | None) -> None:
        async with slots:
            await (bucket.delete(key) if noun is None else bucket.put(key, wire.encode(noun)))

    outcomes = await asyncio.gather(*(put(key, noun) for key, noun in nouns.items()), return_exceptions=True)
    if failures := [outcome for outcome in outcomes if isinstance(outcome, BaseException)]:
        raise failures[0]
