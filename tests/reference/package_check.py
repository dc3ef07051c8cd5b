"""A second verifier of evidence, written from docs/evidence.md with the standard library alone.

It knows nothing of Tocsin's code, and checks what proves: the form, the seal, commitments, links, heads, and
whether what is missing may be. Sentences, not words of a list: it is to agree with the first one on *whether*.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

MEMBERS = {
    "package": "format alert realm code state version measures devices opened_ms ended_ms",
    "chain": "chain after before links whole",
    "link": "chain number of kept_as source at_ms commitment previous hash",
    "payload": "number salt payload",
    "head": "number day at_ms previous root leaves hash chain length last leaf proof",
    "seal": "sha256",
}
HOUR_MS = 3_600_000


DIGITS = {"before", "commitment", "previous", "hash", "salt", "root", "last", "sha256", "proof"}


def lp(value: object) -> bytes:
    word = str(value).encode()
    return len(word).to_bytes(4, "big") + word


def problems(content: bytes) -> list[str]:
    """Empty: it holds."""
    try:
        return list(_problems(content))
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        return [f"it cannot be read: {error!r}"]


def _problems(content: bytes) -> Iterator[str]:
    if not content.endswith(b"\n"):
        yield "the last line has no end"
    said, raws = [], []
    for line in content.removesuffix(b"\n").split(b"\n"):
        one, raw = _read(line)
        said.append(one)
        raws.append(raw)
    body = content[: content.rindex(b"\n", 0, -1) + 1]
    kinds = [one["kind"] for one in said]
    if kinds.count("seal") != 1 or kinds[-1] != "seal" or said[-1]["sha256"] != sha256(body).hexdigest():
        yield "the seal is not that of the lines above it"
    if kinds.count("package") != 1 or kinds[0] != "package":
        yield "the header"
    yield from _chains(said, raws)


def _read(line: bytes) -> tuple[dict[str, Any], bytes]:
    """The line, and the bytes of its payload. Raises ValueError for another form than the right one."""
    one = json.loads(line)
    raw = b""
    for name in DIGITS & one.keys():
        hashes = one[name] if name == "proof" else [one[name]]
        if any(len(digits) != 64 or set(digits) - set("0123456789abcdef") for digits in hashes):
            raise ValueError(name)
    written = {name: one[name] for name in ["kind", *MEMBERS[one["kind"]].split()]}
    if one["kind"] == "payload":
        raw = line[line.index(b'"payload":', 20) + 10 : -1]
        json.loads(raw)
        written["payload"] = None
        right = json.dumps(written, separators=(",", ":"), ensure_ascii=False).encode()[:-5] + raw + b"}"
    else:
        right = json.dumps(written, separators=(",", ":"), ensure_ascii=False).encode()
    if right != line:
        raise ValueError("another form")
    return one, raw


def _chains(said: list[dict[str, Any]], raws: list[bytes]) -> Iterator[str]:
    links: dict[tuple[str, int], dict[str, Any]] = {}
    payloads: dict[tuple[str, int], bytes] = {}
    yield from _links(said, links)
    for above, one, raw in zip([{}, *said], said, raws, strict=False):
        if one["kind"] == "payload":
            committed = sha256(b"tocsin payload 1\n" + bytes.fromhex(one["salt"]) + raw).hexdigest()
            if (above.get("number"), above.get("commitment")) == (one["number"], committed):
                payloads[above["chain"], above["number"]] = raw
            else:
                yield f"payload {one['number']} below {above}"
        elif one["kind"] == "head":
            link = links.get((one["chain"], one["length"]), {})
            if link.get("hash") != one["last"] or not _head_holds(one):
                yield f"head {one['number']} of {one['chain']}"
    yield from _missing(said[0], links, payloads)


def _links(said: list[dict[str, Any]], links: dict[tuple[str, int], dict[str, Any]]) -> Iterator[str]:
    place: tuple[str, int, str] | None = None
    left = 0
    for one in [*said, {"kind": "chain", "chain": "", "after": 0, "before": "", "links": 0}]:
        if one["kind"] == "chain":
            if left:
                yield f"{left} links fewer than announced before {one['chain']}"
            place, left = (one["chain"], one["after"], one["before"]), one["links"]
            if not left and (one["after"], set(one["before"])) not in ((0, {"0"}), (0, set())):
                yield f"nothing follows behind link {one['after']} of {one['chain']}"
        elif one["kind"] == "link":
            left -= 1
            if place != (one["chain"], one["number"] - 1, one["previous"]) or one["hash"] != _hash(one):
                yield f"link {one['number']} of {one['chain']}"
            place = (one["chain"], one["number"], one["hash"])
            links[one["chain"], one["number"]] = one


def _hash(one: dict[str, Any]) -> str:
    words = b"".join(lp(one[name]) for name in ("chain", "number", "of", "kept_as", "source", "at_ms"))
    tail = bytes.fromhex(one["commitment"]) + bytes.fromhex(one["previous"])
    return sha256(b"tocsin link 1\n" + words + tail).hexdigest()


def _head_holds(one: dict[str, Any]) -> bool:
    words = b"".join(lp(one[name]) for name in ("number", "day", "at_ms", "leaves"))
    whole = b"tocsin head 1\n" + words + bytes.fromhex(one["root"]) + bytes.fromhex(one["previous"])
    entry = b"tocsin leaf 1\n" + lp(one["chain"]) + lp(one["length"]) + bytes.fromhex(one["last"])
    node, path = sha256(b"\x00" + entry).digest(), [bytes.fromhex(beside) for beside in one["proof"]]
    root = _up(node, one["leaf"], one["leaves"], path)
    return sha256(whole).hexdigest() == one["hash"] and root.hex() == one["root"]


def _up(node: bytes, leaf: int, leaves: int, path: list[bytes]) -> bytes:
    """RFC 6962, 2.1.1, read from above: the last of the path is beside the half that the leaf is in."""
    if not 0 <= leaf < leaves:
        raise ValueError("no such leaf")
    if leaves == 1:
        if path:
            raise ValueError("a path that is too long")
        return node
    half = 1
    while 2 * half < leaves:
        half *= 2
    *rest, beside = path
    if leaf < half:
        return sha256(b"\x01" + _up(node, leaf, half, rest) + beside).digest()
    return sha256(b"\x01" + beside + _up(node, leaf - half, leaves - half, rest)).digest()


def _missing(
    header: dict[str, Any],
    links: dict[tuple[str, int], dict[str, Any]],
    payloads: dict[tuple[str, int], bytes],
) -> Iterator[str]:
    erased = {
        (chain, number)
        for (chain, own), raw in payloads.items()
        if links[chain, own]["of"] == "deletion"
        for number in json.loads(raw)["numbers"]
    }
    rulings = [json.loads(raw) for key, raw in payloads.items() if links[key]["of"] == "ruling"]
    newest = max(rulings, key=lambda one: one["sequence"])["ruling"] if rulings else None
    ended_ms = header["ended_ms"] or (newest["at_ms"] if newest else 0)
    from_ms, until_ms = (header["opened_ms"] or 0) - HOUR_MS, ended_ms + HOUR_MS
    for key, link in links.items():
        foreign = key[0].startswith("accesses/") or (
            key[0].startswith("device/") and not from_ms <= link["at_ms"] <= until_ms
        )
        if key not in payloads and key not in erased and (not foreign or link["of"] in {"deletion", "hold"}):
            yield f"payload {key} is missing"
