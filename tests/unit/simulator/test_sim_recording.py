"""Is a recording read back as it was written, is the real one readable, and does a bad one say where?"""

from pathlib import Path

import numpy as np
import pytest

from simulator import recording
from simulator.gnss import OPEN, PERFECT
from simulator.record import events_of, record
from simulator.recording import RecordedPair, RecordingError, parse_pair, read, read_csv, read_pairs
from simulator.scenario import Scenario
from tocsin.model.ids import is_device_id

START_MS = 1_795_219_200_000
REAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "gps"
PAIR = RecordedPair(wearer="bracelet-7", protected="victim-7", alert_distance_m=1000)
HEAD = "t,device,lat,lon,acc\n"

needs_parquet = pytest.mark.usefixtures("parquet_there")
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason=f"the shared recordings are not here ({REAL})")


@pytest.fixture
def parquet_there() -> None:
    pytest.importorskip("pyarrow", reason="the extra 'replay' is not installed")


@pytest.fixture
def scenario() -> Scenario:
    return Scenario.invent(11, couples=3, duration_s=600, start_ms=START_MS)


# --- Parquet -------------------------------------------------------------------------------------------------


@needs_parquet
def test_what_is_written_is_read(tmp_path: Path, scenario: Scenario) -> None:
    record(scenario, tmp_path, sky=PERFECT, periods=(10, 30))
    found = read(tmp_path, period=10)
    assert [(pair.wearer, pair.protected) for pair in found.pairs] == [
        ("s0000-a", "s0000-p"),
        ("s0001-a", "s0001-p"),
        ("s0002-a", "s0002-p"),
    ]
    assert len(found.messages) == 6 * 60
    assert all(is_device_id(one.device) for one in found.messages)
    assert [one.received_ms for one in found.messages] == sorted(one.received_ms for one in found.messages)
    parties = {f"s000{n}-a": couple.wearer for n, couple in enumerate(scenario.couples)}
    for one in found.messages:
        assert one.fix_ms < one.received_ms
        if one.device in parties:
            lat, lon = scenario.position(parties[one.device], (one.fix_ms - START_MS) / 1000)
            assert (one.lat, one.lon) == (pytest.approx(float(lat), abs=1e-7), pytest.approx(float(lon), abs=1e-7))


@needs_parquet
def test_filters(tmp_path: Path, scenario: Scenario) -> None:
    record(scenario, tmp_path, sky=OPEN, periods=(30,))
    found = read(tmp_path, sessions=[2], period=30, alert_distance_m=2000)
    assert {one.device for one in found.messages} == {"s0002-a", "s0002-p"}
    assert [pair.alert_distance_m for pair in found.pairs] == [2000]
    with pytest.raises(RecordingError, match="no session 9"):
        read(tmp_path, sessions=[9], period=30)
    with pytest.raises(RecordingError, match="period 7 s"):
        read(tmp_path, period=7)


@needs_parquet
def test_the_truth_and_the_events_are_those_of_the_story(tmp_path: Path, scenario: Scenario) -> None:
    record(scenario, tmp_path, sky=OPEN, periods=(60,))
    events = recording.parquet().read_table(tmp_path / "events.parquet").to_pylist()
    plan = scenario.approach
    assert plan is not None
    first = {row["D"]: row for row in events if row["session"] == 0}
    for bound_m, entry_s, exit_s in (
        (1000, plan.alert_s, plan.alert_end_s),
        (2000, plan.prealert_s, plan.prealert_end_s),
    ):
        row = first[bound_m]
        assert row["kind"] == "episode"
        assert row["sure"]
        assert row["t"] - START_MS / 1000 == pytest.approx(entry_s, abs=2)
        assert row["t_exit"] - START_MS / 1000 == pytest.approx(exit_s, abs=2)
    assert not [row for row in events if row["session"] != 0 and row["kind"] == "episode"]
    truth = recording.parquet().read_table(tmp_path / "truth.parquet")
    assert truth.num_rows == 3 * 601


@needs_parquet
def test_the_same_seed_writes_the_same_rows(tmp_path: Path, scenario: Scenario) -> None:
    for name in ("a", "b"):
        record(scenario, tmp_path / name, sky=OPEN)
    assert read(tmp_path / "a") == read(tmp_path / "b")


@needs_parquet
def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"sessions\.parquet"):
        read(tmp_path)


@needs_parquet
@needs_real
def test_the_real_recordings_are_read() -> None:
    found = read(REAL, sessions=[0, 3], variant="noisy", period=10)
    assert {one.device for one in found.messages} == {"s0000-a", "s0000-p", "s0003-a", "s0003-p"}
    assert {one.source for one in found.messages} <= {"gnss", "wifi", "cell"}
    assert all(41 < one.lat < 52 and -6 < one.lon < 10 for one in found.messages)
    bare = read(REAL, sessions=[0], variant="orig", period=30)
    assert all(one.accuracy_m is None for one in bare.messages)


@needs_parquet
@needs_real
def test_we_write_the_columns_of_the_real_ones(tmp_path: Path, scenario: Scenario) -> None:
    record(scenario, tmp_path, sky=OPEN)
    for name in ("sessions", "device", "tracks", "truth", "events"):
        ours, real = (recording.parquet().read_schema(folder / f"{name}.parquet") for folder in (tmp_path, REAL))
        assert ours.names == real.names
        assert [str(kind).removeprefix("large_") for kind in ours.types] == [
            str(kind).removeprefix("large_") for kind in real.types
        ]


