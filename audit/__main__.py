"""Which parts does audit run as? ``python -m audit PART``, the names are those of PARTS."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from audit.law import Law
from audit.listening import Broker, Doors, Listening
from audit.warding import Warding
from tocsin.adapters.jetstream import open_bus
from tocsin.adapters.postgres import open_pool
from tocsin.clock import Clock
from tocsin.service import Ready, run_part
from tocsin.settings import PREFIX, Settings

ASK_EVERY_S = 1.0

log = structlog.get_logger()


async def auditor(settings: Settings, ready: Ready) -> None:
    """The ear, the law of conservation, the warden."""
    url, clock = settings.ear_mqtt_url, settings.clock
    if url is None:
        log.warning("no_ear", mend=f"{PREFIX}EAR_MQTT_URL")
    broker = None if url is None else Broker(url=url, tls=settings.ear_mqtt_tls, share=settings.audit_share)
    async with (
        open_bus(settings.required("nats_url"), "audit.auditor") as bus,
        open_pool(settings.required("database_url"), max_size=1) as pool,
        asyncio.TaskGroup() as tasks,
    ):
        doors = Doors(log=bus.log, devices=bus.devices, tallies=bus.tallies)
        listening = Listening(doors, broker, clock, settings.clock_rate)
        warding = Warding(
            log=bus.log, tallies=bus.tallies, pool=pool, clock=clock, folder=settings.data_dir,
            clock_moved=settings.clock_moved, partitions=settings.partitions,
        )  # fmt: skip
        all_ready = _both(ready)
        tasks.create_task(listening.run(all_ready))
        tasks.create_task(warding.run(all_ready))
        tasks.create_task(_ask([listening.ear, listening.conservation], clock))


def _both(ready: Ready) -> Ready:
    """When the listening and the warden have said it, each once."""
    waiting = [2]

    def one() -> None:
        waiting[0] -= 1
        if waiting[0] == 0:
            ready()

    return one


async def _ask(laws: list[Law], clock: Clock) -> None:
    while True:
        for law in laws:
            for one in law.differences(clock.now_ms()):
                log.critical("difference", law=one.law, about=one.about, detail=one.detail, since_ms=one.since_ms)
        await asyncio.sleep(ASK_EVERY_S)


PARTS: dict[str, Callable[[Settings, Ready], Awaitable[None]]] = {"auditor": auditor}

if __name__ == "__main__":
    run_part("audit", PARTS)
