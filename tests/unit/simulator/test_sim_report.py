"""Does the page say what the rows say, the same each time, and is what keeps it from being written found first?"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from simulator.evaluation.approaches import approaches
from simulator.evaluation.report import Page, ReportError, approaches_table, plotted, read_costs, tables
from simulator.evaluation.scoring import NOTHING, Spoken

HEAD = {
    "version": "0.1.0", "started_at": "2027-01-15T10:00:00Z", "seed": 7, "duration_s": 12.6,
    "machine": {"cores": 2, "processor": "A processor", "python": "3.11"},
}  # fmt: skip


def row(detector: str = "tocsin", period_s: int = 10, **changed: Any) -> dict[str, Any]:
    return {
        "detector": detector, "variant": "orig", "period_s": period_s, "distance_m": 1000, "entries": 254,
        "recall": 0.99, "recall_clear": 0.987, "covered_clear": 1.0, "delay_p50_s": 4.04, "delay_p95_s": 30.5,
        "false_far_per_day": 0.227, "false_edge_per_day": 0.454, "not_judged_per_day": 4.6,
        "repeats_per_day": 1.29, "degraded_min_per_day": 96.4, "alerts_per_day": 26.6, "reports_per_hour": 759.6,
        **changed,
    }  # fmt: skip


def cost(**changed: Any) -> dict[str, Any]:
    return {
        "engine": "python",
        "pairs": 10_000,
        "batch": 64,
        "cpu_us_per_update": 12.345,
        "events_match": True,
    } | changed


ROWS = [
    row(), row("naive"), row(period_s=60), row(period_s=0), row(distance_m=500), row(variant="noisy"),
    row("naive", variant="noisy", delay_p50_s=None, delay_p95_s=None, recall_clear=None),
]  # fmt: skip


@pytest.fixture
def plots_there() -> None:
    pytest.importorskip("matplotlib", reason="the extra 'report' is not installed")


def test_whose_approaches_they_were_is_counted_and_shown() -> None:
    """F19; a rule that says nothing of it has no line."""
    spoken = Spoken(
        alerts_s=NOTHING, standing_s=NOTHING, doubt_s=NOTHING, degraded_s=NOTHING,
        wearer_shares_pct=(0, 5, 20, 50, 80, 95, 100, None), probings=1,
    )  # fmt: skip
    counted = asdict(approaches([spoken], pair_days=2.0))
    text = approaches_table([row(approaches=counted), row("naive", approaches=None)])
    assert text.splitlines()[2:] == ["| 1,000 m | orig | 10 s | 2 | 1 | 1 | 1 | 2 | 1 | 0.5 |"]


def test_a_table_for_each_distance_and_variant_with_a_line_for_each_row() -> None:
    text = "\n".join(tables(ROWS))
    assert re.findall("^### .*", text, re.MULTILINE) == [
        "### 500 m, `orig` (254 entries)",
        "### 1,000 m, `orig` (254 entries)",
        "### 1,000 m, `noisy` (254 entries)",
    ]
    assert "| 10 s | tocsin | 98.7 % | 100.0 % | 4.0 / 30.5 s | 0.23 / 0.45 | 1.29 | 96 min | 760/h |" in text
    assert "| 10 s | naive | – | 100.0 % | – / – s |" in text
    assert text.count("closed loop") == 1
    assert len(re.findall(r"^\| \d|^\| closed", text, re.MULTILINE)) == len(ROWS)


def test_the_plots_are_of_1_km_if_that_was_asked_for() -> None:
    assert plotted(ROWS) == 1000
    assert plotted([row(distance_m=2000), row(distance_m=500)]) == 2000


@pytest.mark.usefixtures("plots_there")
def test_the_same_rows_give_the_same_files(tmp_path: Path) -> None:
    (tmp_path / "cost.json").write_text(json.dumps({"rows": [cost(), cost(engine="tocsin", events_match=False)]}))
    written = []
    for name in ("one", "other"):
        page = Page.into(tmp_path / name, tmp_path / "cost.json").write(HEAD, ROWS)
        written.append({path.relative_to(page.parent): path.read_bytes() for path in page.parent.rglob("*.*")})
    assert written[0] == written[1]
    images = sorted(path.name for path in written[0] if path.suffix == ".svg")
    assert images == ["evaluation-cost.svg", "evaluation-false-alerts.svg", "evaluation-reports.svg"]
    text = (tmp_path / "one" / "evaluation.md").read_text()
    assert set(re.findall(r"images/([\w-]+\.svg)", text)) == set(images)
    assert "Release 0.1.0, 2027-01-15, seed 7, in 13 s\non 2 cores (A processor)." in text
    assert "| tocsin | 10,000 | 64 | 12.35 | 0.0 % |" in text
    assert "$" not in text


@pytest.mark.usefixtures("plots_there")
def test_every_rule_interval_and_engine_is_named_in_the_plots(tmp_path: Path) -> None:
    (tmp_path / "cost.json").write_text(json.dumps({"rows": [cost(), cost(batch=1)]}))
    Page.into(tmp_path, tmp_path / "cost.json").write(HEAD, ROWS)
    drawn = {path.stem: path.read_text() for path in (tmp_path / "images").glob("*.svg")}
    for words in ("tocsin", "naive", "every 10 s", "every 60 s", "closed loop", "messages: noisy"):
        assert f"<!-- {words} -->" in drawn["evaluation-false-alerts"]
    for words in ("tocsin", "closed loop", "reports per hour of a pair", "95th percentile"):
        assert f"<!-- {words} -->" in drawn["evaluation-reports"]
    for words in ("python", "batches of 1", "batches of 64", "pairs"):
        assert f"<!-- {words} -->" in drawn["evaluation-cost"]


@pytest.mark.usefixtures("plots_there")
def test_without_a_cost_file_the_page_has_no_cost(tmp_path: Path) -> None:
    text = Page.into(tmp_path, None).write(HEAD, ROWS).read_text()
    assert "cost" not in text
    assert "`tocsin evaluate DIR --closed-loop --report OUT`" in text
    assert not (tmp_path / "images" / "evaluation-cost.svg").exists()


def test_without_matplotlib_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "simulator.evaluation.plots", None)
    monkeypatch.delattr("simulator.evaluation.plots", raising=False)
    with pytest.raises(ReportError, match=r"tocsin\[report\]"):
        Page.into(tmp_path, None)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("no json", "cost.json"),
        ("{}", "rows"),
        ('{"rows": []}', "no rows"),
        (json.dumps({"rows": [cost(pairs="many")]}), r"rows\[0\]\.pairs"),
        (json.dumps({"rows": [{"engine": "tocsin"}]}), "pairs"),
    ],
)
def test_a_cost_file_that_is_none_is_refused_naming_what_is_wrong(
    tmp_path: Path, content: str, named: str
) -> None:
    path = tmp_path / "cost.json"
    path.write_text(content)
    with pytest.raises(ReportError, match=named):
        read_costs(path)
    with pytest.raises(ReportError, match="absent"):
        read_costs(tmp_path / "absent.json")
