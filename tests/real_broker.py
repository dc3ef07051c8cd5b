"""What the tests say to a real broker, and how they end a part that talks to it."""

from __future__ import annotations

import asyncio

from builders import DEVICES
from nats.js.errors import NotFoundError

from tocsin import subjects
from tocsin.adapters.jetstream import connect
from tocsin.embedded import BrokerAddresses

SERVICE_PASSWORD = "service-secret-of-the-tests"
FLEET_PASSWORD = "fleet-secret-of-the-tests"
SPEAKERS = (*DEVICES, "broken-1", "broken-2")  # devices that have a login or a certificate
REDELIVERED_AFTER_S = 4  # what ingest leaves unacknowledged comes again after this; 10 s in a deployment

STORES = (*(stream.name for stream in subjects.STREAMS), *(f"KV_{name}" for name in subjects.BUCKETS))


async def emptied(broker: BrokerAddresses) -> None:
    """Nothing is on its bus: streams, their memory of ids and queues are new."""
    client = await connect(broker.nats_url, "cleaner")
    js = client.jetstream()
    for store in (*STORES, f"OBJ_{subjects.SNAPSHOTS}"):
        try:
            await js.delete_stream(store)
        except NotFoundError:
            continue
    await client.close()


async def cancelled(task: asyncio.Task[None]) -> None:
    """End a part as a kill does: no word to anybody."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
