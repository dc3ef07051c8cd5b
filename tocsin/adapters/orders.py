"""Which devices are there, what did the judge order about them, and what of it do the stages not know yet?

A change and its mark in the outbox are one transaction, and so are the reply to a request and the key under which
it may be asked again. The outbox says which device or measure to look at again; what it is now is
read from the tables when it is projected, so that neither order nor repetition matters. Times are milliseconds of
Tocsin's clock and handed in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final, TypeVar

import msgspec

from tocsin.adapters.postgres import BadCursor, Connection, Page, Pool, Row, load_queries, ms_of, transaction
from tocsin.adapters.seals import Hour, seal_within
from tocsin.clock import MS, rfc3339, utc
from tocsin.errors import TocsinError
from tocsin.model.canary import is_canary
from tocsin.model.device import NO_TRAITS, Device, DeviceKind, Traits
from tocsin.model.geozone import Authorisation, GeoZone
from tocsin.model.order import Order, problems_of, problems_of_name
from tocsin.model.problem import Problem
from tocsin.sealing import of_order

T = TypeVar("T")

SQL = load_queries("orders.sql")

LIST_MAX = 200
REPLY_KEPT_MS = 24 * 3600 * MS
REPLIES_FORGOTTEN_MAX = 100  # per request: more than one, so that the table shrinks
OUTBOX_BATCH = 500  # puts of about 1 ms, 32 at a time: a fraction of the 5 s of invariant 12
SEALED_AT_ONCE = 500  # a transaction of some 50 ms
ORDER_STAYS_MS = 60 * MS  # behind its end, so that every stage sees how the measure ended before it is gone


class OrderRefused(TocsinError):
    """This cannot be ordered."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problem.detail for problem in self.problems))


class NotFound(TocsinError):
    """There is nothing of this name."""


class AlreadyExists(TocsinError):
    """This name is taken."""


class KeyReused(TocsinError):
    """This idempotency key belongs to another request."""


class DeviceInUse(TocsinError):
    """Measures that have not ended need this device."""

    def __init__(self, measures: tuple[str, ...]) -> None:
        self.measures = measures
        super().__init__(", ".join(measures))


class DeviceRevoked(TocsinError):
    """This device may not speak any more."""


