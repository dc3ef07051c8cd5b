"""Do the servers we bring along keep what they acknowledged, and let each unit say only its own?

Everything here is real: nats-server, its MQTT door, PostgreSQL; on loopback, in short-lived homes.
Times are seconds.
"""

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import aiomqtt
import nats
import psycopg
import pytest
from paho.mqtt.reasoncodes import ReasonCode

from tocsin import subjects
from tocsin.adapters.jetstream import open_bus
from tocsin.embedded import (
    BrokerAddresses,
    DeviceLogin,
    EmbeddedBroker,
    EmbeddedPostgres,
    EmbeddedServerError,
    hash_password,
)
from tocsin.embedded.child import runs, state_of, until
from tocsin.embedded.places import SYSTEM_HOME, Identity, place_for

SERVICE_PASSWORD = "service-secret"
INGEST_CLIENT = "tocsin-ingest-of-the-tests"
DEVICE_PASSWORD = "d" * 32
DEADLINE_S = 20.0  # a condition that has not come by then never will
PASSWORD_BCRYPT = hash_password(DEVICE_PASSWORD)
LOGINS = {name: DeviceLogin(device=name, password_bcrypt=PASSWORD_BCRYPT) for name in ("u-1", "u-2")}

FORGED = ("tocsin/1/u-2/sos", "tocsin/1/u-1/cmd", "tocsin/1/u-1/cfg/want", "tocsin/1/u-1/err")
SETTINGS = {"fsync": "on", "TimeZone": "UTC", "listen_addresses": "", "shared_buffers": "128MB"}

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def home() -> Iterator[Path]:
    """A short home that Postgres's user may enter (as root, pytest's tmp_path is closed to it)."""
    path = Path(tempfile.mkdtemp(prefix="t-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def closed_home(home: Path) -> Path:
    home.chmod(0o700)
    return home / "closed"


def note_in(home: Path) -> str:
    return (home / "WHERE-IS-THE-DATA.txt").read_text()


@pytest.fixture
async def broker(home: Path) -> AsyncIterator[EmbeddedBroker]:
    server = EmbeddedBroker(home=home, service_password=SERVICE_PASSWORD, fleet_password="fleet")
    yield server
    await server.stop()


@pytest.fixture
async def database(home: Path) -> AsyncIterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(home=home)
    yield server
    await server.stop()


def ingest(addresses: BrokerAddresses) -> aiomqtt.Client:
    url = urlsplit(addresses.mqtt_url)
    return client(addresses, "ingest", SERVICE_PASSWORD, INGEST_CLIENT, url.port or 0)


def device(addresses: BrokerAddresses, name: str, *, client_id: str | None = None) -> aiomqtt.Client:
    return client(addresses, name, DEVICE_PASSWORD, client_id or name, urlsplit(addresses.mqtt_url).port or 0)


def client(_: BrokerAddresses, user: str, password: str, client_id: str, port: int) -> aiomqtt.Client:
    return aiomqtt.Client(
        "127.0.0.1",
        port,
        username=user,
        password=password,
        identifier=client_id,
        clean_session=False,
        protocol=aiomqtt.ProtocolVersion.V311,
    )


async def next_payload(listener: aiomqtt.Client) -> bytes:
    async with asyncio.timeout(DEADLINE_S):
        message = await anext(listener.messages)
    assert isinstance(message.payload, bytes)
    return message.payload


async def refused(subscriber: aiomqtt.Client, topic: str) -> bool:
    (code,) = await subscriber.subscribe(topic, qos=1)
    assert isinstance(code, ReasonCode)
    return bool(code.is_failure)


# --- who may say what ---


async def test_a_unit_is_heard_and_hears_its_orders(broker: EmbeddedBroker) -> None:
    await broker.admit(LOGINS.values())
    addresses = await broker.start()
    async with ingest(addresses) as listener, device(addresses, "u-1") as unit:
        assert not await refused(listener, "tocsin/1/#")
        assert not await refused(unit, "tocsin/1/u-1/cmd")
        await unit.publish("tocsin/1/u-1/sos", b"help", qos=1)
        assert await next_payload(listener) == b"help"
        await listener.publish("tocsin/1/u-1/cmd", b"locate", qos=1)
        assert await next_payload(unit) == b"locate"


async def test_a_unit_that_speaks_for_another_is_not_heard_and_others_go_on(broker: EmbeddedBroker) -> None:
    await broker.admit(LOGINS.values())
    addresses = await broker.start()
    rogues, others = device(addresses, "u-1"), device(addresses, "u-2")
    async with ingest(addresses) as listener, rogues as rogue, others as other:
        await listener.subscribe("tocsin/1/#", qos=1)
        for topic in (*FORGED, "x"):
            await rogue.publish(topic, b"forged", qos=1)  # the PUBACK comes: 3.1.1 has no refusal
        await rogue.publish("tocsin/1/u-1/sos", b"own, after the forged ones", qos=1)
        assert await next_payload(listener) == b"own, after the forged ones"
        await other.publish("tocsin/1/u-2/sos", b"true", qos=1)
        assert await next_payload(listener) == b"true"


@pytest.mark.parametrize("topic", ["tocsin/1/u-2/cmd", "tocsin/1/u-1/pos", "tocsin/1/+/cmd", "tocsin/1/#", "#"])
async def test_a_unit_may_not_listen_to(broker: EmbeddedBroker, topic: str) -> None:
    await broker.admit(LOGINS.values())
    async with device(await broker.start(), "u-1") as unit:
        assert await refused(unit, topic)


OWN_WORDS = ("phone", "my.phone", "Jane's-phone", "téléphone")


async def test_a_phone_is_heard_under_its_login_whatever_it_calls_itself(broker: EmbeddedBroker) -> None:
    """OwnTracks. A dot in a topic is ``//`` in a subject, and comes back as a dot."""
    await broker.admit(LOGINS.values())
    addresses = await broker.start()
    async with ingest(addresses) as listener, device(addresses, "u-1") as phone:
        assert not await refused(listener, "owntracks/#")
        assert not await refused(phone, "owntracks/u-1/phone/cmd")
        assert not await refused(phone, "tocsin/1/u-1/err")
        for word in OWN_WORDS:
            for rest in ("", "/event"):
                await phone.publish(f"owntracks/u-1/{word}{rest}", b"here", qos=1)
                async with asyncio.timeout(DEADLINE_S):
                    heard = await anext(listener.messages)
                assert str(heard.topic) == f"owntracks/u-1/{word}{rest}"
        await listener.publish("tocsin/1/u-1/err", b"because", qos=1)
        assert await next_payload(phone) == b"because"


async def test_a_space_in_a_topic_costs_the_phone_its_connection(broker: EmbeddedBroker) -> None:
    """nats-server allows none in a subject; docs/phones.md warns. If this fails, the warning can go."""
    await broker.admit(LOGINS.values())
    addresses = await broker.start()
    with contextlib.suppress(aiomqtt.MqttError):  # its goodbye may fail: it is already cut
        async with device(addresses, "u-1") as phone:
            await phone.subscribe("tocsin/1/u-1/err", qos=1)
            with pytest.raises(aiomqtt.MqttError):
                await phone.publish("owntracks/u-1/my phone", b"here", qos=1, timeout=2)
            with pytest.raises(aiomqtt.MqttError):
                await next_payload(phone)


async def test_a_phone_that_speaks_for_another_is_not_heard(broker: EmbeddedBroker) -> None:
    """F31. Nor may it give itself orders."""
    await broker.admit(LOGINS.values())
    addresses = await broker.start()
    async with ingest(addresses) as listener, device(addresses, "u-1") as rogue:
        await listener.subscribe("owntracks/#", qos=1)
        for topic in ("owntracks/u-2/phone", "owntracks/u-1/phone/cmd", "owntracks", "owntracks/u-1.u-2/phone"):
            await rogue.publish(topic, b"forged", qos=1)
        await rogue.publish("owntracks/u-1/phone", b"own, after the forged ones", qos=1)
        assert await next_payload(listener) == b"own, after the forged ones"


@pytest.mark.parametrize(
    "topic", ["owntracks/+/+", "owntracks/u-2/phone/cmd", "owntracks/u-1/phone", "owntracks/#"]
)
async def test_a_phone_may_not_listen_to(broker: EmbeddedBroker, topic: str) -> None:
    """The app's own default is the first of these: it would see everybody."""
    await broker.admit(LOGINS.values())
    async with device(await broker.start(), "u-1") as phone:
        assert await refused(phone, topic)


async def test_a_new_password_cuts_who_connected_with_the_old_one(broker: EmbeddedBroker) -> None:
    await broker.admit(LOGINS.values())
    addresses = await broker.start()
    async with ingest(addresses) as listener:
        await listener.subscribe("tocsin/1/#", qos=1)
        with contextlib.suppress(aiomqtt.MqttError):  # its goodbye may fail: it is already cut
            async with device(addresses, "u-1") as holder:
                await holder.subscribe("tocsin/1/u-1/cmd", qos=1)
                renewed = DeviceLogin(device="u-1", password_bcrypt=hash_password("another"))
                await broker.admit([renewed, LOGINS["u-2"]])
                with pytest.raises(aiomqtt.MqttError):
                    await next_payload(holder)
        with pytest.raises(aiomqtt.MqttError):
            async with device(addresses, "u-1"):
                pass
        port = urlsplit(addresses.mqtt_url).port or 0
        async with client(addresses, "u-1", "another", "u-1", port) as renewed_unit:
            await renewed_unit.publish("tocsin/1/u-1/loc", b"with the new one", qos=1)
            assert await next_payload(listener) == b"with the new one"


async def test_it_listens_where_it_is_told(home: Path) -> None:
    """For phones of a laboratory; the log's door stays on loopback."""
    server = EmbeddedBroker(home=home, service_password=SERVICE_PASSWORD, mqtt_host="127.0.0.3")
    try:
        addresses = await server.start()
        assert urlsplit(addresses.mqtt_url).hostname == "127.0.0.3"
        assert urlsplit(addresses.nats_url).hostname == "127.0.0.1"
        port = urlsplit(addresses.mqtt_url).port or 0
        client_there = aiomqtt.Client(
            "127.0.0.3", port, username="ingest", password=SERVICE_PASSWORD, identifier=INGEST_CLIENT,
            protocol=aiomqtt.ProtocolVersion.V311,
        )  # fmt: skip
        async with client_there as listener:
            assert not await refused(listener, "owntracks/#")
    finally:
        await server.stop()


async def test_who_has_no_login_or_the_wrong_door_stays_out(broker: EmbeddedBroker) -> None:
    await broker.admit(LOGINS.values())
    addresses = await broker.start()
    for login in ({}, {"user": "u-1", "pass": DEVICE_PASSWORD}, {"user": "tocsin", "pass": "wrong"}):
        assert b"Authorization Violation" in await nats_answer(addresses, login)
    for user in ("u-9", "tocsin"):
        with pytest.raises(aiomqtt.MqttError):
            async with device(addresses, user):
                pass


async def nats_answer(addresses: BrokerAddresses, login: dict[str, str]) -> bytes:
    """By hand: nats-py leaves a refused connection open."""
    url = urlsplit(addresses.nats_url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    async with asyncio.timeout(DEADLINE_S):
        assert (await reader.readline()).startswith(b"INFO ")
        writer.write(b"CONNECT " + json.dumps({"verbose": False, **login}).encode() + b"\r\nPING\r\n")
        answer = await reader.readline()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return answer


async def test_a_stolen_client_id_gives_nothing_to_read(broker: EmbeddedBroker) -> None:
    await broker.admit(LOGINS.values())
    addresses = await broker.start()
    async with device(addresses, "u-1") as unit:
        await unit.subscribe("tocsin/1/u-1/cmd", qos=1)
    async with device(addresses, "u-2", client_id="u-1") as thief:
        await thief.subscribe("tocsin/1/u-2/cmd", qos=1)
        async with ingest(addresses) as service:
            await service.publish("tocsin/1/u-1/cmd", b"for u-1", qos=1)
            await service.publish("tocsin/1/u-2/cmd", b"for u-2", qos=1)
        assert await next_payload(thief) == b"for u-2"


async def test_the_fleet_gateway_speaks_for_every_unit(broker: EmbeddedBroker) -> None:
    addresses = await broker.start()
    assert addresses.fleet_mqtt_url is not None
    port = urlsplit(addresses.fleet_mqtt_url).port or 0
    async with ingest(addresses) as listener, client(addresses, "fleet", "fleet", "lab", port) as gateway:
        await listener.subscribe("tocsin/1/#", qos=1)
        await gateway.publish("tocsin/1/u-7/pos", b"seven", qos=1)
        assert await next_payload(listener) == b"seven"


async def test_a_thousand_units_that_listen_shut_out_neither_the_next_one_nor_ingest(
    broker: EmbeddedBroker,
) -> None:
    """Each QoS 1 subscription is a consumer of one stream, of which nats-server 2.15 by itself allows 1,000.

    They stay with their sessions when the units have gone; one session may have six at our window of 10,000.
    """
    addresses = await broker.start()
    assert addresses.fleet_mqtt_url is not None
    port = urlsplit(addresses.fleet_mqtt_url).port or 0
    for number in range(170):
        async with client(addresses, "fleet", "fleet", f"lab-{number}", port) as units:
            granted = await units.subscribe([(f"tocsin/1/u-{number}-{each}/cmd", 1) for each in range(6)])
            assert [code for code in granted if not isinstance(code, ReasonCode) or code.is_failure] == []
    async with ingest(addresses) as listener:
        assert not await refused(listener, "tocsin/1/#")


async def test_ten_megabytes_reach_ingest_which_refuses_them_itself(broker: EmbeddedBroker) -> None:
    await broker.admit(LOGINS.values())
    addresses = await broker.start()
    async with ingest(addresses) as listener, device(addresses, "u-1") as unit:
        await listener.subscribe("tocsin/1/#", qos=1)
        await unit.publish("tocsin/1/u-1/pos", bytes(10_000_000), qos=1)
        assert len(await next_payload(listener)) == 10_000_000


async def test_admit_changes_the_set_without_cutting_those_who_stay(broker: EmbeddedBroker) -> None:
    cut: list[str] = []

    async def on_cut() -> None:
        cut.append("nats")

    await broker.admit([LOGINS["u-1"]])
    addresses = await broker.start()
    bus = await nats.connect(addresses.nats_url, disconnected_cb=on_cut, max_reconnect_attempts=3)
    async with ingest(addresses) as listener, device(addresses, "u-1") as stays:
        await listener.subscribe("tocsin/1/#", qos=1)
        await stays.subscribe("tocsin/1/u-1/cmd", qos=1)
        await broker.admit(LOGINS.values())
        async with device(addresses, "u-2") as leaves:
            await leaves.publish("tocsin/1/u-2/pos", b"new", qos=1)
            assert await next_payload(listener) == b"new"
            await broker.admit([LOGINS["u-1"]])
            with contextlib.suppress(aiomqtt.MqttError):  # its clean goodbye may fail: it is already cut
                with pytest.raises(aiomqtt.MqttError):
                    await next_payload(leaves)
                raise aiomqtt.MqttError("seen")
        await stays.publish("tocsin/1/u-1/pos", b"still here", qos=1)
        assert await next_payload(listener) == b"still here"
        await bus.publish("tocsin.1.u-1.cmd", b"from the bus")
        assert await next_payload(stays) == b"from the bus"
    await bus.close()
    assert cut == ["nats"]  # our own close, and no cut before it


@pytest.mark.parametrize(
    "name",
    ["ingest", "tocsin", "fleet", "U-1", "-u-1", "u_1", "u-1\n", "", "ab", "a.b.c", "a/b", "a>b", "a*b", "x" * 33],
)
def test_what_is_not_a_units_name(name: str) -> None:
    with pytest.raises(ValueError, match="not a device name"):
        DeviceLogin(device=name, password_bcrypt=hash_password("x"))


def test_a_password_that_an_address_would_change(home: Path) -> None:
    with pytest.raises(ValueError, match="letters, digits"):
        EmbeddedBroker(home=home, service_password="p@ss/word")


def test_a_password_in_clear_is_not_a_login() -> None:
    with pytest.raises(ValueError, match="not a bcrypt hash"):
        DeviceLogin(device="u-1", password_bcrypt="secret")


# --- what survives ---


async def test_the_log_answers_while_new_units_come(broker: EmbeddedBroker) -> None:
    """Each new set of logins makes it answer nobody for a moment: just when a snapshot must know a new measure, or
    when an operator acts (F02, F10)."""
    addresses = await broker.start()
    place = subjects.episode("TGD_SOS", "u-1")
    async with open_bus(addresses.nats_url, "tests.logins") as bus:
        await bus.log.append(place, b"said before")

        async def ask() -> None:
            for written in range(20):
                await bus.snapshots.put("newest", b"%d" % written)
                said = await bus.log.last(subjects.EPISODES, place)
                assert said is not None
                assert said.payload == b"said before"
                assert await bus.devices.get("u-1") is None
                assert (await bus.log.extent(subjects.EPISODES)).messages == 1
                assert (await bus.log.progress(subjects.EPISODES, "nobody")).end == 1
                async with open_bus(addresses.nats_url, "tests.begins") as another:
                    assert await another.snapshots.get("newest") == b"%d" % written

        asking, sets = asyncio.create_task(ask()), itertools.cycle(LOGINS.values())
        while not asking.done():
            await broker.admit([next(sets)])
            await asyncio.sleep(0.05)  # what the record takes for the next unit: not back to back
        await asking


async def test_a_restart_keeps_ports_and_log(broker: EmbeddedBroker, home: Path) -> None:
    addresses = await broker.start()
    bus = await nats.connect(addresses.nats_url, allow_reconnect=False)
    await bus.jetstream().add_stream(name="KEPT", subjects=["kept"])
    await bus.jetstream().publish("kept", b"1")
    await bus.close()
    await broker.stop()
    again = EmbeddedBroker(home=home, service_password=SERVICE_PASSWORD, fleet_password="fleet")
    try:
        assert await again.start() == addresses
        bus = await nats.connect(addresses.nats_url, allow_reconnect=False)
        assert (await bus.jetstream().get_msg("KEPT", seq=1)).data == b"1"
        await bus.close()
    finally:
        await again.stop()


async def test_what_was_acknowledged_for_an_absent_ingest_survives_a_kill(broker: EmbeddedBroker) -> None:
    await broker.admit(LOGINS.values())
    addresses = await broker.start()
    async with ingest(addresses) as listener:
        await listener.subscribe("tocsin/1/#", qos=1)
    expected = [f"{i}".encode() for i in range(500)]
    with contextlib.suppress(aiomqtt.MqttError):  # its goodbye finds no broker
        async with device(addresses, "u-1") as unit:
            for payload in expected:
                await unit.publish("tocsin/1/u-1/pos", payload, qos=1)  # returns at the PUBACK
            assert broker.pid is not None
            os.kill(broker.pid, signal.SIGKILL)
            assert await broker.wait() == -signal.SIGKILL
    assert await broker.start() == addresses
    async with ingest(addresses) as listener:
        assert [await next_payload(listener) for _ in expected] == expected


async def test_rows_survive_a_stop_and_a_killed_postmaster(database: EmbeddedPostgres) -> None:
    async with await psycopg.AsyncConnection.connect(await database.start(), autocommit=True) as rows:
        await rows.execute("CREATE TABLE t (i int)")
        await rows.execute("INSERT INTO t VALUES (1)")
    await database.stop()
    for survivors in range(1, 4):
        async with await psycopg.AsyncConnection.connect(await database.start(), autocommit=True) as rows:
            found = await (await rows.execute("SELECT count(*), current_database() FROM t")).fetchone()
            assert found == (survivors, "tocsin")
            await rows.execute("INSERT INTO t VALUES (1)")
            assert database.pid is not None
            os.kill(database.pid, signal.SIGKILL)  # its backends may still be there at the next start
            if survivors % 2:
                assert await database.wait() == -signal.SIGKILL
            else:
                assert await until(lambda: database.pid is None, within_s=DEADLINE_S)


async def test_the_settings_are_in_force(database: EmbeddedPostgres) -> None:
    async with await psycopg.AsyncConnection.connect(await database.start()) as rows:
        for name, value in SETTINGS.items():
            found = await (await rows.execute("SELECT current_setting(%s)", [name])).fetchone()
            assert found == (value,)


# --- who owns a home ---


async def test_a_home_has_one_owner(broker: EmbeddedBroker, database: EmbeddedPostgres, home: Path) -> None:
    await broker.start()
    await database.start()
    for second in (EmbeddedBroker(home=home, service_password="x"), EmbeddedPostgres(home=home)):
        with pytest.raises(EmbeddedServerError, match=rf"in use by another Tocsin \(process {os.getpid()}\)"):
            await second.start()
    for same in (broker, database):
        with pytest.raises(EmbeddedServerError, match="already runs"):
            await same.start()


async def test_a_taken_port_is_named(home: Path, broker: EmbeddedBroker) -> None:
    port = urlsplit((await broker.start()).mqtt_url).port or 0
    second = EmbeddedBroker(home=home / "second", service_password="x", mqtt_port=port)
    with pytest.raises(EmbeddedServerError, match=f"port {port} on 127.0.0.1 is not free"):
        await second.start()


async def test_missing_programs_are_named(home: Path) -> None:
    with pytest.raises(EmbeddedServerError, match="does not hold postgres and initdb"):
        await EmbeddedPostgres(home=home, bindir=home / "nothing").start()


async def test_a_failed_start_quotes_the_log_and_frees_the_home(home: Path) -> None:
    with pytest.raises(EmbeddedServerError, match=r"(?s)it ended.*shared_buffers"):
        await EmbeddedPostgres(home=home, settings={"shared_buffers": "nonsense"}).start()
    right = EmbeddedPostgres(home=home)
    try:
        await right.start()
    finally:
        await right.stop()


async def test_secrets_are_for_the_owner_only(broker: EmbeddedBroker, home: Path) -> None:
    addresses = await broker.start()
    for name in ("broker.conf", "broker.ports", "nats.log"):
        assert (home / name).stat().st_mode & 0o077 == 0, name
    assert SERVICE_PASSWORD not in (home / "broker.conf").read_text()
    assert "password" not in repr(addresses).lower()
    assert SERVICE_PASSWORD not in repr(addresses)


async def test_a_home_too_deep_for_a_socket_gets_a_short_run_folder(home: Path) -> None:
    server = EmbeddedPostgres(home=home / ("deep" * 30))
    try:
        dsn = await server.start()
        assert str(home) not in dsn
        async with await psycopg.AsyncConnection.connect(dsn):
            pass
    finally:
        await server.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs Postgres as somebody else")
async def test_a_home_closed_to_the_servers_user_puts_the_data_elsewhere(closed_home: Path) -> None:
    server = EmbeddedPostgres(home=closed_home)
    try:
        await server.start()
        assert not server.data.is_relative_to(closed_home)
        assert not server.data.is_relative_to(SYSTEM_HOME)
        assert note_in(closed_home).startswith(f"{server.data.parent}\n")
    finally:
        await server.stop()
        shutil.rmtree(server.data.parent)


async def test_no_server_outlives_a_killed_supervisor_and_the_next_one_starts(home: Path) -> None:
    program = f"""
        import asyncio, pathlib
        from tocsin.embedded import EmbeddedBroker, EmbeddedPostgres
        async def main():
            home = pathlib.Path({str(home)!r})
            broker, database = EmbeddedBroker(home=home, service_password="x"), EmbeddedPostgres(home=home)
            await broker.start()
            await database.start()
            print(broker.pid, database.pid, flush=True)
            await asyncio.Event().wait()
        asyncio.run(main())
    """
    supervisor = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(program), stdout=subprocess.PIPE
    )
    assert supervisor.stdout is not None
    async with asyncio.timeout(DEADLINE_S):
        pids = [int(word) for word in (await supervisor.stdout.readline()).split()]
    assert [runs(pid, str(home)) for pid in pids] == [True, True]
    supervisor.kill()
    await supervisor.wait()
    broker, database = EmbeddedBroker(home=home, service_password="x"), EmbeddedPostgres(home=home)
    try:
        await asyncio.gather(broker.start(), database.start())  # waits for the orphans to end
        assert not any(runs(pid, str(home)) for pid in pids)
    finally:
        await asyncio.gather(broker.stop(), database.stop())


async def test_nothing_is_left_after_a_stop(broker: EmbeddedBroker, database: EmbeddedPostgres) -> None:
    await broker.start()
    await database.start()
    pids = [broker.pid, database.pid]
    await broker.stop()
    await database.stop()
    assert [state_of(pid or 0) for pid in pids] == [None, None]
    await broker.stop()
    await database.stop()


def test_the_place_is_home_when_the_servers_user_may_enter(home: Path) -> None:
    assert place_for(home, Identity.ours()) == home
