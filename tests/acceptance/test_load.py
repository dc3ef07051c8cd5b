"""``python -m loadtests`` as its user meets it: in budget on a quiet machine, not in budget with a fault planted.

Everything real: servers, parts, locust, canary. A fault that the verdict does not find would make it worthless:
a recipient that is slow, an ingest that stands still, units that are not let in, a locust that does not start.
F02, F05. A laboratory takes ten seconds and more to come up: faults that the verdict must tell apart share one.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from lab_fixture import new_home
from test_up import living_below

pytestmark = pytest.mark.timeout(240)

SMALL = ("--users", "20", "--seconds", "8", "--canaries", "8")
MANY_SAMPLES = ("--seconds", "22", "--canaries", "12")
"""Each pair crosses every 11 s: two dozen latencies, of whose median one stall of the machine is a small part."""


@asynccontextmanager
async def running(
    home: Path, *words: str, variables: Mapping[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command line, its data below ``home``; nothing of it lives on, whatever happened."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "loadtests", *words, "--data-dir", str(home)),
        env={**os.environ, **(variables or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
            await child.communicate()
        assert living_below(home) == []


async def load(*words: str, variables: Mapping[str, str] | None = None) -> tuple[int, dict[str, Any], str]:
    """(exit status, report, what was said)."""
    home = new_home()
    try:
        async with running(home, *SMALL, "--json", "-", *words, variables=variables) as child:
            out, said = await child.communicate()
        assert child.returncode is not None
        return child.returncode, json.loads(out), said.decode()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def outcomes(report: dict[str, Any], outcome: str) -> dict[str, str]:
    return {one["name"]: one["reason"] for one in report["verdict"]["clauses"] if one["outcome"] == outcome}


async def test_in_budget_and_the_report_says_what_was_done() -> None:
    status, report, said = await load("--shape", "ramp", *MANY_SAMPLES)
    assert status == 0, said
    assert report["verdict"]["held"], said
    assert (report["command"], report["shape"], report["users"]) == ("load", "ramp", 20)
    assert report["units"]["connected"] == 20
    assert report["fixes"]["offered"] == report["fixes"]["confirmed"] == report["fixes"]["archived"] > 100
    assert report["alerts"]["expected"] == report["alerts"]["delivered"] >= 8
    assert report["latency_ms"]["t1_t8"]["samples"] == report["latency_ms"]["t3_t8"]["samples"] >= 12
    assert report["latency_ms"]["t1_t8"]["max"] >= report["latency_ms"]["t3_t8"]["max"]
    assert report["latency_ms"]["t3_t8"]["p99"] is None, "so few samples have no 99th percentile"
    assert report["operators"]["acknowledged"] >= 4
    assert report["errors"] == []
    assert "in budget" in said


async def test_faults_are_found_each_in_its_clauses() -> None:
    """The recipient answers late, the reader stands still, nobody of the crowd is let in.

    Twelve pairs cross in eleven seconds, so some in the first ones of the stall. No t3 sees that they wait.
    """
    late, still = ("--plant-delay-s", "1"), ("--plant-stall-s", "13")
    shut_out = ("--plant-wrong-passwords", "20", "--interval-s", "0.5")
    status, report, said = await load("--seconds", "14", "--canaries", "12", *late, *still, *shut_out)
    assert status == 1, said
    broken, took = outcomes(report, "broken"), report["latency_ms"]
    assert list(broken) == [
        *("units connected", "requests", "load offered"),
        "t3 to t8 p50",
        "t1 to t8 hard limit",
    ]
    assert broken["units connected"] == "0 of 20"
    assert "Connection Refused" in broken["requests"]
    assert took["t3_t8"]["p50"] > 1000 > took["t3_t7"]["p50"]
    assert took["t1_t8"]["max"] > 10_000 > took["t3_t8"]["max"]
    assert took["t1_t8"]["samples"] == took["t3_t8"]["samples"]


async def test_a_locust_that_does_not_start_is_found_with_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "gevent.py").write_text("raise ImportError('gevent is not itself today')\n")
    status, report, said = await load(variables={"PYTHONPATH": str(tmp_path)})
    assert status == 1, said
    assert "gevent is not itself today" in outcomes(report, "broken")["load generators"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_ctrl_c_ends_all_of_it_and_leaves_nothing(number: signal.Signals) -> None:
    home = new_home()
    try:
        async with running(home, *SMALL[:2], "--seconds", "300", "--canaries", "8") as child:
            assert child.stderr is not None
            async for line in child.stderr:
                if b"steady: 20 units" in line:
                    break
            child.send_signal(number)
            _, said = await child.communicate()
            assert child.returncode == 130, said.decode()
        assert list(home.iterdir()) == [], "an interrupted run leaves no folder"
    finally:
        shutil.rmtree(home, ignore_errors=True)


async def test_misuse_is_said() -> None:
    """One by its process; every other option by the command itself, in the unit tests."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "loadtests", "--users", "0", stderr=asyncio.subprocess.PIPE
    )
    _, said = await child.communicate()
    assert child.returncode == 2
    assert "--users" in said.decode()
