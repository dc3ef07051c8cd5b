"""How does the evidence of one alert leave, and how is it checked? ``tocsin evidence export | verify | import``.

``verify`` needs the file and nothing else: it reads no setting, opens no database and no connection.
Exit 0: good; 1: faults or conflicts, each named; 2: it could not be asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from rich.console import Console

from audit.commands.database import record
from audit.evidence import Package, gather
from audit.evidence_access import note, problems_of
from audit.evidence_import import Refused, taken_in
from audit.evidence_report import as_json, show
from audit.package_heads import HeadsUnreadable, newest_ms, published_heads
from audit.package_reader import lines_of
from audit.package_verification import Replay, Verdict, verify
from tocsin.adapters.evidence import STATEMENT_TIMEOUT_S, Evidence
from tocsin.settings import Settings, load
from tocsin.telemetry import configure_logging

EXIT_FAILED = 1

DataDir = Annotated[Path | None, typer.Option(help="Where Tocsin keeps everything (TOCSIN_DATA_DIR).")]
File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, metavar="FILE", help="A package.")]
Files = Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, metavar="FILE…", help="Packages.")]
HeadsFile = Annotated[
    Path | None,
    typer.Option("--heads", exists=True, dir_okay=False, help="The published heads, as somebody else kept them."),
]

app = typer.Typer(name="evidence", no_args_is_help=True, help="The proof of one alert, in one file.")
console = Console(stderr=True)


@app.callback()
def evidence() -> None:
    """The proof of one alert, in one file that a stranger can check (docs/evidence.md)."""


@app.command("export")
def export(
    alert: Annotated[str, typer.Argument(metavar="ALERT", help="alr_…")],
    by: Annotated[str, typer.Option(help="Who takes it.", metavar="NAME")],
    purpose: Annotated[str, typer.Option(help="Why: audit:2026-113, incident:…", metavar="REF")],
    out: Annotated[Path | None, typer.Option(help="Where to write; else to standard output.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Write the evidence of one alert. It has personal data: the file is its owner's alone.

    Who took it and why is in the record before a byte of it is written."""
    if problems := problems_of(by, purpose):
        raise typer.BadParameter("; ".join(problems))
    settings = _settings(data_dir)
    package = asyncio.run(gathered(settings, alert, by=by, purpose=purpose))
    with _opened(out) as file:
        for line in package.lines():
            file.write(line)
    verdict = verify(package.lines())
    links = sum(verdict.links.values())
    console.print(f"{alert}: {links} links in {len(verdict.links)} chains", soft_wrap=True)
    if not verdict.is_good:
        console.print("[red]the record that it was taken from is not whole[/]:")
        show(console, verdict)
        raise typer.Exit(EXIT_FAILED)


@app.command("verify")
def check(
    file: File,
    heads: HeadsFile = None,
    json_out: Annotated[Path | None, typer.Option("--json", help="The verdict, for programs.")] = None,
) -> None:
    """Check a package on a machine that has nothing else, and make its decisions again."""
    verdict = _verified(file, heads)
    if json_out is not None:
        json_out.write_text(json.dumps(as_json(verdict), indent=1, ensure_ascii=False) + "\n", "utf-8")
    show(Console(), verdict)
    if not verdict.is_good:
        raise typer.Exit(EXIT_FAILED)


@app.command("import")
def take_in(files: Files, data_dir: DataDir = None) -> None:
    """Take packages into an instance for examination: an empty one, or one that has packages only.

    All of a package, or nothing of it, with every reason."""
    settings = _settings(data_dir)
    good = [asyncio.run(_taken_in(settings, file.name, file.read_bytes())) for file in files]
    if not all(good):
        raise typer.Exit(EXIT_FAILED)


def _settings(data_dir: Path | None) -> Settings:
    settings = load() if data_dir is None else load(data_dir=data_dir)
    configure_logging("evidence", settings.realm.value, settings.log_level)
    return settings


async def gathered(settings: Settings, alert: str, *, by: str, purpose: str) -> Package:
    """Read, and then noted: in this order, or the package would tell of itself."""
    async with record(settings, statement_timeout_s=STATEMENT_TIMEOUT_S) as pool:
        async with Evidence(pool).reading() as reading:
            package = await gather(reading, alert)
        await note(pool, settings.clock, alert, by=by, purpose=purpose)
        return package


@contextlib.contextmanager
def _opened(out: Path | None) -> Iterator[BinaryIO]:
    """Whole under its name, or not there under it."""
    if out is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    part = out.with_name(f"{out.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    part.replace(out)


def _verified(file: Path, heads: Path | None) -> Verdict:
    published, until_ms = None, None
    if heads is not None:
        with heads.open("rb") as lines:
            kept = list(lines)
            try:
                published, until_ms = published_heads(kept), newest_ms(kept)
            except HeadsUnreadable as error:
                raise typer.BadParameter(str(error), param_hint="--heads") from error
    with file.open("rb") as lines:
        return verify(lines_of(lines), replay=_replay(), published=published, published_until_ms=until_ms)


def _replay() -> Replay:
    """The real engine; loaded late, for it is large."""
    from audit.case import check  # noqa: PLC0415

    return check


async def _taken_in(settings: Settings, name: str, content: bytes) -> bool:
    async with record(settings, statement_timeout_s=STATEMENT_TIMEOUT_S) as pool:
        try:
            alert, new = await taken_in(
                pool, content, realm=settings.realm, clock=settings.clock, replay=_replay()
            )
        except Refused as error:
            for reason in error.reasons:
                console.print(f"{name}: {reason}", style="red", markup=False, soft_wrap=True)
            return False
    console.print(f"{name}: {alert}, {new} links that were not here", markup=False, soft_wrap=True)
    return True
