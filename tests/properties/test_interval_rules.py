"""What holds of the proposed rules whatever the two people do and however late it is heard."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from reference.interval.apart import lower_bound
from reference.interval.change import Change
from reference.interval.device import Device, seen
from reference.interval.pair import Pair

from tocsin.geodesy import SEMI_MAJOR_M

D = 1000.0

Report = tuple[float, int, float, float, float, float | None, int]

reports = st.lists(
    st.tuples(
        st.integers(1, 900).map(lambda tenths: tenths / 10),  # since the message before
        st.sampled_from([0, 1]),
        st.floats(-900, 900),  # moved east and north since his last
        st.floats(-900, 900),
        st.sampled_from([0.0, 0.7, 2.0, 31.0, 95.0]),  # age of the fix
        st.sampled_from([None, 5.0, 40.0, 300.0]),
        st.sampled_from([5, 10, 60]),
    ),
    max_size=25,
)
apart_m = st.floats(0, 12_000)


def told(story: list[Report], start_m: float, *, every_second: bool) -> list[Change]:
    """The clock is heard every second, or only when it is due; a message comes before the tick of its second."""
    pair, said, now_s = Pair(D), list[Change](), 0.0
    places = [[0.0, 0.0], [start_m, 0.0]]
    next_s = 1
    for gap_s, role, east_m, north_m, age_s, accuracy_m, interval_s in [*story, (900.0, 0, 0, 0, 0, None, 60)]:
        now_s = round(now_s + gap_s, 1)
        if every_second:
            for second in range(next_s, math.ceil(now_s)):
                said += pair.look(float(second))
            next_s = max(next_s, math.ceil(now_s))
        while not every_second and pair.due_s < now_s:
            said += pair.on_tick(pair.due_s)
        places[role][0] += east_m
        places[role][1] += north_m
        fix = seen(now_s - age_s, (SEMI_MAJOR_M, places[role][0], places[role][1]), accuracy_m)
        said += pair.on_fix(role, now_s, fix, interval_s)
    return said


def on_foot(story: list[Report], age_s: float) -> list[Report]:
    """The same, nobody faster than 4 m/s, every message equally late."""
    return [
        (gap_s, role, east_m / 900 * 2.8 * gap_s, north_m / 900 * 2.8 * gap_s, age_s, accuracy_m, interval_s)
        for gap_s, role, east_m, north_m, _, accuracy_m, interval_s in story
    ]


@settings(max_examples=200, deadline=None)
@given(reports, apart_m, st.sampled_from([0.0, 0.7, 31.0]))
def test_on_foot_the_clock_need_be_heard_only_when_it_is_due(
    story: list[Report], start_m: float, age_s: float
) -> None:
    """In cars it is not so: the carried-on distance may grow faster than the bound of a silent party falls, and
    UNCERTAIN ends by the clock at a second that is not scheduled (ADR 19, weak points)."""
    story = on_foot(story, age_s)
    assert told(story, start_m, every_second=True) == told(story, start_m, every_second=False)


@given(reports, apart_m)
def test_a_decision_taken_again_is_the_same(story: list[Report], start_m: float) -> None:
    assert told(story, start_m, every_second=False) == told(story, start_m, every_second=False)


@given(apart_m, st.floats(0, 500), st.floats(0, 500), st.floats(0, 600), st.floats(-40, 40))
def test_of_one_movement_a_worse_accuracy_never_raises_the_lower_bound(
    start_m: float, accuracy_m: float, worse_m: float, after_s: float, speed_m_s: float
) -> None:
    """Of one movement: a velocity is shrunk by the accuracy, and a smaller one may be further away (ADR 19)."""
    hers = Device(10.0, last=seen(0.0, (SEMI_MAJOR_M, 0.0, 0.0), 5.0), accepted=1)
    his = Device(
        10.0, last=seen(0.0, (SEMI_MAJOR_M, start_m, 0.0), accuracy_m), accepted=2,
        velocity_m_s=(0.0, speed_m_s, 0.0), speed_m_s=abs(speed_m_s),
    )  # fmt: skip
    blurred = replace(his, last=his.last._replace(accuracy_m=accuracy_m + worse_m))
    assert lower_bound(blurred, hers, after_s).lower_m <= lower_bound(his, hers, after_s).lower_m
