"""Do the laws about sending, the wire and the ladder ask for what the domain says, once, and excuse what is said?
F02, F11, F26, F35; invariants 1, 7. The notifications and hours are those of the real desk."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from builders import NOW_MS, REALM, act, entry
from builders import preadvised as handle

from alerts import escalation
from alerts.desk import handle as unadvised
from audit.canary import notice_of
from audit.canary_round import Word
from audit.laws import answered, carried, sent
from audit.laws.answered import Answered
from audit.laws.carried import Carried, line_of
from audit.laws.reading import place_in
from audit.laws.sent import LADDER_MS, WITHIN_MS, Sent
from tocsin.model.audit import WireAnswer, WireAnswers
from tocsin.model.episode import (
    Channel,
    Due,
    Event,
    FindingCause,
    NoticeCause,
    Notification,
    Realm,
    Receipt,
    Ruling,
    Told,
    Verb,
)
from tocsin.model.episode import Sent as Message
from tocsin.model.finding import Change, Code
from tocsin.model.notice import Notice
from tocsin.model.protocol import AS_AGREED, PoliceMode

PROX = ("PROX_ALERT", "msr_1")


def opening(code: Code = Code.PROX_ALERT, **changes: Any) -> Ruling:
    ruling = handle(None, FindingCause(finding=entry(code=code, **changes)), REALM, NOW_MS)
    assert isinstance(ruling, Ruling)
    return ruling


def receipt(
    ruling: Ruling, result: str = "accepted", channel: Channel = Channel.TELEASSISTANCE, **more: Any
) -> Receipt:
    name = next(one.id for one in ruling.notifications if one.channel is channel)
    whole = {
        "notification": name, "episode": ruling.episode.id, "version": 1, "channel": channel, "attempt": 1,
        "t7_ms": NOW_MS, "t8_ms": NOW_MS + 20, "result": result, "line": "first",
    }  # fmt: skip
    return Receipt(**{**whole, **more})


def failing(endpoint: str, *, over: bool = False) -> Ruling:
    notice = Notice(
        id="ntc_1", code=Code.SYS_NOTIFY_FAIL, subject=endpoint, change=Change.ENTRY, at_ms=NOW_MS, entry="ntc_1",
        entry_ms=NOW_MS, reason="not_received",
    )  # fmt: skip
    ruling = handle(None, NoticeCause(notice=notice), REALM, NOW_MS)
    assert isinstance(ruling, Ruling)
    return (
        msgspec.structs.replace(ruling, episode=msgspec.structs.replace(ruling.episode, over_ms=NOW_MS))
        if over
        else ruling
    )


# --- sent ----------------------------------------------------------------------------------------------------


def owing(ruling: Ruling, *channels: Channel) -> Sent:
    law = Sent(frozenset(channels or {Channel.TELEASSISTANCE}))
    law.ruling(PROX, ruling, 0)
    return law


@pytest.mark.parametrize(
    "code", [Code.PROX_ALERT, Code.PROX_PREALERT, Code.W_COMMS_LOSS, Code.V_NOT_CARRIED, Code.W_BATT_LOW]
)
def test_what_nobody_takes_is_a_difference_at_the_bound_of_its_class(code: Code) -> None:
    ruling = opening(code)
    law, within_ms = owing(ruling), WITHIN_MS[ruling.episode.priority]
    assert law.differences(within_ms - 1) == []
    assert [one.about for one in law.differences(within_ms)] == [ruling.notifications[0].id]
    assert law.differences(within_ms + 1) == []


@pytest.mark.parametrize("result", ["accepted", "default_accepted", "no_endpoint", "gave_up"])
@pytest.mark.parametrize("first", ["ruling", "receipt"])
def test_what_a_receipt_settles_is_none_in_whatever_order_they_are_read(result: str, first: str) -> None:
    ruling = opening()
    law = Sent(frozenset({Channel.TELEASSISTANCE}))
    if first == "receipt":
        law.receipt(receipt(ruling, result), 0)
    law.ruling(PROX, ruling, 0)
    if first == "ruling":
        law.receipt(receipt(ruling, result), 10)
    assert law.differences(10**7) == []


@pytest.mark.parametrize("first", ["ruling", "receipt"])
@pytest.mark.parametrize("code", [Code.PROX_ALERT, Code.W_COMMS_LOSS])
def test_a_beginning_that_the_courier_calls_no_longer_told_is_a_difference(code: Code, first: str) -> None:
    """F11: a courier that finds nothing to write silences everybody, and says so in every receipt."""
    ruling = opening(code)
    for channel in {one.channel for one in ruling.notifications} - {Channel.UNIT}:
        law, one = Sent(frozenset({channel})), receipt(ruling, "no_longer_told", channel)
        steps = [lambda: law.ruling(PROX, ruling, 0), lambda: law.receipt(one, 10)]  # noqa: B023
        for step in steps if first == "ruling" else reversed(steps):
            step()
        assert len(law.differences(WITHIN_MS[ruling.episode.priority])) == 1


def ending(*, room_heard: bool) -> Ruling:
    """A room of the police is told the end; ``room_heard``: it was told the beginning, too."""
    began = (Told(room="CIC-13", sent=(Message(id="evt_begin", at_ms=NOW_MS),)),) if room_heard else ()
    ruling = opening()
    told = Notification(id="evt_end", channel=Channel.POLICE, type="org.tocsin.alert.closed", recipient="CIC-13")
    episode = msgspec.structs.replace(ruling.episode, told=began)
    return msgspec.structs.replace(ruling, episode=episode, notifications=(told,))


@pytest.mark.parametrize(("room_heard", "found"), [(True, 1), (False, 0)])
def test_only_the_end_of_what_a_room_never_heard_begin_may_be_left(room_heard: bool, found: int) -> None:
    ruling = ending(room_heard=room_heard)
    law = owing(ruling, Channel.POLICE)
    law.receipt(receipt(ruling, "no_longer_told", Channel.POLICE), 10)
    assert len(law.differences(WITHIN_MS[1])) == found


def in_production(ruling: Ruling) -> Ruling:
    return msgspec.structs.replace(ruling, episode=msgspec.structs.replace(ruling.episode, realm=Realm.PRODUCTION))


@pytest.mark.parametrize("code", [Code.PROX_ALERT, Code.W_COMMS_LOSS])
@pytest.mark.parametrize("is_said", [True, False])
def test_in_production_that_nobody_is_configured_is_a_fault_that_has_to_be_said(code: Code, is_said: bool) -> None:
    ruling = in_production(opening(code))
    law = owing(ruling)
    law.receipt(receipt(ruling, "no_endpoint", line=""), 10)
    if is_said:
        law.ruling(("SYS_NOTIFY_FAIL", "teleassistance"), failing("teleassistance"), 1_000)
    within_ms = WITHIN_MS[ruling.episode.priority]
    found = [one for one in law.differences(within_ms) if one.about == ruling.notifications[0].id]
    assert len(found) == (0 if is_said else 1)
    if is_said:
        again = law.differences(within_ms + LADDER_MS)
        assert ruling.notifications[0].id not in [one.about for one in again], "nothing more will become of it"


def test_while_nobody_looks_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sent, "KEPT_MAX", 5)
    ruling, law = opening(), Sent()
    for number in range(50):
        law.receipt(receipt(ruling, notification=f"evt_{number}"), 0)
    assert len(law._early) == 5
    for number in range(50):
        name = f"evt_{number}"
        one = msgspec.structs.replace(ruling.notifications[0], id=name)
        law.owe(msgspec.structs.replace(ruling, notifications=(one,)), 0)
        law.receipt(receipt(ruling, notification=name), 0)
    assert len(law._settled) == 5


def test_a_second_endpoint_need_not_be_there() -> None:
    ruling = in_production(opening())
    (first, *_) = ruling.notifications
    ruling = msgspec.structs.replace(ruling, notifications=(msgspec.structs.replace(first, recipient="second"),))
    law = owing(ruling, first.channel)
    law.receipt(receipt(ruling, "no_endpoint", first.channel, line=""), 10)
    assert law.differences(WITHIN_MS[1]) == []


def test_operations_that_take_it_in_her_place_settle_nothing() -> None:
    ruling = opening()
    law = owing(ruling)
    law.receipt(replace_channel(receipt(ruling), Channel.OPERATIONS), 10)
    assert len(law.differences(WITHIN_MS[1])) == 1


def replace_channel(one: Receipt, channel: Channel) -> Receipt:
    return msgspec.structs.replace(one, channel=channel)


def test_a_fault_of_its_channel_excuses_it_for_as_long_as_the_ladder_is() -> None:
    law = owing(opening())
    law.ruling(("SYS_NOTIFY_FAIL", "teleassistance-second"), failing("teleassistance-second"), 16_000)
    assert law.differences(WITHIN_MS[1]) == []
    assert len([one for one in law.differences(WITHIN_MS[1] + LADDER_MS) if one.law == sent.NAME]) >= 1


def test_a_fault_of_another_channel_or_one_that_is_long_over_excuses_nothing() -> None:
    law = owing(opening())
    law.standing(("SYS_NOTIFY_FAIL", "police-CIC-13"), failing("police-CIC-13"), 0)
    law.standing(("SYS_NOTIFY_FAIL", "teleassistance"), failing("teleassistance", over=True), 0)
    assert len(law.differences(WITHIN_MS[1])) == 1


def test_an_attempt_excuses_what_no_fault_is_said_of() -> None:
    for code, found in ((Code.W_COMMS_LOSS, 0), (Code.PROX_PREALERT, 1)):
        ruling = opening(code)
        law = owing(ruling)
        law.receipt(receipt(ruling, "status_503", t8_ms=None), 10)
        assert len(law.differences(WITHIN_MS[ruling.episode.priority])) == found


def canary(code: Code = Code.PROX_ALERT) -> Ruling:
    ruling = opening(code, measure="canary-0")
    assert ruling.episode.is_canary
    return ruling


@pytest.mark.parametrize("first", ["ruling", "receipt"])
@pytest.mark.parametrize("code", [Code.PROX_ALERT, Code.W_COMMS_LOSS])
@pytest.mark.parametrize("result", ["accepted", "status_503", "timeout", "no_endpoint"])
def test_an_invented_pair_is_owed_an_attempt_whatever_its_receiver_says(
    result: str, code: Code, first: str
) -> None:
    """F38: that its receiver is away is SYS_CANARY_FAIL, and nobody's alert."""
    ruling = canary(code)
    law, one = Sent(frozenset({Channel.TELEASSISTANCE})), receipt(ruling, result, line="canary")
    steps = [lambda: law.ruling(PROX, ruling, 0), lambda: law.receipt(one, 10)]
    for step in steps if first == "ruling" else reversed(steps):
        step()
    assert law.differences(10**8) == []


