"""The shell around ``verification``: read the record piece by piece, hand each piece over, count and tell.

In memory are CHUNK links with what stands beside them, the heads, and the leaves of one head; never more, whatever
the record has grown to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

from audit import erased_rows, tables, verification
from audit.verification import (
    CHAIN,
    EPISODE,
    FILE,
    HEAD,
    LEAF,
    LINK,
    NOTIFICATION,
    OPENED,
    Context,
    Fault,
    Stretch,
)
from tocsin import chain as chains
from tocsin import heads
from tocsin.adapters.examination import Examination
from tocsin.chain import Erasure, Erasures, Judge, Link, Opened
from tocsin.heads import Head
from tocsin.model.canary import LISTED_SLACK_MS
from tocsin.retention import Keeping, keeping_of

Told = Callable[[Fault], None]
Progress = Callable[[int, int], None]
"""(links done, of how many)."""
Pairs = Sequence[tuple[Link, Opened | None]]

_PLURALS: Final = {"access": "accesses", "measure_version": "orders"}
QUERIES: Final = {name: _PLURALS.get(name, f"{name}s") for name in tables.KEY_COLUMNS}
"""The statement that reads the rows of a table."""
YOUNG_TABLES: Final = ("command", "result")
"""Not there in a record of before migration 0012."""
GAPS_OF_IMPORT: Final = "gaps of chains that came in with packages"
BEFORE_CHAINS: Final = "rows from before the chains"
TO_LINK: Final = "rows that the recorder links when it next begins"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """``chain``: that one alone. ``lines``: of the published file; None: there is none to compare with. ``place``:
    as the record names that file, None for a copy from elsewhere, which may be older."""

    chain: str | None = None
    lines: Sequence[bytes] | None = None
    place: str | None = None
    slack_ms: int = verification.CLOCK_SLACK_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What the deletions of a chain name, and who says whether they might."""

    named: Erasures
    judge: Judge


NOTHING_ERASED: Final = Erased(named={}, judge=chains.no_judge)


@dataclass(slots=True)
class Summary:
    """What was looked at, and how much of it is wrong."""

    checked: Counter[str] = field(default_factory=Counter)
    faults: int = 0


async def verify(record: Examination, asked: Asked, told: Told, progress: Progress) -> Summary:
    """Tell each fault once, as it is found. Raises RecordUnavailable, RecordRefused."""
    verifier = Verifier(record, asked, told, progress)
    await verifier.heads()
    await verifier.chains()
    await verifier.what_nobody_links()
    await verifier.what_follows()
    return verifier.summary


