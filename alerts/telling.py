"""How is one notification told? Its lines side by side, each up its own ladder, until one that settles took it.

``alerts.deadlines`` says when the next line begins; this is the shell around it. The same ``webhook-id`` goes out
on every line, and on lines of one form the same bytes; operations are told in their own form. Each attempt is a
receipt on the log that says which line it was:

    first, second   the endpoints of the téléassistance          settle
    own             of a room of the police                      settles
    default         whoever hears of every other room            settles where the room has no line of its own
    operations      who keeps the system running                 settles what is for them
    canary          the receiver of invented pairs               settles, alone, whatever is about one
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from alerts import deadlines
from alerts.deadlines import LineState
from alerts.doors import Door
from alerts.episodes import place
from alerts.faults import GONE, NOT_RECEIVED, Hears
from alerts.line import Outcome
from alerts.retries import (
    ACCEPTED,
    BROKEN,
    GAVE_UP,
    LEFT_ALONE,
    SETTLING,
    STOOD_IN,
    Attempt,
    GiveUp,
    Wait,
    ladder_of,
    next_attempt,
)
from alerts.urgency import rank_of
from tocsin import subjects
from tocsin.clock import MS, Clock
from tocsin.errors import LogUnavailable
from tocsin.model.episode import Channel, Notification, Receipt, Ruling
from tocsin.model.finding import Code
from tocsin.model.ids import derived
from tocsin.ports import Log
from tocsin.telemetry import NOTIFICATIONS, STAGE_SECONDS
from tocsin.wire import encode

RECEIPT_AGAIN_S: Final = 0.5
BACK_LOOK_S: Final = (
    2.0  # whether an endpoint that said 410 is back: its heartbeat is what opens it, once a minute
)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How a channel writes. ``is_told``: whether there is anything to write of this."""

    content_type: str
    body: Callable[[Ruling, Notification], bytes]
    is_told: Callable[[Ruling, Notification], bool] = lambda _ruling, _notification: True


