"""What must be on the log because this was said? The ear's own reading of a unit's JSON.

Written from docs/device-protocol.md and not from ingest, which it is there to check: a message is *judged* only
where the page leaves no doubt about it: every field known and within its bounds, the unit registered, of the kind
that may say so, its hour one that is admitted. Whatever else came is left to the counters (``ingest.tally``),
which account for it without knowing what it was. Coordinates are looked at and not kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tocsin.clock import MS
from tocsin.limits import BULK_POINTS_MAX, FIX_FUTURE_MAX_S, FIX_PAST_MAX_S, PAYLOAD_MAX_BYTES
from tocsin.model.device import Device, DeviceKind
from tocsin.model.ids import alarm_id

HOUR_MARGIN_MS = 10 * MS  # ours and ingest's hour of reception may differ by so much: at the bounds nobody judges

RowKey = tuple[int, int, int, int]
"""Device number, boot, seq, hour of the fix in ms: what one row of FIXES or LATE says of itself."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row without fail, on FIXES or LATE."""

    key: RowKey
    device: str


@dataclass(frozen=True, slots=True)
class Ringing:
    """An alarm without fail, on ALARMS: under this id, or under any (None) where the press has no numbers; then
    ``words`` tells whether it is said again (a digest)."""

    device: str
    id: str | None
    seq: int | None
    at_ms: int | None
    words: bytes = b""


Test = Callable[[Any], bool]


def _count(most: int) -> Test:
    return lambda value: type(value) is int and 0 <= value <= most


def _number(least: float, most: float) -> Test:
    return lambda value: type(value) in {int, float} and least <= value <= most


def _word(*words: str) -> Test:
    return lambda value: value in words


def _text(value: object) -> bool:
    return type(value) is str


def _flag(value: object) -> bool:
    return type(value) is bool


LARGEST = 2**63 - 1
NUMBERS: Mapping[str, Test] = {
    "tst": _count(2**41),
    "ms": _count(999),
    "seq": _count(LARGEST),
    "boot": _count(LARGEST),
}
SENT: Mapping[str, Test] = {"created_at": _count(2**41), "created_ms": _count(999), "topic": _text, "tid": _text}
AILING: Mapping[str, Test] = {
    "batt": _count(100), "strap": _word("closed", "open"), "case": _word("closed", "open"),
    "perm": _word("granted", "denied"), "pair": _count(2**31),
}  # fmt: skip
POINT: Mapping[str, Test] = {
    **NUMBERS, **AILING, "lat": _number(-90, 90), "lon": _number(-180, 180), "acc": _number(0, 1e6),
    "vel": _number(0, 2_000), "cog": _number(0, 360), "src": _text,
}  # fmt: skip
LOCATION: Mapping[str, Test] = {**POINT, **SENT, "_type": _word("location")}
LOCATIONS: Mapping[str, Test] = {**SENT, "_type": _word("locations"), "pts": lambda value: type(value) is list}
EVENT: Mapping[str, Test] = {**NUMBERS, **AILING, **SENT, "_type": _word("event"), "event": _text, "local": _flag}

OF_A_WEARER = frozenset({"strap_open", "strap_closed", "separation", "separation_end"})
OF_A_PAIR = frozenset({
    "case_open", "case_closed", "rf_proximity", "rf_proximity_end", "jamming", "jamming_end", "power_off", "boot",
    "fall",
})  # fmt: skip
RINGS = {
    DeviceKind.WEARER: frozenset({"strap_open", "case_open", "rf_proximity"}),
    DeviceKind.PROTECTED: frozenset({"rf_proximity"}),
}
HAS_A_KEY = frozenset({DeviceKind.PROTECTED, DeviceKind.TGD})


