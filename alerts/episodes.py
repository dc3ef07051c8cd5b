"""How does an episode come to be, and how does each kind of change look? Building blocks for the desk.

An episode's place on the log is (code, subject): the measure for a distance, the measure and the zone for a place
(``msr_…:school``), the device for a key. Its id is
derived from its first cause, so that two dispatchers that open it open the same one.
"""

from __future__ import annotations

from types import MappingProxyType

import msgspec

from alerts.calls import NO_KEY, not_before_ms
from alerts.catalogue import CATALOGUE
from alerts.retries import UNSENT
from tocsin.clock import MS
from tocsin.limits import (
    EPISODE_CAUSES_MAX,
    EPISODE_CORRECTIONS_MAX,
    EPISODE_MESSAGES_MAX,
    EPISODE_RAISES_MAX,
    EPISODE_ROOMS_MAX,
    PROOF_EARLY_MAX_S,
)
from tocsin.model.episode import (
    Act,
    AlarmCause,
    Channel,
    Correction,
    Due,
    Episode,
    Event,
    FindingCause,
    Fold,
    NoticeCause,
    Notification,
    Raise,
    Realm,
    Receipt,
    Rung,
    Sent,
    State,
    Told,
    Unfold,
)
from tocsin.model.finding import Alarm, Change, Code, Finding, Past
from tocsin.model.fix import ClockPoints, FixPoint
from tocsin.model.ids import derived
from tocsin.model.notice import Notice
from tocsin.model.room import DEFAULT_ROOM, SECOND

OPENED = "org.tocsin.alert.opened"
RAISED = "org.tocsin.alert.raised"
ACKNOWLEDGED = "org.tocsin.alert.acknowledged"
RELEASED = "org.tocsin.alert.released"
CLOSED = "org.tocsin.alert.closed"
JUDGED = "org.tocsin.alert.judged"
ESCALATED = "org.tocsin.alert.escalated"
EXPIRED = "org.tocsin.alert.expired_ack"
HANDED_OFF = "org.tocsin.alert.handed_off"

KEYS = frozenset({Code.BAR_SOS, Code.TGD_SOS, Code.TGD_SOS_SILENT})
IN_PLACE_OF = MappingProxyType({Code.TGD_SOS_SILENT: Code.TGD_SOS, Code.PREALERT_NO_ANSWER: Code.PROX_PREALERT})
"""What another alert becomes stands in its place on the log: one episode for one chain of events."""

Cause = Finding | Alarm | Notice

PARTIES = 2  # of a measure
BY_ORDER = "order"  # who closes what the order allows
BY_ITSELF = "automatic"  # who closes what is told and asks nothing of anybody


def place_of(cause: Cause) -> tuple[Code, str]:
    """Where on the log the episode of this cause lives. A proof lives with the alert that it proves, a correction
    with the one that it corrects, a key with its device, anything else that a device says with the measure that it
    is about: one at a time."""
    if isinstance(cause, Notice):
        return (cause.code, cause.subject)
    if isinstance(cause, Alarm):
        is_of_pair = cause.code not in KEYS and cause.measures
        return (placed_as(cause.code), cause.measures[0] if is_of_pair else cause.device)
    if cause.zone is not None:
        return (cause.code, f"{cause.measure}:{cause.zone}")
    about_alert = cause.code is Code.EVIDENTIAL_BREACH or is_correction(cause)
    return (Code.PROX_ALERT if about_alert else cause.code, cause.measure)


def placed_as(code: Code) -> Code:
    """The code in the place of an episode with this one."""
    return IN_PLACE_OF.get(code, code)


def place(episode: Episode) -> tuple[str, str]:
    """Where on the log this episode lives."""
    return (placed_as(episode.code).value, episode.subject)


def is_correction(cause: Finding) -> bool:
    """Whether it is about a visit of which people were told when it was."""
    return cause.past is not None and cause.past.corrects is not None


