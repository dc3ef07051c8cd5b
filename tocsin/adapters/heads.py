"""How are heads made of the chains as they stand at one moment, and which of them have left the database?

A head is made in one transaction that sees one moment: links that are being written meanwhile are in it whole, or
in the next one. Two that would make one at the same time make one each, the second of what has grown since.
Hours are milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from tocsin.adapters.postgres import Connection, Pool, Row, load_queries, ms_of, transaction
from tocsin.clock import utc
from tocsin.heads import Head, Leaf, Proof, head_of, proof

SQL = load_queries("heads.sql")

UNPUBLISHED_MAX = 400
"""Taken at once: a year that was never published is behind in two rounds."""


class Heads:
    """The tables of heads. Raises RecordUnavailable from every method."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def make(self, at_ms: int) -> Head:
        """The next one, of all chains that have grown; a day on which none has gets its head all the same."""
        async with transaction(self._pool) as connection:
            for step in ("one_moment", "one_at_a_time", "take_time"):
                await connection.execute(SQL[step])
            last = await _one(connection, "last_head", ())
            rows = await (await connection.execute(SQL["grown"])).fetchall()
            leaves = [read_leaf(row) for row in rows]
            head = head_of(leaves, after=last, at_ms=at_ms)
            await connection.execute(SQL["keep_head"], _row(head))
            async with connection.cursor() as cursor:
                await cursor.executemany(
                    SQL["keep_leaf"],
                    [(head.number, place, one.chain, one.length, one.hash) for place, one in enumerate(leaves)],
                )
        return head

    async def last(self) -> Head | None:
        async with transaction(self._pool) as connection:
            return await _one(connection, "last_head", ())

    async def all(self) -> list[Head]:
        """In their order; one a day."""
        async with transaction(self._pool) as connection:
            return [read_head(row) for row in await (await connection.execute(SQL["heads"])).fetchall()]

    async def leaves(self, number: int) -> list[Leaf]:
        """Of one head, in their order."""
        async with transaction(self._pool) as connection:
            return await _leaves(connection, number)

    async def covering(self, chains: Sequence[str]) -> list[tuple[Head, Leaf, Proof]]:
        """For each of these chains the newest head that it is in, where it stood then, and the proof that it is.

        In the order of the heads; a chain that is in none yet is left out.
        """
        found: list[tuple[Head, Leaf, Proof]] = []
        async with transaction(self._pool) as connection:
            await connection.execute(SQL["one_moment"])
            rows = await (await connection.execute(SQL["newest_of"], [list(chains)])).fetchall()
            for number, places in groupby(sorted(row[1:] for row in rows), key=lambda row: row[0]):
                head, leaves = await _one(connection, "head", (number,)), await _leaves(connection, number)
                if head is not None:
                    found.extend((head, leaves[place], proof(leaves, place)) for _, place in places)
        return found

    async def unpublished(self, place: str) -> list[Head]:
        """The oldest of those that are not known to have left for ``place``."""
        async with transaction(self._pool) as connection:
            values = {"place": place, "limit": UNPUBLISHED_MAX}
            return [
                read_head(row) for row in await (await connection.execute(SQL["unpublished"], values)).fetchall()
            ]

    async def published_at(self, place: str) -> set[int]:
        async with transaction(self._pool) as connection:
            return {
                number for (number,) in await (await connection.execute(SQL["published_at"], [place])).fetchall()
            }

    async def note_published(self, number: int, place: str, at_ms: int) -> None:
        async with transaction(self._pool) as connection:
            await connection.execute(SQL["note_published"], (number, place, utc(at_ms)))


async def _one(connection: Connection, query: str, values: tuple[int, ...]) -> Head | None:
    row = await (await connection.execute(SQL[query], values)).fetchone()
    return None if row is None else read_head(row)


async def _leaves(connection: Connection, number: int) -> list[Leaf]:
    return [read_leaf(row) for row in await (await connection.execute(SQL["leaves"], [number])).fetchall()]


def _row(head: Head) -> Row:
    return (head.number, head.day, utc(head.at_ms), head.previous, head.root, head.leaves, head.hash)


def read_head(row: Row) -> Head:
    number, day, at, previous, root, leaves, hash_ = row
    return Head(
        number=number, day=day, at_ms=ms_of(at), previous=bytes(previous), root=bytes(root), leaves=leaves,
        hash=bytes(hash_),
    )  # fmt: skip


def read_leaf(row: Row) -> Leaf:
    chain, length, hash_ = row
    return Leaf(chain=chain, length=length, hash=bytes(hash_))
