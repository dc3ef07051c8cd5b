"""Can somebody check with the page alone? Its program is run against the product's own hashes. F09, F10."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tocsin.chain import Item, KeptAs, Kind, linked
from tocsin.heads import DAY_MS, Head, Leaf, head_of, line_of, proof, root_of

PAGE = Path(__file__).parents[3] / "docs" / "proof.md"
NOON_MS = 1_795_262_400_000
SALT = bytes(range(32))


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(program, names)  # noqa: S102  (our own page)
    return names


def test_commitment_and_link(page: dict[str, Any]) -> None:
    item = Item(
        chain="device/é", kind=Kind.COMMAND, kept_as=KeptAs.MEASURE_FILE, source="command:7", payload=b'{"x": 1}'
    )
    link, opened = linked(item, SALT, number=3, previous=b"\x05" * 32, at_ms=NOON_MS)
    assert page["commitment"](SALT, opened.payload) == link.commitment
    words = (link.chain, 3, "command", "measure_file", "command:7", NOON_MS)
    assert page["link"](*words, link.commitment, link.previous) == link.hash
    assert link.hash.hex() == "12ae784f79d632237030e41d493e58637e25a6d70cedd8cf4b2cb74f7e32fd3b", (
        "a layout that changes makes every published head worthless"
    )


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13])
def test_leaves_roots_and_proofs(page: dict[str, Any], size: int) -> None:
    leaves = [Leaf(chain=f"episode/alr_{n}", length=n + 1, hash=bytes([n]) * 32) for n in range(size)]
    hashed = [page["leaf"](leaf.chain, leaf.length, leaf.hash) for leaf in leaves]
    assert page["root"](hashed) == root_of(leaves)
    for index in range(size):
        shown = proof(leaves, index)
        assert page["root_by_proof"](hashed[index], index, size, shown.path) == root_of(leaves)
    if size == 5:
        assert root_of(leaves).hex() == "9250a7cce3398a744830a5e62494d854870fbf98290a8d9e007b14971dbc3796"


def run_of(count: int) -> list[Head]:
    heads: list[Head] = []
    for day in range(count):
        heads.append(head_of([], after=heads[-1] if heads else None, at_ms=NOON_MS + day * DAY_MS))
    return heads


def test_a_published_file(page: dict[str, Any]) -> None:
    heads = run_of(3)
    assert heads[-1].hash.hex() == "d522ed39f2abb6a615ded394de2c1bbb0c41a80447a93be8b0a9a686be77cbe0"
    lines = [line_of(head) for head in heads]
    assert page["check_file"]([*lines, lines[-1]]) == 3
    for wrong in ([lines[1]], [lines[0], lines[2]], [lines[0].replace(b'"leaves":0', b'"leaves":1')]):
        with pytest.raises(SystemExit):
            page["check_file"](wrong)
