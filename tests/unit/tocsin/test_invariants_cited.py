"""Is every invariant that touches alerting cited by a test? DOMAIN section 5 has them; all tests are read as text.

A citation is in the docstring of a module, a class or a test function, in the words ``invariant 7`` or
``invariants 7, 8 and 18``.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
ALERTING = (2, 3, 4, 5, 7, 8, 10, 11, 16, 17, 18)
CITATION = re.compile(r"invariants?\s+(\d+(?:(?:\s*,\s*|\s+and\s+|\s*,\s*and\s+)\d+)*)", re.IGNORECASE)


def cited_in(text: str) -> set[int]:
    return {int(number) for found in CITATION.finditer(text) for number in re.findall(r"\d+", found[1])}


def citations(source: str) -> Iterator[tuple[str, set[int]]]:
    """Of each test function, and of a module for all of its tests if it has any."""
    tree = ast.parse(source)
    tests = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]
    if tests:
        yield "", cited_in(ast.get_docstring(tree) or "")
    for test in tests:
        yield test.name, cited_in(ast.get_docstring(test) or "")


@pytest.fixture(scope="module")
def cited() -> dict[int, list[str]]:
    found: defaultdict[int, list[str]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        if path != Path(__file__):
            for name, numbers in citations(path.read_text(encoding="utf-8")):
                for number in numbers:
                    found[number].append(f"{path.relative_to(TESTS)}{'::' if name else ''}{name}")
    return found


@pytest.mark.parametrize("invariant", ALERTING)
def test_an_invariant_of_alerting_is_cited(invariant: int, cited: dict[int, list[str]]) -> None:
    print(f"invariant {invariant}: {', '.join(cited[invariant])}")
    assert cited[invariant], f"no test says that it holds invariant {invariant}"


def test_a_citation_is_read_in_every_form() -> None:
    text = "F16: invariant 18; Invariants 7, 8 and 11. No invariant here, 12 neither."
    assert cited_in(text) == {7, 8, 11, 18}
    assert list(citations('"""Invariant 2."""\ndef helper():\n    """Invariant 3."""\n')) == []
