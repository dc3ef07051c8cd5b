"""What one cluster of a partition decides, it decides again alone: from its part of the snapshot, the fixes of its
own units and the partition's ticks, wherever the snapshot was taken and however the fixes were batched.

Cited: F10 and invariant 11 (the same inputs, the same finding, byte for byte), invariant 15 (what was changed is
found).
"""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest
from geofence_streams import ALWAYS, CASTS, T0_MS, Act, Cast, casts, lives, long_life, messages
from geofence_streams import roster as roster_of
from hypothesis import given, settings
from hypothesis import strategies as st
from replay_world import Partition
from test_geofence_events import told
from test_geofence_quality import lives as quality_lives
from test_geofence_quality import stream

from audit.case import case_of, check
from tocsin.model.finding import Code, Finding
from tocsin.model.fix import FIX_DTYPE
from tocsin.wire import encode

splits = st.lists(st.integers(1, 9), min_size=1, max_size=4).map(tuple)
places = st.integers(0, 30)


def cases_of(partition: Partition) -> list[tuple[Finding, bytes]]:
    """All of one snapshot: to decide one of them again changes nothing in it."""
    kept, revisions = partition.snapshot(), partition.revisions()
    return [
        (one, case_of(kept, one, partition.entries, partition.ticks, revisions=revisions))
        for one in partition.found
    ]


def lived(cast: Cast, fixes: np.ndarray, *, kept_at: int, split: tuple[int, ...] = (1,)) -> Partition:
    partition = Partition(roster_of(cast), split=split)
    partition.live(fixes, kept_at=kept_at)
    return partition


def is_decided_again(partition: Partition) -> None:
    for finding, payload in cases_of(partition):
        assert check(payload) == [], (finding.code, finding.change)


@settings(max_examples=60)
@given(casts, lives, places, splits)
def test_every_finding_is_decided_again(cast: Cast, life: list[Act], kept_at: int, split: tuple[int, ...]) -> None:
    is_decided_again(lived(cast, messages(cast, life), kept_at=kept_at, split=split))


@settings(max_examples=25)
@given(casts.map(lambda cast: cast._replace(armed=True)), lives, places, splits)
def test_and_what_zones_and_hours_say(cast: Cast, life: list[Act], kept_at: int, split: tuple[int, ...]) -> None:
    is_decided_again(lived(cast, messages(cast, life), kept_at=kept_at, split=split))


@settings(max_examples=12)
@given(quality_lives, st.sampled_from([0, 40, 130]))
def test_and_what_is_said_of_the_quality_of_units(life: tuple[object, ...], kept_at: int) -> None:
    """The minutes in which units are looked at are the partition's."""
    cast = Cast(CASTS[3], (300, 0, 8_500, 6_000, 30_000, 4_000), 30)
    is_decided_again(lived(cast, stream(life), kept_at=kept_at))


@pytest.mark.parametrize("seed", range(3))
def test_and_what_units_say_of_themselves(seed: int) -> None:
    cast, fixes = told(seed)
    assert isinstance(cast, Cast)
    is_decided_again(lived(cast, fixes, kept_at=60, split=(5, 1, 2)))


@pytest.mark.parametrize("seed", range(3))
def test_in_a_long_life_with_strangers_to_it(seed: int) -> None:
    """A case has the cluster's measures, units and fixes alone, and ends with the input that gave the finding."""
    cast, life = long_life(seed)
    cast = cast._replace(measures=CASTS[3])
    partition = lived(cast, messages(cast, life), kept_at=20, split=(3, 4))
    cases = cases_of(partition)
    assert {finding.measure for finding, _ in cases} >= {"msr_a"}
    for finding, payload in cases:
        case = json.loads(payload)
        assert {order["id"] for order in case["orders"]} in ({"msr_a", "msr_b", "msr_c"}, {"msr_d"})
        numbers = {device["number"] for device in case["devices"]}
        which = case["columns"].index("device")
        assert {one["row"][which] for one in case["inputs"] if one["type"] == "fix"} <= numbers
        assert check(payload) == []
        case["inputs"].pop()
        assert check(json.dumps(case).encode()) != [], (finding.code, finding.change)


