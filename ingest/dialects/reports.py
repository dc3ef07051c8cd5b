"""What can a payload say, whatever its dialect? Reports, and the closed list of reasons to refuse one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tocsin.model.fix import ABSENT, DeviceEvent, Source, Tell


class Reason(StrEnum):
    """Why a message was refused: the word in the metric, in the quarantine and in the answer to the device."""

    TOO_LARGE = "too_large"
    MALFORMED = "malformed"
    SCHEMA = "schema"
    COORDINATES = "coordinates_out_of_range"
    CLOCK_AHEAD = "clock_ahead"
    CLOCK_BEHIND = "clock_behind"
    IDENTITY = "identity_mismatch"
    UNKNOWN_DEVICE = "unknown_device"
    UNKNOWN_TOPIC = "unknown_topic"
    TGD_POSITION = "tgd_position_outside_sos"
    NOT_THIS_DEVICE = "not_for_this_kind_of_device"
    NOT_SUPPORTED = "event_not_supported"
    ENCRYPTED = "encrypted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why not, where (JSON path), and a sentence without any value of the payload (privacy)."""

    reason: Reason
    path: str = "$"
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """What a unit says of itself. ``pair_s``: since it heard its other half; None: it does not say. Battery in
    percent."""

    battery_pct: int | None = None
    strap: Tell = Tell.UNSAID
    case: Tell = Tell.UNSAID
    permission: Tell = Tell.UNSAID
    pair_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventReport:
    """Something happened to a unit. None: it did not say, or nothing that can be read. ``local``: the unit had
    decided and acted by itself before anybody heard it (F03)."""

    event: DeviceEvent
    at_ms: int | None
    boot: int | None
    seq: int | None
    sent_ms: int | None = None
    local: bool = False
    telemetry: Telemetry = Telemetry()
    readable: bool = True

    @property
    def numbers(self) -> tuple[int, int, int] | None:
        """(boot, seq, hour), if it has all of them."""
        if self.boot is None or self.seq is None or self.at_ms is None:
            return None
        return self.boot, self.seq, self.at_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionReport:
    """One fix as the device gave it: degrees, metres (68 % radius), m/s, degrees, percent. None: not given.

    ``boot`` and ``seq`` number it. A device that does not count has ``seq`` ABSENT, and ``boot`` is the
    fingerprint of what it measured; its ``fix_ms`` is a whole second. ``path`` is where it stands in the message.
    """

    lat: float
    lon: float
    fix_ms: int
    boot: int
    seq: int = ABSENT
    sent_ms: int | None = None
    accuracy_m: float | None = None
    speed_m_s: float | None = None
    course_deg: float | None = None
    battery_pct: int | None = None
    source: Source = Source.UNKNOWN
    path: str = "$"
    telemetry: Telemetry = Telemetry()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultReport:
    """What a unit says of an order: its name, and the word of the closed list."""

    command: str
    result: str


@dataclass(frozen=True, slots=True)
class NotAFix:
    """A message that is well and says nothing of where the device is now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SosPosition:
    """Where the key was pressed: degrees, metres (68 % radius). ``fix_ms`` None: at the moment of the press."""

    lat: float
    lon: float
    fix_ms: int | None = None
    accuracy_m: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SosReport:
    """The key was pressed. None: the device did not say, or nothing that can be read."""

    pressed_ms: int | None
    boot: int | None
    seq: int | None
    silent: bool
    sent_ms: int | None = None
    position: SosPosition | None = None
