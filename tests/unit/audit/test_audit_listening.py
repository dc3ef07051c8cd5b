"""Do the ear and conservation say nothing when a clock is set, and still find what is lost? F26, DOMAIN 3."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from builders import DEVICES, NOW_MS, WEARER, eventually, location, topic
from real_broker import cancelled
from structlog.testing import capture_logs

from audit.auditor import AuditDoors, Auditor, Laws
from audit.conservation import SILENT_MS
from audit.ear import OVERTAKEN_MS, PATIENCE_MS
from audit.law import Difference
from audit.listening import Broker, Doors, Listening
from audit.page import Pager
from audit.spokesman import Spokesman
from tocsin.clock import AffineClock
from tocsin.model.episode import Realm
from tocsin.model.pulse import Pulse
from tocsin.model.tally import Account, Tally
from tocsin.subjects import AUDITOR_PULSE, CANARY_PULSE
from tocsin.testing.bus import MemoryBucket, MemoryLog
from tocsin.wire import encode

HOUR_MS = 3_600_000


class Site:
    """A machine whose clock can be set (``set_ms``), and these two laws; ingest is what they are told."""

    def __init__(self) -> None:
        self.passed_ms = HOUR_MS
        self.set_ms = 0
        self.clock = AffineClock(
            wall=lambda: (NOW_MS + self.passed_ms + self.set_ms) / 1_000, steady=lambda: self.passed_ms / 1_000
        )
        self.log, self.devices, self.tallies = MemoryLog(), MemoryBucket(), MemoryBucket()
        doors = Doors(log=self.log, devices=self.devices, tallies=self.tallies)
        self.listening = Listening(doors, Broker(url="mqtt://nobody.example"), self.clock)
        self.session_ms = self.clock.now_ms()

    def tallies_of(self, part: str, *, taken: int = 0) -> None:
        account = Account(taken=taken, outcomes={"admitted": taken})
        said_ms = self.clock.now_ms()
        self.listening.tallied(
            Tally(part=part, life="a", at_ms=said_ms, accounts={"messages": account}, listening_ms=self.session_ms)
        )

    def asked(self) -> list[Difference]:
        now_ms = self.clock.passed_ms()
        laws = (self.listening.ear, self.listening.conservation)
        return [one for law in laws for one in law.differences(now_ms)]

    def passes(self, ms: int) -> list[Difference]:
        """Ingest tallies each second, the auditor looks each two."""
        said = []
        for second in range(ms // 1_000):
            self.passed_ms += 1_000
            self.tallies_of("fixes")
            for stream in ("FIXES", "LATE"):
                self.listening.ear.read_up_to_the_end_of(stream, self.clock.passed_ms())
            if second % 2:
                said += self.asked()
        return said


@pytest.mark.parametrize("set_ms", [2 * SILENT_MS, -HOUR_MS])
async def test_a_clock_that_is_set_makes_nobody_silent(set_ms: int) -> None:
    site = Site()
    site.tallies_of("fixes")
    site.set_ms = set_ms
    site.passed_ms += 2_000
    assert site.asked() == []


@pytest.mark.parametrize("set_ms", [0, 2 * SILENT_MS, -HOUR_MS])
async def test_what_is_lost_behind_the_setting_of_a_clock_is_found_as_before(set_ms: int) -> None:
    """Set back by an hour it was deaf for that hour."""
    site = Site()
    async with knowing(site):
        site.passes(4 * OVERTAKEN_MS)
        site.set_ms = set_ms
        now_ms = site.clock.now_ms()
        said = location(seq=7, tst=now_ms // 1_000, ms=now_ms % 1_000, created_at=None)
        if set_ms < 0:  # a fix of before the ear's own beginning may be a repetition of what it never read
            site.listening.ear._since_ms = 0
        site.listening.hear(topic(WEARER, "loc"), said)
        assert site.listening.ear.waiting == 1
        (found,) = site.passes(4 * PATIENCE_MS)
    assert (found.law, found.about) == ("ear", WEARER)


@asynccontextmanager
async def knowing(site: Site) -> AsyncIterator[None]:
    """It follows the devices."""
    await site.devices.put(WEARER, encode(DEVICES[WEARER]))
    task = asyncio.create_task(site.listening._follow_devices())
    await eventually(site.listening._known.is_set)
    try:
        yield
    finally:
        await cancelled(task)


async def test_a_pulse_is_no_tally_and_what_is_none_is_told_of() -> None:
    """One line each two seconds hides the one that matters."""
    site = Site()
    pulse = Pulse(at_ms=NOW_MS, wall_ms=NOW_MS)
    task = asyncio.create_task(site.listening._follow_tallies())
    with capture_logs() as lines:
        await asyncio.sleep(0)
        for key in (AUDITOR_PULSE, CANARY_PULSE, "fixes"):
            await site.tallies.put(key, encode(pulse))
        await eventually(lambda: lines)
        await cancelled(task)
    assert [(one["event"], one["key"]) for one in lines] == [("tally_unreadable", "fixes")]


async def test_the_auditor_asks_them_by_the_clock_that_nobody_sets() -> None:
    site = Site()
    asked: list[int] = []

    class Asked:
        name = "asked"

        def differences(self, now_ms: int) -> list[Difference]:
            asked.append(now_ms)
            return []

    pager = Pager(url=None, http=None, clock=site.clock)
    spokesman = Spokesman(log_=site.log, clock=site.clock, pager=pager, site="paca", realm=Realm.LAB)
    doors = AuditDoors(log=site.log, devices=site.devices, orders=MemoryBucket(), tallies=site.tallies)
    auditor = Auditor(doors, Laws(others=(Asked(),)), spokesman, site.clock)
    for set_ms in (0, HOUR_MS):
        site.set_ms = set_ms
        await auditor.look()
    assert asked == [site.passed_ms, site.passed_ms]
