"""When is it over? Nothing is judged before everything that was said has been accounted for and answered.

Two questions that are asked again until the answer is whole or the time is up. An alert too many may come after
the last one that was expected, from a worker that takes over a lease or a courier that tries again: so the alerts
are looked at once more when both had their time. Seconds of the laboratory's clock.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

from alerts.retries import ladder_of
from loadtests.budgets import P1
from loadtests.evidence import Answers
from simulator.lab import Accounted
from tocsin.clock import MS, Clock
from tocsin.limits import LEASE_S

ALERTS_WITHIN_S: Final = P1.hard_s + 5.0  # an alert that takes longer is broken whatever comes
FIXES_WITHIN_S: Final = 60.0
ONCE_MORE_AFTER_S: Final = LEASE_S + ladder_of(P1.priority)[1]
LOOK_S: Final = 0.2

assert P1.hard_s < ALERTS_WITHIN_S
assert ONCE_MORE_AFTER_S > LEASE_S, "the first rung of the ladder is the first attempt, at 0 s"

T = TypeVar("T")


class Accounts(Protocol):
    """The laboratory, as far as this is concerned."""

    @property
    def clock(self) -> Clock: ...

    async def accounted(self) -> Accounted: ...


async def accounted_for(lab: Accounts, confirmed: int) -> Accounted:
    """The outcomes once none of so many different fixes is lost, or when the time is up. F02.

    Not once so many outcomes are there: a repeat is an outcome as well, and accounts for no other fix.
    """
    return await _until(lab.accounted, lambda found: not found.lost_of(confirmed), lab.clock, FIXES_WITHIN_S)


async def answered(look: Callable[[], Awaitable[Answers]], clock: Clock) -> Answers:
    """The alerts once every crossing has its own, or when the time is up; seen again after ONCE_MORE_AFTER_S."""
    await _until(look, lambda found: not found.alerts.missing, clock, ALERTS_WITHIN_S)
    await clock.sleep(ONCE_MORE_AFTER_S)
    return await look()


async def _until(look: Callable[[], Awaitable[T]], whole: Callable[[T], bool], clock: Clock, within_s: float) -> T:
    deadline_ms = clock.now_ms() + within_s * MS
    while True:
        found = await look()
        if whole(found) or clock.now_ms() > deadline_ms:
            return found
        await clock.sleep(LOOK_S)
