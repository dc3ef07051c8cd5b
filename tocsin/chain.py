"""What binds the record together, so that a row changed, dropped, added or cut off is found and named?

ARCHITECTURE, A13. A *chain* belongs to one thing: an episode, a unit, a measure, a day of accesses. Each *link* of
it commits to one *payload*, by SHA-256 over a salt that nobody can guess and the payload's exact bytes, and to the
link before it. Links say nothing of anybody and are kept for ever; payload and salt are *opened* beside them and
may be erased when the law says so. An erasure is itself a link of the same chain, whose payload (``Deletion``)
names the numbers that it emptied: an empty link that no deletion names is a fault.

A payload is JSON in UTF-8, as it was written; nothing is ever read and written again to be hashed, so that whoever
has SHA-256 can check it, in whatever language and version. Hours are milliseconds. Pure: salts are handed in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec

SALT_BYTES: Final = 32
START: Final = bytes(32)
"""What the first link of a chain has in the place of the one before it."""
_COMMITMENT: Final = b"tocsin payload 1\n"
_LINK: Final = b"tocsin link 1\n"


class Kind(StrEnum):
    """What a payload is. PLACES: the coordinates of a ruling, apart from it. CASE: what a decision was made of, so
    that it can be made again. TRACK: where both were around an alert."""

    RULING = "ruling"
    PLACES = "places"
    ATTEMPT = "attempt"
    ACCESS = "access"
    COMMAND = "command"
    RESULT = "result"
    ORDER = "order"
    CASE = "case"
    TRACK = "track"
    HOLD = "hold"
    DELETION = "deletion"


class KeptAs(StrEnum):
    """The class of retention of a payload (``tocsin.retention``): how long, and from which hour."""

    MEASURE_FILE = "measure_file"
    TGD_FILE = "tgd_file"
    TGD_POSITION = "tgd_position"
    ACCESS = "access"
    PROOF = "proof"
    """Deletions and holds: never erased, and about nobody."""


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be linked. ``source`` tells it from everything else in its chain: the same one twice is one."""

    chain: str
    kind: Kind
    kept_as: KeptAs
    source: str
    payload: bytes


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One link. ``number`` counts from 1 without gaps; ``at_ms`` is when it was linked, by the writer's clock."""

    chain: str
    number: int
    kind: Kind
    kept_as: KeptAs
    source: str
    at_ms: int
    commitment: bytes
    previous: bytes
    hash: bytes


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """What a link commits to, as long as it is kept."""

    salt: bytes
    payload: bytes


class Deletion(msgspec.Struct, frozen=True, kw_only=True):
    """The payload of a DELETION: what was erased of this chain, when, by which rule, on whose word."""

    numbers: tuple[int, ...]
    kept_as: KeptAs
    at_ms: int
    rule: str
    by: str


