"""Who may speak to an endpoint now, and what is remembered of it? F02, F28, invariant 2."""

from __future__ import annotations

import asyncio

import httpx2
import pytest
from builders import SECRET, eventually
from real_broker import cancelled

from alerts.deadlines import USUAL_FIRST_MS
from alerts.doors import HANGS_AFTER_LOOKS, Door, Gate
from alerts.line import Endpoint, Line, Outcome
from alerts.urgency import NEW, URGENT
from tocsin.model.episode import Channel


class Crowd:
    """People who go in, say their name, and stay until they are let go."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.inside: list[str] = []
        self.left: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, name: str, rank: int, at_ms: int = 0) -> None:
        self.left[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._stay(name, rank, at_ms))
        await asyncio.sleep(0)  # until it is inside or waits

    async def _stay(self, name: str, rank: int, at_ms: int) -> None:
        async with self.gate.entered(rank, at_ms):
            self.inside.append(name)
            await self.left[name].wait()

    async def go(self, name: str) -> None:
        self.left[name].set()
        await self.tasks[name]
        await asyncio.sleep(0)  # whoever is let in next says so


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks whether they move on."""
    monkeypatch.setattr("alerts.doors.LOOK_S", 3_600.0)


@pytest.mark.usefixtures("patient")
async def test_the_most_urgent_goes_in_next_then_the_oldest() -> None:
    crowd = Crowd(Gate(eager=1, most=9))
    for name, rank, at_ms in (("a", 3, 0), ("b", 3, 5), ("c", 3, 4), ("d", 1, 9), ("e", 2, 1)):
        await crowd.come(name, rank, at_ms)
    assert crowd.inside == ["a"]
    for name in "adec":
        await crowd.go(name)
    assert crowd.inside == ["a", "d", "e", "c", "b"]
    await crowd.go("b")


async def test_where_nobody_moves_on_more_are_let_in_the_most_urgent_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("alerts.doors.LOOK_S", 0.01)
    crowd = Crowd(Gate(eager=1, most=3))
    for name, rank in (("a", 3), ("b", 3), ("c", 3), ("d", 1)):
        await crowd.come(name, rank)
    await eventually(lambda: len(crowd.inside) == 3)
    assert crowd.inside[:2] == ["a", "d"]
    await asyncio.gather(*(cancelled(one) for one in crowd.tasks.values()))


async def test_some_room_is_for_p1_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alerts.doors.LOOK_S", 0.0)
    crowd = Crowd(Gate(eager=2, most=3, urgent=1))
    for name in "abc":
        await crowd.come(name, URGENT + 1)
    await crowd.come("p1", URGENT)
    await eventually(lambda: len(crowd.inside) == 3)
    assert crowd.inside == ["a", "b", "p1"], "c waits though there was room"
    await asyncio.gather(*(cancelled(one) for one in crowd.tasks.values()))


def look(gate: Gate, times: int = HANGS_AFTER_LOOKS) -> None:
    for _ in range(times):
        gate.look()


@pytest.mark.usefixtures("patient")
async def test_an_endpoint_that_is_only_busy_gets_no_more_at_once() -> None:
    """Else what is let in beside it is what the next P1 waits behind (invariant 2)."""
    crowd = Crowd(Gate(eager=2, most=99))
    names = [f"{number:02}" for number in range(30)]
    for name in names:
        await crowd.come(name, 3)
    for gone, name in enumerate(names[:-2], start=1):
        look(crowd.gate, 1)
        assert len(crowd.inside) - (gone - 1) == 2
        await crowd.go(name)
    await asyncio.gather(*(cancelled(one) for one in crowd.tasks.values()))


@pytest.mark.usefixtures("patient")
async def test_what_nobody_has_heard_of_finds_a_place_beside_rungs_that_wait() -> None:
    crowd = Crowd(Gate(eager=3, most=9, new=1))
    for name in "abc":
        await crowd.come(name, NEW + 1)
    assert crowd.inside == ["a", "b"]
    await crowd.come("key", NEW)
    assert crowd.inside == ["a", "b", "key"]
    await crowd.come("another", NEW)
    await crowd.go("a")
    assert crowd.inside == ["a", "b", "key", "another"], "c came first, and has been heard of"
    await asyncio.gather(*(cancelled(one) for one in crowd.tasks.values()))


@pytest.mark.usefixtures("patient")
async def test_for_each_that_hangs_another_goes_in_and_no_more_when_it_leaves() -> None:
    """F02: an endpoint that answers some of its calls and hangs at the others."""
    crowd = Crowd(Gate(eager=2, most=9))
    for name in ("hangs", "a"):
        await crowd.come(name, 3)
    look(crowd.gate, HANGS_AFTER_LOOKS - 1)
    for name in "bcdef":
        await crowd.come(name, 3)
    await crowd.go("a")
    assert crowd.inside == ["hangs", "a", "b"]
    look(crowd.gate, 1)
    await asyncio.sleep(0)
    assert crowd.inside == ["hangs", "a", "b", "c"], "one hangs: one more"
    await crowd.go("hangs")
    assert crowd.inside == ["hangs", "a", "b", "c"], "what it had beside it is its place"
    await crowd.go("b")
    assert crowd.inside == ["hangs", "a", "b", "c", "d"]
    await asyncio.gather(*(cancelled(one) for one in crowd.tasks.values()))


@pytest.mark.usefixtures("patient")
async def test_whoever_gives_up_takes_nobodys_place() -> None:
    crowd = Crowd(Gate(eager=1, most=1))
    for name in "abc":
        await crowd.come(name, 1)
    await cancelled(crowd.tasks["b"])
    await crowd.go("a")
    assert crowd.inside == ["a", "c"]
    await crowd.go("c")
    await crowd.come("d", 5)
    assert crowd.inside[-1] == "d", "every place was given back"
    await crowd.go("d")


@pytest.mark.usefixtures("patient")
async def test_whoever_is_let_in_and_cancelled_at_once_gives_it_on() -> None:
    crowd = Crowd(Gate(eager=1, most=1))
    for name in "abc":
        await crowd.come(name, 1)
    crowd.left["a"].set()
    await asyncio.sleep(0)  # a leaves and b is let in
    assert crowd.inside == ["a"], "b has not run yet"
    await cancelled(crowd.tasks["b"])
    await eventually(lambda: crowd.inside == ["a", "c"])
    await crowd.go("c")


def door() -> Door:
    endpoint = Endpoint(url="http://t.example", secret=SECRET)
    return Door(
        name="teleassistance",
        channel=Channel.TELEASSISTANCE,
        line=Line(endpoint=endpoint, http=httpx2.AsyncClient()),
    )


def test_what_an_endpoint_usually_takes_is_of_what_it_took() -> None:
    one = door()
    assert one.usual_ms == USUAL_FIRST_MS
    for _ in range(10):
        one.answered(Outcome(result="accepted", status=200), 40)
        one.answered(Outcome(result="timeout"), 3_000)
    assert one.usual_ms == 40


def test_gone_is_gone_until_something_is_taken() -> None:
    one = door()
    one.answered(Outcome(result="status_410", status=410), 9)
    assert one.gone
    one.heard(Outcome(result="timeout"))
    assert one.gone
    one.heard(Outcome(result="accepted", status=204))
    assert not one.gone
