"""Late delivery of any subset of fixes never adds a live alert (invariant 4; F05, F13).

The engine hears a life in time, and the same life with late fixes among it: buffered, from anywhere, at any place
in the stream. What it raises about distances is the same, byte for byte; a late fix says no more than that its
unit is there.

Both are heard as a worker hears them, the clock on every whole second, to one and the same end. What the hour
alone decides of a pair the clock decides, or, where none came, the next message of one of its devices, for the
hour at which it was due (``engine.step``). Of two runs without a clock, the one with more messages may therefore
say more, whatever they tell: a poor fix in time that showed him inside is an alert HOLD_MS later, and a late fix
may be the first message behind that. The alert is then the poor fix's and not the late one's.

Most of what is late is also older than what its unit said since, and passed over for that. So somebody falls
silent here for minutes in which he says only late what he did, and is beside her in every word of it: what keeps
these from being alerts is that they are late, and nothing else.
"""

from __future__ import annotations

from typing import Final, NamedTuple
from unittest import mock

import numpy as np
import pytest
from geofence_loops import COLUMNS, PLAIN, loop_named
from geofence_loops import path as taken_by
from geofence_streams import ALWAYS, T0_MS, Act, Cast, Played, casts, lives, messages
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from geofence import in_order
from geofence.assumptions import HOLD_MS, LATE_MS, POOR_DM
from tocsin.model.finding import Code, Finding
from tocsin.model.fix import FixFlag
from tocsin.wire import encode

LIVE: Final = {Code.PROX_ALERT, Code.PROX_PREALERT, Code.IMMINENT, Code.EVIDENTIAL_BREACH}
BY_COLUMNS, ONE_BY_ONE = 1, 10**9
paths = st.sampled_from([BY_COLUMNS, ONE_BY_ONE])
END_MS: Final = 300_000  # longer than a fix can be carried on, or held against anybody: FORGET_MS

# at which place of the stream, and how much too late
lates = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from([1, 1_000, 31_000, 600_000, 86_400_000]), st.booleans()),
    min_size=1,
    max_size=30,
)


class CutOff(NamedTuple):
    """From message ``at`` on, ``who`` of the first measure says nothing in time, while his partner speaks
    ``words`` times, every 10 s. Of the late ones, how much after his last in time each was taken, and how much too
    late it came at least."""

    who: int
    at: int
    words: int
    late: list[tuple[int, int]]


cut_offs = st.builds(
    CutOff,
    st.sampled_from([1, 2]),
    st.integers(0, 40),
    st.integers(12, 40),
    st.lists(
        st.tuples(st.sampled_from([1, 9_000, 40_000, 170_000]), st.sampled_from([1, 1_000, 20_000, 90_000])),
        min_size=1,
        max_size=8,
    ),
)


# A poor fix of hers shows him inside, and both fall silent: the hour makes an alert of it. What is heard of either
# next is late.
TOGETHER: Final = Cast({"msr_a": (1, 2, 1, *ALWAYS), "msr_b": (1, 3, 2, *ALWAYS)}, (0, 0, 0, 0, 0, 0), None)
SHE_IS_SEEN_POORLY: Final = [
    Act(1, 10_000, "toward", 0.0, "fix", 700, 50),
    Act(1, 10_000, "toward", 0.0, "fix", 700, 50),
    Act(3, 10_000, "toward", 0.0, "fix", 700, POOR_DM + 1),
]
BOTH_ARE_CUT_OFF: Final = CutOff(1, 3, 12, [(1, 1)])


# He speaks after a silence, and his newest fix is a minute old when one comes that it overtook by 29 s and that is
# 90.001 s late: young beside the other one, and history.
STOOD_TOGETHER: Final = Cast({"msr_a": (1, 2, 1, *ALWAYS)}, (0, 0, 0, 0, 0, 0), None)
HE_SPEAKS_AGAIN: Final = [
    Act(who, gap_ms, "toward", None, "fix", 0, -1) for who, gap_ms in ((2, 0), (2, 0), (1, 200_000), (1, 61_000))
]


def raised(cast: Cast, fixes: np.ndarray, path: int, end_ms: int) -> list[bytes]:
    """With the clock on every whole second before a message, and up to ``end_ms``."""
    played, second_ms = Played(cast), T0_MS
    with taken_by(path):
        for index, t3_ms in enumerate([*fixes["t3_ms"].tolist(), end_ms]):
            while second_ms + 1_000 <= t3_ms:
                second_ms += 1_000
                played.tick(second_ms)
            played.hear(fixes[index : index + 1])
    return [encode(one) for one in live(played)]


