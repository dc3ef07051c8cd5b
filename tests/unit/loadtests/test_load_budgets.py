"""The verdict of a load run, clause by clause: what breaks it, what is only said, what may never pass silently."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from loadtests.budgets import (
    P1,
    Alerts,
    Fixes,
    Outcome,
    Senders,
    Verdict,
    judge,
    label,
    percentile,
    samples_needed,
)

GOOD_ALERTS = Alerts(expected=1000, delivered=1000, t3_t8_ms=[20.0] * 1000, t1_t8_ms=[30.0] * 1000)
GOOD_FIXES = Fixes(asked=10_000, offered=10_000, confirmed=10_000, refused=0, lost=0)
GOOD_SENDERS = Senders(units=200, connected=200, requests=5_000, failures=0)


def verdict(**changes: Any) -> Verdict:
    """Of a good run with these fields changed, each in the noun that has it."""
    nouns = [GOOD_ALERTS, GOOD_FIXES, GOOD_SENDERS]
    changed = [replace(noun, **{k: v for k, v in changes.items() if hasattr(noun, k)}) for noun in nouns]
    return judge(P1, *changed)  # type: ignore[arg-type]


def broken(given: Verdict) -> list[str]:
    return [clause.name for clause in given.clauses if clause.outcome is Outcome.BROKEN]


def test_the_budget_is_that_of_the_domain() -> None:
    assert [(label(share), limit_s) for share, limit_s in P1.limits_s] == [("p50", 0.25), ("p99", 2), ("p99.9", 5)]
    assert P1.hard_s == 10


def test_a_good_run_holds_in_every_clause() -> None:
    given = verdict()
    assert given.held
    assert {clause.outcome for clause in given.clauses} == {Outcome.HELD}


@pytest.mark.parametrize(
    ("changes", "clauses"),
    [
        # was it a run?
        ({"troubles": ["locust: no tally"]}, ["load generators"]),
        ({"connected": 199}, ["units connected"]),
        ({"units": 0, "connected": 0}, ["units connected"]),
        ({"failures": 1}, ["requests"]),
        ({"requests": 0}, ["requests"]),
        ({"offered": 8_999, "confirmed": 8_999}, ["load offered"]),
        ({"offered": 9_000, "confirmed": 9_000}, []),
        ({"asked": 0, "offered": 0, "confirmed": 0}, ["load offered"]),
        # was anything lost?
        ({"confirmed": 9_999}, ["fixes confirmed"]),
        ({"refused": 1}, ["fixes refused"]),
        ({"lost": 1}, ["fixes lost"]),
        ({"delivered": 999, "missing": ["probe-w-000 at noon: not raised"]}, ["alerts delivered"]),
        ({"delivered": 999}, ["alerts delivered"]),
        ({"unexpected": ["PROX_ALERT load-w-00000"]}, ["alerts without a cause"]),
        ({"doubled": ["alr_1 2 teleassistance raised: a, b"]}, ["notifications doubled"]),
        # was it in time?
        ({"t3_t8_ms": [250.0] * 1000}, []),
        ({"t3_t8_ms": [251.0] * 1000}, ["t3 to t8 p50"]),
        ({"t3_t8_ms": [20.0] * 990 + [2_001.0] * 10}, []),
        ({"t3_t8_ms": [20.0] * 989 + [2_001.0] * 11}, ["t3 to t8 p99"]),
        ({"t3_t8_ms": [20.0] * 999 + [5_001.0]}, []),
        ({"t3_t8_ms": [20.0] * 998 + [5_001.0] * 2}, ["t3 to t8 p99.9"]),
        ({"t3_t8_ms": [20.0] * 999 + [10_001.0]}, ["t3 to t8 hard limit"]),
        ({"t3_t8_ms": []}, ["t3 to t8"]),
        # did the fix wait before ingest had it? F02
        ({"t1_t8_ms": [20.0] * 999 + [10_000.0]}, []),
        ({"t1_t8_ms": [20.0] * 999 + [10_001.0]}, ["t1 to t8 hard limit"]),
        ({"t1_t8_ms": [5_000.0] * 1000}, []),
        ({"t1_t8_ms": []}, ["t1 to t8 hard limit"]),
        (
            {"expected": 0, "delivered": 0, "t3_t8_ms": [], "t1_t8_ms": []},
            ["alerts delivered", "t3 to t8", "t1 to t8 hard limit"],
        ),
    ],
)
def test_what_breaks_it(changes: dict[str, Any], clauses: list[str]) -> None:
    given = verdict(**changes)
    assert broken(given) == clauses
    assert given.held is (clauses == [])


def test_too_few_samples_are_said_and_not_invented() -> None:
    given = {clause.name: clause for clause in verdict(t3_t8_ms=[20.0] * 99).clauses}
    assert given["t3 to t8 p50"].outcome is Outcome.HELD
    assert given["t3 to t8 p99"].outcome is Outcome.TOO_FEW
    assert given["t3 to t8 p99"].reason == "99 samples, 100 are needed"
    assert given["t3 to t8 p99.9"].reason == "99 samples, 1000 are needed"


def test_the_hard_limit_needs_no_crowd() -> None:
    assert broken(verdict(t3_t8_ms=[10_001.0])) == ["t3 to t8 hard limit"]


def test_reasons_name_what_is_missing_and_stop_somewhere() -> None:
    names = [f"probe-w-{index:03d}" for index in range(7)]
    reasons = {clause.name: clause.reason for clause in verdict(delivered=993, missing=names).clauses}
    assert reasons["alerts delivered"] == (
        "993 of 1000 crossings: probe-w-000; probe-w-001; probe-w-002; probe-w-003; probe-w-004 and 2 more"
    )


@pytest.mark.parametrize(
    ("count", "share", "expected"),
    [
        (1, Fraction(1, 2), None),
        (2, Fraction(1, 2), 1.0),
        (3, Fraction(1, 2), 2.0),
        (99, Fraction(99, 100), None),
        (100, Fraction(99, 100), 99.0),
        (999, Fraction(999, 1000), None),
        (1000, Fraction(999, 1000), 999.0),
    ],
)
def test_a_percentile_is_a_value_that_was_measured(count: int, share: Fraction, expected: float | None) -> None:
    values = [float(count - index) for index in range(count)]  # not in order
    assert percentile(values, share) == expected
    assert (percentile(values, share) is None) is (count < samples_needed(share))
