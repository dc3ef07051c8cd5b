"""The commands that the simulator adds to ``tocsin``: demo, replay, simulate, evaluate, bench."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from simulator import bench as road
from simulator import demo as story
from simulator import outage, recording, replay, storage
from simulator.alerts_bench import account
from simulator.alerts_bench import run as alerting
from simulator.command import EXIT_FAILED, DataDir, Json, Keep, console, end, home_of, run, tell, write
from simulator.evaluation import run as evaluation
from simulator.evaluation.detectors import DETECTORS
from simulator.evaluation.listeners import LISTENERS
from simulator.evaluation.report import Page
from simulator.gnss import URBAN
from simulator.lab import report_head
from simulator.record import record
from simulator.scenario import Scenario
from tocsin.clock import MS, AffineClock, from_rfc3339
from tocsin.errors import TocsinError

app = typer.Typer(no_args_is_help=True)
bench_app = typer.Typer(no_args_is_help=True, help="Measure.")
app.add_typer(bench_app, name="bench")


class PeersMissing(TocsinError):
    """The bench compares with pyproj, and it is not installed:"""


Seed = Annotated[int, typer.Option(help="The world is made from this number; the same one, the same world.")]


@app.command()
def demo(
    seconds: Annotated[float, typer.Option(help="How long the story takes on the wall.")] = 60.0,
    speed: Annotated[float, typer.Option(help="How many times as fast it happens.")] = 5.0,
    pairs: Annotated[int, typer.Option(help="How many couples.", min=2)] = 12,
    seed: Seed = 7,
    headless: Annotated[bool, typer.Option(help="End when the story ends.")] = False,
    json_out: Json = None,
    data_dir: DataDir = Path(".tocsin"),
    keep: Keep = False,
) -> None:
    """Everything on the embedded servers, and a wearer who approaches: see the alert travel the whole road."""
    stay = not headless and console.is_terminal
    with home_of(data_dir, "demo", keep=keep) as home:
        wanted = story.Demo(seed=seed, pairs=pairs, seconds=seconds, speed=speed, home=home, stay=stay)
        report = run(story.run_demo(wanted, console))
        write(report, json_out)
        end(held=story.holds(report), home=home)


@app.command(name="replay")
def replay_command(
    path: Annotated[Path, typer.Argument(help="A folder of Parquet files, or a CSV file t,device,lat,lon,acc.")],
    speed: Annotated[float, typer.Option(help="How many times as fast as it was.", min=0.1, max=1000)] = 60.0,
    session: Annotated[
        list[int] | None, typer.Option(help="Parquet: these sessions only; may be repeated.")
    ] = None,
    variant: Annotated[str, typer.Option(help="Parquet: which of its observations (column variant).")] = "noisy",
    period: Annotated[int, typer.Option(help="Parquet: the reporting interval in seconds.")] = 10,
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
    with home_of(data_dir, "replay", keep=keep) as home, Progress(console=console) as progress:
        bar = progress.add_task("replay", total=len(found.messages))

        def show(sent: int, _total: int) -> None:
            progress.update(bar, completed=sent)

        result = run(
            replay.run_replay(found, home=home, speed=speed, tell=tell, progress=show, say=progress.console.print)
        )
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
        write(report, json_out)
        end(held=result.holds, home=home)


@app.command()
def simulate(
    out: Annotated[Path, typer.Argument(help="The folder to write.")],
    seed: Seed = 7,
    pairs: Annotated[int, typer.Option(help="How many couples.", min=1)] = 10,
    seconds: Annotated[float, typer.Option(help="How much of their day.")] = 1800.0,
    start: Annotated[str, typer.Option(help="The hour at which it begins, in RFC 3339.")] = "2027-01-15T08:00:00Z",
) -> None:
    """Write a simulated fleet in the Parquet layout that ``replay`` reads."""
    scenario = Scenario.invent(seed, couples=pairs, duration_s=seconds, start_ms=from_rfc3339(start))
    record(scenario, out, sky=URBAN)
    console.print(f"{out}: {pairs} couples, {seconds:g} s, seed {seed}")


@app.command()
def evaluate(
    path: Annotated[Path, typer.Argument(help="A trace set: sessions, truth, events and device, in Parquet.")],
    variant: Annotated[
        list[str] | None, typer.Option(help="Of the messages; may be repeated [default: noisy, orig].")
    ] = None,
    period: Annotated[
        list[int] | None, typer.Option(help="Seconds between messages; may be repeated [default: 10, 30, 60].")
    ] = None,
    distance: Annotated[
        list[int] | None, typer.Option(help="Metres; may be repeated [default: 500, 1000, 2000].")
    ] = None,
    detector: Annotated[
        list[str] | None, typer.Option(help=f"Of {', '.join(DETECTORS)}; may be repeated [default: all].")
    ] = None,
    closed_loop: Annotated[
        bool, typer.Option("--closed-loop", help="Also let the devices report as the detectors tell them (orig).")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the closed loop: phases and latencies.")] = evaluation.SEED,
    alerts: Annotated[Path | None, typer.Option(help="Write the engine's alerts here, as CSV.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write a page with tables and plots into this folder (extra 'report').")
    ] = None,
    geofence: Annotated[
        Path | None, typer.Option(help="For the page: what 'tocsin bench geofence --json' wrote, the cost.")
    ] = None,
    json_out: Json = None,
) -> None:
    """How good are the decisions? The engine and simple rules on real traces whose true crossings are known."""
    if unknown := set(detector or ()) - set(DETECTORS):
        raise typer.BadParameter(f"no such detector: {', '.join(sorted(unknown))}", param_hint="--detector")
    if closed_loop and evaluation.AS_LOGGED not in (variant or [evaluation.AS_LOGGED]):
        raise typer.BadParameter(f"needs --variant {evaluation.AS_LOGGED}", param_hint="--closed-loop")
    if closed_loop and not set(detector or LISTENERS) & set(LISTENERS):
        raise typer.BadParameter(f"needs a detector of {', '.join(LISTENERS)}", param_hint="--closed-loop")
    if geofence is not None and report is None:
        raise typer.BadParameter("is a part of the page: needs --report", param_hint="--geofence")
    page = None if report is None else Page.into(report, geofence)
    started_ms = AffineClock().wall_ms()
    asked = evaluation.Asked(
        folder=path,
        variants=variant or ["noisy", "orig"],
        periods_s=period or [10, 30, 60],
        distances_m=distance or [500, 1000, 2000],
        detectors=detector or list(DETECTORS),
        closed_loop=closed_loop,
        seed=seed,
    )
    with Progress(console=console) as progress:
        bar = progress.add_task("evaluate", total=None)
        rows, raised = evaluation.evaluate(
            asked, progress=lambda done, total: progress.update(bar, completed=done, total=total)
        )
    console.print(evaluation.table(rows))
    if alerts is not None:
        evaluation.write_alerts(raised, alerts)
    duration_s = (AffineClock().wall_ms() - started_ms) / MS
    head = report_head("evaluate", seed, started_ms, duration_s)
    write({**head, "rows": rows}, json_out)
    if page is not None:
        console.print(f"written: {page.write(head, rows)}")


@bench_app.command(name="road")
def bench_road(
    rate: Annotated[int, typer.Option(help="Fixes a second.")] = 1000,
    seconds: Annotated[float, typer.Option(help="How long.")] = 30.0,
    pairs: Annotated[int, typer.Option(help="Background pairs.")] = 2000,
    json_out: Json = None,
    data_dir: DataDir = Path(".tocsin"),
    keep: Keep = False,
) -> None:
    """From the sender's clock to the channel, under load: what is lost, and how long it takes."""
    with home_of(data_dir, "bench", keep=keep) as home:
        wanted = road.RoadBench(rate=rate, seconds=seconds, pairs=pairs, home=home)
        report = run(road.run_road(wanted, tell=tell, say=console.print))
        for name in ("offered", "received", "archived", "duplicate", "lost", "alerts", "latency_ms"):
            console.print(f"{name:>12}: {report[name]}")
        write(report, json_out)
        end(held=road.holds(report), home=home)