class StaleVersion(TocsinError):
    """The measure was changed in the meantime."""

    def __init__(self, current: int) -> None:
        self.current = current
        super().__init__(f"it is at version {current}")


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What a request was answered, byte for byte."""

    status: int
    body: bytes


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """An order and what the record knows beside it. None: nobody ended it, it ends by itself."""

    order: Order
    created_ms: int
    created_by: str
    ended_ms: int | None = None
    ended_by: str | None = None


class MeasureVersion(msgspec.Struct, frozen=True, kw_only=True):
    """An order as it stood after one change."""

    order: Order
    changed_ms: int
    changed_by: str


class Projection(msgspec.Struct, frozen=True, kw_only=True):
    """What the buckets must hold, by key. None: nothing."""

    devices: Mapping[str, Device | None]
    orders: Mapping[str, Order | None]


class Orders:
    """The tables of devices and measures.

    Raises RecordUnavailable from every method. ``within``: work in this transaction instead of one's own.
    """

    def __init__(self, pool: Pool, *, within: Connection | None = None) -> None:
        self._pool: Final = pool
        self._within: Final = within

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        if self._within is None:
            async with transaction(self._pool) as connection:
                yield connection
        else:
            async with self._within.transaction():
                yield self._within

    # --- replies -------------------------------------------------------------------------------------------

    async def once(
        self, key: str, fingerprint: str, now_ms: int, work: Callable[[Orders], Awaitable[Reply]]
    ) -> Reply:
        """The reply of ``work``, or the one given under this key within 24 h; work and reply are one transaction.

        A second request under a key that is at work waits for the first. What raises leaves no reply behind.
        The caller puts who asks into ``key``. Raises KeyReused when the fingerprint is another.
        """
        async with transaction(self._pool) as connection:
            await connection.execute(SQL["lock_key"], [key])
            oldest = utc(now_ms - REPLY_KEPT_MS)
            known = await _one(connection, SQL["reply"], [key, oldest])
            if known is not None:
                return _known_reply(key, fingerprint, *known)
            reply = await work(Orders(self._pool, within=connection))
            await connection.execute(SQL["keep_reply"], [key, fingerprint, reply.status, reply.body, utc(now_ms)])
            await connection.execute(SQL["forget_replies"], [oldest, REPLIES_FORGOTTEN_MAX])
            return reply

    # --- devices -------------------------------------------------------------------------------------------

    async def create_device(
        self,
        device_id: str,
        kind: DeviceKind,
        password_bcrypt: str,
        now_ms: int,
        *,
        reports_every_s: int | None = None,
        traits: Traits = NO_TRAITS,
    ) -> Device:
        """Raises OrderRefused for what is no device id, AlreadyExists."""
        if problems := problems_of_name(device_id):
            raise OrderRefused(problems)
        async with self._transaction() as connection:
            said = msgspec.structs.asdict(traits)
            values = [device_id, kind.value, password_bcrypt, utc(now_ms), reports_every_s, *said.values()]
            made = await _one(connection, SQL["add_device"], values)
            if made is None:
                raise AlreadyExists(device_id)
            await connection.execute(SQL["touch"], ["device", device_id, utc(now_ms)])
        return Device(
            id=device_id,
            number=made[0],
            kind=kind,
            password_bcrypt=password_bcrypt,
            reports_every_s=reports_every_s,
            **said,
        )

    async def device(self, device_id: str, now_ms: int) -> Device:
        """Raises NotFound."""
        async with self._transaction() as connection:
            found = await _devices_by_id(connection, [device_id], now_ms)
        if device_id not in found:
            raise NotFound(device_id)
        return found[device_id]

    async def devices(self, now_ms: int, *, cursor: str | None = None, limit: int = LIST_MAX) -> Page[Device]:
        """In the order in which they were made. Raises BadCursor."""
        limit = min(limit, LIST_MAX)
        async with self._transaction() as connection:
            values = {"now": utc(now_ms), "after": _number(cursor), "limit": limit + 1}
            rows = await (await connection.execute(SQL["devices"], values)).fetchall()
        return _page([(row[0], _device(row)) for row in rows], limit)

    async def revoke_device(self, device_id: str, *, by: str, now_ms: int) -> Device:
        """It may not speak from now on; a second time changes nothing.

        Raises NotFound, and DeviceInUse while a measure that has not ended names it: to take away a unit that
        protects somebody takes the end of the measure, which is the court's.
        """
        async with self._transaction() as connection:
            known = await _locked_device(connection, device_id, now_ms)
            if known.revoked_ms is not None:
                return known
            if known.measures:
                raise DeviceInUse(known.measures)
            await connection.execute(SQL["revoke_device"], {"id": device_id, "at": utc(now_ms), "by": by})
            return await _changed_device(connection, device_id, now_ms)

    async def renew_device(self, device_id: str, password_bcrypt: str, now_ms: int) -> Device:
        """Another password; the one before ends. Raises NotFound, DeviceRevoked."""
        async with self._transaction() as connection:
            known = await _locked_device(connection, device_id, now_ms)
            if known.revoked_ms is not None:
                raise DeviceRevoked(device_id)
            values = {"id": device_id, "password_bcrypt": password_bcrypt}
            await connection.execute(SQL["renew_device"], values)
            return await _changed_device(connection, device_id, now_ms)

    # --- measures ------------------------------------------------------------------------------------------

    async def create_measure(self, order: Order, *, by: str, now_ms: int) -> Measure:
        """``order`` is version 1 under a new id. Raises OrderRefused with every problem, AlreadyExists."""
        assert order.version == 1
        async with self._transaction() as connection:
            parties = [order.wearer, order.protected]
            await connection.execute(SQL["hold_devices"], [parties])
            devices = await _devices_by_id(connection, parties, now_ms)
            if problems := problems_of(order, devices):
                raise OrderRefused(problems)
            if await _one(connection, SQL["add_measure"], _measure_values(order, by, now_ms)) is None:
                raise AlreadyExists(order.id)
            return await _changed(connection, order.id, by, now_ms)

    async def end_measure(
        self, measure_id: str, *, expected_version: int, at_ms: int, by: str, now_ms: int
    ) -> Measure:
        """A new version that is in force until ``at_ms``, or not at all if it had not begun.

        Raises NotFound, StaleVersion, and OrderRefused when it would end no sooner than it does now: to prolong a
        measure takes an order of the court, not an end.
        """
        async with self._transaction() as connection:
            version = await _one(connection, SQL["lock_measure"], [measure_id])
            if version is None:
                raise NotFound(measure_id)
            if version[0] != expected_version:
                raise StaleVersion(version[0])
            (known,) = await _measures_by_id(connection, [measure_id])
            if at_ms >= known.order.valid_until_ms:
                raise OrderRefused([_ends_already(known.order)])
            await connection.execute(
                SQL["end_measure"], {"id": measure_id, "at": utc(at_ms), "now": utc(now_ms), "by": by}
            )
            return await _changed(connection, measure_id, by, now_ms)

    async def prolong_canary(self, measure_id: str, *, until_ms: int, by: str, now_ms: int) -> Measure:
        """A new version of an invented measure that lasts until then. Of nobody's else: raises NotFound."""
        async with self._transaction() as connection:
            if not is_canary(measure_id) or await _one(connection, SQL["lock_measure"], [measure_id]) is None:
                raise NotFound(measure_id)
            await connection.execute(SQL["prolong_canary"], {"id": measure_id, "until": utc(until_ms)})
            return await _changed(connection, measure_id, by, now_ms)

    async def measure(self, measure_id: str) -> Measure:
        """Raises NotFound."""
        async with self._transaction() as connection:
            found = await _measures_by_id(connection, [measure_id])
        if not found:
            raise NotFound(measure_id)
        return found[0]

    async def measures(
        self, *, live_at_ms: int | None = None, cursor: str | None = None, limit: int = LIST_MAX
    ) -> Page[Measure]:
        """In the order of their making; with ``live_at_ms`` only those not ended then. Raises BadCursor."""
        limit = min(limit, LIST_MAX)
        live_at = None if live_at_ms is None else utc(live_at_ms)
        async with self._transaction() as connection:
            values = {"after": _number(cursor), "live_at": live_at, "limit": limit + 1}
            rows = await (await connection.execute(SQL["measures"], values)).fetchall()
        return _page([(row[0], _measure(row)) for row in rows], limit)

    async def versions(self, measure_id: str) -> tuple[MeasureVersion, ...]:
        """Oldest first; empty for a measure that there is not."""
        async with self._transaction() as connection:
            cursor = await connection.execute(SQL["versions"], [measure_id])
            return tuple([_version(measure_id, row) async for row in cursor])

    # --- projection ----------------------------------------------------------------------------------------

    @asynccontextmanager
    async def changes(self, since_ms: int, now_ms: int) -> AsyncIterator[Projection | None]:
        """What was changed, and what has lapsed between ``since_ms`` and now; done with when the block ends well.

        None: another projector is at work.
        """
        async with self._projecting() as connection:
            if connection is None:
                yield None
                return
            touched = await (await connection.execute(SQL["touched"], [OUTBOX_BATCH])).fetchall()
            stay = timedelta(milliseconds=ORDER_STAYS_MS)
            times = {"since": utc(since_ms), "now": utc(now_ms), "stay": stay}
            lapsed = await (await connection.execute(SQL["lapsed"], times)).fetchall()
            measures = {key for _, kind, key in touched if kind == "measure"} | {row[0] for row in lapsed}
            devices = {key for _, kind, key in touched if kind == "device"}
            yield await _projection(connection, measures, devices, now_ms)
            await connection.execute(SQL["projected"], [[row[0] for row in touched]])

    @asynccontextmanager
    async def everything(self, now_ms: int) -> AsyncIterator[Projection | None]:
        """All that the buckets must hold, for the reconciler; keys that are not here must not be there either.

        None: another projector is at work.
        """
        async with self._projecting() as connection:
            if connection is None:
                yield None
                return
            devices = await (await connection.execute(SQL["all_devices"])).fetchall()
            values = {"after": 0, "live_at": utc(now_ms - ORDER_STAYS_MS), "limit": None}
            measures = await (await connection.execute(SQL["measures"], values)).fetchall()
            orders = {row[1]: _measure(row).order for row in measures}
            named = _named(order for order in orders.values() if order.valid_until_ms > now_ms)
            yield Projection(devices={row[1]: _device((*row, named[row[1]])) for row in devices}, orders=orders)

    async def seal_versions(self, now_ms: Hour, *, of: Iterable[str] | None = None) -> int:
        """Link every version of these measures, of all of them by default, that is not linked yet.

        ``now_ms``: the hour of linking. From what the table keeps, so that none is passed over because nobody
        looked when it was made. Returns how many were linked.
        """
        sealed, after = 0, ("", 0)
        names = None if of is None else list(of)
        while True:
            async with self._transaction() as connection:
                values = {"measures": names, "after": after[0], "version": after[1], "limit": SEALED_AT_ONCE}
                rows = await (await connection.execute(SQL["unsealed_versions"], values)).fetchall()
                versions = [_version(row[0], row[1:]).order for row in rows]
                items = [of_order(order) for order in versions if not is_canary(order.id)]
                sealed += len(await seal_within(connection, items, at_ms=now_ms))
            if len(rows) < SEALED_AT_ONCE:
                return sealed
            after = (versions[-1].id, versions[-1].version)

    @asynccontextmanager
    async def _projecting(self) -> AsyncIterator[Connection | None]:
        """A transaction that no other projector has at the same time, so that an older state never comes later."""
        async with transaction(self._pool) as connection:
            ours = await _one(connection, SQL["one_projector"], [])
            yield connection if ours is not None and ours[0] else None


