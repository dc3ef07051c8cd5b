"""Zones are found whoever looks, however often: by columns, one by one, in pieces, with free balls and without,
over a restart; and they are where shapely and pyproj say, zone by zone and fix by fix."""

from __future__ import annotations

import math

import numpy as np
import pytest
from geofence_streams import (
    LAT_E6,
    LON_E6,
    T0_MS,
    Act,
    Cast,
    Played,
    casts,
    lives,
    long_life,
    messages,
    roster,
)  # fmt: skip
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from reference import zones as reference
from test_geofence_splits import ALL_BY_COLUMNS, ALL_ONE_BY_ONE, compare, crowds, cuts, heard

from geofence import engine
from geofence.pair_table import PairTable, Roster, roster_of
from geofence.zone_table import ZoneTable
from tocsin.geodesy import ecef
from tocsin.model.device import Device, DeviceKind
from tocsin.model.finding import Change
from tocsin.model.fix import FIX_DTYPE
from tocsin.model.geozone import Circle, GeoZone, Polygon, ZoneKind
from tocsin.model.order import Order

armed = casts.map(lambda cast: cast._replace(armed=True))


# --- nobody's business -----------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(armed, crowds)
def test_by_columns_is_one_by_one(cast: Cast, life: list[Act]) -> None:
    fixes = messages(cast, life)
    compare(heard(cast, fixes, scalar_below=ALL_ONE_BY_ONE), heard(cast, fixes, scalar_below=ALL_BY_COLUMNS))


@settings(max_examples=60)
@given(armed, lives, cuts)
def test_splitting_a_batch_changes_nothing(cast: Cast, life: list[Act], cut: list[int]) -> None:
    fixes = messages(cast, life)
    compare(heard(cast, fixes), heard(cast, *np.split(fixes, sorted(cut)), scalar_below=ALL_BY_COLUMNS))


@pytest.mark.parametrize("seed", range(8))
def test_nor_does_it_in_a_long_life(seed: int) -> None:
    cast, life = long_life(seed, 400)
    fixes = messages(cast._replace(armed=True), life)
    whole = heard(cast._replace(armed=True), fixes)
    assert any(one.zone for step in whole.steps for one in step.findings)
    compare(whole, heard(cast._replace(armed=True), *np.split(fixes, fixes.size), scalar_below=ALL_ONE_BY_ONE))
    compare(
        whole,
        heard(cast._replace(armed=True), *np.split(fixes, [7, 8, 90, 260]), scalar_below=ALL_BY_COLUMNS),
    )


orders = st.sampled_from([{"lifted": True, "revoked": True}, {"lifted": True}, {"revoked": True}, {"factor": 2}])


@settings(max_examples=40)
@given(armed, lives, st.integers(0, 40), orders)
def test_nor_does_looking_always_when_orders_change(
    cast: Cast, life: list[Act], at: int, change: dict[str, bool | int]
) -> None:
    fixes, changed = messages(cast, life), roster(cast, **change)
    due, asked = Played(cast), Played(cast, banded=False)
    due.by_the_second(fixes, at=at, measures=changed)
    asked.by_the_second(fixes, at=at, measures=changed, everybody=True)
    assert due.said() == asked.said()
    assert due.stood() == asked.stood()
    assert due.memory() == asked.memory()


