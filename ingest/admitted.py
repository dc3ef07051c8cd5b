"""What can become of one message, and which checks are those of every kind of message?"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from ingest.dialects.reports import Reason, Refusal, Telemetry
from tocsin.clock import MS
from tocsin.limits import FIX_FUTURE_MAX_S, FIX_PAST_MAX_S, PAYLOAD_MAX_BYTES
from tocsin.model.command import CommandStatus
from tocsin.model.device import Device
from tocsin.model.finding import Alarm
from tocsin.model.fix import PAIR_S1_MAX, DeviceEvent
from tocsin.model.ids import alarm_id, derived
from tocsin.subjects import partition_of

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The device says what became of an order."""

    status: CommandStatus


@dataclass(frozen=True, slots=True)
class OtherLane:
    """Belongs to the session of the other lane, which gets its own copy."""


@dataclass(frozen=True, slots=True)
class OwnWord:
    """Ours to a device: a wildcard subscription hears it too. Nobody's report, and counted nowhere."""


Admission = (
    AdmittedFix | AdmittedEvent | Alarm | Answered | Duplicate | Heard | Presence | OtherLane | OwnWord | Refusal
)


# --- checks and small things -----------------------------------------------------------------------------------


UNNUMBERED_PRESS_MS = 10 * MS

TOO_LARGE = Refusal(reason=Reason.TOO_LARGE, detail=f"{PAYLOAD_MAX_BYTES} bytes at most")


def concerned(device: Device, partitions: int) -> list[int]:
    return sorted({partition_of(key, partitions) for key in device.measures or (device.id,)})


def plausible(hour_ms: int | None, now_ms: int) -> int | None:
    """An hour that a working clock can say now."""
    if hour_ms is None or not now_ms - FIX_PAST_MAX_S * MS <= hour_ms <= now_ms + FIX_FUTURE_MAX_S * MS:
        return None
    return hour_ms


def clock_refusal(at_ms: int, path: str, now_ms: int) -> Refusal | None:
    if at_ms > now_ms + FIX_FUTURE_MAX_S * MS:
        detail = f"more than {FIX_FUTURE_MAX_S} s ahead"
        return Refusal(reason=Reason.CLOCK_AHEAD, path=path, detail=detail)
    if at_ms < now_ms - FIX_PAST_MAX_S * MS:
        detail = f"more than {FIX_PAST_MAX_S} s ago"
        return Refusal(reason=Reason.CLOCK_BEHIND, path=path, detail=detail)
    return None


def id_of(numbers: tuple[int, int, int] | None, device: Device, message: Message) -> str:
    if numbers is not None:
        return alarm_id(device.id, *numbers)
    bytes_said = hashlib.sha256(message.payload).hexdigest()
    return derived("alm", device.id, "unnumbered", bytes_said, message.t3_ms // UNNUMBERED_PRESS_MS)


def tail(telemetry: Telemetry, event: DeviceEvent = DeviceEvent.NONE) -> tuple[int | bytes, ...]:
    """The fields from ``event`` on."""
    pair_s1 = 0 if telemetry.pair_s is None else min(telemetry.pair_s + 1, PAIR_S1_MAX)
    return (
        int(event), pair_s1, 1, int(telemetry.strap), int(telemetry.case), int(telemetry.permission), b"",
    )  # fmt: skip
