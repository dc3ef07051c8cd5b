"""Late delivery of any subset of fixes never adds a live alert (invariant 4; F05, F13).

The engine hears a life in time, and the same life with late fixes among it: buffered, from anywhere, at any place
in the stream. What it raises about distances is the same, byte for byte; a late fix says no more than that its
unit is there.

Most of what is late is also older than what its unit said since, and passed over for that. So somebody falls
silent here for minutes in which he says only late what he did, and is beside her in every word of it: what keeps
these from being alerts is that they are late, and nothing else.
"""

from __future__ import annotations

from typing import Final, NamedTuple
from unittest import mock

import numpy as np
import pytest
from geofence_streams import Act, Cast, Played, casts, lives, messages
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from geofence import turns
from geofence.assumptions import LATE_MS
from tocsin.model.finding import Code, Finding
from tocsin.model.fix import FixFlag
from tocsin.wire import encode

LIVE: Final = {Code.PROX_ALERT, Code.PROX_PREALERT, Code.IMMINENT, Code.EVIDENTIAL_BREACH}
BY_COLUMNS, ONE_BY_ONE = 1, 10**9
paths = st.sampled_from([BY_COLUMNS, ONE_BY_ONE])

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


def raised(cast: Cast, fixes: np.ndarray, scalar_below: int = ONE_BY_ONE) -> list[bytes]:
    played = Played(cast)
    with mock.patch.object(turns, "SCALAR_BELOW", scalar_below):
        for index in range(fixes.size):
            played.hear(fixes[index : index + 1])
    said: list[Finding] = [one for step in played.steps for one in step.findings]
    return [encode(one) for one in said if one.code in LIVE]


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


@settings(max_examples=200)
@given(casts, lives, lates, paths)
def test_late_fixes_add_no_live_alert_and_take_none_away(
    cast: Cast, life: list[Act], extra: list[tuple[int, int, bool]], path: int
) -> None:
    fixes = messages(cast, [act for act in life if act.kind != "presence"] or life)
    assert raised(cast, with_late(fixes, extra), path) == raised(cast, fixes, path)


@settings(max_examples=200)
@given(casts, lives, cut_offs, paths)
def test_nor_do_those_of_who_is_heard_no_other_way(cast: Cast, life: list[Act], story: CutOff, path: int) -> None:
    fixes = cut_off(cast, [act for act in life if act.kind != "presence"] or life, story)
    late = delivered(fixes, story)
    assume(late.size > fixes.size)
    assert raised(cast, late, path) == raised(cast, fixes, path)


# --- the properties can fail -----------------------------------------------------------------------------------

ALONE: Final = Cast({"msr_a": (1, 2, 1, 0.0, float("inf"))}, (6_000, 0, 0, 0, 0, 0), None)
HE_IS_CUT_OFF: Final = CutOff(1, 4, 30, [(90_000, 1), (100_000, 1)])
BOTH_HEARD: Final = [Act(who, 10_000, "toward", 0.0, "fix", 700, 50) for who in (1, 2, 1, 2)]


@pytest.mark.parametrize(
    ("path", "unchecked"),
    [(ONE_BY_ONE, "geofence.devices"), (BY_COLUMNS, "geofence.devices"), (BY_COLUMNS, "geofence.turns")],
)
def test_either_check_of_the_engine_is_what_keeps_them_from_being_alerts(path: int, unchecked: str) -> None:
    """Without the one of ``devices.hear``, or the one by columns, the story of a man who is cut off, and comes up
    to her meanwhile, is a live alert."""
    fixes = cut_off(ALONE, BOTH_HEARD, HE_IS_CUT_OFF)
    late = delivered(fixes, HE_IS_CUT_OFF)
    assert late.size == fixes.size + 2
    assert raised(ALONE, late, path) == raised(ALONE, fixes, path)
    with mock.patch.multiple(unchecked, LATE_MS=2**60):
        assert len(raised(ALONE, late, path)) > len(raised(ALONE, fixes, path))


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
