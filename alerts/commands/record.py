"""Where is the record of this deployment, for a command that goes to it directly?

The one that is set (``TOCSIN_DATABASE_URL``), else the embedded one that ``tocsin up`` runs for the data folder:
PostgreSQL writes into its own lock file in which folder its socket is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar

import typer

from alerts.commands.client import failed
from tocsin.adapters.postgres import Pool, open_pool, socket_dsn
from tocsin.embedded.database import DATABASE, ROLE
from tocsin.embedded.places import Identity, place_for
from tocsin.errors import RecordUnavailable, SettingError
from tocsin.settings import PREFIX, Settings

STATEMENT_TIMEOUT_S: Final = 60.0  # a person waits
SOCKET_LINE: Final = 4  # of postmaster.pid: pid, data folder, start, port, socket folder

T = TypeVar("T")


def record_address(settings: Settings) -> str:
    """Raises SettingError where none is set and none runs."""
    if settings.database_url is not None:
        return settings.database_url
    home = settings.data_dir.resolve() / "database"
    socket = _socket_folder(place_for(home, Identity.ours()) / "postgres" / "postmaster.pid")
    if socket is None:
        raise SettingError(f"{PREFIX}DATABASE_URL: missing, and no database runs in {home}: is Tocsin up?")
    return socket_dsn(socket, ROLE, DATABASE)


def _socket_folder(lock: Path) -> str | None:
    try:
        return lock.read_text().splitlines()[SOCKET_LINE].strip() or None
    except (OSError, IndexError):
        return None


def ask_record(settings: Settings, ask: Callable[[Pool], Awaitable[T]]) -> T:
    """What ``ask`` answers; ends the command with status 1 when the record does not."""

    async def asking() -> T:
        async with open_pool(record_address(settings), statement_timeout_s=STATEMENT_TIMEOUT_S) as pool:
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
