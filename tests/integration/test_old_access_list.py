"""What does a broker that knows no phones cost the bracelets? Its access list may be older than we are; F02."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from doors import NatsDoor
from structlog.testing import capture_logs

from ingest.listener import FIX_TOPICS
from ingest.mqtt import MqttSession
from tocsin.clock import AffineClock
from tocsin.embedded.broker import service_users
from tocsin.telemetry import PHONES_NOT_HEARD

PHONES = ("owntracks", "owntracks.>")
DEADLINE_S = 20.0

pytestmark = pytest.mark.timeout(60)


def users_of_0_1_0(hashes: Mapping[str, str]) -> list[dict[str, Any]]:
    users = service_users(hashes)
    for one in users:
        if one["user"] == "ingest":
            heard = one["permissions"]["subscribe"]
            one["permissions"]["subscribe"] = [subject for subject in heard if subject not in PHONES]
    return users


async def test_units_are_heard_where_phones_are_refused(
    broker_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tocsin.embedded.broker.service_users", users_of_0_1_0)
    door = await NatsDoor.of_its_own(broker_home, ["u-1"])
    refused = PHONES_NOT_HEARD.labels(session="fixes")._value
    before = refused.get()
    await door.start()
    try:
        with capture_logs() as said:
            async with MqttSession(door.url, "fixes", FIX_TOPICS, AffineClock()) as listener:
                async with door.device("u-1") as unit:
                    await unit.publish("tocsin/1/u-1/loc", b"here", qos=1)
                async with asyncio.timeout(DEADLINE_S):
                    taken = await anext(listener.messages())
                assert taken.message.payload == b"here"
                listener.acknowledge(taken)
    finally:
        await door.stop()
    assert [one["event"] for one in said if one["log_level"] == "critical"] == ["phones_not_heard"], "once"
    assert refused.get() == before + 1
