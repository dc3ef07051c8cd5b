"""Is what DOMAIN section 2 requires of each stage what is judged? F11: the time from the event is shown."""

from __future__ import annotations

from alerts.service_levels import BOUNDS, SHARES, STAGES, broken


def measured(ms: int, **changed: int) -> dict[float, int]:
    return dict.fromkeys(SHARES, ms) | {float(share.removeprefix("p")) / 1000: at for share, at in changed.items()}


def test_a_p1_within_every_bound_breaks_none() -> None:
    assert broken(1, "t3_t8", measured(250)) == []


def test_each_bound_is_judged_by_its_own_share() -> None:
    assert broken(1, "t3_t8", measured(250, p1000=10_001)) == [(1.0, 10_000)]
    assert broken(1, "t3_t8", measured(250, p990=2_001, p999=5_000, p1000=10_000)) == [(0.99, 2_000)]
    assert broken(1, "t8_t9", measured(9_000, p985=30_001, p1000=60_001)) == [(0.985, 30_000), (1.0, 60_000)]
    assert broken(2, "t8_t9", measured(60_000, p1000=100_000)) == []


def test_what_nothing_is_asked_of_breaks_nothing() -> None:
    assert broken(5, "t6_t14", measured(10**9)) == []
    assert "t1_t8" in STAGES


def test_the_bounds_of_one_stage_grow_with_the_share() -> None:
    for bounds in BOUNDS.values():
        assert list(bounds) == sorted(bounds)
        assert [limit for _, limit in bounds] == sorted(limit for _, limit in bounds)
