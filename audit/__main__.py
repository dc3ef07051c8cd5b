"""Which parts does audit run as? ``python -m audit PART``, the names are those of PARTS."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final

import httpx2
import structlog

from audit.auditor import AuditDoors, Laws, run_auditor
from audit.canary import Doors, run_canary
from audit.laws.answered import Answered
from audit.laws.clerk import Clerk
from audit.laws.endpoints import Endpoints
from audit.laws.sent import Sent
from audit.listening import Broker, Listening
from audit.listening import Doors as ListeningDoors
from audit.notary import outside_of, run_notary
from audit.page import Pager
from audit.recall import Recall
from audit.spokesman import Spokesman
from audit.track import Tracks
from audit.warding import Warding
from audit.witness import QUEUE, TRACKS_QUEUE, run_witness
from tocsin.adapters.fixes import FixArchive
from tocsin.adapters.heads import Heads
from tocsin.adapters.jetstream import open_bus
from tocsin.adapters.orders import Orders
from tocsin.adapters.postgres import open_pool
from tocsin.adapters.seals import Seals
from tocsin.errors import SettingError
from tocsin.limits import WEBHOOK_TIMEOUT_S
from tocsin.model.episode import Channel, Realm
from tocsin.model.pulse import NOTARY, WITNESS
from tocsin.model.room import DEFAULT_ROOM, SECOND
from tocsin.mqtt import NO_FILES
from tocsin.pulsing import Pulsing
from tocsin.reach import reach_of
from tocsin.service import Ready, run_part
from tocsin.settings import PREFIX, Settings, WebhookTls
from tocsin.tls import TlsFiles

log = structlog.get_logger()


async def canary(settings: Settings, ready: Ready) -> None:
    if settings.canary_url is None or settings.canary_secret is None:
        raise SettingError(f"{PREFIX}CANARY_URL, {PREFIX}CANARY_SECRET: missing; `tocsin up` sets them")
    async with (
        open_bus(settings.required("nats_url"), "audit.canary") as bus,
        open_pool(settings.required("database_url")) as pool,
    ):
        token = settings.canary_api_token
        doors = Doors(
            log=bus.log,
            tallies=bus.tallies,
            orders=Orders(pool),
            mqtt_url=settings.required("mqtt_url"),
            tls_of=lambda unit: _tls_of(settings, unit),
            partitions=settings.partitions,
            url=str(settings.canary_url),
            secret=settings.canary_secret.get_secret_value(),
            api_url=str(settings.canary_api_url or f"http://{settings.api_host}:{settings.api_port}"),
            api_token=None if token is None else token.get_secret_value(),
        )
        await run_canary(doors, clock=settings.clock, ready=ready)


def _tls_of(settings: Settings, unit: str) -> TlsFiles:
    """Whom a unit trusts; and where the broker knows units by certificates, its own."""
    if not (settings.mqtt_url or "").lower().startswith("mqtts://"):
        return NO_FILES
    folder = settings.canary_cert_dir
    if folder is None:
        return TlsFiles(ca=settings.mqtt_ca_file)
    return TlsFiles(ca=settings.mqtt_ca_file, cert=folder / f"{unit}.crt", key=folder / f"{unit}.key")


async def witness(settings: Settings, ready: Ready) -> None:
    """Both tasks of the witness are ready together."""
    started = asyncio.Event()
    async with (
        open_bus(settings.required("nats_url"), "audit.witness") as bus,
        open_pool(settings.required("database_url")) as pool,
        asyncio.TaskGroup() as tasks,
    ):
        clock, seals = settings.clock, Seals(pool)
        recall = Recall(bus.log, bus.snapshots, partitions=settings.partitions, clock=clock)
        tracks = Tracks(
            log=bus.log,
            devices=bus.devices,
            orders=bus.orders,
            archive=FixArchive(pool),
            recall=recall,
            seals=seals,
            clock=clock,
        )
        notary = Pulsing(bus.tallies, NOTARY, clock)
        tasks.create_task(run_notary(Heads(pool), outside_of(settings), bus.log, clock, started.set, notary))
        await started.wait()
        tasks.create_task(
            run_witness(
                log_=bus.log,
                recall=recall,
                seals=seals,
                tracks=tracks,
                clock=clock,
                ready=ready,
                rounds=Pulsing(bus.tallies, WITNESS, clock, (QUEUE, TRACKS_QUEUE)),
            )
        )


async def auditor(settings: Settings, ready: Ready) -> None:
    """Its laws, the ear and the law of conservation beside them, and the warden: ready when all of them are."""
    url, clock = settings.ear_mqtt_url, settings.clock
    if url is None:
        log.warning("no_ear", mend=f"{PREFIX}EAR_MQTT_URL")
    broker = None if url is None else Broker(url=url, tls=settings.ear_mqtt_tls, share=settings.audit_share)
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(open_bus(settings.required("nats_url"), "audit.auditor"))
        pool = await stack.enter_async_context(open_pool(settings.required("database_url"), max_size=1))
        pager = await _pager(settings, stack)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        doors = ListeningDoors(log=bus.log, devices=bus.devices, tallies=bus.tallies)
        listening = Listening(doors, broker, clock, settings.clock_rate)
        warding = Warding(
            log=bus.log,
            tallies=bus.tallies,
            pool=pool,
            clock=clock,
            folder=settings.data_dir,
            clock_moved=settings.clock_moved,
            partitions=settings.partitions,
        )
        endpoints = endpoints_of(settings)
        tell_of_nobody(endpoints)
        all_ready = _when_all(3, ready)
        tasks.create_task(listening.run(all_ready))
        tasks.create_task(warding.run(all_ready))
        await run_auditor(
            AuditDoors(log=bus.log, devices=bus.devices, orders=bus.orders, tallies=bus.tallies),
            laws=Laws(
                sent=Sent(endpoints=endpoints, since_ms=clock.now_ms()),
                answered=Answered(settings.police_mode, settings.clock_rate),
                clerk=Clerk(settings.clock_rate),
                others=(listening.ear, listening.conservation, warding),
            ),
            spokesman=Spokesman(log_=bus.log, clock=clock, pager=pager, site=settings.site, realm=settings.realm),
            clock=clock,
            ready=all_ready,
        )


def endpoints_of(settings: Settings) -> Endpoints:
    """Who is there to be told, by the settings of this deployment; the same that the courier reads for itself."""
    named = {
        Channel.TELEASSISTANCE: {
            DEFAULT_ROOM: settings.teleassistance_url,
            SECOND: settings.teleassistance_second_url,
        },
        Channel.POLICE: {
            DEFAULT_ROOM: settings.police_url,
            **{room: one.url for room, one in settings.police_rooms.items()},
        },
        Channel.OPERATIONS: {DEFAULT_ROOM: settings.operations_url},
    }
    return {
        channel: frozenset(room for room, url in rooms.items() if url is not None)
        for channel, rooms in named.items()
    }


NEEDED: Final = {
    Channel.TELEASSISTANCE: f"{PREFIX}TELEASSISTANCE_URL",
    Channel.POLICE: f"{PREFIX}POLICE_URL",
    Channel.OPERATIONS: f"{PREFIX}OPERATIONS_URL",
}


def tell_of_nobody(endpoints: Endpoints) -> None:
    """The law ``sent`` believes that nobody is there to be told where these are not set here too."""
    for channel, setting in NEEDED.items():
        if not endpoints.get(channel):
            effect = "that nobody is there to be told is believed"
            log.warning("no_endpoints_known", channel=channel.value, mend=setting, effect=effect)


def _when_all(number: int, ready: Ready) -> Ready:
    """``ready`` is called when so many have said it, each once."""
    waiting = iter(range(number - 1, -1, -1))

    def one() -> None:
        if next(waiting) == 0:
            ready()

    return one


async def _pager(settings: Settings, stack: AsyncExitStack) -> Pager:
    """Certificates that cannot be read keep the auditor from paging, and from nothing else."""
    url, secret = settings.operations_url, settings.operations_secret
    if url is None or secret is None:
        log.warning("nobody_is_paged", effect="what does not agree is a notice and a line in the log")
        return Pager(url=None, http=None, clock=settings.clock)
    http: httpx2.AsyncClient | None = None
    try:
        tls = settings.webhook_tls.get("operations", WebhookTls()).files
        trusted = tls.context() if any((tls.ca, tls.cert, tls.key)) else httpx2.create_ssl_context(trust_env=False)
    except OSError as error:
        log.critical("certificates_unusable", reason=str(error), effect="no page leaves")
    else:
        http = httpx2.AsyncClient(verify=trusted, timeout=WEBHOOK_TIMEOUT_S, trust_env=False)
        await stack.enter_async_context(http)
    reach = reach_of(settings.webhook_networks, is_lab=settings.realm is Realm.LAB)
    return Pager(url=str(url), secret=secret.get_secret_value(), http=http, clock=settings.clock, reach=reach)


PARTS: dict[str, Callable[[Settings, Ready], Awaitable[None]]] = {
    "auditor": auditor,
    "canary": canary,
    "witness": witness,
}

if __name__ == "__main__":
    run_part("audit", PARTS)
