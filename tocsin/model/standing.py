"""How well is a pair protected at this moment? (DOMAIN, invariant 13)"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tocsin.model.zone import Zone


class Protection(StrEnum):
    """Exactly one of three, for every pair at every moment."""

    PROTECTED = "protected"
    DEGRADED = "degraded"
    UNPROTECTED = "unprotected"


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where one measure stands; the newest lies in the bucket ``standings`` under the measure's id.

    It is written when something of it changes, and not at each fix: ``at_ms`` is the hour of that change, and
    ``*_heard_ms`` who had been heard when by then; a pair that reports is heard again later, unsaid.

    ``since_ms``: when ``protection`` became what it is, ``reason`` why. ``uncertain_since_ms``: since when neither
    "inside" nor "outside" can be said. ``blind_*_ms``: the hours of blind risk if nobody speaks from now on, at
    the worst and at the plausible speed; they rank the silent, and an hour that has passed is risk now. None
    while no loss and no uncertainty is open: who reports is not silent, and the hours of an old fix would be
    false.

    ``closing``: whether he came nearer, between the pre-alert and the alert ring, by the last way that was long
    enough to say so, which ended at ``closing_ms``; False: he went away; None: no such way in this stay. It is
    written at each such way, and not again while he stands: how long it counts is for the reader
    (``alerts.course``).
    """

    measure: str
    protection: Protection
    since_ms: int
    reason: str
    zone: Zone
    at_ms: int
    uncertain_since_ms: int | None = None
    wearer_heard_ms: int | None = None
    protected_heard_ms: int | None = None
    blind_worst_ms: int | None = None
    blind_plausible_ms: int | None = None
    closing: bool | None = None
    closing_ms: int | None = None
