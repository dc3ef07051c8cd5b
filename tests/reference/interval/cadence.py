"""How often are the two devices told to report?

By the lower bound of the distance, in bands; shorter at once, longer one band at a time and only after a while.
The bound holds nothing against a party for being silent: asking a silent unit more often does not make it speak.
What the wearer's unit is told depends on the band and the age of the state alone, so that nobody can read from his
own bracelet where she is; only the protected person's unit may be told otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

from reference.interval.settings import (
    ALERT_INTERVAL_S,
    BANDS,
    IMMINENT_INTERVAL_S,
    NEAR_INTERVAL_S,
    RELAX_FACTOR,
    RELAX_S,
    SETTLED_S,
)  # fmt: skip


@dataclass(slots=True)
class Cadence:
    """``interval_s`` is what both were told last; ``relax_from_s`` since when a longer one would do."""

    alert_m: float
    interval_s: int = BANDS[0][1]
    relax_from_s: float | None = None

    def tell(self, now_s: float, nearest_m: float, *, pre_alert: bool, alert_since_s: float | None) -> int:
        """The interval that both are told. ``alert_since_s`` None: no alert stands."""
        state_s = _of_state_s(now_s, pre_alert=pre_alert, alert_since_s=alert_since_s)
        if (wanted_s := self._or_band_s(state_s, nearest_m, 1.0)) < self.interval_s:
            self.interval_s, self.relax_from_s = wanted_s, None
        elif self._or_band_s(state_s, nearest_m, RELAX_FACTOR) <= self.interval_s:
            self.relax_from_s = None
        elif self.relax_from_s is None:
            self.relax_from_s = now_s
        elif now_s - self.relax_from_s >= RELAX_S:
            self.interval_s, self.relax_from_s = _next_longer_s(self.interval_s), None
        return self.interval_s

    def _or_band_s(self, state_s: int | None, nearest_m: float, factor: float) -> int:
        """What the state asks for, and without one the band; a band is never nearer than the pre-alert ring."""
        if state_s is not None:
            return state_s
        for distances, interval_s in BANDS:
            if nearest_m > distances * self.alert_m * factor:
                return interval_s
        return NEAR_INTERVAL_S


def _of_state_s(now_s: float, *, pre_alert: bool, alert_since_s: float | None) -> int | None:
    if alert_since_s is not None:
        return ALERT_INTERVAL_S if now_s - alert_since_s < SETTLED_S else NEAR_INTERVAL_S
    return NEAR_INTERVAL_S if pre_alert else None


def _next_longer_s(interval_s: int) -> int:
    steps_s = [ALERT_INTERVAL_S, NEAR_INTERVAL_S, *(band_s for _, band_s in reversed(BANDS))]
    return steps_s[steps_s.index(interval_s) + 1]


def protected_s(interval_s: int, *, imminent: bool, alert: bool, at_rest: bool) -> int:
    """What the protected person's unit is told instead: more while he approaches, less at rest in an alert."""
    if imminent:
        return min(interval_s, IMMINENT_INTERVAL_S)
    return 2 * interval_s if alert and at_rest else interval_s
