"""How do links get into the record, each once, in one order per chain?

Within the transaction that keeps what they are about, so that neither stands without the other. Whoever writes
to a chain locks its cursor first; what is linked already, under its source, is passed over. Hours: milliseconds.

Two writers of one chain may have clocks that differ, and the one that waited for the other read its own before: by
so little (``SKEW_MAX_MS``) a link is never dated before the one that it follows. By more than that it is dated as
the clock says, and the chain shows that a clock was moved back.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tocsin.adapters.postgres import Connection, Pool, Row, load_queries, ms_of, transaction
from tocsin.chain import SALT_BYTES, START, Item, KeptAs, Kind, Link, Opened, linked
from tocsin.clock import utc

SQL = load_queries("seals.sql")
END: Final = 2**63 - 1
SKEW_MAX_MS: Final = 5_000
"""Beyond this two clocks that differ are an event of their own (DOMAIN section 3)."""


@dataclass(frozen=True, slots=True)
class _End:
    """Of a chain: how many links, the hash and the hour of the last; before the first the hour is 0."""

    length: int
    hash: bytes
    at_ms: int


Draw = Callable[[], bytes]
"""A new salt. Nobody may be able to guess it: what it covers may be a word of a short list."""


def draw_salt() -> bytes:
    return secrets.token_bytes(SALT_BYTES)


Hour = int | Callable[[], int]
"""Of linking. Asked for once the chains are locked, of whoever has other work, or may wait, before that: what is
linked meanwhile by others would be dated after it, which no reader can tell from a clock that was set back."""


async def seal_within(
    connection: Connection, items: Sequence[Item], *, at_ms: Hour, draw: Draw = draw_salt
) -> list[Link]:
    """Link what is not linked yet, in the order given; inside the caller's transaction. Returns the new links."""
    if not items:
        return []
    ends = await _locked(connection, sorted({item.chain for item in items}))
    hour_ms = at_ms() if callable(at_ms) else at_ms
    known = await _known(connection, items)
    made: list[tuple[Link, Opened]] = []
    for item in items:
        if (item.chain, item.source) in known:
            continue
        known.add((item.chain, item.source))
        end = ends[item.chain]
        link, opened = linked(
            item, draw(), number=end.length + 1, previous=end.hash, at_ms=_dated(hour_ms, behind_ms=end.at_ms)
        )
        ends[item.chain] = _End(link.number, link.hash, link.at_ms)
        made.append((link, opened))
    await _keep(connection, made, ends)
    return [link for link, _ in made]


def _dated(at_ms: int, *, behind_ms: int) -> int:
    return behind_ms if 0 < behind_ms - at_ms <= SKEW_MAX_MS else at_ms


async def _locked(connection: Connection, names: Sequence[str]) -> dict[str, _End]:
    await connection.execute(SQL["begin_chains"], {"names": names, "start": START})
    cursor = await connection.execute(SQL["lock_chains"], {"names": names})
    return {
        name: _End(length, bytes(last), 0 if at is None else ms_of(at))
        for name, length, last, at in await cursor.fetchall()
    }


async def _known(connection: Connection, items: Sequence[Item]) -> set[tuple[str, str]]:
    cursor = await connection.execute(
        SQL["known_sources"],
        {"chains": [item.chain for item in items], "sources": [item.source for item in items]},
    )
    return {(chain, source) for chain, source in await cursor.fetchall()}


async def _keep(connection: Connection, made: Sequence[tuple[Link, Opened]], ends: Mapping[str, _End]) -> None:
    """One statement for each table, whatever their number."""
    if not made:
        return
    grown = sorted({link.chain for link, _ in made})
    last = [ends[name] for name in grown]
    await connection.execute(SQL["keep_links"], _columns([link for link, _ in made]))
    await connection.execute(
        SQL["keep_opened"],
        {
            "chains": [link.chain for link, _ in made],
            "numbers": [link.number for link, _ in made],
            "salts": [opened.salt for _, opened in made],
            "payloads": [opened.payload for _, opened in made],
        },
    )
    await connection.execute(
        SQL["move_chains"],
        {
            "names": grown,
            "lengths": [end.length for end in last],
            "hashes": [end.hash for end in last],
            "hours": [utc(end.at_ms) for end in last],
        },
    )


def _columns(links: Sequence[Link]) -> dict[str, list[object]]:
    return {
        "chains": [link.chain for link in links],
        "numbers": [link.number for link in links],
        "kinds": [link.kind.value for link in links],
        "kept_as": [link.kept_as.value for link in links],
        "sources": [link.source for link in links],
        "hours": [utc(link.at_ms) for link in links],
        "commitments": [link.commitment for link in links],
        "previous": [link.previous for link in links],
        "hashes": [link.hash for link in links],
    }


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
            return [link_of(row) for row in await cursor.fetchall()]

    async def opened(self, chain: str, *, after: int = 0, until: int = END) -> dict[int, Opened]:
        """The payloads that are still kept, by the number of their link."""
        async with transaction(self._pool) as connection:
            cursor = await connection.execute(SQL["opened"], {"chain": chain, "after": after, "until": until})
            return {
                number: Opened(salt=bytes(salt), payload=bytes(payload))
                for number, salt, payload in await cursor.fetchall()
            }


def link_of(row: Row) -> Link:
    """From its columns in the order of the table."""
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
