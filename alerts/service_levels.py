"""Was every alert as quick as it had to be, stage by stage? DOMAIN section 2.

A *stage* is the time between two clock points of an alert: t1 the fix or the press, t3 at ingest, t5 decided, t6
raised, t7 handed to the channel, t8 taken by the téléassistance, t9 acknowledged, t10 handed to the police, t14
closed. t1 to t8 is what somebody who declares later cannot shorten (F11).

Pure; milliseconds. A percentile is one of the measured values.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tocsin.clock import MS

Bounds = tuple[tuple[float, int], ...]
"""(share of the alerts, milliseconds), in order; the share 1.0 is the hard bound."""

SHARES: Final = (0.5, 0.8, 0.985, 0.99, 0.999, 1.0)
"""What is reported of each stage; every share of a bound is one of these."""

STAGES: Final = ("t1_t3", "t3_t5", "t5_t6", "t6_t7", "t3_t8", "t1_t8", "t8_t9", "t9_t10", "t6_t14")


def _seconds(*bounds: tuple[float, float]) -> Bounds:
    return tuple((share, round(limit_s * MS)) for share, limit_s in bounds)


BOUNDS: Final[Mapping[tuple[int, str], Bounds]] = MappingProxyType(
    {
        (1, "t3_t8"): _seconds((0.5, 0.25), (0.99, 2), (0.999, 5), (1.0, 10)),
        (2, "t3_t8"): _seconds((0.5, 0.5), (0.99, 3), (0.999, 10), (1.0, 20)),
        (3, "t3_t8"): _seconds((0.5, 1), (0.99, 10), (0.999, 30), (1.0, 60)),
        (4, "t3_t8"): _seconds((0.99, 60)),
        (5, "t3_t8"): _seconds((0.99, 300)),
        (1, "t8_t9"): _seconds((0.8, 10), (0.985, 30), (1.0, 60)),
        (2, "t8_t9"): _seconds((0.985, 60)),
        (3, "t8_t9"): _seconds((1.0, 300)),
        (4, "t8_t9"): _seconds((1.0, 1800)),
        (1, "t9_t10"): _seconds((1.0, 30)),
    }
)
"""The requirements. A stage without a row here is reported and not judged."""

assert all(share in SHARES for bounds in BOUNDS.values() for share, _ in bounds)
assert all(stage in STAGES for _, stage in BOUNDS)


def broken(priority: int, stage: str, measured: Mapping[float, int]) -> list[tuple[float, int]]:
    """The bounds that these percentiles do not keep; empty also where nothing is asked."""
    return [(share, limit) for share, limit in BOUNDS.get((priority, stage), ()) if measured[share] > limit]
