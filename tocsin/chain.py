"""What binds the record together, so that a row changed, dropped, added or cut off is found and named?

ARCHITECTURE, A13. A *chain* belongs to one thing: an episode, a unit, a measure, a day of accesses. Each *link* of
it commits to one *payload*, by SHA-256 over a salt that nobody can guess and the payload's exact bytes, and to the
link before it. Links say nothing of anybody and are kept for ever; payload and salt are *opened* beside them and
may be erased when the law says so. An erasure is itself a link of the same chain, whose payload (``Deletion``)
names the numbers that it emptied: an empty link that no deletion names is a fault. So is one that a deletion may
not name: what is linked behind it, of another class, a proof; or what a ``Judge`` says was not over yet or held
(``tocsin.retention``: how long is no question of chains).

A payload is JSON in UTF-8, as it was written; nothing is ever read and written again to be hashed, so that whoever
has SHA-256 can check it, in whatever language and version. Hours are milliseconds. Pure: salts are handed in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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


class Link(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One link. ``number`` counts from 1 without gaps; ``at_ms`` is when it was linked, by the writer's clock.

    Without ``gc``: it refers to nothing that refers back, and evidence holds half a million of them."""

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


class Deletion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The payload of a DELETION: what was erased of this chain, when, by which rule, on whose word.

    ``rows``: so many of these tables, where they are more than the payloads' own. ``from_ms``, ``until_ms``: of a
    unit's history, the hours of which everything went, not a place among them; both the same: what a unit said
    after that hour, at which it was revoked."""

    numbers: tuple[int, ...]
    kept_as: KeptAs
    at_ms: int
    rule: str
    by: str
    rows: dict[str, int] = {}
    from_ms: int | None = None
    until_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """A deletion and the link that it is the payload of."""

    link: Link
    said: Deletion

    @property
    def at_ms(self) -> int:
        """The earlier of its two hours: that of the link is under the heads, the other one anybody may write."""
        return min(self.link.at_ms, self.said.at_ms)


Erasures = Mapping[int, Sequence[Erasure]]
"""By the number that they name."""
Judge = Callable[[Link, Erasure], str]
"""Why this link may not have been emptied by that erasure; empty: it may."""


def no_judge(_link: Link, _erasure: Erasure) -> str:
    """Nothing is known of how long anything is kept."""
    return ""


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
    DELETION_UNLAWFUL = "deletion_unlawful"
    NOT_ERASED = "not_erased"
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
    erased: Erasures | None = None,
    judge: Judge = no_judge,
) -> list[Fault]:
    """Everything that is wrong with a chain, or with a run of it behind ``after`` (number and hash), in its order.

    ``end``: number and hash of the link with which it must end, as known from elsewhere. ``undisclosed``: the
    payloads of other people may be left out of this copy, without a deletion. ``erased``: where the deletions are
    not all among these links.
    """
    named = erasures(links, opened) if erased is None else erased
    found = [*_of_links(chain, links, after), *_of_deletions(chain, links, opened)]
    found += _of_payloads(chain, links, opened, named, judge, undisclosed=undisclosed)
    if end is not None:
        found.extend(_of_end(chain, links, after, end))
    return sorted(found, key=lambda fault: fault.number)


def deletions(links: Iterable[Link], opened: Mapping[int, Opened]) -> Iterator[Deletion]:
    """Those whose own payload is as committed. Raises nothing: one that cannot be read names nothing."""
    return (one.said for one in _erasures(links, opened))


def of_rows(links: Iterable[Link], opened: Mapping[int, Opened]) -> list[Erasure]:
    """Those that took rows beside what is linked."""
    return [one for one in _erasures(links, opened) if one.said.rows]


def erasures(links: Iterable[Link], opened: Mapping[int, Opened]) -> Erasures:
    """The same by what they name, each with its link."""
    named: dict[int, list[Erasure]] = {}
    for one in _erasures(links, opened):
        for number in one.said.numbers:
            named.setdefault(number, []).append(one)
    return named


def _erasures(links: Iterable[Link], opened: Mapping[int, Opened]) -> Iterator[Erasure]:
    for link in links:
        beside = opened.get(link.number)
        if link.kind is Kind.DELETION and beside is not None and commitment(beside) == link.commitment:
            try:
                yield Erasure(link=link, said=_decode_deletion(beside.payload))
            except msgspec.DecodeError:
                continue


_decode_deletion = msgspec.json.Decoder(Deletion).decode


def unlawful(link: Link, erasure: Erasure, judge: Judge) -> str:
    """Why that erasure does not excuse that the payload of this link is gone; empty: it does."""
    if link.number >= erasure.link.number:
        return "it names what was not there yet"
    if link.kept_as == KeptAs.PROOF:
        return "a proof is never erased"
    if link.kept_as != erasure.said.kept_as:
        return f"it erases what is kept as {erasure.said.kept_as}, and this is kept as {link.kept_as}"
    return judge(link, erasure)


def excusing(link: Link, named: Erasures, judge: Judge) -> tuple[Erasure | None, str]:
    """The erasure by which a payload may be gone, or why none of those that name it will do."""
    why = ""
    for one in named.get(link.number, ()):
        if not (said := unlawful(link, one, judge)):
            return one, ""
        why = why or f"link {one.link.number}: {said}"
    return None, why


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


def _of_deletions(chain: str, links: Sequence[Link], opened: Mapping[int, Opened]) -> Iterator[Fault]:
    """A deletion that names what comes behind it would be a licence."""
    for one in _erasures(links, opened):
        if any(number >= one.link.number for number in one.said.numbers):
            detail = "it names what was not there yet"
            yield Fault(chain=chain, number=one.link.number, wrong=Wrong.DELETION_UNLAWFUL, detail=detail)


def _of_payloads(
    chain: str,
    links: Sequence[Link],
    opened: Mapping[int, Opened],
    named: Erasures,
    judge: Judge,
    *,
    undisclosed: bool,
) -> Iterator[Fault]:
    known = {link.number: link for link in links if link.chain == chain}

    def wrong(number: int, what: Wrong, detail: str) -> Fault:
        return Fault(chain=chain, number=number, wrong=what, detail=detail)

    for number, link in known.items():
        beside = opened.get(number)
        excuse, why = excusing(link, named, judge)
        if beside is not None and commitment(beside) != link.commitment:
            yield wrong(number, Wrong.PAYLOAD_CHANGED, f"the {link.kind} is not the one that was linked")
        elif beside is not None and excuse is not None:
            yield wrong(number, Wrong.NOT_ERASED, f"link {excuse.link.number} says it was, and it is there")
        elif beside is None and excuse is None and why:
            yield wrong(number, Wrong.DELETION_UNLAWFUL, f"the {link.kind} is gone; {why}")
        elif beside is None and excuse is None and not undisclosed:
            yield wrong(number, Wrong.PAYLOAD_MISSING, f"the {link.kind} is gone, and no deletion names it")
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