Forms = Mapping[Channel, Form]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A door, as one notification sees it. ``line``: see above."""

    door: Door
    line: str
    settles: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """What everything that is told has in common."""

    log: Log
    clock: Clock
    forms: Forms
    faults: Hears


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipts:
    """Writes what became of each attempt at one notification."""

    office: Office
    ruling: Ruling
    notification: Notification

    async def write(
        self, outcome: Outcome, *, attempt: int, t7_ms: int, t8_ms: int | None, way: Way | None
    ) -> None:
        episode, notification = self.ruling.episode, self.notification
        receipt = Receipt(
            notification=notification.id,
            episode=episode.id,
            version=episode.version,
            channel=notification.channel if way is None else way.door.channel,
            attempt=attempt,
            t7_ms=t7_ms,
            t8_ms=t8_ms,
            result=outcome.result,
            status=outcome.status,
            recipient=notification.recipient,
            line="" if way is None else way.line,
            canary=episode.is_canary,
        )
        NOTIFICATIONS.labels(channel=receipt.channel.value, line=receipt.line, outcome=outcome.result).inc()
        await self._append(receipt)

    async def _append(self, receipt: Receipt) -> None:
        """The receipt of an attempt that settles the notification is written before the next thing is done; that
        of a failed attempt must not hold up the next attempt."""
        episode = self.ruling.episode
        name = derived("rct", receipt.notification, receipt.attempt, receipt.t7_ms, receipt.line, receipt.result)
        while True:
            try:
                await self.office.log.append(subjects.receipt(*place(episode)), encode(receipt), dedupe_id=name)
            except LogUnavailable as error:
                log.warning("receipt_waits", result=receipt.result, error=str(error))
                if receipt.result not in SETTLING:
                    return
                await asyncio.sleep(RECEIPT_AGAIN_S)
            else:
                return


@dataclass(slots=True, kw_only=True)
class _Climb:
    """One line on its way up."""

    way: Way
    state: LineState
    content_type: str
    body: bytes
    made: int = 0
    left: bool = False  # its door said that it is gone, and another can take it


class Telling:
    """One notification, from its first attempt until it is settled or every ladder has ended."""

    def __init__(self, office: Office, ruling: Ruling, notification: Notification, ways: Sequence[Way]) -> None:
        """Raises whatever the form of its own channel does: what cannot be written is told by nobody."""
        assert 0 < len(ways) <= deadlines.LINES_MAX
        self._office = office
        self._clock = office.clock
        self._ruling = ruling
        self._notification = notification
        self._priority = ruling.episode.priority
        self._rank = rank_of(ruling, notification)
        self._ways = ways
        self._receipts = Receipts(office=office, ruling=ruling, notification=notification)
        self._body = office.forms[notification.channel].body(ruling, notification)
        self._states: list[LineState] = []
        self._first = ways[0]
        self._taken = asyncio.Event()
        self._changed = asyncio.Event()
        self._given_up: set[str] = set()
        self._has_failed = False
        self._was_attempted = False
        self._was_refused = False

    async def run(self) -> None:
        left_alone, open_ = _left_alone(self._ways)
        self._first = open_[0]
        self._states = [LineState(usual_ms=way.door.usual_ms, settles=way.settles) for way in open_]
        for way in open_:
            if way.settles:
                way.door.owes(self._ruling, self._notification)
        async with asyncio.TaskGroup() as lines:
            for way in left_alone:
                lines.create_task(self._leave_alone(way))
            await self._conduct(open_, lines)

    async def _leave_alone(self, way: Way) -> None:
        state = LineState(usual_ms=way.door.usual_ms, settles=way.settles, ended=True)
        form = self._office.forms[way.door.channel]
        await self._say_left_alone(way)
        climb = _Climb(way=way, state=state, content_type=form.content_type, body=self._body, left=True)
        await self._come_back(climb)

    async def _say_left_alone(self, way: Way) -> None:
        now_ms = self._clock.now_ms()
        await self._receipts.write(Outcome(result=LEFT_ALONE), attempt=0, t7_ms=now_ms, t8_ms=None, way=way)

    async def _conduct(self, ways: Sequence[Way], lines: asyncio.TaskGroup) -> None:
        """Begin each line in its time, say once that it was not received; the rest is the lines' own."""
        while True:
            for way, state in zip(ways, self._states, strict=True):
                state.usual_ms = way.door.usual_ms
            plan = self._plan()
            self._fail_in_time(plan)
            if plan.begin is not None:
                self._begin(ways[plan.begin], self._states[plan.begin], lines)
            elif plan.look_ms is None:
                return
            else:
                await self._rest((plan.look_ms - self._clock.now_ms()) / MS, self._changed)
                self._changed.clear()

    def _plan(self) -> deadlines.Plan:
        return deadlines.plan(self._states, self._priority, self._ruling.at_ms, self._clock.now_ms())

    def _fail_in_time(self, plan: deadlines.Plan) -> None:
        """Once, and only when an attempt has come to nothing: while the first POST is under way nobody has failed
        (a replay's clock passes 15 s in a moment). What is said of the notices themselves breeds no more of them:
        the heartbeats see that it fails."""
        if not (plan.failed and self._was_refused) or self._has_failed:
            return
        self._has_failed = True
        log.error("notification_not_received", notification=self._notification.id, line=self._first.line)
        if self._ruling.episode.code is not Code.SYS_NOTIFY_FAIL:
            self._office.faults.failing(self._first.door.name, NOT_RECEIVED)

    def _begin(self, way: Way, state: LineState, lines: asyncio.TaskGroup) -> None:
        if self._was_attempted:
            log.error("line_does_not_answer", notification=self._notification.id, next_line=way.line)
        state.begun_ms = self._clock.now_ms()
        form, body = self._office.forms[way.door.channel], self._body
        if way.door.channel is not self._notification.channel:
            try:
                body = form.body(self._ruling, self._notification)
            except Exception:  # nobody else's line may end for it
                log.exception("cannot_be_written", notification=self._notification.id, line=way.line)
                state.ended = True
                return
        climb = _Climb(way=way, state=state, content_type=form.content_type, body=body)
        lines.create_task(self._climb(climb))

    async def _climb(self, climb: _Climb) -> None:
        await self._climb_once(climb)
        await self._come_back(climb)

    async def _climb_once(self, climb: _Climb) -> None:
        ladder = ladder_of(self._priority)
        begun_ms = climb.state.begun_ms
        assert begun_ms is not None
        while not (self._taken.is_set() or climb.state.ended):
            match next_attempt(climb.made, begun_ms, self._clock.now_ms(), ladder):
                case Wait(seconds=seconds):
                    await self._rest(seconds, self._taken)
                case Attempt():
                    await self._attempt(climb)
                case GiveUp():
                    await self._give_up(climb)
        climb.state.ended = True
        self._changed.set()

    async def _come_back(self, climb: _Climb) -> None:
        """A 410 may be a mistake, made in the middle of an upgrade: the line is climbed anew when its door is open
        again, or when nobody else can take it for good any more."""
        while climb.left and climb.way.settles:
            while climb.way.door.gone and self._another_can_settle(climb) and not self._taken.is_set():
                await self._rest(BACK_LOOK_S, self._taken)
            climb.left, climb.made = False, 0
            climb.state.ended, climb.state.begun_ms = False, self._clock.now_ms()
            await self._climb_once(climb)

    async def _attempt(self, climb: _Climb) -> None:
        door = climb.way.door
        gate = door.again if climb.made else door.first
        climb.made += 1
        async with gate.entered(self._rank, self._ruling.at_ms):
            if self._taken.is_set():
                return
            t7_ms = self._clock.now_ms()
            self._measure_first(t7_ms)
            outcome = await self._post(climb)
        t8_ms = self._clock.now_ms()
        door.answered(outcome, t8_ms - t7_ms)
        accepted = outcome.result == ACCEPTED
        if accepted:
            self._take(climb, t8_ms)
        else:
            self._was_refused = True
            self._fail_in_time(self._plan())
        if door.gone:
            self._office.faults.failing(door.name, GONE)
            climb.left = climb.state.ended = self._another_can_settle(climb)
        await self._receipts.write(
            self._named(outcome, climb.way),
            attempt=climb.made, t7_ms=t7_ms, t8_ms=t8_ms if accepted else None, way=climb.way,
        )  # fmt: skip

    async def _post(self, climb: _Climb) -> Outcome:
        try:
            return await climb.way.door.line.post(
                self._notification.id, climb.body, climb.content_type, self._clock.wall_ms()
            )
        except Exception:  # what a line does not foresee ends neither it nor those beside it
            log.exception("attempt_failed", notification=self._notification.id, line=climb.way.line)
            return Outcome(result=BROKEN)

    def _take(self, climb: _Climb, t8_ms: int) -> None:
        """Before the receipt, which waits for the log."""
        climb.state.took = climb.state.ended = True
        self._office.faults.takes(climb.way.door.name)
        if climb.way.settles:
            self._measure_taken(t8_ms)
            self._taken.set()
        self._changed.set()

    def _another_can_settle(self, climb: _Climb) -> bool:
        """Whether somebody else may take it for good: else even an endpoint that is gone is tried again."""
        others = [way for way in self._ways if way is not climb.way and way.settles]
        return any(not (way.door.gone or way.line in self._given_up) for way in others) or not climb.way.settles

    async def _give_up(self, climb: _Climb) -> None:
        climb.state.ended = True
        self._given_up.add(climb.way.line)
        log.error("notification_given_up", notification=self._notification.id, line=climb.way.line)
        await self._receipts.write(
            self._named(Outcome(result=GAVE_UP), climb.way),
            attempt=climb.made, t7_ms=self._clock.now_ms(), t8_ms=None, way=climb.way,
        )  # fmt: skip

    def _named(self, outcome: Outcome, way: Way) -> Outcome:
        """A stand-in for a room of the police says so in its result, as it always has."""
        stood_in = way.door.channel is Channel.POLICE and not way.settles
        return replace(outcome, result=STOOD_IN + outcome.result) if stood_in else outcome

    async def _rest(self, seconds: float, unless: asyncio.Event) -> None:
        """So long, or until ``unless``."""
        sleeper = asyncio.ensure_future(self._clock.sleep(seconds))
        waiter = asyncio.ensure_future(unless.wait())
        try:
            await asyncio.wait({sleeper, waiter}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeper.cancel()
            waiter.cancel()

    def _measure_first(self, t7_ms: int) -> None:
        if not self._was_attempted:
            self._was_attempted = True
            self._measure("t7", t7_ms)

    def _measure_taken(self, t8_ms: int) -> None:
        if not self._taken.is_set():
            self._measure("t8", t8_ms)

    def _measure(self, end: str, at_ms: int) -> None:
        """From the ruling; of a raising also from the moment that ingest had its cause in hand."""
        if self._ruling.episode.is_canary:  # it has a measure of its own, and is in no other's
            return
        priority, raising = str(self._priority), self._ruling.episode.raises[-1]
        STAGE_SECONDS.labels(start="t6", end=end, priority=priority).observe((at_ms - self._ruling.at_ms) / MS)
        t3_ms = raising.points.t3_ms
        if raising.version == self._ruling.episode.version and t3_ms is not None:
            STAGE_SECONDS.labels(start="t3", end=end, priority=priority).observe((at_ms - t3_ms) / MS)


def _left_alone(ways: Sequence[Way]) -> tuple[Sequence[Way], Sequence[Way]]:
    """Endpoints that have said 410 are left alone, unless nobody else can take it for good."""
    if not any(way.settles and not way.door.gone for way in ways):
        return (), ways
    return [way for way in ways if way.door.gone], [way for way in ways if not way.door.gone]
