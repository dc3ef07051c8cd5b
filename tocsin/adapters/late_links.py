"""Who links what was kept without a link before the rule said that it is evidence? (docs/adr/0050)

Until migration 0018 what the system said of a canary was taken for a canary's. Which rows of these stood then is
listed in ``tocsin.to_link``; whoever records links each, with the hour of now, and takes it from the list in the
same transaction. From then on it is as safe as any other row: before that, that it stands is known by the list.

Only what the rule of before could have left so is linked: said of the system, of a canary's name, dated before the
list was made. Anything else stays listed, without a link, and ``audit verify`` calls it what it is.

Payloads are made from the rows' own bytes, by no version's types, so that row and link say the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import structlog

from tocsin import sealing, wire
from tocsin.adapters.episodes import receipt_of
from tocsin.adapters.postgres import Connection, Pool, Row, load_queries, ms_of, transaction
from tocsin.adapters.seals import seal_within
from tocsin.chain import Item
from tocsin.clock import Clock, utc
from tocsin.errors import WireError
from tocsin.model.canary import LISTED_SLACK_MS, was_taken_for_a_canarys
from tocsin.model.episode import Ruling

SQL = load_queries("late_links.sql")
logger = structlog.get_logger(__name__)

ALERTS_AT_ONCE: Final = 20
"""A transaction each: an alert of the system has some rulings and some tens of attempts."""

Place = tuple[str, str]
"""Chain and source of a link, as the list has them."""


async def link_late(pool: Pool, clock: Clock) -> int:
    """All that is listed, stands, and may be; how many links were made. May be repeated, and by several at once.
    Raises RecordUnavailable, RecordRefused."""
    total, left, after = 0, 0, ""
    while True:
        async with transaction(pool) as connection:
            listed = await _listed(connection, after)
            if not listed:
                break
            items = await _items(connection, listed)
            total += len(await seal_within(connection, items, at_ms=clock.now_ms))
            named = {(one.chain, one.source) for one in items} & listed
            done = {"chains": [chain for chain, _ in named], "sources": [source for _, source in named]}
            await connection.execute(SQL["linked"], done)
        left += len(listed - named)
        after = max(chain for chain, _ in listed)
    if left:  # ``audit verify`` names each
        logger.error("listed, and not linked: gone, or not what could have been listed", rows=left)
    return total


async def _listed(connection: Connection, after: str) -> set[Place]:
    """Everything of the next alerts behind a chain."""
    values = {"after": after, "limit": ALERTS_AT_ONCE}
    rows = await (await connection.execute(SQL["listed"], values)).fetchall()
    return {(chain, source) for chain, source in rows}


async def _items(connection: Connection, listed: set[Place]) -> list[Item]:
    """In the order of the log: rulings, then attempts."""
    row = await (await connection.execute(SQL["listed_until"])).fetchone()
    until_ms = LISTED_SLACK_MS + (0 if row is None else ms_of(row[0]))
    keys = _keys(listed)
    rulings = await (await connection.execute(SQL["rulings"], keys.of_rulings())).fetchall()
    attempts = await (await connection.execute(SQL["attempts"], keys.of_attempts())).fetchall()
    values = {"episodes": [attempt[1] for attempt in attempts]}
    alerts = {row[0]: row[1:] for row in await (await connection.execute(SQL["alerts"], values)).fetchall()}
    found = [*_of_rulings(rulings, until_ms), *_of_attempts(attempts, alerts, until_ms)]
    return [one for group in found if (group[0].chain, group[0].source) in listed for one in group]


@dataclass(frozen=True, slots=True)
class _Keys:
    """Primary keys, read from the places of links."""

    rulings: Sequence[tuple[str, int]]
    attempts: Sequence[tuple[str, int, int, str]]

    def of_rulings(self) -> dict[str, Any]:
        return {"episodes": [one[0] for one in self.rulings], "sequences": [one[1] for one in self.rulings]}

    def of_attempts(self) -> dict[str, Any]:
        return {
            "notifications": [one[0] for one in self.attempts],
            "attempts": [one[1] for one in self.attempts],
            "hours": [utc(one[2]) for one in self.attempts],
            "lines": [one[3] for one in self.attempts],
        }


def _keys(listed: Iterable[Place]) -> _Keys:
    """Of places that have another form, none."""
    rulings, attempts = [], []
    for chain, source in listed:
        match source.split(":", 4):
            case ["ruling", sequence] if _is_number(sequence):
                rulings.append((chain.removeprefix(sealing.episode_chain("")), int(sequence)))
            case ["attempt", notification, number, t7_ms, line] if _is_number(number) and _is_number(t7_ms):
                attempts.append((notification, int(number), int(t7_ms), line))
            case _:
                pass
    return _Keys(rulings, attempts)


NUMBER_DIGITS: Final = 13
"""Of the longest number: an hour of ours in ms. PostgreSQL can be asked for it."""


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdecimal() and len(word) <= NUMBER_DIGITS


def _of_rulings(rows: Sequence[Row], until_ms: int) -> Iterator[list[Item]]:
    for sequence, payload in rows:
        ruling = _read(payload)
        if ruling is None or ruling.at_ms >= until_ms:
            continue
        episode = ruling.episode
        if was_taken_for_a_canarys(episode.code.value, episode.subject, episode.measures, episode.device):
            said: dict[str, Any] = msgspec.msgpack.decode(memoryview(payload)[len(wire.NOUN_VERSION) :])
            yield sealing.of_parted(sequence, episode, *sealing.blanked(said))


def _of_attempts(rows: Sequence[Row], alerts: Mapping[str, Row], until_ms: int) -> Iterator[list[Item]]:
    """What the system says is nobody's phone (``is_tgd``)."""
    for *row, payload in rows:
        alert = alerts.get(row[1])
        if alert is None or ms_of(row[5]) >= until_ms or not was_taken_for_a_canarys(*alert):
            continue
        ruling = None if payload is None else _read(payload)
        made = () if ruling is None else ruling.notifications
        yield [sealing.of_receipt(receipt_of(tuple(row), {one.id: one.recipient for one in made}), is_tgd=False)]


def _read(payload: bytes) -> Ruling | None:
    """None: another version wrote it."""
    try:
        return wire.decode_ruling(payload)
    except WireError:
        return None
