"""Can a stranger check a package with the page alone? The verifier in tests/reference knows none of our code
(F09)."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from evidence_world import EPISODE, HIS, OVER_MS, found, lines, of_deletion, package, resealed, world
from hypothesis import given
from hypothesis import strategies as st
from reference import package_check
from reference.package_check import problems

from audit.package_verification import verify

CHAINS = world()
GOOD = package(CHAINS)


def test_both_call_it_good() -> None:
    assert problems(GOOD) == []
    erased = world()
    erased.seal([of_deletion(EPISODE, 2)], OVER_MS)
    assert problems(package(erased, hide={EPISODE: (2,)})) == []


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


def test_it_uses_the_standard_library_alone() -> None:
    tree = ast.parse(Path(package_check.__file__).read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)} | {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    assert {str(name).partition(".")[0] for name in imported} <= sys.stdlib_module_names
