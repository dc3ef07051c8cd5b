"""Who asks, and may he do that?

One table, role by verb, closed by default: what is not written here is refused. Who speaks is
told by a bearer token, compared in constant time with every known one. In realm lab with ``api_auth = off`` he
says his own name in the header ``Tocsin-Actor`` and may do everything.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Final, Literal
from urllib.parse import unquote

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from alerts.api.deps import Deps, deps_of
from alerts.api.problems import Refusal
from tocsin.settings import Settings

Role = Literal["monitor", "teleassistant", "supervisor", "court", "technical", "lab"]

ACTOR_HEADER: Final = "Tocsin-Actor"
ACTOR_MAX = 80  # as in ApiUser
LAB_ACTOR: Final = "lab"


class Permission(StrEnum):
    """What can be asked of the API."""

    WHO_AM_I = "who-am-i"
    SEE_ALERTS = "see-alerts"
    SEE_ALERT = "see-alert"
    SEE_TIMELINE = "see-timeline"
    ACT_ON_ALERTS = "act-on-alerts"
    SEE_PROTECTION = "see-protection"
    SEE_MEASURES = "see-measures"
    ORDER_MEASURES = "order-measures"
    SEE_DEVICES = "see-devices"
    MAKE_DEVICES = "make-devices"
    ORDER_UNITS = "order-units"


_DESK = {
    Permission.WHO_AM_I,
    Permission.SEE_ALERTS,
    Permission.SEE_ALERT,
    Permission.SEE_TIMELINE,
    Permission.ACT_ON_ALERTS,
    Permission.SEE_PROTECTION,
}
_COURT = {Permission.SEE_MEASURES, Permission.ORDER_MEASURES}
_WORKSHOP = {Permission.SEE_DEVICES, Permission.MAKE_DEVICES}

MAY: Final[Mapping[Role, frozenset[Permission]]] = MappingProxyType(
    {
        "monitor": frozenset(_DESK | {Permission.ORDER_UNITS}),
        "teleassistant": frozenset(_DESK),
        "supervisor": frozenset(_DESK | _COURT | _WORKSHOP | {Permission.ORDER_UNITS}),
        "court": frozenset(_COURT | {Permission.WHO_AM_I, Permission.SEE_ALERT, Permission.SEE_TIMELINE}),
        "technical": frozenset(_WORKSHOP | {Permission.WHO_AM_I, Permission.ORDER_UNITS}),
        "lab": frozenset(Permission),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks: the name goes into the record with what he does."""

    name: str
    role: Role

    def may(self, permission: Permission) -> bool:
        return permission in MAY[self.role]


_bearer = HTTPBearer(auto_error=False, description="A token of TOCSIN_API_TOKENS.")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


def requires(permission: Permission) -> Callable[..., Awaitable[Caller]]:
    """The dependency of an operation: the caller, or 401, or 403."""

    async def caller_who_may(
        request: Request, deps: Annotated[Deps, Depends(deps_of)], credentials: Credentials
    ) -> Caller:
        caller = caller_of(deps.settings, credentials, request.headers.get(ACTOR_HEADER))
        if not caller.may(permission):
            raise Refusal("forbidden", f"the role {caller.role} has no permission {permission.value}")
        return caller

    return caller_who_may


def caller_of(settings: Settings, credentials: HTTPAuthorizationCredentials | None, claimed: str | None) -> Caller:
    """Who asks. Raises Refusal (401) without a known token, unless no token is asked for."""
    if settings.api_auth == "off":  # realm lab only, settings see to that
        return Caller(name=_claimed_name(claimed), role="lab")
    if credentials is not None:
        given, found = credentials.credentials.encode(), None
        for token, user in settings.api_tokens.items():  # all of them, always: the time tells nothing
            if hmac.compare_digest(token.encode(), given):
                found = user
        if found is not None:
            return Caller(name=found.name, role=found.role)
    raise Refusal("unauthorized", headers={"WWW-Authenticate": 'Bearer realm="tocsin"'})


def _claimed_name(claimed: str | None) -> str:
    """The name in the header, percent-encoded where it is not ASCII."""
    name = unquote(claimed or "").strip()
    return name[:ACTOR_MAX] if name and name.isprintable() else LAB_ACTOR
