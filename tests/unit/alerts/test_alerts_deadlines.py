"""Which line begins when? The rule of DOMAIN section 2 as a table, and what holds whatever happens."""

from __future__ import annotations

import pytest
from builders import NOW_MS
from hypothesis import given
from hypothesis import strategies as st

from alerts.deadlines import (
    FAILS_AFTER_BEGUN_MS,
    HEAD_START_MS,
    PATIENCE,
    USUAL_FIRST_MS,
    USUAL_MAX_MS,
    USUAL_OF,
    LineState,
    Plan,
    is_settled,
    plan,
    usual_ms,
)

ZERO = NOW_MS


def line(begun_s: float | None = None, usual_s: float = 0.1, **changes: bool) -> LineState:
    begun_ms = None if begun_s is None else ZERO + int(begun_s * 1000)
    return LineState(usual_ms=int(usual_s * 1000), begun_ms=begun_ms, **changes)


def begin(index: int, at_s: float = 0.0, *, failed: bool = False) -> Plan:
    return Plan(begin=index, look_ms=ZERO + round(at_s * 1000), failed=failed)


def look(at_s: float | None, *, failed: bool = False) -> Plan:
    return Plan(look_ms=None if at_s is None else ZERO + round(at_s * 1000), failed=failed)


@pytest.mark.parametrize(
    ("priority", "lines", "now_s", "answer"),
    [
        (1, [line(), line(), line()], 0, begin(0)),
        (1, [line(), line(), line()], 99, begin(0, 99)),
        (1, [line(0), line(), line()], 0, look(1.9)),
        (1, [line(0), line(), line()], 1.9, begin(1, 1.9)),
        (1, [line(0, 0.5), line(), line()], 1.4, look(1.5)),
        (1, [line(0, 2.5), line(), line()], 0, look(0.25)),  # it never answers within the budget
        (1, [line(0), line(1.9, 0.4), line()], 2, look(4.6)),
        (1, [line(0), line(1.9), line()], 4.9, begin(2, 4.9)),
        (1, [line(0), line(1.9), line(4.9)], 5, look(15)),
        (1, [line(0), line(1.9), line(4.9)], 15, look(None, failed=True)),
        (1, [line(0), line(), line()], 16, begin(1, 16, failed=True)),
        (2, [line(0), line(), line()], 0, look(2.9)),
        (2, [line(0), line(2.9), line()], 3, look(9.9)),
        (2, [line(0)], 0, look(15)),
        (3, [line(0), line(), line()], 0, look(9.9)),
        (3, [line(0), line(9.9), line(29.9)], 40, look(None)),
        (4, [line(0), line(), line()], 0, look(59.9)),
        (5, [line(0), line(), line()], 0, look(299.9)),
        # what has ended waits for no hour
        (1, [line(0, ended=True), line(), line()], 0.1, begin(1, 0.1)),
        (5, [line(0, ended=True), line(1, ended=True), line()], 1, begin(2, 1)),
        # a courier that comes late gives everybody a head start, and says nothing of what it has not tried
        (1, [line(60), line(), line()], 60, look(60.25)),
        (1, [line(60), line(60.25), line(60.5)], 60.5, look(65)),
        (1, [line(60), line(60.25), line(60.5)], 65, look(None, failed=True)),
        # settled: nothing more, whoever took it first
        (1, [line(0, took=True, ended=True), line(), line()], 99, Plan()),
        (1, [line(0), line(1.9, took=True, ended=True), line()], 99, Plan()),
        # somebody else has heard of it, and the recipient has not
        (1, [line(0), line(1.9, took=True, ended=True, settles=False)], 2, look(15)),
        (1, [line(0), line(1.9, took=True, ended=True, settles=False)], 15, look(None, failed=True)),
    ],
)
def test_the_plan(priority: int, lines: list[LineState], now_s: float, answer: Plan) -> None:
    assert plan(lines, priority, ZERO, ZERO + round(now_s * 1000)) == answer


@pytest.mark.parametrize(
    ("accepted_ms", "usual"),
    [
        ([], USUAL_FIRST_MS),
        ([20] * 7, USUAL_FIRST_MS),
        ([20] * 8, 20),
        ([20] * 9 + [2_900], 20),
        ([20] * 8 + [2_900] * 2, 2_900),
        ([9_000] * 10, USUAL_MAX_MS),
        ([2_900] * 40 + [20] * USUAL_OF, 20),
    ],
)
def test_the_usual_time_is_that_of_nine_acceptances_in_ten(accepted_ms: list[int], usual: int) -> None:
    assert usual_ms(accepted_ms) == usual


