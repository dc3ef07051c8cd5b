"""What does the clerk put on the log while nobody rules on it? The shell, with a log that forgets every name."""

from __future__ import annotations

import asyncio
from typing import Any

from builders import DEVICES, NOW_MS, TGD, eventually

from alerts.administration import DAY_MS
from alerts.clerk import Clerk, ClerkDoors
from tocsin import subjects
from tocsin.errors import LogUnavailable
from tocsin.model.finding import Code
from tocsin.model.sign import LISTENING, Listening, Sign
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
