"""Do the simulator's ends of the wires work on real sockets: the receiver over HTTP, units and gateway over MQTT?

The broker is the embedded nats-server. Waits are for conditions, each with a deadline after which the test fails.
"""

import asyncio
import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

import aiomqtt
import httpx2
import numpy as np
import pytest
from builders import NOW_MS, REALM, entry
from builders import preadvised as handle
from standardwebhooks import Webhook

from alerts.channels import police
from alerts.channels.form import Sender
from simulator.fleet import Fleet
from simulator.gateway import Gateway, GatewayRefused
from simulator.gnss import OPEN, receiver_of
from simulator.receiver import Receiver
from simulator.scenario import Scenario
from simulator.unit import Line, Unit
from tocsin.clock import AffineClock
from tocsin.embedded import BrokerAddresses, DeviceLogin, EmbeddedBroker, hash_password
from tocsin.embedded.child import until
from tocsin.model.episode import Channel, FindingCause, Notification, Ruling

SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSBsYWJvcmF0b3J5"
OTHER = "whsec_" + "YW5vdGhlciBzZWNyZXQgYWx0b2dldGhlcg=="
PASSWORD = "p" * 32
DEADLINE_S = 20.0
GIVES_UP = httpx2.Timeout(DEADLINE_S, read=1.0)
"""Of a caller whose message is taken and not answered: the answer alone is what he does not wait for."""
CLOCK = AffineClock()

pytestmark = pytest.mark.timeout(60)


# --- the receiver --------------------------------------------------------------------------------------------


def event(webhook_id: str, version: int = 1) -> bytes:
    return json.dumps(
        {
            "id": webhook_id,
            "type": "org.tocsin.alert.opened",
            "subject": "alr_1",
            "data": {"version": version, "code": "PROX_ALERT"},
        }
    ).encode()


