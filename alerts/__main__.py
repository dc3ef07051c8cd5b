"""Which parts does alerts run as? ``python -m alerts dispatcher | courier | recorder | projector | api``."""

from __future__ import annotations

from pydantic import HttpUrl, SecretStr

from alerts.api.server import run_api
from alerts.courier import Endpoint, run_courier
from alerts.dispatcher import run_dispatcher
from alerts.order_projector import run_order_projector
from alerts.recorder import run_recorder
from tocsin.adapters.episodes import EpisodeRecord
from tocsin.adapters.jetstream import open_bus
from tocsin.adapters.orders import Orders
from tocsin.adapters.postgres import open_pool
from tocsin.embedded import hash_password
from tocsin.model.episode import Channel
from tocsin.service import Ready, run_part
from tocsin.settings import Settings


async def dispatcher(settings: Settings, ready: Ready) -> None:
    async with open_bus(settings.required("nats_url"), "alerts.dispatcher") as bus:
        await run_dispatcher(log_=bus.log, clock=settings.clock, realm=settings.realm, ready=ready)


async def courier(settings: Settings, ready: Ready) -> None:
    endpoints = {
        Channel.TELEASSISTANCE: _endpoint(settings.teleassistance_url, settings.teleassistance_secret),
        Channel.POLICE: _endpoint(settings.police_url, settings.police_secret),
    }
    async with open_bus(settings.required("nats_url"), "alerts.courier") as bus:
        await run_courier(log_=bus.log, clock=settings.clock, site=settings.site, endpoints=endpoints, ready=ready)


def _endpoint(url: HttpUrl | None, secret: SecretStr | None) -> Endpoint | None:
    if url is None or secret is None:
        return None
    return Endpoint(url=str(url), secret=secret.get_secret_value())


async def recorder(settings: Settings, ready: Ready) -> None:
    async with (
        open_bus(settings.required("nats_url"), "alerts.recorder") as bus,
        open_pool(settings.required("database_url")) as pool,
    ):
        await run_recorder(log=bus.log, record=EpisodeRecord(pool), ready=ready)


async def projector(settings: Settings, ready: Ready) -> None:
    async with (
        open_bus(settings.required("nats_url"), "alerts.projector") as bus,
        open_pool(settings.required("database_url")) as pool,
    ):
        await run_order_projector(
            source=Orders(pool), devices=bus.devices, orders=bus.orders, clock=settings.clock, ready=ready
        )


async def api(settings: Settings, ready: Ready) -> None:
    async with (
        open_bus(settings.required("nats_url"), "alerts.api") as bus,
        open_pool(settings.required("database_url")) as pool,
    ):
        await run_api(
            log=bus.log,
            episodes=EpisodeRecord(pool),
            orders=Orders(pool),
            settings=settings,
            clock=settings.clock,
            hash_password=hash_password,
            ready=lambda _port: ready(),
        )


PARTS = {
    "dispatcher": dispatcher,
    "courier": courier,
    "recorder": recorder,
    "projector": projector,
    "api": api,
}

if __name__ == "__main__":
    run_part("alerts", PARTS)
