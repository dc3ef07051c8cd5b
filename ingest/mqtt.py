"""How does ingest take messages from the broker so that none is lost? aiomqtt, acknowledged by hand.

A persistent session (the broker keeps what arrives while we are away) and **manual acknowledgement**: PUBACK
goes out only when ``acknowledge`` is called, after the log has the message (ARCHITECTURE, A1). aiomqtt 2.5.1
has no public door to that; its paho client has, and this is the only file that goes through it.

The client id is derived from a secret (the login's password, else one kept in the data folder): a broker keeps
sessions by client id, and a device that could guess ours could take the session over (ADR 3, ADR 17). Not from the
private key: a key is renewed, and the presses that wait under the old name would be met by nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import aiomqtt
import structlog
from paho.mqtt.reasoncodes import ReasonCode

from ingest.admission import Message
from tocsin import subjects
from tocsin.clock import Clock
from tocsin.errors import SettingError
from tocsin.limits import PAYLOAD_MAX_BYTES
from tocsin.mqtt import NO_FILES, client_to, password_in
from tocsin.telemetry import PHONES_NOT_HEARD
from tocsin.tls import TlsFiles

RECONNECT_S = 0.5
ADMISSIBLE_QOS = 1
NAMED_BY_FILE = "session.secret"
SECRET_MIN_CHARS = 32
REFUSED = 0x80  # SUBACK of MQTT 3.1.1: 0, 1, 2 or this

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Taken:
    """A message and what is needed to acknowledge it on the connection that brought it."""

    message: Message
    mid: int
    qos: int
    retained: bool


class MqttSession(AbstractAsyncContextManager["MqttSession"]):
    """One persistent session: subscribe, take, acknowledge, answer.

    ``role`` names the session; two processes with different roles each get every message. ``tls``: who signs for
    the broker of an ``mqtts`` address, and our certificate for it. ``secret`` names the session where the address
    has no password; one of them there must be.
    """

    def __init__(
        self,
        url: str,
        role: str,
        topics: Sequence[str],
        clock: Clock,
        tls: TlsFiles = NO_FILES,
        secret: str = "",
    ) -> None:
        self._url = url
        self._role = role
        self._topics = topics
        self._clock = clock
        self._tls = tls
        self._name = client_id(role, password_in(url) or secret)
        self._client: aiomqtt.Client | None = None

    async def __aenter__(self) -> Self:
        client = client_to(self._url, self._tls, session=self._name)
        client._client.manual_ack_set(True)  # noqa: SLF001  (see the module's docstring)
        await client.__aenter__()
        try:
            for topic in self._topics:
                self._hear(topic, await client.subscribe(topic, qos=ADMISSIBLE_QOS))
        except BaseException:
            await client.__aexit__(None, None, None)
            raise
        self._client = client
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.__aexit__(kind, error, trace)

    def _hear(self, topic: str, codes: Sequence[int] | Sequence[ReasonCode]) -> None:
        """Raises MqttError; not for phones: an access list older than they are must not cost the bracelets."""
        try:
            _granted(topic, codes)
        except aiomqtt.MqttError:
            if not topic.startswith(f"{subjects.PHONE_ROOT}/"):
                raise
            PHONES_NOT_HEARD.labels(session=self._role).inc()
            log.critical("phones_not_heard", session=self._role, topic=topic, mend="the broker's access list")

    async def messages(self) -> AsyncIterator[Taken]:
        """Messages in the order of the broker, stamped with our clock at receipt (t3). Raises MqttError."""
        assert self._client is not None
        async for message in self._client.messages:
            payload = message.payload if isinstance(message.payload, bytes) else b""
            some = payload[: PAYLOAD_MAX_BYTES + 1]  # too large is refused: ten thousand such must not be held
            yield Taken(
                message=Message(topic=message.topic.value, payload=some, t3_ms=self._clock.now_ms()),
                mid=message.mid,
                qos=message.qos,
                retained=message.retain,
            )

    def acknowledge(self, taken: Taken) -> None:
        """PUBACK. On a connection that has ended this does nothing: the broker redelivers."""
        assert self._client is not None
        if taken.qos > 0:
            self._client._client.ack(taken.mid, taken.qos)  # noqa: SLF001

    async def answer(self, topic: str, payload: bytes) -> None:
        """Tell a device something, without waiting for it to have heard. Raises MqttError."""
        assert self._client is not None
        await self._client.publish(topic, payload, qos=0)


def _granted(topic: str, codes: Sequence[int] | Sequence[ReasonCode]) -> None:
    """A refused subscription is silence that looks like peace: raise MqttError."""
    if any(code.is_failure if isinstance(code, ReasonCode) else code >= REFUSED for code in codes):
        raise aiomqtt.MqttError(f"the broker refuses {topic}")


def session_secret(url: str, data_dir: Path) -> str:
    """The password of the address, else a secret made once in ``data_dir``. Raises SettingError."""
    password = password_in(url)
    if password:
        return password
    file = data_dir / NAMED_BY_FILE
    try:
        if not file.exists():
            _make_secret(file)
        secret = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(
            f"TOCSIN_DATA_DIR: {file} names the sessions of ingest: {type(error).__name__}"
        ) from None
    if len(secret) < SECRET_MIN_CHARS:
        raise SettingError(f"TOCSIN_DATA_DIR: {file} is too short to be the secret that Tocsin wrote there")
    return secret


def _make_secret(file: Path) -> None:
    """Whole or not at all, and never over another: three parts start at once and must read the same."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=f"{file.name}.") as draft:  # 0600
        draft.write(secrets.token_urlsafe(SECRET_MIN_CHARS))
        draft.flush()
        os.fsync(draft.fileno())
        with contextlib.suppress(FileExistsError):  # another part was first: its secret is ours
            Path(file).hardlink_to(draft.name)


def client_id(role: str, secret: str) -> str:
    """The same at each start, and not to be guessed. Raises ValueError: without a secret it could be."""
    if not secret:
        raise ValueError("a session of ingest needs a secret")
    return f"tocsin-{role}-{hmac.digest(secret.encode(), role.encode(), 'sha256').hex()[:16]}"


async def sessions(
    url: str, role: str, topics: Sequence[str], clock: Clock, tls: TlsFiles = NO_FILES, secret: str = ""
) -> AsyncIterator[MqttSession]:
    """One open session after another, for as long as the caller lives: a broker that was restarted is met again.

    The caller uses each until it raises MqttError and then asks for the next.
    """
    while True:
        session = MqttSession(url, role, topics, clock, tls, secret)
        try:
            await session.__aenter__()
        except aiomqtt.MqttError as error:
            log.warning("broker_not_met", session=role, error=str(error))
            await asyncio.sleep(RECONNECT_S)
            continue
        try:
            yield session
        finally:
            try:
                await session.__aexit__(None, None, None)
            except aiomqtt.MqttError:
                await asyncio.sleep(RECONNECT_S)