async def _one(connection: Connection, query: bytes, values: list[Any]) -> Row | None:
    row: Row | None = await (await connection.execute(query, values)).fetchone()
    return row


async def _devices_by_id(connection: Connection, ids: Iterable[str], now_ms: int) -> dict[str, Device]:
    cursor = await connection.execute(SQL["devices_by_id"], {"ids": list(ids), "now": utc(now_ms)})
    return {row[1]: _device(row) async for row in cursor}


async def _measures_by_id(connection: Connection, ids: Iterable[str]) -> list[Measure]:
    cursor = await connection.execute(SQL["measures_by_id"], [list(ids)])
    return [_measure(row) async for row in cursor]


async def _locked_device(connection: Connection, device_id: str, now_ms: int) -> Device:
    """Raises NotFound. Nobody else changes it, or orders a measure about it, until the transaction ends."""
    if await _one(connection, SQL["lock_device"], [device_id]) is None:
        raise NotFound(device_id)
    return (await _devices_by_id(connection, [device_id], now_ms))[device_id]


async def _changed_device(connection: Connection, device_id: str, now_ms: int) -> Device:
    """Mark it for the projector."""
    await connection.execute(SQL["touch"], ["device", device_id, utc(now_ms)])
    return (await _devices_by_id(connection, [device_id], now_ms))[device_id]


