"""What does a device read, and which orders are none? The words of docs/device-protocol.md; invariant 5, F33."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from builders import NOW_MS, NOW_S, PROTECTED, WEARER, command

from alerts.channels.device import NotSayable, payload, told_as
from alerts.channels.sentences import SENTENCES, Condition, conditions_of
from simulator import messages
from tocsin.model.command import Action, Command, Sentence, Shown
from tocsin.model.device import DeviceKind
from tocsin.model.finding import Code
from tocsin.model.ids import derived, is_derived


def test_an_interval_in_the_words_of_the_protocol() -> None:
    order = command(interval_s=30, expires_ms=NOW_MS + 60_999)
    assert json.loads(payload(order, DeviceKind.WEARER)) == {
        "_type": "cmd", "id": order.id, "action": "setCadence", "s": 30, "exp": NOW_S + 60,
    }  # fmt: skip


def test_a_request_for_a_position_has_no_argument() -> None:
    order = command(action=Action.REPORT_LOCATION, interval_s=None)
    assert json.loads(payload(order, DeviceKind.WEARER)) == {
        "_type": "cmd", "id": order.id, "action": "reportLocation", "exp": NOW_S + 60,
    }  # fmt: skip


@pytest.mark.parametrize("interval_s", [5, 10, 30, 60])
@pytest.mark.parametrize("kind", list(DeviceKind))
def test_the_four_intervals_are_everybodys(interval_s: int, kind: DeviceKind) -> None:
    assert json.loads(payload(command(interval_s=interval_s), kind))["s"] == interval_s


def test_half_as_often_at_rest_is_hers_alone() -> None:
    """It would tell him that she does not move."""
    order = command(interval_s=20)
    assert json.loads(payload(order, DeviceKind.PROTECTED))["s"] == 20
    with pytest.raises(NotSayable, match="bar_wearer"):
        payload(order, DeviceKind.WEARER)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a distance for an interval": ({"interval_s": 940}, "interval_s"),
    "no interval": ({"interval_s": None}, "interval_s"),
    "zero": ({"interval_s": 0}, "interval_s"),
    "a request with an interval": ({"action": Action.REPORT_LOCATION, "interval_s": 30}, "interval_s"),
    "a place for a name": ({"id": "43.296587,5.369731"}, "id"),
    "a name with a tail": ({"id": derived("cmd", 1) + " 43.29"}, "id"),
    "a drawn name": ({"id": "cmd_" + "f" * 32}, "id"),
}


@pytest.mark.parametrize(("changes", "field"), WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_said_is_refused_by_field_and_never_by_value(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(NotSayable) as refusal:
        payload(command(**changes), DeviceKind.PROTECTED)
    assert f" {field}: " in str(refusal.value)
    assert not any(figure in str(refusal.value) for figure in ("43.29", "5.36", "940"))


@pytest.mark.parametrize("prefix", ["cmd", "fnd", "alm"])
def test_a_derived_name_is_known_as_such(prefix: Any) -> None:
    assert is_derived(derived(prefix, WEARER, 7))


# --- hers: what it shows, and when it rings -------------------------------------------------------------------


def protection(device: str = PROTECTED, **changes: Any) -> Command:
    whole = {"action": Action.PROTECTION, "interval_s": None, "shows": Shown.ALERT, "rings": True}
    return command(device=device, **{**whole, **changes})


@pytest.mark.parametrize(("shows", "rings"), [(Shown.ALERT, True), *((one, False) for one in Shown)])
def test_her_unit_shows_and_rings(shows: Shown, rings: bool) -> None:
    said = json.loads(payload(protection(shows=shows, rings=rings), DeviceKind.PROTECTED))
    assert (said["state"], said["ring"]) == (shows.value, rings)


UNHEARD: list[tuple[dict[str, Any], DeviceKind]] = [
    *(({"shows": shows, "rings": False}, DeviceKind.WEARER) for shows in Shown),
    ({}, DeviceKind.TGD),
    ({"shows": Shown.DEGRADED}, DeviceKind.PROTECTED),
    ({"shows": Shown.OVER}, DeviceKind.PROTECTED),
    ({"shows": None}, DeviceKind.PROTECTED),
    ({"rings": None}, DeviceKind.PROTECTED),
    ({"action": Action.RING, "shows": None, "rings": None, "by": "A. Martin"}, DeviceKind.TGD),
    ({"action": Action.RING, "shows": None, "rings": None, "by": "A. Martin"}, DeviceKind.WEARER),
    ({"action": Action.RING, "shows": None, "rings": None}, DeviceKind.PROTECTED),
]


@pytest.mark.parametrize(("changes", "kind"), UNHEARD)
def test_nothing_rings_but_hers_and_no_wearer_reads_of_her_protection(
    changes: dict[str, Any], kind: DeviceKind
) -> None:
    with pytest.raises(NotSayable):
        payload(protection(**changes), kind)


# --- sentences ----------------------------------------------------------------------------------------------


def say(sentence: Sentence | None, by: str = "A. Martin", **changes: Any) -> Command:
    return command(action=Action.SAY, interval_s=None, sentence=sentence, by=by, **changes)


@pytest.mark.parametrize("sentence", Sentence)
@pytest.mark.parametrize("condition", [one for one in Condition if one is not Condition.ANY])
def test_a_sentence_is_sayable_in_its_own_state_alone(sentence: Sentence, condition: Condition) -> None:
    own, states = SENTENCES[sentence].when, {Condition.ANY, condition}
    if own in states:
        assert json.loads(payload(say(sentence), DeviceKind.WEARER, states))["template"] == sentence.value
    else:
        with pytest.raises(NotSayable, match="state"):
            payload(say(sentence), DeviceKind.WEARER, states)


@pytest.mark.parametrize("sentence", Sentence)
def test_no_machine_says_a_sentence(sentence: Sentence) -> None:
    """F34: each automatic word at a ring would tell him where it runs."""
    with pytest.raises(NotSayable, match="human"):
        payload(say(sentence, by=""), DeviceKind.WEARER, set(Condition))


def test_a_sentence_of_his_is_not_hers_and_none_is_a_tgds() -> None:
    for sentence, wording in SENTENCES.items():
        for kind in set(DeviceKind) - wording.kinds:
            with pytest.raises(NotSayable):
                payload(say(sentence), kind, set(Condition))


def test_the_list_is_closed_and_its_words_say_no_place_number_or_hour() -> None:
    assert set(SENTENCES) == set(Sentence)
    for wording in SENTENCES.values():
        assert not any(letter.isdigit() for letter in wording.text_fr)
        assert not re.search(r"mètre|nord|sud|ouest|droite|gauche|{|%", wording.text_fr, re.IGNORECASE)


def test_in_the_alert_he_is_not_told_to_turn_back() -> None:
    both = conditions_of({Code.PROX_ALERT, Code.PROX_PREALERT})
    assert (Condition.ALERT in both, Condition.PREALERT in both) == (True, False)
    assert Condition.PREALERT in conditions_of({Code.PROX_PREALERT})
    assert conditions_of({Code.IMMINENT, Code.W_GNSS_LOSS, Code.RF_PROXIMITY}) == {Condition.ANY}


# --- names --------------------------------------------------------------------------------------------------


def test_the_name_that_a_unit_reads_follows_from_what_it_reads_and_when() -> None:
    """And not from whose message was the cause: he knows how his own are numbered."""
    his, hers = (
        command(id=derived("cmd", WEARER, "setCadence", 30, whose, 1, 7)) for whose in (WEARER, PROTECTED)
    )
    assert his.id != hers.id
    assert told_as(his) == told_as(hers)
    assert told_as(command(interval_s=10)).id != told_as(command(interval_s=5)).id
    assert told_as(command(at_ms=NOW_MS + 1)).id != told_as(command()).id
    assert told_as(say(Sentence.CALL_PLATFORM)).id == say(Sentence.CALL_PLATFORM).id


# --- the page for firmware engineers says the same -----------------------------------------------------------

PAGE = Path(__file__).parents[3] / "docs" / "device-protocol.md"


def examples(kind: str) -> list[dict[str, Any]]:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith(f'{{"_type": "{kind}"')]
    return [json.loads(line) for line in lines]


def test_the_orders_on_the_page_are_those_that_are_sent() -> None:
    shown = examples("cmd")
    sent = [
        command(
            id=one["id"], action=Action(one["action"]), interval_s=one.get("s"), expires_ms=one["exp"] * 1000,
            shows=Shown(one["state"]) if "state" in one else None, rings=one.get("ring"),
            sentence=Sentence(one["template"]) if "template" in one else None, by="A. Martin",
        )
        for one in shown
    ]  # fmt: skip
    assert [json.loads(payload(order, DeviceKind.PROTECTED)) for order in sent] == shown
    assert {order.action for order in sent} == set(Action)


def test_the_sentences_on_the_page_are_those_of_the_list() -> None:
    lines = PAGE.read_text().split("### Sentences")[1].splitlines()
    rows = [line for line in lines if line.startswith("| `") and line.count("|") == 5][1:]
    shown = {cells[1].strip().strip("`"): cells[4].strip() for cells in (row.split("|") for row in rows)}
    assert shown == {sentence.value: wording.text_fr for sentence, wording in SENTENCES.items()}


def test_the_answers_on_the_page_are_those_of_the_simulated_unit() -> None:
    (answer,), (status,) = examples("result"), examples("status")
    now_ms = answer["tst"] * 1000 + answer["ms"]
    assert messages.result(answer["id"], "done", now_ms=now_ms) == answer
    assert messages.status(now_ms=status["tst"] * 1000 + status["ms"], seq=1044, boot=7) == status
