"""What did the people of a trace set really do, and what would a server have received of it?

The layout (Parquet): ``sessions`` (one row a pair of people), ``truth`` (their true distance each second),
``events`` (true entries below a distance), ``device`` (messages in several variants and periods), ``tracks``
(every fix of the loggers). Seconds and metres here; the files have milliseconds, decimetres and 1e-7 degree.
Reading needs the extra ``replay``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from simulator.recording import RecordingError, parquet
from tocsin.clock import MS

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

DAY_S: Final = 86_400.0
WEARER, PROTECTED = 0, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One true stay below a distance, from ``at_s`` to ``exit_s``. ``clear``: deep and long enough that no honest
    detector may miss it."""

    session: int
    at_s: float
    exit_s: float
    clear: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What happened. ``seconds`` and ``distance_m`` by session, where both people were seen."""

    seconds: Mapping[int, Floats]
    distance_m: Mapping[int, Floats]
    entries: Mapping[int, Sequence[Entry]]
    """Certain entries by distance in metres, in the order of the file."""
    began_inside: Mapping[int, Mapping[int, float]]
    """By distance, then session: when a session that began below the distance first left it."""
    pair_days: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """The messages of one session in order of reception, as columns of equal length.

    ``period_s``: how often the devices report, None: as they are told; ``role``: WEARER or PROTECTED;
    ``accuracy_dm`` -1: not told.
    """

    session: int
    period_s: int | None
    role: Ints
    fix_ms: Ints
    received_ms: Ints
    lat_e7: Ints
    lon_e7: Ints
    accuracy_dm: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """Every fix of one session, from which what a device would have sent can be drawn; by role, then in order of
    time. Columns of equal length."""

    session: int
    start_ms: int
    end_ms: int
    role: Ints
    fix_ms: Ints
    lat_e7: Ints
    lon_e7: Ints


def read_truth(folder: Path, distances_m: Sequence[int]) -> Truth:
    """Raises RecordingError."""
    truth = _columns(folder, "truth", ["session", "t", "d_dm"])
    where = _by_session(truth["session"])
    return Truth(
        seconds={session: truth["t"][rows].astype(float) for session, rows in where.items()},
        distance_m={session: truth["d_dm"][rows] / 10.0 for session, rows in where.items()},
        **_events(folder, distances_m),
        pair_days=float(_columns(folder, "sessions", ["covered_s"])["covered_s"].sum()) / DAY_S,
    )


def _events(folder: Path, distances_m: Sequence[int]) -> dict[str, Any]:
    names = ["session", "D", "kind", "t", "t_exit", "sure", "graze", "starts_inside"]
    columns = _columns(folder, "events", names)
    entries: dict[int, list[Entry]] = {distance: [] for distance in distances_m}
    inside: dict[int, dict[int, float]] = {distance: {} for distance in distances_m}
    rows = zip(*(columns[name].tolist() for name in names), strict=True)
    for session, distance, kind, at_s, exit_s, sure, graze, starts_inside in rows:
        if kind != "episode" or distance not in entries:
            continue
        if starts_inside:
            inside[distance][session] = float(exit_s)
        elif sure:
            entries[distance].append(
                Entry(session=session, at_s=float(at_s), exit_s=float(exit_s), clear=not graze)
            )
    return {"entries": entries, "began_inside": inside}


def read_streams(folder: Path, variant: str, period_s: int) -> list[Stream]:
    """Every session's messages of one variant and period. Raises RecordingError when there are none."""
    names = ["session", "role", "t_fix", "t_recv", "lat", "lon", "acc_dm"]
    filters = [("variant", "=", variant), ("period", "=", period_s)]
    columns = _columns(folder, "device", names, filters)
    if not columns["session"].size:
        raise RecordingError(f"{folder}: nothing of variant {variant!r} with period {period_s} s")
    where = _by_session(columns["session"])
    return [_stream(session, period_s, rows, columns) for session, rows in where.items()]


def _stream(session: int, period_s: int, rows: Ints, columns: Mapping[str, Any]) -> Stream:
    rows = rows[np.argsort(columns["t_recv"][rows], kind="stable")]
    return Stream(
        session=session,
        period_s=period_s,
        role=np.where(columns["role"][rows] == "A", WEARER, PROTECTED),
        fix_ms=columns["t_fix"][rows].astype(np.int64),
        received_ms=columns["t_recv"][rows].astype(np.int64),
        lat_e7=columns["lat"][rows].astype(np.int64),
        lon_e7=columns["lon"][rows].astype(np.int64),
        accuracy_dm=columns["acc_dm"][rows].astype(np.int64),
    )


def read_tracks(folder: Path) -> list[Track]:
    """Every session's fixes, spikes and all: a device would have sent them too. Raises RecordingError."""
    sessions = _columns(folder, "sessions", ["session", "t_start", "t_end"])
    spans_ms = zip((sessions["t_start"] * MS).tolist(), (sessions["t_end"] * MS).tolist(), strict=True)
    span_ms = dict(zip(sessions["session"].tolist(), spans_ms, strict=True))
    columns = _columns(folder, "tracks", ["session", "role", "t", "lat", "lon"])
    where = _by_session(columns["session"])
    return [_track(session, span_ms[session], rows, columns) for session, rows in where.items()]


def _track(session: int, span_ms: tuple[int, int], rows: Ints, columns: Mapping[str, Any]) -> Track:
    role = np.where(columns["role"][rows] == "A", WEARER, PROTECTED)
    order = np.lexsort((columns["t"][rows], role))
    rows = rows[order]
    return Track(
        session=session,
        start_ms=span_ms[0],
        end_ms=span_ms[1],
        role=role[order],
        fix_ms=columns["t"][rows].astype(np.int64) * MS,
        lat_e7=columns["lat"][rows].astype(np.int64),
        lon_e7=columns["lon"][rows].astype(np.int64),
    )


def _by_session(sessions: Ints) -> dict[int, Ints]:
    """session -> its rows, in their order."""
    order = np.argsort(sessions, kind="stable")
    names, starts = np.unique(sessions[order], return_index=True)
    return dict(zip(names.tolist(), np.split(order, starts[1:]), strict=True))


def _columns(folder: Path, name: str, columns: list[str], filters: Any = None) -> dict[str, Any]:  # noqa: ANN401
    path = folder / f"{name}.parquet"
    reader = parquet()
    try:
        table = reader.read_table(path, columns=columns, filters=filters)
    except (OSError, ValueError, KeyError) as error:  # pyarrow's own errors are kinds of these
        raise RecordingError(f"{path}: {error}") from error
    return {column: table[column].to_numpy(zero_copy_only=False) for column in columns}
