"""How do the rows of an evaluation look? Three small plots, each an SVG; rows in, files out.

The colours are Okabe and Ito's, which people of every colour vision can tell apart, and each rule has a marker of
its own besides. The same rows give the same file, byte for byte. The only module that knows matplotlib (extra
``report``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from simulator.evaluation.closed_loop import CLOSED_LOOP

Row = Mapping[str, Any]

STYLES: Final = (
    ("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#E69F00", "v"), ("#56B4E9", "P"),
    ("#000000", "X"),
)  # fmt: skip
STAR: Final = "*"
STAR_POINTS: Final = 13
PANEL_INCHES: Final = (3.9, 3.4)
SETTINGS: Final[Any] = {
    "svg.hashsalt": "tocsin",  # else the ids in the file are drawn by lot
    "font.size": 9, "axes.grid": True, "grid.alpha": 0.3, "axes.spines.top": False, "axes.spines.right": False,
    "legend.frameon": False, "axes.titlesize": 10,
}  # fmt: skip


def delay_against_false(rows: Sequence[Row], path: Path) -> None:
    """A panel a variant; a line joins what one rule does at the intervals."""
    variants = _distinct(row["variant"] for row in rows)
    with mpl.rc_context(SETTINGS):
        figure, panels = _panels(len(variants))
        for axes, variant in zip(panels, variants, strict=True):
            shown = [row for row in rows if row["variant"] == variant]
            _lines(axes, shown, _distinct(row["detector"] for row in rows), "delay_p50_s", "false_far_per_day")
            axes.set(title=f"messages: {variant}", xlabel="median delay of the alert [s]", xlim=(0, None))
        panels[0].set(ylabel="far false alerts per pair-day", ylim=(0, None))
        _legend_of_sizes(figure, rows)
        _write(figure, path)


def delay_against_reports(rows: Sequence[Row], path: Path) -> None:
    """Median and p95; what lies lower left of a line gives more for fewer messages than any fixed interval."""
    panels_of = {"delay_p50_s": "median", "delay_p95_s": "95th percentile"}
    with mpl.rc_context(SETTINGS):
        figure, panels = _panels(len(panels_of))
        for axes, (name, title) in zip(panels, panels_of.items(), strict=True):
            _lines(axes, rows, _distinct(row["detector"] for row in rows), "reports_per_hour", name)
            axes.set(title=title, xlabel="reports per hour of a pair", xlim=(0, None))
        panels[0].set(ylabel="delay of the alert [s]", ylim=(0, None))
        _legend_of_sizes(figure, rows)
        _write(figure, path)


def cost(rows: Sequence[Row], path: Path) -> None:
    """A panel a size of batch. Hollow: an engine whose events were not those of the reference."""
    batches = sorted({row["batch"] for row in rows})
    engines = _distinct(row["engine"] for row in rows)
    with mpl.rc_context(SETTINGS):
        figure, panels = _panels(len(batches))
        for axes, batch in zip(panels, batches, strict=True):
            for engine, (colour, marker) in zip(engines, STYLES, strict=False):
                shown = [row for row in rows if (row["engine"], row["batch"]) == (engine, batch)]
                shown.sort(key=lambda row: row["pairs"])
                _costs(axes, shown, engine, colour, marker)
            axes.set(title=f"batches of {batch}", xlabel="pairs", xscale="log", yscale="log")
            axes.minorticks_off()
        panels[0].set_ylabel("processor time per update [µs]")
        _write(figure, path)


def _costs(axes: Axes, rows: Sequence[Row], engine: str, colour: str, marker: str) -> None:
    pairs, costs_us = [row["pairs"] for row in rows], [row["cpu_us_per_update"] for row in rows]
    axes.plot(pairs, costs_us, color=colour, linewidth=1.2)
    for match in (True, False):
        some = [
            (row["pairs"], row["cpu_us_per_update"]) for row in rows if (row["events_match"] is not False) == match
        ]
        face = colour if match else "none"
        axes.scatter([x for x, _ in some], [y for _, y in some], marker=marker, facecolor=face, edgecolor=colour)
    axes.plot([], [], color=colour, marker=marker, label=engine)


def _lines(axes: Axes, rows: Sequence[Row], detectors: Sequence[str], x: str, y: str) -> None:
    """Each rule over its intervals, the larger the marker the longer; the closed loop is a star that no line
    reaches. Markers are hollow: rules that do the same lie on each other."""
    sizes = _sizes(rows)
    for detector, (colour, marker) in zip(detectors, STYLES, strict=False):
        mine = [row for row in rows if row["detector"] == detector and None not in (row[x], row[y])]
        fixed = sorted((row for row in mine if row["period_s"] in sizes), key=lambda row: int(row["period_s"]))
        axes.plot([row[x] for row in fixed], [row[y] for row in fixed], color=colour, linewidth=0.8)
        for row in mine:
            is_fixed = row["period_s"] in sizes
            axes.plot(
                [row[x]], [row[y]], color=colour, marker=marker if is_fixed else STAR, linestyle="none",
                markersize=sizes.get(row["period_s"], STAR_POINTS), markerfacecolor="none" if is_fixed else colour,
            )  # fmt: skip
        axes.plot([], [], color=colour, marker=marker, markerfacecolor="none", linewidth=0.8, label=detector)


def _sizes(rows: Sequence[Row]) -> dict[int, int]:
    """Of the markers, in points, by interval."""
    periods_s = sorted({int(row["period_s"]) for row in rows} - {CLOSED_LOOP})
    return {period_s: 5 + 4 * place for place, period_s in enumerate(periods_s)}


def _legend_of_sizes(figure: Figure, rows: Sequence[Row]) -> None:
    handles = [
        Line2D([], [], color="#555555", marker="o", markerfacecolor="none", linestyle="none", markersize=size,
               label=f"every {period_s} s")
        for period_s, size in _sizes(rows).items()
    ]  # fmt: skip
    if any(row["period_s"] == CLOSED_LOOP for row in rows):
        star = Line2D(
            [], [], color="#555555", marker=STAR, linestyle="none", markersize=STAR_POINTS, label="closed loop"
        )
        handles.append(star)
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    width, height = PANEL_INCHES
    figure = Figure(figsize=(width * max(count, 1), height), layout="constrained")
    return figure, list(figure.subplots(1, max(count, 1), sharey=True, squeeze=False)[0])[:count]


def _write(figure: Figure, path: Path) -> None:
    """With one legend below all panels."""
    handles: dict[str, Artist] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=len(handles))
    figure.savefig(path, format="svg", metadata={"Date": None})


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
