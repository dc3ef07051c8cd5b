"""Is a head what RFC 6962 says, does a proof lead from its own leaf alone, and is a head that was changed found?
F09, F10, invariant 15."""

from __future__ import annotations

from hashlib import sha256

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.heads import (
    AFTER_MIDNIGHT_MS,
    DAY_MS,
    Fault,
    Head,
    Leaf,
    Wrong,
    due_ms,
    faults,
    faults_of_file,
    faults_of_leaves,
    hash_of,
    head_in,
    head_of,
    holds,
    line_of,
    merkle_root,
    proof,
    root_of,
)

NOON_MS = 1_795_262_400_000  # 2026-11-21T12:00:00Z
SIZES = range(1, 41)

KNOWN_ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
KNOWN_ENTRIES = (
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
)


def leaves_of(size: int) -> list[Leaf]:
    return [
        Leaf(chain=f"episode/alr_{number:04d}", length=number + 1, hash=sha256(bytes([number])).digest())
        for number in range(size)
    ]


def run_of(count: int) -> list[Head]:
    heads: list[Head] = []
    for day in range(count):
        last = heads[-1] if heads else None
        heads.append(head_of(leaves_of(day), after=last, at_ms=NOON_MS + day * DAY_MS))
    return heads


def words(found: object) -> list[tuple[int, Wrong]]:
    return [(one.number, one.wrong) for one in found]  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", range(1, 9))
def test_the_roots_are_those_of_certificate_transparency(size: int) -> None:
    """The vectors of its reference implementation (merkle_tree_test.cc)."""
    entries = [bytes.fromhex(one) for one in KNOWN_ENTRIES[:size]]
    assert merkle_root(entries).hex() == KNOWN_ROOTS[size - 1]


def test_the_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert merkle_root([]) == sha256(b"").digest()


@pytest.mark.parametrize("size", SIZES)
def test_each_leaf_has_a_proof_that_holds_for_it_alone(size: int) -> None:
    leaves = leaves_of(size)
    root = root_of(leaves)
    for index, leaf in enumerate(leaves):
        shown = proof(leaves, index)
        assert holds(leaf, shown, root)
        assert not any(holds(other, shown, root) for other in leaves if other is not leaf)


@given(size=st.sampled_from(SIZES), data=st.data())
def test_a_changed_proof_leaf_or_root_is_refused(size: int, data: st.DataObject) -> None:
    leaves = leaves_of(size)
    index = data.draw(st.integers(0, size - 1))
    shown, root, leaf = proof(leaves, index), root_of(leaves), leaves[index]

    def flipped(one: bytes) -> bytes:
        bit = data.draw(st.integers(0, 255))
        return (int.from_bytes(one, "big") ^ 1 << bit).to_bytes(32, "big")

    assert not holds(msgspec.structs.replace(leaf, hash=flipped(leaf.hash)), shown, root)
    assert not holds(msgspec.structs.replace(leaf, length=leaf.length + 1), shown, root)
    assert not holds(msgspec.structs.replace(leaf, chain=leaf.chain + "0"), shown, root)
    assert not holds(leaf, shown, flipped(root))
    assert not holds(leaf, msgspec.structs.replace(shown, path=(*shown.path, bytes(32))), root)
    if shown.path:
        at = data.draw(st.integers(0, len(shown.path) - 1))
        path = (*shown.path[:at], flipped(shown.path[at]), *shown.path[at + 1 :])
        assert not holds(leaf, msgspec.structs.replace(shown, path=path), root)
        assert not holds(leaf, msgspec.structs.replace(shown, path=shown.path[1:]), root)
        assert not holds(leaf, msgspec.structs.replace(shown, path=shown.path[:-1]), root)


@given(size=st.sampled_from(SIZES), data=st.data())
def test_a_proof_of_another_place_is_refused(size: int, data: st.DataObject) -> None:
    """The number of the leaf says on which side each hash stands: another one leads elsewhere."""
    leaves = leaves_of(size)
    index, other = data.draw(st.integers(0, size - 1)), data.draw(st.integers(-2, size + 2))
    shown = msgspec.structs.replace(proof(leaves, index), index=other)
    assert holds(leaves[index], shown, root_of(leaves)) is (other == index)


@given(size=st.sampled_from(SIZES), data=st.data())
def test_leaves_that_are_others_or_in_another_order_have_another_root(size: int, data: st.DataObject) -> None:
    leaves = leaves_of(size)
    head = head_of(leaves, after=None, at_ms=NOON_MS)
    assert list(faults_of_leaves(head, leaves)) == []
    at = data.draw(st.integers(0, size - 1))
    without = [*leaves[:at], *leaves[at + 1 :]]
    moved = [*without, leaves[at]]
    changed = [*leaves[:at], msgspec.structs.replace(leaves[at], length=99), *leaves[at + 1 :]]
    for wrong in (without, changed, *([moved] if moved != leaves else [])):
        assert words(faults_of_leaves(head, wrong)) == [(1, Wrong.LEAVES_CHANGED)]


