"""What is a fix, alone and by the thousand?

A *fix* is one position of one device with its time and accuracy. On the bus fixes travel as columns: numpy
records of ``FIX_DTYPE``, 96 bytes each, little-endian, integers only, so that equality is exact and no NaN can
exist. Degrees are scaled by 1e6 (0.11 m), distances are decimetres, times milliseconds since 1970 UTC.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

import msgspec
import numpy as np
import numpy.typing as npt

from tocsin.limits import ACCURACY_UNKNOWN_DM, R95_PER_R68

DEGREES_PER_E6 = 1e-6
ABSENT = -1
"""Stands for an absent accuracy, speed, course, battery, sequence number."""


class Source(IntEnum):
    """Where the position came from."""

    UNKNOWN = 0
    GNSS = 1
    WIFI = 2
    CELL = 3
    BLE = 4


class DeviceEvent(IntEnum):
    """What a unit says has just happened to it; its word on the wire is the name in lower case."""

    NONE = 0
    STRAP_OPEN = 1
    STRAP_CLOSED = 2
    CASE_OPEN = 3
    CASE_CLOSED = 4
    SEPARATION = 5
    SEPARATION_END = 6
    RF_PROXIMITY = 7
    RF_PROXIMITY_END = 8
    JAMMING = 9
    JAMMING_END = 10
    POWER_OFF = 11
    BOOT = 12
    FALL = 13
    SELF_TEST = 14  # of a TGD: its test went well


class Tell(IntEnum):
    """What a message says of a strap, a case, a permission."""

    UNSAID = 0
    WELL = 1
    BROKEN = 2  # open, or refused


PAIR_S1_MAX = 0xFFFF
"""The greatest that ``pair_s1`` can say: eighteen hours and more."""


class FixFlag(IntFlag):
    """What screening found; nothing is dropped for a flag."""

    NONE = 0
    CLOCK_SKEW = 1  # device time and ingress time differ by more than a fix of this lane should
    BULK = 2  # came in a buffered batch
    PRESENCE = 4  # no position at all: the device was heard, and only its hour counts


FIX_DTYPE = np.dtype(
    [
        ("device", "<i8"),  # Device.number
        ("boot", "<i8"),
        ("seq", "<i8"),
        ("fix_ms", "<i8"),  # t1
        ("sent_ms", "<i8"),  # t2, ABSENT when the device does not say
        ("t3_ms", "<i8"),  # broker ingress, or receipt by ingest
        ("t4_ms", "<i8"),  # decoded and admitted
        ("lat_e6", "<i4"),
        ("lon_e6", "<i4"),
        ("accuracy_dm", "<i4"),  # 68 % radius
        ("speed_cms", "<i4"),
        ("course_ddeg", "<i4"),
        ("flags", "<u2"),
        ("source", "u1"),
        ("battery_pct", "i1"),
        ("primary", "u1"),  # one copy of a fix is primary: only it is archived and counted
        ("event", "u1"),  # DeviceEvent
        ("pair_s1", "<u2"),  # 1 + the seconds since the unit heard its other half, 0 where it does not say
        ("telemetry", "u1"),  # 1: a message that says what it knows of the four around here, and of the battery
        ("strap", "u1"),  # Tell
        ("case", "u1"),  # Tell
        ("permission", "u1"),  # Tell: may the program see the radio and the place?
        ("spare", "V8"),
    ]
)
assert FIX_DTYPE.itemsize == 96
SILENT_TAIL = (0, 0, 0, 0, 0, 0, b"")
"""The fields from ``event`` on of a message that says nothing of its unit. These bytes had no name before and were
zero: so an older row says nothing, and an older reader takes an event for a presence."""

Fixes = npt.NDArray[np.void]
"""A 1-D array of FIX_DTYPE."""


class FixPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One fix as a noun, for findings, alarms and evidence.

    ``accuracy_dm`` is the reported 68 % radius in decimetres, None where the device gave none.
    """

    device: str
    lat_e6: int
    lon_e6: int
    accuracy_dm: int | None
    fix_ms: int

    @property
    def lat(self) -> float:
        return self.lat_e6 / 1e6

    @property
    def lon(self) -> float:
        return self.lon_e6 / 1e6

    @property
    def radius95_m(self) -> float:
        """In which the unit is with 95 %. None and zero are not precision but silence: the worst case."""
        return (self.accuracy_dm or ACCURACY_UNKNOWN_DM) / 10 * R95_PER_R68


class ClockPoints(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The hours an alert has passed, in milliseconds; DOMAIN section 2. None: not yet, or not known.

    t1 fix or key press, t2 sent, t3 broker ingress, t4 decoded, t5 decided, t6 durable and raised,
    t7 handed to a channel, t8 accepted by the téléassistance platform, t9 acknowledged by an operator.
    """

    t1_ms: int | None = None
    t2_ms: int | None = None
    t3_ms: int | None = None
    t4_ms: int | None = None
    t5_ms: int | None = None
    t6_ms: int | None = None
    t7_ms: int | None = None
    t8_ms: int | None = None
    t9_ms: int | None = None
