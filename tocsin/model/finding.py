"""What did a stage find that a human may have to hear about?

Two kinds reach the desk: a ``Finding`` from the geofence (something began or ended between two parties) and an
``Alarm`` from a device (somebody pressed a key). Both carry a derived id and the clock points they have passed.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

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
    ZONE_CORE_ENTRY = "ZONE_CORE_ENTRY"
    ZONE_ENTRY = "ZONE_ENTRY"
    ZONE_PREALERT = "ZONE_PREALERT"
    ZONE_EXIT = "ZONE_EXIT"
    STRAP_TAMPER = "STRAP_TAMPER"
    RF_PROXIMITY = "RF_PROXIMITY"
    SEPARATION = "SEPARATION"
    JAMMING_SUSPECTED = "JAMMING_SUSPECTED"
    SPOOF_SUSPECTED = "SPOOF_SUSPECTED"
    W_DEVICE_OFF = "W_DEVICE_OFF"
    V_DEVICE_OFF = "V_DEVICE_OFF"
    W_BATT_DEAD = "W_BATT_DEAD"
    W_BATT_CRIT = "W_BATT_CRIT"
    W_BATT_LOW = "W_BATT_LOW"
    V_BATT_LOW = "V_BATT_LOW"
    PROBING = "PROBING"
    FROZEN_FIX = "FROZEN_FIX"
    LOW_YIELD = "LOW_YIELD"
    V_NOT_CARRIED = "V_NOT_CARRIED"
    CLOCK_SKEW = "CLOCK_SKEW"
    PAST_INCURSION = "PAST_INCURSION"
    SYS_FLEET_SILENCE = "SYS_FLEET_SILENCE"
    TGD_SOS_SILENT = "TGD_SOS_SILENT"
    PREALERT_NO_ANSWER = "PREALERT_NO_ANSWER"
    TGD_UNREACHABLE = "TGD_UNREACHABLE"
    OPEN_FAULT_24H = "OPEN_FAULT_24H"
    ORDER_NOT_FITTED = "ORDER_NOT_FITTED"
    ORDER_EXPIRING = "ORDER_EXPIRING"
    TGD_BATT_LOW = "TGD_BATT_LOW"
    TGD_TEST_OK = "TGD_TEST_OK"
    TGD_TEST_MISSED = "TGD_TEST_MISSED"
    SYS_PIPELINE_LAG = "SYS_PIPELINE_LAG"
    SYS_NOTIFY_FAIL = "SYS_NOTIFY_FAIL"
    SYS_CANARY_FAIL = "SYS_CANARY_FAIL"
    SYS_CAPACITY = "SYS_CAPACITY"
    SYS_CLOCK = "SYS_CLOCK"
    SYS_AUDIT = "SYS_AUDIT"


NOTICES: Final = frozenset(
    {
        Code.TGD_UNREACHABLE, Code.OPEN_FAULT_24H, Code.ORDER_NOT_FITTED, Code.ORDER_EXPIRING, Code.TGD_BATT_LOW,
        Code.TGD_TEST_OK, Code.TGD_TEST_MISSED, Code.SYS_PIPELINE_LAG, Code.SYS_NOTIFY_FAIL, Code.SYS_CANARY_FAIL,
        Code.SYS_CAPACITY, Code.SYS_CLOCK, Code.SYS_AUDIT,
    }
)  # fmt: skip
"""What a part says by a ``Notice`` (``tocsin.model.notice``), and the geofence never finds."""


LATCHED: Final = frozenset({Code.STRAP_TAMPER})
"""Nothing that a device says ends these; a human does, who has looked at it (F27, invariant 8)."""

MEASURE_ENDED_REASON: Final = "measure_ended"
"""Of an exit: the measure is not in force any more, and what lasted for it is over, wherever he is."""


class Change(StrEnum):
    """Whether what the code names began, or ended. EVIDENTIAL_BREACH is a moment and has no end."""

    ENTRY = "entry"
    EXIT = "exit"


class Lateness(msgspec.Struct, frozen=True, kw_only=True):
    """The fixes of one device that came late and bear on a past incursion: how many, of which hours, how late."""

    device: str
    fixes: int
    first_ms: int
    last_ms: int
    delay_min_ms: int
    delay_max_ms: int


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """What fixes that came late prove: within the alert distance from ``first_ms`` to ``last_ms``.

    ``wearer`` and ``protected``: the fixes closest in time to the first instant, None only where the record keeps
    places apart (``tocsin.sealing``); the finding's own are those closest to ``nearest_ms``, the hour of its
    distances. ``corrects``: the ENTRY finding of the live alert that
    this belongs to; None: nobody was told of it then. ``supersedes``: the findings that said it less well, last
    versions all. ``cut``: it began before, or went on behind, what was looked at.

    By the order as it was known when this was found: ``authorised_ms`` of these hours were authorised;
    ``below_floor``: he was nearer than that allowed. ``untold``: all that it supersedes was authorised, so that
    nobody has been told yet.
    """

    first_ms: int
    last_ms: int
    nearest_ms: int
    wearer: FixPoint | None
    protected: FixPoint | None
    late: tuple[Lateness, ...]
    corrects: str | None = None
    supersedes: tuple[str, ...] = ()
    cut: bool = False
    authorised_ms: int = 0
    below_floor: bool = False
    untold: bool = False


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something began or ended between the two parties of a measure.

    ``entry`` is the id of the ENTRY finding that this one ends (its own id on an entry), ``entry_ms`` its hour:
    an exit that overtakes its entry still tells the desk what it ends. ``reason`` is the word that goes to the
    log, the metric label, the operator's screen and the evidence.

    Distances are quantised to 0.1 m: ``distance_dm`` the best, ``lower_dm`` and ``upper_dm`` what accuracy, age
    and motion leave open (DOMAIN section 3, d_lb and d_ub). A party that was never heard is None, and then so is
    the distance. ``low_confidence``: an alert that rests on a poor or implausible fix. ``alert_ms``: when he will
    be at the alert distance if both go on like this (IMMINENT). ``silent_since_ms``: the last message, or fix, of
    the party that a loss is about, or whose silence makes it DEGRADED. ``blind_worst_ms``,
    ``blind_plausible_ms``: the hours of blind risk, at the worst and the plausible speed of whoever is silent.
    ``past``: of a PAST_INCURSION, and of nothing else; its EXIT says that later fixes have taken back what
    ``entry`` said.

    ``authorised``: it is recorded, and nobody is alerted (``tocsin.model.geozone``). ``zone``: the id of the fixed
    place that a ZONE_ code is about, never its shape; ``zone_dm`` how far the wearer's fix is from its edge, below
    0 inside. ``crossed_from_ms``, ``crossed_until_ms``: no fix was inside, and between these hours he was.
    ``priority``: by time to blind risk, where the catalogue lets it follow that; None: the catalogue's. ``alarm``:
    the alarm of the same cause that was raised at once, which this confirms or lowers. An ENTRY whose ``entry`` is
    another one's says that what began then has become more urgent.

    Of a ring: ``wearer_approach_dm``, ``protected_approach_dm``: how much nearer each has come by what he or she
    did since the last crossing, below 0 farther; None where a place was not believed or not known.
    ``wearer_share_pct``: the wearer's share of the approach, behind an exit of the going apart; None: nobody moved
    enough to say. ``call_by_ms``: until when the call to the wearer may wait without risk, None: call at once.
    ``other_side``: he has come and gone from another side before.

    A finding about the quality of one unit names it (``device``) and says nothing of the distance. ``skew_ms``:
    how far its clock is ahead of reception (CLOCK_SKEW); ``received`` of ``expected`` fixes in the window
    (LOW_YIELD).

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
    authorised: bool = False
    zone: str | None = None
    zone_dm: int | None = None
    crossed_from_ms: int | None = None
    crossed_until_ms: int | None = None
    priority: int | None = None
    alarm: str | None = None
    wearer_share_pct: int | None = None
    wearer_approach_dm: int | None = None
    protected_approach_dm: int | None = None
    call_by_ms: int | None = None
    other_side: bool = False
    device: str | None = None
    skew_ms: int | None = None
    received: int | None = None
    expected: int | None = None
    past: Past | None = None
    silenced: Silenced | None = None


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody pressed the key, or a unit said something that cannot wait. A position is attached if there was one
    and never required.

    ``readable`` False: the message could not be read, or not whole; it rings all the same. ``event``: the word of
    the unit, empty for the key. ``local``: it had decided so by itself before anybody heard it (F03).
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
    event: str = ""
    local: bool = False
