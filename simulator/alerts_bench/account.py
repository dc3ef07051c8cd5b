"""What became of what was said? Arrivals against publications, and whether the promises were kept. Pure.

An alert is known by what it is about: (code, measure) of a finding, (device, hour) of a key. Its *attempts* are
the arrivals at the téléassistance that first tell of it (opened, raised), whatever they were answered; *taken* is
an attempt that was answered with a 2xx. Hours are milliseconds of the machine's clock.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

TOLD: Final = frozenset({"org.tocsin.alert.opened", "org.tocsin.alert.raised"})
CHANNEL: Final = "teleassistance"

FIRST_P50_MAX_MS: Final = 20.0
FIRST_P99_MAX_MS: Final = 100.0
ACCEPTED_P99_MAX_MS: Final = 1_500.0
BURST_MAX_S: Final = 10.0
SOS_P99_MAX_MS: Final = 250.0
SOS_OVERLOAD_P99_MAX_MS: Final = 2_000.0
LOAD_MIN: Final = 0.9  # of what was asked: below that nothing was measured under load
UNDER_WAY_MAX: Final = 48
"""Lower alerts that may arrive while a P1 is on its way: what the dispatcher (16) and the courier's line (32) had
in hand already. More is a queue that it waited in."""

Key = tuple[str, str]


@dataclass(slots=True, kw_only=True)
class Heard:
    """What the recipient was told of one alert."""

    attempts_ms: list[float] = field(default_factory=list)
    taken_ms: list[float] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    @property
    def first_ms(self) -> float:
        return min(self.attempts_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One alert that the log, or the broker, accepted: when it was handed over, and when that was confirmed."""

    at_ms: float
    accepted_ms: float
    is_urgent: bool = True


def key_of(arrival: Mapping[str, Any]) -> Key | None:
    """What an arrival tells of; None: of something else, or to somebody else, or not for the first time (after
    180 s without a human a P2 is raised by its ladder: that has an audience)."""
    if arrival["channel"] != CHANNEL or arrival["type"] not in TOLD or arrival["audience"]:
        return None
    if arrival["device"]:
        return (str(arrival["device"]), str(arrival["occurred_at"]))
    return (str(arrival["code"]), str(arrival["measures"][0])) if arrival["measures"] else None


def heard(arrivals: Iterable[Mapping[str, Any]]) -> dict[Key, Heard]:
    """By alert."""
    found: defaultdict[Key, Heard] = defaultdict(Heard)
    for one in arrivals:
        key = key_of(one)
        if key is not None:
            found[key].attempts_ms.append(one["at_ms"])
            found[key].names.add(one["id"])
            if 200 <= one["status"] < 300:
                found[key].taken_ms.append(one["at_ms"])
    return dict(found)


def told_by_type(arrivals: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Different messages to the téléassistance, by the last word of their type: what went on beside is in it."""
    named = {(one["type"].rpartition(".")[2], one["id"]) for one in arrivals if one["channel"] == CHANNEL}
    return dict(sorted(Counter(word for word, _ in named).items()))


def lost(said: Collection[Key], told: Mapping[Key, Heard]) -> int:
    """Accepted, and never taken by the recipient."""
    return sum(1 for key in said if key not in told or not told[key].taken_ms)


def duplicated(said: Collection[Key], told: Mapping[Key, Heard]) -> int:
    """Told under more than one id. The same id again is a repeat, which is allowed."""
    return sum(1 for key in said if key in told and len(told[key].names) > 1)


def to_attempt_ms(said: Mapping[Key, Said], told: Mapping[Key, Heard]) -> list[float]:
    return [told[key].first_ms - one.at_ms for key, one in said.items() if key in told]


def to_taken_ms(said: Mapping[Key, Said], told: Mapping[Key, Heard]) -> list[float]:
    return [min(told[key].taken_ms) - one.at_ms for key, one in said.items() if key in told and told[key].taken_ms]


def all_attempted_s(said: Mapping[Key, Said], told: Mapping[Key, Heard]) -> float | None:
    """From the first publication to the last first attempt; None while one is missing."""
    if not said or any(key not in told for key in said):
        return None
    first_ms = min(one.at_ms for one in said.values())
    return (max(told[key].first_ms for key in said) - first_ms) / 1000


def waited_behind(said: Mapping[Key, Said], told: Mapping[Key, Heard]) -> int:
    """The most lower alerts that arrived while one P1, which the log had, was on its way (invariant 2)."""
    lower = sorted(told[key].first_ms for key, one in said.items() if not one.is_urgent and key in told)
    urgent = [(one.accepted_ms, told[key].first_ms) for key, one in said.items() if one.is_urgent and key in told]
    return max((bisect_left(lower, came) - bisect_right(lower, since) for since, came in urgent), default=0)


def promises(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each clause, what was measured, and whether it holds. What was not measured does not hold."""
    burst, fixes = report["burst"], report["fixes"]
    rows: Sequence[tuple[str, float | None, float]] = (
        ("lost", report["lost"], 0),
        ("duplicated", report["duplicated"], 0),
        ("first attempt p50, ms", report["first_attempt_ms"]["p50"], FIRST_P50_MAX_MS),
        ("first attempt p99, ms", report["first_attempt_ms"]["p99"], FIRST_P99_MAX_MS),
        ("first accepted p99, ms", report["first_accepted_ms"]["p99"], ACCEPTED_P99_MAX_MS),
        ("burst all attempted, s", burst["all_attempted_s"], BURST_MAX_S),
        ("burst: lower ones that a P1 waited behind", burst["p1_waited_behind"], UNDER_WAY_MAX),
        ("SOS to attempt p99, ms", report["sos_to_attempt_ms"]["p99"], SOS_P99_MAX_MS),
        ("SOS to attempt p99 at twice, ms", report["sos_overload_ms"]["p99"], SOS_OVERLOAD_P99_MAX_MS),
    )
    judged = [
        {"promise": name, "measured": got, "at_most": most, "held": got is not None and got <= most}
        for name, got, most in rows
    ]
    least = LOAD_MIN * fixes["asked_per_s"]
    offered = fixes["offered_per_s"]
    judged.append({"promise": "fixes/s", "measured": offered, "at_least": least, "held": offered >= least})
    return judged


def holds(report: Mapping[str, Any]) -> bool:
    return all(one["held"] for one in report["promises"])
