"""What would the reference of the rules have found? The engine's findings beside those of ``interval``.

``simulator.evaluation.interval`` is the specification of the rules as code, scalar and slow (docs/adr/0019). It
hears every fix of a sample of the pairs, and the clock whenever it is due, and says what began and ended. Compared
are, for each measure and code, the entries and exits in their order; hours are not, since the engine looks between
batches.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Final

import numpy as np

from simulator.evaluation.interval.change import Change as Changed
from simulator.evaluation.interval.change import Kind
from simulator.evaluation.interval.device import seen
from simulator.evaluation.interval.pair import PROTECTED, WEARER, Pair
from simulator.geofence_bench.reference import Ints
from tocsin.clock import MS
from tocsin.geodesy import ecef_one
from tocsin.model.finding import Change, Code, Finding
from tocsin.model.fix import Fixes
from tocsin.model.order import Order

Sequences = Mapping[tuple[str, Code], Sequence[Change]]

MEANING: Final[Mapping[Kind, tuple[Code, Change]]] = {
    Kind.PRE_ALERT: (Code.PROX_PREALERT, Change.ENTRY),
    Kind.PRE_ALERT_END: (Code.PROX_PREALERT, Change.EXIT),
    Kind.ALERT: (Code.PROX_ALERT, Change.ENTRY),
    Kind.ALERT_LOW_CONFIDENCE: (Code.PROX_ALERT, Change.ENTRY),
    Kind.ALERT_END: (Code.PROX_ALERT, Change.EXIT),
    Kind.UNCERTAIN: (Code.UNCERTAIN, Change.ENTRY),
    Kind.UNCERTAIN_END: (Code.UNCERTAIN, Change.EXIT),
    Kind.DEGRADED: (Code.DEGRADED, Change.ENTRY),
    Kind.DEGRADED_END: (Code.DEGRADED, Change.EXIT),
    Kind.IMMINENT: (Code.IMMINENT, Change.ENTRY),
    Kind.IMMINENT_END: (Code.IMMINENT, Change.EXIT),
}
COMPARED: Final = frozenset(code for code, _ in MEANING.values())


def expected(orders: Iterable[Order], numbers: Mapping[str, int], fixes: Fixes, interval_s: Ints) -> Sequences:
    """What ``interval`` says of these measures; ``numbers`` of their devices, ``interval_s`` told at each fix."""
    order_of = np.argsort(fixes["device"], kind="stable")
    device = fixes["device"][order_of]
    found: dict[tuple[str, Code], list[Change]] = defaultdict(list)
    for order in orders:
        his, hers = (order_of[_span(device, numbers[name])] for name in (order.wearer, order.protected))
        mine = np.sort(np.concatenate((his, hers)))
        role = np.where(fixes["device"][mine] == numbers[order.wearer], WEARER, PROTECTED)
        for one in _told(order.alert_distance_m, role, fixes[mine], interval_s[mine], int(fixes["t3_ms"][-1])):
            if one.kind in MEANING:
                code, change = MEANING[one.kind]
                found[order.id, code].append(change)
    return found


def _span(sorted_devices: Ints, number: int) -> slice:
    first, last = np.searchsorted(sorted_devices, [number, number + 1]).tolist()
    return slice(first, last)


def _told(alert_m: int, role: Ints, fixes: Fixes, interval_s: Ints, end_ms: int) -> Iterator[Changed]:
    pair = Pair(alert_m=float(alert_m))
    for one, fix, told_s in zip(role.tolist(), fixes, interval_s.tolist(), strict=True):
        received_s = int(fix["t3_ms"]) / MS
        yield from _ticks(pair, received_s)
        accuracy_dm = int(fix["accuracy_dm"])
        place = ecef_one(int(fix["lat_e6"]), int(fix["lon_e6"]))
        measured = seen(int(fix["fix_ms"]) / MS, place, None if accuracy_dm < 0 else accuracy_dm / 10)
        yield from pair.on_fix(one, received_s, measured, told_s)
    yield from _ticks(pair, end_ms / MS)


def _ticks(pair: Pair, until_s: float) -> Iterator[Changed]:
    while pair.due_s < until_s:
        yield from pair.on_tick(pair.due_s)


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
