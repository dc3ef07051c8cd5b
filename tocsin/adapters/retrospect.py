"""Where has the past to be looked at again, what does the record have of it, and what has been said of it?

The archive notes which quarters of an hour of a device got fixes that came late; who has looked strikes them out,
unless more has come meanwhile. What is to be said is kept before it is told, so that nothing is lost between the
record and the log, and told again under its own name where that is in doubt. Times are milliseconds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np

from tocsin import wire
from tocsin.adapters.postgres import Pool, Row, load_queries, ms_of, transaction
from tocsin.clock import utc
from tocsin.limits import READ_ROWS_MAX
from tocsin.model.finding import Change, Finding
from tocsin.model.fix import ABSENT
from tocsin.model.geozone import Authorisation
from tocsin.model.order import Order
from tocsin.model.track import TRACK_DTYPE, Track

SQL = load_queries("retrospect.sql")

SLOT_MS: Final = 15 * 60_000  # as in fixes.sql, note_late
ALERTS_MAX: Final = 2_000  # rulings on the alerts of one measure around one window
SAID_MAX: Final = 2_000  # of one measure within one window


class Due(NamedTuple):
    """One quarter of an hour, from ``slot_ms``, of one device."""

    device_number: int
    slot_ms: int
    revision: int


class Pair(NamedTuple):
    """A measure and the numbers of its two devices."""

    order: Order
    wearer: int
    protected: int


class LiveAlert(NamedTuple):
    """One PROX_ALERT as the rulings have it. ``exit_ms`` None: it goes on. ``authorised``: nobody was told."""

    entry: str
    entry_ms: int
    exit_ms: int | None
    authorised: bool = False


class Said(NamedTuple):
    """The last versions of what was said, and the names of those that were taken back."""

    findings: tuple[Finding, ...]
    withdrawn: frozenset[str]


class Retrospect:
    """The tables of the past. Raises RecordUnavailable from every method."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def due(self, *, settled_ms: int, quiet_ms: int, waited_ms: int, limit: int) -> tuple[Due, ...]:
        """Oldest hours first: late fixes measured until ``settled_ms``, of whom none has come since ``quiet_ms``,
        or the first before ``waited_ms``."""
        values = {"settled": utc(settled_ms), "quiet": utc(quiet_ms), "waited": utc(waited_ms), "limit": limit}
        async with transaction(self._pool) as connection:
            rows = await (await connection.execute(SQL["due"], values)).fetchall()
        return tuple(Due(number, ms_of(slot), revision) for number, slot, revision in rows)

    async def waiting(self) -> int:
        """How many there are, due or not."""
        async with transaction(self._pool) as connection:
            row = await (await connection.execute(SQL["waiting"])).fetchone()
        assert row is not None
        return int(row[0])

    async def done(self, seen: Collection[Due]) -> None:
        """Strike these out, unless more has come."""
        columns = [one.device_number for one in seen], [utc(one.slot_ms) for one in seen]
        async with transaction(self._pool) as connection:
            await connection.execute(SQL["done"], [*columns, [one.revision for one in seen]])

    async def postpone(self, seen: Collection[Due], until_ms: int) -> None:
        """Look at these again as if a fix of ``until_ms`` had come."""
        columns = [one.device_number for one in seen], [utc(one.slot_ms) for one in seen]
        async with transaction(self._pool) as connection:
            await connection.execute(SQL["postpone"], [utc(until_ms), *columns])

    async def pairs(self, device_numbers: Iterable[int], from_ms: int, until_ms: int) -> tuple[Pair, ...]:
        """Measures of these devices, in force at some hour of ``[from_ms, until_ms]``, ended ones too."""
        values = {"devices": list(device_numbers), "from": utc(from_ms), "until": utc(until_ms)}
        async with transaction(self._pool) as connection:
            rows = await (await connection.execute(SQL["pairs"], values)).fetchall()
        return tuple(map(_pair, rows))

    async def track(self, device_number: int, from_ms: int, until_ms: int) -> Track:
        """All fixes measured in ``[from_ms, until_ms]``, oldest first."""
        rows: list[Row] = []
        end = utc(until_ms + 1)
        async with transaction(self._pool) as connection:
            while True:
                start = utc(ms_of(rows[-1][0]) + 1 if rows else from_ms)
                cursor = await connection.execute(SQL["track"], [device_number, start, end, READ_ROWS_MAX])
                page = await cursor.fetchall()
                rows += page
                if len(page) < READ_ROWS_MAX:
                    return _track(rows)

    async def alerts(self, measure: str, from_ms: int, until_ms: int) -> tuple[LiveAlert, ...]:
        """What the live rules said of this measure, as far as the record has it."""
        values = {"measure": measure, "from": utc(from_ms), "until": utc(until_ms), "limit": ALERTS_MAX}
        async with transaction(self._pool) as connection:
            rows = await (await connection.execute(SQL["alerts"], values)).fetchall()
        entries = {
            entry: LiveAlert(entry, entry_ms, None if over is None else ms_of(over), authorised)
            for _, entry, entry_ms, _, over, authorised in rows
        }
        left = {row[1]: row[3] for row in rows if row[0] == Change.EXIT}
        return tuple(one._replace(exit_ms=left.get(one.entry, one.exit_ms)) for one in entries.values())

    async def said(self, measure: str, from_ms: int, until_ms: int) -> Said:
        values = {"measure": measure, "from": utc(from_ms), "until": utc(until_ms), "limit": SAID_MAX}
        async with transaction(self._pool) as connection:
            rows = await (await connection.execute(SQL["said"], values)).fetchall()
        read = [(wire.decode_finding(finding), withdrawn) for finding, withdrawn in rows]
        return Said(
            tuple(finding for finding, _ in read),
            frozenset(finding.id for finding, withdrawn in read if withdrawn),
        )

    async def say(self, findings: Sequence[Finding], now_ms: int) -> None:
        """Keep what is to be told, and what it takes the place of; all or none."""
        async with transaction(self._pool) as connection, connection.cursor() as cursor:
            for finding in findings:
                past = finding.past
                assert past is not None
                await cursor.execute(SQL["say"], _row(finding, now_ms))
                if finding.change is Change.EXIT:
                    await cursor.execute(SQL["withdraw"], [finding.entry])
                elif past.supersedes:
                    await cursor.execute(SQL["supersede"], [list(past.supersedes)])

    async def untold(self, limit: int) -> tuple[Finding, ...]:
        """What is kept and not known to be on the log, oldest first."""
        async with transaction(self._pool) as connection:
            rows = await (await connection.execute(SQL["untold"], [limit])).fetchall()
        return tuple(wire.decode_finding(finding) for _, finding in rows)

    async def told(self, names: Collection[str]) -> None:
        async with transaction(self._pool) as connection:
            await connection.execute(SQL["told"], [list(names)])


def _row(finding: Finding, now_ms: int) -> dict[str, object]:
    past = finding.past
    assert past is not None
    return {
        "id": finding.id,
        "measure": finding.measure,
        "first": utc(past.first_ms),
        "last": utc(past.last_ms),
        "said": utc(now_ms),
        "corrects": past.corrects,
        "withdrawal": finding.change is Change.EXIT,
        "finding": wire.encode(finding),
    }


def _pair(row: Row) -> Pair:
    measure, version, wearer, protected, alert_distance_m, valid_from, valid_until, authorised, his, hers = row
    order = Order(
        id=measure,
        version=version,
        wearer=wearer,
        protected=protected,
        alert_distance_m=alert_distance_m,
        valid_from_ms=ms_of(valid_from),
        valid_until_ms=ms_of(valid_until),
        authorised=msgspec.convert(authorised, Authorisation | None),
    )
    return Pair(order, his, hers)


def _track(rows: Sequence[Row]) -> Track:
    return np.array(
        [
            (ms_of(at), delay_ms, lat_e6, lon_e6, ABSENT if accuracy_dm is None else accuracy_dm, flags)
            for at, delay_ms, lat_e6, lon_e6, accuracy_dm, flags in rows
        ],
        TRACK_DTYPE,
    )
