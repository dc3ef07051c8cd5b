"""What changes between two people when a fix comes, or when time passes without one?

    pair = Pair(alert_m=1000.0)
    changes = pair.on_fix(WEARER, received_s, fix, interval_s)  # in the order of reception
    changes = pair.on_tick(now_s)  # needed only when now_s >= pair.due_s

The order of operations: the clock's part if it is due; the plausibility of the fix; if it is believed, rings and
approach, if not, suspicion; then protection (UNCERTAIN, DEGRADED); then the second at which the clock must look
again. ECEF metres; seconds on one clock, ticks on its whole seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, inf
from typing import Final, NamedTuple

from reference.interval.apart import (
    apart,
    are_comparable,
    blind_not_before_s,
    doubt_m,
    expected_m,
    lower_bound,
    radii_m,
    shown_m,
)  # fmt: skip
from reference.interval.approach import Approach
from reference.interval.cadence import Cadence, protected_s
from reference.interval.change import Change, Kind
from reference.interval.device import Device, Seen, minus, moved
from reference.interval.ring import Ring
from reference.interval.settings import (
    BANDS,
    DEGRADED_AFTER_S,
    FORGET_S,
    HOLD_S,
    LATE_S,
    POOR_M,
    Z_CLOCK,
    Z_FIX,
)  # fmt: skip
from tocsin.geodesy import chord_m

WEARER: Final = 0
PROTECTED: Final = 1
PRE_ALERT_FACTOR: Final = 2.0


class Suspicion(NamedTuple):
    """A poor or implausible fix of ``role`` that is inside; ``alert_at_s`` inf: too weak to alert by itself."""

    role: int
    alert_at_s: float


@dataclass(slots=True)
class Protection:
    """Since when UNCERTAIN (None: not), and whether it has become DEGRADED."""

    uncertain_since_s: float | None = None
    is_degraded: bool = False

    def judge(self, *, unsure: bool, now_s: float) -> list[Change]:
        """Both end at once when nothing is unsure any more."""
        if unsure and self.uncertain_since_s is None:
            self.uncertain_since_s = now_s
            return [Change(now_s, Kind.UNCERTAIN)]
        if unsure:
            if self.is_degraded or now_s < self.degraded_at_s():
                return []
            self.is_degraded = True
            return [Change(now_s, Kind.DEGRADED)]
        ended = [Kind.DEGRADED_END] * self.is_degraded + [Kind.UNCERTAIN_END] * (
            self.uncertain_since_s is not None
        )
        self.uncertain_since_s, self.is_degraded = None, False
        return [Change(now_s, kind) for kind in ended]

    def degraded_at_s(self) -> float:
        """When the clock must look for DEGRADED; inf if that is not ahead."""
        if self.uncertain_since_s is None or self.is_degraded:
            return inf
        return self.uncertain_since_s + DEGRADED_AFTER_S


class Pair:
    """One wearer and one protected person under one alert distance."""

    def __init__(self, alert_m: float) -> None:
        first_interval_s = BANDS[0][1]
        self.devices = (Device(first_interval_s), Device(first_interval_s))  # by role
        self.alert = Ring(alert_m, Kind.ALERT, Kind.ALERT_END)
        self.pre_alert = Ring(PRE_ALERT_FACTOR * alert_m, Kind.PRE_ALERT, Kind.PRE_ALERT_END)
        self.approach = Approach(alert_m)
        self.protection = Protection()
        self.cadence = Cadence(alert_m)
        self.suspicion: Suspicion | None = None
        self.one_reading_inside = False  # as they stand or expected, and the rule for entering was not met by it
        self.alert_since_s = -inf
        self.due_s = inf
        self._said: list[Change] = []

    def on_fix(self, role: int, received_s: float, fix: Seen, interval_s: float) -> list[Change]:
        """``interval_s``: what the device was told last."""
        mine, partner = self.devices[role], self.devices[1 - role]
        is_told_anew, mine.interval_s = mine.interval_s != interval_s, interval_s
        if received_s >= self.due_s:
            self._clock(received_s)
        at_s = min(fix.at_s, received_s)
        is_news = received_s - at_s <= LATE_S and at_s > mine.last.at_s
        if is_news:  # else it is history, which raises nothing
            self._hear(role, mine, partner, fix._replace(at_s=at_s), received_s)
        if is_news or is_told_anew:  # another interval, another hour of being overdue
            self._protect(received_s)
        self._schedule(received_s)
        return self._changes()

    def on_tick(self, now_s: float) -> list[Change]:
        return self.look(now_s) if now_s >= self.due_s else []

    def look(self, now_s: float) -> list[Change]:
        """The clock's part, whether it is due or not: earlier than ``due_s`` it finds nothing."""
        self._clock(now_s)
        self._protect(now_s)
        self._schedule(now_s)
        return self._changes()

    def _changes(self) -> list[Change]:
        said, self._said = self._said, []
        return said

    def _say(self, now_s: float, kind: Kind) -> None:
        self._said.append(Change(now_s, kind))

    # --- a fix

    def _hear(self, role: int, mine: Device, partner: Device, fix: Seen, now_s: float) -> None:
        if fix.accuracy_m > POOR_M or not mine.accept(fix):
            if partner.is_known and not self.alert.is_inside:
                self._suspect(role, mine, partner, fix, now_s)
            return
        if self.suspicion is not None and self.suspicion.role == role:
            self.suspicion = None
        if partner.is_known:
            self._judge(mine, partner, now_s)

    def _judge(self, mine: Device, partner: Device, now_s: float) -> None:
        seen = apart(mine, partner, now_s)
        self.one_reading_inside = min(seen.as_they_stand_m, seen.expected_m) <= self.alert.radius_m
        for ring in (self.pre_alert, self.alert):
            if shown_m(mine, partner, now_s, seen, ring.radius_m) <= ring.radius_m:
                self._enter(ring, ring.entered, now_s)
            elif ring.is_inside and ring.evaluate(seen.expected_m, seen.radii_m, now_s):
                self._say(now_s, ring.left)
        if self.alert.is_inside and not self.pre_alert.is_inside:
            self.pre_alert.enter()
        between_rings = self.pre_alert.is_inside and not self.alert.is_inside
        for kind in self.approach.judge(mine, partner, seen, now_s, between_rings=between_rings):
            self._say(now_s, kind)

    def _enter(self, ring: Ring, kind: Kind, now_s: float) -> None:
        if ring.enter():
            self._say(now_s, kind)
            if ring is self.alert:
                self.alert_since_s, self.suspicion = now_s, None

    def _suspect(self, role: int, mine: Device, partner: Device, fix: Seen, now_s: float) -> None:
        """A fix that is not believed and shows him inside: UNCERTAIN at once; and, unless a good fix of the same
        device comes first, a low-confidence alert after the hold. A jump counts as it stands, a poor fix only as
        far as it outweighs what was known before."""
        seen_from_m = partner.last.place_m
        if fix.at_s >= partner.last.at_s or partner.is_observed_around(fix.at_s):
            seen_from_m = partner.place_at(fix.at_s)
        if chord_m(fix.place_m, seen_from_m) > self.alert.radius_m:
            return
        alert_at_s = inf
        weighed_m = chord_m(_weighed(mine, fix).place_m, seen_from_m)
        if abs(fix.at_s - partner.last.at_s) <= FORGET_S and weighed_m <= self.alert.radius_m:
            alert_at_s = now_s + min(HOLD_S, mine.interval_s)
        if self.suspicion is not None and self.suspicion.role == role:
            alert_at_s = min(alert_at_s, self.suspicion.alert_at_s)
        self.suspicion = Suspicion(role, alert_at_s)

    # --- time alone

    def _clock(self, now_s: float) -> None:
        for ring in (self.alert, self.pre_alert):
            is_held = ring is self.pre_alert and self.alert.is_inside
            if (out_at_s := ring.out_at_s()) <= now_s and not is_held:
                ring.leave()
                self._say(out_at_s, ring.left)
        if not self.alert.is_inside and self.suspicion is not None and self.suspicion.alert_at_s <= now_s:
            self._raise(Kind.ALERT_LOW_CONFIDENCE, now_s)
        a, b = self.devices
        if not self.alert.is_inside and _are_reporting(a, b, now_s) and are_comparable(a, b):
            self._carry_in(expected_m(a, b, now_s) + Z_CLOCK * doubt_m(a, b, now_s), now_s)

    def _carry_in(self, distance_m: float, now_s: float) -> None:
        """Both are where they are expected, doubt held against it, and no fix has said so yet."""
        if not self.pre_alert.is_inside and distance_m <= self.pre_alert.radius_m:
            self._enter(self.pre_alert, self.pre_alert.entered, now_s)
        if distance_m <= self.alert.radius_m:
            self._raise(Kind.ALERT, now_s)

    def _raise(self, kind: Kind, now_s: float) -> None:
        self._enter(self.alert, kind, now_s)
        self.pre_alert.enter()  # with the alert, and nothing more to say

    def _protect(self, now_s: float) -> None:
        a, b = self.devices
        if not (a.is_known and b.is_known):
            return
        unsure = not self.alert.is_inside and (
            self.suspicion is not None or self.one_reading_inside or self._is_blind(now_s)
        )
        self._said += self.protection.judge(unsure=unsure, now_s=now_s)

    def _is_blind(self, now_s: float) -> bool:
        bound = lower_bound(*self.devices, now_s)
        return bound.anyone_overdue and bound.lower_m <= self.alert.radius_m

    # --- when to look again

    def _schedule(self, now_s: float) -> None:
        """The first whole second at which time alone could change anything: a bound from below."""
        at_s = min(self.alert.out_at_s(), self.pre_alert.out_at_s())
        if not self.alert.is_inside:
            if self.suspicion is not None:
                at_s = min(at_s, self.suspicion.alert_at_s)
            if self.devices[0].is_known and self.devices[1].is_known:
                at_s = min(at_s, self._carried_in_not_before_s(now_s), self._unsure_not_before_s(now_s))
        self.due_s = inf if at_s == inf else max(-floor(-at_s), floor(now_s) + 1.0)

    def _unsure_not_before_s(self, now_s: float) -> float:
        if self.protection.uncertain_since_s is not None:
            return self.protection.degraded_at_s()
        return blind_not_before_s(*self.devices, now_s, self.alert.radius_m)

    def _carried_in_not_before_s(self, now_s: float) -> float:
        """Both straight at each other, at speeds that can only fade; at once if expected inside already."""
        a, b = self.devices
        if not _are_reporting(a, b, now_s):
            return inf
        speed_m_s = a.speed_m_s + b.speed_m_s
        ring = self.alert if self.pre_alert.is_inside else self.pre_alert
        left_m = max(0.0, expected_m(a, b, now_s) - ring.radius_m)
        if left_m > 0.0 and speed_m_s == 0.0:
            return inf
        at_s = now_s + (left_m / speed_m_s if left_m > 0.0 else 0.0)
        return at_s if _are_reporting(a, b, at_s) else inf

    # --- cadence

    def tell(self, now_s: float) -> tuple[int, int]:
        """The interval that the wearer's and the protected person's unit are told."""
        a, b = self.devices
        interval_s = self.cadence.interval_s
        if a.is_known and b.is_known:
            nearest_m = expected_m(a, b, now_s) - radii_m(a, b) - Z_FIX * doubt_m(a, b, now_s)
            interval_s = self.cadence.tell(
                now_s, nearest_m, pre_alert=self.pre_alert.is_inside,
                alert_since_s=self.alert_since_s if self.alert.is_inside else None,
            )  # fmt: skip
        at_rest = self.devices[PROTECTED].speed_m_s == 0.0
        return interval_s, protected_s(
            interval_s, imminent=self.approach.is_imminent, alert=self.alert.is_inside, at_rest=at_rest
        )


def _are_reporting(a: Device, b: Device, now_s: float) -> bool:
    return a.is_known and b.is_known and now_s < min(a.overdue_s(), b.overdue_s())


def _weighed(mine: Device, fix: Seen) -> Seen:
    """A poor fix drawn towards where he was expected, each by its variance; a jump, or one after a long silence,
    as it is."""
    if fix.accuracy_m <= POOR_M or fix.at_s - mine.last.at_s > FORGET_S:
        return fix
    expected = mine.place_at(fix.at_s)
    known_m2 = mine.unobserved_m2(fix.at_s) + mine.last.accuracy_m**2
    share = known_m2 / (known_m2 + fix.accuracy_m**2)
    return fix._replace(place_m=moved(expected, minus(fix.place_m, expected), share))
