"""May this message enter, on which lane, and to which partitions? The deciding function of ingest.

``admit`` looks at one message, at what is known of its device and at the hour; it touches nothing. The rules:

* identity is the topic (the broker lets a device speak under its own id only);
* a fix from the future beyond drift, or older than a month, is a wrong clock: refused;
* a fix older than ``late_after_s`` goes to the backlog lane: kept as evidence, never a live alarm (invariant 4);
* a repeated (boot, seq, hour of the fix) is a duplicate: counted, acknowledged, not published again; a phone that
  does not count is known again by what it measured (``ingest.dialects.owntracks``, Identity);
* an alarm is never refused for its clock, its position or its number: at worst it is raised twice under one id;
* a TGD's position outside an SOS is dropped and counted (invariant 6);
* a device with measures that speaks without a place, on ``state`` or ``res``, is present: the geofence must know
  the silence of a receiver from that of a unit. A last will is the broker's word and not the device's;
* an event goes to the geofence as a row without a place, in the order of its device's fixes. A strap or case that
  is open and a radio that hears the other party ring on the alarm lane besides (``tocsin_v1.ALARMS``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ingest.dialects import owntracks, tocsin_v1
from ingest.dialects.reports import (
    EventReport,
    NotAFix,
    PositionReport,
    Reason,
    Refusal,
    SosPosition,
    SosReport,
    Telemetry,
)
from ingest.known import Known
from tocsin.clock import MS
from tocsin.limits import FIX_FUTURE_MAX_S, FIX_PAST_MAX_S, PAIR_SHAKY_S, PAYLOAD_MAX_BYTES, PRESENCE_EVERY_S
from tocsin.model.device import Device, DeviceKind
from tocsin.model.finding import Alarm, Code
from tocsin.model.fix import (
    ABSENT,
    PAIR_S1_MAX,
    SILENT_TAIL,
    ClockPoints,
    DeviceEvent,
    FixFlag,
    FixPoint,
    Source,
)
from tocsin.model.ids import alarm_id, derived, is_device_id
from tocsin.subjects import PHONE_ROOT, TOPIC_ROOT, device_in, partition_of

UNNUMBERED_PRESS_MS = 10 * MS
SKEW_S = 5  # DOMAIN 3: skew between device and ingress time above 5 s is an event

FixRow = tuple[int | bytes, ...]
"""One FIX_DTYPE record as a tuple, in the order of its fields."""
Said = tuple[int, ...]
"""What a sign of life said of its unit, as far as a change of it must not wait; empty: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What the broker handed over; ``t3_ms`` is its hour of ingress as far as we can see it."""

    topic: str
    payload: bytes
    t3_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmittedFix:
    """One fix, once per partition concerned; the first is the primary copy.

    ``sos_only``: of a TGD during its SOS. It has no primary copy, so that no table keeps it past the log's 48 h
    (the law allows 3 days).
    """

    device: str
    boot: int
    seq: int
    fix_ms: int
    late: bool
    sos_only: bool
    copies: tuple[tuple[int, FixRow], ...]


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Seen before."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Accepted; nothing in this version is decided from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """The device was heard and said no place: one row per partition of its measures, none of them primary."""

    device: str
    heard_ms: int
    copies: tuple[tuple[int, FixRow], ...]
    said: Said = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmittedEvent:
    """Something happened to a device: one row per partition of its measures, none of them primary. ``boot``
    ABSENT: it came without its numbers."""

    device: str
    boot: int
    seq: int
    at_ms: int
    copies: tuple[tuple[int, FixRow], ...]


@dataclass(frozen=True, slots=True)
class OtherLane:
    """Belongs to the session of the other lane, which gets its own copy."""


@dataclass(frozen=True, slots=True)
class OwnWord:
    """Ours to a device: a wildcard subscription hears it too. Nobody's report, and counted nowhere."""


Admission = AdmittedFix | AdmittedEvent | Alarm | Duplicate | Heard | Presence | OtherLane | OwnWord | Refusal

OTHER_LEAVES: Mapping[str, Admission] = {
    "state": Heard(),
    "lwt": Heard(),
    "res": Heard(),
    "cfg/got": Heard(),
    "sos": OtherLane(),
    "cmd": OwnWord(),
    "cfg/want": OwnWord(),
    "err": OwnWord(),
}

PHONE_LEAVES: Mapping[str, Admission] = {
    **dict.fromkeys(("event", "step", "beacon", "dump", "status", "waypoint", "waypoints", "info"), Heard()),
    "cmd": OwnWord(),
}
"""Behind ``owntracks/{device}/{any}/``. What is heard is not read: a dump holds the phone's password."""

