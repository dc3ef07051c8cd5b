"""How does Tocsin's own dialect say it? JSON in the OwnTracks vocabulary, version 1 of the topics.

Fields: ``docs/device-protocol.md``. Times are epoch seconds (``tst``,
``created_at``) with milliseconds beside them (``ms``, ``created_ms``); ``vel`` is km/h; an absent ``acc`` is
unknown, never zero. ``topic`` and ``tid`` are accepted and not trusted: a ``topic`` that names another device
is an identity mismatch.

Whatever the bytes, a reader returns (``ingest.dialects.schema``).
"""

from __future__ import annotations

import json
from typing import Annotated, Literal

import msgspec

from ingest.dialects.reports import (
    EventReport,
    PositionReport,
    Reason,
    Refusal,
    ResultReport,
    SosPosition,
    SosReport,
    Telemetry,
)
from ingest.dialects.schema import EpochSeconds, off_the_earth, on_earth, read
from tocsin.clock import MS
from tocsin.limits import BULK_POINTS_MAX, RESULT_DETAIL_MAX_CHARS
from tocsin.model.fix import DeviceEvent, Source, Tell
from tocsin.model.ids import is_derived

KMH_PER_M_S = 3.6

Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=999)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]

Sealed = Literal["closed", "open"]
Granted = Literal["granted", "denied"]
TELLS = {None: Tell.UNSAID, "closed": Tell.WELL, "granted": Tell.WELL, "open": Tell.BROKEN, "denied": Tell.BROKEN}
EVENTS = {one.name.lower(): one for one in DeviceEvent if one is not DeviceEvent.NONE}
ALARMS = frozenset({DeviceEvent.STRAP_OPEN, DeviceEvent.CASE_OPEN, DeviceEvent.RF_PROXIMITY})
"""What rings as soon as it is heard (ARCHITECTURE, A3)."""

SOURCES = {"gnss": Source.GNSS, "wifi": Source.WIFI, "cell": Source.CELL, "ble": Source.BLE}


class Ailing(msgspec.Struct, frozen=True, kw_only=True):
    """What a unit may say of itself in any report. ``pair``: seconds since it heard its other half."""

    batt: Annotated[int, msgspec.Meta(ge=0, le=100)] | None = None
    strap: Sealed | None = None
    case: Sealed | None = None
    perm: Granted | None = None
    pair: Annotated[int, msgspec.Meta(ge=0, le=2**31)] | None = None


class Point(Ailing, frozen=True, kw_only=True):
    """The fields of one fix, alone or in a bulk."""

    lat: float
    lon: float
    tst: EpochSeconds
    ms: Milliseconds = 0
    seq: Count
    boot: Count
    acc: Annotated[float, msgspec.Meta(ge=0, le=1e6)] | None = None
    vel: Annotated[float, msgspec.Meta(ge=0, le=2_000)] | None = None
    cog: Annotated[float, msgspec.Meta(ge=0, le=360)] | None = None
    src: str | None = None


class Location(Point, frozen=True, kw_only=True, tag_field="_type", tag="location"):
    created_at: EpochSeconds | None = None
    created_ms: Milliseconds = 0
    topic: str | None = None


class Locations(msgspec.Struct, frozen=True, kw_only=True, tag_field="_type", tag="locations"):
    pts: Annotated[list[Point], msgspec.Meta(min_length=1, max_length=BULK_POINTS_MAX)]
    created_at: EpochSeconds | None = None
    created_ms: Milliseconds = 0
    topic: str | None = None


class Sos(msgspec.Struct, frozen=True, kw_only=True, tag_field="_type", tag="sos"):
    """``tst``, ``seq`` and ``boot`` are due as in a location, and nobody is left alone for want of them."""

    tst: EpochSeconds | None = None
    ms: Milliseconds = 0
    seq: Count | None = None
    boot: Count | None = None
    silent: bool = False
    created_at: EpochSeconds | None = None
    created_ms: Milliseconds = 0
    lat: float | None = None
    lon: float | None = None
    acc: Annotated[float, msgspec.Meta(ge=0, le=1e6)] | None = None
    fix_tst: EpochSeconds | None = None
    topic: str | None = None


