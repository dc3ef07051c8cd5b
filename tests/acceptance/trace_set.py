"""A trace set of two invented sessions, in the layout of the real ones: one approach, one quiet hour.

Session 0: he comes from 8 km away at 10 m/s, meets her after 800 s and goes on as far. Session 1: 20 km apart.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

START_S = 1_800_000_000
SECONDS = 1600
ENTRY_S, EXIT_S = START_S + 701, START_S + 900
LATENCY_MS = 1_500
METRES_PER_DEGREE = 111_195.0


def apart_m(session: int, second: int) -> float:
    return abs(8000.0 - 10.0 * second) if session == 0 else 20_000.0


def _fix(session: int, role: str, second: int) -> dict[str, Any]:
    away_m = apart_m(session, second) * (1 if second < 800 else -1) if role == "A" else 0.0
    return {"lat": round((47.0 + away_m / METRES_PER_DEGREE) * 1e7), "lon": 20_000_000}


def _parts() -> list[tuple[int, str, int]]:
    return [(session, role, second) for session in (0, 1) for role in "PA" for second in range(SECONDS)]


def write_trace_set(folder: Path) -> Path:
    """``orig`` alone, every 10 and 60 s."""
    import pyarrow as pa  # noqa: PLC0415  # optional
    import pyarrow.parquet as pq  # noqa: PLC0415

    tables = {
        "sessions": _sessions(),
        "truth": _truth(),
        "events": _events(),
        "tracks": _tracks(),
        "device": _device(),
    }
    folder.mkdir()
    for name, rows in tables.items():
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")
    return folder


def _sessions() -> list[dict[str, Any]]:
    span = {"t_start": START_S, "t_end": START_S + SECONDS, "covered_s": SECONDS}
    return [{"session": session, **span} for session in (0, 1)]


def _truth() -> list[dict[str, Any]]:
    return [
        {"session": session, "t": START_S + second, "d_dm": round(10 * apart_m(session, second))}
        for session in (0, 1)
        for second in range(SECONDS)
    ]


def _events() -> list[dict[str, Any]]:
    said = {"kind": "episode", "sure": True, "graze": False, "starts_inside": False}
    return [{"session": 0, "D": 1000, "t": ENTRY_S, "t_exit": EXIT_S, **said}]


def _tracks() -> list[dict[str, Any]]:
    return [
        {"session": session, "role": role, "t": START_S + second, **_fix(session, role, second), "spike": False}
        for session, role, second in _parts()
    ]


def _device() -> list[dict[str, Any]]:
    """The phase of each device is its role's: 3 s and 7 s."""
    rows = [
        {
            "session": session, "variant": "orig", "period": period_s, "role": role,
            "t_fix": (START_S + second) * 1000, "t_recv": (START_S + second) * 1000 + LATENCY_MS,
            **_fix(session, role, second), "acc_dm": -1, "src": "gnss",
        }
        for period_s in (10, 60)
        for session, role, second in _parts()
        if second % period_s == (3 if role == "P" else 7)
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (row["session"], row["t_recv"]))
