"""What is a device, and where do its messages go?"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class DeviceKind(StrEnum):
    """The three things that speak to Tocsin."""

    WEARER = "bar_wearer"
    PROTECTED = "bar_protected"
    TGD = "tgd"


class Traits(msgspec.Struct, frozen=True, kw_only=True):
    """What many devices have in common, and may lose together (F05). None: nobody said.

    ``carrier`` and ``apn`` are who carries its messages and through which door, ``region`` where it is used,
    ``firmware`` what runs on it: words of whoever registers it, compared letter by letter.
    """

    carrier: str | None = None
    apn: str | None = None
    region: str | None = None
    firmware: str | None = None


NO_TRAITS = Traits()


class Device(Traits, frozen=True, kw_only=True):
    """A unit as the other stages know it.

    ``number`` is its 64-bit number in columns; ``measures`` are the ids of the measures in force that name it,
    sorted: a fix is decided once per measure. ``revoked_ms``: since when it may not speak; the stages hear of no
    such device. ``reports_every_s``: the interval of a unit that takes no orders about it (a phone with an app of
    its own); None: the geofence commands it.
    """

    id: str
    number: int
    kind: DeviceKind
    measures: tuple[str, ...] = ()
    password_bcrypt: str = ""
    revoked_ms: int | None = None
    reports_every_s: int | None = None
