"""Machine code decides only where it was made, and only if it says and writes what Python does, byte for byte."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from builders import eventually
from geofence_loops import COMPILED, LOOPS, loop_named
from prometheus_client import REGISTRY

from geofence import engine, in_order, ordinary, taking_up
from geofence.ordinary import Batch, Memory, Take, Work
from geofence.pair_table import PairTable, Roster
from tocsin.model.fix import FIX_DTYPE

needs_numba = pytest.mark.skipif(COMPILED not in LOOPS, reason="numba, the extra fast, is not installed")


@pytest.fixture(autouse=True)
def no_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_order, "loop", None)


def compiled_now() -> float | None:
    return REGISTRY.get_sample_value("tocsin_geofence_compiled")


def broken(change: Callable[[Memory], None]) -> Take:
    """The plain loop, and behind it one byte of its memory that is another."""

    def take(batch: Batch, memory: Memory, work: Work, begin: int, clock_ms: int, has_zones: bool) -> int:
        end = ordinary.take(batch, memory, work, begin, clock_ms, has_zones)
        change(memory)
        return end

    return take


def test_the_plain_loop_proves_itself() -> None:
    taking_up.prove(ordinary.take)


def test_the_proof_is_about_something() -> None:
    """The made-up hour raises alerts, leaves whole messages, looks and paces, and most of it is ordinary."""
    what = set[int]()

    def watched(batch: Batch, memory: Memory, work: Work, *rest: int) -> int:
        end = ordinary.take(batch, memory, work, *rest)
        what.update(work.left[: work.told[ordinary.LEFT], 1].tolist())
        return end

    taking_up.prove(watched)
    assert {ordinary.WHOLE, ordinary.LOOK} <= what


@pytest.mark.parametrize(
    "change",
    [
        lambda memory: memory.rows.__setitem__((0, 0), np.nextafter(memory.rows[0, 0], np.inf)),
        lambda memory: memory.received.__setitem__(0, memory.received[0] + 1),
        lambda memory: memory.due_ms.__iadd__(1_000.0),
    ],
    ids=["the last bit of a place", "a count of one unit", "when somebody is due"],
)
def test_what_writes_another_byte_is_refused(change: Callable[[Memory], None]) -> None:
    with pytest.raises(taking_up.NotProven):
        taking_up.prove(broken(change))


def test_without_numba_python_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking_up, "find_spec", lambda name: None)
    taking_up.take_up()
    assert in_order.loop is None
    assert compiled_now() == 0


@needs_numba
@pytest.mark.parametrize("where", ["_let_a_child_compile", "_compiled", "prove"])
def test_whatever_a_compiler_does_wrong_python_decides(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    def fails(*_: object) -> None:
        raise subprocess.CalledProcessError(-11, "compiler")

    monkeypatch.setattr(taking_up, "_let_a_child_compile", lambda: None)
    monkeypatch.setattr(taking_up, where, fails)
    taking_up.take_up()
    assert in_order.loop is None
    assert compiled_now() == 0


@needs_numba
async def test_a_worker_that_is_killed_leaves_no_compiler_behind(tmp_path: Path) -> None:
    """Where nothing is kept yet: a child that has to compile is not done before it was looked at."""
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from geofence import taking_up; taking_up._let_a_child_compile()",
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
    )  # fmt: skip
    (child,) = await eventually(lambda: Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split())
    await eventually(lambda: b"geofence.taking_up" in Path(f"/proc/{child}/cmdline").read_bytes())
    worker.kill()
    await worker.wait()
    await eventually(lambda: is_gone(child))


def is_gone(pid: str) -> bool:
    """Also where nobody has fetched its exit status yet."""
    try:
        return not Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True


@needs_numba
def test_what_was_compiled_and_proven_is_taken_up_and_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking_up, "_let_a_child_compile", lambda: None)  # the thread alone can do it as well
    taking_up.begin().join()
    assert in_order.loop is loop_named(COMPILED)
    assert compiled_now() == 1
    step = engine.step(PairTable(Roster()), np.zeros(3, FIX_DTYPE), 0)
    assert step.counts.stranger == 3


@needs_numba
def test_a_batch_that_may_not_be_written_is_no_reason_to_compile_again() -> None:
    """As the wire gives it: numba would take it for another type."""
    fixes = np.frombuffer(bytes(3 * FIX_DTYPE.itemsize + 1), FIX_DTYPE, 3, 1)
    in_order.loop = loop_named(COMPILED)
    assert engine.step(PairTable(Roster()), fixes, 0).counts.stranger == 3
