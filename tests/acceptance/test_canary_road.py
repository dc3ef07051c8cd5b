"""Does an invented pair walk the whole road, unseen? Is a broken road found out, and the place? F07, F38.

A whole Tocsin, everything real; its clock runs RATE times as fast as the wall, so that a round takes six seconds
and three minutes without one take eighteen. A part is stopped (SIGSTOP), not killed: the supervisor would have it
back within a second, and that no round is lost by that is what the supervisor is for. Invariants 2 and 10.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import pytest
import pytest_asyncio
from builders import SECRET, eventually
from lab_fixture import running_lab
from recipients import Recipient, listening

from simulator.lab import ACTOR, Laboratory
from tocsin.clock import AffineClock
from tocsin.model.finding import Code

pytestmark = [pytest.mark.timeout(420), pytest.mark.asyncio(loop_scope="module")]
FAILED: Final = Code.SYS_CANARY_FAIL.value
OF_THE_SYSTEM: Final = {FAILED, Code.SYS_AUDIT.value, Code.SYS_PIPELINE_LAG.value}
"""What a part that stands still may be called: by its canary, by the auditor, by its queue."""

RATE: Final = 10.0
ROUND_S: Final = 60 / RATE
TECHNICIAN, SUPERVISOR = "t" * 24, "s" * 24
TOKENS: Final = {
    TECHNICIAN: {"name": ACTOR, "role": "technical"},
    SUPERVISOR: {"name": ACTOR, "role": "supervisor"},
}


@dataclass
class Seen:
    alerts: Any
    queue: Any
    protection: Any
    load: Any
    metrics: dict[str, float]
    deliveries: int
    pages: int


@dataclass
class Site:
    """``seen``: what everybody had seen after the first rounds, before a test has broken anything."""

    lab: Laboratory
    operations: Recipient
    seen: Seen | None = None

    async def rounds(self, stage: str = "closed") -> int:
        return int((await self.lab.metrics()).get(f'tocsin_canary_seconds_count{{stage="{stage}"}}', 0))

    async def ages_s(self) -> list[float]:
        return [
            value for name, value in (await self.lab.metrics()).items() if name.startswith("tocsin_canary_age")
        ]

    async def walked(self, more: int) -> int:
        """Until so many more rounds are complete, of both pairs together."""
        wanted = await self.rounds() + more

        async def are_there() -> bool:
            return await self.rounds() >= wanted

        await eventually(are_there, within_s=60.0)
        return wanted

    async def got(self, path: str, token: str, **query: str) -> Any:
        answer = await self.lab.api.get(path, params=query, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def pages(self) -> list[tuple[str, str, str, str]]:
        """(code, subject, reason, firing or resolved or over) of all that operations were told, in its order."""
        read = [json.loads(one.body) for one in self.operations.heard]
        return [
            (
                page["alerts"][0]["labels"]["alertname"],
                page["alerts"][0]["annotations"].get("subject", ""),
                page["alerts"][0]["annotations"].get("reason", ""),
                page["status"],
            )
            for page in read
        ]

    async def lasting(self) -> set[tuple[str, str]]:
        """(subject, reason) of each SYS_CANARY_FAIL that is not over, as the supervisor sees it."""
        shown = await self.got("/api/v1/alerts", SUPERVISOR, code=Code.SYS_CANARY_FAIL.value)
        return {(one["id"], one["events"][-1]) for one in shown["items"] if one["over_at"] is None}

    @contextmanager
    def stopped(self, part: str) -> Iterator[None]:
        pid = self.lab.stack.supervisor.pid_of(part)
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[Site]:
    wall_ms = AffineClock().wall_ms()
    clock = AffineClock(epoch_ms=wall_ms, anchor_ms=wall_ms, rate=RATE)
    async with (
        listening(200) as operations,
        running_lab(
            clock=clock, canary=True, api_auth="token", api_tokens=TOKENS,
            operations_url=operations.url, operations_secret=SECRET,
        ) as (lab, _),
    ):  # fmt: skip
        made = Site(lab=lab, operations=operations)
        await made.walked(6)
        made.seen = Seen(
            alerts=await made.got("/api/v1/alerts", SUPERVISOR),
            queue=await made.got("/api/v1/queue", SUPERVISOR),
            protection=await made.got("/api/v1/protection", SUPERVISOR),
            load=await made.got("/api/v1/reports/alarm-load", SUPERVISOR),
            metrics=await lab.metrics(),
            deliveries=len(lab.receiver.history.deliveries),
            pages=len(operations.heard),
        )
        yield made


async def test_rounds_are_complete_and_nobody_sees_them(site: Site) -> None:
    seen = site.seen
    assert seen is not None
    assert seen.alerts["items"] == []
    assert (seen.queue["lines"], seen.queue["stale"], seen.queue["alerts"]) == ([], [], 0)
    assert seen.protection["items"] == []
    assert (seen.load["by_code"], seen.load["sources"], seen.load["pairs"]) == ([], [], 0)
    assert (seen.deliveries, seen.pages) == (0, 0)
    assert not [name for name in seen.metrics if name.startswith("tocsin_stage_latency")]
    assert not [name for name, value in seen.metrics.items() if name.startswith("tocsin_alerts_open{") and value]
    ages_s = [value for name, value in seen.metrics.items() if name.startswith("tocsin_canary_age")]
    assert len(ages_s) == 2
    assert max(ages_s) < 180


async def test_who_looks_after_the_system_finds_them_closed_by_the_canary(site: Site) -> None:
    await site.walked(2)
    shown = await eventually(lambda: _closed(site), within_s=30.0)
    (one, *_) = [alert for alert in shown if alert["code"] == "PROX_ALERT"]
    assert (one["closed_by"], one["outcome"], one["priority"]) == ("canary", "technical", 1)
    clock = [one["clock"][point] for point in ("t1", "t3", "t4", "t5", "t6", "t7", "t8", "t9")]
    assert all(clock)
    assert one["handed_off_at"] is not None


async def _closed(site: Site) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (
        await site.got("/api/v1/alerts", TECHNICIAN, open="false", canary="true", code="PROX_ALERT")
    )["items"]
    return items


@pytest.mark.parametrize(
    ("part", "stage"),
    [("geofence", "finding"), ("dispatcher", "raised"), ("courier", "sent"), ("api", "acknowledged")],
)
async def test_a_part_that_stands_still_is_named_by_the_stage_that_it_owes(
    site: Site, part: str, stage: str
) -> None:
    """Where the part that stands still is one that the word itself needs, it arrives when that one is back."""
    await site.walked(2)
    told_before = len(site.operations.heard)

    def said() -> set[tuple[str, str]]:
        """New ones: of which pair, for which reason."""
        return {
            (subject, reason)
            for code, subject, reason, status in site.pages()[told_before:]
            if status == "firing" and code == FAILED
        }

    async def are_overdue() -> bool:
        return min(await site.ages_s()) > 185

    with site.stopped(part):
        if part == "api":  # which shows the ages, too
            await eventually(said, within_s=90.0)
        else:
            await eventually(are_overdue, within_s=90.0)
        if part == "geofence":
            await eventually(said, within_s=30.0)
    assert await eventually(lambda: len(said()) >= 2 and said(), within_s=60.0)
    assert {reason for _, reason in said()} == {stage}
    assert {code for code, *_ in site.pages()[told_before:]} <= OF_THE_SYSTEM

    async def is_over() -> bool:
        return not await site.lasting()

    await eventually(is_over, within_s=60.0)
    await site.walked(2)


async def test_a_canary_that_is_dead_itself_is_noticed_by_the_clerk(site: Site) -> None:
    told_before = len(site.operations.heard)

    def said() -> set[tuple[str, str]]:
        return {(subject, reason) for _, subject, reason, _ in site.pages()[told_before:]}

    with site.stopped("canary"):
        await eventually(lambda: ("canary", "no_pulse") in said(), within_s=60.0)

    async def is_over() -> bool:
        return not await site.lasting()

    await eventually(is_over, within_s=60.0)


async def test_of_all_this_the_real_recipients_heard_only_what_is_wrong_with_the_system(site: Site) -> None:
    heard = site.lab.receiver.history.deliveries
    assert {one.data["code"] for one in heard} <= OF_THE_SYSTEM
    assert {one.channel for one in heard} <= {"teleassistance"}
