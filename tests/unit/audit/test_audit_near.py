"""Does the law 'near' ask for an alert where everybody would agree that there must be one, and nowhere else? F02,
F14.

Its distances are held to pyproj; that it agrees with the real geofence is asked in tests/acceptance.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from builders import DEVICES, LAT, LON, NOW_MS, PROTECTED, REALM, WEARER, entry, leaving
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod

from alerts.desk import handle
from audit.laws import near as near_law
from audit.laws.near import NEW_MS, WITHIN_MS, Near, distances_m
from tocsin.model.episode import Event, FindingCause, Ruling
from tocsin.model.fix import FIX_DTYPE, Fixes, FixFlag, Source
from tocsin.model.geozone import Authorisation, Hours, Schedule
from tocsin.model.order import Order

WGS84 = Geod(ellps="WGS84")
DAY_MS = 86_400_000
PLACE = ("PROX_ALERT", "msr_1")
ORDER = Order(
    id="msr_1", version=1, wearer=WEARER, protected=PROTECTED, alert_distance_m=1000,
    valid_from_ms=NOW_MS - DAY_MS, valid_until_ms=NOW_MS + DAY_MS,
)  # fmt: skip


@given(st.floats(-80, 80), st.floats(-179, 179), st.floats(0, 360), st.floats(1, 20_000))
def test_distances_are_those_of_pyproj_within_a_metre(
    lat: float, lon: float, azimuth: float, away_m: float
) -> None:
    east, north, _ = WGS84.fwd(lon, lat, azimuth, away_m)
    ours = distances_m(*(np.array([round(one * 1e6)]) for one in (lat, lon, north, east)))[0]
    theirs = WGS84.inv(
        round(lon * 1e6) / 1e6, round(lat * 1e6) / 1e6, round(east * 1e6) / 1e6, round(north * 1e6) / 1e6
    )[2]
    if abs(east - lon) < 90:  # nobody lives on both sides of the date line
        assert ours == pytest.approx(theirs, abs=1.0)


def fix(device: str, north_m: float, at_ms: int, **changes: Any) -> Fixes:
    row = np.zeros(1, FIX_DTYPE)
    whole = {
        "device": DEVICES[device].number, "fix_ms": at_ms, "t3_ms": at_ms + 300, "accuracy_dm": 80,
        "lat_e6": round(LAT * 1e6 + north_m / 0.11106), "lon_e6": round(LON * 1e6), "source": Source.GNSS,
    }  # fmt: skip
    for name, value in {**whole, **changes}.items():
        row[name] = value
    return row


def law(order: Order = ORDER) -> Near:
    near = Near()
    for name in (WEARER, PROTECTED):
        near.device(name, DEVICES[name])
    near.order("msr_1", order, 0)
    near.differences(0)
    return near


def walk(near: Near, *north_m: float, her: dict[str, Any] | None = None, **his: Any) -> list[str]:
    """One step each 20 s, 10 s apart of the auditor's; then what it says when its patience is over."""
    found, now_ms = [], NEW_MS
    for index, away_m in enumerate(north_m):
        at_ms = NOW_MS + 20_000 * index
        near.fixes(fix(PROTECTED, 0.0, at_ms, **(her or {})))
        near.fixes(fix(WEARER, away_m, at_ms, **his))
        found += near.differences(now_ms)
        now_ms += 100
    found += near.differences(now_ms + WITHIN_MS)
    return [one.about for one in found]


def ruling(near: Near, event: Event, before: Ruling | None = None) -> Ruling:
    answer = handle(None if before is None else before.episode, event, REALM, NOW_MS)
    assert isinstance(answer, Ruling)
    near.ruling(PLACE, answer)
    return answer


IN = FindingCause(finding=entry())


def test_he_is_inside_and_nobody_says_so() -> None:
    assert walk(law(), 1_300, 900) == ["msr_1"]


def test_it_is_said_once_while_he_stays_and_again_when_he_comes_back() -> None:
    near = law()
    assert walk(near, 1_300, 900, 850, 870) == ["msr_1"]
    assert walk_on(near, 1_600, 900) == ["msr_1"]


def walk_on(near: Near, *north_m: float) -> list[str]:
    found, now_ms = [], 10**6
    for index, away_m in enumerate(north_m):
        at_ms = NOW_MS + 200_000 + 20_000 * index
        near.fixes(np.concatenate([fix(PROTECTED, 0.0, at_ms), fix(WEARER, away_m, at_ms)]))
        found += near.differences(now_ms + index)
    found += near.differences(now_ms + 10 + WITHIN_MS)
    return [one.about for one in found]


def test_while_nobody_looks_the_newest_of_each_unit_is_kept_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.laws.near.WAITING_MAX", 50)
    near = law()
    for second in range(1_000):
        near.fixes(np.concatenate([fix(one, 1_300.0, NOW_MS + second) for one in (PROTECTED, WEARER)]))
    assert sum(map(len, near._batches)) <= 52


