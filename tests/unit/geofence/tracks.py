"""Tracks of the past for the tests: people on a line through her home, in metres and seconds."""

from __future__ import annotations

import numpy as np

from tocsin.model.fix import FixFlag
from tocsin.model.track import TRACK_DTYPE, Track

T0_MS = 1_795_219_200_000
LAT_E6, LON_E6 = 48_000_000, 2_000_000
METRES_PER_E6 = 111_195.0 / 1e6

Fix = tuple[float, float]  # at s, metres north of her home


def track(
    *fixes: Fix, accuracy_dm: int | list[int] = 50, delay_ms: int | list[int] = 700, bulk: bool = False
) -> Track:
    made = np.zeros(len(fixes), TRACK_DTYPE)
    made["at_ms"] = [T0_MS + round(1000 * at_s) for at_s, _ in fixes]
    made["lat_e6"] = [LAT_E6 + round(metres / METRES_PER_E6) for _, metres in fixes]
    made["lon_e6"], made["accuracy_dm"], made["delay_ms"] = LON_E6, accuracy_dm, delay_ms
    made["flags"] = FixFlag.BULK if bulk else 0
    return made


def still(from_s: float, until_s: float, every_s: float = 60.0, at_m: float = 0.0, **more: int) -> Track:
    """Somebody who stays."""
    return track(*[(float(at_s), at_m) for at_s in np.arange(from_s, until_s + 1, every_s)], **more)


def drive(from_s: float, from_m: float, until_s: float, to_m: float, every_s: float = 30.0, **more: int) -> Track:
    """Somebody on a straight line."""
    hours = np.arange(from_s, until_s + 0.5, every_s)
    share = (hours - from_s) / (until_s - from_s)
    return track(*zip(hours.tolist(), (from_m + (to_m - from_m) * share).tolist(), strict=True), **more)


def joined(*tracks: Track) -> Track:
    return np.concatenate(tracks)
