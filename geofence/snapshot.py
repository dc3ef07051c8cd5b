"""How is the state of a partition kept, so that a worker begins where the last one ended?

A snapshot is the memory of the pair table, the place in the FIXES stream up to which it is true, and the
findings that were decided but not yet on the log. Layout: magic and version (8 bytes), SHA-256 of the rest (32),
MessagePack of ``_Kept``. What can be derived (coordinates, bands, due hours) is derived again. A snapshot that
this version cannot read raises ``SnapshotUnreadable``: the worker then replays the stream from its start.

Snapshots hold positions; they live in the ``snapshots`` objects of the log and are replaced, never collected.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec
import numpy as np

from geofence.devices import WIDTH
from geofence.motion import Seen
from geofence.pair_state import PairState
from geofence.pair_table import PairTable, Roster
from tocsin.errors import TocsinError
from tocsin.model.device import Device
from tocsin.model.finding import Finding
from tocsin.model.order import Order

MAGIC = b"TOCGEO\x00\x03"
DIGEST_BYTES = 32


class SnapshotUnreadable(TocsinError):
    """A snapshot of the geofence is damaged or of another version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The state of a partition behind message ``sequence`` of FIXES, and the findings still to be published."""

    table: PairTable
    sequence: int
    outbox: tuple[Finding, ...] = ()


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    sequence: int
    clock_ms: int
    orders: tuple[Order, ...]
    sides: tuple[Device, ...]
    rows: bytes
    other: dict[int, Seen]
    phase: bytes
    protection: bytes
    protection_ms: bytes
    broken: tuple[int, ...]
    states: dict[int, PairState]
    outbox: tuple[Finding, ...]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Kept)


def dump(snapshot: Snapshot) -> bytes:
    table = snapshot.table
    body = _encoder.encode(
        _Kept(
            sequence=snapshot.sequence,
            clock_ms=table.clock_ms,
            orders=table.roster.orders,
            sides=table.roster.sides,
            rows=table.devices.rows.tobytes(),
            other=dict(sorted(table.devices.other.items())),
            phase=table.phase.tobytes(),
            protection=table.protection.tobytes(),
            protection_ms=table.protection_ms.tobytes(),
            broken=tuple(sorted(table.broken)),
            states=dict(sorted(table.states.items())),
            outbox=snapshot.outbox,
        )
    )
    return MAGIC + hashlib.sha256(body).digest() + body


def load(payload: bytes) -> Snapshot:
    """The inverse of ``dump``; the table still has the measures of then: hand it to ``engine.revise``."""
    kept = _checked(payload)
    table = PairTable(Roster(orders=kept.orders, sides=kept.sides))
    try:
        table.devices.rows[:] = np.frombuffer(kept.rows, np.float64).reshape(-1, WIDTH)
        table.phase[:] = np.frombuffer(kept.phase, np.uint8)
        table.protection[:] = np.frombuffer(kept.protection, np.uint8)
        table.protection_ms[:] = np.frombuffer(kept.protection_ms, np.int64)
    except ValueError as error:
        raise SnapshotUnreadable(str(error)) from error
    table.devices.remember_others(kept.other)
    table.clock_ms, table.broken, table.states = kept.clock_ms, set(kept.broken), dict(kept.states)
    table.refresh_all()
    return Snapshot(table=table, sequence=kept.sequence, outbox=kept.outbox)


def _checked(payload: bytes) -> _Kept:
    digest, body = payload[len(MAGIC) : len(MAGIC) + DIGEST_BYTES], payload[len(MAGIC) + DIGEST_BYTES :]
    if not payload.startswith(MAGIC):
        raise SnapshotUnreadable(f"it begins with {payload[: len(MAGIC)]!r}, not {MAGIC!r}")
    if hashlib.sha256(body).digest() != digest:
        raise SnapshotUnreadable("the checksum does not match")
    try:
        return _decoder.decode(body)
    except msgspec.DecodeError as error:
        raise SnapshotUnreadable(str(error)) from error
