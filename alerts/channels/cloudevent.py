"""How does a notification look as a CloudEvents 1.0 event in JSON?

The body is a function of the ruling alone. Its nouns are the JSON Schema that is published for those who
receive it (``alert_schema``, docs/schemas): hours are RFC 3339 UTC, lengths metres, ages seconds, null is not
known, and a field that has no meaning for this alert is left out. There is no coordinate in it. Fields are
added, never taken away. How it is signed: ``tocsin.webhook_signature``.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from alerts.catalogue import CATALOGUE, certainty_of
from alerts.channels.form import Sender
from tocsin.clock import MS, rfc3339
from tocsin.model.episode import Episode, Notification, Outcome, Raise, Realm, Ruling, Rung, State
from tocsin.model.fleet import Silenced

CONTENT_TYPE: Final = "application/cloudevents+json"
SCHEMA_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def _says(meaning: str) -> Meta:
    return Meta(description=meaning)


Hour = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", title="RFC 3339, UTC")]


class _Noun(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the body."""


class Distance(_Noun, frozen=True, kw_only=True):
    """Of the newest raising, metres."""

    best: float
    accuracy: float | None
    lower: float | None
    upper: float | None
    age_s: Annotated[float, _says("of the raising")]
    fixes_age_s: Annotated[float | None, _says("of the older of the two fixes that it rests on")]


class BlindRisk(_Noun, frozen=True, kw_only=True):
    """From when on the silent one may be at the alert distance."""

    worst: Annotated[Hour | None, _says("at the greatest speed")]
    plausible: Annotated[Hour | None, _says("at a plausible speed")]


class Approach(_Noun, frozen=True, kw_only=True):
    """Who came nearer, by what he or she did; no direction in it, and no place."""

    wearer_share_pct: int | None
    wearer_m: float
    protected_m: float


class Crossed(_Noun, frozen=True, kw_only=True):
    """No fix was inside; between these hours he was."""

    from_: Hour | None = msgspec.field(name="from")
    until: Hour | None


class SilentPair(_Noun, frozen=True, kw_only=True):
    """One pair to look at."""

    measure: str
    silent: str
    blind_risk_at: Hour | None


class FleetSilence(_Noun, frozen=True, kw_only=True):
    """Many devices silent at once, for one reason."""

    dimension: str
    value: str
    silent: int
    expected: int
    pairs: int
    first: Annotated[tuple[SilentPair, ...], _says("the most urgent, who may be at blind risk soonest first")]


class Links(_Noun, frozen=True, kw_only=True):
    """Paths of the API, and one whole URL."""

    self_: str = msgspec.field(name="self")
    acknowledge: Annotated[str, _says("where a human, or a service account that names one, takes the alert")]
    callback: Annotated[
        str | UnsetType, _says("one POST here, without a token, takes the alert; absent: not set up")
    ] = UNSET


