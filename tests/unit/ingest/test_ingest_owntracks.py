"""What does Tocsin make of what the OwnTracks apps really send? Recordings, then each rule alone.

Cited: F13 (a lost connection is no breach), F31 (another's identity, repeats), invariants 6 and 9.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import DEVICES, LAT, LON, NOW_MS, NOW_S, PROTECTED, TGD, WEARER, known, message

from ingest.admission import Admission, AdmittedFix, Duplicate, Heard, OwnWord, admit
from ingest.dialects.owntracks import HEARD, read_phone
from ingest.dialects.reports import NotAFix, PositionReport, Reason, Refusal
from ingest.known import Known
from ingest.quarantine import note_of
from tocsin.limits import PAYLOAD_MAX_BYTES, UNNUMBERED_A_SECOND_MAX, UNNUMBERED_KEPT
from tocsin.model.fix import ABSENT, FIX_DTYPE, FixFlag, Source

FOLDER = Path(__file__).parents[2] / "recordings" / "owntracks"
RECORDINGS = {path.stem: path.read_bytes() for path in sorted(FOLDER.glob("*.json"))}

# accuracy m, speed km/h, course degrees, battery percent, seconds from the fix to the message
FIXES: dict[str, tuple[float | None, float | None, float | None, int | None, int | None]] = {
    "android-2026--location-fused--owntracks-android-issue-2216": (7, 0, 0, 22, 0),
    "android-2.5--location-on-a-drive--owntracks-android-issue-1928": (13, 6, 56, 62, 1),
    "android-2.2--location-still--owntracks-talk-issue-116": (22, 0, None, 93, 1),
    "android-2015--location-bare--owntracks-android-issue-83": (30, None, None, 93, None),
    "ios-15.3--location-extended--owntracks-ios-issue-695": (8, 1, 93, 31, None),
    "ios-9.8.12--location-in-regions--owntracks-ios-issue-523": (65, None, None, 100, None),
    "ios-9.5--location-simulator-without-battery--owntracks-ios-issue-449": (5, 0, None, None, None),
    "ios-2025--location-motion--owntracks-recorder-issue-542": (5, 18, 271, None, None),
}
NO_FIXES = {
    "android-2.5--ping--owntracks-android-fixture-location_deserialize_extended",
    "android-2.5--transition--owntracks-android-fixture-transition_message",
    "android-2016--lwt--owntracks-android-issue-349",
    "ios-9.8.12--lwt--owntracks-ios-issue-523",
    "ios--waypoint--owntracks-booklet-waypoints",
}
REFUSED = {
    "android-2.5--encrypted--owntracks-android-fixture-encrypted_message": (Reason.ENCRYPTED, "$._type"),
    "ios-14.0.3--location-without-longitude--owntracks-ios-issue-668": (Reason.COORDINATES, "$"),
    "ios-7.3.4--location-without-position--owntracks-ios-issue-100": (Reason.SCHEMA, "$.tst"),
}


def test_every_recording_is_in_a_table() -> None:
    assert set(RECORDINGS) == set(FIXES) | NO_FIXES | set(REFUSED)


@pytest.mark.parametrize("name", FIXES)
def test_a_recorded_position_is_read_as_it_was_meant(name: str) -> None:
    report = read_phone(RECORDINGS[name])
    assert isinstance(report, PositionReport)
    accuracy_m, speed_kmh, course_deg, battery_pct, later_s = FIXES[name]
    assert (report.lat, report.lon) == pytest.approx((43.2965, 5.3698), abs=1e-4)
    assert report.fix_ms == json.loads(RECORDINGS[name])["tst"] * 1000
    assert (report.accuracy_m, report.course_deg, report.battery_pct) == (accuracy_m, course_deg, battery_pct)
    assert report.speed_m_s == (None if speed_kmh is None else pytest.approx(speed_kmh / 3.6))
    assert report.sent_ms == (None if later_s is None else report.fix_ms + later_s * 1000)
    assert (report.seq, report.source) == (ABSENT, Source.UNKNOWN)


@pytest.mark.parametrize("name", NO_FIXES)
def test_a_recording_that_is_no_position_is_heard(name: str) -> None:
    assert isinstance(read_phone(RECORDINGS[name]), NotAFix)


@pytest.mark.parametrize("name", REFUSED)
def test_a_recording_that_cannot_be_used_is_refused(name: str) -> None:
    refusal = read_phone(RECORDINGS[name])
    assert isinstance(refusal, Refusal)
    assert (refusal.reason, refusal.path) == REFUSED[name]


@pytest.mark.parametrize("name", RECORDINGS)
def test_no_name_and_no_figure_of_a_recording_is_kept(name: str) -> None:
    """Privacy: had it been refused, this is what would stand in the quarantine."""
    at = "owntracks/wearer-1/jane-s-iphone-7"
    note = note_of(message(RECORDINGS[name], at), Refusal(reason=Reason.SCHEMA))
    assert note.topic == "owntracks/wearer-1/…"
    assert not any(one.isdigit() for one in note.head)
    assert not any(word in note.head for word in ("a network", "a place", "another", "somebody", "02:00"))


# --- each rule alone -----------------------------------------------------------------------------------------


def phone(**changes: Any) -> bytes:
    """As a stock app says it; None leaves a field out."""
    whole = {"_type": "location", "lat": LAT, "lon": LON, "tst": NOW_S, "acc": 12, "tid": "ab", **changes}
    return json.dumps({name: value for name, value in whole.items() if value is not None}).encode()


def judge(payload: bytes, at: str = f"owntracks/{WEARER}/phone", world: Known | None = None) -> Admission:
    (one,) = admit(message(payload, at), world or known(), NOW_MS)
    return one


def take(payload: bytes, world: Known) -> Admission:
    """As the lane does it: what was admitted is remembered."""
    one = judge(payload, world=world)
    if isinstance(one, AdmittedFix):
        world.remember(one.device, one.boot, one.seq, one.fix_ms)
    return one


def row(admission: Admission) -> np.void:
    assert isinstance(admission, AdmittedFix)
    return np.array([admission.copies[0][1]], FIX_DTYPE)[0]


@pytest.mark.parametrize(
    ("acc", "accuracy_dm"), [(None, ABSENT), (0, ABSENT), (12, 120), (0.4, 4), (1600, 16_000), (2e6, 10_000_000)]
)
def test_an_accuracy_that_is_not_known_is_never_zero(acc: float | None, accuracy_dm: int) -> None:
    """Invariant 9; ABSENT is decided as the configured worst case."""
    assert row(judge(phone(acc=acc)))["accuracy_dm"] == accuracy_dm


@pytest.mark.parametrize("field", ["vel", "cog", "batt"])
@pytest.mark.parametrize("value", [None, -1, -3, -3.6, 1e9])
def test_what_cannot_be_right_is_left_out_and_costs_no_fix(field: str, value: float | None) -> None:
    kept = row(judge(phone(**{field: value})))
    assert kept[{"vel": "speed_cms", "cog": "course_ddeg", "batt": "battery_pct"}[field]] == ABSENT
    assert kept["lat_e6"] == round(LAT * 1e6)


OPTIONAL = ("t", "acc", "vel", "cog", "batt", "created_at", "source")


@pytest.mark.parametrize("field", OPTIONAL)
@pytest.mark.parametrize("value", [True, [], {}, "", -0.5, 7, "seven", 1e300, 10**400], ids=repr)
def test_no_optional_field_costs_the_fix_whatever_it_says(field: str, value: object) -> None:
    """Nor does it take another with it. A negative accuracy is the phone's own word that it has no place."""
    if (field, value) == ("acc", -0.5):
        return
    other = "batt" if field != "batt" else "cog"
    kept = row(judge(phone(**{other: 42, field: value})))
    assert kept["lat_e6"] == round(LAT * 1e6)
    assert kept[{"cog": "course_ddeg", "batt": "battery_pct"}[other]] == {"cog": 420, "batt": 42}[other]


