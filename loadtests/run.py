"""How does one load run go? Laboratory, canary, crowd; then everybody stops, everything settles, and it is judged.

Everything is a process of its own: Tocsin's parts, the canary, locust. locust replaces the standard library's
sockets and threads; in this process that would break asyncio, so it is never imported here. A load process ends
with us (the kernel tells it), so an interrupted run leaves none behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any, Final

import msgspec

from loadtests import handover
from loadtests.budgets import P1, Fixes, Senders, judge
from loadtests.canary import reports_every_s
from loadtests.evidence import Answers, Window, answers
from loadtests.handover import (
    HANDOVER_VARIABLE,
    CanaryTally,
    Crossing,
    CrowdTally,
    Login,
    Pair,
    T,
    hand_over,
    taken,
)
from loadtests.report import Measured, report_of
from loadtests.settling import LOOK_S, accounted_for, answered
from loadtests.shapes import Plan, Shape
from simulator.lab import Laboratory, PairWanted, address_of, laboratory
from simulator.load import background_device
from simulator.raisings import raisings
from tocsin.embedded.child import Child, last_lines
from tocsin.model.device import DeviceKind
from tocsin.stack import Tell

ALERT_DISTANCE_M: Final = 1000
READY_WITHIN_S: Final = 60.0  # the canary's units connect, ten at a time
OVERTIME_S: Final = 60.0  # beyond the plan: locust starts, connects, and waits for the last PUBACKs
STOP_WITHIN_S: Final = 20.0
SAY_EVERY_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What was asked for. The three ``plant_`` are faults of ours, to see that the verdict finds them: the
    téléassistance answers so late; so many units are given a wrong password; the reader of the fixes stands still
    for so long, at most ``seconds``."""

    users: int
    seconds: float
    shape: Shape
    operators: int
    canaries: int
    interval_s: float
    seed: int
    home: Path
    plant_delay_s: float = 0.0
    plant_wrong_passwords: int = 0
    plant_stall_s: float = 0.0

    @property
    def plan(self) -> Plan:
        return Plan(shape=self.shape, users=self.users, seconds=self.seconds)

    @property
    def units(self) -> list[str]:
        return [background_device(index) for index in range(self.users)]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The canary's, (wearer, protected)."""
        return [(f"probe-w-{index:03d}", f"probe-p-{index:03d}") for index in range(self.canaries)]


@dataclass(slots=True, kw_only=True)
class Said:
    """What the load processes left; None: it left nothing, and ``troubles`` says why."""

    crowd: CrowdTally | None = None
    canary: CanaryTally | None = None
    troubles: list[str] = field(default_factory=list)


async def run_load(load: Load, *, tell: Tell, say: Callable[[str], None]) -> dict[str, Any]:
    """The report; ``report["verdict"]["held"]`` is the answer."""
    say("starting the servers and ten processes")
    async with laboratory(home=load.home, tell=tell) as lab:
        say(f"registering {load.users} units and {load.canaries} pairs of the canary")
        passwords, measures = await lab.register(*_people(load), reports_every_s=_intervals(load))
        lab.receiver.faults["teleassistance"].hang_s = load.plant_delay_s
        started_ms = lab.clock.wall_ms()
        said = await _driven(load, lab, passwords, say)
        say("settling")
        return report_of(load, started_ms, await _measured(lab, load, said, measures))


