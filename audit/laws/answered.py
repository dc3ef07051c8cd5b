"""Does an urgent alert go on to the next human when its hour has come? DOMAIN section 4; F26, F35, invariant 7.

    an open P1 whose next rung is due is climbed, or taken, within 10 s; so is an acknowledgement that has expired

The hours, by this file's own table: nobody has it: all operators at 10 s, the supervisor at 20 s, the back-up
site at 30 s; the last two again each 5 min (60 min once it is over). Nobody has decided about the police: they
hear of it at 60 s, where the site has agreed so. Who has it and does nothing loses it after 120 s.

Counted from the hour at which the ruling was read, by what it says itself of its hours, so that no clock that was
set wrong is believed. Pure; hours are those of ``audit.attention``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from audit.law import Difference
from audit.laws.reading import Place
from tocsin.model.episode import Episode, Ruling, Rung, State
from tocsin.model.protocol import PoliceMode

NAME: Final = "answered"
WITHIN_MS: Final = 7_000  # and a look each 2 s: within 10 s of its hour
AFTER_MS: Final = {Rung.OPERATORS: 10_000, Rung.SUPERVISOR: 20_000, Rung.BACKUP_SITE: 30_000}
AGAIN: Final = (Rung.SUPERVISOR, Rung.BACKUP_SITE)
AGAIN_MS: Final = 300_000
OVER_AGAIN_MS: Final = 3_600_000
POLICE_MS: Final = 60_000
URGENT: Final = 1


class _Waits(msgspec.Struct, frozen=True, kw_only=True):
    """``due_ms``: of the next step, by our own hours; ``what``: its word."""

    episode: str
    version: int
    due_ms: int
    what: str


class Answered:
    """``rate``: milliseconds of the deployment's clock in one of the machine's; above 1 in a replay alone."""

    def __init__(self, mode: PoliceMode = PoliceMode.AUTO_ON_TIMEOUT, rate: float = 1.0) -> None:
        self._mode = mode
        self._rate = rate
        self._waits: dict[Place, _Waits] = {}

    @property
    def name(self) -> str:
        return NAME

    def ruling(self, place: Place, ruling: Ruling, heard_ms: int, age_ms: int = 0) -> None:
        """``age_ms``: how long before we heard of it it was made, by the deployment's clock."""
        self._waits.pop(place, None)
        episode = ruling.episode
        steps = sorted(_steps(episode, self._mode))
        if episode.priority != URGENT or not episode.is_open or not steps:
            return
        at_ms, what = steps[0]
        left_ms = int(max(0, at_ms - ruling.at_ms - age_ms) / self._rate)
        self._waits[place] = _Waits(
            episode=episode.id, version=episode.version, due_ms=heard_ms + left_ms + WITHIN_MS, what=what
        )

    def differences(self, now_ms: int) -> list[Difference]:
        """Each once: a step that is not made is no further step."""
        due = [place for place, one in self._waits.items() if now_ms >= one.due_ms]
        return [_difference(place, self._waits.pop(place)) for place in due]


def _steps(episode: Episode, mode: PoliceMode) -> Iterator[tuple[int, str]]:
    """Hours of the deployment's clock."""
    if episode.state is State.ACKNOWLEDGED and episode.acknowledgement_expires_ms is not None:
        yield episode.acknowledgement_expires_ms, "expiry"
    if episode.state is State.RAISED and episode.waiting_ms is not None:
        yield from _rungs(episode, episode.waiting_ms)
    alarms = episode.lasts and not episode.raises[-1].authorised
    if alarms and mode is PoliceMode.AUTO_ON_TIMEOUT and episode.undecided_ms is not None:
        yield episode.undecided_ms + POLICE_MS, Rung.POLICE.value


def _rungs(episode: Episode, waiting_ms: int) -> Iterator[tuple[int, str]]:
    reached = {one.rung: one.at_ms for one in episode.rungs}
    again_ms = AGAIN_MS if episode.lasts and not episode.raises[-1].authorised else OVER_AGAIN_MS
    for rung, after_ms in AFTER_MS.items():
        if rung not in reached:
            yield waiting_ms + after_ms, rung.value
        elif rung in AGAIN:
            yield reached[rung] + again_ms, rung.value


def _difference(place: Place, one: _Waits) -> Difference:
    detail = f"{one.episode} ({place[0]}, version {one.version}): its step '{one.what}' was due and nobody made it"
    return Difference(law=NAME, about=one.episode, since_ms=one.due_ms, detail=detail)
