"""When did a phone last give a sign of life, and could anybody have heard one?

A TGD is in no pair and says no place but during its SOS: nothing of it goes to the geofence. What is kept of it is
this, the newest value in the bucket ``signs``, without any place (invariant 6).
"""

from __future__ import annotations

import msgspec


class Sign(msgspec.Struct, frozen=True, kw_only=True):
    """Of one TGD, under its id. Written at most each SIGN_EVERY_S, or when it says something new of itself.

    ``first_ms``, ``heard_ms``: its first message ever and its last one (of those that were written).
    ``low_since_ms``: since when its battery is low, None: it is not, or it never said. ``tested_ms``: its newest
    self test.
    """

    device: str
    first_ms: int
    heard_ms: int
    battery_pct: int | None = None
    low_since_ms: int | None = None
    tested_ms: int | None = None


class Listening(msgspec.Struct, frozen=True, kw_only=True):
    """Ingest has been able to hear from ``since_ms`` to ``at_ms``: who was silent at another hour may have spoken.
    Under LISTENING, which no device may be called."""

    since_ms: int
    at_ms: int


LISTENING = "ingest"
