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
* what ``res`` says of an order goes to the log beside that;
* an event goes to the geofence as a row without a place, in the order of its device's fixes. A strap or case that
  is open and a radio that hears the other party ring on the alarm lane besides (``tocsin_v1.ALARMS``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ingest.admitted import (
    TOO_LARGE,
    UNNUMBERED_PRESS_MS,
    Admission,
    AdmittedEvent,
    AdmittedFix,
    Answered,
    Duplicate,
    FixRow,
    Heard,
    Message,
    OtherLane,
    OwnWord,
    Presence,
    clock_refusal,
    concerned,
    id_of,
    plausible,
    tail,
)
from ingest.dialects import owntracks, tocsin_v1
from ingest.dialects.reports import (
    NotAFix,
    PositionReport,
    Reason,
    Refusal,
    SosPosition,
    SosReport,
)
from ingest.known import Known
from ingest.unit_words import admit_event, admit_result, admit_state, event_alarm
from tocsin.clock import MS
from tocsin.limits import PAYLOAD_MAX_BYTES
from tocsin.model.device import Device, DeviceKind
from tocsin.model.finding import Alarm, Code
from tocsin.model.fix import (
    ABSENT,
    ClockPoints,
    FixFlag,
    FixPoint,
)
from tocsin.model.ids import is_device_id
from tocsin.subjects import PHONE_ROOT, TOPIC_ROOT, device_in

__all__ = [
    "UNNUMBERED_PRESS_MS", "Admission", "AdmittedEvent", "AdmittedFix", "Answered", "Duplicate", "FixRow", "Heard",
    "Message", "OtherLane", "OwnWord", "Presence", "admit", "admit_alarm",
]  # fmt: skip

SKEW_S = 5  # DOMAIN 3: skew between device and ingress time above 5 s is an event


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
            return admit_state(device, message, known, now_ms)
        if leaf == "res":
            return admit_result(device, message, known, now_ms)
        if leaf == "evt":
            return [admit_event(device, message, known, now_ms)]
    read = (_phone_reader if _is_phone(message.topic) else _unit_reader)(leaf)
    if not callable(read):
        return [read]
    if len(message.payload) > PAYLOAD_MAX_BYTES:
        return [TOO_LARGE]
    bulk = leaf == "bulk"
    return [_admit_report(report, device, message, known, now_ms, bulk=bulk) for report in read(message)]


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
        return event_alarm(device, message, now_ms)
    if leaf != "sos":
        return Refusal(reason=Reason.NOT_SUPPORTED, detail="neither the key nor an event")
    code = SOS_CODES.get(device.kind)
    if code is None:
        return Refusal(reason=Reason.NOT_THIS_DEVICE, detail="this kind of device has no SOS key")
    return _alarm(_press(message.payload), code, device, message, now_ms)


def _press(payload: bytes) -> SosReport | Refusal:
    if len(payload) > PAYLOAD_MAX_BYTES:
        return TOO_LARGE
    return tocsin_v1.read_sos(payload)


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
    return clock_refusal(report.fix_ms, f"{report.path}.tst", now_ms)


def _copies(
    report: PositionReport, device: Device, t3_ms: int, now_ms: int, flags: FixFlag, partitions: int
) -> tuple[tuple[int, FixRow], ...]:
    """One row per partition concerned; unpaired devices go by their own name."""
    archived = device.kind is not DeviceKind.TGD
    return tuple(
        (partition, _row(report, device.number, t3_ms, now_ms, flags, primary=index == 0 and archived))
        for index, partition in enumerate(concerned(device, partitions))
    )


def _row(report: PositionReport, number: int, t3_ms: int, t4_ms: int, flags: FixFlag, *, primary: bool) -> FixRow:
    return (
        number,
        report.boot,
        report.seq,
        report.fix_ms,
        ABSENT if (sent_ms := plausible(report.sent_ms, t4_ms)) is None else sent_ms,
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
        *tail(report.telemetry),
    )


def _scaled(value: float | None, factor: int) -> int:
    return ABSENT if value is None else round(value * factor)


def _alarm(said: SosReport | Refusal, code: Code, device: Device, message: Message, now_ms: int) -> Alarm:
    """The hour is the device's where it can be right, else the hour of receipt: a unit that sends milliseconds
    for seconds names the year 58,000, which no recipient's format can say. What cannot be read at all came from
    this device's key none the less (the broker saw to that), and rings."""
    report = UNREADABLE_PRESS if isinstance(said, Refusal) else said
    t3_ms = message.t3_ms
    pressed_ms = plausible(report.pressed_ms, now_ms)
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
            t1_ms=pressed_ms, t2_ms=plausible(report.sent_ms, now_ms), t3_ms=t3_ms, t4_ms=now_ms, t5_ms=now_ms
        ),
        readable=report is not UNREADABLE_PRESS,
    )


UNREADABLE_PRESS = SosReport(pressed_ms=None, boot=None, seq=None, silent=False)


def _alarm_id(report: SosReport, device: Device, message: Message) -> str:
    """One press, one name, whichever reader took it. A press without its numbers is named by its bytes and the
    ten seconds of its receipt: rather raised twice, at a boundary, than taken for an earlier one."""
    if report.boot is None or report.seq is None or report.pressed_ms is None:
        return id_of(None, device, message)
    return id_of((report.boot, report.seq, report.pressed_ms), device, message)


def _alarm_position(position: SosPosition, device: Device, at_ms: int, now_ms: int) -> FixPoint | None:
    fix_ms = at_ms if position.fix_ms is None else plausible(position.fix_ms, now_ms)
    if fix_ms is None:
        return None  # a place without its age is none (invariant 9)
    return FixPoint(
        device=device.id,
        lat_e6=round(position.lat * 1e6),
        lon_e6=round(position.lon * 1e6),
        accuracy_dm=None if position.accuracy_m is None else round(position.accuracy_m * 10),
        fix_ms=fix_ms,
    )
