"""Would an alert be safe with this carrier of calls or text messages? What a carrier has to pass; the twin does.

A carrier of a vendor, once there is one, is one more row of CARRIERS, against its own test network. There is
none in this release: the twin keeps the examination honest, and each of its faults is one that the examination
finds.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import Enum

import pytest
from builders import NOW_MS, REALM, entry

from alerts.channels import registry
from alerts.channels.form import Sender
from alerts.desk import handle
from alerts.line import Outcome
from alerts.retries import ACCEPTED
from alerts.voice import BUSY, NO_ANSWER, NOT_CONFIRMED, RESULTS, UNREACHABLE, Carrier
from tocsin.model.episode import FindingCause, Ruling

DEADLINE_S = 5.0


class Callee(Enum):
    """Who is at the other end."""

    PRESSES_THE_KEY = ACCEPTED
    LETS_IT_RING = NO_ANSWER
    TALKS_TO_ANOTHER = BUSY
    IS_A_MAILBOX = NOT_CONFIRMED
    HAS_NO_NETWORK = UNREACHABLE
    NEVER_ENDS = "timeout"


class Fault(Enum):
    """What a careless carrier does."""

    TAKES_A_MAILBOX_FOR_A_HUMAN = "mailbox"
    RINGS_AGAIN_WHO_CONFIRMED = "again"
    RAISES = "raises"
    CUTS_THE_TEXT = "cuts"


@dataclass
class Twin:
    """A telephone network of one number. ``heard``: each text that rang, with its message's name."""

    callee: Callee
    fault: Fault | None = None
    within_s: float = 0.2
    heard: list[tuple[str, str]] = field(default_factory=list)
    confirmed: set[str] = field(default_factory=set)

    async def post(self, message_id: str, body: bytes, content_type: str, wall_ms: int) -> Outcome:
        if message_id in self.confirmed and self.fault is not Fault.RINGS_AGAIN_WHO_CONFIRMED:
            return Outcome(result=ACCEPTED)
        said = body.decode()
        self.heard.append((message_id, said[:20] if self.fault is Fault.CUTS_THE_TEXT else said))
        if self.callee is Callee.HAS_NO_NETWORK and self.fault is Fault.RAISES:
            raise OSError("no network")
        if self.callee is Callee.IS_A_MAILBOX and self.fault is Fault.TAKES_A_MAILBOX_FOR_A_HUMAN:
            return Outcome(result=ACCEPTED)
        return await self._rings(message_id)

    async def _rings(self, message_id: str) -> Outcome:
        try:
            async with asyncio.timeout(self.within_s):
                if self.callee is Callee.NEVER_ENDS:
                    await asyncio.Event().wait()
        except TimeoutError:
            return Outcome(result="timeout")
        if self.callee is Callee.PRESSES_THE_KEY:
            self.confirmed.add(message_id)
        return Outcome(result=self.callee.value)


def _spoken() -> tuple[str, bytes]:
    ruling = handle(None, FindingCause(finding=entry()), REALM, NOW_MS)
    assert isinstance(ruling, Ruling)
    notification = ruling.notifications[0]
    return notification.id, registry.SPOKEN.body(ruling, notification, Sender(site="paca"))


ID, TEXT = _spoken()


async def post(carrier: Carrier, message_id: str = ID) -> str:
    """Within its own time, whatever happens, and a word of the list."""
    async with asyncio.timeout(DEADLINE_S):
        outcome = await carrier.post(message_id, TEXT, registry.SPOKEN.content_type, NOW_MS)
    assert outcome.result in RESULTS
    return outcome.result


async def examine(carrier: Twin) -> None:
    """All that a carrier must do, with whoever is at the other end of it."""
    expected = carrier.callee.value
    assert await post(carrier) == expected, "only a human who confirms is one who has it"
    assert carrier.heard == [(ID, TEXT.decode())], "the whole text, once"
    assert await post(carrier) == expected, "a repetition has the same answer"
    rung = 1 if expected == ACCEPTED else 2
    assert len(carrier.heard) == rung, "who has confirmed it is not rung up again, and whoever has not, is"
    assert await post(carrier, "evt_other") == expected
    assert [one for one, _ in carrier.heard] == [ID] * rung + ["evt_other"], "another message is another"


CARRIERS = {"twin": Twin}


@pytest.mark.parametrize("callee", Callee)
@pytest.mark.parametrize("carrier", CARRIERS.values(), ids=CARRIERS)
async def test_a_carrier_is_one_that_an_alert_may_depend_on(carrier: type[Twin], callee: Callee) -> None:
    await examine(carrier(callee))


@pytest.mark.parametrize(
    ("fault", "callee"),
    [
        (Fault.TAKES_A_MAILBOX_FOR_A_HUMAN, Callee.IS_A_MAILBOX),
        (Fault.RINGS_AGAIN_WHO_CONFIRMED, Callee.PRESSES_THE_KEY),
        (Fault.RAISES, Callee.HAS_NO_NETWORK),
        (Fault.CUTS_THE_TEXT, Callee.PRESSES_THE_KEY),
    ],
)
async def test_the_examination_finds_a_careless_one(fault: Fault, callee: Callee) -> None:
    with pytest.raises((AssertionError, OSError)):
        await examine(Twin(callee, fault))
