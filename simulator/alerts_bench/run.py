"""The shell of ``bench alerts``: a laboratory, its recipient, four phases, one report.

1. *Steady*: findings at a rate, straight onto the log, each an alert of its own.
2. *Burst*: so many at once, P1 and lower in a shuffled order (F28).
3. *Keys*: phones are pressed over MQTT while a load generator fills the lane of fixes.
4. *Overload*: the same, with more fixes than that.

An alert's hour is taken just before it is handed to the log or to the broker, so that their own confirmation is no
part of what is hidden. In every phase FAILING_PCT of the deliveries fail at first.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from rich.table import Table

from simulator import load, messages
from simulator.alerts_bench import account, findings
from simulator.alerts_bench.account import Key, Said
from simulator.bench import generating, offered_by, people
from simulator.gateway import Gateway
from simulator.lab import Laboratory, LaboratoryError, laboratory, latency_ms, report_head
from tocsin import subjects
from tocsin.adapters.jetstream import open_bus
from tocsin.clock import MS, rfc3339
from tocsin.errors import LogUnavailable
from tocsin.limits import PUBLISH_WAVE
from tocsin.model.device import DeviceKind
from tocsin.ports import Log
from tocsin.stack import Tell
from tocsin.wire import encode

LOOK_EVERY_S = 0.1
LOADED_WITHIN_S = 60.0
PRESS_EVERY_S = 0.1
PRESSES_MAX_S = 30.0
PHONES = 40  # each is pressed every 4 s
LOAD_MARGIN_S = 5.0  # the load goes on a little longer than the presses
PARTITION = 0


class Fault(StrEnum):
    """What can be planted."""

    LOSES = "loses"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertsBench:
    rate: int
    seconds: float
    burst: int
    fixes: int
    overload: int
    pairs: int
    seed: int
    settle_s: float
    loses: bool
    home: Path

    @property
    def presses_s(self) -> float:
        return min(self.seconds, PRESSES_MAX_S)


@dataclass(slots=True, kw_only=True)
class Recipient:
    """Our end of the recipient's process: what has arrived there so far."""

    url: str
    http: httpx2.AsyncClient
    arrivals: list[dict[str, Any]] = field(default_factory=list)

    async def told(self) -> dict[Key, account.Heard]:
        answer = await self.http.get(f"{self.url}/arrivals", params={"after": len(self.arrivals)})
        self.arrivals += answer.raise_for_status().json()
        return account.heard(self.arrivals)

    async def until_taken(self, said: Iterable[Key], within_s: float) -> dict[Key, account.Heard]:
        """What was heard once all of it has been taken, or when the time is up."""
        keys = set(said)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while True:
                    if not account.lost(keys, await self.told()):
                        break
                    await asyncio.sleep(LOOK_EVERY_S)
        return await self.told()


@contextlib.asynccontextmanager
async def _recipient(secret: str, bench: AlertsBench) -> AsyncIterator[Recipient]:
    words = ["--secret", secret, "--seed", str(bench.seed), *(["--loses"] if bench.loses else [])]
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "simulator.alerts_bench.recipient", *words, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    try:
        line = await child.stdout.readline()
        if not line:
            raise LaboratoryError(f"the recipient ended with {await child.wait()}")
        async with httpx2.AsyncClient(timeout=30.0, trust_env=False) as http:
            yield Recipient(url=json.loads(line)["url"], http=http)
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        await child.wait()


async def run_alerts(bench: AlertsBench, *, tell: Tell, say: Callable[[str], None]) -> dict[str, Any]:
    """The report."""
    secret = "whsec_" + b64encode(secrets.token_bytes(32)).decode()
    async with _recipient(secret, bench) as recipient:
        ours: dict[str, Any] = {
            "teleassistance_url": f"{recipient.url}/teleassistance",
            "teleassistance_secret": secret,
            "police_url": f"{recipient.url}/police",
            "police_secret": secret,
            "police_rooms": {},
        }
        async with (
            laboratory(home=bench.home, tell=tell, **ours) as lab,
            open_bus(lab.stack.addresses.nats_url, "bench") as bus,
        ):
            return await _measured(lab, bus.log, recipient, bench, say)


