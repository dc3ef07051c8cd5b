"""How does the API run inside this process? ``run_api``: bind, follow the log, serve, end well."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Generator
from typing import Final

import uvicorn

from alerts.api.accesses import Accesses
from alerts.api.app import create_app
from alerts.api.deps import CountedAlarms, Deps, OrderBook, ProofDoors, RecordedEpisodes, RecordedFigures
from alerts.api.incidents import Incidents
from alerts.api.projection import Projection
from alerts.api.standings import Standings
from alerts.ledger import Ledger
from tocsin.clock import Clock
from tocsin.ports import Bucket, Log
from tocsin.settings import Settings

DRAIN_S: Final = 3
BACKLOG: Final = 512


class _Server(uvicorn.Server):
    """uvicorn without hands on the signals: they belong to ``tocsin.service``."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


async def run_api(
    *,
    log: Log,
    standings: Bucket,
    incidents: Bucket,
    episodes: RecordedEpisodes,
    orders: OrderBook,
    alarm_load: CountedAlarms,
    figures: RecordedFigures,
    proof: ProofDoors,
    settings: Settings,
    clock: Clock,
    hash_password: Callable[[str], str],
    ready: Callable[[int], None],
) -> None:
    """Serve until cancelled. ``ready(port)`` when requests are taken and the open alerts are known; the standings
    may come later, no alert waits for them.

    Raises OSError when the address cannot be had. On cancellation every feed is told to go elsewhere and requests
    in hand are finished, within DRAIN_S.
    """
    projection, board, silences = Projection(), Standings(), Incidents()
    accesses = Accesses(log, clock)
    deps = Deps(
        log=log,
        ledger=Ledger(log, clock, settings.realm),
        projection=projection,
        standings=board,
        incidents=silences,
        episodes=episodes,
        orders=orders,
        alarm_load=alarm_load,
        figures=figures,
        proof=proof,
        accesses=accesses,
        settings=settings,
        clock=clock,
        hash_password=hash_password,
    )
    with _bound(settings.api_host, settings.api_port) as bound:
        try:
            async with asyncio.TaskGroup() as parts:
                following = [
                    parts.create_task(projection.run(log, clock)),
                    parts.create_task(board.run(standings)),
                    parts.create_task(silences.run(incidents)),
                    parts.create_task(accesses.run()),
                ]
                serving = parts.create_task(_serve(deps, bound))
                await projection.ready.wait()
                ready(bound.getsockname()[1])
                await serving
                for task in following:
                    task.cancel()
        finally:
            await accesses.finish()


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


async def _serve(deps: Deps, bound: socket.socket) -> None:
    config = uvicorn.Config(
        create_app(deps),
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_S,
    )
    server = _Server(config)
    serving = asyncio.ensure_future(server.serve(sockets=[bound]))
    try:
        await asyncio.shield(serving)
    finally:
        deps.projection.drain()
        server.should_exit = True
        await serving
