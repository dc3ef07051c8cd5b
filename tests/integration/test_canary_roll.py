"""Are invented pairs registered once and kept in force, and are their logins those that the part knows?"""

from __future__ import annotations

import pytest

from audit.canary_roll import ORDER_LASTS_MS, RENEWED_BEFORE_MS, enrol, password_of
from audit.canary_round import ALERT_DISTANCE_M, REPORT_S, pairs
from tocsin.adapters.orders import NotFound, Orders
from tocsin.adapters.postgres import Pool
from tocsin.embedded import is_password_of
from tocsin.model.device import DeviceKind
from tocsin.model.order import Order

pytest_plugins = ("database",)

NOON_MS = 1_795_262_400_000
(PAIR,) = pairs(1)
SECRET = "s" * 40


async def test_a_pair_is_enrolled_once_however_often(pool: Pool) -> None:
    orders = Orders(pool)
    for later_ms in (0, 60_000, 120_000):
        await enrol(orders, PAIR, SECRET, NOON_MS + later_ms)
    known = await orders.measure(PAIR.measure)
    assert (known.order.version, known.order.alert_distance_m) == (1, ALERT_DISTANCE_M)
    assert known.order.in_force(NOON_MS)
    for name, kind in ((PAIR.wearer, DeviceKind.WEARER), (PAIR.protected, DeviceKind.PROTECTED)):
        device = await orders.device(name, NOON_MS)
        assert (device.kind, device.reports_every_s, device.measures) == (kind, REPORT_S, (PAIR.measure,))
        assert is_password_of(password_of(SECRET, name), device.password_bcrypt)
        assert not is_password_of(password_of(SECRET, name + "x"), device.password_bcrypt)


async def test_it_is_prolonged_before_it_ends_and_also_when_it_has_ended(pool: Pool) -> None:
    orders = Orders(pool)
    await enrol(orders, PAIR, SECRET, NOON_MS)
    soon_ms = NOON_MS + ORDER_LASTS_MS - RENEWED_BEFORE_MS
    await enrol(orders, PAIR, SECRET, soon_ms)
    assert (await orders.measure(PAIR.measure)).order.version == 1
    await enrol(orders, PAIR, SECRET, soon_ms + 1)
    first = (await orders.measure(PAIR.measure)).order
    assert (first.version, first.valid_until_ms) == (2, soon_ms + 1 + ORDER_LASTS_MS)
    await orders.end_measure(PAIR.measure, expected_version=2, at_ms=soon_ms + 2, by="court", now_ms=soon_ms + 2)
    await enrol(orders, PAIR, SECRET, soon_ms + 3)
    again = await orders.measure(PAIR.measure)
    assert again.order.in_force(soon_ms + 3)
    assert (again.order.version, again.ended_ms) == (4, None)


async def test_another_secret_gives_the_units_other_logins(pool: Pool) -> None:
    orders = Orders(pool)
    await enrol(orders, PAIR, SECRET, NOON_MS)
    await enrol(orders, PAIR, "t" * 40, NOON_MS)
    device = await orders.device(PAIR.wearer, NOON_MS)
    assert is_password_of(password_of("t" * 40, PAIR.wearer), device.password_bcrypt)


async def test_nobody_elses_measure_is_prolonged(pool: Pool) -> None:
    """To prolong the measure of a person takes an order of the court."""
    orders = Orders(pool)
    for name, kind in (("w-1", DeviceKind.WEARER), ("p-1", DeviceKind.PROTECTED)):
        await orders.create_device(name, kind, "$2b$12$none", NOON_MS)
    order = Order(
        id="msr_1", version=1, wearer="w-1", protected="p-1", alert_distance_m=1000, valid_from_ms=NOON_MS,
        valid_until_ms=NOON_MS + 1000,
    )  # fmt: skip
    await orders.create_measure(order, by="court", now_ms=NOON_MS)
    with pytest.raises(NotFound):
        await orders.prolong_canary("msr_1", until_ms=NOON_MS + 9_000, by="canary", now_ms=NOON_MS)
    assert (await orders.measure("msr_1")).order == order
