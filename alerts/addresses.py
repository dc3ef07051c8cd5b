"""Does each recipient's name lead where a line may go? Asked when the courier starts, not by the first alert.

An address is looked at again at each attempt (``alerts.line``). But the rooms of the police have no heartbeat:
what is refused there would be found out in the middle of the first alarm. A name that cannot be looked up is asked
again each LOOK_AGAIN_S: a resolver that starts beside us is no fault of the recipient.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

import structlog

from alerts.doors import Door
from alerts.faults import Faults
from alerts.line import Endpoint
from tocsin.egress import ADDRESS_REFUSED

LOOK_AGAIN_S: Final = 60.0
PORTS: Final = {"https": 443, "http": 80}

log = structlog.get_logger()

LookUp = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host. Raises OSError."""


async def look_up(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(one[4][0]) for one in found]


async def examine(doors: Sequence[Door], faults: Faults, looked_up: LookUp = look_up) -> None:
    """Each by itself: a name that is not answered for holds up no other."""
    async with asyncio.TaskGroup() as tasks:
        for door in doors:
            tasks.create_task(_examine(door, faults, looked_up))


async def _examine(door: Door, faults: Faults, looked_up: LookUp) -> None:
    addresses = await _addresses(door, looked_up)
    endpoint = door.line.endpoint
    refused = [one for one in addresses if not endpoint.reach.allows(endpoint.host, one)]
    if not refused:
        faults.cured(door.name, ADDRESS_REFUSED)
        return
    log.critical(
        "address_refused", place=door.name, refused=refused, of=len(addresses),
        effect="nothing is sent there: TOCSIN_WEBHOOK_NETWORKS names the private networks of recipients",
    )  # fmt: skip
    faults.failing(door.name, ADDRESS_REFUSED)


async def _addresses(door: Door, looked_up: LookUp) -> Sequence[str]:
    endpoint = door.line.endpoint
    while True:
        try:
            return await looked_up(endpoint.host, _port(endpoint))
        except (OSError, UnicodeError) as error:
            log.error("name_not_found", place=door.name, error=str(error))
            await asyncio.sleep(LOOK_AGAIN_S)


def _port(endpoint: Endpoint) -> int:
    parts = urlsplit(endpoint.url)
    return parts.port or PORTS[parts.scheme]
