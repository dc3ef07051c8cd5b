"""How does long work on an event loop leave the others their turn?

What is read or decoded for an auditor shares its loop with the screens of the desk: a beat there is a second, and
an alert leaves at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Final, TypeVar

T = TypeVar("T")

A_TURN: Final = 500
"""Links or payloads: each is decoded in some microseconds, so the others wait for a few milliseconds."""


async def in_turns(items: Iterable[T], *, a_turn: int = A_TURN) -> AsyncIterator[T]:
    """Each of ``items``; the loop goes round behind each ``a_turn`` of them."""
    for count, item in enumerate(items, start=1):
        yield item
        if count % a_turn == 0:
            await asyncio.sleep(0)
