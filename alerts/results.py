"""What became of an order? From its sending to the answer of its unit, on the log.

RESULTS has a place for each teller of each order: the API that took it, the downlink that sent or ended it, the
unit that answered (``subjects.result``). What counts is the furthest of what they say (``command.furthest``).

The entry of the sending is the clock of the answer: it is given back to the log until the order has ended, or its
hour has passed and ANSWER_GRACE_MS. Then an order that no unit has answered is EXPIRED, and counted so; a restart
at any moment changes nothing. Where the order carried a notification every step has its receipt, so that the
timeline of the alert shows it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import aiomqtt
import msgspec
import structlog

from tocsin import subjects
from tocsin.clock import MS, Clock
from tocsin.errors import LogUnavailable, WireError
from tocsin.limits import RESULTS_PARALLEL_MAX
from tocsin.model.command import ENDS, Command, CommandStatus, Stage, furthest
from tocsin.model.episode import Receipt
from tocsin.model.ids import derived
from tocsin.ports import Delivery, Log
from tocsin.pulsing import UNSEEN, Returning, Rounds
from tocsin.telemetry import COMMANDS
from tocsin.wire import decode_command_status, encode

ANSWERS_QUEUE: Final = "downlink-answers"
SENT_QUEUE: Final = "downlink-sent"
TAKE_MAX: Final = 256
ANSWER_GRACE_MS: Final = 5 * MS  # an answer of the last second is on its way through broker and ingest
MATCH_WITHIN_MS: Final = 10 * MS  # a unit may answer before the log has that it was told
AGAIN_S: Final = 0.5
LOOK_AGAIN_MAX_S: Final = 30.0

log = structlog.get_logger()

Place = tuple[str, str]
"""Code and subject: where an episode stands."""
NO_PLACE: Final = ("", "")

Resend = Callable[[CommandStatus], Awaitable[None]]
"""Tell a unit what it was told too late, if that is still so. Raises MqttError, LogUnavailable."""


async def known_of(log_: Log, device: str, command: str) -> list[CommandStatus]:
    """All that is known of an order of this name to this device; none: nothing is. Raises LogUnavailable."""
    places = [subjects.result(device, command, teller) for teller in subjects.TELLERS]
    entries = await asyncio.gather(*(log_.last(subjects.RESULTS, place) for place in places))
    return [decode_command_status(entry.payload) for entry in entries if entry is not None]


class Results:
    """What the downlink writes down of an order. Raises LogUnavailable."""

    def __init__(self, log_: Log, clock: Clock) -> None:
        self._log = log_
        self._clock = clock

    async def sent(self, command: Command, receipt: Receipt | None = None, place: Place = NO_PLACE) -> None:
        status = CommandStatus(
            command=command.id, device=command.device, stage=Stage.SENT, at_ms=self._clock.now_ms(), reason="sent",
            action=command.action, expires_ms=command.expires_ms, by=command.by, sentence=command.sentence,
            rings=command.rings, receipt=receipt, code=place[0], subject=place[1],
        )  # fmt: skip
        await self._write(status, subjects.SENT_BY)
        if receipt is not None:
            await self.receipt(place, receipt)

    async def ended(self, command: Command, stage: Stage, reason: str) -> None:
        """It will not be told."""
        status = CommandStatus(
            command=command.id, device=command.device, stage=stage, at_ms=self._clock.now_ms(), reason=reason,
            action=command.action, expires_ms=command.expires_ms, by=command.by, sentence=command.sentence,
        )  # fmt: skip
        await self._write(status, subjects.ENDED_BY)

    async def unanswered(self, sent: CommandStatus) -> None:
        at_ms = self._clock.now_ms()
        ended = msgspec.structs.replace(sent, stage=Stage.EXPIRED, reason="unanswered", at_ms=at_ms)
        await self._write(ended, subjects.ENDED_BY)
        if sent.receipt is not None:
            said = msgspec.structs.replace(sent.receipt, result="unanswered", t7_ms=at_ms)
            await self.receipt((sent.code, sent.subject), said)

    async def _write(self, status: CommandStatus, teller: str) -> None:
        place = subjects.result(status.device, status.command, teller)
        name = derived("cmd", status.device, status.command, teller, status.reason)
        await self._log.append(place, encode(status), dedupe_id=name)

    async def receipt(self, place: Place, receipt: Receipt) -> None:
        name = derived(
            "rct", receipt.notification, receipt.recipient, receipt.attempt, receipt.t7_ms, receipt.result
        )
        await self._log.append(subjects.receipt(*place), encode(receipt), dedupe_id=name)


class Tracker:
    """Follows every order that was sent to its end."""

    def __init__(self, log_: Log, clock: Clock, resend: Resend, rounds: Rounds = UNSEEN) -> None:
        self._log = log_
        self._rounds = rounds
        self._clock = clock
        self._results = Results(log_, clock)
        self._resend = resend

    async def serve(self) -> None:
        """Until cancelled. Answers have a queue of their own: they wait behind no order that waits for one."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._serve(ANSWERS_QUEUE, subjects.UNIT_SAYS, self._heed))
            tasks.create_task(self._serve(SENT_QUEUE, subjects.SENT_BY, self._await_answer))

    async def _serve(
        self, name: str, teller: str, handle: Callable[[CommandStatus], Awaitable[float | None]]
    ) -> None:
        subject = subjects.result("*", "*", teller)
        async with self._log.queue(
            subjects.RESULTS, name, parallel=RESULTS_PARALLEL_MAX, subject=subject
        ) as queue:
            deliveries = Returning(queue, self._rounds, name)
            while True:
                taken = await deliveries.take(TAKE_MAX)
                await asyncio.gather(*(self._settle(one, handle) for one in taken))

    async def _settle(
        self, delivery: Delivery, handle: Callable[[CommandStatus], Awaitable[float | None]]
    ) -> None:
        """``handle`` says in how many seconds to ask again; None: it is settled."""
        try:
            again_s = await handle(decode_command_status(delivery.entry.payload))
        except (LogUnavailable, aiomqtt.MqttError):  # each says so once itself
            again_s = AGAIN_S
        except WireError as error:  # another version's, in the middle of an upgrade
            log.critical("unreadable", subject=delivery.entry.subject, error=str(error))
            again_s = LOOK_AGAIN_MAX_S
        except Exception:  # F02: one that cannot be followed must not stop the others
            log.critical("result_failed", subject=delivery.entry.subject, exc_info=True)
            again_s = LOOK_AGAIN_MAX_S
        if again_s is None:
            await delivery.done()
        else:
            await delivery.again(again_s)

    async def _heed(self, answer: CommandStatus) -> float | None:
        """A unit has answered."""
        last = await self._log.last(
            subjects.RESULTS, subjects.result(answer.device, answer.command, subjects.SENT_BY)
        )
        if last is None:
            if self._clock.now_ms() - answer.at_ms < MATCH_WITHIN_MS:
                return AGAIN_S
            COMMANDS.labels(action="unknown", outcome="unmatched").inc()
            return None
        sent = decode_command_status(last.payload)
        if answer.reason == Stage.EXPIRED.value and answer.at_ms >= (sent.expires_ms or 0):
            await self._resend(sent)  # of one that its unit only thinks expired another would fare no better
        if sent.receipt is not None:
            took = answer.stage in {Stage.DELIVERED, Stage.DONE}
            said = msgspec.structs.replace(
                sent.receipt, result=answer.reason, t7_ms=answer.at_ms, t8_ms=answer.at_ms if took else None
            )
            await self._results.receipt((sent.code, sent.subject), said)
        COMMANDS.labels(action=_word(sent), outcome=answer.reason).inc()
        return None

    async def _await_answer(self, sent: CommandStatus) -> float | None:
        """Until there is one, or it is too late for one."""
        now = furthest(await known_of(self._log, sent.device, sent.command))
        if now is not None and now.stage in ENDS:
            return None
        left_ms = (sent.expires_ms or 0) + ANSWER_GRACE_MS - self._clock.now_ms()
        if left_ms > 0:
            return min(left_ms / MS, LOOK_AGAIN_MAX_S)
        await self._results.unanswered(sent)
        COMMANDS.labels(action=_word(sent), outcome="expired").inc()
        return None


def _word(status: CommandStatus) -> str:
    return "unknown" if status.action is None else status.action.value
