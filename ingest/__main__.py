"""Which parts does ingest run as? ``python -m ingest fixes | alarms-1 | alarms-2 | archivist``."""

from __future__ import annotations

import asyncio

from ingest.archivist import LANES, run_archivist
from ingest.housekeeper import STATEMENT_TIMEOUT_S, Plan, run_housekeeper
from ingest.known import Known
from ingest.listener import run_alarms, run_fixes
from ingest.mqtt import session_secret
from tocsin.adapters.fixes import FixArchive
from tocsin.adapters.jetstream import open_bus
from tocsin.adapters.postgres import open_pool
from tocsin.model.pulse import ARCHIVIST, HOUSEKEEPER
from tocsin.pulsing import Pulsing
from tocsin.service import Part, Ready, run_part
from tocsin.settings import Settings


def _known(settings: Settings) -> Known:
    return Known(partitions=settings.partitions, late_after_s=settings.late_after_s)


async def fixes(settings: Settings, ready: Ready) -> None:
    url = settings.required("mqtt_url")
    secret = session_secret(url, settings.data_dir)
    async with open_bus(settings.required("nats_url"), "ingest.fixes") as bus:
        await run_fixes(
            url=url,
            log=bus.log,
            devices=bus.devices,
            signs=bus.signs,
            known=_known(settings),
            clock=settings.clock,
            linger_ms=settings.batch_linger_ms,
            ready=ready,
            tls=settings.mqtt_tls,
            secret=secret,
            tallies=bus.tallies,
        )


def alarms(reader: int) -> Part:
    async def part(settings: Settings, ready: Ready) -> None:
        url = settings.required("mqtt_url")
        secret = session_secret(url, settings.data_dir)
        async with open_bus(settings.required("nats_url"), f"ingest.alarms-{reader}") as bus:
            await run_alarms(
                url=url,
                reader=reader,
                log=bus.log,
                devices=bus.devices,
                known=_known(settings),
                clock=settings.clock,
                ready=ready,
                tls=settings.mqtt_tls,
                secret=secret,
                tallies=bus.tallies,
            )

    return part


async def archivist(settings: Settings, ready: Ready) -> None:
    dsn = settings.required("database_url")
    async with (
        open_bus(settings.required("nats_url"), "ingest.archivist") as bus,
        open_pool(dsn) as pool,
        open_pool(dsn, max_size=1, statement_timeout_s=STATEMENT_TIMEOUT_S) as patient,
        asyncio.TaskGroup() as parts,
    ):
        clock = settings.clock
        keeps_house = Pulsing(bus.tallies, HOUSEKEEPER, clock)
        parts.create_task(run_housekeeper(pool=patient, plan=_plan(settings), clock=clock, rounds=keeps_house))
        parts.create_task(
            run_archivist(
                log=bus.log,
                archive=FixArchive(pool),
                ready=ready,
                tallies=bus.tallies,
                clock=clock,
                rounds=Pulsing(bus.tallies, ARCHIVIST, clock, LANES),
            )
        )


def _plan(settings: Settings) -> Plan:
    return Plan(
        kept_days=settings.fixes_kept_days,
        compact_after_days=settings.fixes_compact_after_days,
        own_jobs=not settings.clock_moved,
    )


PARTS = {"fixes": fixes, "alarms-1": alarms(1), "alarms-2": alarms(2), "archivist": archivist}

if __name__ == "__main__":
    run_part("ingest", PARTS)
