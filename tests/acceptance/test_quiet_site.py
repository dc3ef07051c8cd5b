"""Is nobody paged, and no alert of the system raised, where nothing is wrong? F02, F07, F26.

The whole stack, everything real, at the speed of the world: invented pairs walk, the auditor reads all of it, and
whoever is on call is listened to. Each part is killed once (the supervisor has it back), all of it is stopped and
started again on what it left. That is a night on which an operator upgrades; a page then is one too many, and a
true one drowns in it. Stops of more than a minute are asked about in the unit tests of each watch, by hours of
their own.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from builders import SECRET, eventually
from lab_fixture import Told, new_home
from recipients import Recipient, listening

from simulator.lab import ACTOR, Laboratory, laboratory
from tocsin.adapters.jetstream import open_bus
from tocsin.subjects import AUDITOR_PULSE, EPISODES, NOTICES
from tocsin.wire import decode_notice, decode_pulse

pytestmark = pytest.mark.timeout(300)

SUPERVISOR: Final = "s" * 24
TOKENS: Final = {"t" * 24: {"name": ACTOR, "role": "technical"}, SUPERVISOR: {"name": ACTOR, "role": "supervisor"}}
AT_ONCE: Final = 2  # starts of Python on two cores: more of them outlast the auditor's patience, rightly paged
LOOKED_S: Final = 12  # the auditor's longest patience here is 7 s, its looks are 2 s apart


@asynccontextmanager
async def up(home: Path, operations: Recipient) -> AsyncIterator[Laboratory]:
    async with laboratory(
        home=home, tell=Told(), log_level="warning", canary=True, api_auth="token", api_tokens=TOKENS,
        operations_url=operations.url, operations_secret=SECRET,
    ) as lab:  # fmt: skip
        yield lab


async def is_walked(lab: Laboratory, rounds: int) -> bool:
    metrics = await lab.metrics()
    return metrics.get('tocsin_canary_seconds_count{stage="closed"}', 0) >= rounds


async def each_part_is_killed(lab: Laboratory) -> None:
    """A few at once, every one of them."""
    names = lab.stack.supervisor.names
    assert {"auditor", "canary", "geofence", "dispatcher", "courier", "fixes"} <= set(names)
    for first in range(0, len(names), AT_ONCE):
        await asyncio.gather(*(is_killed(lab, part) for part in names[first : first + AT_ONCE]))


async def is_killed(lab: Laboratory, part: str) -> None:
    supervisor = lab.stack.supervisor
    pid = supervisor.pid_of(part)
    assert pid is not None, part
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: supervisor.pid_of(part) not in {None, pid}, within_s=30.0)
    await supervisor.wait_ready(part)


async def said(lab: Laboratory) -> list[tuple[str, str, str, dict[str, str]]]:
    """Every notice about the system, of whoever has one."""
    async with open_bus(lab.stack.addresses.nats_url, "test.quiet") as bus:
        async for entries in bus.log.read(NOTICES, NOTICES.subjects):
            notices = [decode_notice(one.payload) for one in entries]
            return [
                (one.code.value, one.subject, one.reason, dict(one.facts))
                for one in notices
                if one.code.value.startswith("SYS_")
            ]
    raise AssertionError("a reader does not end")


async def raised(lab: Laboratory) -> list[str]:
    async with open_bus(lab.stack.addresses.nats_url, "test.quiet") as bus:
        async for entries in bus.log.read(EPISODES, EPISODES.subjects, newest_per_subject=True):
            return [one.subject for one in entries if ".SYS_" in one.subject]
    raise AssertionError("a reader does not end")


async def auditor_looks_on(lab: Laboratory, seconds: int) -> None:
    """So long after what has just happened the auditor has looked, and had its patience."""
    async with open_bus(lab.stack.addresses.nats_url, "test.quiet") as bus:

        async def pulse_ms() -> int:
            value = await bus.tallies.get(AUDITOR_PULSE)
            return 0 if value is None else decode_pulse(value).wall_ms

        until_ms = lab.clock.wall_ms() + seconds * 1_000

        async def has_looked() -> bool:
            return await pulse_ms() >= until_ms

        await eventually(has_looked, within_s=4.0 * seconds)


def pages(operations: Recipient) -> list[Any]:
    return [json.loads(one.body)["commonAnnotations"] for one in operations.heard]


async def test_a_night_of_upgrades_pages_nobody() -> None:
    home = new_home()
    try:
        async with listening(200) as operations:
            async with up(home, operations) as lab:
                await each_part_is_killed(lab)
                await eventually(lambda: is_walked(lab, 2), within_s=150.0)
                await auditor_looks_on(lab, LOOKED_S)
                assert (pages(operations), await said(lab), await raised(lab)) == ([], [], [])
            async with up(home, operations) as lab:
                await auditor_looks_on(lab, 2 * LOOKED_S)
                assert (pages(operations), await said(lab), await raised(lab)) == ([], [], [])
    finally:
        shutil.rmtree(home, ignore_errors=True)
