"""Was everything that opens, raises or ends an alert ruled upon, at its place, in time? F02, F26; invariant 1.

    each ENTRY, each alarm, each notice, each EXIT that has to end something
        is the event, or among the causes, of a ruling at its place within 7 s, and before one that came behind it

When the desk may rightly leave something as it is: ``audit.laws.reading`` for what can be seen in the message
itself, ``_is_explained`` for what depends on the episode (it was applied before; a human has closed what this
would end, judge or worsen). A proof has to be found only in an alert that lasts, and has more time: it waits for
the entry that it proves.

A desk that is behind is not one that drops: while many wait and it goes on ruling, what has not been overtaken by
its like gets LATE_MS. What was overtaken 3 s ago was left out, and is said at 4 s; where nothing passed it the
desk may be on its way back, which takes a restart some seconds. Pure; hours are those of ``audit.attention``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from itertools import takewhile
from typing import Final

import msgspec

from audit.law import Difference
from audit.laws.reading import Awaited, Place, cause_of
from tocsin.limits import PROOF_EARLY_MAX_S
from tocsin.model.episode import Episode, Ruling, State

NAME: Final = "ruled"

WITHIN_MS: Final = 7_000  # a restart begins to rule after 2 to 5 s; with a look each 2 s paged within 10 s
LEFT_OUT_MS: Final = 4_000  # a killed dispatcher's lease ends after 3 s: what it had in hand is not left out yet
PROOF_WITHIN_MS: Final = 45_000  # one that came before its entry is tried again each 30 s at most
BEHIND_FROM: Final = 100  # the desk rules on hundreds a second: fewer than this are no backlog
MOVING_MS: Final = 3_000
LATE_MS: Final = 30_000
URGENT_LATE_MS: Final = 8_000
RECENT_MS: Final = 120_000  # of rulings: readers of two streams are never so far apart while both are followed
RECENT_MAX: Final = 200_000  # ten minutes of a desk that rules on hundreds a second
CLOSED_MS: Final = 3_600_000  # what ends a closed episode comes from the same unit, within the hour
AWAITED_MAX: Final = 200_000  # ten minutes of a storm that a desk would need an hour for


class _Stands(msgspec.Struct, kw_only=True):
    """What is known of one place. ``before``: causes of episodes that humans have closed there; ``first_ms``: of
    its earliest raising; ``heard_ms``: of its newest ruling."""

    causes: frozenset[str]
    before: frozenset[str]
    state: State
    first_ms: int
    heard_ms: int

    @property
    def is_open(self) -> bool:
        return self.state not in {State.CLOSED, State.FOLDED}


class _Lane:
    """How far a queue of like causes has come: the newest sequence that was ruled upon, by hour."""

    def __init__(self) -> None:
        self._newest: list[int] = []
        self._hours: list[int] = []

    def ruled(self, sequence: int, at_ms: int) -> None:
        if not self._newest or sequence > self._newest[-1]:
            self._newest.append(sequence)
            self._hours.append(at_ms)

    def overtaken_ms(self, sequence: int) -> int | None:
        """Since when one behind this has been ruled upon."""
        index = bisect_right(self._newest, sequence)
        return self._hours[index] if index < len(self._hours) else None

    def forget(self, before_ms: int) -> None:
        gone = min(bisect_right(self._hours, before_ms), max(0, len(self._hours) - 1))
        del self._hours[:gone], self._newest[:gone]


class Ruled:
    """``await_``: something was found. ``ruling``: the desk has spoken; ``standing``: where it has left a
    place."""

    def __init__(self) -> None:
        self._awaited: dict[tuple[Place, str], tuple[Awaited, int]] = {}
        self._recent: dict[tuple[Place, str], int] = {}
        self._places: dict[Place, _Stands] = {}
        self._lanes: defaultdict[str, _Lane] = defaultdict(_Lane)
        self._ruled_ms = -MOVING_MS

    @property
    def name(self) -> str:
        return NAME

    def await_(self, one: Awaited, heard_ms: int) -> None:
        if (one.place, one.id) in self._recent:
            self._lanes[one.lane].ruled(one.sequence, heard_ms)
        else:
            self._awaited[one.place, one.id] = (one, heard_ms)

    def standing(self, place: Place, ruling: Ruling, heard_ms: int) -> None:
        episode = ruling.episode
        self._places[place] = _Stands(
            causes=frozenset(episode.causes),
            before=_before(episode),
            state=episode.state,
            first_ms=min(one.at_ms for one in episode.raises),
            heard_ms=heard_ms,
        )

    def ruling(self, place: Place, ruling: Ruling, heard_ms: int) -> None:
        self.standing(place, ruling, heard_ms)
        self.recall(place, ruling, heard_ms)

    def recall(self, place: Place, ruling: Ruling, heard_ms: int) -> None:
        """What was ruled, wherever the episode stands by now."""
        cause = cause_of(ruling.event)
        if cause is None:
            return
        self._ruled_ms = heard_ms
        self._recent[place, cause] = heard_ms
        if len(self._recent) > RECENT_MAX:  # while no look succeeds nothing is forgotten by its hour
            self._recent.pop(next(iter(self._recent)))
        found = self._awaited.pop((place, cause), None)
        if found is not None:
            self._lanes[found[0].lane].ruled(found[0].sequence, heard_ms)

    def differences(self, now_ms: int) -> list[Difference]:
        """Each once."""
        self._forget(now_ms)
        found = []
        for key, (one, heard_ms) in list(self._awaited.items()):
            if self._is_explained(one):
                self._awaited.pop(key)
            elif self._is_due(one, heard_ms, now_ms):
                self._awaited.pop(key)
                if not one.is_proof or self._proves(one):
                    found.append(_difference(one, heard_ms))
        return found

    def _is_explained(self, one: Awaited) -> bool:
        stands = self._places.get(one.place)
        if stands is None:
            return False
        if one.id in stands.causes:
            return True
        closed = stands.before if stands.is_open else stands.causes
        if one.alarm is not None and one.alarm in closed:
            return True  # a human closed what rang before it was judged
        ends_or_worsens = one.entry != one.id and one.entry in closed
        return ends_or_worsens and (one.is_latched or (one.is_exit and stands.state is not State.FOLDED))

    def _proves(self, one: Awaited) -> bool:
        """Whether an alert lasts that it is about: else it waits, for as long as the desk keeps it."""
        stands = self._places.get(one.place)
        early_ms = PROOF_EARLY_MAX_S * 1_000
        return stands is not None and stands.is_open and one.at_ms >= stands.first_ms - early_ms

    def _is_due(self, one: Awaited, heard_ms: int, now_ms: int) -> bool:
        waited_ms = now_ms - heard_ms
        if one.is_proof:
            return waited_ms >= PROOF_WITHIN_MS
        if waited_ms < LEFT_OUT_MS:
            return False
        overtaken_ms = self._lanes[one.lane].overtaken_ms(one.sequence)
        if overtaken_ms is not None and now_ms - overtaken_ms >= MOVING_MS:
            return True
        if waited_ms < WITHIN_MS:
            return False
        if waited_ms >= (URGENT_LATE_MS if one.is_urgent else LATE_MS) or len(self._awaited) > AWAITED_MAX:
            return True
        return len(self._awaited) < BEHIND_FROM or now_ms - self._ruled_ms >= MOVING_MS

    def _forget(self, now_ms: int) -> None:
        old = list(takewhile(lambda one: now_ms - one[1] > RECENT_MS, self._recent.items()))
        for key, _ in old:
            self._recent.pop(key)
        for lane in self._lanes.values():
            lane.forget(now_ms - RECENT_MS)
        closed = [
            place
            for place, one in self._places.items()
            if one.state is State.CLOSED and now_ms - one.heard_ms > CLOSED_MS
        ]
        for place in closed:
            self._places.pop(place)


def _before(episode: Episode) -> frozenset[str]:
    """An episode remembers the causes of those before it; its own begin with that of its first raising."""
    first = episode.raises[0].cause
    place = episode.causes.index(first) if first in episode.causes else 0
    return frozenset(episode.causes[:place])


def _difference(one: Awaited, heard_ms: int) -> Difference:
    what = "end" if one.is_exit else "beginning"
    detail = f"the {what} {one.id} ({one.lane}, {one.sequence}) was ruled upon by nobody at {one.place[0]}"
    return Difference(law=NAME, about=one.id, since_ms=heard_ms + WITHIN_MS, detail=detail)
