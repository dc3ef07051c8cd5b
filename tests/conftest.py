"""What every test may ask for: a real broker for the session, and its bus emptied for each test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from nats.js.errors import NotFoundError
from real_broker import FLEET_PASSWORD, REDELIVERED_AFTER_S, SERVICE_PASSWORD

from tocsin import subjects
from tocsin.adapters.jetstream import Bus, connect, open_bus
from tocsin.embedded import BrokerAddresses, EmbeddedBroker

STORES = (*(stream.name for stream in subjects.STREAMS), *(f"KV_{name}" for name in subjects.BUCKETS))


@pytest.fixture
def broker_home() -> Iterator[Path]:
    """A short home for a broker of the test's own, to be killed at will."""
    path = Path(tempfile.mkdtemp(prefix="t-"))
    yield path
    shutil.rmtree(path)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def broker() -> AsyncIterator[BrokerAddresses]:
    """nats-server for the whole session, with a ``fleet`` login that may speak for any device."""
    home = Path(tempfile.mkdtemp(prefix="t-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tocsin.embedded.broker.ACK_WAIT_S", REDELIVERED_AFTER_S)
        server = EmbeddedBroker(home=home, service_password=SERVICE_PASSWORD, fleet_password=FLEET_PASSWORD)
        try:
            yield await server.start()
        finally:
            await server.stop()
            shutil.rmtree(home)


@pytest.fixture
async def bus(broker: BrokerAddresses) -> AsyncIterator[Bus]:
    """The bus of the session's broker with nothing on it: streams, their memory of ids and queues are new."""
    client = await connect(broker.nats_url, "cleaner")
    js = client.jetstream()
    for store in (*STORES, f"OBJ_{subjects.SNAPSHOTS}"):
        try:
            await js.delete_stream(store)
        except NotFoundError:
            continue
    await client.close()
    async with open_bus(broker.nats_url, "tests") as opened:
        yield opened