@bench_app.command(name="outage")
def bench_outage(
    seconds: Annotated[float, typer.Option(help="How long PostgreSQL is stopped.", min=1)] = 300.0,
    presses: Annotated[float, typer.Option(help="Keys pressed a second.", min=0.1, max=20)] = 2.0,
    rate: Annotated[int, typer.Option(help="Fixes a second meanwhile.", min=1)] = 500,
    pairs: Annotated[int, typer.Option(help="Background pairs.", min=1)] = 1000,
    json_out: Json = None,
    data_dir: DataDir = Path(".tocsin"),
    keep: Keep = False,
) -> None:
    """PostgreSQL is stopped under load: are alerts told, read and taken in time, and is the record whole then?"""
    with home_of(data_dir, "outage", keep=keep) as home:
        wanted = outage.OutageBench(seconds=seconds, presses=presses, rate=rate, pairs=pairs, home=home)
        report = run(outage.run_outage(wanted, tell=tell, say=console.print))
        for name in ("p1_sent", "p1_late", "lost", "duplicated", "missing_from_record", "acknowledged",
                     "acts_repeated", "acts_refused", "caught_up_s", "record_down_s", "latency_ms",
                     "fixes"):  # fmt: skip
            console.print(f"{name:>20}: {report[name]}")
        write(report, json_out)
        end(held=outage.holds(report), home=home)


