"""What did a fleet say, once, and to whom did it belong? Recordings for ``tocsin replay PATH``.

Two forms, one result (``Recording``): the Parquet layout of shared/data/gps (``device.parquet`` and
``sessions.parquet``: lat and lon in 1e-7 degree, accuracy in decimetres, ``t_fix`` and ``t_recv`` in
milliseconds), and CSV ``t,device,lat,lon,acc`` with the pairs given beside it. In Parquet the roles P (protected)
and A (wearer) of session 123 become the devices ``s0123-p`` and ``s0123-a``. Messages come in order of reception.

``simulator.record`` writes the Parquet form for a simulated fleet. Reading Parquet needs the extra ``replay``.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tocsin.clock import MS, from_rfc3339
from tocsin.errors import TocsinError
from tocsin.limits import REPORTS_EVERY_MAX_S
from tocsin.model.ids import is_device_id

CSV_COLUMNS = ("t", "device", "lat", "lon", "acc")
E7 = 1e7
DM = 10.0
ROLES = {"A": "a", "P": "p"}
Role = Literal["A", "P"]


class RecordingError(TocsinError):
    """This recording cannot be read:"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedFix:
    """One message as a server would have got it. ``accuracy_m`` is the 68 % radius, None: not told."""

    device: str
    fix_ms: int
    received_ms: int
    lat: float
    lon: float
    accuracy_m: float | None
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedPair:
    """Who had to stay away from whom. ``shift_ms`` was added to the times of the recording (``aligned``)."""

    wearer: str
    protected: str
    alert_distance_m: int
    session: int | None = None
    shift_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """``messages`` in order of reception; equal times in the order of the file."""

    messages: tuple[RecordedFix, ...]
    pairs: tuple[RecordedPair, ...]

    def intervals_s(self) -> dict[str, int]:
        """How often each device spoke, whole seconds: the median between two different fixes. Nobody commands the
        past, so this is what the devices are registered with. A device of one fix has no interval."""
        hours: dict[str, set[int]] = {}
        for message in self.messages:
            hours.setdefault(message.device, set()).add(message.fix_ms)
        gaps_ms = {name: np.diff(sorted(at_ms)) for name, at_ms in hours.items() if len(at_ms) > 1}
        return {
            name: min(max(1, round(float(np.median(gaps)) / MS)), REPORTS_EVERY_MAX_S)
            for name, gaps in gaps_ms.items()
        }

    def aligned(self, start_ms: int) -> Recording:
        """All pairs at once: each pair's first message within the second from ``start_ms`` on, its own times kept.

        Messages of devices without a pair are left out: nothing says when they should be. A device of two
        pairs cannot be in two times: raises RecordingError.
        """
        first: dict[str, int] = {}
        for message in self.messages:
            first.setdefault(message.device, message.received_ms)
        shifts: dict[str, int] = {}
        pairs = []
        for pair in self.pairs:
            begins = [first[device] for device in (pair.wearer, pair.protected) if device in first]
            shift_ms = (start_ms - min(begins) + MS - 1) // MS * MS if begins else 0
            for device in (pair.wearer, pair.protected):
                if shifts.setdefault(device, shift_ms) != shift_ms:
                    raise RecordingError(f"{device} belongs to several pairs, which cannot be moved apart")
            pairs.append(replace(pair, shift_ms=pair.shift_ms + shift_ms))
        moved = [_moved(one, shifts[one.device]) for one in self.messages if one.device in shifts]
        return Recording(messages=tuple(sorted(moved, key=lambda one: one.received_ms)), pairs=tuple(pairs))


def _moved(message: RecordedFix, shift_ms: int) -> RecordedFix:
    return replace(message, fix_ms=message.fix_ms + shift_ms, received_ms=message.received_ms + shift_ms)


def device_of(session: int, role: Role) -> str:
    """Session 123, role A -> ``s0123-a``."""
    return f"s{session:04d}-{ROLES[role]}"


def read(
    path: Path,
    *,
    pairs: Sequence[RecordedPair] = (),
    sessions: Iterable[int] | None = None,
    variant: str = "noisy",
    period: int = 10,
    alert_distance_m: int = 1000,
) -> Recording:
    """A folder is Parquet, a file is CSV. Raises RecordingError."""
    if path.is_dir():
        return read_parquet(
            path, sessions=sessions, variant=variant, period=period, alert_distance_m=alert_distance_m
        )
    return read_csv(path, pairs)


# --- Parquet -------------------------------------------------------------------------------------------------


def parquet() -> Any:  # noqa: ANN401  # pyarrow is optional, and has no types
    """``pyarrow.parquet``, or RecordingError that says how to get it."""
    try:
        import pyarrow.parquet  # noqa: PLC0415  # optional
    except ImportError:
        raise RecordingError("Parquet needs the extra 'replay': pip install 'tocsin[replay]'") from None
    return pyarrow.parquet


def read_parquet(
    folder: Path,
    *,
    sessions: Iterable[int] | None = None,
    variant: str = "noisy",
    period: int = 10,
    alert_distance_m: int = 1000,
) -> Recording:
    """One stream of the folder: these sessions (None: all), this variant, this period in seconds."""
    wanted = None if sessions is None else sorted(set(sessions))
    known = [int(each) for each in _column(folder, "sessions", "session")]
    if unknown := set(wanted or ()) - set(known):
        raise RecordingError(f"{folder}: no session {', '.join(map(str, sorted(unknown)))}")
    kept = known if wanted is None else wanted
    filters = [("variant", "=", variant), ("period", "=", period), ("session", "in", kept)]
    columns = ["session", "role", "t_fix", "t_recv", "lat", "lon", "acc_dm", "src"]
    rows = _table(folder, "device", columns, filters).to_pydict()
    if not rows["session"]:
        raise RecordingError(f"{folder}: nothing of variant {variant!r} with period {period} s in these sessions")
    order = np.argsort(np.asarray(rows["t_recv"]), kind="stable")
    return Recording(
        messages=tuple(_fix_of_row(rows, index) for index in order.tolist()),
        pairs=tuple(_pair_of_session(session, alert_distance_m) for session in kept),
    )


