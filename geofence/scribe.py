"""Writes a partition's journal, and finds out there whether somebody else is judging the same partition.

Each entry is written with the expected last sequence of its subject. Who loses that race has another worker beside
it, whose ticks it has not seen: it gives up (``PartitionTaken``) instead of judging on from a state of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from geofence import journal
from geofence.durable import until_durable
from geofence.journal import Place, Reading, Tick, Written
from tocsin import subjects
from tocsin.clock import Clock
from tocsin.errors import SequenceConflict, TocsinError
from tocsin.ports import Entry, Log
from tocsin.present import upto_present
from tocsin.subjects import JOURNAL
from tocsin.telemetry import JOURNAL_STEPS

log = structlog.get_logger()


class PartitionTaken(TocsinError):
    """Another worker writes the journal of this partition; this one stops judging it."""


@dataclass(slots=True)
class Scribe:
    """The journal of one partition, written by one life of its worker."""

    log: Log
    partition: int
    life: str
    clock: Clock
    last: int = 0
    """The sequence of the newest entry that this life knows of."""

    async def read(self, covered: Place) -> Reading:
        """The journal behind ``covered``, to the present."""
        entries = await self._behind(covered.sequence)
        self.last = entries[-1].sequence if entries else covered.sequence
        found = journal.read(entries, covered)
        JOURNAL_STEPS.labels("unreadable").inc(len(found.unreadable))
        JOURNAL_STEPS.labels("missing").inc(found.missing)
        if found.unreadable or found.missing:
            log.critical(
                "journal_incomplete", partition=self.partition, behind_step=covered.step, missing=found.missing,
                unreadable=list(found.unreadable), then="go on with what can be read",
            )  # fmt: skip
        return found

    async def _behind(self, sequence: int) -> list[Entry]:
        subject = subjects.journal(self.partition)
        return [
            entry
            async for entries in upto_present(self.log.read(JOURNAL, subject, after=sequence))
            for entry in entries
        ]

    async def write(self, *, step: int, now_ms: int, after: int) -> Written:
        """Return when the tick is durable. Raises PartitionTaken, LogUnavailable."""
        tick = Tick(step=step, now_ms=now_ms, after=after, life=self.life)
        self.last = await until_durable(lambda: self._append(journal.encode(tick)), clock=self.clock, what="tick")
        JOURNAL_STEPS.labels("written").inc()
        return Written(tick=tick, place=Place(step=step, sequence=self.last))

    async def _append(self, payload: bytes) -> int:
        subject = subjects.journal(self.partition)
        try:
            return (await self.log.append(subject, payload, expected_last=self.last)).sequence
        except SequenceConflict as error:
            newest = await self.log.last(JOURNAL, subject)
            if newest is not None and newest.payload == payload:  # ours, of a try that was not confirmed
                return newest.sequence
            if newest is not None or self.last == 0:
                raise PartitionTaken(f"Partition {self.partition}.") from error
        self.last = 0  # what we knew has given way to age
        return await self._append(payload)
