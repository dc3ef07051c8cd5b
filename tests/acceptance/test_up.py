"""``tocsin up`` as its user meets it: it comes up, Ctrl-C ends all of it, a second start finds its data.

And with servers of the user's own it starts only what is missing. A wrong setting stops it before anything runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from lab_fixture import Told, new_home

from simulator.gateway import Gateway
from simulator.lab import PairWanted, laboratory
from tocsin.embedded import EmbeddedBroker
from tocsin.loopback import free_port
from tocsin.model.device import DeviceKind

pytestmark = pytest.mark.timeout(180)

TOCSIN = Path(sys.executable).with_name("tocsin")
UP_WITHIN_S, DOWN_WITHIN_S = 60.0, 60.0
DEVICE = {"id": "b0000001", "kind": "bar_wearer"}


@contextlib.asynccontextmanager
async def up(home: Path, port: int) -> AsyncIterator[httpx2.AsyncClient]:
    """A running ``tocsin up``; ended by SIGINT, and its exit status is 0."""
    environment = {**os.environ, "TOCSIN_API_AUTH": "off", "TOCSIN_API_PORT": str(port)}
    child = await asyncio.create_subprocess_exec(TOCSIN, "up", "--data-dir", home, env=environment)
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as api:
        async with asyncio.timeout(UP_WITHIN_S):
            while not await _is_ready(api):
                assert child.returncode is None, "it ended while starting"
                await asyncio.sleep(0.1)
        yield api
    child.send_signal(signal.SIGINT)
    async with asyncio.timeout(DOWN_WITHIN_S):
        assert await child.wait() == 0


async def _is_ready(api: httpx2.AsyncClient) -> bool:
    with contextlib.suppress(httpx2.TransportError):
        return (await api.get("/readyz")).status_code == 200
    return False


def living_below(home: Path) -> list[str]:
    """Command lines of processes that name this home, or were started with it as their data folder."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal() or int(process.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            said = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            if os.fsencode(home) in said and b"tocsin" in said:
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


async def test_it_comes_up_ends_on_ctrl_c_and_finds_its_data_again() -> None:
    home, port = new_home(), free_port()
    try:
        async with up(home, port) as api:
            made = await api.post("/api/v1/devices", json=DEVICE, headers={"Idempotency-Key": "first-of-all"})
            assert made.status_code == 201, made.text
            assert (await api.get("/")).status_code == 200
            ports = (home / "broker" / "broker.ports").read_text()
        assert living_below(home) == []
        async with up(home, port) as api:
            kept = await api.get(f"/api/v1/devices/{DEVICE['id']}")
            assert kept.status_code == 200, kept.text
            assert (home / "broker" / "broker.ports").read_text() == ports
        assert living_below(home) == []
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TOCSIN_PARTITIONS", "0"),
        ("TOCSIN_PARTITONS", "4"),
        ("TOCSIN_REALM", "home"),
        ("TOCSIN_NATS_URL", "nats://127.0.0.1:1"),
    ],  # an outside log, and no door for devices
)
async def test_a_wrong_setting_stops_it_before_anything_runs(variable: str, value: str) -> None:
    home = new_home()
    try:
        child = await asyncio.create_subprocess_exec(
            TOCSIN, "up", "--data-dir", home, env={**os.environ, variable: value}, stderr=asyncio.subprocess.PIPE
        )
        _, said = await child.communicate()
        assert child.returncode == 2
        assert variable in said.decode()
        assert list(home.iterdir()) == []
    finally:
        shutil.rmtree(home, ignore_errors=True)


async def test_a_taken_port_of_the_api_is_said_at_once_by_its_setting() -> None:
    home = new_home()
    try:
        with socket.create_server(("127.0.0.1", 0)) as theirs:
            port = str(theirs.getsockname()[1])
            child = await asyncio.create_subprocess_exec(
                TOCSIN,
                "up",
                "--data-dir",
                home,
                env={**os.environ, "TOCSIN_API_PORT": port},
                stderr=asyncio.subprocess.PIPE,
            )
            _, said = await child.communicate()
        assert child.returncode == 2
        assert f"TOCSIN_API_PORT: the API cannot listen on 127.0.0.1:{port}" in said.decode()
        assert list(home.iterdir()) == []
    finally:
        shutil.rmtree(home, ignore_errors=True)


async def test_with_an_outside_broker_only_the_database_is_started() -> None:
    home = new_home()
    broker = EmbeddedBroker(home=home / "theirs", service_password="their-secret", fleet_password="their-fleet")
    told = Told()
    try:
        theirs = await broker.start()
        assert theirs.fleet_mqtt_url is not None
        urls = {"mqtt_url": theirs.mqtt_url, "nats_url": theirs.nats_url}
        async with laboratory(home=home, tell=told, log_level="warning", **urls) as lab:
            devices = {"her-1": DeviceKind.PROTECTED, "his-1": DeviceKind.WEARER}
            pair = PairWanted(key="one", wearer="his-1", protected="her-1", alert_distance_m=1000)
            await lab.register(devices, [pair])
            async with Gateway(theirs.fleet_mqtt_url, client_id="their-gateway") as gateway:
                await gateway.publish("her-1", "sos", b'{"_type":"sos","tst":1795291199,"seq":1,"boot":1}')
                assert await lab.receiver.heard(2, within_s=60)
        assert "broker" not in {event.part for event in told.events}
        assert "database" in {event.part for event in told.events}
    finally:
        await broker.stop()
        shutil.rmtree(home, ignore_errors=True)