class AlertData(_Noun, frozen=True, kw_only=True):
    """What every recipient may know: ids, code, hours, distance with its accuracy and age."""

    alert: Annotated[str, _says("the id of the alert, the same in all its messages")]
    version: Annotated[int, _says("grows with each change that a human can see; an older one is old news")]
    code: Annotated[str, _says("of the catalogue; more may come")]
    label: Annotated[str, _says("the code in French")]
    priority: Annotated[int, Meta(ge=1, le=5, description="1 is the most urgent")]
    state: State
    audience: Annotated[Rung | None, _says("the rung of the ladder that this is for; null: the first telling")]
    owner: Annotated[str | None, _says("the human who has it")]
    acknowledged_at: Hour | None
    acknowledgement_expires_at: Annotated[
        Hour | None, _says("when it is anybody's again, without an action till then")
    ]
    over_at: Annotated[Hour | None, _says("it has ended in the world; a human still has to close it")]
    closed_at: Hour | None
    outcome: Annotated[Outcome | None, _says("with which a human has closed it")]
    measures: Annotated[tuple[str, ...], _says("whom it is about; of a key none where the phone has none")]
    device: str | None
    occurred_at: Annotated[Hour, _says("of the newest raising")]
    recorded_at: Annotated[Hour, _says("of this step")]
    urgency: Annotated[str, _says("CAP's word")]
    severity: Annotated[str, _says("CAP's word")]
    certainty: Annotated[str, _says("CAP's word")]
    verified: Annotated[bool, _says("whether a human, or a second fix, has confirmed it")]
    verified_at: Hour | None
    police_decided_at: Annotated[Hour | None, _says("a human has decided about the police, either way")]
    handed_off_at: Annotated[Hour | None, _says("the rooms of the police were told on a human's word")]
    silent: Annotated[
        bool | UnsetType, _says("of a key: was it ever pressed in silence? Then nobody rings her aloud")
    ] = UNSET
    distance_m: Distance | UnsetType | None = UNSET
    threshold_m: int | UnsetType | None = UNSET
    low_confidence: Annotated[bool | UnsetType, _says("it rests on a poor or implausible fix")] = UNSET
    alert_expected_at: Hour | UnsetType | None = UNSET
    silent_since: Annotated[Hour | UnsetType | None, _says("nothing was heard since")] = UNSET
    blind_risk_at: Annotated[BlindRisk | UnsetType, _says("from when on he may be there unseen")] = UNSET
    approach: Approach | UnsetType | None = UNSET
    call_wearer_not_before: Annotated[Hour | UnsetType | None, _says("no call to the wearer about it before")] = (
        UNSET
    )
    evidential_at: Annotated[Hour | UnsetType | None, _says("since when it is certain whatever the accuracy")] = (
        UNSET
    )
    zone: Annotated[str | UnsetType | None, _says("the id of the place in the order")] = UNSET
    crossed: Crossed | UnsetType | None = UNSET
    event: Annotated[
        str | UnsetType | None, _says("the word of the unit that rang at once, or of who noticed it")
    ] = UNSET
    fleet: Annotated[FleetSilence | UnsetType, _says("of SYS_FLEET_SILENCE, at its opening")] = UNSET
    links: Links


class AlertEvent(_Noun, frozen=True, kw_only=True):
    """CloudEvents 1.0 in structured mode. ``sequence`` and ``realm`` are extension attributes."""

    specversion: Literal["1.0"]
    id: Annotated[str, _says("of the notification; the same as webhook-id, on every line and at every attempt")]
    source: Annotated[str, Meta(pattern=r"^/tocsin/[a-z0-9-]{1,32}$", description="the site")]
    type: Annotated[str, Meta(pattern=r"^org\.tocsin\.alert\.[a-z_]+$")]
    subject: Annotated[str, _says("the id of the alert")]
    time: Hour
    datacontenttype: Literal["application/json"]
    sequence: Annotated[str, _says("data.version as text")]
    realm: Annotated[Realm, _says("production; else nobody is in danger, and nobody is sent")]
    data: AlertData


def alert_schema() -> dict[str, Any]:
    """The JSON Schema of every ``org.tocsin.alert.*``: they have one form."""
    return {"$schema": SCHEMA_DIALECT, **msgspec.json.schema(AlertEvent)}


def alert_event(ruling: Ruling, notification: Notification, sender: Sender) -> AlertEvent:
    """As a noun; its bytes are those of ``msgspec.json.encode``."""
    episode = ruling.episode
    return AlertEvent(
        specversion="1.0",
        id=notification.id,
        source=f"/tocsin/{sender.site}",
        type=notification.type,
        subject=episode.id,
        time=rfc3339(ruling.at_ms),
        datacontenttype="application/json",
        sequence=str(episode.version),
        realm=episode.realm,
        data=_data(ruling, notification, sender),
    )


