"""What is kept of a message that was refused, and what is its sender told?

Kept: the shape of its first bytes, where it is wrong and why, in the stream REFUSED: at most REFUSED_KEPT_MAX
notes of at most three days, the oldest give way. Told: the same reason, path and sentence, on
``tocsin/1/{device}/err``, whichever dialect the device speaks. No value of the payload is in either: no digit, and
no string that is not a key.
"""

from __future__ import annotations

import asyncio
import hashlib
import re

import aiomqtt
import msgspec
import structlog

from ingest.admission import Message
from ingest.dialects.reports import Refusal
from ingest.known import Known
from ingest.mqtt import MqttSession
from tocsin import subjects
from tocsin.errors import LogUnavailable
from tocsin.limits import REFUSED_HEAD_BYTES
from tocsin.model.ids import derived
from tocsin.ports import Log
from tocsin.telemetry import QUARANTINE_KEPT, QUARANTINE_LEFT

DIGITS = re.compile(r"\d")
STRING = re.compile(r'"(?:[^"\\]|\\.)*+(?:"(?P<key>\s*:)?|\\?\Z)', re.DOTALL)
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
        head=shape_of(message.payload[:REFUSED_HEAD_BYTES]),
        t3_ms=message.t3_ms,
    )


def _topic_kept(topic: str) -> str:
    """Up to the device's id as it is. Behind it a unit has its leaf, without digits; the owner of a phone has
    chosen the next word himself (a name, often)."""
    device = subjects.device_in(topic)
    root, _, leaf = topic.partition(f"/{device}/")
    if device is None or not leaf:
        return DIGITS.sub("#", topic)
    if root == subjects.PHONE_ROOT:
        own_word, slash, beside = leaf.partition("/")
        leaf = ("…" if own_word else "") + slash + beside
    return f"{root}/{device}/{DIGITS.sub('#', leaf)}"


def shape_of(payload: bytes) -> str:
    """A payload as an engineer may keep it: no digit, and no string that is not a key.

    >>> shape_of(b'{"lat":48.85,"desc":"at her mother"}')
    '{"lat":##.##,"desc":"…"}'
    """
    without_digits = DIGITS.sub("#", payload.decode(errors="replace"))
    return STRING.sub(lambda one: one[0] if one["key"] else '"…"', without_digits)


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
