"""What was one finding of the geofence decided from, and is the same decided from it again?

A *case* is everything that a finding follows from and nothing else: the memory of the engine some minutes before
it (a snapshot, ``geofence.snapshot``), restricted to the cluster of measures that share a unit with its own
(``geofence.excerpt``), and the inputs behind that in the order in which they were applied: fixes of these units
with their place in FIXES, the partition's ticks out of its journal (ARCHITECTURE A5). It ends with the input that
gave the finding. ``check`` decides again, in the engine itself, on a machine that has nothing but the case.

A case is JSON in UTF-8. Fixes are integers under the names of FIX_DTYPE (degrees times 1e6, milliseconds,
decimetres, -1 for nothing), so that anybody can read them; the memory is bytes that only the engine reads, in
base64, and the orders and units in it stand beside it in plain words. When the geofence decided (t5) is a
measurement and no part of a decision: it is taken over from the finding. Pure, as the engine is.

Not every finding has a case (``Uncased``): it then says why, in the same place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec
import numpy as np

from geofence import engine, snapshot
from geofence.excerpt import UnknownMeasure, excerpt, rows_of, units_of
from geofence.journal import Written
from geofence.pair_table import PairTable, Roster
from geofence.quality import MINUTE_MS
from geofence.snapshot import Snapshot, SnapshotUnreadable
from tocsin import __version__
from tocsin.geodesy import IntArray
from tocsin.model.device import Device
from tocsin.model.finding import Finding
from tocsin.model.fix import FIX_DTYPE, Fixes, FixFlag
from tocsin.model.order import Order
from tocsin.wire import encode

COLUMNS: Final = tuple(name for name in FIX_DTYPE.names or () if name != "spare")
NO_FIXES: Final = np.empty(0, FIX_DTYPE)


class Fix(msgspec.Struct, frozen=True, kw_only=True, tag="fix"):
    """One message of the fix lane: its place in FIXES, and its numbers in the order of the case's ``columns``."""

    sequence: int
    row: tuple[int, ...]


class Tick(msgspec.Struct, frozen=True, kw_only=True, tag="tick"):
    """An entry of the journal: the hour ``now_ms`` was looked at, behind message ``after`` of FIXES."""

    step: int
    now_ms: int
    after: int


class FirstHeard(msgspec.Struct, frozen=True, kw_only=True, tag="first_heard"):
    """The first unit of the whole partition was heard, at ``now_ms``, and is none of this case's: from then on the
    quality of all units is looked at each minute."""

    now_ms: int


class Revised(msgspec.Struct, frozen=True, kw_only=True, tag="revised"):
    """The measures of the partition changed at ``now_ms``; these are those of the case from then on. Two devices
    an order: the wearer's, the protected person's."""

    now_ms: int
    orders: tuple[Order, ...]
    devices: tuple[Device, ...]


Input = Fix | Tick | FirstHeard | Revised


class Case(msgspec.Struct, frozen=True, kw_only=True, tag_field="made", tag="case"):
    """``sequence``, ``step``: up to where in FIXES and JOURNAL the snapshot is true. ``software`` made it.
    ``differs``: what differed when it was decided again for the first time, in the words of ``check``."""

    software: str
    finding: Finding
    partition: int
    partitions: int
    sequence: int
    step: int
    snapshot: bytes
    orders: tuple[Order, ...]
    devices: tuple[Device, ...]
    columns: tuple[str, ...]
    inputs: tuple[Input, ...]
    differs: tuple[str, ...] = ()


class Why(StrEnum):
    """Why there is no case. FROM_HISTORY: it was found in the history (``geofence.retrospect``), which is kept
    itself, and in no stream of inputs; the others are faults."""

    FROM_HISTORY = "from_history"
    NO_SNAPSHOT = "no_snapshot"
    STREAM_AGED = "stream_aged"


WORDS: Final = {
    Why.NO_SNAPSHOT: "no snapshot older than the finding was kept",
    Why.STREAM_AGED: "the fixes or ticks between the snapshot and the finding were gone from the log",
}


class Uncased(msgspec.Struct, frozen=True, kw_only=True, tag_field="made", tag="uncased"):
    """In the place of a case: the finding, and why nobody can decide it again."""

    software: str
    finding: Finding
    why: Why


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Case | Uncased).decode


# --- making one ------------------------------------------------------------------------------------------------


