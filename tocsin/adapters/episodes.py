"""What was the life of this alert, and who was told when?

The record of rulings and receipts, written from the log by ``alerts.recorder`` and read by the API for what is
closed (ARCHITECTURE, A7). A message may come twice and may come late: the newest ruling by its sequence in the log
is the episode, whatever the order of arrival. Times are milliseconds.

The tables hold no place (``tocsin.sealing``): where somebody was stands beside the link of its ruling, and is
erased there. What is kept here is linked in the same transaction, so that neither stands without the other; rows
are locked in one order by everyone, and chains behind them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from tocsin import sealing, wire
from tocsin.adapters.postgres import BadCursor, Page, Pool, Row, load_queries, ms_of, transaction
from tocsin.adapters.seals import seal_within
from tocsin.chain import Item
from tocsin.clock import AffineClock, Clock, utc
from tocsin.model.canary import is_canarys_place
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


class RecordedReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt, and the place of its episode on the log: the code says how long it is kept."""

    code: str
    subject: str
    receipt: Receipt

    @property
    def is_canarys(self) -> bool:
        """As who wrote it knew of its alert."""
        said = self.receipt.canary
        return is_canarys_place(self.code, self.subject) if said is None else said


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to one episode: rulings in the order of the log, attempts by the hour they began."""

    rulings: tuple[RecordedRuling, ...]
    attempts: tuple[Receipt, ...]


class EpisodeRecord:
    """The tables of episodes. Raises RecordUnavailable from every method. ``clock``: the hour of linking."""

    def __init__(self, pool: Pool, *, clock: Clock | None = None) -> None:
        self._pool = pool
        self._clock = clock or AffineClock()

    async def record_rulings(self, rulings: Sequence[RecordedRuling]) -> int:
        """All or none; returns how many were new. Raises RecordRefused for a value the record cannot hold."""
        if not rulings:
            return 0
        written = [_Written.of(each) for each in sorted(rulings, key=_place)]
        newest = {each.row["id"]: each.row for each in written}  # of one episode only its last ruling is written
        async with transaction(self._pool) as connection, connection.cursor() as cursor:
            await cursor.execute(SQL["keep_rulings"], _transposed([each.row for each in written], _RULING))
            new = cursor.rowcount
            await cursor.executemany(SQL["keep_episode"], list(newest.values()))
            if notifications := _first_of_each(rulings):
                await cursor.execute(
                    SQL["keep_notifications"], [list(column) for column in zip(*notifications, strict=True)]
                )
            items = [item for each in written for item in each.items]
            await seal_within(connection, items, at_ms=self._clock.now_ms())
        return new

    async def record_receipts(self, receipts: Sequence[RecordedReceipt]) -> None:
        """All or none. Raises RecordRefused for a value the record cannot hold."""
        if not receipts:
            return
        rows = sorted((_attempt_row(each.receipt) for each in receipts), key=lambda row: (row[:3], row[-1]))
        items = [
            sealing.of_receipt(each.receipt, is_tgd=sealing.is_tgd(each.code))
            for each in receipts
            if not each.is_canarys
        ]
        async with transaction(self._pool) as connection:
            await connection.execute(SQL["keep_attempts"], [list(column) for column in zip(*rows, strict=True)])
            await seal_within(connection, items, at_ms=self._clock.now_ms())

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
        return Timeline(rulings=read, attempts=tuple(receipt_of(row, rooms) for row in attempts))


def _place(each: RecordedRuling) -> tuple[str, int]:
    """Rows are locked in this order by everyone, so that two recorders never wait in a circle."""
    return each.ruling.episode.id, each.sequence


@dataclass(frozen=True, slots=True)
class _Written:
    """A ruling as the tables have it, without places, and what is linked of it."""

    row: Mapping[str, Any]
    items: Sequence[Item]

    @classmethod
    def of(cls, each: RecordedRuling) -> _Written:
        episode = each.ruling.episode
        blanked, places = sealing.without_places(each.ruling)
        items = [] if episode.is_canary else sealing.of_parted(each.sequence, episode, blanked, places)
        ruling = msgspec.convert(blanked, Ruling) if places else each.ruling
        return cls(_ruling_row(each.sequence, ruling), items)


_RULING: Final = ("sequence", "id", "code", "subject", "version", "reason", "event", "at", "payload")


def _transposed(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in names}


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


def _first_of_each(rulings: Sequence[RecordedRuling]) -> list[tuple[Any, ...]]:
    """The rows of the notifications, each where it was first named, in the order of their ids."""
    first: dict[str, tuple[Any, ...]] = {}
    for each in sorted(rulings, key=lambda each: each.sequence):
        for row in _notification_rows(each.sequence, each.ruling):
            first.setdefault(row[0], row)
    return [first[name] for name in sorted(first)]


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


def receipt_of(row: Row, rooms: Mapping[str, str]) -> Receipt:
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
