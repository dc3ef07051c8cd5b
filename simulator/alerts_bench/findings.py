"""What is published on the road under measure? Findings of measures that exist nowhere else, each its own alert.

One in five is P1 (somebody at the alert distance); the others are P2 and P3, so that there is something that an
urgent one could wait behind.
"""

from __future__ import annotations

from dataclasses import dataclass

from alerts.catalogue import CATALOGUE
from tocsin.model.finding import Change, Code, Finding
from tocsin.model.fix import ClockPoints, FixPoint
from tocsin.model.ids import derived
from tocsin.model.zone import Zone

CODES = (Code.PROX_ALERT, Code.PROX_PREALERT, Code.W_COMMS_LOSS, Code.IMMINENT, Code.W_GNSS_LOSS)
URGENT = 1
LAT_E6, LON_E6 = 43_296_500, 5_369_800
NORTH_E6 = 8_000  # he is 890 m north of her
ALERT_DISTANCE_M = 1_000
FIX_AGE_MS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One alert that is to come: its place, and how urgent it is."""

    code: Code
    measure: str

    @property
    def key(self) -> tuple[str, str]:
        return (self.code.value, self.measure)

    @property
    def is_urgent(self) -> bool:
        return CATALOGUE[self.code].priority == URGENT


def wanted(seed: int, phase: str, index: int) -> Wanted:
    """The alert of this number. Another phase, another seed: other measures."""
    return Wanted(code=CODES[index % len(CODES)], measure=derived("msr", "bench", seed, phase, index))


def finding(one: Wanted, at_ms: int) -> Finding:
    """What the geofence would have said of it."""
    name = derived("fnd", one.measure, one.code.value)
    fix_ms = at_ms - FIX_AGE_MS
    is_alert = one.code is Code.PROX_ALERT
    return Finding(
        id=name,
        measure=one.measure,
        order_version=1,
        code=one.code,
        change=Change.ENTRY,
        before=Zone.PREALERT if is_alert else Zone.FAR,
        after=Zone.ALERT if is_alert else Zone.PREALERT,
        distance_dm=8_900,
        threshold_m=ALERT_DISTANCE_M,
        wearer=FixPoint(
            device=f"w-{one.measure[-12:]}", lat_e6=LAT_E6 + NORTH_E6, lon_e6=LON_E6, accuracy_dm=80, fix_ms=fix_ms
        ),
        protected=FixPoint(
            device=f"p-{one.measure[-12:]}", lat_e6=LAT_E6, lon_e6=LON_E6, accuracy_dm=80, fix_ms=fix_ms
        ),
        entry=name,
        entry_ms=at_ms,
        at_ms=at_ms,
        reason="inside",
        points=ClockPoints(t1_ms=fix_ms, t3_ms=at_ms, t5_ms=at_ms),
    )
