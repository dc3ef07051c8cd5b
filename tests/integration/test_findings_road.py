"""Do findings become alerts, and standings a list, on the real log?

What the twin cannot show: filters of subjects, what is given back for later, the bucket's own way to say that a
key is gone (invariants 2, 13).
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from builders import NOW_MS, REALM, entry, eventually, frozen_clock
from real_broker import cancelled

from alerts.api.standings import Standings
from alerts.catalogue import CATALOGUE
from alerts.dispatcher import run_dispatcher
from alerts.episodes import IN_PLACE_OF, KEYS
from tocsin import subjects
from tocsin.adapters.jetstream import Bus
from tocsin.model.episode import Episode
from tocsin.model.finding import NOTICES, Code, Finding
from tocsin.model.standing import Protection, Standing
from tocsin.model.zone import Zone
from tocsin.wire import decode_ruling, encode

pytestmark = pytest.mark.timeout(60)
FOUND = sorted(set(CATALOGUE) - {*KEYS, *NOTICES, *IN_PLACE_OF})


async def found(bus: Bus, finding: Finding) -> None:
    await bus.log.append(subjects.findings(1, finding.code.value), encode(finding), dedupe_id=finding.id)


async def episode(bus: Bus, code: Code) -> Episode | None:
    last = await bus.log.last(subjects.EPISODES, subjects.episode(code.value, "msr_1"))
    return decode_ruling(last.payload).episode if last else None


async def test_every_code_has_its_road_and_a_proof_waits_for_its_alert(bus: Bus) -> None:
    dispatching = asyncio.create_task(
        run_dispatcher(log_=bus.log, clock=frozen_clock(), realm=REALM, ready=lambda: None, devices=bus.devices)
    )
    await found(bus, entry("fnd_proof", NOW_MS + 20_000, code=Code.EVIDENTIAL_BREACH))
    await found(bus, entry("fnd_doubt", code=Code.UNCERTAIN))
    queue = "dispatcher-EVIDENTIAL_BREACH"
    await eventually(lambda: _redelivered(bus, queue))
    for code in FOUND:
        await found(bus, entry(f"fnd_{code}", code=code))
    for code in FOUND:
        await eventually(lambda code=code: episode(bus, code))

    async def is_proven() -> bool:
        alert = await episode(bus, Code.PROX_ALERT)
        return alert is not None and alert.evidential_ms == NOW_MS + 20_000

    await eventually(is_proven)
    await cancelled(dispatching)
    assert await episode(bus, Code.UNCERTAIN) is None
    assert await episode(bus, Code.EVIDENTIAL_BREACH) is None


async def _redelivered(bus: Bus, queue: str) -> bool:
    """Whether what is leased there has been handed out more than once."""
    info = await bus.client.jetstream().consumer_info(subjects.FINDINGS.name, queue)
    return bool(info.num_redelivered)


def standing(measure: str, protection: Protection, **changes: Any) -> bytes:
    return encode(
        Standing(
            measure=measure, protection=protection, since_ms=NOW_MS, reason="overdue", zone=Zone.FAR, at_ms=NOW_MS,
            **changes,
        )
    )  # fmt: skip


async def test_standings_are_read_from_the_bucket_as_they_are_and_as_they_change(bus: Bus) -> None:
    await bus.standings.put("msr_1", standing("msr_1", Protection.DEGRADED))
    await bus.standings.put("msr_2", standing("msr_2", Protection.DEGRADED, blind_worst_ms=NOW_MS))
    await bus.standings.put("msr_3", standing("msr_3", Protection.PROTECTED))
    board = Standings()
    following = asyncio.create_task(board.run(bus.standings))
    await board.ready.wait()
    assert [one.measure for one in board.ranked([Protection.DEGRADED])] == ["msr_2", "msr_1"]
    await bus.standings.put("msr_1", standing("msr_1", Protection.UNPROTECTED))
    await bus.standings.delete("msr_2")
    await eventually(lambda: board.counts == {"protected": 1, "degraded": 0, "unprotected": 1})
    await cancelled(following)
