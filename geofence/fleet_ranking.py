"""In which order are the pairs of an incident to be looked at? By the hour of blind risk, the soonest first.

DOMAIN section 3: the worst case (36 m/s) orders, the plausible one (14 m/s, or as fast as he was) is shown with
it. The rule is the engine's (``silence.blind_hours``), on the last places that the fleet's watch has heard. A pair
of which one was never heard with a place has no hour and comes last: nobody can say. No position leaves this file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from geofence import silence
from geofence.devices import Mask
from geofence.fleet_memory import FleetMemory
from tocsin.geodesy import FloatArray, IntArray
from tocsin.model.device import Device
from tocsin.model.fleet import PairAtRisk, Party
from tocsin.model.order import Order


@dataclass(frozen=True, slots=True)
class Pairs:
    """The measures by columns: ``sides`` (2, m) are the columns of wearer and protected person in the memory."""

    measures: tuple[str, ...]
    sides: IntArray
    alert_m: FloatArray
    from_ms: FloatArray
    until_ms: FloatArray


def pairs_of(orders: Sequence[Order], devices: Mapping[str, Device], memory: FleetMemory) -> Pairs:
    """``memory``: of all devices that are enrolled. A measure of a device that is not has no pair here."""
    known = [one for one in orders if one.wearer in devices and one.protected in devices]
    numbers = np.array([[devices[one.wearer].number, devices[one.protected].number] for one in known], np.int64)
    sides = memory.places(numbers.reshape(-1)).reshape(-1, 2)
    here = np.flatnonzero((sides >= 0).all(axis=1))
    kept = [known[place] for place in here.tolist()]
    return Pairs(
        measures=tuple(one.id for one in kept),
        sides=sides[here].T,
        alert_m=np.array([one.alert_distance_m for one in kept], np.float64),
        from_ms=np.array([one.valid_from_ms for one in kept], np.float64),
        until_ms=np.array([one.valid_until_ms for one in kept], np.float64),
    )


def ranked(pairs: Pairs, memory: FleetMemory, missed: Mask, now_ms: int) -> tuple[PairAtRisk, ...]:
    """Every pair in force of which somebody is among ``missed``."""
    wearer, protected = pairs.sides
    in_force = (pairs.from_ms <= now_ms) & (now_ms < pairs.until_ms)
    chosen = np.flatnonzero((missed[wearer] | missed[protected]) & in_force)
    wearer, protected = wearer[chosen], protected[chosen]
    hours = silence.blind_hours(
        memory.rows[:, wearer], memory.rows[:, protected], float(now_ms), pairs.alert_m[chosen]
    )
    found = [
        PairAtRisk(
            measure=pairs.measures[row],
            silent=_party(his, hers),
            worst_ms=int(worst_ms) if isfinite(worst_ms) else None,
            plausible_ms=int(plausible_ms) if isfinite(plausible_ms) else None,
        )
        for row, his, hers, worst_ms, plausible_ms in zip(
            chosen.tolist(), missed[wearer].tolist(), missed[protected].tolist(),
            hours.worst_ms.tolist(), hours.plausible_ms.tolist(), strict=True,
        )
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda one: (one.worst_ms is None, one.worst_ms or 0, one.measure)))


def _party(his: bool, hers: bool) -> Party:
    if his and hers:
        return Party.BOTH
    return Party.WEARER if his else Party.PROTECTED
