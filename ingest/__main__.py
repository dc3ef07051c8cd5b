"""Which parts does ingest run as? ``python -m ingest fixes | alarms-1 | alarms-2 | archivist``."""

from __future__ import annotations

from ingest.archivist import run_archivist
from ingest.known import Known
from ingest.listener import run_alarms, run_fixes
from tocsin.adapters.fixes import FixArchive
from tocsin.adapters.jetstream import open_bus
from tocsin.adapters.postgres import open_pool
from tocsin.service import Part, Ready, run_part
from tocsin.settings import Settings


def _known(settings: Settings) -> Known:
    return Known(partitions=settings.partitions, late_after_s=settings.late_after_s)


async def fixes(settings: Settings, ready: Ready) -> None:
    async with open_bus(settings.required("nats_url"), "ingest.fixes") as bus:
        await run_fixes(
            url=settings.required("mqtt_url"),
            log=bus.log,
            devices=bus.devices,
            known=_known(settings),
            clock=settings.clock,
            linger_ms=settings.batch_linger_ms,
            ready=ready,
        )


def alarms(reader: int) -> Part:
    async def part(settings: Settings, ready: Ready) -> None:
        async with open_bus(settings.required("nats_url"), f"ingest.alarms-{reader}") as bus:
            await run_alarms(
                url=settings.required("mqtt_url"),
                reader=reader,
                log=bus.log,
                devices=bus.devices,
                known=_known(settings),
                clock=settings.clock,
                ready=ready,
            )

    return part


async def archivist(settings: Settings, ready: Ready) -> None:
    async with (
        open_bus(settings.required("nats_url"), "ingest.archivist") as bus,
        open_pool(settings.required("database_url")) as pool,
    ):
        await run_archivist(log=bus.log, archive=FixArchive(pool), clock=settings.clock, ready=ready)


PARTS = {"fixes": fixes, "alarms-1": alarms(1), "alarms-2": alarms(2), "archivist": archivist}

if __name__ == "__main__":
    run_part("ingest", PARTS)
