"""What of a partition's memory do the decisions about one measure follow from?

That of its *cluster*: the measures that share a unit with it, directly or through others
(``geofence.pair_table``), and their units. Between two clusters nothing matters but the ticks, which are the
partition's: so a table of one cluster, given the same ticks and the fixes of its own units, says what the whole
one says of these measures, byte for byte (tests/properties/test_replay_cases.py). What the engine remembers and is
not copied here is found there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from geofence.pair_table import CLUSTER, PairTable, Roster
from tocsin.geodesy import IntArray

COLUMNS: Final = ("due_ms", "until_ms", "phase", "protection", "protection_ms")
"""Of the table, one number a row."""


class UnknownMeasure(LookupError):
    """The table does not judge this measure."""


def units_of(tables: Sequence[PairTable], measure: str) -> IntArray:
    """The numbers of the units of the cluster of a measure, in any of these tables of one partition: measures that
    change may part a cluster, or make one of two. Raises UnknownMeasure when none of them knows it."""
    numbers: set[int] = set()
    for table in tables:
        for row, order in enumerate(table.roster.orders):
            if order.id == measure:
                numbers.update(side.number for side in table.roster.sides[2 * row : 2 * row + 2])
    if not numbers:
        raise UnknownMeasure(measure)
    known = 0
    while len(numbers) > known:
        known = len(numbers)
        for table in tables:
            rows = rows_of(table, np.array(sorted(numbers)))
            numbers.update(side.number for row in rows for side in table.roster.sides[2 * row : 2 * row + 2])
    return np.array(sorted(numbers))


def rows_of(table: PairTable, numbers: IntArray) -> list[int]:
    """The rows of the clusters that these units are in, in order."""
    places = table.devices.places(numbers)
    clusters = table.first_of[places[places >= 0], CLUSTER]
    found: list[int] = np.flatnonzero(np.isin(table.first_of[table.places[:, 0], CLUSTER], clusters)).tolist()
    return found


def excerpt(table: PairTable, rows: Sequence[int]) -> PairTable:
    """A table of these rows alone, in order, that remembers what ``table`` does; they are one or more clusters."""
    small = PairTable(
        Roster(
            orders=tuple(table.roster.orders[row] for row in rows),
            sides=tuple(side for row in rows for side in table.roster.sides[2 * row : 2 * row + 2]),
        )
    )
    small.clock_ms = table.clock_ms
    _copy_units(table, small)
    _copy_pairs(table, small, rows)
    return small


def _copy_units(table: PairTable, small: PairTable) -> None:
    there = table.devices.places(small.devices.numbers)
    here = np.arange(there.size)
    small.devices.rows[:] = table.devices.rows[there]
    known = enumerate(there.tolist())
    small.devices.remember_others(
        {place: table.devices.other[old] for place, old in known if old in table.devices.other}
    )
    small.conditions.carry(table.conditions, there)
    small.quality.carry(table.quality, here, there)
    small.quality.due_ms = table.quality.due_ms


def _copy_pairs(table: PairTable, small: PairTable, rows: Sequence[int]) -> None:
    """``refresh_all`` finds the bands; then the hours as they stood."""
    for name in COLUMNS:
        getattr(small, name)[:] = getattr(table, name)[list(rows)]
    small.said_ms[:] = table.said_ms.reshape(len(table), -1)[list(rows)].reshape(small.said_ms.shape)
    for row, old in enumerate(rows):
        if old in table.states:
            small.states[row] = table.states[old]
        if old in table.broken:
            small.broken.add(row)
        if old in table.zones.broken:
            small.zones.broken.add(row)
    small.refresh_all()
    for name in COLUMNS:
        getattr(small, name)[:] = getattr(table, name)[list(rows)]
    small.asked[:] = [table.asked[old] for old in rows]