async def post(
    receiver: Receiver,
    webhook_id: str,
    *,
    secret: str = SECRET,
    version: int = 1,
    channel: str = "teleassistance",
    body: bytes | None = None,
    timeout: httpx2.Timeout | float = DEADLINE_S,
) -> httpx2.Response:
    if body is None:
        body = to_room(webhook_id, "CIC-99") if channel.startswith("police") else event(webhook_id, version)
    moment = datetime.fromtimestamp(CLOCK.wall_ms() // 1000, UTC)
    headers = {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(secret).sign(webhook_id, moment, body.decode()),
    }
    async with httpx2.AsyncClient(timeout=timeout) as http:
        return await http.post(f"{receiver.url}/{channel}", content=body, headers=headers)


def to_room(webhook_id: str, room: str, at_ms: int = NOW_MS) -> bytes:
    """The CAP message of a fresh alert."""
    ruling = handle(None, FindingCause(finding=entry(at_ms=at_ms)), REALM, at_ms)
    assert isinstance(ruling, Ruling)
    notification = Notification(
        id=webhook_id, channel=Channel.POLICE, type="org.tocsin.alert.opened", recipient=room
    )
    return police.body(ruling, notification, Sender(site="lab"))


async def test_takes_what_is_signed_and_shows_it() -> None:
    async with Receiver(SECRET, police_secret=OTHER) as receiver:
        assert (await post(receiver, "evt-1")).status_code == 204
        assert (await post(receiver, "evt-2", channel="police", secret=OTHER)).status_code == 204
        assert await receiver.heard(2, within_s=1.0)
        assert not await receiver.heard(3, within_s=0.01)
        async with httpx2.AsyncClient() as http:
            shown = (await http.get(f"{receiver.url}/deliveries")).json()
    assert shown["report"] == {
        "distinct": 2,
        "repeats": 0,
        "failed": 0,
        "forged": 0,
        "invalid": 0,
        "conflicts": [],
    }
    first = shown["deliveries"][0]
    assert {name: first[name] for name in ("channel", "webhook_id", "type", "subject", "version", "repeat")} == {
        "channel": "teleassistance",
        "webhook_id": "evt-1",
        "type": "org.tocsin.alert.opened",
        "subject": "alr_1",
        "version": 1,
        "repeat": False,
    }
    assert first["body"] == event("evt-1").decode()


async def test_refuses_what_is_not_signed_with_its_secret() -> None:
    async with Receiver(SECRET, police_secret=OTHER) as receiver:
        assert (await post(receiver, "evt-1", secret=OTHER)).status_code == 401
        assert (await post(receiver, "evt-1", channel="police")).status_code == 401
        async with httpx2.AsyncClient() as http:
            bare = await http.post(f"{receiver.url}/teleassistance", content=b"{}")
            odd = {"webhook-id": "x", "webhook-timestamp": "1", "webhook-signature": "no comma"}
            shapeless = await http.post(f"{receiver.url}/teleassistance", content=b"\xff", headers=odd)
            nowhere = await http.post(f"{receiver.url}/fire-brigade", content=b"{}")
        assert (bare.status_code, shapeless.status_code, nowhere.status_code) == (401, 401, 422)
        assert receiver.history.report().forged == 4
        assert receiver.history.deliveries == []


async def test_the_police_take_cap_and_nothing_else() -> None:
    async with Receiver(SECRET) as receiver:
        for body in (event("evt-1"), b"<alert/>", to_room("evt-1", "CIC-99")[:-1]):
            assert (await post(receiver, "evt-1", channel="police", body=body)).status_code == 422
        assert (await post(receiver, "evt-1", channel="police/CIC-99")).status_code == 204
        assert (
            await post(receiver, "evt-2", channel="police", body=to_room("evt-2", "CORG-99"))
        ).status_code == 204
        report, (one, other) = receiver.history.report(), receiver.history.deliveries
    assert (report.invalid, report.distinct, report.conflicts) == (3, 2, ()), "two rooms are two notifications"
    assert [(each.room, each.type, each.version) for each in (one, other)] == [
        ("CIC-99", "org.tocsin.alert.opened", 1),
        ("CORG-99", "org.tocsin.alert.opened", 1),
    ]
    assert one.data["code"] == "PROX_ALERT"
    assert one.data["measures"] == ["msr_1"]


async def test_a_repeated_id_is_counted_and_a_second_id_is_a_conflict() -> None:
    async with Receiver(SECRET) as receiver:
        for webhook_id in ("evt-1", "evt-1", "evt-2"):
            assert (await post(receiver, webhook_id)).status_code == 204
        await post(receiver, "evt-3", version=2)
        report = receiver.history.report()
    assert (report.distinct, report.repeats) == (3, 1)
    assert report.conflicts == ("alr_1 1 teleassistance org.tocsin.alert.opened: evt-1, evt-2",)


async def test_can_be_ill() -> None:
    async with Receiver(SECRET) as receiver:
        faults = receiver.faults["teleassistance"]
        faults.refuse = 2
        assert [(await post(receiver, "evt-1")).status_code for _ in range(3)] == [503, 503, 204]
        assert (await post(receiver, "evt-1", channel="police")).status_code == 204  # the other one is well
        faults.calls, faults.every_second_500 = 0, True
        assert [(await post(receiver, "evt-2")).status_code for _ in range(4)] == [204, 500, 204, 500]
        assert receiver.history.report().failed == 4


async def test_hanging_takes_the_message_and_lets_the_caller_give_up() -> None:
    async with Receiver(SECRET) as receiver:
        receiver.faults["teleassistance"].hang_s = 1.5
        with pytest.raises(httpx2.ReadTimeout):
            await post(receiver, "evt-1", timeout=GIVES_UP)
        receiver.faults["teleassistance"].hang_s = 0.0
        assert (await post(receiver, "evt-1")).status_code == 204
        assert receiver.history.report().repeats == 1


async def test_runs_alone_and_slowly_if_told_to() -> None:
    """It hangs for so long that no stall of ours makes its answer and the end of our patience fall together."""
    words = [sys.executable, "-m", "simulator.receiver", "--port", "0", "--secret", SECRET, "--hang-s", "30"]
    child = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    try:
        assert child.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            address = json.loads(await child.stdout.readline())
        async with httpx2.AsyncClient() as http:
            assert (await http.get(address["url"] + "/deliveries")).json()["deliveries"] == []
        assert address["police"] == address["url"] + "/police"
        with pytest.raises(httpx2.ReadTimeout):
            await post(SimpleNamespace(url=address["url"]), "evt-1", timeout=GIVES_UP)
    finally:
        child.kill()  # asked to end it would answer first
        await child.communicate()


# --- units and gateway on a real broker ------------------------------------------------------------------------


@dataclass
class Ear:
    """What ingest would hear; ``until`` waits for a condition on it."""

    client: aiomqtt.Client
    heard: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def listen(self) -> None:
        async for message in self.client.messages:
            async with self.news:
                self.heard.append((str(message.topic), json.loads(bytes(message.payload))))
                self.news.notify_all()

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S), self.news:
            await self.news.wait_for(done)

    def of(self, device: str, leaf: str) -> list[dict[str, Any]]:
        return [body for topic, body in self.heard if topic == f"tocsin/1/{device}/{leaf}"]

    async def tell(self, device: str, **command: Any) -> None:
        await self.client.publish(f"tocsin/1/{device}/cmd", json.dumps({"_type": "cmd", **command}), qos=1)


