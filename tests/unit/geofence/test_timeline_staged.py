"""Staged approaches, as the Queensland police staged 35 and saw 26 % raise nothing (F14): here each is alerted
or shown.

The criterion: he is alerted, or the desk shows UNCERTAIN or DEGRADED, at the latest UNAVOIDABLE_S after he first
stood inside: one report each of the two intervals then in force (that no server can shorten once he is inside)
and two seconds for latency and the whole second of the clock. The distance is the true one of the two ways.
The last test plants a fault, an engine that waits for nobody who is overdue, and shows that the gate then fails.
"""

from __future__ import annotations

import pytest
from geofence_pairs import P, W
from timeline import Story, s

from geofence import standing

WAYS = {
    "straight": lambda he: he.stands(6000).goes("02:00", 0, 14),
    "on foot": lambda he: he.stands(2600).goes("02:00", 0, 1.4),
    "running": lambda he: he.stands(3000).goes("02:00", 0, 4),
    "by car": lambda he: he.stands(9000).goes("02:00", 0, 25),
    "by fast car": lambda he: he.stands(15_000).goes("02:00", 0, 38),
    "stop and go": lambda he: he.stands(4000).goes("02:00", 2500, 14).goes("05:00", 1200, 14).goes("08:00", 0, 14),
    "from behind": lambda he: he.stands(3000j).goes("02:00", 2500 + 1500j, 14).goes("03:00", 0, 14),
    "passing by": lambda he: he.stands(-5000 + 700j).goes("02:00", 5000 + 700j, 14),
}
MEANS = {
    "two good units": lambda story: story,
    "poor accuracy": lambda story: (story.he.tells(120), story.she.tells(80)),
    "untold accuracy": lambda story: story.he.tells(None),
    "she reports in between": lambda story: story.she.starts("00:27"),
    "she goes to meet him": lambda story: story.she.goes("02:00", 600, 1.4),
    "he vanishes in a tunnel": lambda story: story.he.is_silent("03:10", "06:30"),
    "she has no network": lambda story: story.she.is_silent("01:30", "20:00"),
}


def stage(way, means, he_every_s=None, she_every_s=None):
    story = Story(he_every_s=he_every_s, she_every_s=she_every_s)
    story.she.stands(0)
    WAYS[way](story.he)
    MEANS[means](story)
    return story


def inside_s(story, until):
    """The first second at which the distance is at most the ring's."""
    return next(at for at in range(s(until)) if abs(story.he.place(at) - story.she.place(at)) <= 1000)


def shown_s(desk):
    seen = [at for code in ("ALERT", "UNCERTAIN", "DEGRADED") for at, _ in desk.of(code)]
    return min(seen, default=None)


def unavoidable_s(story, desk, at_s):
    """One interval of his and one of hers, as they were told then, and two seconds."""

    def told(unit, number):
        asked = [interval_s for hour, interval_s in desk.asked(number) if s(hour) <= at_s]
        return unit.reports_every_s or (asked or [60])[-1]

    return max(told(story.he, W), told(story.she, P)) + 2


def late_by_s(story, until="35:00"):
    """How much later than unavoidable; below 0 in time, None never."""
    desk = story.play(until)
    inside = inside_s(story, until)
    shown = shown_s(desk)
    return None if shown is None else shown - inside - unavoidable_s(story, desk, inside)


@pytest.mark.parametrize("means", MEANS)
@pytest.mark.parametrize("way", WAYS)
def test_every_staged_approach_is_alerted_or_shown(way, means):
    late_s = late_by_s(stage(way, means))
    assert late_s is not None
    assert late_s <= 0


@pytest.mark.parametrize("every_s", [(60, 60), (60, 30), (10, 60)])
@pytest.mark.parametrize("way", ["straight", "on foot", "by car", "stop and go", "from behind"])
def test_and_with_phones_of_a_fixed_interval(way, every_s):
    late_s = late_by_s(stage(way, "two good units", *every_s))
    assert late_s is not None
    assert late_s <= 0


def test_they_are_as_many_as_the_police_staged():
    assert len(WAYS) * len(MEANS) >= 35


def test_the_gate_sees_an_engine_that_waits_for_nobody(monkeypatch):
    """Planted: nobody is ever overdue. Who vanishes 1.2 km away and comes on is then shown by nothing."""
    story = Story()
    story.she.stands(0)
    story.he.stands(1200).is_silent("02:00").goes("03:00", 0, 5)
    assert late_by_s(story, "20:00") <= 0
    monkeypatch.setattr(standing, "overdue_since_ms", lambda *_: float("inf"))
    story.he.last_s = None
    assert late_by_s(story, "20:00") is None
