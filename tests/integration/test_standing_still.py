"""Is a part that is alive and stands still (SIGSTOP) named in time, no other beside it, and ended when it goes on?

Real parts, each a process as it is deployed, on a real log and record, with nothing to do: who has no work is
known to go round all the same. The clerk is the real one, of whom only the patience is shorter than in production;
of the parts whose period is an hour the whole deployment's clock is faster. F07, F10, F26.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from audited import audited
from builders import REALM, eventually
from real_broker import cancelled

from alerts.clerk import ClerkDoors, run_clerk
from alerts.dispatcher import run_dispatcher
from alerts.pulses import PARTS, Watched
from tocsin import subjects
from tocsin.adapters.jetstream import Bus
from tocsin.adapters.postgres import Pool
from tocsin.adapters.retention import RetentionRecord
from tocsin.clock import AffineClock
from tocsin.embedded.broker import BrokerAddresses
from tocsin.model.finding import Code
from tocsin.model.pulse import CLERK
from tocsin.pulsing import IDLE_S, SHOWN_EVERY_S
from tocsin.subjects import EPISODES, NOTICES
from tocsin.wire import decode_notice, decode_pulse, decode_ruling

pytest_plugins = ("database",)
pytestmark = pytest.mark.timeout(300)

PATIENCE_S = 2 * (IDLE_S + SHOWN_EVERY_S)
"""An idle part shows its pulse each SHOWN_EVERY_S, or a round of IDLE_S later."""
FAST = 400.0  # an hour in nine seconds

EVERY_SECOND = {
    "projector": ("alerts", "projector"),
    "recorder": ("alerts", "recorder"),
    "downlink": ("alerts", "downlink"),
    "retrospect": ("geofence", "retrospect"),
    "fleet": ("geofence", "fleet"),
}
EVERY_HOUR = {
    "custodian": ("alerts", "custodian"),
    "archivist": ("ingest", "archivist"),
    "witness": ("audit", "witness"),
}
SHOWN_BY = {"archivist": {"archivist-lanes", "housekeeper"}, "witness": {"witness-cases", "notary"}}


def pulses_of(parts: Iterable[str]) -> set[str]:
    return {pulse for part in parts for pulse in SHOWN_BY.get(part, {part})}


class Site:
    """Processes that share the servers and a clock."""

    def __init__(self, bus: Bus, clock: AffineClock, environment: dict[str, str]) -> None:
        self.bus = bus
        self.clock = clock
        self._environment = environment
        self.children: dict[str, asyncio.subprocess.Process] = {}

    @asynccontextmanager
    async def process(self, name: str, words: tuple[str, str]) -> AsyncIterator[None]:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *words, env=self._environment, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        self.children[name] = child
        try:
            yield
        finally:
            if child.returncode is None:
                child.send_signal(signal.SIGKILL)
            await child.wait()

    def send(self, number: signal.Signals, *parts: str) -> None:
        for part in parts:
            assert self.children[part].returncode is None, part
            self.children[part].send_signal(number)

    async def shown_ms(self, pulse: str) -> int:
        value = await self.bus.tallies.get(pulse)
        return 0 if value is None else decode_pulse(value).wall_ms

    async def go_round(self, pulses: set[str]) -> None:
        """Each shows its pulse, and another one."""
        for _ in range(2):
            before = {pulse: await self.shown_ms(pulse) for pulse in pulses}

            async def all_have(before: dict[str, int] = before) -> bool:
                return all([await self.shown_ms(pulse) > was_ms for pulse, was_ms in before.items()])

            await eventually(all_have, within_s=60)

    async def named(self) -> set[str]:
        async for entries in self.bus.log.read(NOTICES, NOTICES.subjects):
            notices = [decode_notice(one.payload) for one in entries]
            return {one.subject for one in notices if one.reason == "no_pulse"}
        raise AssertionError("a reader does not end")

    async def lasting(self) -> set[str]:
        async for entries in self.bus.log.read(EPISODES, EPISODES.subjects, newest_per_subject=True):
            episodes = [decode_ruling(one.payload).episode for one in entries]
            return {one.subject for one in episodes if one.code is Code.SYS_AUDIT and one.lasts}
        raise AssertionError("a reader does not end")


@asynccontextmanager
async def site(
    bus: Bus, broker: BrokerAddresses, dsn: str, folder: Path, rate: float = 1.0
) -> AsyncIterator[Site]:
    now_ms = round(time.time() * 1000)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
    environment = {
        **clean, "TOCSIN_NATS_URL": broker.nats_url, "TOCSIN_MQTT_URL": broker.mqtt_url,
        "TOCSIN_DATABASE_URL": dsn,
        "TOCSIN_REALM": REALM.value, "TOCSIN_DATA_DIR": str(folder), "TOCSIN_CLOCK_RATE": str(rate),
        "TOCSIN_CLOCK_EPOCH_MS": str(now_ms), "TOCSIN_CLOCK_ANCHOR_MS": str(now_ms),
        "TOCSIN_POLICE_MODE": "operator_confirmed",
    }  # fmt: skip
    yield Site(bus, AffineClock(epoch_ms=now_ms, anchor_ms=now_ms, rate=rate), environment)


@asynccontextmanager
async def watched(place: Site, watching: tuple[Watched, ...]) -> AsyncIterator[None]:
    """The clerk, and a dispatcher who rules on what it says."""
    bus, ready = place.bus, asyncio.Event()
    doors = ClerkDoors(
        log=bus.log, devices=bus.devices, orders=bus.orders, standings=bus.standings, signs=bus.signs,
        tallies=bus.tallies, watched=watching,
    )  # fmt: skip
    parts = [
        asyncio.create_task(run_clerk(doors, clock=place.clock, ready=ready.set)),
        asyncio.create_task(
            run_dispatcher(log_=bus.log, clock=place.clock, realm=REALM, ready=lambda: None, devices=bus.devices)
        ),
    ]
    await asyncio.wait_for(ready.wait(), 30)
    try:
        yield
        assert not any(part.done() for part in parts), parts
    finally:
        for part in parts:
            await cancelled(part)


@pytest.mark.parametrize(
    ("parts", "rate"), [(EVERY_SECOND, 1.0), (EVERY_HOUR, FAST)], ids=["each second", "each hour"]
)
async def test_a_part_that_stands_still_is_named_and_no_other(
    parts: dict[str, tuple[str, str]],
    rate: float,
    bus: Bus,
    broker: BrokerAddresses,
    dsn: str,
    pool: Pool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("alerts.clerk.WATCH_EVERY_S", 0.5 * rate)
    all_pulses = pulses_of(parts)
    watching = tuple(one._replace(silent_ms=int(PATIENCE_S * 1_000)) for one in PARTS if one.part in all_pulses)
    assert {one.part for one in watching} == all_pulses
    first, *others = parts
    async with site(bus, broker, dsn, tmp_path, rate) as place, AsyncExitStack() as stack:
        await RetentionRecord(pool).passed(
            place.clock.now_ms()
        )  # else the custodian waits a minute with its second
        for name, words in parts.items():
            await stack.enter_async_context(place.process(name, words))
        await place.go_round(all_pulses)
        await stack.enter_async_context(watched(place, watching))

        async def is_lasting(pulses: set[str]) -> bool:
            return await place.lasting() == pulses

        place.send(signal.SIGSTOP, first)
        await eventually(lambda: is_lasting(pulses_of([first])), within_s=PATIENCE_S + 20)
        assert await place.named() == pulses_of([first])
        place.send(signal.SIGSTOP, *others)
        await eventually(lambda: is_lasting(all_pulses), within_s=PATIENCE_S + 20)
        place.send(signal.SIGCONT, *parts)
        await eventually(lambda: is_lasting(set()), within_s=60)


async def test_a_clerk_that_stands_still_is_paged_by_the_auditor(
    bus: Bus, broker: BrokerAddresses, dsn: str, tmp_path: Path
) -> None:
    async with site(bus, broker, dsn, tmp_path) as place, AsyncExitStack() as stack:
        await stack.enter_async_context(place.process("clerk", ("alerts", "clerk")))
        await eventually(lambda: place.shown_ms(CLERK), within_s=60)
        auditor = await stack.enter_async_context(audited(bus, place.clock, clerk_lives=False))
        await auditor.passes(8)
        assert auditor.firing("clerk") == []
        place.send(signal.SIGSTOP, "clerk")
        await auditor.passes(160)
        page = await auditor.paged("clerk")
        assert "has not looked for" in page["commonAnnotations"]["description"]
        assert await bus.log.last(NOTICES, subjects.notice(Code.SYS_AUDIT.value)) is not None
