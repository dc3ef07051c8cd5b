"""Whatever the order and however often events come: one name per notification, and every cause told once.

A6 (derived names), invariant 11, DOMAIN 3 (folding is never a silence).
"""

from __future__ import annotations

from builders import NOW_MS, REALM, act, entry, leaving
from builders import preadvised as handle
from hypothesis import given
from hypothesis import strategies as st

from alerts.desk import Unchanged
from tocsin.model.episode import (
    Channel,
    Episode,
    Event,
    FindingCause,
    Notification,
    Outcome,
    Receipt,
    Ruling,
    Verb,
)
from tocsin.model.finding import Code

VISITS = [entry(f"fnd_in{number}", NOW_MS + number * 100_000) for number in range(4)]
FINDINGS: list[Event] = [
    FindingCause(finding=one)
    for number, visit in enumerate(VISITS)
    for one in (visit, leaving(visit, f"fnd_out{number}"))
]
RECEIPT = Receipt(
    notification="evt_1",
    episode="alr_1",
    version=1,
    channel=Channel.POLICE,
    attempt=1,
    t7_ms=1,
    t8_ms=2,
    result="",
)
ACTS = st.builds(
    act,
    verb=st.sampled_from(Verb),
    version=st.integers(1, 12),
    actor=st.sampled_from(["A", "B"]),
    outcome=st.sampled_from([None, Outcome.ARRESTED]),
)
HISTORIES = st.lists(st.sampled_from([*FINDINGS, RECEIPT]) | ACTS, max_size=30)


def play(events: list[Event]) -> tuple[list[tuple[Episode, Notification]], Episode | None]:
    """Everything told, with the episode as it was then; and the episode at the end."""
    told: list[tuple[Episode, Notification]] = []
    episode: Episode | None = None
    for event in events:
        answer = handle(episode, event, REALM, NOW_MS)
        if isinstance(answer, Ruling):
            episode = answer.episode
            told += [(episode, one) for one in answer.notifications]
    return told, episode


@given(events=HISTORIES)
def test_one_name_for_each_episode_version_and_channel(events: list[Event]) -> None:
    told, _ = play(events)
    places = [(episode.id, episode.version, one.channel) for episode, one in told]
    names = [one.id for _, one in told]
    assert len(set(places)) == len(places), "no version is told twice"
    assert len(set(names)) == len(names)


@given(events=HISTORIES, data=st.data())
def test_a_repeated_event_tells_nobody_anything(events: list[Event], data: st.DataObject) -> None:
    """A redelivery may come at once or much later; an act is not redelivered but asked again, and refused."""
    repeated: list[Event] = []
    for event in events:
        repeated.append(event)
        again = data.draw(st.lists(st.sampled_from(repeated), max_size=2))
        repeated += [one for one in again if isinstance(one, FindingCause | Receipt)]
    assert play(repeated) == play(events)


@given(order=st.permutations(FINDINGS))
def test_every_entry_is_told_once_in_any_order(order: list[Event]) -> None:
    told, episode = play(list(order))
    assert episode is not None
    assert {one.cause for one in episode.raises} == {visit.id for visit in VISITS}
    assert len(told) == len(VISITS) * 2
    assert episode.over_ms == leaving(VISITS[-1]).at_ms, "he has left for good"


PROOFS: list[Event] = [
    FindingCause(finding=entry(f"fnd_proof{number}", visit.at_ms + 20_000, code=Code.EVIDENTIAL_BREACH))
    for number, visit in enumerate(VISITS)
]


@given(order=st.permutations([*FINDINGS, *PROOFS]))
def test_no_proof_is_lost_and_none_rings_in_any_order(order: list[Event]) -> None:
    """What must wait is tried again after everything else, as the dispatcher does it."""
    episode: Episode | None = None
    waiting: list[Event] = []
    told = 0
    for tried, event in [*((1, one) for one in order), *((2, one) for one in PROOFS)]:
        answer = handle(episode, event, REALM, NOW_MS)
        if isinstance(answer, Unchanged) and answer.again:
            waiting.append(event)
        if isinstance(answer, Ruling):
            assert event not in PROOFS or {one.channel for one in answer.notifications} <= {Channel.UNIT}
            episode = answer.episode
            told += len([one for one in answer.notifications if one.channel is not Channel.UNIT])
        assert tried == 1 or isinstance(answer, Ruling) is (event in waiting), "kept once, now or before"
    assert episode is not None
    assert {one.cause for one in episode.raises} == {visit.id for visit in VISITS}
    assert {one.finding.id for one in PROOFS if isinstance(one, FindingCause)} < set(episode.causes)
    assert (episode.evidential_ms, told) == (VISITS[0].at_ms + 20_000, len(VISITS) * 2)


@given(events=HISTORIES)
def test_version_and_causes_only_grow(events: list[Event]) -> None:
    episode: Episode | None = None
    for event in events:
        answer = handle(episode, event, REALM, NOW_MS)
        if isinstance(answer, Unchanged):
            assert answer.episode == episode
        if isinstance(answer, Ruling):
            before, episode = episode, answer.episode
            if before is not None and before.id == episode.id:
                assert episode.version in {before.version, before.version + 1}
                assert episode.causes[: len(before.causes)] == before.causes
                assert before.is_open, "what is closed stays closed (invariant 8)"
