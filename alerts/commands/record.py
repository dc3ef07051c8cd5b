"""How does a command ask the record of this deployment directly, and what must be typed before it may?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import typer

from alerts.commands.client import failed
from tocsin.adapters.postgres import Pool, open_pool
from tocsin.errors import RecordUnavailable
from tocsin.settings import Settings
from tocsin.stack import record_address

STATEMENT_TIMEOUT_S: Final = 60.0  # a person waits

T = TypeVar("T")


def ask_record(settings: Settings, ask: Callable[[Pool], Awaitable[T]]) -> T:
    """What ``ask`` answers; ends the command with status 1 when the record does not."""

    async def asking() -> T:
        async with (
            record_address(settings) as dsn,
            open_pool(dsn, statement_timeout_s=STATEMENT_TIMEOUT_S) as pool,
        ):
            return await ask(pool)

    try:
        return asyncio.run(asking())
    except RecordUnavailable as error:
        raise failed(str(error)) from None


def refuse(problems: list[str]) -> None:
    """All of them, and status 2. Nothing when there are none."""
    if problems:
        raise typer.BadParameter("; ".join(problems))


def realm_problems(settings: Settings, typed: str) -> list[str]:
    """What lets something be erased needs the realm in full, so that nobody does it in the wrong window."""
    realm = settings.realm.value
    return [] if typed == realm else [f"--realm: this is {realm}; type it in full to go on"]
