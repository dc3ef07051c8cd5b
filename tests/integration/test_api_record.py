"""Does the API keep its word over the real record, over a real socket, and to a stranger with its schema?

Devices and measures in a real PostgreSQL; the schema examined by schemathesis; the server's start and end.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from itertools import product

import httpx2
import pytest
import pytest_asyncio
import schemathesis
from builders import HANGS_AFTER_S
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from alerts.__main__ import proof_doors
from alerts.api.deps import ProofDoors
from alerts.api.server import run_api
from alerts.ledger import Ledger
from tocsin.adapters.alarm_load import AlarmLoadRecord
from tocsin.adapters.episodes import EpisodeRecord, RecordedRuling
from tocsin.adapters.figures import FiguresRecord
from tocsin.adapters.orders import Orders
from tocsin.adapters.postgres import Pool, open_pool
from tocsin.clock import AffineClock
from tocsin.embedded import hash_password
from tocsin.model.access import Access
from tocsin.model.episode import AlarmCause, Realm, Ruling
from tocsin.model.finding import Alarm, Code
from tocsin.model.fix import ClockPoints
from tocsin.settings import Settings
from tocsin.subjects import ACCESSES, EPISODES
from tocsin.testing.bus import MemoryBucket, MemoryLog
from tocsin.wire import decode_access, decode_ruling

pytest_plugins = ("database",)
pytestmark = pytest.mark.timeout(90)

SETTINGS = Settings(api_auth="off", api_port=0)
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 8  # an operation and mode: some 10 s in all
MEASURE = {
    "wearer": "b0000001", "protected": "b0000002", "alert_distance_m": 1000,
    "valid_from": "2026-11-21T00:00:00Z", "valid_until": "2100-05-21T00:00:00Z",
}  # fmt: skip


@dataclass
class Site:
    """A running API, its log and its record."""

    log: MemoryLog
    clock: AffineClock
    record: EpisodeRecord
    orders: Orders
    alarm_load: AlarmLoadRecord
    figures: FiguresRecord
    proof: ProofDoors
    port: int = 0
    ready: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def press(self, device: str) -> None:
        alarm = Alarm(
            id=f"alm_{device}", code=Code.TGD_SOS, device=device, measures=(), at_ms=self.clock.now_ms(),
            silent=False, position=None, points=ClockPoints(),
        )  # fmt: skip
        ledger = Ledger(self.log, self.clock, Realm.LAB)
        assert isinstance(await ledger.rule(Code.TGD_SOS.value, device, AlarmCause(alarm=alarm)), Ruling)

    async def catch_up(self) -> None:
        """What the recorder does."""
        entries = self.log.entries(EPISODES)
        await self.record.record_rulings(
            [RecordedRuling(sequence=entry.sequence, ruling=decode_ruling(entry.payload)) for entry in entries]
        )


def site_of(pool: Pool) -> Site:
    clock = AffineClock()
    return Site(
        MemoryLog(), clock, EpisodeRecord(pool), Orders(pool), AlarmLoadRecord(pool), FiguresRecord(pool),
        proof_doors(pool, pool, clock),
    )  # fmt: skip


async def until(come: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not come():
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def serving(site: Site) -> AsyncIterator[Site]:
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(
        run_api(
            log=site.log, standings=MemoryBucket(), incidents=MemoryBucket(),
            episodes=site.record, orders=site.orders, alarm_load=site.alarm_load, figures=site.figures,
            proof=site.proof,
            settings=SETTINGS, clock=site.clock,
            hash_password=hash_password, ready=ready.set_result,
        )
    )  # fmt: skip
    site.port = await ready
    yield site
    server.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await server


@pytest_asyncio.fixture
async def site(pool: Pool) -> AsyncIterator[Site]:
    async with serving(site_of(pool)) as running:
        yield running


@pytest_asyncio.fixture
async def client(site: Site) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=f"{site.url}/api/v1") as opened:
        yield opened


async def make_pair(client: httpx2.AsyncClient) -> None:
    for device, kind in (("b0000001", "bar_wearer"), ("b0000002", "bar_protected")):
        body = {"id": device, "kind": kind}
        made = await client.post("/devices", json=body, headers={"Idempotency-Key": device})
        assert made.status_code == 201, made.text


async def test_a_device_and_its_password(client: httpx2.AsyncClient, site: Site) -> None:
    body, key = {"id": "tgd-0001", "kind": "tgd"}, {"Idempotency-Key": "k-1"}
    first = await client.post("/devices", json=body, headers=key)
    again = await client.post("/devices", json=body, headers=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["password"]
    assert again.json() == first.json() | {"password": None}
    kept = await site.orders.device("tgd-0001", site.clock.now_ms())
    assert kept.password_bcrypt.startswith("$2")
    other = await client.post("/devices", json=body | {"kind": "bar_wearer"}, headers=key)
    assert other.json()["type"] == "/problems/idempotency-key-reused"
    taken = await client.post("/devices", json=body, headers={"Idempotency-Key": "k-2"})
    assert taken.json()["type"] == "/problems/already-exists"
    wrong = await client.post("/devices", json=body | {"id": "A"}, headers={"Idempotency-Key": "k-3"})
    assert [error["pointer"] for error in wrong.json()["errors"]] == ["/id"]


async def test_one_request_sent_twice_at_once_makes_one_measure(client: httpx2.AsyncClient) -> None:
    await make_pair(client)
    key = {"Idempotency-Key": "k-1"}
    first, second = await asyncio.gather(*(client.post("/measures", json=MEASURE, headers=key) for _ in range(2)))
    assert (first.status_code, first.content) == (201, second.content)
    assert [item["id"] for item in (await client.get("/measures")).json()["items"]] == [first.json()["id"]]


async def test_a_measure_from_order_to_end(client: httpx2.AsyncClient) -> None:
    await make_pair(client)
    made = await client.post("/measures", json=MEASURE, headers={"Idempotency-Key": "k-1"})
    url = f"/measures/{made.json()['id']}"
    assert (await client.get(url)).json()["in_force"] is True
    assert (await client.get("/devices/b0000001")).json()["measures"] == [made.json()["id"]]
    stale = await client.post(f"{url}/ending", headers={"If-Match": '"2"'})
    assert (stale.status_code, stale.headers["etag"]) == (412, '"1"')
    ended = await client.post(f"{url}/ending", headers={"If-Match": '"1"'})
    assert (ended.status_code, ended.json()["in_force"], ended.json()["ended_by"]) == (200, False, "lab")
    again = await client.post(f"{url}/ending", headers={"If-Match": '"2"'})
    assert again.json()["type"] == "/problems/order-refused"
    bad = MEASURE | {"alert_distance_m": 1500, "wearer": "b0000002"}
    refused = await client.post("/measures", json=bad, headers={"Idempotency-Key": "k-2"})
    assert {error["pointer"] for error in refused.json()["errors"]} == {
        "/alert_distance_m",
        "/wearer",
        "/protected",
    }


async def test_a_closed_alert_is_read_from_the_record(client: httpx2.AsyncClient, site: Site) -> None:
    await site.press("tgd-0001")
    while not (found := (await client.get("/alerts")).json()["items"]):
        await asyncio.sleep(0.01)
    (alert,) = found
    url = f"/alerts/{alert['id']}"
    await client.put(f"{url}/acknowledgement", json={"job": "monitor"}, headers={"If-Match": '"1"'})
    closed = await client.post(f"{url}/closure", json={"outcome": "technical"}, headers={"If-Match": '"2"'})
    assert closed.status_code == 200
    await site.catch_up()
    listed = (await client.get("/alerts", params={"open": "false"})).json()["items"]
    assert [item["id"] for item in listed] == [alert["id"]]
    entries = (await client.get(f"{url}/timeline")).json()["entries"]
    assert [entry["what"] for entry in entries] == ["opened", "acknowledged", "closed"]


async def test_the_feed_over_a_socket_and_the_end_of_the_server(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P1 reaches the client at once; a feed does not hold up the end, and is told of it."""
    monkeypatch.setattr("alerts.api.server.DRAIN_S", 30)  # of 3: no slow machine takes that for one held up
    site, loop = site_of(pool), asyncio.get_running_loop()
    heard: list[str] = []
    took_s: list[float] = []
    async with httpx2.AsyncClient(timeout=10) as client:
        async with serving(site):
            following = asyncio.create_task(_follow(client, site.url, heard))
            await until(lambda: "beat" in heard)
            for number in (1, 2, 3):
                started = loop.time()
                await site.press(f"tgd-000{number}")
                await until(lambda number=number: heard.count("alerts") == number)
                took_s.append(loop.time() - started)
            assert min(took_s) < 0.3, "a feed that waits for its beat takes a second each time"
            started = loop.time()
        assert loop.time() - started < 15
        await following
    assert heard[-1] == "retire"
    (seen,) = [one for one in _noted(site) if one.what == "live"]
    assert len(seen.objects) == 3, "what the feed has shown is noted, though the server ended"


