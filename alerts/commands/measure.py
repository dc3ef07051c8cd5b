"""How is a measure ordered, looked at and ended by hand? ``tocsin measure add | list | end``, over the API."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from alerts.commands.client import Api, AsJson, Asking, Token, say
from tocsin.clock import MS, AffineClock, rfc3339
from tocsin.settings import load

DAY_MS = 86_400 * MS

app = typer.Typer(name="measure", no_args_is_help=True, help="Who must stay away from whom.")


@app.command()
def add(
    wearer: Annotated[str, typer.Argument(help="The wearer's device.")],
    protected: Annotated[str, typer.Argument(help="The protected person's device.")],
    km: Annotated[int, typer.Option(help="Alert distance; the pre-alert distance is twice as far.")] = 1,
    days: Annotated[int, typer.Option(min=1, max=3650, help="From now on.")] = 30,
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
    table = Table("id", "wearer", "protected", "metres", "until", "in force", box=None, pad_edge=False)
    for one in measures:
        force = "yes" if one["in_force"] else "no"
        metres = str(one["alert_distance_m"])
        table.add_row(one["id"], one["wearer"], one["protected"], metres, one["valid_until"], force)
    Console(soft_wrap=True).print(table)


@app.command()
def end(
    measure: Annotated[str, typer.Argument(help="msr_…")],
    as_json: AsJson = False,
    api: Api = None,
    token: Token = None,
) -> None:
    """End a measure now, as it stands at this moment."""
    ask = Asking(api, token)
    version = ask("GET", f"/measures/{measure}")["version"]
    ended = ask("POST", f"/measures/{measure}/ending", If_Match=f'"{version}"')
    say(json.dumps(ended) if as_json else f"{measure} ended at {ended['valid_until']}")


def _clock(api: str | None) -> AffineClock:
    """Tocsin's own, where it is ours to know: a replay's day is not today. Of a Tocsin elsewhere: the real one."""
    return AffineClock() if api else load().clock
