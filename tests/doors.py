"""The two brokers as a device and as ingest meet them: one set of words, so that both sit the same examination.

``NatsDoor`` is the embedded broker. ``MosquittoDoor`` is Debian's, from the configuration, access list and
certificate script that we ship; only paths, ports and addresses are replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiomqtt
import pytest
from builders import eventually
from mosquitto_db import held_for
from real_broker import SERVICE_PASSWORD

from tocsin.embedded import DeviceLogin, EmbeddedBroker, hash_password
from tocsin.embedded.child import Child
from tocsin.loopback import free_ports
from tocsin.tls import TlsFiles

SHIPPED = Path(__file__).parents[1] / "deploy" / "mosquitto"
DEVICE_PASSWORD = "d" * 32
SESSIONS_SECRET = "names-the-sessions-and-opens-nothing"
CONNECT_S = 5.0


def mosquitto_program() -> str | None:
    """Debian puts it where only root looks."""
    return shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def skip_without_mosquitto() -> None:
    if mosquitto_program() is None:
        pytest.skip("no mosquitto here: apt-get install mosquitto")


class Door(ABC):
    """A broker that runs and can be killed. ``url`` and ``tls`` are ingest's."""

    url: str
    tls = TlsFiles()

    @abstractmethod
    async def start(self) -> None: ...

    @abstractmethod
    async def stop(self) -> None: ...

    @property
    @abstractmethod
    def pid(self) -> int: ...

    @abstractmethod
    async def kill(self) -> None:
        """``kill -9``, and gone."""

    @abstractmethod
    async def on_disk(self) -> None:
        """Until what is acknowledged now would survive that."""

    @abstractmethod
    def device(self, name: str, *, client_id: str | None = None, clean: bool = True) -> aiomqtt.Client:
        """A connection as this device says it should be."""

    @abstractmethod
    def ingest(self, client_id: str, *, clean: bool) -> aiomqtt.Client:
        """A connection as ingest, under this client id."""


class NatsDoor(Door):
    """``server``: ours to start and to kill; None where it only runs."""

    def __init__(self, url: str, server: EmbeddedBroker | None = None) -> None:
        self.url = url
        self._server = server

    @classmethod
    async def of_its_own(cls, home: Path, devices: Collection[str]) -> NatsDoor:
        """``devices`` may log in."""
        server = EmbeddedBroker(home=home, service_password=SERVICE_PASSWORD)
        await server.admit(logins(devices))
        return cls("", server)

    @property
    def server(self) -> EmbeddedBroker:
        assert self._server is not None
        return self._server

    async def start(self) -> None:
        self.url = (await self.server.start()).mqtt_url

    async def stop(self) -> None:
        await self.server.stop()

    @property
    def pid(self) -> int:
        assert self.server.pid is not None
        return self.server.pid

    async def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        await self.server.wait()

    async def on_disk(self) -> None:
        """A PUBACK says so."""

    def device(self, name: str, *, client_id: str | None = None, clean: bool = True) -> aiomqtt.Client:
        return client(self.url, client_id or name, clean=clean, username=name, password=DEVICE_PASSWORD)

    def ingest(self, client_id: str, *, clean: bool) -> aiomqtt.Client:
        return client(self.url, client_id, clean=clean, username="ingest", password=SERVICE_PASSWORD)


def logins(devices: Collection[str]) -> Iterator[DeviceLogin]:
    hashed = hash_password(DEVICE_PASSWORD)
    return (DeviceLogin(device=name, password_bcrypt=hashed) for name in devices)


@dataclass(frozen=True, slots=True)
class Papers:
    """A folder that certificates.sh keeps."""

    folder: Path

    def make(self, *words: str) -> None:
        subprocess.run([SHIPPED / "certificates.sh", self.folder, *words], check=True, capture_output=True)

    def of(self, authority: str, name: str) -> TlsFiles:
        """What its holder carries; the broker's own authority is the services'."""
        held = self.folder / authority
        return TlsFiles(ca=self.folder / "services/ca.crt", cert=held / f"{name}.crt", key=held / f"{name}.key")

    @property
    def trusting(self) -> TlsFiles:
        """Somebody without a certificate."""
        return TlsFiles(ca=self.folder / "services/ca.crt")


