"""Which messages enter, on which lane, and which word is said to the rest? Tables of every outcome and reason.

Cited: F13 (nothing is a breach for want of a message), F31 (forged identities), F37 (clocks), invariants 4, 6, 9.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from builders import (
    DEVICES,
    LAT,
    LON,
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
    topic,
)

from ingest.admission import (
    UNNUMBERED_PRESS_MS,
    Admission,
    AdmittedFix,
    Duplicate,
    Heard,
    OtherLane,
    OwnWord,
    Presence,
    admit,
    admit_alarm,
)
from ingest.dialects.reports import Reason, Refusal
from ingest.known import Known
from tocsin.limits import (
    BULK_POINTS_MAX,
    FIX_FUTURE_MAX_S,
    FIX_PAST_MAX_S,
    LATE_AFTER_S,
    PAYLOAD_MAX_BYTES,
    PRESENCE_EVERY_S,
)
from tocsin.model.device import Device, DeviceKind
from tocsin.model.finding import Alarm, Code
from tocsin.model.fix import ABSENT, FIX_DTYPE, FixFlag, Source
from tocsin.subjects import partition_of

HOSTILE = {
    "empty": b"",
    "truncated": location()[:-9],
    "not utf-8": b'{"_type":"location\xff\xfe"}',
    "not utf-8 inside": b'{"_type":"location","topic":"\xff","lat":1}',
    "half a surrogate": b'{"_type":"location","topic":"\\ud800"}',
    "NaN": location().replace(b"43.296587", b"NaN"),
    "endless nesting": b'{"_type":"location","x":' + b"[" * 30_000,
    "endless objects": b'{"_type":"location","x":' + b'{"a":' * 10_000,
    "binary": bytes(range(256)),
}

REFUSED: dict[str, tuple[bytes, str, Reason, str]] = {
    **{name: (payload, topic(), Reason.MALFORMED, "$") for name, payload in HOSTILE.items()},
    "an array": (b"[1,2]", topic(), Reason.SCHEMA, "$"),
    "another type": (location(_type="transition"), topic(), Reason.SCHEMA, "$._type"),
    "latitude as text": (location(lat="43.29"), topic(), Reason.SCHEMA, "$.lat"),
    "no latitude": (location(lat=None), topic(), Reason.SCHEMA, "$"),
    "no number": (location(seq=None), topic(), Reason.SCHEMA, "$"),
    "no boot": (location(boot=None), topic(), Reason.SCHEMA, "$"),
    "a negative number": (location(seq=-1), topic(), Reason.SCHEMA, "$.seq"),
    "a number of 65 bits": (location(seq=2**64), topic(), Reason.SCHEMA, "$.seq"),
    "a number of 64 bits": (location(seq=2**63), topic(), Reason.SCHEMA, "$.seq"),
    "1e999": (location().replace(b"43.296587", b"1e999"), topic(), Reason.SCHEMA, "$.lat"),
    "negative accuracy": (location(acc=-1), topic(), Reason.SCHEMA, "$.acc"),
    "battery of 101": (location(batt=101), topic(), Reason.SCHEMA, "$.batt"),
    "a thousand ms": (location(ms=1000), topic(), Reason.SCHEMA, "$.ms"),
    "time with a fraction": (location(tst=NOW_S + 0.5), topic(), Reason.SCHEMA, "$.tst"),
    "north of the pole": (location(lat=90.000001), topic(), Reason.COORDINATES, "$"),
    "beyond the date line": (location(lon=-180.5), topic(), Reason.COORDINATES, "$"),
    "ahead": (location(tst=NOW_S + FIX_FUTURE_MAX_S + 1), topic(), Reason.CLOCK_AHEAD, "$.tst"),
    "years ahead": (location(tst=NOW_S + 9 * 365 * 86_400), topic(), Reason.CLOCK_AHEAD, "$.tst"),
    "milliseconds for seconds": (location(tst=NOW_MS), topic(), Reason.CLOCK_AHEAD, "$.tst"),
    "behind": (location(tst=NOW_S - FIX_PAST_MAX_S - 1), topic(), Reason.CLOCK_BEHIND, "$.tst"),
    "GPS week rollover": (location(tst=NOW_S - 1024 * 7 * 86_400), topic(), Reason.CLOCK_BEHIND, "$.tst"),
    "1970": (location(tst=0), topic(), Reason.CLOCK_BEHIND, "$.tst"),
    "another's topic": (location(topic=topic(PROTECTED)), topic(), Reason.IDENTITY, "$.topic"),
    "another's bulk": (bulk(point(), topic=topic(PROTECTED)), topic(leaf="bulk"), Reason.IDENTITY, "$.topic"),
    "too large": (b" " * (PAYLOAD_MAX_BYTES + 1), topic(), Reason.TOO_LARGE, "$"),
    "nobody": (location(), topic("nobody-1"), Reason.UNKNOWN_DEVICE, "$"),
    "not a name": (location(), topic("NOBODY"), Reason.UNKNOWN_TOPIC, "$"),
    "no leaf": (location(), "tocsin/1/wearer-1", Reason.UNKNOWN_TOPIC, "$"),
    "unknown leaf": (location(), topic(leaf="dance"), Reason.UNKNOWN_TOPIC, "$"),
    "another root": (location(), "tocsin/2/wearer-1/loc", Reason.UNKNOWN_TOPIC, "$"),
    "a longer root": (location(), "tocsin/11/wearer-1/loc", Reason.UNKNOWN_TOPIC, "$"),
    "an event of no name": (event("dance"), topic(leaf="evt"), Reason.NOT_SUPPORTED, "$.event"),
    "an event that is none": (location(), topic(leaf="evt"), Reason.SCHEMA, "$._type"),
    "TGD position (invariant 6)": (location(), topic(TGD), Reason.TGD_POSITION, "$"),
    "an empty bulk": (bulk(), topic(leaf="bulk"), Reason.SCHEMA, "$.pts"),
    "a bulk too long": (bulk(*[point()] * (BULK_POINTS_MAX + 1)), topic(leaf="bulk"), Reason.SCHEMA, "$.pts"),
}


def only(admissions: list[Admission]) -> Admission:
    (one,) = admissions
    return one


def judge(payload: bytes, at: str = "", **world: Any) -> Admission:
    return only(admit(message(payload, at or topic()), known(**world), NOW_MS))


def row(admission: Admission) -> np.void:
    """The primary copy as the log gets it."""
    assert isinstance(admission, AdmittedFix)
    return np.array([admission.copies[0][1]], FIX_DTYPE)[0]


# --- refusals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("payload", "at", "reason", "path"), REFUSED.values(), ids=REFUSED)
def test_refused(payload: bytes, at: str, reason: Reason, path: str) -> None:
    refusal = judge(payload, at)
    assert isinstance(refusal, Refusal)
    assert (refusal.reason, refusal.path) == (reason, path)


@pytest.mark.parametrize(("payload", "at"), [one[:2] for one in REFUSED.values()], ids=REFUSED)
def test_a_refusal_harms_no_later_message(payload: bytes, at: str) -> None:
    """F02: the poison is in the middle; before and after it the same device is heard."""
    world = known()
    for seq, said in ((1, location(seq=1)), (0, payload), (2, location(seq=2))):
        (admission,) = admit(message(said, topic() if seq else at), world, NOW_MS)
        assert isinstance(admission, AdmittedFix if seq else Refusal)
        if isinstance(admission, AdmittedFix):
            world.remember(admission.device, admission.boot, admission.seq, admission.fix_ms)
    assert world.windows[WEARER].seen == 0b11


def test_every_reason_is_in_a_table() -> None:
    said = {reason for _, _, reason, _ in REFUSED.values()} | {reason for _, _, reason in REFUSED_ALARMS.values()}
    assert said == set(Reason) - {Reason.ENCRYPTED}, "that one is of phones: test_ingest_owntracks"


@pytest.mark.parametrize(("payload", "at"), [one[:2] for one in REFUSED.values()], ids=REFUSED)
def test_no_refusal_says_a_value_of_the_payload(payload: bytes, at: str) -> None:
    """Privacy: the words go to a metric, a log and an answer over the air."""
    refusal = judge(payload, at)
    assert isinstance(refusal, Refusal)
    said = f"{refusal.path} {refusal.detail}"
    for figures in ("43.29", "296587", "5.36", "369731", str(NOW_S)[:6]):
        assert figures not in said


@pytest.mark.parametrize("value", ['"48.8566"', "[48.8566]", '{"48.8566": 2}', '"48.8566, 2.3522"', "true"])
@pytest.mark.parametrize("field", ["_type", "lat", "lon", "tst", "seq", "src", "topic", "acc"])
def test_a_value_in_the_wrong_place_is_not_quoted(field: str, value: str) -> None:
    payload = location(**{field: None})[:-1] + f', "{field}": {value}}}'.encode()
    admission = judge(payload)
    assert not isinstance(admission, Refusal) or "48" not in f"{admission.path}{admission.detail}"


# --- what enters ---------------------------------------------------------------------------------------------


def test_a_fix_as_the_log_gets_it() -> None:
    said = location(ms=250, seq=7, boot=3, vel=36.0, cog=214.5, batt=88, src="gnss", created_ms=400)
    kept = row(judge(said))
    assert {name: kept[name].item() for name in FIX_DTYPE.names or () if name != "spare"} == {
        "device": DEVICES[WEARER].number, "boot": 3, "seq": 7, "fix_ms": NOW_MS + 250, "sent_ms": NOW_MS + 400,
        "t3_ms": NOW_MS, "t4_ms": NOW_MS, "lat_e6": 43_296_587, "lon_e6": 5_369_731, "accuracy_dm": 125,
        "speed_cms": 1_000, "course_ddeg": 2_145, "flags": FixFlag.NONE, "source": Source.GNSS,
        "battery_pct": 88, "primary": 1, "event": 0, "pair_s1": 0, "telemetry": 1, "strap": 0, "case": 0,
        "permission": 0,
    }  # fmt: skip


def test_what_is_not_given_is_absent_and_never_zero() -> None:
    kept = row(judge(location(acc=None, created_at=None)))
    absent = ("accuracy_dm", "speed_cms", "course_ddeg", "sent_ms", "battery_pct")
    assert [kept[name] for name in absent] == [ABSENT] * len(absent)
    assert kept["source"] == Source.UNKNOWN
    assert row(judge(location(acc=0)))["accuracy_dm"] == 0


@pytest.mark.parametrize("corner", [(90, 180), (-90, -180), (0, 0), (-0.0000001, 179.9999999)])
def test_the_corners_of_the_earth(corner: tuple[float, float]) -> None:
    kept = row(judge(location(lat=corner[0], lon=corner[1])))
    assert (kept["lat_e6"], kept["lon_e6"]) == (round(corner[0] * 1e6), round(corner[1] * 1e6))


def test_the_largest_values_fit_their_columns() -> None:
    kept = row(judge(location(seq=2**63 - 1, boot=2**63 - 1, acc=1e6, vel=2_000, cog=360)))
    assert (kept["seq"], kept["boot"], kept["accuracy_dm"]) == (2**63 - 1, 2**63 - 1, 10_000_000)
    assert (kept["speed_cms"], kept["sent_ms"]) == (55_556, NOW_MS)


def test_an_hour_of_sending_that_cannot_be_is_none() -> None:
    """Milliseconds for seconds: the year 58,000, which no recipient's format can say."""
    kept = row(judge(location(created_at=NOW_S * 1000)))
    assert kept["sent_ms"] == ABSENT
    assert kept["flags"] == FixFlag.CLOCK_SKEW


