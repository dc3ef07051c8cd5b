"""Keeps the signs of the phones in their bucket, and the word that somebody listens.

A sign is written before the message is acknowledged (ARCHITECTURE, A1): a test that was said is never missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import structlog

from ingest.known import Known
from ingest.signs import listening
from tocsin.clock import Clock
from tocsin.errors import LogUnavailable, WireError
from tocsin.model.sign import LISTENING, Listening, Sign
from tocsin.ports import Bucket
from tocsin.wire import decode_listening, decode_sign, encode

RETRY_S = 0.2
LISTENING_EVERY_S = 60.0

log = structlog.get_logger()


class SignBook:
    def __init__(self, bucket: Bucket, known: Known, clock: Clock) -> None:
        self._bucket = bucket
        self._known = known
        self._clock = clock
        self._listening: Listening | None = None
        self.connected = False

    async def open(self) -> None:
        """What was known before this life."""
        async for change in self._bucket.watch():
            if change is None:
                return
            if change.value is not None:
                self._learn(change.key, change.value)

    def _learn(self, key: str, value: bytes) -> None:
        try:
            if key == LISTENING:
                self._listening = decode_listening(value)
            else:
                self._known.signs[key] = decode_sign(value)
        except WireError as error:  # another version's: that phone begins anew, and the others are heard
            log.error("sign_unreadable", key=key, error=str(error))

    async def write(self, signs: Collection[Sign]) -> None:
        for sign in signs:
            await self._put(sign.device, encode(sign))

    async def _put(self, key: str, value: bytes) -> None:
        while True:
            try:
                await self._bucket.put(key, value)
            except LogUnavailable as error:
                log.warning("sign_waits", error=str(error))
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def listen_for_ever(self) -> None:
        """Each minute of a connection to the broker."""
        while True:
            if self.connected:
                self._listening = listening(self._listening, self._clock.now_ms())
                await self._put(LISTENING, encode(self._listening))
            await self._clock.sleep(LISTENING_EVERY_S)
