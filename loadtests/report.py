"""What does a load run say, for machines and for people? Keys and meaning: docs/load-tests.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.table import Table

from loadtests.budgets import P1, Outcome, Verdict, label, percentile
from loadtests.evidence import Answers
from loadtests.handover import CanaryTally, CrowdTally
from simulator.lab import Accounted, report_head

if TYPE_CHECKING:
    from loadtests.run import Load

COLOURS = {Outcome.HELD: "green", Outcome.BROKEN: "bold red", Outcome.TOO_FEW: "yellow"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Everything that one run gave."""

    crowd: CrowdTally | None
    canary: CanaryTally | None
    offered: int
    confirmed: int
    accounted: Accounted
    found: Answers
    verdict: Verdict


def latency(values_ms: Sequence[float]) -> dict[str, float | int | None]:
    """The percentiles of the budget and the largest; None for what so few samples do not give."""
    shares = {label(share): percentile(values_ms, share) for share, _ in P1.limits_s}
    return {**shares, "max": max(values_ms, default=None), "samples": len(values_ms)}


def report_of(load: Load, started_ms: int, measured: Measured) -> dict[str, Any]:
    crowd, canary, alerts = measured.crowd, measured.canary, measured.found.alerts
    return {
        **report_head("load", load.seed, started_ms, load.plan.lasts_s),
        "shape": load.shape.value,
        "users": load.users,
        "interval_s": load.interval_s,
        "planted": {
            "delay_s": load.plant_delay_s,
            "wrong_passwords": load.plant_wrong_passwords,
            "stall_s": load.plant_stall_s,
        },
        "fixes": {
            "offered": measured.offered,
            "confirmed": measured.confirmed,
            "received": measured.accounted.received,
            "archived": measured.accounted.archived,
            "duplicate": measured.accounted.duplicate,
            "refused": measured.accounted.refused,
            "lost": measured.accounted.lost_of(measured.confirmed),
            "withheld": crowd.withheld if crowd else 0,
        },
        "units": {
            "connected": crowd.connected if crowd else 0,
            "connections": crowd.connections if crowd else 0,
        },
        "canary": {
            "pairs": load.canaries,
            "offered": canary.offered if canary else 0,
            "connections": canary.connections if canary else 0,
        },
        "alerts": {
            "expected": alerts.expected,
            "delivered": alerts.delivered,
            "missing": list(alerts.missing),
            "unexpected": list(alerts.unexpected),
            "duplicated": len(alerts.doubled),
        },
        "latency_ms": {
            "t3_t7": latency(measured.found.t3_t7_ms),
            "t3_t8": latency(alerts.t3_t8_ms),
            "t1_t8": latency(alerts.t1_t8_ms),
        },
        "operators": {
            "count": load.operators,
            "acknowledged": crowd.acknowledged if crowd else 0,
            "closed": crowd.closed if crowd else 0,
            "races": crowd.races if crowd else {},
        },
        "requests": [msgspec.to_builtins(row) for row in crowd.requests] if crowd else [],
        "errors": crowd.errors if crowd else [],
        "budget": {
            "source": P1.source,
            "t3_t8_s": {label(share): limit_s for share, limit_s in P1.limits_s} | {"hard": P1.hard_s},
            "t1_t8_s": {"hard": P1.hard_s},
        },
        "verdict": {
            "held": measured.verdict.held,
            "clauses": [asdict(clause) for clause in measured.verdict.clauses],
        },
    }


def show(console: Console, report: dict[str, Any]) -> None:
    """locust's table, then the verdict clause by clause."""
    console.print(_requests(report))
    if report["operators"]["races"]:
        console.print(f"acts that came second (no failure): {report['operators']['races']}")
    console.print(_latencies(report))
    table = Table(title="Verdict", show_header=False)
    for clause in report["verdict"]["clauses"]:
        outcome = Outcome(clause["outcome"])
        table.add_row(clause["name"], f"[{COLOURS[outcome]}]{outcome.value}[/]", clause["reason"])
    console.print(table)
    held = report["verdict"]["held"]
    console.print("[bold green]in budget[/]" if held else "[bold red]not in budget[/]")


def _requests(report: dict[str, Any]) -> Table:
    table = Table("request", "count", "failed", "p50 ms", "p99 ms", "max ms", title="locust")
    for row in report["requests"]:
        figures = (row["count"], row["failures"], row["p50"], row["p99"], row["max"])
        table.add_row(f"{row['kind']} {row['name']}", *map(_figure, figures))
    return table


def _latencies(report: dict[str, Any]) -> Table:
    names = ("samples", *(label(share) for share, _ in P1.limits_s), "max")
    table = Table("alerts under load, ms", *names)
    for name, values in report["latency_ms"].items():
        table.add_row(name.replace("_", " to "), *(_figure(values[each]) for each in names))
    return table


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"
