"""Which parts does audit run as? ``python -m audit PART``, the names are those of PARTS."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from audit.notary import outside_of, run_notary
from tocsin.adapters.heads import Heads
from tocsin.adapters.jetstream import open_bus
from tocsin.adapters.postgres import open_pool
from tocsin.service import Ready, run_part
from tocsin.settings import Settings


async def witness(settings: Settings, ready: Ready) -> None:
    async with (
        open_bus(settings.required("nats_url"), "audit.witness") as bus,
        open_pool(settings.required("database_url"), max_size=2) as pool,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(run_notary(Heads(pool), outside_of(settings), bus.log, settings.clock, ready))


PARTS: dict[str, Callable[[Settings, Ready], Awaitable[None]]] = {"witness": witness}

if __name__ == "__main__":
    run_part("audit", PARTS)
