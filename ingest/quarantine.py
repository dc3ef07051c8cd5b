"""What is kept of a message that was refused, and what is its sender told?

Kept: the shape of its first bytes, where it is wrong and why, in the stream REFUSED: at most REFUSED_KEPT_MAX
notes of at most three days, the oldest give way. Told: the same reason, path and sentence, on
``tocsin/1/{device}/err``, whichever dialect the device speaks. No value of the payload is in either: of JSON the
keys that a dialect knows are kept, of anything else the punctuation.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import unicodedata
from itertools import groupby

import aiomqtt
import msgspec
import structlog

from ingest.admission import Message
from ingest.dialects import owntracks, tocsin_v1
from ingest.dialects.reports import Refusal
from ingest.known import Known
from ingest.mqtt import MqttSession
from tocsin import subjects
from tocsin.errors import LogUnavailable
from tocsin.limits import REFUSED_HEAD_BYTES
from tocsin.model.ids import derived
from tocsin.ports import Log
from tocsin.telemetry import QUARANTINE_KEPT, QUARANTINE_LEFT

KEYS = tocsin_v1.KEYS | owntracks.KEYS
NUMBER = object()
NUMBER_SHAPE = "#"
LOOK_EVERY_S = 30.0

log = structlog.get_logger()


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """One refused message. ``topic`` and ``head`` without what the sender wrote into them."""

    reason: str
    path: str
    detail: str
    topic: str
    bytes: int
    head: str
    t3_ms: int


decode_note = msgspec.json.Decoder(Note)


def note_of(message: Message, refusal: Refusal) -> Note:
    return Note(
        reason=refusal.reason.value,
        path=refusal.path,
        detail=refusal.detail,
        topic=_topic_kept(message.topic),
        bytes=len(message.payload),
        head=shape_of(message.payload),
        t3_ms=message.t3_ms,
    )


def _topic_kept(topic: str) -> str:
    """Up to the device's id as it is. Behind it a unit has its leaf, without digits; the owner of a phone has
    chosen the next word himself (a name, often)."""
    device = subjects.device_in(topic)
    root, _, leaf = topic.partition(f"/{device}/")
    if device is None or not leaf:
        return _without_figures(topic)
    if root == subjects.PHONE_ROOT:
        own_word, slash, beside = leaf.partition("/")
        leaf = ("…" if own_word else "") + slash + beside
    return f"{root}/{device}/{_without_figures(leaf)}"


def _without_figures(topic: str) -> str:
    return printable("".join("#" if _sort(letter) == "#" else letter for letter in topic))


def shape_of(payload: bytes) -> str:
    """A payload as an engineer may keep it. A key that no dialect knows is as much the sender's as a value is.

    >>> shape_of(b'{"lat":48.85,"desc":"at her mother","at home":null}')
    '{"lat":#,"…":"…","…":null}'
    >>> shape_of(b'lat=48.85; at her mother')
    '…=##.##; … … …'
    """
    try:
        shape = _shape(_parse(payload.decode()))
    except (ValueError, RecursionError):  # no UTF-8, no JSON, or JSON without a bottom
        shape = shape_of_text(payload[:REFUSED_HEAD_BYTES].decode(errors="replace"))
    return shape[:REFUSED_HEAD_BYTES]


class _Members(list[tuple[str, object]]):
    """A JSON object as it was written: a key may come twice."""


def _parse(text: str) -> object:
    """Numbers are not read: one of ten thousand figures is an attack on whoever reads it. Raises ValueError."""
    return json.loads(
        text, object_pairs_hook=_Members, parse_int=_number, parse_float=_number, parse_constant=_number
    )


def _number(_: str) -> object:
    return NUMBER


def _shape(value: object) -> str:
    match value:
        case _Members():
            return "{" + ",".join(f'"{key if key in KEYS else "…"}":{_shape(one)}' for key, one in value) + "}"
        case list():
            return "[" + ",".join(map(_shape, value)) + "]"
        case str():
            return '"…"'
        case None | bool():
            return json.dumps(value)
        case _:
            return NUMBER_SHAPE


def shape_of_text(text: str) -> str:
    """A run of letters is ``…``, a figure of any script ``#``, what is no sign of ASCII ``·``."""
    return "".join(
        "…" if sort == "…" else "".join(run) if sort == "" else sort * len(list(run))
        for sort, run in groupby(text, _sort)
    )


def _sort(letter: str) -> str:
    category = unicodedata.category(letter)[0]
    if category in "LM":
        return "…"
    if category == "N":
        return "#"
    return "" if letter.isascii() and letter.isprintable() else "·"


def printable(text: str) -> str:
    """What a terminal shows and does not obey."""
    return "".join(letter if letter.isprintable() else "·" for letter in text)


async def keep_and_answer(
    session: MqttSession, log_: Log, message: Message, refusal: Refusal, known: Known
) -> None:
    """Quarantine, and an answer for a device we know."""
    said = hashlib.sha256(message.payload).hexdigest()
    name = derived("rfs", message.topic, message.t3_ms, refusal.reason.value, refusal.path, said)
    note = msgspec.json.encode(note_of(message, refusal))
    try:
        await log_.append(subjects.refused(refusal.reason.value), note, dedupe_id=name)
    except LogUnavailable as error:
        log.warning("refusal_not_kept", reason=refusal.reason.value, error=str(error))
    device = subjects.device_in(message.topic)
    if device is not None and device in known.devices:
        await _answer(session, device, refusal)


async def _answer(session: MqttSession, device: str, refusal: Refusal) -> None:
    answer = {"_type": "error", "reason": refusal.reason.value, "path": refusal.path, "detail": refusal.detail}
    try:
        await session.answer(subjects.topic(device, "err"), msgspec.json.encode(answer))
    except aiomqtt.MqttError as error:
        log.info("refusal_not_answered", reason=refusal.reason.value, error=repr(error))


async def watch_quarantine(log_: Log) -> None:
    """Show how much is kept and how much has given way, until cancelled."""
    while True:
        try:
            extent = await log_.extent(subjects.REFUSED)
        except LogUnavailable as error:
            log.info("quarantine_not_seen", error=str(error))
        else:
            QUARANTINE_KEPT.set(extent.messages)
            QUARANTINE_LEFT.set(extent.gone)
        await asyncio.sleep(LOOK_EVERY_S)
