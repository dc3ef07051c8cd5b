"""Which messages were refused, and what did they look like? ``tocsin quarantine list``.

Reads the stream REFUSED and goes; it makes and changes nothing. What is shown is what is kept
(``ingest.quarantine``): the shape of a payload without its contents.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import deque
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from ingest.dialects.reports import Reason
from ingest.quarantine import Note, decode_note, printable
from tocsin import subjects
from tocsin.adapters.jetstream import open_log
from tocsin.clock import rfc3339
from tocsin.columns import columns
from tocsin.errors import LogUnavailable
from tocsin.ports import Extent
from tocsin.settings import load
from tocsin.stack import log_address
from tocsin.telemetry import configure_logging

EXIT_FAILED = 1
HEAD = ("at", "reason", "path", "topic", "detail", "bytes", "head")

app = typer.Typer(name="quarantine", no_args_is_help=True, help="Messages that were refused.")
console = Console(stderr=True)


@app.callback()
def quarantine() -> None:
    """Messages that were refused: their shape, without their contents."""


@app.command("list")
def show(
    reason: Annotated[Reason | None, typer.Option(help="Only those refused for this.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The newest so many.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    data_dir: Annotated[Path | None, typer.Option(help="Where Tocsin keeps everything (TOCSIN_DATA_DIR).")] = None,
) -> None:
    """The newest refused messages, oldest of them first."""
    settings = load() if data_dir is None else load(data_dir=data_dir)
    configure_logging("quarantine", settings.realm.value, "warning")
    try:
        notes, extent = asyncio.run(_newest(log_address(settings), reason, limit))
    except LogUnavailable as error:
        console.print(f"[red]{error}[/] Is Tocsin running?", soft_wrap=True)
        raise typer.Exit(EXIT_FAILED) from None
    for note in notes if as_json else ():
        sys.stdout.write(json.dumps(_shown(note), ensure_ascii=False) + "\n")
    if not as_json:
        sys.stdout.write(columns(HEAD, [_row(note) for note in notes]) + "\n")
        console.print(f"{len(notes)} shown of {extent.messages} kept; {extent.gone} older ones are gone")


async def _newest(url: str, reason: Reason | None, limit: int) -> tuple[list[Note], Extent]:
    """Raises LogUnavailable."""
    subject = subjects.REFUSED.subjects if reason is None else subjects.refused(reason.value)
    async with open_log(url, "quarantine") as log:
        extent = await log.extent(subjects.REFUSED)
        found: deque[Note] = deque(maxlen=limit)
        reader = log.read(subjects.REFUSED, subject)
        async for entries in reader:
            if not entries:
                break  # the present
            found.extend(decode_note.decode(entry.payload) for entry in entries)
        if isinstance(reader, AsyncGenerator):
            await reader.aclose()
    return list(found), extent


def _shown(note: Note) -> dict[str, object]:
    """Notes of an older version are as they were written: nothing of them may reach the terminal as an order."""
    fields = msgspec.structs.asdict(note)
    at = rfc3339(fields.pop("t3_ms"))
    return {"at": at} | {
        name: printable(value) if isinstance(value, str) else value for name, value in fields.items()
    }


def _row(note: Note) -> tuple[str, ...]:
    shown = _shown(note)
    return tuple(str(shown[name]) for name in HEAD)
