"""Does a device report once in each slot, the first fix that it has, and obey for the next report?

Invented receivers, a fix each second unless said otherwise. Times in seconds of the story.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

import pytest

from simulator.evaluation.unit import Unit


def unit(
    fixes_s: Iterable[int] = range(1000), *, wake_s: int = 0, end_s: int = 1000, interval_s: int = 60
) -> Unit:
    return Unit([at_s * 1000 for at_s in fixes_s], wake_s * 1000, end_s * 1000, interval_s * 1000)


def reports_s(device: Unit, until_s: float = inf) -> list[int]:
    """The hours of what it sends before ``until_s``."""
    sent = []
    while device.sends_at_ms < until_s * 1000:
        sent.append(device.fixes_ms[device.send()] // 1000)
    return sent


@pytest.mark.parametrize(
    ("fixes_s", "expected_s"),
    [
        (range(100), [5, 25, 45, 65, 85]),
        (range(0, 100, 7), [7, 28, 49, 70, 91]),  # the first fix at or after the slot's beginning, not the nearest
        ([5, 6, 7, 44, 45, 90], [5, 44, 45, 90]),  # a slot without a fix is silent; the slots stay where they are
        ([30, 31, 99], [30, 99]),
        ([], []),
    ],
)
def test_the_first_fix_of_each_slot(fixes_s: Iterable[int], expected_s: list[int]) -> None:
    assert reports_s(unit(fixes_s, wake_s=5, interval_s=20)) == expected_s


def test_no_slot_begins_at_the_end_but_the_last_one_is_heard_out() -> None:
    assert reports_s(unit(range(0, 200, 9), end_s=60, interval_s=20)) == [0, 27, 45]
    assert reports_s(unit([0, 20, 55, 61, 62], end_s=60, interval_s=20)) == [0, 20, 55]
    assert reports_s(unit([0, 20, 61, 62], end_s=60, interval_s=20)) == [0, 20]
    assert reports_s(unit([0, 20, 58], end_s=50, interval_s=20)) == [0, 20, 58]


def test_a_shorter_interval_that_has_passed_already_reports_at_once() -> None:
    device = unit()
    assert reports_s(device, until_s=30) == [0]
    device.obey(10_000, 30_000)
    assert reports_s(device, until_s=61) == [30, 40, 50, 60]


def test_a_shorter_interval_that_has_not_passed_yet_waits_for_its_hour() -> None:
    device = unit()
    assert reports_s(device, until_s=4) == [0]
    device.obey(10_000, 4_000)
    assert reports_s(device, until_s=31) == [10, 20, 30]


def test_a_longer_interval_counts_from_the_next_report_on() -> None:
    device = unit(interval_s=10)
    assert reports_s(device, until_s=24) == [0, 10, 20]
    device.obey(60_000, 24_000)
    assert reports_s(device, until_s=200) == [30, 90, 150]


def test_the_last_word_counts() -> None:
    device = unit()
    reports_s(device, until_s=20)
    device.obey(5_000, 20_000)
    device.obey(30_000, 20_000)
    assert reports_s(device, until_s=90) == [20, 50, 80]


def test_a_fix_asked_for_comes_at_once_and_the_interval_stays() -> None:
    device = unit(range(0, 1000, 4))
    assert reports_s(device, until_s=21) == [0]
    device.report_now(21_000)
    assert reports_s(device, until_s=150) == [24, 84, 144]


def test_in_a_hole_of_its_receiver_it_reports_when_it_can_whatever_it_was_told_meanwhile() -> None:
    device = unit([0, 300, 301, 302, 303, 304, 305])
    assert reports_s(device, until_s=100) == [0]
    device.obey(5_000, 100_000)
    device.obey(60_000, 200_000)
    device.report_now(250_000)
    assert device.sends_at_ms == 300_000


def test_it_never_says_one_fix_twice_and_after_its_end_nothing() -> None:
    device = unit(end_s=100)
    assert reports_s(device, until_s=61) == [0, 60]
    device.report_now(60_000)
    assert reports_s(device, until_s=62) == [61]
    reports_s(device)
    device.obey(1_000, 100_000)
    assert device.sends_at_ms == inf
