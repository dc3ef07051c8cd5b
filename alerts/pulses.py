"""Does what nobody else would miss still go round? A part that is dead, or alive and standing still, cannot say
so; who reads its pulse can. Pure.

Each part that is ``Watched`` writes its pulse into the bucket ``tallies`` as its loops go round
(``tocsin.pulsing``), by both clocks. One that is expected and older than it may be is a notice about the part,
said again each hour in which it is still silent and a human has closed the alert; the next pulse ends it. Its name
follows from the last pulse and the hour of the silence: another clerk says the same. Silence is counted from when
the pulse was last seen to be another one, and only in time in which it could have been heard (``Hearing``): a look
that the log did not answer, a machine that slept and a clock that was set are counted out, and what was silence
before them stays silence.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Final, NamedTuple

from tocsin.clock import MS
from tocsin.model.episode import Episode
from tocsin.model.finding import Change, Code
from tocsin.model.ids import derived
from tocsin.model.notice import Notice
from tocsin.model.pulse import LOOPS, Pulse
from tocsin.subjects import AUDITOR_PULSE, CANARY_PULSE

NO_PULSE: Final = "no_pulse"
LIVES: Final = "lives"
AGAIN_MS: Final = 3_600 * MS


class Watched(NamedTuple):
    """``part``: the key of its pulse, and the subject of what is said of it. ``hours``: by which clocks; it is
    silent when it has been by each of them."""

    part: str
    code: Code
    silent_ms: int
    hours: tuple[Callable[[Pulse], int], ...]


WALL: Final = attrgetter("wall_ms")
AT: Final = attrgetter("at_ms")
AUDITOR: Final = Watched(AUDITOR_PULSE, Code.SYS_AUDIT, 60 * MS, (WALL,))
"""It looks each 2 s of the machine's time, in a replay too."""
CANARY: Final = Watched(CANARY_PULSE, Code.SYS_CANARY_FAIL, 180 * MS, (AT,))
"""As of a pair: three rounds (audit/canary_round.py)."""
PARTS: Final = tuple(Watched(part, Code.SYS_AUDIT, silent_s * MS, (WALL, AT)) for part, silent_s in LOOPS.items())
"""Some loops sleep by the one clock, some by the other."""


def age_ms(watched: Watched, pulse: Pulse, now: Pulse) -> int:
    return min(hour(now) - hour(pulse) for hour in watched.hours)


class Heard(NamedTuple):
    """``since``: from when on this pulse would have been followed by another; by our hearing (``Hearing.now``).
    ``changes``: whether it was seen to be followed by another in this life."""

    pulse: Pulse | None
    since: Pulse
    changes: bool


class Hearing:
    """How much time has passed in which a pulse would have been seen, by both clocks, and since when each part was
    not heard in it. ``late_ms``: whoever looks so late was asleep, and so perhaps was everybody."""

    def __init__(self, now: Pulse, late_ms: int) -> None:
        self._looked = now
        self._late_ms = late_ms
        self._heard: dict[str, Heard] = {}
        self.now = Pulse(at_ms=0, wall_ms=0)

    def deaf(self, now: Pulse) -> None:
        """Nothing could be read at this look: what passed before it does not count."""
        self._looked = now

    def look(self, now: Pulse) -> bool:
        """Whether what has passed counts: not where we slept, nor where a clock was set back."""
        at_ms, wall_ms = now.at_ms - self._looked.at_ms, now.wall_ms - self._looked.wall_ms
        self._looked = now
        counts = min(at_ms, wall_ms) >= 0 and min(at_ms, wall_ms) < self._late_ms
        if counts:
            self.now = Pulse(at_ms=self.now.at_ms + at_ms, wall_ms=self.now.wall_ms + wall_ms)
        return counts

    def hear(self, part: str, pulse: Pulse | None) -> Heard:
        """What stands there now. What is read first counts as heard when we began: it is given its time."""
        before = self._heard.get(part)
        if before is None:
            before = Heard(pulse, Pulse(at_ms=0, wall_ms=0), changes=False)
        elif before.pulse != pulse:
            before = Heard(pulse, self.now, changes=True)
        self._heard[part] = before
        return before

    def silence_ms(self, watched: Watched, heard: Heard) -> int:
        return age_ms(watched, heard.since, self.now)


def notice_due(watched: Watched, heard: Heard, unheard_ms: int, said: Episode | None, now: Pulse) -> Notice | None:
    """``unheard_ms``: for how long it could have been heard and was not. ``said``: the newest episode there."""
    if unheard_ms >= watched.silent_ms:
        begun = _begin(watched, heard.pulse or _ago(unheard_ms, now), unheard_ms, now)
        return None if said is not None and (said.lasts or begun.id in said.causes) else begun
    return _end(watched, said, now) if _lives(watched, heard, now) and said is not None and said.lasts else None


def _lives(watched: Watched, heard: Heard, now: Pulse) -> bool:
    """What was there when we began is a sign of life by its hour alone."""
    if heard.pulse is None:
        return False
    return heard.changes or abs(age_ms(watched, heard.pulse, now)) < watched.silent_ms


def _ago(ms: int, now: Pulse) -> Pulse:
    return Pulse(at_ms=now.at_ms - ms, wall_ms=now.wall_ms - ms)


def _begin(watched: Watched, heard: Pulse, unheard_ms: int, now: Pulse) -> Notice:
    """Named by the pulse's own hour, which every clerk reads; by our hearing where that one is to come."""
    silence_ms = max(age_ms(watched, heard, now), unheard_ms)
    name = derived("ntc", watched.code.value, watched.part, watched.hours[0](heard), silence_ms // AGAIN_MS)
    return Notice(
        id=name, code=watched.code, subject=watched.part, change=Change.ENTRY, at_ms=now.at_ms, entry=name,
        entry_ms=now.at_ms, reason=NO_PULSE, facts=(("part", watched.part), ("silent_s", str(silence_ms // MS))),
    )  # fmt: skip


def _end(watched: Watched, said: Episode, now: Pulse) -> Notice:
    newest = said.raises[-1]
    return Notice(
        id=derived("ntc", newest.cause, Change.EXIT), code=watched.code, subject=watched.part, change=Change.EXIT,
        at_ms=now.at_ms, entry=newest.cause, entry_ms=newest.at_ms, reason=LIVES,
    )  # fmt: skip