async def _measured(
    lab: Laboratory, log: Log, recipient: Recipient, bench: AlertsBench, say: Callable[[str], None]
) -> dict[str, Any]:
    say(f"registering {bench.pairs} pairs and {PHONES} phones")
    await _register(lab, bench)
    started_ms = lab.clock.wall_ms()
    say(f"{bench.rate} findings/s for {bench.seconds:g} s")
    steady = await _steady(log, lab, bench)
    told = await recipient.until_taken(steady, bench.settle_s)
    say(f"{bench.burst} at once")
    burst = await _burst(log, lab, bench)
    told = await recipient.until_taken(burst, bench.settle_s)
    pressed: dict[str, dict[Key, Said]] = {}
    offered: dict[str, float] = {}
    for boot, (phase, rate) in enumerate((("keys", bench.fixes), ("overload", bench.overload)), start=1):
        say(f"keys beside {rate} fixes/s")
        pressed[phase], offered[phase] = await _keys(lab, bench, rate, boot)
        told = await recipient.until_taken(pressed[phase], bench.settle_s)
    everything = {**steady, **burst, **pressed["keys"], **pressed["overload"]}
    report = {
        **report_head("bench alerts", bench.seed, started_ms, (lab.clock.wall_ms() - started_ms) / MS),
        "rate": bench.rate,
        "asked": round(bench.rate * bench.seconds) + bench.burst + 2 * round(bench.presses_s / PRESS_EVERY_S),
        "accepted": len(everything),
        "first_attempt_ms": latency_ms(account.to_attempt_ms(steady, told)),
        "first_accepted_ms": latency_ms(account.to_taken_ms(steady, told)),
        "first_attempt_p1_ms": latency_ms(
            account.to_attempt_ms({key: one for key, one in steady.items() if one.is_urgent}, told)
        ),
        "sos_to_attempt_ms": latency_ms(account.to_attempt_ms(pressed["keys"], told)),
        "sos_overload_ms": latency_ms(account.to_attempt_ms(pressed["overload"], told)),
        "burst": _burst_report(burst, told),
        "fixes": {
            "asked_per_s": bench.fixes,
            "offered_per_s": offered["keys"],
            "overload_asked_per_s": bench.overload,
            "overload_offered_per_s": offered["overload"],
        },
        "lost": account.lost(everything, told),
        "duplicated": account.duplicated(everything, told),
        "told": account.told_by_type(recipient.arrivals),
    }
    report["promises"] = account.promises(report)
    return report


def _burst_report(burst: dict[Key, Said], told: dict[Key, account.Heard]) -> dict[str, Any]:
    behind = account.waited_behind(burst, told)
    urgent = {key: one for key, one in burst.items() if one.is_urgent}
    return {
        "size": len(burst),
        "all_attempted_s": account.all_attempted_s(burst, told),
        "p1_attempted_s": account.all_attempted_s(urgent, told),
        "p1_waited_behind": behind,
        "p1_first": behind <= account.UNDER_WAY_MAX,
    }


async def _register(lab: Laboratory, bench: AlertsBench) -> None:
    devices, pairs = people(bench.pairs)
    phones = {_phone(index): DeviceKind.TGD for index in range(PHONES)}
    every_s = load.reports_every_s(bench.pairs, bench.fixes)
    await lab.register({**devices, **phones}, pairs, reports_every_s=every_s)


def _phone(index: int) -> str:
    return f"bench-tgd-{index:03d}"


# --- findings ------------------------------------------------------------------------------------------------


async def _steady(log: Log, lab: Laboratory, bench: AlertsBench) -> dict[Key, Said]:
    """At its hour, whatever became of those before it."""
    loop = asyncio.get_running_loop()
    said: dict[Key, Said] = {}
    start = loop.time()
    async with asyncio.TaskGroup() as tasks:
        for index in range(round(bench.rate * bench.seconds)):
            await asyncio.sleep(start + index / bench.rate - loop.time())
            tasks.create_task(_publish(log, lab, findings.wanted(bench.seed, "steady", index), said))
    return said