@dataclass
class Site:
    broker: EmbeddedBroker
    addresses: BrokerAddresses

    @property
    def line(self) -> Line:
        port = urlsplit(self.addresses.mqtt_url).port
        assert port is not None
        return Line(host="127.0.0.1", port=port, password=PASSWORD)

    @contextlib.asynccontextmanager
    async def ear(self) -> AsyncIterator[Ear]:
        address = urlsplit(self.addresses.mqtt_url)
        async with (
            aiomqtt.Client(
                "127.0.0.1",
                self.line.port,
                username=address.username,
                password=unquote(address.password or ""),
                identifier="tocsin-ingest-of-the-tests",
                clean_session=False,
            ) as client,
            asyncio.TaskGroup() as group,
        ):
            await client.subscribe("tocsin/1/#", qos=1)
            ear = Ear(client)
            listening = group.create_task(ear.listen())
            yield ear
            listening.cancel()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    home = Path(tempfile.mkdtemp(prefix="t-"))
    broker = EmbeddedBroker(home=home, service_password="s" * 32, fleet_password="f" * 32)
    word = hash_password(PASSWORD)
    devices = [party.device for party in Scenario.invent(0, couples=3, duration_s=84).parties]
    await broker.admit([DeviceLogin(device=device, password_bcrypt=word) for device in devices])
    try:
        yield Site(broker, await broker.start())
    finally:
        await broker.stop()
        shutil.rmtree(home)


