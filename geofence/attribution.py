"""Who approached? The change of distance between two crossings, split into the wearer's share and hers (F19).

A *leg* runs from one crossing to the next: of the distance from which on the units report more often
(FAR_DISTANCES), of the pre-alert ring, of the alert ring, and out again. Where both stood at its beginning is
remembered; at its end both are compared with it. Nothing is accumulated in between: crossings are found at the
same look whichever fixes the guard band skips (``band.Band``) and however they were cut into batches, what
lies between them is not.

With W, P the places then and W', P' the places now, both carried to the same instants, the way from |W - P| to
|W' - P'| can be walked in two orders: he first, or she first. A share is the mean of what its owner's move changes
in both (Shapley value). It is the only split that adds up to the whole, treats both alike, and gives nothing to
whoever did not move; in the limit of short legs it is the displacement projected on the line between the two.

A standing person's fixes scatter: a displacement counts only if it exceeds VELOCITY_SIGMAS of what the accuracies
of its two ends alone would show, the bound of ``motion.velocity``. Beyond it counts whole: shrinking it as a
velocity is shrunk (James-Stein) would take from whoever moved less, at 50 m accuracy up to a third of his way.

A leg in which somebody was not seen twice, or that is short against that scatter (CLEAR_SHARE), is not clear: an
entry is then counted from one crossing earlier.

Metres; what is said is in whole decimetres. Pure.
"""

from __future__ import annotations

from math import sqrt
from typing import Final, NamedTuple

from geofence.assumptions import ATTRIBUTED_MIN_M, CLEAR_SHARE, FAR_S, LEG_MAX_MS, VELOCITY_SIGMAS
from geofence.motion import UNHEARD_MS, Mover, Vector
from geofence.pair_state import CODE_OF_RING, Look, PairState, Reason, Said
from geofence.remembered import Origin, Place
from geofence.separation import Separation
from tocsin.geodesy import chord_m
from tocsin.model.finding import Change, Code

RINGS: Final = frozenset(CODE_OF_RING.values())
UNSEEN: Final = frozenset({Reason.UNCONFIRMED_INSIDE, Reason.LATE_INSIDE})
"""Crossings shown by a fix that is not where he is believed to be: his place says nothing of them."""
NOISE: Final = VELOCITY_SIGMAS * VELOCITY_SIGMAS


class Parts(NamedTuple):
    """How much nearer each has come by what he or she did; below 0: farther."""

    wearer_m: float
    protected_m: float


def attribute(look: Look, seen: Separation | None) -> None:
    """Behind the rules of one look: say of each crossing who approached, or who went, and begin the next leg."""
    state, crossed = look.state, False
    for index, said in enumerate(look.said):
        if said.code in RINGS and said.reason not in UNSEEN:
            look.said[index] = _with_parts(said, look, seen)
            crossed = True
        elif (said.code, said.change) == (Code.IMMINENT, Change.ENTRY) and _fresh(look) is None:
            state.origin, state.earlier = (
                _one_fix_ago(look),
                None,
            )  # near for long, and now on the way: that is what counts
    if state.interval_s == FAR_S or look.is_known:
        begin_leg(state, look.movers, look.now_ms, crossed=crossed)


def begin_leg(state: PairState, movers: tuple[Mover, Mover], now_ms: int, *, crossed: bool) -> None:
    """The leg that a crossing begins, or an interval other than that of those who are far apart; both known."""
    if state.interval_s == FAR_S:
        state.origin = state.earlier = None
    elif crossed or state.origin is None:
        state.origin, state.earlier = origin_at(movers, now_ms), state.origin


def _with_parts(said: Said, look: Look, seen: Separation | None) -> Said:
    if seen is None or not seen.is_live:
        return said
    origin = _beginning(look, said.change)
    if origin is None:
        return said
    parts = parts_of(origin, look)
    return said._replace(wearer_dm=round(10 * parts.wearer_m), protected_dm=round(10 * parts.protected_m))