def due(topic: str, leaf: str, payload: bytes, device: Device, now_ms: int) -> list[Row | Ringing]:
    """What the log must have of this message; empty: nothing, or nobody can say. ``leaf``: its last level."""
    if leaf == "sos":
        return [_press(payload, device)] if device.kind in HAS_A_KEY else []
    said = _object(payload)
    if said is None or len(payload) > PAYLOAD_MAX_BYTES or said.get("topic", topic) != topic:
        return []
    if leaf == "evt":
        return _of_event(said, device, now_ms)
    if device.kind is DeviceKind.TGD:
        return []  # located only while its alert is open, and nobody here knows when ingest heard of that
    if leaf == "loc" and _is_whole(said, LOCATION, ("_type", "lat", "lon")):
        return _rows([said], device, now_ms)
    if leaf == "bulk" and _is_whole(said, LOCATIONS, ("_type", "pts"), numbered=False):
        return _rows(said["pts"], device, now_ms) if _are_points(said["pts"]) else []
    return []


def _object(payload: bytes) -> dict[str, Any] | None:
    try:
        said = json.loads(payload.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def _is_whole(
    said: Mapping[str, Any], fields: Mapping[str, Test], needed: tuple[str, ...], *, numbered: bool = True
) -> bool:
    """Every field known and sound, and all there that must be."""
    if numbered:
        needed = (*needed, "tst", "seq", "boot")
    return all(name in said for name in needed) and all(
        name in fields and fields[name](value) for name, value in said.items()
    )


def _are_points(points: list[Any]) -> bool:
    """One that is not sound is refused alone; then the others are left to the counters with it."""
    return 1 <= len(points) <= BULK_POINTS_MAX and all(
        isinstance(one, dict) and _is_whole(one, POINT, ("lat", "lon")) for one in points
    )


def hour_of(said: Mapping[str, Any]) -> int:
    hour_ms: int = said["tst"] * MS + said.get("ms", 0)
    return hour_ms


def _is_admitted(hour_ms: int, now_ms: int) -> bool:
    ahead_ms, ago_ms = FIX_FUTURE_MAX_S * MS - HOUR_MARGIN_MS, FIX_PAST_MAX_S * MS - HOUR_MARGIN_MS
    return now_ms - ago_ms <= hour_ms <= now_ms + ahead_ms


def _rows(points: list[dict[str, Any]], device: Device, now_ms: int) -> list[Row | Ringing]:
    return [_row(one, device) for one in points if _is_admitted(hour_of(one), now_ms)]


def _row(said: Mapping[str, Any], device: Device) -> Row:
    return Row((device.number, said["boot"], said["seq"], hour_of(said)), device.id)


def _of_event(said: dict[str, Any], device: Device, now_ms: int) -> list[Row | Ringing]:
    if not _is_whole(said, EVENT, ("_type", "event")):
        return []
    found: list[Row | Ringing] = []
    rings = said["event"] in RINGS.get(device.kind, ())
    hour_ms = hour_of(said)
    if rings:
        found.append(
            Ringing(device.id, alarm_id(device.id, said["boot"], said["seq"], hour_ms), said["seq"], hour_ms)
        )
    may_say = OF_A_PAIR | OF_A_WEARER if device.kind is DeviceKind.WEARER else OF_A_PAIR
    is_paired = bool(device.measures) and device.kind is not DeviceKind.TGD
    if is_paired and said["event"] in may_say and _is_admitted(hour_ms, now_ms):
        found.append(_row(said, device))
    return found


def _press(payload: bytes, device: Device) -> Ringing:
    """Whatever came on this topic rings. With its numbers it has a name; else any alarm of the unit is it."""
    said = _object(payload) if len(payload) <= PAYLOAD_MAX_BYTES else None
    named = ("tst", "seq", "boot")
    sound = said is not None and all(name in said and NUMBERS[name](said[name]) for name in named)
    if said is None or not sound or not NUMBERS["ms"](said.get("ms", 0)) or said.get("_type") != "sos":
        return Ringing(device.id, None, None, None, hashlib.sha256(payload).digest())
    hour_ms = hour_of(said)
    return Ringing(device.id, alarm_id(device.id, said["boot"], said["seq"], hour_ms), said["seq"], hour_ms)
