"""What did a measure cost both parties, and who came near whom? CPP R24-22: either may ask for other distances.

Counted over the alerts of one measure that were opened in a window; what an order allowed, and what an incident of
many units explained, rang nobody and is counted apart. *Who approached* adds up how much nearer each party came by
moving, over the raisings where that is known (``model.finding``): only coming nearer counts. Local hours are those
of the place of the court (``zone``), as people live by them.

Pure; milliseconds; distances are decimetres.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo

from tocsin.clock import utc
from tocsin.model.episode import DeedKind, Episode, Outcome, Party, Raise, State
from tocsin.model.finding import Code

UNFOUNDED = frozenset({Outcome.FALSE_ALARM, Outcome.TECHNICAL})


@dataclass(frozen=True, slots=True, kw_only=True)
class OfCode:
    """``rang_her``: alerts that her unit has shown. ``called_him``: calls and orders to the wearer. ``lasted_ms``:
    how long they lasted in all, of those that are over."""

    code: Code
    alerts: int
    raisings: int
    unfounded: int
    rang_her: int
    called_him: int
    lasted_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Approach:
    """Of the raisings of rings: by how much each came nearer in all. ``share_pct``: the wearer's, None where
    nobody moved; ``mostly_wearer``, ``mostly_protected``: raisings of which one made more than two thirds."""

    known: int
    unknown: int
    wearer_dm: int
    protected_dm: int
    share_pct: int | None
    mostly_wearer: int
    mostly_protected: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Burden:
    """``hours``: raisings that rang somebody, by local hour of the day (24)."""

    alerts: int
    raisings: int
    authorised: int
    explained: int
    by_code: tuple[OfCode, ...]
    approach: Approach
    hours: tuple[int, ...]


MOSTLY_PCT = 67


def burden(episodes: Iterable[Episode], shown_her: Collection[str], zone: tzinfo) -> Burden:
    """Of the alerts of one measure. ``shown_her``: the ids of those that her unit has ever shown."""
    known = list(episodes)
    told = [one for one in known if not one.authorised and one.state is not State.FOLDED]
    raised = [each for one in told for each in one.raises]
    by_code: dict[Code, list[Episode]] = {}
    for one in told:
        by_code.setdefault(one.code, []).append(one)
    return Burden(
        alerts=len(told),
        raisings=len(raised),
        authorised=sum(one.authorised for one in known),
        explained=sum(one.state is State.FOLDED for one in known),
        by_code=tuple(_of_code(code, some, shown_her) for code, some in sorted(by_code.items())),
        approach=approach(raised),
        hours=_hours(raised, zone),
    )


def _of_code(code: Code, some: Sequence[Episode], shown_her: Collection[str]) -> OfCode:
    return OfCode(
        code=code,
        alerts=len(some),
        raisings=sum(len(one.raises) for one in some),
        unfounded=sum(one.outcome in UNFOUNDED for one in some),
        rang_her=sum(one.id in shown_her for one in some),
        called_him=sum(_is_to_him(deed.kind, deed.party) for one in some for deed in one.deeds),
        lasted_ms=sum(one.over_ms - one.raises[0].at_ms for one in some if one.over_ms is not None),
    )


def _is_to_him(kind: DeedKind, party: Party | None) -> bool:
    return kind in {DeedKind.CALL, DeedKind.ORDER} and party is Party.WEARER


def approach(raised: Iterable[Raise]) -> Approach:
    """Who came near, over these raisings. A raising of a key, a place or a unit is none of a ring."""
    rings = [one for one in raised if one.threshold_m and one.zone is None and not one.event]
    known = [one for one in rings if one.wearer_approach_dm is not None and one.protected_approach_dm is not None]
    wearer = sum(max(0, one.wearer_approach_dm or 0) for one in known)
    protected = sum(max(0, one.protected_approach_dm or 0) for one in known)
    shares = [one.wearer_share_pct for one in known if one.wearer_share_pct is not None]
    return Approach(
        known=len(known),
        unknown=len(rings) - len(known),
        wearer_dm=wearer,
        protected_dm=protected,
        share_pct=round(100 * wearer / (wearer + protected)) if wearer + protected else None,
        mostly_wearer=sum(share >= MOSTLY_PCT for share in shares),
        mostly_protected=sum(share <= 100 - MOSTLY_PCT for share in shares),
    )


def _hours(raised: Iterable[Raise], zone: tzinfo) -> tuple[int, ...]:
    counted: Mapping[int, int] = Counter(utc(one.at_ms).astimezone(zone).hour for one in raised)
    return tuple(counted.get(hour, 0) for hour in range(24))
