"""How good is a list of alerts against what really happened? The rules by which every detector here is judged.

Only certain entries count. An alert **hits** an entry when it comes between HIT_EARLY_S before it and HIT_LATE_S
behind its exit. It is **false** when the people were not below the distance at any moment from FALSE_BACK_S
before it to FALSE_AHEAD_S behind it: *far* if they were not below 1.1 times the distance either, else *edge*.
Where nothing is known (a hole in the truth, or a session that began inside and has not left yet) an alert is
**not judged**; those are counted too, so that a detector gains nothing by speaking there. Alerts beyond the first
within one entry are **repeats**. An entry is **covered** when it was alerted, or when anything but safety was
shown before its exit: an alert that still stood, uncertain, or degraded. Degraded minutes count while there is
truth. Rates are per pair-day of it. Times are seconds on the clock of reception.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from simulator.evaluation.traces import Entry, Floats, Truth

HIT_EARLY_S: Final = 60.0
HIT_LATE_S: Final = 120.0
FALSE_BACK_S: Final = 180.0
FALSE_AHEAD_S: Final = 60.0
HOLE_S: Final = 30.0
EDGE_FACTOR: Final = 1.1

NOTHING: Final = np.empty(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """What a detector said about one session.

    ``alerts_s``: when it raised. The others are (n, 2), from when to when: ``standing_s`` an alert stood;
    ``doubt_s`` it showed UNCERTAIN or, later, DEGRADED; ``degraded_s`` of these DEGRADED alone.
    ``wearer_shares_pct``: of each alert, whose approach it was, None: not said; ``probings``: how often PROBING.
    """

    alerts_s: Floats
    standing_s: Floats
    doubt_s: Floats
    degraded_s: Floats
    wearer_shares_pct: tuple[int | None, ...] = ()
    probings: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One row of the table; ratios and rates are None where there is nothing to divide by."""

    entries: int
    recall: float | None
    recall_clear: float | None
    covered_clear: float | None
    delay_p50_s: float | None
    delay_p95_s: float | None
    false_far_per_day: float
    false_edge_per_day: float
    not_judged_per_day: float
    repeats_per_day: float
    degraded_min_per_day: float
    alerts_per_day: float


@dataclass(slots=True)
class _Found:
    """What became of the entries."""

    hits: int = 0
    clear_hits: int = 0
    clear_covered: int = 0
    repeats: int = 0
    delays_s: list[float] | None = None


def score(spoken: Mapping[int, Spoken], truth: Truth, distance_m: int) -> Score:
    """``spoken`` by session; a session without an entry there said nothing."""
    entries = truth.entries[distance_m]
    clear = sum(entry.clear for entry in entries)
    found = _entries_found(spoken, truth, distance_m)
    far, edge, unjudged = _false_ones(spoken, truth, distance_m)
    delays = np.array(found.delays_s or [])
    days = truth.pair_days
    return Score(
        entries=len(entries),
        recall=_ratio(found.hits, len(entries)),
        recall_clear=_ratio(found.clear_hits, clear),
        covered_clear=_ratio(found.clear_covered, clear),
        delay_p50_s=round(float(np.median(delays)), 1) if delays.size else None,
        delay_p95_s=round(float(np.percentile(delays, 95)), 1) if delays.size else None,
        false_far_per_day=round(far / days, 3),
        false_edge_per_day=round(edge / days, 3),
        not_judged_per_day=round(unjudged / days, 2),
        repeats_per_day=round(found.repeats / days, 2),
        degraded_min_per_day=round(_degraded_s(spoken, truth) / 60 / days, 1),
        alerts_per_day=round(sum(one.alerts_s.size for one in spoken.values()) / days, 2),
    )


def _entries_found(spoken: Mapping[int, Spoken], truth: Truth, distance_m: int) -> _Found:
    found = _Found(delays_s=[])
    assert found.delays_s is not None
    for entry in truth.entries[distance_m]:
        said = spoken.get(entry.session)
        alerts = NOTHING if said is None else _during(np.sort(said.alerts_s), entry)
        if alerts.size:
            found.hits += 1
            found.clear_hits += entry.clear
            found.repeats += alerts.size - 1
            found.delays_s.append(float(alerts[0]) - entry.at_s)
        shown = said is not None and any(
            _overlaps(spans_s, entry) for spans_s in (said.standing_s, said.doubt_s, said.degraded_s)
        )
        found.clear_covered += entry.clear and bool(alerts.size or shown)
    return found


def _during(alerts_s: Floats, entry: Entry) -> Floats:
    last_s = max(entry.exit_s, entry.at_s) + HIT_LATE_S
    return alerts_s[(alerts_s >= entry.at_s - HIT_EARLY_S) & (alerts_s <= last_s)]


def _overlaps(spans_s: Floats, entry: Entry) -> bool:
    return bool(((spans_s[:, 0] < entry.exit_s) & (spans_s[:, 1] > entry.at_s)).any())


def _false_ones(spoken: Mapping[int, Spoken], truth: Truth, distance_m: int) -> tuple[int, int, int]:
    """How many alerts were far false, edge false, not judged."""
    far = edge = unjudged = 0
    for session, said in spoken.items():
        if not said.alerts_s.size:
            continue
        seconds, distances = truth.seconds[session], truth.distance_m[session]
        inside_until_s = truth.began_inside[distance_m].get(session, -1.0) + HIT_LATE_S
        for at_s in said.alerts_s.tolist():
            if at_s <= inside_until_s or not _between(seconds, distances, at_s - HOLE_S, at_s + HOLE_S).size:
                unjudged += 1
                continue
            nearest_m = _between(seconds, distances, at_s - FALSE_BACK_S, at_s + FALSE_AHEAD_S).min()
            far += bool(nearest_m >= EDGE_FACTOR * distance_m)
            edge += bool(distance_m <= nearest_m < EDGE_FACTOR * distance_m)
    return far, edge, unjudged


def _between(seconds: Floats, values: Floats, first_s: float, last_s: float) -> Floats:
    start, stop = np.searchsorted(seconds, [first_s, last_s])
    return values[start:stop]


def _degraded_s(spoken: Mapping[int, Spoken], truth: Truth) -> float:
    total_s = 0.0
    for session, said in spoken.items():
        shown_s = np.minimum(said.degraded_s, truth.seconds[session][-1])
        total_s += float((shown_s[:, 1] - shown_s[:, 0]).sum())
    return total_s


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 3) if whole else None
