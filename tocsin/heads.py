"""What holds all chains of the record together, once a day, so that not even their owner can make them anew?

ARCHITECTURE, A13. A *head* is made once a UTC day: the root of a Merkle tree (RFC 6962, section 2.1) over where
each chain stood that had grown since the head before, and the hash of that head. It is about nobody, and is
published outside the database: whoever has kept it can tell a record that was cut off, or made anew, from the one
of that day. ``proof`` shows with some hashes that one chain stood so, without the others.

Pure; hours are milliseconds. The byte layouts are in docs/proof.md, for those who check without this code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Final

import msgspec

from tocsin.clock import MS, utc

NO_HEAD: Final = bytes(32)
"""What the first head has in the place of the one before it."""
AFTER_MIDNIGHT_MS: Final = 5 * 60 * MS
"""What was linked before midnight is committed by then: a writer's statements end at 2.5 s."""
DAY_MS: Final = 86_400 * MS

_ENTRY: Final = b"tocsin leaf 1\n"
_HEAD: Final = b"tocsin head 1\n"
_LEAF_NODE: Final = b"\x00"
_INNER_NODE: Final = b"\x01"
"""RFC 6962 tells leaves from inner nodes, so that neither can be shown for the other."""


class Leaf(msgspec.Struct, frozen=True, kw_only=True):
    """Where one chain stood: so many links, the last of them with this hash."""

    chain: str
    length: int
    hash: bytes


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """``number`` counts from 1 without gaps. ``day``: the UTC day of ``at_ms``, when it was made. ``leaves``: how
    many there are below ``root``. ``hash`` is over everything else in it."""

    number: int
    day: str
    at_ms: int
    previous: bytes
    root: bytes
    leaves: int
    hash: bytes


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """The audit path of RFC 6962 from one leaf to the root: which leaf of how many (from 0), and the hashes beside
    its way up, lowest first."""

    index: int
    leaves: int
    path: tuple[bytes, ...]


class Wrong(StrEnum):
    """What can be wrong with heads."""

    HEAD_CHANGED = "head_changed"
    HEAD_MISSING = "head_missing"
    HEAD_NOT_PUBLISHED = "head_not_published"
    LEAVES_CHANGED = "leaves_changed"
    CLOCK_BACK = "clock_back"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """``number``: of the head; of UNREADABLE the line of the file."""

    number: int
    wrong: Wrong
    detail: str


def day_of(at_ms: int) -> str:
    return f"{utc(at_ms):%Y-%m-%d}"