def opened(raising: Raise, cause: Cause, realm: Realm, before: Episode | None, now_ms: int) -> Episode:
    """A new episode. ``before`` is the closed one in the same place: its causes stay remembered."""
    placed, subject = place_of(cause)
    code = _said_as(cause, cause.code if placed_as(cause.code) is placed else placed)
    wearer, protected = places_of(cause)
    return Episode(
        id=derived("alr", placed, subject, raising.cause),
        code=code,
        subject=subject,
        realm=realm,
        priority=_priority(code, (raising,)),
        state=State.RAISED,
        version=raising.version,
        opened_ms=raising.at_ms,
        recorded_ms=now_ms,
        measures=_measures_of(cause),
        device=None if isinstance(cause, Finding) else cause.device,
        raises=(raising,),
        causes=_with(before.causes if before else (), cause),
        follows=before.id if before else None,
        wearer=wearer,
        protected=protected,
    )


def _said_as(cause: Cause, code: Code) -> Code:
    """A press in silence is a code of its own."""
    is_silent = isinstance(cause, Alarm) and cause.silent and code is Code.TGD_SOS
    return Code.TGD_SOS_SILENT if is_silent else code


def places_of(cause: Cause) -> tuple[FixPoint | None, FixPoint | None]:
    """Where the wearer and the protected person were; of a press without a position nothing older stands in."""
    match cause:
        case Finding(wearer=wearer, protected=protected):
            return wearer, protected
        case Alarm(position=position):
            return None, position
        case Notice():
            return None, None


def recorded(episode: Episode) -> Episode:
    """One that was authorised: kept and counted, and closed as it is opened, for there is nothing to be done."""
    return msgspec.structs.replace(
        episode, authorised=True, state=State.CLOSED, closed_ms=episode.opened_ms, closed_by=BY_ORDER
    )


def automatic(episode: Episode) -> Episode:
    """One that is told and kept, and that nobody has to take: closed as it is opened."""
    return msgspec.structs.replace(episode, state=State.CLOSED, closed_ms=episode.opened_ms, closed_by=BY_ITSELF)


def _priority(code: Code, raises: tuple[Raise, ...]) -> int:
    """The most urgent of them."""
    return min(CATALOGUE[code].priority if one.priority is None else one.priority for one in raises)


def _with(causes: tuple[str, ...], cause: Cause) -> tuple[str, ...]:
    """What has been applied now: a finding stands for the alarm of the same cause, should that come later."""
    alarm = cause.alarm if isinstance(cause, Finding) else None
    return remembered(remembered(causes, alarm) if alarm else causes, cause.id)


def _measures_of(cause: Cause) -> tuple[str, ...]:
    """Of a fleet's silence those that are named in it, the most urgent; all of them are in ``incidents``."""
    if isinstance(cause, Alarm | Notice):
        return cause.measures
    silenced = cause.silenced
    return (cause.measure,) if silenced is None else tuple(one.measure for one in silenced.worst)


def folded(episode: Episode, under: Fold) -> Episode:
    """Explained by an incident: nobody has to do with it by itself."""
    return msgspec.structs.replace(episode, state=State.FOLDED, folded=under)


def forgetting(episode: Episode) -> Episode:
    """Without the places that were kept for whoever may have to hear of it later: nobody will."""
    return msgspec.structs.replace(episode, wearer=None, protected=None)


def unfolded(episode: Episode, now_ms: int) -> Episode:
    """It has outlasted what explained it: raised now, as found then."""
    newest = episode.raises[-1]
    raising = msgspec.structs.replace(
        newest, version=episode.version + 1, points=msgspec.structs.replace(newest.points, t6_ms=now_ms)
    )
    return msgspec.structs.replace(
        episode, state=State.RAISED, version=raising.version, raises=(*episode.raises[:-1], raising)
    )


def raised_again(episode: Episode, raising: Raise, cause: Cause) -> Episode:
    """Another entry, another press: notified again. A live acknowledgement by a named human stays; that the police
    are not needed was said of what was known before, and what a human has verified is the visit that was."""
    raises, code = _and(episode, raising), _said_as(cause, episode.code)
    wearer, protected = places_of(cause)
    over_ms = _still_over_ms(episode, raising)
    handed_off_ms = episode.handed_off_ms if episode.over_ms == over_ms else None
    return msgspec.structs.replace(
        episode,
        code=code,
        version=raising.version,
        priority=_priority(code, raises),
        raises=raises,
        causes=_with(episode.causes, cause),
        over_ms=over_ms,
        handed_off_ms=handed_off_ms,
        decided_ms=None if handed_off_ms is None else episode.decided_ms,
        wearer=wearer,
        protected=protected,
    )


