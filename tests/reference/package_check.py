"""A second verifier of evidence, written from docs/evidence.md with the standard library alone.

It knows nothing of Tocsin's code, and asks everything that the page says but for two: it has no engine to make a
decision again, and compares no published heads. Sentences, not words of a list: it is to agree with the first one
on *whether* a package holds.
"""

from __future__ import annotations

import json
import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from itertools import pairwise
from typing import Any

HASH, NUMBER, WORD, WORDS, TRUTH, HASHES = "hash", "number", "word", "words", "truth", "hashes"
MEMBERS = {
    "package": {
        "format": NUMBER, "alert": WORD, "realm": "word?", "code": "word?", "state": "word?", "version": "number?",
        "measures": WORDS, "devices": WORDS, "opened_ms": "number?", "ended_ms": "number?",
    },
    "chain": {"chain": WORD, "after": NUMBER, "before": HASH, "links": NUMBER, "whole": TRUTH},
    "link": {
        "chain": WORD, "number": NUMBER, "of": WORD, "kept_as": WORD, "source": WORD, "at_ms": NUMBER,
        "commitment": HASH, "previous": HASH, "hash": HASH,
    },
    "payload": {"number": NUMBER, "salt": HASH, "payload": "json"},
    "head": {
        "number": NUMBER, "day": WORD, "at_ms": NUMBER, "previous": HASH, "root": HASH, "leaves": NUMBER,
        "hash": HASH, "chain": WORD, "length": NUMBER, "last": HASH, "leaf": NUMBER, "proof": HASHES,
    },
    "seal": {"sha256": HASH},
}  # fmt: skip
CHAINS = {
    "episode/": {"ruling", "places", "attempt", "case", "track"},
    "measure/": {"order"},
    "device/": {"command", "result"},
    "accesses/": {"access"},
}
ANYWHERE = {"deletion", "hold"}
KEPT_AS = {"measure_file", "tgd_file", "tgd_position", "access", "proof"}
MONTHS = {"measure_file": 72, "tgd_file": 1, "access": 1}
HOUR_MS = 3_600_000
LATE_MS = 14 * 24 * HOUR_MS
NOTHING = "0" * 64

Key = tuple[str, int]


@dataclass
class Read:
    """What a package says, by chain and number."""

    header: dict[str, Any]
    links: dict[Key, dict[str, Any]] = field(default_factory=dict)
    payloads: dict[Key, Any] = field(default_factory=dict)
    heads: list[dict[str, Any]] = field(default_factory=list)
    chains: set[str] = field(default_factory=set)

    def of(self, *kinds: str) -> Iterator[tuple[Key, Any]]:
        return ((key, one) for key, one in self.payloads.items() if self.links[key]["of"] in kinds)


def problems(content: bytes) -> list[str]:
    """Empty: it holds."""
    try:
        return list(_problems(content))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        return [f"it cannot be read: {error!r}"]


def _problems(content: bytes) -> Iterator[str]:
    if not content.endswith(b"\n"):
        yield "the last line has no end"
    said = [_read(line) for line in content.removesuffix(b"\n").split(b"\n")]
    body = content[: content.rindex(b"\n", 0, -1) + 1]
    kinds = [one["kind"] for one, _ in said]
    if kinds.count("seal") != 1 or kinds[-1] != "seal" or said[-1][0]["sha256"] != sha256(body).hexdigest():
        yield "the seal is not that of the lines above it"
    if kinds.count("package") != 1 or kinds[0] != "package" or said[0][0]["format"] != 1:
        yield "the header"
    if "head" in kinds and {"chain", "link", "payload"} & set(kinds[kinds.index("head") :]):
        yield "something of a chain behind the heads"
    read = Read(said[0][0])
    yield from _runs(said, read)
    yield from _payloads(read)
    yield from _heads(read)
    yield from _story(read)
    yield from _missing(read)
    yield from _cases(read)


# --- lines -------------------------------------------------------------------------------------------------------


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a member stands twice")
    return dict(pairs)


def _no_number(word: str) -> None:
    raise ValueError(word)


def _json(text: bytes) -> Any:
    return json.loads(text.decode(), object_pairs_hook=_once, parse_constant=_no_number)


