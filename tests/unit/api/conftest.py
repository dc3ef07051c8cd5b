from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from api_room import Room, opened


@pytest_asyncio.fixture
async def room() -> AsyncIterator[Room]:
    async with opened() as made:
        yield made
