"""Which folder is left behind by a command that went well, was interrupted, failed, or was to be kept?"""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.command import EXIT_FAILED, EXIT_INTERRUPTED, end, home_of


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
