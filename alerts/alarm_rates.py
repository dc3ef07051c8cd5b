"""How many alarms did an operator get, and when were they too many to read? ISA-18.2; F25, F26, F28, F39.

Over slots of ten minutes from the beginning of the window. An *alarm* here is one time that operators were told: a
raising, a re-entry too, of P1 to P4 (P5 wants nobody). The *rate* is alarms a slot, divided by the operators who
were planned. A *flood* begins with a slot of FLOOD_FROM alarms an operator or more and ends before the first one
with fewer than FLOOD_UNTIL: the numbers of the standard. *Chattering* and *stale* are defined in ``alerts.load``.

Pure; milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from tocsin.clock import MS

SLOT_S: Final = 600
FLOOD_FROM: Final = 10.0  # alarms a slot and operator: nobody reads more than one a minute
FLOOD_UNTIL: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Flood:
    """From the beginning of its first slot to the end of its last."""

    from_ms: int
    until_ms: int
    alarms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """``mean`` and ``worst``: alarms a slot and operator. ``over``: the share of the slots with more than
    FLOOD_FROM of them. ``by_priority``: how many alarms of each."""

    slots: int
    alarms: int
    mean: float
    worst: float
    over: float
    by_priority: Mapping[int, int]
    floods: tuple[Flood, ...]

    @property
    def flood_s(self) -> int:
        return sum(one.until_ms - one.from_ms for one in self.floods) // MS


def rates(counted: Mapping[tuple[int, int], int], *, from_ms: int, to_ms: int, operators: int) -> Rates:
    """``counted``: alarms by slot (0 begins at ``from_ms``) and priority. A last slot that is not whole counts as
    one: its alarms were read in less time, not in more."""
    slots = -(-(to_ms - from_ms) // (SLOT_S * MS))
    by_slot: dict[int, int] = {}
    by_priority: dict[int, int] = {}
    for (slot, priority), number in counted.items():
        by_slot[slot] = by_slot.get(slot, 0) + number
        by_priority[priority] = by_priority.get(priority, 0) + number
    alarms = sum(by_slot.values())
    return Rates(
        slots=slots,
        alarms=alarms,
        mean=alarms / operators / slots,
        worst=max(by_slot.values(), default=0) / operators,
        over=sum(number / operators > FLOOD_FROM for number in by_slot.values()) / slots,
        by_priority=dict(sorted(by_priority.items())),
        floods=tuple(_floods(by_slot, from_ms, to_ms, operators)),
    )


def _floods(by_slot: Mapping[int, int], from_ms: int, to_ms: int, operators: int) -> Iterator[Flood]:
    begun: int | None = None
    alarms = 0
    last = max(by_slot, default=-1)
    for slot in range(min(by_slot, default=0), last + 2):  # one slot behind the last: empty, which ends any flood
        number = by_slot.get(slot, 0)
        if begun is None and number / operators >= FLOOD_FROM:
            begun, alarms = slot, 0
        if begun is not None and number / operators < FLOOD_UNTIL:
            until_ms = min(to_ms, from_ms + slot * SLOT_S * MS)
            yield Flood(from_ms=from_ms + begun * SLOT_S * MS, until_ms=until_ms, alarms=alarms)
            begun = None
        alarms += number
