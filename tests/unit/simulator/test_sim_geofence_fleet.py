"""Does the bench's fleet live as it says, and is the engine compared with the reference of the rules fairly?"""

from __future__ import annotations

from itertools import pairwise

import msgspec
import numpy as np
import pytest
from builders import entry

from geofence import engine
from simulator.geofence_bench import every_rule, rules
from simulator.geofence_bench.cost import Asked
from simulator.geofence_bench.every_rule import EveryRule
from simulator.geofence_bench.life import Fleet, name_of
from tocsin.model.command import Action, Command
from tocsin.model.finding import Change, Code, Finding
from tocsin.model.fix import FIX_DTYPE
from tocsin.model.order import Order, problems_of

PAIRS, SECONDS = 2_000, 400
T0_MS = 1_795_219_200_000


@pytest.fixture(scope="module")
def lived():
    fleet = Fleet(PAIRS, np.random.default_rng(5))
    return fleet, [fleet.second() for _ in range(SECONDS)]


def test_the_same_seed_is_the_same_life() -> None:
    def said(seed: int) -> bytes:
        fleet = Fleet(50, np.random.default_rng(seed))
        return b"".join(fleet.second()[0].tobytes() for _ in range(70))

    assert said(1) == said(1) != said(2)


def test_its_orders_can_be_carried_out() -> None:
    fleet = Fleet(100, np.random.default_rng(1))
    devices = fleet.devices()
    assert [problem for order in fleet.orders() for problem in problems_of(order, devices)] == []


def test_it_is_as_it_says(lived) -> None:
    fleet, seconds = lived
    apart = fleet.apart_m() / fleet.alert_m
    assert 0.005 < ((apart > 1) & (apart <= 2)).mean() < 0.02
    assert 0.0001 < (apart <= 1).mean() < 0.004
    assert 0.001 < fleet.silent() < 0.012
    assert 0.06 < (fleet._speed > 0).mean() < 0.10
    fixes = np.concatenate([said for said, _ in seconds])
    good = fixes["accuracy_dm"] <= 300
    assert 0.003 < (~good).mean() < 0.03
    assert fixes["accuracy_dm"][good].min() >= 50
    assert 0.9 < np.median(fleet.apart_m()) / 13_000 < 1.3


def test_hours_rise_and_nothing_comes_twice(lived) -> None:
    _, seconds = lived
    fixes = np.concatenate([said for said, _ in seconds])
    assert (np.diff(fixes["t3_ms"]) >= 0).all()
    assert (fixes["fix_ms"] < fixes["t3_ms"]).all()
    order = np.lexsort((np.arange(fixes.size), fixes["device"]))
    mine = fixes[order]
    same = mine["device"][1:] == mine["device"][:-1]
    assert (np.diff(mine["fix_ms"])[same] > 0).all()


def test_who_is_near_reports_more_often(lived) -> None:
    fleet, seconds = lived
    fixes = np.concatenate([said for said, _ in seconds[-120:]])
    often = np.bincount(fixes["device"], minlength=fleet.protected[-1] + 2)[1:][fleet.protected]
    apart = fleet.apart_m() / fleet.alert_m
    assert np.median(often[apart <= 1]) >= 20
    assert 10 <= np.median(often[(apart > 1.1) & (apart < 1.9)]) <= 13
    assert np.median(often[apart > 4.5]) == 2


def test_a_unit_obeys() -> None:
    fleet = Fleet(20, np.random.default_rng(3))
    for _ in range(130):
        fleet.second()
    device = name_of(0)
    fleet.obey([Command(id="c", device=device, action=Action.SET_CADENCE, at_ms=0, expires_ms=1, interval_s=5)])
    said = np.concatenate([fleet.second()[0] for _ in range(50)])
    assert (said["device"] == 1).sum() in (9, 10, 11)


# --- compared with the reference of the rules ----------------------------------------------------------------


def finding(measure: str, code: Code, change: Change) -> Finding:
    return entry(measure=measure, code=code, change=change)


def changes(*words: str) -> dict[tuple[str, Code], list[Change]]:
    return {("msr_a", Code.PROX_ALERT): [Change(word) for word in words]}


def test_the_share_counts_what_is_missing_and_what_is_too_much() -> None:
    assert rules.match(changes("entry", "exit"), changes("entry", "exit")) == 1.0
    assert rules.match(changes("entry"), changes("entry", "exit")) == 0.5
    assert rules.match(changes("entry", "exit"), changes("entry")) == 0.5
    assert rules.match({}, changes("entry")) == 0.0
    assert rules.match(changes("entry"), {}) == 0.0
    assert rules.match({}, {}) is None