Reading = list[PositionReport | NotAFix | Refusal]


def admit(message: Message, known: Known, now_ms: int) -> list[Admission]:
    """Judge one message of the fix lane: one admission, or one per point of a bulk."""
    found = _speaker(message.topic, known)
    if isinstance(found, Refusal):
        return [found]
    device, leaf = found
    if not _is_phone(message.topic):
        if leaf == "state":
            return _state(device, message, known, now_ms)
        if leaf == "res":
            return [_presence(device, message.t3_ms, known, now_ms, None)]
        if leaf == "evt":
            return [_admit_event(device, message, known, now_ms)]
    read = (_phone_reader if _is_phone(message.topic) else _unit_reader)(leaf)
    if not callable(read):
        return [read]
    if len(message.payload) > PAYLOAD_MAX_BYTES:
        return [TOO_LARGE]
    bulk = leaf == "bulk"
    return [_admit_report(report, device, message, known, now_ms, bulk=bulk) for report in read(message)]


def _state(device: Device, message: Message, known: Known, now_ms: int) -> list[Admission]:
    """A sign of life whatever it says; what cannot be read of it is refused beside that."""
    t3_ms = message.t3_ms
    if not _is_paired(device):
        return [Heard()]
    if len(message.payload) > PAYLOAD_MAX_BYTES:
        return [_presence(device, t3_ms, known, now_ms, None), TOO_LARGE]
    said = tocsin_v1.read_status(message.payload)
    if isinstance(said, Refusal):
        return [_presence(device, t3_ms, known, now_ms, None), said]
    return [_presence(device, t3_ms, known, now_ms, said)]


def _is_paired(device: Device) -> bool:
    """Of a device in a pair; a TGD is in none."""
    return bool(device.measures) and device.kind is not DeviceKind.TGD


def _presence(
    device: Device, t3_ms: int, known: Known, now_ms: int, telemetry: Telemetry | None
) -> Presence | Heard:
    """At most each PRESENCE_EVERY_S, unless it says something else of itself than before."""
    if not _is_paired(device):
        return Heard()
    said = _said(telemetry)
    if not said or said == known.present_said.get(device.id):
        ago_ms = t3_ms - known.present_ms.get(device.id, -PRESENCE_EVERY_S * MS)
        if 0 <= ago_ms < PRESENCE_EVERY_S * MS:
            return Heard()
    tail = SILENT_TAIL if telemetry is None else _tail(telemetry)
    battery = _battery(telemetry)
    row = (*_nowhere(device.number, t3_ms, now_ms), int(FixFlag.PRESENCE), int(Source.UNKNOWN), battery, 0, *tail)
    copies = tuple((partition, row) for partition in _concerned(device, known.partitions))
    return Presence(device=device.id, heard_ms=t3_ms, copies=copies, said=said)


def _said(telemetry: Telemetry | None) -> Said:
    """What must not wait for the next sign of life; of the pairing only whether it is well."""
    if telemetry is None:
        return ()
    one, pair_s = telemetry, telemetry.pair_s
    well = -1 if pair_s is None else int(pair_s < PAIR_SHAKY_S)
    return (_battery(one), int(one.strap), int(one.case), int(one.permission), well)


def _nowhere(
    number: int, t3_ms: int, t4_ms: int, *, boot: int = ABSENT, seq: int = ABSENT, at_ms: int | None = None,
    sent_ms: int = ABSENT,
) -> tuple[int, ...]:  # fmt: skip
    """The first fields of a row without a place; its hour is that of its reception, unless it has another."""
    hour_ms = t3_ms if at_ms is None else at_ms
    return (number, boot, seq, hour_ms, sent_ms, t3_ms, t4_ms, 0, 0, ABSENT, ABSENT, ABSENT)


def _battery(telemetry: Telemetry | None) -> int:
    return ABSENT if telemetry is None or telemetry.battery_pct is None else telemetry.battery_pct


def _tail(telemetry: Telemetry, event: DeviceEvent = DeviceEvent.NONE) -> tuple[int | bytes, ...]:
    """The fields from ``event`` on."""
    pair_s1 = 0 if telemetry.pair_s is None else min(telemetry.pair_s + 1, PAIR_S1_MAX)
    return (
        int(event), pair_s1, 1, int(telemetry.strap), int(telemetry.case), int(telemetry.permission), b"",
    )  # fmt: skip


# --- events ----------------------------------------------------------------------------------------------------


