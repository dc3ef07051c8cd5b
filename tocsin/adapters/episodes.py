"""What was the life of this alert, and who was told when?

The record of rulings and receipts, written from the log by ``alerts.recorder`` and read by the API for what is
closed (ARCHITECTURE, A7). A message may come twice and may come late: the newest ruling by its sequence in the log
is the episode, whatever the order of arrival. Times are milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from tocsin import wire
from tocsin.adapters.postgres import BadCursor, Page, Pool, Row, load_queries, ms_of, transaction
from tocsin.clock import utc
from tocsin.model.episode import Channel, Episode, Receipt, Ruling, State
from tocsin.model.finding import Code

SQL = load_queries("episodes.sql")

LIST_MAX = 200
TIMELINE_MAX = 2_000  # rulings, and attempts, of one episode: far above the causes and raises it can have
_CURSOR_TIME_LENGTH = 18

_decode_episode = msgspec.json.Decoder(Episode).decode


class RecordedRuling(msgspec.Struct, frozen=True, kw_only=True):
    """A ruling and its place on the log."""

    sequence: int
    ruling: Ruling


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to one episode: rulings in the order of the log, attempts by the hour they began."""

    rulings: tuple[RecordedRuling, ...]
    attempts: tuple[Receipt, ...]


class EpisodeRecord:
    """The tables of episodes. Raises RecordUnavailable from every method."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def record_rulings(self, rulings: Sequence[RecordedRuling]) -> int:
        """All or none; returns how many were new. Raises RecordRefused for a value the record cannot hold."""
        rows = [_ruling_row(each.sequence, each.ruling) for each in sorted(rulings, key=_place)]
        newest = {row["id"]: row for row in rows}  # of one episode only its last ruling is written
        notifications = [row for each in rulings for row in _notification_rows(each.sequence, each.ruling)]
        async with transaction(self._pool) as connection, connection.cursor() as cursor:
            await cursor.executemany(SQL["keep_ruling"], rows)
            new = cursor.rowcount
            await cursor.executemany(SQL["keep_episode"], list(newest.values()))
            if notifications:
                await cursor.executemany(SQL["keep_notification"], sorted(notifications))
        return new

    async def record_receipts(self, receipts: Sequence[Receipt]) -> None:
        """All or none. Raises RecordRefused for a value the record cannot hold."""
        rows = sorted((_attempt_row(receipt) for receipt in receipts), key=lambda row: (row[:3], row[-1]))
        async with transaction(self._pool) as connection, connection.cursor() as cursor:
            await cursor.executemany(SQL["keep_attempt"], rows)

    async def episode(self, episode_id: str) -> Episode | None:
        """As it stood at its newest recorded ruling."""
        async with transaction(self._pool) as connection:
            row = await (await connection.execute(SQL["episode"], [episode_id])).fetchone()
        return None if row is None else _decode_episode(row[0])

    async def episodes(
        self,
        from_ms: int,
        to_ms: int,
        *,
        state: State | None = None,
        code: Code | None = None,
        measure: str | None = None,
        canary: bool = False,
        cursor: str | None = None,
        limit: int = LIST_MAX,
    ) -> Page[Episode]:
        """Opened in ``[from_ms, to_ms)``, newest first. ``canary``: those of invented pairs, which are in no other
        list. Raises BadCursor."""
        limit = min(limit, LIST_MAX)
        before_ms, before_id = (to_ms, "") if cursor is None else _place_of(cursor)
        values = {
            "from": utc(from_ms), "to": utc(to_ms), "before": utc(before_ms), "before_id": before_id,
            "state": state, "code": code, "measure": measure, "canary": canary, "limit": limit + 1,
        }  # fmt: skip
        async with transaction(self._pool) as connection:
            rows = await (await connection.execute(SQL["episodes"], values)).fetchall()
        items = tuple(_decode_episode(row[0]) for row in rows[:limit])
        return Page(items=items, next=_cursor_at(*rows[limit - 1][1:]) if len(rows) > limit else None)

    async def timeline(self, episode_id: str) -> Timeline:
        """Both empty for an episode that is not recorded."""
        async with transaction(self._pool) as connection:
            rulings = await (await connection.execute(SQL["rulings"], [episode_id, TIMELINE_MAX])).fetchall()
            attempts = await (await connection.execute(SQL["attempts"], [episode_id, TIMELINE_MAX])).fetchall()
        read = tuple(
            RecordedRuling(sequence=sequence, ruling=wire.decode_ruling(payload)) for sequence, payload in rulings
        )
        rooms = {one.id: one.recipient for each in read for one in each.ruling.notifications}
        return Timeline(rulings=read, attempts=tuple(_receipt(row, rooms) for row in attempts))


def _place(each: RecordedRuling) -> tuple[str, int]:
    """Rows are locked in this order by everyone, so that two recorders never wait in a circle."""
    return each.ruling.episode.id, each.sequence


def _ruling_row(sequence: int, ruling: Ruling) -> dict[str, Any]:
    """The parameters of ``keep_ruling`` and ``keep_episode``."""
    episode = ruling.episode
    return {
        "sequence": sequence,
        "reason": ruling.reason,
        "event": _json(ruling.event),
        "at": utc(ruling.at_ms),
        "payload": wire.encode(ruling),
        "id": episode.id,
        "code": episode.code.value,
        "subject": episode.subject,
        "realm": episode.realm.value,
        "priority": episode.priority,
        "state": episode.state.value,
        "version": episode.version,
        "owner": episode.owner,
        "outcome": None if episode.outcome is None else episode.outcome.value,
        "measures": list(episode.measures),
        "device": episode.device,
        "opened_at": utc(episode.opened_ms),
        "recorded_at": utc(episode.recorded_ms),
        "acknowledged_at": _moment(episode.acknowledged_ms),
        "over_at": _moment(episode.over_ms),
        "closed_at": _moment(episode.closed_ms),
        "points": _json(episode.points),
        "noun": _json(episode),
    }


def _notification_rows(sequence: int, ruling: Ruling) -> list[tuple[Any, ...]]:
    episode, at = ruling.episode, utc(ruling.at_ms)
    return [
        (each.id, episode.id, episode.version, each.channel.value, each.type, at, sequence)
        for each in ruling.notifications
    ]


def _attempt_row(receipt: Receipt) -> tuple[Any, ...]:
    place = (receipt.notification, receipt.attempt, utc(receipt.t7_ms), _moment(receipt.t8_ms))
    return (
        *place,
        receipt.episode,
        receipt.version,
        receipt.channel.value,
        receipt.result,
        receipt.status,
        receipt.line,
    )


def _receipt(row: Row, rooms: Mapping[str, str]) -> Receipt:
    """The table of attempts has no column for the room: the ruling that made the notification knows it."""
    notification, episode, version, channel, attempt, t7, t8, result, status, line = row
    return Receipt(
        notification=notification,
        episode=episode,
        version=version,
        channel=Channel(channel),
        attempt=attempt,
        t7_ms=ms_of(t7),
        t8_ms=None if t8 is None else ms_of(t8),
        result=result,
        status=status,
        recipient=rooms.get(notification, ""),
        line=line,
    )


def _json(noun: msgspec.Struct) -> str:
    return msgspec.json.encode(noun).decode()


def _moment(ms: int | None) -> datetime | None:
    return None if ms is None else utc(ms)


def _cursor_at(opened_at: datetime, episode_id: str) -> str:
    return f"{ms_of(opened_at)}~{episode_id}"


def _place_of(cursor: str) -> tuple[int, str]:
    time, _, episode_id = cursor.partition("~")
    if not (time.isascii() and time.isdigit() and len(time) <= _CURSOR_TIME_LENGTH and episode_id):
        raise BadCursor(cursor)
    return int(time), episode_id