def _read(line: bytes) -> tuple[dict[str, Any], bytes]:
    """The line, and the bytes of its payload. Raises ValueError for another form than the right one."""
    one, raw = _json(line), b""
    members = MEMBERS[one["kind"]]
    if [*one] != ["kind", *members] or not all(_is(form, one[name]) for name, form in members.items()):
        raise ValueError("its members")
    if one["kind"] == "payload":
        raw = line[line.index(b'"payload":', 20) + 10 : -1]
        right = _written({**one, "payload": None})[:-5] + raw + b"}"
    else:
        right = _written(one)
    if right != line:
        raise ValueError("another form")
    return one, raw


def _written(one: dict[str, Any]) -> bytes:
    return json.dumps(one, separators=(",", ":"), ensure_ascii=False).encode()


def _is(form: str, value: Any) -> bool:
    if form.endswith("?"):
        return value is None or _is(form[:-1], value)
    if form in {WORDS, HASHES}:
        return isinstance(value, list) and all(_is(form.removesuffix("s").removesuffix("e"), one) for one in value)
    if form == HASH:
        return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None
    return form == "json" or type(value) is {NUMBER: int, WORD: str, TRUTH: bool}[form]


def lp(value: object) -> bytes:
    word = str(value).encode()
    return len(word).to_bytes(4, "big") + word


# --- chains ------------------------------------------------------------------------------------------------------


def _runs(said: list[tuple[dict[str, Any], bytes]], read: Read) -> Iterator[str]:
    place: tuple[int, str, int] = (-1, "", 0)
    last: tuple[str, int, str, int] = ("", 0, NOTHING, 0)
    above: dict[str, Any] = {}
    left = 0
    for one, raw in said:
        if one["kind"] in {"chain", "head", "seal"}:
            if left:
                yield f"{left} links other than announced before {one}"
            left = one.get("links", 0)
        if one["kind"] == "chain":
            yield from _on_chain(one, place)
            place, last = _place(one), (one["chain"], one["after"], one["before"], 0)
            read.chains.add(one["chain"])
        elif one["kind"] == "link":
            left -= 1
            yield from _on_link(one, last)
            last = (one["chain"], one["number"], one["hash"], one["at_ms"])
            place = (place[0], place[1], max(place[2], one["number"] - 1))
            read.links[one["chain"], one["number"]] = one
        elif one["kind"] == "payload":
            yield from _on_payload(one, raw, above, read)
        elif one["kind"] == "head":
            read.heads.append(one)
        above = one


def _place(one: dict[str, Any]) -> tuple[int, str, int]:
    return [one["chain"].startswith(prefix) for prefix in CHAINS].index(True), one["chain"], one["after"]


def _on_chain(one: dict[str, Any], place: tuple[int, str, int]) -> Iterator[str]:
    if _place(one) <= place or one["after"] < 0:
        yield f"{one['chain']} is out of its order"
    if one["whole"] is one["chain"].startswith("device/") or (one["whole"] and one["after"]):
        yield f"{one['chain']} is not whole"
    if not (one["links"] and one["after"]) and (one["after"], one["before"]) != (0, NOTHING):
        yield f"what {one['chain']} follows"


def _on_link(one: dict[str, Any], last: tuple[str, int, str, int]) -> Iterator[str]:
    chain, number, previous, at_ms = last
    if (one["chain"], one["number"], one["previous"]) != (chain, number + 1, previous):
        yield f"link {one['number']} of {one['chain']} does not follow"
    if one["hash"] != _hash(one) or one["at_ms"] < at_ms:
        yield f"link {one['number']} of {one['chain']}"


def _on_payload(one: dict[str, Any], raw: bytes, above: dict[str, Any], read: Read) -> Iterator[str]:
    committed = sha256(b"tocsin payload 1\n" + bytes.fromhex(one["salt"]) + raw).hexdigest()
    if (above.get("number"), above.get("commitment")) == (one["number"], committed):
        read.payloads[above["chain"], above["number"]] = one["payload"]
    else:
        yield f"payload {one['number']} below {above}"


