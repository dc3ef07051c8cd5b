"""How does the whole table come about? Every detector on every stream asked for, on all cores.

``tocsin evaluate DIR``. One job is one variant and period; a detector sees one session at a time, and all
distances of it at once. The results do not depend on the number of workers.
"""

from __future__ import annotations

import csv
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from simulator.evaluation.detectors import DETECTORS
from simulator.evaluation.scoring import Spoken, score
from simulator.evaluation.traces import Truth, read_streams, read_truth

MINE: Final = "tocsin"
PARTS: Final = 8  # of the sessions of one stream, so that every core has work to the end
ALERT_COLUMNS: Final = ("session", "variant", "period", "D", "t_raise")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which streams, which distances, which detectors; ``detectors`` are keys of DETECTORS."""

    folder: Path
    variants: Sequence[str]
    periods_s: Sequence[int]
    distances_m: Sequence[int]
    detectors: Sequence[str] = tuple(DETECTORS)


@dataclass(frozen=True, slots=True)
class Job:
    """Some sessions of one stream: every PARTS-th from ``part`` on."""

    asked: Asked
    variant: str
    period_s: int
    part: int


@dataclass(frozen=True, slots=True)
class Heard:
    """What every detector said: (detector, distance, session) -> spoken; and how much it was given to hear."""

    job: Job
    spoken: dict[tuple[str, int, int], Spoken]
    reports: int


def listen(job: Job) -> Heard:
    """One job, in whichever process."""
    streams = read_streams(job.asked.folder, job.variant, job.period_s)[job.part :: PARTS]
    said: dict[tuple[str, int, int], Spoken] = {}
    for stream in streams:
        for name in job.asked.detectors:
            for distance, spoken in DETECTORS[name](stream, job.asked.distances_m).items():
                said[name, distance, stream.session] = spoken
    return Heard(job, said, sum(stream.role.size for stream in streams))


def evaluate(
    asked: Asked, *, progress: Callable[[int, int], None], cores: int | None = None
) -> tuple[list[dict[str, Any]], list[tuple[Any, ...]]]:
    """The rows of the report, and the alerts of the engine (ALERT_COLUMNS). ``progress``: parts done, of how many.

    Raises RecordingError for a folder that is not a trace set.
    """
    truth = read_truth(asked.folder, asked.distances_m)
    jobs = [Job(asked, v, p, part) for v in asked.variants for p in asked.periods_s for part in range(PARTS)]
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
    pair_hours = truth.pair_days * 24
    for variant in asked.variants:
        for period_s in asked.periods_s:
            parts = [one for one in heard if (one.job.variant, one.job.period_s) == (variant, period_s)]
            reports = sum(part.reports for part in parts)
            for distance in asked.distances_m:
                for name in asked.detectors:
                    spoken = {
                        session: said
                        for part in parts
                        for (who, metres, session), said in part.spoken.items()
                        if (who, metres) == (name, distance)
                    }
                    yield {
                        "detector": name,
                        "variant": variant,
                        "period_s": period_s,
                        "distance_m": distance,
                        **asdict(score(spoken, truth, distance)),
                        "reports_per_hour": round(reports / pair_hours, 1),
                    }


def _alerts(heard: Sequence[Heard]) -> Iterator[tuple[Any, ...]]:
    for one in heard:
        for (name, distance, session), said in sorted(one.spoken.items()):
            if name == MINE:
                for at_s in said.alerts_s.tolist():
                    yield session, one.job.variant, one.job.period_s, distance, f"{at_s:.3f}"


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The rows for people."""
    shown = Table(box=None, header_style="bold", pad_edge=False)
    for name in rows[0]:
        heading = name.removesuffix("_per_day") + "/day" if name.endswith("_per_day") else name
        shown.add_column(heading.replace("_", " "), justify="left" if name in {"detector", "variant"} else "right")
    for row in rows:
        shown.add_row(*("–" if value is None else str(value) for value in row.values()))
    return shown


def write_alerts(alerts: Sequence[tuple[Any, ...]], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(ALERT_COLUMNS)
        rows.writerows(alerts)