async def test_what_was_read_last_is_noted_though_the_server_ends(pool: Pool) -> None:
    """Invariant 17: the note waits behind the reply, and the end of the process waits for the note."""
    site = site_of(pool)
    async with httpx2.AsyncClient(timeout=10) as client:
        async with serving(site):
            assert (await client.get(f"{site.url}/api/v1/alerts")).status_code == 200
            site.log.down = True
            for _ in range(5):
                assert (await client.get(f"{site.url}/api/v1/alerts")).status_code == 200
            site.log.down = False
        assert len({one.id for one in _noted(site)}) == len(_noted(site)) == 6


def _noted(site: Site) -> list[Access]:
    return [decode_access(entry.payload) for entry in site.log.entries(ACCESSES)]


async def _follow(client: httpx2.AsyncClient, url: str, heard: list[str]) -> None:
    async with client.stream("GET", f"{url}/api/v1/live?since=0") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        async for line in answer.aiter_lines():
            heard += [line.removeprefix("event: ")] if line.startswith("event: ") else []


async def test_an_address_in_use_is_an_error_of_ours(site: Site) -> None:
    settings = Settings(api_auth="off", api_port=site.port)
    with pytest.raises(OSError, match="in use"):
        await run_api(
            log=site.log, standings=MemoryBucket(), incidents=MemoryBucket(),
            episodes=site.record, orders=site.orders, alarm_load=site.alarm_load, figures=site.figures,
            proof=site.proof,
            settings=settings, clock=site.clock, hash_password=str, ready=lambda _port: None,
        )  # fmt: skip


