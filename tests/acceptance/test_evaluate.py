"""``tocsin evaluate`` on the real trace set: the floor is where its makers measured it, the engine above it.

Skips, saying so, where the set is absent.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

GPS = Path(__file__).parents[2].parent / "shared" / "data" / "gps"
TOCSIN = Path(sys.executable).with_name("tocsin")

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(not GPS.is_dir(), reason=f"the real traces are not at {GPS}"),
]


def evaluated(tmp_path: Path, *words: str) -> dict[str, Any]:
    out = tmp_path / "report.json"
    subprocess.run([TOCSIN, "evaluate", GPS, "--json", out, *words], check=True, capture_output=True)
    report: dict[str, Any] = json.loads(out.read_text())
    return report


def test_the_naive_rule_scores_as_the_set_says_and_the_alerts_are_written(tmp_path: Path) -> None:
    """The published figures of the naive rule on this set, row ``noisy 10 1000`` and ``noisy 60 1000``."""
    alerts = tmp_path / "alerts.csv"
    streams = ("--variant", "noisy", "--period", "10", "--period", "60", "--distance", "1000")
    report = evaluated(tmp_path, *streams, "--alerts", str(alerts))
    rows = {(row["detector"], row["period_s"]): row for row in report["rows"]}
    names = ("entries", "recall_clear", "delay_p50_s", "delay_p95_s", "false_far_per_day", "false_edge_per_day")
    assert [rows["naive", 10][name] for name in names] == pytest.approx(
        [254, 0.987, 7.5, 38.4, 0.45, 0.38], abs=0.005
    )
    assert [rows["naive", 60][name] for name in names] == pytest.approx(
        [254, 0.962, 30.8, 61.8, 0.98, 0.23], abs=0.005
    )
    assert rows["tocsin", 10]["recall_clear"] >= 0.985
    assert rows["tocsin", 10]["repeats_per_day"] < rows["naive", 10]["repeats_per_day"]
    with alerts.open(newline="") as file:
        written = list(csv.DictReader(file))
    pair_days = rows["tocsin", 10]["alerts_per_day"]
    assert set(written[0]) == {"session", "variant", "period", "D", "t_raise"}
    assert sum(row["period"] == "10" for row in written) == pytest.approx(pair_days * 317.3 / 24, rel=0.01)


def test_the_proposed_rules_find_as_much_as_the_naive_one_and_cry_wolf_far_less(tmp_path: Path) -> None:
    """In-sample: the numbers of the rules were settled on this set, so a fall here is a change of the rules."""
    streams = ("--variant", "noisy", "--period", "10", "--period", "60", "--distance", "1000")
    rows = evaluated(tmp_path, *streams, "--detector", "interval", "--detector", "naive")["rows"]
    by_name = {(row["detector"], row["period_s"]): row for row in rows}
    for period_s, recall_min in ((10, 0.985), (60, 0.94)):
        proposed, naive = by_name["interval", period_s], by_name["naive", period_s]
        assert proposed["recall_clear"] >= recall_min
        assert proposed["covered_clear"] == 1.0 > naive["covered_clear"]
        assert proposed["false_far_per_day"] <= 0.35
        assert proposed["false_far_per_day"] < naive["false_far_per_day"]


def test_a_folder_that_is_no_trace_set_is_said_to_be_none(tmp_path: Path) -> None:
    said = subprocess.run([TOCSIN, "evaluate", tmp_path], check=False, capture_output=True, text=True)
    assert said.returncode == 2
    assert "truth.parquet" in said.stderr
