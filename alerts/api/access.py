"""Who asks, and may he do that?

What a role may is in ``alerts.api.roles``. Who speaks is told by a bearer token, compared in constant time with
every known one. A token of the role ``platform`` speaks for the human whom the header ``Tocsin-Actor`` names, and
acts for nobody without it; every other token has the name of its own human, and may not speak for another one. In
realm lab with ``api_auth = off`` he says his own name in that header and may do everything.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Annotated, Final
from urllib.parse import unquote

from fastapi import Depends, Header, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from alerts.api.deps import Deps, deps_of
from alerts.api.problems import Refusal
from alerts.api.roles import SPEAKS_FOR_OTHERS, Caller, Permission
from tocsin.model.episode import Verb
from tocsin.settings import ApiUser, Settings

ACTOR_HEADER: Final = "Tocsin-Actor"
ACTOR_MAX = 80  # as in ApiUser
LAB_ACTOR: Final = "lab"

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


def acts(verb: Verb) -> Callable[..., Awaitable[Caller]]:
    """The dependency of an act: one named human, or 400, 401, 403."""

    async def actor_who_may(
        caller: Annotated[Caller, Depends(requires(Permission.ACT_ON_ALERTS))],
        _actor: Annotated[
            str | None,
            Header(
                alias=ACTOR_HEADER, examples=["D.%20Martin"],
                description="For whom the account of a platform acts: his name, percent-encoded if not ASCII.",
            ),
        ] = None,
    ) -> Caller:  # fmt: skip
        checked_verb(caller, verb)
        if not caller.name:
            raise Refusal("actor-missing")
        return caller

    return actor_who_may


def checked_verb(caller: Caller, verb: Verb) -> None:
    """Raises Refusal (403)."""
    if not caller.may_do(verb):
        raise Refusal("forbidden", f"the role {caller.role} may not {verb.value}")


def caller_of(settings: Settings, credentials: HTTPAuthorizationCredentials | None, claimed: str | None) -> Caller:
    """Who asks. Raises Refusal (401) without a known token, unless no token is asked for."""
    if settings.api_auth == "off":  # realm lab only, settings see to that
        return Caller(name=name_in(claimed)[:ACTOR_MAX] or LAB_ACTOR, role="lab")
    if credentials is not None:
        given, found = credentials.credentials.encode(), None
        for token, user in settings.api_tokens.items():  # all of them, always: the time tells nothing
            if hmac.compare_digest(token.encode(), given):
                found = user
        if found is not None:
            return _speaker(settings, found, claimed)
    raise Refusal("unauthorized", headers={"WWW-Authenticate": 'Bearer realm="tocsin"'})


def _speaker(settings: Settings, user: ApiUser, claimed: str | None) -> Caller:
    """Himself, or the platform for one of its own people. Raises Refusal (400, 403)."""
    if user.role != SPEAKS_FOR_OTHERS:
        if claimed is not None and name_in(claimed) != user.name:
            raise Refusal("actor-refused", "this token speaks for its own human alone")
        return Caller(name=user.name, role=user.role)
    name = "" if claimed is None else other_human(settings, name_in(claimed))
    return Caller(name=name, role=user.role, service=user.name)


def other_human(settings: Settings, name: str) -> str:
    """``name``, if it is that of a human who has no token here: one who has speaks with it, or the record would
    not know them apart. Raises Refusal (400, 403)."""
    if not 0 < len(name) <= ACTOR_MAX:
        raise Refusal("actor-missing")
    if any(name == user.name for user in settings.api_tokens.values()):
        raise Refusal("actor-refused", "who has a token of his own speaks with it")
    return name


def name_in(claimed: str | None) -> str:
    """The name in the header, percent-encoded where it is not ASCII; empty for what is none."""
    name = unquote(claimed or "").strip()
    return name if name.isprintable() else ""
