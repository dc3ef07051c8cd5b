"""What can the desk answer, and what does every step have in common?

``ruling`` makes a step of what a move has decided: the episode knows which rooms were told, has the zeroes of its
hours (``alerts.escalation``), and her unit hears what it must (``alerts.her_unit``). Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec

from alerts import episodes, escalation, her_unit
from alerts.escalation import Kind
from tocsin.model.episode import Episode, Event, Notification, Ruling, State


class Objection(StrEnum):
    """Why an act is refused; the slug of its problem page."""

    STALE = "stale-version"
    ALREADY_OWNED = "already-owned"
    NOT_OWNER = "not-owner"
    NOT_ACKNOWLEDGED = "not-acknowledged"
    CLOSED = "already-closed"
    UNKNOWN = "unknown-alert"
    NO_OUTCOME = "outcome-missing"
    NOT_INSPECTED = "inspection-missing"
    NO_REASON = "reason-missing"
    NO_SUCCESSOR = "successor-missing"
    NO_DEED = "deed-missing"
    KEY_REUSED = "idempotency-key-reused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged:
    """Nothing to write: the word says why. ``again``: not yet; the same event may find more later."""

    reason: str
    episode: Episode | None
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """An act that cannot be carried out; ``episode`` is what the actor should have seen."""

    objection: Objection
    episode: Episode | None


Answer = Ruling | Unchanged | Refused

TAKES_NOTHING_FROM_AN_ACT: Final = frozenset({Kind.ESCALATED.value, Kind.HER_UNIT.value})
"""Steps that leave an act true that was meant for the version before: a rung must not refuse the very hand that
it has called."""


def ruling(
    before: Episode | None,
    after: Episode,
    event: Event,
    reason: str,
    now_ms: int,
    notifications: tuple[Notification, ...] = (),
) -> Ruling:
    """The step from ``before``, what had the place, to ``after``."""
    told = _forgetting(episodes.remembering(after, notifications, now_ms))
    kept, of_hers = her_unit.news(escalation.kept(before, told, now_ms), now_ms)
    kept = msgspec.structs.replace(kept, free_from=_free_from(before, kept))
    return Ruling(
        episode=_seen(before, kept, reason),
        event=event,
        notifications=(*notifications, *of_hers),
        reason=reason,
        at_ms=now_ms,
    )


def _forgetting(after: Episode) -> Episode:
    """Where both were is kept for a room that may hear of it later: of what is closed none does."""
    return msgspec.structs.replace(after, wearer=None, protected=None) if after.state is State.CLOSED else after


def _seen(before: Episode | None, after: Episode, reason: str) -> Episode:
    if before is not None and before.id == after.id:
        if before.version == after.version:
            return after
        if reason in TAKES_NOTHING_FROM_AN_ACT:
            return msgspec.structs.replace(after, seen_from=seen_from(before))
    return msgspec.structs.replace(after, seen_from=after.version)


def _free_from(before: Episode | None, after: Episode) -> int:
    if after.state is not State.RAISED:
        return 0
    is_still = before is not None and before.id == after.id and before.state is State.RAISED
    return before.free_from if before is not None and is_still else after.version


def seen_from(episode: Episode) -> int:
    """The oldest version on which an act may rest."""
    return episode.seen_from or episode.version
