"""``python -m loadtests``: a whole Tocsin under load, and whether its alerts stay within the budget of a P1.

Exit status: 0 in budget, 1 not, 2 misuse, 130 interrupted.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Annotated

import typer

from loadtests.report import show
from loadtests.run import Load, run_load
from loadtests.shapes import Shape
from simulator.command import EXIT_MISUSE, DataDir, Json, Keep, console, end, home_of, run, tell, write
from tocsin.embedded import EmbeddedServerError
from tocsin.errors import SettingError, TocsinError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def load(
    users: Annotated[int, typer.Option(help="Units, each with a connection of its own.", min=1, max=3000)] = 200,
    seconds: Annotated[float, typer.Option(help="How long, beside the time that connecting takes.", min=1)] = 30.0,
    shape: Annotated[Shape, typer.Option(help="How many of them at what time.", envvar="SHAPE")] = Shape.STEADY,
    operators: Annotated[int, typer.Option(help="Who list and take alerts over the API.", min=0, max=500)] = 4,
    canaries: Annotated[int, typer.Option(help="Pairs that cross in and out and are measured.", min=1)] = 40,
    interval_s: Annotated[float, typer.Option(help="A unit reports so often.", min=0.1)] = 5.0,
    seed: Annotated[int, typer.Option(help="Of the walks.")] = 7,
    plant_delay_s: Annotated[
        float, typer.Option(help="A fault: the téléassistance answers so late.", min=0)
    ] = 0.0,
    plant_wrong_passwords: Annotated[
        int, typer.Option(help="A fault: so many units have a wrong password.", min=0)
    ] = 0,
    plant_stall_s: Annotated[
        float, typer.Option(help="A fault: ingest's reader of fixes stands still so long, in the middle.", min=0)
    ] = 0.0,
    json_out: Json = None,
    data_dir: DataDir = Path(".tocsin"),
    keep: Keep = False,
) -> None:
    """Units over MQTT and operators over the API, made by locust; alerts measured beside them; a verdict."""
    if importlib.util.find_spec("locust") is None:
        console.print("[red]locust is missing[/]: pip install 'tocsin[load]'")
        sys.exit(EXIT_MISUSE)
    if plant_stall_s > seconds:
        raise typer.BadParameter(f"{plant_stall_s:g} is longer than --seconds", param_hint="--plant-stall-s")
    with home_of(data_dir, "load", keep=keep) as home:
        wanted = Load(
            users=users,
            seconds=seconds,
            shape=shape,
            operators=operators,
            canaries=canaries,
            interval_s=interval_s,
            seed=seed,
            home=home,
            plant_delay_s=plant_delay_s,
            plant_wrong_passwords=plant_wrong_passwords,
            plant_stall_s=plant_stall_s,
        )
        report = run(run_load(wanted, tell=tell, say=console.print))
        show(console, report)
        write(report, json_out)
        end(held=report["verdict"]["held"], home=home)


def main() -> None:
    """A laboratory that does not come up is a run that failed; a wrong setting is misuse."""
    try:
        app()
    except SettingError as error:
        console.print(f"[red]{error}[/]", soft_wrap=True)
        sys.exit(EXIT_MISUSE)
    except (TocsinError, EmbeddedServerError) as error:
        console.print(f"[red]the run failed: {error}[/]", soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
