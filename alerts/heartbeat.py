"""Does each endpoint of people still take what it is sent? One POST a minute, whether or not there is an alert.

One attempt, no ladder: the next one comes in a minute of the machine's time, as receivers count it.
HEARTBEATS_MISSED_MAX running that come to nothing are SYS_NOTIFY_FAIL; one that is taken ends it, and opens an
endpoint again that had said 410. The rooms of the police have none: a CAP message is about something.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from alerts.channels import cloudevent, heartbeat
from alerts.channels.heartbeat import Beat
from alerts.doors import Door
from alerts.faults import NO_HEARTBEAT, Faults
from alerts.line import Outcome
from alerts.retries import ACCEPTED, BROKEN
from tocsin.clock import Clock
from tocsin.limits import HEARTBEAT_EVERY_S, HEARTBEATS_MISSED_MAX
from tocsin.model.episode import Channel, Realm
from tocsin.model.ids import derived
from tocsin.telemetry import HEARTBEATS

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Heart:
    """Whose heartbeats they are."""

    site: str
    realm: Realm
    clock: Clock
    faults: Faults


async def beat_for_ever(heart: Heart, doors: Sequence[Door]) -> None:
    """Until cancelled. Each endpoint by itself: one that hangs delays no other's."""
    async with asyncio.TaskGroup() as tasks:
        for door in doors:
            tasks.create_task(_beat_for_ever(heart, door))


async def _beat_for_ever(heart: Heart, door: Door) -> None:
    since_ms, number = heart.clock.now_ms(), 0
    while True:
        resting = asyncio.ensure_future(asyncio.sleep(HEARTBEAT_EVERY_S))
        try:
            _judge(heart, door, await _beat(heart, door, since_ms, number))
            number += 1
            await resting  # the time of the POST is part of the minute
        finally:
            resting.cancel()


async def _beat(heart: Heart, door: Door, since_ms: int, number: int) -> Outcome:
    now_ms = heart.clock.now_ms()
    name = derived("evt", heartbeat.TYPE, heart.site, door.name, now_ms)
    beat = Beat(
        name=name, site=heart.site, realm=heart.realm, at_ms=now_ms, since_ms=since_ms, number=number,
        newest=door.newest,
    )  # fmt: skip
    try:
        return await door.line.post(name, *_written(beat, door), heart.clock.wall_ms())
    except Exception:  # what a line does not foresee must not end the heartbeats of all
        log.exception("heartbeat_failed", line=door.name)
        return Outcome(result=BROKEN)


def _written(beat: Beat, door: Door) -> tuple[bytes, str]:
    """As this endpoint reads: the bytes, and of what type they are."""
    if door.channel is Channel.OPERATIONS:
        return heartbeat.watchdog(beat), "application/json"
    return heartbeat.event(beat), cloudevent.CONTENT_TYPE


def _judge(heart: Heart, door: Door, outcome: Outcome) -> None:
    HEARTBEATS.labels(line=door.name, outcome=outcome.result).inc()
    door.heard(outcome)
    if outcome.result == ACCEPTED:
        door.missed_beats = 0
        heart.faults.takes(door.name)
        return
    door.missed_beats += 1
    log.warning("heartbeat_not_taken", line=door.name, result=outcome.result, running=door.missed_beats)
    if door.missed_beats >= HEARTBEATS_MISSED_MAX:
        heart.faults.failing(door.name, NO_HEARTBEAT)