async def _changed(connection: Connection, measure_id: str, by: str, now_ms: int) -> Measure:
    """Keep the version that the measure has now, and mark it for the projector."""
    await connection.execute(SQL["keep_version"], {"id": measure_id, "now": utc(now_ms), "by": by})
    await connection.execute(SQL["touch"], ["measure", measure_id, utc(now_ms)])
    (measure,) = await _measures_by_id(connection, [measure_id])
    return measure


async def _projection(connection: Connection, measures: set[str], devices: set[str], now_ms: int) -> Projection:
    orders = [measure.order for measure in await _measures_by_id(connection, measures)]
    devices = devices.union(*((order.wearer, order.protected) for order in orders))
    kept = {order.id: order for order in orders if order.valid_until_ms > now_ms - ORDER_STAYS_MS}
    found = await _devices_by_id(connection, devices, now_ms)
    speaking = {key for key, device in found.items() if device.revoked_ms is None}
    return Projection(
        devices={key: found[key] if key in speaking else None for key in sorted(devices)},
        orders={key: kept.get(key) for key in sorted(measures)},
    )


def _named(orders: Iterable[Order]) -> defaultdict[str, list[str]]:
    """The measures of each device."""
    named = defaultdict(list)
    for order in orders:
        named[order.wearer].append(order.id)
        named[order.protected].append(order.id)
    return named


