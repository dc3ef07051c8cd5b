"""How many may hold something large in this process at once?

A place is held from before the thing is made until its last byte was taken, and a client that takes nothing loses
it: so what all of them hold together is bounded, whatever clients do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import structlog
from fastapi.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from alerts.api.problems import Refusal
from tocsin.limits import EVIDENCE_AT_ONCE, EVIDENCE_PLACE_S, EVIDENCE_SENT_S, EVIDENCE_STALLED_S

log = structlog.get_logger(__name__)

CHUNK_BYTES: Final = 64 * 1024
"""Lines go out together until they are so many: most have some hundred bytes, and each chunk costs a turn."""


class Places:
    def __init__(self, at_once: int = EVIDENCE_AT_ONCE, *, wait_s: float = EVIDENCE_PLACE_S) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._wait_s = wait_s

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Raises Refusal (503) where none came free in time."""
        try:
            async with asyncio.timeout(self._wait_s):
                await self._free.acquire()
        except TimeoutError:
            raise Refusal("evidence-busy") from None
        try:
            yield
        finally:
            self._free.release()


class Placed(StreamingResponse):
    """Lines that are sent while ``held`` is; it is left behind the last of them, however that came."""

    def __init__(
        self, lines: Iterable[bytes], held: AsyncExitStack, *, media_type: str, headers: dict[str, str],
        stalled_s: float = EVIDENCE_STALLED_S, sent_s: float = EVIDENCE_SENT_S,
    ) -> None:  # fmt: skip
        super().__init__(_chunks(lines), media_type=media_type, headers=headers)
        self._held = held
        self._stalled_s = stalled_s
        self._sent_s = sent_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._held:
            await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        """A reply that ends here has no end: the server closes the connection, and the file has no seal."""

        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(self._stalled_s):
                await send(message)

        try:
            async with asyncio.timeout(self._sent_s):
                await super().stream_response(send_in_time)
        except TimeoutError:
            log.warning("reply_cut_off", stalled_s=self._stalled_s, sent_s=self._sent_s)


async def _chunks(lines: Iterable[bytes]) -> AsyncIterator[bytes]:
    begun = bytearray()
    for line in lines:
        begun += line
        if len(begun) >= CHUNK_BYTES:
            yield bytes(begun)
            begun.clear()
            await asyncio.sleep(0)  # a client that takes all at once makes no turn of its own
    yield bytes(begun)
