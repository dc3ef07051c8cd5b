"""Is every version of a measure linked once, also those made while no projector ran? Invariants 12, 15; F09."""

from __future__ import annotations

import msgspec
import pytest

from alerts.order_projector import RECONCILE_EVERY_S, OrderProjector
from tocsin.adapters.orders import Orders
from tocsin.adapters.postgres import Pool
from tocsin.adapters.seals import Seals
from tocsin.chain import KeptAs, Kind, faults
from tocsin.errors import RecordUnavailable
from tocsin.model.device import DeviceKind
from tocsin.model.order import Order
from tocsin.sealing import measure_chain
from tocsin.testing.bus import MemoryBucket

pytest_plugins = ("database",)

NOON_MS = 1_795_262_400_000
HOUR_MS = 3_600_000


def order(name: str) -> Order:
    return Order(
        id=name, version=1, wearer="bar-w-1", protected="bar-p-1", alert_distance_m=2000, valid_from_ms=NOON_MS,
        valid_until_ms=NOON_MS + HOUR_MS,
    )  # fmt: skip


@pytest.fixture
async def orders(pool: Pool) -> Orders:
    made = Orders(pool)
    await made.create_device("bar-w-1", DeviceKind.WEARER, "", NOON_MS)
    await made.create_device("bar-p-1", DeviceKind.PROTECTED, "", NOON_MS)
    return made


def projector(orders: Orders) -> OrderProjector:
    return OrderProjector(source=orders, devices=MemoryBucket(), orders=MemoryBucket())


async def sealed(pool: Pool, name: str) -> list[Order]:
    """The versions in the chain of the measure, which holds together."""
    seals, chain = Seals(pool), measure_chain(name)
    links, opened = await seals.links(chain), await seals.opened(chain)
    assert faults(chain, links, opened) == []
    assert {(link.kind, link.kept_as) for link in links} <= {(Kind.ORDER, KeptAs.MEASURE_FILE)}
    return [msgspec.json.decode(opened[link.number].payload, type=Order) for link in links]


async def test_a_measure_and_its_end_are_linked_when_the_projector_hears_of_them(
    orders: Orders, pool: Pool
) -> None:
    stage = projector(orders)
    await stage.look(NOON_MS)
    made = await orders.create_measure(order("msr_1"), by="judge", now_ms=NOON_MS)
    await stage.look(NOON_MS + 1)
    assert await sealed(pool, "msr_1") == [made.order]
    ended = await orders.end_measure(
        "msr_1", expected_version=1, at_ms=NOON_MS + 60_000, by="judge", now_ms=NOON_MS
    )
    for at_ms in (2, 3, 70_000, 140_000):  # also when its period is over: that is no new version
        await stage.look(NOON_MS + at_ms)
    assert await sealed(pool, "msr_1") == [made.order, ended.order]


async def test_versions_made_while_nobody_projected_are_linked_by_the_next_one(
    orders: Orders, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of measures that are over and in no bucket; more of them than one transaction takes."""
    monkeypatch.setattr("tocsin.adapters.orders.SEALED_AT_ONCE", 2)
    for number in range(5):
        await orders.create_measure(order(f"msr_{number}"), by="judge", now_ms=NOON_MS)
    await orders.end_measure("msr_2", expected_version=1, at_ms=NOON_MS, by="judge", now_ms=NOON_MS)
    await projector(orders).look(NOON_MS + 30 * 24 * HOUR_MS)
    assert [len(await sealed(pool, f"msr_{number}")) for number in range(5)] == [1, 1, 2, 1, 1]
    assert await orders.seal_versions(NOON_MS) == 0


async def test_a_projector_that_lost_the_record_between_links_them_at_its_next_comparison(
    orders: Orders, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order takes effect all the same: it waits for no link."""
    stage = projector(orders)
    await stage.look(NOON_MS)
    await orders.create_measure(order("msr_1"), by="judge", now_ms=NOON_MS)

    async def away(*_: object, **__: object) -> int:
        raise RecordUnavailable("away")

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(orders, "seal_versions", away)
        with pytest.raises(RecordUnavailable):
            await stage.look(NOON_MS + 1)
    assert await stage._orders.get("msr_1") is not None
    assert await sealed(pool, "msr_1") == []
    await stage.look(NOON_MS + RECONCILE_EVERY_S * 1000)
    assert len(await sealed(pool, "msr_1")) == 1


async def test_the_order_of_a_canary_is_no_evidence(orders: Orders, pool: Pool) -> None:
    await orders.create_measure(order("canary-1"), by="canary", now_ms=NOON_MS)
    await orders.create_measure(order("msr_1"), by="judge", now_ms=NOON_MS)
    assert await orders.seal_versions(NOON_MS) == 1
    assert await sealed(pool, "canary-1") == []