def test_there_is_no_proof_of_what_is_not_there() -> None:
    for index in (-1, 3):
        with pytest.raises(IndexError):
            proof(leaves_of(3), index)


def test_a_run_of_heads_has_no_fault() -> None:
    assert list(faults(run_of(5))) == []
    assert [head.day for head in run_of(2)] == ["2026-11-21", "2026-11-22"]


@given(
    at=st.integers(0, 4),
    field=st.sampled_from(["number", "day", "at_ms", "previous", "root", "leaves", "hash"]),
)
def test_a_changed_field_of_a_head_is_found(at: int, field: str) -> None:
    heads = run_of(5)
    new = {"number": 9, "day": "2026-01-01", "at_ms": 5, "leaves": 77}.get(field, b"\x07" * 32)
    heads[at] = msgspec.structs.replace(heads[at], **{field: new})
    assert {one.wrong for one in faults(heads)} & {Wrong.HEAD_CHANGED, Wrong.HEAD_MISSING}


def test_a_head_that_was_made_anew_breaks_the_next_one() -> None:
    heads = run_of(3)
    heads[1] = msgspec.structs.replace(heads[1], leaves=0)
    heads[1] = msgspec.structs.replace(heads[1], hash=hash_of(heads[1]))
    assert words(faults(heads)) == [(3, Wrong.HEAD_CHANGED)]


def test_a_head_that_is_gone_and_an_hour_that_goes_back_are_named() -> None:
    heads = run_of(4)
    assert words(faults([heads[0], *heads[2:]])) == [(2, Wrong.HEAD_MISSING)]
    back = head_of([], after=heads[3], at_ms=heads[3].at_ms - 1)
    assert words(faults([*heads, back])) == [(5, Wrong.CLOCK_BACK)]


def test_one_is_due_shortly_after_the_next_midnight() -> None:
    assert due_ms(None) == 0
    first = head_of([], after=None, at_ms=NOON_MS)
    midnight_ms = NOON_MS + DAY_MS // 2
    assert due_ms(first) == midnight_ms + AFTER_MIDNIGHT_MS
    assert due_ms(head_of([], after=first, at_ms=midnight_ms)) == midnight_ms + DAY_MS + AFTER_MIDNIGHT_MS


# --- the published file ---------------------------------------------------------------------------------------


def file_of(heads: list[Head]) -> list[bytes]:
    return [line_of(head) for head in heads]


def record_of(heads: list[Head]) -> dict[int, Head]:
    return {head.number: head for head in heads}


def test_a_line_is_read_back() -> None:
    for head in run_of(3):
        assert head_in(line_of(head)) == head
    for bad in (b"", b"{}", b"[]", line_of(head).replace(b'"root":"', b'"root":"zz'), line_of(head)[:-5]):
        assert head_in(bad) is None


def test_a_file_that_agrees_has_no_fault_nor_has_an_older_copy() -> None:
    heads = run_of(4)
    assert list(faults_of_file(file_of(heads), record_of(heads), range(1, 5))) == []
    assert list(faults_of_file(file_of(heads[:2]), record_of(heads))) == []


def test_a_record_that_was_cut_off_or_made_anew_is_found_by_the_file() -> None:
    heads = run_of(4)
    assert words(faults_of_file(file_of(heads), record_of(heads[:3]))) == [(4, Wrong.HEAD_MISSING)]
    forged = head_of(leaves_of(9), after=heads[2], at_ms=heads[3].at_ms)
    assert list(faults([*heads[:3], forged])) == []  # nothing within the record can say so
    assert words(faults_of_file(file_of(heads), record_of([*heads[:3], forged]))) == [(4, Wrong.HEAD_CHANGED)]


def test_a_file_that_was_shortened_or_changed_is_found() -> None:
    heads = run_of(3)
    lines = file_of(heads)
    assert words(faults_of_file(lines[:2], record_of(heads), {1, 2, 3})) == [(3, Wrong.HEAD_NOT_PUBLISHED)]
    changed = [lines[0], lines[1].replace(b'"leaves":1', b'"leaves":2'), lines[2]]
    assert words(faults_of_file(changed, record_of(heads), {1, 2, 3})) == [(2, Wrong.HEAD_CHANGED)]
    found = list(faults_of_file([lines[0], b"something\n", *lines[1:]], record_of(heads)))
    assert found == [Fault(number=2, wrong=Wrong.UNREADABLE, detail="this line of the published file is no head")]


@given(cut=st.integers(1, 100))
def test_who_died_while_he_published_leaves_no_fault(cut: int) -> None:
    """A beginning of a line, and the line again; or the line twice."""
    heads = run_of(2)
    first, second = file_of(heads)
    assert list(faults_of_file([first, second[:cut] + b"\n", second, second], record_of(heads), {1, 2})) == []
    assert list(faults_of_file([first, second[:cut]], record_of(heads), {1})) == []
    assert words(faults_of_file([first, second[:cut] + b"\n"], record_of(heads), {1})) == [(2, Wrong.UNREADABLE)]
