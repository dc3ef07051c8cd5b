"""Which rooms of the police are told of a cause?

The room of the protected person's place, and that of the wearer's if it is another (DOMAIN section 4). A place is
the circle of its 95 % radius and a margin: near a border both forces are told. Nothing found (at sea, abroad, no
position, no file, a look-up that fails) is told to the default recipient, never to nobody. What has no one place
(``Rooms.EVERY``: the silence of a fleet, F04) is told to every room that has an address, and to the default
recipient for the others. Handed to the desk as the realm is; pure, but for ``lookup_failed``, through which the
shell hears of a map that fails it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from alerts.catalogue import CATALOGUE, Rooms
from alerts.territory import Territory
from tocsin.limits import BORDER_MARGIN_M, ROUTING_RADIUS_MAX_M
from tocsin.model.finding import Alarm, Finding
from tocsin.model.fix import FixPoint
from tocsin.model.room import DEFAULT_ROOM


def _unheard(kind: str) -> None:
    """Nobody counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """How this deployment chooses. Without a territory everything goes to the default recipient.

    ``addressed`` are the rooms that have an address of their own.
    ``lookup_failed`` is handed the kind of the error and not its words: these may hold a position.
    """

    territory: Territory | None = None
    margin_m: int = BORDER_MARGIN_M
    addressed: frozenset[str] = frozenset()
    lookup_failed: Callable[[str], None] = _unheard

    def rooms_for(self, cause: Finding | Alarm) -> tuple[str, ...]:
        """By name; never empty."""
        if CATALOGUE[cause.code].rooms is Rooms.EVERY:
            return self.every_room()
        rooms = {room for place in places_of(cause) for room in self._rooms_at(place)}
        return tuple(sorted(rooms)) or (DEFAULT_ROOM,)

    def every_room(self) -> tuple[str, ...]:
        return tuple(sorted({*self.addressed, DEFAULT_ROOM}))

    def _rooms_at(self, place: FixPoint) -> tuple[str, ...]:
        if self.territory is None:
            return (DEFAULT_ROOM,)
        try:
            return self._looked_up(self.territory, place)
        except Exception as error:  # noqa: BLE001  # what a map cannot answer is told to somebody, not tried for ever
            self.lookup_failed(type(error).__name__)
            return (DEFAULT_ROOM,)

    def _looked_up(self, territory: Territory, place: FixPoint) -> tuple[str, ...]:
        radius_m = place.radius95_m + self.margin_m
        if radius_m <= ROUTING_RADIUS_MAX_M:
            return territory.rooms_at(place.lat, place.lon, radius_m)
        # Known to some county only: those around the middle, and whoever can sort it out.
        return (*territory.rooms_at(place.lat, place.lon, ROUTING_RADIUS_MAX_M), DEFAULT_ROOM)


def places_of(cause: Finding | Alarm) -> tuple[FixPoint, ...]:
    """The protected person's first; none for a key pressed without a position."""
    match cause:
        case Finding():
            return tuple(place for place in (cause.protected, cause.wearer) if place is not None)
        case Alarm():
            return () if cause.position is None else (cause.position,)


EVERYTHING_TO_THE_DEFAULT = Routing()
