"""Several protected persons to one wearer and the reverse, on any partitions: who judges a measure, and beside
which others, is nobody's business.

Each partition has a table of its measures alone and hears every message of their devices. One thing may differ,
and is left out by units that take no orders: a unit that several measures share is asked for the shortest interval
that any of them wants, so with more measures in one table more is heard, and silence is told sooner. On the way to
the unit that is mended by ``alerts.downlink``, which folds what the partitions ask (tests/unit/alerts).
"""

from __future__ import annotations

from collections import Counter

import msgspec
import numpy as np
import pytest
from geofence_streams import CASTS, NO_FIXES, T0_MS, Act, Cast, acts, messages
from geofence_streams import roster as whole_roster
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.downlink import shortest
from geofence import engine
from geofence.pair_table import PairTable, Roster, roster_of
from tocsin.model.command import Action, Command
from tocsin.model.device import Device, DeviceKind
from tocsin.model.fix import ABSENT, FIX_DTYPE, Source
from tocsin.model.order import Order

PARTITIONS = (1, 2, 5)
TANGLED = {
    **CASTS[3],
    "msr_e": (5, 2, 1, 0.0, np.inf),
    "msr_f": (2, 6, 2, 15.0, 400.0),
    "msr_g": (6, 1, 1, 0.0, np.inf),
}
"""Everybody hangs together with everybody; 2 is protected here and watched there."""

places = st.tuples(*[st.integers(0, 9_000)] * 6)
stories = st.tuples(st.sampled_from([10, 30]), places, st.lists(acts, max_size=60))
HERS = ("b0000002", "b0000003", "b0000006")


def world(every_s: int, apart_m: tuple[int, ...]) -> tuple[Cast, list[Order], dict[str, Device]]:
    cast = Cast(TANGLED, apart_m, every_s)
    roster = whole_roster(cast)
    devices = {
        one.id: msgspec.structs.replace(
            one, reports_every_s=every_s, kind=DeviceKind.PROTECTED if one.id in HERS else DeviceKind.WEARER
        )
        for one in roster.sides
    }
    return cast, list(roster.orders), devices


