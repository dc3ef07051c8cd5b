"""The loops that may take what is ordinary: none (by columns and one by one), the plain one, the compiled one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from unittest import mock

from geofence import in_order, ordinary, turns
from geofence.ordinary import Take

ALL_ONE_BY_ONE = 10**9
COLUMNS, PLAIN, COMPILED = "columns", "plain loop", "compiled loop"
LOOPS = (COLUMNS, PLAIN, COMPILED) if find_spec("numba") else (COLUMNS, PLAIN)
"""Without the extra ``fast`` there is nothing to compile with."""


def loop_named(name: str) -> Take | None:
    if name == COLUMNS:
        return None
    if name == PLAIN:
        return ordinary.take
    from geofence import compiled  # noqa: PLC0415  where it is installed

    return compiled.made()


@contextmanager
def path(scalar_below: int) -> Iterator[None]:
    """ALL_ONE_BY_ONE is the path that the others are compared with, whatever loop is in use."""
    loop = None if scalar_below == ALL_ONE_BY_ONE else in_order.loop
    with mock.patch.object(turns, "SCALAR_BELOW", scalar_below), mock.patch.object(in_order, "loop", loop):
        yield
