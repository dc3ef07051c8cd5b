"""Was this run within the budget of a P1, and if not, in which clause?

The budget is a requirement on the time from t3 (ingest had the fix in hand) to t8 (the téléassistance answered
2xx): docs/domain.md, section 2. A fix that waits at the broker for an ingest that stands still has no t3 yet, so
the hard limit is asked from t1 as well, the hour of the fix by the canary's own clock. A run can only be in budget
if it was a run: all units connected, the load that was asked for was offered, nothing was lost on the way.

Pure. Latencies are milliseconds, limits seconds. A percentile is the nearest rank, so it is always a latency that
was measured; with fewer samples than it takes for one of them to lie beyond it, it is not given at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import Final

OFFERED_SHARE_MIN: Final = 0.9
"""Below this share of the fixes that the shape asks for, the run measured another load than it says."""
NAMED_MAX: Final = 5
"""How many missing or unexpected alerts a reason names."""
NONE_MEASURED: Final = "no alert was measured under load"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How long the alerts of one priority may take. ``limits_s``: (share of the alerts, seconds) in order."""

    priority: int
    source: str
    limits_s: tuple[tuple[Fraction, float], ...]
    hard_s: float


P1: Final = Budget(
    priority=1,
    source="docs/domain.md, section 2: t3 to t8 of a P1",
    limits_s=((Fraction(1, 2), 0.25), (Fraction(99, 100), 2.0), (Fraction(999, 1000), 5.0)),
    hard_s=10.0,
)


class Outcome(StrEnum):
    """What a clause came to."""

    HELD = "held"
    BROKEN = "broken"
    TOO_FEW = "too_few_samples"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """One thing that was promised, what came of it, and the figures that say so."""

    name: str
    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    clauses: tuple[Clause, ...]

    @property
    def held(self) -> bool:
        return not any(clause.outcome is Outcome.BROKEN for clause in self.clauses)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alerts:
    """The crossings of the canary and the alerts that they became.

    ``t3_t8_ms``, ``t1_t8_ms``: of all that answer a crossing made while the load was on. ``missing``: crossings
    that no 2xx of the téléassistance answers. ``unexpected``: alerts without a crossing. ``doubled``:
    notifications under two ids.
    """

    expected: int
    delivered: int
    t3_t8_ms: Sequence[float]
    t1_t8_ms: Sequence[float]
    missing: Sequence[str] = ()
    unexpected: Sequence[str] = ()
    doubled: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixes:
    """``asked``: what shape and interval ask for. ``offered``: published. ``confirmed``: with a PUBACK, so that
    they must be accounted for: archived, refused, or ``lost``."""

    asked: float
    offered: int
    confirmed: int
    refused: int
    lost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Senders:
    """Those who made the load. ``troubles``: why a process of ours did not do its work, each in a sentence."""

    units: int
    connected: int
    requests: int
    failures: int
    errors: Sequence[str] = field(default=())
    troubles: Sequence[str] = field(default=())


def judge(budget: Budget, alerts: Alerts, fixes: Fixes, senders: Senders) -> Verdict:
    """Every clause, in the order in which a reader asks: was it a run, was anything lost, was it in time."""
    return Verdict(
        clauses=(
            *_senders(senders),
            *_fixes(fixes),
            *_alerts(alerts),
            *_in_time(budget, alerts.t3_t8_ms),
            _from_the_fix_on(budget, alerts.t1_t8_ms),
        )
    )


def percentile(values: Sequence[float], share: Fraction) -> float | None:
    """The nearest rank; None where fewer than ``samples_needed`` were measured."""
    if len(values) < samples_needed(share):
        return None
    return sorted(values)[math.ceil(share * len(values)) - 1]


def samples_needed(share: Fraction) -> int:
    """How many it takes for one of them to lie beyond: 2 for a median, 1,000 for the 99.9th percentile."""
    return math.ceil(1 / (1 - share))


def label(share: Fraction) -> str:
    """``Fraction(999, 1000)`` -> ``p99.9``."""
    return f"p{float(100 * share):g}"


def _senders(senders: Senders) -> Iterator[Clause]:
    yield _clause("load generators", not senders.troubles, "; ".join(senders.troubles) or "did their work")
    all_in = senders.connected >= senders.units > 0
    yield _clause("units connected", all_in, f"{senders.connected} of {senders.units}")
    told = f"{senders.failures} of {senders.requests} failed" + _naming(senders.errors)
    yield _clause("requests", senders.failures == 0 and senders.requests > 0, told)


def _fixes(fixes: Fixes) -> Iterator[Clause]:
    enough = fixes.offered >= OFFERED_SHARE_MIN * fixes.asked and fixes.offered > 0
    yield _clause("load offered", enough, f"{fixes.offered} fixes; the shape asks for {fixes.asked:.0f}")
    unconfirmed = fixes.offered - fixes.confirmed
    yield _clause("fixes confirmed", unconfirmed == 0, f"{unconfirmed} without PUBACK at the end")
    yield _clause("fixes refused", fixes.refused == 0, f"{fixes.refused}")
    yield _clause("fixes lost", fixes.lost == 0, f"{fixes.lost} of {fixes.confirmed} confirmed ones")


def _alerts(alerts: Alerts) -> Iterator[Clause]:
    told = f"{alerts.delivered} of {alerts.expected} crossings" + _naming(alerts.missing)
    all_told = alerts.delivered == alerts.expected and not alerts.missing
    yield _clause("alerts delivered", all_told and alerts.expected > 0, told)
    unexpected = alerts.unexpected
    yield _clause("alerts without a cause", not unexpected, f"{len(unexpected)}" + _naming(unexpected))
    yield _clause("notifications doubled", not alerts.doubled, f"{len(alerts.doubled)}" + _naming(alerts.doubled))


def _in_time(budget: Budget, t3_t8_ms: Sequence[float]) -> Iterator[Clause]:
    if not t3_t8_ms:
        yield Clause(name="t3 to t8", outcome=Outcome.BROKEN, reason=NONE_MEASURED)
        return
    for share, limit_s in budget.limits_s:
        name = f"t3 to t8 {label(share)}"
        found_ms = percentile(t3_t8_ms, share)
        if found_ms is None:
            reason = f"{len(t3_t8_ms)} samples, {samples_needed(share)} are needed"
            yield Clause(name=name, outcome=Outcome.TOO_FEW, reason=reason)
        else:
            yield _limited(name, found_ms, limit_s)
    yield _limited("t3 to t8 hard limit", max(t3_t8_ms), budget.hard_s)


def _from_the_fix_on(budget: Budget, t1_t8_ms: Sequence[float]) -> Clause:
    """The one clause that sees a fix wait before ingest has it in hand."""
    name = "t1 to t8 hard limit"
    if not t1_t8_ms:
        return Clause(name=name, outcome=Outcome.BROKEN, reason=NONE_MEASURED)
    return _limited(name, max(t1_t8_ms), budget.hard_s)


def _limited(name: str, found_ms: float, limit_s: float) -> Clause:
    return _clause(name, found_ms <= 1000 * limit_s, f"{found_ms / 1000:.3f} s, at most {limit_s:g} s")


def _clause(name: str, held: bool, reason: str) -> Clause:
    return Clause(name=name, outcome=Outcome.HELD if held else Outcome.BROKEN, reason=reason)


def _naming(some: Sequence[str]) -> str:
    if not some:
        return ""
    more = f" and {len(some) - NAMED_MAX} more" if len(some) > NAMED_MAX else ""
    return f": {'; '.join(some[:NAMED_MAX])}{more}"
