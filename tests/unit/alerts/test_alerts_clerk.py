"""What does the clerk put on the log while nobody rules on it? The shell, with a log that forgets every name."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from builders import DEVICES, NOW_MS, REALM, TGD, entry, eventually

from alerts.administration import DAY_MS
from alerts.clerk import Clerk, ClerkDoors
from alerts.desk import handle
from tocsin import subjects
from tocsin.errors import LogUnavailable
from tocsin.model.episode import FindingCause, Ruling
from tocsin.model.finding import Code
from tocsin.model.order import Order
from tocsin.model.sign import LISTENING, Listening, Sign
from tocsin.model.standing import Protection, Standing
from tocsin.model.zone import Zone
from tocsin.ports import Appended
from tocsin.testing.bus import MemoryBucket, MemoryLog
from tocsin.wire import decode_notice, encode


class Forgetful(MemoryLog):
    """Two looks are more than its window apart."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False

    async def append(self, subject: str, payload: bytes, **more: Any) -> Appended:
        if self.away:
            raise LogUnavailable("no answer")
        return await super().append(subject, payload, **{**more, "dedupe_id": None})


async def test_what_waits_for_the_dispatcher_is_said_once_and_what_the_log_refused_again() -> None:
    """An hour without a dispatcher was 60 copies of each notice, in a stream that others need."""
    log = Forgetful()
    doors = ClerkDoors(
        log=log,
        devices=MemoryBucket(),
        orders=MemoryBucket(),
        standings=MemoryBucket(),
        signs=MemoryBucket(),
        tallies=MemoryBucket(),
    )
    await doors.devices.put(TGD, encode(DEVICES[TGD]))
    await doors.signs.put(LISTENING, encode(Listening(since_ms=NOW_MS - 9 * DAY_MS, at_ms=NOW_MS)))
    silent = Sign(device=TGD, first_ms=NOW_MS - 9 * DAY_MS, heard_ms=NOW_MS - 2 * DAY_MS)
    await doors.signs.put(TGD, encode(silent))
    clerk = Clerk(doors)

    def said() -> list[Code]:
        return [decode_notice(one.payload).code for one in log.entries(subjects.NOTICES)]

    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(_follow(clerk))
        await eventually(lambda: clerk.seen().signs)
        log.away = True
        await clerk.look(NOW_MS)
        assert said() == []
        log.away = False
        for minute in range(60):
            await clerk.look(NOW_MS + minute * 60_000)
        assert said() == [Code.TGD_UNREACHABLE]
        following.cancel()


async def _follow(clerk: Clerk) -> None:
    async with asyncio.TaskGroup() as tasks:
        await clerk.follow(tasks)


async def test_of_a_canary_no_order_expires_and_no_unit_waits_to_be_fitted() -> None:
    doors = ClerkDoors(
        log=MemoryLog(), devices=MemoryBucket(), orders=MemoryBucket(), standings=MemoryBucket(),
        signs=MemoryBucket(), tallies=MemoryBucket(),
    )  # fmt: skip
    hers = Order(
        id="msr_1", version=1, wearer="wearer-1", protected="protected-1", alert_distance_m=1000,
        valid_from_ms=NOW_MS - 9 * DAY_MS, valid_until_ms=NOW_MS + DAY_MS // 2,
    )  # fmt: skip
    for order in (hers, msgspec.structs.replace(hers, id="canary-0", wearer="canary-0-w", protected="canary-0-v")):
        await doors.orders.put(order.id, encode(order))
        unfitted = Standing(
            measure=order.id, protection=Protection.UNPROTECTED, since_ms=NOW_MS - 9 * DAY_MS,
            reason="never_heard", zone=Zone.FAR, at_ms=NOW_MS,
        )  # fmt: skip
        await doors.standings.put(order.id, encode(unfitted))
        ruling = handle(
            None, FindingCause(finding=entry(code=Code.W_COMMS_LOSS, measure=order.id)), REALM, NOW_MS - 3 * DAY_MS
        )
        assert isinstance(ruling, Ruling)
        await doors.log.append(subjects.episode("W_COMMS_LOSS", order.id), encode(ruling))
    clerk = Clerk(doors)
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(_follow(clerk))
        await eventually(lambda: clerk.seen().orders and clerk.seen().standings and clerk.seen().lasting)
        await clerk.look(NOW_MS)
        following.cancel()
    said = [decode_notice(one.payload) for one in doors.log.entries(subjects.NOTICES)]
    assert {one.code for one in said} >= {Code.ORDER_EXPIRING, Code.ORDER_NOT_FITTED}
    assert {one.measures for one in said} == {("msr_1",)}
