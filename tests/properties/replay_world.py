"""A whole partition that lives through a stream, second by second, and keeps what a worker keeps: a snapshot at
one moment and behind each change of its measures, the entries of FIXES and the ticks of JOURNAL; and everything
that it found behind the first of these."""

from __future__ import annotations

import numpy as np
from geofence_streams import NO_FIXES, T0_MS

from geofence import engine, journal, snapshot
from geofence.pair_table import PairTable, Roster
from geofence.snapshot import Snapshot
from tocsin.model.finding import Finding


class Partition:
    """``split``: how many messages are one entry of FIXES, in turn."""

    def __init__(self, roster: Roster, *, split: tuple[int, ...] = (1,)) -> None:
        self.table, _ = engine.revise(PairTable(Roster()), roster, T0_MS)
        self.entries: list[tuple[int, np.ndarray]] = []
        self.ticks: list[journal.Written] = []
        self.found: list[Finding] = []
        self.kept = b""
        self.revised: list[bytes] = []
        self._split = split

    def live(
        self, fixes: np.ndarray, *, kept_at: int, revised_at: int = -1, rosters: tuple[Roster, ...] = ()
    ) -> None:
        """``kept_at``: in front of which entry the snapshot is taken; ``rosters``: in force one after the other,
        from entry ``revised_at`` on, ten entries each."""
        cuts = np.cumsum(np.resize(self._split, fixes.size))
        next_s = T0_MS // 1000 + 1
        for number, batch in enumerate(np.split(fixes, cuts[cuts < fixes.size])):
            if number == kept_at:
                self.keep()
            until_s = int(batch["t3_ms"][0]) // 1000
            self._seconds(next_s, until_s)
            next_s = max(next_s, until_s + 1)
            if number >= max(revised_at, kept_at) >= 0 and (turn := number - revised_at) % 10 == 0:
                self._revise(rosters[turn // 10 : turn // 10 + 1], 1000 * next_s - 400)
            self.entries.append((7 * len(self.entries) + 3, batch))  # other partitions' lie between
            self.found.extend(engine.step(self.table, batch, 0).findings)
        if not self.kept:
            self.keep()
        self._seconds(next_s, next_s + 200)

    def _seconds(self, first_s: int, last_s: int) -> None:
        for second in range(first_s, last_s + 1):
            if engine.is_due(self.table, 1000 * second):
                self._tick(1000 * second)

    def _tick(self, now_ms: int) -> None:
        step, after = len(self.ticks) + 1, self.entries[-1][0] if self.entries else 0
        tick = journal.Tick(step=step, now_ms=now_ms, after=after, life="a life")
        self.ticks.append(journal.Written(tick=tick, place=journal.Place(step=step, sequence=step)))
        self.found.extend(engine.step(self.table, NO_FIXES, now_ms).findings)

    def _revise(self, rosters: tuple[Roster, ...], now_ms: int) -> None:
        for roster in rosters:
            before = self.table
            self.table, step = engine.revise(before, roster, now_ms)
            self.found.extend(step.findings)
            if self.table is not before:
                self.revised.append(self._dump())

    def keep(self) -> None:
        """The snapshot; what was found before it is forgotten."""
        self.kept, self.found = self._dump(), []

    def _dump(self) -> bytes:
        sequence = self.entries[-1][0] if self.entries else 0
        place = self.ticks[-1].place if self.ticks else journal.START
        return snapshot.dump(Snapshot(table=self.table, sequence=sequence, place=place))

    def snapshot(self) -> Snapshot:
        return snapshot.load(self.kept)

    def revisions(self) -> list[Snapshot]:
        return [snapshot.load(one) for one in self.revised]
