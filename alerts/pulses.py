"""Does what watches the road still live? A dead part cannot say that it is dead; who reads its pulse can. Pure.

Each part that is ``Watched`` writes its pulse into the bucket ``tallies`` every few seconds of the deployment's
clock. One that is expected and older than it may be is a notice about the part; the next pulse ends it. A silence
is said once, under a name that follows from the last pulse before it: another clerk says the same, and what a
human has closed meanwhile stays closed until the part has lived again.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tocsin.clock import MS
from tocsin.model.episode import Episode
from tocsin.model.finding import Change, Code
from tocsin.model.ids import derived
from tocsin.model.notice import Notice

NO_PULSE: Final = "no_pulse"
LIVES: Final = "lives"


class Watched(NamedTuple):
    """``part``: the key of its pulse, and the subject of what is said of it."""

    part: str
    code: Code
    silent_ms: int


CANARY: Final = Watched(
    "canary", Code.SYS_CANARY_FAIL, 180 * MS
)  # as of a pair: three rounds (audit/canary_round.py)


def notice_due(
    watched: Watched, pulse_ms: int | None, since_ms: int, said: Episode | None, now_ms: int
) -> Notice | None:
    """``since_ms``: when the clerk began to look; before that nobody could have seen a pulse. ``said``: the newest
    episode in its place."""
    heard_ms = since_ms if pulse_ms is None else max(pulse_ms, since_ms)
    if now_ms - heard_ms < watched.silent_ms:
        lasts = said is not None and said.lasts and pulse_ms is not None and pulse_ms > said.raises[-1].at_ms
        return _end(watched, said, now_ms) if lasts and said is not None else None
    begun = _begin(watched, pulse_ms or 0, now_ms)
    is_said = said is not None and (said.lasts or begun.id in said.causes)
    return None if is_said else begun


def _begin(watched: Watched, pulse_ms: int, now_ms: int) -> Notice:
    name = derived("ntc", watched.code.value, watched.part, "entry", pulse_ms)
    return Notice(
        id=name, code=watched.code, subject=watched.part, change=Change.ENTRY, at_ms=now_ms, entry=name,
        entry_ms=now_ms, reason=NO_PULSE, facts=(("part", watched.part),),
    )  # fmt: skip


def _end(watched: Watched, said: Episode, now_ms: int) -> Notice:
    newest = said.raises[-1]
    return Notice(
        id=derived("ntc", newest.cause, Change.EXIT), code=watched.code, subject=watched.part, change=Change.EXIT,
        at_ms=now_ms, entry=newest.cause, entry_ms=newest.at_ms, reason=LIVES,
    )  # fmt: skip
