"""Is every change to a chain found and named? Invariants 14 and 15, F10: a log row that was tampered with."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.chain import (
    START,
    Deletion,
    Fault,
    Item,
    KeptAs,
    Kind,
    Link,
    Opened,
    Wrong,
    faults,
    hash_of,
    linked,
)

CHAIN = "alr_1"
SALT = bytes(range(32))


def item(number: int, kind: Kind = Kind.RULING, payload: bytes | None = None) -> Item:
    return Item(
        chain=CHAIN,
        kind=kind,
        kept_as=KeptAs.MEASURE_FILE,
        source=f"{kind}:{number}",
        payload=payload or b'{"step":%d}' % number,
    )


def made(items: Sequence[Item]) -> tuple[list[Link], dict[int, Opened]]:
    links: list[Link] = []
    opened: dict[int, Opened] = {}
    for number, one in enumerate(items, 1):
        previous = links[-1].hash if links else START
        salt = hashlib.sha256(SALT + bytes([number])).digest()
        link, opened[number] = linked(one, salt, number=number, previous=previous, at_ms=1_000 * number)
        links.append(link)
    return links, opened


@pytest.fixture
def chain() -> tuple[list[Link], dict[int, Opened]]:
    return made([item(number) for number in range(1, 6)])


def words(found: list[Fault]) -> list[tuple[int, Wrong]]:
    return [(fault.number, fault.wrong) for fault in found]


def test_a_whole_chain_has_no_fault(chain: tuple[list[Link], dict[int, Opened]]) -> None:
    links, opened = chain
    assert faults(CHAIN, links, opened, end=(5, links[-1].hash)) == []


@given(
    at=st.integers(0, 4),
    field=st.sampled_from(["number", "kind", "kept_as", "source", "at_ms", "commitment", "previous", "hash"]),
)
def test_a_changed_field_of_a_link_is_found_there(at: int, field: str) -> None:
    links, opened = made([item(number) for number in range(1, 6)])
    old = links[at]
    new = {
        "number": old.number + 7, "kind": Kind.ACCESS, "kept_as": KeptAs.ACCESS, "source": "x", "at_ms": 1,
        "commitment": bytes(32), "previous": b"\x01" * 32, "hash": bytes(32),
    }[field]  # fmt: skip
    links[at] = msgspec.structs.replace(old, **{field: new})
    found = faults(CHAIN, links, opened)
    assert min(fault.number for fault in found) <= at + 2
    assert Wrong.LINK_CHANGED in {fault.wrong for fault in found}


@given(at=st.integers(1, 5), where=st.integers(0, 9), bit=st.integers(0, 7))
def test_a_changed_bit_of_a_payload_is_found(at: int, where: int, bit: int) -> None:
    links, opened = made([item(number) for number in range(1, 6)])
    payload = bytearray(opened[at].payload)
    payload[where] ^= 1 << bit
    opened[at] = Opened(salt=opened[at].salt, payload=bytes(payload))
    assert words(faults(CHAIN, links, opened)) == [(at, Wrong.PAYLOAD_CHANGED)]


def test_a_dropped_link_and_its_payload_are_found(chain: tuple[list[Link], dict[int, Opened]]) -> None:
    links, opened = chain
    del links[2], opened[3]
    assert words(faults(CHAIN, links, opened)) == [(3, Wrong.LINK_MISSING)]


def test_a_chain_that_was_dropped_and_made_again_is_found_by_what_was_published() -> None:
    links, _ = made([item(number) for number in range(1, 6)])
    forged, opened = made([item(number) for number in (1, 2, 4, 5)])
    assert faults(CHAIN, forged, opened) == []  # nothing within it can say so
    assert words(faults(CHAIN, forged, opened, end=(5, links[-1].hash))) == [(5, Wrong.CUT_OFF)]
    assert words(faults(CHAIN, forged, opened, end=(4, links[3].hash))) == [(4, Wrong.LINK_CHANGED)]


def test_a_chain_that_was_cut_off_is_found_by_where_it_should_end(
    chain: tuple[list[Link], dict[int, Opened]],
) -> None:
    links, opened = chain
    short = {number: one for number, one in opened.items() if number < 4}
    assert words(faults(CHAIN, links[:3], short, end=(5, links[-1].hash))) == [(4, Wrong.CUT_OFF)]
    assert words(faults(CHAIN, [], {}, end=(5, links[-1].hash))) == [(1, Wrong.CUT_OFF)]


def test_a_foreign_and_an_added_row_are_found(chain: tuple[list[Link], dict[int, Opened]]) -> None:
    links, opened = chain
    foreign = msgspec.structs.replace(links[1], chain="alr_2", number=6)
    added = dict(opened) | {9: opened[1]}
    found = words(faults(CHAIN, [*links, foreign, links[0]], added))
    assert found == [(1, Wrong.LINK_ADDED), (6, Wrong.LINK_FOREIGN), (9, Wrong.PAYLOAD_ADDED)]


def test_a_clock_that_went_back_is_found(chain: tuple[list[Link], dict[int, Opened]]) -> None:
    links, opened = chain
    link, opened[6] = linked(item(6), SALT, number=6, previous=links[-1].hash, at_ms=4_999)
    assert words(faults(CHAIN, [*links, link], opened)) == [(6, Wrong.CLOCK_BACK)]


def test_an_erased_payload_is_a_fault_until_a_deletion_names_it(
    chain: tuple[list[Link], dict[int, Opened]],
) -> None:
    links, opened = chain
    del opened[2]
    assert words(faults(CHAIN, links, opened)) == [(2, Wrong.PAYLOAD_MISSING)]
    gone = Deletion(numbers=(2,), kept_as=KeptAs.MEASURE_FILE, at_ms=9_000, rule="R631-11", by="custodian")
    proof = item(6, Kind.DELETION, msgspec.json.encode(gone))
    link, opened[6] = linked(proof, SALT, number=6, previous=links[-1].hash, at_ms=9_000)
    assert faults(CHAIN, [*links, link], opened) == []


@pytest.mark.parametrize(
    ("changes", "expected", "why"),
    [
        ({"kept_as": KeptAs.ACCESS}, [(2, Wrong.DELETION_UNLAWFUL)], "kept as access"),
        ({"numbers": (2, 6)}, [(6, Wrong.DELETION_UNLAWFUL)], "not there yet"),
        ({"numbers": (2, 9)}, [(6, Wrong.DELETION_UNLAWFUL)], "not there yet"),
        ({"numbers": (2, 3)}, [(3, Wrong.NOT_ERASED)], "it is there"),
    ],
)
def test_a_deletion_excuses_only_what_it_may(
    chain: tuple[list[Link], dict[int, Opened]], changes: dict, expected: list[tuple[int, Wrong]], why: str
) -> None:
    """Another class; itself; what may still come; what is there all the same."""
    links, opened = chain
    del opened[2]
    gone = Deletion(numbers=(2,), kept_as=KeptAs.MEASURE_FILE, at_ms=9_000, rule="R631-11", by="custodian")
    proof = item(6, Kind.DELETION, msgspec.json.encode(msgspec.structs.replace(gone, **changes)))
    link, opened[6] = linked(proof, SALT, number=6, previous=links[-1].hash, at_ms=9_000)
    found = faults(CHAIN, [*links, link], opened)
    assert words(found) == expected
    assert why in found[0].detail


def test_a_proof_is_never_erased_and_the_judge_is_asked(chain: tuple[list[Link], dict[int, Opened]]) -> None:
    links, opened = chain
    for number, kept_as in ((6, KeptAs.PROOF), (7, KeptAs.MEASURE_FILE)):
        gone = Deletion(numbers=(number - 4,), kept_as=kept_as, at_ms=9_000, rule="", by="custodian")
        proof = msgspec.structs.replace(
            item(number, Kind.DELETION, msgspec.json.encode(gone)), kept_as=KeptAs.PROOF
        )
        link, opened[number] = linked(proof, SALT, number=number, previous=links[-1].hash, at_ms=9_000)
        links.append(link)
    again = Deletion(numbers=(6,), kept_as=KeptAs.PROOF, at_ms=9_000, rule="", by="custodian")
    link, opened[8] = linked(
        item(8, Kind.DELETION, msgspec.json.encode(again)), SALT, number=8, previous=links[-1].hash, at_ms=9_000
    )
    del opened[6], opened[3]
    found = faults(CHAIN, [*links, link], opened, judge=lambda link, _: f"{link.number} is held")
    assert words(found) == [(3, Wrong.DELETION_UNLAWFUL), (6, Wrong.DELETION_UNLAWFUL)]
    assert ("3 is held" in found[0].detail, "a proof" in found[1].detail) == (True, True)


def test_a_forged_deletion_excuses_nothing(chain: tuple[list[Link], dict[int, Opened]]) -> None:
    links, opened = chain
    del opened[2]
    gone = Deletion(numbers=(3,), kept_as=KeptAs.MEASURE_FILE, at_ms=9_000, rule="R631-11", by="custodian")
    link, _ = linked(
        item(6, Kind.DELETION, msgspec.json.encode(gone)), SALT, number=6, previous=links[-1].hash, at_ms=9_000
    )
    forged = msgspec.json.encode(msgspec.structs.replace(gone, numbers=(2,)))
    opened[6] = Opened(salt=SALT, payload=forged)
    assert words(faults(CHAIN, [*links, link], opened)) == [(2, Wrong.PAYLOAD_MISSING), (6, Wrong.PAYLOAD_CHANGED)]


def test_a_run_is_judged_by_the_link_before_it(chain: tuple[list[Link], dict[int, Opened]]) -> None:
    links, opened = chain
    rest = {number: one for number, one in opened.items() if number == 4}
    assert faults(CHAIN, links[2:], rest, after=(2, links[1].hash), undisclosed=True) == []
    assert words(faults(CHAIN, links[2:], opened, after=(2, START)))[:1] == [(1, Wrong.PAYLOAD_ADDED)]


def test_the_bytes_under_the_hash_cannot_move_from_one_field_to_the_next() -> None:
    links, _ = made([item(1)])
    moved = msgspec.structs.replace(links[0], chain="alr_11", number=links[0].number)
    assert hash_of(moved) != links[0].hash