def _hash(one: dict[str, Any]) -> str:
    words = b"".join(lp(one[name]) for name in ("chain", "number", "of", "kept_as", "source", "at_ms"))
    tail = bytes.fromhex(one["commitment"]) + bytes.fromhex(one["previous"])
    return sha256(b"tocsin link 1\n" + words + tail).hexdigest()


# --- heads -------------------------------------------------------------------------------------------------------


def _heads(read: Read) -> Iterator[str]:
    before: dict[str, Any] | None = None
    for one in read.heads:
        link = read.links.get((one["chain"], one["length"]), {})
        if link.get("hash") != one["last"] or not _head_holds(one):
            yield f"head {one['number']} of {one['chain']}"
        if before is not None:
            if (before["number"], before["chain"]) >= (one["number"], one["chain"]):
                yield f"head {one['number']} is out of its order"
            same = ("number", "day", "at_ms", "previous", "root", "leaves", "hash")
            if before["number"] == one["number"] and any(before[name] != one[name] for name in same):
                yield f"two heads {one['number']}"
            if before["number"] + 1 == one["number"] and before["hash"] != one["previous"]:
                yield f"head {one['number']} does not follow"
        before = one


def _head_holds(one: dict[str, Any]) -> bool:
    words = b"".join(lp(one[name]) for name in ("number", "day", "at_ms", "leaves"))
    whole = b"tocsin head 1\n" + words + bytes.fromhex(one["root"]) + bytes.fromhex(one["previous"])
    entry = b"tocsin leaf 1\n" + lp(one["chain"]) + lp(one["length"]) + bytes.fromhex(one["last"])
    node, path = sha256(b"\x00" + entry).digest(), [bytes.fromhex(beside) for beside in one["proof"]]
    root = _up(node, one["leaf"], one["leaves"], path)
    day = datetime.fromtimestamp(one["at_ms"] // 1000, UTC).strftime("%Y-%m-%d")
    return (sha256(whole).hexdigest(), root.hex(), day) == (one["hash"], one["root"], one["day"])


def _up(node: bytes, leaf: int, leaves: int, path: list[bytes]) -> bytes:
    """RFC 6962, 2.1.1, read from above: the last of the path is beside the half that the leaf is in."""
    if not 0 <= leaf < leaves:
        raise ValueError("no such leaf")
    if leaves == 1:
        if path:
            raise ValueError("a path that is too long")
        return node
    half = 1 << ((leaves - 1).bit_length() - 1)
    *rest, beside = path
    if leaf < half:
        return sha256(b"\x01" + _up(node, leaf, half, rest) + beside).digest()
    return sha256(b"\x01" + beside + _up(node, leaf - half, leaves - half, rest)).digest()


# --- what the payloads say ---------------------------------------------------------------------------------------


def _payloads(read: Read) -> Iterator[str]:
    """Each agrees with its link, its chain and the alert."""
    for key, link in read.links.items():
        chain, _, thing = link["chain"].partition("/")
        if link["of"] not in CHAINS[f"{chain}/"] | ANYWHERE or link["kept_as"] not in KEPT_AS:
            yield f"what {key} is"
        if key in read.payloads:
            about, source = _names(link["of"], read.payloads[key])
            if about not in {None, thing} or source not in {None, link["source"]}:
                yield f"payload {key} is about {about} and {source}"
            if link["of"] == "access" and read.header["alert"] not in read.payloads[key]["objects"]:
                yield f"access {key} is not to this alert"


def _names(kind: str, said: Any) -> tuple[str | None, str | None]:
    """What it is about, and its source, by what it says."""
    match kind:
        case "ruling":
            return said["ruling"]["episode"]["id"], f"ruling:{said['sequence']}"
        case "places":
            return None, f"places:{said['sequence']}"
        case "attempt":
            line = said.get("line", "")
            return said["episode"], f"attempt:{said['notification']}:{said['attempt']}:{said['t7_ms']}:{line}"
        case "access":
            return None, f"access:{said['id']}"
        case "command":
            return said["command"]["device"], f"command:{said['sequence']}:{said['command']['id']}"
        case "result":
            status = said["status"]
            return status["device"], f"result:{said['sequence']}:{status['command']}:{status['stage']}"
        case "order":
            return said["id"], f"order:{said['version']}"
        case _:
            return None, None


def _rulings(read: Read) -> list[Any]:
    return sorted((one for _, one in read.of("ruling")), key=lambda one: one["sequence"])


def _story(read: Read) -> Iterator[str]:
    """The header follows, the chains are those of the alert, and the rulings agree."""
    rulings = _rulings(read)
    episode = rulings[-1]["ruling"]["episode"] if rulings else {}
    measures = {name for one in rulings for name in one["ruling"]["episode"]["measures"]}
    devices = {one[side] for _, one in read.of("order") for side in ("wearer", "protected")}
    devices |= {one["ruling"]["episode"].get("device") for one in rulings} - {None}
    right = {name: episode.get(name) for name in ("realm", "code", "state", "version", "opened_ms")}
    right |= {"ended_ms": episode.get("closed_ms"), "measures": sorted(measures), "devices": sorted(devices)}
    if any(read.header[name] != value for name, value in right.items()):
        yield "the header does not say what the payloads say"
    days = {chain for chain in read.chains if chain.startswith("accesses/")}
    named = {f"episode/{read.header['alert']}"}
    named |= {f"measure/{one}" for one in measures} | {f"device/{one}" for one in devices}
    if read.chains - days != named or days != {chain for (chain, _), _ in read.of("access")}:
        yield "the chains are not those of the alert"
    for before, after in pairwise(rulings):
        old, new = before["ruling"]["episode"], after["ruling"]["episode"]
        same = ("code", "subject", "realm")
        if new["version"] < old["version"] or any(old[name] != new[name] for name in same):
            yield f"ruling {after['sequence']} does not go with the one before"


# --- what is not there -------------------------------------------------------------------------------------------


def _missing(read: Read) -> Iterator[str]:
    rulings = _rulings(read)
    newest = rulings[-1]["ruling"] if rulings else None
    from_ms = until_ms = 0
    if newest is not None:
        closed_ms = newest["episode"].get("closed_ms")
        from_ms = newest["episode"]["opened_ms"] - HOUR_MS
        until_ms = (newest["at_ms"] if closed_ms is None else closed_ms) + HOUR_MS
    deletions = [(key, one) for key, one in read.of("deletion") if _is_deletion(one)]
    yield from (
        f"deletion {key} names what is behind it"
        for key, one in deletions
        if any(number >= key[1] for number in one["numbers"])
    )
    for key, link in read.links.items():
        naming = [(own, one) for own, one in deletions if own[0] == key[0] and key[1] in one["numbers"]]
        is_erased = any(_may_erase(read, link, own, one) for own, one in naming)
        foreign = key[0].startswith("accesses/") or (
            key[0].startswith("device/") and not from_ms <= link["at_ms"] <= until_ms
        )
        if key in read.payloads:
            if is_erased:
                yield f"payload {key} was erased, and is there"
        elif not is_erased and (naming or not foreign or link["of"] in ANYWHERE):
            yield f"payload {key} is missing"


def _is_deletion(one: Any) -> bool:
    forms = {"numbers": list, "kept_as": str, "at_ms": int, "rule": str, "by": str}
    if not all(type(one.get(name)) is form for name, form in forms.items()):
        raise ValueError("a deletion")
    return True


def _may_erase(read: Read, link: dict[str, Any], own: Key, said: Any) -> bool:
    kept_as = link["kept_as"]
    if link["number"] >= own[1] or kept_as == "proof" or kept_as != said["kept_as"]:
        return False
    if kept_as == "tgd_position":
        return True
    if _is_held(read, own):
        return False
    hours = [one["at_ms"] for (chain, _), one in read.links.items() if chain == own[0]]
    begins_ms = min(hours) if own[0].startswith(("episode/", "measure/")) else link["at_ms"]
    at_ms = min(said["at_ms"], read.links[own]["at_ms"])
    return at_ms >= _months_on(begins_ms, MONTHS[kept_as]) - LATE_MS


def _is_held(read: Read, own: Key) -> bool:
    before = [one for (chain, number), one in read.of("hold") if chain == own[0] and number < own[1]]
    holds = [one for one in before if one["kind"] == "hold"]
    lifted = {one["id"] for one in holds if one["lifted_ms"] is not None}
    return any(one["id"] not in lifted for one in holds)


def _months_on(at_ms: int, months: int) -> int:
    at = datetime.fromtimestamp(at_ms // 1000, UTC)
    year, month = divmod(at.year * 12 + at.month - 1 + months, 12)
    if year > 9999:
        return 2**63
    day = min(at.day, monthrange(year, month + 1)[1])
    return at_ms + (at.replace(year=year, month=month + 1, day=day) - at).days * 24 * HOUR_MS


# --- cases -------------------------------------------------------------------------------------------------------


def _cases(read: Read) -> Iterator[str]:
    chain = f"episode/{read.header['alert']}"
    mine = [one for (of, _), one in sorted(read.links.items()) if of == chain]
    cases: dict[str, list[int]] = {}
    for one in mine:
        if one["of"] == "case":
            cases.setdefault(one["source"].removeprefix("case:"), []).append(one["number"])
    decided: list[str] = []
    lacking: list[str] = []
    for (_, number), said in sorted(read.of("ruling"), key=lambda one: one[0]):
        event = said["ruling"]["event"]
        if event.get("type") != "finding" or not _is_decided(said["ruling"]):
            continue
        name = event["finding"]["id"]
        late = read.links[chain, number]["at_ms"] - said["ruling"]["at_ms"] >= HOUR_MS
        if name not in decided:
            decided.append(name)
            lacking += [] if late or cases.get(name) else [name]
        for case in cases.get(name, []):
            found = read.payloads.get((chain, case), {"finding": None})["finding"]
            if (chain, case) in read.payloads and not _is_same(read, said, found):
                yield f"case {case} is not of the finding {name}"
    newest = max((at for at, name in enumerate(decided) if cases.get(name)), default=-1)
    yield from (f"no case of {name}, and one of a later" for name in lacking if decided.index(name) < newest)
    yield from (f"{len(numbers)} cases of {name}" for name, numbers in cases.items() if len(numbers) > 1)
    is_whole = all((chain, one["number"]) in read.payloads for one in mine if one["of"] == "ruling")
    for name in cases.keys() - set(decided):
        found = [
            read.payloads[chain, one]["finding"]["id"] for one in cases[name] if (chain, one) in read.payloads
        ]
        if is_whole or set(found) - {name}:
            yield f"no ruling came of {name}"


def _is_decided(ruling: Any) -> bool:
    finding, alert = ruling["event"]["finding"], ruling["episode"]
    named = [*alert["measures"], *filter(None, [alert.get("device")])]
    is_invented = named and all(re.fullmatch("canary-[0-9]+(-[wv])?", one) for one in named)
    is_canarys = is_invented and not alert["code"].startswith("SYS_")
    return finding["change"] == "entry" and finding.get("silenced") is None and not is_canarys


def _is_deep(value: Any, left: int = 50) -> bool:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return left == 0 or any(_is_deep(one, left - 1) for one in inside)


def _is_same(read: Read, said: Any, finding: Any) -> bool:
    """The ruling's finding has null where the case's has points; those are the places of the ruling."""
    points: dict[str, Any] = {}
    if _is_deep(said["ruling"]["event"]["finding"]) or _is_deep(finding):
        return False
    if _text(_bare(said["ruling"]["event"]["finding"], "", {})) != _text(_bare(finding, "", points)):
        return False
    source = f"places:{said['sequence']}"
    for key, link in read.links.items():
        if (key[0].startswith("episode/"), link["of"], link["source"]) == (True, "places", source):
            if key not in read.payloads:
                return True
            path = "event/finding/"
            places = read.payloads[key]["places"]
            ruled = {name.removeprefix(path): one for name, one in places.items() if name.startswith(path)}
            return not _is_deep(ruled) and _text(ruled) == _text(points)
    return not points


def _bare(value: Any, path: str, points: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        if "lat_e6" in value:
            points[path] = value
            return None
        bare = {name: _bare(one, f"{path}/{name}".removeprefix("/"), points) for name, one in value.items()}
        return {name: one for name, one in bare.items() if one is not None and one is not False}
    if isinstance(value, list):
        return [_bare(one, f"{path}/{at}", points) for at, one in enumerate(value)]
    return value


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
