"""What did these fixes, or the passing hour, change between the parties of this partition? ◆ decides, pure.

``step`` is the only door. It touches neither clock nor log nor network: ``now_ms`` is handed in with a tick, and
each fix brings its own hour (``t3_ms``). So a batch, the same batch in pieces and its fixes one by one give the
same findings, under the same ids; so does doing the work again after a crash (ARCHITECTURE, A5). What is mutable
is the ``PairTable``, owned by one worker and changed in place.

Each fix, in the order of the batch:

1. its device is not of this partition: counted ``stranger``;
2. for each pair of the device, what the hour alone decides on every whole second up to the fix;
3. the device is heard, and the fix believed or not (``geofence.devices``): counted, and flagged where its
   quality is at fault; nothing is dropped silently;
4. for each pair, if it has left its guard band: rings, approach, losses, certainty, cadence;
5. what the pairs now ask of a device that takes orders, if it is anything new, becomes a command.

Three paths do this on the same memory: by columns, in turns in which no cluster of pairs occurs twice; one by one
below SCALAR_BELOW fixes, where numpy costs more than it saves; and in order, with a loop of machine code, where
there is one (``geofence.in_order``, ADR 49). They agree bit for bit, and with asking every rule at every fix
(tests/properties/test_geofence_splits.py, test_geofence_bounds.py). An empty batch is a tick: step 2 for all pairs
that are due.

An exception inside the rules of one pair makes it unprotected, with a finding, and is returned in ``Step.broken``;
the others are judged (ARCHITECTURE, A10). Its next fix asks the rules again.
"""

from __future__ import annotations

import numpy as np

from geofence import findings, in_order, quality_findings, turns
from geofence.devices import INTERVAL
from geofence.in_order import InOrder
from geofence.outcome import Counts, Step
from geofence.pair_table import PairTable, Roster
from tocsin.model.fix import Fixes
from tocsin.model.standing import Standing

__all__ = ["Counts", "Step", "is_due", "revise", "revise_all", "standings", "step"]


def step(table: PairTable, batch: Fixes, now_ms: int) -> Step:
    """Judge a batch; an empty one is a tick at ``now_ms``. Findings in order of their fixes, then of measures."""
    run = InOrder(table)
    if not batch.size:
        table.clock_ms = max(table.clock_ms, now_ms)
        run.tick()
    elif (loop := in_order.loop) is not None:
        run.in_order(np.ascontiguousarray(batch), loop)
    elif batch.size < turns.SCALAR_BELOW:
        run.one_by_one(batch)
    else:
        run.by_columns(np.ascontiguousarray(batch))
    return run.result()


def is_due(table: PairTable, now_ms: int) -> bool:
    """Whether a tick at ``now_ms`` has anything to look at; one that has not changes nothing."""
    return bool((table.due_ms <= now_ms).any()) or quality_findings.is_due(table, now_ms)


def revise(table: PairTable, roster: Roster, now_ms: int) -> tuple[PairTable, Step]:
    """The table for a changed set of measures, judged at once where that changes something for a pair.

    A measure that ends says so of what lasts; one that is no longer there leaves without a word, and the clerk
    ends what it left (``alerts.administration``).
    """
    if (roster.orders, roster.sides) == (table.roster.orders, table.roster.sides):
        return table, Step()
    return revise_all(table, roster, now_ms)


def revise_all(table: PairTable, roster: Roster, now_ms: int) -> tuple[PairTable, Step]:
    """``revise``, also for a part of a table in which nothing changed when the rest did: all are looked at."""
    table.clock_ms = max(table.clock_ms, now_ms)
    before = table
    table, changed = before.rebuilt(roster)
    run = InOrder(table)
    run.release(before)
    run.tick()
    for row in changed:
        run.judge_measure(row)
    for place in np.flatnonzero(table.asked_of_devices() != table.devices.rows[:, INTERVAL]).tolist():
        run.give_order(0, place, table.clock_ms, ("measures", table.clock_ms))
    return table, run.result()


def standings(table: PairTable) -> tuple[Standing, ...]:
    """How well every pair of the table is protected, as of the last tick."""
    return tuple(findings.standing(table, row, table.clock_ms) for row in range(len(table)))
