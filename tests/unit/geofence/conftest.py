"""The engine has two paths on one memory; what is a rule is asked of both."""

from __future__ import annotations

import pytest

from geofence import turns


@pytest.fixture(params=[0, turns.SCALAR_BELOW], ids=["by_columns", "one_by_one"])
def both_paths(request, monkeypatch):
    monkeypatch.setattr(turns, "SCALAR_BELOW", request.param)
