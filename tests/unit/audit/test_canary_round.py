"""Does an invented pair cross once a minute and do nothing else? Which stage does a round lack? F07."""

from __future__ import annotations

from collections import Counter
from math import cos, hypot, radians

import numpy as np
import pytest

from audit import canary_round
from audit.canary_round import (
    ALERT_DISTANCE_M,
    FAILS_AFTER_MS,
    METRES_PER_DEGREE,
    REPORT_S,
    ROUND_S,
    Lasting,
    Stage,
    Turn,
    Watch,
    Word,
    begins_ms,
    crossing_ms,
    her_place,
    his_place,
    next_report_ms,
    pairs,
    round_at,
    turn_of,
)
from geofence import engine
from geofence.pair_table import PairTable, Roster, roster_of
from tocsin.clock import MS
from tocsin.model.canary import is_canary
from tocsin.model.device import Device, DeviceKind
from tocsin.model.finding import Change, Code, Finding
from tocsin.model.fix import FIX_DTYPE, Fixes
from tocsin.model.order import Order, problems_of
from tocsin.subjects import EPISODES, FINDINGS, FIXES, RECEIPTS, RESULTS, partition_of

FIRST = 30_000_000  # a minute of 2027
BEGAN_MS = begins_ms(FIRST)
SHE, HE = 1, 2
PAIR = pairs(1)[0]
DEVICES = {
    PAIR.wearer: Device(id=PAIR.wearer, number=HE, kind=DeviceKind.WEARER, reports_every_s=REPORT_S),
    PAIR.protected: Device(id=PAIR.protected, number=SHE, kind=DeviceKind.PROTECTED, reports_every_s=REPORT_S),
}
ORDER = Order(
    id=PAIR.measure, version=1, wearer=PAIR.wearer, protected=PAIR.protected, alert_distance_m=ALERT_DISTANCE_M,
    valid_from_ms=0, valid_until_ms=2**61,
)  # fmt: skip


def fix(number: int, at_ms: int, seq: int) -> Fixes:
    place = her_place(at_ms) if number == SHE else his_place(at_ms)
    one = np.zeros(1, FIX_DTYPE)
    one["device"], one["seq"], one["accuracy_dm"] = number, seq, round(canary_round.ACCURACY_M * 10)
    one["fix_ms"] = one["sent_ms"] = at_ms
    one["t3_ms"] = one["t4_ms"] = at_ms + 40
    one["lat_e6"], one["lon_e6"] = round(place.lat * 1e6), round(place.lon * 1e6)
    one["primary"] = 1
    return one


def walked(minutes: int) -> list[Finding]:
    """What the real engine says of so many rounds."""
    table, _ = engine.revise(
        PairTable(Roster()), roster_of([ORDER], DEVICES, partition=0, partitions=1), BEGAN_MS - 1
    )
    said: list[Finding] = []
    for second in range(minutes * ROUND_S):
        at_ms = BEGAN_MS + second * MS
        said += engine.step(table, np.empty(0, FIX_DTYPE), at_ms).findings
        if second % REPORT_S == 0:
            for number in (SHE, HE):
                step = engine.step(table, fix(number, at_ms, second), at_ms + 40)
                assert not step.broken
                said += step.findings
    return said


def test_each_minute_is_one_entry_and_one_exit_and_nothing_else_is_ever_said() -> None:
    minutes = 120
    said = walked(minutes)
    counted = Counter((one.code, one.change) for one in said)
    assert counted == {
        (Code.PROX_PREALERT, Change.ENTRY): 1,
        (Code.PROX_ALERT, Change.ENTRY): minutes,
        (Code.PROX_ALERT, Change.EXIT): minutes,
    }
    entries = [one for one in said if (one.code, one.change) == (Code.PROX_ALERT, Change.ENTRY)]
    assert [one.at_ms for one in entries] == [crossing_ms(FIRST + number) for number in range(minutes)]
    assert all(one.points.t3_ms is not None and not one.low_confidence for one in entries)


def test_not_in_a_day_of_waking_hours_is_a_unit_called_frozen_or_left_at_home() -> None:
    assert {one.code for one in walked(16 * 60)} == {Code.PROX_PREALERT, Code.PROX_ALERT}


def test_they_walk_where_nobody_lives_and_never_faster_than_a_car() -> None:
    hours = [BEGAN_MS + at * REPORT_S * MS for at in range(720)]
    for place in (her_place, his_place):
        track = [place(hour) for hour in hours]
        north = np.diff([one.lat for one in track]) * METRES_PER_DEGREE
        east = np.diff([one.lon for one in track]) * METRES_PER_DEGREE * cos(radians(canary_round.SEA_LAT))
        assert max(np.hypot(north, east)) / REPORT_S < 25.0
        assert all(hypot(one.lat - 46.0, one.lon + 6.0) < 0.02 for one in track)