def _known_reply(key: str, fingerprint: str, known: str, status: int, body: bytes) -> Reply:
    if known != fingerprint:
        raise KeyReused(key)
    return Reply(status=status, body=body)


def _ends_already(order: Order) -> Problem:
    detail = f"the measure ends at {rfc3339(order.valid_until_ms)} already"
    return Problem(pointer="/valid_until", code="ends-already", detail=detail)


def _device(row: Row) -> Device:
    number, device_id, kind, password_bcrypt, revoked_at, reports_every_s, *traits, measures = row
    carrier, apn, region, firmware = traits
    return Device(
        id=device_id,
        number=number,
        kind=DeviceKind(kind),
        measures=tuple(sorted(measures)),
        password_bcrypt=password_bcrypt,
        revoked_ms=None if revoked_at is None else ms_of(revoked_at),
        reports_every_s=reports_every_s,
        carrier=carrier,
        apn=apn,
        region=region,
        firmware=firmware,
    )


def _measure_values(order: Order, by: str, now_ms: int) -> list[Any]:
    """In the order of the columns of ``add_measure``."""
    period = [utc(order.valid_from_ms), utc(order.valid_until_ms)]
    parties = [order.wearer, order.protected, order.alert_distance_m]
    places = msgspec.json.encode(order.zones).decode()
    hours = None if order.authorised is None else msgspec.json.encode(order.authorised).decode()
    return [order.id, order.version, *parties, *period, utc(now_ms), by, places, hours]


def _order(measure_id: str, row: Row, zones: object, authorised: object) -> Order:
    version, wearer, protected, alert_distance_m, valid_from, valid_until = row
    return Order(
        id=measure_id,
        version=version,
        wearer=wearer,
        protected=protected,
        alert_distance_m=alert_distance_m,
        valid_from_ms=ms_of(valid_from),
        valid_until_ms=ms_of(valid_until),
        zones=msgspec.convert(zones, tuple[GeoZone, ...]),
        authorised=msgspec.convert(authorised, Authorisation | None),
    )


def _measure(row: Row) -> Measure:
    created_at, created_by, ended_at, ended_by, zones, authorised = row[8:]
    return Measure(
        order=_order(row[1], row[2:8], zones, authorised),
        created_ms=ms_of(created_at),
        created_by=created_by,
        ended_ms=None if ended_at is None else ms_of(ended_at),
        ended_by=ended_by,
    )


def _version(measure_id: str, row: Row) -> MeasureVersion:
    changed_at, changed_by, zones, authorised = row[6:]
    order = _order(measure_id, row[:6], zones, authorised)
    return MeasureVersion(order=order, changed_ms=ms_of(changed_at), changed_by=changed_by)


def _number(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
        raise BadCursor(cursor)
    return int(cursor)


def _page(rows: list[tuple[int, T]], limit: int) -> Page[T]:
    """``rows`` with their numbers, one more than asked for when there is more."""
    shown = rows[:limit]
    return Page(items=tuple(item for _, item in shown), next=str(shown[-1][0]) if len(rows) > limit else None)