@settings(max_examples=40)
@given(casts, lives, st.integers(0, 12), st.integers(0, 20), st.permutations(["", "msr_a", "msr_b", "twice"]))
def test_across_changed_measures(cast: Cast, life: list[Act], kept_at: int, behind: int, order: list[str]) -> None:
    """A measure goes and comes back, a distance is doubled: clusters part and meet."""
    rosters = tuple(
        roster_of(cast, factor=2) if name == "twice" else roster_of(cast, without=name) for name in order
    )
    partition = Partition(roster_of(cast))
    partition.live(messages(cast, life), kept_at=kept_at, revised_at=kept_at + behind, rosters=rosters)
    is_decided_again(partition)


# --- what was changed ------------------------------------------------------------------------------------------

IN_HAND = Cast(CASTS[3], (4_000, 0, 8_500, 30_000, 30_000, 30_000), 10)
CROSSING = [Act(2, 5_000, "toward", None, "fix", 700, 50)] + [
    Act(who, 5_000, "toward", 28.0 if who == 1 else None, "fix", 700, 50) for who in [1, 2] * 20
]


@pytest.fixture(scope="module")
def crossing() -> Partition:
    return lived(IN_HAND, messages(IN_HAND, CROSSING), kept_at=4)


@pytest.fixture(scope="module")
def alert(crossing: Partition) -> dict[str, object]:
    """The case of the alert ring, as a document; a fix is its cause."""
    found = {finding.code: payload for finding, payload in cases_of(crossing)}
    case = json.loads(found[Code.PROX_ALERT])
    assert case["inputs"][-1]["type"] == "fix"
    assert check(json.dumps(case).encode()) == []
    return case


CHANGES = ("lat_e6", "lon_e6", "accuracy_dm", "fix_ms", "t3_ms", "t4_ms", "seq")


@pytest.mark.parametrize("column", CHANGES)
@given(by=st.sampled_from([-3, -1, 1, 2, 40_000]))
def test_a_fix_changed_by_one_is_another_finding(alert: dict[str, object], column: str, by: int) -> None:
    case = json.loads(json.dumps(alert))
    case["inputs"][-1]["row"][case["columns"].index(column)] += by
    assert check(json.dumps(case).encode()) != []


def without_an_order(case: dict) -> None:
    case["orders"].pop()


def another_distance(case: dict) -> None:
    case["orders"][0]["alert_distance_m"] = 2_000


def another_place_in_the_log(case: dict) -> None:
    case["sequence"] -= 1


def another_byte_of_memory(case: dict) -> None:
    text = case["snapshot"]
    case["snapshot"] = text[:200] + ("A" if text[200] != "A" else "B") + text[201:]


def another_finding(case: dict) -> None:
    case["finding"]["distance_dm"] += 1


def another_name(case: dict) -> None:
    case["finding"]["id"] = "fnd_" + "0" * 26


def a_tick_less(case: dict) -> None:
    ticks = [at for at, one in enumerate(case["inputs"]) if one["type"] == "tick"]
    del case["inputs"][ticks[0]]


def a_place_beyond_the_earth(case: dict) -> None:
    case["inputs"][-1]["row"][case["columns"].index("lat_e6")] = 2**40


def a_value_short(case: dict) -> None:
    case["inputs"][-1]["row"].pop()


@pytest.mark.parametrize(
    "change",
    [without_an_order, another_distance, another_place_in_the_log, another_byte_of_memory, another_finding,
     another_name, a_place_beyond_the_earth, a_value_short],
)  # fmt: skip
def test_whatever_was_changed_is_said(alert: dict[str, object], change) -> None:
    case = json.loads(json.dumps(alert))
    change(case)
    found = check(json.dumps(case).encode())
    assert found
    assert not any(str(case["finding"]["wearer"]["lat_e6"]) in one for one in found), "no place in a sentence"


def test_a_tick_that_is_missing_is_said() -> None:
    """Of a loss, which only ticks give: each of them is numbered."""
    partition = lived(IN_HAND, messages(IN_HAND, CROSSING), kept_at=4)
    payload = next(payload for one, payload in cases_of(partition) if one.code is Code.W_COMMS_LOSS)
    assert check(payload) == []
    case = json.loads(payload)
    a_tick_less(case)
    assert "ticks are missing or out of their order" in check(json.dumps(case).encode())