def due_ms(last: Head | None) -> int:
    """From which hour on the next one is to be made. A day without one is no gap: the next has all that grew."""
    if last is None:
        return 0
    return (last.at_ms // DAY_MS + 1) * DAY_MS + AFTER_MIDNIGHT_MS


# ------------------------------------------------------------------------------------------------------ the tree


def entry(leaf: Leaf) -> bytes:
    """What of a leaf is hashed: everything that it says, each part behind its length."""
    return _ENTRY + _behind_lengths(leaf.chain, str(leaf.length)) + leaf.hash


def root_of(leaves: Sequence[Leaf]) -> bytes:
    return merkle_root([entry(leaf) for leaf in leaves])


def merkle_root(entries: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962: of none the hash of nothing."""
    if not entries:
        return sha256().digest()
    return _root([sha256(_LEAF_NODE + one).digest() for one in entries])


def proof(leaves: Sequence[Leaf], index: int) -> Proof:
    """That ``leaves[index]`` is below the root of all of them. Raises IndexError."""
    if not 0 <= index < len(leaves):
        raise IndexError(index)
    hashes = [sha256(_LEAF_NODE + entry(leaf)).digest() for leaf in leaves]
    return Proof(index=index, leaves=len(leaves), path=tuple(_path(hashes, index)))


def holds(leaf: Leaf, shown: Proof, root: bytes) -> bool:
    """Whether the proof leads from this leaf to this root (RFC 9162, section 2.1.3.2). Of whatever form it is."""
    number, last = shown.index, shown.leaves - 1
    if not 0 <= number <= last:
        return False
    found = sha256(_LEAF_NODE + entry(leaf)).digest()
    for beside in shown.path:
        if last == 0:
            return False  # longer than the tree is high
        if number & 1 or number == last:
            found = _joined(beside, found)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            found = _joined(found, beside)
        number, last = number >> 1, last >> 1
    return last == 0 and found == root


def _joined(left: bytes, right: bytes) -> bytes:
    return sha256(_INNER_NODE + left + right).digest()


def _root(hashes: Sequence[bytes]) -> bytes:
    """Of the lower ones and of the rest; the lower ones are the most that are a power of two, and not all."""
    if len(hashes) == 1:
        return hashes[0]
    half = _half(len(hashes))
    return _joined(_root(hashes[:half]), _root(hashes[half:]))


def _path(hashes: Sequence[bytes], index: int) -> Iterator[bytes]:
    if len(hashes) == 1:
        return
    half = _half(len(hashes))
    if index < half:
        yield from _path(hashes[:half], index)
        yield _root(hashes[half:])
    else:
        yield from _path(hashes[half:], index - half)
        yield _root(hashes[:half])


def _half(size: int) -> int:
    return 1 << ((size - 1).bit_length() - 1)


# ------------------------------------------------------------------------------------------------ heads in a row


def head_of(leaves: Sequence[Leaf], *, after: Head | None, at_ms: int) -> Head:
    """The next one, of leaves in the order of their chains' names as bytes in UTF-8."""
    head = Head(
        number=1 if after is None else after.number + 1,
        day=day_of(at_ms),
        at_ms=at_ms,
        previous=NO_HEAD if after is None else after.hash,
        root=root_of(leaves),
        leaves=len(leaves),
        hash=b"",
    )
    return msgspec.structs.replace(head, hash=hash_of(head))


def hash_of(head: Head) -> bytes:
    """Over everything in the head but the hash itself."""
    words = (str(head.number), head.day, str(head.at_ms), str(head.leaves))
    return sha256(_HEAD + _behind_lengths(*words) + head.root + head.previous).digest()


def faults(heads: Iterable[Head]) -> Iterator[Fault]:
    """Everything that is wrong with a run of heads that begins with the first one ever made."""
    number, previous, at_ms = 0, NO_HEAD, 0
    for head in heads:
        if head.number != number + 1:
            yield _fault(number + 1, Wrong.HEAD_MISSING, f"the next one is {head.number}")
        elif head.previous != previous:
            yield _fault(head.number, Wrong.HEAD_CHANGED, "it follows another head than the one before it")
        if hash_of(head) != head.hash:
            yield _fault(head.number, Wrong.HEAD_CHANGED, "its hash is not that of what it says")
        elif head.day != day_of(head.at_ms):
            yield _fault(head.number, Wrong.HEAD_CHANGED, f"its day is not {day_of(head.at_ms)}, that of its hour")
        if head.at_ms < at_ms:
            yield _fault(head.number, Wrong.CLOCK_BACK, f"made {at_ms - head.at_ms} ms before the one before it")
        number, previous, at_ms = head.number, head.hash, max(at_ms, head.at_ms)


def faults_of_leaves(head: Head, leaves: Sequence[Leaf]) -> Iterator[Fault]:
    """Whether these, in their order, are what the head was made of."""
    if len(leaves) != head.leaves:
        detail = f"it was made of {head.leaves} chains, and has {len(leaves)}"
        yield _fault(head.number, Wrong.LEAVES_CHANGED, detail)
    elif root_of(leaves) != head.root:
        yield _fault(head.number, Wrong.LEAVES_CHANGED, "its root is not that of its leaves")


def _fault(number: int, wrong: Wrong, detail: str) -> Fault:
    return Fault(number=number, wrong=wrong, detail=detail)


def _behind_lengths(*words: str) -> bytes:
    return b"".join(len(word.encode()).to_bytes(4, "big") + word.encode() for word in words)


# -------------------------------------------------------------------------------------------------- as published


class Published(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A head as those outside have it, hashes in hexadecimal: a line of the file, and ``data`` of the webhook."""

    number: int
    day: str
    at_ms: int
    previous: str
    root: str
    leaves: int
    hash: str


_HASH: Final = re.compile(r"[0-9a-f]{64}")
_read = msgspec.json.Decoder(Published).decode


def published(head: Head) -> Published:
    return Published(
        number=head.number, day=head.day, at_ms=head.at_ms, previous=head.previous.hex(), root=head.root.hex(),
        leaves=head.leaves, hash=head.hash.hex(),
    )  # fmt: skip


def line_of(head: Head) -> bytes:
    """With the end of the line."""
    return msgspec.json.encode(published(head)) + b"\n"


def head_in(line: bytes) -> Head | None:
    """The inverse; None for what is no head."""
    try:
        read = _read(line)
    except msgspec.DecodeError:
        return None
    hashes = (read.previous, read.root, read.hash)
    if not all(_HASH.fullmatch(one) for one in hashes):
        return None
    previous, root, hash_ = map(bytes.fromhex, hashes)
    return Head(
        number=read.number, day=read.day, at_ms=read.at_ms, previous=previous, root=root, leaves=read.leaves,
        hash=hash_,
    )  # fmt: skip


def faults_of_file(
    lines: Iterable[bytes], record: Mapping[int, Head], told: Iterable[int] = ()
) -> Iterator[Fault]:
    """Where a published file and the record do not agree. ``told``: the numbers that were published there.

    The same line twice is one: who published it died before he had noted that. A beginning of the line behind it
    is such a death too.
    """
    seen: set[int] = set()
    for number, (line, following) in enumerate(_with_the_next(lines), 1):
        head = head_in(line)
        if head is None:
            if not _is_unfinished(line, following, record):
                yield _fault(number, Wrong.UNREADABLE, "this line of the published file is no head")
            continue
        seen.add(head.number)
        yield from _beside_the_record(head, record.get(head.number))
    for number in sorted(set(told) - seen):
        yield _fault(number, Wrong.HEAD_NOT_PUBLISHED, "it was published, and the published file has it no longer")


def _is_unfinished(line: bytes, following: bytes, record: Mapping[int, Head]) -> bool:
    """Whether it is where a writer died: the next one has begun the line anew, or nobody has come since."""
    begun = line.rstrip(b"\n")
    if following:
        return bool(begun.strip()) and following.startswith(begun)
    return not line.endswith(b"\n") and any(line_of(head).startswith(begun) for head in record.values())


def _beside_the_record(head: Head, known: Head | None) -> Iterator[Fault]:
    if hash_of(head) != head.hash:
        yield _fault(
            head.number, Wrong.HEAD_CHANGED, "the published file was changed: the hash is not that of the line"
        )
    elif known is None:
        detail = f"it was published on {head.day}, and the record has it no longer: the record was cut off"
        yield _fault(head.number, Wrong.HEAD_MISSING, detail)
    elif known != head:
        detail = f"the record has another one than was published on {head.day}: the record was made anew"
        yield _fault(head.number, Wrong.HEAD_CHANGED, detail)


def _with_the_next(lines: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    before: bytes | None = None
    for line in lines:
        if before is not None:
            yield before, line
        before = line
    if before is not None:
        yield before, b""
