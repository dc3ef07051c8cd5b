"""Does a broker keep what it promises to devices and to ingest? One examination for both; F31, invariants 1 and 2.

The embedded broker, and Mosquitto as we ship it, each with a home of its own and killed at will. What only
Mosquitto promises (TLS, certificates, client ids that are names) is in ``test_mosquitto.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import aiomqtt
import pytest
from doors import DEVICE_PASSWORD, Door, MosquittoDoor, NatsDoor, maybe_cut, skip_without_mosquitto

from ingest.listener import FIX_TOPICS
from ingest.mqtt import MqttSession, client_id
from tocsin.clock import AffineClock
from tocsin.mqtt import password_in

DEVICES = ("u-1", "u-11")
TOPICS = FIX_TOPICS
DEADLINE_S = 20.0
MANY = 1500  # more than Mosquitto queues by default, 1000, before it drops what it has acknowledged
IN_HAND = 200  # more than it hands out by default, 20
FORGED = (
    "tocsin/1/u-11/sos", "tocsin/1/u-1/cmd", "tocsin/1/u-1/cfg/want", "tocsin/1/u-1/err", "tocsin/1/u-1", "x",
    "$SYS/x", "owntracks/u-11/phone", "owntracks/u-11/phone/cmd", "owntracks/u-11/phone/event",
    "owntracks/u-1/phone/cmd", "owntracks/u-1", "owntracks",
)  # fmt: skip
EARS = (
    "tocsin/1/u-1/err", "#", "tocsin/1/#", "tocsin/1/+/err", "tocsin/1/u-11/err", "+/1/u-11/loc", "owntracks/#",
    "owntracks/+/+", "owntracks/u-11/phone", "owntracks/u-11/phone/cmd", "+/u-11/#",
)  # fmt: skip
GUESSES = ("ingest", "fixes", "tocsin-fixes", client_id("fixes", "fixes"), client_id("fixes", DEVICE_PASSWORD))

pytestmark = pytest.mark.timeout(90)


@pytest.fixture(params=["nats", "mosquitto"])
async def door(request: pytest.FixtureRequest, broker_home: Path) -> AsyncIterator[Door]:
    if request.param == "mosquitto":
        skip_without_mosquitto()
        opened: Door = MosquittoDoor(broker_home, DEVICES)
    else:
        opened = await NatsDoor.of_its_own(broker_home, DEVICES)
    await opened.start()
    yield opened
    await opened.stop()


def session(door: Door) -> MqttSession:
    return MqttSession(door.url, "fixes", TOPICS, AffineClock(), door.tls)


async def taken(listener: MqttSession, number: int) -> list[bytes]:
    """So many messages, acknowledged."""
    found: list[bytes] = []
    async with asyncio.timeout(DEADLINE_S):
        async for one in listener.messages():
            listener.acknowledge(one)
            found.append(one.message.payload)
            if len(found) == number:
                break
    return found


async def taken_until(listener: MqttSession, last: bytes) -> list[bytes]:
    """Acknowledged, up to ``last``: copies of one message count."""
    found: list[bytes] = []
    while last not in found:
        found += await taken(listener, 1)
    return found


async def heard(unit: aiomqtt.Client) -> bytes:
    async with asyncio.timeout(DEADLINE_S):
        payload = (await anext(unit.messages)).payload
    assert isinstance(payload, bytes)
    return payload


# --- who may say and hear what -------------------------------------------------------------------------------


async def test_a_device_is_heard_and_answered(door: Door) -> None:
    async with session(door) as listener, door.device("u-1") as unit:
        await unit.subscribe("tocsin/1/u-1/err", qos=0)
        await unit.publish("tocsin/1/u-1/sos", b"help", qos=1)
        assert await taken(listener, 1) == [b"help"]
        await listener.answer("tocsin/1/u-1/err", b"why")
        assert await heard(unit) == b"why"


async def test_a_phone_is_heard_under_its_own_name(door: Door) -> None:
    async with session(door) as listener, door.device("u-1") as phone:
        await phone.publish("owntracks/u-1/phone", b"here", qos=1)
        assert await taken(listener, 1) == [b"here"]


async def test_a_device_speaks_under_its_own_name_only(door: Door) -> None:
    """F31. A refusal is silent in MQTT 3.1.1, or cuts the connection: what matters is that nobody hears it."""
    async with session(door) as listener, door.device("u-11") as other:
        for topic in FORGED:
            async with maybe_cut(door.device("u-1")) as rogue:
                with contextlib.suppress(aiomqtt.MqttError):
                    await rogue.publish(topic, b"forged", qos=1)
        async with door.device("u-1") as honest:
            await honest.publish("tocsin/1/u-1/loc", b"own", qos=1)
        assert await taken(listener, 1) == [b"own"]
        await other.publish("tocsin/1/u-11/loc", b"the other's", qos=1)
        assert await taken(listener, 1) == [b"the other's"], "and nothing forged after it"


async def test_a_device_hears_what_is_addressed_to_it_and_nothing_else(door: Door) -> None:
    """F31, F33: where the other is, and what it is told, is not for this one, whatever it subscribes to."""
    async with session(door) as service, door.device("u-1") as curious, door.device("u-11") as other:
        for topic in EARS:
            await curious.subscribe(topic, qos=1)
        await other.publish("tocsin/1/u-11/loc", b"where she is", qos=1)
        await other.publish("owntracks/u-11/phone", b"where her phone is", qos=1)
        assert sorted(await taken(service, 2)) == [b"where her phone is", b"where she is"]
        await service.answer("owntracks/u-11/phone/cmd", b"for the other's phone")  # Mosquitto's list lets it
        await service.answer("tocsin/1/u-11/err", b"for the other")
        await service.answer("tocsin/1/u-1/err", b"for it")
        assert await heard(curious) == b"for it"


# --- what survives -------------------------------------------------------------------------------------------


async def test_what_was_acknowledged_for_an_absent_ingest_survives_a_kill(door: Door) -> None:
    """Invariant 2. On Mosquitto once it has written; what it writes again may come twice and is never missing."""
    async with session(door):
        pass
    async with maybe_cut(door.device("u-1")) as unit:
        for number in range(MANY):
            await unit.publish("tocsin/1/u-1/loc", b"%d" % number, qos=1)  # returns at the PUBACK
        await door.on_disk()
        await door.kill()
    await door.start()
    async with door.device("u-1") as unit:  # before ingest is back: the session is the broker's to remember
        await unit.publish("tocsin/1/u-1/loc", b"after", qos=1)
    async with session(door) as listener:
        found = await taken_until(listener, b"after")
    assert list(dict.fromkeys(found)) == [*(b"%d" % number for number in range(MANY)), b"after"], "in order"


async def test_a_reader_that_is_killed_loses_nothing_of_what_it_had_in_hand(door: Door) -> None:
    """Invariant 1: SIGKILL of a process that holds unacknowledged messages; all come again. To itself, too, once
    it has held them for long: what counts is which of them come, and in which order they first came."""
    program = f"""
        import asyncio
        from pathlib import Path
        from ingest.mqtt import MqttSession
        from tocsin.clock import AffineClock
        from tocsin.tls import TlsFiles
        async def main():
            tls = TlsFiles(*(Path(one) if one else None for one in {tuple(map(str, tls_of(door)))!r}))
            async with MqttSession({door.url!r}, "fixes", {TOPICS!r}, AffineClock(), tls) as session:
                print("ready", flush=True)
                async for taken in session.messages():
                    print(taken.message.payload.decode(), flush=True)
        asyncio.run(main())
    """
    reader = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(program), stdout=asyncio.subprocess.PIPE
    )
    assert reader.stdout is not None
    expected = [b"%d" % number for number in range(IN_HAND)]
    async with asyncio.timeout(DEADLINE_S):
        assert await reader.stdout.readline() == b"ready\n"
        async with door.device("u-1") as unit:
            for payload in expected:
                await unit.publish("tocsin/1/u-1/loc", payload, qos=1)
        in_hand: dict[bytes, None] = {}
        while len(in_hand) < IN_HAND:
            line = await reader.stdout.readline()
            assert line, "it has ended"
            in_hand.setdefault(line.strip())
    reader.kill()
    await reader.wait()
    assert list(in_hand) == expected
    again: set[bytes] = set()
    async with session(door) as listener:
        while len(again) < IN_HAND:
            again.update(await taken(listener, 1))
    assert again == set(expected)


def tls_of(door: Door) -> tuple[object, ...]:
    return tuple(one or "" for one in (door.tls.ca, door.tls.cert, door.tls.key))


# --- whose session -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clean", [True, False], ids=["to wipe it", "to take it over"])
async def test_no_device_gets_at_the_session_of_ingest(door: Door, clean: bool) -> None:
    """F31: with every client id that it can think of. Ingest, connected or away, loses no message by it."""
    async with session(door):
        pass
    async with door.device("u-11") as honest:
        await honest.publish("tocsin/1/u-11/loc", b"while away", qos=1)
        await _try_all(door, clean)
        async with session(door) as listener:
            assert await taken(listener, 1) == [b"while away"]
            await _try_all(door, clean)
            await honest.publish("tocsin/1/u-11/loc", b"while there", qos=1)
            assert await taken(listener, 1) == [b"while there"], "on the same connection"


async def _try_all(door: Door, clean: bool) -> None:
    for guess in GUESSES:
        async with maybe_cut(door.device("u-1", client_id=guess, clean=clean)) as rogue:
            await rogue.subscribe("tocsin/1/#", qos=1)


async def test_the_guesses_are_not_the_name(door: Door) -> None:
    """Were one of them right, the test above would not say so on a broker that forbids the attempt."""
    assert client_id("fixes", password_in(door.url)) not in GUESSES
