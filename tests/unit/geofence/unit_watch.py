"""Units that report by themselves for hours, told to the real engine: for what shows over time only.

A report is (second, row of the fix lane). ``watch`` ticks every ``tick_s`` and hears each report when it is
received, 0.4 s after it was made; a unit hears no orders, or obeys them if ``obeys``.
"""

from __future__ import annotations

import msgspec
import numpy as np
from geofence_pairs import P, W, device, order
from timeline import NOTHING, T0_MS, hour, message

from geofence import engine
from geofence.pair_table import PairTable, Roster, roster_of
from tocsin.model.command import Action
from tocsin.model.device import DeviceKind
from tocsin.model.finding import Change
from tocsin.model.fix import Source

HOUR_S = 3600
WANDER_M = 4.0
HERS = (P, 3)


def measures(*orders, every_s=60, numbers=range(1, 9)):
    devices = {
        device(one).id: msgspec.structs.replace(
            device(one, DeviceKind.PROTECTED if one in HERS else DeviceKind.WEARER), reports_every_s=every_s
        )
        for one in numbers
    }
    return roster_of(orders or (order(),), devices, partition=0, partitions=1)


def reports(
    number, place, *, every_s=60, since_s=0, until_s=HOUR_S, wander_m=0.0, skew_s=0, accuracy_m=5.0, **row
):
    """``place``: metres as a complex number, or where it is at a second. ``row``: columns as they are."""
    rng = np.random.default_rng(number)
    told = []
    for at_s in range(since_s, until_s, every_s):
        here = place(at_s) if callable(place) else place
        here += complex(*rng.normal(0, wander_m, 2)) if wander_m else 0
        one = message(number, complex(here) or 0.01j, T0_MS + 1000 * at_s, accuracy_m=accuracy_m)
        one["sent_ms"] += round(1000 * skew_s)
        one["source"] = Source.GNSS
        for name, value in row.items():
            one[name] = value
        told.append((at_s, one))
    return told


class Watched:
    """What the engine said: (hour, code, change, reason, measure)."""

    def __init__(self, roster, *streams, until_s=HOUR_S, tick_s=1):
        self.table, first = engine.revise(PairTable(Roster()), roster, T0_MS - 1000)
        self.said, self.commands = [], []
        self._take(first, 0)
        self.play(*streams, until_s=until_s, tick_s=tick_s)

    def play(self, *streams, since_s=0, until_s=HOUR_S, tick_s=1):
        by_second = {}
        for at_s, one in sorted((pair for stream in streams for pair in stream), key=lambda pair: pair[0]):
            by_second.setdefault(at_s // tick_s, []).append(one)
        for step in range(since_s // tick_s, until_s // tick_s + 1):
            now_ms = T0_MS + 1000 * step * tick_s
            if engine.is_due(self.table, now_ms):
                self._take(engine.step(self.table, NOTHING, now_ms), step * tick_s)
            if step in by_second:
                batch = np.concatenate(by_second[step])
                self._take(engine.step(self.table, batch, int(batch["t3_ms"][-1])), step * tick_s)
        return self

    def _take(self, step, at_s):
        assert not step.broken
        self.said += [(at_s, one) for one in step.findings]
        self.commands += [(at_s, one) for one in step.commands if one.action is Action.SET_CADENCE]

    def of(self, code, *, measure=None):
        return [(at, one) for at, one in self.said if one.code == code and measure in {None, one.measure}]

    def spans(self, code, *, measure=None):
        """From when until when it was open; None: still."""
        spans = []
        for at_s, one in self.of(code, measure=measure):
            if one.change is Change.ENTRY:
                spans.append((hour(at_s), None))
            else:
                spans[-1] = (spans[-1][0], hour(at_s))
        return spans

    def codes(self):
        return {one.code for _, one in self.said}


def her(**more):
    return reports(P, 0, wander_m=WANDER_M, **more)


def him(place=30_000, **more):
    return reports(W, place, wander_m=WANDER_M, **more)
