"""What does the record have of one alert, at one moment, and how does evidence from another instance come into it?

Links and payloads as they are, never read and written again. What comes in is all or nothing, and only if nothing
of it contradicts what is here: then every reason is said at once. Hours are milliseconds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from tocsin.adapters.postgres import Connection, Pool, Row, load_queries, ms_of, transaction
from tocsin.adapters.seals import link_of
from tocsin.chain import START, Deletion, Kind, Link, Opened, deletions
from tocsin.clock import utc
from tocsin.errors import EvidenceTooLarge, TocsinError
from tocsin.heads import Head, Leaf
from tocsin.turns import A_TURN

SQL = load_queries("evidence.sql")
END: Final = 2**63 - 1
STATEMENT_TIMEOUT_S: Final = 60.0
"""A command that somebody waits for, not a worker with a lease: the chain of a unit may have years in it."""


class Conflicts(TocsinError):
    """This evidence contradicts what is here:"""

    def __init__(self, reasons: Sequence[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__("; ".join(reasons))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Links of one chain that follow each other, behind the link ``after`` with the hash ``before``."""

    chain: str
    after: int
    before: bytes
    links: Sequence[Link]
    opened: dict[int, Opened] = field(default_factory=dict)


Wanted = Callable[[Kind, Opened], bool]
"""Whether the payload of a link of this kind is to be kept in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """How much may be read at one moment, of all chains together."""

    links: int
    payload_bytes: int


class Evidence:
    """Raises RecordUnavailable from every method."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def reading(self, bound: Bound | None = None) -> AsyncIterator[Reading]:
        """The record as it stands at one moment; without ``bound`` as much of it as there is."""
        async with transaction(self._pool) as connection:
            await connection.execute(SQL["one_moment"])
            yield Reading(connection, bound)

    async def take_in(
        self,
        alert: str,
        seal: str,
        stretches: Sequence[Stretch],
        heads: Sequence[tuple[str, int, bytes]],
        at_ms: int,
    ) -> int:
        """Keep what is not here yet; returns how many links that were. Raises Conflicts, and has kept nothing.

        Only where nothing is but what came in so: an instance that watches somebody takes in nothing."""
        names = sorted({one.chain for one in stretches})
        async with transaction(self._pool) as connection:  # without locks: nobody waits for a no
            if await _own(connection):
                raise Conflicts(await _reasons(connection, alert, stretches, heads))
        async with transaction(self._pool) as connection:
            await connection.execute(SQL["lock_own"])
            await connection.execute(SQL["begin_chains"], {"names": names, "start": START})
            await connection.execute(SQL["lock_chains"], {"names": names})
            if reasons := await _reasons(connection, alert, stretches, heads):
                raise Conflicts(reasons)
            new = sum([await _keep(connection, one) for one in stretches])
            for head in heads:
                await connection.execute(SQL["keep_head"], head)
            await connection.execute(SQL["keep_chains"], {"names": names})
            await connection.execute(SQL["keep_import"], (alert, seal, utc(at_ms)))
        return new


