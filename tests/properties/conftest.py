"""What holds for the engine holds for each of the loops that may take what is ordinary."""

from __future__ import annotations

from collections.abc import Iterator
from unittest import mock

import pytest
from geofence_loops import LOOPS, loop_named

from geofence import in_order


@pytest.fixture(scope="module", params=LOOPS)
def every_loop(request) -> Iterator[None]:
    """For a whole module, as properties are drawn many times within one test."""
    with mock.patch.object(in_order, "loop", loop_named(request.param)):
        yield
