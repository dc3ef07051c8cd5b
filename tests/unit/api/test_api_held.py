"""Is what clients have the API hold bounded, whatever they do? One stops reading, one waits, one goes away."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from api_room import TOKEN_OF, Room
from starlette.types import Message

from alerts.api.held import CHUNK_BYTES, Placed, Places
from alerts.api.problems import Refusal
from tocsin.errors import EvidenceBroken, EvidenceTooLarge
from tocsin.limits import EVIDENCE_AT_ONCE

WHY = {"Tocsin-Purpose": "audit:2026-113"}
LINES = (b"x" * (CHUNK_BYTES - 1) + b"\n",) * 3
PATH = "/api/v1/alerts/alr_1/evidence"


@dataclass
class Stopping:
    """A client that takes what comes up to the first chunk of a body, and no more until it is told to go on."""

    room: Room
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    is_held: bool = False
    has_asked: bool = False

    async def ask(self) -> None:
        said = {"authorization": f"Bearer {TOKEN_OF['Jude']}", "tocsin-purpose": "audit:2026-113"}
        scope: dict[str, Any] = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
            "method": "GET", "scheme": "http", "path": PATH, "raw_path": PATH.encode(), "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in said.items()],
            "server": ("tocsin", 80), "client": ("127.0.0.1", 1), "root_path": "",
        }  # fmt: skip
        await self.room.app(scope, self._receive, self._send)

    async def _receive(self) -> Message:
        if not self.has_asked:
            self.has_asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await asyncio.Event().wait()
        raise AssertionError

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
            self.is_held = self.status == 200
        else:
            self.body += message["body"]
            if self.is_held:
                await self.go_on.wait()


@contextmanager
def with_places(room: Room, places: Places) -> Iterator[None]:
    before = room.app.state.deps
    room.app.state.deps = replace(before, proof=replace(before.proof, places=places))
    yield
    room.app.state.deps = before


async def test_packages_are_in_memory_for_so_many_clients_and_no_more(room: Room) -> None:
    """Twenty that read one chunk and stop: before there was a place to hold, twenty packages were in memory."""
    room.proof.packages["alr_1"] = LINES
    clients = [Stopping(room) for _ in range(20)]
    with with_places(room, Places(wait_s=0.01)):
        asking = [asyncio.create_task(one.ask()) for one in clients]
        _, waiting = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        while len(waiting) > EVIDENCE_AT_ONCE:
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        held = [one for one in clients if one.is_held]
        refused = [one for one in clients if not one.is_held]
        assert (len(held), len(refused)) == (EVIDENCE_AT_ONCE, 20 - EVIDENCE_AT_ONCE)
        assert {(one.status, b"/problems/evidence-busy" in one.body) for one in refused} == {(503, True)}
        assert all(int(one.headers[b"retry-after"]) > 0 for one in refused)
        assert len(room.proof.sealed) == EVIDENCE_AT_ONCE, "who was refused has taken nothing"
        for one in held:
            one.go_on.set()
        await asyncio.gather(*asking)
        assert {one.body for one in held} == {b"".join(LINES)}
        async with room.client("Jude", **WHY) as jude:
            assert (await jude.get(PATH)).status_code == 200, "their places are free"


@pytest.mark.parametrize(
    ("error", "status", "slug"),
    [
        (EvidenceTooLarge("accesses/2026-11-21"), 409, "evidence-too-large"),
        (EvidenceBroken("x"), 409, "evidence-broken"),
    ],
)  # fmt: skip
async def test_what_is_refused_keeps_no_place(room: Room, error: Exception, status: int, slug: str) -> None:
    room.proof.packages["alr_1"] = error
    with with_places(room, Places(1, wait_s=0.01)):
        async with room.client("Jude", **WHY) as jude:
            answers = [await jude.get(PATH) for _ in range(3)]
    assert {(one.status_code, one.json()["type"]) for one in answers} == {(status, f"/problems/{slug}")}
    assert room.proof.sealed == []


async def test_where_the_taking_cannot_be_kept_no_place_is_kept(room: Room) -> None:
    room.proof.packages["alr_1"], room.proof.sealing_fails = LINES, True
    with with_places(room, Places(1, wait_s=0.01)):
        async with room.client("Jude", **WHY) as jude:
            slugs = [(await jude.get(PATH)).json()["type"] for _ in range(3)]
    assert slugs == ["/problems/record-unavailable"] * 3


# --- one reply ---------------------------------------------------------------------------------------------------


async def placed(places: Places, **limits: float) -> Placed:
    async with AsyncExitStack() as held:
        await held.enter_async_context(places.one())
        return Placed(LINES, held.pop_all(), media_type="text/plain", headers={}, **limits)
    raise AssertionError


async def nothing_comes() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


SCOPE = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}}


@pytest.mark.parametrize("limits", [{"stalled_s": 0.01}, {"sent_s": 0.01}])
async def test_a_client_that_takes_nothing_is_cut_off(limits: dict[str, float]) -> None:
    """Its place comes free, and what it got has no end: the server closes the connection."""
    places, sent = Places(1, wait_s=0.01), []

    async def stuck(message: Message) -> None:
        sent.append(message)
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    reply = await placed(places, **limits)
    with pytest.raises(Refusal):
        await placed(places)
    await reply(SCOPE, nothing_comes, stuck)
    assert [one.get("more_body") for one in sent] == [None, True]
    async with places.one():
        pass


async def test_a_client_that_goes_away_leaves_its_place() -> None:
    places = Places(1, wait_s=0.01)

    async def stuck(_: Message) -> None:
        await asyncio.Event().wait()

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    await (await placed(places))(SCOPE, gone, stuck)
    async with places.one():
        pass
