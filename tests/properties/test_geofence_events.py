"""What units say of themselves is a stream like their fixes: split, by columns, one by one, twice, over a restart,
over a changed set of measures, second by second or when something is due: the same findings, byte for byte.

Cited: invariants 8 and 11, F27.
"""

from __future__ import annotations

import random
from collections import defaultdict

import numpy as np
import pytest
from geofence_loops import path
from geofence_streams import Played, long_life, messages, roster

from geofence import turns
from geofence.condition_codes import CODES
from tocsin.model.finding import LATCHED, Change
from tocsin.model.fix import ABSENT, DeviceEvent, FixFlag, Source

pytestmark = pytest.mark.usefixtures("every_loop")
SEEDS = range(8)
ALL_BY_COLUMNS, ALL_ONE_BY_ONE = 1, 10**9


def told(seed: int, size: int = 400) -> tuple[object, np.ndarray]:
    """A long life in which units say what they know of themselves; seldom anything new."""
    cast, life = long_life(seed, size)
    fixes, rng = messages(cast, life), random.Random(seed)
    own: dict[int, dict[str, int]] = defaultdict(lambda: {"battery_pct": 60, "strap": 1, "case": 1, "pair_s1": 3})
    for one in fixes:
        said = own[int(one["device"])]
        if rng.random() < 0.1:
            name, values = rng.choice(NEWS)
            said[name] = rng.choice(values)
        one["telemetry"] = rng.random() < 0.9
        for name, value in said.items():
            one[name] = value if one["telemetry"] else (ABSENT if name == "battery_pct" else 0)
        one["boot"] = 1
        if rng.random() < 0.05:
            one["event"], one["telemetry"], one["flags"] = rng.choice(list(DeviceEvent)[1:]), 1, FixFlag.PRESENCE
            if one["event"] == DeviceEvent.POWER_OFF:
                one["battery_pct"] = rng.choice([5, 60])
        elif rng.random() < 0.1 and one["telemetry"]:
            one["lat_e6"] += rng.choice([0, 180_000, 180_000])
            one["source"], one["accuracy_dm"] = Source.CELL, rng.choice([-1, 1_200, 9_000])
    return cast, fixes


NEWS = [
    ("battery_pct", [ABSENT, 0, 9, 12, 24, 28, 40, 90]), ("strap", [0, 1, 2, 2]), ("case", [0, 1, 2]),
    ("permission", [0, 1, 2]), ("pair_s1", [0, 0, 0, 1, 3, 3, 3, 30, 62, 500]),
]  # fmt: skip


def heard(cast, *batches, scalar_below: int = turns.SCALAR_BELOW) -> Played:
    played = Played(cast)
    with path(scalar_below):
        for batch in batches:
            played.hear(batch)
    return played


def memory(played: Played) -> tuple[object, ...]:
    conditions = played.table.conditions
    return (*played.memory(), conditions.known.tobytes(), conditions.of)


def compare(one: Played, other: Played) -> None:
    assert one.said() == other.said()
    assert one.stood() == other.stood()
    assert memory(one) == memory(other)
    assert one.kept() == other.kept()


def codes(played: Played) -> set[str]:
    return {finding.code for step in played.steps for finding in step.findings}


def test_these_lives_say_everything() -> None:
    """Else the properties below would prove nothing."""
    seen = set().union(*(codes(heard(*told(seed))) for seed in SEEDS))
    assert seen >= set(CODES) - {"V_DEVICE_OFF", "V_BATT_LOW"}


@pytest.mark.parametrize("seed", SEEDS)
def test_how_it_is_cut_is_nobodys_business(seed: int) -> None:
    cast, fixes = told(seed)
    whole = heard(cast, fixes)
    compare(whole, heard(cast, fixes, scalar_below=ALL_ONE_BY_ONE))
    compare(whole, heard(cast, fixes, scalar_below=ALL_BY_COLUMNS))
    compare(whole, heard(cast, *np.split(fixes, fixes.size)))
    compare(whole, heard(cast, *np.split(fixes, [7, 8, 90, 260]), scalar_below=ALL_BY_COLUMNS))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_restart_forgets_nothing(seed: int) -> None:
    cast, fixes = told(seed)
    lasting, restarted = Played(cast), Played(cast)
    for start in range(0, fixes.size, 80):
        for played in (lasting, restarted):
            played.hear(fixes[start : start + 80])
            played.tick(int(fixes["t3_ms"][start : start + 80].max()) // 1000 * 1000)
        restarted.restart()
    compare(lasting, restarted)


@pytest.mark.parametrize("seed", SEEDS)
def test_only_what_is_due_needs_a_look(seed: int) -> None:
    """Every pair asked on every second finds the same as those that are due."""
    cast, fixes = told(seed, 120)
    due, always = Played(cast), Played(cast)
    due.by_the_second(fixes)
    always.by_the_second(fixes, everybody=True)
    of_units = [
        [one for step in played.steps for one in step.findings if one.code in CODES] for played in (due, always)
    ]
    assert of_units[0] == of_units[1]


@pytest.mark.parametrize("seed", SEEDS)
def test_measures_that_come_and_go_lose_no_condition(seed: int) -> None:
    """A measure that comes back is told what is open; one that stays has heard of it."""
    cast, fixes = told(seed)
    played = Played(cast)
    played.hear(fixes[:200])
    before = dict(played.table.conditions.of)
    hour_ms = int(fixes["t3_ms"][199])
    name = next(iter(cast.measures))
    played.revise(roster(cast, without=name), hour_ms)
    played.revise(roster(cast), hour_ms)
    kept = {played.table.devices.numbers[place]: one for place, one in played.table.conditions.of.items()}
    assert all(one in before.values() for one in kept.values())
    played.tick(hour_ms + 1_000)
    row = [order.id for order in played.table.roster.orders].index(name)
    wearer = played.table.pairs[row][0]
    signs = played.table.conditions.of[wearer].signs if wearer in played.table.conditions.of else {}
    if "tampered" in signs and played.table.phase[row] == 1:
        assert played.table.states[row].opened.keys() >= LATCHED


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_ends_what_is_latched_and_nothing_ends_twice(seed: int) -> None:
    """F27, invariant 8."""
    begun: set[tuple[str, str]] = set()
    for step in heard(*told(seed)).steps:
        for one in step.findings:
            if one.change is Change.ENTRY:
                begun.add((one.measure, one.code))
            else:
                assert one.code not in LATCHED
                if one.code in CODES:
                    begun.remove((one.measure, one.code))
