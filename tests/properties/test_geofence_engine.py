"""Two paths, one answer: by columns, one by one, in pieces, after a restart, and a plain reference with pyproj."""

from __future__ import annotations

import math
from unittest import mock

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pyproj import Geod

from geofence import engine, snapshot
from geofence.pair_table import PairTable, Roster, roster_of
from tocsin.model.device import Device, DeviceKind
from tocsin.model.fix import FIX_DTYPE
from tocsin.model.order import Order

T0_MS = 1_795_219_200_000
LAT_E6, LON_E6 = 48_000_000, 2_000_000
GEOD = Geod(ellps="WGS84")
VALID_UNTIL_MS = T0_MS + 600_000
NEAR_M = 0.12  # 0.02 m between chord and geodesic, 0.05 m by rounding to decimetres, and something to spare

# A wearer of two measures, a protected person of two, and a pair apart: (wearer, protected, km).
PAIRS = {"msr_a": (1, 2, 1), "msr_b": (1, 3, 2), "msr_c": (4, 2, 1), "msr_d": (5, 6, 1)}
APART = {5, 6}

# Northward, in microdegrees: home, the rings of 1 and 2 km with their exit bounds, and beyond.
KNOTS = (0, 0, 0, 8_993, 9_893, 17_987, 18_886, 27_000, 36_400)
north = st.builds(lambda knot, jitter: knot + jitter, st.sampled_from(KNOTS), st.integers(-200, 200))

moves = st.lists(
    st.tuples(
        st.sampled_from([1, 1, 1, 2, 2, 3, 4, 5, 6, 7]),  # device; 7 is a stranger
        st.sampled_from([0, 0, 200, 5_000, 30_000, 61_000]),  # ms since the message before
        st.sampled_from([0, 0, 0, 500, 40_000]),  # ms on its way
        north,
        st.integers(-50, 50),  # microdegrees east
        st.sampled_from([-1, 0, 50, 50, 400, 1_200]),  # accuracy, dm
    ),
    max_size=50,
)


def fixes_of(rows, lon_e6=LON_E6):
    fixes = np.zeros(len(rows), FIX_DTYPE)
    t3_ms = T0_MS
    for seq, (one, (device, gap_ms, delay_ms, north, east, accuracy)) in enumerate(zip(fixes, rows, strict=True)):
        t3_ms += gap_ms
        one["device"], one["seq"], one["accuracy_dm"], one["sent_ms"] = device, seq, accuracy, -1
        one["fix_ms"], one["t3_ms"], one["t4_ms"] = t3_ms - delay_ms, t3_ms, t3_ms + 1
        one["lat_e6"], one["lon_e6"] = LAT_E6 + north, lon_e6 + east
    return fixes


def one_at_a_time(fixes):
    return [fixes[at : at + 1] for at in range(fixes.size)]


def fresh():
    devices = {f"b{n:07d}": Device(id=f"b{n:07d}", number=n, kind=DeviceKind.WEARER) for n in range(1, 7)}
    orders = [
        Order(id=name, version=1, wearer=f"b{wearer:07d}", protected=f"b{protected:07d}",
              alert_distance_m=1000 * km, valid_from_ms=0, valid_until_ms=VALID_UNTIL_MS)
        for name, (wearer, protected, km) in PAIRS.items()
    ]  # fmt: skip
    return engine.revise(PairTable(Roster()), roster_of(orders, devices, partition=0, partitions=1), 0)[0]


def run(table, *batches, scalar_below=engine.SCALAR_BELOW):
    """Findings of some batches, none of them a tick."""
    with mock.patch.object(engine, "SCALAR_BELOW", scalar_below):
        steps = [engine.step(table, batch, T0_MS) for batch in batches if batch.size]
    assert not [one for step in steps for one in step.broken]
    return [finding for step in steps for finding in step.findings]


def state(table):
    arrays = (table.rows, table.last, table.zone, table.phase, table.leaving, table.due_ms)
    return [array.tobytes() for array in arrays] + [table.entries]


@given(moves)
def test_by_columns_is_one_by_one_is_half_and_half(rows):
    fixes = fixes_of(rows)
    tables = [fresh() for _ in range(3)]
    one_by_one, by_columns, mixed = (
        run(table, fixes, scalar_below=cut) for table, cut in zip(tables, (10**9, 0, 3), strict=True)
    )
    assert one_by_one == by_columns == mixed
    assert state(tables[0]) == state(tables[1]) == state(tables[2])


