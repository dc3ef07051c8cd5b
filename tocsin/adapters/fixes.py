"""Where has this device been, and how do thousands of fixes a second become rows?

A batch goes from numpy columns to the binary form of COPY in one piece, into a table of the session, and from
there to ``tocsin.fixes`` where what is known already is left alone: to archive a batch twice changes nothing.
Whether that table is a hypertable or daily partitions (``tocsin.storage``) is not asked here. Fixes of a clock
that is far off are kept beside it. Where fixes came late is noted with them, for ``geofence.retrospect``. Every
read is bounded by the function of the database that it goes through. Units are those of FIX_DTYPE. Measured: 0.4
µs of ours a row, the server is the cost.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from tocsin.adapters.postgres import Connection, Pool, Row, load_queries, ms_of, transaction
from tocsin.clock import MS, utc
from tocsin.limits import FIX_FUTURE_MAX_S, FIX_PAST_MAX_S, STRAGGLER_MAX_S
from tocsin.model.fix import FIX_DTYPE, Fixes, FixFlag
from tocsin.model.track import TRACK_DTYPE, Track, came_late

SQL = load_queries("fixes.sql")

DAY_MS = 86_400_000
PG_EPOCH_MS = 946_684_800_000  # 2000-01-01, where the binary form of a timestamptz begins
EARLIEST_MS = -62_135_596_800_000  # 0001-01-01: what both Python and PostgreSQL can name
LATEST_MS = 253_402_300_799_999  # 9999-12-31
INT4_MAX = 2**31 - 1
LATE_MS: Final = STRAGGLER_MAX_S * MS  # of what came later, the live rules may have missed something

COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_TRAILER = b"\xff\xff"
COPY_COLUMNS: Final = {
    "device_number": ">i8",
    "measured_at": ">i8",  # microseconds since PG_EPOCH
    "delay_ms": ">i4",
    "lat_e6": ">i4",
    "lon_e6": ">i4",
    "accuracy_dm": ">i4",
    "speed_cms": ">i4",
    "course_ddeg": ">i4",
    "battery_pct": ">i2",
    "source": ">i2",
    "flags": ">i4",
    "boot": ">i8",
    "seq": ">i8",
}
"""As in the table ``incoming``. Absent values travel as -1 and become NULL on the server (``nullif``): one shape
of row for every batch, where a NULL in the COPY itself would need one for each combination of absent columns."""

COPIED: Final = [name for name in COPY_COLUMNS if name in (FIX_DTYPE.names or ())]
"""Columns of the same name and meaning on both sides."""

_RECORD: Final = np.dtype(
    [("count", ">i2")]
    + [part for name, form in COPY_COLUMNS.items() for part in ((f"{name}_length", ">i4"), (name, form))]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Archived:
    """What became of the primary rows of a batch."""

    rows_inserted: int
    astray: int  # new as well, and kept beside the history
    duplicates: int


class TrackPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One archived fix. None: the device did not say."""

    measured_ms: int
    received_ms: int
    lat_e6: int
    lon_e6: int
    accuracy_dm: int | None
    speed_cms: int | None
    course_ddeg: int | None
    battery_pct: int | None
    source: int
    flags: int


class LastPosition(msgspec.Struct, frozen=True, kw_only=True):
    """The newest archived fix of a device."""

    device_number: int
    measured_ms: int
    received_ms: int
    lat_e6: int
    lon_e6: int
    accuracy_dm: int | None
    battery_pct: int | None