class Verifier:
    """One run."""

    def __init__(self, record: Examination, asked: Asked, told: Told, progress: Progress) -> None:
        self.summary = Summary()
        self._record = record
        self._asked = asked
        self._told = told
        self._progress = progress
        self._context = Context(hours={}, slack_ms=asked.slack_ms)
        self._there: set[str] = set()
        self._imported: frozenset[str] = frozenset()
        self._has_erased = False

    def _tell(self, found: Iterable[Fault]) -> None:
        for fault in found:
            self.summary.faults += 1
            self._told(fault)

    def _count(self, what: str, number: int) -> None:
        self.summary.checked[what] += number

    # ---------------------------------------------------------------------------------------------- heads

    async def heads(self) -> None:
        """Their run, their leaves, the links that these stand on, and what was published."""
        found = await self._record.heads()
        known = {head.number: head for head in found}
        self._context = Context(hours={head.number: head.at_ms for head in found}, slack_ms=self._asked.slack_ms)
        self._count(HEAD, len(found))
        self._tell(verification.of_heads(heads.faults(found)))
        for head in found:
            self._tell(verification.of_heads(heads.faults_of_leaves(head, await self._record.leaves(head.number))))
        self._count(LEAF, await self._record.leaf_count(self._asked.chain))
        await self._footings(known)
        await self._published(known)

    async def _footings(self, known: dict[int, Head]) -> None:
        async for rows in self._record.footings(self._asked.chain):
            for number, chain, length, _, link_hash, ends_at in rows:
                fault = verification.of_footing(
                    known.get(number), chain, length, has_link=link_hash is not None, ends_at=ends_at or 0
                )
                self._tell([fault])

    async def _published(self, known: dict[int, Head]) -> None:
        published = await self._record.published()
        lost = {number for _, number in published} | set(await self._record.stray_leaves())
        self._tell(
            Fault(
                table=HEAD,
                key=f"head {number}",
                wrong=heads.Wrong.HEAD_MISSING,
                detail="it was made, or published, and is gone",
            )
            for number in sorted(lost - known.keys())
        )
        if self._asked.lines is not None:
            told = [number for place, number in published if place == self._asked.place]
            self._count(FILE, len(self._asked.lines))
            self._tell(verification.of_heads(heads.faults_of_file(self._asked.lines, known, told), FILE))

    # --------------------------------------------------------------------------------------------- chains

    async def chains(self) -> None:
        """Every link, payload and cursor, and the row of each link."""
        self._imported = await self._record.imported()
        self._has_erased = await self._record.has_table("erased")
        total, done = await self._record.size(self._asked.chain), 0
        for name in tables.KEY_COLUMNS:
            if name not in YOUNG_TABLES or await self._record.has_table(name):
                self._there.add(name)
        before: Link | None = None
        erased = NOTHING_ERASED
        async for pairs in self._record.links(self._asked.chain):
            beside = await self._beside(pairs)
            for chain, run in groupby(pairs, key=lambda pair: pair[0].chain):
                links = list(run)
                if before is None or before.chain != chain:
                    before, erased = None, await self._erased(chain, links[0][0].at_ms)
                self._judge(chain, before, links, erased, beside)
                before = links[-1][0]
            done += len(pairs)
            self._progress(done, total)
        await self._ends()

    async def _beside(self, pairs: Pairs) -> dict[str, Any]:
        """The rows that these links are about, and the heads that their chains are in."""
        keys: dict[str, list[tuple[Any, ...]]] = {}
        told: list[str] = []
        for link, opened in pairs:
            name, key = tables.NAMES.get(link.kind), tables.key_of(link)
            if name is not None and key is not None:
                keys.setdefault(name, []).append(key)
            told += [] if opened is None else verification.names_told(link, opened)
        rows: dict[tuple[str, tuple[Any, ...]], list[dict[str, Any]]] = {}
        for name in keys.keys() & self._there:
            for row in await self._record.rows(QUERIES[name], keys[name]):
                key = tuple(row[column] for column in tables.KEY_COLUMNS[name])
                rows.setdefault((name, key), []).append(row)
        notifications = await self._record.rows("notifications", [(name,) for name in told])
        covered = await self._record.covered(sorted({link.chain for link, _ in pairs}))
        return {"rows": rows, "told": {row["id"]: row for row in notifications}, "covered": covered}

    def _judge(
        self, chain: str, before: Link | None, pairs: Pairs, erased: Erased, beside: dict[str, Any]
    ) -> None:
        stretch = Stretch(
            chain=chain,
            before=before,
            links=[link for link, _ in pairs],
            opened={link.number: opened for link, opened in pairs if opened is not None},
            named=erased.named,
            judge=erased.judge,
            rows=beside["rows"],
            told=beside["told"],
            covered=beside["covered"].get(chain, ()),
        )
        self._count(LINK, len(pairs))
        self._count(OPENED, len(stretch.opened))
        gone = [
            link for link in stretch.links if link.number in erased.named and link.number not in stretch.opened
        ]
        self._count("payloads erased", len(gone))
        for link in stretch.links:
            if (name := tables.NAMES.get(link.kind)) is not None:
                self._count(f"tocsin.{name}", 1)
        found = list(verification.faults_of_stretch(stretch, self._context))
        if chain in self._imported:
            gaps = [fault for fault in found if verification.is_gap_of_import(chain, fault)]
            self._count(GAPS_OF_IMPORT, len(gaps))
            found = [fault for fault in found if fault not in gaps]
        self._tell(found)

    async def _erased(self, chain: str, first_ms: int) -> Erased:
        """Asked once a chain, for what a deletion names stands before it."""
        pairs = await self._record.proofs(chain)
        opened = {link.number: beside for link, beside in pairs if beside is not None}
        links, keeping = [link for link, _ in pairs], keeping_of(chain, first_ms, pairs)
        await self._rows_erased(chain, chains.of_rows(links, opened), keeping)
        return Erased(named=chains.erasures(links, opened), judge=keeping)

    async def _rows_erased(self, chain: str, found: Sequence[Erasure], keeping: Keeping) -> None:
        """What deletions say that no link commits to. A package brings links, and no rows of units."""
        for one in found if self._has_erased and chain not in self._imported else ():
            self._count("erasures of rows", 1)
            from_ms, until_ms = one.said.from_ms, one.said.until_ms
            is_left = from_ms is not None and until_ms is not None
            is_left = is_left and await self._record.has_history(
                chain.partition("/")[2], from_ms or 0, until_ms or 0
            )
            is_named = until_ms is not None or await self._record.is_erased(chain)
            self._tell(erased_rows.of_deletion(one, keeping, is_left=is_left, is_named=is_named))

    async def _ends(self) -> None:
        async for rows in self._record.ends(self._asked.chain):
            self._count(CHAIN, len(rows))
            for chain, length, hash_, number, last in rows:
                cursor = None if length is None else (length, bytes(hash_))
                self._tell(verification.of_end(chain, cursor, None if number is None else (number, bytes(last))))

    # ---------------------------------------------------------------------------------- beside the chains

    async def what_nobody_links(self) -> None:
        """Payloads without a link, and rows of the tables."""
        async for rows in self._record.orphans(self._asked.chain):
            self._tell(verification.of_orphan(chain, number) for chain, number in rows)
        waiting = await self._record.to_link(self._asked.chain)
        listed_ms = await self._record.listed_until_ms()
        until_ms = None if listed_ms is None else listed_ms + LISTED_SLACK_MS
        for name in tables.KEY_COLUMNS:
            if name in self._there:
                async for rows in self._record.unlinked(QUERIES[name], self._asked.chain):
                    self._tell(self._unlinked(name, rows, waiting, until_ms))
        self._tell(verification.of_unlisted(*place) for place in sorted(waiting))

    def _unlinked(
        self,
        name: str,
        rows: Sequence[tuple[Any, ...]],
        waiting: set[tuple[str, str]],
        until_ms: int | None,
    ) -> Iterator[Fault]:
        """Canaries are not linked; what was written before there were chains, or before its kind was linked, is
        counted. ``waiting``: the latter, each until it was met; it excuses what could have been listed, before
        ``until_ms``, and nothing else."""
        for row in rows:
            key, rest = row[: len(tables.KEY_COLUMNS[name])], row[len(tables.KEY_COLUMNS[name]) :]
            place = verification.place_of_unlinked(name, key, rest)
            is_listed = place in waiting
            waiting.discard(place or ("", ""))
            if rest and rest[-1] == "true":
                self._count(BEFORE_CHAINS, 1)
            elif is_listed and verification.could_be_listed(name, key, rest, until_ms):
                self._count(TO_LINK, 1)
            elif not verification.is_a_canarys(name, key, rest):
                yield verification.of_unlinked(name, key)

    async def what_follows(self) -> None:
        """Of the rulings: how alerts stand, and who was to be told."""
        async for rows in self._record.measures(self._asked.chain):
            self._tell(verification.of_measure(name) for (name,) in rows)
        if self._has_erased:
            self._tell(map(erased_rows.of_measure, await self._record.gone_measures(self._asked.chain)))
            odd = await self._record.odd_erased(self._asked.chain)
            self._tell(erased_rows.of_name(what, name, is_proved=proved) for what, name, proved in odd)
        await self._each(EPISODE, self._record.episodes(self._asked.chain), verification.of_episode)
        await self._each(NOTIFICATION, self._record.told(self._asked.chain), verification.of_told)

    async def _each(
        self,
        table: str,
        rows: AsyncIterator[list[dict[str, Any]]],
        judge: Callable[[dict[str, Any]], Iterator[Fault]],
    ) -> None:
        async for some in rows:
            self._count(table, len(some))
            for row in some:
                self._tell(judge(row))
