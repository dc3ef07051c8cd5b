"""What does a batch change, when a loop takes what is ordinary in it?

The third path on the memory of ``Messages``, for a loop that is machine code (``geofence.ordinary``,
``geofence.compiled``): it takes the batch in its order, and what it leaves is done here, one by one, in that order
too. It says the same as the other two, bit for bit, so a worker may begin without it and take it up between any
two steps.
"""

from __future__ import annotations

from itertools import groupby
from typing import Final

import numpy as np

from geofence.devices import AT, WAY, Verdict, X
from geofence.findings import Taken, taken_of
from geofence.ordinary import (
    AHEAD,
    APPLIED,
    FOUND_ONE,
    FROZEN,
    HEARD_ONE,
    LEFT,
    NEVER,
    POOR,
    PRESENT,
    SLIGHT,
    STRANGERS,
    T3_MS,
    WHOLE,
    ZONES,
    Batch,
    Take,
    batch_of,
    memory_of,
    work_for,
)
from geofence.pair_table import CLUSTER
from geofence.quality import MINUTE_MS, SECOND_MS
from geofence.turns import Turns
from tocsin.geodesy import IntArray
from tocsin.model.fix import Fixes

COUNTS: Final = {
    "stranger": STRANGERS, "applied": APPLIED, "poor": POOR, "presence": PRESENT, "ahead": AHEAD, "frozen": FROZEN,
}  # fmt: skip

loop: Take | None = None
"""``ordinary.take`` as machine code, once there is one; read at the beginning of a step."""


class InOrder(Turns):
    """``Turns``, with a loop that takes what is ordinary."""

    def in_order(self, fixes: Fixes, take: Take) -> None:
        table, begin = self.table, 0
        batch, memory = batch_of(fixes, self.devices.places(fixes["device"])), memory_of(table)
        while begin < fixes.size:
            work = work_for(fixes.size - begin, table.sides_max)
            begin = take(batch, memory, work, begin, table.clock_ms, table.zones.any)
            self._note(work.told)
            left = work.left[: work.told[LEFT]]
            try:
                self._do(fixes, batch, left)
            finally:
                table.waiting[table.first_of[batch.places[left[:, 0]], CLUSTER]] = False

    def _note(self, told: IntArray) -> None:
        """What the loop counted, and from when on somebody must look at the units."""
        for name, at in COUNTS.items():
            self.counts[name] += int(told[at])
        for at, step_ms in ((HEARD_ONE, MINUTE_MS), (FOUND_ONE, SECOND_MS)):
            if told[at] < NEVER:
                self.table.quality.look_from(int(told[at]), step_ms)

    def _do(self, fixes: Fixes, batch: Batch, left: IntArray) -> None:
        """What the loop left, message by message; zones by columns behind all."""
        of_zones = left[:, 1] == ZONES
        for index, those in groupby(left[~of_zones].tolist(), lambda one: one[0]):
            self._do_one(index, int(batch.places[index]), taken_of(fixes[index].item()), list(those))
        if of_zones.any():
            self._do_zones(fixes, batch, left[of_zones])

    def _do_one(self, index: int, place: int, taken: Taken, those: list[list[int]]) -> None:
        """``those``: (index, what, side)."""
        now_ms = max(taken.t3_ms, self.table.clock_ms)
        for _, what, side in those:
            if what == WHOLE:
                self._take(index, place, taken)
            elif not (what == SLIGHT and self._look_slightly(index, side >> 1, now_ms)):
                self._judge_fix(index, side, Verdict.ACCEPTED, None, now_ms, lambda: taken)
        if self.asking:
            self._give_orders(index, now_ms, self._identity(place, taken))

    def _do_zones(self, fixes: Fixes, batch: Batch, left: IntArray) -> None:
        which, sides = left[:, 0], left[:, 2]
        own = self.devices.several(batch.places.take(which))
        now_ms = np.maximum(batch.longs[:, T3_MS].take(which), self.table.clock_ms).astype(np.float64)
        self._watch_those(
            which, sides >> 1, own[X:AT], own[WAY], now_ms, lambda index: taken_of(fixes[index].item())
        )
