"""How does a command end, and which folder is left behind: gone well, interrupted, failed, or to be kept?"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulator.command import EXIT_FAILED, EXIT_INTERRUPTED, end, home_of, run


def one_run(
    data: Path, *, keep: bool = False, interrupted: bool = False, failing: bool = False, held: bool = True
) -> None:
    with home_of(data, "demo", keep=keep) as home:
        (home / "log").mkdir(parents=True)
        (home / "log" / "api.log").write_text("said\n")
        if interrupted:
            raise KeyboardInterrupt
        if failing:
            raise RuntimeError
        end(held=held, home=home)


def left(data: Path) -> list[str]:
    return [found.name for found in data.rglob("api.log")]


def test_it_is_gone_when_it_went_well_and_stays_when_it_is_to_be_kept(tmp_path: Path) -> None:
    one_run(tmp_path)
    assert left(tmp_path) == []
    one_run(tmp_path, keep=True)
    assert left(tmp_path) == ["api.log"]


@pytest.mark.parametrize(("keep", "expected"), [(False, []), (True, ["api.log"])])
def test_an_interrupted_run_leaves_nothing_unless_it_is_to_be_kept(
    tmp_path: Path, keep: bool, expected: list[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        one_run(tmp_path, keep=keep, interrupted=True)
    assert ended.value.code == EXIT_INTERRUPTED
    assert left(tmp_path) == expected


def test_interrupted_before_anything_was_there_is_no_error(tmp_path: Path) -> None:
    with pytest.raises(SystemExit), home_of(tmp_path, "demo", keep=False):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_promise_that_was_not_kept_leaves_the_logs_and_says_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        one_run(tmp_path, held=False)
    assert ended.value.code == EXIT_FAILED
    assert left(tmp_path) == ["api.log"]
    assert str(tmp_path) in capsys.readouterr().err


def test_a_run_that_failed_leaves_its_logs(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        one_run(tmp_path, failing=True)
    assert left(tmp_path) == ["api.log"]


@pytest.fixture(params=[signal.default_int_handler, signal.SIG_IGN], ids=["in front", "in a script's background"])
def started(request: pytest.FixtureRequest) -> Iterator[None]:
    """As a shell starts it: it has what it starts in the background of a script ignore SIGINT."""
    before = signal.signal(signal.SIGINT, request.param)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("started")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_told_to_end_it_ends_what_it_has_begun_first(number: signal.Signals) -> None:
    ended = []

    async def work() -> None:
        try:
            os.kill(os.getpid(), number)
            await asyncio.sleep(60.0)
        finally:
            await asyncio.sleep(0.0)
            ended.append(number)

    with pytest.raises(KeyboardInterrupt):
        run(work())
    assert ended == [number]


def test_what_cancels_itself_was_not_told() -> None:
    async def work() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        run(work())


def test_the_result_is_the_works() -> None:
    async def work() -> int:
        return 7

    assert run(work()) == 7


CLEANING = """
import asyncio, sys
from simulator.command import run

async def work():
    try:
        print("works", flush=True)
        await asyncio.Event().wait()
    finally:
        print("cleanup begins", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        print("cleanup done", flush=True)

try:
    run(work())
except KeyboardInterrupt:
    sys.exit(130)
"""
INT, TERM = signal.SIGINT, signal.SIGTERM


@pytest.mark.parametrize(
    ("first", "second", "status"), [(INT, TERM, 130), (TERM, INT, 130), (INT, INT, -INT), (TERM, TERM, -TERM)]
)
def test_the_same_signal_twice_ends_at_once_and_the_other_one_cuts_no_cleanup(
    first: signal.Signals, second: signal.Signals, status: int
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CLEANING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    ) as child:  # fmt: skip
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "works\n"
        child.send_signal(first)
        assert child.stdout.readline() == "cleanup begins\n"
        child.send_signal(second)
        if status < 0:
            child.wait(30)  # it waits for no line of ours
        out, err = child.communicate("go on\n" if status > 0 else None, timeout=30)
    assert (child.returncode, out, err) == (status, "cleanup done\n" if status > 0 else "", "")