def _and(episode: Episode, raising: Raise) -> tuple[Raise, ...]:
    """The opening and the newest."""
    return (episode.raises[0], *(*episode.raises[1:], raising)[1 - EPISODE_RAISES_MAX :])


def more_urgent(episode: Episode, code: Code, priority: int | None, now_ms: int) -> Episode:
    """Raised again by the hour: what is known of it is what was known, and as old. That the police are not needed
    was said of what was less."""
    newest = episode.raises[-1]
    points = msgspec.structs.replace(newest.points, t6_ms=now_ms, t7_ms=None, t8_ms=None)
    raising = msgspec.structs.replace(newest, version=episode.version + 1, points=points, priority=priority)
    raises = _and(episode, raising)
    return msgspec.structs.replace(
        episode,
        code=code,
        version=raising.version,
        priority=_priority(code, raises),
        raises=raises,
        decided_ms=None if episode.handed_off_ms is None else episode.decided_ms,
    )


def _still_over_ms(episode: Episode, raising: Raise) -> int | None:
    """A late entry older than the exit that ended the episode does not bring the wearer back."""
    over_ms = episode.over_ms
    return over_ms if over_ms is not None and raising.at_ms < over_ms else None


def over(episode: Episode, finding: Finding | Notice) -> Episode:
    """The wearer has left the ring, the silent one is heard again; unless it began anew since: an exit that a
    later entry overtook is only remembered. The raising that it ends is no such entry, whatever its hour: the
    clock may have raised it behind the fix that ends it. The episode waits for a human to close it."""
    over_ms = max(finding.at_ms, finding.entry_ms)
    back_in = any(one.at_ms > over_ms and finding.entry not in {one.cause, one.judged} for one in episode.raises)
    return msgspec.structs.replace(
        episode,
        version=episode.version + 1,
        over_ms=episode.over_ms if back_in else max(over_ms, episode.over_ms or 0),
        causes=remembered(episode.causes, finding.id),
    )


def verified_ms(episode: Episode, now_ms: int) -> int:
    """Since when this visit is confirmed, if it is confirmed now."""
    known_ms, since_ms = episode.verified_ms, episode.lasting_ms
    return known_ms if known_ms is not None and since_ms is not None and known_ms >= since_ms else now_ms


def proven(episode: Episode, finding: Finding, now_ms: int) -> Episode:
    """The breach is certain. Of several proofs the earliest hour stands; each is remembered. One of a visit before
    is no second fix of this one."""
    earliest = _earliest(episode.evidential_ms, finding.at_ms)
    is_of_this_visit = finding.at_ms >= episode.raises[-1].at_ms - PROOF_EARLY_MAX_S * MS
    return msgspec.structs.replace(
        episode,
        version=episode.version + 1,
        evidential_ms=earliest,
        verified_ms=verified_ms(episode, now_ms) if is_of_this_visit else episode.verified_ms,
        causes=remembered(episode.causes, finding.id),
    )


def judged(episode: Episode, finding: Finding) -> Episode:
    """The raising that rang at once has the numbers of its finding now, and its priority; its hours stay."""
    raises = tuple(_judged(one, finding) if one.cause == finding.alarm else one for one in episode.raises)
    return msgspec.structs.replace(
        episode,
        version=episode.version + 1,
        priority=_priority(episode.code, raises),
        raises=raises,
        causes=remembered(episode.causes, finding.id),
    )


def corrected(episode: Episode, finding: Finding, past: Past, now_ms: int) -> Episode:
    """What was said stays as it was said; beside it, what is known now."""
    correction = Correction(
        cause=finding.id,
        at_ms=now_ms,
        first_ms=past.first_ms,
        last_ms=past.last_ms,
        nearest_ms=past.nearest_ms,
        distance_dm=finding.distance_dm,
        lower_dm=finding.lower_dm,
        upper_dm=finding.upper_dm,
        withdrawn=finding.change is Change.EXIT,
        authorised=finding.authorised,
    )
    return msgspec.structs.replace(
        episode,
        version=episode.version + 1,
        corrections=(*episode.corrections, correction)[-EPISODE_CORRECTIONS_MAX:],
        causes=remembered(episode.causes, finding.id),
    )