def case_of(
    kept: Snapshot,
    finding: Finding,
    fixes: Sequence[tuple[int, Fixes]],
    ticks: Sequence[Written],
    *,
    revisions: Sequence[Snapshot] = (),
    partition: int = 0,
    partitions: int = 1,
) -> bytes:
    """The case of a finding that was decided behind ``kept``, as a payload.

    ``fixes``: what FIXES has behind it for this partition, by sequence, of these units or of more; ``ticks``:
    its journal from there. ``revisions``: later snapshots, each written because the measures had changed. All may
    go on beyond the finding: the case ends with the input that gives it, or, if none does, with the last one.
    Raises UnknownMeasure when no snapshot knows the measure.
    """
    units = units_of([kept.table, *(one.table for one in revisions)], finding.measure)
    small = excerpt(kept.table, rows_of(kept.table, units))
    memory = snapshot.dump(Snapshot(table=small, sequence=kept.sequence, place=kept.place))
    inputs = [
        one
        for _, one in sorted(
            [*_fixes_of(kept, units, fixes), *_ticks_of(kept, ticks), *_revisions_of(units, revisions),
             *_first_heard(kept, units, fixes, ticks)],
            key=lambda placed: placed[0],
        )
    ]  # fmt: skip
    return _encode(
        Case(
            software=__version__,
            finding=finding,
            partition=partition,
            partitions=partitions,
            sequence=kept.sequence,
            step=kept.place.step,
            snapshot=memory,
            orders=small.roster.orders,
            devices=small.roster.sides,
            columns=COLUMNS,
            inputs=_upto(small, inputs, finding.id),
        )
    )


def marked(payload: bytes, differs: Sequence[str]) -> bytes:
    """The case with what differed when it was first decided again."""
    made = _decode(payload)
    assert isinstance(made, Case)
    return _encode(msgspec.structs.replace(made, differs=tuple(differs)))


def uncased(finding: Finding, why: Why) -> bytes:
    return _encode(Uncased(software=__version__, finding=finding, why=why))


Placed = tuple[tuple[int, int, int], Input]
"""An input with its place: behind which of FIXES, fixes first, then its turn."""


def _fixes_of(kept: Snapshot, units: IntArray, fixes: Iterable[tuple[int, Fixes]]) -> Iterator[Placed]:
    for sequence, some in fixes:
        if sequence > kept.sequence:
            mine = some[np.isin(some["device"], units)]
            for at, row in enumerate(mine[list(COLUMNS)].tolist()):
                yield (sequence, 0, at), Fix(sequence=sequence, row=row)


def _ticks_of(kept: Snapshot, ticks: Iterable[Written]) -> Iterator[Placed]:
    for tick in (one.tick for one in ticks if one.tick.step > kept.place.step):
        yield (tick.after, 1, 2 * tick.step), Tick(step=tick.step, now_ms=tick.now_ms, after=tick.after)


def _revisions_of(units: IntArray, revisions: Iterable[Snapshot]) -> Iterator[Placed]:
    """Such a snapshot is written behind the last fix and the last tick of before, and its clock stands then."""
    for one in revisions:
        table = one.table
        rows = rows_of(table, units)
        revised = Revised(
            now_ms=table.clock_ms,
            orders=tuple(table.roster.orders[row] for row in rows),
            devices=tuple(side for row in rows for side in table.roster.sides[2 * row : 2 * row + 2]),
        )
        yield (one.sequence, 1, 2 * one.place.step + 1), revised


def _first_heard(
    kept: Snapshot, units: IntArray, fixes: Iterable[tuple[int, Fixes]], ticks: Iterable[Written]
) -> Iterator[Placed]:
    """Who was heard first, if nobody was before the snapshot and it is none of ours."""
    if kept.table.quality.due_ms != np.inf:
        return
    for sequence, some in fixes:
        told = some[(some["flags"] & FixFlag.PRESENCE) == 0]
        known = told[kept.table.devices.places(told["device"]) >= 0]
        if sequence > kept.sequence and known.size:
            if known["device"][0] not in units:
                hours = [one.tick.now_ms for one in ticks if one.tick.after < sequence]
                now_ms = max(int(known["t3_ms"][0]), kept.table.clock_ms, *hours)
                yield (sequence, 0, -1), FirstHeard(now_ms=now_ms)
            return


def _upto(table: PairTable, inputs: Sequence[Input], finding: str) -> tuple[Input, ...]:
    """The inputs up to the one that gives the finding. Plays them on ``table``."""
    for at, step in enumerate(_played(table, inputs, COLUMNS)):
        if any(one.id == finding for one in step.findings):
            return tuple(inputs[: at + 1])
    return tuple(inputs)


