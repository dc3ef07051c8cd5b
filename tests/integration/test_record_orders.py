"""Does an order reach the stages, once, whole, and as it stands in the record?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count

import msgspec
import pytest

from alerts.order_projector import OrderProjector, contents, run_order_projector
from tocsin import wire
from tocsin.adapters.orders import (
    LIST_MAX,
    ORDER_STAYS_MS,
    REPLY_KEPT_MS,
    AlreadyExists,
    DeviceInUse,
    DeviceRevoked,
    KeyReused,
    Measure,
    NotFound,
    OrderRefused,
    Orders,
    Reply,
    StaleVersion,
)
from tocsin.adapters.postgres import BadCursor, Pool, RecordRefused, transaction
from tocsin.clock import AffineClock
from tocsin.errors import LogUnavailable
from tocsin.model.device import Device, DeviceKind, Traits
from tocsin.model.geozone import Authorisation, Circle, GeoZone, Hours, Polygon, Schedule, ZoneKind
from tocsin.model.order import Order
from tocsin.testing.bus import MemoryBucket

pytest_plugins = ("database",)

NOON_MS = 1_795_262_400_000
HOUR_MS = 3_600_000
F01 = 2**31

_numbers = count(1)


def order(**changes: object) -> Order:
    plain = Order(
        id=f"msr_{next(_numbers):04d}", version=1, wearer="bar-w-1", protected="bar-p-1", alert_distance_m=2000,
        valid_from_ms=NOON_MS, valid_until_ms=NOON_MS + HOUR_MS,
    )  # fmt: skip
    return msgspec.structs.replace(plain, **changes)


@pytest.fixture
async def orders(pool: Pool) -> Orders:
    """With two wearers and two protected persons."""
    orders = Orders(pool)
    for number in (1, 2):
        await orders.create_device(f"bar-w-{number}", DeviceKind.WEARER, "", NOON_MS)
        await orders.create_device(f"bar-p-{number}", DeviceKind.PROTECTED, "", NOON_MS)
    return orders


# --- devices ------------------------------------------------------------------------------------------------


async def test_a_device_is_made_once_under_a_name_that_can_travel(orders: Orders) -> None:
    made = await orders.create_device("tgd-1", DeviceKind.TGD, "$2a$04$", NOON_MS)
    assert await orders.device("tgd-1", NOON_MS) == made
    with pytest.raises(AlreadyExists):
        await orders.create_device("tgd-1", DeviceKind.TGD, "", NOON_MS)
    with pytest.raises(OrderRefused) as refused:
        await orders.create_device("No Name.", DeviceKind.TGD, "", NOON_MS)
    assert [problem.pointer for problem in refused.value.problems] == ["/id"]
    with pytest.raises(NotFound):
        await orders.device("tgd-2", NOON_MS)


async def test_the_interval_of_a_phone_goes_from_the_record_to_the_bucket_and_nothing_takes_it(
    orders: Orders,
) -> None:
    made = await orders.create_device("phone-1", DeviceKind.WEARER, "", NOON_MS, reports_every_s=30)
    assert made.reports_every_s == 30
    assert await orders.device("phone-1", NOON_MS) == made
    assert (await orders.devices(NOON_MS)).items[-1] == made
    renewed = await orders.renew_device("phone-1", "$2a$04$", NOON_MS)
    assert renewed.reports_every_s == 30
    bucket = MemoryBucket()
    projector = OrderProjector(source=orders, devices=bucket, orders=MemoryBucket())
    await projector.look(NOON_MS)
    assert wire.decode_device(await bucket.get("phone-1") or b"") == renewed
    await orders.create_device("unit-1", DeviceKind.WEARER, "", NOON_MS)
    await projector.look(NOON_MS + 1)
    assert wire.decode_device(await bucket.get("unit-1") or b"").reports_every_s is None


@pytest.mark.parametrize("seconds", [0, 3601])
async def test_the_record_itself_refuses_an_interval_that_is_none(orders: Orders, seconds: int) -> None:
    with pytest.raises(RecordRefused):
        await orders.create_device("phone-1", DeviceKind.WEARER, "", NOON_MS, reports_every_s=seconds)


TRAITS = Traits(carrier="Orange", apn="m2m.example.fr", region="PACA", firmware="4.2.1")


async def test_what_devices_have_in_common_goes_from_the_record_to_the_bucket(orders: Orders) -> None:
    made = await orders.create_device("unit-1", DeviceKind.WEARER, "", NOON_MS, traits=TRAITS)
    assert (made.carrier, made.apn, made.region, made.firmware) == ("Orange", "m2m.example.fr", "PACA", "4.2.1")
    assert await orders.device("unit-1", NOON_MS) == made
    assert (await orders.devices(NOON_MS)).items[-1] == made
    bucket = MemoryBucket()
    projector = OrderProjector(source=orders, devices=bucket, orders=MemoryBucket())
    await projector.look(NOON_MS)
    assert wire.decode_device(await bucket.get("unit-1") or b"") == made


@pytest.mark.parametrize("name", ["carrier", "apn", "region", "firmware"])
@pytest.mark.parametrize("word", ["", "x" * 65])
async def test_the_record_itself_refuses_a_word_that_is_none(orders: Orders, name: str, word: str) -> None:
    with pytest.raises(RecordRefused):
        await orders.create_device("unit-1", DeviceKind.TGD, "", NOON_MS, traits=Traits(**{name: word}))


async def test_a_reserved_name_is_called_reserved(orders: Orders) -> None:
    with pytest.raises(OrderRefused, match="reserved"):
        await orders.create_device("fleet", DeviceKind.TGD, "", NOON_MS)


async def test_a_revoked_device_leaves_the_bucket_and_stays_in_the_record(orders: Orders) -> None:
    await orders.create_device("tgd-1", DeviceKind.TGD, "$2a$04$", NOON_MS)
    stage = Stage(orders)
    await stage.look(NOON_MS)
    assert "tgd-1" in (await stage.holds())[0]
    revoked = await orders.revoke_device("tgd-1", by="clerk", now_ms=NOON_MS + 5)
    assert (revoked.revoked_ms, revoked.password_bcrypt) == (NOON_MS + 5, "")
    await stage.look(NOON_MS + 200)
    assert "tgd-1" not in (await stage.holds())[0]
    assert await stage.holds() == await projected(orders, NOON_MS + 200), "nor does a repair bring it back"
    assert await orders.revoke_device("tgd-1", by="another", now_ms=NOON_MS + 900) == revoked
    assert await orders.device("tgd-1", NOON_MS) == revoked
    with pytest.raises(DeviceRevoked):
        await orders.renew_device("tgd-1", "$2a$04$", NOON_MS)
    with pytest.raises(AlreadyExists):
        await orders.create_device("tgd-1", DeviceKind.TGD, "", NOON_MS)
    for what in (
        orders.revoke_device("tgd-9", by="clerk", now_ms=NOON_MS),
        orders.renew_device("tgd-9", "", NOON_MS),
    ):
        with pytest.raises(NotFound):
            await what


async def test_a_new_password_reaches_the_bucket(orders: Orders) -> None:
    stage = Stage(orders)
    await stage.look(NOON_MS)
    await orders.renew_device("bar-w-1", "$2a$04$new", NOON_MS + 5)
    await stage.look(NOON_MS + 200)
    assert (await stage.holds())[0]["bar-w-1"].password_bcrypt == "$2a$04$new"


async def test_a_device_with_a_measure_that_has_not_ended_is_not_revoked(orders: Orders) -> None:
    made = (await orders.create_measure(order(), by="judge", now_ms=NOON_MS)).order
    coming = (await orders.create_measure(order(valid_from_ms=NOON_MS + 1), by="judge", now_ms=NOON_MS)).order
    with pytest.raises(DeviceInUse) as refused:
        await orders.revoke_device("bar-p-1", by="clerk", now_ms=NOON_MS)
    assert set(refused.value.measures) == {made.id, coming.id}
    revoked = await orders.revoke_device("bar-p-1", by="clerk", now_ms=made.valid_until_ms)
    assert revoked.revoked_ms == made.valid_until_ms
    with pytest.raises(OrderRefused, match="revoked"):
        await orders.create_measure(order(), by="judge", now_ms=NOON_MS)


async def test_of_an_order_and_a_revocation_at_once_only_one_is_done(orders: Orders) -> None:
    """A measure whose unit is silent from its first second would protect nobody."""
    for number in range(20):
        wearer = f"bar-x-{number}"
        await orders.create_device(wearer, DeviceKind.WEARER, "", NOON_MS)
        outcomes = await asyncio.gather(
            orders.create_measure(order(wearer=wearer), by="judge", now_ms=NOON_MS),
            orders.revoke_device(wearer, by="clerk", now_ms=NOON_MS),
            return_exceptions=True,
        )
        failed = [type(one) for one in outcomes if isinstance(one, Exception)]
        assert failed in ([DeviceInUse], [OrderRefused]), outcomes


async def test_lists_are_paged_in_the_order_of_making(orders: Orders) -> None:
    first = await orders.devices(NOON_MS, limit=3)
    second = await orders.devices(NOON_MS, cursor=first.next, limit=3)
    assert [device.id for device in first.items + second.items] == ["bar-w-1", "bar-p-1", "bar-w-2", "bar-p-2"]
    assert second.next is None
    assert (await orders.devices(NOON_MS, limit=4)).next is None
    for wrong in ("x", "-1", "9" * 5000, ""):
        with pytest.raises(BadCursor):
            await orders.devices(NOON_MS, cursor=wrong, limit=LIST_MAX)


async def test_numbers_pass_32_bits(orders: Orders, pool: Pool) -> None:
    """F01: every sequence of the record."""
    async with transaction(pool) as connection:
        cursor = await connection.execute("select format('%I.%I', schemaname, sequencename) from pg_sequences")
        for (sequence,) in await cursor.fetchall():
            await connection.execute("select setval(%s, %s)", [sequence, F01 - 10])
    for number in range(20):
        await orders.create_device(f"tgd-{number:03d}", DeviceKind.TGD, "", NOON_MS)
        await orders.create_measure(order(), by="judge", now_ms=NOON_MS)
    assert (await orders.device("tgd-019", NOON_MS)).number == F01 + 10
    page = await orders.measures(cursor=str(F01), limit=5)
    assert len(page.items) == 5
    assert page.next == str(F01 + 5)
    assert (await projected(orders, NOON_MS))[1].keys() == {m.order.id for m in (await orders.measures()).items}


# --- measures -----------------------------------------------------------------------------------------------


async def test_every_problem_is_told_at_once_and_nothing_is_kept(orders: Orders) -> None:
    wrong = order(wearer="bar-p-1", protected="nobody", alert_distance_m=1500, valid_until_ms=NOON_MS)
    with pytest.raises(OrderRefused) as refused:
        await orders.create_measure(wrong, by="judge", now_ms=NOON_MS)
    assert {problem.code for problem in refused.value.problems} == {
        "alert-distance", "period", "device-kind", "unknown-device",
    }  # fmt: skip
    assert (await orders.measures()).items == ()
    with pytest.raises(NotFound):
        await orders.measure(wrong.id)


async def test_an_end_is_a_new_version_and_the_old_one_is_kept(orders: Orders) -> None:
    made = await orders.create_measure(order(), by="judge", now_ms=NOON_MS)
    half = NOON_MS + HOUR_MS // 2
    ended = await orders.end_measure(made.order.id, expected_version=1, at_ms=half, by="clerk", now_ms=NOON_MS + 5)
    assert (ended.order.version, ended.order.valid_until_ms) == (2, half)
    assert (ended.ended_ms, ended.ended_by, ended.created_by) == (NOON_MS + 5, "clerk", "judge")
    assert await orders.measure(made.order.id) == ended
    versions = await orders.versions(made.order.id)
    assert [(each.order, each.changed_by) for each in versions] == [(made.order, "judge"), (ended.order, "clerk")]
    with pytest.raises(AlreadyExists):
        await orders.create_measure(made.order, by="judge", now_ms=NOON_MS)


async def test_an_end_needs_the_version_that_is_and_cannot_prolong(orders: Orders) -> None:
    made = (await orders.create_measure(order(), by="judge", now_ms=NOON_MS)).order

    async def end(measure: str, version: int, at_ms: int) -> Measure:
        return await orders.end_measure(measure, expected_version=version, at_ms=at_ms, by="clerk", now_ms=NOON_MS)

    with pytest.raises(StaleVersion) as stale:
        await end(made.id, 7, NOON_MS + 1)
    assert stale.value.current == 1
    with pytest.raises(NotFound):
        await end("msr_none", 1, NOON_MS)
    with pytest.raises(OrderRefused):
        await end(made.id, 1, made.valid_until_ms)
    before_it_began = await end(made.id, 1, NOON_MS - HOUR_MS)
    assert before_it_began.order.valid_until_ms == made.valid_from_ms
    assert not any(before_it_began.order.in_force(at) for at in (NOON_MS - 1, NOON_MS, NOON_MS + 1))


async def test_of_two_who_end_it_at_once_one_is_told_that_he_is_late(orders: Orders) -> None:
    made = await orders.create_measure(order(), by="judge", now_ms=NOON_MS)

    async def end(by: str) -> object:
        return await orders.end_measure(
            made.order.id, expected_version=1, at_ms=NOON_MS + 9, by=by, now_ms=NOON_MS
        )

    outcomes = await asyncio.gather(end("a"), end("b"), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Measure", "StaleVersion"]


# --- asked again under the same key -------------------------------------------------------------------------


def making(measure: Order) -> Callable[[Orders], Awaitable[Reply]]:
    async def work(orders: Orders) -> Reply:
        made = await orders.create_measure(measure, by="judge", now_ms=NOON_MS)
        return Reply(status=201, body=made.order.id.encode())

    return work


async def test_the_same_request_gets_the_same_reply_and_another_is_refused(orders: Orders) -> None:
    first = await orders.once("key", "body", NOON_MS, making(order()))
    assert await orders.once("key", "body", NOON_MS + REPLY_KEPT_MS - 1, making(order())) == first
    assert len((await orders.measures()).items) == 1
    with pytest.raises(KeyReused):
        await orders.once("key", "other body", NOON_MS, making(order()))
    later = await orders.once("key", "other body", NOON_MS + REPLY_KEPT_MS + 1, making(order()))
    assert later != first


async def test_replies_are_forgotten_after_a_day(orders: Orders, pool: Pool) -> None:
    for day in range(3):
        await orders.once(f"key {day}", "body", NOON_MS + day * (REPLY_KEPT_MS + 1), making(order()))
    async with transaction(pool) as connection:
        assert await (await connection.execute("select key from tocsin.idempotency")).fetchall() == [("key 2",)]


async def test_the_same_request_five_times_at_once_makes_one_measure(orders: Orders) -> None:
    replies = await asyncio.gather(*(orders.once("key", "body", NOON_MS, making(order())) for _ in range(5)))
    assert len({reply.body for reply in replies}) == 1
    assert len((await orders.measures()).items) == 1


async def test_a_refusal_leaves_neither_rows_nor_a_reply(orders: Orders, pool: Pool) -> None:
    async def half(inside: Orders) -> Reply:
        await inside.create_measure(order(), by="judge", now_ms=NOON_MS)
        await inside.create_measure(order(alert_distance_m=1), by="judge", now_ms=NOON_MS)
        raise AssertionError

    with pytest.raises(OrderRefused):
        await orders.once("key", "body", NOON_MS, half)
    assert (await orders.measures()).items == ()
    assert (await orders.once("key", "body", NOON_MS, making(order()))).status == 201


# --- to the buckets -----------------------------------------------------------------------------------------


class Stage:
    """A projector and its two buckets."""

    def __init__(self, source: Orders) -> None:
        self.devices, self.orders = MemoryBucket(), MemoryBucket()
        self.projector = OrderProjector(source=source, devices=self.devices, orders=self.orders)

    async def look(self, now_ms: int) -> None:
        while await self.projector.look(now_ms):
            pass

    async def holds(self) -> tuple[dict[str, Device], dict[str, Order]]:
        devices = {key: wire.decode_device(value) for key, value in (await contents(self.devices)).items()}
        return devices, {key: wire.decode_order(value) for key, value in (await contents(self.orders)).items()}


async def projected(source: Orders, now_ms: int) -> tuple[dict[str, Device], dict[str, Order]]:
    """What a projector that starts now makes of the record."""
    stage = Stage(source)
    await stage.look(now_ms)
    return await stage.holds()


async def test_a_measure_and_both_its_devices_reach_the_buckets_and_leave_them(orders: Orders) -> None:
    stage = Stage(orders)
    await stage.look(NOON_MS)
    first = (await orders.create_measure(order(), by="judge", now_ms=NOON_MS)).order
    other = (await orders.create_measure(order(protected="bar-p-2"), by="judge", now_ms=NOON_MS)).order
    await stage.look(NOON_MS + 200)
    devices, seen = await stage.holds()
    assert seen == {first.id: first, other.id: other}
    named = {device.id: device.measures for device in devices.values()}
    both = tuple(sorted((first.id, other.id)))
    assert named == {"bar-w-1": both, "bar-p-1": (first.id,), "bar-p-2": (other.id,), "bar-w-2": ()}

    end_ms = NOON_MS + 10_000
    ended = await orders.end_measure(first.id, expected_version=1, at_ms=end_ms, by="clerk", now_ms=NOON_MS + 300)
    await stage.look(NOON_MS + 400)
    devices, seen = await stage.holds()
    assert seen[first.id] == ended.order, "still in force, and the stages know until when"
    assert devices["bar-p-1"].measures == (first.id,)

    await stage.look(end_ms)
    devices, seen = await stage.holds()
    assert (devices["bar-p-1"].measures, devices["bar-w-1"].measures) == ((), (other.id,))
    assert seen[first.id] == ended.order
    await stage.look(end_ms + ORDER_STAYS_MS)
    assert (await stage.holds())[1] == {other.id: other}
    assert await stage.holds() == await projected(orders, end_ms + ORDER_STAYS_MS)


async def test_a_measure_lapses_without_anybody_touching_it(orders: Orders) -> None:
    stage = Stage(orders)
    made = (await orders.create_measure(order(), by="judge", now_ms=NOON_MS)).order
    for now_ms in range(NOON_MS, made.valid_until_ms + 1, 59_000):
        await stage.look(now_ms)
    await stage.look(made.valid_until_ms)
    assert (await stage.holds())[0]["bar-w-1"].measures == ()


async def test_at_its_start_the_projector_repairs_what_differs(orders: Orders) -> None:
    made = (await orders.create_measure(order(), by="judge", now_ms=NOON_MS)).order
    stage = Stage(orders)
    await stage.orders.put("msr_gone", wire.encode(order()))
    await stage.orders.put(made.id, wire.encode(order(alert_distance_m=9000)))
    await stage.devices.put("nobody", b"\x01")
    await stage.look(NOON_MS)
    assert await stage.holds() == await projected(orders, NOON_MS)
    assert set((await stage.holds())[1]) == {made.id}


async def test_a_change_is_done_with_only_when_the_buckets_have_it(orders: Orders, pool: Pool) -> None:
    class Down(MemoryBucket):
        down = False

        async def put(self, key: str, value: bytes) -> int:
            if self.down:
                raise LogUnavailable(key)
            return await super().put(key, value)

    stage = Stage(orders)
    stage.orders = Down()
    stage.projector = OrderProjector(source=orders, devices=stage.devices, orders=stage.orders)
    await stage.look(NOON_MS)
    made = await orders.create_measure(order(), by="judge", now_ms=NOON_MS)
    stage.orders.down = True
    with pytest.raises(LogUnavailable):
        await stage.look(NOON_MS + 1)
    stage.orders.down = False
    await stage.look(NOON_MS + 2)
    assert set((await stage.holds())[1]) == {made.order.id}
    async with transaction(pool) as connection:
        assert await (await connection.execute("select * from tocsin.outbox")).fetchall() == []


async def test_of_two_projectors_one_works(orders: Orders) -> None:
    async with orders.everything(NOON_MS) as ours, orders.changes(NOON_MS, NOON_MS) as theirs:
        assert ours is not None
        assert theirs is None


async def test_an_order_takes_effect_within_the_bound(orders: Orders) -> None:
    """Invariant 12, on the real clock, with measures made by several people at once."""
    devices, bucket, ready = MemoryBucket(), MemoryBucket(), asyncio.Event()
    worker = asyncio.create_task(
        run_order_projector(source=orders, devices=devices, orders=bucket, clock=AffineClock(), ready=ready.set)
    )
    await ready.wait()
    clock = AffineClock()
    period = {"valid_from_ms": clock.now_ms(), "valid_until_ms": clock.now_ms() + HOUR_MS}
    made = [order(**period) for _ in range(20)]
    await asyncio.gather(*(orders.create_measure(each, by="judge", now_ms=clock.now_ms()) for each in made))
    seen = set()
    async with asyncio.timeout(60):
        async for change in bucket.watch():
            seen |= {change.key} if change else set()
            if seen == {each.id for each in made}:
                break
    worker.cancel()
    assert wire.decode_device(await devices.get("bar-w-1")).measures == tuple(sorted(each.id for each in made))


async def test_places_and_hours_stay_with_their_measure_in_every_version(orders: Orders) -> None:
    """To the bucket that geofence watches, byte for byte."""
    night = Schedule(time_zone="Europe/Paris", hours=(Hours(day=7, from_min=1320, until_min=360),))
    square = ((5_369_000, 43_296_000), (5_372_000, 43_296_000), (5_372_000, 43_299_000), (5_369_000, 43_296_000))
    zones = (
        GeoZone(id="school", kind=ZoneKind.CORE, shape=Polygon(rings=(square,)), name="École", schedule=night),
        GeoZone(id="club", kind=ZoneKind.BAN, shape=Circle(centre=(5_400_000, 43_300_000), radius_m=150)),
    )
    given = order(zones=zones, authorised=Authorisation(schedule=night, floor_m=300))
    made = await orders.create_measure(given, by="judge", now_ms=NOON_MS)
    assert made.order == given
    ended = await orders.end_measure(given.id, expected_version=1, at_ms=NOON_MS, by="clerk", now_ms=NOON_MS)
    assert [one.order.zones for one in await orders.versions(given.id)] == [zones, zones]
    assert (await orders.measures()).items == (ended,)
    bucket = MemoryBucket()
    await OrderProjector(source=orders, devices=MemoryBucket(), orders=bucket).look(NOON_MS)
    assert wire.decode_order(await bucket.get(given.id) or b"") == ended.order
