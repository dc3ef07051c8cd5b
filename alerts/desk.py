"""What happens to an episode when something happens? The deciding function of alerts.

    handle(episode, event, now, under) -> Ruling | Unchanged | Refused

The life of an episode (the table that the tests walk, move by move):

    state          | entry, press          | exit        | proof   | acknowledge  | release        | close
    ---------------|-----------------------|-------------|---------|--------------|----------------|----------------
    none           | RAISED, notify        | RAISED+over | waits   | –            | –              | –
    RAISED         | RAISED again, notify  | over        | proven  | ACKNOWLEDGED | refused        | refused
    ACKNOWLEDGED   | same owner, notify    | over        | proven  | refused *    | RAISED, by own | CLOSED, by own
    CLOSED         | new episode, notify   | unchanged   | waits   | refused      | refused        | refused
    FOLDED         | new episode, notify   | over        | waits   | refused      | refused        | refused

    *  the owner may repeat himself (nothing changes); after the acknowledgement has expired
       (ACK_EXPIRES_S without an act) anybody may take it

A re-entry within 15 minutes, or while the episode waits for its human, belongs to the same episode **and is
notified again**; folding is for the reader, never a silence (DOMAIN section 3, EXIT). A re-entry after a human
has closed it opens a new episode that says which one it ``follows``.

Under an incident (``under``, SYS_FLEET_SILENCE) an entry that finds no open alert in its place is FOLDED and tells
nobody; its exit ends it there. UNFOLD, when the incident is over or closed, raises what is folded into it and not
over, and tells of it then. What was open before the incident stays open.

A proof (EVIDENTIAL_BREACH) is a fact about the PROX_ALERT of its measure: kept, shown, told to nobody. It comes
behind the entry that it proves, on a queue of its own, and may overtake it: without an open alert it *waits*,
which is Unchanged with ``again``, for PROOF_WAITS_S from its hour. It proves no alert that began after it.

What the order allows at its hour (``authorised``) is an episode that is closed as it is opened, and nobody is
told; in the place of an open alert it is one more raising of that, as silently. Its end changes nothing.

An alarm that was raised at once (STRAP_TAMPER, RF_PROXIMITY) is *judged* by the finding of the same cause, in the
same episode, by time to blind risk: confirmed, or lowered, which is told. A finding that comes first raises it,
and the alarm changes nothing then. What becomes more urgent by the hour is raised again, and if a human has closed
it when it was less, a new episode that ``follows``. A *latched* alert (``finding.LATCHED``) is never over by a
finding, but with its measure, and closed only by a human who says that the device was inspected: by the hour that
becomes nothing worse.

The past (PAST_INCURSION, found when fixes came late) raises a live alert never, and tells the police nothing.
About a visit of which people were told it is a *correction*: appended to that alert, open or closed, told to
nobody. So is what says better, or takes back, what was said of the past before, unless that was authorised and
this is not. The rest is an alert of its own, over from the start, that waits for a human like any other, or is
closed as it is opened where the order allowed it (docs/adr/0026-incursions-of-the-past.md).

Rules of the desk: an event already applied changes nothing (its id is among the causes); an exit that overtakes
its own entry raises the alert first, with the entry's identity, so that the late entry finds it raised; an act
on another version than the actor saw is refused. Pure: the hour is handed in, nothing is sent from here.

What a human does: ``alerts.acts``. What an hour brings that the episode has set itself: ``alerts.dues``.

Who is told: the téléassistance of every move that it can see. The rooms of the police hear of it by the mode that
the site has agreed (docs/adr/0031-a-ladder-that-cannot-stall.md), and from then on of each raising (those of the
places of now, and every room that was told before) and of the end. They do not hear of who takes the alert
or puts it back: a CAP Update takes the place of the message before it, and would hide both places from the room.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from alerts import calls, episodes
from alerts.acts import on_act
from alerts.answers import Answer, Objection, Refused, Unchanged, ruling
from alerts.catalogue import CATALOGUE, UNTOLD
from alerts.dues import on_due, rooms_at_raise
from alerts.routing import EVERYTHING_TO_THE_DEFAULT, Routing
from tocsin.clock import MS
from tocsin.limits import EPISODE_ROOMS_MAX, PROOF_EARLY_MAX_S, PROOF_WAITS_S
from tocsin.model.episode import (
    Act,
    AlarmCause,
    Channel,
    Due,
    Episode,
    Event,
    FindingCause,
    Fold,
    NoticeCause,
    Realm,
    Receipt,
    Ruling,
    State,
    Unfold,
)
from tocsin.model.finding import LATCHED, MEASURE_ENDED_REASON, Change, Code, Finding, Past
from tocsin.model.notice import Notice
from tocsin.model.protocol import AS_AGREED, Protocol

__all__ = ["Answer", "Objection", "Refused", "Unchanged", "handle"]

NO_ALERT_TO_PROVE: Final = "no_alert_to_prove"
CORRECTS_ANOTHER: Final = "corrects_another_episode"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Here:
    """What does not change from event to event: where we are, whom we tell, what hour it is."""

    realm: Realm
    routing: Routing
    now_ms: int
    call_key: bytes
    under: Fold | None
    protocol: Protocol


def handle(
    episode: Episode | None,
    event: Event,
    realm: Realm,
    now_ms: int,
    routing: Routing = EVERYTHING_TO_THE_DEFAULT,
    call_key: bytes = calls.NO_KEY,
    under: Fold | None = None,
    protocol: Protocol = AS_AGREED,
) -> Answer:
    """The ruling on ``event`` for the episode in its place, None if the place is empty. Only a finding or an
    alarm asks ``routing``: an act tells the rooms that the episode remembers. ``call_key``: ``alerts.calls``.
    ``under``: the incident that explains it. ``protocol``: what the site has agreed."""
    here = _Here(realm=realm, routing=routing, now_ms=now_ms, call_key=call_key, under=under, protocol=protocol)
    match event:
        case FindingCause(finding=finding):
            return _on_finding(episode, event, finding, here)
        case AlarmCause(alarm=alarm):
            return _on_raise(episode, event, alarm, here)
        case Receipt():
            return _on_receipt(episode, event, now_ms)
        case Act():
            return on_act(episode, event, now_ms)
        case NoticeCause(notice=notice):
            return _on_notice(episode, event, notice, here)
        case Unfold():
            return _on_unfold(episode, event, now_ms)
        case Due():
            return on_due(episode, event, protocol, now_ms)


def _on_finding(episode: Episode | None, event: FindingCause, finding: Finding, here: _Here) -> Answer:
    if finding.code is Code.EVIDENTIAL_BREACH:
        return _on_proof(episode, event, finding, here.now_ms)
    if finding.past is not None:
        return _on_past(episode, event, finding, finding.past, here)
    if finding.code in UNTOLD:
        return Unchanged(reason="opens_no_alert", episode=episode)
    if finding.change is Change.ENTRY:
        return _on_entry(episode, event, finding, here)
    if finding.code in LATCHED and finding.reason != MEASURE_ENDED_REASON:
        return Unchanged(reason="latched", episode=episode)
    return _on_exit(episode, event, finding, here)


def _on_notice(episode: Episode | None, event: Event, notice: Notice, here: _Here) -> Answer:
    if notice.change is Change.ENTRY:
        raised = _on_raise(episode, event, notice, here)
        if CATALOGUE[notice.code].automatic and isinstance(raised, Ruling):
            after = episodes.automatic(raised.episode)
            return ruling(episode, after, event, raised.reason, here.now_ms, raised.notifications)
        return raised
    return _on_exit(episode, event, notice, here)


def _on_entry(episode: Episode | None, event: FindingCause, finding: Finding, here: _Here) -> Answer:
    if episode is None or finding.id in episode.causes:
        return _on_raise(episode, event, finding, here)
    if finding.alarm in episode.causes:
        return _on_judgement(episode, event, finding, here.now_ms)
    is_worse = finding.entry != finding.id and finding.entry in episode.causes
    if is_worse and not episode.is_open and finding.code in LATCHED:
        return Unchanged(reason="closed_before_it_worsened", episode=episode)
    return _on_raise(episode, event, finding, here)


def _on_judgement(episode: Episode, event: FindingCause, finding: Finding, now_ms: int) -> Answer:
    """It rang at once, at its worst; now it is known how urgent it is. Only lowering is told."""
    if not episode.is_open:
        return Unchanged(reason="closed_before_judgement", episode=episode)
    after = episodes.judged(episode, finding)
    if after.priority == episode.priority:
        return ruling(episode, after, event, "confirmed", now_ms)
    told = CATALOGUE[finding.code].told
    rooms = tuple(sorted(episodes.rooms_told(episode)))
    return ruling(
        episode, after, event, "lowered", now_ms, episodes.notifications_of(after, episodes.JUDGED, told, rooms)
    )


def _on_raise(episode: Episode | None, event: Event, cause: episodes.Cause, here: _Here) -> Answer:
    if episode is not None and cause.id in episode.causes:
        return Unchanged(reason="applied_before", episode=episode)
    if isinstance(cause, Finding) and cause.authorised:
        return _on_authorised(episode, event, cause, here)
    if here.under is not None and (episode is None or not episode.is_open):
        return _fold(episode, event, cause, here, here.under)
    if episode is None or not episode.is_open:
        raising = episodes.raise_of(cause, 1, here.now_ms, here.call_key)
        after = episodes.opened(raising, cause, here.realm, episode, here.now_ms)
        return _told(episode, after, event, cause, here, "opened", episodes.OPENED)
    raising = episodes.raise_of(cause, episode.version + 1, here.now_ms, here.call_key)
    after = episodes.raised_again(episode, raising, cause)
    return _told(episode, after, event, cause, here, "raised_again", episodes.RAISED)


def _told(
    episode: Episode | None,
    after: Episode,
    event: Event,
    cause: episodes.Cause,
    here: _Here,
    reason: str,
    kind: str,
) -> Ruling:
    """The rooms of the place are kept whoever is told now: another hour, or a human, may tell them later."""
    told = CATALOGUE[after.code].told
    rooms = _rooms(cause, here.routing)
    placed = msgspec.structs.replace(after, rooms=rooms)
    at_once = rooms_at_raise(placed, rooms, here.protocol) if Channel.POLICE in told or placed.told else ()
    channels = tuple(dict.fromkeys((*told, *((Channel.POLICE,) if at_once else ()))))
    notifications = episodes.notifications_of(placed, kind, channels, at_once)
    return ruling(episode, placed, event, reason, here.now_ms, notifications)


def _rooms(cause: episodes.Cause, routing: Routing) -> tuple[str, ...]:
    """None of what a part says of the system."""
    if isinstance(cause, Notice):
        return ()
    return routing.rooms_for(cause)[:EPISODE_ROOMS_MAX]


def _on_authorised(episode: Episode | None, event: Event, finding: Finding, here: _Here) -> Answer:
    """On record, and nobody is told: by itself, or with the open alert that the same place has from before."""
    now_ms = here.now_ms
    if episode is not None and episode.is_open:
        again = episodes.raise_of(finding, episode.version + 1, now_ms)
        return ruling(episode, episodes.raised_again(episode, again, finding), event, "authorised", now_ms)
    raising = episodes.raise_of(finding, 1, now_ms)
    after = episodes.recorded(episodes.opened(raising, finding, here.realm, episode, now_ms))
    return ruling(episode, after, event, "authorised", now_ms)


def _fold(episode: Episode | None, event: Event, cause: episodes.Cause, here: _Here, under: Fold) -> Ruling:
    raising = episodes.raise_of(cause, 1 if episode is None else episode.version + 1, here.now_ms)
    if episode is not None and episode.folded == under and episode.state is State.FOLDED:
        return ruling(episode, episodes.raised_again(episode, raising, cause), event, "folded_again", here.now_ms)
    opened = episodes.opened(episodes.raise_of(cause, 1, here.now_ms), cause, here.realm, episode, here.now_ms)
    return ruling(episode, episodes.folded(opened, under), event, "folded", here.now_ms)


def _on_unfold(episode: Episode | None, event: Unfold, now_ms: int) -> Answer:
    if episode is None or episode.folded is None or episode.folded.incident != event.incident:
        return Unchanged(reason="folded_into_another", episode=episode)
    if not episode.is_folded:
        return Unchanged(reason="not_folded", episode=episode)
    after = episodes.unfolded(episode, now_ms)
    told = CATALOGUE[episode.code].told
    return ruling(
        episode, after, event, "unfolded", now_ms, episodes.notifications_of(after, episodes.OPENED, told)
    )


def _on_exit(episode: Episode | None, event: Event, finding: Finding | Notice, here: _Here) -> Answer:
    if episode is not None and finding.id in episode.causes:
        return Unchanged(reason="applied_before", episode=episode)
    if finding.entry == finding.id:  # he came through this ring straight into the inner one: only that was said
        return Unchanged(reason="exit_of_nothing_said", episode=episode)
    if episode is None or finding.entry not in episode.causes:
        return _exit_before_entry(episode, event, finding, here)
    if episode.state is State.FOLDED:
        after = episodes.forgetting(episodes.over(episode, finding))
        return ruling(episode, after, event, "folded_over", here.now_ms)
    if not episode.is_open:
        return Unchanged(reason="closed_before_exit", episode=episode)
    return ruling(episode, episodes.over(episode, finding), event, "over", here.now_ms)


def _exit_before_entry(episode: Episode | None, event: Event, finding: Finding | Notice, here: _Here) -> Answer:
    """The exit came first (a worker died with the entry in hand): raise under the entry's name, then end it."""
    entry: Finding | Notice = msgspec.structs.replace(
        finding, id=finding.entry, change=Change.ENTRY, at_ms=finding.entry_ms
    )
    raised = _on_raise(episode, event, entry, here)
    assert isinstance(raised, Ruling)
    if raised.episode.state is State.CLOSED:  # authorised
        return raised
    ended = episodes.over(raised.episode, finding)
    kept_version = msgspec.structs.replace(ended, version=raised.episode.version)
    return ruling(episode, kept_version, event, "raised_and_over", here.now_ms, raised.notifications)