def judged(rosters: list[Roster], fixes: np.ndarray) -> dict[str, list[bytes]]:
    """What each measure hears, in its order: every table by itself, by the second."""
    told: dict[str, list[bytes]] = {}
    for roster in rosters:
        table, first = engine.revise(PairTable(Roster()), roster, T0_MS - 1000)
        steps = [first]
        for at, hour_ms in enumerate(fixes["t3_ms"].tolist()):
            steps.append(engine.step(table, NO_FIXES, hour_ms // 1000 * 1000))
            steps.append(engine.step(table, fixes[at : at + 1], hour_ms))
        last_ms = int(fixes["t3_ms"].max()) // 1000 * 1000
        steps += [engine.step(table, NO_FIXES, last_ms + 1000 * second) for second in range(1, 400)]
        for step in steps:
            assert not step.broken
            assert not step.commands
            for one in step.findings:
                told.setdefault(one.measure, []).append(msgspec.msgpack.encode(one))
    return told


def partitioned(orders: list[Order], devices: dict[str, Device], partitions: int) -> list[Roster]:
    return [roster_of(orders, devices, partition=one, partitions=partitions) for one in range(partitions)]


def alone(orders: list[Order], devices: dict[str, Device]) -> list[Roster]:
    return [roster_of([one], devices, partition=0, partitions=1) for one in orders]


@settings(max_examples=25, deadline=None)
@given(stories)
def test_the_findings_of_a_measure_do_not_follow_from_who_judges_it(story: tuple) -> None:
    every_s, apart_m, life = story
    life = [*life, Act(1, 1_000, "toward", None, "fix", 0, 50)]
    cast, orders, devices = world(every_s, apart_m)
    fixes = messages(cast, life)
    expected = judged(alone(orders, devices), fixes)
    for partitions in PARTITIONS:
        assert judged(partitioned(orders, devices, partitions), fixes) == expected


@pytest.mark.parametrize("seed", range(3))
def test_nor_do_those_about_the_quality_of_a_shared_unit(seed: int) -> None:
    """Hours of it: 1 has a clock that is off, 2 repeats her place on the move, 4 loses every second message; each
    measure of theirs is told, and the same whoever judges it."""
    _, orders, devices = world(30, (30_000,) * 6)
    heard = hours_of_six(np.random.default_rng(seed))
    heard["sent_ms"] += 9_000 * (heard["device"] == 1)
    frozen = heard["device"] == 2
    heard["lat_e6"][frozen], heard["lon_e6"][frozen], heard["speed_cms"][frozen] = 48_000_000, 2_000_000, 1_400
    heard = heard[(heard["device"] != 4) | (np.arange(heard.size) // 6 % 2 == 0)]
    expected = judged(alone(orders, devices), heard)
    names = Counter(
        (measure, msgspec.msgpack.decode(one)["code"]) for measure, told in expected.items() for one in told
    )
    for code, number in (("CLOCK_SKEW", 1), ("FROZEN_FIX", 2), ("LOW_YIELD", 4)):
        theirs = {name for name, (wearer, protected, *_) in TANGLED.items() if number in {wearer, protected}}
        whole = {name for name in theirs if TANGLED[name][4] == np.inf}
        assert whole <= {measure for measure, said in names if said == code} <= theirs
    for partitions in PARTITIONS:
        assert judged(partitioned(orders, devices, partitions), heard) == expected


@settings(max_examples=25, deadline=None)
@given(places, st.lists(acts, min_size=1, max_size=60))
def test_a_unit_that_obeys_is_told_by_several_partitions_what_one_would_tell(apart_m: tuple, life: list) -> None:
    """F14, on one stream, heard by all: the shortest of what the partitions asked last, as the downlink folds it,
    is what one table of all measures asks, as long as nobody falls silent."""
    cast, orders, devices = world(30, apart_m)
    obeying = {name: msgspec.structs.replace(one, reports_every_s=None) for name, one in devices.items()}
    heard = messages(cast, [act._replace(gap_ms=min(act.gap_ms, 1_000), kind="fix", delay_ms=0) for act in life])
    (whole,) = [asked(roster, heard) for roster in partitioned(orders, obeying, 1)]
    parts = [asked(roster, heard) for roster in partitioned(orders, obeying, 5)]
    for name, command in whole.items():
        others = [one[name] for one in parts if name in one]
        assert shortest(others[0], others).interval_s == command.interval_s


def asked(roster: Roster, fixes: np.ndarray) -> dict[str, Command]:
    """The newest interval that a table asks of each device."""
    table, first = engine.revise(PairTable(Roster()), roster, T0_MS - 1000)
    steps = [first, *(engine.step(table, fixes[at : at + 1], 0) for at in range(fixes.size))]
    orders = [one for step in steps for one in step.commands]
    return {one.device: one for one in orders if one.action is Action.SET_CADENCE}


def hours_of_six(rng: np.random.Generator) -> np.ndarray:
    """Each of six gives his place every 30 s, for 1 h 40; they stay where they are, 15 km from one another."""
    fixes = np.zeros(1200, FIX_DTYPE)
    at = np.arange(fixes.size)
    fixes["device"], fixes["seq"] = 1 + at % 6, at
    fixes["fix_ms"] = fixes["sent_ms"] = T0_MS + 5_000 * at
    fixes["t3_ms"] = fixes["t4_ms"] = fixes["fix_ms"] + 400
    fixes["lat_e6"] = 48_000_000 + rng.integers(-40, 40, fixes.size)
    fixes["lon_e6"] = 2_000_000 + 200_000 * (at % 6) + rng.integers(-40, 40, fixes.size)
    fixes["speed_cms"], fixes["source"], fixes["accuracy_dm"] = ABSENT, Source.GNSS, 50
    return fixes
