"""How a stream is cut into batches is nobody's business, nor in which order strangers to each other speak.

By columns, one by one, in pieces, twice, and over a restart: the same findings and commands, byte for byte, and
the same snapshot in the end. Batches are long enough for the path by columns; clusters of pairs share devices.
"""

from __future__ import annotations

import numpy as np
import pytest
from geofence_loops import path
from geofence_streams import CASTS, NO_FIXES, T0_MS, Act, Cast, Played, acts, casts, lives, long_life, messages
from hypothesis import example, given, settings
from hypothesis import strategies as st

from geofence import engine, turns

pytestmark = pytest.mark.usefixtures("every_loop")
cuts = st.lists(st.integers(0, 60), max_size=12)
crowds = st.lists(acts, min_size=40, max_size=70)
ALL_BY_COLUMNS, ALL_ONE_BY_ONE = 1, 10**9


def heard(cast: Cast, *batches: np.ndarray, scalar_below: int = turns.SCALAR_BELOW) -> Played:
    played = Played(cast)
    with path(scalar_below):
        for batch in batches:
            played.hear(batch)
    return played


def compare(one: Played, other: Played) -> None:
    assert one.said() == other.said()
    assert one.stood() == other.stood()
    assert one.memory() == other.memory()
    assert one.kept() == other.kept()


def counts(played: Played) -> dict[str, int]:
    names = engine.Counts.__struct_fields__
    return {name: sum(getattr(step.counts, name) for step in played.steps) for name in names}


AN_ORDER_MAKES_ANOTHER_DUE = (
    Cast(CASTS[3], (6_000, 4_000, 1_100, 2_150, 1_000, 2_150), None),
    [
        Act(3, 0, "toward", None, "beside", 0, 50),
        Act(1, 4_700, "toward", None, "fix", 0, 50),
        Act(1, 61_000, "toward", None, "fix", 0, 50),
    ],
)
"""By columns, a pair was not asked about the hour if only an order of his other pair, given then, made it due."""


@settings(max_examples=60)
@given(casts, crowds)
@example(*AN_ORDER_MAKES_ANOTHER_DUE)
def test_by_columns_is_one_by_one(cast: Cast, life: list[Act]) -> None:
    fixes = messages(cast, life)
    one_by_one = heard(cast, fixes, scalar_below=ALL_ONE_BY_ONE)
    for by_columns in (heard(cast, fixes, scalar_below=ALL_BY_COLUMNS), heard(cast, fixes)):
        compare(one_by_one, by_columns)
        assert counts(one_by_one) == counts(by_columns)


@settings(max_examples=100)
@given(casts, lives, cuts, st.sampled_from([ALL_BY_COLUMNS, turns.SCALAR_BELOW]))
def test_splitting_a_batch_changes_nothing(cast: Cast, life: list[Act], cut: list[int], scalar_below: int) -> None:
    fixes = messages(cast, life)
    pieces = heard(cast, *np.split(fixes, sorted(cut)), scalar_below=scalar_below)
    compare(heard(cast, fixes), pieces)


@pytest.mark.parametrize("seed", range(6))
def test_nor_does_it_in_a_long_life(seed: int) -> None:
    cast, life = long_life(seed, 400)
    fixes = messages(cast, life)
    whole = heard(cast, fixes)
    compare(whole, heard(cast, *np.split(fixes, fixes.size), scalar_below=ALL_ONE_BY_ONE))
    compare(whole, heard(cast, *np.split(fixes, [7, 8, 90, 260]), scalar_below=ALL_BY_COLUMNS))
    compare(whole, heard(cast, fixes))


@settings(max_examples=50)
@given(casts, crowds)
def test_clusters_may_come_in_any_order(cast: Cast, life: list[Act]) -> None:
    """5 and 6 are in no pair with the others: each cluster says the same, whoever of the other spoke between."""
    fixes = messages(cast, life)
    apart = np.isin(fixes["device"], [5, 6])
    mixed, sorted_ = heard(cast, fixes), heard(cast, np.concatenate([fixes[apart], fixes[~apart]]))
    for name in ("findings", "commands"):
        said = [
            sorted(one.id for step in played.steps for one in getattr(step, name)) for played in (mixed, sorted_)
        ]
        assert said[0] == said[1]
    assert mixed.memory() == sorted_.memory()


@settings(max_examples=100)
@given(casts, lives, st.integers(0, 40))
def test_a_restart_changes_nothing(cast: Cast, life: list[Act], at: int) -> None:
    fixes = messages(cast, life)
    end_ms = int(fixes["t3_ms"][-1]) // 1000 * 1000 + 200_000
    lasting, restarted = Played(cast), Played(cast)
    for played in (lasting, restarted):
        played.hear(fixes[:at])
        played.tick(int(fixes["t3_ms"][:at].max(initial=T0_MS)) // 1000 * 1000)
        if played is restarted:
            played.restart()
        played.hear(fixes[at:])
        played.tick(end_ms)
    compare(lasting, restarted)


@settings(max_examples=100)
@given(casts, lives)
def test_a_tick_of_nothing_due_changes_nothing(cast: Cast, life: list[Act]) -> None:
    played = heard(cast, messages(cast, life))
    due_ms = int(min(played.table.due_ms.min(), 2**52))
    before, hour_ms = played.memory(), max(due_ms - 1, played.table.clock_ms)
    if not engine.is_due(played.table, hour_ms):
        step = engine.step(played.table, NO_FIXES, hour_ms)
        assert (step.findings, step.commands, step.standings) == ((), (), ())
        assert played.memory() == before