def _on_proof(episode: Episode | None, event: FindingCause, finding: Finding, now_ms: int) -> Answer:
    if episode is not None and finding.id in episode.causes:
        return Unchanged(reason="applied_before", episode=episode)
    if finding.authorised:
        return Unchanged(reason="proof_of_what_is_authorised", episode=episode)
    if episode is None or not episode.is_open or finding.at_ms < _earliest_proof_ms(episode):
        waits = now_ms - finding.at_ms < PROOF_WAITS_S * MS
        return Unchanged(reason=NO_ALERT_TO_PROVE, episode=episode, again=waits)
    return ruling(episode, episodes.proven(episode, finding, now_ms), event, "proven", now_ms)


def _on_past(episode: Episode | None, event: FindingCause, finding: Finding, past: Past, here: _Here) -> Answer:
    """Never a live alert: of a visit that people were told of, or of which this has been said less well, a
    correction, also of a closed one, and nobody is rung up; else an alert of its own that is over from the
    start."""
    if episode is not None and finding.id in episode.causes:
        return Unchanged(reason="applied_before", episode=episode)
    if past.corrects is not None:
        raised = episode is not None and any(one.cause == past.corrects for one in episode.raises)
        return _correction(episode if raised else None, event, finding, past, here.now_ms)
    replaced = {*past.supersedes} if finding.change is Change.ENTRY else {finding.entry}
    if episode is not None and replaced.intersection(episode.causes) and not _must_be_told(finding, past):
        return _correction(episode, event, finding, past, here.now_ms)
    if finding.change is Change.EXIT:
        return _correction(None, event, finding, past, here.now_ms)
    raised_now = _on_raise(episode, event, finding, here)
    assert isinstance(raised_now, Ruling)
    after = episodes.ended(raised_now.episode, past.last_ms)
    return ruling(episode, after, event, raised_now.reason, here.now_ms, raised_now.notifications)


