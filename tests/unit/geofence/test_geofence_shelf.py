"""Which snapshots of the past are still there, when somebody comes late? F10: what was decided can be seen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from geofence import shelf
from geofence.shelf import KEPT_MS, SLOTS, Shelf, Slot

MINUTE_MS = 60_000


def filled(hours_ms: list[int]) -> Shelf:
    made = Shelf()
    for sequence, at_ms in enumerate(hours_ms):
        made = made.with_one(Slot(number=made.room(at_ms), sequence=sequence, step=0, at_ms=at_ms))
    return made


gaps = st.lists(st.sampled_from([1, 100, 20_000, 125_000, 300_000, 4_000_000]), max_size=120)


@given(gaps)
def test_it_is_bounded_in_order_and_has_the_newest(steps_ms: list[int]) -> None:
    hours_ms = [10**12 + sum(steps_ms[:at]) for at in range(1, len(steps_ms) + 1)]
    kept = [slot.at_ms for slot in filled(hours_ms).slots]
    assert len(kept) == min(len(hours_ms), SLOTS)
    assert kept == sorted(kept)
    assert kept[-1:] == hours_ms[-1:]
    assert {slot.number for slot in filled(hours_ms).slots} == set(range(len(kept)))


@given(gaps)
def test_of_the_last_hour_the_beginning_is_never_lost(steps_ms: list[int]) -> None:
    """Whoever is late by an hour finds one from before that; as long as there was any."""
    hours_ms = [10**12 + sum(steps_ms[:at]) for at in range(1, len(steps_ms) + 1)]
    if hours_ms and hours_ms[0] < hours_ms[-1] - KEPT_MS:
        assert filled(hours_ms).before(hours_ms[-1] - KEPT_MS)


def test_an_hour_of_ordinary_snapshots_is_all_there() -> None:
    hours_ms = [5 * MINUTE_MS * number for number in range(100)]
    kept = filled(hours_ms)
    assert {slot.at_ms for slot in kept.slots} >= set(hours_ms[-13:])


def test_a_burst_of_changes_thins_itself() -> None:
    """An import of a thousand measures in two minutes: the hour before it is still there."""
    ordinary = [5 * MINUTE_MS * number for number in range(13)]
    burst = [ordinary[-1] + 100 * number for number in range(1, 1_001)]
    kept = {slot.at_ms for slot in filled([*ordinary, *burst]).slots}
    assert kept >= {*ordinary, burst[-1]}


def test_what_was_written_when_something_was_decided_may_be_behind_it() -> None:
    kept = filled([1_000, 2_000, 3_000])
    assert [slot.at_ms for slot in kept.before(3_000)] == [2_000, 1_000]
    assert kept.before(1_000) == []


def test_it_comes_back_and_one_that_cannot_be_read_is_empty() -> None:
    kept = filled([1_000, 2_000])
    assert shelf.load(shelf.dump(kept)) == kept
    assert shelf.load(None) == shelf.load(b"not one") == shelf.load(b'{"slots":[{}]}') == Shelf()
