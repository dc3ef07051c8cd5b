"""Does what watches the road still live? A dead part cannot say that it is dead; who reads its pulse can. Pure.

Each part that is ``Watched`` writes its pulse into the bucket ``tallies`` every few seconds, by both clocks, and
is judged by one of them. One that is expected and older than it may be is a notice about the part, said again
each hour in which it is still silent and a human has closed the alert; the next pulse ends it. Its name follows
from the last pulse and the hour of the silence: another clerk says the same.
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
from tocsin.model.pulse import Pulse
from tocsin.subjects import AUDITOR_PULSE, CANARY_PULSE

NO_PULSE: Final = "no_pulse"
LIVES: Final = "lives"
AGAIN_MS: Final = 3_600 * MS


class Watched(NamedTuple):
    """``part``: the key of its pulse, and the subject of what is said of it. ``hour``: by which clock."""

    part: str
    code: Code
    silent_ms: int
    hour: Callable[[Pulse], int]


AUDITOR: Final = Watched(AUDITOR_PULSE, Code.SYS_AUDIT, 60 * MS, attrgetter("wall_ms"))
"""It looks each 2 s of the machine's time, in a replay too."""
CANARY: Final = Watched(CANARY_PULSE, Code.SYS_CANARY_FAIL, 180 * MS, attrgetter("at_ms"))
"""As of a pair: three rounds (audit/canary_round.py)."""


def age_ms(watched: Watched, pulse: Pulse, now: Pulse) -> int:
    return watched.hour(now) - watched.hour(pulse)


def notice_due(
    watched: Watched, pulse: Pulse | None, since: Pulse, said: Episode | None, now: Pulse
) -> Notice | None:
    """``since``: when the clerk began to look: whoever started with it is given its time. ``said``: the newest
    episode in its place."""
    silence_ms = age_ms(watched, pulse or since, now)
    if min(silence_ms, age_ms(watched, since, now)) >= watched.silent_ms:
        begun = _begin(watched, pulse or since, silence_ms, now)
        return None if said is not None and (said.lasts or begun.id in said.causes) else begun
    lives = pulse is not None and silence_ms < watched.silent_ms
    return _end(watched, said, now) if lives and said is not None and said.lasts else None


def _begin(watched: Watched, heard: Pulse, silence_ms: int, now: Pulse) -> Notice:
    name = derived("ntc", watched.code.value, watched.part, watched.hour(heard), silence_ms // AGAIN_MS)
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