def test_all_of_them_at_once_leave_the_place_and_the_hour() -> None:
    kept = row(judge(phone(**{field: [] for field in OPTIONAL})))
    assert (kept["lat_e6"], kept["fix_ms"]) == (round(LAT * 1e6), NOW_S * 1000)
    assert kept["accuracy_dm"] == ABSENT


def test_a_whole_second_may_be_written_with_a_point() -> None:
    assert row(judge(phone(tst=float(NOW_S))))["fix_ms"] == NOW_S * 1000


REFUSALS: dict[str, tuple[bytes, str, Reason, str]] = {
    "not JSON": (b"{", f"owntracks/{WEARER}/phone", Reason.MALFORMED, "$"),
    "not utf-8": (b'{"_type":"location\xff"}', f"owntracks/{WEARER}/phone", Reason.MALFORMED, "$"),
    "endless": (b'{"_type":"location","x":' + b"[" * 30_000, f"owntracks/{WEARER}/phone", Reason.MALFORMED, "$"),
    "an array": (b"[]", f"owntracks/{WEARER}/phone", Reason.SCHEMA, "$"),
    "no type": (phone(_type=None), f"owntracks/{WEARER}/phone", Reason.SCHEMA, "$"),
    "a type of nobody": (phone(_type="48.85"), f"owntracks/{WEARER}/phone", Reason.SCHEMA, "$._type"),
    "a command": (phone(_type="cmd"), f"owntracks/{WEARER}/phone", Reason.NOT_SUPPORTED, "$._type"),
    "encrypted": (phone(_type="encrypted"), f"owntracks/{WEARER}/phone", Reason.ENCRYPTED, "$._type"),
    "no latitude": (phone(lat=None), f"owntracks/{WEARER}/phone", Reason.SCHEMA, "$"),
    "latitude as text": (phone(lat="48.85"), f"owntracks/{WEARER}/phone", Reason.SCHEMA, "$.lat"),
    "no hour": (phone(tst=None), f"owntracks/{WEARER}/phone", Reason.SCHEMA, "$"),
    "beyond the pole": (phone(lat=91), f"owntracks/{WEARER}/phone", Reason.COORDINATES, "$"),
    "zero and zero": (phone(lat=0, lon=0), f"owntracks/{WEARER}/phone", Reason.COORDINATES, "$"),
    "iOS: not valid": (phone(acc=-1), f"owntracks/{WEARER}/phone", Reason.COORDINATES, "$.acc"),
    "an hour and a half": (phone(tst=NOW_S + 0.5, acc="x"), f"owntracks/{WEARER}/phone", Reason.SCHEMA, "$.tst"),
    "no longitude, nor else": (phone(lon=None, acc="x"), f"owntracks/{WEARER}/phone", Reason.SCHEMA, "$.acc"),
    "not on any earth": (
        b'{"_type":"location","lat":1e999,"lon":2,"tst":%d}' % NOW_S, f"owntracks/{WEARER}/phone",
        Reason.COORDINATES, "$",
    ),
    "ahead": (phone(tst=NOW_S + 301), f"owntracks/{WEARER}/phone", Reason.CLOCK_AHEAD, "$.tst"),
    "long ago": (phone(tst=1), f"owntracks/{WEARER}/phone", Reason.CLOCK_BEHIND, "$.tst"),
    "too large": (b" " * (PAYLOAD_MAX_BYTES + 1), f"owntracks/{WEARER}/phone", Reason.TOO_LARGE, "$"),
    "TGD (invariant 6)": (phone(), f"owntracks/{TGD}/phone", Reason.TGD_POSITION, "$"),
    "nobody": (phone(), "owntracks/nobody-1/phone", Reason.UNKNOWN_DEVICE, "$"),
    "not a name": (phone(), "owntracks/NOBODY/phone", Reason.UNKNOWN_TOPIC, "$"),
    "no word of its own": (phone(), f"owntracks/{WEARER}", Reason.UNKNOWN_TOPIC, "$"),
    "an empty word": (phone(), f"owntracks/{WEARER}/", Reason.UNKNOWN_TOPIC, "$"),
    "unknown leaf": (phone(), f"owntracks/{WEARER}/phone/dance", Reason.UNKNOWN_TOPIC, "$"),
    "a longer root": (phone(), f"owntracks2/{WEARER}/phone", Reason.UNKNOWN_TOPIC, "$"),
    "the root alone": (phone(), "owntracks", Reason.UNKNOWN_TOPIC, "$"),
}  # fmt: skip


