"""What is kept of an answer to an order, and of whose? ``res`` of docs/device-protocol.md."""

from __future__ import annotations

import json
from typing import Any

import pytest
from builders import DEVICES, NOW_MS, NOW_S, PROTECTED, TGD, WEARER, known, message, topic

from ingest.admission import Admission, Answered, Heard, Presence, admit
from ingest.dialects.reports import Refusal
from ingest.known import Known
from ingest.listener import Batch
from simulator import messages
from tocsin import subjects
from tocsin.limits import RESULT_DETAIL_MAX_CHARS, RESULTS_A_MINUTE_MAX
from tocsin.model.command import CommandStatus, Stage
from tocsin.model.ids import derived

NAME = derived("cmd", WEARER, 1)


def said(**changes: Any) -> bytes:
    whole = {"_type": "result", "id": NAME, "result": "done", "tst": NOW_S, **changes}
    return json.dumps({key: value for key, value in whole.items() if value is not None}).encode()


def admitted(
    payload: bytes, device: str = WEARER, world: Known | None = None, at_ms: int = NOW_MS
) -> list[Admission]:
    return admit(message(payload, topic(device, "res"), at_ms), world or known(), at_ms + 7)


@pytest.mark.parametrize(
    ("word", "stage"),
    [("accepted", Stage.DELIVERED), ("done", Stage.DONE), ("rejected", Stage.FAILED), ("expired", Stage.EXPIRED)],
)
def test_an_answer_is_kept_as_of_its_reception_beside_the_sign_of_life(word: str, stage: Stage) -> None:
    present, answered = admitted(said(result=word, tst=NOW_S - 40))
    assert isinstance(present, Presence)
    assert answered == Answered(
        status=CommandStatus(command=NAME, device=WEARER, stage=stage, at_ms=NOW_MS, reason=word)
    )


def test_the_answer_of_the_simulated_unit_can_be_read() -> None:
    payload = messages.encode(messages.result(NAME, "rejected", now_ms=NOW_MS, detail="no such sentence"))
    assert isinstance(admitted(payload)[1], Answered)


def test_a_tgds_answer_is_kept_and_is_no_sign_of_life() -> None:
    heard, answered = admitted(said(), TGD)
    assert heard == Heard()
    assert isinstance(answered, Answered)
    assert answered.status.device == TGD


def test_free_text_is_not_kept() -> None:
    """F33: what a unit says in words of its own may hold a place."""
    (_, answered), (_, bare) = admitted(said(detail="at 43.296, 5.369")), admitted(said())
    assert answered == bare


WRONG: dict[str, dict[str, Any]] = {
    "another word": {"result": "perhaps"},
    "no word": {"result": None},
    "no name": {"id": None},
    "a name of its own": {"id": "cmd_" + "f" * 32},
    "another thing's name": {"id": derived("fnd", 1)},
    "a place for a name": {"id": "43.296587,5.369731"},
    "a wildcard for a name": {"id": "*"},
    "an essay": {"detail": "x" * (RESULT_DETAIL_MAX_CHARS + 1)},
    "another type": {"_type": "status"},
}


@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG.keys())
def test_what_is_no_answer_is_refused_without_its_values_and_is_a_sign_of_life(changes: dict[str, Any]) -> None:
    present, refused = admitted(said(**changes))
    assert isinstance(present, Presence)
    assert isinstance(refused, Refusal)
    assert not any(value in refused.detail + refused.path for value in ("perhaps", "43.29", "xxx", "fff"))


def test_a_unit_that_repeats_itself_makes_nobodys_answers_give_way() -> None:
    world, batch = known(), Batch()
    for number in range(RESULTS_A_MINUTE_MAX + 40):
        told = admitted(said(id=derived("cmd", number)), world=world, at_ms=NOW_MS + number)
        batch.add(None, None, told, world)  # type: ignore[arg-type]  # neither session nor message is looked at
    batch.add(None, None, admitted(said(), PROTECTED, world), world)  # type: ignore[arg-type]
    later = admitted(said(), world=world, at_ms=NOW_MS + 60_000)
    assert [one.device for one in batch.answers].count(WEARER) == RESULTS_A_MINUTE_MAX
    assert batch.answers[-1].device == PROTECTED
    assert isinstance(later[1], Answered)
    assert batch.outcomes["result"] == RESULTS_A_MINUTE_MAX + 1


@pytest.mark.parametrize("device", DEVICES)
def test_an_answer_stands_under_the_device_that_gave_it(device: str) -> None:
    """F31: nobody answers for another."""
    answered = admitted(said(), device)[1]
    assert isinstance(answered, Answered)
    status = answered.status
    assert subjects.result(status.device, status.command, subjects.UNIT_SAYS) == f"log.result.{device}.{NAME}.unit"
