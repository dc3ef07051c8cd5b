"""What may a named human do to an open alert, and what comes of it? (DOMAIN section 4; F26, invariants 7, 8)

| verb        | who                                              | leads to                                   |
|-------------|--------------------------------------------------|--------------------------------------------|
| ACKNOWLEDGE | anybody, while nobody has it                     | his, for ACK_EXPIRES_S                     |
| RELEASE     | its owner                                        | nobody's: the ladder begins anew           |
| TAKE_OVER   | anybody once it has expired, a supervisor always | his; says why                              |
| HAND_OVER   | its owner                                        | the named other's, for ACK_EXPIRES_S       |
| DO          | its owner                                        | kept; renews what he has                   |
| HAND_OFF    | its owner                                        | the rooms know it, verified; renews        |
| CLOSE       | its owner, with an outcome                       | closed                                     |

One act is about one episode: nothing is taken or closed in bulk. An act that was applied, by its idempotency key,
changes nothing when it comes again, and another one under the same key is refused. Acts need no routing: the
episode remembers the rooms of its place. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from alerts import episodes
from alerts.answers import Answer, Objection, Refused, Unchanged, ruling, seen_from
from alerts.catalogue import CATALOGUE
from tocsin.clock import MS
from tocsin.limits import ACK_EXPIRES_S, EPISODE_DEEDS_MAX, EPISODE_KEYED_MAX
from tocsin.model.episode import Act, Channel, Deed, DeedKind, Episode, Notification, Ruling, State, Verb
from tocsin.model.finding import LATCHED, Code


def on_act(episode: Episode | None, act: Act, now_ms: int) -> Answer:
    if episode is None or episode.id != act.episode:  # its place may have a successor by now
        return Refused(objection=Objection.UNKNOWN, episode=episode)
    if (before := _applied(episode, act)) is not None:
        return before
    if not episode.is_open:
        return Refused(objection=Objection.CLOSED, episode=episode)
    if (answer := _taken_already(episode, act, now_ms)) is not None:
        return answer
    if not _oldest_seen(episode, act) <= act.expected_version <= episode.version:
        return Refused(objection=Objection.STALE, episode=episode)
    if objection := _OBJECTIONS[act.verb](episode, act, now_ms):
        return Refused(objection=objection, episode=episode)
    return _ACTS[act.verb](_keyed(episode, act), act, now_ms)


def _oldest_seen(episode: Episode, act: Act) -> int:
    """Whoever takes what nobody has takes it as it is: that it became more urgent, or was raised again, while his
    hand was on the button is no reason to refuse it. Behind somebody who had it, it must be seen anew."""
    is_free = act.verb is Verb.ACKNOWLEDGE and episode.state is State.RAISED
    return episode.free_from if is_free and episode.free_from else seen_from(episode)


def _applied(episode: Episode, act: Act) -> Answer | None:
    for one in episode.keyed:
        if act.keyed is not None and one.key == act.keyed.key:
            if one.fingerprint == act.keyed.fingerprint:
                return Unchanged(reason="applied_before", episode=episode)
            return Refused(objection=Objection.KEY_REUSED, episode=episode)
    return None


def _keyed(episode: Episode, act: Act) -> Episode:
    if act.keyed is None:
        return episode
    return msgspec.structs.replace(episode, keyed=(*episode.keyed, act.keyed)[-EPISODE_KEYED_MAX:])


def _taken_already(episode: Episode, act: Act, now_ms: int) -> Answer | None:
    """Before the version is looked at: to whom it belongs is what he has to know first."""
    if act.verb is Verb.ACKNOWLEDGE and _has_owner(episode, now_ms):
        if episode.owner == act.actor:
            return Unchanged(reason="acknowledged_before", episode=episode)
        return Refused(objection=Objection.ALREADY_OWNED, episode=episode)
    return None


# --- who may ---------------------------------------------------------------------------------------------------

_May = Callable[[Episode, Act, int], Objection | None]


def _anybody(episode: Episode, act: Act, now_ms: int) -> Objection | None:  # noqa: ARG001
    return None


def _owner(episode: Episode, act: Act, now_ms: int) -> Objection | None:  # noqa: ARG001
    """Until somebody has taken it from him or the expiry is ruled, what he had and let expire is his to end."""
    if episode.state is not State.ACKNOWLEDGED:
        return Objection.NOT_ACKNOWLEDGED
    return None if episode.owner == act.actor else Objection.NOT_OWNER


def _may_take_over(episode: Episode, act: Act, now_ms: int) -> Objection | None:
    if _has_owner(episode, now_ms) and not act.supervises:
        return Objection.ALREADY_OWNED
    return None if act.note.strip() else Objection.NO_REASON


def _may_hand_over(episode: Episode, act: Act, now_ms: int) -> Objection | None:
    return _owner(episode, act, now_ms) or (None if act.to.strip() else Objection.NO_SUCCESSOR)


def _may_do(episode: Episode, act: Act, now_ms: int) -> Objection | None:
    return _owner(episode, act, now_ms) or (Objection.NO_DEED if act.deed is None else None)


def _may_close(episode: Episode, act: Act, now_ms: int) -> Objection | None:
    if objection := _owner(episode, act, now_ms):
        return objection
    if act.outcome is None:
        return Objection.NO_OUTCOME
    return Objection.NOT_INSPECTED if episode.code in LATCHED and not act.inspected else None


_OBJECTIONS: Final[dict[Verb, _May]] = {
    Verb.ACKNOWLEDGE: _anybody,
    Verb.RELEASE: _owner,
    Verb.CLOSE: _may_close,
    Verb.TAKE_OVER: _may_take_over,
    Verb.HAND_OVER: _may_hand_over,
    Verb.DO: _may_do,
    Verb.HAND_OFF: _owner,
}


def _has_owner(episode: Episode, now_ms: int) -> bool:
    expires_ms = episode.acknowledgement_expires_ms
    return episode.state is State.ACKNOWLEDGED and expires_ms is not None and now_ms < expires_ms


# --- what comes of it ------------------------------------------------------------------------------------------


def _acknowledge(episode: Episode, act: Act, now_ms: int) -> Ruling:
    return _taken(episode, act, now_ms, "acknowledged")


def _take_over(episode: Episode, act: Act, now_ms: int) -> Ruling:
    return _taken(episode, act, now_ms, "taken_over")


def _hand_over(episode: Episode, act: Act, now_ms: int) -> Ruling:
    return _taken(episode, msgspec.structs.replace(act, actor=act.to.strip()), now_ms, "handed_over", said=act)


def _taken(episode: Episode, by: Act, now_ms: int, reason: str, said: Act | None = None) -> Ruling:
    """``by`` whoever has it now; ``said``: the act as it was, where another one spoke."""
    after = episodes.with_acknowledgement(episode, by, _expires_ms(now_ms))
    return ruling(episode, after, said or by, reason, now_ms, _told(after, episodes.ACKNOWLEDGED))


def _expires_ms(now_ms: int) -> int:
    return now_ms + ACK_EXPIRES_S * MS


def _told(episode: Episode, kind: str, rooms: tuple[str, ...] = ()) -> tuple[Notification, ...]:
    """The téléassistance, and the rooms that are named."""
    channels = dict.fromkeys((*CATALOGUE[episode.code].told, *((Channel.POLICE,) if rooms else ())))
    return episodes.notifications_of(episode, kind, tuple(channels), rooms)


def _release(episode: Episode, act: Act, now_ms: int) -> Ruling:
    after = episodes.freed(episode, now_ms)
    return ruling(episode, after, act, "released", now_ms, _told(after, episodes.RELEASED))


def _do(episode: Episode, act: Act, now_ms: int) -> Ruling:
    assert act.deed is not None
    deed = _in_its_time(act.deed, episode, now_ms)
    after = msgspec.structs.replace(
        episode,
        version=episode.version + 1,
        deeds=(*episode.deeds, deed)[-EPISODE_DEEDS_MAX:],
        acknowledgement_expires_ms=_expires_ms(now_ms),
        decided_ms=now_ms if deed.kind is DeedKind.NO_POLICE else episode.decided_ms,
    )
    if deed.kind is DeedKind.NO_VOICE and episode.code is Code.TGD_SOS:
        return _silenced(episode, after, act, now_ms)
    return ruling(episode, after, act, _reason(deed), now_ms)


def _in_its_time(deed: Deed, episode: Episode, now_ms: int) -> Deed:
    """While he has it, in this visit: hours hang on it, and the clock of a console may be wrong. What he said
    is in the act, on the log."""
    since_ms = max(episode.acknowledged_ms or 0, episode.lasting_ms or 0)
    at_ms = min(max(deed.at_ms, since_ms), now_ms)
    until_ms = None if deed.until_ms is None else max(deed.until_ms, at_ms)
    return msgspec.structs.replace(deed, at_ms=at_ms, until_ms=until_ms)


def _reason(deed: Deed) -> str:
    return "decided" if deed.kind is DeedKind.NO_POLICE else "done"


def _silenced(before: Episode, after: Episode, act: Act, now_ms: int) -> Ruling:
    """Who was told may not ring her back aloud."""
    silent = msgspec.structs.replace(after, code=Code.TGD_SOS_SILENT)
    return ruling(before, silent, act, "no_voice", now_ms, _told(silent, episodes.RAISED, _knowing(silent)))


def _knowing(episode: Episode) -> tuple[str, ...]:
    return tuple(sorted(episodes.rooms_told(episode)))


def _hand_off(episode: Episode, act: Act, now_ms: int) -> Ruling:
    after = msgspec.structs.replace(
        episode,
        version=episode.version + 1,
        acknowledgement_expires_ms=_expires_ms(now_ms),
        decided_ms=now_ms,
        handed_off_ms=episode.handed_off_ms or now_ms,
        verified_ms=episodes.verified_ms(episode, now_ms),
    )
    rooms = tuple(dict.fromkeys(act.rooms)) or episodes.rooms_of(episode)
    return ruling(episode, after, act, "handed_off", now_ms, _told(after, episodes.HANDED_OFF, rooms))


def _close(episode: Episode, act: Act, now_ms: int) -> Ruling:
    after = msgspec.structs.replace(
        episode,
        state=State.CLOSED,
        version=episode.version + 1,
        outcome=act.outcome,
        closed_by=act.actor,
        closed_ms=act.at_ms,
        note=act.note,
        inspected=act.inspected,
        acknowledgement_expires_ms=None,
    )
    # None were told: opened by 0.1.0, or decided so: there is no CAP message to end.
    return ruling(episode, after, act, "closed", now_ms, _told(after, episodes.CLOSED, _knowing(after)))


_ACTS: Final[dict[Verb, Callable[[Episode, Act, int], Ruling]]] = {
    Verb.ACKNOWLEDGE: _acknowledge,
    Verb.RELEASE: _release,
    Verb.CLOSE: _close,
    Verb.TAKE_OVER: _take_over,
    Verb.HAND_OVER: _hand_over,
    Verb.DO: _do,
    Verb.HAND_OFF: _hand_off,
}

assert set(_ACTS) == set(_OBJECTIONS) == set(Verb)
