"""What is a device told? An order in the words of the device protocol (docs/device-protocol.md, ``cmd``).

All that a wearer can read on his own unit is one of four intervals, which are a function of the zone state
(invariant 5), or the plain request for a position; beside it a name that is a hash, and the hour at which it ends.
The payload is built from these alone and each is checked: whatever went wrong before, no place fits through this
door. A protected person's unit may be told one interval more: half as often as 10 s, at rest in an alert.

Seconds since 1970 UTC and seconds, as devices say them.
"""

from __future__ import annotations

import msgspec

from tocsin.clock import MS
from tocsin.errors import TocsinError
from tocsin.model.command import Action, Command
from tocsin.model.device import DeviceKind
from tocsin.model.ids import is_derived

LEAF = "cmd"
WEARER_INTERVALS_S = frozenset({60, 30, 10, 5})
PROTECTED_INTERVALS_S = WEARER_INTERVALS_S | {20}


class NotSayable(TocsinError):
    """This order is none that this device may be given; giving it again would not help."""


def payload(command: Command, kind: DeviceKind) -> bytes:
    """The bytes of an order. Raises NotSayable, naming the field and never its value."""
    if not is_derived(command.id):
        raise NotSayable("id: not a derived name")
    said = {"_type": "cmd", "id": command.id, "action": command.action.value}
    return msgspec.json.encode({**said, **_arguments(command, kind), "exp": command.expires_ms // MS})


def _arguments(command: Command, kind: DeviceKind) -> dict[str, int]:
    match command.action:
        case Action.SET_CADENCE:
            return {"s": _interval_s(command, kind)}
        case Action.REPORT_LOCATION:
            if command.interval_s is not None:
                raise NotSayable("interval_s: reportLocation has none")
            return {}


def _interval_s(command: Command, kind: DeviceKind) -> int:
    allowed = PROTECTED_INTERVALS_S if kind is DeviceKind.PROTECTED else WEARER_INTERVALS_S
    if command.interval_s not in allowed:
        raise NotSayable(f"interval_s: not one of those that a {kind.value} may be told")
    return command.interval_s