def _admit_event(device: Device, message: Message, known: Known, now_ms: int) -> Admission:
    """Of an event that rings nothing is refused but what it is: its hour is then that of its reception."""
    report = _event(message)
    if isinstance(report, Refusal):
        return report
    if refusal := _event_refusal(report, device, now_ms):
        return refusal
    if report.numbers is not None and known.is_repeat(device.id, *report.numbers):
        return Duplicate()
    if not _is_paired(device):
        return Heard()
    boot, seq, at_ms = report.numbers or (ABSENT, ABSENT, message.t3_ms)
    sent_ms = _plausible(report.sent_ms, now_ms)
    row = (
        *_nowhere(
            device.number, message.t3_ms, now_ms, boot=boot, seq=seq, at_ms=at_ms,
            sent_ms=ABSENT if sent_ms is None else sent_ms,
        ),
        int(FixFlag.PRESENCE), int(Source.UNKNOWN), _battery(report.telemetry), 0,
        *_tail(report.telemetry, report.event),
    )  # fmt: skip
    copies = tuple((partition, row) for partition in _concerned(device, known.partitions))
    return AdmittedEvent(device=device.id, boot=boot, seq=seq, at_ms=at_ms, copies=copies)


def _event(message: Message) -> EventReport | Refusal:
    if len(message.payload) > PAYLOAD_MAX_BYTES:
        return TOO_LARGE
    return tocsin_v1.read_event(message.payload, message.topic)


def _event_refusal(report: EventReport, device: Device, now_ms: int) -> Refusal | None:
    if report.event in OF_A_TAG and device.kind is not DeviceKind.WEARER:
        detail = "only a wearer's unit has a tag"
        return Refusal(reason=Reason.NOT_THIS_DEVICE, path="$.event", detail=detail)
    if report.event in tocsin_v1.ALARMS or report.at_ms is None:
        return None
    return _clock_refusal(report.at_ms, "$.tst", now_ms)


OF_A_TAG = frozenset({
    DeviceEvent.STRAP_OPEN, DeviceEvent.STRAP_CLOSED, DeviceEvent.SEPARATION, DeviceEvent.SEPARATION_END,
})  # fmt: skip


def _is_phone(topic: str) -> bool:
    return topic.startswith(f"{PHONE_ROOT}/")


def _unit_reader(leaf: str) -> Callable[[Message], Reading] | Admission:
    match leaf:
        case "loc":
            return lambda message: [tocsin_v1.read_location(message.payload, message.topic)]
        case "bulk":
            return _read_bulk
        case _:
            return OTHER_LEAVES.get(leaf, NO_SUCH_LEAF)


def _read_bulk(message: Message) -> Reading:
    reports = tocsin_v1.read_bulk(message.payload, message.topic)
    return [reports] if isinstance(reports, Refusal) else list(reports)


def _phone_reader(leaf: str) -> Callable[[Message], Reading] | Admission:
    """``{dev}`` is the user's own word for his phone; ``{dev}/{leaf}`` what the app says beside its places."""
    name, _, beside = leaf.partition("/")
    if not name or beside:
        return PHONE_LEAVES.get(beside, NO_SUCH_LEAF) if name else NO_SUCH_LEAF
    return lambda message: [owntracks.read_phone(message.payload)]


NO_SUCH_LEAF = Refusal(reason=Reason.UNKNOWN_TOPIC, detail="no such leaf below the device")


def admit_alarm(message: Message, known: Known, now_ms: int) -> Alarm | OtherLane | Refusal:
    """Judge one message of the alarm lane."""
    found = _speaker(message.topic, known)
    if isinstance(found, Refusal):
        return found
    device, leaf = found
    if leaf == "evt":
        return _event_alarm(device, message, now_ms)
    code = SOS_CODES.get(device.kind)
    if code is None:
        return Refusal(reason=Reason.NOT_THIS_DEVICE, detail="this kind of device has no SOS key")
    return _alarm(_press(message.payload), code, device, message, now_ms)


def _event_alarm(device: Device, message: Message, now_ms: int) -> Alarm | OtherLane:
    """What rings at once, at its worst priority; the other lane refuses, counts and passes on everything."""
    report = _event(message)
    if isinstance(report, Refusal) or _event_refusal(report, device, now_ms):
        return OtherLane()
    code = ALARM_CODES.get((device.kind, report.event))
    if code is None:
        return OtherLane()
    at_ms = _plausible(report.at_ms, now_ms)
    return Alarm(
        id=_event_id(report, device, message),
        code=code,
        device=device.id,
        measures=device.measures,
        at_ms=message.t3_ms if at_ms is None else at_ms,
        silent=False,
        position=None,
        points=ClockPoints(
            t1_ms=at_ms, t2_ms=_plausible(report.sent_ms, now_ms), t3_ms=message.t3_ms, t4_ms=now_ms, t5_ms=now_ms
        ),
        readable=report.readable,
        event=report.event.name.lower(),
        local=report.local,
    )