def live(played: Played) -> list[Finding]:
    return [one for step in played.steps for one in step.findings if one.code in LIVE]


def without_clock(cast: Cast, fixes: np.ndarray, path: int) -> list[Finding]:
    """Messages alone, as they follow each other."""
    played = Played(cast)
    with taken_by(path):
        for index in range(fixes.size):
            played.hear(fixes[index : index + 1])
    return live(played)


def raised_by_both(cast: Cast, late: np.ndarray, fixes: np.ndarray, path: int) -> tuple[list[bytes], list[bytes]]:
    """To the same end: behind it nothing that was said may still become an alert."""
    end_ms = int(late["t3_ms"].max()) + END_MS
    return raised(cast, late, path, end_ms), raised(cast, fixes, path, end_ms)


def with_late(fixes: np.ndarray, extra: list[tuple[int, int, bool]]) -> np.ndarray:
    """The life, and beside it some of its fixes again or from beside the partner, delivered late."""
    rows = list(fixes)
    for number, (at, late_ms, beside) in enumerate(extra):
        place = at % (len(rows) + 1)
        source = rows[min(place, len(rows) - 1)]
        row = source.copy()
        row["fix_ms"] = row["t3_ms"] - LATE_MS - late_ms
        row["seq"], row["boot"] = 1_000 + number, 2
        row["flags"] = FixFlag.BULK
        if beside:
            other = rows[(place * 7) % len(rows)]
            row["lat_e6"], row["lon_e6"], row["accuracy_dm"] = other["lat_e6"], other["lon_e6"], 50
        rows.insert(place, row)
    return np.array(rows, fixes.dtype)


def cut_off(cast: Cast, life: list[Act], story: CutOff) -> np.ndarray:
    """The life with somebody cut off in it; his partner is heard all the while."""
    at = story.at % (len(life) + 1)
    partner = Act(3 - story.who, 10_000, "across", 0.0, "fix", 700, 50)
    told = [*life[:at], *[partner] * story.words, *(act for act in life[at:] if act.who != story.who)]
    return messages(cast, told)


def delivered(fixes: np.ndarray, story: CutOff) -> np.ndarray:
    """The same, and what he did meanwhile, each of it LATE_MS too late, newer than all that is believed of him,
    and beside his partner."""
    rows = list(fixes)
    for number, (since_ms, late_ms) in enumerate(sorted(story.late)):
        fix_ms = last_ms(fixes, story.who) + since_ms
        due_ms = fix_ms + LATE_MS + late_ms
        place = next((i for i, row in enumerate(rows) if row["t3_ms"] > due_ms), len(rows))
        her = [row for row in rows[:place] if row["device"] == 3 - story.who]
        if not her:
            continue
        row = her[-1].copy()
        row["device"], row["fix_ms"], row["t3_ms"], row["t4_ms"] = story.who, fix_ms, due_ms, due_ms + 1
        row["seq"], row["boot"], row["accuracy_dm"] = 1_000 + number, 2, 50
        row["lat_e6"] += 2_000  # 220 m
        rows.insert(place, row)
    return np.array(rows, fixes.dtype)


def last_ms(fixes: np.ndarray, who: int) -> int:
    """The newest that he said in time; where he has said nothing, what comes first of all."""
    his = fixes["fix_ms"][fixes["device"] == who]
    return int(his.max() if his.size else fixes["fix_ms"].min())


@pytest.mark.usefixtures("every_loop")
@settings(max_examples=200)
@given(casts, lives, lates, paths)
@example(STOOD_TOGETHER, HE_SPEAKS_AGAIN, [(8, 1, False)], BY_COLUMNS)
@example(STOOD_TOGETHER, HE_SPEAKS_AGAIN, [(8, 1, False)], ONE_BY_ONE)
def test_late_fixes_add_no_live_alert_and_take_none_away(
    cast: Cast, life: list[Act], extra: list[tuple[int, int, bool]], path: int
) -> None:
    fixes = messages(cast, [act for act in life if act.kind != "presence"] or life)
    with_them, without = raised_by_both(cast, with_late(fixes, extra), fixes, path)
    assert with_them == without


