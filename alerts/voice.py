"""What must a carrier of text messages or calls do, before an alert may depend on it? The port; no vendor is
behind it.

What is said is ``channels.spoken``. A carrier is a door beside ``Line``, with the same question and the same
kind of answer, so that whoever climbs a ladder need not know which it has. Its results are a closed list: only
ACCEPTED means that a human has it. A network that took a text, and a line that was picked up, are not that: a
mailbox picks up too. The examination that a carrier has to pass is ``tests/contracts/test_voice.py``.
"""

from __future__ import annotations

from typing import Final, Protocol

from alerts.line import TIMEOUT, Outcome
from alerts.retries import ACCEPTED

NO_ANSWER: Final = "no_answer"
BUSY: Final = "busy"
NOT_CONFIRMED: Final = "not_confirmed"
"""It was delivered, or picked up, and nobody pressed the key or replied."""
UNREACHABLE: Final = "unreachable"
"""The carrier itself, or the number."""

RESULTS: Final = frozenset({ACCEPTED, NO_ANSWER, BUSY, NOT_CONFIRMED, UNREACHABLE, TIMEOUT})


class Carrier(Protocol):
    """To one number. Whatever happens on the other side is an Outcome of RESULTS, within ``within_s``, never an
    exception.

    ``post``: one attempt. The same ``message_id`` may come again, after a crash or for a repetition: whoever has
    confirmed it is not rung up again, and ACCEPTED is answered. Two messages never become one, nor one two. The
    number and the text are in no log.
    """

    within_s: float

    async def post(self, message_id: str, body: bytes, content_type: str, wall_ms: int) -> Outcome: ...
