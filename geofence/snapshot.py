"""How is the state of a partition kept, so that a worker begins where the last one ended?

A snapshot is the memory of the pair table, the places in FIXES and JOURNAL up to which it is true, and what was
decided but not yet said. Layout: magic and version (8 bytes), SHA-256 of the rest (32), MessagePack of
``_Kept``, deflated. What can be derived (coordinates, bands, due hours) is derived again. A snapshot that this
version cannot read raises ``SnapshotUnreadable``: the worker then replays the streams from their start.

Snapshots hold positions; they live in the ``snapshots`` objects of the log and are replaced, never collected.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
import numpy as np

from geofence.cadence import Asked
from geofence.conditions import SAID, Condition
from geofence.devices import WIDTH
from geofence.journal import START, Place
from geofence.motion import Seen
from geofence.pair_state import PairState
from geofence.pair_table import PairTable, Roster
from tocsin.errors import TocsinError
from tocsin.model.command import Command
from tocsin.model.device import Device
from tocsin.model.finding import Finding
from tocsin.model.order import Order
from tocsin.model.standing import Standing

MAGIC = b"TOCGEO\x00\x06"
DIGEST_BYTES = 32
ZLIB_LEVEL = 1  # tens of ms at 10,000 pairs; higher levels take far longer for little


class SnapshotUnreadable(TocsinError):
    """A snapshot of the geofence is damaged or of another version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The state of a partition behind message ``sequence`` of FIXES and ``place`` of JOURNAL.

    ``outbox``, ``commands``, ``standings`` (None: the measure is gone) are still to be said. ``told``: the newest
    place in FINDINGS at which this partition has said anything.
    """

    table: PairTable
    sequence: int
    place: Place = START
    told: int = 0
    outbox: tuple[Finding, ...] = ()
    commands: tuple[Command, ...] = ()
    standings: Mapping[str, Standing | None] = field(default_factory=dict)


class _Table(msgspec.Struct, frozen=True, kw_only=True):
    """Arrays as bytes; what is missing (bands, indices) follows from them."""

    clock_ms: int
    orders: tuple[Order, ...]
    sides: tuple[Device, ...]
    rows: bytes
    other: dict[int, Seen]
    due_ms: bytes
    phase: bytes
    protection: bytes
    protection_ms: bytes
    asked: bytes
    broken: tuple[int, ...]
    states: dict[int, PairState]
    known: bytes
    conditions: dict[int, Condition]
    quality: dict[str, bytes]
    quality_hours: tuple[int, int, float]
    said_ms: bytes
    until_ms: bytes = b""
    zones_broken: tuple[int, ...] = ()


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    sequence: int
    step: int
    journal_sequence: int
    told: int
    table: _Table
    outbox: tuple[Finding, ...]
    commands: tuple[Command, ...]
    standings: dict[str, Standing | None]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Kept)


def dump(snapshot: Snapshot) -> bytes:
    kept = _encoder.encode(
        _Kept(
            sequence=snapshot.sequence,
            step=snapshot.place.step,
            journal_sequence=snapshot.place.sequence,
            told=snapshot.told,
            table=_pack(snapshot.table),
            outbox=snapshot.outbox,
            commands=snapshot.commands,
            standings=dict(snapshot.standings),
        )
    )
    body = zlib.compress(kept, ZLIB_LEVEL)
    return MAGIC + hashlib.sha256(body).digest() + body


def load(payload: bytes) -> Snapshot:
    """The inverse of ``dump``; the table still has the measures of then: hand it to ``engine.revise``."""
    kept = _checked(payload)
    try:
        table = _unpack(kept.table)
    except ValueError as error:
        raise SnapshotUnreadable(str(error)) from error
    return Snapshot(
        table=table,
        sequence=kept.sequence,
        place=Place(step=kept.step, sequence=kept.journal_sequence),
        told=kept.told,
        outbox=kept.outbox,
        commands=kept.commands,
        standings=kept.standings,
    )


def _pack(table: PairTable) -> _Table:
    return _Table(
        clock_ms=table.clock_ms,
        orders=table.roster.orders,
        sides=table.roster.sides,
        rows=table.devices.rows.tobytes(),
        other=dict(sorted(table.devices.other.items())),
        due_ms=table.due_ms.tobytes(),
        phase=table.phase.tobytes(),
        protection=table.protection.tobytes(),
        protection_ms=table.protection_ms.tobytes(),
        asked=np.array(table.asked, np.int64).tobytes(),
        broken=tuple(sorted(table.broken)),
        states=dict(sorted(table.states.items())),
        until_ms=table.until_ms.tobytes(),
        zones_broken=tuple(sorted(table.zones.broken)),
        known=table.conditions.known.tobytes(),
        conditions=dict(sorted(table.conditions.of.items())),
        quality=table.quality.pack(),
        quality_hours=(table.quality.hour_ms, table.quality.part, table.quality.due_ms),
        said_ms=table.said_ms.tobytes(),
    )


def _unpack(kept: _Table) -> PairTable:
    """Raises ValueError when the parts do not fit each other."""
    table = PairTable(Roster(orders=kept.orders, sides=kept.sides))
    table.devices.rows[:] = np.frombuffer(kept.rows, np.float64).reshape(-1, WIDTH)
    table.devices.remember_others(kept.other)
    table.conditions.known[:] = np.frombuffer(kept.known, np.uint8).reshape(-1, SAID + 1)
    table.conditions.of = dict(kept.conditions)
    hour_ms, part, due_ms = kept.quality_hours
    table.quality.unpack(kept.quality, hour_ms=hour_ms, part=part, due_ms=due_ms)
    table.said_ms[:] = np.frombuffer(kept.said_ms, np.int64).reshape(table.said_ms.shape)
    table.phase[:] = np.frombuffer(kept.phase, np.uint8)
    table.protection[:] = np.frombuffer(kept.protection, np.uint8)
    table.protection_ms[:] = np.frombuffer(kept.protection_ms, np.int64)
    table.clock_ms, table.broken, table.states = kept.clock_ms, set(kept.broken), dict(kept.states)
    table.refresh_all()
    table.due_ms[:] = np.frombuffer(kept.due_ms, np.float64)
    if kept.until_ms:  # none: of a version that knew no zones
        table.until_ms[:] = np.frombuffer(kept.until_ms, np.float64)
    table.zones.broken = set(kept.zones_broken)
    table.asked[:] = [Asked(*pair) for pair in np.frombuffer(kept.asked, np.int64).reshape(-1, 2).tolist()]
    return table


def _checked(payload: bytes) -> _Kept:
    digest, body = payload[len(MAGIC) : len(MAGIC) + DIGEST_BYTES], payload[len(MAGIC) + DIGEST_BYTES :]
    if not payload.startswith(MAGIC):
        raise SnapshotUnreadable(f"it begins with {payload[: len(MAGIC)]!r}, not {MAGIC!r}")
    if hashlib.sha256(body).digest() != digest:
        raise SnapshotUnreadable("the checksum does not match")
    try:
        return _decoder.decode(zlib.decompress(body))
    except (zlib.error, msgspec.DecodeError) as error:
        raise SnapshotUnreadable(str(error)) from error
