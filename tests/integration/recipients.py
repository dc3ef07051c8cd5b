"""Real HTTP servers that do everything a recipient can do, and a courier that speaks to them.

The courier's clock runs twenty times as fast as the wall: a rung of one second is 50 ms.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from builders import NOW_MS, REALM, SECRET, entry, eventually
from builders import preadvised as handle
from real_broker import cancelled

from alerts.channels.heartbeat import TYPE as HEARTBEAT
from alerts.channels.heartbeat import WATCHDOG
from alerts.channels.police import Sender
from alerts.courier import run_courier
from alerts.line import Endpoint
from alerts.routing import EVERYTHING_TO_THE_DEFAULT, Routing
from tocsin import subjects
from tocsin.clock import AffineClock, Clock
from tocsin.model.episode import Channel, FindingCause, Receipt, Ruling
from tocsin.model.room import DEFAULT_ROOM, SECOND
from tocsin.ports import Log
from tocsin.subjects import EPISODES, RECEIPTS
from tocsin.testing.bus import MemoryLog
from tocsin.wire import decode_receipt, encode

CLOCK = AffineClock(epoch_ms=NOW_MS, anchor_ms=AffineClock().wall_ms(), rate=20.0)
REAL = AffineClock(epoch_ms=NOW_MS, anchor_ms=AffineClock().wall_ms())
"""Where a bound of seconds is asserted: of a busy machine's seconds none is counted more than once."""
HANG, DRIP, CUT, REDIRECT, HALF = "hang", "drip", "cut", "redirect", "half"
Behaviour = int | str


@dataclass
class Heard:
    headers: dict[str, str]
    body: bytes
    at_ms: int = 0


@dataclass
class Recipient:
    """Answers with ``plan``, one entry a request, the last one for ever; to heartbeats with ``to_beats``, and
    to what is ``poison`` once, and then never."""

    plan: list[Behaviour]
    heard: list[Heard] = field(default_factory=list)
    beats: list[Heard] = field(default_factory=list)
    to_beats: Behaviour = 200
    open_now: int = 0
    url: str = ""
    peak: int = 0
    clock: Clock = CLOCK
    poison: frozenset[str] = frozenset()
    tasks: set[asyncio.Task[None] | None] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open_now += 1
        self.peak = max(self.peak, self.open_now)
        self.tasks.add(asyncio.current_task())
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.open_now -= 1
            writer.close()
            self.tasks.discard(asyncio.current_task())

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        if HEARTBEAT.encode() in body or WATCHDOG.encode() in body:
            answer = self.to_beats
            self.beats.append(Heard(headers, body))
        else:
            answer = self._answer(headers["webhook-id"])
            self.heard.append(Heard(headers, body, self.clock.now_ms()))
        if answer == CUT:
            return False
        if answer == HALF:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 200\r\n\r\nhalf of it")
            await writer.drain()
            return False
        if answer == HANG:
            await asyncio.Event().wait()
        if answer == DRIP:
            writer.write(b"HTTP/1.1 200 OK\r\n")
            while True:
                writer.write(b"x-more: 1\r\n")
                await writer.drain()
                await asyncio.sleep(0.05)
        if answer == REDIRECT:
            writer.write(f"HTTP/1.1 307 See\r\nlocation: {self.url}/else\r\ncontent-length: 0\r\n\r\n".encode())
            return True
        writer.write(f"HTTP/1.1 {answer} X\r\ncontent-length: 2\r\n\r\nok".encode())
        return True

    def _answer(self, name: str) -> Behaviour:
        if name in self.poison:
            return HANG if name in self.ids else 500
        return self.plan.pop(0) if len(self.plan) > 1 else self.plan[0]

    @property
    def ids(self) -> list[str]:
        return [one.headers["webhook-id"] for one in self.heard]


@asynccontextmanager
async def listening(*plan: Behaviour, clock: Clock = CLOCK) -> AsyncIterator[Recipient]:
    recipient = Recipient(list(plan), clock=clock)
    server = await asyncio.start_server(recipient.serve, "127.0.0.1", 0)  # keeps its tasks weakly
    recipient.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield recipient
    finally:
        server.close()
        for task in list(recipient.tasks):
            if task is not None:
                await cancelled(task)


@asynccontextmanager
async def courier(
    log: Log,
    teleassistance: str | None,
    police: str | None = None,
    *,
    second: str | None = None,
    operations: str | None = None,
    clock: Clock = CLOCK,
    **rooms: str,
) -> AsyncIterator[asyncio.Task[None]]:
    """``rooms``: CIC_13 for CIC-13."""
    ready = asyncio.Event()
    lines = {DEFAULT_ROOM: police, **{room.replace("_", "-"): url for room, url in rooms.items()}}
    recipients = {
        Channel.TELEASSISTANCE: endpoints({DEFAULT_ROOM: teleassistance, SECOND: second}),
        Channel.OPERATIONS: endpoints({DEFAULT_ROOM: operations}),
        Channel.POLICE: endpoints(lines),
    }
    sender = Sender(site="paca")
    task = asyncio.create_task(
        run_courier(log_=log, clock=clock, realm=REALM, sender=sender, recipients=recipients, ready=ready.set)
    )
    try:
        await ready.wait()
        yield task
    finally:
        await cancelled(task)


def endpoints(urls: Mapping[str, str | None]) -> dict[str, Endpoint]:
    return {room: Endpoint(url=url, secret=SECRET) for room, url in urls.items() if url is not None}


def opening(
    measure: str = "msr_1",
    routing: Routing = EVERYTHING_TO_THE_DEFAULT,
    clock: AffineClock = CLOCK,
    **finding: Any,
) -> Ruling:
    """``routing`` chooses the rooms; without it there is the default one."""
    ruling = handle(None, FindingCause(finding=entry(measure=measure, **finding)), REALM, clock.now_ms(), routing)
    assert isinstance(ruling, Ruling)
    return ruling


async def rule(
    log: Log,
    measure: str = "msr_1",
    routing: Routing = EVERYTHING_TO_THE_DEFAULT,
    clock: AffineClock = CLOCK,
    **finding: Any,
) -> Ruling:
    ruling = opening(measure, routing, clock, **finding)
    await log.append(subjects.episode(ruling.episode.code.value, measure), encode(ruling))
    return ruling


def receipts(log: MemoryLog, channel: Channel = Channel.TELEASSISTANCE) -> list[Receipt]:
    found = [decode_receipt(one.payload) for one in log.entries(RECEIPTS)]
    return [one for one in found if one.channel is channel]


def results(log: MemoryLog, channel: Channel = Channel.TELEASSISTANCE) -> list[str]:
    return [one.result for one in receipts(log, channel)]


async def settled(log: MemoryLog, channel: Channel = Channel.TELEASSISTANCE) -> None:
    async with log.queue(EPISODES, f"courier-{channel.value}", parallel=1) as queue:
        await eventually(lambda: queue.unsettled == 0)
