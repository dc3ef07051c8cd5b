"""Is the record what it was? ``tocsin audit verify`` names everything that is not; ``tocsin audit head`` makes a
head of it now.

Both read what the payloads say, places too, and show none of it: a fault names its table, key and kind. So neither
is an access (invariant 17).

Exit status of both: 0 all is well, 1 something is wrong (and was named), 2 it could not be looked at.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from audit.notary import HeadsFile, Trouble, make, outside_of, publish
from audit.verification import CLOCK_SLACK_MS, Fault
from audit.verifier import BEFORE_CHAINS, Asked, Summary, verify
from tocsin import __version__
from tocsin.adapters.examination import examining
from tocsin.adapters.heads import Heads
from tocsin.adapters.migrate import inspect
from tocsin.adapters.postgres import RecordRefused, open_pool
from tocsin.clock import rfc3339
from tocsin.errors import SettingError
from tocsin.heads import Head
from tocsin.settings import Settings, load
from tocsin.stack import record_address
from tocsin.telemetry import configure_logging

EXIT_WRONG: Final = 1
FAULTS_IN_REPORT_MAX: Final = 10_000
"""All of them are printed; of a record that is wrong from end to end the report names so many."""

app = typer.Typer(name="audit", no_args_is_help=True, help="Is the record what it was?")
console = Console(stderr=True)

DataDir = Annotated[Path | None, typer.Option(help="Where Tocsin keeps everything (TOCSIN_DATA_DIR).")]


@app.callback()
def audit() -> None:
    """Is the record what it was?"""


@app.command("verify")
def verify_record(
    report: Annotated[Path | None, typer.Option("--json", metavar="OUT", help="Write a report there.")] = None,
    chain: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this chain: episode/alr_…, device/…, …")
    ] = None,
    heads: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", exists=True, dir_okay=False,
            help="A copy of the published heads, kept elsewhere; else the file of TOCSIN_HEADS_FILE.",
        ),
    ] = None,
    data_dir: DataDir = None,
) -> None:  # fmt: skip
    """Check links, payloads, deletions, heads and tables against each other and against what was published.

    Each fault is a line: table, key, what is wrong. Exits 0 when there is none, 1 when there is, 2 when the record
    cannot be read.
    """
    settings = load() if data_dir is None else load(data_dir=data_dir)
    configure_logging("audit", settings.realm.value, "warning")
    faults: list[Fault] = []
    try:
        summary = asyncio.run(verified(settings, chain, heads, faults))
    except RecordRefused as error:  # nobody of ours has written it: it cannot even be asked for
        why = type(error.__cause__).__name__
        console.print(f"[red]the record has a value that cannot be read: {why}[/]", soft_wrap=True)
        raise typer.Exit(EXIT_WRONG) from None
    if report is not None:
        report.write_bytes(_report(settings, chain, summary, faults))
    _say(summary)
    raise typer.Exit(EXIT_WRONG if summary.faults else 0)


@app.command("head")
def make_head(data_dir: DataDir = None) -> None:
    """Make a head of all that has grown now, and publish what is not published yet."""
    settings = load() if data_dir is None else load(data_dir=data_dir)
    configure_logging("audit", settings.realm.value, "warning")
    head, troubles, waiting = asyncio.run(headed(settings))
    sys.stdout.write(f"head {head.number} of {head.day}, {head.leaves} chains: {head.hash.hex()}\n")
    for trouble in troubles:
        console.print(f"[red]{trouble.reason}[/]: {trouble.detail}", soft_wrap=True)
    if waiting:
        console.print(f"[yellow]not published everywhere yet[/]: {waiting}", soft_wrap=True)
    raise typer.Exit(EXIT_WRONG if troubles or waiting else 0)


async def verified(settings: Settings, chain: str | None, copy: Path | None, faults: list[Fault]) -> Summary:
    asked = await _asked(settings, chain, copy)
    async with record_address(settings) as dsn:
        await _look_at_tables(dsn)
        with _progress() as progress:
            bar = progress.add_task("links", total=None)

            def told(fault: Fault) -> None:
                sys.stdout.write(f"{fault.table} {fault.key}: {fault.wrong}: {fault.detail}\n")
                if len(faults) < FAULTS_IN_REPORT_MAX:
                    faults.append(fault)

            def forward(done: int, total: int) -> None:
                progress.update(bar, completed=done, total=total)

            async with examining(dsn) as record:
                return await verify(record, asked, told, forward)


async def _asked(settings: Settings, chain: str | None, copy: Path | None) -> Asked:
    """A copy may be older than the record; the file that we publish to has everything that went there."""
    file = HeadsFile(settings.published_heads if copy is None else copy)
    slack_ms = int(CLOCK_SLACK_MS * max(1.0, settings.clock_rate))
    place = file.place if copy is None else None
    return Asked(chain=chain, lines=await file.lines(), place=place, slack_ms=slack_ms)


async def headed(settings: Settings) -> tuple[Head, list[Trouble], str]:
    outside = outside_of(settings)
    async with record_address(settings) as dsn:
        await _look_at_tables(dsn)
        async with open_pool(dsn, max_size=1) as pool:
            heads = Heads(pool)
            head = await make(heads, settings.clock.now_ms())
            troubles = await publish(heads, outside, settings.clock)
            waiting = [place for place in outside.places if await heads.unpublished(place)]
    return head, troubles, ", ".join(waiting)


async def _look_at_tables(dsn: str) -> None:
    if (await inspect(dsn)).pending:
        raise SettingError("the tables are not up to date: `tocsin migrate`")


def _progress() -> Progress:
    """On a terminal; a file of the night gets the faults alone."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)


def _say(summary: Summary) -> None:
    looked = ", ".join(f"{number} {what}" for what, number in sorted(summary.checked.items()) if number)
    console.print(f"looked at: {looked or 'nothing, the record is empty'}", soft_wrap=True, highlight=False)
    if number := summary.checked[BEFORE_CHAINS]:
        console.print(f"[yellow]{number} {BEFORE_CHAINS}[/]: nothing proves them", soft_wrap=True)
    if summary.faults:
        console.print(f"[red]{summary.faults} faults[/]", soft_wrap=True)
    else:
        console.print("[green]the record is whole[/]", soft_wrap=True)


def _report(settings: Settings, chain: str | None, summary: Summary, faults: list[Fault]) -> bytes:
    report: dict[str, Any] = {
        "command": "audit verify",
        "version": __version__,
        "site": settings.site,
        "at": rfc3339(settings.clock.now_ms()),
        "chain": chain,
        "checked": dict(sorted(summary.checked.items())),
        "faults": summary.faults,
        "named": faults,
    }
    return msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n"
