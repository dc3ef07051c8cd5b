"""Did all that ingest says it put on the log arrive there, and all that is there reach the archivist?

The law of conservation, read by another program: each part's *tally* (``tocsin.model.tally``) says how many rows
it put on a stream, or read from it, up to which message; the auditor reads the stream for itself and counts. On
FIXES and LATE both agree, in rows and in primary rows. On ALARMS there are at least as many as one reader has
confirmed: two readers write the same ones. And within a tally what was taken is what became of it and what is in
hand.

Compared from tally to tally of one life of a part: what a life did before the auditor began, or in its last second
without a tally, is not compared, and a restart is no difference. Pure; milliseconds, hours handed in.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from audit.law import Difference
from tocsin.clock import MS
from tocsin.model.tally import Stretch, Tally
from tocsin.subjects import ALARMS

NAME = "conservation"
LASTS_MS = 5 * MS  # what agrees within that was under way
SILENT_MS = 60 * MS  # a part that is restarted is back within seconds
ASKED_WITHIN_MS = 5 * MS  # who asks later was asleep, and has not read the tallies of meanwhile either
SAID_MAX = 64  # accounts of lives whose difference has been said
KEPT_MAX = 50_000  # messages of a stream that are remembered: four minutes at a batch each 5 ms


@dataclass(slots=True)
class Counted:
    """One stream as the auditor reads it: running totals by sequence, of the newest KEPT_MAX messages. ``begins``:
    it has counted everything behind this sequence."""

    begins: int
    end: int
    sequences: deque[int] = field(default_factory=lambda: deque(maxlen=KEPT_MAX))
    totals: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=KEPT_MAX))
    rows: int = 0
    primary: int = 0
    forgotten: tuple[int, int] = (0, 0)

    def add(self, sequence: int, rows: int, primary: int) -> None:
        if len(self.sequences) == KEPT_MAX:
            self.begins, self.forgotten = self.sequences[0], self.totals[0]
        self.rows, self.primary, self.end = self.rows + rows, self.primary + primary, sequence
        self.sequences.append(sequence)
        self.totals.append((self.rows, self.primary))

    def between(self, after: int, through: int) -> tuple[int, int]:
        """Rows and primary rows behind ``after``, up to and with ``through``."""
        (rows, primary), (less_rows, less_primary) = self._upto(through), self._upto(after)
        return rows - less_rows, primary - less_primary

    def _upto(self, sequence: int) -> tuple[int, int]:
        place = bisect_right(self.sequences, sequence)
        return self.totals[place - 1] if place else self.forgotten


@dataclass(slots=True)
class Compared:
    """One part on one stream: ``base`` agreed, ``newest`` is what it says now. ``wrong_ms``: since when not."""

    life: str
    base: Stretch
    newest: Stretch
    wrong_ms: int | None = None


class Conservation:
    """``audit.law.Law``. ``rate``: of the clock, so that a replay is not hurried."""

    name = NAME

    def __init__(self, rate: float = 1.0) -> None:
        self._lasts_ms = int(LASTS_MS * max(1.0, rate))
        self._silent_ms = int(SILENT_MS * max(1.0, rate))
        self._counted: dict[str, Counted] = {}
        self._compared: dict[tuple[str, str], Compared] = {}
        self._heard_ms: dict[str, int] = {}
        self._quiet: set[str] = set()
        self._awake_ms = int(ASKED_WITHIN_MS * max(1.0, rate))
        self._asked_ms: int | None = None
        self._accounts: dict[tuple[str, str, str], tuple[int, int]] = {}
        self._said: deque[tuple[str, str, str]] = deque(maxlen=SAID_MAX)

    # --- what it hears --------------------------------------------------------------------------------------

    def begin(self, stream: str, after: int) -> None:
        """The auditor reads this stream from behind this message."""
        self._counted[stream] = Counted(begins=after, end=after)

    def on_log(self, stream: str, sequence: int, rows: int, primary: int) -> None:
        counted = self._counted[stream]
        if sequence <= counted.end:  # the stream was made anew: what was compared is of another
            self.begin(stream, sequence - 1)
            self._compared = {key: one for key, one in self._compared.items() if key[1] != stream}
            counted = self._counted[stream]
        counted.add(sequence, rows, primary)

    def tallied(self, tally: Tally, now_ms: int) -> None:
        self._heard_ms[tally.part] = now_ms
        self._quiet.discard(tally.part)
        for stream, stretch in tally.streams.items():
            if stream in self._counted:
                self._note(tally, stream, stretch)
        self._accounts = {
            key: one for key, one in self._accounts.items() if key[0] != tally.part or key[1] == tally.life
        }
        for name, account in tally.accounts.items():
            key = (tally.part, tally.life, name)
            if not account.difference:
                self._accounts.pop(key, None)
            else:  # it may grow meanwhile: since when is since the first
                _, since_ms = self._accounts.get(key, (0, now_ms))
                self._accounts[key] = (account.difference, since_ms)

    def away(self, now_ms: int) -> None:
        """The log could not be asked: nobody could write a tally either."""
        self._heard_ms = dict.fromkeys(self._heard_ms, now_ms)

    def _note(self, tally: Tally, stream: str, stretch: Stretch) -> None:
        key = (tally.part, stream)
        known = self._compared.get(key)
        if known is None or known.life != tally.life or known.base.after != stretch.after:
            counted = self._counted[stream]
            whole = counted.begins <= stretch.after
            base = Stretch(after=stretch.after, through=stretch.after) if whole else stretch
            self._compared[key] = Compared(tally.life, base, stretch)
        else:
            known.newest = stretch

    # --- what it says ---------------------------------------------------------------------------------------

    def differences(self, now_ms: int) -> list[Difference]:
        return [*self._of_streams(now_ms), *self._of_accounts(now_ms), *self._of_silence(now_ms)]

    def _of_streams(self, now_ms: int) -> Iterator[Difference]:
        for (part, stream), one in self._compared.items():
            counted, newest, base = self._counted[stream], one.newest, one.base
            if base.through < counted.begins:  # forgotten on our side: begin again
                one.base, one.wrong_ms = newest, None
                continue
            if newest.through > counted.end:
                continue  # not read yet
            rows, primary = counted.between(base.through, newest.through)
            says, says_primary = newest.rows - base.rows, newest.primary - base.primary
            agrees = rows >= says if stream == ALARMS.name else (rows, primary) == (says, says_primary)
            if agrees:
                one.base, one.wrong_ms = newest, None
            elif one.wrong_ms is None:
                one.wrong_ms = now_ms
            elif now_ms - one.wrong_ms >= self._lasts_ms:
                detail = (
                    f"{part} says {says} rows ({says_primary} primary) in messages {base.through + 1} to "
                    f"{newest.through} of {stream}; there are {rows} ({primary})."
                )
                yield Difference(law=NAME, about=f"{stream}:{part}", since_ms=one.wrong_ms, detail=detail)
                one.base, one.wrong_ms = newest, None

    def _of_accounts(self, now_ms: int) -> Iterator[Difference]:
        for key, (difference, since_ms) in self._accounts.items():
            part, _, name = key
            if now_ms - since_ms < self._lasts_ms or key in self._said:
                continue
            self._said.append(key)
            what = "have no outcome" if difference > 0 else "have an outcome and were never taken"
            detail = f"{part}: {abs(difference)} {name} {what}."
            yield Difference(law=NAME, about=f"{name}:{part}", since_ms=since_ms, detail=detail)

    def _of_silence(self, now_ms: int) -> Iterator[Difference]:
        asleep_ms = now_ms - (now_ms if self._asked_ms is None else self._asked_ms) - self._awake_ms
        self._asked_ms = now_ms
        if asleep_ms > 0:  # no part has been silent in hours in which nobody listened
            self._heard_ms = {part: min(at_ms + asleep_ms, now_ms) for part, at_ms in self._heard_ms.items()}
        for part, heard_ms in self._heard_ms.items():
            if now_ms - heard_ms >= self._silent_ms and part not in self._quiet:
                self._quiet.add(part)
                detail = f"{part} has counted nothing for {SILENT_MS // MS} s, and the log can be written."
                yield Difference(law=NAME, about=part, since_ms=heard_ms, detail=detail)