ALARM_CODES = {
    (DeviceKind.WEARER, DeviceEvent.STRAP_OPEN): Code.STRAP_TAMPER,
    (DeviceKind.WEARER, DeviceEvent.CASE_OPEN): Code.STRAP_TAMPER,
    (DeviceKind.WEARER, DeviceEvent.RF_PROXIMITY): Code.RF_PROXIMITY,
    (DeviceKind.PROTECTED, DeviceEvent.RF_PROXIMITY): Code.RF_PROXIMITY,
}


def _event_id(report: EventReport, device: Device, message: Message) -> str:
    return _id_of(report.numbers, device, message)


def _press(payload: bytes) -> SosReport | Refusal:
    if len(payload) > PAYLOAD_MAX_BYTES:
        return TOO_LARGE
    return tocsin_v1.read_sos(payload)


TOO_LARGE = Refusal(reason=Reason.TOO_LARGE, detail=f"{PAYLOAD_MAX_BYTES} bytes at most")
SOS_CODES = {DeviceKind.PROTECTED: Code.BAR_SOS, DeviceKind.TGD: Code.TGD_SOS}


def _speaker(topic: str, known: Known) -> tuple[Device, str] | Refusal:
    """Who speaks, and the rest of the topic behind his name."""
    name = device_in(topic) or ""
    if not is_device_id(name):
        detail = "not tocsin/1/{device}/{leaf}, nor owntracks/{device}/{any}"
        return Refusal(reason=Reason.UNKNOWN_TOPIC, detail=detail)
    device = known.devices.get(name)
    if device is None:
        return Refusal(reason=Reason.UNKNOWN_DEVICE, detail="no device of this name is registered")
    root = PHONE_ROOT if _is_phone(topic) else TOPIC_ROOT
    return device, topic.removeprefix(f"{root}/{name}").removeprefix("/")


def _admit_report(
    report: PositionReport | NotAFix | Refusal,
    device: Device,
    message: Message,
    known: Known,
    now_ms: int,
    *,
    bulk: bool,
) -> Admission:
    match report:
        case Refusal():
            return report
        case NotAFix():
            return Heard()
        case PositionReport():
            return _admit_fix(report, device, message, known, now_ms, bulk=bulk)


