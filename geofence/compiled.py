"""How does ``geofence.ordinary.take`` become machine code, where numba is installed (the extra ``fast``)?

Numba compiles the very text of the functions that decide one message in Python (``PLAIN``): they are not written
again. Only what numba has no word for is said here:

    geodesy._sin_cos    its tables are lists there, arrays here
    ordinary.fetch      asks for memory early, which Python has no word for
    Mover               numba knows its fields; its properties and ``lost_ms`` are handed to it

No option that changes an operation is set (``fastmath``), so each + - * / and square root is the one of IEEE 754,
as in Python: the same bits. ``made`` is proven on the machine where it runs before anything is decided by it
(``geofence.taking_up``).

What was compiled is kept in a directory of its own for this text (``kept_in``): numba looks at the age of one file
only, and would take up yesterday's rules. Where no directory can be written it is compiled in memory.

Numba has few types; mypy sees it through this file only.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, overload, overload_attribute, overload_method, register_jitable

from geofence import band, conditions, devices, motion, ordinary, quality, separation, standing, zone_table
from geofence.motion import Mover
from geofence.ordinary import Take, batch_of, memory_of, work_for
from geofence.pair_table import PairTable, Roster
from tocsin import geodesy
from tocsin.model.fix import FIX_DTYPE

PLAIN: Final[tuple[Callable[..., Any], ...]] = (
    geodesy.chord_m, geodesy._turn, geodesy._point, geodesy.ecef_one,
    motion.is_reachable, motion.movement, motion.overdue_from,
    devices.mover_at, devices.continued, devices.accuracy_of_m,
    separation.age_s_of, separation.variance_of_m2, separation.sure_variance_m2, separation.closings_m_s,
    separation.blind_not_before_ms, separation.are_comparable,
    standing.may_show, band.came_m, band.clear_until_ms, band.apart_until_ms,
    quality.skew_of, quality._clocked, quality._placed, quality.hear_more,
    conditions.said_of, zone_table.is_outside,
    ordinary._leave, ordinary._ask_ahead, ordinary._ask_for_row, ordinary._is_due, ordinary._tells_news,
    ordinary._is_other, ordinary._may_show, ordinary._believe, ordinary._judge_quality, ordinary._band_at,
    ordinary._judge_pair, ordinary._judge_pairs, ordinary._is_taken,
)  # fmt: skip
OPTIONS: Final = {
    "_nrt": False,
    "forceinline": True,
}  # nothing is allocated, no reference counted: four times faster
TO_WRITE_AND_KEEP_DATA: Final = (1, 3, 1)  # llvm.prefetch: to be written, to be kept in every cache, data
OF_MOVER: Final = ("place", "is_known", "is_first", "silent_m_s")
TEXT: Final = ("geofence", "tocsin")  # packages whose every file may hold a rule or a number of one


@cache
def made() -> Take:
    """The loop as machine code: from the directory where it is kept, or compiled now (seconds)."""
    _tell_numba()
    loop = numba.njit(cache=_can_keep(), **OPTIONS)(ordinary.take)  # type: ignore[call-overload]
    stranger = batch_of(np.zeros(1, FIX_DTYPE), np.full(1, -1))
    sample = (stranger, memory_of(PairTable(Roster())), work_for(1, 1), 0, 0, False)
    loop.compile(tuple(map(numba.typeof, sample)))
    loop.disable_compile()  # arrays of another kind are a defect, not a reason to compile while somebody waits
    taken: Take = loop
    return taken


def kept_in() -> Path:
    """A directory for this text of the program and no other."""
    text = sha256()
    for package in TEXT:
        (origin,) = find_spec(package).submodule_search_locations  # type: ignore[union-attr, misc]
        for file in sorted(Path(origin).rglob("*.py")):
            text.update(file.read_bytes())
    root = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    return Path(root) / "tocsin" / f"compiled-{text.hexdigest()[:16]}"


def _can_keep() -> bool:
    with suppress(OSError):
        kept_in().mkdir(parents=True, exist_ok=True)
        numba.config.CACHE_DIR = str(kept_in())  # type: ignore[attr-defined]
        return os.access(kept_in(), os.W_OK)
    return False


def _tell_numba() -> None:
    for one in PLAIN:
        register_jitable(**OPTIONS)(one)
    for name in OF_MOVER:
        _tell_property(name)
    overload_method(types.NamedUniTuple, "lost_ms", strict=False)(_lost_ms)  # type: ignore[call-arg]
    overload(geodesy._sin_cos)(_sin_cos)
    overload(ordinary.fetch)(_fetch)


def _tell_property(name: str) -> None:
    @overload_attribute(types.NamedUniTuple, name, strict=False)  # type: ignore[call-arg]
    def _(self: Any) -> Any:  # noqa: ANN401
        return getattr(Mover, name).fget if self.instance_class is Mover else None


def _lost_ms(self: Any, since_ms: float) -> Any:  # noqa: ANN401, ARG001  numba reads the names
    return Mover.lost_ms if self.instance_class is Mover else None


def _sin_cos(angle_e6: int) -> Any:  # noqa: ANN401, ARG001  the same
    """``geodesy._sin_cos``, its tables as arrays."""

    def sin_cos(angle_e6: int) -> tuple[float, float]:
        degree = round(angle_e6 / geodesy.DEGREE_E6)
        rest = (angle_e6 - degree * geodesy.DEGREE_E6) * geodesy.RADIANS_PER_E6
        at = degree + geodesy._ZERO
        return geodesy._turn(rest, geodesy._SINS[at], geodesy._COSINES[at])

    return sin_cos


def _fetch(those: Any, at: int, column: int) -> Any:  # noqa: ANN401, ARG001  the same
    def fetch(those: Any, at: int, column: int) -> None:  # noqa: ANN401
        _prefetch(those, at, column)  # type: ignore[call-arg]  # the first argument is numba's

    return fetch


@intrinsic
def _prefetch(_: Any, those: Any, at: Any, column: Any) -> Any:  # noqa: ANN401, ARG001  their types
    """The instruction of the processor, for which numba has no word."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ANN401
        array, word = context.make_array(signature.args[0])(context, builder, args[0]), args[1].type
        row = builder.mul(builder.extract_value(array.strides, 0), args[1])
        start = builder.add(builder.ptrtoint(array.data, word), row)
        start = builder.add(start, builder.mul(array.itemsize, args[2]))
        pointer, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), (pointer, flag, flag, flag))
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", (pointer,), kind)
        builder.call(prefetch, (builder.inttoptr(start, pointer), *map(flag, TO_WRITE_AND_KEEP_DATA)))
        return context.get_dummy_value()

    return types.void(those, types.intp, types.intp), code
