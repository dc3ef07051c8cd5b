"""Where is everybody when the story of the demo is over?"""

from __future__ import annotations

import pytest

from simulator.demo import after
from simulator.motion import Floats
from simulator.scenario import Party, Scenario

STORY_S = 300.0


@pytest.fixture
def story() -> Scenario:
    return Scenario.invent(1, couples=4, duration_s=STORY_S)


def place(scenario: Scenario, party: Party, t: float) -> list[Floats]:
    return list(scenario.position(party, t))


def test_they_end_the_way_that_they_are_on_and_nobody_presses(story: Scenario) -> None:
    later = after(story)
    assert story.presses
    assert later.presses == ()
    assert later.parties == story.parties
    for party in later.parties:
        assert place(later, party, STORY_S + 86_400) == place(later, party, STORY_S + 3600)
        assert party.track.velocity(STORY_S + 86_400) == (0.0, 0.0)


def test_it_has_no_end_and_the_same_hours(story: Scenario) -> None:
    assert after(story.starting_at(5)).duration_s > 1e9
    assert after(story.starting_at(5)).start_ms == 5
