"""What does a unit say beside its places: that it is there, how it is, what has happened to it, what became of an
order? Part of admission.

A sign of life counts whatever it says; what cannot be read of it is refused beside that. An event is read strictly
and enters as a row without a place, in the order of its device's fixes. What cannot wait also rings, on the alarm
lane, at its worst priority; there nothing else is refused or counted, since this lane's twin has heard it too.
"""

from __future__ import annotations

from ingest.admitted import (
    TOO_LARGE,
    Admission,
    AdmittedEvent,
    Answered,
    Duplicate,
    Heard,
    Message,
    OtherLane,
    Presence,
    Said,
    clock_refusal,
    concerned,
    id_of,
    plausible,
    tail,
)
from ingest.dialects import tocsin_v1
from ingest.dialects.reports import EventReport, Reason, Refusal, Telemetry
from ingest.known import Known
from tocsin.clock import MS
from tocsin.limits import PAIR_SHAKY_S, PAYLOAD_MAX_BYTES, PRESENCE_EVERY_S, RESULTS_A_MINUTE_MAX
from tocsin.model.command import CommandStatus, Stage
from tocsin.model.device import Device, DeviceKind
from tocsin.model.finding import Alarm, Code
from tocsin.model.fix import ABSENT, SILENT_TAIL, ClockPoints, DeviceEvent, FixFlag, Source


def admit_state(device: Device, message: Message, known: Known, now_ms: int) -> list[Admission]:
    """A sign of life whatever it says; what cannot be read of it is refused beside that."""
    t3_ms = message.t3_ms
    if not _is_paired(device):
        return [Heard()]
    if len(message.payload) > PAYLOAD_MAX_BYTES:
        return [presence(device, t3_ms, known, now_ms, None), TOO_LARGE]
    said = tocsin_v1.read_status(message.payload)
    if isinstance(said, Refusal):
        return [presence(device, t3_ms, known, now_ms, None), said]
    return [presence(device, t3_ms, known, now_ms, said)]


def admit_result(device: Device, message: Message, known: Known, now_ms: int) -> list[Admission]:
    """A sign of life whatever it says, and the answer to an order if it can be read. Nobody has more than
    RESULTS_A_MINUTE_MAX of them kept: the rest would make others' give way."""
    heard: Admission = presence(device, message.t3_ms, known, now_ms, None)
    if len(message.payload) > PAYLOAD_MAX_BYTES:
        return [heard, TOO_LARGE]
    said = tocsin_v1.read_result(message.payload)
    if isinstance(said, Refusal):
        return [heard, said]
    if known.answers_in(device.id, message.t3_ms // MINUTE_MS) >= RESULTS_A_MINUTE_MAX:
        return [heard, Heard()]
    status = CommandStatus(
        command=said.command, device=device.id, stage=STAGES[said.result], at_ms=message.t3_ms, reason=said.result
    )
    return [heard, Answered(status=status)]


MINUTE_MS = 60 * MS
STAGES = {
    "accepted": Stage.DELIVERED, "done": Stage.DONE, "rejected": Stage.FAILED, "expired": Stage.EXPIRED,
}  # fmt: skip


def _is_paired(device: Device) -> bool:
    """Of a device in a pair; a TGD is in none."""
    return bool(device.measures) and device.kind is not DeviceKind.TGD


def presence(
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
    said_tail = SILENT_TAIL if telemetry is None else tail(telemetry)
    battery = _battery(telemetry)
    row = (
        *_nowhere(device.number, t3_ms, now_ms),
        int(FixFlag.PRESENCE),
        int(Source.UNKNOWN),
        battery,
        0,
        *said_tail,
    )
    copies = tuple((partition, row) for partition in concerned(device, known.partitions))
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


def admit_event(device: Device, message: Message, known: Known, now_ms: int) -> Admission:
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
    sent_ms = plausible(report.sent_ms, now_ms)
    row = (
        *_nowhere(
            device.number, message.t3_ms, now_ms, boot=boot, seq=seq, at_ms=at_ms,
            sent_ms=ABSENT if sent_ms is None else sent_ms,
        ),
        int(FixFlag.PRESENCE), int(Source.UNKNOWN), _battery(report.telemetry), 0,
        *tail(report.telemetry, report.event),
    )  # fmt: skip
    copies = tuple((partition, row) for partition in concerned(device, known.partitions))
    return AdmittedEvent(device=device.id, boot=boot, seq=seq, at_ms=at_ms, copies=copies)


def _event(message: Message) -> EventReport | Refusal:
    if len(message.payload) > PAYLOAD_MAX_BYTES:
        return TOO_LARGE
    return tocsin_v1.read_event(message.payload, message.topic)


def _event_refusal(report: EventReport, device: Device, now_ms: int) -> Refusal | None:
    if report.event in OF_A_TAG and device.kind is not DeviceKind.WEARER:
        detail = "only a wearer's unit has a tag"
        return Refusal(reason=Reason.NOT_THIS_DEVICE, path="$.event", detail=detail)
    if report.event is DeviceEvent.SELF_TEST and device.kind is not DeviceKind.TGD:
        return Refusal(reason=Reason.NOT_THIS_DEVICE, path="$.event", detail="only a TGD is tested so")
    if report.event in tocsin_v1.ALARMS or report.at_ms is None:
        return None
    return clock_refusal(report.at_ms, "$.tst", now_ms)


OF_A_TAG = frozenset({
    DeviceEvent.STRAP_OPEN, DeviceEvent.STRAP_CLOSED, DeviceEvent.SEPARATION, DeviceEvent.SEPARATION_END,
})  # fmt: skip


def event_alarm(device: Device, message: Message, now_ms: int) -> Alarm | OtherLane:
    """What rings at once, at its worst priority; the other lane refuses, counts and passes on everything."""
    report = _event(message)
    if isinstance(report, Refusal) or _event_refusal(report, device, now_ms):
        return OtherLane()
    code = ALARM_CODES.get((device.kind, report.event))
    if code is None:
        return OtherLane()
    at_ms = plausible(report.at_ms, now_ms)
    return Alarm(
        id=_event_id(report, device, message),
        code=code,
        device=device.id,
        measures=device.measures,
        at_ms=message.t3_ms if at_ms is None else at_ms,
        silent=False,
        position=None,
        points=ClockPoints(
            t1_ms=at_ms, t2_ms=plausible(report.sent_ms, now_ms), t3_ms=message.t3_ms, t4_ms=now_ms, t5_ms=now_ms
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
    return id_of(report.numbers, device, message)
