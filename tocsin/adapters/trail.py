"""What may an auditor read of the record: its links, who read what, and what the daily heads prove?

Links are about nobody, and no payload is read here. In pages, each as of its own moment; what is linked between
two pages of a chain comes behind. Hours are milliseconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from tocsin.adapters.accesses import RecordedAccess, read_access
from tocsin.adapters.heads import SQL as HEADS
from tocsin.adapters.heads import read_head, read_leaf
from tocsin.adapters.postgres import BadCursor, Connection, Page, Pool, Row, load_queries, transaction
from tocsin.adapters.seals import SQL as SEALS
from tocsin.adapters.seals import link_of
from tocsin.chain import KeptAs, Link
from tocsin.clock import utc
from tocsin.errors import TocsinError
from tocsin.heads import Head, Leaf, Proof, proof

SQL = load_queries("trail.sql")

HEADS_MAX: Final = 400
"""In one reply: a year of days, and those made by hand."""
LINKS_MAX: Final = 2_000
"""Between an entry and the head that proves it: the busiest chain, a day of accesses, is read in pages instead."""
_NUMBER_DIGITS_MAX: Final = 18


class NotCovered(TocsinError):
    """No head of these has this below it:"""


class TooManyLinks(TocsinError):
    """Between this link and the head that proves it are too many:"""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A link; ``kept``: what it commits to is still in the record."""

    link: Link
    kept: bool


class Cover(msgspec.Struct, frozen=True, kw_only=True):
    """That a chain had ``leaf.length`` links when ``head`` was made. ``links``: from the asked one to the last of
    these, each the beginning of the next; none where none was asked for."""

    head: Head
    leaf: Leaf
    proof: Proof
    links: tuple[Link, ...]


class Heads(msgspec.Struct, frozen=True, kw_only=True):
    """``run``: heads behind one another, the last of them the newest asked for, unless ``more`` follow."""

    newest: Head
    run: tuple[Head, ...]
    more: bool
    cover: Cover | None


