"""How does a whole Tocsin come up on one machine? Servers first, then the record's schema, then the parts.

A server whose address is set (``TOCSIN_MQTT_URL``, ``TOCSIN_NATS_URL``, ``TOCSIN_DATABASE_URL``) is used as it is;
only what is missing is started, beside an outside MQTT broker the embedded one for its log alone. The parts are
processes of their own: one that dies takes nothing with it and is back within a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import secrets
import shutil
import socket
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import structlog
from pydantic import HttpUrl, SecretStr

from tocsin import territory_file
from tocsin.adapters.jetstream import open_bus
from tocsin.adapters.migrate import migrate
from tocsin.embedded import DeviceLogin, EmbeddedBroker, EmbeddedPostgres, EmbeddedServerError
from tocsin.embedded.broker import PORTS_FILE, ports_remembered
from tocsin.embedded.child import write_private
from tocsin.embedded.database import running_dsn
from tocsin.errors import RecordUnavailable, SettingError, WireError
from tocsin.loopback import LOOPBACK, free_port
from tocsin.model.episode import Realm
from tocsin.ports import Bucket
from tocsin.settings import OTHER_SECRETS, PREFIX, WEBHOOKS, ApiUser, Settings
from tocsin.supervisor import PartEvent, PartSpec, Supervisor, child_environment
from tocsin.wire import decode_device

ADMIT_QUIET_S: Final = 0.05  # devices registered together are let in together
SERVER_RESTART_S: Final = 0.2
TABLES_FIRST_S: Final = 10.0  # new tables take one
NEED_THE_RECORD: Final = frozenset({"projector"})
"""Parts that are not ready without the record. The others do what they can, and are waited for."""
SECRETS_FILE: Final = "secrets.json"
CANARY: Final = "canary"

PARTS: Final = (
    PartSpec(name="projector", words=("alerts", "projector")),
    PartSpec(name="archivist", words=("ingest", "archivist")),
    PartSpec(name="recorder", words=("alerts", "recorder")),
    PartSpec(name="courier", words=("alerts", "courier")),
    PartSpec(name="downlink", words=("alerts", "downlink")),
    PartSpec(name="dispatcher", words=("alerts", "dispatcher")),
    PartSpec(name="clerk", words=("alerts", "clerk")),
    PartSpec(name="custodian", words=("alerts", "custodian")),
    PartSpec(name="auditor", words=("audit", "auditor")),
    PartSpec(name="retrospect", words=("geofence", "retrospect")),
    PartSpec(name="geofence", words=("geofence", "worker")),
    PartSpec(name="fleet", words=("geofence", "fleet")),
    PartSpec(name="alarms-1", words=("ingest", "alarms-1")),
    PartSpec(name="alarms-2", words=("ingest", "alarms-2")),
    PartSpec(name="fixes", words=("ingest", "fixes")),
    PartSpec(name="api", words=("alerts", "api")),
    PartSpec(name=CANARY, words=("audit", CANARY)),
    PartSpec(name="witness", words=("audit", "witness")),
)
"""In the order of the start: whoever reads is there before whoever writes."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where everything answers; the first three carry their logins."""

    mqtt_url: str
    nats_url: str
    database_url: str
    fleet_mqtt_url: str | None
    api_url: str
    ear_mqtt_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A running Tocsin."""

    addresses: Addresses
    supervisor: Supervisor


class Server(Protocol):
    """What the two embedded servers have in common."""

    async def wait(self) -> int: ...


Tell = Callable[[PartEvent], None]


@contextlib.asynccontextmanager
async def running(settings: Settings, *, tell: Tell, only: frozenset[str] | None = None) -> AsyncIterator[Stack]:
    """Everything up and ready, for as long as the body runs; then everything stopped, servers last.

    ``only``: the names of the parts to start, all when None. Raises SettingError, EmbeddedServerError.
    """
    _look_at_territory(settings, tell)
    _look_at_certificates(settings, tell)
    home = settings.data_dir.resolve()
    parts = [part for part in PARTS if only is None or part.name in only]
    if not settings.canary_expected:
        parts = [part for part in parts if part.name != CANARY]
    if "api" in {part.name for part in parts}:
        _check_api_address(settings.api_host, settings.api_port)
    try:
        home.mkdir(mode=0o711, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(f"{PREFIX}DATA_DIR: {error}") from None
    async with contextlib.AsyncExitStack() as cleaning:
        addresses = await _servers(settings, home, cleaning, tell)
        recorded = await cleaning.enter_async_context(_tables(addresses.database_url, tell))
        logs, metrics = home / "log", home / "metrics"
        shutil.rmtree(metrics, ignore_errors=True)
        for folder in (logs, metrics):
            folder.mkdir(exist_ok=True)
        equipped = _with_receiver(settings, home) if settings.canary_expected else settings
        environment = child_environment(_variables(equipped, addresses), metrics)
        supervisor = Supervisor(logs=logs, environment=environment, tell=tell)
        cleaning.push_async_callback(supervisor.stop)
        later = () if recorded.is_set() else tuple(part for part in parts if part.name in NEED_THE_RECORD)
        await cleaning.enter_async_context(_kept(*(supervisor.start(part) for part in later)))
        await asyncio.gather(*(supervisor.start(part) for part in parts if part not in later))
        yield Stack(addresses=addresses, supervisor=supervisor)


@contextlib.asynccontextmanager
async def _tables(database_url: str, tell: Tell) -> AsyncIterator[asyncio.Event]:
    """The record's tables brought up to date, and the event that they are.

    The road does not need them (A7): a record that is down, that another migrator holds, or that has a history to
    copy is waited for TABLES_FIRST_S, and then in the background. A file that is refused ends the start.
    """
    done = asyncio.Event()
    tell(PartEvent(part="schema", what="starting"))
    migrating = asyncio.create_task(_migrated(database_url, tell, done))
    try:
        await asyncio.wait({migrating}, timeout=TABLES_FIRST_S)
        if migrating.done():
            migrating.result()
        else:
            tell(PartEvent(part="schema", what="not up to date yet; alerts do not wait for it"))
            migrating.add_done_callback(_say_if_refused)
        yield done
    finally:
        migrating.cancel()
        await asyncio.wait({migrating})


def _say_if_refused(migrating: asyncio.Task[None]) -> None:
    """At once: nobody waits for it any more, and without its tables the record takes nothing."""
    if not migrating.cancelled() and (error := migrating.exception()) is not None:
        log.critical("tables_not_up_to_date", error=str(error))


async def _migrated(database_url: str, tell: Tell, done: asyncio.Event) -> None:
    said = False
    while True:
        try:
            await migrate(database_url)
            break
        except RecordUnavailable as error:
            if not said:
                tell(PartEvent(part="schema", what=f"waits: {error}"))
            said = True
            await asyncio.sleep(SERVER_RESTART_S)
    done.set()
    if said:
        tell(PartEvent(part="schema", what="ready"))


def _check_api_address(host: str, port: int) -> None:
    """Said before anything runs: a part that cannot have its address dies again and again until it is given up.

    Raises SettingError. Somebody may still take it before the part does; then the part's own log says so.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        name = "API_PORT" if error.errno in {errno.EADDRINUSE, errno.EACCES} else "API_HOST"
        reason = error.strerror or str(error)
        raise SettingError(f"{PREFIX}{name}: the API cannot listen on {host}:{port}: {reason}") from None


