"""Does a ruling leave its coordinates, and nothing else, in the payload that goes first? F33, invariant 14."""

from __future__ import annotations

import builders
import msgspec
import pytest

from alerts import desk
from tocsin import wire
from tocsin.chain import KeptAs, Kind
from tocsin.model.access import Access
from tocsin.model.command import Action, Command, CommandStatus, Stage
from tocsin.model.episode import Channel, FindingCause, Realm, Receipt, Ruling
from tocsin.model.finding import Code, Finding, Past
from tocsin.model.order import Order
from tocsin.sealing import (
    CommandPayload,
    PlacesPayload,
    ResultPayload,
    RulingPayload,
    of_access,
    of_command,
    of_order,
    of_receipt,
    of_result,
    of_ruling,
    with_places,
    without_places,
)

F01 = 2**31


def ruled() -> Ruling:
    answer = desk.handle(None, FindingCause(finding=builders.entry()), Realm.LAB, builders.NOW_MS)
    assert isinstance(answer, Ruling)
    return answer


def test_places_go_apart_and_come_back() -> None:
    ruling = ruled()
    blanked, places = without_places(ruling)
    assert places, "the finding has two places"
    text = msgspec.json.encode(blanked)
    assert b"lat_e6" not in text
    assert b"lon_e6" not in text
    assert msgspec.convert(with_places(blanked, places), Ruling) == ruling


def test_two_payloads_of_two_classes_share_the_sequence() -> None:
    first, second = of_ruling(7, ruled())
    assert (first.kind, second.kind) == (Kind.RULING, Kind.PLACES)
    assert msgspec.json.decode(first.payload, type=RulingPayload).sequence == 7
    assert msgspec.json.decode(second.payload, type=PlacesPayload).sequence == 7
    assert second.kept_as in {KeptAs.MEASURE_FILE, KeptAs.TGD_POSITION}


def test_of_a_tgd_the_places_have_a_class_of_their_own() -> None:
    """They go after days, and the file stays (arrêté of 22 April 2015)."""
    ruling = ruled()
    for code in Code:
        of_this = msgspec.structs.replace(ruling, episode=msgspec.structs.replace(ruling.episode, code=code))
        classes = [item.kept_as for item in of_ruling(1, of_this)]
        if code.value.startswith("TGD_"):
            assert classes == [KeptAs.TGD_FILE, KeptAs.TGD_POSITION]
        else:
            assert classes == [KeptAs.MEASURE_FILE, KeptAs.MEASURE_FILE]


@pytest.mark.parametrize(
    "finding",
    [
        builders.entry(wearer=None, protected=None),
        builders.entry(
            code=Code.PAST_INCURSION,
            past=Past(
                first_ms=1, last_ms=2, nearest_ms=1, wearer=builders.fix_point(builders.WEARER),
                protected=builders.fix_point(builders.PROTECTED), late=(),
            ),
        ),
    ],
)  # fmt: skip
def test_a_ruling_without_its_places_is_a_ruling(finding: Finding) -> None:
    """Whatever has a place may have none: or the record could not be read."""
    ruling = msgspec.structs.replace(ruled(), event=FindingCause(finding=finding))
    blanked, places = without_places(ruling)
    read = msgspec.convert(blanked, Ruling)
    assert wire.decode_ruling(wire.encode(read)) == read
    assert b"lat_e6" not in wire.encode(read)
    assert len(places) == wire.encode(ruling).count(b"lat_e6")
    assert msgspec.convert(with_places(blanked, places), Ruling) == ruling


def test_a_ruling_without_places_is_one_item() -> None:
    ruling, _ = without_places(ruled())
    (only,) = of_ruling(1, msgspec.convert(ruling, Ruling))
    assert only.kind is Kind.RULING


def test_a_command_its_result_and_an_order_are_told_apart_and_placed() -> None:
    command = Command(id="cmd_1", device="b0000001", action=Action.RING, at_ms=1, expires_ms=2)
    status = CommandStatus(command="cmd_1", device="b0000001", stage=Stage.SENT, at_ms=1, reason="sent")
    order = Order(
        id="msr_1", version=2, wearer="b0000001", protected="v0000001", alert_distance_m=1_000, valid_from_ms=1,
        valid_until_ms=2,
    )  # fmt: skip
    items = [of_command(F01, command), of_result(F01 + 1, status), of_order(order)]
    assert [(item.chain, item.kind, item.source) for item in items] == [
        ("device/b0000001", Kind.COMMAND, f"command:{F01}:cmd_1"),
        ("device/b0000001", Kind.RESULT, f"result:{F01 + 1}:cmd_1:sent"),
        (f"measure/{order.id}", Kind.ORDER, f"order:{order.version}"),
    ]
    assert msgspec.json.decode(items[0].payload, type=CommandPayload).command == command
    assert msgspec.json.decode(items[1].payload, type=ResultPayload).status == status
    assert msgspec.json.decode(items[2].payload, type=Order) == order


def test_attempts_that_differ_in_one_thing_are_two_sources() -> None:
    plain = Receipt(
        notification="evt_1", episode="alr_1", version=1, channel=Channel.POLICE, attempt=1, t7_ms=1, t8_ms=None,
        result="timeout",
    )  # fmt: skip
    changes: list[dict[str, object]] = [
        {},
        {"attempt": 2},
        {"t7_ms": 2},
        {"line": "second"},
        {"notification": "e"},
    ]
    items = [of_receipt(msgspec.structs.replace(plain, **one), is_tgd=False) for one in changes]
    assert len({item.source for item in items}) == len(items)


def test_an_access_is_in_the_chain_of_its_utc_day() -> None:
    late = Access(id="acc_1", at_ms=86_400_000 - 1, who="Zoé", role="monitor", what="alert", objects=())
    assert of_access(late).chain == "accesses/1970-01-01"
    assert of_access(msgspec.structs.replace(late, at_ms=86_400_000)).chain == "accesses/1970-01-02"