def test_an_invented_pair_that_the_courier_leaves_alone_is_a_difference() -> None:
    assert len(owing(canary()).differences(WITHIN_MS[1])) == 1


@pytest.mark.parametrize(
    ("result", "line", "found"),
    [("accepted", "first", 0), ("accepted", "canary", 1), ("status_503", "first", 1), ("no_endpoint", "", 1)],
)
def test_that_a_canary_failed_is_owed_to_humans(result: str, line: str, found: int) -> None:
    """F07: its alert is about a canary and none of a canary's; its receiver settles nothing of it."""
    notice = notice_of("canary-0", Word("sent", NOW_MS), None)
    said = handle(None, NoticeCause(notice=notice), REALM, NOW_MS)
    assert isinstance(said, Ruling)
    ruling = in_production(said)
    law = owing(ruling)
    law.receipt(receipt(ruling, result, line=line), 10)
    assert len(law.differences(WITHIN_MS[1])) == found


@pytest.mark.parametrize("first", ["ruling", "receipt"])
def test_a_person_is_not_told_by_what_the_receiver_of_canaries_took(first: str) -> None:
    ruling = opening()
    law, one = Sent(frozenset({Channel.TELEASSISTANCE})), receipt(ruling, line="canary")
    steps = [lambda: law.ruling(PROX, ruling, 0), lambda: law.receipt(one, 10)]
    for step in steps if first == "ruling" else reversed(steps):
        step()
    assert len(law.differences(WITHIN_MS[1])) == 1


