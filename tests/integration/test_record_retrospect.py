"""Does the record remember where the past has to be looked at again, and what was said of it?"""

from __future__ import annotations

import numpy as np
from builders import fix_point
from geofence_places import authorised

from tocsin.adapters.fixes import FixArchive
from tocsin.adapters.orders import Orders
from tocsin.adapters.postgres import Pool
from tocsin.adapters.retrospect import SLOT_MS, Due, Retrospect
from tocsin.limits import READ_ROWS_MAX
from tocsin.model.device import DeviceKind
from tocsin.model.finding import Change, Code, Finding, Past
from tocsin.model.fix import FIX_DTYPE, ClockPoints, Fixes, FixFlag
from tocsin.model.order import Order
from tocsin.model.zone import Zone

pytest_plugins = ("database",)

NOON_MS = 1_795_262_400_000
FUTURE_MS = NOON_MS + 86_400_000


def fixes(*at_s: float, delay_ms: int = 500, flags: int = 0, device: int = 7) -> Fixes:
    made = np.zeros(len(at_s), FIX_DTYPE)
    made["device"], made["primary"], made["flags"] = device, 1, flags
    made["fix_ms"] = [NOON_MS + round(1000 * one) for one in at_s]
    made["t3_ms"] = made["fix_ms"] + delay_ms
    return made


async def due(record: Retrospect, *, now_ms: int = FUTURE_MS) -> tuple[Due, ...]:
    return await record.due(settled_ms=now_ms, quiet_ms=now_ms, waited_ms=now_ms, limit=100)


async def test_only_what_came_late_is_noted_by_quarters_of_an_hour(pool: Pool) -> None:
    archive, record = FixArchive(pool), Retrospect(pool)
    await archive.archive(fixes(0, 60, 30_000, delay_ms=30_000))
    assert await due(record) == ()
    await archive.archive(fixes(0.5, 899, 900, delay_ms=30_001))
    await archive.archive(fixes(5, flags=FixFlag.BULK, device=8))
    assert await due(record) == (Due(7, NOON_MS, 1), Due(8, NOON_MS, 1), Due(7, NOON_MS + SLOT_MS, 1))
    assert await record.waiting() == 3


async def test_what_comes_while_it_is_looked_at_is_not_struck_out(pool: Pool) -> None:
    archive, record = FixArchive(pool), Retrospect(pool)
    await archive.archive(fixes(0, delay_ms=60_000))
    seen = await due(record)
    await archive.archive(fixes(10, delay_ms=60_000))
    await record.done(seen)
    (left,) = await due(record)
    assert left.revision == 2
    await record.done([left])
    assert await record.waiting() == 0


async def test_it_is_due_when_it_is_settled_and_quiet_or_has_waited_long_enough(pool: Pool) -> None:
    record = Retrospect(pool)
    await FixArchive(pool).archive(fixes(0, 100, delay_ms=60_000))

    async def is_due(settled_s: int, quiet_s: int, waited_s: int) -> bool:
        hours = {"settled_ms": settled_s, "quiet_ms": quiet_s, "waited_ms": waited_s}
        return bool(await record.due(**{name: NOON_MS + 1000 * s for name, s in hours.items()}, limit=1))

    assert [await is_due(*hours) for hours in ((99, 160, 160), (100, 159, 59), (100, 160, 0), (100, 0, 60))] == [
        False, False, True, True,
    ]  # fmt: skip
    await record.postpone(await due(record), NOON_MS + 500_000)
    assert not await is_due(499, 1_000, 1_000)
    assert await is_due(500, 1_000, 1_000)


async def test_a_track_is_read_whole_however_long(pool: Pool) -> None:
    count = READ_ROWS_MAX + 3
    await FixArchive(pool).archive(fixes(*range(0, 5 * count, 5)))
    track = await Retrospect(pool).track(7, NOON_MS, NOON_MS + 5_000 * (count - 1))
    assert track["at_ms"].tolist() == [NOON_MS + 5_000 * index for index in range(count)]
    assert set(track["delay_ms"].tolist()) == {500}


