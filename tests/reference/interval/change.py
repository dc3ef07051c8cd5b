"""What can change between two people? The words in which ``interval`` speaks."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What began, or with ``_END`` ended. EVIDENTIAL is a moment and has no end."""

    PRE_ALERT = "pre_alert"
    PRE_ALERT_END = "pre_alert_end"
    ALERT = "alert"
    ALERT_LOW_CONFIDENCE = "alert_low_confidence"
    ALERT_END = "alert_end"
    UNCERTAIN = "uncertain"
    UNCERTAIN_END = "uncertain_end"
    DEGRADED = "degraded"
    DEGRADED_END = "degraded_end"
    IMMINENT = "imminent"
    IMMINENT_END = "imminent_end"
    EVIDENTIAL = "evidential"


class Change(NamedTuple):
    """``at_s`` on the clock of reception."""

    at_s: float
    kind: Kind