class Reading:
    """Within one transaction."""

    def __init__(self, connection: Connection, bound: Bound | None = None) -> None:
        self._connection = connection
        self._left = bound

    async def stretch(
        self, chain: str, *, after: int = 0, until: int = END, wanted: Wanted | None = None
    ) -> Stretch:
        """The links numbered behind ``after``, up to and with ``until``, and of the payloads that are kept those
        that are ``wanted``.

        Raises EvidenceTooLarge: for links and for payloads that are all wanted, before any of it is read."""
        await self._allow(chain, after, until, with_payloads=wanted is None)
        links = await _links(self._connection, chain, after, until)
        kind_of = {} if wanted is None else {link.number: link.kind for link in links}
        opened: dict[int, Opened] = {}
        async for page in _payloads(self._connection, chain, after, until):
            if wanted is None:
                opened |= page
                continue
            kept = {number: one for number, one in page.items() if wanted(kind_of[number], one)}
            self._spend(chain, payload_bytes=sum(len(one.payload) for one in kept.values()))
            opened |= kept
        before = links[0].previous if links else START
        return Stretch(chain=chain, after=after if links else 0, before=before, links=links, opened=opened)

    async def span(self, chain: str, from_ms: int, until_ms: int) -> tuple[int, int] | None:
        """The numbers of the first and the last link of a unit that belong between two hours."""
        values = {"chain": chain, "from": utc(from_ms), "until": utc(until_ms), "until_ms": until_ms}
        (row,) = await self._rows("span", values)
        return None if row[0] is None else (row[0], row[1])

    async def deletions(self, chain: str) -> list[tuple[int, Deletion]]:
        """By the number of their own link. One that cannot be read is left out: it names nothing."""
        numbers = [row[0] for row in await self._rows("deletions", [chain])]
        found: list[tuple[int, Deletion]] = []
        for number in numbers:
            own = await self.stretch(chain, after=number - 1, until=number)
            found.extend((number, one) for one in deletions(own.links, own.opened))
        return found

    async def access_days(self, alert: str) -> list[str]:
        """The UTC days on which somebody has read it."""
        return sorted(row[0] for row in await self._rows("access_days", [alert]))

    async def is_imported(self, alert: str) -> bool:
        """It came in with a package: what proves it are the heads that came with it."""
        ((found,),) = await self._rows("is_imported", [alert])
        return bool(found)

    async def imported_heads(self, chains: Sequence[str]) -> list[bytes]:
        return [bytes(row[0]) for row in await self._rows("imported_heads", [list(chains)])]

    async def leaves_of(self, chains: Sequence[str]) -> list[tuple[str, int, int, int]]:
        """In which heads these chains are: chain, number of the head, position in it, length then."""
        return [(chain, head, place, length) for chain, head, place, length in await self._rows(
            "leaves_of", [list(chains)])]  # fmt: skip

    async def head(self, number: int) -> tuple[Head, list[Leaf]]:
        """With all its leaves, in their order."""
        (row,) = await self._rows("head", [number])
        leaves = await self._rows("head_leaves", [number])
        return _head(row), [Leaf(chain=one[0], length=one[1], hash=bytes(one[2])) for one in leaves]

    async def _allow(self, chain: str, after: int, until: int, *, with_payloads: bool) -> None:
        """What is read twice counts twice: the bound is of the work."""
        if self._left is None:
            return
        limit = self._left.links + 1
        values = {"chain": chain, "after": after, "until": until, "limit": limit}
        if with_payloads:
            ((links, payload_bytes),) = await self._rows("weight", values)
        else:
            ((links,),), payload_bytes = await self._rows("length", values), 0
        self._spend(chain, links=links, payload_bytes=payload_bytes)

    def _spend(self, chain: str, *, links: int = 0, payload_bytes: int = 0) -> None:
        if self._left is None:
            return
        self._left = Bound(links=self._left.links - links, payload_bytes=self._left.payload_bytes - payload_bytes)
        if min(self._left.links, self._left.payload_bytes) < 0:
            raise EvidenceTooLarge(chain)

    async def _rows(self, query: str, values: dict[str, Any] | Sequence[Any]) -> list[Row]:
        return await (await self._connection.execute(SQL[query], values)).fetchall()


async def _links(connection: Connection, chain: str, after: int, until: int) -> list[Link]:
    """A page at a time: between two of them the loop has other things to do."""
    links: list[Link] = []
    async for page in _pages(connection, "links", chain, after, until, number_of=lambda row: row[1]):
        links.extend(link_of((chain, *row[1:])) for row in page)  # one name for all, not one each
    return links


async def _payloads(
    connection: Connection, chain: str, after: int, until: int
) -> AsyncIterator[dict[int, Opened]]:
    async for page in _pages(connection, "opened", chain, after, until, number_of=lambda row: row[0]):
        yield {n: Opened(salt=bytes(salt), payload=bytes(payload)) for n, salt, payload in page}


async def _pages(
    connection: Connection, query: str, chain: str, after: int, until: int, *, number_of: Callable[[Row], int]
) -> AsyncIterator[list[Row]]:
    while True:
        values = {"chain": chain, "after": after, "until": until, "limit": A_TURN}
        page = await (await connection.execute(SQL[query], values)).fetchall()
        yield page
        if len(page) < A_TURN:
            return
        after = number_of(page[-1])


OWN: Final = (
    "units that are registered here",
    "measures that are watched here",
    "alerts of its own",
    "chains of its own",
)


async def _reasons(
    connection: Connection, alert: str, stretches: Sequence[Stretch], heads: Sequence[tuple[str, int, bytes]]
) -> list[str]:
    """Why this evidence is not taken in; empty: it is."""
    return [
        *await _own(connection),
        *await _of_the_alert(connection, alert),
        *[reason for one in stretches for reason in await _conflicts(connection, one)],
        *[reason for one in heads for reason in await _of_a_head(connection, *one)],
    ]


