"""Is it the time of day, where a unit is, at which people are up? For V_NOT_CARRIED (F20).

The zone is that of the French territory in whose span of longitudes the unit lies; each lies oceans apart from the
next, so a longitude is enough, and nobody has to keep a setting right when somebody moves. Anywhere else, and in
Europe, it is Europe/Paris: the hour that the court and the operators mean. Summer time is the zone's own affair.

Degrees, milliseconds since 1970 UTC. Pure.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from geofence.assumptions import WAKES_H, WAKES_UNTIL_H
from geofence.devices import Mask
from tocsin.geodesy import FloatArray
from tocsin.timezones import PARIS, time_zone

# (from, to, zone): Wallis, Polynesia, the Antilles, Saint-Pierre, Guyane, Mayotte, La Réunion, Nouvelle-Calédonie
TERRITORIES: Final = (
    (-180.0, -174.0, "Pacific/Wallis"),
    (-155.0, -134.0, "Pacific/Tahiti"),
    (-64.0, -60.0, "America/Martinique"),
    (-57.5, -55.5, "America/Miquelon"),
    (-55.0, -51.0, "America/Cayenne"),
    (44.5, 46.0, "Indian/Mayotte"),
    (54.5, 56.5, "Indian/Reunion"),
    (158.0, 172.0, "Pacific/Noumea"),
)
EDGES: Final = np.array([edge for west, east, _ in TERRITORIES for edge in (west, east)])
ZONES: Final = tuple(time_zone(name) for *_, name in TERRITORIES)
HOME_ZONE: Final = time_zone(PARIS)


def is_up(lon_deg: FloatArray, at_ms: float) -> Mask:
    """Which of these longitudes have a waking hour at ``at_ms``."""
    span = np.searchsorted(EDGES, lon_deg, side="right")  # odd: within a territory
    answers = np.array([_is_up(zone, at_ms) for zone in (*ZONES, HOME_ZONE)])
    where: Mask = answers[np.where(span % 2, span // 2, len(ZONES))]
    return where


@lru_cache(maxsize=2 * len(TERRITORIES))  # asked for one block of the units after the other
def _is_up(zone: ZoneInfo, at_ms: float) -> bool:
    return WAKES_H <= datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(zone).hour < WAKES_UNTIL_H


assert (np.diff(EDGES) > 0).all(), "the spans neither meet nor overlap"
