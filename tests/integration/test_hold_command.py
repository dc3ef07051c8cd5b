"""What does whoever types a hold see, and what does the record have of it? (invariant 14, F09)"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from click.testing import Result
from custody_world import Site
from typer.testing import CliRunner

from alerts.commands import hold, retention
from tocsin.adapters.holds import Holds
from tocsin.adapters.postgres import Pool, RecordRefused
from tocsin.adapters.retention import RetentionRecord
from tocsin.adapters.seals import Seals
from tocsin.chain import Kind
from tocsin.clock import from_rfc3339

pytest_plugins = ("database",)

START_MS = from_rfc3339("2026-01-05T12:00:00Z")
LATE = "2036-01-05T12:00:00Z"
WORDS = ("--reason", "appeal 26/1", "--authority", "TJ Marseille", "--by", "greffe")

Typed = Callable[..., Awaitable[Result]]


@pytest.fixture
def site(pool: Pool) -> Site:
    return Site(pool)


@pytest.fixture
def typed(dsn: str, monkeypatch: pytest.MonkeyPatch) -> Typed:
    monkeypatch.setenv("TOCSIN_DATABASE_URL", dsn)
    apps = {"hold": hold.app, "retention": retention.app}

    async def type_(noun: str, *words: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, apps[noun], list(words))

    return type_


async def test_a_hold_is_placed_listed_and_lifted_and_each_is_a_link(site: Site, typed: Typed) -> None:
    await site.measure("m1", START_MS, START_MS + 1)
    placed = await typed("hold", "place", "measure", "m1", *WORDS, "--json")
    assert placed.exit_code == 0, placed.output
    (one,) = json.loads(placed.stdout)
    assert (one["kind"], one["what"], one["subject"], one["lifted_at"]) == ("hold", "measure", "m1", None)
    assert one["id"] in (await typed("hold", "list")).stdout
    assert (await site.rows("select since from tocsin.hold"))[0][0].timestamp() * 1000 == START_MS

    lifted = await typed("hold", "lift", one["id"], "--because", "judged", "--by", "greffe", "--realm", "lab")
    assert lifted.exit_code == 0, lifted.output
    assert json.loads((await typed("hold", "list", "--json")).stdout) == []
    (again,) = json.loads((await typed("hold", "list", "--all", "--json")).stdout)
    assert again["lifted_because"] == "judged"
    links = await Seals(site.pool).links("measure/m1")
    assert [(link.kind, link.source) for link in links] == [
        (Kind.HOLD, f"hold:{one['id']}:placed"),
        (Kind.HOLD, f"hold:{one['id']}:lifted"),
    ]
    assert await site.faults() == []


@pytest.mark.parametrize(
    ("words", "reasons"),
    [
        (("place", "measure", "m1", "--reason", " ", "--authority", "x" * 201, "--by", "a\nb"),
         ("--reason", "--authority", "--by")),
        (("leave", "measure", "m1", "--reason", "", "--authority", "a", "--by", "b"), ("--reason", "WHAT")),
        (("lift", "hld_1", "--because", "", "--by", "b", "--realm", "production"), ("--because", "--realm")),
        (("lift", "hld_1", "--because", "a", "--by", "b", "--realm", "la"), ("--realm",)),
    ],
)  # fmt: skip
async def test_every_reason_of_a_refusal_is_said_at_once(
    typed: Typed, words: tuple[str, ...], reasons: tuple[str, ...]
) -> None:
    said = await typed("hold", *words)
    assert said.exit_code == 2
    assert all(reason in said.output for reason in reasons)


@pytest.mark.parametrize("what", ["alert", "measure", "device"])
async def test_what_the_record_does_not_know_cannot_be_held(typed: Typed, what: str) -> None:
    """A mistyped id would be a hold that holds nothing, and nobody would know."""
    said = await typed("hold", "place", what, "nobody", *WORDS)
    assert (said.exit_code, f"no {what} nobody" in said.output) == (1, True)


async def test_a_hold_is_lifted_once_and_never_changed(site: Site, typed: Typed) -> None:
    await site.device("tgd-1", "tgd", START_MS)
    (one,) = json.loads((await typed("hold", "leave", "device", "tgd-1", *WORDS, "--json")).stdout)
    words = ("lift", one["id"], "--because", "a", "--by", "b", "--realm", "lab")
    assert [(await typed("hold", *words)).exit_code for _ in range(2)] == [0, 1]
    for statement in (
        "update tocsin.hold set reason = 'another'",
        "update tocsin.hold set lifted_at = null, lifted_by = null, lifted_because = null",
        "delete from tocsin.hold",
    ):
        with pytest.raises(RecordRefused):
            await site.run(statement)
    assert len(await Holds(site.pool).ever()) == 1


async def test_the_preview_tells_what_goes_and_what_is_held(site: Site, typed: Typed) -> None:
    await site.a_year(START_MS)
    assert (await typed("hold", "place", "measure", "m03", *WORDS)).exit_code == 0
    said = json.loads((await typed("retention", "preview", "--at", LATE, "--json")).stdout)
    words = {(one["kept_as"], one["word"]): one for one in said["lines"] if one["of"] == "record"}
    assert words["measure_file", "over"]["files"] > words["measure_file", "held"]["files"] > 0
    assert words["measure_file", "held"]["hold"].startswith("hld_")
    assert "R631-11" in (await typed("retention", "preview", "--at", LATE)).stdout
    assert (await typed("retention", "preview", "--at", "tomorrow")).exit_code == 2


async def test_to_believe_the_clock_needs_the_realm_in_full(site: Site, typed: Typed) -> None:
    """F37: it lets a pass erase what a doubted hour would."""
    assert (await typed("retention", "believe", "--by", "A. Martin", "--realm", "production")).exit_code == 2
    assert (await RetentionRecord(site.pool).hours()).believed_ms is None
    assert (await typed("retention", "believe", "--by", "A. Martin", "--realm", "lab")).exit_code == 0
    assert (await RetentionRecord(site.pool).hours()).believed_ms is not None


async def test_without_a_record_it_is_said_and_nothing_hangs(
    typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOCSIN_DATABASE_URL", "host=/nonexistent dbname=tocsin")
    said = await typed("hold", "list")
    assert said.exit_code == 1
    assert "record" in said.output
