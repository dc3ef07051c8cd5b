"""What did a detector say of one session?

Kept while it speaks, one log a distance, in seconds on the clock of reception.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from simulator.evaluation.scoring import Spoken
from simulator.evaluation.traces import Floats
from tocsin.clock import MS

Logs = dict[int, "Log"]

AFTERWARDS_S: Final = 600  # for so long after the last message a detector still hears the clock


@dataclass(slots=True)
class Log:
    """What one detector says of one distance, as it says it: when something began and ended."""

    alerts_s: list[float] = field(default_factory=list)
    alert_ends_s: list[float] = field(default_factory=list)
    doubts_s: list[float] = field(default_factory=list)
    doubt_ends_s: list[float] = field(default_factory=list)
    degraded_s: list[float] = field(default_factory=list)
    degraded_ends_s: list[float] = field(default_factory=list)
    wearer_shares_pct: list[int | None] = field(default_factory=list)
    probings: int = 0

    def spoken(self, end_s: float) -> Spoken:
        """What is still open ends at ``end_s``."""
        return Spoken(
            alerts_s=np.array(self.alerts_s, float),
            standing_s=_spans(self.alerts_s, self.alert_ends_s, end_s),
            doubt_s=_spans(self.doubts_s, self.doubt_ends_s, end_s),
            degraded_s=_spans(self.degraded_s, self.degraded_ends_s, end_s),
            wearer_shares_pct=tuple(self.wearer_shares_pct),
            probings=self.probings,
        )


def _spans(starts_s: list[float], ends_s: list[float], end_s: float) -> Floats:
    ends_s = ends_s + [end_s] * (len(starts_s) - len(ends_s))
    return np.array([starts_s, ends_s], float).T.reshape(-1, 2)


def spoken(logs: Logs, until_ms: int) -> dict[int, Spoken]:
    """Of each distance; ``until_ms``: so long the detector was listening."""
    return {distance: log.spoken(until_ms / MS) for distance, log in logs.items()}
