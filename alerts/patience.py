"""How long does whoever reads the log up to the present wait for a log that says nothing?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

from tocsin.errors import LogUnavailable
from tocsin.ports import Entry

SILENCE_MAX_S: Final = 60.0
"""Of a log that is read up to the present, where it has always something to say at once. Several tries of the
reader to reach the server; the other chores of a pass wait meanwhile."""


async def next_of(reader: AsyncIterator[Sequence[Entry]]) -> Sequence[Entry]:
    """A reader of the log waits for ever for a server that is away. Raises LogUnavailable, StopAsyncIteration."""
    try:
        async with asyncio.timeout(SILENCE_MAX_S):
            return await anext(reader)
    except TimeoutError as error:
        raise LogUnavailable(f"nothing was read for {SILENCE_MAX_S} s") from error
