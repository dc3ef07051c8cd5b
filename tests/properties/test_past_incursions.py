"""Late delivery of any subset of fixes, in any order and any chunks, ends with the incursions that timely delivery
has; and the kernel of the past says what a plain walk over the seconds says (DOMAIN section 3, invariant 4; F05,
F13).
"""

from __future__ import annotations

import asyncio
from itertools import pairwise
from math import dist
from typing import Final

import numpy as np
from builders import frozen_clock
from geofence_places import authorised
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from past_record import HERS, HIS, MemoryRecord
from tracks import LAT_E6, LON_E6, METRES_PER_E6, T0_MS

from geofence.assumptions import FORGET_MS, FRESH_MS, LATE_FROM_MS, REACH_MS
from geofence.hindsight import party
from geofence.incursions import incursions
from geofence.past import Tracks
from geofence.retrospect import LookBack
from tocsin import subjects
from tocsin.adapters.retrospect import LiveAlert
from tocsin.geodesy import ecef_one
from tocsin.model.finding import Code, Finding
from tocsin.model.order import Order
from tocsin.model.track import TRACK_DTYPE, Track, came_late
from tocsin.testing.bus import MemoryLog

DAY_MS: Final = 86_400_000
ORDER: Final = Order(
    id="msr_past", version=1, wearer="his-unit", protected="her-unit", alert_distance_m=1_000,
    valid_from_ms=T0_MS - DAY_MS, valid_until_ms=T0_MS + 2 * DAY_MS,
)  # fmt: skip
CLOCK: Final = frozen_clock(T0_MS + DAY_MS)

# gap in s, way in m since the fix before, accuracy in dm, is late
steps = st.tuples(
    st.sampled_from([1, 10, 10, 30, 30, 60, 60, 179, 181, 400, 1_000]),
    st.sampled_from([0, 0, 50, -50, 400, -400, 900, -900, 2_000, -2_000, 25_000]),
    st.sampled_from([50, 50, 50, -1, 0, 400, 1_501]),
    st.booleans(),
)
walks = st.lists(steps, min_size=1, max_size=25)
starts = st.sampled_from([-3_000, -1_500, -1_050, -900, 0, 900, 1_050, 2_500])


@st.composite
def tracks(draw: st.DrawFn) -> Track:
    """Somebody on a line; who jumps 25 km away may be back with the next fix."""
    walk, metres, at_s = draw(walks), draw(starts), 0
    made = np.zeros(len(walk), TRACK_DTYPE)
    for row, (gap_s, way_m, accuracy_dm, late) in zip(made, walk, strict=True):
        at_s += gap_s
        jump = way_m == 25_000
        metres += 0 if jump else way_m
        row["at_ms"], row["accuracy_dm"] = T0_MS + 1000 * at_s, accuracy_dm
        row["lat_e6"] = LAT_E6 + round((metres + 25_000 * jump) / METRES_PER_E6)
        row["lon_e6"], row["delay_ms"] = LON_E6, 2_000_000 if late else 700
    return made


@st.composite
def deliveries(draw: st.DrawFn, pair: Tracks) -> list[list[tuple[int, Track]]]:
    """What is in time comes first, as PAST_SETTLES_MS and ``Log.progress`` see to; what is late in any order, cut
    anywhere; some of all of it twice."""
    parties = list(zip((HIS, HERS), pair, strict=True))
    timely = [(device, track[~came_late(track, LATE_FROM_MS)]) for device, track in parties]
    rows = [(device, track[index : index + 1]) for device, track in parties
            for index in np.flatnonzero(came_late(track, LATE_FROM_MS))]  # fmt: skip
    order = draw(st.permutations(range(len(rows))))
    everything = [*rows, *timely]
    again = draw(st.lists(st.sampled_from(range(len(everything))), max_size=3))
    coming = [*(rows[index] for index in order), *(everything[index] for index in again)]
    cuts = sorted(draw(st.lists(st.integers(0, len(coming)), max_size=5)))
    return [timely, *(coming[a:b] for a, b in zip([0, *cuts], [*cuts, len(coming)], strict=True))]


def looked_back(
    chunks: list[list[tuple[int, Track]]], alerts: tuple[LiveAlert, ...] = (), order: Order = ORDER
) -> MemoryRecord:
    """What is said when it is looked at after each chunk."""
    record = MemoryRecord(order, alerts)

    async def look() -> None:
        log = MemoryLog()
        looking = LookBack(log, record, CLOCK, 1)  # type: ignore[arg-type]
        alerts_only = subjects.findings("*", Code.PROX_ALERT.value)
        queue = subjects.dispatcher(Code.PROX_ALERT.value)
        async with log.queue(subjects.FINDINGS, queue, parallel=1, subject=alerts_only):  # the desk is up to date
            for chunk in chunks:
                for device, fixes in chunk:
                    record.deliver(device, fixes)
                while await looking.turn():
                    pass

    asyncio.run(look())
    return record


