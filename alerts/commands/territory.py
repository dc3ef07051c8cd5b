"""What can be typed about the territory and about CAP? ``tocsin territory import | at``, ``tocsin cap validate``.

Exit status: 0 done, 1 a message that is not valid, 2 something that cannot be used.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from alerts.channels.cap_reader import CAP_MAX_BYTES, CapError, read_cap
from alerts.territory import Territory
from alerts.territory_import import Report, Some, import_territory
from tocsin import territory_file
from tocsin.errors import TocsinError
from tocsin.limits import BORDER_MARGIN_M

app = typer.Typer()
territory = typer.Typer(no_args_is_help=True, help="Which police room answers for which commune.")
cap = typer.Typer(no_args_is_help=True, help="Messages of the Common Alerting Protocol 1.2.")
app.add_typer(territory, name="territory")
app.add_typer(cap, name="cap")

EXIT_NOT_VALID = 1


class FileError(TocsinError):
    """A file cannot be read or written:"""


@territory.command("import")
def import_(
    communes: Annotated[
        Path, typer.Option(help="Outlines: .topo.json or .geojson, also .gz; properties code, nom.")
    ],
    competence: Annotated[Path, typer.Option(help="CSV with code_commune and institution (PN, GN), also .gz.")],
    out: Annotated[Path, typer.Option(help="The file for TOCSIN_TERRITORY.")],
    source: Annotated[list[str] | None, typer.Option(help="Whom to cite; may be repeated.")] = None,
    json: Annotated[bool, typer.Option(help="The report as JSON on standard output.")] = False,
) -> None:
    """Make one territory of outlines and competences."""
    names = tuple(source or (communes.name, competence.name))
    areas, report = import_territory(_read(communes), _read(competence), names)
    _write(out, territory_file.pack(areas))
    if json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    else:
        _tell(report, out)


@territory.command("at")
def at(
    lat: Annotated[float, typer.Argument(min=-90, max=90)],
    lon: Annotated[float, typer.Argument(min=-180, max=180)],
    radius: Annotated[
        float, typer.Option(min=0, max=100_000, help="Metres, the margin included.")
    ] = BORDER_MARGIN_M,
    file: Annotated[
        Path | None, typer.Option(envvar="TOCSIN_TERRITORY", help="The territory (TOCSIN_TERRITORY).")
    ] = None,
) -> None:
    """Which rooms are told of this place, and by which communes. West is negative: ``-- 48.39 -4.49``."""
    if file is None:
        raise typer.BadParameter("name a territory, or set TOCSIN_TERRITORY", param_hint="--file")
    known = Territory(territory_file.read(file))
    typer.echo(" ".join(known.rooms_at(lat, lon, radius)))
    for code, name, room in known.communes_at(lat, lon, radius):
        typer.echo(f"  {code} {name}: {room}")


@cap.command()
def validate(file: Path) -> None:
    """Is this a CAP 1.2 message? Says which element is wrong."""
    try:
        message = read_cap(_read(file, CAP_MAX_BYTES + 1))
    except CapError as error:
        typer.echo(f"{file}: {error}", err=True)
        raise typer.Exit(EXIT_NOT_VALID) from None
    to = f" to {' '.join(message.addresses)}" if message.addresses else ""
    typer.echo(f"{file}: CAP 1.2, {message.status} {message.message_type} {message.identifier}{to}")


def _tell(report: Report, out: Path) -> None:
    typer.echo(f"{out}: {report.communes} communes, {report.points} points, {out.stat().st_size / 1e6:.1f} MB")
    typer.echo("rooms: " + ", ".join(f"{room} {count}" for room, count in report.rooms.items()))
    for what, some in _remarks(report).items():
        if some.count:
            more = " …" if some.count > len(some.first) else ""
            typer.echo(f"{what}: {some.count} ({', '.join(some.first)}{more})", err=True)
    if report.abroad.count == report.communes:
        typer.echo("WARNING: none of it lies in France: are latitude and longitude swapped?", err=True)


def _remarks(report: Report) -> dict[str, Some]:
    return {
        "shared by two rooms": report.shared,
        "outlines mended": report.mended,
        "rows without an outline, left out": report.rows_without_outline,
        "outlines without a row, given to the default room": report.outlines_without_row,
        "rows of an unknown institution, left out": report.unknown_institution,
        "outlines without an area, left out": report.empty_outline,
        "outlines outside France": report.abroad,
    }


def _read(path: Path, size: int = -1) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from None


def _write(path: Path, data: bytes) -> None:
    """All or nothing: a running Tocsin may read it at any time."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from None
