"""How does one part of Tocsin run as a process? Settings, signals, readiness, a clean end.

A part is an async function that serves until it is cancelled. It calls ``ready`` when it can do its work; the
supervisor (ours, or systemd with ``Type=notify``) hears that on the socket named by ``NOTIFY_SOCKET``.
SIGTERM cancels it: what it held unacknowledged goes to the next one.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog
import uvloop

from tocsin.errors import SettingError
from tocsin.settings import Settings, load
from tocsin.telemetry import configure_logging

EXIT_MISUSE: Final = 2

Ready = Callable[[], None]
Part = Callable[[Settings, Ready], Awaitable[None]]

log = structlog.get_logger()


def run_part(package: str, parts: Mapping[str, Part]) -> None:
    """``python -m package NAME``: run that part until a signal; exits 2 for a wrong name or setting."""
    name = sys.argv[1] if len(sys.argv) == 2 else ""
    if name not in parts:
        sys.exit(f"usage: python -m {package} {'|'.join(parts)}")
    try:
        settings = load()
    except SettingError as error:
        print(error, file=sys.stderr)  # noqa: T201  (there is no log before the settings are right)
        sys.exit(EXIT_MISUSE)
    configure_logging(f"{package}.{name}", settings.realm.value, settings.log_level)
    try:
        uvloop.run(_until_signal(f"{package}.{name}", parts[name], settings))
    except SettingError as error:
        print(error, file=sys.stderr)  # noqa: T201
        sys.exit(EXIT_MISUSE)


async def _until_signal(role: str, part: Part, settings: Settings) -> None:
    serving = asyncio.ensure_future(part(settings, lambda: notify_ready(role)))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, serving.cancel)
    try:
        await serving
    except asyncio.CancelledError:
        log.info("stopped")


def notify_ready(role: str) -> None:
    """sd_notify: READY=1, with the role and the pid for our own supervisor."""
    address = os.environ.get("NOTIFY_SOCKET")
    log.info("ready")
    if not address:
        return
    if address.startswith("@"):  # systemd's abstract socket
        address = "\0" + address[1:]
    message = f"READY=1\nMAINPID={os.getpid()}\nSTATUS={role}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        try:
            out.sendto(message.encode(), address)
        except OSError as error:
            log.warning("ready_unheard", error=repr(error))
