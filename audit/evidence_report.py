"""What does a verified package say to people: what happened, when, who acted, who was told, what is proven, what
was erased? And the same for programs. Nothing of it is a place: those are in the payloads. Hours are UTC."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from audit.case_binding import Lack
from audit.package_reader import Wrong
from audit.package_verification import Verdict
from audit.story import RulingSaid, Story
from tocsin.clock import rfc3339

SHOWN_MAX = 60
"""Rows of a table for people; ``--json`` has all of them."""


LACKS: Final = {
    Lack.ERASED: "its case was erased, and nobody can make it again",
    Lack.NEVER_MADE: "no case of it was ever made, and the witness has sealed nothing behind it",
    Lack.RULING_GONE: "its case is here, and the ruling is not any more",
}

UNSHOWN: Final = "\N{REPLACEMENT CHARACTER}"


def report(verdict: Verdict) -> RenderableType:
    """For a terminal."""
    return Group(*_report(verdict))


def show(console: Console, verdict: Verdict) -> None:
    console.print(report(verdict), soft_wrap=True)


def as_json(verdict: Verdict) -> dict[str, Any]:
    """For a program."""
    story, header = verdict.story, verdict.header
    return {
        "good": verdict.is_good,
        "alert": None if header is None else header.alert,
        "faults": [_wrong(one) for one in verdict.faults],
        "more_faults": verdict.more_faults,
        "proven": {
            "links": verdict.links,
            "heads": verdict.heads,
            "behind_the_last_head": verdict.unproven,
            "compared_with_published": verdict.compared,
            "not_published_yet": verdict.unknown_heads,
            "cases": verdict.cases,
            "cases_without_inputs": verdict.uncased,
            "decided_again": verdict.replayed,
            "decisions_without_case": [
                {"link": one.number, "finding": one.finding, "why": one.why.value} for one in verdict.undecided
            ],
        },
        "erased": [
            {"chain": one.chain, "number": one.number, "kind": one.of, "at": rfc3339(one.at_ms), "rule": one.rule,
             "by": one.by}
            for one in verdict.erased
        ],
        "withheld": verdict.withheld,
        "rulings": [
            {"sequence": one.sequence, "at": rfc3339(one.ruling.at_ms), "version": one.ruling.episode.version,
             "state": one.ruling.episode.state, "reason": one.ruling.reason, "by": _who(one)}
            for one in story.in_order
        ],
        "not_delivered": [
            {"notification": one.id, "channel": one.channel, "type": one.type, "recipient": one.recipient}
            for one in story.untold()
        ],
    }  # fmt: skip


def _wrong(one: Wrong) -> dict[str, Any]:
    return {"line": one.line, "what": one.what.value, "chain": one.chain, "number": one.number, "kind": one.of,
            "detail": one.detail}  # fmt: skip


def _report(verdict: Verdict) -> Iterator[RenderableType]:
    header, story = verdict.header, verdict.story
    if header is not None:
        hours = [rfc3339(ms) for ms in (header.opened_ms, header.ended_ms) if ms is not None]
        yield _line(
            f"{header.alert}  {header.code or 'of what nobody knows any more'}  realm {header.realm or '?'}"
        )
        yield _line(f"measures {_listed(header.measures)}; units {_listed(header.devices)}; {' to '.join(hours)}")
    if story.rulings:
        yield _rulings(story)
        yield from _told(story)
        yield from _units(story)
    yield from _accesses(story)
    yield from _erased(verdict)
    yield from _proven(verdict)
    if verdict.faults:
        yield _faults(verdict)
    else:
        yield _line("good: nothing was changed, dropped or added", style="bold green")


def _rulings(story: Story) -> Table:
    table = _table("What happened", "at", "version", "state", "what", "who")
    for one in story.in_order[:SHOWN_MAX]:
        episode = one.ruling.episode
        what = " ".join(filter(None, (one.ruling.reason, episode.outcome)))
        _row(table, rfc3339(one.ruling.at_ms), str(episode.version), episode.state, what, _who(one))
    return table


def _who(one: RulingSaid) -> str:
    event = one.ruling.event
    if event.get("type") != "act":
        return ""
    actor, service = str(event.get("actor", "")), str(event.get("service", ""))
    return f"{actor} (by {service})" if service else actor


def _told(story: Story) -> Iterator[RenderableType]:
    table = _table("Who was told", "at", "channel", "to", "what", "attempt", "result")
    kinds = {each.id: each for one in story.rulings for each in one.ruling.notifications}
    for one in sorted(story.attempts, key=lambda one: one.t7_ms)[:SHOWN_MAX]:
        known = kinds.get(one.notification)
        what = "" if known is None else known.type
        _row(table, rfc3339(one.t7_ms), one.channel, one.recipient, what, str(one.attempt), one.result)
    yield table
    for each in story.untold():
        yield _line(f"not delivered: {each.type} to {each.channel} {each.recipient}".rstrip(), style="yellow")


def _units(story: Story) -> Iterator[RenderableType]:
    told = story.told_units()
    if not told:
        return
    table = _table("What the units were told", "at", "unit", "order", "by", "came of it")
    for one in told[:SHOWN_MAX]:
        came = ", ".join(one.stages) or "nothing known"
        _row(table, rfc3339(one.at_ms), one.device, one.action, one.by, came)
    yield table


def _accesses(story: Story) -> Iterator[RenderableType]:
    if not story.accesses:
        return
    counted = Counter((one.who, one.role, one.purpose) for one in story.accesses)
    table = _table("Who has read it", "who", "role", "why", "times")
    for (who, role, purpose), times in sorted(counted.items())[:SHOWN_MAX]:
        _row(table, who, role, purpose, str(times))
    yield table


def _erased(verdict: Verdict) -> Iterator[RenderableType]:
    counted = Counter((one.chain, one.of, one.rule, one.by, one.at_ms) for one in verdict.erased)
    for (chain, kind, rule, by, at_ms), times in sorted(counted.items()):
        yield _line(f"{times} {kind} of {chain}: erased on {rfc3339(at_ms)} by rule {rule}, on the word of {by}")
    for chain, times in sorted(verdict.withheld.items()):
        yield _line(f"{times} payloads of {chain} are not of this alert and not in the package", style="dim")


def _proven(verdict: Verdict) -> Iterator[RenderableType]:
    links = f"{sum(verdict.links.values())} links in {len(verdict.links)} chains"
    yield _line(f"{links} hold together" if verdict.is_good else f"{links} were read")
    if verdict.cases and verdict.replayed is None:
        yield _line(f"{verdict.cases} decisions were NOT made again: this installation cannot", style="yellow")
    elif verdict.cases:
        yield _line(f"{verdict.replayed} of {verdict.cases} decisions were made again from their inputs")
    if verdict.uncased:
        yield _line(
            f"{verdict.uncased} decisions say why there are no inputs to make them from again", style="yellow"
        )
    for one in verdict.undecided:
        yield _line(f"link {one.number}, the decision {one.finding}: {LACKS[one.why]}", style="yellow")
    for chain, behind in sorted(verdict.unproven.items()):
        yield _line(f"{chain}: its last {behind} links are in no head of this package", style="yellow")
    if verdict.compared is None:
        yield _line(
            "nothing outside of the package was compared: with --heads, its heads are compared with those that "
            "somebody else has kept",
            style="yellow",
        )
    else:
        yield _line(f"{verdict.compared} of {verdict.heads} heads are as they were published")
        if verdict.unknown_heads:
            yield _line(f"{verdict.unknown_heads} heads are newer than the published file", style="yellow")


def _faults(verdict: Verdict) -> Table:
    table = _table("FAULTS", "line", "what", "chain", "link", "kind", "in words")
    table.title_style = "bold red"
    for one in verdict.faults[:SHOWN_MAX]:
        number = str(one.number) if one.number else ""
        _row(table, str(one.line), one.what.value, one.chain, number, one.of, one.detail)
    if (behind := len(verdict.faults) - SHOWN_MAX + verdict.more_faults) > 0:
        table.caption = f"and {behind} more"
    return table


def _table(title: str, *columns: str) -> Table:
    """On a narrow screen a cell has several lines: nothing of what is proven is cut off."""
    table = Table(title=title, title_justify="left")
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "none"


def _row(table: Table, *cells: str) -> None:
    table.add_row(*(_line(cell) for cell in cells))


def _line(text: str, style: str = "") -> Text:
    """What a stranger wrote is shown, and is no order to the terminal: neither a control character nor markup."""
    return Text("".join(one if one.isprintable() else UNSHOWN for one in text), style=style)
