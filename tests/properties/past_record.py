"""The record of the past in memory: what ``tocsin.adapters.retrospect`` and the archive promise, for properties.

``deliver`` is the archive: fixes are kept by device and hour, and late ones leave a mark.
"""

from __future__ import annotations

import msgspec
import numpy as np

from tocsin.adapters.retrospect import SLOT_MS, Due, LiveAlert, Pair, Said
from tocsin.limits import STRAGGLER_MAX_S
from tocsin.model.finding import Change, Finding
from tocsin.model.order import Order
from tocsin.model.track import TRACK_DTYPE, Track, came_late

HIS, HERS = 1, 2


class MemoryRecord:
    def __init__(self, order: Order, alerts: tuple[LiveAlert, ...] = ()) -> None:
        self._order, self._alerts = order, alerts
        self._fixes: dict[int, dict[int, np.void]] = {HIS: {}, HERS: {}}
        self._due: dict[tuple[int, int], int] = {}
        self._said: dict[str, Finding] = {}
        self._superseded, self._withdrawn, self._told = set[str](), set[str](), set[str]()

    def deliver(self, device: int, fixes: Track) -> None:
        for fix, late in zip(fixes, came_late(fixes, 1000 * STRAGGLER_MAX_S), strict=True):
            self._fixes[device].setdefault(int(fix["at_ms"]), fix.copy())
            if late:
                place = device, int(fix["at_ms"]) // SLOT_MS * SLOT_MS
                self._due[place] = self._due.get(place, 0) + 1

    @property
    def standing(self) -> list[Finding]:
        """The last version of each."""
        gone = self._superseded | self._withdrawn
        return [one for one in self._said.values() if one.change is Change.ENTRY and one.id not in gone]

    @property
    def all_said(self) -> list[Finding]:
        return list(self._said.values())

    async def due(self, **_: int) -> tuple[Due, ...]:
        return tuple(Due(*place, revision) for place, revision in sorted(self._due.items()))

    async def waiting(self) -> int:
        return len(self._due)

    async def done(self, seen: list[Due]) -> None:
        for one in seen:
            if self._due[one.device_number, one.slot_ms] == one.revision:
                del self._due[one.device_number, one.slot_ms]

    async def postpone(self, seen: set[Due], until_ms: int) -> None:
        raise AssertionError("nothing goes on or fails here")

    async def pairs(self, device_numbers: set[int], from_ms: int, until_ms: int) -> tuple[Pair, ...]:
        return (Pair(self._order, HIS, HERS),)

    async def track(self, device: int, from_ms: int, until_ms: int) -> Track:
        hours = sorted(hour for hour in self._fixes[device] if from_ms <= hour <= until_ms)
        return np.array([self._fixes[device][hour] for hour in hours], TRACK_DTYPE)

    async def alerts(self, measure: str, from_ms: int, until_ms: int) -> tuple[LiveAlert, ...]:
        return self._alerts

    async def said(self, measure: str, from_ms: int, until_ms: int) -> Said:
        last = [
            one for one in self._said.values() if one.change is Change.ENTRY and one.id not in self._superseded
        ]
        near = [one for one in last if one.past.first_ms <= until_ms and one.past.last_ms >= from_ms]  # type: ignore[union-attr]
        return Said(tuple(near), frozenset(self._withdrawn))

    async def say(self, findings: list[Finding], now_ms: int) -> None:
        for one in findings:
            assert one.past is not None
            assert one.id not in self._said, "one name for two things"
            self._said[one.id] = msgspec.structs.replace(one)
            if one.change is Change.EXIT:
                self._withdrawn.add(one.entry)
            self._superseded |= {*one.past.supersedes} if one.change is Change.ENTRY else set()

    async def untold(self, limit: int) -> tuple[Finding, ...]:
        return tuple(one for one in self._said.values() if one.id not in self._told)[:limit]

    async def told(self, names: list[str]) -> None:
        self._told |= {*names}