async def _own(connection: Connection) -> list[str]:
    """Why this is no instance for examination: each thing that it has of its own, and how many."""
    (row,) = await (await connection.execute(SQL["own"])).fetchall()
    return [
        f"this instance has {count} {what}: take evidence into one that has none"
        for count, what in zip(row, OWN, strict=True)
        if count
    ]


async def _of_the_alert(connection: Connection, alert: str) -> list[str]:
    values = {"alert": alert, "chain": f"episode/{alert}"}
    ((has,),) = await (await connection.execute(SQL["has_alert"], values)).fetchall()
    return [f"{alert} has rows here that no chain binds"] if has else []


async def _of_a_head(connection: Connection, chain: str, number: int, line: bytes) -> list[str]:
    rows = await (await connection.execute(SQL["known_head"], [chain, number])).fetchall()
    return [f"head {number} of {chain} is another one here" for row in rows if bytes(row[0]) != line]


async def _conflicts(connection: Connection, one: Stretch) -> list[str]:
    """The links here that are beside and below those of the package, one more at each end."""
    last = one.links[-1].number if one.links else one.after
    links = await _links(connection, one.chain, one.after - 1, last + 1)
    opened: dict[int, Opened] = {}
    async for page in _payloads(connection, one.chain, one.after - 1, last + 1):
        opened |= page
    here = {link.number: link for link in links}
    by_source = {link.source: link.number for link in one.links}
    sources = await (
        await connection.execute(SQL["same_source"], {"chain": one.chain, "sources": list(by_source)})
    ).fetchall()
    return [
        *_differences(one, here),
        *(
            f"{one.chain} {by_source[source]}: what it is about is link {number} here"
            for source, number in sources
            if by_source[source] != number
        ),
        *_of_erased(one, opened, await _erased_here(connection, one.chain)),
    ]


def _differences(one: Stretch, here: dict[int, Link]) -> Iterator[str]:
    if not one.links:
        return
    for link in one.links:
        if (known := here.get(link.number)) is not None and known != link:
            yield f"{one.chain} {link.number}: another link is here"
    if (before := here.get(one.after)) is not None and before.hash != one.before:
        yield f"{one.chain} {one.links[0].number}: it does not follow link {one.after} that is here"
    last = one.links[-1]
    if (behind := here.get(last.number + 1)) is not None and behind.previous != last.hash:
        yield f"{one.chain} {behind.number}: what is here does not follow link {last.number} of the package"


def _of_erased(one: Stretch, opened: dict[int, Opened], erased_here: set[int]) -> Iterator[str]:
    """A payload that was erased lawfully does not come back with older evidence; and one that is kept here though
    it was erased there is not left to stand beside its deletion."""
    erased_there = {number for deletion in deletions(one.links, one.opened) for number in deletion.numbers}
    for number in sorted(one.opened.keys() & erased_here - opened.keys()):
        yield f"{one.chain} {number}: it was erased here, and the package has it"
    for number in sorted(opened.keys() & erased_there - one.opened.keys()):
        yield f"{one.chain} {number}: it was erased there, and is kept here"


async def _erased_here(connection: Connection, chain: str) -> set[int]:
    reading = Reading(connection)
    return {number for _, one in await reading.deletions(chain) for number in one.numbers}


async def _keep(connection: Connection, one: Stretch) -> int:
    """Returns how many of the links were not here."""
    if not one.links:
        return 0
    async with connection.cursor() as cursor:
        await cursor.executemany(SQL["keep_link"], [_row(link) for link in one.links])
        new = cursor.rowcount
        await cursor.executemany(
            SQL["keep_opened"],
            [(one.chain, number, beside.salt, beside.payload) for number, beside in sorted(one.opened.items())],
        )
    last = one.links[-1]
    end = {"name": one.chain, "length": last.number, "hash": last.hash, "at": utc(last.at_ms)}
    await connection.execute(SQL["move_chain"], end)
    return new


def _row(link: Link) -> Row:
    place = (link.chain, link.number, link.kind.value, link.kept_as.value, link.source, utc(link.at_ms))
    return (*place, link.commitment, link.previous, link.hash)


def _head(row: Row) -> Head:
    number, day, at, previous, root, leaves, hash_ = row
    return Head(
        number=number, day=day, at_ms=ms_of(at), previous=bytes(previous), root=bytes(root), leaves=leaves,
        hash=bytes(hash_),
    )  # fmt: skip
