"""What time is it on a clock that was moved and stretched? (A14, F37)"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from builders import NOW_MS
from hypothesis import given
from hypothesis import strategies as st

from tocsin.clock import AffineClock, from_rfc3339, rfc3339, utc

YEAR_9999_MS = 253_402_300_799_999


@pytest.mark.parametrize(
    ("rate", "passed_s", "shown_ms"), [(1.0, 2.5, 2_500), (60.0, 2.5, 150_000), (0.5, 3.0, 1_500), (1000.0, 0, 0)]
)
def test_affine(rate: float, passed_s: float, shown_ms: int) -> None:
    clock = AffineClock(epoch_ms=NOW_MS, anchor_ms=1_000_000, rate=rate, wall=lambda: 1_000.0 + passed_s)
    assert clock.now_ms() == NOW_MS + shown_ms
    assert clock.wall_ms() == 1_000_000 + int(passed_s * 1000)


def test_unmoved_it_is_the_wall() -> None:
    clock = AffineClock(wall=lambda: NOW_MS / 1000)
    assert clock.now_ms() == clock.wall_ms() == NOW_MS


async def test_sleep_is_of_this_clocks_seconds() -> None:
    loop = asyncio.get_running_loop()
    start = loop.time()
    await AffineClock(rate=1000.0).sleep(50)
    await AffineClock(rate=1000.0).sleep(-50)
    assert 0.049 <= loop.time() - start < 5


@given(early=st.integers(0, 10**9), passed=st.integers(0, 10**7), rate=st.sampled_from([0.5, 1.0, 7.0, 60.0]))
def test_it_never_runs_back(early: int, passed: int, rate: float) -> None:
    hours = [early, early + passed]
    clock = AffineClock(epoch_ms=NOW_MS, anchor_ms=0, rate=rate, wall=lambda: hours.pop(0) / 1000)
    assert clock.now_ms() <= clock.now_ms()


@given(ms=st.integers(0, YEAR_9999_MS))
def test_rfc3339_round_trip(ms: int) -> None:
    assert from_rfc3339(rfc3339(ms)) == ms


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (NOW_MS + 123, "2026-11-21T00:00:00.123Z"),
        (NOW_MS + 999, "2026-11-21T00:00:00.999Z"),
        (0, "1970-01-01T00:00:00.000Z"),
        (1_774_742_399_999, "2026-03-28T23:59:59.999Z"),  # the night before the clocks change in France
    ],
)
def test_rfc3339(ms: int, text: str) -> None:
    assert rfc3339(ms) == text
    assert utc(ms) == datetime.fromisoformat(text)
    assert utc(ms).tzinfo is UTC


def test_other_zones_are_the_same_moment() -> None:
    assert from_rfc3339("2026-11-21T01:00:00+01:00") == NOW_MS


@pytest.mark.parametrize("text", ["2026-11-21T00:00:00", "2026-11-21", "tomorrow", ""])
def test_a_time_without_a_zone_is_none(text: str) -> None:
    with pytest.raises(ValueError):
        from_rfc3339(text)
