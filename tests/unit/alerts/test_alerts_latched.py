"""What a unit says rings at once, is judged in the same alert, and a tamper ends by a human's word only.

Cited: F27 (a tamper that cleared itself was ignored), F03 (local decisions), invariants 7 and 8.
"""

from __future__ import annotations

from typing import Any

import pytest
from builders import NOW_MS, REALM, act, entry, leaving

from alerts.desk import Objection, Refused, Unchanged, handle
from alerts.dispatcher import QUEUES
from alerts.episodes import JUDGED, OPENED, RAISED
from tocsin.model.episode import AlarmCause, Channel, Episode, FindingCause, Outcome, Ruling, State, Verb
from tocsin.model.finding import Alarm, Code, Finding
from tocsin.model.fix import ClockPoints
from tocsin.ports import Entry
from tocsin.wire import decode_ruling, encode

RANG = "alm_1"
WORST_MS = NOW_MS + 50 * 60_000


def alarm(name: str = RANG, **changes: Any) -> Alarm:
    whole = {
        "id": name, "code": Code.STRAP_TAMPER, "device": "wearer-1", "measures": ("msr_1",), "at_ms": NOW_MS,
        "silent": False, "position": None, "points": ClockPoints(t1_ms=NOW_MS, t3_ms=NOW_MS + 90),
        "event": "strap_open",
    }  # fmt: skip
    return Alarm(**{**whole, **changes})


def judging(priority: int | None, name: str = "fnd_j", **changes: Any) -> Finding:
    whole = {"code": Code.STRAP_TAMPER, "alarm": RANG, "priority": priority, "blind_worst_ms": WORST_MS,
             "low_confidence": False}  # fmt: skip
    return entry(name, **{**whole, **changes})


def told(episode: Episode | None, cause: Finding | Alarm, now_ms: int = NOW_MS) -> Ruling:
    event = FindingCause(finding=cause) if isinstance(cause, Finding) else AlarmCause(alarm=cause)
    answer = handle(episode, event, REALM, now_ms)
    assert isinstance(answer, Ruling), answer
    return decode_ruling(encode(answer))


def kinds(ruling: Ruling) -> list[tuple[str, str]]:
    return [(one.channel.value, one.type) for one in ruling.notifications]


def owned(episode: Episode) -> Episode:
    taken = handle(episode, act(Verb.ACKNOWLEDGE, episode.version, episode=episode.id), REALM, NOW_MS)
    assert isinstance(taken, Ruling)
    return taken.episode


def closing(episode: Episode, **more: Any) -> Any:
    said = act(Verb.CLOSE, episode.version, episode=episode.id, outcome=Outcome.TECHNICAL, **more)
    return handle(episode, said, REALM, NOW_MS)


# --- judged ----------------------------------------------------------------------------------------------------


def test_it_rings_at_once_at_its_worst() -> None:
    ruling = told(None, alarm(local=True))
    assert (ruling.episode.priority, ruling.episode.subject, ruling.reason) == (1, "msr_1", "opened")
    assert (ruling.episode.raises[0].event, ruling.episode.raises[0].local) == ("strap_open", True)
    assert kinds(ruling) == [(Channel.TELEASSISTANCE.value, OPENED)]


@pytest.mark.parametrize(("priority", "reason", "kind"), [(1, "confirmed", []), (2, "lowered", [JUDGED])])
def test_the_finding_of_the_same_cause_judges_it_in_the_same_alert(
    priority: int, reason: str, kind: list[str]
) -> None:
    rang = told(None, alarm()).episode
    ruling = told(rang, judging(priority), NOW_MS + 400)
    after = ruling.episode
    assert (after.id, after.priority, ruling.reason) == (rang.id, priority, reason)
    assert [one for _, one in kinds(ruling)] == kind, "lowered, and never silently"
    (raising,) = after.raises
    assert (raising.cause, raising.judged, raising.event) == (RANG, "fnd_j", "strap_open")
    assert raising.points == rang.raises[0].points, "the hours are those of the ringing"
    assert (raising.blind_worst_ms, raising.distance_dm) == (WORST_MS, 9_407)


@pytest.mark.parametrize("first", ["alarm", "finding"])
def test_whichever_comes_first_it_is_one_alert_of_one_priority(first: str) -> None:
    causes: list[Finding | Alarm] = [alarm(), judging(2)]
    if first == "alarm":
        after = told(told(None, causes[0]).episode, causes[1]).episode
    else:
        after = told(None, causes[1]).episode
        late = handle(after, AlarmCause(alarm=alarm()), REALM, NOW_MS + 1)
        assert late == Unchanged(reason="applied_before", episode=after)
    assert (after.priority, len(after.raises), after.is_open) == (2, 1, True)
    assert {RANG, "fnd_j"} <= set(after.causes)


