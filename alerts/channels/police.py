"""What is a room of the police told? One CAP 1.2 message for each room: the alert, and where both parties were.

| ruling                                | message                                                             |
|---------------------------------------|---------------------------------------------------------------------|
| the room hears of it first            | Alert: at the raising, at the hour without a decision, or handed off|
| raised again, the room knows it       | Update of what it was told before                                   |
| handed off by a human, the room knows | Update: what was told unverified is verified now                    |
| taken, put back                       | none (``desk``): an Update would hide the places of the one before  |
| closed: false alarm, technical        | Cancel: what was said before is withdrawn                           |
| closed: arrested, left, moved         | Update, past: what was said was true, and it is over                |
| closed, the room was told nothing yet | none                                                                |

The area is a circle around the protected person, of the 95 % radius: never a point, since a point promises what
no fix has; an absent accuracy is the worst case. Both places stand beside it as ``geo:`` URIs (RFC 5870, with
the reported 68 % radius as ``u``), each with its age. Without a position the message goes out and says so. The
places are those of the cause of this step; where that is a human or an hour, those of the raising that it is
about.

``tocsin:verified`` and the sentence beside it say whether a human stands for it; ``tocsin:mode`` how this
message came to be sent, in the words of the three modes (DOMAIN section 4, escalation).

Pure: a function of the ruling, the room and two settings. No free text of anybody is in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import msgspec

from alerts.catalogue import CATALOGUE, certainty_of
from alerts.channels.cap import CONTENT_TYPE, Area, CapMessage, Circle, Info, Reference, write_cap
from alerts.channels.cloudevent import link
from alerts.channels.form import Form, Sender, mark_fr, realm_told
from alerts.episodes import ACKNOWLEDGED, CLOSED, RELEASED, Cause, cause_in, places_of
from tocsin.clock import MS, rfc3339
from tocsin.model.episode import Episode, Notification, Outcome, Raise, Realm, Ruling, Rung, Sent
from tocsin.model.finding import Alarm
from tocsin.model.fix import FixPoint
from tocsin.model.room import DEFAULT_ROOM

STATUS: Final = {Realm.PRODUCTION: "Actual", Realm.EXERCISE: "Exercise", Realm.LAB: "Test"}
"""F38: nobody is sent to a drill."""

WITHDRAWN: Final = frozenset({Outcome.FALSE_ALARM, Outcome.TECHNICAL})
OUTCOME_FR: Final = {
    Outcome.ARRESTED: "le porteur a été interpellé",
    Outcome.LEFT_ZONE: "le porteur a quitté la zone",
    Outcome.RELOCATED: "la personne protégée est en lieu sûr",
    Outcome.FALSE_ALARM: "fausse alerte",
    Outcome.TECHNICAL: "cause technique",
}

UNVERIFIED_FR = "Non vérifié : transmis automatiquement, avant la levée de doute par la téléassistance."
CONFIRMED_FR = (
    "Non vérifié : confirmé par une seconde position, mais transmis automatiquement, "
    "avant la levée de doute par la téléassistance."
)
VERIFIED_FR = "Vérifié : transmis par la téléassistance, après la levée de doute."
NOBODY_COMES_FR = "Message d'essai ou d'exercice : n'engager personne."
SILENT_FR = (
    "Appel silencieux : ne rappeler la personne protégée ni de vive voix ni en faisant sonner son appareil."
)
WEARER_FR = "Ne rien dire au porteur du lieu où se trouve la personne protégée."
CALL_BACK_FR = "Appeler la téléassistance au numéro indiqué avant d'engager ou de lever le dispositif."
DOUBTFUL_FR = "Confiance faible : l'alerte repose sur une position imprécise ou peu vraisemblable."
FLEET_FR = "La téléassistance suit les binômes, le plus menacé d'abord ; elle vous appellera pour chacun."
FLEET_PLACE_FR = "Ce qui se tait n'a pas de lieu."
HER_PLACE_UNKNOWN_FR = "Position de la personne protégée inconnue."
NO_PLACE_FR = "Position inconnue : aucune position n'accompagnait le signal."


def is_told(ruling: Ruling, notification: Notification) -> bool:
    """Whether there is a message for it. Of what release 0.1.0 left in the queue there is none for who took an
    alert, and none for the end of one that no CAP message had begun: an Alert is what a patrol is sent for,
    and the first that a room hears of something must not be that it is over."""
    if notification.type in {ACKNOWLEDGED, RELEASED}:
        return False
    return notification.type != CLOSED or bool(_earlier(ruling.episode, notification))


def body(ruling: Ruling, notification: Notification, sender: Sender) -> bytes:
    return write_cap(message(ruling, notification, sender))


def message(ruling: Ruling, notification: Notification, sender: Sender) -> CapMessage:
    """As a noun; ``body`` is its XML."""
    episode, room = ruling.episode, notification.recipient or DEFAULT_ROOM
    references = _references(episode, notification, sender)
    return CapMessage(
        identifier=notification.id,
        sender=sender.name,
        sent_ms=ruling.at_ms // MS * MS,
        status=STATUS[realm_told(episode)],
        message_type=_message_type(episode, references),
        scope="Private",
        addresses=_addresses(ruling, room),
        note=" ".join(_note_fr(episode)),
        references=references,
        incidents=(episode.id,),
        infos=(_info(ruling, notification, room, sender),),
    )


def _note_fr(episode: Episode) -> Iterator[str]:
    if realm_told(episode) is not Realm.PRODUCTION:
        yield NOBODY_COMES_FR
    yield _verified_fr(episode)


def _verified_fr(episode: Episode) -> str:
    """Who stands for it: only a human lifts a doubt."""
    if episode.is_verified:
        return VERIFIED_FR
    return UNVERIFIED_FR if episode.verified_ms is None else CONFIRMED_FR


def _mode(episode: Episode, notification: Notification) -> str:
    """How this message came to be sent."""
    if episode.is_verified:
        return "operator_confirmed"
    return "auto_on_timeout" if notification.audience is Rung.POLICE else "auto_preadvice"


def _message_type(episode: Episode, references: tuple[Reference, ...]) -> str:
    if not references:
        return "Alert"
    return "Cancel" if episode.outcome in WITHDRAWN else "Update"


def _references(episode: Episode, notification: Notification, sender: Sender) -> tuple[Reference, ...]:
    return tuple(
        Reference(sender=sender.name, identifier=sent.id, sent_ms=sent.at_ms // MS * MS)
        for sent in _earlier(episode, notification)
    )


def _earlier(episode: Episode, notification: Notification) -> list[Sent]:
    """What this room was told of this episode before this message."""
    earlier = [sent for one in episode.told if one.room == notification.recipient for sent in one.sent]
    names = [sent.id for sent in earlier]
    return earlier[: names.index(notification.id)] if notification.id in names else earlier


def _addresses(ruling: Ruling, room: str) -> tuple[str, ...]:
    """This room first, then the others that are told the same: each knows who else has it."""
    others = {one.recipient for one in ruling.notifications if one.recipient} - {room}
    return (room, *sorted(others))


def _info(ruling: Ruling, notification: Notification, room: str, sender: Sender) -> Info:
    episode = ruling.episode
    entry, raising = CATALOGUE[episode.code], episode.raises[-1]
    info = Info(
        categories=("Security",),
        event=entry.label_fr,
        urgency=entry.urgency,
        severity=entry.severity,
        certainty=certainty_of(episode.code, low_confidence=episode.is_doubtful),
        language="fr-FR",
        event_codes=(("tocsin:code", episode.code.value),),
        onset_ms=raising.at_ms // MS * MS,
        sender_name=f"Tocsin {sender.site}",
        contact=sender.callback or "",
        parameters=tuple(_parameters(ruling, notification, room)),
    )
    return _running(info, ruling) if episode.is_open else _ended(info, episode)


def _running(info: Info, ruling: Ruling) -> Info:
    """He is there, or she has pressed. The room may prepare at once, verified or not."""
    episode, cause = ruling.episode, cause_in(ruling.event)
    raising, heading = episode.raises[-1], mark_fr(episode)
    again = "" if raising is episode.raises[0] else f" (signal n° {len(episode.raises)})"
    return msgspec.structs.replace(
        info,
        responses=("Execute", "Assess"),
        headline=f"{heading}{info.event}{again}",
        description=" ".join(_told_fr(episode, cause)),
        instruction=" ".join(_duties_fr(episode)),
        areas=(_area(ruling),),
    )


def _ended(info: Info, episode: Episode) -> Info:
    """A human has closed it. Urgency, severity and certainty are those of now, not of the alert that it was."""
    assert episode.outcome is not None
    withdrawn, why = episode.outcome in WITHDRAWN, OUTCOME_FR[episode.outcome]
    what = "alerte retirée" if withdrawn else "alerte terminée"
    return msgspec.structs.replace(
        info,
        urgency="Past",
        severity="Minor",
        certainty="Unlikely" if withdrawn else "Observed",
        responses=("None",) if withdrawn else ("AllClear",),
        headline=f"{mark_fr(episode)}{info.event} : {what}, {why}",
        description=f"La téléassistance a clos cette alerte : {why}.",
        instruction="Lever le dispositif selon le protocole."
        if not withdrawn
        else "Ne plus tenir compte de l'alerte.",
    )


def _told_fr(episode: Episode, cause: Cause | None) -> Iterator[str]:
    raising = episode.raises[-1]
    yield f"Signal de {rfc3339(raising.at_ms)}."
    if raising.zone is not None:
        yield f"Lieu de l'ordonnance : {raising.zone}."
    if raising.crossed_from_ms is not None and raising.crossed_until_ms is not None:
        hours = f"{rfc3339(raising.crossed_from_ms)} et {rfc3339(raising.crossed_until_ms)}"
        yield f"Aucune position à l'intérieur : traversé entre {hours}."
    if raising.silenced is not None:
        silent, expected = raising.silenced.silent, raising.silenced.expected
        yield f"{silent} dispositifs sur {expected} se taisent ensemble : panne probable, sans porteur en cause."
        yield FLEET_FR
        return
    if raising.distance_dm is not None:
        accuracy = "inconnue" if raising.accuracy_dm is None else f"± {raising.accuracy_dm / 10:.0f} m"
        distance = f"{raising.distance_dm / 10:.0f} m, précision {accuracy}"
        yield f"Porteur à {distance} de la personne protégée (distance d'alerte {raising.threshold_m} m)."
    if episode.is_doubtful:
        yield DOUBTFUL_FR
    if raising.is_key and episode.protected is None:
        yield NO_PLACE_FR
    if isinstance(cause, Alarm) and not cause.readable:
        yield "Le signal de la touche est arrivé altéré."
    yield _verified_fr(episode)


def _duties_fr(episode: Episode) -> Iterator[str]:
    """What the room must know before it acts. A key once pressed in silence stays silent."""
    if realm_told(episode) is not Realm.PRODUCTION:
        yield NOBODY_COMES_FR
    if episode.is_silent:
        yield SILENT_FR
    yield WEARER_FR
    yield CALL_BACK_FR


def _area(ruling: Ruling) -> Area:
    protected = dict(_parties(ruling)).get("protected")
    if ruling.episode.raises[-1].silenced is not None:
        return Area(description=FLEET_PLACE_FR)
    if protected is None:
        return Area(description=NO_PLACE_FR if ruling.episode.raises[-1].is_key else HER_PLACE_UNKNOWN_FR)
    radius_m = _whole_m(protected.radius95_m)
    return Area(
        description=(
            f"Personne protégée, dans un rayon de {radius_m} m (95 %), "
            f"position d'il y a {_age_s(protected, ruling.at_ms):.0f} s"
        ),
        circles=(Circle(lat=protected.lat, lon=protected.lon, radius_km=radius_m / 1000),),
    )


def _parameters(ruling: Ruling, notification: Notification, room: str) -> Iterator[tuple[str, str]]:
    """For machines, under our own prefix."""
    episode, raising = ruling.episode, ruling.episode.raises[-1]
    yield "tocsin:type", notification.type
    yield "tocsin:room", room
    yield "tocsin:version", str(episode.version)
    yield "tocsin:priority", str(episode.priority)
    yield "tocsin:verified", "true" if episode.is_verified else "false"
    yield "tocsin:mode", _mode(episode, notification)
    yield "tocsin:occurred_at", rfc3339(raising.at_ms)
    yield "tocsin:recorded_at", rfc3339(ruling.at_ms)
    yield from (("tocsin:measure", measure) for measure in episode.measures)
    if episode.device is not None:
        yield "tocsin:device", episode.device
    if raising.is_key:
        yield "tocsin:silent", "true" if episode.is_silent else "false"
    else:
        yield "tocsin:low_confidence", "true" if episode.is_doubtful else "false"
        yield from _distance(raising, ruling.at_ms)
    if episode.outcome is not None:
        yield "tocsin:outcome", episode.outcome.value
    yield from _places(ruling)
    yield "tocsin:alert", link(episode)


def _distance(raising: Raise, at_ms: int) -> Iterator[tuple[str, str]]:
    for name, length_dm in (
        ("tocsin:distance_m", raising.distance_dm),
        ("tocsin:distance_accuracy_m", raising.accuracy_dm),
        ("tocsin:distance_lower_m", raising.lower_dm),
        ("tocsin:distance_upper_m", raising.upper_dm),
    ):
        if raising.distance_dm is not None and length_dm is not None:
            yield name, f"{length_dm / 10:g}"
    if raising.distance_dm is not None:
        yield "tocsin:distance_age_s", f"{max(0, at_ms - raising.at_ms) / MS:g}"
    if raising.threshold_m is not None:
        yield "tocsin:threshold_m", str(raising.threshold_m)


def _places(ruling: Ruling) -> Iterator[tuple[str, str]]:
    """Those of the cause of this raising, each with its accuracy and age (invariant 9); nothing is looked up."""
    for who, point in _parties(ruling):
        uncertainty = f";u={point.accuracy_dm / 10:g}" if point.accuracy_dm else ""
        yield f"tocsin:{who}", f"geo:{point.lat:.6f},{point.lon:.6f}{uncertainty}"
        yield f"tocsin:{who}_age_s", f"{_age_s(point, ruling.at_ms):g}"
        yield f"tocsin:{who}_radius95_m", str(_whole_m(point.radius95_m))


def _parties(ruling: Ruling) -> Iterator[tuple[str, FixPoint]]:
    """Who was where, by the name of the party; whoever was not heard is left out, and nobody stands in for her.
    Where an hour or a human tells the room, the places are those of the newest raising."""
    wearer, protected = ruling.episode.wearer, ruling.episode.protected
    if (cause := cause_in(ruling.event)) is not None:
        wearer, protected = places_of(cause)
    known = (("protected", protected), ("wearer", wearer))
    yield from ((who, point) for who, point in known if point is not None)


def _whole_m(metres: float) -> int:
    """Up, but for the last places of a float."""
    return math.ceil(round(metres, 3))


def _age_s(point: FixPoint, at_ms: int) -> float:
    return max(0, at_ms - point.fix_ms) / MS


FORM: Final = Form(name="police", content_type=CONTENT_TYPE, body=body, is_told=is_told, tells_places=True)
