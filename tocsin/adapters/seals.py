"""How do links get into the record, each once, in one order per chain?

Within the transaction that keeps what they are about, so that neither stands without the other. Whoever writes
to a chain locks its cursor first; what is linked already, under its source, is passed over. Hours: milliseconds.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from tocsin.adapters.postgres import Connection, Pool, Row, load_queries, ms_of, transaction
from tocsin.chain import SALT_BYTES, START, Item, KeptAs, Kind, Link, Opened, linked
from tocsin.clock import utc

SQL = load_queries("seals.sql")
END: Final = 2**63 - 1

Draw = Callable[[], bytes]
"""A new salt. Nobody may be able to guess it: what it covers may be a word of a short list."""


def draw_salt() -> bytes:
    return secrets.token_bytes(SALT_BYTES)


async def seal_within(
    connection: Connection, items: Sequence[Item], *, at_ms: int, draw: Draw = draw_salt
) -> list[Link]:
    """Link what is not linked yet, in the order given; inside the caller's transaction. Returns the new links."""
    if not items:
        return []
    ends = await _locked(connection, sorted({item.chain for item in items}))
    known = await _known(connection, items)
    made: list[tuple[Link, Opened]] = []
    for item in items:
        if (item.chain, item.source) in known:
            continue
        known.add((item.chain, item.source))
        length, last = ends[item.chain]
        link, opened = linked(item, draw(), number=length + 1, previous=last, at_ms=at_ms)
        ends[item.chain] = (link.number, link.hash)
        made.append((link, opened))
    await _keep(connection, made, ends)
    return [link for link, _ in made]


async def _locked(connection: Connection, names: Sequence[str]) -> dict[str, tuple[int, bytes]]:
    await connection.execute(SQL["begin_chains"], {"names": names, "start": START})
    cursor = await connection.execute(SQL["lock_chains"], {"names": names})
    return {name: (length, bytes(last)) for name, length, last in await cursor.fetchall()}


async def _known(connection: Connection, items: Sequence[Item]) -> set[tuple[str, str]]:
    cursor = await connection.execute(
        SQL["known_sources"],
        {"chains": [item.chain for item in items], "sources": [item.source for item in items]},
    )
    return {(chain, source) for chain, source in await cursor.fetchall()}


async def _keep(
    connection: Connection, made: Sequence[tuple[Link, Opened]], ends: Mapping[str, tuple[int, bytes]]
) -> None:
    if not made:
        return
    grown = {link.chain for link, _ in made}
    async with connection.cursor() as cursor:
        await cursor.executemany(SQL["keep_link"], [_row(link) for link, _ in made])
        await cursor.executemany(
            SQL["keep_opened"],
            [(link.chain, link.number, opened.salt, opened.payload) for link, opened in made],
        )
        await cursor.executemany(SQL["move_chain"], [(*ends[name], name) for name in sorted(grown)])


class Seals:
    """The chains, read. Raises RecordUnavailable from every method."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def seal(self, items: Sequence[Item], *, at_ms: int, draw: Draw = draw_salt) -> list[Link]:
        """Link what is not linked yet, in a transaction of its own."""
        async with transaction(self._pool) as connection:
            return await seal_within(connection, items, at_ms=at_ms, draw=draw)

    async def links(self, chain: str, *, after: int = 0, until: int = END) -> list[Link]:
        """Those numbered behind ``after``, up to and with ``until``, in order."""
        async with transaction(self._pool) as connection:
            cursor = await connection.execute(SQL["links"], {"chain": chain, "after": after, "until": until})
            return [_link(row) for row in await cursor.fetchall()]

    async def opened(self, chain: str, *, after: int = 0, until: int = END) -> dict[int, Opened]:
        """The payloads that are still kept, by the number of their link."""
        async with transaction(self._pool) as connection:
            cursor = await connection.execute(SQL["opened"], {"chain": chain, "after": after, "until": until})
            return {
                number: Opened(salt=bytes(salt), payload=bytes(payload))
                for number, salt, payload in await cursor.fetchall()
            }


def _row(link: Link) -> Row:
    place = (link.chain, link.number, link.kind.value, link.kept_as.value, link.source, utc(link.at_ms))
    return (*place, link.commitment, link.previous, link.hash)


def _link(row: Row) -> Link:
    chain, number, kind, kept_as, source, at, commitment, previous, hash_ = row
    return Link(
        chain=chain,
        number=number,
        kind=Kind(kind),
        kept_as=KeptAs(kept_as),
        source=source,
        at_ms=ms_of(at),
        commitment=bytes(commitment),
        previous=bytes(previous),
        hash=bytes(hash_),
    )
