"""``tocsin bench alerts`` as its user meets it: nothing lost, nothing told twice, P1 first; and a fault is found.

Everything real: servers, parts, devices' broker, recipient. How long it takes is reported, and not asserted here.
F02, F28, invariants 1 and 2.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from lab_fixture import new_home
from test_up import living_below

pytestmark = pytest.mark.timeout(480)

BURST = 300
LOWER = BURST * 4 // 5
SMALL = ("--rate", "20", "--seconds", "5", "--burst", str(BURST), "--fixes", "300", "--pairs", "20")
HEAD = {"command", "version", "seed", "started_at", "duration_s", "machine"}
KEYS = {"first_attempt_ms", "first_accepted_ms", "sos_to_attempt_ms", "burst", "lost", "duplicated"}
EXPECTED = 20 * 5 + BURST + 50 + 50


async def bench(*words: str) -> tuple[int, dict[str, Any]]:
    """(exit status, report). Nothing of it lives on."""
    home: Path = new_home()
    try:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "simulator", "bench", "alerts", *SMALL, "--json", "-", "--data-dir", str(home), *words),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await child.communicate()
        assert child.returncode is not None
        assert living_below(home) == []
        return child.returncode, json.loads(out)
    finally:
        shutil.rmtree(home, ignore_errors=True)


async def test_nothing_is_lost_nothing_is_told_twice_and_p1_is_first() -> None:
    status, report = await bench()
    assert report.keys() >= HEAD | KEYS
    assert report["asked"] == EXPECTED
    assert EXPECTED / 2 < report["accepted"] <= EXPECTED, "a log that is too busy may refuse some"
    assert (report["lost"], report["duplicated"]) == (0, 0)
    assert report["told"]["opened"] > 0
    assert report["burst"]["size"] > BURST / 2
    assert report["burst"]["p1_waited_behind"] < LOWER / 2, "in the order of their coming the last is behind all"
    for name in ("first_attempt_ms", "first_accepted_ms", "sos_to_attempt_ms", "sos_overload_ms"):
        assert report[name].keys() == {"p50", "p99", "max"}
        assert None not in report[name].values()
    assert status == (0 if all(one["held"] for one in report["promises"]) else 1)


async def test_a_recipient_that_loses_what_it_took_is_found() -> None:
    status, report = await bench("--plant", "loses", "--settle", "10")
    assert status == 1
    assert 0 < report["lost"] < report["accepted"]
    assert report["duplicated"] == 0
