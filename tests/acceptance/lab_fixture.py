"""A laboratory for a test: a home that PostgreSQL can enter when root runs it, and what happened to its parts."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from simulator.lab import Laboratory, laboratory
from tocsin.clock import AffineClock
from tocsin.supervisor import PartEvent


@dataclass(slots=True)
class Told:
    """What the supervisor said."""

    events: list[PartEvent] = field(default_factory=list)

    def __call__(self, event: PartEvent) -> None:
        self.events.append(event)
        if event.gap_s is not None:
            print(f"restart of {event.part}: gap {event.gap_s:.2f} s")

    def gaps(self, part: str) -> list[float]:
        return [event.gap_s for event in self.events if event.part == part and event.gap_s is not None]


def new_home() -> Path:
    home = Path(tempfile.mkdtemp(prefix="tocsin-test-"))
    home.chmod(0o711)
    return home


@asynccontextmanager
async def running_lab(
    *, clock: AffineClock | None = None, **settings: object
) -> AsyncIterator[tuple[Laboratory, Told]]:
    """Everything real, gone at the end."""
    told = Told()
    home = new_home()
    try:
        async with laboratory(home=home, tell=told, clock=clock, log_level="warning", **settings) as lab:
            yield lab, told
    finally:
        shutil.rmtree(home, ignore_errors=True)