def _admit_fix(
    report: PositionReport, device: Device, message: Message, known: Known, now_ms: int, *, bulk: bool
) -> Admission:
    if refusal := _refusal(report, device, known, now_ms):
        return refusal
    if known.is_repeat(device.id, report.boot, report.seq, report.fix_ms):
        return Duplicate()
    if report.seq == ABSENT:
        place_ms = known.unnumbered[device.id].place_in(report.fix_ms // MS)
        report = replace(report, fix_ms=report.fix_ms + place_ms)
    flags = FixFlag.BULK if bulk else FixFlag.NONE
    if report.sent_ms is not None and abs(message.t3_ms - report.sent_ms) > SKEW_S * MS:
        flags |= FixFlag.CLOCK_SKEW
    late = bulk or now_ms - report.fix_ms > known.late_after_s * MS
    return AdmittedFix(
        device=device.id,
        boot=report.boot,
        seq=report.seq,
        fix_ms=report.fix_ms,
        late=late,
        sos_only=device.kind is DeviceKind.TGD,
        copies=_copies(report, device, message.t3_ms, now_ms, flags, known.partitions),
    )


def _refusal(report: PositionReport, device: Device, known: Known, now_ms: int) -> Refusal | None:
    if device.kind is DeviceKind.TGD and device.id not in known.open_sos:
        detail = "a TGD is located only once its alert has been raised"
        return Refusal(reason=Reason.TGD_POSITION, path=report.path, detail=detail)
    return _clock_refusal(report.fix_ms, f"{report.path}.tst", now_ms)


def _clock_refusal(at_ms: int, path: str, now_ms: int) -> Refusal | None:
    if at_ms > now_ms + FIX_FUTURE_MAX_S * MS:
        detail = f"more than {FIX_FUTURE_MAX_S} s ahead"
        return Refusal(reason=Reason.CLOCK_AHEAD, path=path, detail=detail)
    if at_ms < now_ms - FIX_PAST_MAX_S * MS:
        detail = f"more than {FIX_PAST_MAX_S} s ago"
        return Refusal(reason=Reason.CLOCK_BEHIND, path=path, detail=detail)
    return None


def _copies(
    report: PositionReport, device: Device, t3_ms: int, now_ms: int, flags: FixFlag, partitions: int
) -> tuple[tuple[int, FixRow], ...]:
    """One row per partition concerned; unpaired devices go by their own name."""
    archived = device.kind is not DeviceKind.TGD
    return tuple(
        (partition, _row(report, device.number, t3_ms, now_ms, flags, primary=index == 0 and archived))
        for index, partition in enumerate(_concerned(device, partitions))
    )


def _concerned(device: Device, partitions: int) -> list[int]:
    return sorted({partition_of(key, partitions) for key in device.measures or (device.id,)})


def _row(report: PositionReport, number: int, t3_ms: int, t4_ms: int, flags: FixFlag, *, primary: bool) -> FixRow:
    return (
        number,
        report.boot,
        report.seq,
        report.fix_ms,
        ABSENT if (sent_ms := _plausible(report.sent_ms, t4_ms)) is None else sent_ms,
        t3_ms,
        t4_ms,
        round(report.lat * 1e6),
        round(report.lon * 1e6),
        _scaled(report.accuracy_m, 10),
        _scaled(report.speed_m_s, 100),
        _scaled(report.course_deg, 10),
        int(flags),
        int(report.source),
        ABSENT if report.battery_pct is None else report.battery_pct,
        int(primary),
        *_tail(report.telemetry),
    )


def _scaled(value: float | None, factor: int) -> int:
    return ABSENT if value is None else round(value * factor)


def _alarm(said: SosReport | Refusal, code: Code, device: Device, message: Message, now_ms: int) -> Alarm:
    """The hour is the device's where it can be right, else the hour of receipt: a unit that sends milliseconds
    for seconds names the year 58,000, which no recipient's format can say. What cannot be read at all came from
    this device's key none the less (the broker saw to that), and rings."""
    report = UNREADABLE_PRESS if isinstance(said, Refusal) else said
    t3_ms = message.t3_ms
    pressed_ms = _plausible(report.pressed_ms, now_ms)
    at_ms = t3_ms if pressed_ms is None else pressed_ms
    return Alarm(
        id=_alarm_id(report, device, message),
        code=code,
        device=device.id,
        measures=device.measures,
        at_ms=at_ms,
        silent=report.silent,
        position=None if report.position is None else _alarm_position(report.position, device, at_ms, now_ms),
        points=ClockPoints(
            t1_ms=pressed_ms, t2_ms=_plausible(report.sent_ms, now_ms), t3_ms=t3_ms, t4_ms=now_ms, t5_ms=now_ms
        ),
        readable=report is not UNREADABLE_PRESS,
    )


UNREADABLE_PRESS = SosReport(pressed_ms=None, boot=None, seq=None, silent=False)


def _alarm_id(report: SosReport, device: Device, message: Message) -> str:
    """One press, one name, whichever reader took it. A press without its numbers is named by its bytes and the
    ten seconds of its receipt: rather raised twice, at a boundary, than taken for an earlier one."""
    if report.boot is None or report.seq is None or report.pressed_ms is None:
        return _id_of(None, device, message)
    return _id_of((report.boot, report.seq, report.pressed_ms), device, message)


def _id_of(numbers: tuple[int, int, int] | None, device: Device, message: Message) -> str:
    if numbers is not None:
        return alarm_id(device.id, *numbers)
    bytes_said = hashlib.sha256(message.payload).hexdigest()
    return derived("alm", device.id, "unnumbered", bytes_said, message.t3_ms // UNNUMBERED_PRESS_MS)


def _alarm_position(position: SosPosition, device: Device, at_ms: int, now_ms: int) -> FixPoint | None:
    fix_ms = at_ms if position.fix_ms is None else _plausible(position.fix_ms, now_ms)
    if fix_ms is None:
        return None  # a place without its age is none (invariant 9)
    return FixPoint(
        device=device.id,
        lat_e6=round(position.lat * 1e6),
        lon_e6=round(position.lon * 1e6),
        accuracy_dm=None if position.accuracy_m is None else round(position.accuracy_m * 10),
        fix_ms=fix_ms,
    )


def _plausible(hour_ms: int | None, now_ms: int) -> int | None:
    """An hour that a working clock can say now."""
    if hour_ms is None or not now_ms - FIX_PAST_MAX_S * MS <= hour_ms <= now_ms + FIX_FUTURE_MAX_S * MS:
        return None
    return hour_ms
