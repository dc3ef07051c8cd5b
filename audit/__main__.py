"""Which parts does audit run as? ``python -m audit PART``, the names are those of PARTS."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from audit.recall import Recall
from audit.track import Tracks
from audit.witness import run_witness
from tocsin.adapters.fixes import FixArchive
from tocsin.adapters.jetstream import open_bus
from tocsin.adapters.postgres import open_pool
from tocsin.adapters.seals import Seals
from tocsin.service import Ready, run_part
from tocsin.settings import Settings


async def witness(settings: Settings, ready: Ready) -> None:
    async with (
        open_bus(settings.required("nats_url"), "audit.witness") as bus,
        open_pool(settings.required("database_url")) as pool,
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
        await run_witness(log_=bus.log, recall=recall, seals=seals, tracks=tracks, clock=clock, ready=ready)


PARTS: dict[str, Callable[[Settings, Ready], Awaitable[None]]] = {"witness": witness}

if __name__ == "__main__":
    run_part("audit", PARTS)