@needs_parquet
@needs_real
def test_our_events_are_those_of_the_real_truth() -> None:
    """The same rules: on whole sessions without holes we find the entries that the data set lists."""
    load = recording.parquet().read_table
    truth = load(REAL / "truth.parquet").to_pydict()
    session, t, d_m = (np.asarray(truth[name]) for name in ("session", "t", "d_dm"))
    listed = [
        row for row in load(REAL / "events.parquet").to_pylist() if row["kind"] == "episode" and row["D"] == 1000
    ]
    compared = 0
    for number in np.unique(session)[:200].tolist():
        mine = session == number
        if np.any(np.diff(t[mine]) != 1):
            continue  # holes
        ours = [row for row in events_of(t[mine], d_m[mine] / 10, number, 1000) if row["kind"] == "episode"]
        theirs = [row for row in listed if row["session"] == number]
        assert [row["t"] for row in ours] == pytest.approx([row["t"] for row in theirs], abs=1)
        assert [row["t_exit"] for row in ours] == pytest.approx([row["t_exit"] for row in theirs], abs=1)
        compared += len(ours)
    assert compared > 10


# --- side by side --------------------------------------------------------------------------------------------


@needs_parquet
def test_aligned_pairs_begin_together_and_keep_their_own_times(tmp_path: Path, scenario: Scenario) -> None:
    record(scenario, tmp_path, sky=OPEN)
    before = read(tmp_path)
    after = before.aligned(START_MS + 86_400_000)
    assert {pair.shift_ms % 1000 for pair in after.pairs} == {0}
    firsts = [
        min(one.received_ms for one in after.messages if one.device in {pair.wearer, pair.protected})
        for pair in after.pairs
    ]
    assert all(0 <= first - START_MS - 86_400_000 < 1000 for first in firsts)
    ages = sorted(one.received_ms - one.fix_ms for one in before.messages)
    assert sorted(one.received_ms - one.fix_ms for one in after.messages) == ages


def test_a_device_of_two_pairs_cannot_be_aligned(tmp_path: Path) -> None:
    path = tmp_path / "fleet.csv"
    path.write_text(HEAD + "100,bracelet-7,43.3,5.4,\n200,victim-7,43.3,5.4,\n300,victim-8,43.3,5.4,\n")
    other = RecordedPair(wearer="victim-7", protected="victim-8", alert_distance_m=1000)
    with pytest.raises(RecordingError, match="victim-7 belongs to several pairs"):
        read_csv(path, [PAIR, other]).aligned(0)


# --- CSV -----------------------------------------------------------------------------------------------------


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "fleet.csv"
    path.write_text(
        HEAD
        + "1795219201.5,victim-7,43.2965,5.3698,8\n"
        + "2026-11-21T00:00:00Z,bracelet-7,43.3,5.4,\n"
        + "\n"
        + "2026-11-21T01:00:03+01:00,bracelet-7,43.31,5.41,12.5\n"
    )
    found = read(path, pairs=[PAIR])
    assert found.pairs == (PAIR,)
    assert [(one.device, one.fix_ms - START_MS, one.lat, one.accuracy_m) for one in found.messages] == [
        ("bracelet-7", 0, 43.3, None),
        ("victim-7", 1500, 43.2965, 8.0),
        ("bracelet-7", 3000, 43.31, 12.5),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("1,bracelet-7,43.3,5.4", ":2: 4 fields, 5 are needed"),
        ("soon,bracelet-7,43.3,5.4,", ":2: t 'soon' is neither epoch seconds nor RFC 3339"),
        ("2026-11-21T00:00:00,bracelet-7,43.3,5.4,", "a time needs its zone"),
        ("nan,bracelet-7,43.3,5.4,", ":2: t 'nan' is not a time"),
        ("1,Bracelet 7,43.3,5.4,", ":2: 'Bracelet 7' is not a device's name"),
        ("1,bracelet-7,north,5.4,", ":2: lat 'north' is not a number"),
        ("1,bracelet-7,143.3,5.4,", ":2: lat 143.3 is not between -90 and 90"),
        ("1,bracelet-7,43.3,nan,", ":2: lon nan is not between -180 and 180"),
        ("1,bracelet-7,43.3,5.4,-3", ":2: acc -3 is not between 0"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "fleet.csv"
    path.write_text(HEAD + line + "\n")
    with pytest.raises(RecordingError) as refused:
        read_csv(path, [])
    assert str(path) in str(refused.value)
    assert said in str(refused.value)


def test_a_bad_head_a_missing_file_and_a_pair_without_messages(tmp_path: Path) -> None:
    path = tmp_path / "fleet.csv"
    path.write_text("time,who\n")
    with pytest.raises(RecordingError, match=":1: the first line is t,device,lat,lon,acc"):
        read_csv(path, [])
    with pytest.raises(RecordingError, match=r"none\.csv"):
        read_csv(tmp_path / "none.csv", [])
    path.write_text(HEAD + "1,bracelet-7,43.3,5.4,\n")
    with pytest.raises(RecordingError, match="nothing of victim-7"):
        read_csv(path, [PAIR])


def test_pairs(tmp_path: Path) -> None:
    assert parse_pair("bracelet-7:victim-7:1000") == PAIR
    path = tmp_path / "pairs"
    path.write_text("# wearer:protected:metres\nbracelet-7:victim-7:1000  # the story\n\n")
    assert read_pairs(path) == [PAIR]
    path.write_text("\nbracelet-7:victim-7\n")
    with pytest.raises(RecordingError, match=r"pairs:2: 'bracelet-7:victim-7' is not WEARER:PROTECTED:METRES"):
        read_pairs(path)


@pytest.mark.parametrize("text", ["", "a:b:c", "bracelet-7:victim-7:0", "bracelet-7:victim-7:-1", "a:b:1000"])
def test_what_is_no_pair(text: str) -> None:
    with pytest.raises(RecordingError, match="WEARER:PROTECTED:METRES"):
        parse_pair(text)
