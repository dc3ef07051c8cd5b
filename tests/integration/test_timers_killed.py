"""Is no rung climbed twice and none skipped, whenever the dispatcher dies? On the real log. (F26, F35)

A cancelled one, two at once, and a process that is killed (SIGKILL) in the middle of a burst of rungs: the hour of
each life is set by the test, so that what is due is known.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from builders import NOW_MS, REALM, entry, eventually, frozen_clock
from real_broker import cancelled

from alerts.dispatcher import run_dispatcher
from alerts.ledger import Ledger
from tocsin.adapters.jetstream import Bus
from tocsin.embedded.broker import BrokerAddresses
from tocsin.model.episode import FindingCause, Rung
from tocsin.model.finding import Code
from tocsin.subjects import EPISODES
from tocsin.wire import decode_ruling

pytestmark = pytest.mark.timeout(120)
BURST = 30
LADDER = [Rung.OPERATORS, Rung.SUPERVISOR, Rung.BACKUP_SITE, Rung.POLICE]

Climbed = dict[str, list[Rung]]


async def climbed(bus: Bus) -> Climbed:
    """The rungs of each measure, in the order of the log."""
    found: Climbed = defaultdict(list)
    async for entries in bus.log.read(EPISODES, EPISODES.subjects):
        if not entries:
            return found
        for one in entries:
            ruling = decode_ruling(one.payload)
            if ruling.reason == "escalated":
                found[ruling.episode.subject].append(ruling.notifications[0].audience or Rung.URGENT)
    raise AssertionError("unreachable: a log is followed without end")


async def raised(bus: Bus, number: int) -> None:
    found = entry(f"fnd_{number}", measure=f"msr_{number}")
    await Ledger(bus.log, frozen_clock(), REALM).rule(
        Code.PROX_ALERT.value, found.measure, FindingCause(finding=found)
    )


def dispatching(bus: Bus, at_s: int) -> asyncio.Task[None]:
    clock = frozen_clock(NOW_MS + 1000 * at_s)
    return asyncio.create_task(
        run_dispatcher(log_=bus.log, clock=clock, realm=REALM, ready=lambda: None, devices=bus.devices)
    )


@asynccontextmanager
async def process(broker: BrokerAddresses, at_s: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """A dispatcher as it is deployed, for which it is ``at_s`` and stays so; killed at the end."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "alerts", "dispatcher",
        env={
            **clean, "TOCSIN_NATS_URL": broker.nats_url, "TOCSIN_REALM": REALM.value,
            "TOCSIN_CLOCK_RATE": "0.000001", "TOCSIN_CLOCK_EPOCH_MS": str(NOW_MS + 1000 * at_s),
            "TOCSIN_CLOCK_ANCHOR_MS": str(round(time.time() * 1000)),
        },
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield child
    finally:
        if child.returncode is None:
            child.send_signal(signal.SIGKILL)
        await child.wait()


async def test_cancelled_between_any_two_rungs_and_two_at_once(bus: Bus) -> None:
    await raised(bus, 1)
    for at_s, rungs in ((10, 1), (25, 2), (60, 4)):
        lives = [dispatching(bus, at_s), dispatching(bus, at_s)]
        await eventually(lambda rungs=rungs: _has(bus, "msr_1", rungs))
        for one in lives:
            await cancelled(one)
    assert await climbed(bus) == {"msr_1": LADDER}


async def _has(bus: Bus, measure: str, rungs: int) -> bool:
    return len((await climbed(bus))[measure]) >= rungs


async def test_killed_in_the_middle_of_a_burst(bus: Bus, broker: BrokerAddresses) -> None:
    """Three lives: the first dies while rungs are being climbed, the second is late for two, the third for one."""
    await asyncio.gather(*(raised(bus, number) for number in range(BURST)))
    async with process(broker, 10) as first:
        await eventually(lambda: _some(bus, 5), within_s=30)
        first.send_signal(signal.SIGKILL)
        assert await first.wait() == -signal.SIGKILL
    for at_s, rungs in ((31, 3), (61, 4)):
        async with process(broker, at_s):
            await eventually(lambda rungs=rungs: _all(bus, rungs), within_s=30)
    assert await climbed(bus) == {f"msr_{number}": LADDER for number in range(BURST)}


async def _some(bus: Bus, places: int) -> bool:
    return len(await climbed(bus)) >= places


async def _all(bus: Bus, rungs: int) -> bool:
    found = await climbed(bus)
    return len(found) == BURST and all(len(one) >= rungs for one in found.values())