def wearer_share_pct(wearer_dm: int, protected_dm: int, change: Change) -> int | None:
    """Of an approach, or behind an exit of the going apart: the wearer's part of it. Whoever went the other way
    has none of it. None: nobody moved enough to say."""
    sign = 1 if change is Change.ENTRY else -1
    his, hers = max(0, sign * wearer_dm), max(0, sign * protected_dm)
    return round(100 * his / (his + hers)) if his + hers >= 10 * ATTRIBUTED_MIN_M else None


def parts_of(origin: Origin, look: Look) -> Parts:
    """The two shares of what has become of the distance since ``origin``."""
    w0, p0 = _metres(origin.wearer), _metres(origin.protected)
    w1 = _moved(w0, look.wearer, look.now_ms, origin.wearer_accuracy_dm / 10)
    p1 = _moved(p0, look.protected, look.now_ms, origin.protected_accuracy_dm / 10)
    start_m, end_m = chord_m(w0, p0), chord_m(w1, p1)
    he_alone_m, she_alone_m = chord_m(w1, p0), chord_m(w0, p1)
    return Parts(
        (start_m - he_alone_m + she_alone_m - end_m) / 2,
        (start_m - she_alone_m + he_alone_m - end_m) / 2,
    )


def _moved(start: Vector, mover: Mover, now_ms: float, accuracy_m: float) -> Vector:
    """Where he has come to, if that is farther than noise."""
    end = mover.place_at(now_ms)
    way = (end[0] - start[0], end[1] - start[1], end[2] - start[2])
    squared = way[0] * way[0] + way[1] * way[1] + way[2] * way[2]
    return end if squared > _noise_m2(mover, accuracy_m) else start


# --- where a leg began ---------------------------------------------------------------------------------------


def _beginning(look: Look, change: Change) -> Origin | None:
    origin, earlier = _fresh(look), look.state.earlier
    if origin is None:
        return _one_fix_ago(look)
    if (
        earlier is None
        or change is Change.EXIT
        or look.now_ms - earlier.at_ms > LEG_MAX_MS
        or _is_clear(origin, look)
    ):
        return origin
    return earlier


def _is_clear(origin: Origin, look: Look) -> bool:
    """Whether both were seen twice, and the leg is long against what the fixes of a standing person scatter."""
    parts = parts_of(origin, look)
    noise_m = sqrt(
        max(
            _noise_m2(look.wearer, origin.wearer_accuracy_dm / 10),
            _noise_m2(look.protected, origin.protected_accuracy_dm / 10),
        )
    )
    is_seen = all(mover.before_ms >= origin.at_ms for mover in look.movers)
    return is_seen and noise_m <= CLEAR_SHARE * (parts.wearer_m + parts.protected_m)


def _noise_m2(mover: Mover, accuracy_m: float) -> float:
    """What a displacement must exceed, squared."""
    return NOISE * (accuracy_m * accuracy_m + mover.accuracy_m * mover.accuracy_m)


def _fresh(look: Look) -> Origin | None:
    """The beginning that is remembered, unless it is so long ago that it says nothing of this approach."""
    origin = look.state.origin
    return origin if origin is not None and look.now_ms - origin.at_ms <= LEG_MAX_MS else None


def _one_fix_ago(look: Look) -> Origin | None:
    """Both at the newer of the two fixes before the last: who comes straight in has no other beginning."""
    at_ms = max(mover.before_ms for mover in look.movers)
    if at_ms == UNHEARD_MS or look.now_ms - at_ms > LEG_MAX_MS:
        return None
    return origin_at(look.movers, int(at_ms))


def origin_at(movers: tuple[Mover, Mover], at_ms: int) -> Origin:
    wearer, protected = movers
    return Origin(
        at_ms,
        _place(wearer.place_at(at_ms)),
        _place(protected.place_at(at_ms)),
        round(10 * wearer.accuracy_m),
        round(10 * protected.accuracy_m),
    )


def _place(metres: Vector) -> Place:
    return round(10 * metres[0]), round(10 * metres[1]), round(10 * metres[2])


def _metres(place: Place) -> Vector:
    return place[0] / 10, place[1] / 10, place[2] / 10
