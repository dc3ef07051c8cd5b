"""Does the report say what happened, who was told, what is proven and what is not, and nothing else?"""

from __future__ import annotations

import io
import itertools
import json

from builders import command
from evidence_world import EPISODE, NOW_MS, OVER_MS, Chains, access, lines, of_deletion, package, world
from rich.console import Console

from alerts.downlink import shortest
from audit.evidence_report import as_json, show
from audit.package_verification import Verdict, verify
from tocsin import sealing
from tocsin.model.command import Action, CommandStatus, Stage


def said(verdict: Verdict) -> str:
    out = io.StringIO()
    show(Console(file=out, width=200, force_terminal=True, color_system=None), verdict)
    return out.getvalue()


def erased() -> Chains:
    chains = world()
    chains.seal([of_deletion(EPISODE, 2)], OVER_MS)
    return chains


def test_it_says_what_happened_and_what_nobody_compared() -> None:
    text = said(verify(lines(package(erased(), hide={EPISODE: (2,)}))))
    for part in (
        "alr_0001  PROX_ALERT  realm lab",
        "A. Martin",
        "closed left_zone",
        "not delivered: alert.raised to police",
        "1 places of episode/alr_0001: erased on 2032-11-22T00:00:00.000Z by rule measure_file 72 months",
        "1 decisions were NOT made again",
        "nothing outside of the package was compared",
        "good",
    ):
        assert part in text


def test_what_came_of_an_order_is_found_under_the_name_that_the_unit_was_told() -> None:
    """Two partitions asked different intervals; and what her unit shows only the downlink has ordered."""
    asked = command("2", at_ms=NOW_MS)
    said = shortest(asked, [command("1", interval_s=5)])
    assert said.id != asked.id
    chains = world()
    for sequence, (name, stage, action) in enumerate(
        [(said.id, Stage.SENT, Action.SET_CADENCE), (said.id, Stage.DONE, None), ("cmd_hers", Stage.SENT, "ring")],
        7,
    ):
        status = CommandStatus(
            command=name, device=asked.device, stage=stage, at_ms=NOW_MS + sequence, reason="", action=action
        )
        chains.seal([sealing.of_result(sequence, status)], NOW_MS + 1_000)
    (of_units,) = [part for part in said_parts(chains) if part.startswith("What the units were told")]
    assert "sent, done" in of_units
    assert "nothing known" not in of_units
    assert any("ring" in line and "sent" in line for line in of_units.splitlines())


def said_parts(chains: Chains) -> list[str]:
    text = said(verify(lines(package(chains))))
    begins = [text.index(title) for title in ("What happened", "Who was told", "What the units", "Who has read")]
    return [text[begin:end] for begin, end in itertools.pairwise([*begins, len(text)])]


def test_a_decision_without_its_case_is_said_to_people_and_to_programs() -> None:
    verdict = verify(lines(package(world(cases=[]))))
    assert "link 1, the decision fnd_in1: no case of it was ever made" in said(verdict)
    assert as_json(verdict)["proven"]["decisions_without_case"] == [
        {"link": 1, "finding": "fnd_in1", "why": "case_never_made"}
    ]
    chains = world()
    chains.seal([of_deletion(EPISODE, 7)], OVER_MS)
    assert "its case was erased" in said(verify(lines(package(chains, hide={EPISODE: (7,)}))))
    chains = world()
    chains.seal([of_deletion(EPISODE, 1)], OVER_MS)
    assert "the ruling is not any more" in said(verify(lines(package(chains, hide={EPISODE: (1,)}))))


def test_on_a_narrow_screen_nothing_is_cut_off() -> None:
    out = io.StringIO()
    show(Console(file=out, width=60, color_system=None), verify(lines(package(world()))))
    assert "…" not in out.getvalue().replace("Œuvre", "")


def test_it_shows_no_place() -> None:
    content = package(world())
    assert b"43304112" in content
    text = said(verify(lines(content)))
    assert "43304112" not in text
    assert "43.30" not in text


def test_a_fault_is_in_it_and_then_nothing_is_good() -> None:
    changed = lines(package(world()))
    del changed[3]
    text = said(verify(changed))
    assert "payload_missing" in text
    assert "seal_broken" in text
    assert "good" not in text
    assert "hold together" not in text


def test_what_is_younger_than_every_head_is_said() -> None:
    text = said(verify(lines(package(world(), with_head=False))))
    assert f"{EPISODE}: its last 7 links are in no head of this package" in text


def test_heads_that_were_compared_are_counted() -> None:
    head, _ = world().head(None, NOW_MS + 86_400_000)
    content = lines(package(world()))
    assert "4 of 4 heads are as they were published" in said(verify(content, published={1: head.hash.hex()}))
    assert "4 heads are newer than the published file" in said(verify(content, published={}))


def test_what_a_stranger_wrote_is_no_order_to_the_terminal() -> None:
    chains = world()
    nasty = access("acc_9")
    chains.seal(
        [sealing.of_access(type(nasty)(**{**_fields(nasty), "who": "\x1b[2J[red]x[/red]"}))], NOW_MS + 9_000
    )
    text = said(verify(lines(package(chains))))
    assert "\x1b[2J" not in text
    assert "[red]x[/red]" in text


def _fields(one: object) -> dict:
    return {name: getattr(one, name) for name in one.__struct_fields__}


def test_a_program_is_told_the_same() -> None:
    verdict = as_json(verify(lines(package(erased(), hide={EPISODE: (2,)}))))
    assert json.loads(json.dumps(verdict)) == verdict
    assert verdict["good"] is True
    assert verdict["erased"][0]["rule"] == "measure_file 72 months"
    assert [one["by"] for one in verdict["rulings"]] == ["", "A. Martin", "A. Martin"]
    assert verdict["not_delivered"][0]["channel"] == "police"
    assert verdict["proven"]["compared_with_published"] is None
