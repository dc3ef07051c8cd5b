"""Which parts does geofence run as? ``python -m geofence PART``: ``worker`` decides about now, every partition in
one process; ``retrospect`` about what late fixes show of the past; ``fleet`` watches over all of them."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from geofence import taking_up
from geofence.fleet_watch import FleetDoors, run_fleet_watch
from geofence.retrospect import run_retrospect
from geofence.worker import Doors, run_worker
from tocsin.adapters.jetstream import open_bus
from tocsin.adapters.postgres import open_pool
from tocsin.adapters.retrospect import Retrospect
from tocsin.model.pulse import FLEET, RETROSPECT
from tocsin.pulsing import Pulsing
from tocsin.service import Ready, run_part
from tocsin.settings import Settings


async def worker(settings: Settings, ready: Ready) -> None:
    async with (
        open_bus(settings.required("nats_url"), "geofence.worker") as bus,
        asyncio.TaskGroup() as tasks,
    ):
        doors = Doors(
            log=bus.log,
            devices=bus.devices,
            orders=bus.orders,
            standings=bus.standings,
            snapshots=bus.snapshots,
            tallies=bus.tallies,
        )
        waiting = set(range(settings.partitions))

        def partition_ready(partition: int) -> None:
            waiting.discard(partition)
            if not waiting:
                ready()
                taking_up.begin()

        for partition in range(settings.partitions):
            tasks.create_task(
                run_worker(
                    doors,
                    partition=partition,
                    partitions=settings.partitions,
                    clock=settings.clock,
                    life=uuid4().hex,
                    ready=lambda partition=partition: partition_ready(partition),  # type: ignore[misc]
                )
            )


async def retrospect(settings: Settings, ready: Ready) -> None:
    async with (
        open_bus(settings.required("nats_url"), "geofence.retrospect") as bus,
        open_pool(settings.required("database_url")) as pool,
    ):
        await run_retrospect(
            log=bus.log,
            record=Retrospect(pool),
            clock=settings.clock,
            partitions=settings.partitions,
            ready=ready,
            rounds=Pulsing(bus.tallies, RETROSPECT, settings.clock),
        )


async def fleet(settings: Settings, ready: Ready) -> None:
    async with open_bus(settings.required("nats_url"), "geofence.fleet") as bus:
        doors = FleetDoors(
            log=bus.log,
            devices=bus.devices,
            orders=bus.orders,
            incidents=bus.incidents,
            snapshots=bus.snapshots,
        )
        clock = settings.clock
        await run_fleet_watch(doors, clock=clock, ready=ready, rounds=Pulsing(bus.tallies, FLEET, clock))


PARTS = {"worker": worker, "retrospect": retrospect, "fleet": fleet}

if __name__ == "__main__":
    run_part("geofence", PARTS)