# --- carried -------------------------------------------------------------------------------------------------


def wires(*answers: WireAnswer, since_ms: int = NOW_MS - 1_000, missed: int = 0) -> WireAnswers:
    return WireAnswers(since_ms=since_ms, at_ms=NOW_MS + 1_000, answers=answers, missed=missed)


def answer(one: Receipt, status: int = 200, line: str | None = None) -> WireAnswer:
    return WireAnswer(notification=one.notification, line=line or line_of(one), status=status, at_ms=NOW_MS)


def told() -> tuple[Carried, Receipt]:
    law, one = Carried(), receipt(opening())
    law.wires(wires(), 0)
    law.receipt(one, 0)
    return law, one


def test_a_delivery_that_nobody_answered_is_a_difference_once() -> None:
    law, one = told()
    assert law.differences(carried.WITHIN_MS - 1) == []
    assert [each.about for each in law.differences(carried.WITHIN_MS)] == [one.notification]
    assert law.differences(carried.WITHIN_MS) == []


@pytest.mark.parametrize("first", [True, False])
def test_one_that_was_answered_is_none(first: bool) -> None:
    law, one = Carried(), receipt(opening())
    law.wires(wires(*([answer(one)] if first else [])), 0)
    law.receipt(one, 10)
    if not first:
        law.wires(wires(answer(one)), 500)
    assert law.differences(10**6) == []


@pytest.mark.parametrize("other", [{"status": 503}, {"line": "teleassistance-second"}])
def test_another_answer_is_no_witness(other: dict[str, Any]) -> None:
    law, one = told()
    law.wires(wires(answer(one, **other)), 10)
    assert len(law.differences(carried.WITHIN_MS)) == 1


