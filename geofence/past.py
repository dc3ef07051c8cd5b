"""What is to be said of the past, given what two tracks show, what was alerted then, and what has been said since?

Pure, and a function of sets: fixes, live alerts, what was said. What is said is the difference that the late fixes
make: an incursion that the others show as well, with the same hours and distance, is the live rules' business. If
a live alert of its measure overlaps it, it is no news but a correction of that alert, unless nobody was told of
that one because it was authorised, and this is not. What was said and is seen
better now is superseded; what is not seen any more is taken back. Nothing that was said is changed: names are
derived from what is said, and from what it supersedes.

Milliseconds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np

from geofence import authority
from geofence.assumptions import EXIT_MS, FORGET_MS, LATE_FROM_MS, VISIT_SLACK_MS
from geofence.hindsight import Party, party
from geofence.incursions import ALWAYS, Incursion, stretches
from tocsin.model.finding import Change, Code, Finding, Lateness, Past
from tocsin.model.fix import ClockPoints, FixPoint
from tocsin.model.ids import derived
from tocsin.model.order import Order
from tocsin.model.track import Track, came_late
from tocsin.model.zone import Zone

DECIMETRES: Final = 10.0
REASON: Final = "late_fixes"
TAKEN_BACK: Final = "later_fixes"


class Window(NamedTuple):
    """The hours about which everything is said anew, both included."""

    from_ms: int
    until_ms: int

    def holds(self, first_ms: int, last_ms: int) -> bool:
        """Whether any of it lies in the window."""
        return first_ms <= self.until_ms and last_ms >= self.from_ms


class Visit(NamedTuple):
    """One time that the live rules said PROX_ALERT: ``entry`` is that finding. ``exit_ms`` None: not ended.
    ``authorised``: it was recorded, and nobody was told."""

    entry: str
    entry_ms: int
    exit_ms: int | None
    authorised: bool = False

    def is_of(self, first_ms: int, last_ms: int) -> bool:
        ended_before = self.exit_ms is not None and self.exit_ms + VISIT_SLACK_MS < first_ms
        return not ended_before and self.entry_ms - VISIT_SLACK_MS <= last_ms


class Found(NamedTuple):
    """An incursion that the late fixes show; ``corrects``: the alert that it is about."""

    incursion: Incursion
    allowance: authority.Allowance
    is_cut: bool
    corrects: str | None

    @property
    def is_authorised(self) -> bool:
        """Of what was not seen whole nobody knows whether all of it was."""
        return self.allowance.whole and not self.is_cut


class Tracks(NamedTuple):
    """What the history has of both parties."""

    wearer: Track
    protected: Track

    def timely(self) -> Tracks:
        """What the live rules had."""
        return Tracks(*(track[~came_late(track, LATE_FROM_MS)] for track in self))


def extent(order: Order, tracks: Tracks, window: Window) -> Window:
    """The window, wide enough that no stretch that touches it crosses its edge."""
    reached = stretches(party(tracks.wearer), party(tracks.protected), order.alert_distance_m, _in_force(order))
    touching = [one for one in reached if window.holds(one.begin_ms - EXIT_MS, one.end_ms + EXIT_MS)]
    return Window(
        min([window.from_ms, *(one.begin_ms - EXIT_MS for one in touching)]),
        max([window.until_ms, *(one.end_ms + EXIT_MS for one in touching)]),
    )


def judge(
    order: Order,
    tracks: Tracks,
    window: Window,
    visits: Sequence[Visit],
    said: Sequence[Finding],
    withdrawn: Collection[str] = (),
    over_by_ms: int = ALWAYS[1],
) -> tuple[Finding, ...]:
    """What is to be said now, oldest first. Of what was not ``over_by_ms`` nothing is said yet.

    ``said``: the last version of everything that was ever said of this measure and touches the window;
    ``withdrawn``: the names of those that were taken back.
    """
    parties = party(tracks.wearer), party(tracks.protected)
    timely = tracks.timely()
    before = _found(order, (party(timely.wearer), party(timely.protected)), window)
    seen = _found(order, parties, window)
    going_on = [Window(one.begin_ms, one.end_ms) for one in seen if _goes_on(one, over_by_ms)]
    over = (one for one in seen if not _goes_on(one, over_by_ms))
    found = [_judged(order, one, window, visits) for one in over if not _as_it_was(one, before)]
    known = [one for one in said if _touches(one, window) and not any(_touches(one, each) for each in going_on)]
    return _news(order, parties, found, known, withdrawn)


def is_over(order: Order, tracks: Tracks, window: Window, over_by_ms: int) -> bool:
    """Whether everything in the window can be said by now."""
    parties = party(tracks.wearer), party(tracks.protected)
    return not any(_goes_on(one, over_by_ms) for one in _found(order, parties, window))


def _goes_on(one: Incursion, over_by_ms: int) -> bool:
    return one.end_ms + EXIT_MS > over_by_ms


def _in_force(order: Order) -> tuple[int, int]:
    return order.valid_from_ms, order.valid_until_ms - 1


def _found(order: Order, parties: tuple[Party, Party], window: Window) -> list[Incursion]:
    wearer, protected = parties
    near = stretches(wearer, protected, order.alert_distance_m, _in_force(order))
    inside = [one.incursion for one in near if one.incursion is not None]
    return [one for one in inside if window.holds(one.first_ms, one.last_ms)]


def _judged(order: Order, one: Incursion, window: Window, visits: Iterable[Visit]) -> Found:
    allowance = authority.in_hindsight(
        order, one.first_ms, one.last_ms, one.nearest_ms, one.distance_dm / DECIMETRES
    )
    is_cut = one.begin_ms < window.from_ms or one.end_ms > window.until_ms
    found = Found(one, allowance, is_cut, None)
    return found._replace(corrects=_visit_of(one, visits, authorised=found.is_authorised))


def _visit_of(one: Incursion, visits: Iterable[Visit], *, authorised: bool) -> str | None:
    """The earliest alert that is about the same visit; of one that was authorised nobody was told, and what
    somebody must be told is no correction of it (F23)."""
    same = [
        visit
        for visit in visits
        if visit.is_of(one.first_ms, one.last_ms) and (authorised or not visit.authorised)
    ]
    return min(same, key=lambda visit: (visit.entry_ms, visit.entry)).entry if same else None


def _as_it_was(one: Incursion, before: Iterable[Incursion]) -> bool:
    """Whether the late fixes change nothing that a person would be told: its hours and its least distance."""
    told = (one.first_ms, one.last_ms, one.distance_dm)
    return any((each.first_ms, each.last_ms, each.distance_dm) == told for each in before)


# --- what is news ----------------------------------------------------------------------------------------------


def _news(
    order: Order,
    parties: tuple[Party, Party],
    found: Iterable[Found],
    said: Sequence[Finding],
    withdrawn: Collection[str],
) -> tuple[Finding, ...]:
    standing = {_content(one): one for one in said if one.id not in withdrawn}
    kept: set[str] = set()
    news: list[Finding] = []
    for one in found:
        finding = _finding(order, parties, one, said)
        if known := standing.get(_content(finding)):
            kept.add(known.id)
        else:
            news.append(finding)
    kept |= {one.id for one in standing.values() if any(_takes_the_place(each, one) for each in news)}
    gone = [one for one in standing.values() if one.id not in kept]
    return tuple(sorted([*news, *map(_taken_back, gone)], key=lambda one: (one.at_ms, one.id)))


def _takes_the_place(finding: Finding, said: Finding) -> bool:
    """Whether it is enough that the one supersedes the other: it is about the same alert, or about none either."""
    past, before = finding.past, said.past
    assert past is not None
    assert before is not None
    return said.id in past.supersedes and past.corrects == before.corrects


def _content(finding: Finding) -> tuple[object, ...]:
    """What was said, whatever it superseded."""
    past = finding.past
    assert past is not None
    hours = past.first_ms, past.last_ms, past.nearest_ms
    return *hours, finding.distance_dm, past.corrects, past.late, finding.authorised


def _touches(finding: Finding, window: Window) -> bool:
    return finding.past is not None and window.holds(finding.past.first_ms, finding.past.last_ms)


def _finding(order: Order, parties: tuple[Party, Party], found: Found, said: Iterable[Finding]) -> Finding:
    one, corrects = found.incursion, found.corrects
    visit = Window(one.first_ms, one.last_ms)
    before = [each for each in said if _touches(each, visit)]
    supersedes = tuple(sorted(each.id for each in before))
    name = derived(
        "fnd", order.id, Code.PAST_INCURSION.value, one.first_ms, one.last_ms, one.nearest_ms, one.distance_dm,
        corrects or "", *supersedes,
    )  # fmt: skip
    entry, nearest = _points(order, parties, one.entry_fixes), _points(order, parties, one.nearest_fixes)
    return Finding(
        id=name,
        measure=order.id,
        order_version=order.version,
        code=Code.PAST_INCURSION,
        change=Change.ENTRY,
        before=Zone.ALERT,
        after=Zone.ALERT,
        distance_dm=one.distance_dm,
        lower_dm=one.lower_dm,
        upper_dm=one.upper_dm,
        threshold_m=order.alert_distance_m,
        wearer=nearest[0],
        protected=nearest[1],
        entry=name,
        entry_ms=one.first_ms,
        at_ms=one.first_ms,
        reason=REASON,
        points=ClockPoints(t1_ms=one.first_ms),
        authorised=found.is_authorised,
        past=Past(
            first_ms=one.first_ms,
            last_ms=one.last_ms,
            nearest_ms=one.nearest_ms,
            wearer=entry[0],
            protected=entry[1],
            late=_lateness(order, parties, one),
            corrects=corrects,
            supersedes=supersedes,
            cut=found.is_cut,
            authorised_ms=found.allowance.during_ms,
            below_floor=found.allowance.below_floor,
            untold=bool(before) and all(each.authorised for each in before),
        ),
    )


def _taken_back(said: Finding) -> Finding:
    name = derived("fnd", said.measure, Code.PAST_INCURSION.value, TAKEN_BACK, said.id)
    return msgspec.structs.replace(said, id=name, change=Change.EXIT, entry=said.id, reason=TAKEN_BACK)


def _points(order: Order, parties: tuple[Party, Party], fixes: tuple[int, int]) -> tuple[FixPoint, FixPoint]:
    his, hers = (
        _point(device, one, fix)
        for device, one, fix in zip((order.wearer, order.protected), parties, fixes, strict=True)
    )
    return his, hers


def _point(device: str, one: Party, fix: int) -> FixPoint:
    row = one.fixes[fix]
    told_dm = int(row["accuracy_dm"])
    return FixPoint(
        device=device,
        lat_e6=int(row["lat_e6"]),
        lon_e6=int(row["lon_e6"]),
        accuracy_dm=told_dm if told_dm > 0 else None,
        fix_ms=int(one.at_ms[fix]),
    )


def _lateness(order: Order, parties: tuple[Party, Party], one: Incursion) -> tuple[Lateness, ...]:
    """Of each party that has any: the late fixes that are believed and at most FORGET_MS away from it."""
    found: Mapping[str, Party] = dict(zip((order.wearer, order.protected), parties, strict=True))
    return tuple(late for device, each in found.items() if (late := _late_of(device, each, one)) is not None)


def _late_of(device: str, each: Party, one: Incursion) -> Lateness | None:
    near = (each.at_ms >= one.first_ms - FORGET_MS) & (each.at_ms <= one.last_ms + FORGET_MS)
    rows = np.flatnonzero(near & each.late)
    if not rows.size:
        return None
    delays = each.fixes["delay_ms"][rows]
    return Lateness(
        device=device,
        fixes=int(rows.size),
        first_ms=int(each.at_ms[rows[0]]),
        last_ms=int(each.at_ms[rows[-1]]),
        delay_min_ms=int(delays.min()),
        delay_max_ms=int(delays.max()),
    )