def content(found: list[Finding]) -> list[tuple[object, ...]]:
    """All that is said, but for names and for what was superseded on the way."""
    return sorted(
        (one.past.first_ms, one.past.last_ms, one.past.nearest_ms, one.distance_dm, one.lower_dm, one.upper_dm,
         one.wearer.fix_ms, one.protected.fix_ms, one.past.corrects or "", one.past.late != (),
         one.authorised, one.past.authorised_ms)
        for one in found if one.past and one.wearer and one.protected
    )  # fmt: skip


def shown(pair: Tracks) -> set[tuple[int, int, int]]:
    found = incursions(*pair, ORDER.alert_distance_m, T0_MS - DAY_MS, T0_MS + DAY_MS)
    return {(one.first_ms, one.last_ms, one.distance_dm) for one in found}


@settings(max_examples=150)
@given(st.data())
def test_in_any_order_and_any_chunks_it_ends_as_at_once(data: st.DataObject) -> None:
    pair = Tracks(data.draw(tracks()), data.draw(tracks()))
    at_once = looked_back([[(HIS, pair.wearer), (HERS, pair.protected)]])
    in_pieces = looked_back(data.draw(deliveries(pair)))
    assert content(in_pieces.standing) == content(at_once.standing)


@settings(max_examples=100)
@given(st.data(), st.integers(0, 20), st.integers(1, 40), st.sampled_from([0, 300, 700]))
def test_nor_does_it_matter_for_what_was_authorised(
    data: st.DataObject, from_min: int, lasts_min: int, floor_m: int
) -> None:
    """It ends the same; and whoever is not told was not below the floor and not there outside the hours."""
    hours = authorised(f"{from_min}:00", f"{from_min + lasts_min}:00", floor_m)
    pair, order = Tracks(data.draw(tracks()), data.draw(tracks())), replace(ORDER, authorised=hours)
    at_once = looked_back([[(HIS, pair.wearer), (HERS, pair.protected)]], order=order).standing
    assert content(looked_back(data.draw(deliveries(pair)), order=order).standing) == content(at_once)
    begin_ms, end_ms = T0_MS + 60_000 * from_min, T0_MS + 60_000 * (from_min + lasts_min)
    for one in at_once:
        instant = one.past.first_ms == one.past.last_ms == end_ms
        within = begin_ms <= one.past.first_ms and one.past.last_ms <= end_ms and not instant
        allowed = floor_m == 0 or one.distance_dm > 10 * floor_m
        assert one.authorised == (within and allowed)


@settings(max_examples=150)
@given(tracks(), tracks())
def test_what_is_said_and_what_the_timely_fixes_show_are_all_there_is(his: Track, hers: Track) -> None:
    """Whatever subset is late: nothing is lost, nothing is invented, nothing is said that needed no late fix."""
    pair = Tracks(his, hers)
    said = {
        (one.past.first_ms, one.past.last_ms, one.distance_dm)
        for one in looked_back([[(HIS, his), (HERS, hers)]]).standing
        if one.past
    }
    everything, timely = shown(pair), shown(pair.timely())
    assert said == everything - timely


@settings(max_examples=100)
@given(st.data())
def test_all_of_it_late_is_all_of_it(data: st.DataObject) -> None:
    pair = Tracks(data.draw(tracks()), data.draw(tracks()))
    for track in pair:
        track["delay_ms"] = 2_000_000
    said = looked_back(data.draw(deliveries(pair))).standing
    assert {(one.past.first_ms, one.past.last_ms, one.distance_dm) for one in said if one.past} == shown(pair)


@settings(max_examples=150)
@given(st.data(), st.integers(0, 2_000), st.integers(0, 900))
def test_a_live_alert_takes_what_overlaps_it_whatever_the_order(
    data: st.DataObject, entry_s: int, lasts_s: int
) -> None:
    pair = Tracks(data.draw(tracks()), data.draw(tracks()))
    alert = LiveAlert("fnd_live", T0_MS + 1000 * entry_s, T0_MS + 1000 * (entry_s + lasts_s))
    at_once = looked_back([[(HIS, pair.wearer), (HERS, pair.protected)]], (alert,))
    in_pieces = looked_back(data.draw(deliveries(pair)), (alert,))
    assert content(in_pieces.standing) == content(at_once.standing)
    for one in at_once.standing:
        assert one.past is not None
        overlaps = one.past.first_ms <= alert.exit_ms + FRESH_MS and one.past.last_ms >= alert.entry_ms - FRESH_MS  # type: ignore[operator]
        assert (one.past.corrects == "fnd_live") == overlaps


