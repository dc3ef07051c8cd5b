"""Reading a stream from a place to the present, and no further."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Final

from tocsin.errors import LogUnavailable
from tocsin.ports import Entry

SILENCE_MAX_S: Final = 60.0
"""For whoever has other things to do meanwhile: of a log that is read up to the present, where it has always
something to say at once. Several tries of the reader to reach the server."""


async def upto_present(
    reader: AsyncIterator[Sequence[Entry]], *, within_s: float | None = None
) -> AsyncGenerator[Sequence[Entry], None]:
    """What a reader of the log brings until it says that it has reached the present; then it is closed.

    A reader waits for ever for a server that is away; with ``within_s`` that is LogUnavailable after so long
    without a word."""
    try:
        while entries := await _next(reader, within_s):
            yield entries
    finally:
        if isinstance(reader, AsyncGenerator):
            await reader.aclose()


async def _next(reader: AsyncIterator[Sequence[Entry]], within_s: float | None) -> Sequence[Entry]:
    """Empty at the present, and at the end of a reader that has one."""
    limit = asyncio.timeout(within_s)
    try:
        async with limit:
            return await anext(reader, ())
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise LogUnavailable(f"nothing was read for {within_s} s") from error