def _data(ruling: Ruling, notification: Notification, sender: Sender) -> AlertData:
    episode = ruling.episode
    entry = CATALOGUE[episode.code]
    return AlertData(
        alert=episode.id,
        version=episode.version,
        code=episode.code.value,
        label=entry.label_fr,
        priority=episode.priority,
        state=episode.state,
        audience=notification.audience,
        owner=episode.owner,
        acknowledged_at=_time(episode.acknowledged_ms),
        acknowledgement_expires_at=_time(episode.acknowledgement_expires_ms),
        over_at=_time(episode.over_ms),
        closed_at=_time(episode.closed_ms),
        outcome=episode.outcome,
        measures=episode.measures,
        device=episode.device,
        occurred_at=rfc3339(episode.raises[-1].at_ms),
        recorded_at=rfc3339(ruling.at_ms),
        urgency=entry.urgency,
        severity=entry.severity,
        certainty=certainty_of(episode.code, low_confidence=episode.is_doubtful),
        verified=episode.verified_ms is not None,
        verified_at=_time(episode.verified_ms),
        police_decided_at=_time(episode.decided_ms),
        handed_off_at=_time(episode.handed_off_ms),
        links=_links(ruling, notification, sender),
        **_found(episode, ruling.at_ms),
    )


def _links(ruling: Ruling, notification: Notification, sender: Sender) -> Links:
    """What is closed cannot be taken any more."""
    answer = sender.callback_url(ruling, notification) if ruling.episode.is_open else None
    here = link(ruling.episode)
    return Links(self_=here, acknowledge=f"{here}/acknowledgement", callback=UNSET if answer is None else answer)


def link(episode: Episode) -> str:
    return f"/api/v1/alerts/{episode.id}"


def _found(episode: Episode, at_ms: int) -> dict[str, Any]:
    """Of the newest raising; what is not known is null. A key once pressed in silence stays silent: nobody may
    ring her back aloud."""
    raising = episode.raises[-1]
    if raising.is_key:
        return {"silent": episode.is_silent}
    if raising.silenced is not None:
        return {"silent_since": _time(raising.silent_since_ms), "fleet": _fleet(raising.silenced)}
    return {
        "distance_m": _distance(raising, at_ms),
        "threshold_m": raising.threshold_m,
        "low_confidence": episode.is_doubtful,
        "alert_expected_at": _time(raising.alert_ms),
        "silent_since": _time(raising.silent_since_ms),
        "blind_risk_at": BlindRisk(
            worst=_time(raising.blind_worst_ms), plausible=_time(raising.blind_plausible_ms)
        ),
        "approach": _approach(raising),
        "call_wearer_not_before": _time(raising.call_not_before_ms),
        "evidential_at": _time(episode.evidential_ms),
        "zone": raising.zone,
        "crossed": None
        if raising.crossed_from_ms is None
        else Crossed(from_=_time(raising.crossed_from_ms), until=_time(raising.crossed_until_ms)),
        "event": raising.event or None,
    }


def _fleet(silenced: Silenced) -> FleetSilence:
    """The group, how many, and the pairs to look at first."""
    return FleetSilence(
        dimension=silenced.group.dimension.value,
        value=silenced.group.value,
        silent=silenced.silent,
        expected=silenced.expected,
        pairs=silenced.pairs,
        first=tuple(
            SilentPair(measure=one.measure, silent=one.silent.value, blind_risk_at=_time(one.worst_ms))
            for one in silenced.worst
        ),
    )


def _distance(raising: Raise, at_ms: int) -> Distance | None:
    if raising.distance_dm is None:
        return None
    return Distance(
        best=raising.distance_dm / 10,
        accuracy=_metres(raising.accuracy_dm),
        lower=_metres(raising.lower_dm),
        upper=_metres(raising.upper_dm),
        age_s=max(0, at_ms - raising.at_ms) / MS,
        fixes_age_s=None if raising.fixes_ms is None else max(0, at_ms - raising.fixes_ms) / MS,
    )


def _approach(raising: Raise) -> Approach | None:
    if raising.wearer_approach_dm is None or raising.protected_approach_dm is None:
        return None
    return Approach(
        wearer_share_pct=raising.wearer_share_pct,
        wearer_m=raising.wearer_approach_dm / 10,
        protected_m=raising.protected_approach_dm / 10,
    )


def _metres(dm: int | None) -> float | None:
    return None if dm is None else dm / 10


def _time(ms: int | None) -> str | None:
    return None if ms is None else rfc3339(ms)
