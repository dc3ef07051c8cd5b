"""Which of a worker's inputs does the log not hold yet, and where among the fixes do they belong?

The findings that come from fixes follow from the state before and the fixes in the order of FIXES, however they
are split into batches; the log holds them. What it does not hold is that time passed. So a **tick** that has
something to look at (``engine.is_due``) is written to JOURNAL before it is applied: its ``step``, its hour, and
the sequence of FIXES ``after`` which it was applied. A tick without anything to look at changes nothing and
leaves no trace; a changed measure is kept by a snapshot (``geofence.worker``). Snapshot, fixes and ticks
together give the same findings again, byte for byte (ARCHITECTURE, A5; ADR 24).

Pure: ``read`` says what a journal holds and what is wrong with it, ``merged`` puts its ticks among the fixes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from tocsin.errors import WireError
from tocsin.ports import Entry
from tocsin.wire import NounDecoder, encode


class Tick(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One applied tick. ``step`` counts from 1 without gaps, ``now_ms`` never goes backwards.

    ``life`` names the run of the worker that wrote it: so a writer knows its own entry from another's.
    """

    step: int
    now_ms: int
    after: int
    life: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How far into the journal: the step, and its sequence in JOURNAL. Before the first step both are 0."""

    step: int = 0
    sequence: int = 0


START = Place()


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A tick and where it stands in the journal."""

    tick: Tick
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a part of a journal says. ``unreadable``: sequences in JOURNAL; ``missing``: steps that none gave."""

    ticks: tuple[Written, ...]
    unreadable: tuple[int, ...] = ()
    missing: int = 0


decode = NounDecoder(Tick)

__all__ = ["START", "Place", "Reading", "Tick", "Written", "decode", "encode", "merged", "read"]


def read(entries: Iterable[Entry], covered: Place) -> Reading:
    """The ticks behind ``covered``, in order of their steps; of what cannot be read, that it is there.

    It goes on behind a gap: the ticks that are gone come with the next fix or tick, late and under the same names;
    a partition that refused to go on would be blind.
    """
    ticks: list[Written] = []
    unreadable: list[int] = []
    step, missing = covered.step, 0
    for entry in entries:
        try:
            tick = decode(entry.payload)
        except WireError:
            unreadable.append(entry.sequence)
            continue
        if tick.step > step:
            missing += tick.step - step - 1
            step = tick.step
            ticks.append(Written(tick=tick, place=Place(step=step, sequence=entry.sequence)))
    return Reading(ticks=tuple(ticks), unreadable=tuple(unreadable), missing=missing)


def merged(entries: Iterable[Entry], ticks: deque[Written]) -> Iterator[Sequence[Entry] | Written]:
    """Entries of FIXES in runs, between them each tick where it was applied.

    Takes from ``ticks`` those with an entry behind them; the others stay for what comes after ``entries``.
    """
    run: list[Entry] = []
    for entry in entries:
        while ticks and ticks[0].tick.after < entry.sequence:
            if run:
                yield run
                run = []
            yield ticks.popleft()
        run.append(entry)
    if run:
        yield run
