"""What does an outage of the record cost? ``tocsin bench outage``: PostgreSQL is stopped while a fleet is loud.

The database is an outside server of this Tocsin, so that nobody but the bench starts it again. While it is away
fixes come at a steady rate from a process of their own, keys are pressed, and an operator reads each alert through
the API and takes it. Then the database is started, and the bench waits until the record has caught up.

What is promised (invariants 1 and 3, F01): every P1 reaches the téléassistance within its hard budget, every open
alert was read and taken meanwhile, none has two identities, and of what the log holds nothing is missing from the
record. Hours are of the machine's clock: from before the press is published to the arrival at the recipient.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import httpx2

from simulator import load
from simulator.gateway import Gateway
from simulator.lab import Laboratory, LaboratoryError, PairWanted, laboratory, latency_ms, report_head
from simulator.operator import ATTEMPTS_MAX, RETRY_S
from simulator.raisings import everything
from tocsin import subjects
from tocsin.adapters.jetstream import open_bus
from tocsin.adapters.postgres import open_pool
from tocsin.adapters.reconcile import missing_attempts, missing_rulings
from tocsin.clock import MS
from tocsin.embedded import EmbeddedPostgres
from tocsin.errors import RecordUnavailable
from tocsin.model.device import DeviceKind
from tocsin.stack import Tell
from tocsin.wire import decode_receipt, decode_ruling

P1_HARD_S: Final = 10.0
SETTLE_WITHIN_S: Final = 120.0
AROUND_S: Final = 2.0  # of load before the database goes and behind its return
OPENED: Final = "org.tocsin.alert.opened"
LATER: Final = frozenset({HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS})
"""The API's own words for: not confirmed or not ready now, say it again. Any other refusal is final."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutageBench:
    """``seconds`` without a record; meanwhile ``rate`` fixes a second of ``pairs`` couples, and ``presses``."""

    seconds: float
    presses: float
    rate: int
    pairs: int
    home: Path

    @property
    def keys(self) -> list[str]:
        return [f"key-{number:05d}" for number in range(max(1, round(self.seconds * self.presses)))]


@dataclass(slots=True)
class Seen:
    """What happened to each press, by its device; milliseconds of the wall. ``repeated``: the API asked that its
    alert be taken a little later."""

    pressed_ms: dict[str, int] = field(default_factory=dict)
    arrived_ms: dict[str, int] = field(default_factory=dict)
    taken_ms: dict[str, int] = field(default_factory=dict)
    repeated: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)

    def latencies_ms(self) -> list[float]:
        return [float(ms - self.pressed_ms[name]) for name, ms in self.arrived_ms.items()]

    async def is_settled(self) -> bool:
        """Each press has been read and taken, or refused."""
        return len(self.taken_ms) + len(self.refused) >= len(self.pressed_ms)

    @property
    def late(self) -> int:
        return sum(one > P1_HARD_S * MS for one in self.latencies_ms())


async def run_outage(bench: OutageBench, *, tell: Tell, say: Callable[[str], None]) -> dict[str, Any]:
    """The report. Raises LaboratoryError."""
    database = EmbeddedPostgres(home=bench.home / "outside-database")
    try:
        dsn = await database.start()
        async with laboratory(home=bench.home / "site", tell=tell, database_url=dsn, log_level="warning") as lab:
            say(f"registering {bench.pairs} pairs and {len(bench.keys)} keys")
            await _register(lab, bench)
            started_ms, seen = lab.clock.wall_ms(), Seen()
            async with _load(lab, bench) as offered, _operator(lab, seen):
                await asyncio.sleep(AROUND_S)
                await database.stop()
                say(f"no database for {bench.seconds:g} s; {bench.rate} fixes/s, {bench.presses:g} keys/s")
                await _press(lab, bench, seen)
                await _until(seen.is_settled, P1_HARD_S)
                away_s = (lab.clock.wall_ms() - started_ms) / MS - AROUND_S
                await database.start()
                say("the database is back")
                back_ms = lab.clock.wall_ms()
                fixes = await offered
            return {
                **report_head("bench outage", 0, started_ms, (lab.clock.wall_ms() - started_ms) / MS),
                **await _outcome(lab, dsn, seen, back_ms),
                "record_down_s": round(away_s, 1),
                "fixes": {"offered": fixes, **await _archived(lab, fixes)},
            }
    finally:
        await database.stop()


