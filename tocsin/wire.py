"""Nouns to bytes on the bus and back, with the version of the format in front.

A batch of fixes is eight bytes (magic, version) and the raw records, so that a reader is one ``np.frombuffer``.
Everything else is MessagePack of the noun behind one version byte. A reader refuses a version that it does not
know (``WireError``): two versions never guess at each other.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec
import numpy as np

from tocsin.errors import WireError
from tocsin.model.access import Access
from tocsin.model.audit import WireAnswers
from tocsin.model.command import Command, CommandStatus
from tocsin.model.device import Device
from tocsin.model.episode import Receipt, Ruling
from tocsin.model.finding import Alarm, Finding
from tocsin.model.fix import FIX_DTYPE, Fixes
from tocsin.model.fleet import Incident
from tocsin.model.notice import Notice
from tocsin.model.order import Order
from tocsin.model.pulse import Pulse
from tocsin.model.sign import Listening, Sign
from tocsin.model.standing import Standing
from tocsin.model.tally import Tally

FIXES_HEADER = b"TOCFIX\x00\x01"
NOUN_VERSION = b"\x01"

T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder()


def encode_fixes(fixes: Fixes) -> bytes:
    """1-D FIX_DTYPE array -> bytes."""
    assert fixes.dtype == FIX_DTYPE
    return FIXES_HEADER + fixes.tobytes()


def decode_fixes(payload: bytes) -> Fixes:
    """bytes -> read-only 1-D FIX_DTYPE array that shares the memory of ``payload``."""
    if not payload.startswith(FIXES_HEADER):
        raise WireError(f"a batch of fixes begins with {FIXES_HEADER!r}, not {payload[:8]!r}")
    if (len(payload) - len(FIXES_HEADER)) % FIX_DTYPE.itemsize:
        raise WireError(f"{len(payload)} bytes are not a whole number of fixes")
    return np.frombuffer(payload, FIX_DTYPE, offset=len(FIXES_HEADER))


def encode(noun: msgspec.Struct) -> bytes:
    return NOUN_VERSION + _encoder.encode(noun)


class NounDecoder(Generic[T]):
    """Reads one kind of noun; made once, used for every message."""

    def __init__(self, kind: type[T]) -> None:
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._kind = kind.__name__

    def __call__(self, payload: bytes) -> T:
        if payload[:1] != NOUN_VERSION:
            raise WireError(f"{self._kind}: format version {payload[:1]!r} is not {NOUN_VERSION!r}")
        try:
            return self._decoder.decode(memoryview(payload)[1:])
        except msgspec.DecodeError as error:
            raise WireError(f"{self._kind}: {error}") from error


decode_access = NounDecoder(Access)
decode_alarm = NounDecoder(Alarm)
decode_command = NounDecoder(Command)
decode_command_status = NounDecoder(CommandStatus)
decode_device = NounDecoder(Device)
decode_finding = NounDecoder(Finding)
decode_incident = NounDecoder(Incident)
decode_listening = NounDecoder(Listening)
decode_notice = NounDecoder(Notice)
decode_order = NounDecoder(Order)
decode_pulse = NounDecoder(Pulse)
decode_receipt = NounDecoder(Receipt)
decode_ruling = NounDecoder(Ruling)
decode_sign = NounDecoder(Sign)
decode_standing = NounDecoder(Standing)
decode_wire_answers = NounDecoder(WireAnswers)
decode_tally = NounDecoder(Tally)
