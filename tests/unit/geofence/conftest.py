"""The engine has three paths on one memory, and the third may be machine code; what is a rule is asked of all."""

from __future__ import annotations

import pytest
from geofence_loops import COLUMNS, LOOPS, loop_named

from geofence import in_order, turns


@pytest.fixture(params=["one_by_one", "by_columns", *(one for one in LOOPS if one != COLUMNS)])
def both_paths(request, monkeypatch):
    monkeypatch.setattr(turns, "SCALAR_BELOW", 0 if request.param == "by_columns" else turns.SCALAR_BELOW)
    if request.param not in {"one_by_one", "by_columns"}:
        monkeypatch.setattr(in_order, "loop", loop_named(request.param))
