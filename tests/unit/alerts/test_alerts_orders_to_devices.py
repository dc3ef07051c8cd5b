"""What does a device read, and which orders are none? The words of docs/device-protocol.md; invariant 5, F33."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from builders import NOW_MS, NOW_S, WEARER, command

from alerts.channels.device import NotSayable, payload
from simulator import messages
from tocsin.model.command import Action
from tocsin.model.device import DeviceKind
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


# --- the page for firmware engineers says the same -----------------------------------------------------------

PAGE = Path(__file__).parents[3] / "docs" / "device-protocol.md"


def examples(kind: str) -> list[dict[str, Any]]:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith(f'{{"_type": "{kind}"')]
    return [json.loads(line) for line in lines]


def test_the_orders_on_the_page_are_those_that_are_sent() -> None:
    shown = examples("cmd")
    sent = [
        command(id=one["id"], action=Action(one["action"]), interval_s=one.get("s"), expires_ms=one["exp"] * 1000)
        for one in shown
    ]
    assert [json.loads(payload(order, DeviceKind.WEARER)) for order in sent] == shown
    assert {order.action for order in sent} == set(Action)


def test_the_answers_on_the_page_are_those_of_the_simulated_unit() -> None:
    (answer,), (status,) = examples("result"), examples("status")
    now_ms = answer["tst"] * 1000 + answer["ms"]
    assert messages.result(answer["id"], "done", now_ms=now_ms) == answer
    assert messages.status(now_ms=status["tst"] * 1000 + status["ms"], seq=1044, boot=7) == status