def _fix_of_row(rows: dict[str, list[Any]], index: int) -> RecordedFix:
    accuracy_dm = rows["acc_dm"][index]
    return RecordedFix(
        device=device_of(rows["session"][index], rows["role"][index]),
        fix_ms=rows["t_fix"][index],
        received_ms=rows["t_recv"][index],
        lat=rows["lat"][index] / E7,
        lon=rows["lon"][index] / E7,
        accuracy_m=None if accuracy_dm < 0 else accuracy_dm / DM,
        source=rows["src"][index],
    )


def _pair_of_session(session: int, alert_distance_m: int) -> RecordedPair:
    return RecordedPair(
        wearer=device_of(session, "A"),
        protected=device_of(session, "P"),
        alert_distance_m=alert_distance_m,
        session=session,
    )


def _column(folder: Path, name: str, column: str) -> list[Any]:
    values: list[Any] = _table(folder, name, [column], None)[column].to_pylist()
    return values


def _table(folder: Path, name: str, columns: list[str], filters: list[tuple[str, str, Any]] | None) -> Any:  # noqa: ANN401
    path = folder / f"{name}.parquet"
    reader = parquet()
    try:
        return reader.read_table(path, columns=columns, filters=filters)
    except (OSError, ValueError, KeyError) as error:  # pyarrow's own errors are kinds of these
        raise RecordingError(f"{path}: {error}") from error


# --- CSV -----------------------------------------------------------------------------------------------------


def read_csv(path: Path, pairs: Sequence[RecordedPair]) -> Recording:
    """``t`` is both fix and reception: epoch seconds or RFC 3339. Raises RecordingError with file:line."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            if tuple(next(rows, ())) != CSV_COLUMNS:
                raise RecordingError(f"{path}:1: the first line is {','.join(CSV_COLUMNS)}")
            found = [_fix_of_line(row, f"{path}:{rows.line_num}") for row in rows if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RecordingError(f"{path}: {error}") from error
    if silent := {name for pair in pairs for name in (pair.wearer, pair.protected)} - {
        one.device for one in found
    }:
        raise RecordingError(f"{path}: nothing of {', '.join(sorted(silent))}, which a pair names")
    return Recording(messages=tuple(sorted(found, key=lambda one: one.received_ms)), pairs=tuple(pairs))


def parse_pair(text: str) -> RecordedPair:
    """``--pair WEARER:PROTECTED:METRES``. Raises RecordingError."""
    parts = text.split(":")
    if len(parts) != 3 or not all(map(is_device_id, parts[:2])) or not parts[2].isdecimal() or int(parts[2]) == 0:
        raise RecordingError(f"{text!r} is not WEARER:PROTECTED:METRES, such as bracelet-7:victim-7:1000")
    return RecordedPair(wearer=parts[0], protected=parts[1], alert_distance_m=int(parts[2]))


def read_pairs(path: Path) -> list[RecordedPair]:
    """A file of pairs, one ``wearer:protected:metres`` a line; empty lines and # comments are skipped."""
    found = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RecordingError(f"{path}: {error}") from error
    for number, line in enumerate(lines, start=1):
        if text := line.partition("#")[0].strip():
            try:
                found.append(parse_pair(text))
            except RecordingError:
                raise RecordingError(f"{path}:{number}: {text!r} is not WEARER:PROTECTED:METRES") from None
    return found


def _fix_of_line(row: Sequence[str], place: str) -> RecordedFix:
    if len(row) != len(CSV_COLUMNS):
        raise RecordingError(
            f"{place}: {len(row)} fields, {len(CSV_COLUMNS)} are needed ({','.join(CSV_COLUMNS)})"
        )
    t, device, lat, lon, acc = (field.strip() for field in row)
    if not is_device_id(device):
        raise RecordingError(f"{place}: {device!r} is not a device's name (3 to 32 of a-z, 0-9 and -)")
    at_ms = _time_ms(t, place)
    return RecordedFix(
        device=device,
        fix_ms=at_ms,
        received_ms=at_ms,
        lat=_number(lat, "lat", place, -90.0, 90.0),
        lon=_number(lon, "lon", place, -180.0, 180.0),
        accuracy_m=_number(acc, "acc", place, 0.0, 1e6) if acc else None,
        source="gnss",
    )


def _time_ms(text: str, place: str) -> int:
    try:
        seconds = float(text)
    except ValueError:
        try:
            return from_rfc3339(text)
        except ValueError as error:
            raise RecordingError(f"{place}: t {text!r} is neither epoch seconds nor RFC 3339 ({error})") from None
    if not math.isfinite(seconds):
        raise RecordingError(f"{place}: t {text!r} is not a time")
    return round(seconds * MS)


def _number(text: str, name: str, place: str, lowest: float, highest: float) -> float:
    try:
        value = float(text)
    except ValueError:
        raise RecordingError(f"{place}: {name} {text!r} is not a number") from None
    if not lowest <= value <= highest:
        raise RecordingError(f"{place}: {name} {text} is not between {lowest:g} and {highest:g}")
    return value
