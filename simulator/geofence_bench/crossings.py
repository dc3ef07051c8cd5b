"""What do the engines of the first work hear? Pairs that hover around their distances, more than people do.

N pairs with 1, 2, 3, 5 or 10 km; a tenth of them has the wearer of the pair before. Every device reports once a
round, in random order, one message a millisecond. 15 % of the pairs hover around the alert or the pre-alert
distance, the others are far from both. So some messages in a thousand change something, and every engine has to
prove that it keeps the order. Positions are whole microdegrees, as on the bus. Chance is a numpy ``Generator``.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from pyproj import Geod

from simulator.geofence_bench.reference import PRE_FACTOR, Floats, Ints, Work
from tocsin.model.fix import FIX_DTYPE, Fixes

START_MS: Final = 1_795_219_200_000
ALERT_M: Final = (1000.0, 2000.0, 3000.0, 5000.0, 10_000.0)
SHARED: Final = 0.10  # of the pairs have the wearer of the pair before
HOVERING: Final = 0.15
HOVER_KEPT: Final = 0.95  # of the deviation, from one report of hers to the next
HOVER_SPREAD: Final = 0.04  # of the distance: nearly as much as the hysteresis
FAR_FACTOR: Final = (2.5, 8.0)  # of the alert distance
WANDER_M: Final = 15.0
FRANCE: Final = ((43.0, 49.0), (-1.0, 6.0))
METRES_PER_DEGREE: Final = 111_195.0


def invent_work(pairs: int, rng: np.random.Generator) -> Work:
    is_shared = rng.random(pairs) < SHARED
    is_shared[0] = False
    is_shared[1:] &= ~is_shared[:-1]
    wearer = np.cumsum(~is_shared) - 1
    return Work(wearer, wearer[-1] + 1 + np.arange(pairs), rng.choice(ALERT_M, pairs))


class Crossings:
    """The fixes of all devices, round after round. Device numbers on the bus are one more than in ``work``."""

    def __init__(self, work: Work, rng: np.random.Generator) -> None:
        self.work, self._rng = work, rng
        pairs, wearers = len(work.alert_m), int(work.wearer.max()) + 1
        self._home = np.stack([rng.uniform(*bounds, wearers) for bounds in FRANCE])
        self._seen = self._home.copy()  # of the wearers: as last reported
        self._is_hovering = rng.random(pairs) < HOVERING
        at_pre = rng.random(pairs) < 0.5
        self._centre_m = work.alert_m * np.where(
            self._is_hovering, np.where(at_pre, PRE_FACTOR, 1.0) * 1.025, rng.uniform(*FAR_FACTOR, pairs)
        )
        self._azimuth = rng.uniform(0, 360, pairs)
        self._deviation = np.zeros(pairs)
        self._geod, self._count = Geod(ellps="WGS84"), 0

    def round(self) -> Fixes:
        """One fix of each device."""
        devices = self.work.devices
        order = self._rng.permutation(devices)
        turn = np.empty(devices, np.int64)
        turn[order] = np.arange(devices)
        lat, lon = self._places(turn)
        fixes = np.zeros(devices, FIX_DTYPE)
        fixes["device"] = order + 1
        fixes["lat_e6"], fixes["lon_e6"] = np.rint(lat[order] * 1e6), np.rint(lon[order] * 1e6)
        fixes["fix_ms"] = START_MS + self._count + np.arange(devices)
        fixes["t3_ms"] = fixes["t4_ms"] = fixes["fix_ms"] + 400
        fixes["seq"], fixes["sent_ms"], fixes["accuracy_dm"] = self._count // devices, fixes["fix_ms"], 100
        self._count += devices
        return fixes

    def _places(self, turn: Ints) -> tuple[Floats, Floats]:
        """Wearers wander around home; she is seen from where he was last seen, at her distance."""
        wearer = self.work.wearer
        before, self._seen = self._seen, self._wandered()
        is_first = turn[self.work.protected] < turn[wearer]
        lat, lon = np.where(is_first, before[:, wearer], self._seen[:, wearer])
        noise = self._rng.normal(0, HOVER_SPREAD * np.sqrt(1 - HOVER_KEPT**2), wearer.size)
        self._deviation = HOVER_KEPT * self._deviation + noise
        away_m = self._centre_m * (1 + self._is_hovering * self._deviation)
        her_lon, her_lat, _ = self._geod.fwd(lon, lat, self._azimuth, away_m)
        return np.concatenate((self._seen[0], her_lat)), np.concatenate((self._seen[1], her_lon))

    def _wandered(self) -> Floats:
        step = self._rng.normal(0, WANDER_M, self._home.shape) / METRES_PER_DEGREE
        step[1] /= np.cos(np.radians(self._home[0]))
        return self._home + step
