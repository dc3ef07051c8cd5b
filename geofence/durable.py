"""How long does a worker try to write what must not be lost?

Until the log confirms it, for PUBLISH_FOR_S; then ``LogUnavailable`` ends the worker, and the next one begins
where this one's words ended. Seconds are those of the deployment's clock.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from tocsin.clock import Clock
from tocsin.errors import LogUnavailable

PUBLISH_FOR_S = 60.0
PUBLISH_WAIT_MIN_S = 0.05
PUBLISH_WAIT_MAX_S = 1.0

T = TypeVar("T")

log = structlog.get_logger()


async def until_durable(write: Callable[[], Awaitable[T]], *, clock: Clock, what: str) -> T:
    """The answer of ``write`` when the log has confirmed it."""
    waited_s, wait_s = 0.0, PUBLISH_WAIT_MIN_S
    while True:
        try:
            return await write()
        except LogUnavailable:
            if waited_s >= PUBLISH_FOR_S:
                raise
            log.warning(f"{what}_waits_for_log", waited_s=waited_s)
        await clock.sleep(wait_s)
        waited_s, wait_s = waited_s + wait_s, min(2 * wait_s, PUBLISH_WAIT_MAX_S)
