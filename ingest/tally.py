"""What does a part of ingest count, so that nothing can get lost between the door and the log unnoticed?

Three accounts, each with its own beginning and its own end: *messages*, from the broker's hand to its PUBACK;
*reports*, of which a bulk has many, from the reading to the outcome; *rows*, from what was admitted (once per
partition) to what the log has confirmed. Beginnings are counted at the door, ends where they are settled, and what
is in hand is looked up in between: a report that falls out on the way leaves a difference, and that is the law
that ``check`` asks at each flush. It never raises: who counts must not keep a key from being heard.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import structlog

from tocsin.clock import Clock
from tocsin.errors import LogUnavailable
from tocsin.model.tally import Account, Stretch, Tally
from tocsin.ports import Bucket
from tocsin.telemetry import ACCEPTED_MINUS_OUTCOMES, IN_HAND
from tocsin.wire import encode

WRITE_EVERY_S = 1.0
MESSAGES, REPORTS, ROWS = "messages", "reports", "rows"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """One message that the log has. ``known``: it had it already, under the same name."""

    stream: str
    sequence: int
    rows: int
    primary: int
    known: bool = False


@dataclass(slots=True)
class Book:
    """One account while it is kept."""

    taken: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)

    def account(self, in_hand: int) -> Account:
        return Account(taken=self.taken, outcomes=dict(self.outcomes), in_hand=in_hand)


@dataclass(slots=True)
class Counts:
    """What one life of one part has counted. ``lane``: its word in metrics; ``in_hand``: looks up how much of each
    account the part holds at this moment, absent is nothing."""

    part: str
    lane: str
    in_hand: Callable[[], Mapping[str, int]]
    messages: Book = field(default_factory=Book)
    reports: Book = field(default_factory=Book)
    rows: Book = field(default_factory=Book)
    streams: dict[str, Stretch] = field(default_factory=dict)
    listening_ms: int = 0
    life: str = field(default_factory=lambda: secrets.token_hex(8))
    _told: bool = False

    def confirm(self, confirmed: Iterable[Confirmed]) -> None:
        """All that one flush has put on the log, at once: a tally between two of them would be of neither."""
        before = {name: stretch.through for name, stretch in self.streams.items()}
        for one in confirmed:
            if one.known and one.sequence <= before.get(one.stream, 0):
                self.rows.outcomes["known"] += one.rows  # it was counted when the log first had it
                continue
            self.rows.outcomes["appended"] += one.rows
            old = self.streams.get(one.stream) or Stretch(after=one.sequence - 1)
            self.streams[one.stream] = Stretch(
                after=min(old.after, one.sequence - 1),
                through=max(old.through, one.sequence),
                rows=old.rows + one.rows,
                primary=old.primary + one.primary,
            )

    def accounts(self) -> dict[str, Account]:
        held = self.in_hand()
        books = {MESSAGES: self.messages, REPORTS: self.reports, ROWS: self.rows}
        return {name: book.account(held.get(name, 0)) for name, book in books.items()}

    def check(self) -> None:
        """The law. Shown each time, logged once in a life: what is lost stays lost, and the difference with it."""
        accounts = self.accounts()
        for name, account in accounts.items():
            ACCEPTED_MINUS_OUTCOMES.labels(lane=self.lane, counted=name).set(account.difference)
        IN_HAND.labels(lane=self.lane).set(accounts[MESSAGES].in_hand)
        wrong = {name: account.difference for name, account in accounts.items() if account.difference}
        if wrong and not self._told:
            self._told = True
            log.critical("conservation_broken", lane=self.lane, differences=wrong)

    def tally(self, at_ms: int) -> Tally:
        return Tally(
            part=self.part,
            life=self.life,
            at_ms=at_ms,
            accounts=self.accounts(),
            streams=dict(self.streams),
            listening_ms=self.listening_ms,
        )


async def write_for_ever(counts: Counts, tallies: Bucket | None, clock: Clock) -> None:
    """Once a second, until cancelled; None: counted, and written nowhere. A second that the bucket does not take
    is told by the next."""
    while True:
        counts.check()
        if tallies is not None:
            try:
                await tallies.put(counts.part, encode(counts.tally(clock.now_ms())))
            except LogUnavailable as error:
                log.info("tally_not_written", error=str(error))
        await asyncio.sleep(WRITE_EVERY_S)