@pytest.fixture
def running_site(dsn: str) -> Iterator[Site]:
    """The same in a thread of its own: schemathesis is not asynchronous."""
    stop: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
    sites: list[Site] = []
    ready = threading.Event()

    async def serve() -> None:
        over = asyncio.Event()
        stop.append((asyncio.get_running_loop(), over))
        async with open_pool(dsn) as pool, serving(site_of(pool)) as made:
            for number in range(3):
                await made.press(f"tgd-{number:04}")
            await made.catch_up()
            sites.append(made)
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(20)
    yield sites[0]
    loop, over = stop[0]
    loop.call_soon_threadsafe(over.set)
    thread.join(20)


@pytest.mark.timeout(300)  # hundreds of requests: half a minute, and of a machine that is busy some more
def test_a_stranger_with_the_schema_meets_no_surprise(running_site: Site) -> None:
    """Every operation but the endless feed, with data that fits the schema and data that does not."""
    there = f"{running_site.url}/openapi.json"
    schema = schemathesis.openapi.from_url(there, timeout=HANGS_AFTER_S).exclude(path="/api/v1/live")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 14
    for operation, mode in product(operations, GenerationMode):

        @given(case=operation.as_strategy(generation_mode=mode))
        @hypothesis_settings(
            max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck)
        )
        def try_it(case) -> None:
            case.call_and_validate(checks=CHECKS)

        with contextlib.suppress(Unsatisfiable):  # an operation without parameters has no wrong ones
            try_it()