class Event(Ailing, frozen=True, kw_only=True, tag_field="_type", tag="event"):
    event: str
    tst: EpochSeconds
    ms: Milliseconds = 0
    seq: Count
    boot: Count
    local: bool = False
    created_at: EpochSeconds | None = None
    created_ms: Milliseconds = 0
    topic: str | None = None


class Status(Ailing, frozen=True, kw_only=True, tag_field="_type", tag="status"):
    """A sign of life. Its hour is that of its reception, whatever it says of it."""


class Result(msgspec.Struct, frozen=True, kw_only=True, tag_field="_type", tag="result"):
    """What became of an order. Its hour is that of its reception; what ``detail`` says is nobody's but the
    sender's, and is read no further."""

    id: Annotated[str, msgspec.Meta(max_length=64)]
    result: Literal["accepted", "done", "rejected", "expired"]
    detail: Annotated[str, msgspec.Meta(max_length=RESULT_DETAIL_MAX_CHARS)] | None = None
    tst: EpochSeconds | None = None
    ms: Milliseconds = 0


KEYS = frozenset({"_type", "tid"}).union(
    *(one.__struct_fields__ for one in (Location, Locations, Sos, Event, Status, Result))
)
"""Every word of this dialect: none of them is the sender's own."""

_location = msgspec.json.Decoder(Location)
_locations = msgspec.json.Decoder(Locations)
_sos = msgspec.json.Decoder(Sos)
_event = msgspec.json.Decoder(Event)
_status = msgspec.json.Decoder(Status)
_result = msgspec.json.Decoder(Result)


def read_location(payload: bytes, topic: str) -> PositionReport | Refusal:
    """``…/loc``: one fix."""
    message = read(_location, payload)
    if isinstance(message, Refusal):
        return message
    if message.topic is not None and message.topic != topic:
        return _other_topic()
    return _position(message, _sent_ms(message), "$")


def read_bulk(payload: bytes, topic: str) -> list[PositionReport | Refusal] | Refusal:
    """``…/bulk``: buffered fixes, each judged alone; one bad point costs no other."""
    message = read(_locations, payload)
    if isinstance(message, Refusal):
        return message
    if message.topic is not None and message.topic != topic:
        return _other_topic()
    sent_ms = _sent_ms(message)
    return [_position(point, sent_ms, f"$.pts[{index}]") for index, point in enumerate(message.pts)]


def read_sos(payload: bytes) -> SosReport | Refusal:
    """``…/sos``: the key. A field that cannot be right is left out and never costs the alarm.

    Nor does a ``topic`` that names another device: who speaks is the broker's word, not the payload's.
    """
    message = read(_sos, payload)
    if isinstance(message, Refusal):
        message = _salvaged(payload) or message
    if isinstance(message, Refusal):
        return message
    return SosReport(
        pressed_ms=None if message.tst is None else message.tst * MS + message.ms,
        boot=message.boot,
        seq=message.seq,
        silent=message.silent,
        sent_ms=_sent_ms(message),
        position=_sos_position(message),
    )


def read_event(payload: bytes, topic: str) -> EventReport | Refusal:
    """``…/evt``: something happened to the unit. Read strictly; but an event that rings is never lost for another
    field that cannot be right: it is then ``readable`` False, and its numbers are kept if they are whole."""
    message = read(_event, payload)
    if isinstance(message, Refusal):
        return _salvaged_event(payload) or message
    event = EVENTS.get(message.event)
    if event is None:
        return Refusal(reason=Reason.NOT_SUPPORTED, path="$.event", detail=f"one of {', '.join(EVENTS)}")
    if message.topic is not None and message.topic != topic and event not in ALARMS:
        return _other_topic()
    return EventReport(
        event=event,
        at_ms=message.tst * MS + message.ms,
        boot=message.boot,
        seq=message.seq,
        sent_ms=_sent_ms(message),
        local=message.local,
        telemetry=_telemetry(message),
    )


