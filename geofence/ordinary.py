"""What does an ordinary message change? One loop over plain arrays, in a form that can be made machine code.

``take`` goes through a batch in its order and takes, on the memory of a ``PairTable``, what most messages are: a
fix that is believed, a presence, a poor fix that is far from whoever its unit is kept from. What such a message
writes is what ``Messages`` writes one by one and ``Turns`` by columns, bit for bit
(tests/properties/test_geofence_splits.py): the rules in here are the functions for one of ``band``, ``motion``,
``devices``, ``quality`` and ``conditions``, none of its own.

Everything else is *left*, with what there is to do about it, for ``Turns`` to take in the same order: a WHOLE
message that is not ordinary, a pair that has left its band (LOOK) or of which nothing but its pace or the mark of
its course can change (SLIGHT), a wearer who has left his ball (ZONES). Its cluster of pairs waits meanwhile, and
at the next message of a waiting cluster the loop stops: within a cluster the order is kept, between two it does
not matter.

Without a compiler it is a slow twin, and right all the same; ``geofence.compiled`` makes it fast. So its Python is
plain: arrays, numbers and named tuples of them, nothing else. Hours in milliseconds, metres.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from geofence.assumptions import LATE_MS, MOVING_CMS, POOR_DM, SKEW_MS
from geofence.band import Band, apart_until_ms, clear_until_ms
from geofence.conditions import BATTERY, CASE, LINK, MOMENT, PERMISSION, STRAP, UNSAID, said_of
from geofence.devices import (
    ACCURACY,
    AT,
    BEFORE,
    BEFORE_MS,
    HEARD,
    OVERDUE,
    RECEIVED,
    SPEED,
    WAY,
    WIDTH,
    Mask,
    V,
    X,
    accuracy_of_m,
    continued,
    mover_at,
)
from geofence.motion import UNHEARD_MS, Mover, Seen, is_reachable, overdue_from
from geofence.pair_state import WEARER
from geofence.pair_table import CLUSTER, PARTNER, SIDE, PairTable, Phase
from geofence.quality import OfFixes, Shown, hear_more, skew_of
from geofence.standing import may_show
from geofence.zone_table import is_outside
from tocsin.geodesy import FloatArray, IntArray, ecef_one
from tocsin.model.fix import FIX_DTYPE, Fixes, FixFlag

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.int32]

IN_FORCE: Final = int(Phase.IN_FORCE)
PRESENCE: Final = int(FixFlag.PRESENCE)
APART, WHOLE, SLIGHT, LOOK, ZONES = range(5)  # nothing, or what is left to do
HEARD_ONE, FOUND_ONE, STRANGERS, APPLIED, POOR, PRESENT, AHEAD, FROZEN, LEFT = range(9)  # places in what is told
TOLD: Final = 9
NEVER: Final = 2**62
SOON: Final = 6  # messages: so long a row takes to come from memory; measured
LINE: Final = 8  # numbers that come together

_FROM: Final = {name: field[1] for name, field in (FIX_DTYPE.fields or {}).items()}
DEVICE, FIX_MS, SENT_MS, T3_MS = (_FROM[name] // 8 for name in ("device", "fix_ms", "sent_ms", "t3_ms"))
LAT_E6, LON_E6, ACCURACY_DM, SPEED_CMS = (
    _FROM[name] // 4 for name in ("lat_e6", "lon_e6", "accuracy_dm", "speed_cms")
)
FLAGS, SOURCE, BATTERY_PCT, EVENT, PAIR_S1, TELEMETRY, OF_STRAP, OF_CASE, OF_PERMISSION = (
    _FROM[name]
    for name in (
        "flags", "source", "battery_pct", "event", "pair_s1", "telemetry", "strap", "case", "permission"
    )
)  # fmt: skip
assert PRESENCE < 256, "in the lower byte of the flags"


WHOLE_AND_OURS: Final = ("C", "A", "W")  # one kind of array only, whatever a batch was made from


class Batch(NamedTuple):
    """Messages, as their words of eight bytes, of four, and as bytes; the place of each device, -1 a stranger."""

    longs: IntArray
    words: Words
    bytes: Bytes
    places: IntArray


class Memory(NamedTuple):
    """What of a ``PairTable`` an ordinary message reads or writes, by the names that it has there."""

    rows: FloatArray
    doubted: Mask
    missed: Mask
    known: Bytes
    received: IntArray
    of_fixes: OfFixes
    first_of: IntArray
    side_starts: IntArray
    side_counts: IntArray
    sides_sorted: IntArray
    place_of_side: IntArray
    alert_m: FloatArray
    bands: FloatArray
    due_ms: FloatArray
    until_ms: FloatArray
    phase: Bytes
    balls: FloatArray
    waiting: Mask


class Work(NamedTuple):
    """What the loop gives back. ``left`` (k, 3): index of the message, what to do, side; ``told`` (TOLD,): the
    first hours at which anybody was heard, and anything found of a unit; counts; how many are left."""

    left: IntArray
    told: IntArray


Take = Callable[[Batch, Memory, Work, int, int, bool], int]


def batch_of(fixes: Fixes, places: IntArray) -> Batch:
    """``fixes``: in one piece."""
    return Batch(
        np.require(fixes.view("<i8").reshape(fixes.size, -1), requirements=WHOLE_AND_OURS),
        np.require(fixes.view("<i4").reshape(fixes.size, -1), requirements=WHOLE_AND_OURS),
        np.require(fixes.view(np.uint8).reshape(fixes.size, -1), requirements=WHOLE_AND_OURS),
        places,
    )


def memory_of(table: PairTable) -> Memory:
    devices, quality = table.devices, table.quality
    return Memory(
        devices.rows, devices.doubted, devices.missed, table.conditions.known, quality.received, quality.of_fixes,
        table.first_of, table.side_starts, table.side_counts, table.sides_sorted, table.place_of_side,
        table.alert_m, table.bands, table.due_ms, table.until_ms, table.phase, table.zones.balls, table.waiting,
    )  # fmt: skip


def work_for(fixes: int, sides_max: int) -> Work:
    """``sides_max``: of one device."""
    work = Work(np.empty((fixes + 2 * sides_max, 3), np.int64), np.zeros(TOLD, np.int64))
    work.told[HEARD_ONE] = work.told[FOUND_ONE] = NEVER
    return work


def take(batch: Batch, memory: Memory, work: Work, begin: int, clock_ms: int, has_zones: bool) -> int:
    """Take messages from ``begin`` on; the index of the first that was not come to. ``work`` is as new."""
    for index in range(begin, batch.places.size):
        _ask_ahead(batch, memory, index)
        place = batch.places[index]
        if place < 0:
            work.told[STRANGERS] += 1
            continue
        cluster, sides = memory.first_of[place, CLUSTER], memory.side_counts[place]
        if memory.waiting[cluster] or work.told[LEFT] + 2 * sides > work.left.shape[0]:
            return index
        now_ms = max(batch.longs[index, T3_MS], clock_ms)
        if not _is_taken(batch, memory, work, index, place, now_ms, has_zones):
            _leave(memory, work, index, WHOLE, memory.sides_sorted[memory.side_starts[place]])
    return batch.places.size


def _ask_ahead(batch: Batch, memory: Memory, index: int) -> None:
    """Have at hand what the messages behind this one read: of the farther one what its device leads to, and of the
    nearer one what its first pair does."""
    farther, nearer = index + 2 * SOON, index + SOON
    if farther < batch.places.size and batch.places[farther] >= 0:
        place = batch.places[farther]
        _ask_for_row(memory.rows, place)
        fetch(memory.first_of, place, 0)
        fetch(memory.known, place, 0)
        fetch(memory.received, place, 0)
        fetch(memory.of_fixes[5], place, 0)
        fetch(memory.side_counts, place, 0)
        fetch(memory.side_starts, place, 0)
    if nearer < batch.places.size and batch.places[nearer] >= 0:
        place = batch.places[nearer]
        side = memory.first_of[place, SIDE]
        _ask_for_row(memory.rows, memory.first_of[place, PARTNER])
        fetch(memory.bands, side >> 1, 0)
        fetch(memory.due_ms, side >> 1, 0)
        fetch(memory.until_ms, side >> 1, 0)
        fetch(memory.place_of_side, side ^ 1, 0)
        fetch(memory.sides_sorted, memory.side_starts[place], 0)


def _ask_for_row(rows: FloatArray, place: int) -> None:
    for column in range(0, WIDTH, LINE):
        fetch(rows, place, column)


def fetch(those: npt.NDArray[Any], at: int, column: int) -> None:
    """Machine code asks memory for what is around this place in an array, and goes on; Python has none to ask."""


def _leave(memory: Memory, work: Work, index: int, what: int, side: int) -> None:
    at = work.told[LEFT]
    work.left[at, 0], work.left[at, 1], work.left[at, 2] = index, what, side
    work.told[LEFT] = at + 1
    memory.waiting[memory.first_of[memory.place_of_side[side], CLUSTER]] = True


def _is_taken(
    batch: Batch, memory: Memory, work: Work, index: int, place: int, now_ms: int, has_zones: bool
) -> bool:
    """``Messages._take``; False, and nothing is written, if the message is not ordinary."""
    before, hour_ms = mover_at(memory.rows, place), float(now_ms)
    if _is_due(memory, place, hour_ms) or _tells_news(batch, memory, index, place):
        return False
    if batch.bytes[index, FLAGS] & PRESENCE:
        if hour_ms >= before.lost_ms(before.at_ms) or memory.missed[place]:
            return False
        memory.rows[place, HEARD] = max(before.heard_ms, hour_ms)
        work.told[PRESENT] += 1
        return True
    fix_ms, t3_ms = batch.longs[index, FIX_MS], batch.longs[index, T3_MS]
    at_ms, told_dm = float(min(fix_ms, t3_ms)), int(batch.words[index, ACCURACY_DM])
    if at_ms <= before.at_ms or t3_ms - at_ms > LATE_MS:
        return False
    point = ecef_one(int(batch.words[index, LAT_E6]), int(batch.words[index, LON_E6]))
    fix = Seen(at_ms, point, accuracy_of_m(told_dm))
    if told_dm > POOR_DM:
        if hour_ms >= before.lost_ms(before.at_ms) or memory.missed[place] or _may_show(memory, place, fix):
            return False
        memory.rows[place, HEARD] = max(before.heard_ms, hour_ms)
        work.told[POOR] += 1
    else:
        if before.before_ms <= UNHEARD_MS or memory.doubted[place] or hour_ms >= before.lost_ms(before.heard_ms):
            return False
        if not is_reachable(before.place, before.at_ms, before.accuracy_m, fix):
            return False
        _believe(memory.rows, place, before, fix, hour_ms)
        work.told[APPLIED] += 1
        work.told[FROZEN] += point == before.place and batch.words[index, SPEED_CMS] >= MOVING_CMS
    work.told[AHEAD] += fix_ms > t3_ms
    _judge_quality(batch, memory, work, index, place, before, fix, now_ms)
    if told_dm <= POOR_DM:
        _judge_pairs(memory, work, index, place, hour_ms, has_zones)
    return True


def _is_due(memory: Memory, place: int, hour_ms: float) -> bool:
    start = memory.side_starts[place]
    for at in range(start, start + memory.side_counts[place]):
        if memory.due_ms[memory.sides_sorted[at] >> 1] <= hour_ms:
            return True
    return False


def _tells_news(batch: Batch, memory: Memory, index: int, place: int) -> bool:
    """``ConditionTable.is_other``, of a message that says something of its unit."""
    one = batch.bytes[index]
    if not one[TELEMETRY]:
        return False
    tells = (int(one[OF_STRAP]), int(one[OF_CASE]), int(one[OF_PERMISSION]))
    pair_s1 = int(one[PAIR_S1]) + 256 * int(one[PAIR_S1 + 1])
    moment, battery, strap, case, permission, link = said_of(
        int(one[EVENT]), int(one[SOURCE]), int(one[BATTERY_PCT]), tells, pair_s1
    )
    known = memory.known[place]
    return (
        _is_other(moment, known[MOMENT])
        or _is_other(battery, known[BATTERY])
        or _is_other(strap, known[STRAP])
        or _is_other(case, known[CASE])
        or _is_other(permission, known[PERMISSION])
        or _is_other(link, known[LINK])
    )


def _is_other(said: int, known: int) -> bool:
    return bool(said != UNSAID and said != known)  # noqa: PLR1714  no tuples of two types


def _may_show(memory: Memory, place: int, fix: Seen) -> bool:
    """Whether a poor fix can show any pair of the device inside its alert distance."""
    start = memory.side_starts[place]
    for at in range(start, start + memory.side_counts[place]):
        side = memory.sides_sorted[at]
        partner = mover_at(memory.rows, memory.place_of_side[side ^ 1])
        if partner.is_known and may_show(partner, fix, memory.alert_m[side >> 1]):
            return True
    return False


def _believe(rows: FloatArray, place: int, before: Mover, fix: Seen, hour_ms: float) -> None:
    """What ``DeviceTable.hear`` writes of a fix that is believed."""
    x, y, z = fix.place
    row = rows[place]
    was_x, was_y, was_z, was_ms, vx, vy, vz, speed_m_s, way_m = continued(before, fix)
    row[X], row[X + 1], row[X + 2], row[AT], row[ACCURACY] = x, y, z, fix.at_ms, fix.accuracy_m
    row[HEARD], row[RECEIVED] = max(before.heard_ms, hour_ms), hour_ms
    row[BEFORE], row[BEFORE + 1], row[BEFORE + 2], row[BEFORE_MS] = was_x, was_y, was_z, was_ms
    row[V], row[V + 1], row[V + 2], row[SPEED], row[WAY] = vx, vy, vz, speed_m_s, way_m
    row[OVERDUE] = overdue_from(fix.at_ms, before.told_ms, before.interval_s)


def _judge_quality(
    batch: Batch, memory: Memory, work: Work, index: int, place: int, before: Mover, fix: Seen, now_ms: int
) -> None:
    """``QualityTable.hear_one`` of a fix in time."""
    work.told[HEARD_ONE] = min(work.told[HEARD_ONE], now_ms)
    memory.received[place] += 1
    longs, told_dm = batch.longs[index], batch.words[index, ACCURACY_DM]
    skew_ms, believed = skew_of(longs[SENT_MS], longs[FIX_MS], longs[T3_MS]), told_dm <= POOR_DM
    is_busy, repeats = memory.of_fixes[5][place], believed and fix.place == before.place
    if not (repeats or abs(skew_ms) > SKEW_MS or is_busy):
        return
    shown = Shown(int(skew_ms), int(batch.words[index, SPEED_CMS]), int(batch.bytes[index, SOURCE]), told_dm > 0)
    if hear_more(memory.of_fixes, place, before, fix, shown, believed):
        work.told[FOUND_ONE] = min(work.told[FOUND_ONE], now_ms)


def _judge_pairs(memory: Memory, work: Work, index: int, place: int, hour_ms: float, has_zones: bool) -> None:
    """``Messages._is_apart`` for every pair of the device, then who has left his ball."""
    own, start = mover_at(memory.rows, place), memory.side_starts[place]
    for at in range(start, start + memory.side_counts[place]):
        side = memory.sides_sorted[at]
        if memory.phase[side >> 1] == IN_FORCE:
            _judge_pair(memory, work, index, side, own, hour_ms)
    if has_zones:
        for at in range(start, start + memory.side_counts[place]):
            side = memory.sides_sorted[at]
            is_mine = side & 1 == WEARER and memory.phase[side >> 1] == IN_FORCE
            if is_mine and is_outside(memory.balls[side >> 1], own.place):
                _leave(memory, work, index, ZONES, side)


def _judge_pair(memory: Memory, work: Work, index: int, side: int, own: Mover, hour_ms: float) -> None:
    row, role = side >> 1, side & 1
    partner, band = mover_at(memory.rows, memory.place_of_side[side ^ 1]), _band_at(memory.bands, row)
    what, until_ms = APART, clear_until_ms(own, partner, hour_ms, band)
    if until_ms == 0.0:
        until_ms = apart_until_ms(own, partner, hour_ms, band, role)
    if until_ms == 0.0:
        what, until_ms = SLIGHT, apart_until_ms(own, partner, hour_ms, band, role, False, True)
    if until_ms == 0.0:
        what = LOOK
    else:
        memory.due_ms[row] = min(until_ms, memory.until_ms[row])
    if what != APART:
        _leave(memory, work, index, what, side)


def _band_at(bands: FloatArray, row: int) -> Band:
    """``PairTable.band``."""
    one = bands[row]
    return Band(one[0], one[1], one[2], one[3], one[4], one[5], one[6], one[7])