@pytest.mark.parametrize(("payload", "at", "reason", "path"), REFUSALS.values(), ids=REFUSALS)
def test_refused_and_no_value_is_said(payload: bytes, at: str, reason: Reason, path: str) -> None:
    refusal = judge(payload, at)
    assert isinstance(refusal, Refusal)
    assert (refusal.reason, refusal.path) == (reason, path)
    assert not any(figures in refusal.detail for figures in ("48.85", "43.29", "5.36", str(NOW_S)[:6]))


@pytest.mark.parametrize("kind", sorted(HEARD))
@pytest.mark.parametrize("device", [WEARER, PROTECTED, TGD])
def test_other_types_are_heard_from_everybody_and_kept_nowhere(kind: str, device: str) -> None:
    """F13: the last will of a phone is no breach; and a TGD's transition, with its place, is not read."""
    assert judge(phone(_type=kind), f"owntracks/{device}/phone") == Heard()


@pytest.mark.parametrize("leaf", ["event", "step", "beacon", "dump", "status", "waypoint", "waypoints", "info"])
def test_what_the_app_says_beside_its_places_is_heard_unread(leaf: str) -> None:
    assert judge(b"\xff not JSON", f"owntracks/{WEARER}/phone/{leaf}") == Heard()


def test_our_own_word_is_nobodys_report() -> None:
    assert judge(b'{"_type":"cmd"}', f"owntracks/{WEARER}/phone/cmd") == OwnWord()


