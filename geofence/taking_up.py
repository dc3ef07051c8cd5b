"""When does machine code take what is ordinary, and who says that it may?

A worker decides in Python as soon as it is ready, and goes on so for good where numba (the extra ``fast``) is not
installed. Beside it, in this order: a child process, as nice as can be, compiles the loop and proves it, so that a
compiler that dies takes nobody with it; then a thread loads what the child has kept, proves it again, and puts it
where the next step finds it (``in_order.loop``). Between two steps that may happen at any time, as both say the
same, bit for bit.

The proof is a made-up hour of three people near one another, taken by the plain loop and by the compiled one:
everything that they say and write must be the same bytes. Which of the two is in use is told by a line of the log
and by ``tocsin_geofence_compiled``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from signal import SIGKILL
from threading import Thread
from typing import Final

import msgspec
import numpy as np
import structlog

from geofence import engine, in_order, ordinary, snapshot
from geofence.in_order import InOrder
from geofence.ordinary import Take
from geofence.pair_table import PairTable, Roster, roster_of
from tocsin.clock import MS
from tocsin.embedded import launch
from tocsin.model.device import Device, DeviceKind
from tocsin.model.fix import FIX_DTYPE, Fixes, FixFlag, Source
from tocsin.model.order import Order
from tocsin.telemetry import COMPILED

CHILD_S: Final = 300.0  # to compile takes seconds; on a machine that has none to spare, minutes
FROM_MS: Final = 1_795_219_200_000
MESSAGES: Final = 900
STEP_MS: Final = 4_000
BATCH: Final = 64

log = structlog.get_logger()


class NotProven(Exception):
    """The compiled loop and the plain one disagree, or could not be compared."""


def begin() -> Thread:
    """Beside whoever calls; returns at once."""
    thread = Thread(target=take_up, name="compiled", daemon=True)
    thread.start()
    return thread


def take_up() -> None:
    """Never raises: without it everything goes on as it is."""
    COMPILED.set(0)
    if find_spec("numba") is None:
        log.info("compiled_absent", then="python decides")
        return
    try:
        _let_a_child_compile()
        loop = _compiled()
        prove(loop)
    except Exception as error:  # noqa: BLE001  whatever a compiler can do wrong, nobody may wait for it
        log.warning("compiled_refused", error=f"{type(error).__name__}: {error}"[:300], then="python decides")
        return
    in_order.loop = loop
    COMPILED.set(1)
    log.info("compiled_taken_up")


def _let_a_child_compile() -> None:
    """It ends with this process, however this one ends."""
    tied = [sys.executable, "-I", "-S", launch.__file__, SIGKILL, os.getpid(), launch.KEEP, launch.KEEP]
    subprocess.run(  # noqa: S603  our own interpreter, our own modules
        [*map(str, tied), sys.executable, "-m", "geofence.taking_up"], check=True, timeout=CHILD_S,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _compiled() -> Take:
    from geofence import compiled  # noqa: PLC0415  numba takes most of a second: not before somebody is protected

    return compiled.made()


# --- the proof -------------------------------------------------------------------------------------------------


def prove(loop: Take) -> None:
    """Raises NotProven unless ``loop`` says and writes what ``ordinary.take`` does."""
    if _lived(loop) != _lived(ordinary.take):
        raise NotProven("the compiled loop writes other bytes than the plain one")


def _lived(loop: Callable[..., int]) -> tuple[bytes, bytes]:
    """All steps, and the table in the end."""
    table, first = engine.revise(PairTable(Roster()), _roster(), FROM_MS)
    steps, fixes = [first], _messages()
    for at in range(0, fixes.size, BATCH):
        some = fixes[at : at + BATCH]
        run = InOrder(table)
        run.in_order(some, loop)
        steps.append(run.result())
        steps.append(engine.step(table, fixes[:0], int(some["t3_ms"][-1]) // MS * MS))
    return msgspec.msgpack.encode(steps), snapshot.dump(snapshot.Snapshot(table=table, sequence=0))


def _roster() -> Roster:
    """Two measures that share a wearer, of 1 and 2 km."""
    devices = {
        name: Device(id=name, number=number, kind=DeviceKind.WEARER if number == 1 else DeviceKind.PROTECTED)
        for number, name in enumerate(("proof-1", "proof-2", "proof-3"), 1)
    }
    orders = [
        Order(
            id=f"proof-{km}", version=1, wearer="proof-1", protected=f"proof-{1 + km}", alert_distance_m=1000 * km,
            valid_from_ms=0, valid_until_ms=2**61,
        )
        for km in (1, 2)
    ]  # fmt: skip
    return roster_of(orders, devices, partition=0, partitions=1)


def _messages() -> Fixes:
    """He comes and goes between 300 m and 9 km; now and then a presence, a poor fix, a clock that is off, one that
    comes twice, a place repeated, news of the unit."""
    at, fixes = np.arange(MESSAGES), np.zeros(MESSAGES, FIX_DTYPE)
    turn = np.abs(at % 400 - 200)  # 200 .. 0 .. 200
    fixes["device"], fixes["seq"], fixes["source"] = 1 + at % 3, at, Source.GNSS
    fixes["t3_ms"] = FROM_MS + STEP_MS * at
    fixes["fix_ms"] = fixes["sent_ms"] = fixes["t3_ms"] - 700 + 9_000 * (at % 90 > 80)
    fixes["lat_e6"] = 48_000_000 + np.where(at % 3 == 0, 2_700 + 400 * turn, 900 * (at % 3)) + at % 7
    fixes["lon_e6"] = 2_000_000 + np.where(at % 120 > 110, 0, at % 11)
    fixes["accuracy_dm"] = np.where(at % 50 == 7, 4_000, 60 + at % 9)
    fixes["speed_cms"], fixes["course_ddeg"], fixes["battery_pct"] = 200 * (at % 2), -1, 90 - at // 60
    fixes["flags"] = np.where(at % 31 == 3, int(FixFlag.PRESENCE), 0)
    fixes["telemetry"], fixes["strap"], fixes["case"] = at % 5 == 0, 1, 1
    return fixes


if __name__ == "__main__":
    os.nice(19)
    prove(_compiled())
