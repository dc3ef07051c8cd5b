"""How is a thing named so that two processes that derive it give it the same name?

Identities of findings, episodes and notifications are derived from content (UUIDv8, RFC 9562 section 5.8),
never drawn: a process that dies and does its work again finds that it was done (ARCHITECTURE, A6).
"""

from __future__ import annotations

import hashlib
import re
from typing import Literal

Prefix = Literal["alr", "fnd", "alm", "evt", "msr", "bat", "rfs", "rct", "cmd", "grp", "ntc", "acc", "hld"]

DEVICE_ID = re.compile(r"[a-z0-9][a-z0-9-]{2,31}")
"""No dot (the MQTT gateway maps ``.`` to ``//``), no wildcard, no upper case."""


def derived(prefix: Prefix, *parts: str | int) -> str:
    """A name that depends on ``parts`` alone: ``alr_`` and 128 bits as hexadecimal UUIDv8."""
    text = "\x1f".join(str(part) for part in (prefix, *parts))
    raw = bytearray(hashlib.sha256(text.encode()).digest()[:16])
    raw[6] = raw[6] & 0x0F | 0x80
    raw[8] = raw[8] & 0x3F | 0x80
    return f"{prefix}_{raw.hex()}"


def alarm_id(device: str, boot: int, seq: int, at_ms: int) -> str:
    """Of a key, or of a tag that was opened, by the numbers of its message: whoever reads that message, on
    whatever lane, gives it this name."""
    return derived("alm", device, boot, seq, at_ms)


DERIVED = re.compile(r"[a-z]{3}_[0-9a-f]{12}8[0-9a-f]{3}[89ab][0-9a-f]{15}")


def is_derived(text: str) -> bool:
    """Whether this is a name that ``derived`` can have made: a hash, that nothing can be read from."""
    return DERIVED.fullmatch(text) is not None


RESERVED_NAMES = frozenset({"tocsin", "ingest", "fleet", "ear"})
"""The services' own logins on the broker: no device may be called so."""


def is_device_id(text: str) -> bool:
    return DEVICE_ID.fullmatch(text) is not None and text not in RESERVED_NAMES
