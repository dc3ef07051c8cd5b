"""What has the archivist read, and up to which message of the log without a gap?

Its queue gives out again what a dead archivist had in hand, and two transactions may end in any order. So that
another process can count the same stretch of the log, only what lies without a gap behind the first message of
this life is in the tally: ``Stretch.through`` grows when a gap closes. What was another life's is archived,
counted in the accounts, and no part of the stretch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ingest.tally import Counts
from tocsin.adapters.fixes import Archived
from tocsin.errors import WireError
from tocsin.model.fix import Fixes
from tocsin.model.tally import Stretch
from tocsin.ports import Delivery
from tocsin.subjects import Stream
from tocsin.wire import decode_fixes

BEYOND_MAX = 1_000  # messages behind a gap: eight times what is leased; a gap that stays is another process's


class Gapless:
    """One stream as this life has read it."""

    def __init__(self) -> None:
        self.stretch: Stretch | None = None
        self._beyond: dict[int, tuple[int, int]] = {}

    def add(self, sequence: int, attempt: int, rows: int, primary: int) -> None:
        if self.stretch is None:
            if attempt > 1:
                return  # a dead life had it: where this one begins is not known yet
            self.stretch = Stretch(after=sequence - 1, through=sequence - 1)
        if sequence <= self.stretch.through:
            return  # read again
        self._beyond[sequence] = (rows, primary)
        if len(self._beyond) > BEYOND_MAX:
            first = min(self._beyond)
            self.stretch = Stretch(after=first - 1, through=first - 1)
        self._close()

    def _close(self) -> None:
        assert self.stretch is not None
        old = self.stretch
        through, rows, primary = old.through, old.rows, old.primary
        while (found := self._beyond.pop(through + 1, None)) is not None:
            through, rows, primary = through + 1, rows + found[0], primary + found[1]
        self.stretch = Stretch(after=old.after, through=through, rows=rows, primary=primary)


class ArchiveCounts:
    """The archivist's tally. Its account of rows is of primary ones: no others are archived."""

    def __init__(self) -> None:
        self.counts = Counts("archivist", "archive", dict)
        self._streams: dict[str, Gapless] = {}

    def archived(
        self, deliveries: Sequence[Delivery], batches: Sequence[Fixes], archived: Archived, stream: Stream
    ) -> None:
        counts = self.counts
        counts.messages.taken += len(deliveries)
        counts.messages.outcomes["archived"] += len(deliveries)
        outcomes = {
            "archived": archived.rows_inserted,
            "archived_astray": archived.astray,
            "duplicate": archived.duplicates,
        }
        counts.rows.outcomes.update(outcomes)
        for delivery, fixes in zip(deliveries, batches, strict=True):
            counts.rows.taken += self._note(delivery, fixes, stream)
        counts.check()

    def set_aside(self, delivery: Delivery, stream: Stream) -> None:
        """What cannot be read has no rows that anybody could count."""
        self.counts.messages.taken += 1
        self.counts.messages.outcomes["set_aside"] += 1
        try:
            primary = self._note(delivery, decode_fixes(delivery.entry.payload), stream)
        except WireError:
            primary = self._note(delivery, None, stream)
        self.counts.rows.taken += primary
        self.counts.rows.outcomes["set_aside"] += primary

    def _note(self, delivery: Delivery, fixes: Fixes | None, stream: Stream) -> int:
        rows = 0 if fixes is None else len(fixes)
        primary = 0 if fixes is None else int(np.count_nonzero(fixes["primary"]))
        gapless = self._streams.setdefault(stream.name, Gapless())
        gapless.add(delivery.entry.sequence, delivery.attempt, rows, primary)
        if gapless.stretch is not None:
            self.counts.streams[stream.name] = gapless.stretch
        return primary
