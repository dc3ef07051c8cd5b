"""What does the production engine cost with every rule armed, on a fleet that lives? Are its findings right?

``geofence.engine.step`` is driven as the worker drives it: fixes as the bus carries them, a tick once a whole
second has passed (its cost counts), its commands obeyed by the units. A batch is at most what the fleet says in
SPAN_MAX_S: larger ones would keep the commands and the ticks of minutes waiting, and have no row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any, Final

import numpy as np

from geofence import engine, in_order
from geofence.ordinary import Take
from geofence.pair_table import PairTable, Roster, roster_of
from simulator.geofence_bench import places, rules
from simulator.geofence_bench.cost import Asked, Cost, Watch, clocked, collector_off
from simulator.geofence_bench.life import START_MS, Fleet
from simulator.geofence_bench.reference import Ints
from tocsin.clock import MS
from tocsin.model.finding import Finding
from tocsin.model.fix import FIX_DTYPE, Fixes

NO_FIXES: Final = np.empty(0, FIX_DTYPE)
SPAN_MAX_S: Final = 5
SAMPLE: Final = 300  # measures whose findings are compared ...
CHANGED: Final = 200  # ... of which so many, if there are, had a finding
SWEEP_AFTER_S: Final = 100  # 1.5 intervals of 60 s and 5 s are over: everybody is overdue

Say = Callable[[str], None]


@contextmanager
def taken_by(loop: Take | None) -> Iterator[None]:
    before, in_order.loop = in_order.loop, loop
    try:
        yield
    finally:
        in_order.loop = before


class EveryRule:
    """One fleet and its engine. ``armed``: every measure has the three places of ``places``; ``loop``: the machine
    code that takes what is ordinary, None for numpy."""

    def __init__(self, asked: Asked, pairs: int, *, armed: bool = False, loop: Take | None = None) -> None:
        self._asked, self._rng = asked, np.random.default_rng([asked.seed, pairs, 1])
        self.pairs, self.fleet = pairs, Fleet(pairs, self._rng)
        self._orders, self._devices = self.fleet.orders(), self.fleet.devices()
        self.name = "tocsin" + "-zones" * armed + "-compiled" * (loop is not None)
        self._loop = loop
        if armed:
            chance = np.random.default_rng([asked.seed, pairs, 2])  # its own: both fleets live the same life
            self._orders = places.armed(self._orders, *self.fleet.homes(), chance)
        roster = roster_of(self._orders, self._devices, partition=0, partitions=1)
        self.table, _ = engine.revise(PairTable(Roster()), roster, START_MS)
        self.findings: list[Finding] = []
        self.broken: list[str] = []
        self.commands = 0
        self._ticked_ms = START_MS
        self._heard: list[Fixes] = []
        self._told_s: list[Ints] = []
        self._waiting = NO_FIXES
        self.tick_ns: list[int] = []
        self.costs: dict[int, Cost] = {}
        self.fixes_per_s = 0.0

    def measure(self, say: Say) -> None:
        with taken_by(self._loop):
            self._measure(say)

    def _measure(self, say: Say) -> None:
        say(f"{self.pairs} pairs, {self.name}: {self._asked.warm_s} s of their life beforehand")
        for _ in range(self._asked.warm_s):
            self._wait_for(1)
            self._work_off(self._waiting.size)
        self.fixes_per_s = sum(map(len, self._heard)) / self._asked.warm_s
        self.tick_ns.clear()
        slices = {one: n for one, n in self._asked.updates.items() if one <= SPAN_MAX_S * self.fixes_per_s}
        for batch in self._asked.updates.keys() - slices.keys():
            say(f"{self.pairs} pairs, {self.name}: no row for {batch}: more than {SPAN_MAX_S} s of fixes")
        with collector_off():
            for _ in range(self._asked.passes):
                for batch, updates in slices.items():
                    self._slice(batch, updates)
        say(f"{self.pairs} pairs, {self.name}: {len(self.findings)} findings, {self.commands} commands")

    def _slice(self, batch: int, updates: int) -> None:
        spent_ns = heard = 0
        while heard < updates:
            self._wait_for(batch)
            spent, size = self._work_off(batch)
            spent_ns, heard = spent_ns + spent, heard + size
        self.costs.setdefault(batch, Cost()).add(spent_ns, heard)

    # --- time passes

    def _wait_for(self, fixes: int) -> None:
        """Life goes on, at least for a second, until so many fixes are there."""
        while True:
            said, told_s = self.fleet.second()
            self._heard.append(said)
            self._told_s.append(told_s)
            self._waiting = np.concatenate((self._waiting, said))
            if self._waiting.size >= fixes:
                return

    def _work_off(self, batch: int) -> tuple[int, int]:
        """(nanoseconds, fixes): all whole batches that are waiting, and the ticks that fall between them."""
        inputs, watch, tick, steps = list(self._inputs(batch)), Watch(), Watch(), []
        for now_ms, fixes in inputs:
            with clocked(watch if fixes.size else tick):
                steps.append(engine.step(self.table, fixes, now_ms))
        self.tick_ns += [tick.ns] * (tick.ns > 0)
        for step in steps:
            self.findings += step.findings
            self.broken += step.broken
            self.commands += len(step.commands)
            self.fleet.obey(step.commands)
        return watch.ns + tick.ns, sum(fixes.size for _, fixes in inputs)

    def _inputs(self, batch: int) -> Iterator[tuple[int, Fixes]]:
        whole = self._waiting.size // batch * batch if batch else 0
        for at in range(0, whole, batch):
            fixes = self._waiting[at : at + batch]
            second_ms = int(fixes["t3_ms"][0]) // MS * MS
            if second_ms > self._ticked_ms:
                self._ticked_ms = second_ms
                yield second_ms, NO_FIXES
            yield int(fixes["t3_ms"][-1]) + 5, fixes
        self._waiting = self._waiting[whole:]

    # --- what is reported

    def rows(self) -> list[dict[str, Any]]:
        share = self._events_match()
        return [cost.row(self.name, self.pairs, batch, share) for batch, cost in self.costs.items()]

    def _events_match(self) -> float | None:
        """The share of the changes in a sample of the measures that the reference of the rules finds too."""
        sample = self._sample()
        numbers = {name: device.number for name, device in self._devices.items()}
        wanted = rules.expected(
            [order for order in self._orders if order.id in sample],
            numbers, np.concatenate(self._heard)[: self._judged()], np.concatenate(self._told_s)[: self._judged()],
        )  # fmt: skip
        return rules.match(rules.sequences(self.findings, sample), wanted)

    def _judged(self) -> int:
        return sum(map(len, self._heard)) - self._waiting.size

    def _sample(self) -> frozenset[str]:
        changed = sorted({finding.measure for finding in self.findings})
        rest = sorted({order.id for order in self._orders} - set(changed))
        chosen = self._rng.permutation(changed)[:CHANGED].tolist()
        return frozenset(chosen + self._rng.permutation(rest)[: SAMPLE - len(chosen)].tolist())

    def tick_ms(self) -> float:
        """An ordinary tick."""
        return median(self.tick_ns) / 1e6 if self.tick_ns else 0.0

    def sweep_ms(self) -> float:
        """One tick by which everybody is overdue; nothing can be measured after it."""
        with clocked(watch := Watch()):
            engine.step(self.table, NO_FIXES, START_MS + MS * (self.fleet.now_s + SWEEP_AFTER_S))
        return watch.ns / 1e6

    def seen(self) -> dict[str, Any]:
        """What the fleet was like."""
        apart = self.fleet.apart_m() / self.fleet.alert_m
        return {
            "devices": len(self._devices),
            "fixes": self._judged(),
            "fixes_per_s": round(self.fixes_per_s, 1),
            "lived_s": self.fleet.now_s,
            "in_prealert": round(float(((apart > 1) & (apart <= 2)).mean()), 5),
            "in_alert": round(float((apart <= 1).mean()), 5),
            "silent": round(self.fleet.silent(), 5),
            "findings": len(self.findings),
            "commands": self.commands,
            "broken": len(self.broken),
        }
