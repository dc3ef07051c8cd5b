"""How does a part of alerts speak to devices? One connection to their broker, as long as there is one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiomqtt
import structlog

from tocsin.limits import COMMAND_PUBACK_S
from tocsin.mqtt import NO_FILES, client_to
from tocsin.tls import TlsFiles

RECONNECT_S = 0.5
AT_ONCE = 10  # on their way to the broker: where aiomqtt begins to warn

log = structlog.get_logger()


class Line:
    """The connection to the broker while there is one. It only speaks: the broker keeps no session of ours."""

    def __init__(self, url: str, tls: TlsFiles = NO_FILES, name: str = "downlink") -> None:
        self._url = url
        self._tls = tls
        self._name = name
        self._client: aiomqtt.Client | None = None
        self._given_up = asyncio.Event()
        self._places = asyncio.Semaphore(AT_ONCE)

    async def stay_connected(self, ready: Callable[[], None]) -> None:
        while True:
            try:
                async with client_to(self._url, self._tls, timeout_s=COMMAND_PUBACK_S) as client:
                    self._given_up.clear()
                    self._client = client
                    ready()
                    await self._until_lost(client)
            except aiomqtt.MqttError as error:
                log.warning("broker_connection_lost", session=self._name, error=repr(error))
            finally:
                self._client = None
            await asyncio.sleep(RECONNECT_S)

    async def _until_lost(self, client: aiomqtt.Client) -> None:
        """Raises MqttError when it is. Nothing is subscribed: listening ends with the connection. A broker that
        has left an order without its PUBACK is met anew, too: a connection may be dead before TCP says so."""
        ends = [asyncio.create_task(_listen(client)), asyncio.create_task(self._given_up.wait())]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            raise aiomqtt.MqttError("no PUBACK" if self._given_up.is_set() else "connection lost")
        finally:
            self._client = None
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)

    async def publish(self, topic: str, payload: bytes) -> None:
        """Returns at the PUBACK. Raises MqttError."""
        async with self._places:
            client = self._client
            if client is None:
                raise aiomqtt.MqttError("no connection")
            try:
                await client.publish(topic, payload, qos=1)
            except aiomqtt.MqttError:
                if self._client is client:  # else the next connection is there already
                    self._client = None
                    self._given_up.set()
                raise


async def _listen(client: aiomqtt.Client) -> None:
    async for _ in client.messages:
        pass
