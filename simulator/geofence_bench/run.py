"""How much processor time does one update cost, by engine and batch, and are the events right?

Two works: in ``same_work`` everybody does distance and state; in ``every_rule`` the production engine does all it
does in production. Both give rows of one table, in one run, so that they can be divided by one another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from math import floor
from typing import Any, Final

from rich.table import Table

from geofence.ordinary import Take
from geofence.taking_up import prove
from simulator.geofence_bench.cost import Asked
from simulator.geofence_bench.every_rule import EveryRule
from simulator.geofence_bench.same_work import ENGINES, EXACT, Engines, measure

ROUND: Final = 1_000  # the batch at which engines are divided by one another


def run(asked: Asked, *, say: Callable[[str], None], engines: Engines = ENGINES) -> dict[str, Any]:
    """``rows`` and ``sweep_ms`` of the report, and what they were measured on."""
    loop = compiled_loop(say)
    report: dict[str, Any] = {
        "kernels": ["numpy"] + ["numba"] * (loop is not None),
        "rows": [],
        "sweep_ms": {},
        "tick_ms": {},
        "crossings": {},
        "fleet": {},
        "armed": {},
    }
    for pairs in asked.pairs:
        rows, heard = measure(asked, pairs, engines=engines, say=say)
        fleet = _measured(EveryRule(asked, pairs), say)
        report["rows"] += rows + fleet.rows()
        if loop is not None:
            report["rows"] += _measured(EveryRule(asked, pairs, loop=loop), say).rows()
        if asked.zones:
            armed = _measured(EveryRule(asked, pairs, armed=True), say)
            report["rows"] += armed.rows()
            report["armed"][str(pairs)] = armed.seen()
        if asked.zones and loop is not None:
            report["rows"] += _measured(EveryRule(asked, pairs, armed=True, loop=loop), say).rows()
        report["crossings"][str(pairs)], report["fleet"][str(pairs)] = heard, fleet.seen()
        report["tick_ms"][str(pairs)] = round(fleet.tick_ms(), 3)
        report["sweep_ms"][str(pairs)] = round(fleet.sweep_ms(), 3)
    say("redis: no row, as there is neither a server nor a client among the dependencies")
    return report


def compiled_loop(say: Callable[[str], None]) -> Take | None:
    """What takes the ordinary message, if numba is installed: compiled and proven before anything is measured."""
    if find_spec("numba") is None:
        say("tocsin-compiled: no row, as numba is not installed (the extra fast)")
        return None
    from geofence import compiled  # noqa: PLC0415  numba is optional

    loop = compiled.made()
    prove(loop)
    return loop


def _measured(engine: EveryRule, say: Callable[[str], None]) -> EveryRule:
    engine.measure(say)
    return engine


def holds(report: Mapping[str, Any]) -> bool:
    """The exact engines told every event of the reference and no other, at every size that had any; some had."""
    shares = [row["events_match"] for row in report["rows"] if row["engine"] in EXACT]
    seen = [share for share in shares if share is not None]
    return bool(seen) and all(share == 1.0 for share in seen)


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """For people: engines and batches downward, numbers of pairs across."""
    across = sorted({row["pairs"] for row in rows})
    drawn = Table(title="CPU, µs an update (median; events equal to the reference's)")
    for title in ("engine", "batch", *(f"{pairs:,} pairs" for pairs in across)):
        drawn.add_column(title, justify="left" if title == "engine" else "right")
    cells = {(row["engine"], row["batch"], row["pairs"]): _cell(row) for row in rows}
    for engine, batch in dict.fromkeys((row["engine"], row["batch"]) for row in rows):
        drawn.add_row(engine, str(batch), *(cells.get((engine, batch, pairs), "-") for pairs in across))
    return drawn


def _cell(row: Mapping[str, Any]) -> str:
    share = row["events_match"]
    told = "no event" if share is None else f"{floor(1000 * share) / 10:g} %"  # 100 % is all, and nothing less
    return f"{row['cpu_us_per_update']:.3f} ({told})"


def ratios(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is asked of the engine, at batches of 1,000, in words."""
    cost = {(row["engine"], row["pairs"]): row["cpu_us_per_update"] for row in rows if row["batch"] == ROUND}
    return [
        f"{pairs:,} pairs, batch {ROUND:,}: {engine} is {cost[engine, pairs] / cost[other, pairs]:.2f} x {other}"
        for pairs in sorted({pairs for _, pairs in cost})
        for engine, other in (
            ("tocsin-distance", "pyproj"),
            ("tocsin", "tocsin-distance"),
            ("tocsin-compiled", "tocsin-distance"),
            ("tocsin-zones", "tocsin"),
            ("tocsin-zones-compiled", "tocsin-compiled"),
        )
        if (engine, pairs) in cost and (other, pairs) in cost
    ]