@pytest.mark.parametrize(
    ("age_s", "late"), [(-FIX_FUTURE_MAX_S, False), (0, False), (LATE_AFTER_S, False), (LATE_AFTER_S + 1, True),
                        (FIX_PAST_MAX_S, True)],
)  # fmt: skip
def test_the_lane_by_age(age_s: int, late: bool) -> None:
    """Invariant 4: what is late is kept, on the lane that raises nothing."""
    admission = judge(location(tst=NOW_S - age_s))
    assert isinstance(admission, AdmittedFix)
    assert admission.late is late


def test_a_bulk_is_late_whatever_its_age_and_one_bad_point_costs_no_other() -> None:
    said = bulk(point(seq=1), point(seq=2, lat=91), point(seq=3, tst=NOW_S + 9_999), point(seq=4))
    first, second, third, fourth = admit(message(said, topic(leaf="bulk")), known(), NOW_MS)
    assert isinstance(first, AdmittedFix)
    assert isinstance(fourth, AdmittedFix)
    assert (first.late, fourth.late, row(first)["flags"]) == (True, True, FixFlag.BULK)
    assert isinstance(second, Refusal)
    assert (second.reason, second.path) == (Reason.COORDINATES, "$.pts[1]")
    assert isinstance(third, Refusal)
    assert (third.reason, third.path) == (Reason.CLOCK_AHEAD, "$.pts[2].tst")


