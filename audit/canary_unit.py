"""How does an invented unit speak? A real login at the real broker, its own payload, QoS 1.

What it would have said while it was away it does not say later: the crossing of a minute ago is no crossing. It
answers every order with ``done``, so that none waits for it; what it is told changes nothing about its round.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final
from urllib.parse import quote, urlsplit, urlunsplit

import aiomqtt
import msgspec
import structlog

from audit.canary_round import ACCURACY_M, REPORT_S, Place
from tocsin.clock import MS, Clock
from tocsin.mqtt import NO_FILES, client_to
from tocsin.subjects import topic
from tocsin.tls import TlsFiles

RECONNECT_S: Final = 1.0
PUBACK_S: Final = 5.0

log = structlog.get_logger()


class Unit:
    """One of a pair."""

    def __init__(self, url: str, device: str, password: str, clock: Clock, tls: TlsFiles = NO_FILES) -> None:
        self._url = _as(url, device, password)
        self._device = device
        self._clock = clock
        self._tls = tls
        self._boot = clock.now_ms()
        self._client: aiomqtt.Client | None = None

    async def stay_connected(self) -> None:
        """Until cancelled."""
        was_refused = False
        while True:
            try:
                async with client_to(self._url, self._tls, timeout_s=PUBACK_S) as client:
                    await client.subscribe(topic(self._device, "cmd"), qos=1)
                    self._client, was_refused = client, False
                    async for message in client.messages:
                        await self._answer(client, message.payload)
            except (aiomqtt.MqttError, OSError) as error:
                if not was_refused:  # said once, not each second of an outage
                    log.warning("canary_not_connected", device=self._device, error=repr(error))
                was_refused = True
            finally:
                self._client = None
            await asyncio.sleep(RECONNECT_S)

    async def say(self, place: Place, at_ms: int) -> bool:
        """Where it is at this hour; whether the broker has taken it."""
        client = self._client
        if client is None:
            return False
        try:
            await client.publish(topic(self._device, "loc"), self._location(place, at_ms), qos=1)
        except aiomqtt.MqttError as error:
            log.warning("canary_not_heard", device=self._device, error=repr(error))
            return False
        return True

    def _location(self, place: Place, at_ms: int) -> bytes:
        return location(place, at_ms, self._clock.now_ms(), self._boot)

    async def _answer(self, client: aiomqtt.Client, payload: object) -> None:
        try:
            name = msgspec.json.decode(payload if isinstance(payload, bytes) else b"", type=_Command).id
        except msgspec.DecodeError:
            return  # without an id there is nothing to answer to
        now_ms = self._clock.now_ms()
        said = {"_type": "result", "id": name, "result": "done", "tst": now_ms // MS, "ms": now_ms % MS}
        await client.publish(topic(self._device, "res"), msgspec.json.encode(said), qos=1)


class _Command(msgspec.Struct, frozen=True):
    id: str


def location(place: Place, at_ms: int, sent_ms: int, boot: int) -> bytes:
    """In the words of the device protocol (docs/device-protocol.md). Its number is that of the report in time."""
    fields: dict[str, Any] = {
        "_type": "location",
        "tst": at_ms // MS,
        "ms": at_ms % MS,
        "lat": round(place.lat, 6),
        "lon": round(place.lon, 6),
        "acc": ACCURACY_M,
        "batt": 80,
        "seq": at_ms // (REPORT_S * MS),
        "boot": boot,
        "src": "gnss",
        "created_at": sent_ms // MS,
        "created_ms": sent_ms % MS,
    }
    return msgspec.json.encode(fields)


def _as(url: str, device: str, password: str) -> str:
    """The address of the broker with this unit's login in place of the service's."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(device)}:{quote(password)}@{host}"))