def _salvaged_event(payload: bytes) -> EventReport | None:
    raw = _whole(payload)
    event = EVENTS.get(str(raw.get("event"))) if raw is not None else None
    if raw is None or event not in ALARMS:
        return None
    numbers = {name: _kept_number(raw.get(name)) for name in ("tst", "seq", "boot")}
    second, ms = numbers["tst"], raw.get("ms", 0)
    in_second = ms if isinstance(ms, int) and not isinstance(ms, bool) and 0 <= ms < MS else None
    is_hour = second is not None and second <= TST_MAX and in_second is not None
    at_ms = second * MS + in_second if is_hour else None  # type: ignore[operator]
    return EventReport(
        event=event, at_ms=at_ms, boot=numbers["boot"], seq=numbers["seq"], local=raw.get("local") is True,
        readable=False,
    )  # fmt: skip


def _kept_number(value: object) -> int | None:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and 0 <= value < 2**63 else None  # type: ignore[operator,return-value]


TST_MAX = 2**41


def read_status(payload: bytes) -> Telemetry | Refusal:
    """``…/state``: what a unit without a position says of itself."""
    message = read(_status, payload)
    return message if isinstance(message, Refusal) else _telemetry(message)


def _telemetry(said: Ailing) -> Telemetry:
    return Telemetry(
        battery_pct=said.batt, strap=TELLS[said.strap], case=TELLS[said.case], permission=TELLS[said.perm],
        pair_s=said.pair,
    )  # fmt: skip


def _whole(payload: bytes) -> dict[str, object] | None:
    """The fields of a payload that is an object of JSON."""
    try:
        raw = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return raw if isinstance(raw, dict) else None


def _salvaged(payload: bytes) -> Sos | None:
    """A press of the key whose JSON is whole and whose fields are not: those that stand alone are kept."""
    raw = _whole(payload)
    if raw is None or raw.get("_type", "sos") != "sos":
        return None
    kept: dict[str, object] = {}
    for name in Sos.__struct_fields__:
        try:
            kept[name] = getattr(msgspec.convert({name: raw[name]}, Sos), name)
        except (KeyError, msgspec.ValidationError):
            continue
    if "fix_tst" in raw and "fix_tst" not in kept:
        kept.pop("lat", None)  # a place of unknown age is none (invariant 9)
    return Sos(**kept)  # type: ignore[arg-type]  # each was just converted to the type of its field


def _sos_position(message: Sos) -> SosPosition | None:
    if message.lat is None or message.lon is None or not on_earth(message.lat, message.lon):
        return None
    return SosPosition(
        lat=message.lat,
        lon=message.lon,
        fix_ms=None if message.fix_tst is None else message.fix_tst * MS,
        accuracy_m=message.acc,
    )


def _position(point: Point, sent_ms: int | None, path: str) -> PositionReport | Refusal:
    if not on_earth(point.lat, point.lon):
        return off_the_earth(path)
    return PositionReport(
        lat=point.lat,
        lon=point.lon,
        fix_ms=point.tst * MS + point.ms,
        boot=point.boot,
        seq=point.seq,
        sent_ms=sent_ms,
        accuracy_m=point.acc,
        speed_m_s=None if point.vel is None else point.vel / KMH_PER_M_S,
        course_deg=point.cog,
        battery_pct=point.batt,
        source=SOURCES.get(point.src or "", Source.UNKNOWN),
        path=path,
        telemetry=_telemetry(point),
    )


def _sent_ms(message: Location | Locations | Sos | Event) -> int | None:
    return None if message.created_at is None else message.created_at * MS + message.created_ms


def _other_topic() -> Refusal:
    return Refusal(reason=Reason.IDENTITY, path="$.topic", detail="the payload names another topic than its own")


def read_result(payload: bytes) -> ResultReport | Refusal:
    """``…/res``: the answer to an order that has a name of ours."""
    message = read(_result, payload)
    if isinstance(message, Refusal):
        return message
    if not (message.id.startswith("cmd_") and is_derived(message.id)):
        return Refusal(reason=Reason.SCHEMA, path="$.id", detail="not the name of an order")
    return ResultReport(command=message.id, result=message.result)
