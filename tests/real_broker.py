"""What the tests say to a real broker, and how they end a part that talks to it."""

from __future__ import annotations

import asyncio

from builders import DEVICES

SERVICE_PASSWORD = "service-secret-of-the-tests"
FLEET_PASSWORD = "fleet-secret-of-the-tests"
SPEAKERS = (*DEVICES, "broken-1", "broken-2")  # devices that have a login or a certificate
REDELIVERED_AFTER_S = 1  # what ingest leaves unacknowledged comes again after this; 10 s in a deployment


async def cancelled(task: asyncio.Task[None]) -> None:
    """End a part as a kill does: no word to anybody."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
