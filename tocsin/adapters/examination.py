"""How is the whole record read as it stood at one moment, without holding it in memory?

One transaction that changes nothing and sees one moment, however long it takes; long lists come from cursors of
the server, CHUNK rows at a time. Nothing is decoded or judged here. Hours become milliseconds, all else is as it
is kept; a word that no version of ours has written stays one.

A reader of this length keeps the server from tidying up behind it: beside a busy record, read a standby.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

import msgspec

from tocsin.adapters.heads import read_head, read_leaf
from tocsin.adapters.postgres import Connection, Row, load_queries, ms_of, open_pool, transaction
from tocsin.chain import Kind, Link, Opened
from tocsin.clock import utc
from tocsin.heads import Head, Leaf

SQL = load_queries("examination.sql")

CHUNK: Final = 1_000
"""Rows in memory at a time: a payload is some kilobytes."""

Said = dict[str, Any]
"""A row by the names of its columns."""


@asynccontextmanager
async def examining(dsn: str) -> AsyncIterator[Examination]:
    """Raises RecordUnavailable."""
    async with open_pool(dsn, max_size=1) as pool, transaction(pool) as connection:
        await connection.execute(SQL["begin"])
        await connection.execute(SQL["take_time"])
        yield Examination(connection)


class Examination:
    """``chain``: that one alone; None: all of them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)

    async def size(self, chain: str | None) -> int:
        """How many links there are."""
        ((count,),) = await self._all("size", {"chain": chain})
        return int(count)

    async def leaf_count(self, chain: str | None) -> int:
        ((count,),) = await self._all("leaf_count", {"chain": chain})
        return int(count)

    async def links(self, chain: str | None) -> AsyncIterator[list[tuple[Link, Opened | None]]]:
        """All of one chain behind one another, in their order; each with what it commits to, if it is kept."""
        async for rows in self._chunks("links", chain):
            yield [_with_payload(row) for row in rows]

    async def proofs(self, chain: str) -> list[tuple[Link, Opened | None]]:
        """Its deletions and holds, in their order."""
        return [_with_payload(row) for row in await self._all("proofs", [chain])]

    async def orphans(self, chain: str | None) -> AsyncIterator[list[Row]]:
        """(chain, number) of payloads without a link."""
        async for rows in self._chunks("orphans", chain):
            yield rows

    async def ends(self, chain: str | None) -> AsyncIterator[list[Row]]:
        """(chain, length and hash of its cursor, number and hash of its last link); None where one is missing."""
        async for rows in self._chunks("ends", chain):
            yield rows

    async def imported(self) -> frozenset[str]:
        """Chains that came in with packages; of some only a part did."""
        query = "imported_chains" if await self.has_table("imported_chain") else "imported"
        return frozenset(chain for (chain,) in await self._all(query, {}))

    async def heads(self) -> list[Head]:
        return [read_head(row) for row in await self._all("heads", {})]

    async def leaves(self, head: int) -> list[Leaf]:
        return [read_leaf(row) for row in await self._all("leaves", [head])]

    async def stray_leaves(self) -> list[int]:
        """Of which heads there are leaves and no head."""
        return [number for (number,) in await self._all("stray_leaves", {})]

    async def published(self) -> list[tuple[str, int]]:
        """(place, head)."""
        return [(place, number) for place, number in await self._all("published", {})]

    async def footings(self, chain: str | None) -> AsyncIterator[list[Row]]:
        """(head, chain, length, hash in the leaf, hash of that link or None, end of the chain or None), of those
        leaves that do not stand on their link."""
        async for rows in self._chunks("footings", chain):
            yield rows

    async def covered(self, chains: Sequence[str]) -> dict[str, list[tuple[int, int]]]:
        """By chain: (length, head), the shortest first."""
        found: dict[str, list[tuple[int, int]]] = {}
        for chain, head, length in await self._all("covered", [list(chains)]):
            found.setdefault(chain, []).append((length, head))
        return found

    async def has_table(self, name: str) -> bool:
        return await self._all("has_table", [name]) == [(True,)]

    async def rows(self, query: str, keys: Sequence[tuple[Any, ...]]) -> list[Said]:
        """``query``: rulings, attempts, accesses, notifications, commands, results. Hours are milliseconds."""
        if not keys:
            return []
        columns = [list(column) for column in zip(*keys, strict=True)]
        names = _KEYS_OF_UNITS if query in {"commands", "results"} else _KEYS
        values: dict[str, Any] = dict(zip(names, columns, strict=False))
        if "hours" in values:
            values["hours"] = [utc(ms) for ms in values["hours"]]
        cursor = await self._connection.execute(SQL[query], values)
        said = [column.name for column in cursor.description or ()]
        return [dict(zip(said, _plain(row), strict=True)) for row in await cursor.fetchall()]

    async def unlinked(self, table: str, chain: str | None) -> AsyncIterator[list[Row]]:
        """Rows that no link names: of rulings, attempts, accesses, commands, results."""
        async for rows in self._chunks(f"unlinked_{table}", chain):
            yield [_plain(row) for row in rows]

    async def to_link(self, chain: str | None) -> set[tuple[str, str]]:
        """(chain, source) of rows that were kept without a link by the rule of before migration 0018."""
        query = "to_link" if await self.has_table("to_link") else "to_link_of_before"
        return {(of, source) for of, source in await self._all(query, {"chain": chain})}

    async def listed_until_ms(self) -> int | None:
        """The hour at which migration 0018 made that list; None: it has not."""
        rows = await self._all("listed_until", {})
        return ms_of(rows[0][0]) if rows else None

    async def gone_measures(self, chain: str | None) -> list[str]:
        """Ordered once, and neither there nor said to be erased."""
        return [name for (name,) in await self._all("gone_measures", {"chain": chain})]

    async def odd_erased(self, chain: str | None) -> list[Row]:
        """(what, id, whether a link proves it) of names of what is gone, unproved or there again."""
        return await self._all("odd_erased", {"chain": chain})

    async def is_erased(self, chain: str) -> bool:
        """Whether the name of that measure or unit is kept among those that are gone."""
        return bool(await self._all("is_erased", chain.split("/", 1)))

    async def has_history(self, device: str, from_ms: int, until_ms: int) -> bool:
        values = {"unit": device, "from": utc(from_ms), "until": utc(until_ms)}
        return bool(await self._all("left_of_history", values))

    async def measures(self, chain: str | None) -> AsyncIterator[list[Row]]:
        """Those that stand otherwise than their newest version."""
        async for rows in self._chunks("measures", chain):
            yield rows

    async def episodes(self, chain: str | None) -> AsyncIterator[list[Said]]:
        """(id, sequence and payload of its newest ruling, then the row); either half may be missing."""
        async for rows in self._chunks("episodes", chain):
            yield [dict(zip(_EPISODE, _plain(row), strict=True)) for row in rows]

    async def told(self, chain: str | None) -> AsyncIterator[list[Said]]:
        """Each notification, and under ``payload`` the ruling that it names, None without."""
        async for rows in self._chunks("told", chain):
            yield [dict(zip(_TOLD, _plain(row), strict=True)) for row in rows]

    async def _all(self, query: str, values: Mapping[str, Any] | Sequence[Any]) -> list[Row]:
        return await (await self._connection.execute(SQL[query], values)).fetchall()

    async def _chunks(self, query: str, chain: str | None) -> AsyncIterator[list[Row]]:
        async with self._connection.cursor(name=f"{query}_{next(self._numbers)}") as cursor:
            await cursor.execute(SQL[query], {"chain": chain})
            while rows := await cursor.fetchmany(CHUNK):
                yield rows