@given(st.lists(st.tuples(st.sampled_from([PROTECTED, WEARER]), st.integers(0, 20)), min_size=1, max_size=40))
def test_what_is_kept_is_what_a_look_at_all_of_them_would_have_kept(said: list[tuple[str, int]]) -> None:
    """The newest by its own hour, and of one hour what came last, however often it was thinned before."""
    rows = [fix(device, 10.0 * number, NOW_MS + second * 1_000) for number, (device, second) in enumerate(said)]
    thinned = rows[0]
    for row in rows[1:]:
        thinned = near_law._newest(np.concatenate([thinned, row]))
    assert near_law._newest(np.concatenate(rows)).tobytes() == near_law._newest(thinned).tobytes()
    for device in (PROTECTED, WEARER):
        of = [row for row in rows if row["device"][0] == DEVICES[device].number]
        newest = [row for row in thinned if row["device"] == DEVICES[device].number]
        assert len(newest) == min(len(of), 1)
        if of:
            assert newest[0] == max(enumerate(of), key=lambda one: (one[1]["fix_ms"][0], one[0]))[1][0]


@pytest.mark.parametrize("when", ["before", "behind"])
def test_an_alert_that_lasts_is_what_was_asked_for(when: str) -> None:
    near = law()
    if when == "before":
        ruling(near, IN)
    near.fixes(np.concatenate([fix(PROTECTED, 0.0, NOW_MS), fix(WEARER, 900.0, NOW_MS)]))
    assert near.differences(NEW_MS) == []
    if when == "behind":
        ruling(near, IN)
    assert near.differences(NEW_MS + WITHIN_MS) == []


def test_an_alert_that_is_over_is_none() -> None:
    near = law()
    before = ruling(near, IN)
    ruling(near, FindingCause(finding=leaving(entry())), before)
    assert walk(near, 1_600, 900) == ["msr_1"]


def test_one_that_was_closed_before_we_looked_is_not_asked_for_again() -> None:
    near = law()
    before = ruling(near, IN)
    near.ruling(
        PLACE, msgspec.structs.replace(before, episode=msgspec.structs.replace(before.episode, over_ms=NOW_MS))
    )
    assert walk(near, 900, 890) == []


@pytest.mark.parametrize(
    "said",
    [
        {"accuracy_dm": -1}, {"accuracy_dm": 0}, {"accuracy_dm": 501}, {"flags": FixFlag.CLOCK_SKEW},
        {"flags": FixFlag.BULK}, {"flags": FixFlag.PRESENCE}, {"source": Source.CELL}, {"t3_ms": NOW_MS + 900_000},
    ],
    ids=str,
)  # fmt: skip
def test_what_a_poor_fix_shows_is_not_asked_for(said: dict[str, Any]) -> None:
    assert walk(law(), 1_300, 900, **said) == []
    assert walk(law(), 1_300, 900, her=said) == []


def test_a_leap_is_not_believed_and_who_stays_there_is() -> None:
    assert walk(law(), 9_000, 900) == []
    assert walk(law(), 9_000, 900, 880) == []
    assert walk(law(), 9_000, 900, 880, 870) == ["msr_1"]


def test_fixes_that_are_far_apart_in_time_are_not_compared() -> None:
    near = law()
    near.fixes(np.concatenate([fix(PROTECTED, 0.0, NOW_MS), fix(WEARER, 900.0, NOW_MS + 31_000)]))
    near.differences(NEW_MS)
    assert near.differences(NEW_MS + WITHIN_MS) == []


@pytest.mark.parametrize("north_m", [990, 1_000, 1_100])
def test_at_the_edge_nobody_is_asked(north_m: float) -> None:
    assert walk(law(), 1_300, north_m) == []


def test_a_measure_that_is_not_in_force_or_new_is_not_asked_for() -> None:
    assert walk(law(msgspec.structs.replace(ORDER, valid_until_ms=NOW_MS + 10_000)), 1_300, 900) == []
    near = law()
    near.order("msr_1", ORDER, NEW_MS)
    assert walk(near, 1_300, 900) == []
    near = law()
    near.order("msr_1", None, 10)
    assert walk(near, 1_300, 900) == []


@pytest.mark.parametrize(
    ("from_min", "until_min", "found"), [(0, 300, []), (1_380, 120, []), (300, 600, ["msr_1"])]
)
def test_in_an_authorised_hour_nobody_is_asked(from_min: int, until_min: int, found: list[str]) -> None:
    """NOW_MS is a Saturday, 01:00 in Paris; one of these spans began the evening before."""
    day = 5 if from_min == 1_380 else 6
    schedule = Schedule(time_zone="Europe/Paris", hours=(Hours(day=day, from_min=from_min, until_min=until_min),))
    order = msgspec.structs.replace(ORDER, authorised=Authorisation(schedule=schedule))
    assert walk(law(order), 1_300, 900) == found
