"""Which parts does alerts run as? ``python -m alerts PART``, the names are those of PARTS."""

from __future__ import annotations

import secrets
from dataclasses import replace
from functools import partial
from pathlib import Path

import structlog
from pydantic import HttpUrl, SecretStr

from alerts import pulses
from alerts.api.deps import ProofDoors
from alerts.api.server import run_api
from alerts.callback import Links
from alerts.channels.form import Sender
from alerts.clerk import ClerkDoors, run_clerk
from alerts.courier import run_courier
from alerts.custodian import STATEMENT_TIMEOUT_S as CUSTODIAN_TIMEOUT_S
from alerts.custodian import run_custodian
from alerts.dispatcher import run_dispatcher
from alerts.downlink import LOOPS as DOWNLINK_LOOPS
from alerts.downlink import run_downlink
from alerts.line import Endpoint
from alerts.order_projector import run_order_projector
from alerts.recorder import LOOPS as RECORDER_LOOPS
from alerts.recorder import run_recorder
from alerts.routing import Routing
from alerts.territory import Territory
from tocsin import territory_file
from tocsin.adapters.accesses import AccessRecord
from tocsin.adapters.alarm_load import AlarmLoadRecord
from tocsin.adapters.commands import CommandRecord
from tocsin.adapters.episodes import EpisodeRecord
from tocsin.adapters.evidence import STATEMENT_TIMEOUT_S
from tocsin.adapters.figures import FiguresRecord
from tocsin.adapters.jetstream import open_bus
from tocsin.adapters.late_links import link_late
from tocsin.adapters.orders import Orders
from tocsin.adapters.packager import PackagedEvidence, installed
from tocsin.adapters.postgres import RECORDER as RECORDER_ROLE
from tocsin.adapters.postgres import Pool, open_pool
from tocsin.adapters.trail import Trail
from tocsin.clock import Clock
from tocsin.embedded import hash_password
from tocsin.limits import EVIDENCE_AT_ONCE
from tocsin.model.episode import Channel, Realm
from tocsin.model.pulse import CUSTODIAN, DOWNLINK, PROJECTOR, RECORDER
from tocsin.model.room import DEFAULT_ROOM, SECOND
from tocsin.pulsing import Pulsing
from tocsin.reach import reach_of
from tocsin.service import Ready, run_part
from tocsin.settings import Settings, WebhookTls
from tocsin.telemetry import RULINGS

LAB_TERRITORY = Path(__file__).parent / "data" / "lab.territory"

log = structlog.get_logger()


async def dispatcher(settings: Settings, ready: Ready) -> None:
    routing = Routing(
        territory=_territory(settings),
        margin_m=settings.border_margin_m,
        addressed=frozenset(settings.police_rooms),
        lookup_failed=_lookup_failed,
    )
    async with open_bus(settings.required("nats_url"), "alerts.dispatcher") as bus:
        await run_dispatcher(
            log_=bus.log,
            clock=settings.clock,
            realm=settings.realm,
            ready=ready,
            devices=bus.devices,
            routing=routing,
            call_key=_call_key(settings),
            protocol=settings.protocol,
            standings=bus.standings,
            passed_ms=settings.clock.passed_ms,
        )


def _call_key(settings: Settings) -> bytes:
    """Without a secret that is set, one for this life: what was ruled is on the log, and is not drawn again."""
    secret = settings.call_secret
    return secrets.token_bytes(32) if secret is None else secret.get_secret_value().encode()


def _territory(settings: Settings) -> Territory | None:
    """Never a reason not to start: with a map that cannot be used everything goes to the default recipient.
    ``tocsin up`` says the same to whoever starts it; this may be a restart in the middle of the night."""
    path = settings.territory or (LAB_TERRITORY if settings.realm is Realm.LAB else None)
    if path is None:
        if settings.police_url is not None:
            log.warning("no_territory", effect="the default recipient of the police is told of every place")
        return None
    try:
        territory = Territory(territory_file.read(path))
    except Exception as error:  # of any kind: an alert does not wait for a map
        effect = "the default recipient is told of every place"
        log.critical("territory_unreadable", reason=str(error), effect=effect, exc_info=True)
        return None
    log.info("territory", path=str(path), communes=len(territory))
    if unknown := sorted(settings.police_rooms.keys() - set(territory.rooms)):
        log.warning("police_rooms_unknown", rooms=unknown, effect="nothing is ever told to them: mistyped?")
    return territory


def _lookup_failed(kind: str) -> None:
    RULINGS.labels(reason="lookup_failed").inc()
    log.critical("lookup_failed", error=kind, effect="the default recipient was told of the place")


async def courier(settings: Settings, ready: Ready) -> None:
    recipients = recipients_of(settings)
    sender = _sender(settings)
    async with open_bus(settings.required("nats_url"), "alerts.courier") as bus:
        await run_courier(
            log_=bus.log,
            clock=settings.clock,
            realm=settings.realm,
            sender=sender,
            recipients=recipients,
            ready=ready,
            canaries=canary_endpoints(settings),
        )


def _sender(settings: Settings) -> Sender:
    """Without a secret for them notifications carry no link to answer."""
    sender = Sender(site=settings.site, callback=settings.callback_number)
    if settings.callback_secret is None:
        return sender
    secret = settings.callback_secret.get_secret_value().encode()
    return replace(sender, callback_url=Links(public_url=str(settings.api_public_url), secret=secret))


