"""Which alert answers which crossing, and how long did it take? Pure.

A crossing is answered by the first raising of its pair that begins with a fix of the same stay inside: from the
crossing's own fix to the next crossing. Delivered is what the téléassistance's receiver itself says it has taken
and what the courier had a 2xx for: neither is believed alone.

What is measured is chosen by the hour of the crossing, which the canary alone decides. By t3 it would be chosen by
the ingest that is being judged: a crossing that waits for it until the load is over would leave the sample.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from loadtests.budgets import Alerts
from loadtests.handover import Crossing
from simulator.raisings import Raising
from tocsin.clock import rfc3339
from tocsin.model.finding import Code


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """While the load was on: from its first unit to its end, milliseconds, both included."""

    started_ms: int
    ended_ms: int

    def has(self, at_ms: int) -> bool:
        return self.started_ms <= at_ms <= self.ended_ms


@dataclass(slots=True, kw_only=True)
class Answers:
    """``alerts`` for the verdict; t3 to t7 of the same alerts, for the report, where t7 is known."""

    alerts: Alerts
    t3_t7_ms: Sequence[float]


@dataclass(slots=True)
class _Stays:
    """The crossings of one wearer, each with its raising."""

    begins_ms: list[int] = field(default_factory=list)
    answers: dict[int, Raising] = field(default_factory=dict)

    def take(self, raising: Raising) -> bool:
        """False for a raising that no crossing explains, or that is the second one of its stay."""
        t1_ms = raising.points.t1_ms
        stay = -1 if t1_ms is None else bisect_right(self.begins_ms, t1_ms) - 1
        if stay < 0 or self.begins_ms[stay] in self.answers:
            return False
        self.answers[self.begins_ms[stay]] = raising
        return True


def answers(
    crossings: Iterable[Crossing],
    raisings: Iterable[Raising],
    *,
    wearers: Mapping[str, str],
    heard: AbstractSet[tuple[str, int]],
    doubled: Sequence[str],
    window: Window,
) -> Answers:
    """``wearers``: measure -> wearer, of the canary. ``heard``: (alert, version) that the receiver has taken."""
    stays: dict[str, _Stays] = {wearer: _Stays() for wearer in wearers.values()}
    for crossing in sorted(crossings):
        stays[crossing.wearer].begins_ms.append(crossing.fix_ms)
    unexpected = []
    for raising in raisings:
        if raising.code is not Code.PROX_ALERT:
            continue
        wearer = wearers.get(raising.subject)
        if wearer is None or not stays[wearer].take(raising):
            unexpected.append(f"{raising.code} {wearer or raising.subject}")
    given = [
        (wearer, begun, each.answers.get(begun)) for wearer, each in stays.items() for begun in each.begins_ms
    ]
    delivered = [
        (begun, raising) for _, begun, raising in given if raising is not None and _is_delivered(raising, heard)
    ]
    measured = [(begun, raising) for begun, raising in delivered if window.has(begun)]
    return Answers(
        alerts=Alerts(
            expected=len(given),
            delivered=len(delivered),
            t3_t8_ms=[_since(raising.points.t3_ms, raising.t8_ms) for _, raising in measured],
            t1_t8_ms=[_since(begun, raising.t8_ms) for begun, raising in measured],
            missing=[_missing(wearer, begun, raising) for wearer, begun, raising in given
                     if raising is None or not _is_delivered(raising, heard)],
            unexpected=unexpected,
            doubled=doubled,
        ),
        t3_t7_ms=[_since(raising.points.t3_ms, raising.t7_ms) for _, raising in measured
                  if raising.t7_ms is not None],
    )  # fmt: skip


def _is_delivered(raising: Raising, heard: AbstractSet[tuple[str, int]]) -> bool:
    return raising.t8_ms is not None and (raising.episode, raising.version) in heard


def _since(from_ms: int | None, at_ms: int | None) -> float:
    assert from_ms is not None, "ingest stamps every fix"
    assert at_ms is not None, "delivered"
    return float(at_ms - from_ms)


def _missing(wearer: str, begun_ms: int, raising: Raising | None) -> str:
    why = "not raised" if raising is None else "raised, not accepted"
    return f"{wearer} at {rfc3339(begun_ms)}: {why}"
