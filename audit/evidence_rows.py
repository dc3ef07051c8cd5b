"""Which rows of the record follow from the payloads of a package?

The tables of what happened: rulings (with the episode and its notifications), attempts, accesses, commands and
their results. The tables of what *is* in force get nothing: an order that came in as evidence must not begin to be
watched. Shell, and the reading before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from audit.package_reader import RunRead
from tocsin.adapters.accesses import AccessRecord, RecordedAccess
from tocsin.adapters.commands import CommandRecord, RecordedCommand, RecordedResult
from tocsin.adapters.episodes import EpisodeRecord, RecordedReceipt, RecordedRuling
from tocsin.adapters.postgres import Pool
from tocsin.chain import Kind, Link
from tocsin.clock import Clock
from tocsin.model.access import Access
from tocsin.model.command import Command, CommandStatus
from tocsin.model.episode import Receipt, Ruling


class _RulingNoun(msgspec.Struct, frozen=True, kw_only=True):
    sequence: int
    ruling: Ruling


class _CommandNoun(msgspec.Struct, frozen=True, kw_only=True):
    sequence: int
    command: Command


class _ResultNoun(msgspec.Struct, frozen=True, kw_only=True):
    sequence: int
    status: CommandStatus


Noun = _RulingNoun | Receipt | Access | _CommandNoun | _ResultNoun

NOUNS: Final[dict[Kind, msgspec.json.Decoder[Any]]] = {
    Kind.RULING: msgspec.json.Decoder(_RulingNoun),
    Kind.ATTEMPT: msgspec.json.Decoder(Receipt),
    Kind.ACCESS: msgspec.json.Decoder(Access),
    Kind.COMMAND: msgspec.json.Decoder(_CommandNoun),
    Kind.RESULT: msgspec.json.Decoder(_ResultNoun),
}


@dataclass(slots=True)
class Rows:
    rulings: list[RecordedRuling] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    accesses: list[RecordedAccess] = field(default_factory=list)
    commands: list[RecordedCommand] = field(default_factory=list)
    results: list[RecordedResult] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    def add(self, run: RunRead) -> None:
        for link in run.links:
            if link.number in run.opened and link.kind in NOUNS:
                self._add(link, run.opened[link.number].payload)

    def _add(self, link: Link, payload: bytes) -> None:
        try:
            noun = NOUNS[link.kind].decode(payload)
        except msgspec.DecodeError as error:
            self.unreadable.append(
                f"{link.chain} {link.number}: this version cannot read the {link.kind}: {error}"
            )
            return
        self._place(link, noun)

    def _place(self, link: Link, noun: Noun) -> None:
        """No payload says where an access was on the log: its place in the chain of its day stands for that."""
        match noun:
            case _RulingNoun(sequence=sequence, ruling=ruling):
                self.rulings.append(RecordedRuling(sequence=sequence, ruling=ruling))
            case Receipt():
                self.receipts.append(noun)
            case Access():
                self.accesses.append(RecordedAccess(sequence=link.number, access=noun))
            case _CommandNoun(sequence=sequence, command=command):
                self.commands.append(RecordedCommand(sequence=sequence, command=command))
            case _ResultNoun(sequence=sequence, status=status):
                self.results.append(RecordedResult(sequence=sequence, status=status))

    async def keep(self, pool: Pool, clock: Clock) -> None:
        """Behind the links that they belong to, so that nothing is linked a second time. May be repeated."""
        await EpisodeRecord(pool, clock=clock).record_rulings(self.rulings)
        await EpisodeRecord(pool, clock=clock).record_receipts(list(self._placed()))
        await AccessRecord(pool, clock=clock).record_accesses(self.accesses)
        await CommandRecord(pool, clock=clock).record_commands(self.commands)
        await CommandRecord(pool, clock=clock).record_results(self.results)

    def _placed(self) -> Iterable[RecordedReceipt]:
        """With code and subject of their episode; where no ruling is kept nobody knows them, nor needs to: what is
        linked already is not linked again."""
        places = {one.ruling.episode.id: one.ruling.episode for one in self.rulings}
        for receipt in self.receipts:
            episode = places.get(receipt.episode)
            code, subject = ("", "") if episode is None else (episode.code.value, episode.subject)
            yield RecordedReceipt(code=code, subject=subject, receipt=receipt)
