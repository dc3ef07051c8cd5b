"""Does a unit that speaks without a place move anybody? For now nothing is decided from it."""

from __future__ import annotations

import numpy as np
import pytest
from geofence_pairs import T0_MS, P, W, World, fix

from geofence import engine
from tocsin.model.fix import FixFlag


def present(number, at_s):
    """As ``ingest.admission`` writes it: the hour of reception, and the place of nobody."""
    heard = fix(number, at_s, seen_after_s=0.0)
    heard["lat_e6"] = heard["lon_e6"] = 0
    heard["flags"] = FixFlag.PRESENCE
    return heard


@pytest.mark.parametrize("many", [1, engine.SCALAR_BELOW])
def test_presence_among_fixes_changes_neither_findings_nor_counts(many):
    plain, mixed = World(), World()
    there = [fix(P, 0), fix(W, 1, 5_000), fix(W, 2, 900), fix(W, 3, 900)]
    between = [one for each in there for one in (each, *[present(P, 2.5), present(W, 2.5)] * many)]
    expected = engine.step(plain.table, np.concatenate(there), T0_MS + 9_000)
    step = engine.step(mixed.table, np.concatenate(between), T0_MS + 9_000)
    assert (step.findings, step.counts) == (expected.findings, expected.counts)
    assert step.findings
    assert plain.table.rows.tobytes() == mixed.table.rows.tobytes()


def test_presence_alone_is_no_tick():
    """A tick at the hour of a replay would decide what only the present may."""
    world = World()
    world.fix(P, 0)
    world.fix(W, 0, 900)
    before = world.table.now_ms
    assert engine.step(world.table, present(W, 5_000), T0_MS + 10**9) == engine.Step()
    assert world.table.now_ms == before
