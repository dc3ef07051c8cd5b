"""How is a measure ordered, looked at and ended by hand? ``tocsin measure add | list | end``, over the API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from alerts.commands.client import Api, AsJson, Asking, Token, say
from tocsin.clock import MS, AffineClock, rfc3339
from tocsin.columns import columns
from tocsin.settings import load

DAY_MS = 86_400 * MS

app = typer.Typer(name="measure", no_args_is_help=True, help="Who must stay away from whom.")


@app.command()
def add(
    wearer: Annotated[str, typer.Argument(metavar="WEARER", help="The wearer's device.")],
    protected: Annotated[str, typer.Argument(metavar="PROTECTED", help="The protected person's device.")],
    km: Annotated[int, typer.Option(help="Alert distance; the pre-alert distance is twice as far.")] = 1,
    days: Annotated[int, typer.Option(min=1, max=3650, help="From now on.")] = 30,
    places: Annotated[
        Path | None,
        typer.Option(
            help="JSON with 'zones' and 'authorised', as POST /measures takes them.", exists=True, dir_okay=False
        ),
    ] = None,
    as_json: AsJson = False,
    api: Api = None,
    token: Token = None,
) -> None:
    """Order a measure from now on; on the road within 5 s."""
    now_ms = _clock(api).now_ms()
    body = {
        "wearer": wearer,
        "protected": protected,
        "alert_distance_m": km * 1000,
        "valid_from": rfc3339(now_ms),
        "valid_until": rfc3339(now_ms + days * DAY_MS),
        **({} if places is None else _places(places)),
    }
    made = Asking(api, token).make("/measures", body)
    say(json.dumps(made) if as_json else f"{made['id']} until {made['valid_until']}; on the road within 5 s")


@app.command("list")
def show(
    live: Annotated[bool, typer.Option(help="Only those that have not ended.")] = False,
    as_json: AsJson = False,
    api: Api = None,
    token: Token = None,
) -> None:
    """Every measure."""
    measures = Asking(api, token).all_of(f"/measures?live={'true' if live else 'false'}")
    if as_json:
        say(json.dumps(measures, indent=1))
        return
    say(columns(("id", "wearer", "protected", "metres", "until", "in force"), [_row(one) for one in measures]))


@app.command()
def end(
    measure: Annotated[str, typer.Argument(metavar="ID", help="msr_…")],
    as_json: AsJson = False,
    api: Api = None,
    token: Token = None,
) -> None:
    """End a measure now, as it stands at this moment."""
    ask = Asking(api, token)
    version = ask("GET", f"/measures/{measure}")["version"]
    ended = ask("POST", f"/measures/{measure}/ending", If_Match=f'"{version}"')
    say(json.dumps(ended) if as_json else f"{measure} ended at {ended['valid_until']}")


def _places(file: Path) -> dict[str, Any]:
    """Nothing but the two members that are asked for."""
    try:
        said = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise typer.BadParameter(f"{file.name} is no JSON: {error}", param_hint="--places") from error
    if not isinstance(said, dict) or not said.keys() <= {"zones", "authorised"}:
        raise typer.BadParameter("an object with 'zones', 'authorised' or both", param_hint="--places")
    return said


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    force = "yes" if one["in_force"] else "no"
    return (one["id"], one["wearer"], one["protected"], str(one["alert_distance_m"]), one["valid_until"], force)


def _clock(api: str | None) -> AffineClock:
    """Tocsin's own, where it is ours to know: a replay's day is not today. Of a Tocsin elsewhere: the real one."""
    return AffineClock() if api else load().clock