async def test_measures_are_those_in_force_then_ended_ones_too(pool: Pool) -> None:
    orders, record = Orders(pool), Retrospect(pool)
    his = await orders.create_device("his-unit", DeviceKind.WEARER, "x", NOON_MS)
    hers = await orders.create_device("her-unit", DeviceKind.PROTECTED, "x", NOON_MS)
    order = Order(id="msr_1", version=1, wearer="his-unit", protected="her-unit", alert_distance_m=1_000,
                  valid_from_ms=NOON_MS, valid_until_ms=FUTURE_MS)  # fmt: skip
    await orders.create_measure(order, by="x", now_ms=NOON_MS)
    await orders.end_measure("msr_1", expected_version=1, at_ms=NOON_MS + 1_000, by="x", now_ms=NOON_MS + 900)
    for number in (his.number, hers.number):
        (pair,) = await record.pairs([number], NOON_MS - 500, NOON_MS + 500)
        assert (pair.wearer, pair.protected) == (his.number, hers.number)
        assert pair.order.valid_until_ms == NOON_MS + 1_000
    assert pair.order.authorised is None
    assert await record.pairs([his.number], NOON_MS + 1_000, FUTURE_MS) == ()
    assert await record.pairs([his.number], NOON_MS - 500, NOON_MS - 1) == ()


async def test_a_measure_comes_with_the_hours_that_are_authorised(pool: Pool) -> None:
    orders, record = Orders(pool), Retrospect(pool)
    his = await orders.create_device("his-unit", DeviceKind.WEARER, "x", NOON_MS)
    await orders.create_device("her-unit", DeviceKind.PROTECTED, "x", NOON_MS)
    order = Order(
        id="msr_1", version=1, wearer="his-unit", protected="her-unit", alert_distance_m=1_000,
        valid_from_ms=NOON_MS, valid_until_ms=FUTURE_MS, authorised=authorised("60:00", "90:00", floor_m=200),
    )  # fmt: skip
    await orders.create_measure(order, by="x", now_ms=NOON_MS)
    (pair,) = await record.pairs([his.number], NOON_MS, FUTURE_MS)
    assert pair.order == order


def said(name: str, first_s: int, *, supersedes: tuple[str, ...] = (), of: str | None = None) -> Finding:
    first_ms = NOON_MS + 1000 * first_s
    point = fix_point("his-unit")
    return Finding(
        id=name, measure="msr_1", order_version=1, code=Code.PAST_INCURSION,
        change=Change.EXIT if of else Change.ENTRY, before=Zone.ALERT, after=Zone.ALERT, distance_dm=4_000,
        threshold_m=1_000, wearer=point, protected=point, entry=of or name, entry_ms=first_ms, at_ms=first_ms,
        reason="late_fixes", points=ClockPoints(),
        past=Past(first_ms=first_ms, last_ms=first_ms + 60_000, nearest_ms=first_ms, wearer=point, protected=point,
                  late=(), supersedes=supersedes),
    )  # fmt: skip


async def test_the_last_versions_are_what_stands_and_what_was_taken_back(pool: Pool) -> None:
    record = Retrospect(pool)
    await record.say([said("fnd_a", 0), said("fnd_b", 1_000), said("fnd_far", 50_000)], NOON_MS)
    await record.say([said("fnd_a2", 10, supersedes=("fnd_a",)), said("fnd_gone", 1_000, of="fnd_b")], NOON_MS)
    known = await record.said("msr_1", NOON_MS, NOON_MS + 2_000_000)
    assert ([one.id for one in known.findings], known.withdrawn) == (["fnd_b", "fnd_a2"], {"fnd_b"})
    assert (await record.said("msr_2", NOON_MS, FUTURE_MS)).findings == ()


async def test_what_is_kept_is_told_until_the_log_has_it_and_kept_once(pool: Pool) -> None:
    record = Retrospect(pool)
    for _ in range(2):
        await record.say([said("fnd_a", 0), said("fnd_b", 1_000)], NOON_MS)
    assert await record.untold(10) == (said("fnd_a", 0), said("fnd_b", 1_000))
    await record.told(["fnd_a"])
    assert [one.id for one in await record.untold(10)] == ["fnd_b"]
