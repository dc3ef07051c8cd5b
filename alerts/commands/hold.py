"""Who says that something must be kept, and when does that end? ``tocsin hold place | leave | lift | list``.

Goes to the record itself, where the custodian reads it within the hour. Every word of it is kept for ever, in the
chain of what it is about: a reason names a case, and nobody. Exit status: 0 done, 1 the record has no such thing
or does not answer, 2 typed wrongly; every reason at once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
import typer

from alerts.commands.client import AsJson, failed, say
from alerts.commands.record import ask_record, realm_problems, refuse
from tocsin.adapters.holds import Holds
from tocsin.adapters.postgres import Pool
from tocsin.clock import rfc3339
from tocsin.columns import columns
from tocsin.retention import LEAVE_DAYS, TGD_POSITION_DAYS, Hold, HoldKind, What
from tocsin.settings import load

WORDS_MAX: Final = 200
HEAD: Final = ("id", "kind", "of", "authority", "reason", "placed", "by", "lifted")

app = typer.Typer(name="hold", no_args_is_help=True, help="What must be kept although its time is over.")

Of = Annotated[What, typer.Argument(metavar="WHAT", help="alert, measure or device.")]
Subject = Annotated[str, typer.Argument(metavar="ID", help="Its id.")]
Reason = Annotated[str, typer.Option(help="Why: the number of a case. No name: it is kept for ever.")]
Authority = Annotated[str, typer.Option(help="On whose word: a court, a prosecutor's office.")]
By = Annotated[str, typer.Option(help="Who types this.")]


@app.command()
def place(
    what: Of, subject: Subject, reason: Reason, authority: Authority, by: By, as_json: AsJson = False
) -> None:
    """Keep everything of this alert, measure or device until the hold is lifted.

    But positions of a TGD: the law gives them three days, eight by `leave`, and a hold adds nothing."""
    _place(HoldKind.HOLD, what, subject, reason, authority, by, as_json=as_json)


@app.command()
def leave(
    what: Of, subject: Subject, reason: Reason, authority: Authority, by: By, as_json: AsJson = False
) -> None:
    """The prosecutor lets the positions of this alert, or device, be kept eight days instead of three."""
    _place(HoldKind.LEAVE, what, subject, reason, authority, by, as_json=as_json)


def _place(
    kind: HoldKind, what: What, subject: str, reason: str, authority: str, by: str, *, as_json: bool
) -> None:
    settings = load()
    problems = _words_problems(reason=reason, authority=authority, by=by)
    if kind is HoldKind.LEAVE and what is What.MEASURE:
        problems.append("WHAT: a leave is of an alert or a device: positions of a measure are its file")
    refuse(problems)
    now_ms = settings.clock.now_ms()

    async def asked(pool: Pool) -> Hold | None:
        return await Holds(pool).place(
            kind=kind, what=what, subject=subject, reason=reason, authority=authority, by=by, at_ms=now_ms
        )

    made = ask_record(settings, asked)
    if made is None:
        raise failed(f"the record has no {what.value} {subject}")
    _tell([made], as_json=as_json)


@app.command()
def lift(
    hold: Annotated[str, typer.Argument(metavar="HOLD", help="Its id, hld_….")],
    because: Annotated[str, typer.Option(help="Why it ends: the number of a case, no name.")],
    by: By,
    realm: Annotated[str, typer.Option(help="The realm, in full: what was held may be erased within the hour.")],
    as_json: AsJson = False,
) -> None:
    """End a hold or a leave: what it kept follows its own time again."""
    settings = load()
    refuse([*_words_problems(because=because, by=by), *realm_problems(settings, realm)])
    now_ms = settings.clock.now_ms()

    async def asked(pool: Pool) -> Hold | None:
        return await Holds(pool).lift(hold, because=because, by=by, at_ms=now_ms)

    lifted = ask_record(settings, asked)
    if lifted is None:
        raise failed(f"no hold {hold} stands")
    _tell([lifted], as_json=as_json)


@app.command("list")
def show(
    everything: Annotated[bool, typer.Option("--all", help="Those that were lifted, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """What is held, oldest first."""
    _tell(ask_record(load(), lambda pool: _read(pool, everything=everything)), as_json=as_json)


async def _read(pool: Pool, *, everything: bool) -> Sequence[Hold]:
    return await (Holds(pool).ever() if everything else Holds(pool).standing())


def _words_problems(**words: str) -> list[str]:
    return [
        f"--{name}: between 1 and {WORDS_MAX} letters, and printable"
        for name, word in words.items()
        if not word.strip() or len(word) > WORDS_MAX or not word.isprintable()
    ]


def _tell(holds: Sequence[Hold], *, as_json: bool) -> None:
    if as_json:
        say(json.dumps([_shown(one) for one in holds], indent=1, ensure_ascii=False))
        return
    say(columns(HEAD, [_row(one) for one in holds]))
    if any(one.kind is HoldKind.LEAVE for one in holds):
        say(f"leave: positions {LEAVE_DAYS} days instead of {TGD_POSITION_DAYS}, and no longer")


def _shown(one: Hold) -> dict[str, Any]:
    said: dict[str, Any] = msgspec.to_builtins(one)
    for name in ("placed", "lifted"):
        at_ms = said.pop(f"{name}_ms")
        said[f"{name}_at"] = None if at_ms is None else rfc3339(at_ms)
    return said


def _row(one: Hold) -> tuple[str, ...]:
    lifted = "" if one.lifted_ms is None else rfc3339(one.lifted_ms)
    of = f"{one.what} {one.subject}"
    return (one.id, one.kind, of, one.authority, one.reason, rfc3339(one.placed_ms), one.placed_by, lifted)