@contextlib.asynccontextmanager
async def alive(site: Site, number: int = 0, interval_s: float = 3600.0) -> AsyncIterator[Unit]:
    """One unit of a quiet world: 0 and 1 are couple 0, the last one is the TGD phone."""
    scenario = Scenario.invent(1, couples=1, duration_s=600, story=False, start_ms=CLOCK.now_ms())
    party = scenario.parties[number]
    unit = Unit(
        party.device,
        party.kind,
        receiver_of(scenario, party, OPEN),
        line=site.line,
        clock=CLOCK,
        start_ms=scenario.start_ms,
        rng=np.random.default_rng(1),
        interval_s=interval_s,
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(unit.run())
        async with asyncio.timeout(DEADLINE_S):
            await unit.connected.wait()
        yield unit
        unit.stop()


async def test_a_unit_reports_in_the_dialect(site: Site) -> None:
    async with site.ear() as ear, alive(site) as unit:
        await ear.until(lambda: bool(ear.of(unit.device, "loc")))
        said = ear.of(unit.device, "loc")[0]
    assert said["_type"] == "location"
    assert abs(said["tst"] * 1000 + said["ms"] - CLOCK.now_ms()) < DEADLINE_S * 1000
    assert said["created_at"] * 1000 + said["created_ms"] >= said["tst"] * 1000 + said["ms"]
    assert (said["seq"], said["boot"], said["src"]) == (1, 1, "gnss")
    assert {type(said[name]) for name in ("tst", "ms", "created_at", "created_ms", "seq", "boot")} == {int}
    assert unit.tally.acknowledged == {"loc": 1}


async def test_a_unit_obeys_and_answers(site: Site) -> None:
    async with site.ear() as ear, alive(site) as unit:
        await ear.until(lambda: len(ear.of(unit.device, "loc")) == 1)
        soon = CLOCK.now_ms() // 1000 + 60
        await ear.tell(unit.device, id="c1", action="reportLocation", exp=soon)
        await ear.until(lambda: len(ear.of(unit.device, "loc")) == 2)
        await ear.tell(unit.device, id="c2", action="setCadence", s=1, exp=soon)
        await ear.until(lambda: len(ear.of(unit.device, "loc")) >= 4)  # an hour before, a second now
        await ear.tell(unit.device, id="c2", action="setCadence", s=1, exp=soon)
        await ear.tell(unit.device, id="c3", action="setCadence", s=30, exp=soon - 3600)
        await ear.tell(unit.device, id="c4", action="explode", exp=soon)
        await ear.tell(unit.device, id="c5", action="setCadence", s="often", exp=soon)
        await ear.until(lambda: len(ear.of(unit.device, "res")) == 6)
        assert unit.interval_s == 1.0
    assert [(one["id"], one["result"]) for one in ear.of("sim-w-0000", "res")] == [
        ("c1", "accepted"),
        ("c2", "done"),
        ("c2", "done"),
        ("c3", "expired"),
        ("c4", "rejected"),
        ("c5", "rejected"),
    ]


async def test_a_key_press_goes_out_with_a_position(site: Site) -> None:
    async with site.ear() as ear, alive(site, number=1) as unit:
        unit.press()
        await ear.until(lambda: bool(ear.of(unit.device, "sos")))
    said = ear.of("sim-p-0000", "sos")[0]
    assert (said["_type"], said["silent"]) == ("sos", False)
    assert {"lat", "lon", "acc", "tst", "ms", "seq", "boot"} <= said.keys()


async def test_a_tgd_phone_tells_its_place_only_once_the_key_was_pressed(site: Site) -> None:
    async with site.ear() as ear, alive(site, number=2, interval_s=1.0) as unit:
        await ear.until(lambda: len(ear.of(unit.device, "state")) >= 1)
        assert ear.of(unit.device, "loc") == []
        unit.press(silent=True)
        await ear.until(lambda: bool(ear.of(unit.device, "loc")))
    assert not any({"lat", "lon"} & body.keys() for body in ear.of("sim-t-0000", "state"))
    assert ear.of("sim-t-0000", "sos")[0]["silent"] is True


async def test_what_happens_while_disconnected_arrives_afterwards_key_first(site: Site) -> None:
    """The broker goes and comes back on its ports: nothing that was kept is lost, and the key overtakes it."""
    async with site.ear():
        pass  # its session is there from now on: what comes before it listens again waits for it
    async with alive(site, number=1, interval_s=0.1) as unit:
        await site.broker.stop()
        said_before = unit.tally.acknowledged.get("loc", 0)
        assert await until(lambda: len(unit.outbox) >= 5, within_s=DEADLINE_S)
        unit.press()
        unit.interval_s = 3600.0
        await site.broker.start()
        async with site.ear() as ear:
            await ear.until(lambda: bool(ear.of(unit.device, "bulk")))
            leaves = [topic.rsplit("/", 1)[1] for topic, _ in ear.heard]
            points = ear.of(unit.device, "bulk")[0]["pts"]
    key = leaves.index("sos")
    assert leaves[:key].count("loc") <= said_before + 1  # one may have been on its way when the broker stopped
    assert leaves.index("bulk") > leaves.index("loc", key) > key
    assert [point["seq"] for point in points] == sorted(point["seq"] for point in points)
    assert unit.tally.connections == 2
    assert unit.outbox.dropped == 0
    assert unit.outbox.is_empty


@pytest.mark.timeout(120)
async def test_a_fleet_lives_its_scenario_and_everything_is_acknowledged(site: Site) -> None:
    """84 seconds of story in 17 of ours: while the machine stands still nobody reports, and what waited for the
    first login goes out as a bulk. Of 17 reports eight are left where half of the time was lost so."""
    clock = AffineClock(epoch_ms=CLOCK.wall_ms(), anchor_ms=CLOCK.wall_ms(), rate=5.0)
    scenario = Scenario.invent(0, couples=3, duration_s=84, start_ms=clock.now_ms())
    fleet = Fleet(
        scenario,
        host=site.line.host,
        port=site.line.port,
        password_of=lambda _: PASSWORD,
        clock=clock,
        interval_s=5.0,
    )
    async with site.ear() as ear:
        async with asyncio.timeout(3 * DEADLINE_S):  # the story itself is nearly one of them
            await fleet.run()
        await ear.until(lambda: len(ear.heard) >= fleet.acknowledged.total())
    assert len(ear.of("sim-p-0001", "sos")) == len(ear.of("sim-t-0000", "sos")) == 1
    assert len(ear.of("sim-w-0000", "loc")) >= 8
    assert all(unit.outbox.is_empty for unit in fleet.units.values())


async def test_the_gateway_keeps_the_order_and_knows_what_was_acknowledged(site: Site) -> None:
    assert site.addresses.fleet_mqtt_url is not None
    count = 2000
    async with site.ear() as ear, Gateway(site.addresses.fleet_mqtt_url) as gateway:
        pubacks = [await gateway.publish(f"sim-w-{n % 3:04d}", "loc", b'{"seq":%d}' % n) for n in range(count)]
        async with asyncio.timeout(DEADLINE_S):
            await gateway.drained()
        assert all(puback.done() for puback in pubacks)
        assert gateway.published == gateway.acknowledged == count
        await ear.until(lambda: len(ear.heard) == count)
    assert [body["seq"] for _, body in ear.heard] == list(range(count))


async def test_the_gateway_says_when_it_is_not_let_in(site: Site) -> None:
    with pytest.raises(GatewayRefused):
        async with Gateway(f"mqtt://fleet:wrong@127.0.0.1:{site.line.port}"):
            pass
    await site.broker.stop()
    with pytest.raises(GatewayRefused):
        async with Gateway(f"mqtt://fleet:wrong@127.0.0.1:{site.line.port}"):
            pass


async def test_the_gateway_survives_a_broker_that_restarts(site: Site) -> None:
    assert site.addresses.fleet_mqtt_url is not None
    async with Gateway(site.addresses.fleet_mqtt_url) as gateway:
        await gateway.publish("sim-w-0000", "loc", b"{}")
        await gateway.drained()
        await site.broker.stop()
        for _ in range(50):
            await gateway.publish("sim-w-0000", "loc", b"{}")
        assert gateway.acknowledged == 1
        await site.broker.start()
        async with asyncio.timeout(DEADLINE_S):
            await gateway.drained()
        assert gateway.acknowledged == 51
