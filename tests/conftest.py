"""What every test may ask for: a real broker for the session, and its bus emptied for each test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
import structlog
from builders import HANGS_AFTER_S
from doors import Door, MosquittoDoor, NatsDoor, logins, skip_without_mosquitto
from hypothesis import settings as hypothesis_settings
from real_broker import FLEET_PASSWORD, REDELIVERED_AFTER_S, SERVICE_PASSWORD, SPEAKERS, emptied
from xdist.scheduler import LoadFileScheduling

from tocsin.adapters.jetstream import Bus, open_bus
from tocsin.embedded import BrokerAddresses, EmbeddedBroker

hypothesis_settings.register_profile("tocsin", deadline=None)  # a busy machine is no reason to fail
hypothesis_settings.load_profile("tocsin")


class WholeSystemsApart(LoadFileScheduling):  # type: ignore[misc]  # xdist says nothing of its types
    """Which tests may run beside which others, where several processes share the work? Of whole systems, which
    have bounds of seconds and would take each other's processor, one at a time; of all else the files."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        name = file.rpartition("/")[2]
        is_whole = ("/acceptance/" in file and not name.startswith(MOVED_CLOCKS)) or name in WHOLE_SYSTEMS
        return "whole systems" if is_whole else file


WHOLE_SYSTEMS: Final = frozenset({"test_fleet_outage.py", "test_fleet_reconnects.py"})
"""Beside the acceptance tests."""
MOVED_CLOCKS: Final = ("test_timelines", "test_every_code_road", "test_auditor_agrees")
"""Acceptance tests in one process, whose hours are moved by the test: they wait for no second of the wall."""


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    return WholeSystemsApart(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(autouse=True)
def _log_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A command called in this process sets up the log for a process: on a standard error that is gone after the
    test, and remembered by every logger that spoke. Here it is neither remembered nor left behind."""
    configure = structlog.configure

    def forgetful(**how: Any) -> None:
        configure(**{**how, "cache_logger_on_first_use": False})

    monkeypatch.setattr(structlog, "configure", forgetful)
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


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
        await server.admit(logins(SPEAKERS))
        try:
            yield await server.start()
        finally:
            await server.stop()
            shutil.rmtree(home)


@pytest.fixture
def nats_door(broker: BrokerAddresses) -> Door:
    """The session's broker as devices and ingest meet it."""
    return NatsDoor(broker.mqtt_url)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def mosquitto_door() -> AsyncIterator[Door]:
    """Mosquitto, as we ship it, for the whole session."""
    skip_without_mosquitto()
    home = Path(tempfile.mkdtemp(prefix="t-"))
    opened = MosquittoDoor(home, SPEAKERS)
    try:
        await opened.start()
        yield opened
    finally:
        await opened.stop()
        shutil.rmtree(home)


@pytest.fixture(params=["nats", "mosquitto"])
def door(request: pytest.FixtureRequest) -> Door:
    """What both brokers promise is asked of both; the log is the embedded one behind either."""
    found: Door = request.getfixturevalue(f"{request.param}_door")
    return found


@pytest.fixture
async def bus(broker: BrokerAddresses) -> AsyncIterator[Bus]:
    """The bus of the session's broker with nothing on it: streams, their memory of ids and queues are new."""
    await emptied(broker)
    with pytest.MonkeyPatch.context() as patch:
        # a part says again what was not confirmed in time, a test does not
        patch.setattr("tocsin.adapters.jetstream.PUBLISH_TIMEOUT_S", HANGS_AFTER_S)
        async with open_bus(broker.nats_url, "tests") as opened:
            patch.undo()
            yield opened