class Trail:
    """Raises RecordUnavailable from every method."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def entries(
        self, *, chain: str | None, from_ms: int, until_ms: int | None, cursor: str | None, limit: int
    ) -> Page[Entry]:
        """By chain and number; linked from ``from_ms`` on and before ``until_ms``. Raises BadCursor."""
        name, number = _place_of(cursor)
        if cursor is not None and chain not in {None, name}:
            raise BadCursor(cursor)
        values: dict[str, Any] = {"chain": name, "number": number, "limit": limit + 1}
        if until_ms is None and chain is None:
            query = "entries"
        else:
            query = "entries_of_day" if chain is None else "entries_of_chain"
            until = utc(_FAR_MS if until_ms is None else until_ms)
            values |= {"of": chain, "from": utc(from_ms), "until": until, "classes": list(KeptAs)}
        rows = await self._rows(query, values)
        found = tuple(Entry(link=link_of(row[:-1]), kept=row[-1]) for row in rows[:limit])
        following = f"{found[-1].link.number}~{found[-1].link.chain}" if len(rows) > limit else None
        return Page(items=found, next=following)

    async def accesses(
        self, from_ms: int, until_ms: int, *, object_id: str | None, who: str, cursor: str | None, limit: int
    ) -> Page[RecordedAccess]:
        """The newest first; of one alert or measure, or of all. ``who`` empty: everybody. Raises BadCursor."""
        at_ms, sequence, name = (until_ms, 0, "") if cursor is None else _access_at(cursor)
        values = {
            "from": utc(from_ms), "until": utc(until_ms), "at": utc(at_ms), "sequence": sequence, "id": name,
            "object": object_id, "who": who, "limit": limit + 1,
        }  # fmt: skip
        rows = await self._rows("accesses" if object_id is None else "accesses_to", values)
        found = tuple(read_access(row) for row in rows[:limit])
        last = found[-1] if len(rows) > limit else None
        following = None if last is None else f"{last.access.at_ms}~{last.sequence}~{last.access.id}"
        return Page(items=found, next=following)

    async def heads(self, day: str, *, after: int | None, chain: str | None, number: int | None) -> Heads:
        """Up to the newest head of a UTC day or of one before it: those behind ``after``; without it from the one
        that covers the chain on, or the newest alone. Raises NotCovered, TooManyLinks."""
        async with transaction(self._pool) as connection:
            await connection.execute(SQL["one_moment"])
            newest = await _head_upto(connection, day)
            found = None if chain is None else await _covered(connection, chain, number, newest.number)
            if after is None:
                after = (newest if found is None else found[0]).number - 1
            run = await _run(connection, after, newest.number)
        shown = tuple(run[:HEADS_MAX])
        cover = None if found is None else await _proven(*found)
        return Heads(newest=newest, run=shown, more=len(run) > HEADS_MAX, cover=cover)

    async def _rows(self, query: str, values: Mapping[str, Any]) -> list[Row]:
        async with transaction(self._pool) as connection:
            return await (await connection.execute(SQL[query], values)).fetchall()


_FAR_MS: Final = 4_102_444_800_000  # 2100-01-01: no link is from behind it


async def _head_upto(connection: Connection, day: str) -> Head:
    row = await (await connection.execute(SQL["head_upto"], [day])).fetchone()
    if row is None:
        raise NotCovered(f"none was made up to {day}")
    return read_head(row)


async def _run(connection: Connection, after: int, until: int) -> list[Head]:
    values = {"after": after, "until": until, "limit": HEADS_MAX + 1}
    return [read_head(row) for row in await (await connection.execute(SQL["heads_between"], values)).fetchall()]


_Found = tuple[Head, Sequence[Leaf], int, tuple[Link, ...]]


async def _covered(connection: Connection, chain: str, number: int | None, until: int) -> _Found:
    """The head, its leaves, which of them the chain is, and the links from ``number`` to the end that it shows."""
    values = {"chain": chain, "number": number, "until": until}
    query = "newest_cover" if number is None else "first_cover"
    place = await (await connection.execute(SQL[query], values)).fetchone()
    if place is None:
        raise NotCovered("made later, or not of this record; of what was linked today there is one tomorrow")
    head, position, length = place
    links = () if number is None else await _links(connection, chain, number, length)
    row = await (await connection.execute(HEADS["head"], [head])).fetchone()
    if row is None:
        raise NotCovered(f"head {head} is gone: tocsin audit verify")
    leaves = [read_leaf(one) for one in await (await connection.execute(HEADS["leaves"], [head])).fetchall()]
    return read_head(row), leaves, position, links


async def _links(connection: Connection, chain: str, first: int, last: int) -> tuple[Link, ...]:
    if last - first >= LINKS_MAX:
        raise TooManyLinks(f"{last - first + 1}")
    span = {"chain": chain, "after": first - 1, "until": last}
    return tuple(link_of(row) for row in await (await connection.execute(SEALS["links"], span)).fetchall())


async def _proven(head: Head, leaves: Sequence[Leaf], position: int, links: tuple[Link, ...]) -> Cover:
    shown = await asyncio.to_thread(proof, leaves, position)  # of a large site ten thousand leaves
    return Cover(head=head, leaf=leaves[position], proof=shown, links=links)


def _place_of(cursor: str | None) -> tuple[str, int]:
    if cursor is None:
        return "", 0
    number, _, chain = cursor.partition("~")
    if not (_is_number(number) and chain):
        raise BadCursor(cursor)
    return chain, int(number)


def _access_at(cursor: str) -> tuple[int, int, str]:
    at, sequence, name = (*cursor.split("~", 2), "", "")[:3]
    if not (_is_number(at) and len(at) <= _MS_DIGITS_MAX and _is_number(sequence) and name):
        raise BadCursor(cursor)
    return int(at), int(sequence), name


_MS_DIGITS_MAX: Final = 13  # until the year 2286


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _NUMBER_DIGITS_MAX