def test_of_every_priority_it_is_known_how_long_it_may_take() -> None:
    assert sorted(PATIENCE) == [1, 2, 3, 4, 5]
    for one in PATIENCE.values():
        assert all(budget <= latest for budget, latest in zip(one.budgets_s, one.latest_s, strict=True))
    assert [PATIENCE[n].fails_s for n in (1, 2, 3)] == [15, 15, None]


USUAL = st.integers(0, USUAL_MAX_MS)
FATES = st.lists(
    st.tuples(USUAL, st.booleans(), st.one_of(st.none(), st.integers(0, 20_000)), st.booleans()),
    min_size=1, max_size=3,
)  # fmt: skip
"""Of each line: its usual time, whether it settles, after how long it ends, and whether it took it then."""


def life(
    fates: list[tuple[int, bool, int | None, bool]], priority: int, late_ms: int
) -> tuple[list[LineState], int | None]:
    """Walked as the shell walks it: each change and each look, nothing between. When it failed, if it did."""
    lines = [LineState(usual_ms=usual, settles=settles) for usual, settles, _, _ in fates]
    now_ms, failed_ms = ZERO + late_ms, None
    for _ in range(200):
        for state, (_, _, after_ms, took) in zip(lines, fates, strict=True):
            if state.begun_ms is not None and after_ms is not None and now_ms >= state.begun_ms + after_ms:
                state.ended, state.took = True, took
        answer = plan(lines, priority, ZERO, now_ms)
        if answer.failed and failed_ms is None:
            failed_ms = now_ms
        if answer.begin is not None:
            assert not is_settled(lines)
            assert lines[answer.begin].begun_ms is None, "never twice"
            assert all(one.begun_ms is not None for one in lines[: answer.begin]), "in order"
            lines[answer.begin].begun_ms = now_ms
            continue
        ends = [
            state.begun_ms + after_ms
            for state, (_, _, after_ms, _) in zip(lines, fates, strict=True)
            if state.begun_ms is not None and after_ms is not None and not state.ended
        ]
        hours = [*ends, *([] if answer.look_ms is None else [answer.look_ms])]
        if not hours:
            return lines, failed_ms
        assert min(hours) > now_ms, "never in a circle"
        now_ms = min(hours)
    raise AssertionError("it never came to rest")


@given(fates=FATES, priority=st.sampled_from([1, 2]), late_ms=st.integers(0, 60_000))
def test_nobody_waits_longer_than_5_and_10_and_15_s(
    fates: list[tuple[int, bool, int | None, bool]], priority: int, late_ms: int
) -> None:
    lines, failed_ms = life(fates, priority, late_ms)
    settled_ms = min(
        (
            one.begun_ms + after_ms
            for one, (_, settles, after_ms, took) in zip(lines, fates, strict=True)
            if one.begun_ms is not None and after_ms is not None and took and settles
        ),
        default=None,
    )
    for index, bound_ms in enumerate((0, 5_000, 10_000)[: len(lines)]):
        latest_ms = ZERO + max(bound_ms, late_ms + index * HEAD_START_MS)
        begun_ms = lines[index].begun_ms
        if begun_ms is None:
            assert settled_ms is not None, "only what is taken is tried no more"
            assert settled_ms <= latest_ms
        else:
            assert begun_ms <= latest_ms
    said_ms = ZERO + max(15_000, late_ms + FAILS_AFTER_BEGUN_MS)
    assert failed_ms == (None if settled_ms is not None and settled_ms <= said_ms else said_ms)


@given(fates=FATES, priority=st.integers(1, 5), late_ms=st.integers(0, 60_000))
def test_no_line_begins_twice_or_after_the_end_whatever_happens(
    fates: list[tuple[int, bool, int | None, bool]], priority: int, late_ms: int
) -> None:
    lines, failed_ms = life(fates, priority, late_ms)
    assert is_settled(lines) or all(one.begun_ms is not None for one in lines)
    assert failed_ms is None or priority <= 2
