"""Is every invariant of the domain cited by a test? ``make invariants`` prints which."""

from __future__ import annotations

import pytest
from invariants import INVARIANTS, citations, cited, cited_in


@pytest.fixture(scope="module")
def known() -> dict[int, list[str]]:
    return cited()


@pytest.mark.parametrize("number", INVARIANTS)
def test_an_invariant_is_cited(number: int, known: dict[int, list[str]]) -> None:
    assert known.get(number), f"no test says that it holds invariant {number}"


def test_nothing_else_is_cited(known: dict[int, list[str]]) -> None:
    assert set(known) <= set(INVARIANTS) | {0}, "an invariant that the domain has not"


def test_a_citation_is_read_in_every_form() -> None:
    text = "F16: invariant 18; Invariants 7, 8 and 11. No invariant here, 12 neither."
    assert cited_in(text) == {7, 8, 11, 18}
    assert list(citations('"""Invariant 2."""\ndef helper():\n    """Invariant 3."""\n')) == []
