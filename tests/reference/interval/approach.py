"""Will he be there soon (IMMINENT), and is the breach beyond doubt (EVIDENTIAL)?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

from reference.interval.apart import Apart, closing_m_s
from reference.interval.change import Kind
from reference.interval.device import Device
from reference.interval.settings import (
    CLOSING_MIN_M_S,
    EVIDENCE_AGE_S,
    EVIDENCE_FIXES,
    IMMINENT_END_S,
    IMMINENT_S,
)  # fmt: skip


@dataclass(slots=True)
class Approach:
    """``evidence``: evaluations running that say "inside" whatever is doubted."""

    alert_m: float
    is_imminent: bool = False
    evidence: int = 0

    def judge(self, a: Device, b: Device, seen: Apart, now_s: float, *, between_rings: bool) -> Iterator[Kind]:
        """``between_rings``: inside the pre-alert ring and no alert stands."""
        wanted = between_rings and self._left_s(a, b, seen, now_s) <= (
            IMMINENT_END_S if self.is_imminent else IMMINENT_S
        )
        if wanted != self.is_imminent:
            self.is_imminent = wanted
            yield Kind.IMMINENT if wanted else Kind.IMMINENT_END
        oldest_s = now_s - min(a.last.at_s, b.last.at_s)
        certain = seen.expected_m + seen.radii_m + seen.doubt_m <= self.alert_m
        self.evidence = self.evidence + 1 if seen.is_live and certain and oldest_s <= EVIDENCE_AGE_S else 0
        if self.evidence == EVIDENCE_FIXES:
            yield Kind.EVIDENTIAL

    def _left_s(self, a: Device, b: Device, seen: Apart, now_s: float) -> float:
        """Time to the alert distance at the present closing speed."""
        if not seen.is_live or seen.expected_m <= 0.0:
            return inf
        closing = closing_m_s(a, b, now_s, seen.expected_m)
        return (seen.expected_m - self.alert_m) / closing if closing > CLOSING_MIN_M_S else inf
