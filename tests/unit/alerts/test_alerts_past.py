"""What becomes of what late fixes prove? Never a live alert (invariant 4), and nothing is written anew."""

from __future__ import annotations

from typing import Any

import pytest
from builders import NOW_MS, PROTECTED, REALM, WEARER, act, entry, fix_point, leaving

from alerts.desk import CORRECTS_ANOTHER, Unchanged, handle
from alerts.episodes import place_of
from tocsin.limits import EPISODE_CORRECTIONS_MAX
from tocsin.model.episode import Channel, Episode, FindingCause, Outcome, Ruling, State, Verb
from tocsin.model.finding import Change, Code, Finding, Past
from tocsin.wire import decode_finding, encode

HOUR_MS = NOW_MS - 3_600_000


def past(name: str = "fnd_past", first_ms: int = HOUR_MS, **changes: Any) -> Finding:
    whole = Past(
        first_ms=first_ms, last_ms=first_ms + 60_000, nearest_ms=first_ms + 30_000, wearer=fix_point(WEARER),
        protected=fix_point(PROTECTED), late=(), corrects=changes.pop("corrects", None),
        supersedes=changes.pop("supersedes", ()), untold=changes.pop("untold", False),
    )  # fmt: skip
    return entry(name, first_ms, code=Code.PAST_INCURSION, past=whole, **changes)


def taken_back(said: Finding, name: str = "fnd_back") -> Finding:
    return entry(
        name, said.at_ms, code=Code.PAST_INCURSION, past=said.past, change=Change.EXIT, entry=said.id,
        entry_ms=said.at_ms,
    )  # fmt: skip


def rule(episode: Episode | None, finding: Finding) -> Ruling:
    answer = handle(episode, FindingCause(finding=decode_finding(encode(finding))), REALM, NOW_MS)
    assert isinstance(answer, Ruling), answer
    return answer


def unchanged(episode: Episode | None, finding: Finding) -> str:
    answer = handle(episode, FindingCause(finding=finding), REALM, NOW_MS)
    assert isinstance(answer, Unchanged), answer
    return answer.reason


def closed(episode: Episode) -> Episode:
    taken = handle(episode, act(Verb.ACKNOWLEDGE, episode.version, episode=episode.id), REALM, NOW_MS)
    assert isinstance(taken, Ruling)
    ending = act(Verb.CLOSE, taken.episode.version, episode=episode.id, outcome=Outcome.TECHNICAL)
    done = handle(taken.episode, ending, REALM, NOW_MS)
    assert isinstance(done, Ruling)
    return done.episode


def test_it_is_an_alert_of_its_own_that_is_over_and_the_police_are_not_told() -> None:
    ruling = rule(None, past())
    assert (ruling.reason, ruling.episode.priority, ruling.episode.code) == ("opened", 4, Code.PAST_INCURSION)
    assert ruling.episode.over_ms == HOUR_MS + 60_000
    assert [one.channel for one in ruling.notifications] == [Channel.TELEASSISTANCE]
    assert ruling.episode.told == ()


def test_another_one_is_said_in_the_same_alert_and_nothing_goes_on() -> None:
    first = rule(None, past()).episode
    ruling = rule(first, past("fnd_2", HOUR_MS - 600_000))
    assert (ruling.reason, len(ruling.episode.raises), ruling.episode.id) == ("raised_again", 2, first.id)
    assert ruling.episode.over_ms == HOUR_MS + 60_000


@pytest.mark.parametrize("state", [State.RAISED, State.CLOSED])
def test_what_says_it_better_is_appended_and_told_to_nobody(state: State) -> None:
    said = rule(None, past()).episode
    said = closed(said) if state is State.CLOSED else said
    ruling = rule(said, past("fnd_better", HOUR_MS - 30_000, supersedes=("fnd_past",)))
    assert (ruling.reason, ruling.notifications) == ("corrected", ())
    assert (ruling.episode.raises, ruling.episode.state) == (said.raises, state)
    assert [one.first_ms for one in ruling.episode.corrections] == [HOUR_MS - 30_000]
    assert ruling.episode.version == said.version + 1


def test_what_is_taken_back_stays_said() -> None:
    said = past()
    ruling = rule(rule(None, said).episode, taken_back(said))
    assert (ruling.reason, ruling.notifications) == ("withdrawn", ())
    assert ruling.episode.raises[0].cause == said.id
    assert [one.withdrawn for one in ruling.episode.corrections] == [True]
    assert unchanged(None, taken_back(said)) == CORRECTS_ANOTHER


