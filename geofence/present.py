"""Reading a stream from a place to the present, and no further."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from tocsin.ports import Entry


async def upto_present(reader: AsyncIterator[Sequence[Entry]]) -> AsyncGenerator[Sequence[Entry], None]:
    """What a reader of the log brings until it says that it has reached the present; then it is closed."""
    try:
        async for entries in reader:
            if not entries:
                return
            yield entries
    finally:
        if isinstance(reader, AsyncGenerator):
            await reader.aclose()
