"""Which port may a server of ours have that nobody asked for by number?

One that the kernel gives to no connection. Linux takes the ports of connections from 32768 up, and so does whoever
binds port 0. A port from there that is remembered for a restart, or chosen by one program and bound by the next,
may be somebody's connection by then. So these lie below, and are drawn, so that two programs seldom want the same.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from secrets import SystemRandom
from typing import Final

LOOPBACK: Final = "127.0.0.1"
FIRST, BEHIND = 10_000, 32_768
TRIED: Final = 100


def drawn_ports() -> Iterator[int]:
    """Ports to be tried in turn, each once, and at last 0, for any."""
    yield from SystemRandom().sample(range(FIRST, BEHIND), TRIED)
    yield 0


def free_ports(number: int) -> list[int]:
    """Different ports of 127.0.0.1 that nobody listens at now."""
    with ExitStack() as held:
        return [_bound(held).getsockname()[1] for _ in range(number)]


def free_port() -> int:
    return free_ports(1)[0]


def _bound(held: ExitStack) -> socket.socket:
    for port in drawn_ports():
        try:
            return held.enter_context(socket.create_server((LOOPBACK, port)))
        except OSError:
            continue
    raise AssertionError("port 0 is always free")
