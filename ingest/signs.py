"""What is worth keeping of a message of a TGD: that it came, a low battery, a test? Part of admission.

Whatever it says counts as a sign of life, also what is refused; our own words to it and the broker's (a last
will) do not. A test is the unit's word on ``evt``, never on the topic of the key: what comes there rings.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ingest.admitted import Admission, Message, OwnWord, plausible
from ingest.dialects import tocsin_v1
from ingest.dialects.reports import EventReport, Telemetry
from ingest.known import Known
from tocsin.clock import MS
from tocsin.limits import BATTERY_LOW_PCT, BATTERY_WELL_PCT, LISTENING_GAP_MAX_S, PAYLOAD_MAX_BYTES, SIGN_EVERY_S
from tocsin.model.device import DeviceKind
from tocsin.model.fix import DeviceEvent
from tocsin.model.sign import Listening, Sign
from tocsin.subjects import device_in, topic


def sign_of(message: Message, admissions: Sequence[Admission], known: Known, now_ms: int) -> Sign | None:
    """The new sign of its device; None if it says nothing that is not known."""
    device = known.devices.get(device_in(message.topic) or "")
    if device is None or device.kind is not DeviceKind.TGD:
        return None
    if message.topic == topic(device.id, "lwt") or any(isinstance(one, OwnWord) for one in admissions):
        return None
    before = known.signs.get(device.id)
    after = _told(_heard(before, device.id, message.t3_ms), message, now_ms)
    is_news = (
        before is None
        or after.heard_ms - before.heard_ms >= SIGN_EVERY_S * MS
        or (after.low_since_ms, after.tested_ms) != (before.low_since_ms, before.tested_ms)
    )
    return after if is_news else None


def _heard(before: Sign | None, device: str, t3_ms: int) -> Sign:
    if before is None:
        return Sign(device=device, first_ms=t3_ms, heard_ms=t3_ms)
    return msgspec.structs.replace(before, heard_ms=max(before.heard_ms, t3_ms))


def _told(sign: Sign, message: Message, now_ms: int) -> Sign:
    if len(message.payload) > PAYLOAD_MAX_BYTES:
        return sign
    if message.topic == topic(sign.device, "state"):
        said = tocsin_v1.read_status(message.payload)
        return _with_battery(sign, said) if isinstance(said, Telemetry) else sign
    if message.topic == topic(sign.device, "evt"):
        report = tocsin_v1.read_event(message.payload, message.topic)
        if isinstance(report, EventReport) and report.event is DeviceEvent.SELF_TEST:
            return _with_test(sign, report, now_ms, message.t3_ms)
    return sign


def _with_battery(sign: Sign, said: Telemetry) -> Sign:
    """Low from BATTERY_LOW_PCT down, and no longer above BATTERY_WELL_PCT."""
    battery_pct = said.battery_pct
    if battery_pct is None:
        return sign
    low_since_ms = sign.low_since_ms
    if battery_pct <= BATTERY_LOW_PCT and low_since_ms is None:
        low_since_ms = sign.heard_ms
    if battery_pct > BATTERY_WELL_PCT:
        low_since_ms = None
    return msgspec.structs.replace(sign, battery_pct=battery_pct, low_since_ms=low_since_ms)


def _with_test(sign: Sign, report: EventReport, now_ms: int, t3_ms: int) -> Sign:
    """At its own hour if that can be, and never later than it came; one older than the known one is no news."""
    at_ms = plausible(report.at_ms, now_ms)
    tested_ms = t3_ms if at_ms is None else min(at_ms, t3_ms)
    return msgspec.structs.replace(sign, tested_ms=max(tested_ms, sign.tested_ms or 0))


def listening(before: Listening | None, now_ms: int) -> Listening:
    """Still, or anew: after a gap in which the broker may have dropped what it held for us."""
    if before is None or not 0 <= now_ms - before.at_ms <= LISTENING_GAP_MAX_S * MS:
        return Listening(since_ms=now_ms, at_ms=now_ms)
    return Listening(since_ms=before.since_ms, at_ms=now_ms)
