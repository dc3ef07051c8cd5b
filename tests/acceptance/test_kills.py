"""F02, F07, invariant 1: the death of any one process, amid the story, loses no alert and doubles none.

Real broker, log, database and processes; ``kill -9``; a receiver that verifies signatures and removes repeats by
``webhook-id``. For each part, at three moments around the crossing, a wearer goes from far through the pre-alert
distance into the alert distance, reporting on the way as a unit does, and the protected person presses her key.
A last story is the hardest: the fix in the dead reader's hands is the only one that was inside.

What he does in 20 s is told in 2: his fixes carry the hours of a way that somebody could drive, and no faster.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter

import pytest
from lab_fixture import Told, running_lab

from simulator.checkers import FORETOLD
from simulator.gateway import Gateway
from simulator.lab import Laboratory, PairWanted
from tocsin.clock import MS
from tocsin.model.device import DeviceKind

pytestmark = pytest.mark.timeout(420)

PARTS = ("fixes", "alarms-1", "geofence", "dispatcher", "courier", "recorder", "downlink")
MOMENTS_S = (-0.02, 0.002, 0.012)  # before the crossing is sent, while it is on its way, when the alert is
HOME = (43.2965, 5.3698)
NORTH_PER_M = 1 / 111_132.0
OPENED = "org.tocsin.alert.opened"
HEARD_WITHIN_S = 25.0  # a dead session's messages come again after the broker's 10 s
RECORDED_WITHIN_S = 20.0
STEP_MS = 4 * MS
WAY_M = (1900.0, 1600.0, 1300.0, 980.0, 700.0)  # at most 80 m/s: a fix that is farther is not believed
BEGINS_MS = (len(WAY_M) + 3) * STEP_MS  # so long ago: no fix is ahead of the hour at which it is said
REPORT_EVERY_S = 0.3
INTERVAL_S = 30  # nobody here obeys a command; what comes again after the broker's 10 s is not overdue


class Couple:
    """One wearer and one protected person, spoken for by the gateway."""

    def __init__(self, gateway: Gateway, lab: Laboratory, name: str) -> None:
        self.name = name
        self.wearer, self.protected = f"{name}-w", f"{name}-p"
        self._gateway = gateway
        self._seq = 0
        self._fix_ms = lab.clock.now_ms() - BEGINS_MS

    async def at(self, device: str, north_m: float) -> None:
        await self._say(
            device, "loc", {"_type": "location", "lat": HOME[0] + north_m * NORTH_PER_M, "lon": HOME[1]}
        )

    async def press(self) -> None:
        await self._say(self.protected, "sos", {"_type": "sos", "silent": True})

    async def _say(self, device: str, leaf: str, fields: dict[str, object]) -> None:
        self._seq += 1
        self._fix_ms += STEP_MS
        second, ms = divmod(self._fix_ms, MS)
        said = {**fields, "tst": second, "ms": ms, "acc": 5.0, "seq": self._seq, "boot": 1}
        if leaf == "sos":
            del said["acc"]
        await self._gateway.publish(device, leaf, json.dumps(said).encode())


async def test_kill_of_any_part_loses_and_doubles_nothing() -> None:
    async with running_lab() as (lab, told):
        names = [f"{part}-{number}" for part in PARTS for number in range(len(MOMENTS_S))]
        devices = {f"{name}-{side}": kind for name in names for side, kind in SIDES.items()}
        wanted = [
            PairWanted(key=name, wearer=f"{name}-w", protected=f"{name}-p", alert_distance_m=1000)
            for name in names
        ]
        _, measures = await lab.register(devices, wanted, reports_every_s=dict.fromkeys(devices, INTERVAL_S))
        url = lab.stack.addresses.fleet_mqtt_url
        assert url is not None
        async with Gateway(url, client_id="kill-gateway") as gateway:
            for part in PARTS:
                for number, moment_s in enumerate(MOMENTS_S):
                    await _back(told, part, number)
                    couple = Couple(gateway, lab, f"{part}-{number}")
                    await _story(couple, lab, part, moment_s)
                    await _heard(lab, couple, measures[couple.name])
                await _back(told, part, len(MOMENTS_S))
        await _recorded(lab)
        _each_bell_rang_once(lab, len(names))
        report = lab.receiver.history.report()
        assert report.conflicts == ()
        assert report.forged == 0
        for part in PARTS:
            assert len(told.gaps(part)) == len(MOMENTS_S), f"{part} was not restarted each time: {told.events}"


SIDES = {"w": DeviceKind.WEARER, "p": DeviceKind.PROTECTED}


async def _story(couple: Couple, lab: Laboratory, part: str, moment_s: float) -> None:
    before = await _admitted(lab)
    await couple.at(couple.protected, 0.0)
    await couple.at(couple.wearer, 2200.0)
    await _until_admitted(lab, before + 2)  # where both are is known when the story begins
    if moment_s < 0:
        _kill(lab, part)
    killing = None if moment_s < 0 else asyncio.create_task(_kill_after(lab, part, moment_s))
    await couple.press()
    for north_m in WAY_M:
        await couple.at(couple.wearer, north_m)
        await asyncio.sleep(REPORT_EVERY_S)
    if killing is not None:
        await killing


def _kill(lab: Laboratory, part: str) -> None:
    pid = lab.stack.supervisor.pid_of(part)
    assert pid is not None, f"{part} is not running"
    os.kill(pid, signal.SIGKILL)


async def _kill_after(lab: Laboratory, part: str, seconds: float) -> None:
    await asyncio.sleep(seconds)  # the moment of the death, not a hope
    _kill(lab, part)


async def _back(told: Told, part: str, times: int) -> None:
    """Until the part has come back from its last death."""
    async with asyncio.timeout(30):
        while len(told.gaps(part)) < times:
            await asyncio.sleep(0.01)


async def _heard(lab: Laboratory, couple: Couple, measure: str) -> None:
    """Both recipients hear of the P1s, the téléassistance of the P2: each once."""
    wanted = {
        ("teleassistance", "PROX_PREALERT", measure),
        ("teleassistance", "PROX_ALERT", measure),
        ("police", "PROX_ALERT", measure),
        ("teleassistance", "BAR_SOS", measure),
        ("police", "BAR_SOS", measure),
    }

    def heard() -> list[tuple[str, str, str]]:
        return [
            (one.channel, one.data["code"], one.data["measures"][0])
            for one in lab.receiver.history.deliveries
            if one.type == OPENED
            and not one.repeat
            and one.data["measures"][0] == measure
            and one.data["code"] in FORETOLD
        ]

    try:
        async with asyncio.timeout(HEARD_WITHIN_S):
            while not wanted <= set(heard()):
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"{couple.name}: not heard {wanted - set(heard())}")
    assert len(heard()) == len(wanted), f"{couple.name}: heard twice under two names"


def _each_bell_rang_once(lab: Laboratory, stories: int) -> None:
    """At the end of it all, redeliveries included: so many bells and not one more, whatever they were called."""
    bells = Counter(
        (one.channel, one.data["code"])
        for one in lab.receiver.history.deliveries
        if not one.repeat and one.type.rpartition(".")[2] in {"opened", "raised"} and one.data["code"] in FORETOLD
    )
    assert bells == {
        ("teleassistance", "PROX_PREALERT"): stories,
        ("teleassistance", "PROX_ALERT"): stories,
        ("teleassistance", "BAR_SOS"): stories,
        ("police", "PROX_ALERT"): stories,
        ("police", "BAR_SOS"): stories,
    }


async def test_the_only_fix_inside_dies_with_its_reader() -> None:
    """It is given out again after ten seconds, behind a newer one from outside, and raises all the same."""
    async with running_lab() as (lab, told):
        devices = {"his-w": DeviceKind.WEARER, "her-p": DeviceKind.PROTECTED}
        pair = PairWanted(key="one", wearer="his-w", protected="her-p", alert_distance_m=1000)
        await lab.register(devices, [pair], reports_every_s=dict.fromkeys(devices, INTERVAL_S))
        url = lab.stack.addresses.fleet_mqtt_url
        assert url is not None
        async with Gateway(url, client_id="hard-gateway") as gateway:
            couple = Couple(gateway, lab, "one")
            couple.wearer, couple.protected = "his-w", "her-p"
            await couple.at("her-p", 0.0)
            await couple.at("his-w", 1250.0)
            await _until_admitted(lab, 2)
            pid = lab.stack.supervisor.pid_of("fixes")
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
            await couple.at("his-w", 950.0)
            await gateway.drained()
            await asyncio.sleep(0.5)  # into the hands of the one that is stopped
            os.kill(pid, signal.SIGKILL)
            await _back(told, "fixes", 1)
            await couple.at("his-w", 1250.0)
        async with asyncio.timeout(HEARD_WITHIN_S):
            while not any(one.data["code"] == "PROX_ALERT" for one in lab.receiver.history.deliveries):
                await asyncio.sleep(0.05)
        assert lab.receiver.history.report().conflicts == ()


async def _admitted(lab: Laboratory) -> int:
    return await lab.total("tocsin_ingest_messages_total", lane="fix", outcome="admitted")


async def _until_admitted(lab: Laboratory, number: int) -> None:
    async with asyncio.timeout(60):
        while await _admitted(lab) < number:
            await asyncio.sleep(0.02)


async def _recorded(lab: Laboratory) -> None:
    """Every alert that somebody was told of is in the record, with its opening."""
    alerts = {one.subject for one in lab.receiver.history.deliveries}
    missing = set(alerts)
    try:
        async with asyncio.timeout(RECORDED_WITHIN_S):
            while missing:
                for alert in sorted(missing):
                    timeline = (await lab.api.get(f"/api/v1/alerts/{alert}/timeline")).json()
                    if timeline.get("entries"):
                        missing.discard(alert)
                await asyncio.sleep(0.1)
    except TimeoutError:
        pytest.fail(f"not recorded: {sorted(missing)}")
