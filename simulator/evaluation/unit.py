"""When does a device report that does as it is told? Milliseconds.

Time is cut into slots of one interval. A device reports the first fix that its receiver has in a slot, and in a
slot without one it is silent: so the fixed streams of a trace set were drawn, and so this draws them again, fix by
fix (``tests/acceptance/test_real_drawing.py``). A command that arrives counts for the next report: a shorter
interval begins its slot at once if it has passed already since the last slot began, a longer one waits for the
report that the device has set itself already.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf


@dataclass(slots=True)
class Unit:
    """``fixes_ms``: the hours of its receiver's fixes, ascending. ``wake_ms``: when the next slot begins; at first
    the phase of the device. No slot begins at ``end_ms`` or later."""

    fixes_ms: Sequence[int]
    wake_ms: int
    end_ms: int
    interval_ms: int
    sends_at_ms: float = field(init=False)
    """The hour of the fix that it reports next if it is told nothing before; inf: none any more."""
    _slot_ms: int = field(init=False)  # when the slot of the last report began
    _next: int = field(init=False, default=0)  # the first fix not reported and not passed over
    _chosen: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._slot_ms = self.wake_ms - self.interval_ms
        self._choose()

    def send(self) -> int:
        """Report: the place of the fix among ``fixes_ms``. To be called at ``sends_at_ms``."""
        self._slot_ms = self._slot_of(self.fixes_ms[self._chosen])
        self.wake_ms = self._slot_ms + self.interval_ms
        self._next = self._chosen + 1
        self._choose()
        return self._next - 1

    def obey(self, interval_ms: int, now_ms: int) -> None:
        self.interval_ms = interval_ms
        self._wake(max(now_ms, self._slot_ms + interval_ms))

    def report_now(self, now_ms: int) -> None:
        """One fix more, as soon as there is one; the slots are counted from it."""
        self._wake(now_ms)

    def _wake(self, at_ms: int) -> None:
        self.wake_ms = min(self.wake_ms, at_ms)
        self._choose()

    def _slot_of(self, fix_ms: int) -> int:
        """When the slot began that holds this fix, counted from ``wake_ms``."""
        return self.wake_ms + (fix_ms - self.wake_ms) // self.interval_ms * self.interval_ms

    def _choose(self) -> None:
        self._chosen = bisect_left(self.fixes_ms, self.wake_ms, lo=self._next)
        if self._chosen < len(self.fixes_ms) and self._slot_of(self.fixes_ms[self._chosen]) < self.end_ms:
            self.sends_at_ms = self.fixes_ms[self._chosen]
        else:
            self.sends_at_ms = inf
