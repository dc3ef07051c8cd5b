"""Do the hours of an alert come, whoever is there to say so? The shell on the log in memory (F26, F35)."""

from __future__ import annotations

import asyncio

from builders import NOW_MS, REALM, entry, eventually
from real_broker import cancelled

from alerts.ledger import Ledger
from alerts.timers import Timers, closing_by_the_log, run_timers
from tocsin.model.episode import FindingCause, Rung
from tocsin.subjects import EPISODES
from tocsin.testing.bus import MemoryLog
from tocsin.wire import decode_ruling


class HandClock:
    """Its hour is set by the test; who sleeps looks again."""

    def __init__(self) -> None:
        self.ms = NOW_MS

    def now_ms(self) -> int:
        return self.ms

    def wall_ms(self) -> int:
        return self.ms

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0.005)


def climbed(log: MemoryLog) -> list[Rung]:
    rulings = [decode_ruling(one.payload) for one in log.entries(EPISODES)]
    return [one.audience for ruling in rulings for one in ruling.notifications[:1] if one.audience]


def started(log: MemoryLog, clock: HandClock) -> asyncio.Task[None]:
    timers = Timers(clock, Ledger(log, clock, REALM), closing_by_the_log(log))
    return asyncio.create_task(run_timers(log, timers))


async def test_two_timers_killed_between_rungs_and_an_outage_make_one_ladder() -> None:
    log, clock = MemoryLog(), HandClock()
    await Ledger(log, clock, REALM).rule("PROX_ALERT", "msr_1", FindingCause(finding=entry()))
    both = [started(log, clock), started(log, clock)]
    clock.ms = NOW_MS + 10_000
    await eventually(lambda: climbed(log) == [Rung.OPERATORS])
    for task in both:
        await cancelled(task)
    log.down = True
    clock.ms = NOW_MS + 31_000  # nobody was there at 15, 20 and 30 s
    last = started(log, clock)
    await asyncio.sleep(0)
    log.down = False
    clock.ms = NOW_MS + 60_000
    await eventually(lambda: Rung.POLICE in climbed(log))
    await cancelled(last)
    assert climbed(log) == [Rung.OPERATORS, Rung.SUPERVISOR, Rung.BACKUP_SITE, Rung.POLICE]