_EPISODE: Final = (
    "id", "newest_sequence", "newest_payload", "is_there", "code", "subject", "realm", "priority", "state",
    "version", "owner", "outcome", "measures", "device", "opened_at", "recorded_at", "acknowledged_at", "over_at",
    "closed_at", "points", "noun", "last_sequence",
)  # fmt: skip
_KEYS: Final = ("names", "numbers", "hours", "lines")
_KEYS_OF_UNITS: Final = ("names", "numbers", "ids", "stages")
_KINDS: Final = frozenset(Kind)
_TOLD: Final = ("id", "episode", "version", "channel", "type", "created_at", "stream_sequence", "payload")


def _with_payload(row: Row) -> tuple[Link, Opened | None]:
    chain, number, kind, kept_as, source, at, commitment, previous, hash_, salt, payload = row
    link = Link(
        chain=chain, number=number, kind=kind, kept_as=kept_as, source=source, at_ms=ms_of(at),
        commitment=bytes(commitment), previous=bytes(previous), hash=bytes(hash_),
    )  # fmt: skip
    if kind in _KINDS:
        link = msgspec.structs.replace(link, kind=Kind(kind))
    return link, None if salt is None else Opened(salt=bytes(salt), payload=bytes(payload))


def _plain(row: Row) -> Row:
    return tuple(
        ms_of(value) if isinstance(value, datetime) else bytes(value) if isinstance(value, memoryview) else value
        for value in row
    )
