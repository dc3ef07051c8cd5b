"""Does Mosquitto, as we ship it, let in whom it should? TLS, certificates, revocation, client ids; F31.

What both brokers promise is in ``test_mqtt_door.py``, what ingest makes of it in ``test_ingest_listener.py``.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiomqtt
import pytest
from builders import eventually
from doors import SHIPPED, MosquittoDoor, Papers, answer, client, maybe_cut, skip_without_mosquitto

from ingest.listener import FIX_TOPICS
from ingest.mqtt import MqttSession, client_id, session_secret
from tocsin.clock import AffineClock
from tocsin.mqtt import client_to, password_in
from tocsin.tls import TlsFiles

CONNECT = b"\x10\x11\x00\x04MQTT\x04\x02\x00\x3c\x00\x05raw-1"  # 3.1.1, clean, no user name
ADMITTED = b"\x20\x02\x00\x00"
DEADLINE_S = 20.0

pytestmark = pytest.mark.timeout(60)
PAHO_LEAVES_IT_OPEN = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning"
)
"""The socket of a connection whose certificate was wrong: it is closed when its object is collected."""


@pytest.fixture
async def door(broker_home: Path) -> AsyncIterator[MosquittoDoor]:
    skip_without_mosquitto()
    opened = MosquittoDoor(broker_home, ("u-1", "u-2", "u-11"))
    await opened.start()
    yield opened
    await opened.stop()


@pytest.fixture
def strangers(tmp_path: Path) -> Papers:
    """The same names, signed by somebody else."""
    papers = Papers(tmp_path / "strangers")
    papers.make("new")
    papers.make("service", "ingest")
    papers.make("device", "u-1")
    return papers


def session(door: MosquittoDoor, **tls: Path) -> MqttSession:
    return MqttSession(door.url, "fixes", FIX_TOPICS, AffineClock(), replace(door.tls, **tls))


async def next_payload(listener: MqttSession) -> bytes:
    async with asyncio.timeout(DEADLINE_S):
        one = await anext(listener.messages())
    listener.acknowledge(one)
    return one.message.payload


# --- who gets in ---------------------------------------------------------------------------------------------


async def test_each_comes_in_by_its_own_door(door: MosquittoDoor) -> None:
    device, service = door.papers.of("devices", "u-1"), door.papers.of("services", "ingest")
    assert await answer(door.devices_port, CONNECT, device.context()) == ADMITTED
    assert await answer(door.services_port, CONNECT, service.context()) == ADMITTED


@pytest.mark.parametrize("holder", ["nobody", "a stranger", "the other authority's", "the broker itself"])
@pytest.mark.parametrize("at", ["devices", "services"])
async def test_without_the_right_certificate_nobody_gets_as_far_as_mqtt(
    door: MosquittoDoor, strangers: Papers, at: str, holder: str
) -> None:
    """F31. Above all: a device, whatever it calls itself, does not stand at the door of ingest."""
    port = {"devices": door.devices_port, "services": door.services_port}[at]
    other, name = {"devices": ("services", "ingest"), "services": ("devices", "u-1")}[at]
    own = {"devices": "u-1", "services": "ingest"}[at]
    tls = {
        "nobody": door.papers.trusting,
        "a stranger": replace(strangers.of(at, own), ca=door.tls.ca),
        "the other authority's": door.papers.of(other, name),
        "the broker itself": door.papers.of("services", "broker"),
    }[holder]
    assert await answer(port, CONNECT, tls.context()) == b""
    why = "peer did not return a certificate" if holder == "nobody" else "certificate verify failed"
    await eventually(lambda: why in door.log)


async def test_plain_text_is_not_understood(door: MosquittoDoor) -> None:
    for port in (door.devices_port, door.services_port):
        assert await answer(port, CONNECT, None) in {b"", b"\x15\x03\x03\x00", b"\x15\x03\x01\x00"}, "a TLS alert"


async def test_what_is_revoked_stays_out_after_a_reload_and_the_others_stay_in(door: MosquittoDoor) -> None:
    """A connection that is open is not cut by it: the README says how to."""
    gone = door.papers.of("devices", "u-1").context()
    async with door.device("u-11") as other, session(door) as listener, door.device("u-2") as open_one:
        door.papers.make("revoke", "devices", "u-1", "u-2")
        door.hand_over()
        assert await answer(door.devices_port, CONNECT, gone) == ADMITTED, "the list is read at the signal"
        os.kill(door.pid, signal.SIGHUP)

        async def is_refused() -> bool:
            return await answer(door.devices_port, CONNECT, gone) == b""

        await eventually(is_refused)
        await eventually(lambda: "certificate verify failed" in door.log)
        await open_one.publish("tocsin/1/u-2/loc", b"still connected", qos=1)
        assert await next_payload(listener) == b"still connected"
        await other.publish("tocsin/1/u-11/loc", b"still there", qos=1)
        assert await next_payload(listener) == b"still there"
    door.papers.make("device", "u-1")
    door.hand_over()
    assert await answer(door.devices_port, CONNECT, door.papers.of("devices", "u-1").context()) == ADMITTED


# --- whom ingest trusts --------------------------------------------------------------------------------------


@PAHO_LEAVES_IT_OPEN
async def test_ingest_speaks_to_no_broker_that_another_signed_for(door: MosquittoDoor) -> None:
    with pytest.raises(aiomqtt.MqttError, match="certificate verify failed"):
        await session(door, ca=door.papers.folder / "devices/ca.crt").__aenter__()
    gc.collect()


@PAHO_LEAVES_IT_OPEN
async def test_ingest_speaks_to_no_broker_of_another_name(broker_home: Path) -> None:
    skip_without_mosquitto()
    elsewhere = MosquittoDoor(broker_home, ("u-1",), names=("elsewhere.example", "192.0.2.1"))
    await elsewhere.start()
    try:
        with pytest.raises(aiomqtt.MqttError, match="IP address mismatch"):
            await session(elsewhere).__aenter__()
        gc.collect()
    finally:
        await elsewhere.stop()


# --- whose session -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clean", [True, False], ids=["to wipe it", "to take it over"])
async def test_even_the_known_name_of_a_session_is_of_no_use_to_a_device(door: MosquittoDoor, clean: bool) -> None:
    """Its client id is its own name, whatever it says: here it has read ingest's, and another device's."""
    async with session(door):
        pass
    async with door.device("u-11", clean=False) as other:
        await other.subscribe("tocsin/1/u-11/cmd", qos=1)
        await other.publish("tocsin/1/u-11/loc", b"kept", qos=1)
        name = client_id("fixes", password_in(door.url))
        for stolen in (name, "u-11"):
            async with door.device("u-1", client_id=stolen, clean=clean) as rogue:
                await rogue.subscribe("tocsin/1/#", qos=1)
        async with session(door) as listener:
            assert await next_payload(listener) == b"kept"
            async with door.device("u-1", client_id=name, clean=clean):
                await other.publish("tocsin/1/u-11/loc", b"and the next", qos=1)
            assert await next_payload(listener) == b"and the next", "on the same connection"


@pytest.mark.parametrize("named_by", ["a password", "the data folder"])
async def test_a_renewed_key_meets_the_session_of_the_old_one(
    door: MosquittoDoor, tmp_path: Path, named_by: str
) -> None:
    """What was acknowledged under the old key is not lost. The broker does not look at the password."""
    url = door.url if named_by == "a password" else door.bare_url

    def ingest() -> MqttSession:
        return MqttSession(url, "fixes", ("tocsin/1/#",), AffineClock(), door.tls, session_secret(url, tmp_path))

    async with ingest():
        pass
    async with door.device("u-1") as unit:
        await unit.publish("tocsin/1/u-1/sos", b"kept", qos=1)
    for authority_file in door.papers.folder.glob("services/ingest.*"):
        authority_file.rename(authority_file.with_stem("ingest-2026"))
    door.papers.make("service", "ingest")
    async with ingest() as listener:
        assert await next_payload(listener) == b"kept"
    assert await answer(door.services_port, CONNECT, door.papers.trusting.context()) == b""


# --- the auditor's ear ---------------------------------------------------------------------------------------

REPORTED = ("loc", "bulk", "sos", "evt")
SAID_BY_UNITS = (*REPORTED, "state", "lwt", "res", "cfg/got")
SAID_TO_UNITS = ("cmd", "cfg/want", "err")


@pytest.fixture
async def ear(door: MosquittoDoor) -> TlsFiles:
    door.papers.make("service", "ear")
    door.hand_over()
    return door.papers.of("services", "ear")


async def test_the_ear_hears_what_units_report_and_nothing_else(door: MosquittoDoor, ear: TlsFiles) -> None:
    """Whatever it asks for: no order, no answer, no phone, and nothing that the broker says of itself."""
    async with client_to(door.bare_url, ear) as listening:
        for asked in ("#", "tocsin/1/#", "owntracks/#", "$SYS/#", *(f"tocsin/1/+/{leaf}" for leaf in REPORTED)):
            await listening.subscribe(asked, qos=1)
        async with door.ingest("downlink", clean=True) as ingest, door.device("u-1") as unit:
            for leaf in SAID_TO_UNITS:
                await ingest.publish(f"tocsin/1/u-1/{leaf}", b"an order", qos=1)
            await ingest.publish("owntracks/u-1/phone/cmd", b"an order", qos=1)
            for at in ("owntracks/u-1/phone", *(f"tocsin/1/u-1/{leaf}" for leaf in SAID_BY_UNITS)):
                await unit.publish(at, b"a report", qos=1)
            await unit.publish("tocsin/1/u-1/evt", b"the last", qos=1)
        heard: set[str] = set()
        async with asyncio.timeout(DEADLINE_S):
            async for message in listening.messages:
                heard.add(message.topic.value)
                if message.payload == b"the last":
                    break
    assert heard == {f"tocsin/1/u-1/{leaf}" for leaf in REPORTED}


async def test_the_ear_may_say_nothing_to_anybody(door: MosquittoDoor, ear: TlsFiles) -> None:
    """F31. Who only listens cannot report for a unit, nor give it orders, nor press its key."""
    leaves = (*SAID_BY_UNITS, *SAID_TO_UNITS)
    topics = [f"tocsin/1/{name}/{leaf}" for name in ("u-1", "ear") for leaf in leaves]
    async with session(door) as listener, door.device("u-1") as unit, door.ingest("downlink", clean=True) as ours:
        for leaf in SAID_TO_UNITS:
            await unit.subscribe(f"tocsin/1/u-1/{leaf}", qos=1)
        for at in (*topics, "owntracks/u-1/phone", "owntracks/u-1/phone/cmd", "owntracks/ear/phone"):
            async with maybe_cut(client_to(door.bare_url, ear)) as speaking:
                await speaking.publish(at, b"forged", qos=1)
                with pytest.raises(aiomqtt.MqttError):  # acknowledged, given to nobody, and hung up upon
                    await anext(aiter(speaking.messages))
        await unit.publish("tocsin/1/u-1/loc", b"own", qos=1)
        assert await next_payload(listener) == b"own"
        await ours.publish("tocsin/1/u-1/cmd", b"an order", qos=1)
        async with asyncio.timeout(DEADLINE_S):
            assert (await anext(aiter(unit.messages))).payload == b"an order"


# --- phones --------------------------------------------------------------------------------------------------


async def test_a_phone_without_certificate_has_a_listener_that_can_be_opened(broker_home: Path) -> None:
    skip_without_mosquitto()
    opened = MosquittoDoor(broker_home, ("u-1",))
    write_password(broker_home / "phones", "phone-1", "its-secret")
    await opened.start(phones=True)
    try:
        async with session(opened) as listener:
            for topic in ("tocsin/1/u-1/loc", "owntracks/u-1/phone", "tocsin/1/phone-1/cmd"):
                async with phone(opened, "its-secret") as unit:
                    await unit.publish(topic, b"forged", qos=1)
            async with phone(opened, "its-secret") as unit:
                await unit.publish("tocsin/1/phone-1/loc", b"own", qos=1)
                await unit.publish("owntracks/phone-1/mine", b"the app's", qos=1)
            assert [await next_payload(listener) for _ in range(2)] == [b"own", b"the app's"]
        for secret in ("wrong", None):
            with pytest.raises(aiomqtt.MqttError, match="Not authorized"):
                await phone(opened, secret).__aenter__()
        assert "as phone-1" in opened.log, "its client id is its name"
        assert "as mine" not in opened.log
    finally:
        await opened.stop()


def phone(door: MosquittoDoor, password: str | None) -> aiomqtt.Client:
    return client(
        f"mqtts://127.0.0.1:{door.phones_port}", "mine", clean=True, tls=door.papers.trusting,
        username="phone-1", password=password,
    )  # fmt: skip


def write_password(file: Path, name: str, secret: str) -> None:
    subprocess.run(["mosquitto_passwd", "-c", "-b", file, name, secret], check=True)


# --- the script ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ("device", "ingest"), ("device", "u-1", "a/b"), ("device", "U-1"), ("device", "u#1"), ("device", "+++"),
        ("device", "u-1", "u-1"), ("revoke", "devices", "u-9"), ("revoke", "people", "u-1"), ("broker",), ("new",),
        ("service", "a b"), ("cook",),
    ],
)  # fmt: skip
def test_what_the_script_refuses(tmp_path: Path, words: tuple[str, ...]) -> None:
    papers = Papers(tmp_path / "papers")
    papers.make("new")
    done = subprocess.run(
        [SHIPPED / "certificates.sh", papers.folder, *words], check=False, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "certificates.sh" in done.stderr
