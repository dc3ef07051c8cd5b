"""Who reads this, and why? The dependency of every operation that shows alerts or measures."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Query, Request

from alerts.api.access import Credentials, requires
from alerts.api.accesses import Accesses, SealedAccesses
from alerts.api.deps import Deps, deps_of
from alerts.api.problems import Refusal
from alerts.api.roles import Caller, Permission
from tocsin.model.access import PURPOSE

Purpose = Annotated[
    str | None,
    Header(
        alias="Tocsin-Purpose", pattern=PURPOSE,
        description="Why you look: it stands in the record of accesses.",
        examples=["audit:2026-113"],
    ),
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Who reads, and why. An operation says what it has shown."""

    caller: Caller
    purpose: str
    accesses: Accesses

    def saw(self, what: str, objects: Iterable[str]) -> None:
        self.accesses.note(self.caller, what, objects, self.purpose)

    async def takes(self, record: SealedAccesses, what: str, objects: Iterable[str]) -> None:
        """Before the first byte of evidence leaves. Raises RecordUnavailable."""
        await self.accesses.seal(record, self.caller, what, objects, self.purpose)

    async def sees_places(self, what: str, objects: Iterable[str]) -> None:
        """Before the reply leaves. Raises LogUnavailable."""
        await self.accesses.keep(self.caller, what, objects, self.purpose)


def reads(permission: Permission) -> Callable[..., Awaitable[Reader]]:
    """The dependency of an operation that shows alerts or measures: who reads them, or 401, or 403."""

    caller_who_may = requires(permission)

    async def reader_who_may(
        request: Request,
        deps: Annotated[Deps, Depends(deps_of)],
        credentials: Credentials,
        purpose: Purpose = None,
    ) -> Reader:
        caller = await caller_who_may(request, deps, credentials)
        return Reader(caller=caller, purpose=purpose or "", accesses=deps.accesses)

    return reader_who_may


def reads_for_a_reason(permission: Permission) -> Callable[..., Awaitable[Reader]]:
    """The same of what shows somebody's place, or who did what: 400 without a purpose."""

    async def reader_who_says_why(
        reader: Reader = Depends(reads(permission)),  # noqa: B008  an annotation is a text, and knows no ``permission``
    ) -> Reader:
        if not reader.purpose:
            raise Refusal("purpose-missing")
        return reader

    return reader_who_says_why


_reads_alerts, _reads_canaries = reads(Permission.SEE_ALERTS), reads(Permission.SEE_CANARIES)


async def reads_a_list(
    request: Request,
    deps: Annotated[Deps, Depends(deps_of)],
    credentials: Credentials,
    purpose: Purpose = None,
    canary: Annotated[
        bool, Query(description="Alerts of invented pairs instead, which are in no other list: role technical.")
    ] = False,
) -> Reader:
    """Who lists alerts of people, or those of canaries: no role sees both in one list."""
    return await (_reads_canaries if canary else _reads_alerts)(request, deps, credentials, purpose)
