"""What is a device told? An order in the words of the device protocol (docs/device-protocol.md, ``cmd``).

All that a wearer can read on his own unit is one of four intervals, which are a function of the zone state
(invariant 5), the plain request for a position, or a sentence of the closed list that an operator chose, in the
state that it belongs to; beside it a name that is a hash, and the hour at which it ends. The payload is built from
these alone and each is checked: whatever went wrong before, no place fits through this door. A protected person's
unit may be told one interval more, half as often as 10 s at rest in an alert, and hers alone shows her protection
and rings.

What a machine orders is told under a name that follows from what its unit can read and when (``told_as``): the
geofence names an order after the message that caused it, and a wearer who knows how names are made could find out
from such a name whether that message was his, and of which unit it was if not.

Seconds since 1970 UTC and seconds, as devices say them.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Final

import msgspec

from alerts.channels.sentences import SENTENCES, Condition
from tocsin.clock import MS
from tocsin.errors import TocsinError
from tocsin.model.command import Action, Command, Shown
from tocsin.model.device import DeviceKind
from tocsin.model.ids import derived, is_derived

LEAF = "cmd"
WEARER_INTERVALS_S = frozenset({60, 30, 10, 5})
PROTECTED_INTERVALS_S = WEARER_INTERVALS_S | {20}
EVERYWHERE: Final = frozenset({Condition.ANY})

Fields = dict[str, int | str | bool]


class NotSayable(TocsinError):
    """This order is none that this device may be given; giving it again would not help."""


def told_as(command: Command) -> Command:
    """``command`` under the name that its unit reads; an operator's, and her protection's, have their own."""
    if command.action not in {Action.SET_CADENCE, Action.REPORT_LOCATION} or command.by:
        return command
    about = (command.device, command.action.value, command.interval_s or 0, command.at_ms)
    return msgspec.structs.replace(command, id=derived("cmd", *about))


def payload(command: Command, kind: DeviceKind, conditions: AbstractSet[Condition] = EVERYWHERE) -> bytes:
    """The bytes of an order. ``conditions``: the states that the device is in now. Raises NotSayable, naming the
    field and never its value."""
    if not is_derived(command.id):
        raise NotSayable("id: not a derived name")
    _refuse_strangers(command)
    said = {"_type": "cmd", "id": command.id, "action": command.action.value}
    return msgspec.json.encode({**said, **_arguments(command, kind, conditions), "exp": command.expires_ms // MS})


OWN_FIELDS: Final = {
    Action.SET_CADENCE: {"interval_s"},
    Action.REPORT_LOCATION: set[str](),
    Action.PROTECTION: {"shows", "rings"},
    Action.SAY: {"sentence"},
    Action.RING: set[str](),
}


def _refuse_strangers(command: Command) -> None:
    """Every argument belongs to its action."""
    for name in ("interval_s", "shows", "rings", "sentence"):
        if name not in OWN_FIELDS[command.action] and getattr(command, name) is not None:
            raise NotSayable(f"{name}: {command.action.value} has none")


def _arguments(command: Command, kind: DeviceKind, conditions: AbstractSet[Condition]) -> Fields:
    match command.action:
        case Action.SET_CADENCE:
            return {"s": _interval_s(command, kind)}
        case Action.REPORT_LOCATION:
            return {}
        case Action.PROTECTION:
            return _protection(command, kind)
        case Action.SAY:
            return _sentence(command, kind, conditions)
        case Action.RING:
            if kind is not DeviceKind.PROTECTED or not command.by:
                raise NotSayable(f"action: no {kind.value} rings but a protected person's, on a human's order")
            return {}


def _interval_s(command: Command, kind: DeviceKind) -> int:
    allowed = PROTECTED_INTERVALS_S if kind is DeviceKind.PROTECTED else WEARER_INTERVALS_S
    if command.interval_s not in allowed:
        raise NotSayable(f"interval_s: not one of those that a {kind.value} may be told")
    return command.interval_s


def _protection(command: Command, kind: DeviceKind) -> Fields:
    if kind is DeviceKind.WEARER:
        raise NotSayable("action: her protection is no wearer's to know")
    if command.shows is None or command.rings is None:
        raise NotSayable("shows, rings: protection needs both")
    if command.rings and (command.shows is not Shown.ALERT or kind is DeviceKind.TGD):
        raise NotSayable("rings: nothing rings but an alert, and never a TGD")
    return {"state": command.shows.value, "ring": command.rings}


def _sentence(command: Command, kind: DeviceKind, conditions: AbstractSet[Condition]) -> Fields:
    """No machine says a sentence (F34)."""
    if not command.by:
        raise NotSayable("by: a human says a sentence, and he has a name")
    if command.sentence is None:
        raise NotSayable("sentence: none is named")
    wording = SENTENCES[command.sentence]
    if kind not in wording.kinds:
        raise NotSayable(f"sentence: not one of those that a {kind.value} is told")
    if wording.when not in conditions:
        raise NotSayable("sentence: it does not belong to the state that this device is in")
    return {"template": command.sentence.value}
