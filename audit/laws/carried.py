"""Was each delivery that counts as made really made? F11, and a courier that marks what it does not send.

    each receipt ``accepted`` of an endpoint (HTTP) has an answer 2xx at the wire, of that notification by that
    line, within 10 s

The answers are noted under the lowest line by who knows nothing of receipts (``alerts.wire_tap``). A tap that
began anew, or says that it missed some, excuses the receipts that came before that word: its last half second may
have died with it. Before a tap has been heard of (a courier of before) nothing is asked. Pure; hours are those of
``audit.attention``.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Final

from audit.law import Difference
from audit.laws.reading import CANARY_LINE
from tocsin.model.audit import WireAnswers
from tocsin.model.episode import Channel, Receipt
from tocsin.model.room import DEFAULT_ROOM

NAME: Final = "carried"
WITHIN_MS: Final = 7_000  # and a look each 2 s: within 10 s of the receipt
KEPT_MS: Final = 600_000  # answers whose receipt waits for a log that was away
DONE: Final = ("accepted", "default_accepted")
SECOND, OWN = "second", "own"  # of the words in Receipt.line

Name = tuple[str, str]
"""A notification, and the line that it went by."""


class Carried:
    """``receipt`` and ``wires`` may come in any order."""

    def __init__(self) -> None:
        self._waiting: dict[Name, tuple[Receipt, int]] = {}
        self._answered: dict[Name, int] = {}
        self._life_ms: int | None = None

    @property
    def name(self) -> str:
        return NAME

    def receipt(self, receipt: Receipt, heard_ms: int) -> None:
        if receipt.result not in DONE or receipt.channel is Channel.UNIT:
            return
        name = (receipt.notification, line_of(receipt))
        if name not in self._answered:
            self._waiting.setdefault(name, (receipt, heard_ms))

    def wires(self, said: WireAnswers, heard_ms: int) -> None:
        if said.since_ms != self._life_ms:
            self._life_ms = said.since_ms
            self._excuse(said.since_ms)
        if said.missed:
            self._excuse(said.at_ms)
        for one in said.answers:
            if 200 <= one.status < 300:
                name = (one.notification, one.line)
                self._answered[name] = heard_ms
                self._waiting.pop(name, None)

    def _excuse(self, before_ms: int) -> None:
        for name, (receipt, _) in list(self._waiting.items()):
            if receipt.t7_ms <= before_ms:
                self._waiting.pop(name)

    def differences(self, now_ms: int) -> list[Difference]:
        """Each once."""
        for name, _ in list(takewhile(lambda one: now_ms - one[1] > KEPT_MS, self._answered.items())):
            self._answered.pop(name)
        due = [name for name, (_, heard_ms) in self._waiting.items() if now_ms - heard_ms >= WITHIN_MS]
        found = []
        for name in due:
            receipt, heard_ms = self._waiting.pop(name)
            if self._life_ms is not None:
                found.append(_difference(receipt, name[1], heard_ms))
        return found


def line_of(receipt: Receipt) -> str:
    """By what word the tap knows the endpoint that this receipt names."""
    if receipt.line == CANARY_LINE:  # the test receiver of invented pairs has a line for each form
        return f"{CANARY_LINE}-{receipt.channel.value}"
    match receipt.channel:
        case Channel.TELEASSISTANCE if receipt.line == SECOND:
            return f"{receipt.channel.value}-{SECOND}"
        case Channel.POLICE if receipt.line == OWN and receipt.recipient not in {"", DEFAULT_ROOM}:
            return f"{receipt.channel.value}-{receipt.recipient}"
        case _:
            return receipt.channel.value


def _difference(receipt: Receipt, line: str, heard_ms: int) -> Difference:
    detail = (
        f"{receipt.notification} of {receipt.episode} counts as taken by {line}, and nothing was answered there"
    )
    return Difference(law=NAME, about=receipt.notification, since_ms=heard_ms + WITHIN_MS, detail=detail)
