"""What can be typed? ``tocsin up``, and the commands that the simulator adds (``demo``, ``replay``, ``bench`` …).

The other packages register their commands as entry points of the group ``tocsin.commands``, so that the shared
package imports none of them.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import structlog
import typer
from rich.console import Console

from tocsin import __version__
from tocsin.embedded import EmbeddedServerError
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
