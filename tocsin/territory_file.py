"""How are the outlines of communes, and the room of each, kept in one file?

    8 bytes magic and version | 32 bytes SHA-256 of the rest | zlib of a MessagePack ``_Kept``

Outlines are ragged arrays: microdegrees (int32), each as its difference from the one before, so that they
compress; offsets of rings, polygons and areas into them (int32). Little-endian. Nothing in it is executed when it
is read, and a file that is cut, changed or of another version is refused by name.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from tocsin.errors import TocsinError

MAGIC: Final = b"TOCTER\x00\x01"
DIGEST_BYTES: Final = 32
UNPACKED_MAX_BYTES: Final = 256 * 1024 * 1024  # France with its 35,000 communes unpacks to 19 MB
COMPRESSION: Final = 9
DEGREES_MAX: Final = (180.0, 90.0)  # east, north

Ints = npt.NDArray[np.int32]


class TerritoryError(TocsinError):
    """The territory cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Areas:
    """n communes. ``room_index[i]`` says which of ``rooms`` answers for area i.

    ``lon_lat_e6`` is (m, 2); ring r is its rows ``rings[r]:rings[r + 1]``, polygon p has the rings
    ``polygons[p]:polygons[p + 1]`` (the outer one first), area i the polygons ``areas[i]:areas[i + 1]``.
    ``sources`` says where outlines and competences come from, for whoever has to cite them.
    """

    sources: tuple[str, ...]
    rooms: tuple[str, ...]
    codes: tuple[str, ...]
    names: tuple[str, ...]
    room_index: npt.NDArray[np.uint16]
    lon_lat_e6: Ints
    rings: Ints
    polygons: Ints
    areas: Ints


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    sources: tuple[str, ...]
    rooms: tuple[str, ...]
    codes: tuple[str, ...]
    names: tuple[str, ...]
    room_index: bytes
    steps_e6: bytes
    rings: bytes
    polygons: bytes
    areas: bytes


def pack(areas: Areas) -> bytes:
    """The same areas always give the same bytes."""
    steps = np.diff(areas.lon_lat_e6, axis=0, prepend=np.zeros((1, 2), np.int32))
    kept = _Kept(
        sources=areas.sources,
        rooms=areas.rooms,
        codes=areas.codes,
        names=areas.names,
        room_index=areas.room_index.astype("<u2").tobytes(),
        steps_e6=steps.astype("<i4").tobytes(),
        rings=areas.rings.astype("<i4").tobytes(),
        polygons=areas.polygons.astype("<i4").tobytes(),
        areas=areas.areas.astype("<i4").tobytes(),
    )
    body = zlib.compress(msgspec.msgpack.encode(kept), COMPRESSION)
    return MAGIC + hashlib.sha256(body).digest() + body


def unpack(data: bytes) -> Areas:
    """Raises TerritoryError."""
    head = len(MAGIC)
    if data[:head] != MAGIC:
        raise TerritoryError("it does not begin like a territory of this version: import it again")
    digest, body = data[head : head + DIGEST_BYTES], data[head + DIGEST_BYTES :]
    if hashlib.sha256(body).digest() != digest:
        raise TerritoryError("its checksum is wrong: the file was cut or changed")
    try:
        kept = msgspec.msgpack.decode(_inflated(body), type=_Kept)
        steps = np.frombuffer(kept.steps_e6, "<i4").reshape(-1, 2)
        areas = Areas(
            sources=kept.sources,
            rooms=kept.rooms,
            codes=kept.codes,
            names=kept.names,
            room_index=np.frombuffer(kept.room_index, "<u2"),
            lon_lat_e6=np.cumsum(steps, axis=0, dtype=np.int32),
            rings=np.frombuffer(kept.rings, "<i4"),
            polygons=np.frombuffer(kept.polygons, "<i4"),
            areas=np.frombuffer(kept.areas, "<i4"),
        )
    except (ValueError, zlib.error, msgspec.DecodeError) as error:
        raise TerritoryError(f"it cannot be read: {error}") from None
    if not _fits(areas):
        raise TerritoryError("its tables do not fit each other")
    if not (np.abs(areas.lon_lat_e6 / 1e6) <= DEGREES_MAX).all():
        raise TerritoryError("its outlines are not in degrees: import it again from outlines in WGS84")
    return areas


def read(path: Path) -> Areas:
    """Raises TerritoryError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TerritoryError(f"{path}: {error.strerror}") from None
    try:
        return unpack(data)
    except TerritoryError as error:
        raise TerritoryError(f"{path}: {error}") from None


def _inflated(body: bytes) -> bytes:
    """At most UNPACKED_MAX_BYTES: a small file must not become a full memory."""
    inflating = zlib.decompressobj()
    whole = inflating.decompress(body, UNPACKED_MAX_BYTES)
    if not inflating.eof:
        raise ValueError(f"it is cut, or unpacks to more than {UNPACKED_MAX_BYTES} bytes")
    return whole


def _fits(areas: Areas) -> bool:
    """Every offset points into the next table, and every area has a room."""
    count = len(areas.codes)
    return (
        count > 0
        and count == len(areas.names) == areas.room_index.size == areas.areas.size - 1
        and int(areas.room_index.max()) < len(areas.rooms)
        and _are_offsets(areas.areas, areas.polygons.size - 1)
        and _are_offsets(areas.polygons, areas.rings.size - 1)
        and _are_offsets(areas.rings, len(areas.lon_lat_e6))
    )


def _are_offsets(offsets: Ints, end: int) -> bool:
    return bool(offsets.size and offsets[0] == 0 and offsets[-1] == end and (np.diff(offsets) > 0).all())