class FixArchive:
    """The history of fixes. One per process: it remembers which days have their partition."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._days: set[int] = set()

    async def archive(self, fixes: Fixes) -> Archived:
        """Keep the primary rows of a batch and the last position of their devices, in one transaction."""
        primary = fixes[fixes["primary"] != 0]
        sound = plausible(primary)
        history, odd = primary[sound], primary[~sound]
        await self._ensure_days(days_of(history))
        async with transaction(self._pool) as connection:
            inserted = await _keep(connection, history) if len(history) else 0
            astray = await _keep_astray(connection, odd) if len(odd) else 0
        return Archived(rows_inserted=inserted, astray=astray, duplicates=len(primary) - inserted - astray)

    async def _ensure_days(self, days: Iterable[int]) -> None:
        """In a transaction of its own: it must not hold rows while it waits for the lock on the partitions."""
        missing = set(days) - self._days
        if not missing:
            return
        async with transaction(self._pool) as connection:
            await connection.execute(SQL["ensure_days"], [[_date(day) for day in sorted(missing)]])
        self._days |= missing

    async def read_track(self, device_number: int, from_ms: int, to_ms: int, limit: int) -> tuple[TrackPoint, ...]:
        """The oldest ``limit`` fixes measured in ``[from_ms, to_ms)``, oldest first.

        Raises RecordRefused beyond READ_DAYS_MAX and READ_ROWS_MAX.
        """
        async with transaction(self._pool) as connection:
            cursor = await connection.execute(SQL["track"], [device_number, utc(from_ms), utc(to_ms), limit])
            return tuple([_track_point(row) async for row in cursor])

    async def last_positions(self, device_numbers: Iterable[int]) -> dict[int, LastPosition]:
        """By device number; a device that never had a fix is missing. At most READ_ROWS_MAX of them."""
        async with transaction(self._pool) as connection:
            cursor = await connection.execute(SQL["last_positions"], [list(device_numbers)])
            return {row[0]: _last_position(row) async for row in cursor}


async def _keep(connection: Connection, fixes: Fixes) -> int:
    """Returns how many were new."""
    await connection.execute(SQL["make_incoming"])
    async with connection.cursor() as cursor, cursor.copy(SQL["copy_incoming"]) as copy:
        await copy.write(copy_buffer(fixes))
    inserted = (await connection.execute(SQL["keep_fixes"])).rowcount
    await connection.execute(SQL["keep_last_positions"])
    await connection.execute(SQL["note_hours"])
    if came_late(_as_track(fixes), LATE_MS).any():
        await connection.execute(SQL["note_late"], {"late_ms": LATE_MS, "bulk": int(FixFlag.BULK)})
    return inserted


async def _keep_astray(connection: Connection, fixes: Fixes) -> int:
    """Returns how many were new. Rare, so one by one: the hour of reception is no column of the COPY."""
    async with connection.cursor() as cursor:
        await cursor.executemany(SQL["keep_astray"], [_astray_row(fix) for fix in fixes])
        return cursor.rowcount


def _as_track(fixes: Fixes) -> Track:
    track = np.zeros(len(fixes), TRACK_DTYPE)
    track["at_ms"], track["delay_ms"] = fixes["fix_ms"], _delay_ms(fixes)
    for name in ("lat_e6", "lon_e6", "accuracy_dm", "flags"):
        track[name] = fixes[name]
    return track


def plausible(fixes: Fixes) -> npt.NDArray[np.bool_]:
    """Which were of an age, when they were received, that ingest admits.

    The hour of the others says nothing: in the history it would make a day that retention never drops, and a
    position from the future would be the last one for ever.
    """
    age_ms = _delay_ms(fixes)
    sound: npt.NDArray[np.bool_] = (age_ms >= -FIX_FUTURE_MAX_S * MS) & (age_ms <= FIX_PAST_MAX_S * MS)
    return sound


def days_of(fixes: Fixes) -> list[int]:
    """Days since 1970 that need a partition."""
    days: list[int] = np.unique(_within_calendar(fixes["fix_ms"]) // DAY_MS).tolist()
    return days


def copy_buffer(fixes: Fixes) -> bytes:
    """The rows as PostgreSQL's binary COPY, whole, with header and trailer."""
    rows = np.empty(len(fixes), _RECORD)
    rows["count"] = len(COPY_COLUMNS)
    for name, form in COPY_COLUMNS.items():
        rows[f"{name}_length"] = np.dtype(form).itemsize
    rows["device_number"] = fixes["device"]
    rows["measured_at"] = (_within_calendar(fixes["fix_ms"]) - PG_EPOCH_MS) * 1000
    rows["delay_ms"] = np.clip(_delay_ms(fixes), -INT4_MAX, INT4_MAX)
    for name in COPIED:
        rows[name] = fixes[name]
    return COPY_HEADER + rows.tobytes() + COPY_TRAILER


def _within_calendar(ms: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.clip(ms, EARLIEST_MS, LATEST_MS)


def _delay_ms(fixes: Fixes) -> npt.NDArray[np.int64]:
    """Received minus measured; cannot overflow."""
    return _within_calendar(fixes["t3_ms"]) - _within_calendar(fixes["fix_ms"])


def _date(day: int) -> date:
    return utc(day * DAY_MS).date()


def _astray_row(fix: np.void) -> list[object]:
    measured, received = (utc(min(max(int(fix[name]), EARLIEST_MS), LATEST_MS)) for name in ("fix_ms", "t3_ms"))
    return [int(fix["device"]), measured, received, *(int(fix[name]) for name in COPIED)]


def _track_point(row: Row) -> TrackPoint:
    measured_at, delay_ms, lat_e6, lon_e6, accuracy_dm, speed_cms, course_ddeg, battery_pct, source, flags = row
    measured_ms = ms_of(measured_at)
    return TrackPoint(
        measured_ms=measured_ms,
        received_ms=measured_ms + delay_ms,
        lat_e6=lat_e6,
        lon_e6=lon_e6,
        accuracy_dm=accuracy_dm,
        speed_cms=speed_cms,
        course_ddeg=course_ddeg,
        battery_pct=battery_pct,
        source=source,
        flags=flags,
    )


def _last_position(row: Row) -> LastPosition:
    device_number, measured_at, delay_ms, lat_e6, lon_e6, accuracy_dm, battery_pct = row
    measured_ms = ms_of(measured_at)
    return LastPosition(
        device_number=device_number,
        measured_ms=measured_ms,
        received_ms=measured_ms + delay_ms,
        lat_e6=lat_e6,
        lon_e6=lon_e6,
        accuracy_dm=accuracy_dm,
        battery_pct=battery_pct,
    )
