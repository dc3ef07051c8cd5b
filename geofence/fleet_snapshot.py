"""The memory of the fleet's watch as bytes, and back.

What it has heard can be read again from FIXES; this spares it reading two days of them. A snapshot that cannot be
read is told loudly, and the watch begins with the newest fixes. What has been *said* is not in here: it stands on
FINDINGS (``fleet_watch``).
"""

from __future__ import annotations

import zlib

import msgspec
import numpy as np

from geofence.devices import WIDTH
from geofence.fleet_memory import FleetMemory
from tocsin.errors import TocsinError
from tocsin.model.fleet import Group

MAGIC = b"TOCFLT\x00\x01"
ZLIB_LEVEL = 1


class FleetSnapshotUnreadable(TocsinError):
    """It is of another version, or broken."""


class FleetSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """``fixes`` and ``commands`` are the places up to which these streams have been heard."""

    fixes: int
    commands: int
    numbers: bytes
    rows: bytes
    before_s: bytes
    left_ms: bytes
    losses: tuple[tuple[Group, float], ...]

    def memory(self) -> FleetMemory:
        """Raises FleetSnapshotUnreadable when the parts do not fit each other."""
        try:
            return FleetMemory(
                numbers=np.frombuffer(self.numbers, np.int64).copy(),
                rows=np.frombuffer(self.rows, np.float64).reshape(WIDTH, -1).copy(),
                before_s=np.frombuffer(self.before_s, np.float64).copy(),
                left_ms=np.frombuffer(self.left_ms, np.float64).copy(),
            )
        except ValueError as error:
            raise FleetSnapshotUnreadable(str(error)) from error


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(FleetSnapshot)


def snapshot_of(memory: FleetMemory, losses: dict[Group, float], *, fixes: int, commands: int) -> FleetSnapshot:
    return FleetSnapshot(
        fixes=fixes,
        commands=commands,
        numbers=memory.numbers.tobytes(),
        rows=memory.rows.tobytes(),
        before_s=memory.before_s.tobytes(),
        left_ms=memory.left_ms.tobytes(),
        losses=tuple(losses.items()),
    )


def dump(snapshot: FleetSnapshot) -> bytes:
    return MAGIC + zlib.compress(_encoder.encode(snapshot), ZLIB_LEVEL)


def load(payload: bytes) -> FleetSnapshot:
    """Raises FleetSnapshotUnreadable."""
    if not payload.startswith(MAGIC):
        raise FleetSnapshotUnreadable(f"it begins with {payload[: len(MAGIC)]!r}, not {MAGIC!r}")
    try:
        return _decoder.decode(zlib.decompress(payload[len(MAGIC) :]))
    except (zlib.error, msgspec.DecodeError) as error:
        raise FleetSnapshotUnreadable(str(error)) from error