@pytest.mark.parametrize("partitions", [1, 2, 3, 4, 16, 64])
def test_each_partition_has_its_pair_by_name(partitions: int) -> None:
    """F07: one that nobody walks is one whose silence nobody hears."""
    found = pairs(partitions)
    assert [partition_of(one.measure, partitions) for one in found] == list(range(partitions))
    assert all(is_canary(name) for one in found for name in (one.measure, one.wearer, one.protected))


@pytest.mark.parametrize("partitions", range(1, 65))
def test_pairs_take_turns_so_that_no_stream_has_more_than_it_has_room_for(partitions: int) -> None:
    turns = [turn_of(partition, partitions) for partition in range(partitions)]
    of = turns[0].of
    crossing = [sum(turn.has(number) for turn in turns) for number in range(FIRST, FIRST + of)]
    assert 1 <= min(crossing) <= max(crossing) <= canary_round.CROSSING_MAX
    assert sum(crossing) == partitions, "each pair once"
    assert (of == 1) is (partitions <= canary_round.CROSSING_MAX)


def test_who_has_every_second_minute_is_given_twice_the_time() -> None:
    """And what is missing is said of its own last round, however long ago that was."""
    watch = Watch(complete_ms=BEGAN_MS, turn=Turn(FIRST % 2, 2))
    for number in (FIRST, FIRST + 2, FIRST + 4):
        passed(watch, number, Stage.PUBLISHED, Stage.FINDING)
    assert sorted(watch.rounds) == [FIRST, FIRST + 2, FIRST + 4]
    assert watch.word(BEGAN_MS + 2 * FAILS_AFTER_MS - 1) is None
    assert watch.word(BEGAN_MS + 2 * FAILS_AFTER_MS) == Word(Stage.RAISED.value, BEGAN_MS + 2 * FAILS_AFTER_MS)


A_DAY_S = 86_400
UNTIL_A_PASS_S = A_DAY_S + 3_600  # what the custodian forgets after a day goes with his next pass
LEFT_BEHIND = {  # bytes a day of one pair, as measured (docs/operating.md), and for how many seconds
    EPISODES: (36_000_000, UNTIL_A_PASS_S),
    RECEIPTS: (5_600_000, UNTIL_A_PASS_S),
    FIXES: (3_100_000, FIXES.keep_s),
    FINDINGS: (2_700_000, FINDINGS.keep_s),
    RESULTS: (2_500_000, RESULTS.keep_s),
}


def test_what_is_left_behind_leaves_half_of_every_stream_to_people() -> None:
    most = {
        stream.name: int(stream.max_bytes / 2 / (a_day_b * kept_s / A_DAY_S))
        for stream, (a_day_b, kept_s) in LEFT_BEHIND.items()
    }
    assert most == {"EPISODES": 28, "RECEIPTS": 23, "FIXES": 346, "FINDINGS": 7, "RESULTS": 3}, "as ADR 46 says"
    assert min(most.values()) == canary_round.CROSSING_MAX


def test_the_order_is_one_that_a_judge_could_give() -> None:
    assert not problems_of(ORDER, DEVICES)


def test_reports_are_on_the_full_ten_seconds() -> None:
    assert next_report_ms(BEGAN_MS) == BEGAN_MS + REPORT_S * MS
    assert next_report_ms(BEGAN_MS - 1) == BEGAN_MS
    assert round_at(crossing_ms(FIRST)) == FIRST


# --- the judgement ----------------------------------------------------------------------------------------------


def passed(watch: Watch, number: int, *stages: Stage, at_ms: int | None = None) -> None:
    one = watch.begin(number)
    for stage in stages:
        one.passes(stage, crossing_ms(number) if at_ms is None else at_ms)
    watch.look()


@pytest.mark.parametrize("lacking", Stage)
def test_the_first_stage_that_was_not_passed_is_the_reason(lacking: Stage) -> None:
    stages = list(Stage)
    watch = Watch(complete_ms=BEGAN_MS)
    for number in range(FIRST, FIRST + 3):
        passed(watch, number, *stages[: stages.index(lacking)])
    due_ms = BEGAN_MS + FAILS_AFTER_MS
    assert watch.word(due_ms - 1) is None
    assert watch.word(due_ms) == Word(lacking.value, due_ms)


