"""Does the auditor live and die as a process? ``python -m audit auditor`` beside a Tocsin that works. F07.

What its laws find is in ``test_auditor_pages.py``; here it is ready, hears a broker, a log and a record that are
real, shows its pulse, and ends at once when it is told to, as at every upgrade.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from builders import eventually
from lab_fixture import Told, new_home

from simulator.gateway import Gateway
from simulator.lab import Laboratory, PairWanted, laboratory
from tocsin.adapters.jetstream import Bus, open_bus
from tocsin.model.device import DeviceKind
from tocsin.model.pulse import Pulse
from tocsin.subjects import AUDITOR_PULSE
from tocsin.wire import decode_pulse

pytestmark = pytest.mark.timeout(180)

AUDITOR = "auditor"
ENDS_WITHIN_S = 5.0
"""Half of what the supervisor waits before it kills."""
PRESS = b'{"_type":"sos","tst":1795291199,"seq":1,"boot":1}'


async def pulse(bus: Bus) -> Pulse | None:
    value = await bus.tallies.get(AUDITOR_PULSE)
    return None if value is None else decode_pulse(value)


async def beats(bus: Bus, times: int = 2) -> None:
    """Looks that it has finished since now: each has read and compared all that is on the log."""
    for _ in range(times):
        before = await pulse(bus)

        async def is_next(before: Pulse | None = before) -> bool:
            return await pulse(bus) not in {before, None}

        await eventually(is_next, within_s=30)


def said(home: Path) -> list[dict[str, Any]]:
    """Every line of its log; one that is no event (a traceback) fails here."""
    return [json.loads(line) for line in (home / "log" / f"{AUDITOR}.log").read_text().splitlines()]


async def somebody_rings(lab: Laboratory) -> None:
    devices = {"her-1": DeviceKind.PROTECTED, "his-1": DeviceKind.WEARER}
    await lab.register(devices, [PairWanted(key="one", wearer="his-1", protected="her-1", alert_distance_m=1000)])
    assert lab.stack.addresses.fleet_mqtt_url is not None
    async with Gateway(lab.stack.addresses.fleet_mqtt_url, client_id="their-gateway") as gateway:
        await gateway.publish("her-1", "sos", PRESS)
        assert await lab.receiver.heard(2, within_s=60)


async def test_the_auditor_is_ready_has_a_pulse_and_ends_at_once_when_told() -> None:
    home, told = new_home(), Told()
    try:
        async with (
            laboratory(home=home, tell=told, log_level="info") as lab,
            open_bus(lab.stack.addresses.nats_url, "tests") as bus,
        ):
            supervisor = lab.stack.supervisor
            await somebody_rings(lab)
            await beats(bus)
            pid = supervisor.pid_of(AUDITOR)
            assert pid is not None
            os.kill(pid, signal.SIGTERM)
            await eventually(lambda: died(told), within_s=ENDS_WITHIN_S)
            await eventually(lambda: told.gaps(AUDITOR), within_s=60)  # another one is ready
            await beats(bus)
            assert await lab.total("tocsin_audit_differences_total") == 0
        events = said(home)
        assert died(told) == [0]
        assert [one["event"] for one in events if one["event"] in {"ready", "stopped"}] == ["ready", "stopped"] * 2
        assert [one for one in events if one["level"] in {"error", "critical"}] == []
    finally:
        shutil.rmtree(home, ignore_errors=True)


def died(told: Told) -> list[int | None]:
    return [one.exit_code for one in told.events if one.part == AUDITOR and one.what == "died"]
