"""Up to which hour is the history of a unit's positions over?

A position belongs to the measure that its unit served at that hour, and to the one that ends last where there were
several; its time is that of the measure's file (``tocsin.retention``: R631-11). Between two measures, and from the
last one until it is revoked, a unit serves nobody: what it said then has the time of a measure that ended when the
next one began, or when it was revoked. A unit that waits in a drawer has no such end: the one bound of all fixes
takes those (``TOCSIN_FIXES_KEPT_DAYS``).

What is later never has less time: of two hours, either the later one lies within the measure that decides about
the earlier one, or beyond its end. So what is over is always everything before one *edge*, and that is all that
has to be remembered of a unit. What is held stands still, and what is behind it with it. Pure; milliseconds, UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tocsin.chain import KeptAs
from tocsin.retention import File, Hold, Name, Terms, Verdict, What, Word, verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A measure that a unit served, within [from_ms, until_ms). ``names``: all by which its file can be held."""

    from_ms: int
    until_ms: int
    names: frozenset[Name]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitLife:
    """``first_ms``: before it the unit has measured nothing. ``erased_ms``: everything before it is gone.
    ``unproved``: something went of which no link says so yet."""

    id: str
    number: int
    first_ms: int
    revoked_ms: int | None
    erased_ms: int
    services: Sequence[Service]
    unproved: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """Everything before ``at_ms`` is over. ``said``: what was decided of that which begins there; None: it has no
    end yet, or there is nothing more."""

    at_ms: int
    said: Verdict | None


def edge_of(life: UnitLife, holds: Sequence[Hold], now_ms: int, terms: Terms) -> Edge:
    """``holds``: those that stand, of measures and of units."""
    at_ms = max(life.first_ms, life.erased_ms)
    while (piece := _piece(life, at_ms)) is not None:
        until_ms, file = piece
        said = verdict(file, holds, now_ms, terms)
        if said.word is not Word.OVER:
            return Edge(at_ms=at_ms, said=said)
        at_ms = until_ms
    return Edge(at_ms=at_ms, said=None)


def _piece(life: UnitLife, at_ms: int) -> tuple[int, File] | None:
    """The end of what begins there and is judged by one file, and that file."""
    serving = [one for one in life.services if one.from_ms <= at_ms < one.until_ms]
    next_ms = min((one.from_ms for one in life.services if one.from_ms > at_ms and one.from_ms < one.until_ms),
                  default=None)  # fmt: skip
    unit = frozenset({(What.DEVICE, life.id)})
    if serving:
        ends_ms = max(one.until_ms for one in serving)
        names = unit.union(*(one.names for one in serving))
        end_ms = min(ends_ms, next_ms or ends_ms)
        return end_ms, File(kept_as=KeptAs.MEASURE_FILE, from_ms=ends_ms, names=names)
    if next_ms is None and (life.revoked_ms is None or life.revoked_ms <= at_ms):
        return None
    ends_ms = next_ms if next_ms is not None else life.revoked_ms or at_ms
    return ends_ms, File(kept_as=KeptAs.MEASURE_FILE, from_ms=ends_ms, names=unit)
