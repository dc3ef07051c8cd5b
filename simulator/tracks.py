"""Where would ten thousand units be, all day long, as their history shows it?

A fleet for the storage bench: every unit is at rest most of the time, sometimes walks or drives, and is never
seen exactly: its error wanders (first-order autoregression), as that of a receiver that stands still does. Kept
small: one array a column, one call a round of fixes. ``simulator.motion`` has the people of the scenarios.

Units: metres and seconds; out come fixes in FIX_DTYPE. Chance is a numpy ``Generator``.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from simulator.motion import Plane
from tocsin.model.fix import FIX_DTYPE, Fixes, Source

FRANCE: Final = Plane(46.6, 2.4)
SPREAD_M: Final = 300_000.0
REST_S: Final = 3 * 3600.0  # mean; with MOVE_S nine tenths of a day are spent at rest
MOVE_S: Final = 1200.0
WALK_MPS: Final = 1.4
DRIVE_MPS: Final = 14.0
WALKS: Final = 0.4  # of the journeys
TURN_RAD: Final = 0.3  # from one fix to the next
ERROR_M: Final = 6.0
SPEED_ERROR_MPS: Final = 0.15
ERROR_KEPT_S: Final = 300.0  # how long an error lasts
DELAY_MS: Final = 400.0  # mean, from the fix to its reception


class Fleet:
    """Every unit of it, at the hour of its last round."""

    def __init__(self, devices: int, *, interval_s: int, start_ms: int, rng: np.random.Generator) -> None:
        self._rng, self._interval_s, self._at_ms = rng, interval_s, start_ms
        self._devices = np.arange(1, devices + 1)
        self._offset_ms = rng.integers(0, interval_s * 1000, devices)  # not all of them at once
        self._place_m = rng.normal(0, SPREAD_M, (2, devices))
        self._error_m = rng.normal(0, ERROR_M, (2, devices))
        self._course = rng.uniform(0, 2 * np.pi, devices)
        self._speed_mps = np.zeros(devices)
        self._left_s = rng.exponential(REST_S, devices)
        self._battery = rng.uniform(30, 100, devices)
        self._round = 0

    def round(self) -> Fixes:
        """One fix of each unit; the next call is an interval later."""
        self._move()
        rng, count = self._rng, len(self._devices)
        fixes = np.zeros(count, FIX_DTYPE)
        lat, lon = FRANCE.to_degrees(*(self._place_m + self._error_m))
        fixes["device"], fixes["boot"], fixes["seq"], fixes["primary"] = self._devices, 1, self._round, 1
        fixes["fix_ms"] = self._at_ms + self._offset_ms
        fixes["t3_ms"] = fixes["fix_ms"] + 50 + rng.exponential(DELAY_MS, count).astype(np.int64)
        fixes["lat_e6"], fixes["lon_e6"] = np.rint(lat * 1e6), np.rint(lon * 1e6)
        fixes["accuracy_dm"] = np.rint(30 + 10 * np.hypot(*self._error_m))
        fixes["speed_cms"] = np.rint(100 * np.abs(self._speed_mps + rng.normal(0, SPEED_ERROR_MPS, count)))
        fixes["course_ddeg"] = np.where(self._speed_mps > 0, np.rint(np.degrees(self._course) * 10) % 3600, -1)
        fixes["battery_pct"], fixes["source"] = self._battery, Source.GNSS
        self._at_ms += self._interval_s * 1000
        self._round += 1
        return fixes

    def _move(self) -> None:
        rng, step_s = self._rng, self._interval_s
        self._place_m += self._speed_mps * step_s * np.stack([np.sin(self._course), np.cos(self._course)])
        kept = np.exp(-step_s / ERROR_KEPT_S)
        self._error_m = kept * self._error_m + rng.normal(0, ERROR_M * np.sqrt(1 - kept**2), self._error_m.shape)
        self._course = (self._course + rng.normal(0, TURN_RAD, len(self._course))) % (2 * np.pi)
        self._battery = np.where(self._battery < 15, 100.0, self._battery - 100 * step_s / 86_400)
        self._left_s -= step_s
        done = self._left_s <= 0
        starts = done & (self._speed_mps == 0)
        pace = np.where(rng.random(len(done)) < WALKS, WALK_MPS, DRIVE_MPS * rng.uniform(0.3, 2, len(done)))
        self._speed_mps = np.where(starts, pace, np.where(done, 0.0, self._speed_mps))
        lasts_s = np.where(starts, MOVE_S, REST_S) * rng.exponential(1, len(done))
        self._left_s = np.where(done, lasts_s, self._left_s)
