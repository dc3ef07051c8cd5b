"""What happens when an hour has come that an episode has set? (``alerts.escalation``)

The event says only that somebody thinks so. What is due follows from the episode and the hour of now: one step at
a time, the earliest first, however late it is; what another has ruled meanwhile is not due again. The hour of
now is not before that of the event: who waited for it counted the seconds, whatever has become of the clock. Pure.

| step          | after it                                                    | told                            |
|---------------|-------------------------------------------------------------|---------------------------------|
| EXPIRED       | RAISED, nobody's; the ladder begins anew                    | téléassistance, expired_ack     |
| ESCALATED     | the rung is climbed                                         | its audience, escalated         |
| HER_UNIT      | her unit shows it                                           | her unit                        |
| NO_ANSWER     | PREALERT_NO_ANSWER, P1                                      | as a raising                    |
| STILL_CLOSING | P1; a pre-alert is PREALERT_NO_ANSWER                       | as a raising, audience urgent   |
| BLIND         | as urgent as the time to blind risk makes it                | as a raising                    |
| FORGOTTEN     | without the place of the phone, in the same version         | nobody                          |
"""

from __future__ import annotations

import msgspec

from alerts import episodes, escalation, her_unit
from alerts.answers import Answer, Unchanged, ruling
from alerts.catalogue import CATALOGUE, Rooms
from alerts.escalation import Kind, Step
from tocsin.model.episode import Channel, Due, Episode, Notification, Reached, Ruling, Rung
from tocsin.model.finding import Code
from tocsin.model.protocol import PoliceMode, Protocol

NOT_CLOSING = "not_closing"


def on_due(episode: Episode | None, due: Due, protocol: Protocol, now_ms: int) -> Answer:
    if episode is None or episode.id != due.episode:
        return Unchanged(reason="due_of_another_episode", episode=episode)
    now_ms = max(now_ms, due.at_ms)
    step = escalation.next_step(episode, protocol, due.closing)
    if step is not None and step.at_ms <= now_ms:
        return _climbed(episode, due, step, protocol, now_ms)
    next_ms = escalation.next_due(episode, protocol)
    if next_ms is not None and next_ms <= now_ms:
        return Unchanged(reason=NOT_CLOSING, episode=episode, again=True)
    return Unchanged(reason="nothing_due", episode=episode)


def _climbed(episode: Episode, due: Due, step: Step, protocol: Protocol, now_ms: int) -> Ruling:
    match step.kind:
        case Kind.EXPIRED:
            after = episodes.freed(episode, now_ms)
            told = episodes.notifications_of(after, episodes.EXPIRED, (Channel.TELEASSISTANCE,))
        case Kind.ESCALATED:
            assert step.rung is not None
            after = _with_rung(episode, step.rung, now_ms)
            told = episodes.to_rung(after, step.rung)
        case Kind.HER_UNIT:
            next_version = msgspec.structs.replace(episode, version=episode.version + 1)
            after, told = her_unit.shown(next_version, now_ms)
        case Kind.NO_ANSWER:
            after = episodes.more_urgent(episode, Code.PREALERT_NO_ANSWER, None, now_ms)
            told = _raised(after, protocol)
        case Kind.STILL_CLOSING:
            after = _still_closing(episode, now_ms)
            told = _raised(after, protocol, Rung.URGENT)
        case Kind.BLIND:
            after = episodes.more_urgent(episode, episode.code, escalation.graded(episode), now_ms)
            told = _raised(after, protocol)
        case Kind.FORGOTTEN:
            after, told = episodes.forgetting(episode), ()
    return ruling(episode, after, due, step.kind.value, now_ms, told)


def _with_rung(episode: Episode, rung: Rung, now_ms: int) -> Episode:
    reached = Reached(rung=rung, at_ms=now_ms)
    others = (one for one in episode.rungs if one.rung is not rung)  # said again, the newest hour is kept
    return msgspec.structs.replace(episode, version=episode.version + 1, rungs=(*others, reached))


def _still_closing(episode: Episode, now_ms: int) -> Episode:
    if episode.code is Code.PROX_PREALERT:
        return episodes.more_urgent(episode, Code.PREALERT_NO_ANSWER, None, now_ms)
    return episodes.more_urgent(episode, episode.code, escalation.URGENT_PRIORITY, now_ms)


def _raised(episode: Episode, protocol: Protocol, audience: Rung | None = None) -> tuple[Notification, ...]:
    told = episodes.notifications_of(
        episode, episodes.RAISED, CATALOGUE[episode.code].told, rooms_at_raise(episode, episode.rooms, protocol)
    )
    return tuple(
        msgspec.structs.replace(one, audience=audience) if one.channel is Channel.TELEASSISTANCE else one
        for one in told
    )


def rooms_at_raise(episode: Episode | None, rooms: tuple[str, ...], protocol: Protocol) -> tuple[str, ...]:
    """Which rooms hear of a raising at once: under a pre-advice those of the place, of an outage every one (F04),
    whatever the mode; and as soon as any room knows of it, that room and those."""
    knowing = set() if episode is None else {*episodes.rooms_told(episode)}
    is_outage = episode is not None and CATALOGUE[episode.code].rooms is Rooms.EVERY
    if protocol.police_mode is PoliceMode.AUTO_PREADVICE or is_outage or knowing:
        return tuple(sorted({*rooms, *knowing}))
    return ()