def test_a_correction_of_an_alert_lives_with_that_alert() -> None:
    alert = entry()
    correction = past("fnd_fix", corrects=alert.id)
    assert place_of(correction) == place_of(alert)
    assert place_of(past()) == (Code.PAST_INCURSION, "msr_1")
    open_ = rule(rule(None, alert).episode, leaving(alert)).episode
    for before in (open_, closed(open_)):
        ruling = rule(before, correction)
        assert (ruling.reason, ruling.notifications) == ("corrected", ())
        assert (ruling.episode.raises, ruling.episode.state, ruling.episode.over_ms) == (
            before.raises, before.state, before.over_ms,
        )  # fmt: skip
        assert ruling.episode.corrections[0].distance_dm == correction.distance_dm
        assert unchanged(ruling.episode, correction) == "applied_before"


def test_a_successor_is_not_corrected_for_its_predecessor() -> None:
    """The record keeps what was found of it; its causes are remembered here, its raisings are not."""
    former = closed(rule(rule(None, entry()).episode, leaving(entry())).episode)
    now = rule(former, entry("fnd_in2", NOW_MS + 7_200_000)).episode
    assert unchanged(now, past("fnd_fix", corrects="fnd_in1")) == CORRECTS_ANOTHER
    assert unchanged(None, past("fnd_fix", corrects="fnd_in1")) == CORRECTS_ANOTHER


def test_what_supersedes_something_that_nobody_remembers_is_said_rather_twice_than_never() -> None:
    assert rule(None, past(supersedes=("fnd_long_ago",))).reason == "opened"


# --- what the order allowed (R24-18, F23) ----------------------------------------------------------------------


def test_what_was_authorised_is_kept_closed_and_told_to_nobody() -> None:
    ruling = rule(None, past(authorised=True))
    assert (ruling.reason, ruling.notifications) == ("authorised", ())
    assert (ruling.episode.authorised, ruling.episode.state) == (True, State.CLOSED)
    assert ruling.episode.over_ms == HOUR_MS + 60_000


def test_in_the_place_of_an_open_one_it_is_one_more_raising_as_silently() -> None:
    ruling = rule(rule(None, past()).episode, past("fnd_2", HOUR_MS - 600_000, authorised=True))
    assert (ruling.reason, ruling.notifications, ruling.episode.is_open) == ("authorised", (), True)
    assert [one.authorised for one in ruling.episode.raises] == [False, True]


def test_what_turns_out_not_to_be_authorised_is_told_for_nobody_was() -> None:
    """F23: the later fixes show him below the floor, or there beyond the hours."""
    recorded = rule(None, past(authorised=True)).episode
    worse = past("fnd_worse", HOUR_MS - 30_000, supersedes=("fnd_past",), untold=True)
    ruling = rule(recorded, worse)
    assert (ruling.reason, ruling.episode.is_open, ruling.episode.follows) == ("opened", True, recorded.id)
    assert [one.channel for one in ruling.notifications] == [Channel.TELEASSISTANCE]
    assert unchanged(ruling.episode, worse) == "applied_before"


def test_what_turns_out_to_be_authorised_is_a_correction() -> None:
    said = rule(None, past()).episode
    better = past("fnd_better", HOUR_MS, supersedes=("fnd_past",), authorised=True)
    ruling = rule(said, better)
    assert (ruling.reason, ruling.notifications, ruling.episode.is_open) == ("corrected", (), True)
    assert [one.authorised for one in ruling.episode.corrections] == [True]


def test_what_says_an_authorised_one_better_and_allows_it_too_is_told_to_nobody() -> None:
    recorded = rule(None, past(authorised=True)).episode
    better = past("fnd_better", HOUR_MS, supersedes=("fnd_past",), untold=True, authorised=True)
    assert (rule(recorded, better).reason, rule(recorded, better).notifications) == ("corrected", ())


def test_corrections_are_bounded_and_the_newest_stay() -> None:
    episode, last = rule(None, past()).episode, "fnd_past"
    for number in range(EPISODE_CORRECTIONS_MAX + 3):
        name = f"fnd_{number}"
        episode = rule(episode, past(name, HOUR_MS - number, supersedes=(last,))).episode
        last = name
    assert len(episode.corrections) == EPISODE_CORRECTIONS_MAX
    assert episode.corrections[-1].cause == last
