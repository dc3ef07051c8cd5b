"""Are rates and floods those of ISA-18.2? F25: at most one actionable alarm an operator and slot; F26, F28."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.alarm_rates import SLOT_S, Flood, rates

SLOT_MS = SLOT_S * 1000
FROM_MS = 1_795_262_400_000


def of(*alarms: int, operators: int = 1):
    counted = {(slot, 2): number for slot, number in enumerate(alarms) if number}
    return rates(counted, from_ms=FROM_MS, to_ms=FROM_MS + len(alarms) * SLOT_MS, operators=operators)


def flood(first: int, behind: int, alarms: int) -> Flood:
    return Flood(from_ms=FROM_MS + first * SLOT_MS, until_ms=FROM_MS + behind * SLOT_MS, alarms=alarms)


def test_nothing_is_nothing() -> None:
    found = of(0, 0, 0)
    assert (found.alarms, found.mean, found.worst, found.over, found.floods) == (0, 0, 0, 0, ())


def test_rates_are_of_one_operator() -> None:
    found = of(4, 0, 8, 0, operators=4)
    assert (found.mean, found.worst) == (0.75, 2.0)


@pytest.mark.parametrize(
    ("alarms", "expected"),
    [
        ((0, 9, 9, 0), ()),
        ((0, 10, 0, 0), (flood(1, 2, 10),)),
        ((0, 10, 5, 4, 10), (flood(1, 3, 15), flood(4, 5, 10))),
        ((12, 7, 6), (flood(0, 3, 25),)),
        ((3, 0, 0, 30), (flood(3, 4, 30),)),
    ],
)
def test_a_flood_begins_at_ten_and_ends_below_five(alarms: tuple[int, ...], expected: tuple[Flood, ...]) -> None:
    assert of(*alarms).floods == expected


def test_two_operators_read_twice_as_many() -> None:
    assert of(0, 19, 0, operators=2).floods == ()
    assert of(0, 20, 0, operators=2).floods == (flood(1, 2, 20),)


def test_a_window_that_is_no_whole_number_of_slots_ends_where_it_ends() -> None:
    found = rates({(0, 1): 3, (1, 1): 40}, from_ms=FROM_MS, to_ms=FROM_MS + SLOT_MS + 1, operators=1)
    assert found.slots == 2
    assert found.floods[0].until_ms == FROM_MS + SLOT_MS + 1
    assert found.over == 0.5


@given(st.lists(st.integers(0, 30), min_size=1, max_size=40), st.integers(1, 5))
def test_every_slot_of_ten_an_operator_lies_in_a_flood_and_no_flood_overlaps(
    alarms: list[int], operators: int
) -> None:
    found = of(*alarms, operators=operators)
    for slot, number in enumerate(alarms):
        at_ms = FROM_MS + slot * SLOT_MS
        within = [one for one in found.floods if one.from_ms <= at_ms < one.until_ms]
        assert len(within) == 1 if number >= 10 * operators else len(within) <= 1
    edges = [edge for one in found.floods for edge in (one.from_ms, one.until_ms)]
    assert edges == sorted(edges)
    assert sum(one.alarms for one in found.floods) <= found.alarms == sum(alarms)
