"""What could one walk over things to be erased not do, and does it help to try again?

Passed over, counted, told once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import structlog

from tocsin import telemetry
from tocsin.errors import RecordUnavailable, TocsinError

AWAY_MAX: Final = 3
"""Candidates in a row that the record does not answer to: it is away. One alone may be a file that takes long."""

logger = structlog.get_logger(__name__)


@dataclass(slots=True)
class PassedOver:
    """``away``: how often in a row the record did not answer."""

    chore: str
    amount: int = 0
    first: tuple[str, str] = ("", "")
    again: TocsinError | None = None
    away: int = 0

    def add(self, chain: str, error: TocsinError) -> None:
        """Raises the error when the record is away."""
        telemetry.CUSTODY.labels(chore=self.chore, outcome="passed_over").inc()
        self.amount += 1
        self.first = self.first if self.amount > 1 else (chain, str(error))
        self.again = error if error.retry else self.again
        self.away = self.away + 1 if isinstance(error, RecordUnavailable) else 0
        if self.away >= AWAY_MAX:
            raise error

    def tell(self) -> None:
        """Once for all of them; raises one that may pass."""
        if self.amount:
            chain, reason = self.first
            logger.error("passed over", chore=self.chore, amount=self.amount, first=chain, reason=reason)
        if self.again is not None:
            raise self.again
