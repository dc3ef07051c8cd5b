"""Can somebody check with the page alone? Its program is run against the product's own hashes. F09, F10."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tocsin.chain import Item, KeptAs, Kind, linked
from tocsin.heads import DAY_MS, Head, Leaf, head_of, line_of, proof, published, root_of

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


# --- a reply of /audit/proof -----------------------------------------------------------------------------------


def said_of(heads: list[Head], leaves: list[Leaf], place: int, links: list[Any]) -> dict[str, Any]:
    """As the API says it (tests/integration/test_proof_doors.py asks the API itself)."""
    shown, leaf = proof(leaves, place), leaves[place]
    plain = [msgspec.to_builtins(published(head)) for head in heads]
    return {
        "head": plain[-1], "heads": plain, "next": None,
        "covered": {
            "head": plain[0], "chain": leaf.chain, "length": leaf.length, "last": leaf.hash.hex(), "leaf": place,
            "proof": [one.hex() for one in shown.path],
            "links": [
                {
                    "number": one.number, "kind": one.kind.value, "kept_as": one.kept_as.value,
                    "source": one.source, "at_ms": one.at_ms, "commitment": one.commitment.hex(),
                    "previous": one.previous.hex(),
                    "hash": one.hash.hex(),
                }
                for one in links
            ],
        },
    }  # fmt: skip


@pytest.fixture
def shown() -> tuple[dict[str, Any], list[bytes]]:
    """Three links of a chain that is one of five, the heads of three days, and the file of all three."""
    links, previous = [], bytes(32)
    for number in (1, 2, 3):
        item = Item(
            chain="episode/alr_2", kind=Kind.RULING, kept_as=KeptAs.MEASURE_FILE, source=f"ruling:{number}",
            payload=b"{}",
        )  # fmt: skip
        links.append(linked(item, SALT, number=number, previous=previous, at_ms=NOON_MS + number)[0])
        previous = links[-1].hash
    leaves = [Leaf(chain=f"episode/alr_{n}", length=3, hash=bytes([n]) * 32) for n in range(5)]
    leaves[2] = Leaf(chain="episode/alr_2", length=3, hash=previous)
    heads = [head_of(leaves, after=None, at_ms=NOON_MS)]
    for day in (1, 2):
        heads.append(head_of([], after=heads[-1], at_ms=NOON_MS + day * DAY_MS))
    return said_of(heads, leaves, 2, links[1:]), [line_of(head) for head in heads]


def test_what_a_proof_proves(page: dict[str, Any], shown: tuple[dict[str, Any], list[bytes]]) -> None:
    said, lines = shown
    whole = {
        "heads_agree_to": 3, "newest_head": 3, "chain": "episode/alr_2", "links": [2, 3], "day": "2026-11-21",
    }  # fmt: skip
    assert page["check_proof"](said, lines) == whole
    assert page["check_proof"](said, lines[1:2]) == whole | {"heads_agree_to": 2}, "a later one leads back to it"
    since = said | {"heads": said["heads"][1:], "covered": None}
    assert page["check_proof"](since, lines[:1]) == {"heads_agree_to": 1, "newest_head": 3}


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "is not what it says": lambda said: said["heads"][1].update(day="2026-11-30"),
    "does not follow 1": lambda said: said["heads"].pop(1),
    "is not below": lambda said: said["covered"].update(length=4),
    "is not below head": lambda said: said["covered"]["proof"].reverse(),
    "link 2 is not what": lambda said: said["covered"]["links"][0].update(source="ruling:9"),
    "or does not follow": lambda said: said["covered"]["links"].append(said["covered"]["links"][0]),
    "do not lead to": lambda said: said["covered"]["links"].pop(),
    "is over head 1": lambda said: said.update(heads=said["heads"][1:]),
}


@pytest.mark.parametrize("why", CHANGES)
def test_what_a_proof_does_not(page: dict[str, Any], shown: tuple[dict[str, Any], list[bytes]], why: str) -> None:
    said = copy.deepcopy(shown[0])
    CHANGES[why](said)
    with pytest.raises(SystemExit, match=why):
        page["check_proof"](said, shown[1])


def test_a_proof_without_a_head_that_somebody_has_kept_proves_nothing(
    page: dict[str, Any], shown: tuple[dict[str, Any], list[bytes]]
) -> None:
    said, lines = shown
    with pytest.raises(SystemExit, match="one that you have"):
        page["check_proof"](said, [])
    other = line_of(head_of([], after=None, at_ms=NOON_MS))
    with pytest.raises(SystemExit, match="another hash"):
        page["check_proof"](said, [other, *lines[1:]])
    later = copy.deepcopy(said)
    later["covered"]["head"] = later["heads"][2]
    with pytest.raises(SystemExit, match="over head 3"):
        page["check_proof"](later, lines[:2])
