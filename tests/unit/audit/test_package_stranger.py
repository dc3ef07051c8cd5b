"""Can a stranger check a package with the page alone? The verifier in tests/reference knows none of our code
(F09)."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import msgspec
import pytest
from evidence_world import DAY, EPISODE, HIS, OVER_MS, found, lines, of_deletion, package, resealed, world
from hypothesis import given
from hypothesis import strategies as st
from reference import package_check
from reference.package_check import problems

from audit.package_verification import verify
from tocsin.chain import Deletion, Item, KeptAs, Kind
from tocsin.retention import (
    LINKED_LATE_MAX_MS,
    MEASURE_MONTHS,
    SETTING_MONTHS_MIN,
    Hold,
    HoldKind,
    What,
    plus_months,
)

CHAINS = world()
GOOD = package(CHAINS)


def test_both_call_it_good() -> None:
    assert problems(GOOD) == []
    erased = world()
    erased.seal([of_deletion(EPISODE, 2)], OVER_MS)
    assert problems(package(erased, hide={EPISODE: (2,)})) == []


def test_what_is_erased_is_not_there_for_either() -> None:
    erased = world()
    erased.seal([of_deletion(EPISODE, 2)], OVER_MS)
    assert problems(package(erased))
    assert verify(lines(package(erased))).faults


def test_both_miss_what_is_missing() -> None:
    for hide in ({EPISODE: (2,)}, {HIS: (2, 4)}):
        content = package(CHAINS, hide=hide)
        assert problems(content)
        assert verify(lines(content)).faults


@given(st.data())
def test_both_find_what_was_changed_though_the_seal_was_made_anew(data: st.DataObject) -> None:
    index = data.draw(
        st.sampled_from([*found(GOOD, kind="link"), *found(GOOD, kind="payload"), *found(GOOD, kind="head")])
    )
    changed = lines(GOOD)
    assert verify(changed).faults == []
    at = data.draw(st.integers(0, len(changed[index]) - 2))
    byte = bytes([data.draw(st.integers(0, 255).filter(lambda one: one != changed[index][at]))])
    changed[index] = changed[index][:at] + byte + changed[index][at + 1 :]
    content = resealed(changed)
    assert problems(content)
    assert verify(lines(content)).faults


FIRST_MS = CHAINS.links[EPISODE][0].at_ms
MONTHS = {
    KeptAs.MEASURE_FILE: MEASURE_MONTHS,
    KeptAs.TGD_FILE: SETTING_MONTHS_MIN,
    KeptAs.ACCESS: SETTING_MONTHS_MIN,
}


def of_kept(kept_as: KeptAs) -> Item:
    return Item(chain=EPISODE, kind=Kind.TRACK, kept_as=kept_as, source="track:9", payload=b'{"devices":{}}')


def of_hold(kind: HoldKind, lifted_ms: int | None, name: str = "hld_1") -> Item:
    said = Hold(
        id=name, kind=kind, what=What.ALERT, subject="alr_0001", reason="appeal", authority="court",
        placed_by="clerk", placed_ms=FIRST_MS, lifted_ms=lifted_ms,
    )  # fmt: skip
    return Item(
        chain=EPISODE, kind=Kind.HOLD, kept_as=KeptAs.PROOF, source=f"hold:{name}:{lifted_ms}",
        payload=msgspec.json.encode(said),
    )  # fmt: skip


@st.composite
def erased_worlds(draw: st.DrawFn) -> tuple[bytes, bool]:
    """A track of any class, holds before and behind, and a deletion at any hour that matters; and whether the law,
    as written here a third time, lets it be gone."""
    kept_as, said_as = (draw(st.sampled_from(sorted(KeptAs))) for _ in range(2))
    said_as = draw(st.sampled_from([kept_as, said_as]))
    chains = world()
    chains.seal([of_kept(kept_as)], FIRST_MS + 90_000)
    holds = draw(st.lists(st.sampled_from(["placed", "lifted", "leave", "other lifted"]), max_size=3, unique=True))
    for one in holds:
        kind = HoldKind.LEAVE if one == "leave" else HoldKind.HOLD
        name = "hld_2" if one == "other lifted" else "hld_1"
        chains.seal([of_hold(kind, FIRST_MS + 1 if "lifted" in one else None, name)], FIRST_MS + 95_000)
    months = draw(st.sampled_from([0, *sorted(MONTHS.values())]))
    over_ms = plus_months(FIRST_MS, months) - LINKED_LATE_MAX_MS
    said_ms, linked_ms = (max(FIRST_MS + 100_000, over_ms + draw(st.integers(-1, 1))) for _ in range(2))
    number = draw(st.sampled_from([8, 20]))
    deletion = of_deletion(EPISODE, number, at_ms=said_ms)
    said = msgspec.structs.replace(msgspec.json.decode(deletion.payload, type=Deletion), kept_as=said_as)
    chains.seal([msgspec.structs.replace(deletion, payload=msgspec.json.encode(said))], linked_ms)
    is_over = kept_as in MONTHS and min(said_ms, linked_ms) >= (
        plus_months(FIRST_MS, MONTHS[kept_as]) - LINKED_LATE_MAX_MS
    )
    is_held = "placed" in holds and "lifted" not in holds
    is_lawful = said_as == kept_as and (kept_as is KeptAs.TGD_POSITION or (is_over and not is_held))
    return package(chains, hide={EPISODE: (8,)}), is_lawful and number == 8


@given(erased_worlds())
def test_both_know_what_a_deletion_may_excuse(one: tuple[bytes, bool]) -> None:
    """F09: whoever has the database can link a deletion of anything."""
    content, is_lawful = one
    assert (problems(content) == []) == is_lawful
    assert (verify(lines(content)).faults == []) == is_lawful


@pytest.mark.parametrize(("chain", "number"), [(DAY, 1), (HIS, 2), (HIS, 4)])
def test_what_may_be_withheld_may_not_be_erased_unlawfully(chain: str, number: int) -> None:
    """A month for accesses, six years for what a unit was told."""
    for at_ms, is_lawful in ((OVER_MS, True), (FIRST_MS + 6 * 86_400_000, False)):
        chains = world()
        chains.seal([of_deletion(chain, number, at_ms=at_ms)], at_ms)
        content = package(chains, hide={chain: {DAY: (1, 2), HIS: (2, 4)}[chain]} if number != 4 else {})
        assert (problems(content) == []) == is_lawful == (verify(lines(content)).faults == []), chain


def test_it_uses_the_standard_library_alone() -> None:
    tree = ast.parse(Path(package_check.__file__).read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)} | {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    assert {str(name).partition(".")[0] for name in imported} <= sys.stdlib_module_names
