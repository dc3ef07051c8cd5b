"""What is a device asked to do?

Geofence decides, the downlink carries. A command expires: a unit that was out of reach does not obey yesterday's
order. To the wearer's unit nothing goes but one of the four intervals, which are a function of the zone state
(invariant 5), or the plain request for a fix.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Action(StrEnum):
    """The words of the device protocol."""

    SET_CADENCE = "setCadence"
    REPORT_LOCATION = "reportLocation"


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One order to one device. ``interval_s`` belongs to SET_CADENCE and is None otherwise."""

    id: str
    device: str
    action: Action
    at_ms: int
    expires_ms: int
    interval_s: int | None = None
