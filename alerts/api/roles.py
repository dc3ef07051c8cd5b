"""Which role may ask what, and do what to an alert?

Two tables, role by permission and role by verb, closed by default: what is not written here is refused.

The role ``platform`` is the téléassistance's own software. It never acts for itself but for a human whom it names.
It may not take an alert out of another's hands: that is a supervisor's, and of who is one at the téléassistance
Tocsin knows only what that software says.

The role ``auditor`` sees what proves the record and who has read it, and the evidence of an alert; he does nothing
to anything. Those whom he audits, supervisors too, see none of the record of accesses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal

from tocsin.model.episode import Verb

Role = Literal["monitor", "teleassistant", "supervisor", "court", "technical", "auditor", "platform", "lab"]
SUPERVISING: Final = frozenset[Role]({"supervisor", "lab"})
"""Who may take an alert from whoever has it."""

SPEAKS_FOR_OTHERS: Final[Role] = "platform"


class Permission(StrEnum):
    """What can be asked of the API."""

    WHO_AM_I = "who-am-i"
    SEE_ALERTS = "see-alerts"
    SEE_ALERT = "see-alert"
    SEE_CANARIES = "see-canaries"
    SEE_TIMELINE = "see-timeline"
    ACT_ON_ALERTS = "act-on-alerts"
    SEE_PROTECTION = "see-protection"
    SEE_MEASURES = "see-measures"
    ORDER_MEASURES = "order-measures"
    SEE_DEVICES = "see-devices"
    MAKE_DEVICES = "make-devices"
    SEE_REPORTS = "see-reports"
    ORDER_UNITS = "order-units"
    TAKE_EVIDENCE = "take-evidence"
    SEE_AUDIT = "see-audit"


_ALERTS = {
    Permission.WHO_AM_I,
    Permission.SEE_ALERTS,
    Permission.SEE_ALERT,
    Permission.SEE_TIMELINE,
    Permission.ACT_ON_ALERTS,
}
_DESK = _ALERTS | {Permission.SEE_PROTECTION}
_COURT = {Permission.SEE_MEASURES, Permission.ORDER_MEASURES}
_WORKSHOP = {Permission.SEE_DEVICES, Permission.MAKE_DEVICES}

MAY: Final[Mapping[Role, frozenset[Permission]]] = MappingProxyType(
    {
        "monitor": frozenset(_DESK | {Permission.ORDER_UNITS}),
        "teleassistant": frozenset(_DESK),
        "supervisor": frozenset(_DESK | _COURT | _WORKSHOP | {Permission.SEE_REPORTS, Permission.ORDER_UNITS}),
        "court": frozenset(
            _COURT
            | {Permission.WHO_AM_I, Permission.SEE_ALERT, Permission.SEE_TIMELINE, Permission.SEE_REPORTS}
            | {Permission.TAKE_EVIDENCE}
        ),
        "technical": frozenset(_WORKSHOP | {Permission.WHO_AM_I, Permission.ORDER_UNITS, Permission.SEE_CANARIES}),
        "auditor": frozenset(
            {Permission.WHO_AM_I, Permission.SEE_TIMELINE, Permission.TAKE_EVIDENCE, Permission.SEE_AUDIT}
        ),
        "platform": frozenset(_ALERTS),
        "lab": frozenset(Permission),
    }
)

_HANDLE = frozenset(
    {Verb.ACKNOWLEDGE, Verb.RELEASE, Verb.CLOSE, Verb.HAND_OVER, Verb.DO, Verb.HAND_OFF}
)  # fmt: skip

MAY_DO: Final[Mapping[Role, frozenset[Verb]]] = MappingProxyType(
    {
        "monitor": _HANDLE | {Verb.TAKE_OVER},  # the desk sees to it that it has expired: he does not supervise
        "teleassistant": _HANDLE,
        "supervisor": _HANDLE | {Verb.TAKE_OVER},
        "court": frozenset(),
        "technical": frozenset(),
        "auditor": frozenset(),
        "platform": _HANDLE,
        "lab": _HANDLE | {Verb.TAKE_OVER},
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks: the name goes into the record with what he does. ``service``: the account that speaks for him,
    empty when he speaks himself; it may name nobody when it only reads."""

    name: str
    role: Role
    service: str = ""

    @property
    def label(self) -> str:
        return self.name or self.service

    @property
    def supervises(self) -> bool:
        return self.role in SUPERVISING

    def may(self, permission: Permission) -> bool:
        return permission in MAY[self.role]

    def may_do(self, verb: Verb) -> bool:
        return verb in MAY_DO[self.role]
