"""Does the law 'ruled' agree with the desk whenever the desk is right, and differ whenever it leaves one out? F02.

The real desk rules on whatever comes, in any order and however often; the law hears only of what came and of the
rulings. Its reading is its own, so this is where two programs meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from builders import NOW_MS, PROTECTED, REALM, WEARER, entry, fix_point, leaving, press
from hypothesis import given
from hypothesis import strategies as st

from alerts import desk
from alerts.dispatcher import _alarm_event
from alerts.episodes import place_of
from audit.laws import reading
from audit.laws.reading import Place
from audit.laws.ruled import LATE_MS, LEFT_OUT_MS, MOVING_MS, PROOF_WITHIN_MS, WITHIN_MS, Ruled
from tocsin.model.episode import (
    Act,
    Episode,
    Event,
    FindingCause,
    NoticeCause,
    Outcome,
    Ruling,
    State,
    Verb,
)
from tocsin.model.finding import Alarm, Change, Code, Finding, Past
from tocsin.model.notice import Notice
from tocsin.ports import Entry
from tocsin.wire import encode

Cause = Finding | Alarm | Notice


def notice(name: str, code: Code, **changes: Any) -> Notice:
    whole = {
        "id": name, "code": code, "subject": "it", "change": Change.ENTRY, "at_ms": NOW_MS, "entry": name,
        "entry_ms": NOW_MS, "reason": "said",
    }  # fmt: skip
    return Notice(**{**whole, **changes})


IN = entry("fnd_a")
B = entry("fnd_b", NOW_MS + 5_000)
changed = msgspec.structs.replace
TAMPER = press("alm_strap", code=Code.STRAP_TAMPER, measures=("msr_1", "msr_2"), event="strap_open")
CUT = entry("fnd_strap", code=Code.STRAP_TAMPER, alarm="alm_strap", priority=2)
FAULT = notice("ntc_a", Code.SYS_CLOCK)
VISIT = Past(
    first_ms=NOW_MS - 90_000,
    last_ms=NOW_MS - 60_000,
    nearest_ms=NOW_MS - 70_000,
    wearer=fix_point(WEARER),
    protected=fix_point(PROTECTED),
    late=(),
)
PAST = entry("fnd_past", code=Code.PAST_INCURSION, past=VISIT)

CAUSES: Sequence[Cause] = (
    IN, leaving(IN, "fnd_a_out"), B, leaving(B, "fnd_b_out"),
    entry("fnd_allowed", authorised=True), leaving(entry("fnd_allowed", authorised=True), "fnd_allowed_out"),
    entry("fnd_proof", code=Code.EVIDENTIAL_BREACH),
    entry("fnd_proof_allowed", code=Code.EVIDENTIAL_BREACH, authorised=True),
    entry("fnd_unsure", code=Code.UNCERTAIN), entry("fnd_zone", code=Code.ZONE_ENTRY, zone="school"),
    TAMPER, CUT, entry("fnd_strap_worse", code=Code.STRAP_TAMPER, entry="fnd_strap", priority=1),
    leaving(CUT, "fnd_strap_out"), press("alm_key"),
    press("alm_silent", code=Code.TGD_SOS, measures=(), silent=True),
    PAST, entry("fnd_past_better", code=Code.PAST_INCURSION, past=changed(VISIT, supersedes=("fnd_past",))),
    entry("fnd_correction", code=Code.PAST_INCURSION, past=changed(VISIT, corrects="fnd_a")),
    FAULT, notice("ntc_a_out", Code.SYS_CLOCK, change=Change.EXIT, entry="ntc_a"),
    notice("ntc_test", Code.TGD_TEST_OK),
    notice("ntc_test_out", Code.TGD_TEST_OK, change=Change.EXIT, entry="ntc_test"),
    changed(leaving(IN, "fnd_through"), entry="fnd_through"),
)  # fmt: skip
CLOSE = "close"
Step = Cause | str


class Site:
    """The desk, and the law beside it. ``dropped``: causes that the desk was never asked about."""

    def __init__(self) -> None:
        self.law = Ruled()
        self.places: dict[Place, Episode] = {}
        self.now_ms = NOW_MS
        self.heard_ms = 0
        self.sequence = 0

    def happens(self, cause: Cause, *, dropped: bool = False) -> bool:
        """Whether the desk would rule on it, or has; a proof that waits is neither."""
        self.sequence += 1
        for one in awaited(cause, self.sequence):
            self.law.await_(one, self.heard_ms)
        ruled = [self._ruled(place, event, dropped) for place, event in events(cause)]  # each of them
        return any(ruled)

    def _ruled(self, place: Place, event: Event, dropped: bool) -> bool:
        self.now_ms += 10
        answer = desk.handle(self.places.get(place), event, REALM, self.now_ms)
        if isinstance(answer, Ruling) and not dropped:
            self.places[place] = answer.episode
            self.law.ruling(place, answer, self.heard_ms)
        return isinstance(answer, Ruling)

    def close_all(self) -> None:
        """Humans, one place after the other."""
        for place, episode in list(self.places.items()):
            if episode.state not in {State.CLOSED, State.FOLDED}:
                took = self._acted(place, episode, Verb.ACKNOWLEDGE)
                self._acted(place, took, Verb.CLOSE, outcome=Outcome.TECHNICAL, inspected=True)

    def _acted(self, place: Place, episode: Episode, verb: Verb, **said: Any) -> Episode:
        act = Act(
            verb=verb, episode=episode.id, actor="A. Martin", at_ms=self.now_ms, expected_version=episode.version,
            **said,
        )  # fmt: skip
        answer = desk.handle(episode, act, REALM, self.now_ms)
        assert isinstance(answer, Ruling), answer
        self.places[place] = answer.episode
        self.law.ruling(place, answer, self.heard_ms)
        return answer.episode

    def differs(self, after_ms: int = PROOF_WITHIN_MS) -> list[str]:
        return [one.about for one in self.law.differences(self.heard_ms + after_ms)]


def awaited(cause: Cause, sequence: int) -> list[reading.Awaited]:
    match cause:
        case Alarm():
            return reading.of_alarm(cause, sequence)
        case Finding():
            found = reading.of_finding(cause, sequence)
        case Notice():
            found = reading.of_notice(cause, sequence)
    return [] if found is None else [found]


def events(cause: Cause) -> list[tuple[Place, Event]]:
    """As the dispatcher places them."""
    if isinstance(cause, Finding):
        if cause.code is Code.UNCERTAIN:
            return []
        placed = place_of(cause)
        return [((placed[0].value, placed[1]), FindingCause(finding=cause))]
    if isinstance(cause, Notice):
        return [((cause.code.value, cause.subject), NoticeCause(notice=cause))]
    entry_ = Entry(subject="log.alarm.x", payload=encode(cause), sequence=1)
    return [
        ((str(code.value if isinstance(code, Code) else code), name), event)
        for code, name, event in _alarm_event(entry_)
    ]


STEPS = st.lists(st.sampled_from([*CAUSES, CLOSE]), min_size=1, max_size=14)


@given(STEPS)
def test_whatever_comes_in_whatever_order_a_desk_that_is_asked_of_everything_agrees(steps: list[Step]) -> None:
    site = Site()
    _play(site, steps)
    # A proof that came before its entry is tried again by the queue.
    for step in steps:
        if isinstance(step, Finding) and step.code is Code.EVIDENTIAL_BREACH:
            site.happens(step)
    assert site.differs() == []


@given(STEPS, st.sampled_from(CAUSES))
def test_one_that_is_left_out_is_a_difference_if_the_desk_would_have_ruled_on_it(
    steps: list[Step], last: Cause
) -> None:
    site = Site()
    _play(site, [step for step in steps if step is not last])
    is_asked = bool(awaited(last, 0))
    would_rule = site.happens(last, dropped=True)
    differs = last.id in site.differs()
    assert not differs or (is_asked and would_rule)
    if is_asked and would_rule and not _may_have_been_closed(last, steps):
        assert differs


def _may_have_been_closed(last: Cause, steps: list[Step]) -> bool:
    """What ends, judges or worsens an episode that was closed at some time: when it came, it may have been."""
    begins = isinstance(last, Alarm) or (last.entry == last.id and getattr(last, "alarm", None) is None)
    closes = any(step == CLOSE or getattr(step, "authorised", False) for step in steps)
    return (not begins and closes) or getattr(last, "code", None) in {Code.EVIDENTIAL_BREACH, Code.TGD_TEST_OK}


def _play(site: Site, steps: list[Step]) -> None:
    for step in steps:
        if isinstance(step, str):
            site.close_all()
        else:
            site.happens(step)


# --- patience ------------------------------------------------------------------------------------------------


def waiting(many: int, code: Code = Code.W_COMMS_LOSS) -> Site:
    site = Site()
    for number in range(many):
        site.happens(entry(f"fnd_{number}", measure=f"msr_{number}", code=code), dropped=True)
    return site


@pytest.mark.parametrize("code", [Code.PROX_ALERT, Code.W_BATT_LOW])
def test_a_difference_is_said_once_when_its_time_has_come(code: Code) -> None:
    site = waiting(1, code)
    assert site.differs(WITHIN_MS - 1) == []
    assert site.differs(WITHIN_MS) == ["fnd_0"]
    assert site.differs(WITHIN_MS + 1) == []


RESTART_MS = 6_000
"""From the death of a dispatcher to the first ruling of the next, on a machine with other things to do."""


@pytest.mark.parametrize("code", [Code.PROX_ALERT, Code.W_COMMS_LOSS])
def test_a_dispatcher_that_is_started_anew_is_no_difference(code: Code) -> None:
    site = waiting(20, code)
    for after_ms in range(0, RESTART_MS, 500):
        assert site.differs(after_ms) == []
    site.heard_ms = RESTART_MS
    for number in range(20):
        ruled = FindingCause(finding=entry(f"fnd_{number}", measure=f"msr_{number}", code=code))
        site._ruled((code.value, f"msr_{number}"), ruled, dropped=False)
    assert site.differs() == []


def test_what_is_overtaken_is_said_before_its_time() -> None:
    """A finding that was dropped, among others that are ruled upon: in whole looks within 10 s."""
    site = waiting(1, Code.PROX_ALERT)
    site.heard_ms = LEFT_OUT_MS - MOVING_MS
    site.happens(entry("fnd_next", measure="msr_next"))
    site.heard_ms = 0
    assert site.differs(LEFT_OUT_MS - 1) == []
    assert site.differs(LEFT_OUT_MS) == ["fnd_0"]


def test_a_desk_that_is_behind_and_goes_on_is_no_difference_and_one_that_stands_is() -> None:
    site = waiting(400)
    site.heard_ms = WITHIN_MS - 500
    ruled = FindingCause(finding=entry("fnd_0", measure="msr_0", code=Code.W_COMMS_LOSS))
    site._ruled((Code.W_COMMS_LOSS.value, "msr_0"), ruled, dropped=False)
    site.heard_ms = 0
    assert site.differs(WITHIN_MS) == []
    assert len(site.differs(LATE_MS)) == 399


def test_what_was_overtaken_is_a_difference_even_then() -> None:
    site = waiting(400)
    site.heard_ms = 1_000
    ruled = FindingCause(finding=entry("fnd_7", measure="msr_7", code=Code.W_COMMS_LOSS))
    site._ruled((Code.W_COMMS_LOSS.value, "msr_7"), ruled, dropped=False)
    site.heard_ms = WITHIN_MS - 500
    site._ruled(("PROX_ALERT", "msr_1"), FindingCause(finding=IN), dropped=False)  # it goes on ruling
    site.heard_ms = 0
    assert site.differs(WITHIN_MS) == [f"fnd_{number}" for number in range(7)]


def test_a_ruling_may_be_read_before_what_it_is_about() -> None:
    site = Site()
    site._ruled(("PROX_ALERT", "msr_1"), FindingCause(finding=IN), dropped=False)
    site.law.await_(awaited(IN, 1)[0], 10)
    assert site.differs() == []


def test_while_nobody_looks_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.laws.ruled.RECENT_MAX", 5)
    site = Site()
    for number in range(50):
        site.happens(entry(f"fnd_{number}", measure=f"msr_{number}"))
    assert len(site.law._recent) == 5
    assert site.differs() == [], "the ruling was there when it was found"


def test_our_own_word_is_not_asked_for() -> None:
    assert reading.of_notice(notice("ntc_audit", Code.SYS_AUDIT), 1) is None
