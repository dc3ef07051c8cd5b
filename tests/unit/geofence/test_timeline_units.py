"""A unit that cannot be believed, over time: frozen (F10), too few fixes (F15), left at home (F20), a wrong clock
(F37). Two people 30 km apart, so that nothing else is said."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from geofence_pairs import P, W, order
from unit_watch import HOUR_S, Watched, her, him, measures, reports

from geofence import engine
from tocsin.model.finding import Change
from tocsin.model.fix import ABSENT, FixFlag

pytestmark = pytest.mark.usefixtures("both_paths")
DRIVING = 1_400  # cm/s


def drive(since_s):
    """He stands, and from then on drives away at 14 m/s."""
    return lambda at_s: 30_000 + 14 * max(0, at_s - since_s)


# --- F10: frozen -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("every_s", [10, 60])
def test_f10_a_place_that_stands_while_he_drives_is_said_within_three_intervals_and_until_it_moves(every_s):
    """The receiver freezes at 20:00, an instant after it gave a place; from 30:00 on it is right again."""
    right = him(drive(600), every_s=every_s, until_s=1200, speed_cms=DRIVING)
    stuck = reports(W, drive(600)(1200), every_s=every_s, since_s=1200, until_s=1800, speed_cms=DRIVING)
    again = him(drive(600), every_s=every_s, since_s=1800, speed_cms=DRIVING)
    watched = Watched(measures(every_s=every_s), her(every_s=every_s), right, stuck, again)
    ((since_s, entry), (until_s, end)) = watched.of("FROZEN_FIX")
    assert 1200 < since_s <= 1200 + 3 * every_s
    assert 1800 < until_s <= 1800 + 3 * every_s
    assert (entry.reason, end.reason, end.entry) == ("place_repeated_on_the_move", "moves_again", entry.id)
    assert (entry.device, entry.distance_dm) == ("b0000001", None)


def test_f10_a_unit_that_stands_still_may_repeat_its_place_all_night():
    """A receiver that holds its place at rest: nothing for eleven hours; nothing ever if its accuracy wanders."""
    held = reports(W, 30_000, until_s=11 * HOUR_S, speed_cms=10)
    wandering = reports(W, 30_000, until_s=20 * HOUR_S, speed_cms=10)
    for n, (_, one) in enumerate(wandering):
        one["accuracy_dm"] = 50 + n % 2
    for stream, until_s in ((held, 11 * HOUR_S), (wandering, 20 * HOUR_S)):
        watched = Watched(measures(), her(until_s=until_s), stream, until_s=until_s, tick_s=60)
        assert not watched.of("FROZEN_FIX")


def test_f10_a_place_alike_to_the_last_digit_for_longer_than_a_night_is_no_measurement():
    stuck = reports(W, 30_000, until_s=14 * HOUR_S, speed_cms=ABSENT)
    watched = Watched(measures(), her(until_s=14 * HOUR_S), stuck, until_s=14 * HOUR_S, tick_s=60)
    ((at_s, entry),) = watched.of("FROZEN_FIX")
    assert entry.reason == "place_repeated_for_hours"
    assert 12 * HOUR_S <= at_s <= 12 * HOUR_S + 120


@pytest.mark.parametrize("speeds", [(0, DRIVING), (DRIVING, 0), (10, 10)])
def test_f10_one_hasty_doppler_at_rest_is_no_evidence(speeds):
    """Held at rest; every other fix says for once that it moves."""
    held = reports(W, 30_000)
    for n, (_, one) in enumerate(held):
        one["speed_cms"] = speeds[n % 2]
    assert not Watched(measures(), her(), held).of("FROZEN_FIX")


# --- F15: too few ----------------------------------------------------------------------------------------------


def thinned(stream, share, seed=1, since_s=0, until_s=10**9):
    """What arrives when ``share`` of it is dropped between these hours."""
    rng = np.random.default_rng(seed)
    return [(at, one) for at, one in stream if not since_s <= at < until_s or rng.random() >= share]


@pytest.mark.parametrize("every_s", [10, 60])
@pytest.mark.parametrize("seed", range(4))
def test_f15_with_55_percent_lost_it_is_said_within_40_minutes_and_taken_back(every_s, seed):
    lost = thinned(him(every_s=every_s, until_s=3 * HOUR_S), 0.55, seed, HOUR_S, 2 * HOUR_S)
    hers = her(every_s=every_s, until_s=3 * HOUR_S)
    watched = Watched(measures(every_s=every_s), hers, lost, until_s=3 * HOUR_S)
    (since_s, entry), *_, (until_s, end) = watched.of("LOW_YIELD")
    assert HOUR_S < since_s <= HOUR_S + 2400
    assert 2 * HOUR_S < until_s <= 2 * HOUR_S + 2400
    assert (entry.device, entry.reason, end.reason) == ("b0000001", "fixes_missing", "fixes_come_again")
    assert entry.received < 0.6 * (entry.expected + 0.5), "expected is rounded"
    assert end.received > 0.8 * (end.expected - 0.5)


@pytest.mark.parametrize("seed", range(8))
def test_f15_three_percent_lost_is_never_said(seed):
    lost = thinned(him(until_s=8 * HOUR_S), 0.03, seed)
    watched = Watched(measures(), her(until_s=8 * HOUR_S), lost, until_s=8 * HOUR_S, tick_s=60)
    assert not watched.of("LOW_YIELD")


def test_f15_full_silence_is_a_loss_and_nothing_beside_it():
    """He is silent for two hours, she for half an hour; both come back."""
    gone = [one for one in him(until_s=4 * HOUR_S) if not HOUR_S <= one[0] < 3 * HOUR_S]
    away = [one for one in her(until_s=4 * HOUR_S) if not 2 * HOUR_S <= one[0] < 2.5 * HOUR_S]
    watched = Watched(measures(), gone, away, until_s=4 * HOUR_S)
    assert {"W_COMMS_LOSS", "V_COMMS_LOSS"} <= watched.codes()
    assert not watched.of("LOW_YIELD")


def test_f15_a_wearer_without_gnss_is_said_to_be_that_and_her_unit_without_it_to_give_too_few():
    """An hour of messages without a place: his is W_GNSS_LOSS; of hers nothing else would say it."""
    for number, code in ((W, "W_GNSS_LOSS"), (P, "LOW_YIELD")):
        streams = {W: him(until_s=2 * HOUR_S), P: her(until_s=2 * HOUR_S)}
        for at_s, one in streams[number]:
            if at_s >= HOUR_S:
                one["flags"] = FixFlag.PRESENCE
        watched = Watched(measures(), *streams.values(), until_s=2 * HOUR_S)
        assert watched.codes() & {"W_GNSS_LOSS", "LOW_YIELD"} == {code}


def test_f15_what_is_repeated_or_late_is_no_yield():
    """Of three messages one is new; one repeats it, one is 100 s old."""
    stream = him(until_s=2 * HOUR_S)
    for n, (_, one) in enumerate(stream):
        if n % 3 == 1:
            one["fix_ms"] = stream[n - 1][1]["fix_ms"]
        if n % 3 == 2:
            one["fix_ms"] -= 100_000
    watched = Watched(measures(), her(until_s=2 * HOUR_S), stream, until_s=2 * HOUR_S)
    (_, entry), *_ = watched.of("LOW_YIELD")
    assert entry.received == pytest.approx(entry.expected / 3, abs=2)


def test_f15_poor_fixes_are_yield():
    poor = him(until_s=2 * HOUR_S, accuracy_m=300.0)
    poor[0][1]["accuracy_dm"] = 50
    assert not Watched(measures(), her(until_s=2 * HOUR_S), poor, until_s=2 * HOUR_S).of("LOW_YIELD")


def test_f15_what_was_expected_follows_every_interval_that_was_told():
    """Told 60 s, from 30:00 on 10 s: he comes from 4.8 km to 1.9, where d_A is 1 km. Obeyed, no fix is missing; at
    every 20 s half of them are; expected is the sum over both."""

    def place(at_s):
        return 4_800 if at_s < 1800 else 1_900

    for obeys in (True, False):
        slow = him(place, until_s=1801)
        fast = him(place, every_s=10 if obeys else 20, since_s=1820, until_s=2 * HOUR_S)
        hers = [*her(until_s=1801), *her(every_s=10, since_s=1810, until_s=2 * HOUR_S)]
        watched = Watched(measures(every_s=None), hers, slow, fast, until_s=2 * HOUR_S)
        told_s = next(at for at, one in watched.commands if one.interval_s == 10 and one.device == "b0000001")
        assert told_s == 1800
        assert bool(watched.of("LOW_YIELD")) is not obeys
        if not obeys:
            (at_s, entry), *_ = watched.of("LOW_YIELD")
            slow_s, fast_s = told_s - (at_s - 1800), at_s - told_s
            assert (slow_s, fast_s) == (600, 1200)
            assert entry.expected == pytest.approx(slow_s / 60 + fast_s / 10, abs=1)
            assert entry.received == pytest.approx(slow_s / 60 + fast_s / 20, abs=2)


# --- F20: not carried ------------------------------------------------------------------------------------------


def test_f20_a_unit_that_lies_for_eight_waking_hours_is_said_and_until_it_moves():
    """They begin at 07:00 in Paris, six hours into the story: 15:00 it is, not 09:00. At 18:00 she goes."""
    until_s = 18 * HOUR_S
    lies = her(until_s=17 * HOUR_S)
    goes = reports(P, lambda at_s: 2.0 * (at_s - 17 * HOUR_S), since_s=17 * HOUR_S, until_s=until_s, wander_m=4.0)
    watched = Watched(measures(), him(until_s=until_s), lies, goes, until_s=until_s, tick_s=60)
    (at_s, entry), (end_s, end) = watched.of("V_NOT_CARRIED")
    assert 14 * HOUR_S <= at_s <= 14 * HOUR_S + 120
    assert 17 * HOUR_S < end_s <= 17 * HOUR_S + 240
    assert (entry.device, entry.reason, end.reason) == ("b0000002", "still_for_8_waking_hours", "moves_again")


def test_f20_a_night_does_not_count_and_does_not_begin_anew():
    """Put down at 19:00, four hours before the night: said at 11:00 in the morning."""
    begun_s, until_s = 18 * HOUR_S, 36 * HOUR_S
    walks = reports(P, lambda at_s: 1.0 * at_s, until_s=begun_s, wander_m=4.0)
    lies = reports(P, 1.0 * begun_s, since_s=begun_s, until_s=until_s, wander_m=4.0)
    watched = Watched(measures(), him(until_s=until_s), walks, lies, until_s=until_s, tick_s=60)
    ((at_s, _),) = watched.of("V_NOT_CARRIED")
    assert 34 * HOUR_S <= at_s <= 34 * HOUR_S + 600


def test_f20_who_goes_out_for_a_quarter_of_an_hour_carries_it_and_an_outlier_goes_nowhere():
    until_s = 20 * HOUR_S
    out_s = range(12 * HOUR_S, 12 * HOUR_S + 900)
    for leaves, told in ((lambda at_s: at_s in out_s, False), (lambda at_s: at_s == 12 * HOUR_S, True)):
        moves = reports(P, lambda at_s, leaves=leaves: 300 if leaves(at_s) else 0, until_s=until_s, wander_m=4.0)
        watched = Watched(measures(), him(until_s=until_s), moves, until_s=15 * HOUR_S, tick_s=60)
        assert bool(watched.of("V_NOT_CARRIED")) is told


def test_f20_his_unit_and_a_silent_one_are_not_said_to_lie():
    until_s = 20 * HOUR_S
    silent = [one for one in her(until_s=until_s) if not 8 * HOUR_S < one[0] < 16 * HOUR_S]
    watched = Watched(measures(), him(until_s=until_s), silent, until_s=until_s, tick_s=60)
    assert not watched.of("V_NOT_CARRIED")


# --- F37: the clock --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("skew_s", [-60, -6, 7, 250])
def test_f37_a_clock_that_stays_off_is_said_with_its_skew_until_it_is_right(skew_s):
    off = him(since_s=600, until_s=1800, skew_s=skew_s)
    streams = [him(until_s=600), off, him(since_s=1800)]
    watched = Watched(measures(), her(), *streams)
    (since_s, entry), (until_s, end) = watched.of("CLOCK_SKEW")
    assert 600 + 120 < since_s <= 600 + 180
    assert 1800 + 120 < until_s <= 1800 + 180
    assert entry.skew_ms == 1000 * skew_s - 400
    assert (entry.device, entry.reason, end.reason) == ("b0000001", "clock_off", "clock_right_again")


@pytest.mark.parametrize("skew_s", [-4, 0, 5])
def test_f37_within_five_seconds_a_clock_is_right(skew_s):
    assert not Watched(measures(), her(), him(skew_s=skew_s)).of("CLOCK_SKEW")


def test_f37_a_queue_that_empties_is_no_wrong_clock():
    """A broker was away for five minutes: its messages come at once, each sent 10 s after the one before."""
    stream = him(every_s=10)
    for at_s, one in stream:
        if 600 <= at_s < 900:
            for column in ("t3_ms", "t4_ms"):
                one[column] += 1000 * (900 - at_s)
    moved = [(900 if 600 <= at_s < 900 else at_s, one) for at_s, one in stream]
    assert not Watched(measures(every_s=10), her(every_s=10), moved).of("CLOCK_SKEW")


def test_f37_without_the_hour_of_sending_a_clock_ahead_is_seen_by_its_fixes():
    ahead = him(sent_ms=ABSENT)
    for _, one in ahead:
        one["fix_ms"] += 30_000
    watched = Watched(measures(), her(), ahead)
    ((_, entry),) = watched.of("CLOCK_SKEW")
    assert entry.skew_ms == 29_600
    assert not Watched(measures(), her(), him(sent_ms=ABSENT)).of("CLOCK_SKEW")


# --- whom it is said to ----------------------------------------------------------------------------------------


def two_measures(every_s=60):
    return measures(order(), order("msr_b", protected=3), every_s=every_s)


def test_each_measure_of_a_unit_hears_of_it_and_one_that_begins_later_too():
    third = reports(3, 500j, wander_m=4.0)
    watched = Watched(two_measures(), her(), third, him(skew_s=7))
    assert {one.measure for _, one in watched.of("CLOCK_SKEW")} == {"msr_a", "msr_b"}
    late = order("msr_c", protected=3, valid_from_ms=watched.table.clock_ms + 1)
    watched.table, step = engine.revise(
        watched.table, measures(order(), order("msr_b", protected=3), late), watched.table.clock_ms + 1000
    )
    assert [(one.code, one.measure) for one in step.findings if one.code == "CLOCK_SKEW"] == [
        ("CLOCK_SKEW", "msr_c")
    ]


def test_of_two_units_with_the_same_trouble_both_beginnings_are_said_and_one_end():
    hers = [*her(until_s=900, skew_s=7), *her(since_s=900)]
    his = [*him(until_s=600), *him(since_s=600, until_s=1800, skew_s=9), *him(since_s=1800)]
    watched = Watched(measures(), hers, his)
    assert [(one.change, one.device) for _, one in watched.of("CLOCK_SKEW")] == [
        (Change.ENTRY, "b0000002"), (Change.ENTRY, "b0000001"), (Change.EXIT, "b0000001"),
    ]  # fmt: skip


def test_a_measure_that_is_over_takes_it_along():
    ends = order(valid_until_ms=1_795_219_200_000 + 1_200_000)
    watched = Watched(measures(ends), her(), him(skew_s=7))
    assert [one.change for _, one in watched.of("CLOCK_SKEW")] == [Change.ENTRY]
    assert not watched.table.said_ms.any()


def test_an_exit_names_its_entry_also_when_the_unit_was_exchanged():
    watched = Watched(measures(), her(), him(skew_s=7))
    ((_, entry),) = watched.of("CLOCK_SKEW")
    now_ms = watched.table.clock_ms + 1000
    watched.table, step = engine.revise(watched.table, measures(order(wearer=4)), now_ms)
    (end,) = [one for one in step.findings if one.code == "CLOCK_SKEW"]
    assert (end.change, end.entry) == (Change.EXIT, entry.id)
    assert msgspec.structs.asdict(end)["device"] == "b0000004"
