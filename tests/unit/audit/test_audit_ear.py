"""Does the ear name what is missing, and only that? Outages, restarts, repetitions are no difference.

F10 (nobody could show that nothing was lost), DOMAIN section 5. Its own reading is held against that of ingest.
"""

from __future__ import annotations

from typing import Any

import pytest
from builders import (
    DEVICES,
    NOW_MS,
    NOW_S,
    PROTECTED,
    TGD,
    WEARER,
    bulk,
    event,
    known,
    location,
    message,
    point,
    sos,
)
from builders import topic as topic_of

from audit import ear as ears
from audit.ear import ALARM_KNOWN_MS, NAMED_MAX, PATIENCE_MS, WAIT_MAX_MS, Ear
from audit.ear_reading import Ringing, Row, due
from ingest.admission import admit, admit_alarm
from ingest.admitted import AdmittedEvent, AdmittedFix
from tocsin.limits import SEQ_WINDOW, STRAGGLER_MAX_S
from tocsin.model.finding import Alarm
from tocsin.model.tally import Account, Tally

SECOND_MS = 1_000

PRESS = sos()


def read(payload: bytes, leaf: str = "loc", device: str = WEARER) -> list[Row | Ringing]:
    return due(topic_of(device, leaf), leaf, payload, DEVICES[device], NOW_MS)


def tally(
    at_ms: int, taken: int = 0, in_hand: int = 0, listening_ms: int = NOW_MS - 60_000, **changes: Any
) -> Tally:
    account = Account(taken=taken, outcomes=changes.pop("outcomes", {}), in_hand=in_hand)
    whole = {"part": "fixes", "life": "a", "at_ms": at_ms, "accounts": {"messages": account}, **changes}
    return Tally(listening_ms=listening_ms, **whole)


class World:
    """An ear, and ingest and the log as it hears of them, second by second."""

    def __init__(self) -> None:
        self.ear = Ear(NOW_MS - 60_000)
        self.now_ms = NOW_MS
        self.ingest: dict[str, Any] | None = {}
        self.log = True

    def says(self, *seqs: int, device: str = WEARER) -> None:
        for seq in seqs:
            self.ear.heard(read(location(seq=seq), device=device), self.now_ms)

    def writes(self, *seqs: int, device: str = WEARER) -> None:
        self.ear.rows([(DEVICES[device].number, 1, seq, NOW_MS) for seq in seqs], self.now_ms)

    def passes(self, seconds: int) -> list[str]:
        """What the ear has said in this time."""
        said = []
        for _ in range(seconds):
            self.now_ms += SECOND_MS
            if not self.log:
                self.ear.away(self.now_ms)
            else:
                for stream in ("FIXES", "LATE", "ALARMS"):
                    self.ear.read_up_to_the_end_of(stream, self.now_ms)
                if self.ingest is not None:
                    for part in ("fixes", "alarms-1"):
                        self.ear.tallied(tally(self.now_ms, part=part, **self.ingest), self.now_ms)
            said += [one.detail for one in self.ear.differences(self.now_ms)]
        return said


@pytest.fixture
def world() -> World:
    return World()


LOST = "wearer-1 said seq 1; it is not on FIXES nor LATE."


# --- what is missing -----------------------------------------------------------------------------------------


def test_what_is_on_the_log_agrees_whichever_came_first(world: World) -> None:
    world.says(1)
    world.writes(1, 2)
    world.says(2)
    assert world.passes(60) == []
    assert world.ear.waiting == 0


