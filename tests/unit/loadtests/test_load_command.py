"""What ``python -m loadtests`` refuses before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from loadtests.__main__ import app


@pytest.mark.parametrize(
    "words",
    [
        ("--users", "0"),
        ("--shape", "square"),
        ("--seconds", "soon"),
        ("--plant-delay-s", "-1"),
        ("--plant-stall-s", "-1"),
        ("--plant-stall-s", "31"),  # of 30 s
    ],
)
def test_misuse_is_said(words: tuple[str, str], tmp_path: Path) -> None:
    home = tmp_path / "data"
    result = CliRunner().invoke(app, [*words, "--data-dir", str(home)], env={"TERM": "dumb", "COLUMNS": "200"})
    assert result.exit_code == 2
    assert words[0] in result.stderr
    assert not home.exists()
