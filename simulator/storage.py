"""How fast is the history written and read, and how much room does it take? ``tocsin bench storage``.

A day of a whole fleet goes in by the product's own door (``FixArchive``, in transactions of the archivist's size)
and is read back by the product's own functions: the track of one unit among all, the last places of all. Then the
hours are rolled up and the day is turned into columns where the storage can, and the tracks are read again. Times
are those of the caller, conversion into Python included.

The database is an embedded one of its own, or an empty one by address: one with Tocsin's tables is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np

from ingest.archivist import ROWS_MAX
from simulator.lab import latency_ms, report_head
from simulator.tracks import Fleet
from tocsin.adapters.fixes import FixArchive
from tocsin.adapters.history import History, open_history
from tocsin.adapters.migrate import inspect, migrate
from tocsin.adapters.postgres import open_pool
from tocsin.clock import MS, AffineClock, from_rfc3339
from tocsin.embedded import EmbeddedPostgres
from tocsin.errors import TocsinError
from tocsin.limits import READ_ROWS_MAX

START_MS: Final = from_rfc3339("2026-11-02T00:00:00Z")
DAY_MS: Final = 86_400_000
TRACKS: Final = 300  # read, each of another unit
LAST_POSITIONS: Final = 20
PATIENCE_S: Final = 600.0  # a statement of the bench may take this long


class DatabaseInUse(TocsinError):
    """This database has Tocsin's tables; the bench fills one without any:"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageBench:
    devices: int
    hours: int
    interval_s: int
    seed: int
    home: Path
    database_url: str | None


@dataclass(slots=True)
class Watch:
    seconds: float = 0.0


async def run_storage(bench: StorageBench, *, say: Callable[[str], None]) -> dict[str, Any]:
    """The report; see docs/storage.md for its keys."""
    if bench.database_url is not None:
        return await _measure(bench, bench.database_url, say)
    server = EmbeddedPostgres(home=bench.home / "database")
    try:
        return await _measure(bench, await server.start(), say)
    finally:
        await server.stop()


async def _measure(bench: StorageBench, dsn: str, say: Callable[[str], None]) -> dict[str, Any]:
    if not (await inspect(dsn)).untouched:
        raise DatabaseInUse
    await migrate(dsn)
    async with open_history(dsn) as history, open_pool(dsn, statement_timeout_s=PATIENCE_S) as pool:
        archive, clock, storage = FixArchive(pool), AffineClock(), await history.storage()
        started_ms, rng = clock.wall_ms(), np.random.default_rng(bench.seed)
        say(f"{storage.kind} {storage.version}: {bench.devices} units, {bench.hours} h, each {bench.interval_s} s")
        rows, write_s = await _fill(bench, archive, rng, say)
        chosen = rng.choice(bench.devices, min(TRACKS, bench.devices), replace=False) + 1
        before, rows_read = await _tracks(archive, chosen.tolist())
        last = await _last_positions(bench, archive)
        with timed() as rollup:
            hours = await _until_none(lambda: history.catch_up(1))
        row_bytes = await history.bytes() / rows
        with timed() as compaction:
            days = await _compact(bench, history)
        report: dict[str, Any] = {
            **report_head("bench storage", bench.seed, started_ms, (clock.wall_ms() - started_ms) / MS),
            "storage": {name: asdict(storage)[name] for name in ("kind", "columnstore", "version")},
            "devices": bench.devices,
            "hours": bench.hours,
            "interval_s": bench.interval_s,
            "rows": rows,
            "write": {"seconds": round(write_s, 3), "rows_per_s": round(rows / write_s)},
            "track": {"rows": rows_read, "latency_ms": latency_ms(before)},
            "last_positions": {"rows": min(bench.devices, READ_ROWS_MAX), "latency_ms": latency_ms(last)},
            "rollup": {"hours": hours, "seconds": round(rollup.seconds, 3)},
            "bytes_per_row": {"rows": round(row_bytes, 1), "columns": None, "ratio": None},
        }
        if days:
            after, _ = await _tracks(archive, chosen.tolist())
            column_bytes = await history.bytes() / rows
            report["bytes_per_row"] |= {
                "columns": round(column_bytes, 1),
                "ratio": round(row_bytes / column_bytes, 2),
            }
            report["compaction"] = {"days": days, "seconds": round(compaction.seconds, 3)}
            report["track_columns"] = {"rows": rows_read, "latency_ms": latency_ms(after)}
        return report


async def _fill(
    bench: StorageBench, archive: FixArchive, rng: np.random.Generator, say: Callable[[str], None]
) -> tuple[int, float]:
    """(rows, seconds in the archive): to invent the tracks is not counted."""
    fleet = Fleet(bench.devices, interval_s=bench.interval_s, start_ms=START_MS, rng=rng)
    rounds = bench.hours * 3600 // bench.interval_s
    watch, rows = Watch(), 0
    for number in range(rounds):
        fixes = fleet.round()
        for first in range(0, len(fixes), ROWS_MAX):
            with timed(watch):
                rows += (await archive.archive(fixes[first : first + ROWS_MAX])).rows_inserted
        if (number + 1) % max(1, rounds // 10) == 0:
            say(f"{rows} rows, {rows / watch.seconds:.0f} rows/s")
    return rows, watch.seconds


async def _tracks(archive: FixArchive, devices: list[int]) -> tuple[list[float], int]:
    """(milliseconds of each read, rows of the longest track)."""
    times_ms, longest = [], 0
    for device in devices:
        with timed() as watch:
            track = await archive.read_track(device, START_MS, START_MS + DAY_MS, READ_ROWS_MAX)
        times_ms.append(watch.seconds * MS)
        longest = max(longest, len(track))
    return times_ms, longest


async def _last_positions(bench: StorageBench, archive: FixArchive) -> list[float]:
    times_ms = []
    for _ in range(LAST_POSITIONS):
        with timed() as watch:
            await archive.last_positions(islice(range(1, bench.devices + 1), READ_ROWS_MAX))
        times_ms.append(watch.seconds * MS)
    return times_ms


async def _compact(bench: StorageBench, history: History) -> int:
    until_ms = START_MS + bench.hours * 3_600_000 + DAY_MS
    return await _until_none(lambda: history.compact(until_ms, 1))


async def _until_none(step: Callable[[], Any]) -> int:
    total = 0
    while amount := await step():
        total += amount
    return total


@contextmanager
def timed(watch: Watch | None = None) -> Iterator[Watch]:
    """Adds the seconds of the body to ``watch``."""
    watch = watch or Watch()
    began = perf_counter()
    yield watch
    watch.seconds += perf_counter() - began
