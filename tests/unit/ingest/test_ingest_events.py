"""What a unit says has happened to it, and what it says of itself: what enters, what rings, what is refused.

Cited: F03 (``local``), F31 (repeated, old and forged messages), F37; ARCHITECTURE A3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from builders import (
    DEVICES,
    NOW_MS,
    NOW_S,
    PROTECTED,
    TGD,
    WEARER,
    event,
    known,
    location,
    message,
    sos,
    status,
    topic,
)

from geofence.devices import Verdict
from geofence.findings import report_of, taken_of
from geofence.motion import Mover
from ingest.admission import (
    Admission,
    AdmittedEvent,
    AdmittedFix,
    Duplicate,
    Heard,
    OtherLane,
    Presence,
    admit,
    admit_alarm,
)
from ingest.dialects.reports import Reason, Refusal
from ingest.known import Known
from ingest.listener import _remember
from tocsin.limits import FIX_FUTURE_MAX_S, FIX_PAST_MAX_S, LATE_AFTER_S, PAYLOAD_MAX_BYTES
from tocsin.model.finding import Alarm, Code
from tocsin.model.fix import ABSENT, FIX_DTYPE, PAIR_S1_MAX, DeviceEvent, FixFlag, Tell
from tocsin.subjects import partition_of

NAMES = [
    one.name.lower() for one in DeviceEvent if one not in {DeviceEvent.NONE, DeviceEvent.SELF_TEST}
]  # the test is a TGD's: test_ingest_signs
OF_A_TAG = {"strap_open", "strap_closed", "separation", "separation_end"}
RINGS = {"strap_open": Code.STRAP_TAMPER, "case_open": Code.STRAP_TAMPER, "rf_proximity": Code.RF_PROXIMITY}


def heard(payload: bytes, device: str = WEARER, world: Known | None = None, leaf: str = "evt") -> Admission:
    (one,) = admit(message(payload, topic(device, leaf)), world or known(), NOW_MS)
    return one


def rung(payload: bytes, device: str = WEARER) -> Alarm | OtherLane | Refusal:
    return admit_alarm(message(payload, topic(device, "evt")), known(), NOW_MS)


def row(admission: Any) -> np.void:
    return np.array([admission.copies[0][1]], FIX_DTYPE)[0]


# --- the row ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_event_enters_as_a_row_without_a_place(name: str) -> None:
    answer = heard(event(name, ms=250, seq=9, boot=3, batt=7, strap="open", case="closed", perm="denied", pair=61))
    assert isinstance(answer, AdmittedEvent)
    ((partition, _),) = answer.copies
    assert partition == partition_of("msr_1", 2)
    kept = row(answer)
    assert {one: kept[one].item() for one in FIX_DTYPE.names or () if one != "spare"} == {
        "device": DEVICES[WEARER].number, "boot": 3, "seq": 9, "fix_ms": NOW_MS + 250, "sent_ms": ABSENT,
        "t3_ms": NOW_MS, "t4_ms": NOW_MS, "lat_e6": 0, "lon_e6": 0, "accuracy_dm": ABSENT, "speed_cms": ABSENT,
        "course_ddeg": ABSENT, "flags": FixFlag.PRESENCE, "source": 0, "battery_pct": 7, "primary": 0,
        "event": DeviceEvent[name.upper()], "pair_s1": 62, "telemetry": 1, "strap": Tell.BROKEN,
        "case": Tell.WELL, "permission": Tell.BROKEN,
    }  # fmt: skip


def test_a_position_says_what_it_knows_of_its_unit_and_a_report_that_does_not_is_told_apart() -> None:
    full = row(heard(location(strap="closed", case="open", perm="granted", pair=0), leaf="loc"))
    assert [int(full[one]) for one in ("telemetry", "strap", "case", "permission", "pair_s1")] == [1, 1, 2, 1, 1]
    bare = row(heard(location(), leaf="loc"))
    assert [int(bare[one]) for one in ("telemetry", "strap", "case", "permission", "pair_s1")] == [1, 0, 0, 0, 0]
    assert row(heard(location(pair=10**9), leaf="loc"))["pair_s1"] == PAIR_S1_MAX
    old = np.zeros(1, FIX_DTYPE)[0]
    assert (old["event"], old["telemetry"]) == (0, 0), "a row of an older version says nothing"


@pytest.mark.parametrize("wrong", [{"strap": "cut"}, {"case": True}, {"pair": -1}, {"pair": "3"}, {"perm": "ok"},
                                   {"batt": 101}])  # fmt: skip
@pytest.mark.parametrize("leaf", ["loc", "evt"])
def test_telemetry_is_read_strictly_and_the_refusal_says_where(leaf: str, wrong: dict[str, Any]) -> None:
    said = location(**wrong) if leaf == "loc" else event("boot", **wrong)
    refusal = heard(said, leaf=leaf)
    assert isinstance(refusal, Refusal)
    assert (refusal.reason, refusal.path) == (Reason.SCHEMA, f"$.{next(iter(wrong))}")


# --- signs of life ---------------------------------------------------------------------------------------------


def test_a_sign_of_life_says_what_it_knows_of_its_unit() -> None:
    answer = heard(status(batt=80, strap="closed", pair=4), leaf="state")
    assert isinstance(answer, Presence)
    assert [int(row(answer)[one]) for one in ("battery_pct", "strap", "pair_s1", "telemetry")] == [80, 1, 5, 1]


def test_what_cannot_be_read_of_it_costs_no_sign_of_life() -> None:
    for said, reason, path in ((status(strap=3), Reason.SCHEMA, "$.strap"), (b"\xff", Reason.MALFORMED, "$"),
                               (b" " * (PAYLOAD_MAX_BYTES + 1), Reason.TOO_LARGE, "$")):  # fmt: skip
        present, refusal = admit(message(said, topic(leaf="state")), known(), NOW_MS)
        assert isinstance(present, Presence)
        assert row(present)["telemetry"] == 0
        assert isinstance(refusal, Refusal)
        assert (refusal.reason, refusal.path) == (reason, path)


def test_what_a_unit_newly_says_of_itself_does_not_wait_five_seconds() -> None:
    world = known()
    for said, kind in (
        (status(pair=2), Presence), (status(pair=3), Heard), (status(pair=40), Presence), (status(), Presence),
        (status(), Heard), (status(strap="open"), Presence), (status(strap="open"), Heard),
    ):  # fmt: skip
        (answer,) = admit(message(said, topic(leaf="state"), NOW_MS), world, NOW_MS)
        assert isinstance(answer, kind), said
        if isinstance(answer, Presence):
            _remember(answer, world)


# --- what rings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_wait_rings_on_the_alarm_lane_and_nothing_else_does(name: str) -> None:
    answer = rung(event(name, local=True))
    if name not in RINGS:
        assert answer == OtherLane()
        return
    assert isinstance(answer, Alarm)
    assert (answer.code, answer.measures, answer.event, answer.local) == (RINGS[name], ("msr_1",), name, True)
    assert (answer.at_ms, answer.position, answer.readable) == (NOW_MS, None, True)


def test_the_geofence_gives_the_alarm_of_an_event_the_name_that_it_rang_under() -> None:
    said = event(ms=123, seq=77, boot=4)
    alarm, admitted = rung(said), heard(said)
    assert isinstance(alarm, Alarm)
    taken = taken_of(row(admitted).item())
    report = report_of(DEVICES[WEARER], taken, Mover(*[0.0] * 19), NOW_MS, None, Verdict.PRESENCE)
    assert report.alarm == alarm.id
    assert rung(event(ms=123, seq=78, boot=4)) != alarm


SALVAGED: dict[str, tuple[dict[str, Any], bool]] = {
    "a battery of 300 %": ({"batt": 300}, True),
    "a type of its own": ({"_type": "alarm"}, True),
    "no number": ({"seq": None}, False),
    "a number as text": ({"seq": "12"}, False),
    "an hour as text": ({"tst": "now"}, False),
    "true for a number": ({"boot": True}, False),
}


@pytest.mark.parametrize(("changes", "numbered"), SALVAGED.values(), ids=SALVAGED)
def test_a_cut_strap_rings_whatever_else_is_wrong_with_its_message(
    changes: dict[str, Any], numbered: bool
) -> None:
    alarm, admitted = rung(event(**changes)), heard(event(**changes))
    assert isinstance(alarm, Alarm)
    assert (alarm.code, alarm.readable) == (Code.STRAP_TAMPER, False)
    assert isinstance(admitted, AdmittedEvent)
    assert (admitted.boot != ABSENT, row(admitted)["event"]) == (numbered, DeviceEvent.STRAP_OPEN)


@pytest.mark.parametrize("age_s", [LATE_AFTER_S + 1, FIX_PAST_MAX_S + 1, -FIX_FUTURE_MAX_S - 1])
def test_what_rings_is_refused_for_no_clock(age_s: int) -> None:
    """A1, A3: and its row goes the live way however old it is; an hour that cannot be is that of its reception."""
    said = event(tst=NOW_S - age_s)
    alarm, admitted = rung(said), heard(said)
    assert isinstance(alarm, Alarm)
    assert isinstance(admitted, AdmittedEvent)
    assert alarm.at_ms == (NOW_MS - age_s * 1000 if 0 < age_s <= FIX_PAST_MAX_S else NOW_MS)


@pytest.mark.parametrize(("age_s", "reason"), [(FIX_PAST_MAX_S + 1, Reason.CLOCK_BEHIND),
                                               (-FIX_FUTURE_MAX_S - 1, Reason.CLOCK_AHEAD)])  # fmt: skip
def test_any_other_event_with_a_wrong_clock_is_refused(age_s: int, reason: Reason) -> None:
    refusal = heard(event("power_off", tst=NOW_S - age_s))
    assert isinstance(refusal, Refusal)
    assert (refusal.reason, refusal.path) == (reason, "$.tst")


# --- who may say what ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_only_a_wearers_unit_has_a_tag(name: str) -> None:
    answer = heard(event(name), PROTECTED)
    if name in OF_A_TAG:
        assert isinstance(answer, Refusal)
        assert (answer.reason, answer.path) == (Reason.NOT_THIS_DEVICE, "$.event")
    else:
        assert isinstance(answer, AdmittedEvent)
    rings = rung(event(name), PROTECTED)
    assert isinstance(rings, Alarm) is (name == "rf_proximity")


def test_a_tgd_is_heard_and_used_for_nothing() -> None:
    assert heard(event("boot"), TGD) == Heard()
    assert rung(event("case_open"), TGD) == OtherLane()


def test_f31_a_repeated_event_is_a_duplicate_and_rings_under_the_same_name() -> None:
    world = known()
    first = heard(event("separation"), world=world)
    assert isinstance(first, AdmittedEvent)
    _remember(first, world)
    assert heard(event("separation"), world=world) == Duplicate()
    assert isinstance(heard(location(seq=2), world=world, leaf="loc"), AdmittedFix)
    one, two = rung(event()), rung(event())
    assert isinstance(one, Alarm)
    assert one == two


def test_f31_another_topic_in_the_payload_is_refused_unless_it_rings() -> None:
    other = topic(PROTECTED, "evt")
    refusal = heard(event("separation_end", topic=other))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.IDENTITY
    assert isinstance(rung(event(topic=other)), Alarm)


def test_the_key_still_rings() -> None:
    assert isinstance(admit_alarm(message(sos(), topic(PROTECTED, "sos")), known(), NOW_MS), Alarm)