@pytest.mark.parametrize(("skew_s", "flags"), [(0, 0), (5, 0), (6, FixFlag.CLOCK_SKEW), (-6, FixFlag.CLOCK_SKEW)])
def test_skew_is_flagged_and_nothing_is_dropped_for_it(skew_s: int, flags: int) -> None:
    """F37."""
    assert row(judge(location(created_at=NOW_S + skew_s)))["flags"] == flags


def test_a_repeated_number_is_a_duplicate_and_another_boot_is_not() -> None:
    world = known()
    world.remember(WEARER, 1, 5, NOW_MS)
    answers = [only(admit(message(location(boot=b, seq=s), topic()), world, NOW_MS)) for b, s in
               ((1, 5), (2, 5), (1, 6))]  # fmt: skip
    assert [type(answer) for answer in answers] == [Duplicate, AdmittedFix, AdmittedFix]


@pytest.mark.parametrize("seqs", [(0, 1, 2, 0, 1, 2), (7, 7, 7, 7)])
def test_a_unit_that_counts_anew_or_never_is_still_heard(seqs: tuple[int, ...]) -> None:
    """It restarted without raising ``boot``, or has no counter: other hours are other fixes."""
    world = known()
    for second, seq in enumerate(seqs):
        said = message(location(seq=seq, tst=NOW_S - 60 + second), topic())
        answer = only(admit(said, world, NOW_MS))
        assert isinstance(answer, AdmittedFix)
        world.remember(answer.device, answer.boot, answer.seq, answer.fix_ms)
        assert isinstance(only(admit(said, world, NOW_MS)), Duplicate)


