"""Can anybody keep an alert from its humans, or from the police? Timelines (F26, F35, invariant 7)."""

from __future__ import annotations

import pytest
from builders import NOW_MS, REALM, act, entry, leaving, press

from alerts.answers import Answer, Objection, Refused
from alerts.desk import handle
from alerts.escalation import OVER_REPEATS, REPEATS, next_due
from tocsin.clock import MS
from tocsin.limits import REENTRY_WITHIN_S
from tocsin.model.episode import (
    AlarmCause,
    Channel,
    Deed,
    DeedKind,
    Due,
    Episode,
    Event,
    FindingCause,
    Outcome,
    Party,
    Reply,
    Ruling,
    State,
    Verb,
)
from tocsin.model.finding import Code
from tocsin.model.protocol import PoliceMode, Protocol


class Course:
    """One alert in virtual time; ``told``: second, channel, and rung or type."""

    def __init__(self, mode: PoliceMode = PoliceMode.AUTO_ON_TIMEOUT) -> None:
        self.protocol = Protocol(police_mode=mode)
        self.episode: Episode | None = None
        self.told: list[tuple[int, str, str]] = []
        self.at_ms = NOW_MS

    def until(self, at_s: float, closing: bool | None = None) -> Course:
        """Everything that comes by itself by then."""
        while self.episode is not None:
            due_ms = next_due(self.episode, self.protocol)
            if due_ms is None or due_ms > NOW_MS + at_s * MS:
                break
            at_ms = max(due_ms, self.at_ms)
            due = Due(episode=self.episode.id, at_ms=at_ms, closing=closing)
            if not self.rule(due, (at_ms - NOW_MS) / MS):
                break
        return self

    def then(self, at_s: float, event: Event) -> Course:
        assert self.until(at_s).rule(event, at_s)
        return self

    def rule(self, event: Event, at_s: float) -> bool:
        self.at_ms = now_ms = NOW_MS + round(at_s * MS)
        answer = handle(self.episode, event, REALM, now_ms, protocol=self.protocol)
        if not isinstance(answer, Ruling):
            return False
        self.episode = answer.episode
        for one in answer.notifications:
            word = one.audience.value if one.audience else one.type.rsplit(".", 1)[1]
            self.told.append(((now_ms - NOW_MS) // MS, one.channel.value, word))
        return True

    def act(self, at_s: float, verb: Verb, **more: object) -> Course:
        now = self.until(at_s).now
        return self.then(at_s, act(verb, now.version, at_ms=NOW_MS + round(at_s * MS), episode=now.id, **more))

    @property
    def now(self) -> Episode:
        assert self.episode is not None
        return self.episode

    def heard(self, word: str, channel: Channel = Channel.TELEASSISTANCE) -> list[int]:
        return list(dict.fromkeys(at for at, who, said in self.told if (who, said) == (channel, word)))


def visit(course: Course, number: int, in_s: int, out_s: int | None = None) -> Course:
    came = entry(f"fnd_in{number}", NOW_MS + in_s * MS)
    course.then(in_s, FindingCause(finding=came))
    if out_s is not None:
        course.then(out_s, FindingCause(finding=leaving(came, f"fnd_out{number}", out_s - in_s)))
    return course


def test_f35_who_comes_and_goes_does_not_set_the_hour_of_the_police_back() -> None:
    """50 s in the ring, 12 s out of it, again and again: they are told at his first return behind 60 s."""
    course = Course()
    for number in range(3):
        visit(course, number, 62 * number, 62 * number + 50)
    assert course.heard("police", Channel.POLICE) == [62]


def test_a_visit_long_after_the_last_one_has_its_60_s() -> None:
    late_s = 40 + REENTRY_WITHIN_S + 1
    course = visit(visit(Course(), 1, 0, 40), 2, late_s).until(late_s + 70)
    assert course.heard("police", Channel.POLICE) == [late_s + 60]


@pytest.mark.parametrize("mode", PoliceMode)
def test_f26_a_p1_that_nobody_takes_is_told_again_for_ever(mode: PoliceMode) -> None:
    """A téléassistance that was away for an hour hears of it when it is back."""
    course = Course(mode).then(0, AlarmCause(alarm=press())).until(3_700)
    assert course.heard("supervisor") == list(range(20, 3_701, REPEATS[1]))
    assert course.heard("backup_site") == list(range(30, 3_701, REPEATS[1]))
    assert course.heard("operators") == [10]
    assert len(course.now.rungs) <= 4, "bounded, however long"
    assert next_due(course.now, course.protocol) is not None
    course.act(3_700, Verb.ACKNOWLEDGE)
    assert course.now.state is State.ACKNOWLEDGED


def test_f25_of_a_p1_that_is_over_once_an_hour() -> None:
    course = visit(Course(), 1, 0, 40).until(7_300)
    assert course.heard("backup_site") == [30, 30 + OVER_REPEATS, 30 + 2 * OVER_REPEATS]


def test_a_p3_and_a_p2_that_goes_away_are_told_again_to_a_supervisor() -> None:
    lost = Course().then(0, FindingCause(finding=entry(code=Code.W_COMMS_LOSS))).until(900 + 2 * REPEATS[3])
    assert lost.heard("supervisor") == [900, 900 + REPEATS[3], 900 + 2 * REPEATS[3]]
    ahead = Course().then(0, FindingCause(finding=entry(code=Code.PROX_PREALERT))).until(150)
    again_s = 120 + REPEATS[2]
    assert ahead.rule(Due(episode=ahead.now.id, at_ms=NOW_MS + again_s * MS, closing=False), again_s)
    assert (ahead.heard("supervisor"), ahead.now.priority) == ([120, again_s], 2)


def did(reply: Reply | None, at_s: float, kind: DeedKind = DeedKind.CALL) -> Deed:
    return Deed(kind=kind, at_ms=NOW_MS + round(at_s * MS), party=Party.WEARER, reply=reply)


def ahead_taken() -> Course:
    """A pre-alert that an operator has at 5 s."""
    return Course().then(0, FindingCause(finding=entry(code=Code.PROX_PREALERT))).act(5, Verb.ACKNOWLEDGE)


def test_a_call_that_still_rings_does_not_take_the_unanswered_one_back() -> None:
    course = ahead_taken()
    for at_s, reply in ((10, Reply.NO_ANSWER), (55, None), (65, Reply.NO_ANSWER), (68, None)):
        course.act(at_s, Verb.DO, deed=did(reply, at_s))
    assert course.until(69).now.code is Code.PROX_PREALERT
    assert course.until(70).now.code is Code.PREALERT_NO_ANSWER


@pytest.mark.parametrize("slow_s", [0, 60, 86_400])
def test_a_console_whose_clock_is_slow_says_all_the_same_that_he_refused(slow_s: int) -> None:
    course = ahead_taken().act(20, Verb.DO, deed=did(Reply.REFUSED, 20 - slow_s)).until(21)
    assert (course.now.code, course.now.priority) == (Code.PREALERT_NO_ANSWER, 1)


def test_a_slow_console_makes_no_one_silent_for_60_s_at_once() -> None:
    course = ahead_taken().act(20, Verb.DO, deed=did(Reply.NO_ANSWER, -100))
    assert course.until(64).now.code is Code.PROX_PREALERT
    assert course.until(65).now.code is Code.PREALERT_NO_ANSWER


def test_no_police_said_of_a_pre_alert_is_not_said_of_the_p1_that_it_becomes() -> None:
    course = ahead_taken().act(8, Verb.DO, deed=Deed(kind=DeedKind.NO_POLICE, at_ms=NOW_MS + 8 * MS))
    course.act(20, Verb.DO, deed=did(Reply.REFUSED, 20)).until(100)
    assert course.now.code is Code.PREALERT_NO_ANSWER
    assert course.heard("police", Channel.POLICE) == [80]


def test_a_hand_off_verifies_its_own_visit_and_no_later_one() -> None:
    """Else the rooms read that a human has lifted the doubt about what nobody has looked at."""
    course = visit(Course(), 1, 0).act(5, Verb.ACKNOWLEDGE).act(8, Verb.HAND_OFF)
    pressed_again = FindingCause(finding=entry("fnd_more", NOW_MS + 20 * MS))
    assert course.then(20, pressed_again).now.is_verified, "the same visit"
    course.then(40, FindingCause(finding=leaving(entry("fnd_in1"), "fnd_out1", 40)))
    assert course.now.is_verified, "its end too"
    visit(course, 2, 86_400)
    assert not course.now.is_verified
    assert course.now.decided_ms is None
    assert course.heard("raised", Channel.POLICE)[-1] == 86_400, "who knows of it hears of it"


def test_f16_a_proof_of_an_earlier_visit_does_not_ring_her_for_a_later_one() -> None:
    course = visit(visit(Course(), 1, 0, 8), 2, 600)
    late = entry("fnd_proof1", NOW_MS + 6 * MS, code=Code.EVIDENTIAL_BREACH)
    course.then(601, FindingCause(finding=late))
    assert course.heard("alert", Channel.UNIT) == []
    assert course.now.evidential_ms == late.at_ms, "it is a fact all the same"
    this = entry("fnd_proof2", NOW_MS + 602 * MS, code=Code.EVIDENTIAL_BREACH)
    assert course.then(603, FindingCause(finding=this)).heard("alert", Channel.UNIT) == [603]


def clicked(course: Course, at_s: int, version: int) -> Answer:
    said = act(Verb.ACKNOWLEDGE, version, at_ms=NOW_MS + at_s * MS, episode=course.now.id)
    return handle(course.now, said, REALM, NOW_MS + at_s * MS, protocol=course.protocol)


def test_f26_the_hand_that_comes_with_the_hour_is_not_refused() -> None:
    """STILL_CLOSING at 180 s, BLIND at its hour: clicked on what it was a moment before."""
    ahead = Course().then(0, FindingCause(finding=entry(code=Code.PROX_PREALERT))).until(179)
    seen = ahead.now.version
    assert ahead.until(180).now.priority == 1
    assert isinstance(clicked(ahead, 180, seen), Ruling)
    blind = FindingCause(finding=entry(code=Code.W_COMMS_LOSS, blind_worst_ms=NOW_MS + 40 * MS))
    lost = Course().then(0, blind).until(39)
    seen = lost.now.version
    assert lost.until(40).now.priority == 2
    assert isinstance(clicked(lost, 40, seen), Ruling)


def test_behind_somebody_who_had_it_it_is_seen_anew() -> None:
    """Else a repetition, however late, would make it look taken (F26)."""
    course = visit(Course(), 1, 0)
    seen = course.now.version
    course.act(5, Verb.ACKNOWLEDGE).until(130)
    assert course.now.owner is None
    refused = clicked(course, 130, seen)
    assert isinstance(refused, Refused)
    assert refused.objection is Objection.STALE
    assert isinstance(clicked(course, 130, course.now.free_from), Ruling)


def test_a_close_rests_on_what_is_so_now() -> None:
    """Only to take it needs no more: STILL_CLOSING, BLIND and NO_ANSWER take from every other act."""
    course = ahead_taken().act(20, Verb.DO, deed=did(Reply.REFUSED, 20))
    seen = course.now.version
    assert course.until(21).now.code is Code.PREALERT_NO_ANSWER
    said = act(Verb.CLOSE, seen, episode=course.now.id, outcome=Outcome.LEFT_ZONE)
    refused = handle(course.now, said, REALM, NOW_MS + 22 * MS)
    assert isinstance(refused, Refused)
    assert refused.objection is Objection.STALE
