"""What can a human order a unit to do, and what is he told of it? Over the log alone: the record may be down."""

from __future__ import annotations

from typing import Any

import pytest
from api_room import Room
from builders import command

from alerts.api.commands import LIVES_MS
from alerts.results import ANSWER_GRACE_MS, Results
from tocsin import subjects
from tocsin.model.command import Action, Command, CommandStatus, Sentence, Stage
from tocsin.wire import decode_command, encode

UNIT = "/api/v1/devices/b0000001/commands"
SAY = {"action": "say", "sentence": "call_platform"}


def orders(room: Room) -> list[Command]:
    return [decode_command(entry.payload) for entry in room.log.entries(subjects.COMMANDS)]


async def give(room: Room, name: str = "Ada", body: Any = SAY, key: str = "k1") -> Any:
    async with room.client(name, **{"Idempotency-Key": key}) as client:
        return await client.post(UNIT, json=body)


async def look(room: Room, where: str) -> Any:
    async with room.client("Ada") as client:
        return await client.get(where)


@pytest.mark.parametrize(
    ("body", "action", "sentence"),
    [
        ({"action": "reportLocation"}, Action.REPORT_LOCATION, None),
        (SAY, Action.SAY, Sentence.CALL_PLATFORM),
        ({"action": "ring"}, Action.RING, None),
    ],
)
async def test_an_order_waits_on_the_log_in_his_name(
    room: Room, body: Any, action: Action, sentence: Sentence | None
) -> None:
    room.orders.down = True
    answer = await give(room, body=body)
    (order,) = orders(room)
    assert answer.status_code == 202
    assert (order.action, order.sentence, order.by, order.device) == (action, sentence, "Ada", "b0000001")
    assert order.expires_ms - order.at_ms == LIVES_MS[action]
    (entry,) = room.log.entries(subjects.COMMANDS)
    assert subjects.is_operators(entry.subject)
    found = (await look(room, answer.headers["location"])).json()
    assert (found["state"], found["reason"], found["by"], found["id"]) == ("queued", "queued", "Ada", order.id)


async def test_a_repeated_request_is_one_order_and_lives_no_longer(room: Room) -> None:
    first = await give(room)
    room.clock.ms += 5_000
    again = await give(room)
    assert (again.status_code, again.headers["location"]) == (202, first.headers["location"])
    assert len(orders(room)) == 1
    assert again.json() == first.json()


async def test_a_key_names_one_order_of_one_human(room: Room) -> None:
    await give(room)
    other_body = await give(room, body={"action": "ring"})
    other_key, other_human = await give(room, key="k2"), await give(room, "Sue")
    assert (other_body.status_code, other_body.json()["type"]) == (422, "/problems/idempotency-key-reused")
    assert (other_key.status_code, other_human.status_code) == (202, 202)
    assert len({order.id for order in orders(room)}) == 3


async def test_an_order_that_the_log_did_not_take_is_taken_when_it_is_repeated(room: Room) -> None:
    room.log.down = True
    failed = await give(room)
    room.log.down = False
    assert failed.status_code == 503
    assert (await give(room)).status_code == 202
    assert len(orders(room)) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"action": "say"},
        {"action": "say", "sentence": "she is at 43.29"},
        {"action": "ring", "sentence": "call_platform"},
        {"action": "setCadence", "s": 5},
        {"action": "protection", "state": "over"},
        {"action": "say", "sentence": "call_platform", "text": "now"},
        {},
    ],
)
async def test_what_is_no_order_is_refused(room: Room, body: Any) -> None:
    answer = await give(room, body=body)
    assert (answer.status_code, orders(room)) == (422, [])
    assert "43.29" not in answer.text


async def test_without_a_key_nothing_is_ordered(room: Room) -> None:
    async with room.client("Ada") as client:
        answer = await client.post(UNIT, json=SAY)
    assert (answer.status_code, orders(room)) == (400, [])


async def test_the_workshop_asks_where_a_unit_is_and_speaks_through_none(room: Room) -> None:
    assert (await give(room, "Tom", {"action": "reportLocation"})).status_code == 202
    for body in (SAY, {"action": "ring"}):
        assert (await give(room, "Tom", body, key="k2")).status_code == 403


# --- what came of it ----------------------------------------------------------------------------------------


async def test_an_order_is_followed_from_the_log_to_the_unit(room: Room) -> None:
    where = (await give(room)).headers["location"]
    (order,) = orders(room)
    seen = []
    await Results(room.log, room.clock).sent(order)
    seen.append((await look(room, where)).json()["state"])
    for stage, word in ((Stage.DELIVERED, "accepted"), (Stage.DONE, "done")):
        status = CommandStatus(
            command=order.id, device=order.device, stage=stage, at_ms=room.clock.ms, reason=word
        )
        await room.log.append(subjects.result(order.device, order.id, subjects.UNIT_SAYS), encode(status))
        found = (await look(room, where)).json()
        seen.append(found["state"])
    assert seen == ["sent", "delivered", "done"]
    assert (found["action"], found["sentence"], found["by"]) == ("say", "call_platform", "Ada")


async def test_an_order_that_nobody_answered_has_expired(room: Room) -> None:
    where = (await give(room)).headers["location"]
    room.clock.ms += LIVES_MS[Action.SAY] + ANSWER_GRACE_MS
    assert (await look(room, where)).json()["state"] == "queued"
    room.clock.ms += 1
    assert (await look(room, where)).json()["state"] == "expired"


async def test_an_order_of_the_geofence_can_be_looked_at_too(room: Room) -> None:
    order = command(device="b0000001")
    await Results(room.log, room.clock).sent(order)
    found = (await look(room, f"{UNIT}/{order.id}")).json()
    assert (found["action"], found["by"]) == ("setCadence", None)


async def test_of_another_units_order_nothing_is_known(room: Room) -> None:
    where = (await give(room)).headers["location"]
    answer = await look(room, where.replace("b0000001", "b0000002"))
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/unknown-command")