def test_a_lost_fix_is_named_within_ten_seconds_by_device_and_number(world: World) -> None:
    world.says(1)
    assert world.passes(PATIENCE_MS // SECOND_MS - 1) == []
    assert world.passes(5) == [LOST]
    assert world.passes(60) == [], "and once"


def test_of_a_busy_lane_too_when_it_has_been_overtaken(world: World) -> None:
    world.says(1)
    said = []
    for second in range(10):
        world.ingest = {"taken": second, "in_hand": 3}
        said += world.passes(1)
        world.says(10 + second)
        world.writes(10 + second)
    assert said == [LOST]


def test_a_lost_press_is_named(world: World) -> None:
    world.ear.heard(read(PRESS, "sos", PROTECTED), world.now_ms)
    assert world.passes(10) == ["protected-1 said seq 1; it is not on ALARMS."]


def test_a_press_without_numbers_is_answered_by_any_alarm_of_its_unit(world: World) -> None:
    world.ear.heard(read(b"help", "sos", PROTECTED), world.now_ms)
    world.ear.alarm("alm_x", PROTECTED, world.now_ms)
    assert world.passes(10) == []
    world.now_ms += 10 * SECOND_MS
    world.ear.heard(read(b"help", "sos", PROTECTED), world.now_ms)
    world.ear.alarm("alm_y", TGD, world.now_ms)
    assert world.passes(10) == ["protected-1 said without a number; it is not on ALARMS."]


def presses(world: World, words: bytes, *, written: str | None = None) -> None:
    world.ear.heard(read(words, "sos", PROTECTED), world.now_ms)
    if written is not None:
        world.ear.alarm(written, PROTECTED, world.now_ms)


def test_a_key_that_is_held_is_on_the_log_once_in_ten_seconds(world: World) -> None:
    """Ingest names what has no number by its words and ten seconds, and the log keeps a name once."""
    presses(world, b"help", written="alm_x")
    for _ in range(2):
        assert world.passes(5) == []
        presses(world, b"help")
    assert world.passes(30) == []


def test_a_slot_of_ten_seconds_that_begins_under_a_held_key(world: World) -> None:
    presses(world, b"help", written="alm_x")
    assert world.passes(10) == []
    presses(world, b"help", written="alm_y")
    assert world.passes(9) == []
    presses(world, b"help")
    assert world.passes(30) == []


@pytest.mark.parametrize(("words", "after_s"), [(b"help!", 5), (b"help", 12)])
def test_other_words_or_later_ones_have_to_be_there(world: World, words: bytes, after_s: int) -> None:
    presses(world, b"help", written="alm_x")
    assert world.passes(after_s) == []
    presses(world, words)
    assert world.passes(10) == ["protected-1 said without a number; it is not on ALARMS."]


def test_many_missing_are_counted_and_some_are_named(world: World) -> None:
    world.says(*range(NAMED_MAX + 5))
    said = world.passes(10)
    assert len(said) == NAMED_MAX + 1
    assert said[-1] == "5 more messages of units are not on the log."


# --- what is no difference -----------------------------------------------------------------------------------


def test_a_repetition_is_known_from_the_log(world: World) -> None:
    """Within the window that ingest knows it by, an hour later too."""
    world.writes(*range(1, SEQ_WINDOW + 1))
    world.passes(100)
    world.says(1, SEQ_WINDOW)
    assert world.passes(30) == []


def test_the_same_number_with_another_hour_is_another_fix(world: World) -> None:
    world.writes(1)
    world.passes(100)
    world.ear.heard(read(location(seq=1, tst=NOW_S + 1)), world.now_ms)
    assert len(world.passes(10)) == 1


def test_a_repeated_press_is_on_the_log_once(world: World) -> None:
    for _ in range(2):
        (ringing,) = read(PRESS, "sos", PROTECTED)
        assert isinstance(ringing, Ringing)
        world.ear.heard([ringing], world.now_ms)
        world.ear.alarm(str(ringing.id), PROTECTED, world.now_ms)
    world.passes(60)
    world.ear.heard([ringing], world.now_ms)
    assert world.passes(30) == []
    assert ALARM_KNOWN_MS > 120 * SECOND_MS, "the log's memory of names"


def test_what_was_measured_before_the_ear_listened_may_be_a_repetition_of_what_it_never_read(world: World) -> None:
    world.ear.heard(read(location(tst=NOW_S - 61)), world.now_ms)
    assert world.ear.waiting == 0


def test_the_log_away_for_minutes_is_no_loss(world: World) -> None:
    world.says(1)
    world.log = False
    assert world.passes(600) == []
    world.log, world.ingest = True, {"taken": 5, "in_hand": 5}
    assert world.passes(10) == [], "it is back, and ingest still writes"
    world.writes(1)
    assert world.passes(60) == []


def test_ingest_restarted_has_the_time_in_which_a_broker_repeats(world: World) -> None:
    """The dead one had it in hand: the embedded broker gives it out again after 10 s."""
    world.says(1)
    world.ingest = {"listening_ms": world.now_ms + 2 * SECOND_MS, "life": "b"}
    assert world.passes(STRAGGLER_MAX_S) == []
    world.writes(1)
    assert world.passes(60) == []


def test_what_ingest_never_had_again_after_a_restart_is_missing(world: World) -> None:
    world.says(1)
    world.ingest = {"listening_ms": world.now_ms + 2 * SECOND_MS, "life": "b"}
    assert world.passes(STRAGGLER_MAX_S + 5) == [LOST]


@pytest.mark.parametrize("ingest", [None, {"listening_ms": 0}, {"taken": 5, "in_hand": 5}])
def test_ingest_away_or_stuck_is_said_after_a_minute(world: World, ingest: dict[str, Any] | None) -> None:
    world.says(1)
    world.ingest = ingest
    assert world.passes(WAIT_MAX_MS // SECOND_MS - 2) == []
    assert world.passes(5) == [LOST]


def test_a_backlog_that_is_worked_off_is_late_and_not_lost(world: World) -> None:
    """Two minutes of messages in order, the last one of which is two minutes late."""
    world.ingest = {"taken": 1, "in_hand": 9}
    world.says(*range(120))
    said = world.passes(30)
    for seq in range(120):
        world.writes(seq)
        said += world.passes(1)
    assert said == []


def test_a_reader_of_the_log_that_is_behind_judges_nothing(world: World) -> None:
    world.says(1)
    world.ear.read_up_to_the_end_of("LATE", world.now_ms)
    for second in range(1, 120):
        now_ms = world.now_ms + second * SECOND_MS
        world.ear.tallied(tally(now_ms), now_ms)
        world.ear.read_up_to_the_end_of("FIXES", now_ms)
        assert world.ear.differences(now_ms) == []


def test_a_cut_session_forgets_what_it_could_not_follow(world: World) -> None:
    world.says(1, 2)
    world.ear.forget(world.now_ms)
    assert world.passes(120) == []


def test_messages_shed_by_ingest_are_counted_there(world: World) -> None:
    world.passes(1)
    world.says(1)
    world.ingest = {"taken": 1, "outcomes": {"dropped_qos_0": 1}}
    assert world.passes(120) == []


def test_a_device_that_was_changed_is_not_judged_by_what_it_was(world: World) -> None:
    world.says(1)
    world.ear.forget_device(WEARER)
    assert world.passes(120) == []


def test_what_is_expected_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ears, "EXPECTED_MAX", 10)
    world.says(*range(11))
    assert world.ear.waiting == 0
    assert world.passes(120) == []


def test_what_is_read_and_never_heard_is_not_remembered_for_ever(world: World) -> None:
    world.writes(*range(1_000))
    world.passes(120)
    assert not world.ear._lanes[ears.FIX].recent


# --- its own reading, against ingest's -----------------------------------------------------------------------

SAID = {
    "loc": [
        location(), location(ms=999), location(batt=40, strap="open", case="closed", perm="denied", pair=3),
        location(vel=12.5, cog=359, src="gnss", topic=topic_of(), tid="xy"), location(tst=NOW_S - 3_600),
        location(tst=NOW_S + 250), location(acc=None, created_at=None),
    ],
    "bulk": [bulk(point(seq=7), point(seq=8, tst=NOW_S - 9_000)), bulk(point(seq=9), created_ms=5)],
    "evt": [event(one) for one in ("strap_open", "case_open", "rf_proximity", "boot", "separation", "fall")]
    + [event("strap_open", local=True, ms=3), event("jamming", batt=3)],
    "sos": [sos(), sos(ms=5), sos(acc=-1), sos(lat=None, lon=None), sos(topic="elsewhere"), b"?", sos(seq=None)],
}  # fmt: skip
NOT_JUDGED = {
    "loc": [
        b"", b"[]", b"\xff", b'{"_type":"location"}', location(lat=91), location(acc=-1), location(seq=-1),
        location(seq=2**63), location(seq=True), location(boot=None), location(topic="tocsin/1/other/loc"),
        location(tst=NOW_S + 400), location(tst=NOW_S - 40 * 86_400), location(batt=101), location(strap="ajar"),
        location(unheard_of=1), location(_type="sos"), location().replace(b"43.2", b"NaN, \"x\": 43.2"),
    ],
    "bulk": [bulk(), bulk(point(lat=99)), bulk(*[point()] * 721)],
    "evt": [event("self_test"), event("no_such"), event("boot", tst=NOW_S + 400), event("boot", topic="x")],
    "state": [b"{}"],
}  # fmt: skip


@pytest.mark.parametrize(("leaf", "payload"), [(leaf, one) for leaf, some in SAID.items() for one in some])
@pytest.mark.parametrize("device", list(DEVICES))
def test_what_the_ear_expects_is_what_ingest_makes_of_it(leaf: str, payload: bytes, device: str) -> None:
    found = message(payload, topic_of(device, leaf))
    ringing = admit_alarm(found, known(), NOW_MS) if leaf in {"sos", "evt"} else None
    admitted = [] if leaf == "sos" else admit(found, known(), NOW_MS)
    rows = [
        (DEVICES[device].number, one.boot, one.seq, one.fix_ms if isinstance(one, AdmittedFix) else one.at_ms)
        for one in admitted
        if isinstance(one, AdmittedFix | AdmittedEvent)
    ]
    expected = read(payload, leaf, device)
    assert [one.key for one in expected if isinstance(one, Row)] == rows
    rings = [one for one in expected if isinstance(one, Ringing)]
    assert len(rings) == isinstance(ringing, Alarm)
    assert all(one.id in {None, ringing.id} for one in rings if isinstance(ringing, Alarm))


@pytest.mark.parametrize(("leaf", "payload"), [(leaf, one) for leaf, some in NOT_JUDGED.items() for one in some])
def test_what_leaves_a_doubt_is_left_to_the_counters(leaf: str, payload: bytes) -> None:
    assert read(payload, leaf) == []


def test_a_tgd_is_judged_by_its_key_alone() -> None:
    assert read(location(), device=TGD) == []
    assert len(read(PRESS, "sos", TGD)) == 1


def test_no_place_is_held() -> None:
    world = World()
    world.says(1)
    assert "43.29" not in repr(world.ear._lanes)
