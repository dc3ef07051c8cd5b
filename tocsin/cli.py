"""What can be typed? ``tocsin up``, ``tocsin migrate``, and what the simulator adds (``demo``, ``bench`` …).

The other packages register their commands as entry points of the group ``tocsin.commands``, so that the shared
package imports none of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import structlog
import typer
from rich.console import Console

from tocsin import __version__
from tocsin.adapters.history import open_history
from tocsin.adapters.migrate import MigrationFailed, MigrationRefused, State, inspect, migrations, script
from tocsin.adapters.migrate import migrate as run_migrations
from tocsin.embedded import EmbeddedPostgres, EmbeddedServerError
from tocsin.errors import TocsinError
from tocsin.settings import Settings, load
from tocsin.stack import PARTS, running
from tocsin.supervisor import PartEvent
from tocsin.telemetry import configure_logging

EXIT_FAILED = 1
EXIT_MISUSE = 2

HELP = "The open geolocation alert backend for the TGD and the anti-approach bracelet."

app = typer.Typer(no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False, help=HELP)
console = Console(stderr=True)


def _tell_version(asked: bool) -> None:
    if asked:
        version()
        raise typer.Exit


@app.callback()
def tocsin(
    _version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """The open geolocation alert backend for the TGD and the anti-approach bracelet."""


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)  # noqa: T201  (the answer of the command)


@app.command()
def up(
    only: Annotated[
        str, typer.Option(help=f"Start these parts only, with commas: {', '.join(part.name for part in PARTS)}.")
    ] = "",
    data_dir: Annotated[Path | None, typer.Option(help="Where everything is kept (TOCSIN_DATA_DIR).")] = None,
) -> None:
    """Start what is missing of broker, log and database, then every part; stop all of it on Ctrl-C."""
    names = frozenset(name.strip() for name in only.split(",") if name.strip())
    if unknown := names - {part.name for part in PARTS}:
        raise typer.BadParameter(f"no such part: {', '.join(sorted(unknown))}", param_hint="--only")
    settings = load() if data_dir is None else load(data_dir=data_dir)
    configure_logging("up", settings.realm.value, settings.log_level)
    asyncio.run(_up(settings, names or None))


@app.command()
def migrate(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit 1 when files are pending or were changed.")
    ] = False,
    sql: Annotated[
        bool, typer.Option("--sql", help="Print the SQL that would run, for psql; run nothing.")
    ] = False,
    data_dir: Annotated[Path | None, typer.Option(help="Where everything is kept (TOCSIN_DATA_DIR).")] = None,
) -> None:
    """Bring the tables up to date: of TOCSIN_DATABASE_URL, or of the data folder's own database.

    `tocsin up` does it by itself. Exits 0 when they are, 1 when they are not, 2 when the database does not answer.
    """
    if check and sql:
        raise typer.BadParameter("either --check or --sql")
    settings = load() if data_dir is None else load(data_dir=data_dir)
    configure_logging("migrate", settings.realm.value, settings.log_level)
    try:
        good = asyncio.run(_look(settings, sql=sql) if check or sql else _migrate(settings))
    except (MigrationRefused, MigrationFailed) as error:
        console.print(f"[red]{error}[/]", soft_wrap=True)
        good = False
    sys.exit(0 if good else EXIT_FAILED)


async def _migrate(settings: Settings) -> bool:
    async with _database(settings) as dsn:
        applied = await run_migrations(dsn)
        async with open_history(dsn) as history:
            if (
                await history.storage()
            ).kept_days is None:  # later changes are the archivist's: this is some shell
                await history.configure(
                    kept_days=settings.fixes_kept_days,
                    compact_after_days=settings.fixes_compact_after_days,
                    own_jobs=not settings.clock_moved,
                )
            storage = await history.storage()
    console.print(f"applied: {', '.join(applied) or 'nothing, all is up to date'}", soft_wrap=True)
    console.print(f"fixes are kept in {storage.kind} ({storage.version}; {storage.reason})", soft_wrap=True)
    if storage.kept_days != settings.fixes_kept_days:
        console.print(
            f"[yellow]kept for {storage.kept_days} days as before[/]; TOCSIN_FIXES_KEPT_DAYS is "
            f"{settings.fixes_kept_days} here, and counts where the archivist runs",
            soft_wrap=True,
        )
    return True


async def _look(settings: Settings, *, sql: bool) -> bool:
    """What a migration would do. True when it would do nothing, or its SQL is what was asked for."""
    if settings.database_url is None and not _own_database(settings).exists():
        state = State(pending=tuple(migrations()), changed=())  # the first start will make it
    else:
        async with _database(settings) as dsn:
            state = await inspect(dsn)
    if state.changed:
        raise MigrationRefused(f"applied, and changed since: {', '.join(one.name for one in state.changed)}")
    if sql:
        print(script(state.pending))  # noqa: T201  (the answer of the command)
        return True
    for one in state.pending:
        console.print(f"pending: {one.name}")
    return state.up_to_date


def _own_database(settings: Settings) -> Path:
    return settings.data_dir.resolve() / "database"


@contextlib.asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[str]:
    """The address of the database; the embedded one runs for as long as the body, unless `tocsin up` has it."""
    if settings.database_url is not None:
        yield settings.database_url
        return
    settings.data_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
    server = EmbeddedPostgres(home=_own_database(settings), bindir=settings.pg_bindir)
    try:
        yield await server.start()
    finally:
        await server.stop()


async def _up(settings: Settings, only: frozenset[str] | None) -> None:
    """Serve until a signal; a signal during the start ends the start."""
    serving = asyncio.create_task(_serve(settings, only))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, serving.cancel)
    try:
        await serving
    except asyncio.CancelledError:
        console.print("stopped")


async def _serve(settings: Settings, only: frozenset[str] | None) -> None:
    async with running(settings, tell=tell, only=only) as stack:
        console.print(
            f"[bold green]Tocsin is up[/] (realm {settings.realm.value}); console and API: "
            f"{stack.addresses.api_url}   Ctrl-C stops it",
            soft_wrap=True,
        )
        console.print(where_devices_connect(settings, stack.addresses.mqtt_url), soft_wrap=True)
        if settings.teleassistance_url is None:
            console.print(
                "[yellow]alerts are told to nobody yet[/]: set TOCSIN_TELEASSISTANCE_URL", soft_wrap=True
            )
        if settings.api_auth == "token" and not settings.api_tokens:
            console.print(
                "[yellow]nobody can use the API yet[/]: set TOCSIN_API_TOKENS (in realm lab: TOCSIN_API_AUTH=off)",
                soft_wrap=True,
            )
        try:
            await asyncio.Event().wait()
        finally:
            console.print("stopping …")


def where_devices_connect(settings: Settings, mqtt_url: str) -> str:
    """Without the login. Only the embedded broker has one door for all: elsewhere ingest's is not the devices'."""
    scheme, _, rest = mqtt_url.partition("://")
    door = f"{scheme}://{rest.rpartition('@')[2]}"
    if settings.mqtt_url is None:
        return f"bracelets and phones: {door}"
    return f"bracelets and phones: at the devices' listener of your broker; ingest listens to it at {door}"


def tell(event: PartEvent) -> None:
    """One line for each thing that happens to a part."""
    match event:
        case PartEvent(what="died"):
            console.print(f"[red]✗ {event.part} died[/] (exit {event.exit_code})")
        case PartEvent(what="ready", gap_s=float(gap_s)):
            console.print(f"[yellow]↻ {event.part} is back[/], gap {gap_s:.2f} s")
        case PartEvent(what="ready"):
            console.print(f"[green]✓[/] {event.part}")
        case PartEvent(part="territory" | "certificates"):  # nothing is said of these but what is wrong with them
            console.print(f"! {event.part}: {event.what}", style="bold red", markup=False)
        case _:
            console.print(f"  {event.part}: {event.what}", style="dim")


def main() -> None:
    """The entry point: every registered command, errors as one line and an exit status."""
    for entry in entry_points(group="tocsin.commands"):
        app.add_typer(entry.load())
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        app()
    except (TocsinError, EmbeddedServerError) as error:
        console.print(f"[red]{error}[/]", soft_wrap=True)
        sys.exit(EXIT_MISUSE)