@bench_app.command(name="alerts")
def bench_alerts(
    rate: Annotated[int, typer.Option(help="Findings a second.", min=1)] = 50,
    seconds: Annotated[float, typer.Option(help="How long, and of presses at most 30 s.", min=1)] = 60.0,
    burst: Annotated[int, typer.Option(help="Episodes at once.", min=5)] = 700,
    fixes: Annotated[int, typer.Option(help="Fixes a second beside the presses.", min=100)] = 2000,
    overload: Annotated[
        int | None, typer.Option(help="Fixes a second of the overload [default: twice --fixes].")
    ] = None,
    pairs: Annotated[int, typer.Option(help="Pairs that those fixes are of.", min=1)] = 200,
    seed: Seed = 7,
    settle: Annotated[float, typer.Option(help="Seconds to wait for what is still on its way.", min=1)] = 60.0,
    plant: Annotated[
        alerting.Fault | None, typer.Option(help="A fault that the verdict must find: the recipient loses some.")
    ] = None,
    json_out: Json = None,
    data_dir: DataDir = Path(".tocsin"),
    keep: Keep = False,
) -> None:
    """From a finding, or a pressed key, to the téléassistance: how long, and is anything lost or told twice?"""
    with home_of(data_dir, "alerts", keep=keep) as home:
        wanted = alerting.AlertsBench(
            rate=rate, seconds=seconds, burst=burst, fixes=fixes, overload=overload or 2 * fixes, pairs=pairs,
            seed=seed, settle_s=settle, loses=plant is alerting.Fault.LOSES, home=home,
        )  # fmt: skip
        report = run(alerting.run_alerts(wanted, tell=tell, say=console.print))
        console.print(alerting.table(report))
        write(report, json_out)
        end(held=account.holds(report), home=home)


@bench_app.command(name="storage")
def bench_storage(
    devices: Annotated[int, typer.Option(help="Units that report.", min=1)] = 10_000,
    hours: Annotated[int, typer.Option(help="How long, from midnight UTC.", min=1, max=24)] = 24,
    interval: Annotated[int, typer.Option(help="Seconds between two fixes of a unit.", min=1, max=3600)] = 60,
    seed: int = 7,
    database_url: Annotated[
        str | None,
        typer.Option(
            envvar="TOCSIN_DATABASE_URL",
            show_envvar=True,
            help="An empty database (a password stands better in the variable); else an embedded one of its own.",
        ),
    ] = None,
    json_out: Json = None,
    data_dir: DataDir = Path(".tocsin"),
    keep: Keep = False,
) -> None:
    """The history of a fleet: how fast it is written and read, and what a fix takes on disk."""
    with home_of(data_dir, "storage", keep=keep) as home:
        wanted = storage.StorageBench(
            devices=devices, hours=hours, interval_s=interval, seed=seed, home=home, database_url=database_url
        )
        report = run(storage.run_storage(wanted, say=console.print))
        for name in ("storage", "rows", "write", "track", "track_columns", "last_positions", "bytes_per_row"):
            console.print(f"{name:>14}: {report.get(name)}")
        write(report, json_out)


@bench_app.command(name="geofence")
def bench_geofence(
    pairs: Annotated[str, typer.Option(help="How many pairs; several with commas.")] = "1000,10000,100000",
    seed: Seed = 7,
    quick: Annotated[bool, typer.Option("--quick", help="Few updates: for tests and a first look.")] = False,
    zones: Annotated[bool, typer.Option("--zones", help="Also with three places in every measure.")] = False,
    json_out: Json = None,
) -> None:
    """CPU per update, by engine and batch: the engine, its vectorised stage, pyproj, Python; events checked."""
    try:
        from simulator.geofence_bench import cost  # noqa: PLC0415  # pyproj is optional
        from simulator.geofence_bench import run as bench  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name != "pyproj":
            raise
        raise PeersMissing("pip install pyproj") from error
    sizes = _sizes(pairs)
    asked = cost.quick(sizes, seed, zones=zones) if quick else cost.Asked(pairs=sizes, seed=seed, zones=zones)
    started_ms = AffineClock().wall_ms()
    report = bench.run(asked, say=console.print)
    console.print(bench.table(report["rows"]))
    for line in bench.ratios(report["rows"]):
        console.print(line)
    head = report_head("bench geofence", seed, started_ms, (AffineClock().wall_ms() - started_ms) / MS)
    write({**head, **report}, json_out)
    if not bench.holds(report):
        console.print("[red]an exact engine told other events than the reference[/]")
        raise typer.Exit(EXIT_FAILED)


def _sizes(pairs: str) -> list[int]:
    try:
        sizes = [int(one) for one in pairs.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 1:
        raise typer.BadParameter(f"{pairs!r} is no list of whole numbers from 1", param_hint="--pairs")
    return sizes


if __name__ == "__main__":
    app()