def test_what_becomes_urgent_by_the_hour_is_raised_again() -> None:
    lowered = told(told(None, alarm()).episode, judging(2)).episode
    ruling = told(lowered, judging(1, "fnd_worse", alarm=None, entry="fnd_j", at_ms=NOW_MS + 20 * 60_000))
    assert (ruling.episode.priority, ruling.reason, kinds(ruling)[0][1]) == (1, "raised_again", RAISED)


def test_what_was_closed_as_p2_and_becomes_p1_is_told_anew() -> None:
    """A human has closed what was hours away; nobody looked at the device, and it goes on."""
    apart = entry("fnd_apart", code=Code.SEPARATION, priority=2)
    gone = closing(owned(told(None, apart).episode)).episode
    hours_ms = NOW_MS + 3 * 3_600_000
    worse = entry(
        "fnd_worse", hours_ms, code=Code.SEPARATION, priority=1, entry=apart.id, entry_ms=NOW_MS,
        reason="blind_risk_soon",
    )  # fmt: skip
    ruling = told(gone, worse, hours_ms)
    assert (ruling.reason, ruling.episode.priority, ruling.episode.follows) == ("opened", 1, gone.id)
    assert kinds(ruling) == [(Channel.TELEASSISTANCE.value, OPENED)]
    again = handle(ruling.episode, FindingCause(finding=worse), REALM, hours_ms)
    assert again == Unchanged(reason="applied_before", episode=ruling.episode), (
        "once, however often it is delivered"
    )
    ended = told(ruling.episode, leaving(apart, after_s=4 * 3_600), hours_ms)
    assert ended.episode.over_ms == NOW_MS + 4 * 3_600_000, "the end names what began hours ago"


def test_f27_and_not_once_the_device_was_inspected() -> None:
    lowered = owned(told(told(None, alarm()).episode, judging(2)).episode)
    gone = closing(lowered, inspected=True).episode
    worse = judging(1, "fnd_worse", alarm=None, entry="fnd_j", at_ms=NOW_MS + 20 * 60_000)
    answer = handle(gone, FindingCause(finding=worse), REALM, NOW_MS)
    assert answer == Unchanged(reason="closed_before_it_worsened", episode=gone)


def test_another_opening_raises_it_again_at_its_worst() -> None:
    lowered = told(told(None, alarm()).episode, judging(2)).episode
    again = told(lowered, alarm("alm_2", at_ms=NOW_MS + 60_000))
    assert (again.episode.id, again.episode.priority, again.reason) == (lowered.id, 1, "raised_again")
    assert told(again.episode, judging(2, "fnd_j2", alarm="alm_2")).episode.priority == 2


# --- latched ---------------------------------------------------------------------------------------------------


def test_f27_no_finding_ends_a_tamper() -> None:
    rang = told(None, alarm()).episode
    end = leaving(judging(None))
    assert handle(rang, FindingCause(finding=end), REALM, NOW_MS) == Unchanged(reason="latched", episode=rang)


def test_f27_it_is_closed_only_once_the_device_was_inspected() -> None:
    mine = owned(told(None, alarm()).episode)
    refused = closing(mine)
    assert refused == Refused(objection=Objection.NOT_INSPECTED, episode=mine)
    done = closing(mine, inspected=True)
    assert (done.episode.state, done.episode.inspected) == (State.CLOSED, True)


def test_another_alert_needs_no_inspection() -> None:
    near = owned(told(None, alarm(code=Code.RF_PROXIMITY, event="rf_proximity")).episode)
    assert closing(near).episode.state is State.CLOSED


# --- one for each measure --------------------------------------------------------------------------------------


def test_an_alarm_of_a_wearer_is_about_each_of_his_measures() -> None:
    (keys,) = (one for one in QUEUES if one.name == "dispatcher-alarms")

    def places(cause: Alarm) -> list[tuple[str, str]]:
        payload = encode(cause)
        entry_ = Entry(subject="log.alarm.wearer-1", payload=payload, sequence=1)
        return [(code, subject) for code, subject, _ in keys.read(entry_)]

    both = alarm(measures=("msr_1", "msr_2"))
    assert places(both) == [("STRAP_TAMPER", "msr_1"), ("STRAP_TAMPER", "msr_2")]
    assert places(alarm(measures=())) == [("STRAP_TAMPER", "wearer-1")]
    assert places(alarm(code=Code.BAR_SOS, event="")) == [("BAR_SOS", "wearer-1")]
