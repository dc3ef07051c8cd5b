"""What did a stage find that a human may have to hear about?

Two kinds reach the desk: a ``Finding`` from the geofence (something began or ended between two parties) and an
``Alarm`` from a device (somebody pressed a key). Both carry a derived id and the clock points they have passed.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tocsin.model.fix import ClockPoints, FixPoint
from tocsin.model.fleet import Silenced
from tocsin.model.zone import Zone


class Code(StrEnum):
    """The alert codes of the catalogue (DOMAIN section 4) that this version raises."""

    PROX_ALERT = "PROX_ALERT"
    PROX_PREALERT = "PROX_PREALERT"
    IMMINENT = "IMMINENT"
    UNCERTAIN = "UNCERTAIN"
    DEGRADED = "DEGRADED"
    EVIDENTIAL_BREACH = "EVIDENTIAL_BREACH"
    W_GNSS_LOSS = "W_GNSS_LOSS"
    W_COMMS_LOSS = "W_COMMS_LOSS"
    V_COMMS_LOSS = "V_COMMS_LOSS"
    BAR_SOS = "BAR_SOS"
    TGD_SOS = "TGD_SOS"
    SYS_FLEET_SILENCE = "SYS_FLEET_SILENCE"


class Change(StrEnum):
    """Whether what the code names began, or ended. EVIDENTIAL_BREACH is a moment and has no end."""

    ENTRY = "entry"
    EXIT = "exit"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something began or ended between the two parties of a measure.

    ``entry`` is the id of the ENTRY finding that this one ends (its own id on an entry), ``entry_ms`` its hour:
    an exit that overtakes its entry still tells the desk what it ends. ``reason`` is the word that goes to the
    log, the metric label, the operator's screen and the evidence.

    Distances are quantised to 0.1 m: ``distance_dm`` the best, ``lower_dm`` and ``upper_dm`` what accuracy, age
    and motion leave open (DOMAIN section 3, d_lb and d_ub). A party that was never heard is None, and then so is
    the distance. ``low_confidence``: an alert that rests on a poor or implausible fix. ``alert_ms``: when he will
    be at the alert distance if both go on like this (IMMINENT). ``silent_since_ms``: the last message, or fix, of
    the party that a loss is about. ``blind_worst_ms``, ``blind_plausible_ms``: the hours of blind risk, at the
    worst and the plausible speed of whoever is silent.

    ``silenced``: SYS_FLEET_SILENCE is about a group of devices, not about two parties: ``measure`` is the group's
    subject then, there is no distance and no threshold (0).
    """

    id: str
    measure: str
    order_version: int
    code: Code
    change: Change
    before: Zone
    after: Zone
    distance_dm: int | None
    threshold_m: int
    wearer: FixPoint | None
    protected: FixPoint | None
    entry: str
    entry_ms: int
    at_ms: int
    reason: str
    points: ClockPoints
    lower_dm: int | None = None
    upper_dm: int | None = None
    low_confidence: bool = False
    alert_ms: int | None = None
    silent_since_ms: int | None = None
    blind_worst_ms: int | None = None
    blind_plausible_ms: int | None = None
    silenced: Silenced | None = None


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody pressed the key. A position is attached if there was one and never required.

    ``readable`` False: the message came on the key's topic and could not be read; it rings all the same.
    """

    id: str
    code: Code
    device: str
    measures: tuple[str, ...]
    at_ms: int
    silent: bool
    position: FixPoint | None
    points: ClockPoints
    readable: bool = True
