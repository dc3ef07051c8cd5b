"""What time is it? The one affine clock of every process (ARCHITECTURE, A14).

``now = epoch + (wall - anchor) * rate``. In production the epoch is the anchor and the rate is 1, so it is
plain UTC. A replay sets the other values, for every process at once, so that dates, ages and speeds are those
of the recording; settings allow that in realm ``lab`` or ``exercise`` only. Times are integers, milliseconds
since 1970-01-01 UTC.

This module is the only one in the product that may read the system clock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

MS = 1000


class Clock(Protocol):
    """Where a shell reads the hour that it hands to the pure core."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch, on this deployment's time."""

    def wall_ms(self) -> int:
        """Milliseconds since the epoch, on the machine's time: for transports only."""

    async def sleep(self, seconds: float) -> None:
        """Wait this many seconds of this deployment's time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AffineClock:
    """UTC, or UTC moved and stretched.

    ``rate`` is seconds of this clock per second of wall time, above 0.
    """

    epoch_ms: int = 0
    anchor_ms: int = 0
    rate: float = 1.0
    wall: Callable[[], float] = field(default=time.time)
    steady: Callable[[], float] = field(default=time.monotonic)

    def wall_ms(self) -> int:
        return int(self.wall() * MS)

    def now_ms(self) -> int:
        return self.epoch_ms + int((self.wall() * MS - self.anchor_ms) * self.rate)

    def passed_ms(self) -> int:
        """Milliseconds of this deployment's time since some moment of this process, whoever sets the machine's
        clock meanwhile."""
        return int(self.steady() * MS * self.rate)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds) / self.rate)


def rfc3339(ms: int) -> str:
    """``1795219200123`` -> ``2026-11-21T00:00:00.123Z``."""
    moment = datetime.fromtimestamp(ms / MS, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % MS:03d}Z"


def from_rfc3339(text: str) -> int:
    """The inverse of ``rfc3339``; raises ValueError for a time without a zone."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time needs its zone: write 2026-11-21T20:15:00Z")
    return round(moment.timestamp() * MS)


def utc(ms: int) -> datetime:
    """The same moment as an aware datetime, for the database."""
    return datetime.fromtimestamp(ms / MS, UTC)