@given(moves, st.lists(st.integers(0, 60)), st.sampled_from([0, 40]))
def test_splitting_a_batch_changes_nothing(rows, cuts, scalar_below):
    fixes = fixes_of(rows)
    whole, pieces = fresh(), fresh()
    expected = run(whole, fixes)
    assert run(pieces, *np.split(fixes, sorted(cuts)), scalar_below=scalar_below) == expected
    assert state(whole) == state(pieces)


@given(moves, st.lists(st.integers(0, 60)))
def test_ticks_between_the_pieces_change_no_finding(rows, cuts):
    """A tick only sees earlier what the next fix, or a later tick, would have found: same ids, same hours."""
    fixes = fixes_of(rows)
    assume(fixes.size)
    end_ms = int(fixes["t3_ms"][-1])
    expected, ticked, found = run(whole := fresh(), fixes), fresh(), []
    for piece in np.split(fixes, sorted(cuts)):
        found += run(ticked, piece)
        found += engine.step(ticked, fixes[:0], ticked.now_ms).findings
    expected += engine.step(whole, fixes[:0], end_ms).findings
    found += engine.step(ticked, fixes[:0], end_ms).findings
    without_t5 = [{(one.id, one.at_ms, one.entry, one.reason) for one in some} for some in (expected, found)]
    assert without_t5[0] == without_t5[1]


@given(moves)
def test_pairs_without_a_common_device_may_come_in_any_order(rows):
    fixes = fixes_of(rows)
    apart = np.isin(fixes["device"], list(APART))
    expected = run(fresh(), fixes)
    found = run(fresh(), np.concatenate([fixes[apart], fixes[~apart]]))
    assert sorted(found, key=lambda one: one.id) == sorted(expected, key=lambda one: one.id)


@given(moves, st.integers(-170_000_000, 170_000_000))
def test_turning_the_world_changes_nothing(rows, turn_e6):
    zones = []
    for lon_e6 in (LON_E6, turn_e6):
        table = fresh()
        run(table, fixes_of(rows, lon_e6))
        zones.append(table.zone.tolist())
    assert zones[0] == zones[1]


@given(moves, st.integers(0, 60))
def test_a_restart_changes_nothing(rows, at):
    fixes = fixes_of(rows)
    expected = run(whole := fresh(), fixes)
    before = fresh()
    found = run(before, fixes[:at])
    kept = snapshot.load(snapshot.dump(snapshot.Snapshot(table=before, sequence=at, outbox=tuple(found))))
    assert (kept.sequence, kept.outbox) == (at, tuple(found))
    after, judged = engine.revise(kept.table, before.roster, 0)
    assert judged.findings == ()
    assert found + run(after, fixes[at:]) == expected
    assert state(after) == state(whole)


@given(moves, st.integers(0, 60))
def test_doing_the_last_part_again_tells_nothing_new(rows, at):
    """A crash after publishing: the fixes behind the snapshot are judged again."""
    fixes = fixes_of(rows)
    table = fresh()
    run(table, fixes[:at])
    kept = snapshot.dump(snapshot.Snapshot(table=table, sequence=at))
    first = run(table, fixes[at:])
    assert run(snapshot.load(kept).table, fixes[at:]) == first


@given(moves)
def test_what_is_not_news_moves_nobody(rows):
    """Stragglers may raise; where everybody is, and when he was heard, follows from the news alone."""
    fixes = fixes_of(rows)
    newest = {}
    for device, fix_ms in zip(fixes["device"].tolist(), fixes["fix_ms"].tolist(), strict=True):
        newest[device] = max(fix_ms, newest.get(device, 0))
    table = fresh()
    run(table, fixes)
    heard = {number: int(table.last["fix_ms"][sides[0]]) for number, sides in table.sides_of.items()}
    assert {number: heard[number] for number in newest if number in heard} == {
        number: ms for number, ms in newest.items() if number in heard
    }


@given(moves)
def test_without_stragglers_what_is_not_news_changes_nothing(rows):
    fixes = fixes_of(rows)
    newest, news = {}, []
    for at, (device, fix_ms) in enumerate(zip(fixes["device"].tolist(), fixes["fix_ms"].tolist(), strict=True)):
        if fix_ms > newest.get(device, 0):
            newest[device] = fix_ms
            news.append(at)
    whole, only_news = fresh(), fresh()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "STRAGGLER_MAX_MS", -1)
        assert run(whole, fixes) == run(only_news, fixes[news])
    assert state(whole) == state(only_news)


