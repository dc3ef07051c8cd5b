"""What did a stage find that a human may have to hear about?

Two kinds reach the desk: a ``Finding`` from the geofence (a pair entered or left a ring) and an ``Alarm`` from
a device (somebody pressed a key). Both carry a derived id and the clock points they have passed.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tocsin.model.fix import ClockPoints, FixPoint
from tocsin.model.zone import Zone


class Code(StrEnum):
    """The alert codes of the catalogue (DOMAIN section 4) that this version raises."""

    PROX_ALERT = "PROX_ALERT"
    PROX_PREALERT = "PROX_PREALERT"
    BAR_SOS = "BAR_SOS"
    TGD_SOS = "TGD_SOS"


class Change(StrEnum):
    """Whether the wearer came into the ring of the code, or left it."""

    ENTRY = "entry"
    EXIT = "exit"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A pair changed its ring.

    ``entry`` is the id of the ENTRY finding that this one ends (its own id on an entry), ``entry_ms`` its hour:
    an exit that overtakes its entry still tells the desk what it ends. ``distance_dm`` is quantised to 0.1 m.
    ``reason`` is the word that goes to the log, the metric label, the operator's screen and the evidence.
    """

    id: str
    measure: str
    order_version: int
    code: Code
    change: Change
    before: Zone
    after: Zone
    distance_dm: int
    threshold_m: int
    wearer: FixPoint
    protected: FixPoint
    entry: str
    entry_ms: int
    at_ms: int
    reason: str
    points: ClockPoints


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
