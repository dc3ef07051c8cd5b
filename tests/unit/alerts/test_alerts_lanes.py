"""Who is served first, and does anything overtake what it must not? Invariant 2, F28."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from builders import PROTECTED, REALM, entry, eventually, frozen_clock, press
from real_broker import cancelled

from alerts import dispatcher
from alerts.dispatcher import run_dispatcher
from alerts.lanes import AT_ONCE, KEPT_FOR_URGENT, URGENT, Lanes, Work
from alerts.ledger import Ledger
from tocsin import subjects
from tocsin.model.finding import Code
from tocsin.subjects import EPISODES
from tocsin.testing.bus import MemoryBucket, MemoryLog
from tocsin.wire import decode_ruling, encode

LOWER = 3
ROOM = AT_ONCE - KEPT_FOR_URGENT


@dataclass(slots=True)
class Desk:
    """Work that begins when it may, and ends when the test says so."""

    begun: list[str] = field(default_factory=list)
    ends: dict[str, asyncio.Event] = field(default_factory=dict)

    def work(self, name: str, rank: int = LOWER, *, place: str | None = None, sequence: int | None = None) -> Work:
        self.ends.setdefault(name, asyncio.Event())

        async def do() -> None:
            self.begun.append(name)
            await self.ends[name].wait()

        number = len(self.ends) if sequence is None else sequence
        return Work(name=("queue", number), place=place or name, rank=rank, do=do)

    async def end(self, *names: str) -> None:
        for name in names:
            self.ends[name].set()
        await turns()


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@asynccontextmanager
async def lanes_of() -> AsyncIterator[Lanes]:
    """Nothing of it goes on behind the body."""

    made: asyncio.Future[Lanes] = asyncio.get_running_loop().create_future()

    async def live() -> None:
        async with asyncio.TaskGroup() as tasks:
            made.set_result(Lanes(tasks))
            await asyncio.Event().wait()

    living = asyncio.create_task(live())
    try:
        yield await made
    finally:
        await cancelled(living)


async def test_so_much_at_once_and_some_room_is_for_what_is_urgent() -> None:
    desk = Desk()
    async with lanes_of() as lanes:
        for number in range(100):
            lanes.add(desk.work(f"low {number}"))
        await turns()
        assert desk.begun == [f"low {number}" for number in range(ROOM)]
        for number in range(100):
            lanes.add(desk.work(f"p1 {number}", URGENT))
        await turns()
        assert desk.begun[ROOM:] == [f"p1 {number}" for number in range(KEPT_FOR_URGENT)]


async def test_of_what_waits_the_most_urgent_is_first_and_of_these_the_oldest() -> None:
    desk = Desk()
    async with lanes_of() as lanes:
        for number in range(ROOM):
            lanes.add(desk.work(f"held {number}", 0))
        for number in range(KEPT_FOR_URGENT):
            lanes.add(desk.work(f"held too {number}", 0))
        waiting = [("receipt", 9), ("p3", 3), ("p1", 1), ("p2", 2), ("p1 later", 1), ("key", 0)]
        for name, rank in waiting:
            lanes.add(desk.work(name, rank))
        await turns()
        assert len(desk.begun) == AT_ONCE
        await desk.end(*(f"held {number}" for number in range(ROOM)))
    assert desk.begun[AT_ONCE:] == ["key", "p1", "p1 later", "p2", "p3", "receipt"]


async def test_what_is_about_one_place_is_taken_in_order_one_at_a_time() -> None:
    desk = Desk()
    async with lanes_of() as lanes:
        lanes.add(desk.work("entry", 3, place="here"))
        lanes.add(desk.work("exit", 1, place="here"))
        lanes.add(desk.work("elsewhere"))
        await turns()
        assert desk.begun == ["entry", "elsewhere"]
        await desk.end("entry")
        assert desk.begun == ["entry", "elsewhere", "exit"]


async def test_what_is_in_hand_is_not_taken_again_and_afterwards_it_is() -> None:
    desk = Desk()
    async with lanes_of() as lanes:
        lanes.add(desk.work("one", sequence=7))
        lanes.add(desk.work("one", sequence=7))  # its lease has ended while it waited
        await turns()
        assert desk.begun == ["one"]
        await desk.end("one")
        assert desk.begun == ["one"]
        lanes.add(desk.work("one", sequence=7))  # given back, and here again
        await turns()
        assert desk.begun == ["one", "one"]


async def test_a_key_and_an_alert_pass_a_backlog_that_does_not_move(monkeypatch: pytest.MonkeyPatch) -> None:
    """Invariant 2, F28: hundreds of losses whose rulings hang, and nothing of them stands before her."""
    log, rule, stuck = MemoryLog(), dispatcher.Ledger.rule, []

    async def hangs(self: Ledger, code: str, subject: str, event: object, **how: object) -> object:
        if code == Code.W_COMMS_LOSS:
            stuck.append(subject)
            await asyncio.Event().wait()
        return await rule(self, code, subject, event, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(dispatcher.Ledger, "rule", hangs)
    ready = asyncio.Event()
    part = asyncio.create_task(
        run_dispatcher(log_=log, clock=frozen_clock(), realm=REALM, ready=ready.set, devices=MemoryBucket())
    )
    try:
        await ready.wait()
        for number in range(300):
            loss = entry(f"fnd_{number}", code=Code.W_COMMS_LOSS, measure=f"msr_{number}")
            await log.append(subjects.findings(0, loss.code.value), encode(loss))
        await eventually(lambda: len(stuck) == ROOM)
        await log.append(subjects.findings(0, Code.PROX_ALERT.value), encode(entry()))
        await log.append(subjects.alarm(PROTECTED), encode(press()))
        await eventually(lambda: len(log.entries(EPISODES)) == 2)
    finally:
        await cancelled(part)
    codes = {decode_ruling(one.payload).episode.code for one in log.entries(EPISODES)}
    assert codes == {Code.PROX_ALERT, Code.BAR_SOS}
    assert len(stuck) == ROOM
