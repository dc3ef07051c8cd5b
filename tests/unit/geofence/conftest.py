"""The engine has two paths on one memory; what is a rule is asked of both."""

from __future__ import annotations

import pytest

from geofence import engine


@pytest.fixture(params=[0, engine.SCALAR_BELOW], ids=["by_columns", "one_by_one"])
def both_paths(request, monkeypatch):
    monkeypatch.setattr(engine, "SCALAR_BELOW", request.param)