@given(moves, st.integers(0, 59), st.integers(0, 5_000))
def test_worse_accuracy_never_lets_a_pair_go_earlier(rows, at, more_dm):
    better = fixes_of([(*row[:5], max(0, row[5])) for row in rows])
    worse = better.copy()
    worse["accuracy_dm"][at:] += more_dm
    tables = fresh(), fresh()
    for good, bad in zip(one_at_a_time(better), one_at_a_time(worse), strict=True):
        run(tables[0], good)
        run(tables[1], bad)
        assert (tables[1].zone >= tables[0].zone).all()


class Reference:
    """One pair, by the sentences of DOMAIN section 3, with geodesic distances."""

    def __init__(self, name):
        self.wearer, self.protected, km = PAIRS[name]
        self.rings = {"PROX_ALERT": 1000.0 * km, "PROX_PREALERT": 2000.0 * km}
        self.inside = dict.fromkeys(self.rings, False)
        self.outside = {ring: [] for ring in self.rings}
        self.left_ms = dict.fromkeys(self.rings, -math.inf)
        self.at = {}

    def hour(self, now_ms):
        for ring, hours in self.outside.items():
            if hours and hours[0] + 60_000 <= now_ms:
                self.inside[ring] = False
                self.left_ms[ring] = hours[0] + 60_000
                hours.clear()

    def straggle(self, device, position, accuracy_dm, now_ms, fix_ms):
        """Not newer than what is known, by at most 30 s: only what it alone has seen counts."""
        (other,) = {self.wearer, self.protected} - {device}
        if other not in self.at:
            return
        distance_m = GEOD.inv(position[1], position[0], self.at[other][1], self.at[other][0])[2]
        assume(min(abs(distance_m - radius_m) for radius_m in self.rings.values()) > NEAR_M)
        shown = [ring for ring, radius_m in self.rings.items() if distance_m <= radius_m][:1]
        if (
            shown
            and {"PROX_ALERT": 2, "PROX_PREALERT": 1}[shown[0]] > self.zone
            and fix_ms > self.left_ms[shown[0]]
        ):
            newer = self.at[device]
            self.fix(device, position, accuracy_dm, now_ms, fix_ms)
            self.at[device] = newer

    def fix(self, device, position, accuracy_dm, now_ms, fix_ms):
        self.at[device] = (*position, 1500 if accuracy_dm < 0 else accuracy_dm)
        if len(self.at) < 2:
            return
        (lat_a, lon_a, acc_a), (lat_b, lon_b, acc_b) = self.at.values()
        distance_m = GEOD.inv(lon_a, lat_a, lon_b, lat_b)[2]
        for ring, radius_m in self.rings.items():
            bound_m = radius_m + max(100.0, 1.622 * (acc_a + acc_b) / 10)
            assume(min(abs(distance_m - radius_m), abs(distance_m - bound_m)) > NEAR_M)
            if distance_m < bound_m:
                self.outside[ring].clear()
            elif self.inside[ring]:
                self.outside[ring].append(now_ms)
            if distance_m <= radius_m:
                self.inside[ring] = True
            elif len(self.outside[ring]) == 2:
                self.inside[ring] = False
                self.left_ms[ring] = fix_ms
                self.outside[ring].clear()

    @property
    def zone(self):
        return sum(self.inside.values()) if not self.inside["PROX_ALERT"] else 2


@settings(max_examples=300)
@given(moves)
def test_the_engine_is_the_reference(rows):
    fixes, table, newest = fixes_of(rows), fresh(), {}
    pairs = [Reference(name) for name in PAIRS]
    for one in one_at_a_time(fixes):
        device, now_ms = int(one["device"][0]), int(one["t3_ms"][0])
        if now_ms >= VALID_UNTIL_MS:
            break
        run(table, one)
        fix_ms, heard_ms = int(one["fix_ms"][0]), newest.get(device, 0)
        position = one["lat_e6"][0] / 1e6, one["lon_e6"][0] / 1e6
        said = (device, position, int(one["accuracy_dm"][0]), now_ms, fix_ms)
        for pair in pairs:
            if device not in (pair.wearer, pair.protected):
                continue
            if fix_ms > heard_ms:
                pair.hour(now_ms)
                pair.fix(*said)
            elif heard_ms - 30_000 <= fix_ms < heard_ms:
                pair.hour(now_ms)
                pair.straggle(*said)
        newest[device] = max(heard_ms, fix_ms)
        assert table.zone.tolist() == [pair.zone for pair in pairs]
