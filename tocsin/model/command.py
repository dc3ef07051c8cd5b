"""What is a device asked to do, and what became of it?

The geofence decides how often units report, an episode what her unit shows, an operator what else; the downlink
carries. A command expires: a unit that was out of reach does not obey yesterday's order. To the wearer's unit
nothing goes but one of the four intervals, which are a function of the zone state (invariant 5), the plain request
for a fix, and the closed list of sentences (``Sentence``), each in the state that it belongs to.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from tocsin.model.episode import Receipt


class Action(StrEnum):
    """The words of the device protocol."""

    SET_CADENCE = "setCadence"
    REPORT_LOCATION = "reportLocation"
    PROTECTION = "protection"
    SAY = "say"
    RING = "ring"


class Shown(StrEnum):
    """What her unit shows of her protection; the most urgent first."""

    ALERT = "alert"
    DEGRADED = "degraded"
    OVER = "over"


class Sentence(StrEnum):
    """What can be said on a unit: the names of the closed list (``alerts.channels.sentences`` has the words)."""

    LEAVE_ZONE = "leave_zone"
    TURN_BACK = "turn_back"
    REJOIN_UNIT = "rejoin_unit"
    CHARGE_UNIT = "charge_unit"
    CALL_PLATFORM = "call_platform"


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One order to one device. ``interval_s`` belongs to SET_CADENCE, ``shows`` and ``rings`` to PROTECTION,
    ``sentence`` to SAY; they are None otherwise. ``by``: the human who gave it, empty for a machine."""

    id: str
    device: str
    action: Action
    at_ms: int
    expires_ms: int
    interval_s: int | None = None
    shows: Shown | None = None
    rings: bool | None = None
    sentence: Sentence | None = None
    by: str = ""


class Stage(StrEnum):
    """How far an order has come. QUEUED: on the log; SENT: the broker has it; DELIVERED: its unit says that it
    will do it; DONE, FAILED, EXPIRED end it."""

    QUEUED = "queued"
    SENT = "sent"
    DELIVERED = "delivered"
    DONE = "done"
    FAILED = "failed"
    EXPIRED = "expired"


ENDS: Final = frozenset({Stage.DONE, Stage.FAILED, Stage.EXPIRED})
FURTHEST: Final = (Stage.QUEUED, Stage.SENT, Stage.DELIVERED, Stage.EXPIRED, Stage.FAILED, Stage.DONE)
"""Of several things that are known of one order the last of these counts: an answer that came too late is one."""


class CommandStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is known of one order.

    ``reason`` is the word for it: of the unit's own ``result``, or of the downlink. ``action``, ``expires_ms``:
    None where a unit speaks, who knows but the name. ``by``, ``sentence``, ``fingerprint`` (what was asked, as a
    hash): of an operator's order. ``rings``, ``receipt``, ``code``, ``subject``: of an order that carries a
    notification; the receipt of its sending, and the place of its episode.
    """

    command: str
    device: str
    stage: Stage
    at_ms: int
    reason: str
    action: Action | None = None
    expires_ms: int | None = None
    by: str = ""
    fingerprint: str = ""
    sentence: Sentence | None = None
    rings: bool | None = None
    receipt: Receipt | None = None
    code: str = ""
    subject: str = ""


def furthest(known: list[CommandStatus]) -> CommandStatus | None:
    """What counts of all that is known of one order; None: nothing is."""
    return max(known, key=lambda one: FURTHEST.index(one.stage), default=None)