def holds(report: dict[str, Any]) -> bool:
    """Nothing late, lost, doubled or missing; every alert read and taken; every fix in the archive."""
    nothing = ("p1_late", "lost", "duplicated", "missing_from_record", "acts_refused")
    taken = report["acknowledged"] == report["p1_sent"] > 0
    return all(report[name] == 0 for name in nothing) and taken and report["fixes"]["lost"] == 0


async def _register(lab: Laboratory, bench: OutageBench) -> None:
    names = [load.background_device(index) for index in range(2 * bench.pairs)]
    couples = [*zip(names[::2], names[1::2], strict=True), (load.WEARER, load.PROTECTED)]
    kinds = {wearer: DeviceKind.WEARER for wearer, _ in couples}
    kinds |= {protected: DeviceKind.PROTECTED for _, protected in couples}
    kinds |= dict.fromkeys(bench.keys, DeviceKind.PROTECTED)
    pairs = [PairWanted(key=one, wearer=one, protected=other, alert_distance_m=1000) for one, other in couples]
    await lab.register(kinds, pairs, reports_every_s=load.reports_every_s(bench.pairs, bench.rate))


@contextlib.asynccontextmanager
async def _load(lab: Laboratory, bench: OutageBench) -> AsyncIterator[asyncio.Task[int]]:
    """The fleet speaks from a moment before until a moment behind; how many fixes it was."""
    url = lab.stack.addresses.fleet_mqtt_url
    assert url is not None
    seconds = bench.seconds + 2 * AROUND_S
    words = ["--url", url, "--rate", bench.rate, "--seconds", seconds, "--pairs", bench.pairs]
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "simulator.load", *map(str, words), stdout=asyncio.subprocess.PIPE
    )

    async def offered() -> int:
        out, _ = await child.communicate()
        if child.returncode != 0:
            raise LaboratoryError(f"the load generator ended with {child.returncode}")
        return int(json.loads(out)["acknowledged"])

    task = asyncio.create_task(offered())
    try:
        yield task
    finally:
        if child.returncode is None:
            child.kill()
        await asyncio.gather(task, return_exceptions=True)


async def _press(lab: Laboratory, bench: OutageBench, seen: Seen) -> None:
    """One key after another, each of another person, at a steady rate."""
    url = lab.stack.addresses.fleet_mqtt_url
    assert url is not None
    loop = asyncio.get_running_loop()
    start = loop.time()
    async with Gateway(url, client_id="outage-gateway") as gateway:
        for number, name in enumerate(bench.keys):
            await asyncio.sleep(max(0.0, start + number / bench.presses - loop.time()))
            seen.pressed_ms[name] = lab.clock.wall_ms()
            second, ms = divmod(lab.clock.now_ms(), MS)
            said = {"_type": "sos", "tst": second, "ms": ms, "seq": 1, "boot": 1}
            await gateway.publish(name, "sos", json.dumps(said).encode())
        await gateway.drained()


@contextlib.asynccontextmanager
async def _operator(lab: Laboratory, seen: Seen) -> AsyncIterator[None]:
    """Reads and takes each alert of a key as soon as the téléassistance hears of it."""
    async with asyncio.TaskGroup() as acts:
        follower = acts.create_task(_follow(lab, seen, acts))
        yield
        follower.cancel()


async def _follow(lab: Laboratory, seen: Seen, acts: asyncio.TaskGroup) -> None:
    history, read = lab.receiver.history, 0
    while True:
        async with history.arrived:
            while len(history.deliveries) == read:
                await history.arrived.wait()
        for one in history.deliveries[read:]:
            name = str(one.data.get("device") or "")
            is_first = name in seen.pressed_ms and name not in seen.arrived_ms
            if is_first and one.channel == "teleassistance" and one.type == OPENED:
                seen.arrived_ms[name] = one.received_ms
                acts.create_task(_take(lab, seen, name, one.subject))
        read = len(history.deliveries)


