"""The whole road through Mosquitto, as we ship it: from a certificate on a wrist to a bell that rings. F31.

Mosquitto is outside, with TLS on every connection; log and database are the embedded ones. Two units with
certificates of their own publish a crossing; one of them tries to speak for the other; then the broker is killed.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import aiomqtt
import pytest
from doors import MosquittoDoor, maybe_cut, skip_without_mosquitto
from lab_fixture import running_lab

from simulator.lab import Laboratory, PairWanted
from tocsin.clock import MS
from tocsin.model.device import DeviceKind

pytestmark = pytest.mark.timeout(180)

HIS, HERS = "his-w", "her-p"
HOME = (43.2965, 5.3698)
NORTH_PER_M = 1 / 111_132.0
HEARD_WITHIN_S = 25.0
WAY_M = (2200.0, 1900.0, 1600.0, 1300.0, 980.0)  # 80 m/s at most: a fix that is farther is not believed
STEP_MS = 4 * MS
CROSSING = {
    ("teleassistance", "PROX_PREALERT"),
    ("teleassistance", "PROX_ALERT"),
    ("police", "PROX_ALERT"),
}
PRESS = {("teleassistance", "BAR_SOS"), ("police", "BAR_SOS")}


@pytest.fixture
async def door() -> AsyncIterator[MosquittoDoor]:
    skip_without_mosquitto()
    home = Path(tempfile.mkdtemp(prefix="t-"))
    opened = MosquittoDoor(home, (HIS, HERS))
    await opened.start()
    yield opened
    await opened.stop()
    shutil.rmtree(home)


async def test_a_crossing_reported_by_two_holders_of_certificates_raises_the_alert(door: MosquittoDoor) -> None:
    files = {f"mqtt_{name}_file": getattr(door.tls, name) for name in ("ca", "cert", "key")}
    async with running_lab(mqtt_url=door.bare_url, **files) as (lab, told):
        pair = PairWanted(key="one", wearer=HIS, protected=HERS, alert_distance_m=1000)
        devices = {HIS: DeviceKind.WEARER, HERS: DeviceKind.PROTECTED}
        await lab.register(devices, [pair], reports_every_s=dict.fromkeys(devices, 30))
        await _forge(door, f"tocsin/1/{HERS}/sos", _sos(lab, 1))
        async with maybe_cut(door.device(HIS)) as his, maybe_cut(door.device(HERS)) as hers:
            begun_ms = lab.clock.now_ms() - len(WAY_M) * STEP_MS
            await hers.publish(f"tocsin/1/{HERS}/loc", _place(begun_ms, 0.0, 1), qos=1)
            for seq, north_m in enumerate(WAY_M, start=1):
                said = _place(begun_ms + seq * STEP_MS, north_m, seq)
                await his.publish(f"tocsin/1/{HIS}/loc", said, qos=1)
                await _admitted(lab, seq + 1)
            await _heard(lab, CROSSING)
            await _killed_and_back(door, his)
        async with door.device(HERS) as hers:
            await hers.publish(f"tocsin/1/{HERS}/sos", _sos(lab, 2), qos=1)
        await _heard(lab, CROSSING | PRESS)
        assert {event.part for event in told.events if event.what == "died"} == set()


async def _forge(door: MosquittoDoor, topic: str, payload: bytes) -> None:
    """He says it in her name: Mosquitto acknowledges it, gives it to nobody and hangs up."""
    async with maybe_cut(door.device(HIS)) as his:
        await his.publish(topic, payload, qos=1)
        with pytest.raises(aiomqtt.MqttError):
            await anext(aiter(his.messages))


async def _killed_and_back(door: MosquittoDoor, connected: aiomqtt.Client) -> None:
    await door.kill()
    with pytest.raises(aiomqtt.MqttError):
        await anext(aiter(connected.messages))
    await door.start()


def _place(at_ms: int, north_m: float, seq: int) -> bytes:
    said = {"_type": "location", "lat": HOME[0] + north_m * NORTH_PER_M, "lon": HOME[1], "acc": 5.0}
    return json.dumps({**said, **_numbered(at_ms, seq)}).encode()


def _sos(lab: Laboratory, seq: int) -> bytes:
    return json.dumps({"_type": "sos", "silent": True, **_numbered(lab.clock.now_ms(), seq)}).encode()


def _numbered(at_ms: int, seq: int) -> dict[str, int]:
    second, ms = divmod(at_ms, MS)
    return {"tst": second, "ms": ms, "seq": seq, "boot": 1}


async def _admitted(lab: Laboratory, number: int) -> None:
    async with asyncio.timeout(HEARD_WITHIN_S):
        while await lab.total("tocsin_ingest_messages_total", lane="fix", outcome="admitted") < number:
            await asyncio.sleep(0.02)


async def _heard(lab: Laboratory, wanted: set[tuple[str, str]]) -> None:
    """All of it, and nothing else, once. What Tocsin says of itself is left out: on a slow machine it is
    true that the broker was away for long."""

    def heard() -> list[tuple[str, str]]:
        told = [one for one in lab.receiver.history.deliveries if not one.repeat]
        return [(one.channel, one.data["code"]) for one in told if not one.data["code"].startswith("SYS_")]

    async with asyncio.timeout(HEARD_WITHIN_S):
        while not wanted <= set(heard()):
            await asyncio.sleep(0.02)
    assert sorted(heard()) == sorted(wanted)
