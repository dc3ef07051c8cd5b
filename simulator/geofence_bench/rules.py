"""What does the engine find when nothing may save it work? Its findings beside those of itself, taken slowly.

Of a sample of the measures each gets a table of its own, is told one fix at a time, and has no guard band: the
rules are asked at every fix, by the path for one. Whatever the batches, the columns, the bands and the other pairs
do to the findings would show. (That the rules are right is another question: tests/properties, tests/reference.)
Compared are, for each measure and code, the entries and exits in their order; hours are not, since the engine
looks between batches. A unit reports as the fleet had told it: here it takes no orders, its interval is handed in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Final

import numpy as np

from geofence import engine
from geofence.pair_table import PairTable, Roster, roster_of
from simulator.geofence_bench.reference import Ints
from tocsin.clock import MS
from tocsin.model.device import Device, DeviceKind
from tocsin.model.finding import Change, Code, Finding
from tocsin.model.fix import FIX_DTYPE, Fixes
from tocsin.model.order import Order

Sequences = Mapping[tuple[str, Code], Sequence[Change]]

NO_FIXES: Final = np.empty(0, FIX_DTYPE)
ZONES: Final = (Code.ZONE_CORE_ENTRY, Code.ZONE_ENTRY, Code.ZONE_PREALERT, Code.ZONE_EXIT)
COMPARED: Final = frozenset(
    {Code.PROX_PREALERT, Code.PROX_ALERT, Code.UNCERTAIN, Code.DEGRADED, Code.IMMINENT, *ZONES}
)


def expected(orders: Iterable[Order], numbers: Mapping[str, int], fixes: Fixes, interval_s: Ints) -> Sequences:
    """What is to be said of these measures; ``numbers`` of their devices, ``interval_s`` told at each fix."""
    order_of = np.argsort(fixes["device"], kind="stable")
    device = fixes["device"][order_of]
    found: list[Finding] = []
    for order in orders:
        his, hers = (order_of[_span(device, numbers[name])] for name in (order.wearer, order.protected))
        mine = np.sort(np.concatenate((his, hers)))
        if mine.size:
            found += _said(order, numbers, fixes[mine], interval_s[mine], int(fixes["t3_ms"][-1]))
    return sequences(found, frozenset(one.measure for one in found))


def _span(sorted_devices: Ints, number: int) -> slice:
    first, last = np.searchsorted(sorted_devices, [number, number + 1]).tolist()
    return slice(first, last)


def _said(
    order: Order, numbers: Mapping[str, int], fixes: Fixes, interval_s: Ints, end_ms: int
) -> Iterator[Finding]:
    devices = {
        name: Device(id=name, number=numbers[name], kind=DeviceKind.WEARER, reports_every_s=60)
        for name in (order.wearer, order.protected)
    }
    roster = roster_of([order], devices, partition=0, partitions=1)
    table, _ = engine.revise(PairTable(Roster()), roster, int(fixes["t3_ms"][0]) // MS * MS)
    for at, told_s in enumerate(interval_s.tolist()):
        one = fixes[at : at + 1]
        yield from _ticked(table, int(one["t3_ms"][0]))
        if table.devices.tell(table.devices.place_of[int(one["device"][0])], told_s, int(one["t3_ms"][0])):
            table.due_ms[:] = np.minimum(table.due_ms, int(one["t3_ms"][0]) // MS * MS + MS)
        table.look_always()
        yield from engine.step(table, one, int(one["t3_ms"][0])).findings
    yield from _ticked(table, end_ms)


def _ticked(table: PairTable, before_ms: int) -> Iterator[Finding]:
    """The clock, on every second at which it is due."""
    while (due_ms := int(table.due_ms.min())) < before_ms:
        yield from engine.step(table, NO_FIXES, due_ms or table.clock_ms).findings


def sequences(findings: Iterable[Finding], measures: frozenset[str]) -> Sequences:
    """What the engine said of these measures, in the codes that are compared."""
    found: dict[tuple[str, Code], list[Change]] = defaultdict(list)
    for one in findings:
        if one.measure in measures and one.code in COMPARED:
            found[one.measure, one.code].append(one.change)
    return found


def match(said: Sequences, wanted: Sequences) -> float | None:
    """The share of the changes that are in both, in order; None when nobody said anything."""
    both = every = 0
    for key in said.keys() | wanted.keys():
        mine, theirs = said.get(key, ()), wanted.get(key, ())
        blocks = SequenceMatcher(None, mine, theirs, autojunk=False).get_matching_blocks()
        both += sum(block.size for block in blocks)
        every += max(len(mine), len(theirs))
    return both / every if every else None