async def _burst(log: Log, lab: Laboratory, bench: AlertsBench) -> dict[Key, Said]:
    """All of them in the waves in which the geofence publishes."""
    order = np.random.default_rng(bench.seed).permutation(bench.burst)
    wanted = [findings.wanted(bench.seed, "burst", int(index)) for index in order]
    said: dict[Key, Said] = {}
    for first in range(0, len(wanted), PUBLISH_WAVE):
        wave = wanted[first : first + PUBLISH_WAVE]
        await asyncio.gather(*(_publish(log, lab, one, said) for one in wave))
    return said


async def _publish(log: Log, lab: Laboratory, one: findings.Wanted, said: dict[Key, Said]) -> None:
    """Into ``said`` once the log has it: what it refuses was not accepted."""
    finding = findings.finding(one, lab.clock.now_ms())
    payload = encode(finding)
    at_ms = lab.clock.wall() * MS
    with contextlib.suppress(LogUnavailable):
        await log.append(subjects.findings(PARTITION, one.code.value), payload, dedupe_id=finding.id)
        said[one.key] = Said(at_ms=at_ms, accepted_ms=lab.clock.wall() * MS, is_urgent=one.is_urgent)


# --- keys ----------------------------------------------------------------------------------------------------


async def _keys(lab: Laboratory, bench: AlertsBench, rate: int, boot: int) -> tuple[dict[Key, Said], float]:
    """Presses beside a load of ``rate`` fixes a second; and how many a second it was."""
    before = await _fixes_received(lab)
    load_s = bench.presses_s + LOAD_MARGIN_S
    generator = await generating(lab, rate, load_s, bench.pairs, boot)
    try:
        await _until_loaded(lab, before + rate)
        said = await _press(lab, bench, boot)
        offered = await offered_by(generator)
    finally:
        with contextlib.suppress(ProcessLookupError):
            generator.kill()
        await generator.wait()
    return said, round(offered["acknowledged"] / load_s, 1)


async def _fixes_received(lab: Laboratory) -> int:
    return await lab.total("tocsin_ingest_messages_total", lane="fix")


async def _until_loaded(lab: Laboratory, received: int) -> None:
    """A second's worth of the load has come through: it is under way."""
    try:
        async with asyncio.timeout(LOADED_WITHIN_S):
            while True:
                if await _fixes_received(lab) >= received:
                    return
                await asyncio.sleep(LOOK_EVERY_S)
    except TimeoutError:
        raise LaboratoryError(f"the load is not under way after {LOADED_WITHIN_S:g} s") from None


async def _press(lab: Laboratory, bench: AlertsBench, boot: int) -> dict[Key, Said]:
    url = lab.stack.addresses.fleet_mqtt_url
    assert url is not None
    loop = asyncio.get_running_loop()
    said: dict[Key, Said] = {}
    async with Gateway(url, client_id="bench-phones") as gateway, asyncio.TaskGroup() as tasks:
        start = loop.time()
        for index in range(round(bench.presses_s / PRESS_EVERY_S)):
            await asyncio.sleep(start + index * PRESS_EVERY_S - loop.time())
            tasks.create_task(_press_once(lab, gateway, index, boot, said))
        await gateway.drained()
    return said


async def _press_once(lab: Laboratory, gateway: Gateway, index: int, boot: int, said: dict[Key, Said]) -> None:
    device, now_ms = _phone(index % PHONES), lab.clock.now_ms()
    payload = messages.encode(messages.sos(now_ms=now_ms, seq=index // PHONES, boot=boot, silent=False, fix=None))
    at_ms = lab.clock.wall() * MS
    await (await gateway.publish(device, "sos", payload))
    said[device, rfc3339(now_ms)] = Said(at_ms=at_ms, accepted_ms=lab.clock.wall() * MS)


# --- for people ----------------------------------------------------------------------------------------------


def table(report: dict[str, Any]) -> Table:
    """Promise by promise."""
    found = Table("promise", "measured", "bound", "held")
    for one in report["promises"]:
        bound = f"≤ {one['at_most']:g}" if "at_most" in one else f"≥ {one['at_least']:g}"
        measured = "–" if one["measured"] is None else f"{one['measured']:g}"
        found.add_row(one["promise"], measured, bound, "yes" if one["held"] else "[red]no[/]")
    return found
