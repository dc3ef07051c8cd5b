"""Where are the parties of a measure that became known while no worker was looking?

A replay judges with the measures that the snapshot knows, as the life before it did; the fixes of a device that
only the measures of now name are a stranger's there. The newest of each is kept here and judged at once when the
measures of now are taken: a new pair is not in the dark until its devices speak again.
"""

from __future__ import annotations

import numpy as np

from geofence.pair_table import PairTable, Roster
from tocsin.model.fix import FIX_DTYPE, Fixes, FixFlag


class Newcomers:
    """The devices of ``roster`` that ``table`` does not know."""

    def __init__(self, roster: Roster, table: PairTable) -> None:
        known = {device.number for device in table.roster.sides}
        self._numbers = np.array(sorted({one.number for one in roster.sides} - known), np.int64)
        self._newest: dict[int, Fixes] = {}

    def watch(self, batch: Fixes) -> None:
        """Remember the newest of theirs in ``batch``."""
        if not self._numbers.size:
            return
        theirs = batch[np.isin(batch["device"], self._numbers) & ((batch["flags"] & FixFlag.PRESENCE) == 0)]
        for number, fix_ms, at in zip(
            theirs["device"].tolist(), theirs["fix_ms"].tolist(), range(theirs.size), strict=True
        ):
            if number not in self._newest or fix_ms > self._newest[number]["fix_ms"][0]:
                self._newest[number] = theirs[at : at + 1]

    def seeds(self) -> Fixes:
        """One fix of each that was heard, in the order of their reception."""
        heard = sorted(self._newest.values(), key=lambda one: (int(one["t3_ms"][0]), int(one["device"][0])))
        return np.concatenate([np.empty(0, FIX_DTYPE), *heard])
