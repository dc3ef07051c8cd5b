"""The parent that keeps the parts running, with real processes: deaths, listeners that fail, late parts."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tocsin.supervisor import PartEvent, PartNotReady, PartSpec, Supervisor, child_environment

WITHIN_S = 20.0
READY_PART = """
import time
from tocsin.service import notify_ready
notify_ready("test")
time.sleep(600)
"""
DYING_PART = """
raise SystemExit("no such database")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the parts of these tests are, and on the path of the processes that run them."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "ready_part.py").write_text(READY_PART)
    (tmp_path / "dying_part.py").write_text(DYING_PART)
    (tmp_path / "log").mkdir()
    (tmp_path / "metrics").mkdir()
    return tmp_path


def supervisor_in(folder: Path, tell: Callable[[PartEvent], None]) -> Supervisor:
    return Supervisor(logs=folder / "log", environment=child_environment({}, folder / "metrics"), tell=tell)


async def restarted(supervisor: Supervisor, name: str) -> None:
    """Kill the part and wait for its successor."""
    before = supervisor.pid_of(name)
    assert before is not None
    os.kill(before, signal.SIGKILL)
    async with asyncio.timeout(WITHIN_S):
        while supervisor.pid_of(name) in {before, None}:
            await asyncio.sleep(0.01)
        await supervisor.wait_ready(name)


async def test_a_killed_part_is_back_and_its_gap_is_told(folder: Path) -> None:
    heard: list[PartEvent] = []
    supervisor = supervisor_in(folder, heard.append)
    try:
        await supervisor.start(PartSpec(name="one", words=("ready_part",)))
        await restarted(supervisor, "one")
    finally:
        await supervisor.stop()
    assert [event.what for event in heard] == ["ready", "died", "ready"]
    assert heard[0].gap_s is None
    assert heard[1].exit_code == -signal.SIGKILL
    assert heard[2].gap_s is not None
    assert heard[2].gap_s > 0


async def test_who_listens_may_fail_and_the_part_is_back_all_the_same(folder: Path) -> None:
    """F02: a full disk behind standard error, a terminal that went away."""
    asked: list[str] = []

    def fails(event: PartEvent) -> None:
        asked.append(event.what)
        raise OSError(28, "No space left on device")

    supervisor = supervisor_in(folder, fails)
    try:
        await supervisor.start(PartSpec(name="one", words=("ready_part",)))
        for _ in range(2):
            await restarted(supervisor, "one")
    finally:
        await supervisor.stop()
    assert asked == ["ready", "died", "ready", "died", "ready"]


async def test_a_part_that_never_comes_is_an_error_with_its_last_words(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tocsin.supervisor.READY_WITHIN_S", 12.0)  # eight deaths; a busy machine has time for two
    heard: list[PartEvent] = []
    supervisor = supervisor_in(folder, heard.append)
    try:
        with pytest.raises(PartNotReady, match="no such database"):
            await supervisor.start(PartSpec(name="two", words=("dying_part",)))
    finally:
        await supervisor.stop()
    assert [event.what for event in heard].count("died") > 1, "it was tried again"


async def test_a_machine_short_of_memory_starts_the_part_when_it_can(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``fork`` fails with EAGAIN for a moment: the part is started once it may be."""
    monkeypatch.setattr("tocsin.supervisor.RESTART_MAX_S", 0.05)
    heard: list[PartEvent] = []
    supervisor = supervisor_in(folder, heard.append)
    try:
        await supervisor.start(PartSpec(name="one", words=("ready_part",)))
        (folder / "log").rename(folder / "away")  # its log cannot be opened: an OSError of the real kind
        pid = supervisor.pid_of("one")
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(WITHIN_S):
            while not any(event.what.startswith("not started") for event in heard):
                await asyncio.sleep(0.01)
        (folder / "away").rename(folder / "log")
        async with asyncio.timeout(WITHIN_S):
            await supervisor.wait_ready("one")
    finally:
        await supervisor.stop()
