"""Is this file the evidence that it says it is, byte for byte? If not: where, and what of it?

Read line by line, one run of one chain in memory at a time. ``parts`` finds what is wrong with the form of the
file and with each chain by itself; ``audit.package_verification`` what is wrong between them. Every byte counts:
the seal has them all, each line has one right form, and behind the seal comes nothing. Whoever changes a payload
and makes the seal anew is found by the commitment, who changes a link by its hash, who makes the chain anew by the
head. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import msgspec

from audit.package import (
    ACCESSES,
    DEVICE,
    FORMAT,
    LINE_MAX_BYTES,
    ChainLine,
    Header,
    HeadLine,
    Line,
    LinkLine,
    PayloadLine,
    Seal,
    decode,
    encode,
    is_whole,
    link_line,
    link_of,
    place_of,
)
from tocsin import chain as chains
from tocsin.chain import SALT_BYTES, Link, Opened

READ_AT_ONCE: Final = LINE_MAX_BYTES + 1


class What(StrEnum):
    """What can be wrong with a package. Those of a chain are the words of ``tocsin.chain``."""

    SEAL_BROKEN = "seal_broken"
    CUT_OFF = "cut_off"
    BEHIND_THE_SEAL = "behind_the_seal"
    UNREADABLE = "unreadable"
    TOO_LONG = "too_long"
    LINE_CHANGED = "line_changed"
    NO_HEADER = "no_header"
    OTHER_FORMAT = "other_format"
    HEADER_CHANGED = "header_changed"
    OUT_OF_PLACE = "out_of_place"
    CHAIN_MISSING = "chain_missing"
    CHAIN_FOREIGN = "chain_foreign"
    CHAIN_CUT = "chain_cut"
    LINK_MISSING = "link_missing"
    LINK_ADDED = "link_added"
    LINK_FOREIGN = "link_foreign"
    LINK_CHANGED = "link_changed"
    CLOCK_BACK = "clock_back"
    PAYLOAD_CHANGED = "payload_changed"
    PAYLOAD_MISSING = "payload_missing"
    PAYLOAD_ADDED = "payload_added"
    PAYLOAD_FOREIGN = "payload_foreign"
    DELETION_UNLAWFUL = "deletion_unlawful"
    NOT_ERASED = "not_erased"
    HEAD_CHANGED = "head_changed"
    HEAD_OTHER = "head_other"
    NOT_COVERED = "not_covered"
    DISAGREES = "disagrees"
    DECIDED_OTHERWISE = "decided_otherwise"
    CASE_MISSING = "case_missing"
    CASE_FOREIGN = "case_foreign"
    CASE_DOUBLED = "case_doubled"


class Wrong(msgspec.Struct, frozen=True, kw_only=True):
    """One fault. ``line`` counts from 1; ``chain``, ``number`` and ``of`` (the kind) as far as they are known,
    else empty and 0. ``detail`` is for people."""

    line: int
    what: What
    detail: str
    chain: str = ""
    number: int = 0
    of: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRead:
    """A run as it stands in the file. ``line``: of its chain line; ``lines``: of each link, by its number."""

    line: int
    said: ChainLine
    after: tuple[int, bytes]
    links: tuple[Link, ...]
    opened: dict[int, Opened]
    lines: dict[int, int]

    def line_of(self, number: int) -> int:
        """Of what is not there: the line of the last that is there before it."""
        return max((line for known, line in self.lines.items() if known <= number), default=self.line)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderRead:
    line: int
    said: Header


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadRead:
    line: int
    said: HeadLine


Part = HeaderRead | RunRead | HeadRead | Wrong


def lines_of(file: Iterable[bytes]) -> Iterator[bytes]:
    """A binary file, line by line; a line that is too long comes in pieces, and none of them is one."""
    readline = getattr(file, "readline", None)
    if readline is None:
        yield from file
        return
    while line := readline(READ_AT_ONCE):
        yield line


def parts(lines: Iterable[bytes]) -> Iterator[Part]:
    """The parts of a package in their order, and everything that is wrong with its form. Reads to the end."""
    reader = _Reader()
    for number, line in enumerate(lines, start=1):
        yield from reader.take(number, line)
    yield from reader.end()


@dataclass(slots=True)
class _Open:
    """A run that is being read."""

    line: int
    said: ChainLine
    links: list[Link] = field(default_factory=list)
    opened: dict[int, Opened] = field(default_factory=dict)
    lines: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Reader:
    _digest: hashlib._Hash = field(default_factory=hashlib.sha256)
    _count: int = 0
    _header: bool = False
    _sealed: bool = False
    _heads: bool = False
    _run: _Open | None = None
    _just: Link | None = None
    """The link that stood directly above."""
    _place: tuple[int, str, int] = (-1, "", 0)

    def take(self, number: int, line: bytes) -> Iterator[Part]:
        self._count = number
        if self._sealed:
            yield Wrong(line=number, what=What.BEHIND_THE_SEAL, detail="nothing may follow the seal")
            return
        said, wrong = _read(number, line)
        yield from wrong
        above, self._just = self._just, None
        match said:
            case Seal():
                yield from self._close()
                yield from self._seal(number, said)
                return
            case Header():
                yield from self._on_header(number, said)
            case ChainLine():
                yield from self._close()
                yield from self._on_chain(number, said)
            case LinkLine():
                yield from self._on_link(number, said)
            case PayloadLine():
                yield from self._on_payload(number, said, above)
            case HeadLine():
                yield from self._close()
                self._heads = True
                yield HeadRead(line=number, said=said)
            case None:
                pass
        if number == 1 and not isinstance(said, Header):
            yield Wrong(line=1, what=What.NO_HEADER, detail="a package begins with what it is about")
        self._digest.update(line)

    def end(self) -> Iterator[Part]:
        yield from self._close()
        if not self._sealed:
            detail = "it ends without its seal: something is cut off" if self._count else "it is empty"
            yield Wrong(line=self._count + 1, what=What.CUT_OFF, detail=detail)

    def _on_header(self, number: int, said: Header) -> Iterator[Part]:
        if self._header or number != 1:
            yield Wrong(line=number, what=What.OUT_OF_PLACE, detail="a second header")
            return
        self._header = True
        if said.format != FORMAT:
            yield Wrong(line=number, what=What.OTHER_FORMAT, detail=f"format {said.format}, this reads {FORMAT}")
        yield HeaderRead(line=number, said=said)

    def _on_chain(self, number: int, said: ChainLine) -> Iterator[Part]:
        def wrong(what: What, detail: str) -> Wrong:
            return Wrong(line=number, what=what, chain=said.chain, detail=detail)

        self._run = _Open(line=number, said=said)
        try:
            place = (*place_of(said.chain), said.after)
        except ValueError:
            yield wrong(What.CHAIN_FOREIGN, "no chain of this name belongs into a package")
            return
        if self._heads:
            yield wrong(What.OUT_OF_PLACE, "a chain behind the heads")
        if place <= self._place:
            yield wrong(What.OUT_OF_PLACE, "not in the order of chains, twice, or over the run before it")
        self._place = place
        if said.whole != is_whole(said.chain) or (said.whole and said.after != 0):
            yield wrong(What.CHAIN_CUT, "of this chain every link must be there, from the first on")
        if said.after < 0 or _bytes(said.before) is None:
            yield wrong(What.LINK_CHANGED, "what it stands behind is no link")
        if said.links == 0 and (said.after, said.before) != (0, chains.START.hex()):
            yield wrong(What.LINK_CHANGED, "nothing follows, and so it stands behind nothing")

    def _on_link(self, number: int, said: LinkLine) -> Iterator[Part]:
        try:
            link = link_of(said)
        except ValueError:
            yield _of(said, number, What.UNREADABLE, "no hexadecimal digits where they must be")
            return
        if link_line(link) != said:
            yield _of(said, number, What.LINE_CHANGED, "hexadecimal digits are small letters here")
        if self._run is None:
            yield _of(said, number, What.OUT_OF_PLACE, "a link outside of a chain")
            return
        if link.number in self._run.lines:
            foreign = link.chain != self._run.said.chain
            detail = f"a link of it in {self._run.said.chain}" if foreign else "stands there twice"
            yield _of(said, number, What.LINK_FOREIGN if foreign else What.LINK_ADDED, detail)
            return
        self._run.links.append(link)
        self._run.lines[link.number] = number
        self._just = link
        if link.chain == self._run.said.chain:
            rank, name, after = self._place
            self._place = (rank, name, max(after, link.number - 1))

    def _on_payload(self, number: int, said: PayloadLine, above: Link | None) -> Iterator[Part]:
        if above is None or self._run is None or above.number != said.number:
            yield Wrong(
                line=number,
                what=What.PAYLOAD_ADDED,
                number=said.number,
                detail="not below the link that commits to it",
            )
            return
        salt = _bytes(said.salt, SALT_BYTES)  # what is no salt commits to nothing
        self._run.opened[above.number] = Opened(salt=salt or b"", payload=bytes(said.payload))

    def _close(self) -> Iterator[Part]:
        """The run ends here: what is wrong with it by itself."""
        run, self._run = self._run, None
        if run is None:
            return
        before = _bytes(run.said.before)
        read = RunRead(
            line=run.line,
            said=run.said,
            after=(run.said.after, before or chains.START),
            links=tuple(run.links),
            opened=run.opened,
            lines=run.lines,
        )
        yield from _faults(read)
        yield read

    def _seal(self, number: int, said: Seal) -> Iterator[Part]:
        self._sealed = True
        if said.sha256 != self._digest.hexdigest():
            yield Wrong(line=number, what=What.SEAL_BROKEN, detail="it is not the hash of the lines above it")


def _faults(run: RunRead) -> Iterator[Wrong]:
    """By ``tocsin.chain``; whether a payload may be missing is judged with all runs of the chain in sight."""
    by_number = {link.number: link for link in run.links}

    def wrong(number: int, what: What, detail: str) -> Wrong:
        link = by_number.get(number)
        return Wrong(
            line=run.line_of(number) + (what is What.PAYLOAD_CHANGED),  # it stands below its link
            what=what,
            chain=run.said.chain,
            number=number,
            of="" if link is None else link.kind,
            detail=detail,
        )

    found = chains.faults(run.said.chain, run.links, run.opened, after=run.after, undisclosed=True, erased={})
    for fault in found:
        yield wrong(fault.number, What(fault.wrong.value), fault.detail)
    if len(run.links) != run.said.links:
        last = run.links[-1].number if run.links else run.after[0]
        what = What.CUT_OFF if len(run.links) < run.said.links else What.LINK_ADDED
        yield wrong(last, what, f"{run.said.links} links are announced, and there are {len(run.links)}")


def _read(number: int, line: bytes) -> tuple[Line | None, list[Wrong]]:
    if not line.endswith(b"\n"):
        what = What.TOO_LONG if len(line) > LINE_MAX_BYTES else What.CUT_OFF
        return None, [Wrong(line=number, what=what, detail="a line without its end")]
    try:
        line.decode()
        said = decode(line)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors, and so is text that is no UTF-8
        return None, [Wrong(line=number, what=What.UNREADABLE, detail="not one of the lines that a package has")]
    if encode(said) + b"\n" != line:
        return said, [_of(said, number, What.LINE_CHANGED, "says it in another form than the one that is right")]
    return said, []


def _of(said: Line, number: int, what: What, detail: str) -> Wrong:
    match said:
        case LinkLine():
            return Wrong(line=number, what=what, chain=said.chain, number=said.number, of=said.of, detail=detail)
        case ChainLine() | HeadLine():
            return Wrong(line=number, what=what, chain=said.chain, detail=detail)
        case PayloadLine():
            return Wrong(line=number, what=what, number=said.number, detail=detail)
        case _:
            return Wrong(line=number, what=what, detail=detail)


def _bytes(digits: str, length: int = 32) -> bytes | None:
    """So many bytes in small hexadecimal digits, or None."""
    try:
        found = bytes.fromhex(digits)
    except ValueError:
        return None
    return found if len(found) == length and found.hex() == digits else None


def may_be_withheld(link: Link, window: tuple[int, int] | None) -> bool:
    """Whether a package may leave this payload out without a deletion: accesses to other alerts, and what a unit
    was told at other hours."""
    if link.kind in {chains.Kind.DELETION, chains.Kind.HOLD}:
        return False
    if link.chain.startswith(ACCESSES):
        return True
    from_ms, until_ms = (0, 0) if window is None else window
    return link.chain.startswith(DEVICE) and not from_ms <= link.at_ms <= until_ms
