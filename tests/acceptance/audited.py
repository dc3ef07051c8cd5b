"""An auditor at work beside the real parts, and a recipient of its pages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2
import pytest
from builders import REALM, SECRET, eventually
from real_broker import cancelled
from recipients import Recipient, listening
from standardwebhooks import Webhook

import audit.auditor
from audit.auditor import AuditDoors, Laws, run_auditor
from audit.page import Pager
from audit.spokesman import Spokesman
from tocsin.adapters.jetstream import Bus
from tocsin.clock import AffineClock
from tocsin.model.pulse import CLERK

STEP_MS: Final = 4_000  # of an hour that a test lets pass between two looks; the auditor counts 5 s at most


@dataclass(kw_only=True)
class Audited:
    """``pages``: what was paged, by law, and when it came, by the loop's clock."""

    operations: Recipient
    looks: Callable[[], int]
    skip: Callable[[int], None]
    task: asyncio.Task[None] = field(repr=False)

    @property
    def pages(self) -> list[dict[str, Any]]:
        for one in self.operations.heard:
            Webhook(SECRET).verify(one.body, one.headers)
        return [json.loads(one.body) for one in self.operations.heard]

    def firing(self, law: str) -> list[dict[str, Any]]:
        return [one for one in self.pages if one["status"] == "firing" and one["commonLabels"]["law"] == law]

    async def paged(self, law: str, within_s: float = 30.0) -> dict[str, Any]:
        await eventually(lambda: self.firing(law), within_s=within_s)
        return self.firing(law)[0]

    async def passes(self, seconds: int) -> None:
        """So much of the auditor's own time, while the world stands still."""
        for _ in range(seconds * 1000 // STEP_MS):
            before = self.looks()
            self.skip(STEP_MS)
            await eventually(lambda before=before: self.looks() > before + 1 or self.task.done(), within_s=30.0)
            assert not self.task.done(), self.task


@asynccontextmanager
async def audited(
    bus: Bus, clock: AffineClock, *, laws: Laws | None = None, clerk_lives: bool = True
) -> AsyncIterator[Audited]:
    """As in production, until the test lets its hours pass. ``clerk_lives``: there is one, which looks whenever
    the auditor does."""
    ready = asyncio.Event()
    with _hours(clerk_lives=clerk_lives) as (looks, skip):
        async with listening(200) as operations, httpx2.AsyncClient(trust_env=False) as http:
            pager = Pager(url=operations.url, secret=SECRET, http=http, clock=clock)
            spokesman = Spokesman(log_=bus.log, clock=clock, pager=pager, site="paca", realm=REALM)
            doors = AuditDoors(log=bus.log, devices=bus.devices, orders=bus.orders, tallies=bus.tallies)
            task = asyncio.create_task(
                run_auditor(doors, laws=laws or Laws(), spokesman=spokesman, clock=clock, ready=ready.set)
            )
            try:
                await asyncio.wait_for(ready.wait(), 30)
                yield Audited(operations=operations, looks=looks, skip=skip, task=task)
                assert not task.done(), task
            finally:
                await cancelled(task)


@contextmanager
def _hours(*, clerk_lives: bool) -> Iterator[tuple[Callable[[], int], Callable[[int], None]]]:
    """Its steady clock goes on by itself, and further when a test says so."""
    skipped, looked = [0], [0]
    steady_ms, show = audit.auditor._steady_ms, audit.auditor.Auditor._show_pulse

    async def counted(self: audit.auditor.Auditor) -> None:
        await show(self)
        looked[0] += 1
        if clerk_lives:
            await self._doors.tallies.put(CLERK, b"%d" % looked[0])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("audit.auditor._steady_ms", lambda: steady_ms() + skipped[0])
        patch.setattr("audit.auditor.Auditor._show_pulse", counted)

        def skip(ms: int) -> None:
            patch.setattr("audit.auditor.LOOK_S", 0.01)
            skipped[0] += ms

        yield lambda: looked[0], skip