def test_another_version_says_so_and_tries(alert: dict[str, object]) -> None:
    case = json.loads(json.dumps(alert)) | {"software": "0.0.9"}
    assert check(json.dumps(case).encode()) == []
    another_finding(case)
    assert check(json.dumps(case).encode())[0].startswith("it was made by version 0.0.9")


def test_the_hour_of_the_computation_is_no_part_of_a_decision(crossing: Partition) -> None:
    finding = crossing.found[0]
    told_at = msgspec.structs.replace(finding, points=msgspec.structs.replace(finding.points, t5_ms=77))
    assert encode(told_at) != encode(finding)
    assert check(case_of(crossing.snapshot(), told_at, crossing.entries, crossing.ticks)) == []


@pytest.mark.parametrize("payload", [b"", b"{}", b"\xff", b'{"made":"case"}', b"[1]"])
def test_what_is_no_case_is_said(payload: bytes) -> None:
    assert len(check(payload)) == 1


# --- what is the partition's -----------------------------------------------------------------------------------


def report(unit: int, at_s: float, seq: int, *, ahead_ms: int = 0) -> np.ndarray:
    one = np.zeros(1, FIX_DTYPE)
    one["device"], one["seq"], one["accuracy_dm"], one["speed_cms"] = unit, seq, 50, 20
    one["fix_ms"] = T0_MS + round(1000 * at_s)
    one["sent_ms"] = one["fix_ms"] + ahead_ms
    one["t3_ms"] = one["t4_ms"] = one["fix_ms"] + 400
    one["lat_e6"], one["lon_e6"] = 48_000_000 + seq, 2_000_000 + 200_000 * unit
    return one


def in_order(*reports: np.ndarray) -> np.ndarray:
    fixes = np.concatenate(reports)
    return fixes[np.argsort(fixes["t3_ms"], kind="stable")]


APART = (30_000,) * 6


def test_what_a_new_measure_hears_of_its_unit_does_not_wait_for_others() -> None:
    """Unit 1 has a wrong clock when ``msr_b`` begins; unit 5, of a stranger to it, gets one some seconds later,
    and is looked at then."""
    measures = {
        "msr_a": (1, 2, 1, 0.0, np.inf),
        "msr_b": (1, 3, 1, 400.0, np.inf),
        "msr_d": (5, 6, 1, 0.0, np.inf),
    }
    fixes = in_order(
        *(report(1, 30.0 * number, number, ahead_ms=9_000) for number in range(20)),
        *(report(5, 381.0 + 5 * number, number, ahead_ms=9_000 * (number > 3)) for number in range(20)),
    )
    partition = lived(Cast(measures, APART, 30), fixes, kept_at=6)
    told_of = {one.measure: one for one in partition.found if one.code is Code.CLOCK_SKEW}
    assert told_of.keys() >= {"msr_b", "msr_d"}
    assert told_of["msr_b"].at_ms == T0_MS + 400_000, "when it begins"
    assert told_of["msr_b"].at_ms < told_of["msr_d"].at_ms < T0_MS + 420_000, "before the minute is full"
    is_decided_again(partition)


def test_who_was_heard_first_begins_the_minutes_of_all() -> None:
    """The snapshot is of a partition in which nobody had spoken, and a stranger is the first. So the tick of a
    full minute looks at unit 1, whose first fix came in one batch with the one before that minute."""
    measures = {"msr_a": (1, 2, 1, *ALWAYS), "msr_d": (5, 6, 1, *ALWAYS)}
    fixes = in_order(
        *(report(5, 238.0 + 60 * number, number) for number in range(40)),
        *(report(1, 300.0 + 60 * number, number) for number in range(30)),
    )
    partition = lived(Cast(measures, APART, 10), fixes, kept_at=0, split=(1, 2))
    low = [one for one in partition.found if (one.code, one.measure) == (Code.LOW_YIELD, "msr_a")]
    assert low
    is_decided_again(partition)