def _played(table: PairTable, inputs: Iterable[Input], columns: Sequence[str]) -> Iterator[engine.Step]:
    """One step an input; how a batch is split changes nothing (tests/properties/test_geofence_splits.py)."""
    for one in inputs:
        match one:
            case Fix():
                yield engine.step(table, _fixes(columns, one.row), 0)
            case Tick():
                yield engine.step(table, NO_FIXES, one.now_ms)
            case Revised():
                roster = Roster(orders=one.orders, sides=one.devices)
                table, step = engine.revise_all(table, roster, one.now_ms)
                yield step
            case FirstHeard():
                look_ms = float(MINUTE_MS * (one.now_ms // MINUTE_MS + 1))
                table.quality.due_ms = min(table.quality.due_ms, look_ms)
                yield engine.Step()


def _fixes(columns: Sequence[str], row: Sequence[int]) -> Fixes:
    """Raises ValueError, OverflowError for what is no row of these columns."""
    fix = np.zeros(1, FIX_DTYPE)
    for name, value in zip(columns, row, strict=True):
        fix[name] = value
    return fix


# --- deciding again --------------------------------------------------------------------------------------------


def check(payload: bytes) -> list[str]:
    """What differs when the case is decided again, a sentence each; empty: the same finding, byte for byte.

    No sentence has a place in it.
    """
    try:
        made = _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return [f"it cannot be read as a case: {error}"]
    if isinstance(made, Uncased):
        if made.why is Why.FROM_HISTORY:  # anybody can write the word; the finding itself has to say so
            return [] if made.finding.past is not None else ["it is said to be from the history, and is not"]
        return [f"it cannot be decided again: {WORDS[made.why]}"]
    found = _differences(made)
    if found and made.software != __version__:
        found.insert(0, f"it was made by version {made.software} and decided again by {__version__}")
    return found


def _differences(case: Case) -> list[str]:
    try:
        kept = snapshot.load(case.snapshot)
    except SnapshotUnreadable as error:
        return [f"its snapshot cannot be read: {error}"]
    found = [*_of_frame(case, kept), *_of_order(case)]
    try:
        again = {one.id: one for step in _played(kept.table, case.inputs, case.columns) for one in step.findings}
    except Exception as error:  # noqa: BLE001  whoever changed an input may have hit anything in the engine
        return [*found, f"the engine refuses an input: {type(error).__name__}"]
    return [*found, *_of_finding(case.finding, again)]


def _of_frame(case: Case, kept: Snapshot) -> Iterator[str]:
    """Whether what stands there in plain words is what the engine reads."""
    roster = kept.table.roster
    if (roster.orders, roster.sides) != (case.orders, case.devices):
        yield "its orders or units are not those of its snapshot"
    if (kept.sequence, kept.place.step) != (case.sequence, case.step):
        yield "its snapshot is of another place in the log than it says"
    if unknown := set(case.columns) - set(COLUMNS):
        yield f"it has columns of fixes that are not known here: {', '.join(sorted(unknown))}"


def _of_order(case: Case) -> Iterator[str]:
    """Ticks are numbered without gaps, and inputs stand in the order of FIXES."""
    steps = [one.step for one in case.inputs if isinstance(one, Tick)]
    if steps != list(range(case.step + 1, case.step + 1 + len(steps))):
        yield "ticks are missing or out of their order"
    places = [place for one in case.inputs if (place := _place(one)) is not None]
    if places != sorted(places) or any(place[0] < case.sequence for place in places):
        yield "inputs are out of their order"


def _place(one: Input) -> tuple[int, int] | None:
    match one:
        case Fix():
            return one.sequence, 0
        case Tick():
            return one.after, 1
        case FirstHeard() | Revised():
            return None


def _of_finding(finding: Finding, again: dict[str, Finding]) -> list[str]:
    same = again.get(finding.id)
    if same is None:
        of_code = sum((one.code, one.measure) == (finding.code, finding.measure) for one in again.values())
        return [f"the finding is not found again; {of_code} others of its code and measure are"]
    same = _stamped(same, finding.points.t5_ms)
    if encode(same) == encode(finding):
        return []
    one, other = _fields(finding), _fields(same)
    return [f"the finding is another: {', '.join(sorted(name for name in one if one[name] != other[name]))}"]


def _fields(finding: Finding) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(finding)
    return fields


def _stamped(finding: Finding, t5_ms: int | None) -> Finding:
    return msgspec.structs.replace(finding, points=msgspec.structs.replace(finding.points, t5_ms=t5_ms))


__all__ = ["Case", "UnknownMeasure", "Why", "case_of", "check", "marked", "uncased"]
