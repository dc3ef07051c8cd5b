"""What does a console hear, from one second to the next?

Server-sent events: ``alerts`` (an array of changed alerts, coalesced for 100 ms, P1 at once; its id is the
cursor), ``beat`` each second, ``reset`` (something was missed: take the snapshot again), ``retire`` (this
process ends: connect again). Without ``since`` the feed begins with every open alert. The beat says how long
ago the log answered: a process that is cut off from the log is alive and knows nothing. It also counts the
measures by how well they are protected; which ones is in ``/protection``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import StreamingResponse

from alerts.api.deps import Deps, deps_of
from alerts.api.openapi import EVENT_STREAM, problems
from alerts.api.problems import Refusal
from alerts.api.projection import Feed, Projection
from alerts.api.reader import Reader, reads
from alerts.api.roles import Permission
from alerts.api.standings import Standings
from tocsin.clock import Clock, rfc3339
from tocsin.limits import ACCESS_OBJECTS_MAX

BEAT_S: Final = 1.0
CURSOR_DIGITS_MAX: Final = 18

SHOWN_EVERY_S: Final = 60.0  # a console sees a change a second: one note of the minute, not sixty

router = APIRouter(tags=["live"])


@router.get(
    "/live",
    summary="Follow the alerts",
    response_class=StreamingResponse,
    responses={200: EVENT_STREAM, **problems("bad-cursor", "invalid-request", "not-ready")},
)
async def live(
    deps: Annotated[Deps, Depends(deps_of)],
    reader: Annotated[Reader, Depends(reads(Permission.SEE_ALERTS))],
    since: Annotated[str | None, Query(description="The cursor of the snapshot.")] = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> StreamingResponse:
    position = cursor_of(last_event_id or since)
    if not deps.projection.ready.is_set() or deps.projection.draining:
        raise Refusal("not-ready")
    return StreamingResponse(
        events(deps.projection, deps.standings, deps.clock, position, partial(reader.saw, "live")),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},
    )


def cursor_of(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= CURSOR_DIGITS_MAX):
        raise Refusal("bad-cursor")
    return int(text)


async def events(
    projection: Projection,
    standings: Standings,
    clock: Clock,
    since: int | None,
    saw: Callable[[Collection[str]], None],
) -> AsyncIterator[bytes]:
    """The feed of one client, until he leaves or this process ends. ``saw``: which alerts it has shown him."""
    loop = asyncio.get_running_loop()
    with projection.feed(since) as feed, _seen(saw) as seen:
        beat_at = loop.time()
        while not projection.draining:
            now = loop.time()
            if now >= beat_at:
                beat_at = now + BEAT_S
                yield event("beat", _beat(projection, standings, clock))
            if feed.due_at is not None and feed.due_at <= now:
                yield _changes(feed, projection, seen)
            await _until(feed, beat_at if feed.due_at is None else min(beat_at, feed.due_at))
    yield event("retire", {})


class _Seen:
    """What one client was shown since it was last noted: each alert once."""

    def __init__(self, saw: Callable[[Collection[str]], None]) -> None:
        self._saw = saw
        self._shown: dict[str, None] = {}
        self._since: float | None = None

    def add(self, alerts: Iterable[str], now: float) -> None:
        self._shown.update(dict.fromkeys(alerts))
        self._since = now if self._since is None else self._since
        if now - self._since >= SHOWN_EVERY_S or len(self._shown) >= ACCESS_OBJECTS_MAX:
            self.note()

    def note(self) -> None:
        if self._shown:
            self._saw(list(self._shown))
        self._shown, self._since = {}, None


@contextmanager
def _seen(saw: Callable[[Collection[str]], None]) -> Iterator[_Seen]:
    seen = _Seen(saw)
    try:
        yield seen
    finally:
        seen.note()


def _changes(feed: Feed, projection: Projection, seen: _Seen) -> bytes:
    """Everything that is due; the alerts are encoded already."""
    if feed.gap:
        feed.take()
        return event("reset", {"cursor": str(projection.sequence)})
    changes = feed.take()
    seen.add((change.episode.id for change in changes), asyncio.get_running_loop().time())
    alerts = ",".join(change.encoded for change in changes)
    return f"id: {changes[-1].sequence}\nevent: alerts\ndata: [{alerts}]\n\n".encode()


def _beat(projection: Projection, standings: Standings, clock: Clock) -> dict[str, Any]:
    heard_ms = projection.log_heard_ms
    return {
        "at": rfc3339(clock.now_ms()),
        "cursor": str(projection.sequence),
        "consoles": projection.consoles,
        "protection": dict(standings.counts) if standings.ready.is_set() else None,
        "log_age_ms": None if heard_ms is None else max(0, clock.wall_ms() - heard_ms),
    }


async def _until(feed: Feed, moment: float) -> None:
    """Until the moment in the loop's time, or until there is something new to look at."""
    wait_s = moment - asyncio.get_running_loop().time()
    if wait_s > 0:
        try:
            async with asyncio.timeout(wait_s):
                await feed.woken.wait()
        except TimeoutError:
            return
    feed.woken.clear()


def event(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
