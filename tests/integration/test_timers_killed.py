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

pytestmark = pytest.mark.timeout(240)
BURST = 30
LADDER = [Rung.OPERATORS, Rung.SUPERVISOR, Rung.BACKUP_SITE, Rung.POLICE]

Climbed = dict[str, list[Rung]]


@asynccontextmanager
async def watched(bus: Bus) -> AsyncIterator[Climbed]:
    """The rungs of each measure, in the order of the log, as it grows."""
    found: Climbed = defaultdict(list)
    following = asyncio.create_task(_follow(bus, found))
    try:
        yield found
    finally:
        await cancelled(following)


async def _follow(bus: Bus, found: Climbed) -> None:
    async for entries in bus.log.read(EPISODES, EPISODES.subjects):
        for one in entries:
            ruling = decode_ruling(one.payload)
            if ruling.reason == "escalated":
                found[ruling.episode.subject].append(ruling.notifications[0].audience or Rung.URGENT)


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
    async with watched(bus) as climbed:
        for at_s, rungs in ((10, 1), (25, 2), (60, 4)):
            lives = [dispatching(bus, at_s), dispatching(bus, at_s)]
            await eventually(lambda rungs=rungs: len(climbed["msr_1"]) >= rungs, within_s=30)
            for one in lives:
                await cancelled(one)
        await raised(bus, 2)  # behind whatever the last lives have written
        last = dispatching(bus, 60)
        await eventually(lambda: len(climbed["msr_2"]) == len(LADDER), within_s=30)
        await cancelled(last)
    assert climbed == {"msr_1": LADDER, "msr_2": LADDER}


async def test_killed_in_the_middle_of_a_burst(bus: Bus, broker: BrokerAddresses) -> None:
    """Three lives: the first dies while rungs are being climbed, the second is late for two, the third for one."""
    await asyncio.gather(*(raised(bus, number) for number in range(BURST)))
    async with watched(bus) as climbed:
        async with process(broker, 10) as first:
            await eventually(lambda: len(climbed) >= BURST // 4, within_s=60)
            first.send_signal(signal.SIGKILL)
            assert await first.wait() == -signal.SIGKILL
        for at_s, rungs in ((31, 3), (61, 4)):
            async with process(broker, at_s):
                await eventually(lambda rungs=rungs: _all(climbed, rungs), within_s=60)
    assert climbed == {f"msr_{number}": LADDER for number in range(BURST)}


def _all(climbed: Climbed, rungs: int) -> bool:
    return len(climbed) == BURST and all(len(one) >= rungs for one in climbed.values())
