"""Is the bench right before it is fast: the reference, each engine against it, and what becomes of a wrong one?"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from pyproj import Geod
from typer.testing import CliRunner

import simulator
from simulator import __main__ as commands
from simulator.geofence_bench import places, same_work
from simulator.geofence_bench import run as bench
from simulator.geofence_bench.cost import Asked
from simulator.geofence_bench.crossings import Crossings, invent_work
from simulator.geofence_bench.distance import SCALAR_BELOW, DistanceEngine, arc_m
from simulator.geofence_bench.life import Fleet
from simulator.geofence_bench.peers import PyprojColumns, PythonHaversine, haversine_m
from simulator.geofence_bench.reference import ALERT, FAR, PRE, Event, Message, Sequential, Work, match
from simulator.geofence_bench.same_work import Slice, Stream
from tocsin.geodesy import chord_m, ecef_one
from tocsin.model.geozone_problems import problems_of_zones

GEOD = Geod(ellps="WGS84")
LAT, LON = 48.0, 2.0
HE, SHE, ANOTHER = 0, 1, 2
ONE_PAIR = Work(np.array([HE]), np.array([SHE]), np.array([1000.0]))
TWO_PAIRS = Work(np.array([HE, HE]), np.array([SHE, ANOTHER]), np.array([1000.0, 1000.0]))


def east(metres: float) -> tuple[float, float]:
    lon, lat, _ = GEOD.fwd(LON, LAT, 90.0, metres)
    return lat, lon


def states(*metres: float) -> list[int]:
    """She stands still; he is so far away, one message after the other."""
    reference = Sequential(ONE_PAIR)
    reference.hear([Message(SHE, LAT, LON)])
    return [event.state for at in metres for event in reference.hear([Message(HE, *east(at))])]


# --- the reference -------------------------------------------------------------------------------------------


def test_each_bound_is_entered_at_its_distance_and_left_five_per_cent_beyond() -> None:
    assert states(2000.5) == []
    assert states(1999.5) == [PRE]
    assert states(1999.5, 2099.5) == [PRE]
    assert states(1999.5, 2100.5) == [PRE, FAR]
    assert states(999.5, 1049.5) == [ALERT]
    assert states(999.5, 1050.5, 1000.5, 999.5) == [ALERT, PRE, ALERT]
    assert states(999.5, 2099.5) == [ALERT, PRE]
    assert states(999.5, 2100.5) == [ALERT, FAR]


def test_nothing_is_said_before_both_were_heard() -> None:
    assert Sequential(ONE_PAIR).hear([Message(HE, LAT, LON)] * 3) == []


def test_messages_go_on_counting_and_one_message_may_change_two_pairs() -> None:
    reference = Sequential(TWO_PAIRS)
    assert reference.hear([Message(SHE, LAT, LON), Message(ANOTHER, LAT, LON)]) == []
    assert reference.hear([Message(HE, *east(500))]) == [Event(2, 0, ALERT), Event(2, 1, ALERT)]


def test_match_is_the_share_of_all_events_that_are_in_both_and_in_order() -> None:
    one, two, three = Event(1, 0, PRE), Event(2, 0, ALERT), Event(3, 0, PRE)
    assert match([one, two], [one, two]) == 1.0
    assert match([one], [one, two]) == 0.5
    assert match([one, two], [one]) == 0.5
    assert match([two], [three]) == 0.0
    assert match([two, one], [one, two]) == 0.5, "an order of its own is not the order"
    assert match([], []) is None


# --- the engines ---------------------------------------------------------------------------------------------


def stream(pairs: int, seed: int, rounds: int = 12) -> Stream:
    rng = np.random.default_rng(seed)
    work = invent_work(pairs, rng)
    return Stream(Crossings(work, rng), rounds * work.devices)


def work_of(pairs: int, seed: int) -> Work:
    return invent_work(pairs, np.random.default_rng(seed))


@pytest.mark.parametrize("batch", [1, 7, SCALAR_BELOW, 300, 5_000])
@pytest.mark.parametrize(("name", "engine"), [("tocsin-distance", DistanceEngine), ("pyproj", PyprojColumns)])
def test_every_event_is_the_references_whatever_the_batch(name: str, engine: type, batch: int) -> None:
    """With 40 pairs a batch of 5,000 has every pair many times: the turns keep the order."""
    for pairs, seed, rounds in ((40, 1, 120), (400, 2, 24)):
        heard, work = stream(pairs, seed, rounds), work_of(pairs, seed)
        wanted = Sequential(work).hear(map(Message, *heard.lists))
        assert len(wanted) > 20
        one, batches = engine(work), heard.batches(name, Slice(batch, 0, heard.fixes.size))
        assert [event for part in batches for event in one.step(part)] == wanted


def test_plain_python_says_mostly_the_same_and_on_a_sphere_not_all() -> None:
    heard, work = stream(3_000, 3), work_of(3_000, 3)
    wanted = Sequential(work).hear(map(Message, *heard.lists))
    (part,) = heard.batches("python", Slice(heard.fixes.size, 0, heard.fixes.size))
    share = match(PythonHaversine(work).step(part), wanted)
    assert share is not None
    assert 0.4 < share < 1.0


def test_haversine_is_the_sphere() -> None:
    (lat, lon), radians = east(1000.0), np.radians
    a, b = ((radians(y), radians(x), np.cos(radians(y))) for y, x in ((LAT, LON), (lat, lon)))
    assert haversine_m(a, b) == pytest.approx(1000.0, rel=0.006)
    assert haversine_m(a, b) != pytest.approx(1000.0, rel=0.0005), "it misses by some per mille"


@pytest.mark.parametrize("metres", [1_000.0, 10_000.0, 20_000.0])
def test_the_arc_is_the_geodesic_to_a_tenth_of_a_millimetre(metres: float) -> None:
    points = [(round(lat * 1e6), round(lon * 1e6)) for lat, lon in ((LAT, LON), east(metres))]
    (lat, lon), (other_lat, other_lon) = ((y / 1e6, x / 1e6) for y, x in points)
    along_m = GEOD.inv(lon, lat, other_lon, other_lat)[2]
    assert arc_m(chord_m(*(ecef_one(*point) for point in points))) == pytest.approx(along_m, abs=1e-4)


@pytest.mark.parametrize("batch", [10, 400])
def test_strangers_duplicates_and_what_is_older_move_nothing(batch: int) -> None:
    heard, work = stream(100, 4), work_of(100, 4)
    fixes = heard.fixes.repeat(2)
    fixes["device"][1::4] += 100_000  # a stranger that says the same
    fixes["fix_ms"][3::8] -= 10_000_000  # old news; the others are duplicates
    fixes["lat_e6"][1::2] += 20_000  # 2 km elsewhere: whoever believes them is found out
    one, plain = DistanceEngine(work), DistanceEngine(work)
    told = [event for at in range(0, fixes.size, batch) for event in one.step(fixes[at : at + batch])]
    wanted = plain.step(heard.fixes)
    assert len(wanted) > 5
    assert [(event.message // 2, *event[1:]) for event in told] == wanted


# --- the run -------------------------------------------------------------------------------------------------

SMALL = Asked(pairs=[150, 300], passes=2, warm_s=70, updates={1: 100, 10: 200, 100: 6_000})
COMMON = {"command", "version", "seed", "started_at", "duration_s", "machine"}


class Forgetful(DistanceEngine):
    """Loses whatever changed last in a batch."""

    def step(self, batch):
        return super().step(batch)[:-1]


class Reversed(DistanceEngine):
    """Knows everything and tells it in an order of its own."""

    def step(self, batch):
        return super().step(batch)[::-1]


def test_the_report_has_a_row_for_each_engine_pairs_and_batch() -> None:
    lines: list[str] = []
    report = bench.run(SMALL, say=lines.append)
    rows = {(row["engine"], row["pairs"], row["batch"]): row for row in report["rows"]}
    for pairs in SMALL.pairs:
        assert {(name, pairs, batch) for name in same_work.ENGINES for batch in SMALL.updates} <= rows.keys()
        assert ("tocsin", pairs, 1) in rows
    assert all(row["cpu_us_per_update"] >= row["cpu_us_per_update_min"] > 0 for row in rows.values())
    assert set(report["sweep_ms"]) == {"150", "300"}
    assert report["fleet"]["150"]["broken"] == 0
    assert any("redis" in line for line in lines), "what was not measured is said"
    assert any("no row for 100" in line for line in lines)
    assert bench.holds(report)
    assert bench.table(report["rows"]).row_count == len({(name, batch) for name, _, batch in rows})


def test_armed_with_places_it_lives_the_same_life_and_says_more() -> None:
    """And what it says of the places is what it says without balls, one fix at a time."""
    asked = Asked(pairs=[400], passes=1, warm_s=200, updates={1: 300, 10: 4_000}, zones=True)
    report = bench.run(asked, say=lambda _: None)
    rows = {(row["engine"], row["batch"]): row["events_match"] for row in report["rows"]}
    assert rows["tocsin-zones", 10] == 1.0
    assert report["armed"]["400"]["findings"] > report["fleet"]["400"]["findings"]
    assert report["armed"]["400"]["commands"] == report["fleet"]["400"]["commands"]
    assert report["armed"]["400"]["broken"] == 0


def test_every_place_of_the_fleet_could_be_ordered() -> None:
    fleet = Fleet(50, np.random.default_rng(7))
    orders = places.armed(fleet.orders(), *fleet.homes(), np.random.default_rng(8))
    assert {len(order.zones) for order in orders} == {3}
    assert [problem for order in orders for problem in problems_of_zones(order.zones)] == []


@pytest.mark.parametrize("wrong", [Forgetful, Reversed])
def test_an_engine_that_is_wrong_is_found_out(wrong: type[DistanceEngine]) -> None:
    asked = Asked(pairs=[150], passes=1, warm_s=5, updates={100: 6_000})
    report = bench.run(asked, say=lambda _: None, engines={**same_work.ENGINES, "tocsin-distance": wrong})
    assert not bench.holds(report)


def test_a_run_without_any_event_proves_nothing() -> None:
    row = {"engine": "pyproj", "pairs": 1, "batch": 1, "cpu_us_per_update": 1.0, "events_match": None}
    assert not bench.holds({"rows": [row]})
    assert bench.holds({"rows": [row, {**row, "batch": 10, "events_match": 1.0}]})
    assert not bench.holds({"rows": [row, {**row, "batch": 10, "events_match": 0.9999}]})


@pytest.mark.parametrize(
    ("share", "said"), [(1.0, "100 %"), (0.99999, "99.9 %"), (0.5, "50 %"), (None, "no event")]
)
def test_people_read_100_per_cent_only_where_it_is_all(share: float | None, said: str) -> None:
    row = {"engine": "pyproj", "pairs": 1, "batch": 1, "cpu_us_per_update": 1.0, "events_match": share}
    assert list(bench.table([row]).columns[2].cells) == [f"1.000 ({said})"]


def test_the_ratios_are_said_where_both_were_measured() -> None:
    rows = [
        {"engine": engine, "pairs": 10, "batch": 1_000, "cpu_us_per_update": us}
        for engine, us in (("tocsin-distance", 0.3), ("pyproj", 0.6))
    ]
    assert bench.ratios(rows) == ["10 pairs, batch 1,000: tocsin-distance is 0.50 x pyproj"]


# --- the command ---------------------------------------------------------------------------------------------


def invoked(*words: str) -> int:
    return CliRunner().invoke(commands.app, ["bench", "geofence", *words]).exit_code


def test_the_command_writes_its_report(tmp_path: Path) -> None:
    assert invoked("--pairs", "200", "--quick", "--json", str(tmp_path / "out.json")) == 0
    report = json.loads((tmp_path / "out.json").read_text())
    assert report.keys() >= COMMON | {"rows", "sweep_ms"}
    assert {"engine", "pairs", "batch", "cpu_us_per_update", "events_match"} <= report["rows"][0].keys()
    compiled = {"tocsin-compiled"} if "numba" in report["kernels"] else set()
    assert {row["engine"] for row in report["rows"]} == {
        "tocsin-distance",
        "tocsin",
        "pyproj",
        "python",
    } | compiled


def test_the_command_fails_when_an_exact_engine_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.run, "__kwdefaults__", {"engines": {**same_work.ENGINES, "pyproj": LatePyproj}})
    assert invoked("--pairs", "200", "--quick") == 1


class LatePyproj(PyprojColumns):
    """Numbers its messages wrongly by one."""

    def step(self, batch):
        return [event._replace(message=event.message + 1) for event in super().step(batch)]


@pytest.mark.parametrize("pairs", ["", "0", "ten", "100,", "-5"])
def test_a_number_of_pairs_that_is_none_is_refused(pairs: str) -> None:
    assert invoked("--pairs", pairs) == 2


def test_without_pyproj_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in sys.modules if one.startswith("simulator.geofence_bench")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(simulator, "geofence_bench")
    monkeypatch.setitem(sys.modules, "pyproj", None)
    with pytest.raises(commands.PeersMissing, match="pip install pyproj"):
        CliRunner().invoke(commands.app, ["bench", "geofence"], catch_exceptions=False)
