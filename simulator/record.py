"""How is a simulated fleet kept, so that it is replayed and scored like the real one?

Writes the Parquet layout of shared/data/gps: ``sessions``, ``device``, ``tracks``, ``truth``, ``events``. A
couple is a session; all begin at ``scenario.start_ms``. The device stream has variant ``noisy``: the sky's error
and losses, and a latency. Events are for the alert and pre-alert distances that occur in the fleet, each for every
session, because the scorer asks one distance of all sessions. Rules of an event: README of that folder.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from simulator import truth
from simulator.gnss import GnssReceiver, Sky, chance_of
from simulator.motion import Floats
from simulator.recording import DM, E7, RecordingError, parquet
from simulator.scenario import Couple, Party, Scenario
from tocsin.clock import MS

EPISODE_OVER = 1.1  # below D until it reaches 1.1 D
NEAR_MISS = (1.5, 1.65)  # below 1.5 D until 1.65 D, never below D
GRAZE_M, GRAZE_SHARE, GRAZE_S = 25.0, 0.03, 30
LATENCY_S = (0.3, 1.5, 0.4)  # least, and shape and scale of a gamma on top
RECORD_CHANCE = 0x2EC
SESSIONS_MAX = 32_767  # int16

Rows = list[dict[str, Any]]
Ints = npt.NDArray[np.int64]


def record(
    scenario: Scenario, folder: Path, *, sky: Sky, periods: Sequence[int] = (10, 30, 60), variant: str = "noisy"
) -> None:
    """Write the five files into ``folder``, which is made if it is not there. Raises RecordingError."""
    if scenario.start_ms % MS:
        raise RecordingError("a recording begins on a whole second")
    if len(scenario.couples) > SESSIONS_MAX:
        raise RecordingError(f"{len(scenario.couples)} couples: the layout counts sessions up to {SESSIONS_MAX}")
    folder.mkdir(parents=True, exist_ok=True)
    bounds = sorted(
        {bound for each in scenario.couples for bound in (each.alert_distance_m, each.prealert_distance_m)}
    )
    tables: dict[str, Rows] = {"sessions": [], "device": [], "tracks": [], "truth": [], "events": []}
    for session, couple in enumerate(scenario.couples):
        t, d_m = _distances(scenario, couple)
        start_s = scenario.start_ms // MS
        events = [event for bound in bounds for event in events_of(t + start_s, d_m, session, bound)]
        tables["events"] += events
        tables["truth"] += [
            {"session": session, "t": at, "d_dm": d}
            for at, d in zip((t + start_s).tolist(), np.rint(d_m * DM).astype(np.int64).tolist(), strict=True)
        ]
        tables["sessions"].append(_session(session, scenario, couple, d_m, active=bool(events)))
        for role, party in _roles(couple):
            tables["tracks"] += _track(scenario, party, session, role, t)
            for period in periods:
                labels = {"session": session, "variant": variant, "period": period, "role": role}
                tables["device"] += _stream(scenario, party, sky, labels)
    tables["device"].sort(key=lambda row: int(row["t_recv"]))
    for name, rows in tables.items():
        _write(folder / f"{name}.parquet", rows, SCHEMAS[name])


def events_of(t: Ints, d_m: Floats, session: int, bound_m: int) -> Rows:
    """Episodes and near misses of one distance series at 1 Hz, in order of time."""
    rows = [
        _event("episode", session, bound_m, t, d_m, run)
        for run in truth.runs_inside(d_m, bound_m, EPISODE_OVER * bound_m)
    ]
    near, over = NEAR_MISS
    rows += [
        _event("near_miss", session, bound_m, t, d_m, run)
        for run in truth.runs_inside(d_m, near * bound_m, over * bound_m)
        if d_m[run[0] : run[1]].min() > bound_m
    ]
    return sorted(rows, key=lambda row: int(row["t"]))


def _event(
    kind: Literal["episode", "near_miss"],
    session: int,
    bound_m: int,
    t: Ints,
    d_m: Floats,
    run: tuple[int, int],
) -> dict[str, Any]:
    """``t_exit`` is the last crossing back before the run is over; there are no holes, so all entries are sure."""
    entry, after = run
    level_m = bound_m if kind == "episode" else NEAR_MISS[0] * bound_m
    lowest = entry + int(np.argmin(d_m[entry:after]))
    starts_inside, ends_inside = entry == 0, bool(d_m[after - 1] <= level_m)
    last_below = entry + int(np.flatnonzero(d_m[entry:after] <= level_m)[-1])
    exit_at = last_below if ends_inside else min(last_below + 1, t.size - 1)
    lasts = int(t[exit_at] - t[entry])
    depth_m = bound_m - float(d_m[lowest])
    grazes = depth_m < max(GRAZE_M, GRAZE_SHARE * bound_m) or lasts < GRAZE_S
    return {
        "session": session,
        "D": bound_m,
        "kind": kind,
        "t": int(t[entry]),
        "t_exit": int(t[exit_at]),
        "d_min": round(float(d_m[lowest]), 1),
        "t_min": int(t[lowest]),
        "starts_inside": starts_inside,
        "ends_inside": ends_inside,
        "t_lo": int(t[max(0, entry - 1)]),
        "t_hi": int(t[entry]),
        "sure": not starts_inside,
        "dur": lasts,
        "graze": kind == "episode" and grazes,
    }


def _distances(scenario: Scenario, couple: Couple) -> tuple[Ints, Floats]:
    """Whole seconds of the scenario, both ends included, and the metres between the two."""
    t = np.arange(math.floor(scenario.duration_s) + 1, dtype=np.int64)
    return t, truth.separation_m(scenario, couple, t.astype(np.float64))


def _roles(couple: Couple) -> tuple[tuple[str, Party], tuple[str, Party]]:
    return ("A", couple.wearer), ("P", couple.protected)


def _session(session: int, scenario: Scenario, couple: Couple, d_m: Floats, *, active: bool) -> dict[str, Any]:
    start_s = scenario.start_ms // MS
    return {
        "session": session,
        "t_start": start_s,
        "t_end": start_s + d_m.size - 1,
        "covered_s": d_m.size - 1,
        "kind": "active" if active else "quiet",
        "d_min": round(float(d_m.min()), 1),
        "d_median": round(float(np.median(d_m)), 1),
        "fix_P": d_m.size,
        "fix_A": d_m.size,
        "rate_P": 1.0,
        "rate_A": 1.0,
        "person_P": couple.protected.device,
        "person_A": couple.wearer.device,
    }


def _track(scenario: Scenario, party: Party, session: int, role: str, t: Ints) -> Rows:
    """The true position every second."""
    lat, lon = scenario.position(party, t.astype(np.float64))
    start_s = scenario.start_ms // MS
    return [
        {"session": session, "role": role, "t": at, "lat": y, "lon": x, "spike": False}
        for at, y, x in zip((t + start_s).tolist(), _e7(lat).tolist(), _e7(lon).tolist(), strict=True)
    ]


def _stream(scenario: Scenario, party: Party, sky: Sky, labels: dict[str, Any]) -> Rows:
    """What a server would have received from this unit at this period."""
    rng = chance_of(scenario, party.device, RECORD_CHANCE, labels["period"])
    receiver = GnssReceiver(scenario, party, sky=sky, rng=rng)
    return [
        {
            **labels,
            "t_fix": fix_ms,
            "t_recv": fix_ms + _latency_ms(rng),
            "lat": round(fix.lat * E7),
            "lon": round(fix.lon * E7),
            "acc_dm": round(fix.accuracy_m * DM),
            "src": "gnss",
        }
        for t in _moments(scenario.duration_s, labels["period"], rng)
        for fix in receiver.fixes(t)
        for fix_ms in (scenario.start_ms + round(fix.t * MS),)
    ]


def _moments(duration_s: float, period: int, rng: np.random.Generator) -> Iterator[float]:
    """Whole seconds, one a period; the first somewhere within the first period."""
    yield from np.arange(int(rng.integers(period)), duration_s, period, dtype=np.float64).tolist()


def _latency_ms(rng: np.random.Generator) -> int:
    least, shape, scale = LATENCY_S
    return round((least + float(rng.gamma(shape, scale))) * MS)


def _e7(degrees: Floats) -> Ints:
    return np.rint(degrees * E7).astype(np.int64)


SCHEMAS: dict[str, dict[str, str]] = {
    "sessions": {
        **dict.fromkeys(("session", "t_start", "t_end", "covered_s"), "int64"),
        "kind": "string",
        **dict.fromkeys(("d_min", "d_median"), "float64"),
        **dict.fromkeys(("fix_P", "fix_A"), "int64"),
        **dict.fromkeys(("rate_P", "rate_A"), "float64"),
        **dict.fromkeys(("person_P", "person_A"), "string"),
    },
    "device": {
        "session": "int16",
        "variant": "string",
        "period": "int16",
        "role": "string",
        **dict.fromkeys(("t_fix", "t_recv"), "int64"),
        **dict.fromkeys(("lat", "lon", "acc_dm"), "int32"),
        "src": "string",
    },
    "tracks": {
        "session": "int16",
        "role": "string",
        "t": "int64",
        "lat": "int32",
        "lon": "int32",
        "spike": "bool",
    },
    "truth": {"session": "int16", "t": "int64", "d_dm": "int32"},
    "events": {
        **dict.fromkeys(("session", "D"), "int64"),
        "kind": "string",
        **dict.fromkeys(("t", "t_exit"), "int64"),
        "d_min": "float64",
        "t_min": "int64",
        **dict.fromkeys(("starts_inside", "ends_inside"), "bool"),
        **dict.fromkeys(("t_lo", "t_hi"), "int64"),
        "sure": "bool",
        "dur": "int64",
        "graze": "bool",
    },
}


def _write(path: Path, rows: Rows, columns: dict[str, str]) -> None:
    writer = parquet()
    import pyarrow as pa  # noqa: PLC0415  # optional

    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in columns.items()])
    writer.write_table(pa.Table.from_pylist(rows, schema=schema), path, compression="zstd")
