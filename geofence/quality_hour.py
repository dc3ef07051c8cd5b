"""What does the passing hour show of a unit: too few fixes, or one that nobody carries? F15, F20; ADR 29.

Judged by columns over all devices of a partition on whole minutes, and only by a tick: what stands in the columns
of ``geofence.quality`` then, decides.

**Expected** is what the interval would give that the unit was told at each time: counted up to every change of it
(``count``) and every minute. Time beyond LOSS_INTERVALS intervals without a message is a silence: that is said as
W_COMMS_LOSS and V_COMMS_LOSS, and nothing is expected meanwhile; nor of a wearer's unit without a fix
(W_GNSS_LOSS). The window is the last YIELD_PARTS whole parts, judged when one is over.

**Still** is a protected person's unit whose fixes lie within STILL_M, or both 95 % radii, of where they began;
two fixes running beyond it have moved, one is an outlier. Only waking minutes count, at the place of the unit, and
only while it gives fixes: what nobody saw was not still. Nights are carried over.

Milliseconds, metres.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from geofence.assumptions import (
    NOT_CARRIED_MS,
    R95,
    STILL_M,
    UNWATCHED_MS,
    YIELD_EXPECTED_MIN,
    YIELD_GOOD,
    YIELD_LOW,
    YIELD_PART_MS,
    YIELD_PARTS,
)
from geofence.band import lost_ms
from geofence.devices import ACCURACY, AT, HEARD, INTERVAL, RECEIVED, DeviceTable, Mask, X
from geofence.local_time import is_up
from geofence.motion import UNHEARD_MS, Mover
from geofence.quality import LOW, NOT_CARRIED, QualityTable
from tocsin.geodesy import FloatArray

SECOND_MS: Final = 1_000.0
ALL: Final = slice(None)
BLOCK: Final = 2_048  # devices at once: their rows stay in the cache while the columns are gone through


def judge_hour(quality: QualityTable, devices: DeviceTable, hers: Mask, minute_ms: int) -> None:
    """Bring the columns up to a whole minute. ``hers``: the units of protected persons, by their kind: whose
    they are must not follow from which measures are judged here."""
    for at in range(0, len(devices), BLOCK):
        count(quality, devices, hers, minute_ms, slice(at, at + BLOCK))
        _judge_still(quality, devices, hers, minute_ms, slice(at, at + BLOCK))
    if (parts := minute_ms // YIELD_PART_MS - quality.part) > 0:
        _next_part(quality, min(parts, YIELD_PARTS))
        _judge_yield(quality)
        quality.part += parts
    quality.hour_ms = minute_ms


# --- expected against received ---------------------------------------------------------------------------------


def count(quality: QualityTable, devices: DeviceTable, hers: Mask, now_ms: float, of: slice = ALL) -> None:
    """Count what was to be expected up to ``now_ms`` at the interval of until now. Of a unit that was not heard
    before, from now on."""
    rows, since_ms = devices.rows[of].T, quality.counted_ms[of]
    known, begins = rows[HEARD] > UNHEARD_MS, since_ms == 0.0
    until_ms = lost_ms(rows, HEARD)
    until_ms = np.where(hers[of], until_ms, np.minimum(until_ms, lost_ms(rows, RECEIVED)))
    heard_ms = np.maximum(np.minimum(until_ms, now_ms) - since_ms, 0.0)
    quality.expected[of, 0] += np.where(known & ~begins, heard_ms / (SECOND_MS * rows[INTERVAL]), 0.0)
    quality.received[of] = np.where(begins, 0, quality.received[of])
    quality.counted_ms[of] = np.where(known, np.maximum(since_ms, now_ms), 0.0)


def count_one(quality: QualityTable, place: int, mover: Mover, now_ms: float, *, is_hers: bool) -> None:
    """``count``, bit for bit, for the unit at ``place``, which stands as ``mover``."""
    since_ms = quality.counted_of[place]
    known, begins = mover.heard_ms > UNHEARD_MS, since_ms == 0.0
    if begins:
        quality.received_of[place] = 0
    elif known:
        until_ms = mover.lost_ms(mover.heard_ms)
        if not is_hers:
            until_ms = min(until_ms, mover.lost_ms(mover.received_ms))
        heard_ms = max(min(until_ms, now_ms) - since_ms, 0.0)
        quality.expected_of[place, 0] += heard_ms / (SECOND_MS * mover.interval_s)
    quality.counted_of[place] = max(since_ms, now_ms) if known else 0.0


def window(quality: QualityTable, of: slice = ALL) -> tuple[FloatArray, FloatArray]:
    """(received, expected) in the parts that are over."""
    received = sum(quality.received_before[of, part] for part in range(YIELD_PARTS))
    expected = sum(quality.expected[of, 1 + part] for part in range(YIELD_PARTS))
    return np.asarray(received, np.float64), np.asarray(expected, np.float64)


def _judge_yield(quality: QualityTable) -> None:
    received, expected = window(quality)
    enough = expected >= YIELD_EXPECTED_MIN
    found = np.where(enough & (received < YIELD_LOW * expected), 1, quality.found[:, LOW])
    quality.found[:, LOW] = np.where(enough & (received > YIELD_GOOD * expected), 0, found)


def _next_part(quality: QualityTable, parts: int) -> None:
    for _ in range(parts):
        quality.received_before[:, 1:] = quality.received_before[:, :-1].copy()
        quality.received_before[:, 0], quality.received[:] = quality.received, 0
        quality.expected[:, 1:] = quality.expected[:, :-1].copy()
        quality.expected[:, 0] = 0.0


# --- still -----------------------------------------------------------------------------------------------------


def _judge_still(quality: QualityTable, devices: DeviceTable, hers: Mask, minute_ms: int, of: slice) -> None:
    """``anchor``: the place, x y z, and its accuracy; 0 without one."""
    rows, anchor = devices.rows[of].T, quality.anchor[of]
    away_ms, still_ms = quality.away_ms[of], quality.still_ms[of]
    seen = hers[of] & (rows[AT] > UNHEARD_MS) & (minute_ms < lost_ms(rows, AT))
    if seen.any():
        ways = rows[X:AT] - anchor[:, :3].T
        reach_m = np.maximum(STILL_M, R95 * (rows[ACCURACY] + anchor[:, 3]))
        far = seen & (ways[0] * ways[0] + ways[1] * ways[1] + ways[2] * ways[2] > reach_m * reach_m)
        moved = far & ((anchor[:, 3] == 0.0) | ((away_ms > 0.0) & (rows[AT] > away_ms)))
        near = seen & ~far
        away_ms[:] = np.where(moved | near, 0.0, np.where(far & (away_ms == 0.0), rows[AT], away_ms))
        anchor[moved] = rows[(*range(X, AT), ACCURACY), :].T[moved]
        passed_ms = min(minute_ms - quality.hour_ms, UNWATCHED_MS)
        waking_ms = np.where(is_up(_longitudes(rows), minute_ms - passed_ms), passed_ms, 0)
        still_ms[:] = np.where(moved, 0.0, still_ms + np.where(near, waking_ms, 0))
        quality.found[of, NOT_CARRIED] = still_ms >= NOT_CARRIED_MS


def _longitudes(rows: FloatArray) -> FloatArray:
    longitudes: FloatArray = np.degrees(np.arctan2(rows[X + 1], rows[X]))
    return longitudes
