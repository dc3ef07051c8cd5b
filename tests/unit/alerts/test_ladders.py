"""Whom does an alert reach when nobody acts? Timelines in virtual time (F24, F26, F35, invariants 7, 18)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from builders import NOW_MS, REALM, act, entry, leaving, press
from hypothesis import given
from hypothesis import strategies as st

from alerts import acts, answers, desk, dues, escalation, her_unit
from alerts.catalogue import CATALOGUE
from alerts.desk import Unchanged, handle
from alerts.escalation import ASK_AGAIN_S, LADDERS, next_due
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
from tocsin.model.ids import derived
from tocsin.model.protocol import PoliceMode, Protocol
from tocsin.wire import decode_ruling, encode

MS = 1000
ALERT = FindingCause(finding=entry())
OUT = FindingCause(finding=leaving(entry(), after_s=40))


def walk(
    events: list[tuple[int, Event]],
    until_s: int,
    mode: PoliceMode = PoliceMode.AUTO_ON_TIMEOUT,
    again: int = 0,
    closing: Callable[[int], bool | None] = lambda _at_s: None,
) -> tuple[list[tuple[int, str, str]], Episode]:
    """What was told, by the second, channel and rung or type. ``again``: each hour is said so often once more, and
    the episode is read back from its ruling: a restart. ``closing``: what is known of him by the second."""
    told: list[tuple[int, str, str]] = []
    episode: Episode | None = None
    protocol, waiting, now_ms = Protocol(police_mode=mode), list(events), NOW_MS
    look_ms = 0
    while True:
        due_ms = None if episode is None else next_due(episode, protocol)
        due_ms = None if due_ms is None else max(due_ms, look_ms)
        event_ms = NOW_MS + waiting[0][0] * MS if waiting else None
        hours = [ms for ms in (due_ms, event_ms) if ms is not None]
        if not hours or min(hours) > NOW_MS + until_s * MS:
            assert episode is not None
            return told, episode
        now_ms = max(now_ms, min(hours))
        said: list[Event] = [waiting.pop(0)[1]] if event_ms == min(hours) else []
        if not said and episode is not None:
            said = [Due(episode=episode.id, at_ms=now_ms, closing=closing((now_ms - NOW_MS) // MS))]
        for event in said * (1 + again if isinstance(said[0], Due) else 1):
            answer = handle(episode, event, REALM, now_ms, protocol=protocol)
            if isinstance(answer, Ruling):
                answer = decode_ruling(encode(answer))
                episode = answer.episode
                for one in answer.notifications:
                    word = one.audience.value if one.audience else one.type.rsplit(".", 1)[1]
                    told.append(((now_ms - NOW_MS) // MS, one.channel.value, word))
            look_ms = now_ms + ASK_AGAIN_S * MS if isinstance(answer, Unchanged) and answer.again else 0
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


# --- behind the order to turn back ------------------------------------------------------------------------------

AHEAD = FindingCause(finding=entry(code=Code.PROX_PREALERT))
AHEAD_NAME = derived("alr", Code.PROX_PREALERT, "msr_1", "fnd_in1")


def ordered(reply: Reply, kind: DeedKind = DeedKind.ORDER) -> list[tuple[int, Event]]:
    """He is ordered to turn back at 10 s; his operator keeps the alert until 200 s."""
    deed = Deed(kind=kind, at_ms=NOW_MS + 10_000, party=Party.WEARER, reply=reply)
    note = Deed(kind=DeedKind.NOTE, at_ms=NOW_MS + 90_000)
    return [
        (0, AHEAD), (5, act(Verb.ACKNOWLEDGE, 1, episode=AHEAD_NAME)),
        (10, act(Verb.DO, 2, episode=AHEAD_NAME, deed=deed)),
        (90, act(Verb.DO, 3, episode=AHEAD_NAME, deed=note)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("reply", "closing", "urgent_s"),
    [
        (Reply.ANSWERED, True, 70),
        (Reply.ANSWERED, None, 70),
        (Reply.ANSWERED, False, None),
        (Reply.COMPLIES, True, 70),
        (Reply.COMPLIES, None, None),
        (Reply.COMPLIES, False, None),
        (Reply.REFUSED, False, 10),
        (Reply.NO_ANSWER, False, 70),
    ],
)
def test_60_s_behind_the_order(reply: Reply, closing: bool | None, urgent_s: int | None) -> None:
    """PREALERT_NO_ANSWER: calls failed for 60 s, a refusal, or still closing 60 s after the order."""
    told, episode = walk(ordered(reply), 85, closing=lambda _: closing)
    assert (episode.code is Code.PREALERT_NO_ANSWER, episode.priority) == (
        (True, 1) if urgent_s is not None else (False, 2)
    )
    raised = [at for at, word in rungs(told) if word == "raised"]
    assert raised == ([] if urgent_s is None else [urgent_s])


def test_he_turned_away_and_turns_again() -> None:
    """Looked at each 10 s; the police hear of it 60 s behind the hour at which it became a P1."""
    told, episode = walk(ordered(Reply.ANSWERED), 200, closing=lambda at_s: at_s >= 83)
    assert [at for at, word in rungs(told) if word == "raised"] == [90]
    assert rungs(told, Channel.POLICE) == [(150, "police")]
    assert episode.owner == "A. Martin", "whoever has it keeps it"


def test_who_answers_the_second_call_was_not_silent_for_60_s() -> None:
    answered = Deed(kind=DeedKind.CALL, at_ms=NOW_MS + 30_000, party=Party.WEARER, reply=Reply.ANSWERED)
    calls = ordered(Reply.NO_ANSWER, DeedKind.CALL)
    calls[3] = (30, act(Verb.DO, 3, episode=AHEAD_NAME, deed=answered))
    assert walk(calls, 149)[1].code is Code.PROX_PREALERT


def test_a_p2_that_nobody_takes_is_no_p1_while_he_goes_away() -> None:
    told, episode = walk([(0, AHEAD)], 300, closing=lambda at_s: at_s >= 255)
    assert (episode.code, episode.priority) == (Code.PREALERT_NO_ANSWER, 1)
    assert [at for at, word in rungs(told) if word == "urgent"] == [260]
    assert walk([(0, AHEAD)], 250, closing=lambda _: False)[1].priority == 2


# --- keys --------------------------------------------------------------------------------------------------------

KEY_NAME = derived("alr", Code.TGD_SOS, "tgd-1", "alm_1")


def pressed(*, silent: bool) -> AlarmCause:
    return AlarmCause(alarm=press(code=Code.TGD_SOS, device="tgd-1", measures=(), silent=silent))


def test_a_press_in_silence_is_silent_from_the_first_word() -> None:
    told, episode = walk([(0, pressed(silent=True))], 61)
    assert episode.code is Code.TGD_SOS_SILENT
    assert rungs(told)[-1] == (60, "police"), "the ladder is that of a P1"
    assert rungs(told, Channel.UNIT) == [], "and nothing rings at her"


def test_nobody_speaks_and_it_is_silent_from_then_on() -> None:
    """Those who know of it are told, so that nobody rings her back aloud; a press aloud brings no voice back."""
    no_voice = act(Verb.DO, 2, episode=KEY_NAME, deed=Deed(kind=DeedKind.NO_VOICE, at_ms=NOW_MS + 15_000))
    aloud = AlarmCause(alarm=press("alm_2", NOW_MS + 20_000, code=Code.TGD_SOS, device="tgd-1", measures=()))
    mine = act(Verb.ACKNOWLEDGE, 1, episode=KEY_NAME)
    told, episode = walk([(0, pressed(silent=False)), (5, mine), (15, no_voice), (20, aloud)], 50)
    assert (episode.code, episode.is_silent) == (Code.TGD_SOS_SILENT, True)
    assert rungs(told) == [(0, "opened"), (5, "acknowledged"), (15, "raised"), (20, "raised")]


# --- by the time to blind risk -----------------------------------------------------------------------------------


def blind(code: Code, **hours_s: int) -> FindingCause:
    hours = {f"blind_{name}_ms": NOW_MS + at_s * MS for name, at_s in hours_s.items()}
    return FindingCause(finding=entry(code=code, **hours))


@pytest.mark.parametrize(
    ("code", "at_s", "priority"),
    [(Code.W_GNSS_LOSS, 40, 2), (Code.W_COMMS_LOSS, 40, 2), (Code.DEGRADED, 90 + 120, 1)],
)
def test_who_may_be_there_unseen_is_more_urgent(code: Code, at_s: int, priority: int) -> None:
    """A loss at the worst hour of blind risk, DEGRADED 120 s behind the plausible one; taken or not."""
    found = blind(code, worst=40, plausible=90)
    mine = act(Verb.ACKNOWLEDGE, 1, episode=derived("alr", code, "msr_1", "fnd_in1"))
    for before in ([], [(at_s - 30, mine)]):
        told, episode = walk([(0, found), *before], at_s, closing=lambda _: False)
        assert episode.priority == priority
        assert rungs(told)[-1] == (at_s, "raised")
        assert walk([(0, found), *before], at_s - 1, closing=lambda _: False)[1].priority == priority + 1


def test_degraded_is_shown_to_her_and_taken_back_and_the_police_hear_nothing_of_it() -> None:
    found = blind(Code.DEGRADED, worst=40, plausible=90)
    heard = FindingCause(finding=leaving(found.finding, after_s=400))
    told, _ = walk([(0, found), (400, heard)], 900)
    assert rungs(told, Channel.UNIT) == [(15, "degraded"), (400, "over")]
    assert rungs(told, Channel.POLICE) == []


# --- her unit ----------------------------------------------------------------------------------------------------


def test_f16_a_re_entry_rings_her_anew_and_not_before_its_15_s() -> None:
    """Invariant 18: and a jump out and in again within that time does not."""
    again, jump = entry("fnd_in2", NOW_MS + 100_000), entry("fnd_in3", NOW_MS + 200_000)
    told, _ = walk(
        [
            (0, ALERT), (40, OUT), (100, FindingCause(finding=again)),
            (150, FindingCause(finding=leaving(again, "fnd_out2", after_s=50))), (200, FindingCause(finding=jump)),
            (210, FindingCause(finding=leaving(jump, "fnd_out3", after_s=10))),
        ],
        900,
    )  # fmt: skip
    assert rungs(told, Channel.UNIT) == [(15, "alert"), (40, "over"), (115, "alert"), (150, "over")]


def test_a_proof_rings_her_at_once() -> None:
    proof = FindingCause(finding=entry("fnd_proof", NOW_MS + 4_000, code=Code.EVIDENTIAL_BREACH))
    told, _ = walk([(0, ALERT), (4, proof)], 30)
    assert rungs(told, Channel.UNIT) == [(4, "alert")]


# --- hands -------------------------------------------------------------------------------------------------------


def test_a_supervisor_takes_over_at_once_and_anybody_once_it_has_expired() -> None:
    mine = act(Verb.ACKNOWLEDGE, 1)
    by_sue = act(Verb.TAKE_OVER, 2, "Sue", supervises=True, note="busy elsewhere")
    _, episode = walk([(0, ALERT), (5, mine), (30, by_sue)], 59)
    assert (episode.owner, episode.acknowledgement_expires_ms) == ("Sue", NOW_MS + 150_000)
    by_bob = act(Verb.TAKE_OVER, 2, "Bob", note="he is gone")
    _, episode = walk([(0, ALERT), (5, mine), (30, by_bob)], 59)
    assert episode.owner == "A. Martin", "not while he has it"
    late = act(Verb.TAKE_OVER, 5, "Bob", note="he is gone")
    told, episode = walk([(0, ALERT), (5, mine), (130, late)], 500)
    assert rungs(told)[:6] == [
        (0, "opened"), (5, "acknowledged"), (60, "police"), (125, "expired_ack"), (130, "acknowledged"),
        (250, "expired_ack"),
    ]  # fmt: skip
    assert episode.state is State.RAISED, "and he too let it expire"


# --- which ladder ------------------------------------------------------------------------------------------------


def test_a_judgement_moves_to_the_ladder_of_its_priority_and_back() -> None:
    """STRAP_TAMPER rings at once as a P1; 2 hours away it is a P2, 25 minutes away a P1, which begins anew."""
    rang = AlarmCause(alarm=press(code=Code.STRAP_TAMPER, device="wearer-1", event="strap_open", position=None))
    whole: dict[str, Any] = {"code": Code.STRAP_TAMPER, "entry": "fnd_low"}
    lowered = FindingCause(finding=entry("fnd_low", priority=2, alarm="alm_1", **whole))
    worse = FindingCause(finding=entry("fnd_high", NOW_MS + 100_000, priority=1, **whole))
    told, episode = walk([(0, rang), (12, lowered)], 99)
    assert rungs(told) == [(0, "opened"), (10, "operators"), (12, "judged")], "all have heard of it"
    assert (episode.priority, rungs(told, Channel.POLICE)) == (2, [])
    told, episode = walk([(0, rang), (12, lowered), (100, worse)], 170)
    assert episode.priority == 1
    assert rungs(told)[3:] == [
        (100, "raised"), (110, "operators"), (120, "supervisor"), (130, "backup_site"), (160, "police"),
    ]  # fmt: skip


@pytest.mark.parametrize("code", [code for code, row in CATALOGUE.items() if row.priority > 3])
def test_p4_and_p5_have_no_ladder(code: Code) -> None:
    assert CATALOGUE[code].priority not in LADDERS
    ruling = handle(None, FindingCause(finding=entry(code=code)), REALM, NOW_MS)
    assert ruling.episode is None or next_due(ruling.episode, Protocol()) is None


def test_f24_the_timers_are_those_of_the_domain_and_no_other() -> None:
    table = {priority: [(one.rung.value, one.after_s) for one in steps] for priority, steps in LADDERS.items()}
    assert table == {
        1: [("operators", 10), ("supervisor", 20), ("backup_site", 30), ("police", 60)],
        2: [("operators", 60), ("supervisor", 120), ("urgent", 180)],
        3: [("operators", 300), ("supervisor", 900)],
    }
    seconds = {
        name: value
        for module in (escalation, dues, acts, her_unit, desk, answers)
        for name, value in vars(module).items()
        if name.endswith(("_S", "_MS")) and isinstance(value, int)
    }
    assert seconds == {
        "HER_UNIT_AFTER_S": 15, "NO_ANSWER_AFTER_S": 60, "ASK_AGAIN_S": 10, "ACK_EXPIRES_S": 120,
        "PROOF_WAITS_S": 86_400, "PROOF_EARLY_MAX_S": 30, "FORGET_POSITION_AFTER_S": 252_000,
    }  # fmt: skip


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
