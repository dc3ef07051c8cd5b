"""The rules by which detectors are judged, one at a time, on an invented hour of two people."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.evaluation.scoring import Score, Spoken, score
from simulator.evaluation.traces import Entry, Truth

D = 1000
SECONDS = np.concatenate([np.arange(0.0, 3000.0), np.arange(3400.0, 7200.0)])  # with a hole


def apart(second: float) -> float:
    """3 km, but 800 m from 1000 to 1300 s, and 1,050 m from 5000 to 5100 s."""
    if 1000 <= second < 1300:
        return 800.0
    return 1050.0 if 5000 <= second < 5100 else 3000.0


def truth(**changed: object) -> Truth:
    parts: dict[str, object] = {
        "seconds": {1: SECONDS},
        "distance_m": {1: np.array([apart(second) for second in SECONDS])},
        "entries": {D: [Entry(session=1, at_s=1000.0, exit_s=1300.0, clear=True)]},
        "began_inside": {D: {}},
        "pair_days": 0.5,
    }
    return Truth(**{**parts, **changed})  # type: ignore[arg-type]


Spans = list[tuple[float, float]]


def spans(given: Spans | None) -> np.ndarray:
    return np.array(given or [], float).reshape(-1, 2)


def judged(
    *alerts_s: float,
    standing_s: Spans | None = None,
    doubt_s: Spans | None = None,
    degraded_s: Spans | None = None,
    **changed: object,
) -> Score:
    said = Spoken(
        alerts_s=np.array(alerts_s, float),
        standing_s=spans(standing_s),
        doubt_s=spans(doubt_s),
        degraded_s=spans(degraded_s),
    )
    return score({1: said}, truth(**changed), D)


def test_silence() -> None:
    silent = judged()
    assert (silent.recall, silent.recall_clear, silent.covered_clear, silent.delay_p50_s) == (0.0, 0.0, 0.0, None)
    assert silent.alerts_per_day == silent.false_far_per_day == silent.not_judged_per_day == 0


@pytest.mark.parametrize(
    ("alert_s", "hit"), [(939, False), (940, True), (1007, True), (1420, True), (1421, False)]
)
def test_from_a_minute_before_to_two_minutes_behind_the_exit(alert_s: float, hit: bool) -> None:
    assert judged(alert_s).recall == float(hit)


def test_the_delay_is_that_of_the_first_alert_and_the_others_are_repeats() -> None:
    found = judged(1200, 1007, 1250)
    assert found.delay_p50_s == 7.0
    assert found.repeats_per_day == 2 / 0.5


@pytest.mark.parametrize(
    ("alert_s", "far", "edge", "unjudged"),
    [
        (2500, 1, 0, 0),
        (1479, 0, 0, 0),  # they were below the distance three minutes before
        (1480, 1, 0, 0),
        (940.5, 0, 0, 0),  # and will be within the minute
        (939, 1, 0, 0),
        (5050, 0, 1, 0),  # at 1,050 m: between the distance and its edge
        (3200, 0, 0, 1),  # in the hole
        (2990, 1, 0, 0),  # something is known within half a minute
    ],
)  # fmt: skip
def test_false_far_false_edge_and_not_judged(alert_s: float, far: int, edge: int, unjudged: int) -> None:
    found = judged(alert_s)
    assert found.false_far_per_day == far / 0.5
    assert found.false_edge_per_day == edge / 0.5
    assert found.not_judged_per_day == unjudged / 0.5


def test_who_began_inside_is_not_judged_before_he_has_left() -> None:
    assert judged(2500, began_inside={D: {1: 2400.0}}).not_judged_per_day == 1 / 0.5
    assert judged(2500, began_inside={D: {1: 2300.0}}).false_far_per_day == 1 / 0.5


def test_a_clear_entry_is_covered_by_an_alert_a_standing_one_or_by_doubt_before_its_exit() -> None:
    assert judged(1007).covered_clear == 1.0
    assert judged(doubt_s=[(1100.0, 1200.0)]).covered_clear == 1.0
    assert judged(doubt_s=[(0.0, 1000.0), (1300.0, 1400.0)]).covered_clear == 0.0
    assert judged(standing_s=[(800.0, 1001.0)]).covered_clear == 1.0
    assert judged(800, standing_s=[(800.0, 1000.0)]).covered_clear == 0.0


def test_minutes_degraded_are_those_shown_as_such_while_there_is_truth() -> None:
    assert judged(doubt_s=[(0.0, 600.0)]).degraded_min_per_day == 0
    assert judged(doubt_s=[(0.0, 660.0)], degraded_s=[(60.0, 660.0)]).degraded_min_per_day == 10 / 0.5
    after_the_end_s = [(SECONDS[-1] - 60, SECONDS[-1] + 600), (SECONDS[-1] + 700, SECONDS[-1] + 800)]
    assert judged(degraded_s=after_the_end_s).degraded_min_per_day == 1 / 0.5


def test_a_grazing_entry_counts_but_not_as_clear() -> None:
    grazing = Entry(session=1, at_s=1000.0, exit_s=1300.0, clear=False)
    found = judged(1007, entries={D: [grazing]})
    assert (found.entries, found.recall, found.recall_clear) == (1, 1.0, None)
