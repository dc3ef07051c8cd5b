"""The commands that the simulator adds to ``tocsin``: demo, replay, simulate, bench road and storage."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer
from rich.console import Console
from rich.progress import Progress

from simulator import bench as road
from simulator import demo as story
from simulator import recording, replay, storage
from simulator.gnss import URBAN
from simulator.lab import report_head, run_name
from simulator.record import record
from simulator.scenario import Scenario
from tocsin.clock import MS, AffineClock, from_rfc3339
from tocsin.embedded.database import erase
from tocsin.supervisor import PartEvent
from tocsin.telemetry import configure_logging

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130

app = typer.Typer(no_args_is_help=True)
bench_app = typer.Typer(no_args_is_help=True, help="Measure.")
app.add_typer(bench_app, name="bench")

Json = Annotated[Path | None, typer.Option("--json", help="Write the report here; - is standard output.")]
DataDir = Annotated[Path, typer.Option(help="Each run makes a folder of its own below this one.")]
Keep = Annotated[bool, typer.Option(help="Keep the run's folder (logs, database) when it went well.")]

console = Console(stderr=True)


@app.command()
def demo(
    seconds: Annotated[float, typer.Option(help="How long the story takes on the wall.")] = 60.0,
    speed: Annotated[float, typer.Option(help="How many times as fast it happens.")] = 5.0,
    pairs: Annotated[int, typer.Option(help="How many couples.", min=2)] = 12,
    seed: int = 7,
    headless: Annotated[bool, typer.Option(help="End when the story ends.")] = False,
    json_out: Json = None,
    data_dir: DataDir = Path(".tocsin"),
    keep: Keep = False,
) -> None:
    """Everything on the embedded servers, and a wearer who approaches: see the alert travel the whole road."""
    stay = not headless and console.is_terminal
    with _home(data_dir, "demo", keep=keep) as home:
        wanted = story.Demo(seed=seed, pairs=pairs, seconds=seconds, speed=speed, home=home, stay=stay)
        report = _run(story.run_demo(wanted, console))
        _write(report, json_out)
        _end(held=story.holds(report), home=home)


@app.command(name="replay")
def replay_command(
    path: Annotated[Path, typer.Argument(help="A folder of Parquet files, or a CSV file t,device,lat,lon,acc.")],
    speed: Annotated[float, typer.Option(help="How many times as fast as it was.", min=0.1, max=1000)] = 60.0,
    session: Annotated[
        list[int] | None, typer.Option(help="Parquet: these sessions only; may be repeated.")
    ] = None,
    variant: str = "noisy",
    period: int = 10,
    distance: Annotated[int, typer.Option(help="Parquet: the alert distance in metres.")] = 1000,
    pair: Annotated[list[str] | None, typer.Option(help="CSV: WEARER:PROTECTED:METRES; may be repeated.")] = None,
    json_out: Json = None,
    data_dir: DataDir = Path(".tocsin"),
    keep: Keep = False,
) -> None:
    """Send a recorded fleet through the real road on its own clock; report the alerts that it raises."""
    pairs = [recording.parse_pair(text) for text in pair or ()]
    found = recording.read(
        path, pairs=pairs, sessions=session, variant=variant, period=period, alert_distance_m=distance
    )
    if not found.pairs or not found.messages:
        raise recording.RecordingError(
            f"{path}: nothing to replay: no message, or no --pair WEARER:PROTECTED:METRES"
        )
    found = found.aligned(min(message.received_ms for message in found.messages))
    started_ms = AffineClock().wall_ms()
    with _home(data_dir, "replay", keep=keep) as home, Progress(console=console) as progress:
        bar = progress.add_task("replay", total=len(found.messages))

        def show(sent: int, _total: int) -> None:
            progress.update(bar, completed=sent)

        result = _run(replay.run_replay(found, home=home, speed=speed, tell=_tell, progress=show))
        report = {
            **report_head("replay", 0, started_ms, (AffineClock().wall_ms() - started_ms) / MS),
            "speed": speed,
            "sent": result.sent,
            "archived": result.archived,
            "lost": result.lost,
            "alerts": replay.rows(result.crossings),
            "missing": replay.rows(result.missing),
            "unexpected": replay.rows(result.unexpected),
            "duplicated": list(result.duplicated),
        }
        for one in result.crossings:
            console.print(f"{one.at_ms / MS:.1f}  {one.code:<14} {one.pair}")
        console.print(
            f"{len(result.crossings)} crossings; the engine alone, on the same stream: {len(result.reference)}; "
            f"missing {len(result.missing)}, unexpected {len(result.unexpected)}, repeated {result.repeated}"
        )
        _write(report, json_out)
        _end(held=result.holds, home=home)


@app.command()
def simulate(
    out: Annotated[Path, typer.Argument(help="The folder to write.")],
    seed: int = 7,
    pairs: int = 10,
    seconds: float = 1800.0,
    start: Annotated[str, typer.Option(help="RFC 3339.")] = "2027-01-15T08:00:00Z",
) -> None:
    """Write a simulated fleet in the Parquet layout that ``replay`` reads."""
    scenario = Scenario.invent(seed, couples=pairs, duration_s=seconds, start_ms=from_rfc3339(start))
    record(scenario, out, sky=URBAN)
    console.print(f"{out}: {pairs} couples, {seconds:g} s, seed {seed}")


@bench_app.command(name="road")
def bench_road(
    rate: Annotated[int, typer.Option(help="Fixes a second.")] = 1000,
    seconds: float = 30.0,
    pairs: Annotated[int, typer.Option(help="Background pairs.")] = 2000,
    json_out: Json = None,
    data_dir: DataDir = Path(".tocsin"),
    keep: Keep = False,
) -> None:
    """From the sender's clock to the channel, under load: what is lost, and how long it takes."""
    with _home(data_dir, "bench", keep=keep) as home:
        wanted = road.RoadBench(rate=rate, seconds=seconds, pairs=pairs, home=home)
        report = _run(road.run_road(wanted, tell=_tell, say=console.print))
        for name in ("offered", "received", "archived", "duplicate", "lost", "alerts", "latency_ms"):
            console.print(f"{name:>12}: {report[name]}")
        _write(report, json_out)
        _end(held=road.holds(report), home=home)


