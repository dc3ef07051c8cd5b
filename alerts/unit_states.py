"""In which state is a unit: what does hers show, which sentences belong to his, and may it ring? Pure.

Made of the newest ruling in each place of EPISODES, in whatever order they are heard. Of several alerts about one
protected person the worst is shown, until all of them are over: the end of one measure's must not read as the end
of the other's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from alerts.channels.sentences import Condition, conditions_of
from alerts.episodes import KEYS
from tocsin.model.command import Shown
from tocsin.model.device import Device
from tocsin.model.episode import Channel, Episode, Notification, Ruling
from tocsin.model.finding import Code

PROTECTION_TYPES: Final[Mapping[str, Shown]] = MappingProxyType(
    {f"org.tocsin.protection.{shown.value}": shown for shown in Shown}
)
"""The types of a notification on Channel.UNIT."""

DEGRADING: Final = frozenset(
    {
        Code.DEGRADED, Code.W_GNSS_LOSS, Code.W_COMMS_LOSS, Code.V_COMMS_LOSS, Code.SEPARATION,
        Code.JAMMING_SUSPECTED, Code.SPOOF_SUSPECTED, Code.W_DEVICE_OFF, Code.V_DEVICE_OFF, Code.W_BATT_DEAD,
    }
)  # fmt: skip
"""Of these her unit shows that less is known than should be, and not that he is near."""


class Place(NamedTuple):
    """What one place of EPISODES says, as of the ruling ``sequence``. ``is_silent``: a key that was pressed
    silently, and stands open."""

    sequence: int
    code: Code
    measures: tuple[str, ...]
    device: str | None
    shows: Shown | None
    lasts: bool
    is_silent: bool


def told(notification: Notification) -> Shown | None:
    """What her unit is to show by this; None: it is no such notification."""
    return PROTECTION_TYPES.get(notification.type) if notification.channel is Channel.UNIT else None


def shown_of(ruling: Ruling) -> Shown:
    """What this episode alone would have her unit show."""
    mine = [shown for one in ruling.notifications if (shown := told(one)) is not None]
    if mine:
        return mine[-1]
    episode = ruling.episode
    if episode.protected_told_ms is None or not episode.lasts:
        return Shown.OVER
    return Shown.DEGRADED if episode.code in DEGRADING else Shown.ALERT


class UnitStates:
    """The newest of every place; of one that has ended nothing but how new it is."""

    def __init__(self) -> None:
        self._places: dict[str, Place] = {}
        self._of: defaultdict[str, set[str]] = defaultdict(set)  # by the measure or device that a place is about
        self._ended: dict[str, int] = {}
        self.is_complete = False
        """Whether every place has been heard once."""

    def hear(self, subject: str, sequence: int, ruling: Ruling) -> None:
        """One ruling; an older one than is known of its place changes nothing."""
        known = self._places.get(subject)
        if sequence <= max(known.sequence if known else 0, self._ended.get(subject, 0)):
            return
        episode, shows = ruling.episode, shown_of(ruling)
        if not episode.is_open and shows is Shown.OVER:
            self._forget(subject)
            self._ended[subject] = sequence
            return
        self._forget(subject)
        self._ended.pop(subject, None)
        place = Place(
            sequence=sequence,
            code=Code(subject.split(".")[2]),
            measures=episode.measures,
            device=episode.device,
            shows=None if shows is Shown.OVER else shows,
            lasts=episode.lasts,
            is_silent=_was_silent(episode),
        )
        self._places[subject] = place
        for key in _parties(place):
            self._of[key].add(subject)

    def _forget(self, subject: str) -> None:
        known = self._places.pop(subject, None)
        for key in _parties(known) if known else ():
            self._of[key].discard(subject)
            if not self._of[key]:
                del self._of[key]

    def newest(self, subject: str) -> int:
        """The sequence of the newest ruling heard of this place; 0: none was."""
        known = self._places.get(subject)
        return self._ended.get(subject, 0) if known is None else known.sequence

    def shown(self, device: Device) -> Shown:
        """What the unit is to show: the worst of all that concerns it."""
        mine = {place.shows for place in self._about(device)}
        return next((shown for shown in Shown if shown in mine), Shown.OVER)

    def conditions(self, device: Device) -> frozenset[Condition]:
        """Which sentences belong to the state of this unit."""
        return conditions_of({place.code for place in self._about(device) if place.lasts})

    def is_silent(self, device: Device) -> bool:
        """Whether her key was pressed silently, and a human has not closed that yet."""
        return any(place.is_silent for place in self._about(device) if place.device == device.id)

    def _about(self, device: Device) -> list[Place]:
        subjects = {one for key in (device.id, *device.measures) for one in self._of.get(key, ())}
        return [self._places[one] for one in sorted(subjects)]


def _parties(place: Place) -> tuple[str, ...]:
    return place.measures if place.device is None else (*place.measures, place.device)


def _was_silent(episode: Episode) -> bool:
    said = episode.code is Code.TGD_SOS_SILENT or any(one.silent for one in episode.raises)
    return episode.code in KEYS and episode.is_open and said
