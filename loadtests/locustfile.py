"""What does locust run? ``python -m loadtests`` starts it with this file; who is who comes in the handover.

At its end it leaves a tally beside the handover. Its own exit status says only whether it ran: failed requests are
judged by whoever reads the tally.
"""

from __future__ import annotations

import logging
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

from locust import LoadTestShape, events
from locust.env import Environment
from locust.stats import StatsEntry

from loadtests.budgets import samples_needed
from loadtests.handover import HANDOVER_VARIABLE, Crowd, CrowdTally, Requests, hand_over, taken
from loadtests.operator_user import OperatorUser, Room
from loadtests.shapes import CONNECTS_PER_S, Plan
from loadtests.unit_user import Fleet, UnitUser
from tocsin.clock import AffineClock

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")

CROWD = taken(Path(os.environ[HANDOVER_VARIABLE]), Crowd)
CLOCK = AffineClock()
MEDIAN, P99 = Fraction(1, 2), Fraction(99, 100)
STARTED_MS: list[int] = []
ENDED_MS: list[int] = []

UnitUser.fleet = Fleet(CROWD)
OperatorUser.room = Room()
OperatorUser.host = CROWD.api_url
OperatorUser.fixed_count = CROWD.operators
OperatorUser.abstract = CROWD.operators == 0  # to locust a fixed count of 0 is no fixed count


class Planned(LoadTestShape):
    """The plan, asked once a second."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # locust's
        self.plan = Plan(shape=CROWD.shape, users=len(CROWD.units), seconds=CROWD.seconds)
        self.before = 0

    def tick(self) -> tuple[int, float] | None:
        """(users, how many of them may come in a second). Whoever leaves does so at once."""
        units = self.plan.units_at(self.get_run_time())  # type: ignore[no-untyped-call]  # locust's
        if units is None:
            return None
        falling, self.before = units < self.before, units
        return units + CROWD.operators, len(CROWD.units) if falling else CONNECTS_PER_S


@events.test_start.add_listener  # type: ignore[untyped-decorator]  # locust's
def started(**_: object) -> None:
    STARTED_MS.append(CLOCK.wall_ms())
    Path(CROWD.begun).touch()


@events.test_stopping.add_listener  # type: ignore[untyped-decorator]  # locust's
def ending(**_: object) -> None:
    ENDED_MS.append(CLOCK.wall_ms())


@events.quitting.add_listener  # type: ignore[untyped-decorator]  # locust's
def leave_tally(environment: Environment, **_: object) -> None:
    """Written once everybody has left, so that nothing is under way any more."""
    environment.process_exit_code = 0
    if not STARTED_MS:
        return
    assert environment.runner is not None
    environment.runner.stop()
    fleet, room = UnitUser.fleet, OperatorUser.room
    tally = CrowdTally(
        started_ms=STARTED_MS[0],
        ended_ms=ENDED_MS[0],
        connected=len(fleet.connected),
        connections=fleet.connections,
        offered=fleet.offered,
        confirmed=fleet.confirmed,
        withheld=fleet.withheld,
        requests=[_row(entry) for entry in environment.stats.entries.values()],
        errors=[_error(one) for one in environment.stats.errors.values()],
        exceptions=_exceptions(environment),
        acknowledged=room.acknowledged,
        closed=room.closed,
        races=dict(room.races),
    )
    hand_over(Path(CROWD.tally), tally)


def _row(entry: StatsEntry) -> Requests:
    timed = entry.num_requests - entry.num_none_requests
    return Requests(
        kind=entry.method or "",
        name=entry.name,
        count=entry.num_requests,
        failures=entry.num_failures,
        p50=float(entry.get_response_time_percentile(0.5)) if timed >= samples_needed(MEDIAN) else None,
        p99=float(entry.get_response_time_percentile(0.99)) if timed >= samples_needed(P99) else None,
        max=round(float(entry.max_response_time), 2) if timed else None,
    )


def _error(error: Any) -> str:  # noqa: ANN401  (locust's own)
    return f"{error.occurrences} times {error.method} {error.name}: {error.error}"


def _exceptions(environment: Environment) -> list[str]:
    """What went wrong in our own users: never silent."""
    assert environment.runner is not None
    return [f"{one['count']} times exception: {one['msg']}" for one in environment.runner.exceptions.values()]
