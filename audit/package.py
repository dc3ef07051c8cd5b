"""In what form does the evidence of one alert leave this instance, so that a stranger can check it?

One file of JSON lines. docs/evidence.md describes it byte for byte; this module is the words and the writer,
``audit.package_reader`` the reader. Every line has exactly one right form: its members in the order in which they
stand here, nothing between them. So a byte that is not as it must be is found even where it changes no meaning.
Nothing in a package depends on when or where it was written (invariant 11). Pure. Hours are milliseconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from tocsin import sealing
from tocsin.chain import START, KeptAs, Kind, Link, Opened
from tocsin.errors import EvidenceBroken

FORMAT: Final = 1
LINE_MAX_BYTES: Final = 64 * 1024 * 1024
"""A track of some hours is a few megabytes. A longer line is no package of ours, and is not read into memory."""

EPISODE: Final = sealing.episode_chain("")
MEASURE: Final = sealing.measure_chain("")
DEVICE: Final = sealing.device_chain("")
ACCESSES: Final = "accesses/"
ORDER: Final = (EPISODE, MEASURE, DEVICE, ACCESSES)
"""Chains stand in this order, and by their name among their like."""

WHOLE: Final = (EPISODE, MEASURE, ACCESSES)
"""Of these a package has every link there is; of a device only those around the alert."""


class Unwritable(EvidenceBroken):
    """What the record holds cannot be written as evidence."""


class Header(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="package"):
    """What the alert is, as its newest ruling has it; null and empty where no ruling is kept any more.

    ``devices`` are those of every version of its measures, and its own. ``ended_ms``: when it was closed."""

    format: int
    alert: str
    realm: str | None
    code: str | None
    state: str | None
    version: int | None
    measures: tuple[str, ...]
    devices: tuple[str, ...]
    opened_ms: int | None
    ended_ms: int | None


class ChainLine(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="chain"):
    """The links that follow, ``links`` of them, stand behind the link ``after``, whose hash is ``before``; 0 and
    zeros: from the first on. ``whole``: they are all that the chain had."""

    chain: str
    after: int
    before: str
    links: int
    whole: bool


class LinkLine(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="link"):
    """``tocsin.chain.Link``, its bytes as small hexadecimal digits."""

    chain: str
    number: int
    of: Kind
    kept_as: KeptAs
    source: str
    at_ms: int
    commitment: str
    previous: str
    hash: str


class PayloadLine(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="payload"):
    """What the link above commits to. The bytes from behind ``"payload":`` to before the last ``}`` of the line
    are those that were hashed."""

    number: int
    salt: str
    payload: msgspec.Raw


class HeadLine(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="head"):
    """A daily head, and the proof that the chain had ``length`` links then, the last of them with the hash
    ``last``.

    ``leaf`` counts the leaves of its tree from 0; ``proof`` are the hashes beside the way from there to the root,
    from below."""

    number: int
    day: str
    at_ms: int
    previous: str
    root: str
    leaves: int
    hash: str
    chain: str
    length: int
    last: str
    leaf: int
    proof: tuple[str, ...]


class Seal(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="seal"):
    """The last line: the SHA-256 of every byte before it."""

    sha256: str


Line = Header | ChainLine | LinkLine | PayloadLine | HeadLine | Seal

encode: Final = msgspec.json.Encoder().encode
decode: Final = msgspec.json.Decoder(Line).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Links of one chain that follow each other, behind the link ``after`` with the hash ``before``; of ``opened``
    only what is disclosed."""

    chain: str
    links: tuple[Link, ...]
    opened: Mapping[int, Opened] = field(default_factory=dict)
    after: int = 0
    before: bytes = START

    @property
    def last(self) -> int:
        return self.links[-1].number if self.links else self.after


def place_of(chain: str) -> tuple[int, str]:
    """Where a chain stands in a package. Raises ValueError for one that has no place there."""
    for rank, prefix in enumerate(ORDER):
        if chain.startswith(prefix):
            return rank, chain
    raise ValueError(chain)


def is_whole(chain: str) -> bool:
    return chain.startswith(WHOLE)


def written(header: Header, runs: Iterable[Run], heads: Iterable[HeadLine]) -> Iterator[bytes]:
    """The lines of a package, each with its end. ``runs`` and ``heads`` in their order (``place_of``, number).

    Raises Unwritable for a payload that is no JSON on one line: it was not sealed by Tocsin."""
    digest = hashlib.sha256()
    for line in _lines(header, runs, heads):
        digest.update(line)
        yield line
    yield _ended(Seal(sha256=digest.hexdigest()))


def _lines(header: Header, runs: Iterable[Run], heads: Iterable[HeadLine]) -> Iterator[bytes]:
    yield _ended(header)
    for run in runs:
        yield _ended(chain_line(run))
        for link in run.links:
            yield _ended(link_line(link))
            if (beside := run.opened.get(link.number)) is not None:
                yield _payload(link, beside)
    yield from map(_ended, heads)


def chain_line(run: Run) -> ChainLine:
    return ChainLine(
        chain=run.chain,
        after=run.after,
        before=run.before.hex(),
        links=len(run.links),
        whole=is_whole(run.chain),
    )


def link_line(link: Link) -> LinkLine:
    return LinkLine(
        chain=link.chain,
        number=link.number,
        of=link.kind,
        kept_as=link.kept_as,
        source=link.source,
        at_ms=link.at_ms,
        commitment=link.commitment.hex(),
        previous=link.previous.hex(),
        hash=link.hash.hex(),
    )


def link_of(line: LinkLine) -> Link:
    """The inverse of ``link_line``. Raises ValueError where there are no hexadecimal digits."""
    return Link(
        chain=line.chain,
        number=line.number,
        kind=line.of,
        kept_as=line.kept_as,
        source=line.source,
        at_ms=line.at_ms,
        commitment=bytes.fromhex(line.commitment),
        previous=bytes.fromhex(line.previous),
        hash=bytes.fromhex(line.hash),
    )


def _payload(link: Link, beside: Opened) -> bytes:
    line = _ended(
        PayloadLine(number=link.number, salt=beside.salt.hex(), payload=msgspec.Raw(beside.payload)),
    )
    if why := problem_of_payload(line, beside.payload):
        raise Unwritable(f"{link.chain} {link.number}: {why}")
    return line


def problem_of_payload(line: bytes, payload: bytes) -> str:
    """Why these bytes cannot stand raw in a line; empty when they can."""
    if len(line) > LINE_MAX_BYTES:
        return f"longer than {LINE_MAX_BYTES} bytes"
    if b"\n" in payload:
        return "has more than one line"
    try:
        payload.decode()
        known = decode(line)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors, and so is text that is no UTF-8
        return "is no JSON"
    if not isinstance(known, PayloadLine) or bytes(known.payload) != payload:
        return "is no JSON that stands by itself"
    return ""


def _ended(line: Line) -> bytes:
    return encode(line) + b"\n"
