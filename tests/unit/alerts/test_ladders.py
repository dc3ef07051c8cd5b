"""Whom does an alert reach when nobody acts? Timelines in virtual time (F24, F26, F35, invariants 7, 18)."""

from __future__ import annotations

import pytest
from builders import NOW_MS, REALM, act, entry, leaving, press
from hypothesis import given
from hypothesis import strategies as st

from alerts.desk import handle
from alerts.escalation import LADDERS, next_due
from tocsin.model.episode import (
    AlarmCause,
    Channel,
    Deed,
    DeedKind,
    Due,
    Episode,
    Event,
    FindingCause,
    Party,
    Reply,
    Ruling,
    State,
    Verb,
)
from tocsin.model.finding import Code
from tocsin.model.protocol import PoliceMode, Protocol
from tocsin.wire import decode_ruling, encode

MS = 1000
ALERT = FindingCause(finding=entry())
OUT = FindingCause(finding=leaving(entry(), after_s=40))


def walk(
    events: list[tuple[int, Event]], until_s: int, mode: PoliceMode = PoliceMode.AUTO_ON_TIMEOUT, again: int = 0
) -> tuple[list[tuple[int, str, str]], Episode]:
    """What was told, by the second, channel and rung or type. ``again``: each hour is said so often once more, and
    the episode is read back from its ruling: a restart."""
    told: list[tuple[int, str, str]] = []
    episode: Episode | None = None
    protocol, waiting, now_ms = Protocol(police_mode=mode), list(events), NOW_MS
    while True:
        due_ms = None if episode is None else next_due(episode, protocol)
        event_ms = NOW_MS + waiting[0][0] * MS if waiting else None
        hours = [ms for ms in (due_ms, event_ms) if ms is not None]
        if not hours or min(hours) > NOW_MS + until_s * MS:
            assert episode is not None
            return told, episode
        now_ms = max(now_ms, min(hours))
        said: list[Event] = [waiting.pop(0)[1]] if event_ms == min(hours) else []
        if not said and episode is not None:
            said = [Due(episode=episode.id, at_ms=now_ms)]
        for event in said * (1 + again if isinstance(said[0], Due) else 1):
            answer = handle(episode, event, REALM, now_ms, protocol=protocol)
            if isinstance(answer, Ruling):
                answer = decode_ruling(encode(answer))
                episode = answer.episode
                for one in answer.notifications:
                    word = one.audience.value if one.audience else one.type.rsplit(".", 1)[1]
                    told.append(((now_ms - NOW_MS) // MS, one.channel.value, word))
            episode = answer.episode


def rungs(told: list[tuple[int, str, str]], channel: Channel = Channel.TELEASSISTANCE) -> list[tuple[int, str]]:
    return list(dict.fromkeys((at, word) for at, who, word in told if who == channel))


def test_f35_a_p1_that_nobody_takes_reaches_everybody_and_at_60_s_the_police() -> None:
    told, episode = walk([(0, ALERT)], 300)
    assert rungs(told) == [
        (0, "opened"), (10, "operators"), (20, "supervisor"), (30, "backup_site"), (60, "police"),
    ]  # fmt: skip
    assert rungs(told, Channel.POLICE) == [(60, "police")]
    assert not episode.is_verified, "non vérifié"
    assert rungs(told, Channel.UNIT) == [(15, "alert")], "invariant 18"


def test_f26_a_p2_that_nobody_takes_is_urgent_at_180_s() -> None:
    told, episode = walk([(0, FindingCause(finding=entry(code=Code.PROX_PREALERT)))], 185)
    assert rungs(told) == [(0, "opened"), (60, "operators"), (120, "supervisor"), (180, "urgent")]
    assert (episode.code, episode.priority) == (Code.PREALERT_NO_ANSWER, 1)


def test_a_p3_reaches_all_at_five_minutes_and_a_supervisor_at_fifteen() -> None:
    told, _ = walk([(0, FindingCause(finding=entry(code=Code.W_COMMS_LOSS)))], 3_600)
    assert rungs(told) == [(0, "opened"), (300, "operators"), (900, "supervisor")]


@pytest.mark.parametrize(
    ("mode", "at_s"), [("auto_preadvice", [0]), ("operator_confirmed", []), ("auto_on_timeout", [60])]
)
def test_when_the_rooms_hear_of_a_key(mode: str, at_s: list[int]) -> None:
    told, _ = walk([(0, AlarmCause(alarm=press()))], 600, PoliceMode(mode))
    assert [at for at, _ in rungs(told, Channel.POLICE)] == at_s


def test_over_before_60_s_calls_no_patrol_and_still_a_human() -> None:
    """Invariants 7 and 18: she hears of the end with its ruling."""
    told, episode = walk([(0, ALERT), (40, OUT)], 600)
    assert rungs(told, Channel.POLICE) == []
    assert rungs(told, Channel.UNIT) == [(15, "alert"), (40, "over")]
    assert episode.is_open


def test_a_hand_off_tells_the_rooms_once_and_verified() -> None:
    mine = act(Verb.ACKNOWLEDGE, 1)
    told, episode = walk([(0, ALERT), (5, mine), (8, act(Verb.HAND_OFF, 2))], 100)
    assert rungs(told, Channel.POLICE) == [(8, "handed_off")]
    assert rungs(told, Channel.UNIT) == [(8, "alert")]
    assert episode.is_verified


def test_an_acknowledgement_without_an_act_expires_and_the_ladder_begins_anew() -> None:
    told, episode = walk([(0, ALERT), (5, act(Verb.ACKNOWLEDGE, 1))], 160)
    assert rungs(told) == [
        (0, "opened"), (5, "acknowledged"), (60, "police"), (125, "expired_ack"), (135, "operators"),
        (145, "supervisor"), (155, "backup_site"),
    ]  # fmt: skip
    assert (episode.state, episode.owner) == (State.RAISED, None)


def test_a_rung_does_not_refuse_the_hand_that_it_has_called() -> None:
    _, episode = walk([(0, ALERT), (25, act(Verb.ACKNOWLEDGE, 1))], 30)
    assert episode.owner == "A. Martin"


def test_he_does_not_answer_for_60_s() -> None:
    call = Deed(kind=DeedKind.CALL, at_ms=NOW_MS + 6_000, party=Party.WEARER, reply=Reply.NO_ANSWER)
    ahead = entry(code=Code.PROX_PREALERT)
    opened = handle(None, FindingCause(finding=ahead), REALM, NOW_MS)
    assert isinstance(opened, Ruling)
    name = opened.episode.id
    acts: list[tuple[int, Event]] = [
        (0, FindingCause(finding=ahead)), (5, act(Verb.ACKNOWLEDGE, 1, episode=name)),
        (6, act(Verb.DO, 2, episode=name, deed=call)),
    ]  # fmt: skip
    assert walk(acts, 65)[1].code is Code.PROX_PREALERT
    assert walk(acts, 66)[1].code is Code.PREALERT_NO_ANSWER


def test_f24_the_timers_are_those_of_the_domain_and_no_other() -> None:
    table = {priority: [(one.rung.value, one.after_s) for one in steps] for priority, steps in LADDERS.items()}
    assert table == {
        1: [("operators", 10), ("supervisor", 20), ("backup_site", 30), ("police", 60)],
        2: [("operators", 60), ("supervisor", 120), ("urgent", 180)],
        3: [("operators", 300), ("supervisor", 900)],
    }


@given(
    out_s=st.integers(1, 200),
    took_s=st.integers(1, 200),
    again=st.integers(1, 3),
    mode=st.sampled_from(PoliceMode),
)
def test_a_restart_at_any_moment_changes_nothing(out_s: int, took_s: int, again: int, mode: PoliceMode) -> None:
    """Every hour asked for several times, by whoever came up: told once, and none skipped (invariant 11)."""
    timeline: list[tuple[int, Event]] = sorted(
        [(0, ALERT), (out_s, OUT), (took_s, act(Verb.ACKNOWLEDGE, 1))], key=lambda one: one[0]
    )
    assert walk(timeline, 600, mode, again) == walk(timeline, 600, mode)
