"""locust's units on a real broker that goes away and comes back: everything said arrives, everybody returns."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from urllib.parse import urlsplit

import aiomqtt
import pytest

from loadtests.handover import Crowd, CrowdTally, Login, hand_over, taken
from loadtests.run import start_locust
from loadtests.shapes import Plan, Shape
from tocsin.clock import AffineClock
from tocsin.embedded import DeviceLogin, EmbeddedBroker
from tocsin.embedded.broker import hash_password

UNITS, INTERVAL_S, SECONDS = 12, 0.5, 24.0
"""The cut comes after two of them. Who was cut tries again 1, 3, 7 and 12 s later: time is left to speak."""
PASSWORD, SERVICE_PASSWORD = "d" * 32, "s" * 32
BEFORE_THE_CUT = 3 * UNITS
HEARD_WITHIN_S = 30.0

pytestmark = pytest.mark.timeout(180)

Said = list[tuple[str, int, int]]
"""(device, boot, seq) in order of arrival."""


def listener(port: int) -> aiomqtt.Client:
    return aiomqtt.Client(
        "127.0.0.1",
        port,
        username="ingest",
        password=SERVICE_PASSWORD,
        identifier="tocsin-ingest-of-the-tests",
        clean_session=False,
    )


async def hear(port: int, said: Said, enough: int | None) -> None:
    """Until so much was said in all; None: until cancelled."""
    async with listener(port) as ear:
        await ear.subscribe("tocsin/1/#", qos=1)
        async for message in ear.messages:
            assert isinstance(message.payload, bytes)
            fields = json.loads(message.payload)
            said.append((str(message.topic).split("/")[2], fields["boot"], fields["seq"]))
            if enough is not None and len(said) >= enough:
                return


async def test_units_come_back_after_a_cut_and_nothing_is_lost(broker_home: Path) -> None:
    devices = [f"unit-{number}" for number in range(UNITS)]
    broker = EmbeddedBroker(home=broker_home, service_password=SERVICE_PASSWORD)
    await broker.admit([DeviceLogin(device=one, password_bcrypt=hash_password(PASSWORD)) for one in devices])
    port = urlsplit((await broker.start()).mqtt_url).port or 0
    hand_over(
        broker_home / "crowd.json",
        Crowd(
            mqtt_host="127.0.0.1", mqtt_port=port, api_url="http://127.0.0.1:9", operators=0, shape=Shape.STEADY,
            units=[Login(device=one, password=PASSWORD) for one in devices],
            seconds=SECONDS, interval_s=INTERVAL_S, seed=7, start_ms=AffineClock().now_ms(),
            begun=str(broker_home / "begun"),
            tally=str(broker_home / "tally.json"),
        ),
    )  # fmt: skip
    said: Said = []
    async with listener(port) as ear:
        await ear.subscribe("tocsin/1/#", qos=1)  # the session is there before the first of them speaks
    locust = await start_locust(broker_home / "crowd.json", broker_home / "locust.log")
    try:
        async with asyncio.timeout(HEARD_WITHIN_S):
            await hear(port, said, BEFORE_THE_CUT)
        await broker.stop()
        await broker.start()
        rest = asyncio.create_task(hear(port, said, None))
        async with asyncio.timeout(2 * HEARD_WITHIN_S):
            assert await locust.wait() == 0, (broker_home / "locust.log").read_text()
        tally = taken(broker_home / "tally.json", CrowdTally)
        async with asyncio.timeout(HEARD_WITHIN_S):
            while len(set(said)) < tally.offered:
                assert not rest.done(), rest.exception()
                await asyncio.sleep(0.1)
        rest.cancel()
    finally:
        await locust.end([(signal.SIGTERM, 5.0)])
        await broker.stop()
    assert tally.connected == UNITS
    assert tally.connections == 2 * UNITS
    assert tally.offered == tally.confirmed == len(set(said))
    assert {device for device, _, _ in said} == set(devices)
    assert tally.exceptions == []
    assert tally.offered > 0.2 * Plan(shape=Shape.STEADY, users=UNITS, seconds=SECONDS).fixes(INTERVAL_S)
