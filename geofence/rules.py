"""In which order are the rules of a pair asked, after which cause? Pure.

A cause is a believed fix, one that is not believed or came out of order, the hour, or a message without a place.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from geofence import authority, silence, standing
from geofence.approach import judge_approach
from geofence.assumptions import LATE_MS, POOR_DM
from geofence.cadence import tell
from geofence.devices import Verdict
from geofence.motion import Mover, Seen, is_reachable
from geofence.pair_state import Look
from geofence.probing import watch_quiet
from geofence.separation import Separation
from tocsin.limits import STRAGGLER_MAX_S

STRAGGLER_MAX_MS: Final = 1000 * STRAGGLER_MAX_S
DISBELIEVED: Final = frozenset({Verdict.POOR, Verdict.IMPLAUSIBLE})


class Heard(NamedTuple):
    """A fix that needs a thought: the device before it, the fix, the accuracy it told, when it came."""

    before: Mover
    fix: Seen
    told_dm: int
    received_ms: float


def judge_believed(look: Look, seen: Separation | None, role: int) -> None:
    if seen is not None:
        standing.judge_rings(look, role, seen)
        judge_approach(look, seen)
        authority.judge_floor(look, seen)
        watch_quiet(look)
    silence.judge_silence(look)
    if seen is not None:
        standing.judge_certainty(look, seen, by_fix=True)
        tell(look, seen)


def judge_unbelieved(
    look: Look, seen: Separation | None, role: int, verdict: Verdict, heard: Heard, valid_from_ms: int
) -> None:
    """A poor or implausible fix may be the truth; one that was overtaken may have seen what no other has; an old
    one is history."""
    partner, is_inside = look.movers[1 - role], False
    if verdict in DISBELIEVED and partner.is_known and not look.state.alert.inside:
        is_inside = standing.suspect(look, role, heard.fix, heard.told_dm)
    if verdict is Verdict.OUT_OF_ORDER and seen is not None and _is_straggler(heard, valid_from_ms):
        standing.reconsider(look, role, heard.fix)
    silence.judge_silence(look)
    if is_inside or look.state.alert.inside:  # a straggler's alert ends UNCERTAIN too
        standing.judge_certainty(look, seen, by_fix=False)


def _is_straggler(heard: Heard, valid_from_ms: int) -> bool:
    """Whether a fix that was overtaken is young, beside what overtook it and when it came, good and possible, and
    the measure was in force."""
    before, fix = heard.before, heard.fix
    newer = Seen(before.at_ms, before.place, before.accuracy_m)
    is_young = fix.at_ms >= max(before.at_ms - STRAGGLER_MAX_MS, heard.received_ms - LATE_MS)
    is_good = heard.told_dm <= POOR_DM and is_reachable(fix.place, fix.at_ms, fix.accuracy_m, newer)
    return is_young and is_good and fix.at_ms >= valid_from_ms


def judge_hour(look: Look, seen: Separation | None) -> None:
    standing.judge_hour(look, seen)
    silence.judge_silence(look, by_clock=True)
    standing.judge_certainty(look, seen, by_fix=False)


def judge_losses(look: Look, _: Separation | None) -> None:
    silence.judge_silence(look)
