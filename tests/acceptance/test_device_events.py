"""A unit on a real broker says what happens to it; what does the desk see, and when may it let go?

Everything real: units over MQTT, the embedded servers, each part in its process, the public API.
Cited: F27 (a tamper that cleared itself was ignored), F29 (unpaired without an alarm).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from builders import eventually
from lab_fixture import running_lab

from simulator.gnss import SkyFix
from simulator.lab import Laboratory, PairWanted, address_of
from simulator.unit import Line, Unit
from tocsin.clock import AffineClock
from tocsin.model.device import DeviceKind

SPEED = 10.0  # an acknowledgement holds for 120 s, in which four requests are made: 12 s of the wall
LAT, LON, SOUTH_LAT = 43.296587, 5.369731, 43.234
"""He stands about 7 km south of her: farther than any ring."""

pytestmark = pytest.mark.timeout(240)


class Standing:
    """A receiver in one place."""

    def __init__(self, lat: float) -> None:
        self._lat = lat

    def fix(self, t: float) -> SkyFix:
        return SkyFix(t=t, lat=self._lat, lon=LON, accuracy_m=6.0, speed_mps=0.0, course_deg=0.0)

    def fixes(self, t: float) -> list[SkyFix]:
        return [self.fix(t)]


@contextlib.asynccontextmanager
async def pair() -> AsyncIterator[tuple[Laboratory, Unit, Unit]]:
    """A measure of 1 km, whose two units stand and report; ten times as fast as the clock on the wall."""
    now_ms = AffineClock().wall_ms()
    clock = AffineClock(epoch_ms=now_ms, anchor_ms=now_ms, rate=SPEED)
    async with running_lab(clock=clock) as (lab, _):
        passwords, _measures = await lab.register(
            {"his": DeviceKind.WEARER, "hers": DeviceKind.PROTECTED},
            [PairWanted(key="couple", wearer="his", protected="hers", alert_distance_m=1000)],
        )
        host, port = address_of(lab.stack.addresses.mqtt_url)

        def unit(name: str, kind: DeviceKind, lat: float) -> Unit:
            line = Line(host=host, port=port, password=passwords[name])
            return Unit(
                name, kind, Standing(lat), line=line, clock=lab.clock, start_ms=lab.clock.now_ms(),
                rng=np.random.default_rng(1), interval_s=30.0,
            )  # fmt: skip

        his, hers = unit("his", DeviceKind.WEARER, SOUTH_LAT), unit("hers", DeviceKind.PROTECTED, LAT)
        async with asyncio.TaskGroup() as group:
            lives = [group.create_task(one.run()) for one in (his, hers)]
            await eventually(lambda: _is_protected(lab), within_s=60)
            yield lab, his, hers
            for one in lives:
                one.cancel()


async def _is_protected(lab: Laboratory) -> bool:
    answer = (await lab.api.get("/api/v1/protection")).json()
    return [one["protection"] for one in answer["items"]] == ["protected"]


async def alert(lab: Laboratory, code: str) -> dict[str, Any]:
    answer = await lab.api.get("/api/v1/alerts?open=true")
    return next((one for one in answer.json()["items"] if one["code"] == code), {})


async def judged(lab: Laboratory, code: str) -> dict[str, Any]:
    """Once the geofence has found the same as what rang at once."""
    found = await alert(lab, code)
    return found if found.get("blind_risk") else {}


async def test_f27_a_cut_strap_is_p1_at_once_stays_open_and_is_closed_after_an_inspection() -> None:
    async with pair() as (lab, his, _):
        his.cut_strap()
        cut = await eventually(lambda: judged(lab, "STRAP_TAMPER"), within_s=30)
        assert (cut["priority"], cut["latched"], cut["raises"]) == (1, True, 1)
        assert len([one for one in (await lab.api.get("/api/v1/alerts?open=true")).json()["items"]
                    if one["code"] == "STRAP_TAMPER"]) == 1, "what rang and what was found are one"  # fmt: skip

        await lab.clock.sleep(120)
        before = his.tally.acknowledged.get("loc", 0)
        his.close_strap()
        await eventually(lambda: his.tally.acknowledged.get("loc", 0) >= before + 3, within_s=60)
        still = await alert(lab, "STRAP_TAMPER")
        assert (still["id"], still["state"], still["over_at"]) == (cut["id"], "raised", None)

        page = f"/api/v1/alerts/{cut['id']}"
        taken = await lab.api.put(
            f"{page}/acknowledgement", json={"job": "monitor"}, headers={"If-Match": f'"{still["version"]}"'}
        )
        tag = taken.headers["ETag"]
        refused = await lab.api.post(f"{page}/closure", json={"outcome": "technical"}, headers={"If-Match": tag})
        assert (refused.status_code, refused.json()["type"]) == (422, "/problems/inspection-missing")
        assert (await alert(lab, "STRAP_TAMPER"))["state"] == "acknowledged"
        done = await lab.api.post(
            f"{page}/closure", json={"outcome": "technical", "inspected": True}, headers={"If-Match": tag}
        )
        assert (done.status_code, done.json()["state"], done.json()["inspected"]) == (200, "closed", True)
        told = await eventually(lambda: whole_timeline(lab, page), within_s=30)
        rang_first = cut["events"] == ["strap_open"]  # two lanes: whichever was first, it is one alert
        assert told == ["opened", *(["confirmed"] if rang_first else []), "acknowledged", "closed"]


async def whole_timeline(lab: Laboratory, page: str) -> list[str]:
    """What became of it but for the rungs that it climbed meanwhile, once the record has its end."""
    entries = (await lab.api.get(f"{page}/timeline")).json()["entries"]
    told = [one["what"] for one in entries if one["source"] != "delivery" and one["what"] != "escalated"]
    return told if "closed" in told else []


async def test_f29_a_unit_that_was_unpaired_without_a_word_is_at_the_desk_within_a_minute() -> None:
    async with pair() as (lab, his, _):
        unpaired_ms = lab.clock.now_ms()
        his.unpair()
        found = await eventually(lambda: alert(lab, "SEPARATION"), within_s=30)
        assert found["priority"] == 1, "7 km away, blind risk is near"
        assert found["clock"]["t6"]
        late_ms = lab.clock.now_ms() - unpaired_ms
        assert found["events"] == []
        print(f"at the desk {late_ms / 1000:.0f} s of the story after it was unpaired")
