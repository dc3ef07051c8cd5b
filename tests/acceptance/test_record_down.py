"""F01, invariant 3: the record is down; alerts go out, are read and acknowledged; then nothing is missing from it.

The database is an outside server for this Tocsin (``TOCSIN_DATABASE_URL``), so that nobody but the test starts it
again. "Down" is twice: stopped, and hung (SIGSTOP), which answers nothing and refuses nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from pathlib import Path

import pytest
from lab_fixture import Told, new_home

from simulator.gateway import Gateway
from simulator.lab import Laboratory, PairWanted, laboratory
from tocsin.clock import MS
from tocsin.embedded import EmbeddedPostgres
from tocsin.model.device import DeviceKind

pytestmark = pytest.mark.timeout(180)

HEARD_WITHIN_S = 10.0  # the hard budget of a P1
RECORDED_WITHIN_S = 30.0


async def _press(lab: Laboratory, gateway: Gateway, device: str, seq: int) -> None:
    second, ms = divmod(lab.clock.now_ms(), MS)
    said = {"_type": "sos", "tst": second, "ms": ms, "seq": seq, "boot": 1}
    await gateway.publish(device, "sos", json.dumps(said).encode())


async def _heard(lab: Laboratory, device: str) -> str:
    """The alert's id, once both recipients have been told of it."""
    async with asyncio.timeout(HEARD_WITHIN_S):
        while True:
            told = {
                (one.channel, one.subject)
                for one in lab.receiver.history.deliveries
                if one.data["device"] == device and one.type == "org.tocsin.alert.opened"
            }
            if len(told) == 2:
                return told.pop()[1]
            await asyncio.sleep(0.02)


async def _acknowledged(lab: Laboratory, alert: str) -> None:
    found = await lab.api.get(f"/api/v1/alerts/{alert}")
    assert found.status_code == 200, found.text
    taken = await lab.api.put(
        f"/api/v1/alerts/{alert}/acknowledgement",
        json={"job": "teleassistance"},
        headers={"If-Match": found.headers["ETag"]},
    )
    assert taken.status_code == 200, taken.text


async def _recorded(lab: Laboratory, alert: str) -> None:
    async with asyncio.timeout(RECORDED_WITHIN_S):
        while True:
            timeline = await lab.api.get(f"/api/v1/alerts/{alert}/timeline")
            entries = timeline.json().get("entries", []) if timeline.status_code == 200 else []
            if any(entry["source"] == "human" for entry in entries):
                return
            await asyncio.sleep(0.2)


async def test_alerts_go_out_while_the_record_is_stopped_and_while_it_hangs() -> None:
    home = new_home()
    database = EmbeddedPostgres(home=home / "database")
    try:
        dsn = await database.start()
        async with laboratory(home=home, tell=Told(), database_url=dsn, log_level="warning") as lab:
            devices = dict.fromkeys(("her-1", "her-2", "her-3"), DeviceKind.PROTECTED)
            await lab.register({**devices, "his-1": DeviceKind.WEARER}, [PairWanted(
                key="one", wearer="his-1", protected="her-1", alert_distance_m=1000)])  # fmt: skip
            url = lab.stack.addresses.fleet_mqtt_url
            assert url is not None
            async with Gateway(url, client_id="down-gateway") as gateway:
                await database.stop()
                await _press(lab, gateway, "her-1", 1)
                stopped = await _heard(lab, "her-1")
                await _acknowledged(lab, stopped)
                refused = await lab.api.get("/api/v1/measures")
                assert refused.status_code == 503, "orders are the record's, and say so"
                await database.start()
                await _recorded(lab, stopped)

                assert database.pid is not None
                backends = _family(database.pid)
                for pid in backends:
                    os.kill(pid, signal.SIGSTOP)
                try:
                    await _press(lab, gateway, "her-2", 1)
                    hung = await _heard(lab, "her-2")
                    await _acknowledged(lab, hung)
                finally:
                    for pid in backends:
                        os.kill(pid, signal.SIGCONT)
                await _recorded(lab, hung)
            assert lab.receiver.history.report().conflicts == ()
    finally:
        await database.stop()
        shutil.rmtree(home, ignore_errors=True)


async def test_a_machine_that_starts_without_its_record_still_rings() -> None:
    """A7, after a power cut that took the database too: what was registered before is on the log."""
    home = new_home()
    database = EmbeddedPostgres(home=home / "database")
    told = Told()
    try:
        dsn = await database.start()
        async with laboratory(home=home, tell=Told(), database_url=dsn, log_level="warning") as lab:
            await lab.register({"her-1": DeviceKind.PROTECTED}, [])
        await database.stop()
        async with laboratory(home=home, tell=told, database_url=dsn, log_level="warning") as lab:
            url = lab.stack.addresses.fleet_mqtt_url
            assert url is not None
            async with Gateway(url, client_id="early-gateway") as gateway:
                await _press(lab, gateway, "her-1", 1)
                alert = await _heard(lab, "her-1")
                await _acknowledged(lab, alert)
                assert (await lab.api.get("/readyz")).json()["degraded"] is True
                await database.start()
                await _recorded(lab, alert)
                async with asyncio.timeout(RECORDED_WITHIN_S):
                    await lab.stack.supervisor.wait_ready("projector")
                await lab.register({"her-2": DeviceKind.PROTECTED}, [])
    finally:
        await database.stop()
        shutil.rmtree(home, ignore_errors=True)
    said = [event.what for event in told.events if event.part == "schema"]
    assert said[0] == "starting"
    assert said[1].startswith("waits: ")
    assert said[-1] == "ready"


def _family(pid: int) -> list[int]:
    """A process and its children, the parent first, so that it starts no more of them."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [pid, *(int(word) for word in children.split())]