def _people(load: Load) -> tuple[dict[str, DeviceKind], list[PairWanted]]:
    names = [
        (background_device(2 * index), background_device(2 * index + 1)) for index in range(-(-load.users // 2))
    ]
    devices: dict[str, DeviceKind] = {}
    for wearer, protected in (*names, *load.pairs):
        devices |= {wearer: DeviceKind.WEARER, protected: DeviceKind.PROTECTED}
    pairs = [
        PairWanted(key=wearer, wearer=wearer, protected=protected, alert_distance_m=ALERT_DISTANCE_M)
        for wearer, protected in (*names, *load.pairs)
    ]
    return devices, pairs


def _intervals(load: Load) -> dict[str, int]:
    """Nobody here obeys a command: locust's units hear them and go on, and the canary's must."""
    every_s = dict.fromkeys(
        (background_device(index) for index in range(2 * -(-load.users // 2))), ceil(load.interval_s)
    )
    for wearer, protected in load.pairs:
        every_s |= reports_every_s(wearer, protected)
    return every_s


# --- the two processes -----------------------------------------------------------------------------------------


async def _driven(load: Load, lab: Laboratory, passwords: Mapping[str, str], say: Callable[[str], None]) -> Said:
    """Canary first, so that it walks when the crowd comes; both end before this returns."""
    folder = load.home / "load"
    folder.mkdir(mode=0o700)
    said = Said()
    canary = await _canary(load, lab, passwords, folder)
    crowd: Child | None = None
    try:
        if await _appears(folder / "ready", canary):
            say(f"{load.shape.value}: {load.users} units, {load.operators} operators, {load.plan.lasts_s:.0f} s")
            crowd = await _crowd(load, lab, passwords, folder)
            await _watched_and_stalled(crowd, canary, load, lab, say)
    finally:
        for child in (crowd, canary):
            if child is not None and child.exit_code is None:
                await child.end([(signal.SIGTERM, STOP_WITHIN_S)])
    said.crowd = _left("locust", crowd, folder, CrowdTally, said.troubles)
    said.canary = _left("canary", canary, folder, CanaryTally, said.troubles)
    return said


async def _canary(load: Load, lab: Laboratory, passwords: Mapping[str, str], folder: Path) -> Child:
    host, port = address_of(lab.stack.addresses.mqtt_url)
    hand_over(
        folder / "canary.json",
        handover.Canary(
            mqtt_host=host,
            mqtt_port=port,
            pairs=[
                Pair(wearer=_login(wearer, passwords), protected=_login(protected, passwords))
                for wearer, protected in load.pairs
            ],
            alert_distance_m=ALERT_DISTANCE_M,
            seed=load.seed,
            ready=str(folder / "ready"),
            tally=str(folder / "canary-tally.json"),
        ),
    )
    return await _spawned(["loadtests.canary", str(folder / "canary.json")], folder / "canary.log", {})


async def _crowd(load: Load, lab: Laboratory, passwords: Mapping[str, str], folder: Path) -> Child:
    host, port = address_of(lab.stack.addresses.mqtt_url)
    wrong = frozenset(load.units[: load.plant_wrong_passwords])
    hand_over(
        folder / "locust.json",
        handover.Crowd(
            mqtt_host=host,
            mqtt_port=port,
            api_url=lab.stack.addresses.api_url,
            units=[
                Login(device=unit, password="wrong") if unit in wrong else _login(unit, passwords)  # noqa: S106
                for unit in load.units
            ],
            operators=load.operators,
            shape=load.shape,
            seconds=load.seconds,
            interval_s=load.interval_s,
            seed=load.seed,
            start_ms=lab.clock.now_ms(),
            begun=str(folder / "begun"),
            tally=str(folder / "locust-tally.json"),
        ),
    )
    return await start_locust(folder / "locust.json", folder / "locust.log")


async def start_locust(crowd: Path, log: Path) -> Child:
    """locust on our file, with this handover."""
    words = ["locust", "-f", str(Path(__file__).with_name("locustfile.py")), "--headless", "--skip-log-setup"]
    words += ["--stop-timeout", str(int(STOP_WITHIN_S))]
    return await _spawned(words, log, {HANDOVER_VARIABLE: str(crowd)})


def _login(device: str, passwords: Mapping[str, str]) -> Login:
    return Login(device=device, password=passwords[device])


async def _spawned(words: list[str], log: Path, more: Mapping[str, str]) -> Child:
    """``python -m`` of ours; neither locust's own variables nor our settings reach it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LOCUST_", "TOCSIN_"))}
    return await Child.spawn(
        [Path(sys.executable), "-m", *words], log=log, env={**kept, **more}, orphan_signal=signal.SIGTERM
    )


async def _appears(file: Path, maker: Child) -> bool:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + READY_WITHIN_S
    while not file.exists():  # noqa: ASYNC240  (one look)
        if maker.exit_code is not None or loop.time() > deadline:
            return False
        await asyncio.sleep(LOOK_S)
    return True


async def _watched_and_stalled(
    crowd: Child, canary: Child, load: Load, lab: Laboratory, say: Callable[[str], None]
) -> None:
    """The reader goes on when this returns, however it returns."""
    stall = asyncio.create_task(_stall(load, lab, say))
    try:
        await _watched(crowd, canary, load, lab, say)
    finally:
        stall.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await stall


async def _stall(load: Load, lab: Laboratory, say: Callable[[str], None]) -> None:
    """In the middle of the load, ingest's reader stands still: it is there, it hears nothing. F02."""
    if not load.plant_stall_s:
        return
    while not (load.home / "load" / "begun").exists():  # noqa: ASYNC110  (a file tells nobody)
        await asyncio.sleep(LOOK_S)
    await asyncio.sleep((load.plan.lasts_s - load.plant_stall_s) / 2)
    reader = lab.stack.supervisor.pid_of("fixes")
    assert reader is not None, "nobody else ends it"
    say(f"the reader of the fixes stands still for {load.plant_stall_s:g} s")
    os.kill(reader, signal.SIGSTOP)
    try:
        await asyncio.sleep(load.plant_stall_s)
    finally:
        os.kill(reader, signal.SIGCONT)


async def _watched(crowd: Child, canary: Child, load: Load, lab: Laboratory, say: Callable[[str], None]) -> None:
    """Until the crowd has ended, or the canary has died, or the time is long over."""
    loop = asyncio.get_running_loop()
    started = said = loop.time()
    while crowd.exit_code is None and canary.exit_code is None:
        now = loop.time()
        if now - started > load.plan.lasts_s + OVERTIME_S:
            return
        if now - said >= SAY_EVERY_S:
            said = now
            fixes = await lab.total("tocsin_ingest_messages_total", lane="fix")
            say(f"{now - started:5.0f} s  {fixes} fixes received")
        await asyncio.sleep(LOOK_S)


def _left(name: str, child: Child | None, folder: Path, kind: type[T], troubles: list[str]) -> T | None:
    """The tally; without one, the reason goes to ``troubles`` with the last words of the process."""
    if child is None:
        troubles.append(f"{name}: not started")
        return None
    tally = None
    try:
        tally = taken(folder / f"{name}-tally.json", kind)
    except (OSError, msgspec.DecodeError) as error:
        said = last_lines((folder / f"{name}.log").read_text(errors="replace"))
        troubles.append(f"{name}: no tally ({type(error).__name__}), exit status {child.exit_code}; {said}")
    else:
        if child.exit_code != 0:
            troubles.append(f"{name}: exit status {child.exit_code}")
    return tally


# --- what came of it -------------------------------------------------------------------------------------------


async def _measured(lab: Laboratory, load: Load, said: Said, measures: Mapping[str, str]) -> Measured:
    crowd, canary = said.crowd, said.canary
    offered = (crowd.offered if crowd else 0) + (canary.offered if canary else 0)
    confirmed = (crowd.confirmed if crowd else 0) + (canary.confirmed if canary else 0)
    accounted = await accounted_for(lab, confirmed)
    found = await _answered(lab, load, said, measures)
    verdict = judge(
        P1,
        found.alerts,
        Fixes(
            asked=load.plan.fixes(load.interval_s) + (canary.offered if canary else 0),
            offered=offered,
            confirmed=confirmed,
            refused=accounted.refused,
            lost=accounted.lost_of(confirmed),
        ),
        Senders(
            units=load.users,
            connected=crowd.connected if crowd else 0,
            requests=sum(row.count for row in crowd.requests) if crowd else 0,
            failures=sum(row.failures for row in crowd.requests) if crowd else 0,
            errors=crowd.errors if crowd else (),
            troubles=[*said.troubles, *(crowd.exceptions if crowd else ())],
        ),
    )
    return Measured(
        crowd=crowd,
        canary=canary,
        offered=offered,
        confirmed=confirmed,
        accounted=accounted,
        found=found,
        verdict=verdict,
    )


async def _answered(lab: Laboratory, load: Load, said: Said, measures: Mapping[str, str]) -> Answers:
    crossings: list[Crossing] = said.canary.crossings if said.canary else []
    started_ms, ended_ms = (said.crowd.started_ms, said.crowd.ended_ms) if said.crowd else (0, -1)

    async def look() -> Answers:
        history = lab.receiver.history
        return answers(
            crossings,
            await raisings(lab.stack.addresses.nats_url),
            wearers={measures[wearer]: wearer for wearer, _ in load.pairs},
            heard={
                (one.subject, one.version)
                for one in history.deliveries
                if one.channel == "teleassistance" and one.version is not None
            },
            doubled=history.report().conflicts,
            window=Window(started_ms=started_ms, ended_ms=ended_ms),
        )

    return await answered(look, lab.clock)
