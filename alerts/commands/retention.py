"""What would the custodian erase at some hour, and is it that hour? ``tocsin retention preview | believe``.

Goes to the record itself. Exit status: 0 done, 1 the record does not answer, 2 typed wrongly.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from alerts.commands.client import AsJson, say
from alerts.commands.record import ask_record, realm_problems, refuse
from alerts.custodian import Line, preview
from tocsin.adapters.postgres import Pool
from tocsin.adapters.retention import RetentionRecord
from tocsin.clock import from_rfc3339, rfc3339
from tocsin.columns import columns
from tocsin.settings import load

app = typer.Typer(name="retention", no_args_is_help=True, help="How long the record is kept.")


@app.command("preview")
def show(
    at: Annotated[
        str | None, typer.Option(metavar="DATE", help="At that hour, 2032-11-21T00:00:00Z; else now.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What a pass would erase, by class, and what stays and why. Nothing is erased.

    What is nowhere near its end is not counted: only what a pass has to look at."""
    settings = load()
    now_ms = settings.clock.now_ms() if at is None else _hour(at)

    async def asked(pool: Pool) -> Sequence[Line]:
        return await preview(pool, now_ms, settings.terms, settings.clock)

    lines = ask_record(settings, asked)
    if as_json:
        say(json.dumps({"at": rfc3339(now_ms), "lines": [asdict(one) for one in lines]}, ensure_ascii=False))
        return
    rows = [(one.of, one.kept_as, one.word, str(one.files), one.hold or "", one.rule) for one in lines]
    say(columns(("of", "class", "is", "files", "hold", "rule"), rows))


def _hour(text: str) -> int:
    try:
        return from_rfc3339(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--at") from None


@app.command()
def believe(
    by: Annotated[str, typer.Option(help="Who types this.")],
    realm: Annotated[str, typer.Option(help="The realm, in full: what is over is erased within the hour.")],
) -> None:
    """Say that the hour of this machine is right, when the custodian doubts it. He believes it for a day."""
    settings = load()
    now_ms = settings.clock.now_ms()
    refuse([*([] if by.strip() else ["--by: who?"]), *realm_problems(settings, realm)])
    ask_record(settings, lambda pool: RetentionRecord(pool).believe(now_ms, by))
    say(f"the custodian believes that it is {rfc3339(now_ms)}")
