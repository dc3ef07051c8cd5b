"""When a load run is looked at for the last time: a repeat accounts for nothing, one too many is late. F02."""

from __future__ import annotations

from dataclasses import dataclass, field

from loadtests.budgets import Alerts
from loadtests.evidence import Answers
from loadtests.settling import ALERTS_WITHIN_S, FIXES_WITHIN_S, ONCE_MORE_AFTER_S, accounted_for, answered
from simulator.lab import Accounted
from tocsin.clock import MS
from tocsin.limits import LEASE_S

CONFIRMED = 1_000


@dataclass
class HandClock:
    """Time passes where somebody waits."""

    at_ms: int = 0

    def now_ms(self) -> int:
        return self.at_ms

    def wall_ms(self) -> int:
        return self.at_ms

    async def sleep(self, seconds: float) -> None:
        self.at_ms += round(seconds * MS)


@dataclass
class SlowArchive:
    """Fifteen fixes were said twice; the archivist is behind, ten fixes each second."""

    archived: int
    archives_at_most: int = CONFIRMED
    clock: HandClock = field(default_factory=HandClock)

    async def accounted(self) -> Accounted:
        archived = min(self.archives_at_most, self.archived + self.clock.at_ms // 100)
        return Accounted(archived=archived, duplicate=15, refused=0, sos_only=0)


async def test_repeats_do_not_end_the_wait_for_the_fixes_still_under_way() -> None:
    lab = SlowArchive(archived=985)
    first = await lab.accounted()
    assert first.received == CONFIRMED
    assert (await accounted_for(lab, CONFIRMED)).lost_of(CONFIRMED) == 0


async def test_a_fix_that_is_lost_is_said_when_the_time_is_up() -> None:
    lab = SlowArchive(archived=985, archives_at_most=CONFIRMED - 1)
    assert (await accounted_for(lab, CONFIRMED)).lost_of(CONFIRMED) == 1
    assert FIXES_WITHIN_S * MS < lab.clock.at_ms < (FIXES_WITHIN_S + 1) * MS


def alerts(*, missing: bool, unexpected: bool) -> Answers:
    found = Alerts(
        expected=1,
        delivered=0 if missing else 1,
        t3_t8_ms=[],
        t1_t8_ms=[],
        missing=["w-1"] if missing else [],
        unexpected=["PROX_ALERT w-1"] if unexpected else [],
    )
    return Answers(alerts=found, t3_t7_ms=[])


async def test_an_alert_too_many_that_comes_with_the_next_lease_is_seen() -> None:
    clock, answer_ms = HandClock(), 2_000

    async def look() -> Answers:
        return alerts(missing=clock.at_ms < answer_ms, unexpected=clock.at_ms >= answer_ms + LEASE_S * MS)

    found = (await answered(look, clock)).alerts
    assert (found.missing, found.unexpected) == ([], ["PROX_ALERT w-1"])
    assert clock.at_ms < (ALERTS_WITHIN_S + ONCE_MORE_AFTER_S) * MS, "nobody waits for an answer that is there"


async def test_an_answer_that_does_not_come_ends_the_wait() -> None:
    clock = HandClock()

    async def look() -> Answers:
        return alerts(missing=True, unexpected=False)

    assert (await answered(look, clock)).alerts.missing == ["w-1"]
    assert clock.at_ms < (ALERTS_WITHIN_S + 1 + ONCE_MORE_AFTER_S) * MS