class MosquittoDoor(Door):
    """``home``: short, and the server's user may enter it."""

    def __init__(
        self, home: Path, devices: Collection[str], names: Collection[str] = ("localhost", "127.0.0.1")
    ) -> None:
        self.home = home
        self.home.chmod(0o711)
        self.papers = Papers(home / "papers")
        self.papers.make("new")
        self.papers.make("broker", *names)
        self.papers.make("service", "ingest")
        self.papers.make("device", *devices)
        self.devices_port, self.services_port, self.phones_port = free_ports(3)
        self.bare_url = f"mqtts://127.0.0.1:{self.services_port}"
        self.url = self.bare_url.replace("//", f"//ingest:{SESSIONS_SECRET}@")
        self.tls = self.papers.of("services", "ingest")
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    @property
    def database(self) -> Path:
        return self.home / "data" / "mosquitto.db"

    async def start(self, *, phones: bool = False) -> None:
        (self.home / "data").mkdir(exist_ok=True)
        (self.home / "mosquitto.conf").write_text(self._configuration(phones=phones))
        shutil.copy(SHIPPED / "acl", self.home / "acl")
        self.hand_over()
        program = mosquitto_program()
        assert program is not None
        self._child = await Child.spawn(
            [program, "-c", self.home / "mosquitto.conf"],
            log=self.home / "output", env=dict(os.environ), orphan_signal=signal.SIGKILL,
        )  # fmt: skip
        await eventually(self._answers)

    def _configuration(self, *, phones: bool) -> str:
        """As shipped, elsewhere. A path that is new in it and not replaced here fails the start."""
        text = (SHIPPED / "mosquitto.conf").read_text()
        if phones:
            common, mark, optional = text.partition("# --- phones")
            text = common + mark + re.sub(r"^#(?=[a-z_]+ )", "", optional, flags=re.MULTILINE)
        for shipped, here in {
            "/etc/mosquitto/tocsin/acl": f"{self.home}/acl",
            "/etc/mosquitto/tocsin/phones": f"{self.home}/phones",
            "/etc/mosquitto/tocsin/": f"{self.papers.folder}/",
            "/run/mosquitto/": f"{self.home}/",
            "/var/lib/mosquitto/": f"{self.home}/data/",
            "/var/log/mosquitto/": f"{self.home}/",
            "listener 8883\n": f"listener {self.devices_port} 127.0.0.1\n",
            "listener 8884 ": f"listener {self.services_port} ",
            "listener 8885\n": f"listener {self.phones_port} 127.0.0.1\n",
        }.items():
            text = text.replace(shipped, here)
        return text

    def hand_over(self) -> None:
        """Root's server becomes the user ``mosquitto``, who must be able to read what root wrote."""
        if os.geteuid() == 0:
            for path in (self.home, *self.home.rglob("*")):
                shutil.chown(path, "mosquitto", "mosquitto")

    def _answers(self) -> bool:
        assert self._child is not None
        assert self._child.exit_code is None, (self.home / "output").read_text() + self.log
        with contextlib.suppress(OSError):
            for port in (self.devices_port, self.services_port):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        return False

    @property
    def log(self) -> str:
        file = self.home / "mosquitto.log"
        return file.read_text() if file.exists() else ""

    async def stop(self) -> None:
        if self._child is not None:
            await self._child.end([(signal.SIGTERM, 15.0)])

    async def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        assert self._child is not None
        await self._child.wait()

    async def on_disk(self) -> None:
        """The next file that it writes by itself: as often as the configuration that we ship says."""
        before = self.written()
        await eventually(lambda: self.written() != before)

    async def held(self, mark: str) -> int:
        """Messages for the sessions of which the client id begins so; the broker writes them down when asked."""
        before = self.written()
        os.kill(self.pid, signal.SIGUSR1)
        await eventually(lambda: self.written() != before)
        return held_for(mark, self.database.read_bytes())

    def written(self) -> int | None:
        """It writes another file and renames it: another inode, never a half."""
        with contextlib.suppress(FileNotFoundError):
            return self.database.stat().st_mtime_ns
        return None

    def device(self, name: str, *, client_id: str | None = None, clean: bool = True) -> aiomqtt.Client:
        url = f"mqtts://127.0.0.1:{self.devices_port}"
        return client(url, client_id or name, clean=clean, tls=self.papers.of("devices", name))

    def ingest(self, client_id: str, *, clean: bool) -> aiomqtt.Client:
        return client(self.bare_url, client_id, clean=clean, tls=self.tls)


def client(
    url: str, name: str, *, clean: bool, tls: TlsFiles | None = None, username: str | None = None,
    password: str | None = None,
) -> aiomqtt.Client:  # fmt: skip
    return aiomqtt.Client(
        "127.0.0.1", urlsplit(url).port or 0, username=username, password=password, identifier=name,
        protocol=aiomqtt.ProtocolVersion.V311, clean_session=clean, timeout=CONNECT_S,
        tls_context=None if tls is None else tls.context(),
    )  # fmt: skip


@contextlib.asynccontextmanager
async def maybe_cut(opening: aiomqtt.Client) -> AsyncIterator[aiomqtt.Client]:
    """A connection that may already be gone when it says goodbye."""
    await opening.__aenter__()
    try:
        yield opening
    finally:
        with contextlib.suppress(aiomqtt.MqttError):
            await opening.__aexit__(None, None, None)


async def answer(port: int, said: bytes, context: ssl.SSLContext | None) -> bytes:
    """What the broker answers first; b"" when it hangs up, with or without an alert of TLS."""
    async with asyncio.timeout(CONNECT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        try:
            writer.write(said)
            return await reader.read(4)
        except (ConnectionResetError, ssl.SSLError):
            return b""
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
