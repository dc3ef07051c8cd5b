"""What have all commands that run a laboratory in common? A folder, an end on Ctrl-C, a report, an exit status."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer
from rich.console import Console

from simulator.lab import run_name
from tocsin.embedded.database import erase
from tocsin.supervisor import PartEvent
from tocsin.telemetry import configure_logging

EXIT_FAILED = 1
EXIT_MISUSE = 2
EXIT_INTERRUPTED = 130

Json = Annotated[Path | None, typer.Option("--json", help="Write the report here; - is standard output.")]
DataDir = Annotated[Path, typer.Option(help="Each run makes a folder of its own below this one.")]
Keep = Annotated[bool, typer.Option(help="Keep the run's folder (logs, database) when it went well.")]

console = Console(stderr=True)


@contextlib.contextmanager
def home_of(data_dir: Path, command: str, *, keep: bool) -> Iterator[Path]:
    """A new folder for this run; gone at the end unless something went wrong or it is to be kept.

    Ctrl-C is nothing wrong: the folder goes, and the exit status is EXIT_INTERRUPTED.
    """
    configure_logging(command, "lab", "error")
    home = data_dir.resolve() / f"{command}-{run_name()}"
    home.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    try:
        yield home
    except KeyboardInterrupt:
        if not keep:
            _remove(home)
        console.print("interrupted")
        sys.exit(EXIT_INTERRUPTED)
    if not keep:
        _remove(home)


def _remove(home: Path) -> None:
    """The database's folder by itself: its data may have had to be placed elsewhere."""
    erase(home / "database")
    erase(home)


def run(work: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401  (the result of the work)
    """The result; KeyboardInterrupt once everything that was started has ended, told so by Ctrl-C or by SIGTERM.

    Also where a shell had it ignore SIGINT, as what is started in the background of a script does. Told the same
    twice it ends at once, and nothing that was started is ended in order; the other of both signals changes
    nothing: a terminal and whatever stops a job may each send theirs for one wish.
    """
    structlog.contextvars.clear_contextvars()
    return asyncio.run(_until_told(work))


async def _until_told(work: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401  (the result of the work)
    working, loop, told = asyncio.ensure_future(work), asyncio.get_running_loop(), asyncio.Event()

    def end_it(number: signal.Signals) -> None:
        loop.remove_signal_handler(number)  # a second one is the system's: it ends us
        signal.signal(number, signal.SIG_DFL)
        if not told.is_set():
            told.set()
            working.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end_it, number)
    try:
        return await working
    except asyncio.CancelledError:
        if told.is_set():
            raise KeyboardInterrupt from None
        raise
    finally:
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def tell(event: PartEvent) -> None:
    """Deaths and restarts of parts."""
    if event.what == "died" or event.gap_s is not None:
        console.print(
            f"{event.part}: {event.what} {event.exit_code if event.gap_s is None else f'{event.gap_s:.2f} s'}"
        )


def write(report: dict[str, Any], out: Path | None) -> None:
    """To the file, or to standard output."""
    if out is None:
        return
    text = json.dumps(report, indent=2, ensure_ascii=False)
    if str(out) == "-":
        print(text)
    else:
        out.write_text(text + "\n", encoding="utf-8")


def end(*, held: bool, home: Path) -> None:
    """Leaves with EXIT_FAILED, and the folder for inspection, when the promise was not kept."""
    if not held:
        console.print(f"[red]the promise was not kept[/]; logs: {home / 'log'}", soft_wrap=True)
        sys.exit(EXIT_FAILED)