def _must_be_told(finding: Finding, past: Past) -> bool:
    """Whether it takes the place of what nobody was told of, and is not authorised itself."""
    return finding.change is Change.ENTRY and past.untold and not finding.authorised


def _correction(episode: Episode | None, event: FindingCause, finding: Finding, past: Past, now_ms: int) -> Answer:
    """None: another episode has its place by now; the record keeps what was found of it
    (tocsin.past_incursion)."""
    if episode is None:
        return Unchanged(reason=CORRECTS_ANOTHER, episode=None)
    reason = "withdrawn" if finding.change is Change.EXIT else "corrected"
    return ruling(episode, episodes.corrected(episode, finding, past, now_ms), event, reason, now_ms)


def _earliest_proof_ms(episode: Episode) -> int:
    """Raisings may have been ruled upon in another order than they happened in."""
    return min(one.at_ms for one in episode.raises) - PROOF_EARLY_MAX_S * MS


def _on_receipt(episode: Episode | None, receipt: Receipt, now_ms: int) -> Answer:
    if episode is None or episode.id != receipt.episode:
        return Unchanged(reason="receipt_of_another_episode", episode=episode)
    after = episodes.with_receipt(episode, receipt)
    if after == episode:
        return Unchanged(reason="receipt_known", episode=episode)
    return ruling(episode, after, receipt, "receipt", now_ms)
