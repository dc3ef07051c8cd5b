"""Which hour does an alert set by itself, and what happens then? (DOMAIN section 4, escalation; F24, F26, F35)

    next_step(episode, protocol) -> Step | None
    kept(before, after, now) -> Episode

Everything is derived from the episode: nothing is remembered elsewhere, so that a restart at any moment changes
nothing, and two that wait for the same hour find the same. ``kept`` sets the zeroes of the hours at each ruling,
from what the episode was and what it has become; nobody else sets them.

| zero           | set                                                    | ends                                  |
|----------------|--------------------------------------------------------|---------------------------------------|
| waiting_ms     | raised, released, expired; anew when more urgent       | a human takes it                      |
| lasting_ms     | raised, or raised again after it was over              | over, closed                          |
| undecided_ms   | it becomes a P1 that the police may have to hear of    | a decision; the rooms hear of it;     |
|                |                                                        | a re-entry REENTRY_WITHIN_S after over|

Who has it stops the ladder of humans; a *decision* stops the police: 60 s without one, taken or not, and the rooms
hear of it. What is over stops the police and every rung of P2 and P3; a P1 that is over still climbs to a human,
for only a human ends it (invariant 7). A raising again does not set the ladder back, nor the hour of the police:
whoever comes and goes cannot keep it from climbing. It has no end: what nobody takes is told again (REPEATS).

All of it is "ours" (DOMAIN section 4), as data below; no other timer stands on the road of an alert. Pure;
milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from alerts.catalogue import CATALOGUE
from tocsin import limits
from tocsin.clock import MS
from tocsin.model.episode import Deed, DeedKind, Episode, Party, Reached, Reply, Rung, State
from tocsin.model.finding import Code
from tocsin.model.protocol import PoliceMode, Protocol
from tocsin.retention import FORGET_POSITION_AFTER_S, pressed_ms

URGENT_PRIORITY: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Climb:
    """``rung`` is reached ``after_s`` seconds without a human; POLICE without a decision."""

    rung: Rung
    after_s: int


LADDERS: Final[Mapping[int, tuple[Climb, ...]]] = MappingProxyType(
    {
        1: (
            Climb(rung=Rung.OPERATORS, after_s=10),
            Climb(rung=Rung.SUPERVISOR, after_s=20),
            Climb(rung=Rung.BACKUP_SITE, after_s=30),
            Climb(rung=Rung.POLICE, after_s=60),
        ),
        2: (
            Climb(rung=Rung.OPERATORS, after_s=60),
            Climb(rung=Rung.SUPERVISOR, after_s=120),
            Climb(rung=Rung.URGENT, after_s=180),
        ),
        3: (Climb(rung=Rung.OPERATORS, after_s=300), Climb(rung=Rung.SUPERVISOR, after_s=900)),
    }
)
"""By priority; the best operator has it at 0 s, by the first notification. P4 and P5 have none."""

REPEATED: Final = frozenset({Rung.SUPERVISOR, Rung.BACKUP_SITE})
"""The last humans of a ladder hear of it again for as long as nobody has it: the alert waits for somebody whom the
first telling did not reach, or whose platform was away meanwhile (F26, invariant 7)."""

REPEATS: Final[Mapping[int, int]] = MappingProxyType({1: 5 * 60, 2: 15 * 60, 3: 60 * 60})
"""Seconds, by priority; ours. P1: a téléassistance that comes back knows within the time that the P3 give all its
operators. P2 that does not close, P3: no more often than a human can judge it again. Each is a ruling."""
OVER_REPEATS: Final = REPEATS[3]
"""Seconds: of a P1 that is over nothing gets worse, and its humans are at work on those that last."""

HANDED_TO_POLICE: Final = frozenset(code for code, row in CATALOGUE.items() if row.hand_off) | {
    Code.RF_PROXIMITY,
    Code.STRAP_TAMPER,
}
"""Of which the operator's duty ends at C (DOMAIN section 4): the rooms hear of them by themselves; of the
last two, which a unit says, not before their time. The rest of the P1, silences and the system's own, are nothing
that a patrol could be sent for; a human may hand them off."""

HER_UNIT_AFTER_S: Final = 15  # invariant 18, F16: unless it is confirmed before
NO_ANSWER_AFTER_S: Final = 60  # PREALERT_NO_ANSWER: calls failed for so long, or so long behind an order
ASK_AGAIN_S: Final = 10  # who was not closing is looked at again: one interval of the pre-alert band


POSITION_KEPT: Final = frozenset({Code.TGD_SOS, Code.TGD_SOS_SILENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Blinder:
    """``priority`` from ``after_s`` behind that hour of blind risk on, as long as it lasts."""

    priority: int
    hour: Literal["blind_worst_ms", "blind_plausible_ms"]
    after_s: int


BLINDER: Final[Mapping[Code, Blinder]] = MappingProxyType(
    {
        # A loss: from then on he may be there, at the worst speed.
        Code.W_GNSS_LOSS: Blinder(priority=2, hour="blind_worst_ms", after_s=0),
        Code.W_COMMS_LOSS: Blinder(priority=2, hour="blind_worst_ms", after_s=0),
        # It begins at the plausible hour; a tunnel ends within two minutes, and what lasts longer is none.
        Code.DEGRADED: Blinder(priority=1, hour="blind_plausible_ms", after_s=120),
    }
)
"""STRAP_TAMPER, SEPARATION and V_DEVICE_OFF are graded by the geofence, which raises them again."""


class Kind(StrEnum):
    """The reason of the ruling."""

    EXPIRED = "expired"
    ESCALATED = "escalated"
    HER_UNIT = "her_unit_told"
    NO_ANSWER = "no_answer"
    STILL_CLOSING = "still_closing"
    BLIND = "blind_risk"
    FORGOTTEN = "position_forgotten"


class Asks(StrEnum):
    """Whether the wearer still comes nearer matters: MAYBE: not known counts as yes. SURELY: it does not, for he
    has said that he complies."""

    NOTHING = "nothing"
    MAYBE = "maybe"
    SURELY = "surely"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    at_ms: int
    kind: Kind
    rung: Rung | None = None
    asks: Asks = Asks.NOTHING

    def is_answered(self, closing: bool | None) -> bool:
        """Whether what is known of him lets it happen."""
        return self.asks is Asks.NOTHING or closing is True or (closing is None and self.asks is Asks.MAYBE)


def next_step(episode: Episode, protocol: Protocol, closing: bool | None = True) -> Step | None:
    """The earliest; None: nothing happens by itself. ``closing`` False or None leaves out what waits for more."""
    found = [one for one in _steps(episode, protocol) if one.is_answered(closing)]
    return min(found, key=lambda one: one.at_ms, default=None)


def next_due(episode: Episode, protocol: Protocol) -> int | None:
    """The next hour that the episode sets."""
    step = next_step(episode, protocol)
    return None if step is None else step.at_ms


def _steps(episode: Episode, protocol: Protocol) -> Iterator[Step]:
    """Where two have the same hour, the first of them comes first."""
    if not episode.is_open:
        return
    if episode.state is State.ACKNOWLEDGED and episode.acknowledgement_expires_ms is not None:
        yield Step(at_ms=episode.acknowledgement_expires_ms, kind=Kind.EXPIRED)
    yield from _forgotten(episode)
    yield from _rungs(episode)
    if not alarms(episode):
        return
    yield from _police(episode, protocol)
    yield from _her_unit(episode)
    if episode.code is Code.PROX_PREALERT:
        yield from _no_answer(episode)
    yield from _blind(episode)


def _forgotten(episode: Episode) -> Iterator[Step]:
    """The place of a phone is kept three days (invariant 6), however long nobody closes the alert."""
    if episode.code in POSITION_KEPT and (episode.wearer is not None or episode.protected is not None):
        yield Step(at_ms=pressed_ms(episode) + FORGET_POSITION_AFTER_S * MS, kind=Kind.FORGOTTEN)


def alarms(episode: Episode) -> bool:
    """It lasts, and the order does not allow what was found last."""
    return episode.lasts and not episode.raises[-1].authorised


def _rungs(episode: Episode) -> Iterator[Step]:
    """To humans, while none has it."""
    if episode.state is not State.RAISED or not (alarms(episode) or episode.priority == URGENT_PRIORITY):
        return
    zero_ms, reached = waiting_since_ms(episode), {one.rung: one.at_ms for one in episode.rungs}
    again_s = REPEATS.get(episode.priority, 0) if alarms(episode) else OVER_REPEATS
    for climb in LADDERS.get(episode.priority, ()):
        if climb.rung is Rung.POLICE or (climb.rung in reached and climb.rung not in REPEATED):
            continue
        first_ms = zero_ms + climb.after_s * MS
        at_ms = reached[climb.rung] + again_s * MS if climb.rung in reached else first_ms
        if climb.rung is Rung.URGENT:
            yield Step(at_ms=at_ms, kind=Kind.STILL_CLOSING, rung=climb.rung, asks=Asks.MAYBE)
        else:
            yield Step(at_ms=at_ms, kind=Kind.ESCALATED, rung=climb.rung)


def waiting_since_ms(episode: Episode) -> int:
    """Rulings of before the ladder do not say it: since they were made, then."""
    if episode.waiting_ms is not None:
        return episode.waiting_ms
    return episode.raises[-1].points.t6_ms or episode.recorded_ms


def _police(episode: Episode, protocol: Protocol) -> Iterator[Step]:
    if protocol.police_mode is not PoliceMode.AUTO_ON_TIMEOUT or episode.undecided_ms is None:
        return
    for climb in LADDERS[URGENT_PRIORITY]:
        if climb.rung is Rung.POLICE:
            at_ms = episode.undecided_ms + climb.after_s * MS
            yield Step(at_ms=at_ms, kind=Kind.ESCALATED, rung=climb.rung)


def _her_unit(episode: Episode) -> Iterator[Step]:
    if concerns_her(episode) and episode.protected_told_ms is None and episode.lasting_ms is not None:
        yield Step(at_ms=episode.lasting_ms + HER_UNIT_AFTER_S * MS, kind=Kind.HER_UNIT)


def concerns_her(episode: Episode) -> bool:
    """Whether her unit shows it: it rings, or says that the protection is degraded."""
    shown = CATALOGUE[episode.code].rings_protected or episode.code is Code.DEGRADED
    return shown and bool(episode.measures)


def _no_answer(episode: Episode) -> Iterator[Step]:
    """He does not answer for NO_ANSWER_AFTER_S, he refuses, or he goes on so long behind the order: by what was
    done since he came in."""
    since_ms = episode.lasting_ms or 0
    to_him = [one for one in episode.deeds if _is_to_him(one) and one.at_ms >= since_ms]
    replied = [one for one in to_him if one.reply is not None]  # what came of the newest may not be known yet
    unanswered: Deed | None = None
    for deed in replied:
        if deed.reply is not Reply.NO_ANSWER:
            unanswered = None
        elif unanswered is None:
            unanswered = deed
    if unanswered is not None:
        yield Step(at_ms=unanswered.at_ms + NO_ANSWER_AFTER_S * MS, kind=Kind.NO_ANSWER)
    if replied and replied[-1].reply is Reply.REFUSED:
        yield Step(at_ms=replied[-1].at_ms, kind=Kind.NO_ANSWER)
    ordered = [one for one in to_him if _is_ordered(one)]
    if ordered:
        asks = Asks.SURELY if ordered[-1].reply is Reply.COMPLIES else Asks.MAYBE
        yield Step(at_ms=ordered[0].at_ms + NO_ANSWER_AFTER_S * MS, kind=Kind.NO_ANSWER, asks=asks)


def _is_to_him(deed: Deed) -> bool:
    return deed.party is Party.WEARER and deed.kind in {DeedKind.CALL, DeedKind.ORDER}


def _is_ordered(deed: Deed) -> bool:
    """He has heard that he is to turn back."""
    return deed.kind is DeedKind.ORDER and deed.reply is not Reply.NO_ANSWER


def _blind(episode: Episode) -> Iterator[Step]:
    blinder = BLINDER.get(episode.code)
    if blinder is None or episode.priority <= blinder.priority:
        return
    hour_ms = getattr(episode.raises[-1], blinder.hour)
    if hour_ms is not None:
        yield Step(at_ms=hour_ms + blinder.after_s * MS, kind=Kind.BLIND)


def graded(episode: Episode) -> int:
    """The priority that BLIND brings."""
    return BLINDER[episode.code].priority


def kept(before: Episode | None, after: Episode, now_ms: int) -> Episode:
    """``after`` with the zeroes of its hours; ``before`` is what had its place."""
    same = before if before is not None and before.id == after.id else None
    known_ms = same.lasting_ms if same is not None and alarms(same) else None
    lasting_ms = now_ms if known_ms is None else known_ms
    waiting_ms, rungs = _waiting(same, after, now_ms)
    return msgspec.structs.replace(
        after,
        lasting_ms=lasting_ms if alarms(after) else None,
        waiting_ms=waiting_ms,
        rungs=rungs,
        undecided_ms=_undecided_ms(same, after, now_ms),
    )


def _waiting(same: Episode | None, after: Episode, now_ms: int) -> tuple[int | None, tuple[Reached, ...]]:
    """Anew when nobody has it any longer, and when it is more urgent: then everybody has a fresh chance."""
    if after.state is not State.RAISED:
        return None, after.rungs
    if same is None or same.state is not State.RAISED or after.priority < same.priority:
        return now_ms, ()
    return waiting_since_ms(same), after.rungs


def _undecided_ms(same: Episode | None, after: Episode, now_ms: int) -> int | None:
    """From the first raising without a decision on: he cannot set it back by leaving for a moment."""
    open_question = after.is_open and after.priority == URGENT_PRIORITY and after.code in HANDED_TO_POLICE
    if not open_question or after.decided_ms is not None or after.told:
        return None
    known_ms = None if same is None or _is_another_visit(same, after) else same.undecided_ms
    return now_ms if known_ms is None and alarms(after) else known_ms


def _is_another_visit(same: Episode, after: Episode) -> bool:
    """Not the same chain of comings and goings, though no human has closed it yet."""
    if same.over_ms is None or after.over_ms is not None:
        return False
    return after.raises[-1].at_ms - same.over_ms > limits.REENTRY_WITHIN_S * MS