def test_taking_a_retained_copy_back_is_no_error() -> None:
    assert judge(b"") == Heard()


def test_what_the_payload_says_of_itself_is_not_believed() -> None:
    """F31: who speaks is the broker's word. The word behind it is the user's, dots and all."""
    said = phone(topic=f"owntracks/{PROTECTED}/phone", tid=PROTECTED, _id=PROTECTED, username=PROTECTED)
    kept = judge(said, f"owntracks/{WEARER}/jane.s phone")
    assert isinstance(kept, AdmittedFix)
    assert row(kept)["device"] == DEVICES[WEARER].number


def test_a_tgd_is_located_by_its_app_while_its_alert_is_open() -> None:
    world = known()
    world.open_sos.add(TGD)
    admission = judge(phone(), f"owntracks/{TGD}/phone", world)
    assert isinstance(admission, AdmittedFix)
    assert (admission.sos_only, row(admission)["primary"]) == (True, 0)


def test_an_old_position_is_history_and_a_queued_one_is_flagged() -> None:
    """Invariant 4. Without network the app keeps what it measured and says when it made the message."""
    admission = judge(phone(tst=NOW_S - 600, created_at=NOW_S - 599))
    assert isinstance(admission, AdmittedFix)
    assert admission.late
    assert row(admission)["flags"] == FixFlag.CLOCK_SKEW


# --- identity ------------------------------------------------------------------------------------------------


def test_a_redelivery_is_a_duplicate_and_so_is_the_same_fix_in_another_message() -> None:
    world = known()
    assert isinstance(take(phone(vel=5), world), AdmittedFix)
    again = {
        "the same bytes": {},
        "manual": {"t": "u"},
        "another message": {"_id": "0a1b", "created_at": NOW_S + 9},
    }
    for name, changes in again.items():
        assert take(phone(vel=5, **changes), world) == Duplicate(), name


def test_a_ping_is_never_a_fresh_fix() -> None:
    """Old coordinates under the hour of now: the wearer would be seen where he was."""
    world = known()
    take(phone(tst=NOW_S - 60), world)
    assert take(phone(t="p"), world) == Heard()
    assert isinstance(take(phone(t="p", lat=None), world), Refusal), "it must be one all the same"


@pytest.mark.parametrize("changes", [{"lat": LAT + 1e-6}, {"lon": LON - 1e-6}, {"acc": 13}, {"acc": None},
                                     {"vel": 7}, {"cog": 90}, {"tst": NOW_S - 1}])  # fmt: skip
def test_two_true_fixes_are_never_one(changes: dict[str, Any]) -> None:
    """Also in one second: each gets a millisecond of its own, as nothing behind us tells two of one hour apart."""
    world = known()
    first, second = take(phone(), world), take(phone(**changes), world)
    assert isinstance(first, AdmittedFix)
    assert isinstance(second, AdmittedFix)
    assert first.fix_ms != second.fix_ms
    assert second.fix_ms // 1000 == changes.get("tst", NOW_S)
    assert take(phone(), world) == take(phone(**changes), world) == Duplicate()


def test_two_phones_that_say_the_same_are_two() -> None:
    world = known()
    take(phone(), world)
    assert isinstance(judge(phone(), f"owntracks/{PROTECTED}/phone", world), AdmittedFix)


def test_what_is_remembered_is_bounded_and_forgets_the_oldest() -> None:
    world = known()
    for second in range(UNNUMBERED_KEPT + 1):
        assert isinstance(take(phone(tst=NOW_S - second), world), AdmittedFix)
    assert len(world.unnumbered[WEARER].seconds) == UNNUMBERED_KEPT
    assert take(phone(tst=NOW_S - UNNUMBERED_KEPT), world) == Duplicate()
    assert isinstance(take(phone(), world), AdmittedFix), "forgotten: the archive and the geofence know it still"


def test_a_phone_that_floods_one_second_costs_a_bounded_memory_and_is_heard() -> None:
    world = known()
    for metres in range(1, 40):
        assert isinstance(take(phone(acc=metres), world), AdmittedFix)
    assert len(world.unnumbered[WEARER].seconds[NOW_S]) == UNNUMBERED_A_SECOND_MAX
