"""Does a page reach its endpoint whatever that answers, and does one that it refuses hold up no other? F11."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx2
import pytest
from builders import NOW_MS, REALM, SECRET, eventually
from real_broker import cancelled

from audit.law import Difference
from audit.page import TRIES, WAITING_MAX, Page, Pager, page_of
from tocsin.clock import AffineClock

Endpoint = Callable[[httpx2.Request], Awaitable[httpx2.Response]]


def page(law: str, *, fires: bool = True, number: int = 1) -> Page:
    found = (
        [Difference(law=law, about=f"{law}_{number}", since_ms=NOW_MS, detail=f"{law} {number}")] if fires else []
    )
    return page_of(law, found, site="paca", realm=REALM, since_ms=NOW_MS, at_ms=NOW_MS)


def told(request: httpx2.Request) -> tuple[str, str]:
    whole = json.loads(request.content)
    return whole["commonLabels"]["law"], whole["status"]


@asynccontextmanager
async def paging(endpoint: Endpoint) -> AsyncIterator[Pager]:
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(endpoint)) as http:
        pager = Pager(url="http://operations.example", secret=SECRET, http=http, clock=AffineClock())
        task = asyncio.create_task(pager.serve())
        try:
            yield pager
            assert not task.done(), task
        finally:
            await cancelled(task)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.page.AGAIN_S", (0.0,))


async def test_an_answer_that_cannot_be_decoded_is_an_answer() -> None:
    """Its status says that the page was taken; its body is nobody's."""
    heard: list[httpx2.Request] = []

    async def endpoint(request: httpx2.Request) -> httpx2.Response:
        heard.append(request)
        broken = httpx2.ByteStream(b"no gzip")
        return httpx2.Response(200, headers={"content-encoding": "gzip"}, stream=broken)

    async with paging(endpoint) as pager:
        pager.page(page("ruled"))
        pager.page(page("sent"))
        await eventually(lambda: len(heard) == 2)
    assert [told(one)[0] for one in heard] == ["ruled", "sent"], "each once"


async def test_an_answer_without_end_is_not_read() -> None:
    heard: list[httpx2.Request] = []
    read: list[bytes] = []

    class Endless(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                read.append(b"more")
                yield bytes(65_536)
                await asyncio.sleep(0)

    async def endpoint(request: httpx2.Request) -> httpx2.Response:
        heard.append(request)
        return httpx2.Response(200, stream=Endless())

    async with paging(endpoint) as pager:
        pager.page(page("ruled"))
        pager.page(page("sent"))
        await eventually(lambda: len(heard) == 2)
    assert read == []


async def test_a_page_that_is_refused_for_good_holds_up_no_other() -> None:
    heard: list[tuple[str, str]] = []

    async def endpoint(request: httpx2.Request) -> httpx2.Response:
        heard.append(told(request))
        return httpx2.Response(422 if heard[-1][0] == "ruled" else 200)

    async with paging(endpoint) as pager:
        for one in (page("ruled"), page("sent"), page("near")):
            pager.page(one)
        await eventually(lambda: len(heard) > 2 * TRIES + 2)
    refused = ("ruled", "firing")
    assert heard[: TRIES + 3] == [*[refused] * TRIES, ("sent", "firing"), ("near", "firing"), refused]


async def test_what_is_over_is_never_begun_again_by_the_page_that_was_refused() -> None:
    heard: list[tuple[str, str]] = []

    async def endpoint(request: httpx2.Request) -> httpx2.Response:
        heard.append(told(request))
        return httpx2.Response(422 if heard[-1] == ("ruled", "firing") else 200)

    async with paging(endpoint) as pager:
        for one in (page("ruled"), page("ruled", fires=False), page("sent")):
            pager.page(one)
        await eventually(lambda: ("sent", "firing") in heard)
        await eventually(lambda: not pager._waiting)
    assert heard[TRIES:] == [("ruled", "resolved"), ("sent", "firing")]


async def test_a_page_that_is_refused_takes_no_place_of_a_newer_one() -> None:
    heard: list[str] = []
    full = asyncio.Event()

    async def endpoint(request: httpx2.Request) -> httpx2.Response:
        await full.wait()
        heard.append(json.loads(request.content)["commonAnnotations"]["description"])
        return httpx2.Response(422 if heard[-1] == "ruled 0" else 200)

    async with paging(endpoint) as pager:
        pager.page(page("ruled", number=0))
        await eventually(lambda: not pager._waiting)
        for number in range(1, WAITING_MAX + 1):
            pager.page(page("sent", number=number))
        full.set()
        await eventually(lambda: len(heard) == TRIES + WAITING_MAX)
    assert heard[TRIES:] == [f"sent {number}" for number in range(1, WAITING_MAX + 1)]
