"""What is one line for the reader, and does folding ever hide what wants a human? F25, F26, F28."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from builders import NOW_MS, act, entry, leaving
from hypothesis import given
from hypothesis import strategies as st

from alerts.api.views import urgency
from alerts.catalogue import CATALOGUE
from alerts.desk import handle
from alerts.load import CHATTER_S, STALE_S, counts, folded, is_chattering, is_in_hand, is_stale
from tocsin.model.episode import Deed, DeedKind, Episode, FindingCause, Realm, Ruling, State, Verb
from tocsin.model.finding import Code
from tocsin.model.fleet import Dimension, Group

MINUTE_MS = 60_000
DAY_MS = STALE_S * 1000


def opened(code: Code = Code.PROX_ALERT, measure: str = "msr_1", at_ms: int = NOW_MS, **changes: Any) -> Episode:
    finding = entry(f"fnd_{code}_{measure}", at_ms, code=code, measure=measure)
    answer = handle(None, FindingCause(finding=finding), Realm.LAB, at_ms)
    assert isinstance(answer, Ruling)
    return msgspec.structs.replace(answer.episode, **changes)


def taken(episode: Episode, at_ms: int = NOW_MS) -> Episode:
    answer = handle(
        episode, act(Verb.ACKNOWLEDGE, episode.version, at_ms=at_ms, episode=episode.id), Realm.LAB, at_ms
    )
    assert isinstance(answer, Ruling)
    return answer.episode


def raised(episode: Episode, *hours_ms: int) -> Episode:
    raises = (episode.raises[0], *(msgspec.structs.replace(episode.raises[0], at_ms=ms) for ms in hours_ms))
    return msgspec.structs.replace(episode, raises=raises)


def ranked(*episodes: Episode, now_ms: int = NOW_MS) -> list[Episode]:
    return sorted(episodes, key=lambda one: urgency(one, now_ms))


def shape(episodes: list[Episode], now_ms: int = NOW_MS) -> list[list[Code]]:
    return [[one.episode.code, *(each.code for each in one.under)] for one in folded(episodes, now_ms).lines]


def test_one_chain_of_events_is_one_line_under_its_most_urgent() -> None:
    """He came through both rings: the operator sees the alert, with the pre-alert and the countdown under it."""
    lines = [opened(Code.PROX_PREALERT), opened(Code.IMMINENT), opened(Code.PROX_ALERT)]
    assert shape(ranked(*lines)) == [[Code.PROX_ALERT, Code.IMMINENT, Code.PROX_PREALERT]]


def test_an_untaken_p1_is_never_under_another_line() -> None:
    """F26: two things that each want a human at once are two lines, of one measure too."""
    both = ranked(opened(Code.PROX_ALERT), opened(Code.ZONE_CORE_ENTRY), opened(Code.PROX_PREALERT))
    assert sorted(len(one) for one in shape(both)) == [1, 2]


def test_what_somebody_has_in_hand_keeps_its_line() -> None:
    """Else it would leave the block of its owner when a worse one comes."""
    mine = taken(opened(Code.PROX_PREALERT))
    assert shape(ranked(opened(Code.PROX_ALERT), mine)) == [[Code.PROX_ALERT], [Code.PROX_PREALERT]]


def test_other_measures_and_the_fleet_are_lines_of_their_own() -> None:
    group = Group(dimension=Dimension.APN, value="iot.example").subject
    fleet = opened(Code.SYS_FLEET_SILENCE, group, measures=("msr_1", "msr_2"))
    episodes = ranked(opened(), opened(Code.PROX_PREALERT, "msr_2"), fleet, opened(Code.W_BATT_LOW, "msr_3"))
    assert all(len(one) == 1 for one in shape(episodes))


@pytest.mark.parametrize(("priority", "stale"), [(1, False), (2, False), (3, True), (4, True), (5, True)])
def test_after_a_day_without_a_word_it_is_stale_unless_it_may_be_someones_life(priority: int, stale: bool) -> None:
    old = opened(Code.W_COMMS_LOSS, priority=priority)
    assert is_stale(old, NOW_MS + DAY_MS) is stale
    assert not is_stale(old, NOW_MS + DAY_MS - 1)


def test_an_act_or_a_new_raising_makes_it_fresh_again() -> None:
    old = opened(Code.W_BATT_CRIT)
    later_ms = NOW_MS + DAY_MS
    done = msgspec.structs.replace(old, deeds=(Deed(kind=DeedKind.CALL, at_ms=NOW_MS + MINUTE_MS),))
    assert is_stale(old, later_ms)
    assert not is_stale(done, later_ms)
    assert not is_stale(raised(old, NOW_MS + MINUTE_MS), later_ms)
    assert not is_stale(taken(old, later_ms), later_ms)


def test_stale_ones_stand_beside_the_lines_the_oldest_first() -> None:
    old, older, fresh = (
        opened(Code.W_BATT_CRIT, "msr_2", NOW_MS + MINUTE_MS), opened(Code.W_COMMS_LOSS, "msr_1"),
        opened(Code.W_BATT_CRIT, "msr_3", NOW_MS + DAY_MS),
    )  # fmt: skip
    now_ms = NOW_MS + DAY_MS + MINUTE_MS
    seen = folded(ranked(old, older, fresh, now_ms=now_ms), now_ms)
    assert [one.episode for one in seen.lines] == [fresh]
    assert seen.stale == (older, old)


def test_three_raisings_within_a_quarter_of_an_hour_chatter() -> None:
    episode, apart_ms = opened(), CHATTER_S * 1000
    assert is_chattering(raised(episode, NOW_MS + 1, NOW_MS + apart_ms))
    assert not is_chattering(raised(episode, NOW_MS + 1, NOW_MS + apart_ms + 1))
    assert not is_chattering(raised(episode, NOW_MS + 1))


def test_the_counts_are_of_the_words() -> None:
    known = [raised(opened(), NOW_MS + 1, NOW_MS + 2), opened(Code.W_BATT_LOW, "msr_2")]
    assert counts(known, NOW_MS + DAY_MS) == {"repeated": 1, "stale": 1, "chattering": 1}


def test_what_is_over_keeps_its_place_until_a_human_closes_it() -> None:
    """Invariant 7: folding ends nothing."""
    first = entry("fnd_in", NOW_MS)
    inside = handle(None, FindingCause(finding=first), Realm.LAB, NOW_MS)
    assert isinstance(inside, Ruling)
    gone = handle(inside.episode, FindingCause(finding=leaving(first)), Realm.LAB, NOW_MS + MINUTE_MS)
    assert isinstance(gone, Ruling)
    assert [one.episode for one in folded([gone.episode], NOW_MS + DAY_MS).lines] == [gone.episode]


CODES = sorted(set(CATALOGUE) - {Code.SYS_FLEET_SILENCE})
EPISODES = st.lists(
    st.builds(
        lambda code, measure, age_min, is_taken: (
            taken(opened(code, measure, NOW_MS - age_min * MINUTE_MS))
            if is_taken
            else opened(code, measure, NOW_MS - age_min * MINUTE_MS)
        ),
        st.sampled_from([Code.PROX_ALERT, Code.PROX_PREALERT, Code.W_COMMS_LOSS, Code.W_BATT_LOW, Code.DEGRADED]),
        st.sampled_from(["msr_1", "msr_2"]),
        st.integers(0, 3_000),
        st.booleans(),
    ),
    max_size=12,
    unique_by=lambda one: (one.code, one.subject),
)


@given(EPISODES)
def test_each_alert_is_shown_once_and_the_first_line_is_the_most_urgent(episodes: list[Episode]) -> None:
    """F28: whatever is folded, whoever reads from the top meets the untaken P1s first."""
    order = ranked(*episodes)
    seen = folded(order, NOW_MS)
    shown = [each for one in seen.lines for each in (one.episode, *one.under)] + list(seen.stale)
    assert sorted(one.id for one in shown) == sorted(one.id for one in episodes)
    heads = [one.episode for one in seen.lines]
    assert heads == [one for one in order if one in heads]
    wanting = [one for one in episodes if one.priority == 1 and not is_in_hand(one, NOW_MS)]
    assert all(one in heads for one in wanting)
    assert all(one.state is not State.ACKNOWLEDGED for line in seen.lines for one in line.under)
