"""Which events are right? One message after the other, by the geodesic of Karney, in ten lines anybody can check.

No engine of this bench shares code with this file. The rule: nearer than the alert distance is ALERT, nearer than
twice that is PRE, else FAR; who is inside leaves at 1.05 times the bound. One event for each change, in the order
of the messages; a message that changes several pairs tells them in the order of the pairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from pyproj import Geod

FAR, PRE, ALERT = 0, 1, 2
PRE_FACTOR: Final = 2.0
LEAVE_FACTOR: Final = 1.05

Ints = npt.NDArray[np.signedinteger[Any]]
Floats = npt.NDArray[np.float64]


class Event(NamedTuple):
    """Message number ``message`` brought ``pair`` into ``state``."""

    message: int
    pair: int
    state: int


class Message(NamedTuple):
    """``device`` counts from 0; degrees."""

    device: int
    lat: float
    lon: float


class Work(NamedTuple):
    """Who is paired with whom: n devices each (from 0), and n distances in metres."""

    wearer: Ints
    protected: Ints
    alert_m: Floats

    @property
    def devices(self) -> int:
        return int(max(self.wearer.max(), self.protected.max())) + 1


class Sequential:
    """The reference; ``hear`` may be called as often as one likes, messages go on counting."""

    def __init__(self, work: Work) -> None:
        self._work = [tuple(column.tolist()) for column in work]
        self._pairs_of = pairs_of(work)
        self._state = [FAR] * len(work.alert_m)
        self._place: dict[int, tuple[float, float]] = {}
        self._geod, self._count = Geod(ellps="WGS84"), 0

    def hear(self, messages: Iterable[Message]) -> list[Event]:
        events = []
        for device, lat, lon in messages:
            self._place[device] = (lat, lon)
            for pair in self._pairs_of[device]:
                state = self._judged(pair)
                if state != self._state[pair]:
                    self._state[pair] = state
                    events.append(Event(self._count, pair, state))
            self._count += 1
        return events

    def _judged(self, pair: int) -> int:
        wearer, protected, alert_m = (column[pair] for column in self._work)
        if wearer not in self._place or protected not in self._place:
            return FAR
        (lat, lon), (her_lat, her_lon) = self._place[wearer], self._place[protected]
        distance_m = self._geod.inv(lon, lat, her_lon, her_lat)[2]
        before = self._state[pair]
        if distance_m < alert_m * (LEAVE_FACTOR if before == ALERT else 1.0):
            return ALERT
        return PRE if distance_m < PRE_FACTOR * alert_m * (LEAVE_FACTOR if before != FAR else 1.0) else FAR


def pairs_of(work: Work) -> Sequence[Sequence[int]]:
    """The pairs of each device, in order."""
    found: list[list[int]] = [[] for _ in range(work.devices)]
    for pair, (wearer, protected) in enumerate(zip(work.wearer.tolist(), work.protected.tolist(), strict=True)):
        found[wearer].append(pair)
        found[protected].append(pair)
    return found


def match(events: Sequence[Event], expected: Sequence[Event]) -> float | None:
    """The share of all events, these and the expected, that are in both; None when there is none.

    An event told after one of a later message is not counted: the order is part of the answer.
    """
    in_order, told = 0, set[Event]()
    for event in events:
        if event.message >= in_order:
            in_order = event.message
            told.add(event)
    every = set(expected) | set(events)
    return len(told & set(expected)) / len(every) if every else None