@pytest.mark.parametrize(
    ("leaf", "outcome"),
    [("state", Heard | Presence), ("lwt", Heard), ("res", Heard | Presence), ("cfg/got", Heard), ("cmd", OwnWord),
     ("cfg/want", OwnWord), ("err", OwnWord), ("sos", OtherLane)],
)  # fmt: skip
@pytest.mark.parametrize("device", [WEARER, TGD])
@pytest.mark.parametrize("payload", [b"\xff", b" " * (PAYLOAD_MAX_BYTES + 1)], ids=["unreadable", "too large"])
def test_other_leaves(leaf: str, outcome: Any, device: str, payload: bytes) -> None:
    """Whatever they say: a press that rings on its own lane must not be refused on this one."""
    assert isinstance(admit(message(payload, topic(device, leaf)), known(), NOW_MS)[0], outcome)


# --- present without a place ---------------------------------------------------------------------------------


def present(leaf: str = "state", world: Known | None = None, device: str = WEARER, at_ms: int = NOW_MS) -> object:
    """Of whatever is heard there; what cannot be read of it is refused beside that (test_ingest_events)."""
    return admit(message(b"\xff", topic(device, leaf), at_ms), world or known(), at_ms + 7)[0]


@pytest.mark.parametrize("leaf", ["state", "res"])
def test_who_speaks_without_a_place_is_present_and_nowhere(leaf: str) -> None:
    answer = present(leaf)
    assert isinstance(answer, Presence)
    ((partition, said),) = answer.copies
    row = np.array([said], FIX_DTYPE)[0]
    assert partition == partition_of("msr_1", 2)
    assert {name: int(row[name]) for name in (FIX_DTYPE.names or ())[:-1]} == {
        "device": DEVICES[WEARER].number, "boot": ABSENT, "seq": ABSENT, "fix_ms": NOW_MS, "sent_ms": ABSENT,
        "t3_ms": NOW_MS, "t4_ms": NOW_MS + 7, "lat_e6": 0, "lon_e6": 0, "accuracy_dm": ABSENT,
        "speed_cms": ABSENT, "course_ddeg": ABSENT, "flags": FixFlag.PRESENCE, "source": 0,
        "battery_pct": ABSENT, "primary": 0, "event": 0, "pair_s1": 0, "telemetry": 0, "strap": 0, "case": 0,
        "permission": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    "device",
    [
        Device(id=WEARER, number=2, kind=DeviceKind.WEARER),
        Device(id=WEARER, number=2, kind=DeviceKind.TGD),
        Device(id=WEARER, number=2, kind=DeviceKind.TGD, measures=("msr_1",)),
    ],
    ids=["no measure", "TGD", "TGD with one"],
)
def test_who_is_in_no_pair_is_present_to_nobody(device: Device) -> None:
    assert present(world=known(**{WEARER: device})) == Heard()