class Wrong(StrEnum):
    """What can be wrong with a chain. The words are what a verifier prints."""

    LINK_CHANGED = "link_changed"
    LINK_MISSING = "link_missing"
    LINK_FOREIGN = "link_foreign"
    LINK_ADDED = "link_added"
    CUT_OFF = "cut_off"
    PAYLOAD_CHANGED = "payload_changed"
    PAYLOAD_MISSING = "payload_missing"
    PAYLOAD_ADDED = "payload_added"
    CLOCK_BACK = "clock_back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """``number``: the link, or the one that should stand there. ``detail`` is for people, and names nobody."""

    chain: str
    number: int
    wrong: Wrong
    detail: str


def commitment(opened: Opened) -> bytes:
    """32 bytes that fix the payload and say nothing of it once the salt is gone."""
    return hashlib.sha256(_COMMITMENT + opened.salt + opened.payload).digest()


def hash_of(link: Link) -> bytes:
    """Over everything in the link but the hash itself."""
    words = (link.chain, str(link.number), link.kind, link.kept_as, link.source, str(link.at_ms))
    head = b"".join(len(word.encode()).to_bytes(4, "big") + word.encode() for word in words)
    return hashlib.sha256(_LINK + head + link.commitment + link.previous).digest()


def linked(item: Item, salt: bytes, *, number: int, previous: bytes, at_ms: int) -> tuple[Link, Opened]:
    """The next link of a chain whose last one has the number before and this hash; of a new one 1 and START."""
    assert len(salt) == SALT_BYTES
    opened = Opened(salt=salt, payload=item.payload)
    link = Link(
        chain=item.chain,
        number=number,
        kind=item.kind,
        kept_as=item.kept_as,
        source=item.source,
        at_ms=at_ms,
        commitment=commitment(opened),
        previous=previous,
        hash=b"",
    )
    return msgspec.structs.replace(link, hash=hash_of(link)), opened


def faults(
    chain: str,
    links: Sequence[Link],
    opened: Mapping[int, Opened],
    *,
    after: tuple[int, bytes] = (0, START),
    end: tuple[int, bytes] | None = None,
    undisclosed: bool = False,
) -> list[Fault]:
    """Everything that is wrong with a chain, or with a run of it behind ``after`` (number and hash), in its order.

    ``end``: number and hash of the link with which it must end, as known from elsewhere. ``undisclosed``: the
    payloads of other people may be left out of this copy, without a deletion.
    """
    found = [*_of_links(chain, links, after), *_of_payloads(chain, links, opened, undisclosed=undisclosed)]
    if end is not None:
        found.extend(_of_end(chain, links, after, end))
    return sorted(found, key=lambda fault: fault.number)


def deletions(links: Iterable[Link], opened: Mapping[int, Opened]) -> Iterator[Deletion]:
    """Those whose own payload is as committed. Raises nothing: one that cannot be read names nothing."""
    for link in links:
        beside = opened.get(link.number)
        if link.kind is Kind.DELETION and beside is not None and commitment(beside) == link.commitment:
            try:
                yield _decode_deletion(beside.payload)
            except msgspec.DecodeError:
                continue


_decode_deletion = msgspec.json.Decoder(Deletion).decode


def _of_links(chain: str, links: Sequence[Link], after: tuple[int, bytes]) -> Iterator[Fault]:
    number, previous = after
    at_ms = 0

    def wrong(link_number: int, what: Wrong, detail: str) -> Fault:
        return Fault(chain=chain, number=link_number, wrong=what, detail=detail)

    for link in links:
        if link.chain != chain:
            yield wrong(link.number, Wrong.LINK_FOREIGN, f"is a link of {link.chain}")
            continue
        if link.number <= number:
            yield wrong(link.number, Wrong.LINK_ADDED, "stands there twice, or out of its order")
            continue
        for missing in range(number + 1, min(link.number, number + 1 + _NAMED_MAX)):
            yield wrong(missing, Wrong.LINK_MISSING, f"the next one is {link.number}")
        if hash_of(link) != link.hash:
            yield wrong(link.number, Wrong.LINK_CHANGED, "its hash is not that of what it says")
        elif link.number == number + 1 and link.previous != previous:
            yield wrong(link.number, Wrong.LINK_CHANGED, "it follows another link than the one before it")
        if link.at_ms < at_ms:
            yield wrong(link.number, Wrong.CLOCK_BACK, f"linked {at_ms - link.at_ms} ms before the one before it")
        number, previous, at_ms = link.number, link.hash, max(at_ms, link.at_ms)


_NAMED_MAX: Final = 100
"""Of a long gap so many are named: the rest is the same sentence."""


def _of_payloads(
    chain: str, links: Sequence[Link], opened: Mapping[int, Opened], *, undisclosed: bool
) -> Iterator[Fault]:
    erased = {number for one in deletions(links, opened) for number in one.numbers}
    known = {link.number: link for link in links if link.chain == chain}

    def wrong(number: int, what: Wrong, detail: str) -> Fault:
        return Fault(chain=chain, number=number, wrong=what, detail=detail)

    for number, link in known.items():
        beside = opened.get(number)
        if beside is None:
            if number not in erased and not undisclosed:
                yield wrong(number, Wrong.PAYLOAD_MISSING, f"the {link.kind} is gone, and no deletion names it")
        elif commitment(beside) != link.commitment:
            yield wrong(number, Wrong.PAYLOAD_CHANGED, f"the {link.kind} is not the one that was linked")
    for number in opened.keys() - known.keys():
        yield wrong(number, Wrong.PAYLOAD_ADDED, "no link commits to it")


def _of_end(
    chain: str, links: Sequence[Link], after: tuple[int, bytes], end: tuple[int, bytes]
) -> Iterator[Fault]:
    mine = [link for link in links if link.chain == chain]
    last = (mine[-1].number, mine[-1].hash) if mine else after
    number, expected = end
    if last[0] < number:
        yield Fault(
            chain=chain, number=last[0] + 1, wrong=Wrong.CUT_OFF, detail=f"it ends at {last[0]}, and had {number}"
        )
    elif (at_end := {link.number: link.hash for link in mine}.get(number)) is not None and at_end != expected:
        yield Fault(chain=chain, number=number, wrong=Wrong.LINK_CHANGED, detail="another hash than was published")
