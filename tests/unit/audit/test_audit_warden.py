"""Does the warden say that something is full, behind or wrong about the time, once, and that it no longer is?

F01 (2^31 rows: capacity alarms at 50/70/85 % of every bounded resource), F02, DOMAIN 3 (skew above 5 s).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from builders import NOW_MS

from audit import warden
from audit.warden import (
    STAGES,
    STEP_TOLD_MS,
    Asked,
    Backlog,
    Clocks,
    Stage,
    Standing,
    Trouble,
    behind,
    too_full,
)
from audit.warding import Warding
from tocsin import subjects
from tocsin.clock import AffineClock
from tocsin.model.finding import Change, Code
from tocsin.model.notice import Notice
from tocsin.model.tally import Tally
from tocsin.ports import Progress, Usage
from tocsin.subjects import NOTICES, STREAMS
from tocsin.testing.bus import MemoryBucket, MemoryLog
from tocsin.wire import decode_notice, encode

ALL = frozenset({Code.SYS_CAPACITY, Code.SYS_PIPELINE_LAG, Code.SYS_CLOCK})
STAGE = Stage(word="one", stream="ALARMS", queue="one", bound_ms=10_000)


def full(ratio: float, **changes: bool) -> Usage:
    return Usage(resource="FIXES.bytes", used=ratio * 1_000, bound=1_000, **changes)


def told(standing: Standing, ratio: float, now_ms: int = NOW_MS) -> list[tuple[str, str]]:
    troubles = too_full([full(ratio)], standing.begun)
    return [(one.subject, one.change.value) for one in standing.notices(troubles, ALL, now_ms)]


def test_each_level_begins_once_and_ends_below_where_it_began() -> None:
    standing = Standing()
    course = [
        (0.69, []),
        (0.70, [("FIXES_bytes-70", "entry")]),
        (0.71, []),
        (0.86, [("FIXES_bytes-85", "entry")]),
        (0.84, []),
        (0.86, []),
        (0.79, [("FIXES_bytes-85", "exit")]),
        (0.66, []),
        (0.64, [("FIXES_bytes-70", "exit")]),
        (0.66, []),
    ]
    for step, (ratio, expected) in enumerate(course):
        assert told(standing, ratio, NOW_MS + step) == expected, ratio


def test_from_nothing_to_full_is_two_alerts() -> None:
    assert told(Standing(), 1.0) == [("FIXES_bytes-70", "entry"), ("FIXES_bytes-85", "entry")]


def test_what_gives_way_when_it_is_full_tells_nobody() -> None:
    assert list(too_full([full(1.0, gives_way=True)], {})) == []


def test_an_end_names_its_beginning_and_both_names_are_derived() -> None:
    (begin,) = Standing().notices(list(too_full([full(0.8)], {})), ALL, NOW_MS)
    standing = Standing(begun={(begin.code, begin.subject): (begin.id, begin.at_ms)})
    (end,) = standing.notices([], ALL, NOW_MS + 5_000)
    assert (end.entry, end.entry_ms, end.change) == (begin.id, NOW_MS, Change.EXIT)
    again = Standing().notices(list(too_full([full(0.8)], {})), ALL, NOW_MS)
    assert again == [begin]


def test_what_could_not_be_judged_is_not_over() -> None:
    standing = Standing(begun={(Code.SYS_CLOCK, "log"): ("ntc_1", NOW_MS)})
    assert standing.notices([], frozenset({Code.SYS_CAPACITY}), NOW_MS) == []
    assert len(standing.notices([], ALL, NOW_MS)) == 1


def test_every_subject_may_stand_in_a_subject_of_the_log() -> None:
    resources = [f"{stream.name}.bytes" for stream in STREAMS] + ["record.sequence", "alarms-1.in_flight"]
    usages = [Usage(resource=one, used=1, bound=1) for one in resources]
    troubles: list[Trouble] = [*too_full(usages, {}), *behind(dict.fromkeys(STAGES, 10**9), {})]
    assert all(not set(one.subject) & set(". *>") for one in troubles)
    assert len({one.place for one in troubles}) == len(troubles)


# --- behind ----------------------------------------------------------------------------------------------------


def ages(course: Iterable[tuple[int, int]], stage: Stage = STAGE, handed: int = 0) -> list[int]:
    """(end, settled) a second apart."""
    backlog = Backlog(stage)
    return [
        backlog.age_ms(Progress(end=end, settled=settled, handed=handed), second * 1_000)
        for second, (end, settled) in enumerate(course)
    ]


def test_the_age_is_that_of_the_oldest_that_waits() -> None:
    assert ages([(5, 5), (6, 5), (7, 5), (8, 6), (8, 7), (8, 8)]) == [0, 0, 1_000, 1_000, 1_000, 0]


def test_a_queue_that_keeps_up_with_a_stream_that_grows_is_not_behind() -> None:
    assert set(ages([(10 * second + 10, 10 * second) for second in range(60)])) == {0}


def test_of_a_courier_only_what_nobody_was_handed() -> None:
    courier = Stage(word="c", stream="EPISODES", queue="c", bound_ms=1, handed=True)
    assert ages([(5, 0)] * 3, courier, handed=5) == [0, 0, 0]
    assert ages([(5, 0)] * 3, courier, handed=4) == [0, 1_000, 2_000]


def test_a_stream_made_anew_begins_anew() -> None:
    assert ages([(100, 50), (100, 50), (3, 0)]) == [0, 1_000, 0]


def test_lag_is_said_of_its_stage() -> None:
    (one,) = behind({STAGE: STAGE.bound_ms}, {})
    assert (one.code, one.subject, dict(one.facts)["oldest_s"]) == (Code.SYS_PIPELINE_LAG, "one", "10")
    assert list(behind({STAGE: STAGE.bound_ms - 1}, {})) == []


# --- wrong about the time --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("step_ms", "reason"), [(-1_500, "set_back"), (90_000, "set_forward"), (900, None)])
def test_a_clock_that_is_set_is_said_for_a_while(step_ms: int, reason: str | None) -> None:
    clocks = Clocks()
    clocks.stepped_ms(NOW_MS, 0)
    assert clocks.stepped_ms(NOW_MS + 5_000 + step_ms, 5_000) == step_ms
    assert [one.reason for one in clocks.troubles({})] == ([] if reason is None else [reason])
    later_ms = 5_000 + STEP_TOLD_MS
    clocks.stepped_ms(NOW_MS + later_ms + step_ms, later_ms)
    assert list(clocks.troubles({})) == []


def asked(offset_ms: int, took_ms: int = 10) -> Asked:
    return Asked(before_ms=NOW_MS, said_ms=NOW_MS + took_ms // 2 + offset_ms, after_ms=NOW_MS + took_ms)


def test_an_offset_needs_two_looks_and_ends_well_below() -> None:
    clocks = Clocks()
    clocks.answered("log", asked(-6_000))
    assert list(clocks.troubles({})) == []
    clocks.answered("log", asked(-6_000))
    (one,) = clocks.troubles({})
    assert (one.code, one.subject, dict(one.facts)["offset_s"]) == (Code.SYS_CLOCK, "log", "-6.0")
    begun = {one.place: None}
    clocks.answered("log", asked(-4_000))
    assert list(clocks.troubles({})) == []
    assert len(list(clocks.troubles(begun))) == 1
    clocks.answered("log", asked(-1_000))
    assert list(clocks.troubles(begun)) == []


def test_an_answer_that_took_long_says_nothing_of_the_hour() -> None:
    clocks = Clocks()
    for _ in range(3):
        assert clocks.answered("record", asked(60_000, took_ms=warden.ANSWER_MAX_MS + 1)) is None
    assert list(clocks.troubles({})) == []


# --- the shell, on the twin ------------------------------------------------------------------------------------


class Hours:
    """A machine whose clock can be set."""

    def __init__(self) -> None:
        self.set_s = 0.0
        self.passed_s = 1_000.0

    @property
    def clock(self) -> AffineClock:
        return AffineClock(wall=lambda: NOW_MS / 1_000 + self.passed_s + self.set_s, steady=lambda: self.passed_s)


def said(log: MemoryLog) -> list[Notice]:
    return [decode_notice(one.payload) for one in log.entries(NOTICES)]


def warding(log: MemoryLog, hours: Hours, tmp_path: Path, *, clock_moved: bool = False) -> Warding:
    log.wall_ms = lambda: NOW_MS + int(hours.passed_s * 1_000)
    return Warding(
        log=log, tallies=MemoryBucket(), pool=None, clock=hours.clock, folder=tmp_path, clock_moved=clock_moved,
        stages=(STAGE,),
    )  # fmt: skip


def clock_notices(log: MemoryLog) -> list[tuple[str, str]]:
    return [(one.subject, one.change.value) for one in said(log) if one.code is Code.SYS_CLOCK]


@pytest.mark.parametrize("clock_moved", [False, True])
async def test_a_clock_set_back_is_said_and_a_replays_is_not(tmp_path: Path, clock_moved: bool) -> None:
    log, hours = MemoryLog(), Hours()
    one = warding(log, hours, tmp_path, clock_moved=clock_moved)
    for set_s in (0.0, 0.0, -60.0, -60.0, -60.0):
        hours.passed_s += 5
        hours.set_s = set_s
        await one.look()
    expected = [] if clock_moved else [("step", "entry"), ("log", "entry")]
    assert clock_notices(log) == expected


async def test_a_queue_held_back_raises_and_ends(tmp_path: Path) -> None:
    log, hours = MemoryLog(), Hours()
    one = warding(log, hours, tmp_path)
    async with log.queue(subjects.ALARMS, "one", parallel=1) as queue:
        await log.append(subjects.alarm("unit-1"), b"1")
        (delivery,) = await queue.take(1)
        for _ in range(3):
            await one.look()
            hours.passed_s += 5
        await delivery.done()
        await one.look()
    lag = [(notice.subject, notice.change.value) for notice in said(log) if notice.code is Code.SYS_PIPELINE_LAG]
    assert lag == [("one", "entry"), ("one", "exit")]


async def test_a_geofence_that_stands_still_is_behind_by_its_own_word(tmp_path: Path) -> None:
    """It reads without a queue: what it has judged it tells in the bucket."""
    log, hours, tallies = MemoryLog(), Hours(), MemoryBucket()
    log.wall_ms = lambda: NOW_MS + int(hours.passed_s * 1_000)
    one = Warding(
        log=log, tallies=tallies, pool=None, clock=hours.clock, folder=tmp_path, stages=(), partitions=2
    )  # fmt: skip
    await log.append(subjects.fixes(0), b"1")
    await log.append(subjects.fixes(1), b"1")
    for at_ms, place in enumerate((1, 1, 1, 2)):
        for partition, up_to in ((0, 1), (1, place)):
            places = {subjects.fixes(partition): up_to}
            tally = Tally(part="g", life="a", at_ms=at_ms, accounts={}, places=places)
            await tallies.put(f"geofence-{partition}", encode(tally))
        await one.look()
        hours.passed_s += 5
    lag = [(notice.subject, notice.change.value) for notice in said(log) if notice.code is Code.SYS_PIPELINE_LAG]
    assert lag == [("geofence-1", "entry"), ("geofence-1", "exit")]


async def test_what_the_log_does_not_take_is_said_when_it_is_back_and_once(tmp_path: Path) -> None:
    log, hours = MemoryLog(), Hours()
    one = warding(log, hours, tmp_path)
    one._unsaid = one.standing.notices(list(too_full([full(0.9)], {})), ALL, NOW_MS)
    log.down = True
    await one.look()
    await one._say()
    assert said(log) == []
    log.down = False
    await one._say()
    await one._say()
    assert [notice.subject for notice in said(log)] == ["FIXES_bytes-70", "FIXES_bytes-85"]