def _look_at_territory(settings: Settings, tell: Tell) -> None:
    """Said here, where somebody is looking, and never a reason not to start: without a map the default recipient
    is told of every place, and a key needs none at all."""
    path = settings.territory
    if path is None:
        return
    try:
        areas = territory_file.read(path)
    except Exception as error:  # noqa: BLE001  # a map must not keep the keys from being heard
        log.critical("territory_unreadable", path=str(path), error=str(error))
        what = f"cannot be read, the default recipient of the police is told of every place: {error}"
        tell(PartEvent(part="territory", what=what))
        return
    if unknown := sorted(set(settings.police_rooms) - set(areas.rooms)):
        log.warning("police_rooms_unknown", rooms=unknown)
        what = f"has no {', '.join(unknown)}: nothing is ever told to these {PREFIX}POLICE_ROOMS"
        tell(PartEvent(part="territory", what=what))


def _look_at_certificates(settings: Settings, tell: Tell) -> None:
    """As with the map: one recipient's file is no reason to hear nobody."""
    for problem in settings.unusable_certificates():
        log.critical("certificates_unusable", problem=problem)
        tell(PartEvent(part="certificates", what=f"nothing is sent to {problem} ({PREFIX}WEBHOOK_TLS)"))


@contextlib.asynccontextmanager
async def _kept(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """This work goes on in the background for as long as the body runs; its failure is told, not hidden."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                log.error("keeper_failed", error=repr(outcome))


async def _servers(settings: Settings, home: Path, cleaning: contextlib.AsyncExitStack, tell: Tell) -> Addresses:
    mqtt_url, nats_url, fleet_url = settings.mqtt_url, settings.nats_url, None
    ear_url = settings.ear_mqtt_url
    if mqtt_url is None and nats_url is not None:
        raise SettingError(
            f"{PREFIX}MQTT_URL: missing, {PREFIX}NATS_URL is set; an outside log has no door for devices"
        )
    if nats_url is None:
        tell(PartEvent(part="broker", what="starting"))
        passwords = _broker_secrets(home)
        broker = EmbeddedBroker(
            home=home / "broker",
            service_password=passwords["service_password"],
            fleet_password=passwords["fleet_password"] if settings.realm is Realm.LAB else None,
            nats_port=settings.nats_port,
            mqtt_port=settings.mqtt_port,
            mqtt_host=str(settings.mqtt_host),
        )
        found = await broker.start()
        cleaning.push_async_callback(broker.stop)
        keeping = [_keep(broker, broker.start, "broker", tell)]
        nats_url = found.nats_url
        if mqtt_url is None:
            mqtt_url, fleet_url, ear_url = found.mqtt_url, found.fleet_mqtt_url, found.ear_mqtt_url
            keeping.append(_keep_logins(broker, nats_url))  # otherwise nobody listens there: no device is let in
        await cleaning.enter_async_context(_kept(*keeping))
        tell(PartEvent(part="broker", what="ready"))
    database_url = settings.database_url
    if database_url is None:
        tell(PartEvent(part="database", what="starting"))
        database = EmbeddedPostgres(home=home / "database", bindir=settings.pg_bindir)
        database_url = await database.start()
        cleaning.push_async_callback(database.stop)
        await cleaning.enter_async_context(_kept(_keep(database, database.start, "database", tell)))
        tell(PartEvent(part="database", what="ready"))
    assert mqtt_url is not None
    return Addresses(
        mqtt_url=mqtt_url,
        nats_url=nats_url,
        database_url=database_url,
        fleet_mqtt_url=fleet_url,
        api_url=f"http://{settings.api_host}:{settings.api_port}",
        ear_mqtt_url=ear_url,
    )


def log_address(settings: Settings) -> str:
    """The log of this deployment, for a command: the one that is set, or the embedded one of the data folder.

    Raises SettingError when none is set and no embedded one was ever started there.
    """
    if settings.nats_url is not None:
        return settings.nats_url
    home = settings.data_dir.resolve()
    port = ports_remembered(home / "broker" / PORTS_FILE).get("nats")
    try:
        password = json.loads((home / SECRETS_FILE).read_text())["service_password"]
    except (OSError, ValueError, KeyError):
        password = None
    if port is None or password is None:
        raise SettingError(f"{PREFIX}DATA_DIR: no Tocsin has run in {home}; {PREFIX}NATS_URL is not set either")
    return f"nats://tocsin:{password}@{LOOPBACK}:{port}"


@contextlib.asynccontextmanager
async def record_address(settings: Settings) -> AsyncIterator[str]:
    """The record of this deployment, for a command: the one that is set, or the embedded one of the data folder,
    which runs for as long as the body unless it runs already.

    Raises SettingError when none is set and no embedded one was ever started there; EmbeddedServerError.
    """
    if settings.database_url is not None:
        yield settings.database_url
        return
    home = settings.data_dir.resolve() / "database"
    if not home.exists():
        raise SettingError(
            f"{PREFIX}DATA_DIR: no Tocsin has run in {home.parent}; {PREFIX}DATABASE_URL is not set either"
        )
    running = running_dsn(home)
    if running is not None:
        yield running
        return
    server = EmbeddedPostgres(home=home, bindir=settings.pg_bindir)
    try:
        yield await server.start()
    finally:
        await server.stop()


def _broker_secrets(home: Path) -> dict[str, str]:
    """Made once per home, kept for its owner alone."""
    return _kept_secrets(
        home, {name: secrets.token_urlsafe(24) for name in ("service_password", "fleet_password")}
    )


def _kept_secrets(home: Path, made: Mapping[str, str]) -> dict[str, str]:
    """Those of the home, and of ``made`` what is not there yet."""
    file = home / SECRETS_FILE
    kept: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    if missing := {name: secret for name, secret in made.items() if name not in kept}:
        kept |= missing
        write_private(file, json.dumps(kept))
    return kept


def _with_receiver(settings: Settings, home: Path) -> Settings:
    """What courier, canary and API must agree about, where nobody has set it: the receiver's address and secret,
    and the account that acts on the alerts of invented pairs."""
    made = {
        "canary_secret": f"whsec_{b64encode(secrets.token_bytes(32)).decode()}",
        "canary_api_token": secrets.token_urlsafe(32),
    }
    kept = _kept_secrets(home, made)
    given: dict[str, object] = {}
    if settings.canary_url is None:
        given |= {
            "canary_url": HttpUrl(f"http://{LOOPBACK}:{free_port()}"),
            "canary_secret": SecretStr(kept["canary_secret"]),
        }
    if settings.canary_api_token is None and settings.api_auth == "token":
        token = kept["canary_api_token"]
        account = ApiUser(name="tocsin-canary", role="platform")
        given |= {"canary_api_token": SecretStr(token), "api_tokens": {**settings.api_tokens, token: account}}
    return settings.model_copy(update=given)


async def _keep(server: Server, start: Callable[[], Coroutine[Any, Any, object]], name: str, tell: Tell) -> None:
    """Start a server again whenever it ends by itself, for as long as it takes."""
    loop = asyncio.get_running_loop()

    def say(event: PartEvent) -> None:
        with contextlib.suppress(OSError):  # who listens may fail: the server is kept running all the same
            tell(event)

    while True:
        code = await server.wait()
        died = loop.time()
        say(PartEvent(part=name, what="died", exit_code=code))
        while True:
            try:
                await start()
                break
            except (EmbeddedServerError, OSError) as error:
                say(PartEvent(part=name, what=f"not back: {error}"))
                await asyncio.sleep(SERVER_RESTART_S)
        say(PartEvent(part=name, what="ready", gap_s=loop.time() - died))


async def _keep_logins(broker: EmbeddedBroker, nats_url: str) -> None:
    """Let the registered devices speak, and nobody else: the broker's users follow the bucket of devices."""
    async with open_bus(nats_url, "logins") as bus:
        await _follow_logins(broker, bus.devices)


async def _follow_logins(broker: EmbeddedBroker, devices: Bucket) -> None:
    logins: dict[str, DeviceLogin] = {}
    changed = asyncio.Event()

    async def admit() -> None:
        while True:
            await changed.wait()
            await asyncio.sleep(ADMIT_QUIET_S)
            changed.clear()
            try:
                await broker.admit(list(logins.values()))
            except (EmbeddedServerError, OSError) as error:
                log.error("logins_not_admitted", error=str(error))
                await asyncio.sleep(SERVER_RESTART_S)
                changed.set()  # again, until the broker has them all

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(admit())
        async for change in devices.watch():
            if change is None:
                continue
            if change.value is None:
                logins.pop(change.key, None)
            elif login := _login(change.key, change.value):
                logins[change.key] = login
            changed.set()


def _login(name: str, value: bytes) -> DeviceLogin | None:
    """One entry that cannot be a login costs that device its voice, and no other."""
    try:
        hashed = decode_device(value).password_bcrypt
        return DeviceLogin(device=name, password_bcrypt=hashed) if hashed else None
    except (WireError, ValueError) as error:
        log.error("login_refused", device=name, error=str(error))
        return None


def _variables(settings: Settings, addresses: Addresses) -> Mapping[str, str]:
    """The settings of the parts: ours, with every address filled in."""
    given = settings.model_dump(mode="json", exclude_unset=True)
    if settings.police_rooms:
        given["police_rooms"] = {
            room: {"url": str(endpoint.url), "secret": endpoint.secret.get_secret_value()}
            for room, endpoint in settings.police_rooms.items()
        }
    for name in (*(f"{one}_secret" for one in WEBHOOKS), *OTHER_SECRETS):
        secret = getattr(settings, name)
        if secret is not None:
            given[name] = secret.get_secret_value()
    given |= {
        "mqtt_url": addresses.mqtt_url,
        "nats_url": addresses.nats_url,
        "database_url": addresses.database_url,
        "ear_mqtt_url": addresses.ear_mqtt_url,
        "data_dir": str(settings.data_dir.resolve()),
    }
    return {
        PREFIX + name.upper(): value if isinstance(value, str) else json.dumps(value)
        for name, value in given.items()
        if value is not None
    }
