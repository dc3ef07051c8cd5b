"""Does the clerk still look? It misses every other part (``alerts.pulses``), and nobody else misses it.

    the pulse of the clerk changes within CLERK_SILENT_S

What stands there is perhaps of a life long ago: only a change is a sign of life, and what is in it is not read, so
that another version's lives too. Said once and again each hour, and lasting until the next change. Pure; hours are
those of ``audit.attention``, in which the log was there: nobody can show a pulse without it.
"""

from __future__ import annotations

from typing import Final

from audit.law import Difference
from tocsin.clock import MS
from tocsin.model.pulse import CLERK_SILENT_S

NAME: Final = "clerk"
AGAIN_MS: Final = 3_600 * MS


class Clerk:
    """``rate``: its looks are by Tocsin's clock, our hours by the machine's."""

    def __init__(self, rate: float = 1.0) -> None:
        self._silent_ms = int(CLERK_SILENT_S * MS / min(1.0, rate))
        self._pulse: bytes | None = None
        self._since_ms: int | None = None
        self._said_ms: int | None = None
        self._is_heard = False

    @property
    def name(self) -> str:
        return NAME

    @property
    def lasts(self) -> bool:
        """Whether what was said of it goes on: it has not been heard since, by this life or one before."""
        return not self._is_heard

    def shows(self, pulse: bytes | None, now_ms: int) -> None:
        """What stands there at this look."""
        if self._since_ms is None:
            self._since_ms, self._pulse = now_ms, pulse
        elif pulse != self._pulse:
            self._since_ms, self._pulse = now_ms, pulse
            self._said_ms, self._is_heard = None, True

    def differences(self, now_ms: int) -> list[Difference]:
        if self._since_ms is None or now_ms - self._since_ms < self._silent_ms:
            return []
        if self._said_ms is not None and now_ms - self._said_ms < AGAIN_MS:
            return []
        self._said_ms, self._is_heard = now_ms, False
        silent_s = (now_ms - self._since_ms) // MS
        detail = f"The clerk has not looked for {silent_s} s: nobody is told of a part that stands still."
        return [Difference(law=NAME, about=NAME, since_ms=self._since_ms, detail=detail)]
