"""How is a connection looked at before anything is said on it? For every client that posts to a name.

httpx calls whoever watches (its extension ``trace``) at each step; at one of them it is connected and has sent
nothing yet, not even the first byte of TLS. Where it leads then is what counts: a name that is looked up before
may lead elsewhere a moment later. Where it may lead is ``tocsin.reach``'s to say.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import urlsplit

from tocsin.reach import Reach

ADDRESS_REFUSED: Final = "address_refused"
CONNECTED: Final = "connection.connect_tcp.complete"

Trace = Callable[[str, dict[str, Any]], Awaitable[None]]


class AddressRefused(Exception):
    """The name leads to where nothing of ours may go."""


def watched(url: str, reach: Reach) -> dict[str, Trace]:
    """The extensions of a request to ``url``. The request raises AddressRefused, and nothing was sent."""
    host = urlsplit(url).hostname or ""

    async def look(event: str, info: dict[str, Any]) -> None:
        if event != CONNECTED:
            return
        stream = info["return_value"]
        if not reach.allows(host, stream.get_extra_info("server_addr")[0]):
            await stream.aclose()
            raise AddressRefused

    return {"trace": look}