def test_a_tap_that_began_anew_or_missed_some_excuses_what_was_before() -> None:
    for said in (wires(since_ms=NOW_MS + 5), wires(missed=3)):
        law, _ = told()
        law.wires(said, 20)
        assert law.differences(10**6) == []


def test_nothing_is_asked_of_a_courier_without_a_tap_nor_of_her_unit() -> None:
    law = Carried()
    law.receipt(receipt(opening()), 0)
    assert law.differences(10**6) == []
    law, one = told()
    law.receipt(msgspec.structs.replace(one, notification="evt_x", channel=Channel.UNIT), 0)
    assert [each.about for each in law.differences(10**6)] == [one.notification]


@pytest.mark.parametrize(
    ("channel", "line", "recipient", "named"),
    [
        (Channel.TELEASSISTANCE, "first", "", "teleassistance"),
        (Channel.TELEASSISTANCE, "second", "second", "teleassistance-second"),
        (Channel.POLICE, "own", "CIC-13", "police-CIC-13"),
        (Channel.POLICE, "default", "CIC-13", "police"),
        (Channel.OPERATIONS, "operations", "", "operations"),
        (Channel.TELEASSISTANCE, "canary", "", "canary-teleassistance"),
        (Channel.POLICE, "canary", "CIC-13", "canary-police"),
    ],
)
def test_lines_are_named_as_the_tap_names_them(channel: Channel, line: str, recipient: str, named: str) -> None:
    one = msgspec.structs.replace(receipt(opening()), channel=channel, line=line, recipient=recipient)
    assert line_of(one) == named


# --- answered ------------------------------------------------------------------------------------------------


def climbing(ruling: Ruling, mode: PoliceMode = PoliceMode.AUTO_ON_TIMEOUT) -> Answered:
    law = Answered(mode)
    law.ruling(PROX, ruling, 0)
    return law


def raised(code: Code = Code.PROX_ALERT) -> Ruling:
    ruling = unadvised(None, FindingCause(finding=entry(code=code)), REALM, NOW_MS)
    assert isinstance(ruling, Ruling)
    return ruling


def then(before: Ruling, event: Event, at_ms: int) -> Ruling:
    ruling = unadvised(before.episode, event, REALM, at_ms)
    assert isinstance(ruling, Ruling), ruling
    return ruling


def test_each_hour_that_the_ladder_sets_is_asked_for_when_it_has_passed() -> None:
    """By the real ladder, rung by rung, for an hour: what is due next there is what this asks for."""
    ruling = raised()
    for _ in range(20):
        step = escalation.next_step(ruling.episode, AS_AGREED)
        assert step is not None
        due_ms = step.at_ms
        if step.kind is not escalation.Kind.HER_UNIT:
            law, left_ms = climbing(ruling), due_ms - ruling.at_ms
            assert law.differences(left_ms + answered.WITHIN_MS - 1) == []
            assert len(law.differences(left_ms + answered.WITHIN_MS)) == 1
            assert law.differences(10**9) == [], "once"
        ruling = then(ruling, Due(episode=ruling.episode.id, at_ms=due_ms), due_ms)
    assert {one.rung.value for one in ruling.episode.rungs} >= {"operators", "supervisor", "backup_site", "police"}


def test_who_has_it_is_asked_for_when_his_time_is_over_and_the_police_at_60_s() -> None:
    taken = then(raised(), act(Verb.ACKNOWLEDGE, 1, at_ms=NOW_MS + 5_000), NOW_MS + 5_000)
    law = climbing(taken)
    assert "'police'" in law.differences(55_000 + answered.WITHIN_MS)[0].detail
    law = climbing(taken, PoliceMode.OPERATOR_CONFIRMED)
    assert law.differences(120_000 + answered.WITHIN_MS - 1) == []
    assert "'expiry'" in law.differences(120_000 + answered.WITHIN_MS)[0].detail


@pytest.mark.parametrize("code", [Code.PROX_PREALERT, Code.W_BATT_LOW])
def test_what_is_less_urgent_is_not_asked_for(code: Code) -> None:
    assert climbing(raised(code)).differences(10**9) == []


def test_an_alert_of_before_is_asked_for_from_our_beginning_and_not_before() -> None:
    law = Answered(rate=2.0)
    law.ruling(PROX, raised(), 0, age_ms=500_000)
    assert law.differences(answered.WITHIN_MS - 1) == []
    assert len(law.differences(answered.WITHIN_MS)) == 1
    law.ruling(PROX, raised(), 0)
    assert law.differences(5_000 + answered.WITHIN_MS - 1) == [], "10 s of a clock that is twice as fast"
    assert len(law.differences(5_000 + answered.WITHIN_MS)) == 1


def test_a_place_is_read_from_its_subject() -> None:
    assert place_in("log.episode.ZONE_ENTRY.msr_1:school") == ("ZONE_ENTRY", "msr_1:school")