def _judged(rang: Raise, finding: Finding) -> Raise:
    found = raise_of(finding, rang.version, 0)
    return msgspec.structs.replace(
        found, cause=rang.cause, at_ms=rang.at_ms, points=rang.points, event=rang.event, local=rang.local,
        judged=finding.id,
    )  # fmt: skip


def ended(episode: Episode, at_ms: int) -> Episode:
    """Of what is past nothing goes on."""
    return msgspec.structs.replace(episode, over_ms=max(at_ms, episode.over_ms or 0))


def remembered(causes: tuple[str, ...], cause: str) -> tuple[str, ...]:
    return (*causes, cause)[-EPISODE_CAUSES_MAX:]


def raise_of(cause: Cause, version: int, now_ms: int, call_key: bytes = NO_KEY) -> Raise:
    """What is kept of the moment of raising; t6 is the ruling's own hour."""
    points = msgspec.structs.replace(cause.points, t6_ms=now_ms)
    if isinstance(cause, Alarm):
        return Raise(
            version=version, cause=cause.id, at_ms=cause.at_ms, points=points, silent=cause.silent,
            event=cause.event, local=cause.local,
        )  # fmt: skip
    if isinstance(cause, Notice):
        return Raise(version=version, cause=cause.id, at_ms=cause.at_ms, points=points, event=cause.reason)
    parties = [one for one in (cause.wearer, cause.protected) if one is not None]
    known = [one.accuracy_dm for one in parties if one.accuracy_dm is not None]
    return Raise(
        version=version,
        cause=cause.id,
        at_ms=cause.at_ms,
        points=points,
        distance_dm=cause.distance_dm,
        accuracy_dm=sum(known) if len(known) == PARTIES else None,
        threshold_m=cause.threshold_m,
        lower_dm=cause.lower_dm,
        upper_dm=cause.upper_dm,
        fixes_ms=min(one.fix_ms for one in parties) if len(parties) == PARTIES else None,
        low_confidence=cause.low_confidence,
        alert_ms=cause.alert_ms,
        silent_since_ms=cause.silent_since_ms,
        blind_worst_ms=cause.blind_worst_ms,
        blind_plausible_ms=cause.blind_plausible_ms,
        authorised=cause.authorised,
        zone=cause.zone,
        crossed_from_ms=cause.crossed_from_ms,
        crossed_until_ms=cause.crossed_until_ms,
        priority=cause.priority,
        wearer_share_pct=cause.wearer_share_pct,
        wearer_approach_dm=cause.wearer_approach_dm,
        protected_approach_dm=cause.protected_approach_dm,
        call_not_before_ms=not_before_ms(cause, call_key),
        silenced=cause.silenced,
    )


def with_receipt(episode: Episode, receipt: Receipt) -> Episode:
    """t7 and t8 of the raising that the receipt is about: the first attempt on any channel, the first acceptance
    by the téléassistance. The order in which receipts come does not matter; where nobody is configured, or
    told any longer, nothing was handed over."""
    if receipt.result in UNSENT:
        return episode
    return msgspec.structs.replace(
        episode,
        raises=tuple(
            msgspec.structs.replace(one, points=_handed_over(one.points, receipt))
            if one.version == receipt.version
            else one
            for one in episode.raises
        ),
    )


def _handed_over(points: ClockPoints, receipt: Receipt) -> ClockPoints:
    t8_ms = receipt.t8_ms if receipt.channel is Channel.TELEASSISTANCE else None
    return msgspec.structs.replace(
        points, t7_ms=_earliest(points.t7_ms, receipt.t7_ms), t8_ms=_earliest(points.t8_ms, t8_ms)
    )


def _earliest(one_ms: int | None, other_ms: int | None) -> int | None:
    return min((ms for ms in (one_ms, other_ms) if ms is not None), default=None)


