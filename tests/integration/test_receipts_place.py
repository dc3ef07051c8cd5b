"""Does what became of a telling reach the episode, whatever the episode has become? t7 and t8 of every P1.

A silent press stands in the place of TGD_SOS, an approach that nobody answered for in that of PROX_PREALERT. The
courier and the dispatcher are the real ones, on the log in memory and over real HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from builders import REALM, act, entry, eventually, leaving, press
from real_broker import cancelled
from recipients import CLOCK, courier, listening, receipts

from alerts.desk import handle
from alerts.dispatcher import run_dispatcher
from alerts.episodes import place
from tocsin import subjects
from tocsin.model.episode import (
    AlarmCause,
    Deed,
    DeedKind,
    Due,
    Episode,
    Event,
    FindingCause,
    Party,
    Reply,
    Ruling,
    Verb,
)
from tocsin.model.finding import Code
from tocsin.model.protocol import AS_AGREED
from tocsin.subjects import EPISODES
from tocsin.testing.bus import MemoryBucket, MemoryLog
from tocsin.wire import decode_ruling, encode


def silent(now_ms: int) -> list[Event]:
    return [AlarmCause(alarm=press(at_ms=now_ms, code=Code.TGD_SOS, silent=True))]


def unanswered(now_ms: int) -> list[Event]:
    ahead = FindingCause(finding=entry(at_ms=now_ms, code=Code.PROX_PREALERT))
    opened = handle(None, ahead, REALM, now_ms)
    assert isinstance(opened, Ruling)
    name = opened.episode.id
    refused = Deed(kind=DeedKind.CALL, at_ms=now_ms, party=Party.WEARER, reply=Reply.REFUSED)
    return [
        ahead,
        act(Verb.ACKNOWLEDGE, 1, at_ms=now_ms, episode=name),
        act(Verb.DO, 2, at_ms=now_ms, episode=name, deed=refused),
        Due(episode=name, at_ms=now_ms),
        FindingCause(finding=leaving(ahead.finding, after_s=0)),
        FindingCause(finding=entry("fnd_again", at_ms=now_ms, code=Code.PROX_PREALERT)),
    ]


CHAINS = {Code.TGD_SOS_SILENT: silent, Code.PREALERT_NO_ANSWER: unanswered}


@asynccontextmanager
async def dispatching(log: MemoryLog) -> AsyncIterator[None]:
    ready = asyncio.Event()
    part = run_dispatcher(
        log_=log, clock=CLOCK, realm=REALM, ready=ready.set, devices=MemoryBucket(), protocol=AS_AGREED
    )
    task = asyncio.create_task(part)
    try:
        await ready.wait()
        yield
    finally:
        await cancelled(task)


async def newest(log: MemoryLog, at: str) -> Episode:
    last = await log.last(EPISODES, at)
    assert last is not None
    return decode_ruling(last.payload).episode


async def ruled(log: MemoryLog, code: Code) -> str:
    """Where the episode stands, whose newest raising nobody has been told of yet."""
    episode: Episode | None = None
    now_ms = CLOCK.now_ms()
    for event in CHAINS[code](now_ms):
        ruling = handle(episode, event, REALM, now_ms)
        assert isinstance(ruling, Ruling), ruling
        episode = ruling.episode
        await log.append(subjects.episode(*place(episode)), encode(ruling))
    assert episode is not None
    assert episode.code is code
    assert episode.raises[-1].version == episode.version
    return subjects.episode(*place(episode))


@pytest.mark.parametrize("code", CHAINS)
async def test_what_was_taken_is_known_to_its_episode(code: Code) -> None:
    log = MemoryLog()
    at = await ruled(log, code)
    async with listening(204) as recipient, courier(log, recipient.url), dispatching(log):
        await eventually(lambda: is_taken(log, at))


@pytest.mark.parametrize("code", CHAINS)
async def test_receipts_under_the_code_that_was_said_are_read_too(code: Code) -> None:
    """A courier of the version before, or what it has left on the log."""
    log, before = MemoryLog(), MemoryLog()
    at = await ruled(log, code)
    newest_now = await newest(log, at)
    for one in log.entries(EPISODES):
        await before.append(one.subject, one.payload)
    async with listening(204) as recipient, courier(before, recipient.url):
        await eventually(lambda: any(one.version == newest_now.version for one in receipts(before)))
    for receipt in receipts(before):
        await log.append(subjects.receipt(code.value, newest_now.subject), encode(receipt))
    async with dispatching(log):
        await eventually(lambda: is_taken(log, at))


async def is_taken(log: MemoryLog, at: str) -> bool:
    points = (await newest(log, at)).raises[-1].points
    return points.t7_ms is not None and points.t8_ms is not None