def test_what_the_courier_says_and_what_the_receiver_has_are_two_things() -> None:
    """A delivery that is marked sent and was not made."""
    watch = Watch(complete_ms=BEGAN_MS)
    passed(watch, FIRST, *(stage for stage in Stage if stage is not Stage.TAKEN))
    assert watch.begin(FIRST).missing is Stage.TAKEN


def test_a_failure_is_said_once_and_over_with_the_next_complete_round_alone() -> None:
    watch = Watch(complete_ms=BEGAN_MS)
    failed_ms = BEGAN_MS + FAILS_AFTER_MS
    word = watch.word(failed_ms)
    assert word is not None
    watch.lasting = Lasting("ntc_1", word.at_ms)
    passed(watch, FIRST + 3, Stage.PUBLISHED, at_ms=failed_ms)
    assert watch.word(failed_ms + ROUND_S * MS) is None
    passed(watch, FIRST + 4, *Stage, at_ms=failed_ms + 90 * MS)
    assert watch.word(failed_ms + 91 * MS) == Word("", failed_ms + 90 * MS)


def test_a_start_ends_nothing_that_lasts_before_it_has_seen_a_whole_round() -> None:
    watch = Watch(complete_ms=BEGAN_MS, lasting=Lasting("ntc_1", BEGAN_MS - 900 * MS))
    assert watch.word(BEGAN_MS + 1) is None


def test_the_round_under_way_is_not_the_reason() -> None:
    watch = Watch(complete_ms=BEGAN_MS - 2 * ROUND_S * MS - 1)
    passed(watch, FIRST - 1, Stage.PUBLISHED, Stage.FINDING)
    passed(watch, FIRST)
    word = watch.word(BEGAN_MS + ROUND_S * MS - 1)
    assert word is not None
    assert word.reason == Stage.RAISED


def test_an_alert_that_nobody_could_close_carries_the_next_crossing_too() -> None:
    """What was heard of it before that crossing says nothing of it."""
    watch = Watch(complete_ms=BEGAN_MS)
    for number in (FIRST, FIRST + 1):
        watch.begin(number)
        watch.raised(crossing_ms(number), "alr_1", crossing_ms(number) + 90)
        watch.hears("alr_1", Stage.SENT, crossing_ms(FIRST) + 100)
    assert Stage.SENT in watch.rounds[FIRST].passed
    assert watch.rounds[FIRST + 1].missing is Stage.PUBLISHED
    assert Stage.SENT not in watch.rounds[FIRST + 1].passed


def test_what_is_heard_before_its_alert_is_known_counts_when_it_is() -> None:
    """Streams are read side by side: the receipt may come before the ruling that it is about."""
    watch = Watch(complete_ms=BEGAN_MS)
    watch.begin(FIRST)
    watch.hears("alr_1", Stage.TAKEN, crossing_ms(FIRST) + 100)
    assert Stage.TAKEN not in watch.rounds[FIRST].passed
    watch.raised(crossing_ms(FIRST), "alr_1", crossing_ms(FIRST) + 120)
    assert watch.rounds[FIRST].passed == {
        Stage.RAISED: crossing_ms(FIRST) + 120, Stage.TAKEN: crossing_ms(FIRST) + 100,
    }  # fmt: skip


def test_no_finding_of_another_hour_is_a_crossing() -> None:
    watch = Watch(complete_ms=BEGAN_MS)
    watch.begin(FIRST)
    assert watch.crossed(crossing_ms(FIRST)) is watch.rounds[FIRST]
    assert watch.crossed(crossing_ms(FIRST) + REPORT_S * MS) is None
    assert watch.crossed(crossing_ms(FIRST - 9)) is None


def test_a_round_is_counted_once() -> None:
    watch = Watch(complete_ms=BEGAN_MS)
    for stage in Stage:
        watch.begin(FIRST).passes(stage, crossing_ms(FIRST))
    assert [one.number for one in watch.look()] == [FIRST]
    assert watch.look() == []


def test_rounds_that_are_long_over_are_forgotten() -> None:
    watch = Watch(complete_ms=BEGAN_MS)
    for number in range(FIRST, FIRST + 100):
        watch.begin(number)
    assert len(watch.rounds) == FAILS_AFTER_MS // (ROUND_S * MS)


def test_what_comes_twice_was_passed_the_first_time() -> None:
    watch = Watch(complete_ms=BEGAN_MS)
    one = watch.begin(FIRST)
    one.passes(Stage.TAKEN, 5)
    one.passes(Stage.TAKEN, 9)
    assert one.passed == {Stage.TAKEN: 5}
