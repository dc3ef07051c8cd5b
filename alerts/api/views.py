"""How does an episode, a standing, a measure, a device look from outside, and which alert comes first?

Pure. The order is one for everybody: untaken first, then priority, within it a countdown that runs, then age. An
acknowledgement that has expired counts as untaken. Times are milliseconds here and RFC 3339 in what is returned.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from alerts.api import places, schemas
from alerts.catalogue import CATALOGUE
from tocsin.adapters.episodes import Timeline
from tocsin.adapters.orders import Measure
from tocsin.clock import MS, rfc3339
from tocsin.model.device import Device
from tocsin.model.episode import (
    Act,
    AlarmCause,
    Correction,
    Deed,
    Due,
    Episode,
    FindingCause,
    NoticeCause,
    Raise,
    Receipt,
    Ruling,
    State,
    Unfold,
    Verb,
)
from tocsin.model.finding import LATCHED, Code
from tocsin.model.fix import ClockPoints
from tocsin.model.fleet import Incident, Silenced
from tocsin.model.standing import Protection, Standing
from tocsin.model.zone import Zone

CLOCK_POINTS: Final = ("t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9")
DM_PER_M = 10
ZONES: Final[Mapping[Zone, Literal["far", "prealert", "alert"]]] = MappingProxyType(
    {Zone.FAR: "far", Zone.PREALERT: "prealert", Zone.ALERT: "alert"}
)

Urgency = tuple[int, int, int, int, str]


def urgency(episode: Episode, now_ms: int) -> Urgency:
    """Smaller comes first."""
    taken, waits = int(is_taken(episode, now_ms)), int(not is_counting_down(episode))
    return (taken, episode.priority, waits, episode.opened_ms, episode.id)


def is_counting_down(episode: Episode) -> bool:
    """IMMINENT is at the top of its priority (DOMAIN 4), as long as he approaches."""
    return episode.code is Code.IMMINENT and episode.over_ms is None


def is_taken(episode: Episode, now_ms: int) -> bool:
    expires_ms = episode.acknowledgement_expires_ms
    return episode.state is State.ACKNOWLEDGED and expires_ms is not None and now_ms < expires_ms


def alert(episode: Episode) -> schemas.Alert:
    entry, raising = CATALOGUE[episode.code], episode.raises[-1]
    return schemas.Alert(
        id=episode.id,
        version=episode.version,
        code=episode.code,
        label=entry.label_fr,
        duty=entry.duty_fr,
        priority=episode.priority,
        state=episode.state,
        phase=phase(episode),
        owner=episode.owner,
        measures=list(episode.measures),
        device=episode.device,
        occurred_at=rfc3339(episode.opened_ms),
        recorded_at=rfc3339(episode.recorded_ms),
        over_at=time_of(episode.over_ms),
        acknowledged_at=time_of(episode.acknowledged_ms),
        expires_at=time_of(episode.acknowledgement_expires_ms),
        distance=_distance(episode.raises),
        low_confidence=episode.is_doubtful,
        alert_expected_at=time_of(raising.alert_ms),
        silent_since=time_of(raising.silent_since_ms),
        blind_risk=_blind_risk(raising),
        approach=_approach(raising),
        call_wearer_not_before=time_of(raising.call_not_before_ms),
        evidential_at=time_of(episode.evidential_ms),
        zone=raising.zone,
        authorised=episode.authorised,
        corrections=[_correction(one) for one in episode.corrections],
        raises=len(episode.raises),
        silent=episode.is_silent,
        clock=_clock(episode.points),
        outcome=episode.outcome,
        closed_at=time_of(episode.closed_ms),
        closed_by=episode.closed_by,
        follows=episode.follows,
        latched=episode.code in LATCHED,
        inspected=episode.inspected,
        events=sorted({one.event for one in episode.raises if one.event}),
        fleet=fleet(raising.silenced),
        folded_into=None if episode.folded is None else episode.folded.incident,
        waiting_since=time_of(episode.waiting_ms),
        rungs=[schemas.Rung(rung=one.rung, at=rfc3339(one.at_ms)) for one in episode.rungs],
        deeds=[_deed(one) for one in episode.deeds],
        verified=episode.verified_ms is not None,
        verified_at=time_of(episode.verified_ms),
        decided_at=time_of(episode.decided_ms),
        handed_off_at=time_of(episode.handed_off_ms),
        protected_told_at=time_of(episode.protected_told_ms),
    )


def phase(episode: Episode) -> schemas.Phase:
    """How far it has come. What nobody has is not in action, whatever was done about it before."""
    if episode.state in {State.CLOSED, State.FOLDED}:
        return "closed" if episode.state is State.CLOSED else "folded"
    if episode.over_ms is not None:
        return "over"
    if episode.state is State.RAISED:
        return "raised" if episode.raises[-1].points.t8_ms is None else "presented"
    if episode.handed_off_ms is not None:
        return "handed_off"
    taken_ms = episode.acknowledged_ms or 0
    return "in_action" if any(one.at_ms >= taken_ms for one in episode.deeds) else "acknowledged"


def _deed(one: Deed) -> schemas.Deed:
    return schemas.Deed(
        kind=one.kind, at=rfc3339(one.at_ms), until=time_of(one.until_ms), party=one.party, outcome=one.reply
    )


def _correction(one: Correction) -> schemas.Correction:
    return schemas.Correction(
        at=rfc3339(one.at_ms),
        first_at=rfc3339(one.first_ms),
        last_at=rfc3339(one.last_ms),
        nearest_at=rfc3339(one.nearest_ms),
        best_m=_metres(one.distance_dm),
        lower_m=_metres(one.lower_dm),
        upper_m=_metres(one.upper_dm),
        withdrawn=one.withdrawn,
        authorised=one.authorised,
    )


def fleet(silenced: Silenced | None) -> schemas.FleetSilence | None:
    if silenced is None:
        return None
    return schemas.FleetSilence(
        dimension=silenced.group.dimension,
        value=silenced.group.value,
        silent=silenced.silent,
        expected=silenced.expected,
        since=rfc3339(silenced.since_ms),
        pairs=silenced.pairs,
    )


def time_of(ms: int | None) -> str | None:
    return None if ms is None else rfc3339(ms)


def etag(version: int) -> str:
    return f'"{version}"'


def _distance(raises: tuple[Raise, ...]) -> schemas.Distance | None:
    """Of the newest raise that has one; a key has none."""
    for one in reversed(raises):
        if one.distance_dm is not None:
            return schemas.Distance(
                best_m=one.distance_dm / DM_PER_M,
                accuracy_m=_metres(one.accuracy_dm),
                lower_m=_metres(one.lower_dm),
                upper_m=_metres(one.upper_dm),
                threshold_m=one.threshold_m,
                at=rfc3339(one.at_ms),
                fixes_at=time_of(one.fixes_ms),
            )
    return None


def _metres(dm: int | None) -> float | None:
    return None if dm is None else dm / DM_PER_M


def _blind_risk(raising: Raise) -> schemas.BlindRisk | None:
    return _blind_hours(raising.blind_worst_ms, raising.blind_plausible_ms)


def _blind_hours(worst_ms: int | None, plausible_ms: int | None) -> schemas.BlindRisk | None:
    if worst_ms is None and plausible_ms is None:
        return None
    return schemas.BlindRisk(worst_at=time_of(worst_ms), plausible_at=time_of(plausible_ms))


def _approach(raising: Raise) -> schemas.Approach | None:
    wearer_dm, protected_dm = raising.wearer_approach_dm, raising.protected_approach_dm
    if wearer_dm is None or protected_dm is None:
        return None
    return schemas.Approach(
        wearer_share_pct=raising.wearer_share_pct,
        wearer_m=wearer_dm / DM_PER_M,
        protected_m=protected_dm / DM_PER_M,
    )


def _clock(points: ClockPoints) -> schemas.Clock:
    return schemas.Clock(**{name: time_of(getattr(points, f"{name}_ms")) for name in CLOCK_POINTS})


def timeline(alert_id: str, recorded: Timeline) -> schemas.TimelineReply:
    """Machine and human entries and each attempt to deliver, by the hour."""
    rulings = [_of_ruling(each.ruling) for each in recorded.rulings if not isinstance(each.ruling.event, Receipt)]
    entries = [*rulings, *map(_of_attempt, recorded.attempts)]
    return schemas.TimelineReply(alert=alert_id, entries=sorted(entries, key=lambda entry: entry.at))


def _of_ruling(ruling: Ruling) -> schemas.TimelineEntry:
    version, at = ruling.episode.version, rfc3339(ruling.at_ms)
    match ruling.event:
        case Act() as act:
            judged = act.verb is Verb.CLOSE
            return schemas.TimelineEntry(
                at=at, source="human", nature="assessment" if judged else "fact", what=ruling.reason,
                version=version, actor=act.actor, detail=_of_act(act),
            )  # fmt: skip
        case FindingCause(finding=found):
            detail: dict[str, str | int | float | bool | None] = {
                "finding": found.id,
                "code": found.code.value,
                "change": found.change.value,
                "reason": found.reason,
                "distance_m": _metres(found.distance_dm),
                "lower_m": _metres(found.lower_dm),
                "upper_m": _metres(found.upper_dm),
                "threshold_m": found.threshold_m,
                "low_confidence": found.low_confidence,
                "zone": found.zone,
                "zone_m": _metres(found.zone_dm),
                "authorised": found.authorised,
                "crossed_from": time_of(found.crossed_from_ms),
                "crossed_until": time_of(found.crossed_until_ms),
                "priority": found.priority,
                "judges": found.alarm,
                "wearer_share_pct": found.wearer_share_pct,
                "wearer_approach_m": _metres(found.wearer_approach_dm),
                "protected_approach_m": _metres(found.protected_approach_dm),
            }
        case AlarmCause(alarm=pressed):
            detail = {"alarm": pressed.id, "device": pressed.device, "silent": pressed.silent}
            if pressed.event:
                detail |= {"event": pressed.event, "local": pressed.local}
        case Unfold(incident=incident):
            detail = {"incident": incident}
        case NoticeCause(notice=noticed):
            detail = {"notice": noticed.id, "change": noticed.change.value, "reason": noticed.reason}
        case Due(at_ms=due_ms):
            climbed = ruling.episode.rungs[-1].rung.value if ruling.episode.rungs else None
            detail = {"due": rfc3339(due_ms), "rung": climbed}
        case Receipt():
            detail = {}
    return schemas.TimelineEntry(
        at=at, source="machine", nature="fact", what=ruling.reason, version=version, detail=detail
    )


def _of_act(act: Act) -> dict[str, str | int | float | bool | None]:
    """What he said of it; what an act of this verb does not have is absent."""
    detail: dict[str, str | int | float | bool | None] = {"note": act.note, "service": act.service or None}
    match act.verb:
        case Verb.CLOSE:
            detail |= {"outcome": act.outcome, "inspected": act.inspected}
        case Verb.HAND_OVER:
            detail |= {"to": act.to}
        case Verb.HAND_OFF:
            detail |= {"rooms": ", ".join(act.rooms)}
        case Verb.TAKE_OVER:
            detail |= {"supervises": act.supervises}
        case Verb.DO if act.deed is not None:
            deed = act.deed
            detail |= {
                "kind": deed.kind,
                "party": deed.party,
                "outcome": deed.reply,
                "from": rfc3339(deed.at_ms),
                "until": time_of(deed.until_ms),
            }
        case _:
            pass
    return detail


def _of_attempt(receipt: Receipt) -> schemas.TimelineEntry:
    return schemas.TimelineEntry(
        at=rfc3339(receipt.t7_ms),
        source="delivery",
        nature="fact",
        what=receipt.result,
        version=receipt.version,
        detail={
            "notification": receipt.notification,
            "channel": receipt.channel.value,
            "recipient": receipt.recipient or None,
            "line": receipt.line or None,
            "attempt": receipt.attempt,
            "accepted_at": time_of(receipt.t8_ms),
            "status": receipt.status,
        },
    )


def protection(known: Standing, now_ms: int) -> schemas.MeasureProtection:
    return schemas.MeasureProtection(
        measure=known.measure,
        protection=known.protection,
        since=rfc3339(known.since_ms),
        age_s=max(0, now_ms - known.since_ms) / MS,
        reason=known.reason,
        zone=ZONES[known.zone],
        uncertain_since=time_of(known.uncertain_since_ms),
        wearer_heard_at=time_of(known.wearer_heard_ms),
        protected_heard_at=time_of(known.protected_heard_ms),
        blind_risk=_blind_hours(known.blind_worst_ms, known.blind_plausible_ms),
        blind_worst_s=_seconds_to(known.blind_worst_ms, now_ms),
        blind_plausible_s=_seconds_to(known.blind_plausible_ms, now_ms),
        updated_at=rfc3339(known.at_ms),
    )


def incident(
    episode: Episode,
    known: Incident,
    standings: Mapping[str, Protection],
    alerts: Mapping[str, list[str]],
    *,
    complete: bool,
    now_ms: int,
) -> schemas.IncidentReply:
    """In the order of the watch."""
    return schemas.IncidentReply(
        alert=episode.id,
        dimension=known.group.dimension,
        value=known.group.value,
        silent=known.silent,
        expected=known.expected,
        since=rfc3339(known.since_ms),
        at=rfc3339(known.at_ms),
        complete=complete,
        pairs=[
            schemas.PairInIncident(
                measure=one.measure,
                silent=one.silent,
                blind_risk=_blind_hours(one.worst_ms, one.plausible_ms),
                blind_worst_s=_seconds_to(one.worst_ms, now_ms),
                protection=standings.get(one.measure),
                alerts=alerts.get(one.measure, []),
            )
            for one in known.ranked
        ],
    )


def _seconds_to(ms: int | None, now_ms: int) -> float | None:
    return None if ms is None else (ms - now_ms) / MS


def measure(known: Measure, now_ms: int) -> schemas.MeasureReply:
    order = known.order
    return schemas.MeasureReply(
        id=order.id,
        version=order.version,
        wearer=order.wearer,
        protected=order.protected,
        alert_distance_m=order.alert_distance_m,
        prealert_distance_m=order.prealert_distance_m,
        valid_from=rfc3339(order.valid_from_ms),
        valid_until=rfc3339(order.valid_until_ms),
        in_force=order.in_force(now_ms),
        created_at=rfc3339(known.created_ms),
        created_by=known.created_by,
        ended_at=time_of(known.ended_ms),
        ended_by=known.ended_by,
        zones=[places.place(zone) for zone in order.zones],
        authorised=None if order.authorised is None else places.authorised(order.authorised),
    )


def device(known: Device) -> schemas.DeviceReply:
    return schemas.DeviceReply(
        id=known.id,
        kind=known.kind,
        measures=list(known.measures),
        revoked_at=time_of(known.revoked_ms),
        reports_every_s=known.reports_every_s,
        carrier=known.carrier,
        apn=known.apn,
        region=known.region,
        firmware=known.firmware,
    )
