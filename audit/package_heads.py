"""What does a daily head prove of a chain in a package, and which heads has somebody else kept? Pure."""

from __future__ import annotations

from collections.abc import Iterable

from audit.package import HeadLine
from tocsin.errors import TocsinError
from tocsin.heads import Head, Leaf, Proof, day_of, hash_of, head_in, holds


class HeadsUnreadable(TocsinError):
    """This is not the published file of heads:"""


def head_line(head: Head, leaf: Leaf, proof: Proof) -> HeadLine:
    return HeadLine(
        number=head.number,
        day=head.day,
        at_ms=head.at_ms,
        previous=head.previous.hex(),
        root=head.root.hex(),
        leaves=head.leaves,
        hash=head.hash.hex(),
        chain=leaf.chain,
        length=leaf.length,
        last=leaf.hash.hex(),
        leaf=proof.index,
        proof=tuple(one.hex() for one in proof.path),
    )


def problem_of_head(line: HeadLine) -> str:
    """Why this head, or its proof, is none; empty when it is one."""
    try:
        head, leaf, proof = _parts(line)
    except ValueError:
        return "no hexadecimal digits where they must be"
    if head_line(head, leaf, proof) != line:
        return "its hashes are not in small hexadecimal digits"
    if hash_of(head) != head.hash:
        return "its hash is not that of what it says"
    if head.day != day_of(head.at_ms):
        return "its day is not that of its hour"
    if not holds(leaf, proof, head.root):
        return f"its proof does not lead from {leaf.length} links of {leaf.chain} to its root"
    return ""


def newest_ms(lines: Iterable[bytes]) -> int | None:
    """The hour of the newest head of a published file (one that ``published_heads`` can read)."""
    return max((head.at_ms for line in lines if (head := head_in(line)) is not None), default=None)


def published_heads(lines: Iterable[bytes]) -> dict[int, str]:
    """The hash of each head in a published file, by its number. The same one may stand there twice, and the last
    line may be cut off: who published died then. Raises HeadsUnreadable with every reason."""
    found: dict[int, str] = {}
    reasons: list[str] = []
    torn = ""
    for number, line in enumerate(lines, start=1):
        if (head := head_in(line)) is None:
            torn = torn or f"line {number} is no head"
            continue
        if hash_of(head) != head.hash:
            reasons.append(f"line {number}: the hash of head {head.number} is not that of what it says")
        if found.setdefault(head.number, head.hash.hex()) != head.hash.hex():
            reasons.append(f"line {number}: head {head.number} stands there twice, and differs")
    if torn and not found:
        reasons.append(torn)
    if reasons:
        raise HeadsUnreadable("; ".join(reasons))
    return found


def _parts(line: HeadLine) -> tuple[Head, Leaf, Proof]:
    head = Head(
        number=line.number,
        day=line.day,
        at_ms=line.at_ms,
        previous=bytes.fromhex(line.previous),
        root=bytes.fromhex(line.root),
        leaves=line.leaves,
        hash=bytes.fromhex(line.hash),
    )
    leaf = Leaf(chain=line.chain, length=line.length, hash=bytes.fromhex(line.last))
    proof = Proof(index=line.leaf, leaves=line.leaves, path=tuple(bytes.fromhex(one) for one in line.proof))
    return head, leaf, proof
