"""How many units should be connected at second t? Four shapes, each of them one table row of straight lines.

Pure: seconds since the start in, a number of units out. ``locustfile`` asks once a second and lets locust connect
the difference, never more than CONNECTS_PER_S: a fleet that connects faster than its broker can check passwords
measures the queue before the door.

=========  ==========================================================================================
steady     all, from the beginning to the end
ramp       from a tenth to all in two thirds of the time, then all
spike      a fifth; all of them for the middle third; a fifth
reconnect  all; at half time nearly all leave, and come back at once (F05: what follows an outage)
=========  ==========================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from types import MappingProxyType
from typing import Final

CONNECTS_PER_S: Final = (
    100  # a bcrypt check and a session of the embedded broker are 2 to 3 ms: a quarter of a core
)
AWAY_S: Final = 3.0  # how long those who left stay away in ``reconnect``

Point = tuple[float, float]
"""(second, units)."""


class Shape(StrEnum):
    STEADY = "steady"
    RAMP = "ramp"
    SPIKE = "spike"
    RECONNECT = "reconnect"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One shape for so many units; ``seconds`` does not count the time that connecting takes at the least."""

    shape: Shape
    users: int
    seconds: float

    @property
    def lasts_s(self) -> float:
        return self._points[-1][0]

    def units_at(self, elapsed_s: float) -> int | None:
        """None: it is over."""
        if elapsed_s >= self.lasts_s:
            return None
        for (t0, n0), (t1, n1) in pairwise(self._points):
            if t0 <= elapsed_s < t1:
                return max(1, math.ceil(n0 + (n1 - n0) * (elapsed_s - t0) / (t1 - t0)))
        raise AssertionError("the points begin at 0 and leave no gap")

    def fixes(self, interval_s: float) -> float:
        """What is published if everybody says one fix each ``interval_s`` while he is connected.

        The seconds in which they connect are not counted, so that nobody who connects late is missed.
        """
        unit_s = sum((t1 - t0) * (n0 + n1) / 2 for (t0, n0), (t1, n1) in pairwise(self._points))
        climbs = 2 if self.shape is Shape.RECONNECT else 1
        return max(0.0, unit_s - climbs * self.users * self._connecting_s) / interval_s

    @property
    def _points(self) -> Sequence[Point]:
        return _LINES[self.shape](float(self.users), self.seconds, self._connecting_s)

    @property
    def _connecting_s(self) -> float:
        """Until all of them are in, at the pace that is allowed."""
        return self.users / CONNECTS_PER_S


def _steady(users: float, seconds: float, connecting_s: float) -> Sequence[Point]:
    return [(0.0, users), (connecting_s + seconds, users)]


def _ramp(users: float, seconds: float, connecting_s: float) -> Sequence[Point]:
    risen_s = 2 / 3 * seconds + connecting_s
    return [(0.0, users / 10), (risen_s, users), (risen_s + seconds / 3, users)]


def _spike(users: float, seconds: float, connecting_s: float) -> Sequence[Point]:
    third, few = seconds / 3, users / 5
    up_s, down_s = third, 2 * third + connecting_s
    return [(0.0, few), (up_s, few), (up_s + STEP_S, users), (down_s, users), (down_s + STEP_S, few),
            (down_s + third, few)]  # fmt: skip


def _reconnect(users: float, seconds: float, connecting_s: float) -> Sequence[Point]:
    cut_s = seconds / 2 + connecting_s
    back_s = cut_s + AWAY_S
    return [(0.0, users), (cut_s, users), (cut_s + STEP_S, users / 20), (back_s, users / 20),
            (back_s + STEP_S, users), (back_s + connecting_s + seconds / 2, users)]  # fmt: skip


STEP_S: Final = 0.001
"""How steep a step is."""

_LINES: Final[Mapping[Shape, Callable[[float, float, float], Sequence[Point]]]] = MappingProxyType(
    {Shape.STEADY: _steady, Shape.RAMP: _ramp, Shape.SPIKE: _spike, Shape.RECONNECT: _reconnect}
)
