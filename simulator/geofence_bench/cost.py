"""How is processor time taken? In slices, the garbage collector off, and kept as one value a pass.

Time of this process, not of the wall: two runs on a busy machine stay comparable, as far as its caches are.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from time import process_time_ns
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be measured. ``updates``: how many at each batch size, in each pass; ``warm_s``: so long the
    fleet of the second work lives before its engine is measured. ``zones``: that work once more, with three places
    in every measure."""

    pairs: Sequence[int]
    seed: int = 7
    passes: int = 5
    warm_s: int = 240
    zones: bool = False
    updates: Mapping[int, int] = field(
        default_factory=lambda: {1: 2_000, 10: 5_000, 100: 20_000, 1_000: 60_000, 10_000: 100_000}
    )


def quick(pairs: Sequence[int], seed: int, *, zones: bool = False) -> Asked:
    """For tests, and for a first look."""
    updates = {1: 200, 10: 500, 100: 1_000, 1_000: 4_000}
    return Asked(pairs=pairs, seed=seed, passes=2, warm_s=130, updates=updates, zones=zones)


@dataclass(slots=True)
class Cost:
    """What one engine used at one batch size: microseconds an update, a value a pass."""

    us: list[float] = field(default_factory=list)

    def add(self, nanoseconds: int, updates: int) -> None:
        self.us.append(nanoseconds / 1000 / updates)

    def row(self, engine: str, pairs: int, batch: int, events_match: float | None) -> dict[str, Any]:
        return {
            "engine": engine,
            "pairs": pairs,
            "batch": batch,
            "cpu_us_per_update": round(median(self.us), 4),
            "cpu_us_per_update_min": round(min(self.us), 4),
            "events_match": events_match if events_match is None else round(events_match, 5),
        }


@dataclass(slots=True)
class Watch:
    ns: int = 0


@contextmanager
def collector_off() -> Iterator[None]:
    """What is there now is never looked at again; nothing is collected meanwhile."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


@contextmanager
def clocked(watch: Watch) -> Iterator[None]:
    began = process_time_ns()
    yield
    watch.ns += process_time_ns() - began
