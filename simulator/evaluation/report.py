"""What does the evaluation say to people? One page of Markdown, with plots beside it.

``evaluation.md`` and ``images/evaluation-*.svg``, the words from ``report.md`` beside this module. Everything that
could keep the page from being written (no matplotlib, a cost file that is none) is found out before the measuring.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from types import ModuleType
from typing import Any, Final

import msgspec

from simulator.evaluation.closed_loop import CLOSED_LOOP
from tocsin.errors import TocsinError

Row = Mapping[str, Any]

PLOTTED_M: Final = 1000  # the alert distance of the plots, if it was asked for
COST_HEADING: Final = "## What a decision costs\n"


class ReportError(TocsinError):
    """The page cannot be written:"""


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """One row of ``tocsin bench geofence --json``. ``events_match``: the share of events equal to the
    reference's; None: nothing to compare with."""

    engine: str
    pairs: int
    batch: int
    cpu_us_per_update: float
    events_match: float | bool | None = None


class CostReport(msgspec.Struct, frozen=True, kw_only=True):
    rows: list[Cost]
    version: str = ""
    machine: dict[str, Any] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """``plots``: the module that draws."""

    folder: Path
    plots: ModuleType
    costs: CostReport | None = None

    @classmethod
    def into(cls, folder: Path, geofence: Path | None) -> Page:
        """Raises ReportError."""
        try:
            from simulator.evaluation import plots  # noqa: PLC0415  # its matplotlib is optional
        except ImportError:
            raise ReportError("plots need the extra 'report': pip install 'tocsin[report]'") from None
        return cls(folder=folder, plots=plots, costs=None if geofence is None else read_costs(geofence))

    def write(self, head: Mapping[str, Any], rows: Sequence[Row]) -> Path:
        """The path of the page. ``head``: that of the machine-readable report."""
        images = self.folder / "images"
        images.mkdir(parents=True, exist_ok=True)
        plotted_m = plotted(rows)
        shown = [row for row in rows if row["distance_m"] == plotted_m]
        self.plots.delay_against_false(shown, images / "evaluation-false-alerts.svg")
        as_logged = [row for row in shown if row["variant"] == _logged(shown)]
        self.plots.delay_against_reports(as_logged, images / "evaluation-reports.svg")
        if self.costs is not None:
            rows_of_cost = [msgspec.structs.asdict(row) for row in self.costs.rows]
            self.plots.cost(rows_of_cost, images / "evaluation-cost.svg")
        page = self.folder / "evaluation.md"
        page.write_text(self._text(head, rows, plotted_m), encoding="utf-8")
        return page

    def _command(self, rows: Sequence[Row]) -> str:
        closed = " --closed-loop" if any(row["period_s"] == CLOSED_LOOP for row in rows) else ""
        return f"tocsin evaluate DIR{closed} --report OUT" + (" --geofence COST.json" if self.costs else "")

    def _text(self, head: Mapping[str, Any], rows: Sequence[Row], plotted_m: int) -> str:
        template = Template(files(__package__).joinpath("report.md").read_text(encoding="utf-8"))
        words, cost_words = template.template.split(COST_HEADING)
        text = Template(words).substitute(
            command=self._command(rows), day=head["started_at"][:10], version=head["version"], seed=head["seed"],
            seconds=round(head["duration_s"]),
            cores=head["machine"]["cores"], processor=head["machine"]["processor"], plotted=_metres(plotted_m),
            tables="\n".join(tables(rows)), approaches=approaches_table(rows),
        )  # fmt: skip
        if self.costs is None:
            return text
        return text + COST_HEADING + Template(cost_words).substitute(costs=cost_table(self.costs.rows))


def read_costs(path: Path) -> CostReport:
    """Raises ReportError."""
    try:
        costs = msgspec.json.decode(path.read_bytes(), type=CostReport)
    except (OSError, msgspec.DecodeError) as error:
        raise ReportError(f"{path}: {error}") from error
    if not costs.rows:
        raise ReportError(f"{path}: no rows")
    return costs


def plotted(rows: Sequence[Row]) -> int:
    distances_m = [int(row["distance_m"]) for row in rows]
    return PLOTTED_M if PLOTTED_M in distances_m else distances_m[0]


def _logged(rows: Sequence[Row]) -> str:
    """The variant that has a closed loop, or else the last."""
    closed = [str(row["variant"]) for row in rows if row["period_s"] == CLOSED_LOOP]
    return closed[0] if closed else str(rows[-1]["variant"])


# --- tables --------------------------------------------------------------------------------------------------

COLUMNS: Final[Mapping[str, Callable[[Row], str]]] = {
    "Messages": lambda row: "closed loop" if row["period_s"] == CLOSED_LOOP else f"{row['period_s']} s",
    "Rule": lambda row: row["detector"],
    "Clear entries found": lambda row: _percent(row["recall_clear"]),
    "covered": lambda row: _percent(row["covered_clear"]),
    "Delay p50 / p95": lambda row: f"{_or_dash(row['delay_p50_s'])} / {_or_dash(row['delay_p95_s'])} s",
    "False far / edge": lambda row: f"{row['false_far_per_day']:.2f} / {row['false_edge_per_day']:.2f}",
    "Repeats": lambda row: f"{row['repeats_per_day']:.2f}",
    "Degraded": lambda row: f"{row['degraded_min_per_day']:.0f} min",
    "Reports": lambda row: f"{row['reports_per_hour']:.0f}/h",
}


def tables(rows: Sequence[Row]) -> Iterator[str]:
    """One for each distance and variant, in the order of the rows."""
    kinds = dict.fromkeys((row["distance_m"], row["variant"]) for row in rows)
    for distance_m, variant in sorted(kinds, key=lambda kind: kind[0]):
        mine = [row for row in rows if (row["distance_m"], row["variant"]) == (distance_m, variant)]
        yield f"### {_metres(distance_m)}, `{variant}` ({mine[0]['entries']} entries)\n"
        yield _table(list(COLUMNS), [[column(row) for column in COLUMNS.values()] for row in mine])


APPROACH_COLUMNS: Final[Mapping[str, str]] = {
    "Hers": "hers", "mostly hers": "mostly_hers", "both": "both", "mostly his": "mostly_his", "His": "his",
    "not said": "not_said", "`PROBING` a pair-day": "probing_per_day",
}  # fmt: skip


def approaches_table(rows: Sequence[Row]) -> str:
    """Who approached, for each stream and distance that the engine heard."""
    told = [row for row in rows if row.get("approaches") is not None]
    cells = [
        [
            _metres(row["distance_m"]),
            row["variant"],
            COLUMNS["Messages"](row),
            *(str(row["approaches"][name]) for name in APPROACH_COLUMNS.values()),
        ]
        for row in told
    ]
    return _table(["Distance", "Variant", "Messages", *APPROACH_COLUMNS], cells)


def cost_table(rows: Sequence[Cost]) -> str:
    cells = [
        [
            each.engine,
            f"{each.pairs:,}",
            f"{each.batch:,}",
            f"{each.cpu_us_per_update:.2f}",
            _percent(None if each.events_match is None else float(each.events_match)),
        ]
        for each in rows
    ]
    return _table(["Engine", "Pairs", "Batch", "µs per update", "Same events"], cells)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def _or_dash(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _metres(distance_m: int) -> str:
    return f"{distance_m:,} m"