@pytest.mark.usefixtures("every_loop")
@settings(max_examples=200)
@given(casts, lives, cut_offs, paths)
@example(TOGETHER, SHE_IS_SEEN_POORLY, BOTH_ARE_CUT_OFF, BY_COLUMNS)
@example(TOGETHER, SHE_IS_SEEN_POORLY, BOTH_ARE_CUT_OFF, ONE_BY_ONE)
def test_nor_do_those_of_who_is_heard_no_other_way(cast: Cast, life: list[Act], story: CutOff, path: int) -> None:
    """With the clock: without it the late fix of the examples is the first message behind an hour that was due."""
    fixes = cut_off(cast, [act for act in life if act.kind != "presence"] or life, story)
    late = delivered(fixes, story)
    assume(late.size > fixes.size)
    with_them, without = raised_by_both(cast, late, fixes, path)
    assert with_them == without


@pytest.mark.usefixtures("every_loop")
@pytest.mark.parametrize("path", [BY_COLUMNS, ONE_BY_ONE])
def test_what_was_due_before_a_late_fix_is_not_its_alert(path: int) -> None:
    """Where no clock came, a late fix may be what an alert is said behind; it is the one that her poor fix in time
    is, HOLD_MS later, to the byte, and the clock says it without any late fix."""
    fixes = cut_off(TOGETHER, SHE_IS_SEEN_POORLY, BOTH_ARE_CUT_OFF)
    late = delivered(fixes, BOTH_ARE_CUT_OFF)
    timely = without_clock(TOGETHER, fixes, path)
    (alert,) = (one for one in without_clock(TOGETHER, late, path) if one not in timely)
    poor_ms = int(fixes["t3_ms"][2])
    assert (alert.measure, alert.code, alert.low_confidence) == ("msr_b", Code.PROX_ALERT, True)
    assert poor_ms + HOLD_MS <= alert.at_ms < poor_ms + HOLD_MS + 1_000
    assert encode(alert) in raised(TOGETHER, fixes, path, alert.at_ms)


# --- the properties can fail -----------------------------------------------------------------------------------

ALONE: Final = Cast({"msr_a": (1, 2, 1, 0.0, float("inf"))}, (6_000, 0, 0, 0, 0, 0), None)
HE_IS_CUT_OFF: Final = CutOff(1, 4, 30, [(90_000, 1), (100_000, 1)])
BOTH_HEARD: Final = [Act(who, 10_000, "toward", 0.0, "fix", 700, 50) for who in (1, 2, 1, 2)]


@pytest.mark.parametrize(
    ("path", "loop", "unchecked"),
    [
        (ONE_BY_ONE, COLUMNS, "geofence.devices"),
        (BY_COLUMNS, COLUMNS, "geofence.devices"),
        (BY_COLUMNS, COLUMNS, "geofence.turns"),
        (BY_COLUMNS, PLAIN, "geofence.devices"),
        (BY_COLUMNS, PLAIN, "geofence.ordinary"),
    ],
)
def test_either_check_of_the_engine_is_what_keeps_them_from_being_alerts(
    path: int, loop: str, unchecked: str
) -> None:
    """Without the one of ``devices.hear``, or the one by columns or of the loop, the story of a man cut off, who
    comes up to her meanwhile, is a live alert."""
    fixes = cut_off(ALONE, BOTH_HEARD, HE_IS_CUT_OFF)
    late = delivered(fixes, HE_IS_CUT_OFF)
    assert late.size == fixes.size + 2
    with mock.patch.object(in_order, "loop", loop_named(loop)):
        with_them, without = raised_by_both(ALONE, late, fixes, path)
        assert with_them == without
        with mock.patch.multiple(unchecked, LATE_MS=2**60):
            with_them, without = raised_by_both(ALONE, late, fixes, path)
            assert len(with_them) > len(without)


@given(cut_offs)
def test_they_are_newer_than_all_that_is_believed_of_him_and_late(story: CutOff) -> None:
    """What the property asks about is there: late, and not overtaken."""
    fixes = cut_off(ALONE, BOTH_HEARD, story)
    late = delivered(fixes, story)
    his = late[late["boot"] == 2]
    assert (his["t3_ms"] - his["fix_ms"] > LATE_MS).all()
    for row in his:
        before = late[(late["device"] == story.who) & (late["t3_ms"] < row["t3_ms"]) & (late["boot"] != 2)]
        assert row["fix_ms"] > before["fix_ms"].max(initial=0)