def walk(metres: list[float], every_s: int = 10):
    """She at the origin, he so far north, in turn; one message each every ``every_s``."""
    fixes = np.zeros(2 * len(metres), FIX_DTYPE)
    fixes["device"] = np.tile([1, 2], len(metres))
    fixes["fix_ms"] = (
        T0_MS + 1000 * np.repeat(np.arange(len(metres)) * every_s, 2) + np.tile([0, 500], len(metres))
    )
    fixes["t3_ms"] = fixes["fix_ms"] + 300
    fixes["lat_e6"], fixes["lon_e6"], fixes["accuracy_dm"] = 48_000_000, 2_000_000, 80
    fixes["lat_e6"][::2] += np.rint(np.array(metres) / 0.111195).astype(np.int32)
    return fixes, np.full(fixes.size, every_s)


ORDER = Order(
    id="msr_a", version=1, wearer="b1", protected="b2",
    alert_distance_m=1000, valid_from_ms=0, valid_until_ms=2**61,
)  # fmt: skip


def test_the_reference_hears_the_walk_and_says_what_the_rules_say() -> None:
    fixes, told_s = walk([3000, 2500, 1900, 1500, 900, 900, 900, 1500, 2500, 3500, 3500])
    found = rules.expected([ORDER], {"b1": 1, "b2": 2}, fixes, told_s)
    assert found["msr_a", Code.PROX_ALERT] == [Change.ENTRY, Change.EXIT]
    assert found["msr_a", Code.PROX_PREALERT] == [Change.ENTRY, Change.EXIT]


def test_the_reference_hears_the_clock_between_and_after_the_fixes() -> None:
    """He falls silent near the ring: nothing but the clock can tell (F15)."""
    fixes, _ = walk([1500] * 5)
    hers = fixes[-1:].repeat(20)
    hers["fix_ms"] += 10_000 * np.arange(1, 21)
    hers["t3_ms"] = hers["fix_ms"] + 300
    found = rules.expected([ORDER], {"b1": 1, "b2": 2}, np.concatenate((fixes, hers)), np.full(30, 10))
    assert found["msr_a", Code.UNCERTAIN] == [Change.ENTRY]
    assert found["msr_a", Code.DEGRADED] == [Change.ENTRY]


def test_other_measures_and_moments_are_not_compared() -> None:
    kept = finding("msr_a", Code.PROX_ALERT, Change.ENTRY)
    others = [
        finding("msr_b", Code.PROX_ALERT, Change.ENTRY),
        finding("msr_a", Code.EVIDENTIAL_BREACH, Change.ENTRY),
        finding("msr_a", Code.W_COMMS_LOSS, Change.ENTRY),
    ]
    said = rules.sequences([kept, *others], frozenset({"msr_a"}))
    assert dict(said) == changes("entry")


def test_every_whole_batch_is_fed_in_order_and_no_tick_comes_after_what_it_precedes() -> None:
    fleet = EveryRule(Asked(pairs=[100], warm_s=0, updates={}), 100)
    fleet._wait_for(30)
    waiting = fleet._waiting.copy()
    inputs = list(fleet._inputs(10))
    assert [fixes.size for _, fixes in inputs if fixes.size] == [10] * (waiting.size // 10)
    assert np.concatenate([*(fixes for _, fixes in inputs), fleet._waiting]).tobytes() == waiting.tobytes()
    for (tick_ms, none), (_, fixes) in pairwise(inputs):
        if not none.size:
            assert tick_ms % 1000 == 0
            assert tick_ms <= fixes["t3_ms"][0] < tick_ms + 1000


class Forgetful:
    """In the engine's place: the engine, of which every so many-th finding is lost."""

    def __init__(self, drops: int) -> None:
        self.drops, self.said = drops, 0
        self.revise = engine.revise

    def step(self, table, batch, now_ms):
        step = engine.step(table, batch, now_ms)
        return msgspec.structs.replace(step, findings=tuple(one for one in step.findings if self._keeps()))

    def _keeps(self) -> bool:
        self.said += 1
        return not self.drops or self.said % self.drops != 0


@pytest.mark.parametrize(("drops", "least", "most"), [(0, 0.95, 1.0), (4, 0.6, 0.9)])
def test_the_engine_matches_itself_taken_slowly_and_one_that_forgets_does_not(
    monkeypatch, drops, least, most
) -> None:
    """Through everything that the real engine goes through: batches, ticks, sample."""

    monkeypatch.setattr(every_rule, "engine", Forgetful(drops))
    asked = Asked(pairs=[800], passes=1, warm_s=200, updates={1: 300, 10: 10_000})
    fleet = EveryRule(asked, 800)
    fleet.measure(lambda _: None)
    assert len(fleet.findings) > 20
    assert {Code.PROX_PREALERT, Code.UNCERTAIN} <= {one.code for one in fleet.findings}
    share = fleet.rows()[0]["events_match"]
    assert least <= share <= most