@pytest.mark.parametrize("leaf", ["lwt", "cfg/got"])
def test_the_brokers_word_about_a_device_is_not_the_devices(leaf: str) -> None:
    """F13: the last will of a unit that is gone would say that it is there."""
    assert present(leaf) == Heard()


@pytest.mark.parametrize(
    ("after_s", "kind"), [(0, Heard), (PRESENCE_EVERY_S - 1, Heard), (PRESENCE_EVERY_S, Presence), (-1, Presence)]
)
def test_a_unit_that_chatters_is_present_once_in_five_seconds(after_s: int, kind: type) -> None:
    world = known()
    world.present_ms[WEARER] = NOW_MS
    assert isinstance(present("res", world, at_ms=NOW_MS + 1000 * after_s), kind)
    assert isinstance(present("res", world, PROTECTED, NOW_MS + 1000 * after_s), Presence), "each for itself"


def test_presence_goes_to_every_partition_that_decides_about_the_device() -> None:
    measures = tuple(f"msr_{number}" for number in range(9))
    device = Device(id=WEARER, number=2, kind=DeviceKind.WEARER, measures=measures)
    answer = present(world=known(7, **{WEARER: device}))
    assert isinstance(answer, Presence)
    assert [partition for partition, _ in answer.copies] == sorted({partition_of(one, 7) for one in measures})


# --- partitions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("partitions", [1, 2, 7, 64])
@pytest.mark.parametrize("count", [0, 1, 2, 30])
def test_one_copy_for_each_partition_concerned_and_one_of_them_primary(partitions: int, count: int) -> None:
    """A4: each pair is decided in one place, and only primaries are counted."""
    measures = tuple(f"msr_{number}" for number in range(count))
    device = Device(id=WEARER, number=2, kind=DeviceKind.WEARER, measures=measures)
    admission = judge(location(), partitions=partitions, **{WEARER: device})
    assert isinstance(admission, AdmittedFix)
    expected = {partition_of(key, partitions) for key in measures or (WEARER,)}
    assert [partition for partition, _ in admission.copies] == sorted(expected)
    primaries = np.array([one for _, one in admission.copies], FIX_DTYPE)["primary"]
    assert sorted(primaries, reverse=True) == [1] + [0] * (len(expected) - 1)


def test_a_tgd_is_located_while_its_alert_is_open_and_no_table_keeps_it() -> None:
    """Invariant 6: admitted during its SOS only, and never as the copy that the archive takes."""
    world = known()
    world.open_sos.add(TGD)
    during = only(admit(message(location(), topic(TGD)), world, NOW_MS))
    assert isinstance(during, AdmittedFix)
    assert during.sos_only
    assert [np.array([one], FIX_DTYPE)[0]["primary"] for _, one in during.copies] == [0]
    world.open_sos.discard(TGD)
    after = only(admit(message(location(seq=2), topic(TGD)), world, NOW_MS))
    assert isinstance(after, Refusal)
    assert after.reason is Reason.TGD_POSITION


