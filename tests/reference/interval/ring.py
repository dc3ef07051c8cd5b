"""Is the wearer inside one ring, and has he left it?

In at once; out on EXIT_FIXES evaluations running beyond the margin, or EXIT_S after the first of them. One
evaluation that is not beyond it takes the evidence back. Metres, seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from reference.interval.change import Kind
from reference.interval.settings import EXIT_FIXES, EXIT_MARGIN_M, EXIT_S


@dataclass(slots=True)
class Ring:
    """``outside_since_s``: the first of the ``outside`` evaluations that say he has left; inf without one."""

    radius_m: float
    entered: Kind
    left: Kind
    is_inside: bool = False
    outside: int = 0
    outside_since_s: float = inf

    def enter(self) -> bool:
        """Whether he was not inside before."""
        was_inside, self.is_inside = self.is_inside, True
        self._take_back()
        return not was_inside

    def leave(self) -> None:
        self.is_inside = False
        self._take_back()

    def evaluate(self, distance_m: float, radii_m: float, now_s: float) -> bool:
        """Whether this evaluation, of somebody inside, lets him out."""
        if distance_m < self.radius_m + max(EXIT_MARGIN_M, radii_m):
            self._take_back()
            return False
        if self.outside == 0:
            self.outside_since_s = now_s
        self.outside += 1
        if self.outside < EXIT_FIXES:
            return False
        self.leave()
        return True

    def out_at_s(self) -> float:
        """When the clock alone lets him out; inf without evidence."""
        return self.outside_since_s + EXIT_S

    def _take_back(self) -> None:
        self.outside, self.outside_since_s = 0, inf