@bench_app.command(name="storage")
def bench_storage(
    devices: Annotated[int, typer.Option(help="Units that report.", min=1)] = 10_000,
    hours: Annotated[int, typer.Option(help="How long, from midnight UTC.", min=1, max=24)] = 24,
    interval: Annotated[int, typer.Option(help="Seconds between two fixes of a unit.", min=1, max=3600)] = 60,
    seed: int = 7,
    database_url: Annotated[
        str | None, typer.Option(help="An empty database; an embedded one of the bench's own when absent.")
    ] = None,
    json_out: Json = None,
    data_dir: DataDir = Path(".tocsin"),
    keep: Keep = False,
) -> None:
    """The history of a fleet: how fast it is written and read, and what a fix takes on disk."""
    with _home(data_dir, "storage", keep=keep) as home:
        wanted = storage.StorageBench(
            devices=devices, hours=hours, interval_s=interval, seed=seed, home=home, database_url=database_url
        )
        report = _run(storage.run_storage(wanted, say=console.print))
        for name in ("storage", "rows", "write", "track", "track_columns", "last_positions", "bytes_per_row"):
            console.print(f"{name:>14}: {report.get(name)}")
        _write(report, json_out)


def _tell(event: PartEvent) -> None:
    if event.what == "died" or event.gap_s is not None:
        console.print(
            f"{event.part}: {event.what} {event.exit_code if event.gap_s is None else f'{event.gap_s:.2f} s'}"
        )


@contextlib.contextmanager
def _home(data_dir: Path, command: str, *, keep: bool) -> Iterator[Path]:
    """A new folder for this run; gone at the end unless something went wrong or it is to be kept."""
    configure_logging(command, "lab", "error")
    home = data_dir.resolve() / f"{command}-{run_name()}"
    home.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    yield home
    if not keep:
        erase(home / "database")
        erase(home)


def _run(work: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401  (the result of the work)
    structlog.contextvars.clear_contextvars()
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


def _write(report: dict[str, Any], out: Path | None) -> None:
    if out is None:
        return
    text = json.dumps(report, indent=2, ensure_ascii=False)
    if str(out) == "-":
        print(text)
    else:
        out.write_text(text + "\n", encoding="utf-8")


def _end(*, held: bool, home: Path) -> None:
    if not held:
        console.print(f"[red]the promise was not kept[/]; logs: {home / 'log'}")
        sys.exit(EXIT_FAILED)


if __name__ == "__main__":
    app()