@pytest.mark.parametrize("leaf", ["loc", "bulk"])
@pytest.mark.parametrize("partitions", [1, 2, 64])
def test_nothing_that_a_tgd_says_is_a_primary_copy(leaf: str, partitions: int) -> None:
    said = location() if leaf == "loc" else bulk(point())
    world = known(partitions)
    world.open_sos.add(TGD)
    during = only(admit(message(said, topic(TGD, leaf)), world, NOW_MS))
    assert isinstance(during, AdmittedFix)
    assert during.sos_only
    assert [partition for partition, _ in during.copies] == [partition_of(TGD, partitions)]
    assert not any(np.array([one for _, one in during.copies], FIX_DTYPE)["primary"])


def test_the_alert_of_one_tgd_locates_no_other_and_the_rules_for_fixes_hold() -> None:
    world = known(**DEVICES, **{"tgd-2": Device(id="tgd-2", number=4, kind=DeviceKind.TGD)})
    world.open_sos.add("tgd-2")
    other = only(admit(message(location(), topic(TGD)), world, NOW_MS))
    assert isinstance(other, Refusal)
    assert other.reason is Reason.TGD_POSITION
    ahead = only(admit(message(location(tst=NOW_S + 9_999), topic("tgd-2")), world, NOW_MS))
    assert isinstance(ahead, Refusal)
    assert ahead.reason is Reason.CLOCK_AHEAD
    world.remember("tgd-2", 1, 1, NOW_MS)
    assert isinstance(only(admit(message(location(), topic("tgd-2")), world, NOW_MS)), Duplicate)


def test_nobody_else_is_sos_only() -> None:
    world = known()
    world.open_sos.add(PROTECTED)
    fix = only(admit(message(location(), topic(PROTECTED)), world, NOW_MS))
    assert isinstance(fix, AdmittedFix)
    assert not fix.sos_only


# --- alarms --------------------------------------------------------------------------------------------------


REFUSED_ALARMS: dict[str, tuple[bytes, str, Reason]] = {
    "wearer has no key": (sos(), topic(WEARER, "sos"), Reason.NOT_THIS_DEVICE),
    "nobody": (sos(), topic("nobody-1", "sos"), Reason.UNKNOWN_DEVICE),
    "no device": (sos(), "tocsin/1//sos", Reason.UNKNOWN_TOPIC),
    "another root": (sos(), f"tocsin/2/{PROTECTED}/sos", Reason.UNKNOWN_TOPIC),
    "nobody, and nothing that can be read": (b"\xff", topic("nobody-1", "sos"), Reason.UNKNOWN_DEVICE),
    "wearer, and nothing that can be read": (b"\xff", topic(WEARER, "sos"), Reason.NOT_THIS_DEVICE),
}

UNREADABLE: dict[str, bytes] = {
    **HOSTILE,
    "a press cut short": sos()[:-4],
    "a press not utf-8": b'{"_type":"sos\xff"}',
    "a press of endless nesting": b'{"_type":"sos","x":' + b"[" * 30_000,
    "a type of its own": sos(_type="location"),
    "a type that is no text": sos(_type=5),
    "not an object": b"1",
    "an array": b"[1,2]",
    "too large": b" " * 10_000_000,
    "too large by a byte": sos()[:-1] + b" " * (PAYLOAD_MAX_BYTES - len(sos())) + b" }",
}


def ring(payload: bytes, device: str = PROTECTED, t3_ms: int = NOW_MS + 40) -> Alarm:
    admission = admit_alarm(message(payload, topic(device, "sos"), t3_ms), known(), t3_ms + 1)
    assert isinstance(admission, Alarm), admission
    return admission


@pytest.mark.parametrize(("payload", "at", "reason"), REFUSED_ALARMS.values(), ids=REFUSED_ALARMS)
def test_refused_alarm(payload: bytes, at: str, reason: Reason) -> None:
    world = known()
    refusal = admit_alarm(message(payload, at), world, NOW_MS)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is reason
    assert isinstance(admit_alarm(message(sos(), topic(PROTECTED, "sos")), world, NOW_MS), Alarm)


