"""Keeps the signs of the phones in their bucket, and the word that somebody listens.

A test is written before its message is acknowledged (ARCHITECTURE, A1): one that was said is never missed. Any
other sign is only noted there, and written by a task of its own in waves: behind an outage every phone has one
at once, and 6,565 of them one behind the other would hold up the fixes of the wearers for seconds. What a death
of the process loses of these, its phone says again with its next message. Each attempt writes what is newest of
its phone, so that the two ways cannot write an older sign last.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Collection, Sequence
from itertools import islice

import structlog

from ingest.known import Known
from ingest.signs import listening
from tocsin.clock import Clock
from tocsin.errors import LogUnavailable, WireError
from tocsin.limits import PUBLISH_WAVE
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
        self._tests: dict[str, int | None] = {}  # as the bucket has them
        self._waiting: dict[str, None] = {}  # at most the phones that there are
        self._noted = asyncio.Event()
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
                sign = self._known.signs[key] = decode_sign(value)
                self._tests[key] = sign.tested_ms
        except WireError as error:  # another version's: that phone begins anew, and the others are heard
            log.error("sign_unreadable", key=key, error=str(error))

    async def write(self, signs: Collection[Sign]) -> None:
        """Returns when the tests among them are written. They are in ``known`` already."""
        tests = [one.device for one in signs if one.tested_ms != self._tests.get(one.device)]
        for device in tests:
            self._waiting.pop(device, None)
        others = [one.device for one in signs if one.device not in tests]
        self._waiting.update(dict.fromkeys(others))
        if others:
            self._noted.set()
        await self._write_all(tests)

    async def write_for_ever(self) -> None:
        """What was noted."""
        while True:
            await self._noted.wait()
            self._noted.clear()
            while self._waiting:
                wave = list(islice(self._waiting, PUBLISH_WAVE))
                for device in wave:
                    del self._waiting[device]
                await self._write_all(wave)

    async def _write_all(self, devices: Sequence[str]) -> None:
        for start in range(0, len(devices), PUBLISH_WAVE):
            await asyncio.gather(*(self._write(one) for one in devices[start : start + PUBLISH_WAVE]))

    async def _write(self, device: str) -> None:
        async def put() -> None:
            sign = self._known.signs[device]
            await self._bucket.put(device, encode(sign))
            self._tests[device] = sign.tested_ms

        await _surely(put)

    async def listen_for_ever(self) -> None:
        """Each minute of a connection to the broker."""
        while True:
            if self.connected:
                now = self._listening = listening(self._listening, self._clock.now_ms())
                await _surely(functools.partial(self._bucket.put, LISTENING, encode(now)))
            await self._clock.sleep(LISTENING_EVERY_S)


async def _surely(put: Callable[[], Awaitable[object]]) -> None:
    while True:
        try:
            await put()
        except LogUnavailable as error:
            log.warning("sign_waits", error=str(error))
            await asyncio.sleep(RETRY_S)
        else:
            return
