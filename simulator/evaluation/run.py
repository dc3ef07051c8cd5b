"""How does the whole table come about? Every detector on every stream asked for, on all cores.

``tocsin evaluate DIR``. One job is one variant and period; a detector sees one session at a time, and all
distances of it at once. In the closed loop, period CLOSED_LOOP, every detector and distance has a session of its
own, since what is asked of the devices depends on both. The results do not depend on the number of workers.
"""

from __future__ import annotations

import csv
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from rich.table import Table

from simulator.evaluation.approaches import approaches
from simulator.evaluation.closed_loop import CLOSED_LOOP, closed_loop
from simulator.evaluation.detectors import DETECTORS
from simulator.evaluation.listeners import LISTENERS
from simulator.evaluation.scoring import Spoken, score
from simulator.evaluation.traces import Truth, read_streams, read_tracks, read_truth

MINE: Final = "tocsin"
AS_LOGGED: Final = "orig"  # the variant whose messages are fixes of the tracks
SEED: Final = 7
PARTS: Final = 8  # of the sessions of one stream, so that every core has work to the end
T = TypeVar("T")

APPROACHES: Final = "approaches"  # the key of a row: who approached, as far as the rule says
ALERT_COLUMNS: Final = ("session", "variant", "period", "D", "t_raise")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which streams, which distances, which detectors; ``detectors`` are keys of DETECTORS. ``closed_loop``: also
    that of variant AS_LOGGED, for those detectors that ask anything of a device (LISTENERS)."""

    folder: Path
    variants: Sequence[str]
    periods_s: Sequence[int]
    distances_m: Sequence[int]
    detectors: Sequence[str] = tuple(DETECTORS)
    closed_loop: bool = False
    seed: int = SEED

    def streams(self) -> list[tuple[str, int]]:
        """Variant and period, the closed loop last."""
        fixed = [(variant, period_s) for variant in self.variants for period_s in self.periods_s]
        return [*fixed, (AS_LOGGED, CLOSED_LOOP)] if self.closed_loop else fixed

    def heard_by(self, period_s: int) -> list[str]:
        return [name for name in self.detectors if period_s != CLOSED_LOOP or name in LISTENERS]


@dataclass(frozen=True, slots=True)
class Job:
    """Some sessions of one stream: every PARTS-th from ``part`` on."""

    asked: Asked
    variant: str
    period_s: int
    part: int


@dataclass(frozen=True, slots=True)
class Heard:
    """What every detector said, and how many messages it heard, by (detector, distance, session)."""

    job: Job
    spoken: dict[tuple[str, int, int], Spoken] = field(default_factory=dict)
    reports: dict[tuple[str, int, int], int] = field(default_factory=dict)


def listen(job: Job) -> Heard:
    """One job, in whichever process."""
    return _listen_closed(job) if job.period_s == CLOSED_LOOP else _listen_open(job)


def _listen_open(job: Job) -> Heard:
    heard = Heard(job)
    for stream in read_streams(job.asked.folder, job.variant, job.period_s)[job.part :: PARTS]:
        for name in job.asked.detectors:
            for distance, spoken in DETECTORS[name](stream, job.asked.distances_m).items():
                heard.spoken[name, distance, stream.session] = spoken
                heard.reports[name, distance, stream.session] = stream.role.size
    return heard


def _listen_closed(job: Job) -> Heard:
    heard, asked = Heard(job), job.asked
    for track in read_tracks(asked.folder)[job.part :: PARTS]:
        for name in asked.heard_by(job.period_s):
            for distance in asked.distances_m:
                said, reports = closed_loop(track, LISTENERS[name], distance, asked.seed)
                heard.spoken[name, distance, track.session] = said[distance]
                heard.reports[name, distance, track.session] = reports
    return heard


def evaluate(
    asked: Asked, *, progress: Callable[[int, int], None], cores: int | None = None
) -> tuple[list[dict[str, Any]], list[tuple[Any, ...]]]:
    """The rows of the report, and the alerts of the engine (ALERT_COLUMNS). ``progress``: parts done, of how many.

    Raises RecordingError for a folder that is not a trace set.
    """
    truth = read_truth(asked.folder, asked.distances_m)
    jobs = [Job(asked, *stream, part) for stream in asked.streams() for part in range(PARTS)]
    heard: list[Heard] = []
    context = multiprocessing.get_context("spawn")  # a fork of a process that has threads may hang
    with ProcessPoolExecutor(cores or len(os.sched_getaffinity(0)), mp_context=context) as workers:
        futures = [workers.submit(listen, job) for job in jobs]
        for done, future in enumerate(as_completed(futures), start=1):
            heard.append(future.result())
            progress(done, len(jobs))
    heard.sort(key=lambda one: jobs.index(one.job))
    return list(_rows(asked, truth, heard)), list(_alerts(heard))


def _rows(asked: Asked, truth: Truth, heard: Sequence[Heard]) -> Iterator[dict[str, Any]]:
    for variant, period_s in asked.streams():
        parts = [one for one in heard if (one.job.variant, one.job.period_s) == (variant, period_s)]
        for distance in asked.distances_m:
            for name in asked.heard_by(period_s):
                spoken = _of((part.spoken for part in parts), name, distance)
                yield {
                    "detector": name,
                    "variant": variant,
                    "period_s": period_s,
                    "distance_m": distance,
                    **asdict(score(spoken, truth, distance)),
                    "reports_per_hour": _reports_per_hour(parts, name, distance, truth),
                    APPROACHES: asdict(approaches(spoken.values(), truth.pair_days)) if name == MINE else None,
                }


def _of(parts: Iterable[Mapping[tuple[str, int, int], T]], name: str, distance_m: int) -> dict[int, T]:
    """By session, what belongs to one detector and distance."""
    return {
        session: value
        for part in parts
        for (who, metres, session), value in part.items()
        if (who, metres) == (name, distance_m)
    }


def _reports_per_hour(parts: Sequence[Heard], name: str, distance_m: int, truth: Truth) -> float:
    """Of both devices together, in an hour of truth."""
    reports = sum(_of((part.reports for part in parts), name, distance_m).values())
    return round(reports / (truth.pair_days * 24), 1)


def _alerts(heard: Sequence[Heard]) -> Iterator[tuple[Any, ...]]:
    for one in heard:
        for (name, distance, session), said in sorted(one.spoken.items()):
            if name == MINE:
                for at_s in said.alerts_s.tolist():
                    yield session, one.job.variant, one.job.period_s, distance, f"{at_s:.3f}"


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The rows for people."""
    shown = Table(box=None, header_style="bold", pad_edge=False)
    shown_names = [name for name in rows[0] if name != APPROACHES]
    for name in shown_names:
        heading = name.removesuffix("_per_day") + "/day" if name.endswith("_per_day") else name
        shown.add_column(heading.replace("_", " "), justify="left" if name in {"detector", "variant"} else "right")
    for row in rows:
        shown.add_row(*(_shown(name, row[name]) for name in shown_names))
    return shown


def _shown(name: str, value: object) -> str:
    if value is None:
        return "–"
    return "closed loop" if name == "period_s" and value == CLOSED_LOOP else str(value)


def write_alerts(alerts: Sequence[tuple[Any, ...]], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(ALERT_COLUMNS)
        rows.writerows(alerts)