@pytest.mark.parametrize("seed", range(16))
def test_what_is_lifted_and_revoked_leaves_nothing_open_that_was_only_recorded(seed: int) -> None:
    """In the second of the new order: each zone alert ends and names what it ends, and what was authorised and
    goes on is said anew."""
    cast, life = long_life(seed, 120)
    cast = cast._replace(armed=True)
    fixes = messages(cast, life)
    played = Played(cast)
    at_ms = T0_MS + 230_000  # within the authorised hours
    for index in np.flatnonzero(fixes["t3_ms"] < at_ms).tolist():
        played.tick(int(fixes["t3_ms"][index]) // 1000 * 1000)
        played.hear(fixes[index : index + 1])
    played.revise(roster(cast, lifted=True, revoked=True), at_ms)
    states = list(played.table.states.values())
    assert not any(state.zones for state in states)
    assert not any(one.authorised for state in states for one in state.opened.values())
    said = [one for step in played.steps for one in step.findings if one.zone]
    entries = {one.id for one in said if one.change is Change.ENTRY}
    ended = {one.entry for one in said if one.change is Change.EXIT}
    assert ended <= entries
    last = {(one.measure, one.zone, one.code): one.change for one in said}
    assert set(last.values()) <= {Change.EXIT}


@settings(max_examples=60)
@given(armed, lives, st.integers(0, 40))
def test_a_restart_changes_nothing(cast: Cast, life: list[Act], at: int) -> None:
    fixes = messages(cast, life)
    lasting, restarted = Played(cast), Played(cast)
    for played in (lasting, restarted):
        played.hear(fixes[:at])
        played.tick(int(fixes["t3_ms"][:at].max(initial=T0_MS)) // 1000 * 1000)
        if played is restarted:
            played.restart()
        played.hear(fixes[at:])
        played.tick(int(fixes["t3_ms"][-1]) // 1000 * 1000 + 900_000)
    compare(lasting, restarted)


@settings(max_examples=40)
@given(armed, lives)
def test_free_balls_only_save_work(cast: Cast, life: list[Act]) -> None:
    """Looked at on every fix and every second of every pair, the zones say the same."""
    fixes = messages(cast, life)
    saving, always = Played(cast), Played(cast, banded=False)
    saving.by_the_second(fixes)
    always.by_the_second(fixes, everybody=True)
    assert saving.said() == always.said()
    assert saving.memory() == always.memory()


@settings(max_examples=40)
@given(armed, lives, st.integers(0, 39))
def test_a_revision_that_changes_nothing_says_nothing(cast: Cast, life: list[Act], at: int) -> None:
    fixes = messages(cast, life)
    calm, revised = Played(cast), Played(cast)
    calm.by_the_second(fixes)
    revised.by_the_second(fixes, at=at, measures=roster(cast))
    assert calm.said() == revised.said()


# --- where they are --------------------------------------------------------------------------------------------

metres = st.floats(-3_000.0, 3_000.0)


def _moved(lat_e6: int, lon_e6: int, east_m: float, north_m: float) -> tuple[int, int]:
    """Longitude and latitude."""
    lat = lat_e6 + round(north_m * 1e6 / 111_195.0)
    return lon_e6 + round(east_m * 1e6 / (111_195.0 * math.cos(math.radians(lat_e6 / 1e6)))), lat


@st.composite
def zones(draw: st.DrawFn, kinds: tuple[ZoneKind, ...] = tuple(ZoneKind)) -> GeoZone:
    """A disc, or a star around its middle, which is a polygon whatever the radii."""
    lat_e6 = draw(st.sampled_from([LAT_E6, -21_100_000, 4_900_000, 69_000_000]))
    lon_e6 = draw(st.sampled_from([LON_E6, 55_500_000, -52_300_000]))
    kind = draw(st.sampled_from(kinds))
    if draw(st.booleans()):
        centre = _moved(lat_e6, lon_e6, draw(metres), draw(metres))
        return GeoZone(id="z", kind=kind, shape=Circle(centre=centre, radius_m=draw(st.integers(30, 3_000))))
    radii_m = draw(st.lists(st.floats(60.0, 3_000.0), min_size=4, max_size=12))
    angles = [2 * math.pi * n / len(radii_m) for n in range(len(radii_m))]
    ring = [_moved(lat_e6, lon_e6, r * math.cos(a), r * math.sin(a)) for r, a in zip(radii_m, angles, strict=True)]
    return GeoZone(id="z", kind=kind, shape=Polygon(rings=((*ring, ring[0]),)))


def _order(*of: GeoZone) -> Order:
    return Order(
        id="msr_a", version=1, wearer="b0000001", protected="b0000002", alert_distance_m=1_000, valid_from_ms=0,
        valid_until_ms=2**61, zones=of,
    )  # fmt: skip


@settings(max_examples=200)
@given(zones(), st.lists(st.tuples(metres, metres, st.sampled_from([1.0, 6.0])), min_size=1, max_size=20))
def test_distances_are_those_of_the_reference(zone: GeoZone, places: list[tuple[float, float, float]]) -> None:
    """To 0.1 m of rounding and as much of the plane; many at once are each of them alone."""
    lon_e6, lat_e6 = zone.shape.centre if isinstance(zone.shape, Circle) else zone.shape.rings[0][0]
    at = [_moved(lat_e6, lon_e6, far * east, far * north) for east, north, far in places]
    points = np.array(ecef([lat for _, lat in at], [lon for lon, _ in at]))
    table = ZoneTable([_order(zone)])
    which = np.zeros(len(at), np.int64)
    found = table.away_m(which, points)
    assert found == pytest.approx([reference.away_m(zone, lat, lon) for lon, lat in at], abs=0.15)
    alone = [table.away_m(which[:1], points[:, n : n + 1])[0] for n in range(len(at))]
    assert found.tolist() == alone


walks = st.lists(
    st.tuples(
        st.sampled_from([5, 5, 10, 10, 30, 60, 61, 120]),
        st.floats(0.0, 2 * math.pi),
        st.sampled_from([0.0, 1.4, 1.4, 14.0, 14.0, 30.0]),
        st.sampled_from([50, 50, 120, 400, 1_200]),
    ),
    min_size=2,
    max_size=40,
)


@settings(max_examples=150)
@given(zones(), metres, metres, walks)
def test_entries_and_exits_are_those_of_the_reference(
    zone: GeoZone, east_m: float, north_m: float, walk: list[tuple[int, float, float, int]]
) -> None:
    """But for the ways between two fixes, which the reference does not know: their entry is the engine's alone."""
    fixes = _walked(zone, east_m, north_m, walk)
    watch, said = reference.Watch(zone), _said(zone, fixes)
    for fix in fixes:
        at_s = (int(fix["t3_ms"]) - T0_MS) / 1000
        watch.hear(at_s, int(fix["lat_e6"]), int(fix["lon_e6"]), int(fix["accuracy_dm"]) / 10)
    watch.until((int(fixes["t3_ms"][-1]) - T0_MS) / 1000 + 300)
    assume(not watch.doubtful)
    assume(not any(one.crossed_from_ms for one in said))
    inward = Change.EXIT if zone.kind is ZoneKind.STAY else Change.ENTRY
    told = ["in" if one.change is inward else "out" for one in said]
    assert told == [what for _, what in watch.events]
    hours = [(one.at_ms - T0_MS) / 1000 for one in said]
    assert hours == pytest.approx([at for at, _ in watch.events], abs=1.01)


def _walked(zone: GeoZone, east_m: float, north_m: float, walk: list[tuple[int, float, float, int]]) -> np.ndarray:
    lon_e6, lat_e6 = zone.shape.centre if isinstance(zone.shape, Circle) else zone.shape.rings[0][0]
    fixes = np.zeros(len(walk), FIX_DTYPE)
    at_ms = T0_MS + 1_000
    for seq, (fix, (gap_s, course, speed_m_s, accuracy_dm)) in enumerate(zip(fixes, walk, strict=True)):
        at_ms += 1_000 * gap_s
        east_m += gap_s * speed_m_s * math.cos(course)
        north_m += gap_s * speed_m_s * math.sin(course)
        fix["device"], fix["seq"], fix["accuracy_dm"], fix["sent_ms"] = 1, seq, accuracy_dm, -1
        fix["fix_ms"], fix["t3_ms"], fix["t4_ms"] = at_ms - 700, at_ms, at_ms
        fix["lon_e6"], fix["lat_e6"] = _moved(lat_e6, lon_e6, east_m, north_m)
    return fixes


def _said(zone: GeoZone, fixes: np.ndarray) -> list[engine.Finding]:
    devices = {
        f"b{n:07d}": Device(id=f"b{n:07d}", number=n, kind=DeviceKind.WEARER, reports_every_s=60) for n in (1, 2)
    }
    table, first = engine.revise(
        PairTable(Roster()), roster_of([_order(zone)], devices, partition=0, partitions=1), T0_MS
    )
    steps = [first]
    steps += [engine.step(table, fixes[n : n + 1], 0) for n in range(fixes.size)]
    end_ms = int(fixes["t3_ms"][-1]) // 1000 * 1000
    steps += [engine.step(table, fixes[:0], end_ms + 1000 * second) for second in range(1, 301)]
    return [one for step in steps for one in step.findings if one.zone is not None]


def test_the_lives_above_meet_every_kind_of_zone() -> None:
    """Else nothing above says anything."""
    codes = set()
    for seed in range(30):
        cast, life = long_life(seed, 300)
        played = heard(cast._replace(armed=True), messages(cast, life))
        codes |= {(one.code.value, one.reason) for step in played.steps for one in step.findings if one.zone}
        codes |= {("-", str(one.authorised)) for step in played.steps for one in step.findings}
    assert {code for code, _ in codes} == {"ZONE_CORE_ENTRY", "ZONE_ENTRY", "ZONE_EXIT", "ZONE_PREALERT", "-"}
    assert {reason for _, reason in codes} >= {
        "inside_zone", "near_zone", "outside_place_to_be", "back_in_place_to_be", "outside_two_fixes",
        "zone_came_into_force", "zone_not_in_force", "authorisation_ended", "True",
    }  # fmt: skip