@given(st.data(), tracks(), tracks())
def test_the_order_of_the_rows_changes_nothing(data: st.DataObject, his: Track, hers: Track) -> None:
    mixed = Tracks(his[data.draw(st.permutations(range(his.size)))], hers)
    assert shown(mixed) == shown(Tracks(his, hers))


@given(tracks(), tracks())
def test_what_is_far_in_time_changes_nothing(his: Track, hers: Track) -> None:
    """REACH_MS is enough: another fix farther away neither adds to nor takes from what is seen here."""
    before = incursions(his, hers, 1_000, T0_MS - DAY_MS, T0_MS + DAY_MS)
    stranger = his[:1].copy()
    stranger["at_ms"] = his["at_ms"].max() + REACH_MS
    after = incursions(np.concatenate([his, stranger]), hers, 1_000, T0_MS - DAY_MS, T0_MS + DAY_MS)
    untouched_ms = int(his["at_ms"].max())
    assert [one for one in before if one.end_ms < untouched_ms] == [
        one for one in after if one.end_ms < untouched_ms
    ]


# --- the plain walk --------------------------------------------------------------------------------------------


def place_at(track: Track, at_ms: int) -> tuple[float, float, float] | None:
    """Where he was, one believed fix after the other. None: nobody knows, or only a stay says so."""
    believed = party(track).fixes
    places = [ecef_one(int(one["lat_e6"]), int(one["lon_e6"])) for one in believed]
    hours = believed["at_ms"].tolist()
    for (a_ms, a), (b_ms, b) in pairwise(zip(hours, places, strict=True)):
        reachable = dist(a, b) <= 90.0 * (b_ms - a_ms) / 1000
        if a_ms <= at_ms <= b_ms and b_ms - a_ms <= FORGET_MS and reachable:
            share = (at_ms - a_ms) / (b_ms - a_ms)
            return tuple(p + (q - p) * share for p, q in zip(a, b, strict=True))  # type: ignore[return-value]
    return dict(zip(hours, places, strict=True)).get(at_ms)


@settings(max_examples=150)
@given(tracks(), tracks())
def test_the_kernel_agrees_with_a_walk_over_the_seconds(his: Track, hers: Track) -> None:
    """Whoever is seen within the distance at a whole second is inside an incursion, at least as near; and no
    incursion is nearer than what two seconds beside it can explain (100 m at 90 m/s)."""
    found = incursions(his, hers, 1_000, T0_MS - DAY_MS, T0_MS + DAY_MS)
    first, last = max(his["at_ms"].min(), hers["at_ms"].min()), min(his["at_ms"].max(), hers["at_ms"].max())
    for at_ms in range(int(first), int(last) + 1, 7_000):
        one, other = place_at(his, at_ms), place_at(hers, at_ms)
        if one is None or other is None:
            continue
        distance_m = dist(one, other)
        within = [each for each in found if each.first_ms <= at_ms <= each.last_ms]
        if distance_m <= 999.9:
            assert within
            assert within[0].distance_dm <= 10 * distance_m + 1
        elif distance_m >= 1_300.0:
            assert not [each for each in found if abs(each.nearest_ms - at_ms) <= 1_000]


@given(tracks(), tracks())
def test_what_is_said_hangs_together(his: Track, hers: Track) -> None:
    found = incursions(his, hers, 1_000, T0_MS - DAY_MS, T0_MS + DAY_MS)
    assert list(found) == sorted(found)
    for one in found:
        assert one.begin_ms <= one.first_ms <= one.nearest_ms <= one.last_ms <= one.end_ms
        assert 0 <= one.lower_dm <= one.distance_dm <= one.upper_dm
        assert one.distance_dm <= 10_000
    for one, other in pairwise(found):
        assert one.end_ms < other.begin_ms


def test_late_is_what_the_live_rules_did_not_have() -> None:
    track = np.zeros(3, TRACK_DTYPE)
    track["delay_ms"], track["flags"] = [LATE_FROM_MS, LATE_FROM_MS + 1, 0], [0, 0, 2]
    assert came_late(track, LATE_FROM_MS).tolist() == [False, True, True]
