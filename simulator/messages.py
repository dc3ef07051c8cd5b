"""What does a unit say, byte for byte? ``tocsin_v1`` (docs/device-protocol.md): JSON in the words of OwnTracks.

Each function returns the fields; ``encode`` makes the payload. ``tst`` and ``ms`` are the time of the fix,
``created_at`` and ``created_ms`` the time of sending: epoch seconds and the milliseconds within.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from simulator.gnss import SkyFix
from tocsin.clock import MS

Fields = dict[str, Any]
Result = Literal["accepted", "done", "rejected", "expired"]


def encode(fields: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(fields)


def point(
    fix: SkyFix, *, start_ms: int, seq: int, boot: int, own: Mapping[str, Any] = MappingProxyType({"batt": 80})
) -> Fields:
    """One fix without its time of sending: the body of a ``location`` and of each of a bulk's ``pts``. ``own``:
    what the unit says of itself.

    Speed and course are left out where they are zero, as the phone applications do.
    """
    fields: Fields = {
        **_moment("tst", "ms", start_ms + round(fix.t * MS)),
        "lat": round(fix.lat, 6),
        "lon": round(fix.lon, 6),
        "acc": round(fix.accuracy_m, 1),
        **own,
        "seq": seq,
        "boot": boot,
        "src": "gnss",
    }
    if fix.speed_mps > 0:
        fields |= {"vel": round(fix.speed_mps * 3.6), "cog": round(fix.course_deg)}
    return fields


def location(body: Mapping[str, Any], *, now_ms: int) -> Fields:
    return {"_type": "location", **body, **_moment("created_at", "created_ms", now_ms)}


def bulk(bodies: Sequence[Mapping[str, Any]], *, now_ms: int) -> Fields:
    return {"_type": "locations", "pts": list(bodies), **_moment("created_at", "created_ms", now_ms)}


def sos(*, now_ms: int, seq: int, boot: int, silent: bool, fix: SkyFix | None) -> Fields:
    """The key was pressed. A position goes along if there is one."""
    fields: Fields = {"_type": "sos", **_moment("tst", "ms", now_ms), "seq": seq, "boot": boot, "silent": silent}
    if fix is not None:
        fields |= {"lat": round(fix.lat, 6), "lon": round(fix.lon, 6), "acc": round(fix.accuracy_m, 1)}
    return fields


def status(*, now_ms: int, seq: int, boot: int, own: Mapping[str, Any] = MappingProxyType({"batt": 80})) -> Fields:
    """A heartbeat; it carries no coordinates."""
    return {"_type": "status", **_moment("tst", "ms", now_ms), "seq": seq, "boot": boot, **own}


def event(name: str, *, now_ms: int, seq: int, boot: int, own: Mapping[str, Any], local: bool = False) -> Fields:
    """Something happened to the unit. ``local``: it has acted upon it by itself already."""
    fields = {"_type": "event", "event": name, **_moment("tst", "ms", now_ms), "seq": seq, "boot": boot, **own}
    return {**fields, "local": True} if local else fields


def result(command: str, outcome: Result, *, now_ms: int, detail: str = "") -> Fields:
    fields: Fields = {"_type": "result", "id": command, "result": outcome, **_moment("tst", "ms", now_ms)}
    return {**fields, "detail": detail} if detail else fields


def _moment(seconds: str, millis: str, at_ms: int) -> Fields:
    return {seconds: at_ms // MS, millis: at_ms % MS}
