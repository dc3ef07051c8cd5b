"""Which tests say that they hold an invariant? DOMAIN section 5 has eighteen; all tests are read as text.

A citation is in the docstring of a module, a class or a test function, in the words ``invariant 7`` or
``invariants 7, 8 and 18``. As a program it prints the table, and fails when an invariant has none.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

TESTS = Path(__file__).parent
INVARIANTS: Final = {
    1: "Nothing accepted at t3 is lost before t6 under any single failure",
    2: "P1 never waits behind anything less urgent",
    3: "History store down ≠ alerts down",
    4: "Late data never raises a live alarm, and is never lost",
    5: "What a wearer's unit is sent follows from the zone state alone",
    6: "TGD coordinates exist only between an SOS and their expiry",
    7: "Every P1 ends with a human outcome",
    8: "Latched stays latched",
    9: "Every position shown has age and accuracy",
    10: "Replays and drills live apart, and cannot reach real channels",
    11: "The same input log gives the same alerts, byte for byte",
    12: "A changed order takes effect within 5 s",
    13: "A pair is always in exactly one state of protection",
    14: "Deletion obeys class and hold, and leaves a proof",
    15: "The chain verifies, and a changed row is found",
    16: "Identifiers are 64-bit, or UUIDs, everywhere",
    17: "Every read of a position is logged: who, why, when",
    18: "Her unit rings only when confirmed or after 15 s, and stands down",
}
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


def cited() -> dict[int, list[str]]:
    """The tests that cite each invariant, as ``file::test``; a module that speaks for all of its tests by file."""
    found: defaultdict[int, list[str]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        for name, numbers in citations(path.read_text(encoding="utf-8")):
            for number in numbers:
                found[number].append(f"{path.relative_to(TESTS)}{'::' if name else ''}{name}")
    return dict(found)


def main() -> int:
    """The table on standard output; 1 when an invariant is held by nobody."""
    known = cited()
    table = Table("no", "invariant", "cited by", title="Invariants and the tests that hold them", show_lines=True)
    for number, text in INVARIANTS.items():
        table.add_row(str(number), text, "\n".join(known.get(number, ["[red]no test[/]"])))
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    return 0 if known.keys() >= INVARIANTS.keys() else 1


if __name__ == "__main__":
    sys.exit(main())