def with_acknowledgement(episode: Episode, act: Act, expires_ms: int) -> Episode:
    """One named human has it; t9 is the first of them."""
    first = episode.raises[0]
    if first.points.t9_ms is None:
        first = msgspec.structs.replace(first, points=msgspec.structs.replace(first.points, t9_ms=act.at_ms))
    return msgspec.structs.replace(
        episode,
        state=State.ACKNOWLEDGED,
        version=episode.version + 1,
        raises=(first, *episode.raises[1:]),
        owner=act.actor,
        acknowledged_ms=act.at_ms,
        acknowledgement_expires_ms=expires_ms,
    )


def freed(episode: Episode, now_ms: int) -> Episode:
    """Nobody has it any longer."""
    return msgspec.structs.replace(
        episode,
        state=State.RAISED,
        version=episode.version + 1,
        owner=None,
        acknowledged_ms=None,
        acknowledgement_expires_ms=None,
        freed_ms=now_ms,
    )


def notifications_of(
    episode: Episode, kind: str, channels: tuple[Channel, ...], rooms: tuple[str, ...] = ()
) -> tuple[Notification, ...]:
    """Whom to tell of this version. The id is the ``webhook-id`` of every attempt; each room has its own."""
    found = []
    for channel in channels:
        if channel is Channel.POLICE:
            found += [_to_room(episode, kind, room) for room in rooms]
        else:
            name = derived("evt", episode.id, episode.version, kind, channel)
            found.append(Notification(id=name, channel=channel, type=kind))
    return tuple(found)


def _to_room(episode: Episode, kind: str, room: str, audience: Rung | None = None) -> Notification:
    name = derived("evt", episode.id, episode.version, kind, Channel.POLICE, room)
    return Notification(id=name, channel=Channel.POLICE, type=kind, recipient=room, audience=audience)


def to_rung(episode: Episode, rung: Rung) -> tuple[Notification, ...]:
    """Who is told at a rung: the téléassistance, which knows its people; at its second endpoint too, where the
    back-up site listens; and at the last the rooms of the place."""
    name = derived("evt", episode.id, episode.version, ESCALATED, Channel.TELEASSISTANCE)
    found = [Notification(id=name, channel=Channel.TELEASSISTANCE, type=ESCALATED, audience=rung)]
    if rung is Rung.BACKUP_SITE:
        name = derived("evt", episode.id, episode.version, ESCALATED, Channel.TELEASSISTANCE, SECOND)
        found.append(msgspec.structs.replace(found[0], id=name, recipient=SECOND))
    if rung is Rung.POLICE:
        found += [_to_room(episode, ESCALATED, room, rung) for room in rooms_of(episode)]
    return tuple(found)


def rooms_of(episode: Episode) -> tuple[str, ...]:
    """Of its place; never empty."""
    return episode.rooms or (DEFAULT_ROOM,)


def rooms_told(episode: Episode) -> tuple[str, ...]:
    return tuple(one.room for one in episode.told)


def remembering(episode: Episode, notifications: tuple[Notification, ...], at_ms: int) -> Episode:
    """The episode that knows which rooms were told what. Beyond EPISODE_ROOMS_MAX the one longest
    without news goes."""
    told = {one.room: one.sent for one in episode.told}
    for one in notifications:
        if (
            one.channel is Channel.POLICE
            and one.recipient
            and all(one.id != sent.id for sent in told.get(one.recipient, ()))
        ):
            sent = (*told.pop(one.recipient, ()), Sent(id=one.id, at_ms=at_ms))
            told[one.recipient] = (sent[0], *sent[1:][1 - EPISODE_MESSAGES_MAX :])
    newest = list(told.items())[-EPISODE_ROOMS_MAX:]
    return msgspec.structs.replace(episode, told=tuple(Told(room=room, sent=sent) for room, sent in newest))


def cause_in(event: Event) -> Cause | None:
    match event:
        case FindingCause(finding=finding):
            return finding
        case AlarmCause(alarm=alarm):
            return alarm
        case NoticeCause(notice=notice):
            return notice
        case Act() | Receipt() | Unfold() | Due():
            return None
