"""What does Mosquitto hold for a session? Read from the file that it writes, version 6 of its format.

A header of 23 bytes, then chunks, each a type and a length (u32, big-endian) and so many bytes. A chunk of type 3
is a message on its way to a client: u64 store id, u16 packet id, u16 length of the client id, four bytes (QoS,
state, flags, direction), the client id.
"""

from __future__ import annotations

import struct

MAGIC = b"\x00\xb5\x00mosquitto db"
HEAD = struct.Struct(">15sII")
CHUNK = struct.Struct(">II")
CLIENT_MESSAGE = 3
MESSAGE = struct.Struct(">QHH4B")
OUTWARD = 1


def held_for(mark: str, written: bytes) -> int:
    """Messages for clients of which the id begins with ``mark``."""
    magic, _, version = HEAD.unpack_from(written)
    assert (magic, version) == (MAGIC, 6), "another format than this reader knows"
    held, at = 0, HEAD.size
    while at < len(written):
        kind, length = CHUNK.unpack_from(written, at)
        at += CHUNK.size
        if kind == CLIENT_MESSAGE:
            *_, id_length, _, _, _, direction = MESSAGE.unpack_from(written, at)
            name = written[at + MESSAGE.size : at + MESSAGE.size + id_length].decode()
            held += direction == OUTWARD and name.startswith(mark)
        at += length
    return held