async def _take(lab: Laboratory, seen: Seen, name: str, alert: str) -> None:
    """With the patience of ``simulator.operator``; what is still not taken then is refused."""
    first_s, longest_s = RETRY_S
    taken = await _answered(lab, alert)
    for attempt in range(ATTEMPTS_MAX - 1):
        if taken.status_code not in LATER:
            break
        seen.repeated.add(name)
        await asyncio.sleep(min(longest_s, first_s * 2.0**attempt))
        taken = await _answered(lab, alert)
    if taken.is_success:
        seen.taken_ms[name] = lab.clock.wall_ms()
    else:
        seen.refused.append(f"{alert}: {taken.status_code}")


async def _answered(lab: Laboratory, alert: str) -> httpx2.Response:
    """What he is told who takes it as it is now."""
    page = f"/api/v1/alerts/{alert}"
    while True:
        found = await lab.api.get(page)
        if found.status_code == HTTPStatus.NOT_FOUND:  # the message may be ahead of this API's own reading
            await asyncio.sleep(0.05)
            continue
        if not found.is_success:
            return found
        taken = await lab.api.put(
            f"{page}/acknowledgement",
            json={"job": "teleassistance"},
            headers={"If-Match": found.headers.get("ETag", "")},
        )
        if taken.status_code != HTTPStatus.PRECONDITION_FAILED:  # a receipt or a rung came between: as he would
            return taken


async def _outcome(lab: Laboratory, dsn: str, seen: Seen, back_ms: int) -> dict[str, Any]:
    report = lab.receiver.history.report()
    missing, caught_up_s = await _missing(lab, dsn, back_ms)
    reading = [float(seen.taken_ms[name] - seen.arrived_ms[name]) for name in seen.taken_ms]
    return {
        "p1_sent": len(seen.pressed_ms),
        "p1_late": seen.late,
        "lost": len(seen.pressed_ms) - len(seen.arrived_ms),
        "duplicated": len(report.conflicts),
        "missing_from_record": missing,
        "acknowledged": len(seen.taken_ms),
        "acts_repeated": len(seen.repeated),
        "acts_refused": len(seen.refused),
        "caught_up_s": caught_up_s,
        "latency_ms": {"press_arrived": latency_ms(seen.latencies_ms()), "arrived_taken": latency_ms(reading)},
    }


async def _missing(lab: Laboratory, dsn: str, back_ms: int) -> tuple[int, float]:
    """How many rulings and attempts of the log the record lacks, once it lacks none or the time is up."""
    async with open_bus(lab.stack.addresses.nats_url, "outage") as bus, open_pool(dsn) as pool:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SETTLE_WITHIN_S
        while True:
            rulings = [
                (decode_ruling(one.payload).episode.id, one.sequence)
                for one in await everything(bus.log, subjects.EPISODES)
            ]
            receipts = [decode_receipt(one.payload) for one in await everything(bus.log, subjects.RECEIPTS)]
            missing = len(rulings) + len(receipts)
            with contextlib.suppress(RecordUnavailable):  # it is still starting: asked again until the deadline
                missing = len(await missing_rulings(pool, rulings)) + await missing_attempts(pool, receipts)
            if missing == 0 or loop.time() > deadline:
                return missing, round((lab.clock.wall_ms() - back_ms) / MS, 1)
            await asyncio.sleep(0.5)


async def _archived(lab: Laboratory, offered: int) -> dict[str, int]:
    async def all_in() -> bool:
        return (await lab.accounted()).lost_of(offered) == 0

    await _until(all_in, SETTLE_WITHIN_S)
    fixes = await lab.accounted()
    return {"archived": fixes.archived, "refused": fixes.refused, "lost": fixes.lost_of(offered)}


async def _until(come: Callable[[], Awaitable[bool]], within_s: float) -> None:
    """Or when the time is up: what has not come by then is counted as what it is."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            while True:
                if await come():
                    return
                await asyncio.sleep(0.1)
