"""How does a phone with the OwnTracks app say it? JSON as the iOS and Android apps publish it, read as it is.

From the OwnTracks Booklet (tech/json) and the apps' own sources. Epoch seconds, degrees, metres, km/h, percent.
Nobody here can mend the app: an optional field that cannot be right is left out and does not cost the fix. What
the apps do, and what follows:

* ``acc`` absent or 0 is unknown, never perfect: Android writes 0 for a position without accuracy, and older
  releases leave every zero out. Negative means that the *position* is not valid (Apple, CLLocation): refused.
* ``vel``, ``cog``, ``batt`` below zero mean "not known" (iOS before 8.3.2, a simulator without battery): absent.
* ``t`` = ``p`` is a ping: old coordinates under the hour of *now* (owntracks/ios issue 197) or, from Android, the
  last fix once more. It is never a fix. Every other trigger carries the hour at which the place was measured.
* A ``lat`` or ``lon`` of exactly 0 is what an app without a position has said (owntracks/ios issues 100, 668; its
  present source keeps such positions back): refused.
* ``tid``, ``topic``, ``_id``, ``SSID``, ``BSSID``, ``inregions``, ``m``, ``bs``, ``conn``, ``alt``, ``vac`` are
  accepted, not trusted, not kept: identity is the broker's login, and the names of places stay on the phone.

**Identity.** OwnTracks counts nothing: no ``boot``, no ``seq``; ``_id`` is Android's alone, drawn for each
message, and ``tst`` is a whole second, in which a phone may measure twice. What names a fix is therefore what was
measured: ``tst``, ``lat``, ``lon``, ``acc``, ``vel``, ``cog``. A redelivery (QoS 1) repeats every byte and so all
six; a phone that publishes its last fix again under another trigger or ``_id`` repeats them too, and it *is* the
same fix. Two measurements that agree in all six cannot be told apart by anybody and decide the same; two that
differ in any are two fixes. ``created_at`` is not among them: it belongs to the message.
"""

from __future__ import annotations

import hashlib
import json

import msgspec

from ingest.dialects.reports import NotAFix, PositionReport, Reason, Refusal
from ingest.dialects.schema import EpochSeconds, off_the_earth, on_earth, read
from tocsin.clock import MS
from tocsin.model.fix import Source

KMH_PER_M_S = 3.6
PING = "p"
SPEED_MAX_KMH = 2_000
COURSE_MAX_DEG = 360
BATTERY_MAX_PCT = 100
ACCURACY_MAX_M = 1e6  # beyond it nothing is known either, and "unknown" would say less
INT_FIGURES = 20
NOWHERE = {"lat": 0.0, "lon": 0.0, "tst": 0}  # what a location must have

HEARD = frozenset(
    {"lwt", "transition", "waypoint", "waypoints", "card", "status", "steps", "dump", "configuration", "beacon",
     "request"}
)  # fmt: skip
"""Types that the apps publish and nothing is decided from. An ``lwt`` is a lost connection, no breach (F13)."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    type: str = msgspec.field(name="_type")


class Location(msgspec.Struct, frozen=True, kw_only=True):
    lat: float
    lon: float
    tst: EpochSeconds
    t: str | None = None
    acc: float | None = None
    vel: float | None = None
    cog: float | None = None
    batt: float | None = None
    created_at: EpochSeconds | None = None
    source: str | None = None


KEYS = frozenset(
    {"_type", "tid", "topic", "_id", "SSID", "BSSID", "inregions", "m", "bs", "conn", "alt", "vac"}
).union(Location.__struct_fields__)  # fmt: skip
"""The words of a location, those too of which nothing is kept: none of them is the sender's own."""

_envelope = msgspec.json.Decoder(Envelope)
_location = msgspec.json.Decoder(Location)


def read_phone(payload: bytes) -> PositionReport | NotAFix | Refusal:
    """What the app published on its own topic, ``owntracks/{user}/{dev}``."""
    if not payload:
        return NotAFix()  # how MQTT takes a retained copy back
    envelope = read(_envelope, payload)
    if isinstance(envelope, Refusal):
        return envelope
    if envelope.type == "location":
        return _read_location(payload)
    if envelope.type == "encrypted":
        return Refusal(
            reason=Reason.ENCRYPTED, path="$._type", detail="take the encryption key out of the app's settings"
        )
    if envelope.type == "cmd":
        return Refusal(reason=Reason.NOT_SUPPORTED, path="$._type", detail="a phone gives no commands")
    if envelope.type in HEARD:
        return NotAFix()
    return Refusal(reason=Reason.SCHEMA, path="$._type", detail="not a type of OwnTracks")


def _read_location(payload: bytes) -> PositionReport | NotAFix | Refusal:
    message = read(_location, payload)
    if isinstance(message, Refusal):
        message = _salvaged(payload) or message
    if isinstance(message, Refusal):
        return message
    if message.t == PING:
        return NotAFix()
    if not on_earth(message.lat, message.lon):
        return off_the_earth("$")
    if not message.lat or not message.lon:
        return Refusal(reason=Reason.COORDINATES, detail="the app says zero when it has no position")
    if message.acc is not None and message.acc < 0:
        return Refusal(
            reason=Reason.COORDINATES, path="$.acc", detail="below zero: the phone says the position is not valid"
        )
    return _report(message)


def _salvaged(payload: bytes) -> Location | None:
    """A position of which a field cannot be right: the others are kept. None: without place or time it is none."""
    try:
        raw = json.loads(payload, parse_int=_figure)
    except (ValueError, RecursionError):
        return None
    kept: dict[str, object] = {}
    for name in Location.__struct_fields__:
        try:
            kept[name] = getattr(msgspec.convert({**NOWHERE, name: _whole(raw[name])}, Location), name)
        except (KeyError, msgspec.ValidationError):
            continue
    return Location(**kept) if kept.keys() >= NOWHERE.keys() else None  # type: ignore[arg-type]  # each converted


def _whole(value: object) -> object:
    """A second written as 1700000000.0 is that second."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _figure(text: str) -> int | float:
    """A number of ten thousand figures is no time and no place, and no reason to read it as one."""
    return int(text) if len(text) <= INT_FIGURES else float(text)


def _report(message: Location) -> PositionReport:
    speed_kmh = _within(message.vel, SPEED_MAX_KMH)
    battery_pct = _within(message.batt, BATTERY_MAX_PCT)
    return PositionReport(
        lat=message.lat,
        lon=message.lon,
        fix_ms=message.tst * MS,
        boot=_fingerprint(message),
        sent_ms=None if message.created_at is None else message.created_at * MS,
        accuracy_m=None if not message.acc else min(message.acc, ACCURACY_MAX_M),
        speed_m_s=None if speed_kmh is None else speed_kmh / KMH_PER_M_S,
        course_deg=_within(message.cog, COURSE_MAX_DEG),
        battery_pct=None if battery_pct is None else int(battery_pct),
        source=Source.GNSS if message.source == "gps" else Source.UNKNOWN,
    )


def _within(value: float | None, largest: float) -> float | None:
    return value if value is not None and 0 <= value <= largest else None


def _fingerprint(message: Location) -> int:
    """63 bits of what was measured."""
    measured = (message.tst, message.lat, message.lon, message.acc, message.vel, message.cog)
    return int.from_bytes(hashlib.sha256(repr(measured).encode()).digest()[:8]) >> 1