def recipients_of(settings: Settings) -> dict[Channel, dict[str, Endpoint]]:
    """Who is reached where, by the name of the room; nobody where nothing is set."""
    return {
        Channel.TELEASSISTANCE: {
            **_recipient(settings, "teleassistance", DEFAULT_ROOM),
            **_recipient(settings, "teleassistance_second", SECOND),
        },
        Channel.POLICE: {
            **_recipient(settings, "police", DEFAULT_ROOM),
            **{
                room: _endpoint(settings, room, one.url, one.secret) for room, one in settings.police_rooms.items()
            },
        },
        Channel.OPERATIONS: _recipient(settings, "operations", DEFAULT_ROOM),
    }


def canary_endpoints(settings: Settings) -> dict[Channel, Endpoint]:
    """The test receiver's address for each form that people read; none where none is set."""
    url, secret = settings.canary_url, settings.canary_secret
    if url is None or secret is None:
        return {}
    return {
        channel: Endpoint(url=f"{str(url).rstrip('/')}/{channel.value}", secret=secret.get_secret_value())
        for channel in (Channel.TELEASSISTANCE, Channel.POLICE)
    }


def _recipient(settings: Settings, name: str, room: str) -> dict[str, Endpoint]:
    url, secret = getattr(settings, f"{name}_url"), getattr(settings, f"{name}_secret")
    return {} if url is None or secret is None else {room: _endpoint(settings, name, url, secret)}


def _endpoint(settings: Settings, name: str, url: HttpUrl, secret: SecretStr) -> Endpoint:
    return Endpoint(
        url=str(url),
        secret=secret.get_secret_value(),
        tls=settings.webhook_tls.get(name, WebhookTls()).files,
        reach=reach_of(settings.webhook_networks, is_lab=settings.realm is Realm.LAB),
    )


async def downlink(settings: Settings, ready: Ready) -> None:
    async with open_bus(settings.required("nats_url"), "alerts.downlink") as bus:
        await run_downlink(
            url=settings.required("mqtt_url"),
            tls=settings.mqtt_tls,
            log_=bus.log,
            devices=bus.devices,
            orders=bus.orders,
            partitions=settings.partitions,
            clock=settings.clock,
            ready=ready,
            rounds=Pulsing(bus.tallies, DOWNLINK, settings.clock, DOWNLINK_LOOPS),
        )


async def recorder(settings: Settings, ready: Ready) -> None:
    async with (
        open_bus(settings.required("nats_url"), "alerts.recorder") as bus,
        open_pool(settings.required("database_url"), role=RECORDER_ROLE) as pool,
    ):
        await run_recorder(
            log=bus.log,
            record=EpisodeRecord(pool, clock=settings.clock),
            accesses=AccessRecord(pool, clock=settings.clock),
            commands=CommandRecord(pool, clock=settings.clock),
            ready=ready,
            link_late=partial(link_late, pool, settings.clock),
            rounds=Pulsing(bus.tallies, RECORDER, settings.clock, RECORDER_LOOPS),
        )


async def projector(settings: Settings, ready: Ready) -> None:
    async with (
        open_bus(settings.required("nats_url"), "alerts.projector") as bus,
        open_pool(settings.required("database_url")) as pool,
    ):
        await run_order_projector(
            source=Orders(pool),
            devices=bus.devices,
            orders=bus.orders,
            clock=settings.clock,
            ready=ready,
            rounds=Pulsing(bus.tallies, PROJECTOR, settings.clock),
        )


async def clerk(settings: Settings, ready: Ready) -> None:
    async with open_bus(settings.required("nats_url"), "alerts.clerk") as bus:
        doors = ClerkDoors(
            log=bus.log,
            devices=bus.devices,
            orders=bus.orders,
            standings=bus.standings,
            signs=bus.signs,
            tallies=bus.tallies,
            watched=(pulses.AUDITOR, *([pulses.CANARY] if settings.canary_expected else []), *pulses.PARTS),
        )
        await run_clerk(doors, clock=settings.clock, ready=ready)


async def api(settings: Settings, ready: Ready) -> None:
    async with (
        open_bus(settings.required("nats_url"), "alerts.api") as bus,
        open_pool(settings.required("database_url")) as pool,
        open_pool(
            settings.required("database_url"), max_size=EVIDENCE_AT_ONCE, statement_timeout_s=STATEMENT_TIMEOUT_S
        ) as proofs,
    ):
        await run_api(
            log=bus.log,
            standings=bus.standings,
            incidents=bus.incidents,
            episodes=EpisodeRecord(pool),
            orders=Orders(pool),
            alarm_load=AlarmLoadRecord(pool),
            figures=FiguresRecord(pool),
            proof=proof_doors(pool, proofs, settings.clock),
            settings=settings,
            clock=settings.clock,
            hash_password=hash_password,
            ready=lambda _port: ready(),
        )


def proof_doors(pool: Pool, proofs: Pool, clock: Clock) -> ProofDoors:
    """Who reads for long does so on connections of his own: those who handle alerts never wait for him."""
    return ProofDoors(
        packages=PackagedEvidence(proofs, installed()),
        trail=Trail(proofs),
        sealed=AccessRecord(pool, clock=clock),
    )


async def custodian(settings: Settings, ready: Ready) -> None:
    async with (
        open_bus(settings.required("nats_url"), "alerts.custodian") as bus,
        open_pool(settings.required("database_url"), statement_timeout_s=CUSTODIAN_TIMEOUT_S) as pool,
    ):
        clock = settings.clock
        rounds = Pulsing(bus.tallies, CUSTODIAN, clock)
        await run_custodian(log=bus.log, pool=pool, terms=settings.terms, clock=clock, ready=ready, rounds=rounds)


PARTS = {
    "dispatcher": dispatcher,
    "courier": courier,
    "downlink": downlink,
    "recorder": recorder,
    "projector": projector,
    "clerk": clerk,
    "api": api,
    "custodian": custodian,
}

if __name__ == "__main__":
    run_part("alerts", PARTS)
