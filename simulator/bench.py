"""How fast is the road, and does it lose anything? ``tocsin bench road``.

The load comes from a process of its own (``simulator.load``); the clock points are read from the log, where the
ruling has t2 and t3 of the fix that raised the alert and the courier's receipt has t7.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulator import load
from simulator.lab import Accounted, Laboratory, LaboratoryError, PairWanted, laboratory, latency_ms, report_head
from simulator.raisings import raisings
from tocsin.model.device import DeviceKind
from tocsin.model.finding import Code
from tocsin.stack import Tell

SETTLE_WITHIN_S = 60.0
RECIPIENTS = ("teleassistance", "police")
P99_MAX_MS = 250.0
"""The promise of the command: t3 -> t7 at the 99th percentile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoadBench:
    rate: int
    seconds: float
    pairs: int
    home: Path


async def run_road(bench: RoadBench, *, tell: Tell, say: Callable[[str], None]) -> dict[str, Any]:
    """The report: offered, received, archived, lost, latencies."""
    async with laboratory(home=bench.home, tell=tell) as lab:
        say(f"registering {bench.pairs} pairs")
        await lab.register(*people(bench.pairs), reports_every_s=load.reports_every_s(bench.pairs, bench.rate))
        started_ms = lab.clock.wall_ms()
        say(f"{bench.rate} fixes/s for {bench.seconds:g} s")
        offered = await offered_by(await generating(lab, bench.rate, bench.seconds, bench.pairs))
        fixes = await _settled(lab, offered["acknowledged"])
        await _told(lab, offered["passes"])
        t2_t7, t3_t7, raised = await _latencies(lab)
        received = await lab.total("tocsin_ingest_messages_total", lane="fix")
        return {
            **report_head("bench road", 0, started_ms, bench.seconds),
            "rate": bench.rate,
            "pairs": bench.pairs + 1,
            "offered": offered["acknowledged"],
            "received": received,
            "archived": fixes.archived,
            "duplicate": fixes.duplicate,
            "refused": fixes.refused,
            "lost": fixes.lost_of(offered["acknowledged"]),
            "alerts": {
                "expected": offered["passes"],
                "raised": raised,
                "notified": len(t3_t7),
                **{f"heard_by_{channel}": _heard(lab, channel) for channel in RECIPIENTS},
            },
            "latency_ms": {"t2_t7": latency_ms(t2_t7), "t3_t7": latency_ms(t3_t7)},
        }


async def _told(lab: Laboratory, passes: int) -> None:
    """Until every recipient has heard of every pass, or the time is up."""
    history = lab.receiver.history
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_WITHIN_S), history.arrived:
            await history.arrived.wait_for(lambda: min(_heard(lab, one) for one in RECIPIENTS) >= passes)


def holds(report: dict[str, Any]) -> bool:
    """Nothing lost, every alert handed over, and in time."""
    p99 = report["latency_ms"]["t3_t7"]["p99"]
    told = len(set(report["alerts"].values())) == 1
    return report["lost"] == 0 and told and p99 is not None and p99 <= P99_MAX_MS


def _heard(lab: Laboratory, channel: str) -> int:
    """How many times the bell rang at this recipient, by his own account: repeats and a second room count once."""
    return len(
        {
            (delivery.subject, delivery.version)
            for delivery in lab.receiver.history.deliveries
            if delivery.channel == channel
            and delivery.data["code"] == Code.PROX_ALERT
            and delivery.type.rpartition(".")[2] in {"opened", "raised"}
        }
    )


def people(pairs: int) -> tuple[dict[str, DeviceKind], list[PairWanted]]:
    """Who the generator speaks for: the background, and the story pair."""
    names = [(load.background_device(2 * index), load.background_device(2 * index + 1)) for index in range(pairs)]
    names.append((load.WEARER, load.PROTECTED))
    devices: dict[str, DeviceKind] = {}
    for wearer, protected in names:
        devices |= {wearer: DeviceKind.WEARER, protected: DeviceKind.PROTECTED}
    return devices, [PairWanted(key=w, wearer=w, protected=p, alert_distance_m=1000) for w, p in names]


async def generating(
    lab: Laboratory, rate: int, seconds: float, pairs: int, boot: int = 1
) -> asyncio.subprocess.Process:
    """The generator, under way. ``boot``: another one for each run in one laboratory, since the fixes are numbered
    anew."""
    url = lab.stack.addresses.fleet_mqtt_url
    assert url is not None
    words = ["--url", url, "--rate", rate, "--seconds", seconds, "--pairs", pairs, "--boot", boot]
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "simulator.load", *map(str, words), stdout=asyncio.subprocess.PIPE
    )


async def offered_by(child: asyncio.subprocess.Process) -> dict[str, int]:
    """What it offered, once it has ended. Raises LaboratoryError."""
    out, _ = await child.communicate()
    if child.returncode != 0:
        raise LaboratoryError(f"the load generator ended with {child.returncode}")
    offered: dict[str, int] = json.loads(out)
    return offered


async def _settled(lab: Laboratory, offered: int) -> Accounted:
    """The fixes' outcomes once they account for everything, or when the time is up."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + SETTLE_WITHIN_S
    while True:
        fixes = await lab.accounted()
        if fixes.received >= offered or loop.time() > deadline:
            return fixes
        await asyncio.sleep(0.2)


async def _latencies(lab: Laboratory) -> tuple[list[float], list[float], int]:
    """t2 -> t7 and t3 -> t7 of every alert raised, by the téléassistance's first attempt; and how many alerts."""
    everything = await raisings(lab.stack.addresses.nats_url)
    found = [one for one in everything if one.code is Code.PROX_ALERT]
    t2_t7, t3_t7 = [], []
    for one in found:
        points = one.points
        if one.t7_ms is not None and points.t2_ms is not None and points.t3_ms is not None:
            t2_t7.append(float(one.t7_ms - points.t2_ms))
            t3_t7.append(float(one.t7_ms - points.t3_ms))
    return t2_t7, t3_t7, len(found)
