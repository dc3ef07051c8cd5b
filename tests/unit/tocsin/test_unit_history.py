"""Up to which hour is the history of a unit over? A table of lives, and properties (invariant 14, F09)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.clock import from_rfc3339
from tocsin.retention import DAY_MS, MEASURE_MONTHS, Hold, HoldKind, Terms, What, Word, plus_months
from tocsin.unit_history import Edge, Service, UnitLife, edge_of

START_MS = from_rfc3339("2026-01-05T12:00:00Z")
TERMS = Terms()
EVER_MS = plus_months(START_MS, 400)


def day(number: int) -> int:
    return START_MS + number * DAY_MS


def over(number: int) -> int:
    """The first moment at which a file whose time began that day is over."""
    return plus_months(day(number), MEASURE_MONTHS)


def served(measure: str, first: int, last: int) -> Service:
    names = frozenset({(What.MEASURE, measure), (What.DEVICE, "w-1"), (What.DEVICE, f"v-{measure}")})
    return Service(from_ms=day(first), until_ms=day(last), names=names)


def life(*services: Service, revoked: int | None = None, erased: int = -30) -> UnitLife:
    return UnitLife(
        id="w-1", number=7, first_ms=day(-30), revoked_ms=None if revoked is None else day(revoked),
        erased_ms=day(erased), services=services,
    )  # fmt: skip


def hold(what: What, subject: str) -> Hold:
    return Hold(
        id="hld_1", kind=HoldKind.HOLD, what=what, subject=subject, reason="r", authority="a", placed_by="b",
        placed_ms=0,
    )  # fmt: skip


M1, M2, WITHIN = served("m1", 0, 10), served("m2", 20, 40), served("m3", 5, 30)


@pytest.mark.parametrize(
    ("unit", "now_ms", "edge"),
    [
        pytest.param(life(M1), over(0) - 1, -30, id="before the measure it served nobody, until it began"),
        pytest.param(life(M1), over(0), 0, id="the days before the measure"),
        pytest.param(life(M1), over(10) - 1, 0, id="one millisecond short"),
        pytest.param(life(M1), over(10), 10, id="the measure is over"),
        pytest.param(life(M1), EVER_MS, 10, id="in a drawer: no end, the one bound of all takes it"),
        pytest.param(life(M1, revoked=15), over(15) - 1, 10, id="in a drawer until it was revoked"),
        pytest.param(life(M1, revoked=15), over(15), 15, id="revoked"),
        pytest.param(life(M1, M2), over(20) - 1, 10, id="between two measures: until the second began"),
        pytest.param(life(M1, M2), over(20), 20, id="nobody's days are over, the second measure's not"),
        pytest.param(life(M1, M2), over(40), 40, id="both"),
        pytest.param(life(M1, WITHIN), over(10), 5, id="of two measures the longer one decides"),
        pytest.param(life(M1, WITHIN), over(30), 30, id="until it is over too"),
        pytest.param(life(served("m1", 0, 30), served("m4", 5, 10)), over(10), 0, id="a short one within a long"),
        pytest.param(life(served("m1", 3, 3), M2), over(20), 20, id="ended before it began: serves nobody"),
        pytest.param(life(M1, erased=10), EVER_MS, 10, id="what is gone is not looked at again"),
        pytest.param(life(), EVER_MS, -30, id="never served, never revoked"),
        pytest.param(life(revoked=2), over(2), 2, id="never served, revoked"),
    ],
)
def test_what_is_over_ends_at(unit: UnitLife, now_ms: int, edge: int) -> None:
    assert edge_of(unit, (), now_ms, TERMS).at_ms == day(edge)


@pytest.mark.parametrize(
    ("held", "edge"),
    [
        ((What.MEASURE, "m1"), 0),
        ((What.DEVICE, "w-1"), -30),
        ((What.DEVICE, "v-m1"), 0),  # the other party's unit: the whole measure is held
        ((What.MEASURE, "m2"), 20),
        ((What.DEVICE, "v-m2"), 20),
        ((What.MEASURE, "of others"), 40),
    ],
)
def test_what_is_held_stands_still_with_everything_behind_it(held: tuple[What, str], edge: int) -> None:
    said = edge_of(life(M1, M2), [hold(*held)], over(40), TERMS)
    assert said.at_ms == day(edge)
    assert (said.said is not None and said.said.word is Word.HELD) == (edge != 40)


services = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda days: (min(days), max(days))), max_size=5
).map(lambda spans: [served(f"m{number}", *span) for number, span in enumerate(spans)])


@given(services=services, now=st.integers(-5, 70), revoked=st.none() | st.integers(61, 70))
def test_no_hour_goes_before_the_last_of_its_measures_is_over(
    services: list[Service], now: int, revoked: int | None
) -> None:
    """And each goes as soon as all that was before it may."""
    now_ms = over(now)
    edge = edge_of(life(*services, revoked=revoked), (), now_ms, TERMS)
    for hour in range(-30, 70):
        ends = [one.until_ms for one in services if one.from_ms <= day(hour) < one.until_ms]
        if ends and max(ends) > day(now):
            assert edge.at_ms <= day(hour)
        assert edge.at_ms <= max(day(now), day(-30)), "nothing younger than six years"
    if all(one.until_ms <= day(now) for one in services) and revoked is not None and revoked <= now:
        assert edge == Edge(at_ms=day(revoked), said=None)


@given(services=services, first=st.integers(-5, 70), later=st.integers(0, 40))
def test_an_edge_never_moves_back(services: list[Service], first: int, later: int) -> None:
    unit = life(*services)
    edges = [edge_of(unit, (), over(now), TERMS).at_ms for now in (first, first + later)]
    assert edges == sorted(edges)