@pytest.mark.parametrize(("device", "code"), [(PROTECTED, Code.BAR_SOS), (TGD, Code.TGD_SOS)])
def test_the_key(device: str, code: Code) -> None:
    alarm = ring(sos(silent=True, ms=7, created_at=NOW_S, created_ms=9), device)
    assert (alarm.code, alarm.device, alarm.silent, alarm.at_ms) == (code, device, True, NOW_MS + 7)
    assert alarm.measures == DEVICES[device].measures
    points = alarm.points
    hours = (points.t1_ms, points.t2_ms, points.t3_ms, points.t4_ms)
    assert hours == (NOW_MS + 7, NOW_MS + 9, NOW_MS + 40, NOW_MS + 41)
    assert alarm.position is not None
    assert (alarm.position.lat_e6, alarm.position.accuracy_dm, alarm.position.fix_ms) == (
        43_296_587,
        80,
        NOW_MS + 7,
    )


@pytest.mark.parametrize(("device", "code"), [(PROTECTED, Code.BAR_SOS), (TGD, Code.TGD_SOS)])
@pytest.mark.parametrize("payload", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_rings_with_the_hour_of_its_receipt(payload: bytes, device: str, code: Code) -> None:
    """The broker knows whose key it was; what it said costs nobody the alarm."""
    alarm = ring(payload, device)
    assert (alarm.code, alarm.device, alarm.measures) == (code, device, DEVICES[device].measures)
    assert (alarm.readable, alarm.silent, alarm.position) == (False, False, None)
    assert (alarm.at_ms, alarm.points.t1_ms, alarm.points.t2_ms) == (NOW_MS + 40, None, None)
    assert (alarm.points.t3_ms, alarm.points.t4_ms) == (NOW_MS + 40, NOW_MS + 41)


def test_the_largest_press_that_may_be_read_is_read() -> None:
    whole = sos()[:-1] + b" " * (PAYLOAD_MAX_BYTES - len(sos())) + b"}"
    assert len(whole) == PAYLOAD_MAX_BYTES
    assert ring(whole).readable


@pytest.mark.parametrize(
    "said", [topic(TGD, "sos"), topic(PROTECTED, "loc"), "", "tocsin/1/nobody-1/sos", 7, None]
)
def test_who_presses_is_the_brokers_word(said: object) -> None:
    """F31: a ``topic`` in the payload neither rings for another nor silences the one who pressed."""
    alarm = ring(sos(topic=said))
    assert (alarm.device, alarm.code, alarm.readable) == (PROTECTED, Code.BAR_SOS, True)
    assert alarm.id == ring(sos()).id
    assert alarm.position is not None


def test_two_readers_give_one_press_one_name() -> None:
    assert ring(sos(), t3_ms=NOW_MS).id == ring(sos(), t3_ms=NOW_MS + 3_000).id


@pytest.mark.parametrize("change", [{"seq": 2}, {"boot": 2}, {"tst": NOW_S + 1}, {"ms": 1}])
def test_another_press_has_another_name(change: dict[str, int]) -> None:
    assert ring(sos(**change)).id != ring(sos()).id


BROKEN_KEYS: dict[str, dict[str, Any]] = {
    "negative accuracy, as iOS says unknown": {"acc": -1},
    "accuracy as text": {"acc": "8"},
    "latitude as text": {"lat": "43.2"},
    "position off the earth": {"lat": 4e9},
    "no longitude": {"lon": None},
    "no number": {"seq": None},
    "no boot": {"boot": None},
    "a number of 65 bits": {"seq": 2**64},
    "no time": {"tst": None},
    "time with a fraction": {"tst": NOW_S + 0.25},
    "milliseconds for seconds": {"tst": NOW_MS},
    "1970": {"tst": 0},
    "GPS week rollover": {"tst": NOW_S - 1024 * 7 * 86_400},
    "years ahead": {"tst": NOW_S + 10**9, "created_at": 2**41, "fix_tst": 2**41},
    "silent as a number": {"silent": 1},
    "sent at a text": {"created_at": "now"},
    "everything wrong": {"tst": "x", "seq": "x", "boot": [], "lat": {}, "acc": "x", "ms": 5000, "silent": "x"},
}


@pytest.mark.parametrize("change", BROKEN_KEYS.values(), ids=BROKEN_KEYS)
def test_no_field_costs_the_alarm(change: dict[str, Any]) -> None:
    """Never refused for its clock, its position or its number; and its hour is one that every format can say."""
    alarm = ring(sos(**change))
    assert (alarm.code, alarm.readable) == (Code.BAR_SOS, True)
    assert abs(alarm.at_ms - NOW_MS) <= FIX_PAST_MAX_S * 1000
    for hour_ms in (alarm.points.t1_ms, alarm.points.t2_ms):
        assert hour_ms is None or abs(hour_ms - NOW_MS) <= FIX_PAST_MAX_S * 1000


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity"])
def test_no_number_that_is_none_costs_the_alarm(number: str) -> None:
    assert ring(sos().replace(str(LAT).encode(), number.encode())).position is None
    assert ring(sos().replace(str(LON).encode(), number.encode())).position is None


UNNUMBERED: dict[str, tuple[bytes, bytes]] = {
    "no number": (sos(seq=None), sos(seq=None, acc=9)),
    "no boot": (sos(boot=None), sos(boot=None, acc=9)),
    "no hour": (sos(tst=None), sos(tst=None, acc=9)),
    "a number as text": (sos(seq="1"), sos(seq="2")),
    "malformed": (sos()[:-4], sos()[:-5]),
    "nothing": (b"", b" "),
}
LAST_OF_BUCKET_MS = NOW_MS + UNNUMBERED_PRESS_MS - 1


@pytest.mark.parametrize(("payload", "other"), UNNUMBERED.values(), ids=UNNUMBERED)
def test_two_readers_give_one_unnumbered_press_one_name(payload: bytes, other: bytes) -> None:
    """By its bytes and the ten seconds of its receipt; other bytes and another device have names of their own."""
    assert NOW_MS % UNNUMBERED_PRESS_MS == 0, "the hours below are those of one bucket"
    name = ring(payload, t3_ms=NOW_MS).id
    assert ring(payload, t3_ms=LAST_OF_BUCKET_MS).id == name
    assert ring(other, t3_ms=NOW_MS).id != name
    assert ring(payload, TGD, t3_ms=NOW_MS).id != name
    assert ring(sos(), t3_ms=NOW_MS).id != name


@pytest.mark.parametrize("payload", [one for one, _ in UNNUMBERED.values()], ids=UNNUMBERED)
def test_an_unnumbered_press_is_never_taken_for_an_earlier_one(payload: bytes) -> None:
    """At worst it is raised twice; two presses under one name would be one silence."""
    hours = (NOW_MS - 1, NOW_MS, LAST_OF_BUCKET_MS + 1, NOW_MS + 3_600_000)
    assert len({ring(payload, t3_ms=hour_ms).id for hour_ms in hours}) == len(hours)


@pytest.mark.parametrize(
    ("change", "fix_ms"),
    [({}, NOW_MS), ({"fix_tst": NOW_S - 60}, NOW_MS - 60_000), ({"tst": 0}, NOW_MS + 40),
     ({"fix_tst": 0}, None), ({"fix_tst": "x"}, None), ({"fix_tst": 2**41}, None)],
)  # fmt: skip
def test_a_place_has_its_age_or_is_left_out(change: dict[str, Any], fix_ms: int | None) -> None:
    """Invariant 9."""
    position = ring(sos(**change)).position
    assert (None if position is None else position.fix_ms) == fix_ms


@pytest.mark.parametrize("judging", [admit, admit_alarm])
def test_the_same_message_is_judged_the_same(judging: Callable[..., object]) -> None:
    """Invariant 11."""
    for payload, at, *_ in (*REFUSED.values(), (location(), topic()), (sos(), topic(PROTECTED, "sos"))):
        one = message(payload, at)
        assert judging(one, known(), NOW_MS) == judging(one, known(), NOW_MS)
