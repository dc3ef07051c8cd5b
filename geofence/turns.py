"""What do many messages change, by columns?

A batch is taken in turns in which no cluster of pairs occurs twice. In a turn most messages are fixes that are
believed without a second thought, of pairs that have not left their guard band: these are columns and nothing
else. The odd ones are taken one by one, on the same memory, with the same result.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np

from geofence.assumptions import LATE_MS, MOVING_CMS, POOR_DM, SKEW_MS
from geofence.band import clear, kept_apart, lost_ms, may_show
from geofence.conditions import classes_of
from geofence.devices import AT, HEARD, WAY, DeviceTable, Mask, Verdict, X, accuracies_m
from geofence.findings import Taken, taken_of
from geofence.messages import PRESENCE, Messages
from geofence.pair_state import WEARER
from geofence.pair_table import CLUSTER, Expanded, Phase
from geofence.quality import ShownByMany, skews_of
from tocsin.geodesy import FloatArray, IntArray, ecef
from tocsin.model.fix import FIX_DTYPE, Fixes

SCALAR_BELOW: Final = 8  # fixes; measured


class Turns(Messages):
    """``Messages``, by columns where that is worth it."""

    def by_columns(self, batch: Fixes) -> None:
        """In turns that have no cluster twice; what is left for a last, small one goes one by one."""
        columns = Columns(batch, self.devices, self.table.clock_ms)
        left = np.flatnonzero(columns.places >= 0)
        self.counts["stranger"] += batch.size - left.size
        if not left.size:
            return
        columns.first = np.ascontiguousarray(self.table.first_of.take(columns.places, 0).T)
        clusters = columns.first[CLUSTER].take(left)
        while left.size:
            first = _first_of_each(clusters, self.table.mark)
            now = left[first]
            if now.size < SCALAR_BELOW:
                break
            self._turn(columns, now)
            if now.size == left.size:
                return
            later = ~first
            left, clusters = left[later], clusters[later]
        self.some(columns, left)

    def some(self, columns: Columns, which: IntArray) -> None:
        """A few of a batch, one by one."""
        for index in which.tolist():
            self._take(index, int(columns.places[index]), columns.taken(index))

    def _turn(self, columns: Columns, which: IntArray) -> None:
        """Messages of different clusters: the hour first, then the odd ones one by one, then the many."""
        table, devices = self.table, self.devices
        places, now_ms = columns.places.take(which), columns.now_ms.take(which)
        first = columns.first.take(which, 1)
        pairs = table.expand(places, first)
        of, rows = pairs.of, pairs.sides >> 1
        due = table.due_ms.take(rows) <= now_ms.take(of)
        if due.any():
            for at in np.unique(of[due]).tolist():
                self.advance(int(which[at]), table.sides_of[int(places[at])], int(now_ms[at]))
        movers = devices.several(places)
        usual = self._usual(columns, which, places, now_ms, movers)
        if not usual.all():
            odd, kept = np.flatnonzero(~usual), np.flatnonzero(usual)
            heard = self._only_heard(
                columns, which.take(odd), places.take(odd), now_ms.take(odd), movers.take(odd, 1)
            )
            self.some(columns, which.take(odd[~heard]))
            which, places, now_ms, movers = (
                which.take(kept),
                places.take(kept),
                now_ms.take(kept),
                movers.take(kept, 1),
            )
            pairs = table.expand(places, first.take(kept, 1))
        own = self._accept(columns, which, places, now_ms, movers)
        self._judge_many(columns, which, own, pairs, now_ms)

    def _usual(
        self, columns: Columns, which: IntArray, places: IntArray, now_ms: FloatArray, movers: FloatArray
    ) -> Mask:
        """Which messages are fixes to be believed without a second thought."""
        usual = self.devices.plain(
            movers, self.devices.doubted.take(places), columns.points.take(which, 1), columns.fix_ms.take(which),
            columns.accuracy_m.take(which),
        )  # fmt: skip
        usual &= columns.good.take(which)
        usual &= now_ms < lost_ms(movers, HEARD)
        return usual if columns.said is None else usual & ~self._tells(columns, which, places)

    def _tells(self, columns: Columns, which: IntArray, places: IntArray) -> Mask:
        """Which messages say something new of their unit."""
        assert columns.said is not None
        news: Mask = self.table.conditions.is_news(columns.said.take(which, 0), places)
        return news

    def _only_heard(
        self, columns: Columns, which: IntArray, places: IntArray, now_ms: FloatArray, movers: FloatArray
    ) -> Mask:
        """Messages that say nothing of any pair but that the unit is alive: while its last fix is young and no
        silence of it has been said, its presence, and a poor fix that is far from whoever it is kept from."""
        young = (now_ms < lost_ms(movers, AT)) & ~self.devices.missed.take(places)
        if columns.said is not None:
            young &= ~self._tells(columns, which, places)
        heard = columns.present.take(which) & young
        self.counts["presence"] += int(np.count_nonzero(heard))
        young &= columns.poor.take(which) & (columns.fix_ms.take(which) > movers[AT])
        if (poor := np.flatnonzero(young)).size:
            heard[poor] = self._are_poor_and_far(columns, which.take(poor), places.take(poor), now_ms.take(poor))
        self.devices.rows[places[heard], HEARD] = np.maximum(movers[HEARD], now_ms)[heard]
        return heard

    def _are_poor_and_far(self, columns: Columns, which: IntArray, places: IntArray, now_ms: FloatArray) -> Mask:
        """Which poor fixes cannot show any pair of their units inside the alert distance; that is all of them."""
        table = self.table
        of, sides, others = table.expand(places, columns.first.take(which, 1))
        partners, at = self.devices.several(others), which.take(of)
        near = may_show(
            partners, columns.points.take(at, 1), columns.fix_ms.take(at), table.alert_m.take(sides >> 1)
        )
        far = np.ones(which.size, np.bool_)
        far[of[near]] = False
        which = which[far]
        self.counts["poor"] += int(which.size)
        self.counts["ahead"] += int(np.count_nonzero(columns.ahead.take(which)))
        places, now_ms, quality = places[far], now_ms[far], table.quality
        more = quality.hear_many(places, columns.is_off.take(which), now_ms)
        if more.size:
            quality.hear_poor(places.take(more), columns.skew_ms.take(which.take(more)), now_ms.take(more))
        return far

    def _accept(
        self, columns: Columns, which: IntArray, places: IntArray, now_ms: FloatArray, movers: FloatArray
    ) -> FloatArray:
        """The rows of the devices as they are now; these and ``movers`` by columns (19, n)."""
        self.counts["applied"] += int(which.size)
        if columns.some_ahead:
            self.counts["ahead"] += int(np.count_nonzero(columns.ahead.take(which)))
        points, at_ms, accuracy_m = (
            one.take(which, -1) for one in (columns.points, columns.fix_ms, columns.accuracy_m)
        )
        odd = points[X] == movers[X]
        if columns.some_off:
            odd |= columns.is_off.take(which)
        more = self.table.quality.hear_many(places, odd, now_ms)
        if more.size:
            shown, before, here = columns.shown(which.take(more)), movers.take(more, 1), points.take(more, 1)
            stands = (before[X:AT] == here).all(axis=0)
            self.counts["frozen"] += int(np.count_nonzero(stands & (shown.speed_cms >= MOVING_CMS)))
            self.table.quality.hear_believed(
                places.take(more), before, here, at_ms.take(more), accuracy_m.take(more), shown, now_ms.take(more)
            )
        return self.devices.accept(places, movers, points, at_ms, accuracy_m, now_ms)

    def _judge_many(
        self, columns: Columns, which: IntArray, own: FloatArray, pairs: Expanded, now_ms: FloatArray
    ) -> None:
        """The pairs of fixes that were believed: those that have not left their guard band are only due later."""
        table, (of, sides, others) = self.table, pairs
        rows, partners = sides >> 1, self.devices.several(others)
        if sides.size > which.size:
            own, now_ms = own.take(of, 1), now_ms.take(of)
        bands = table.bands.take(rows, 0).T
        quiet, due_ms = clear(own, partners, now_ms, bands)
        slight = np.zeros(quiet.size, np.bool_)
        rest = np.flatnonzero(~quiet)
        if rest.size:
            quiet[rest], slight[rest], due_ms[rest] = kept_apart(
                own.take(rest, 1),
                partners.take(rest, 1),
                now_ms.take(rest),
                bands.take(rest, 1),
                sides.take(rest) & 1,
            )
        due_ms = np.minimum(due_ms, table.until_ms.take(rows))  # whoever has a band is in force
        if rest.size:
            still = np.flatnonzero(quiet | slight)
            table.due_ms[rows.take(still)] = due_ms.take(still)
        else:
            table.due_ms[rows] = due_ms
        looks, last = np.flatnonzero(~quiet), -1
        for at in looks[np.lexsort((sides[looks], of[looks]))].tolist():  # all pairs of one fix, then its orders
            index, hour_ms = int(which[of[at]]), int(now_ms[at])
            if last not in {-1, index}:
                self._give_orders_for(columns, last)
            last = index
            if not (slight[at] and self._look_slightly(index, int(rows[at]), hour_ms)):
                self._judge_fix(
                    index, int(sides[at]), Verdict.ACCEPTED, None, hour_ms, partial(columns.taken, index)
                )
        if last >= 0:
            self._give_orders_for(columns, last)
        if table.zones.any:
            self._judge_zones_of_many(columns, which, own, sides, of, now_ms)

    def _give_orders_for(self, columns: Columns, index: int) -> None:
        if self.asking:
            place = int(columns.places[index])
            identity = self._identity(place, columns.taken(index))
            self._give_orders(index, int(columns.now_ms[index]), identity)

    def _judge_zones_of_many(
        self,
        columns: Columns,
        which: IntArray,
        own: FloatArray,
        sides: IntArray,
        of: IntArray,
        now_ms: FloatArray,
    ) -> None:
        """The same by columns: who is in his ball, then who is in none of the zones, then the others."""
        table, rows = self.table, sides >> 1
        mine = np.flatnonzero((sides & 1 == WEARER) & (table.phase.take(rows) == Phase.IN_FORCE))
        mine = mine[table.zones.have_left(rows.take(mine), own[X:AT].take(mine, 1))]
        if not mine.size:
            return
        self._watch_those(
            which.take(of.take(mine)), rows.take(mine), own[X:AT].take(mine, 1), own[WAY].take(mine),
            now_ms.take(mine), columns.taken,
        )  # fmt: skip

    def _watch_those(
        self, which: IntArray, rows: IntArray, points: FloatArray, ways_m: FloatArray, now_ms: FloatArray,
        taken: Callable[[int], Taken],
    ) -> None:  # fmt: skip
        """Wearers who have left their balls, by fixes ``which``."""
        try:
            rest = self.table.zones.rest(rows, points, ways_m, now_ms)
        except Exception:  # noqa: BLE001  whose zone it was comes out when they are asked one by one
            rest = np.zeros(rows.size, np.bool_)
        for at in np.flatnonzero(~rest).tolist():
            index = int(which[at])
            self._watch_fix(index, int(rows[at]), int(now_ms[at]), taken(index))


_FROM_BYTE: Final = {name: field[1] for name, field in (FIX_DTYPE.fields or {}).items()}
LONGS, INTS = slice(0, _FROM_BYTE["lat_e6"] // 8), slice(_FROM_BYTE["lat_e6"] // 4, _FROM_BYTE["spare"] // 4)
"""The words of a record, of eight bytes and then of four. A batch is turned once: a field read out of its records
is a line of the cache for each of them."""
DEVICE, FIX_MS, SENT_MS, T3_MS = (_FROM_BYTE[name] // 8 for name in ("device", "fix_ms", "sent_ms", "t3_ms"))
LAT_E6, LON_E6, ACCURACY_DM, FLAGS, TELEMETRY = (
    _FROM_BYTE[name] // 4 - INTS.start for name in ("lat_e6", "lon_e6", "accuracy_dm", "flags", "telemetry")
)
assert _FROM_BYTE["flags"] % 4 == _FROM_BYTE["telemetry"] % 4 == 0, "the lowest bytes of their words"


class Columns:
    """A batch as the turns read it: hours and accuracies of all, places on the ellipsoid of those that are
    known."""

    def __init__(self, batch: Fixes, devices: DeviceTable, clock_ms: int) -> None:
        self.batch = batch
        self.first: IntArray  # pairs, of those whose device is known: PairTable.first_of by columns
        longs = np.ascontiguousarray(batch.view("<i8").reshape(batch.size, -1)[:, LONGS].T)
        ints = np.ascontiguousarray(batch.view("<i4").reshape(batch.size, -1)[:, INTS].T)
        self.places = devices.places(longs[DEVICE])
        fix_ms, t3_ms, told_dm = longs[FIX_MS], longs[T3_MS], ints[ACCURACY_DM]
        self.fix_ms = np.minimum(fix_ms, t3_ms).astype(np.float64)
        self.now_ms = np.maximum(t3_ms, clock_ms).astype(np.float64)
        self.accuracy_m = accuracies_m(told_dm)
        late_ms = t3_ms - fix_ms
        self.present: Mask = (ints[FLAGS] & PRESENCE) != 0
        timely = late_ms <= LATE_MS
        timely &= ~self.present
        self.good: Mask = timely & (told_dm <= POOR_DM)
        self.poor: Mask = timely & ~self.good
        self.ahead: Mask = (late_ms < 0) & ~self.present
        self.some_ahead = bool(self.ahead.any())
        self.said = classes_of(batch) if (ints[TELEMETRY] & 0xFF).any() else None
        self.points: FloatArray = np.array(ecef(ints[LAT_E6], ints[LON_E6]))
        self.skew_ms = skews_of(longs[SENT_MS], fix_ms, t3_ms)
        self.is_off: Mask = np.abs(self.skew_ms) > SKEW_MS
        self.some_off = bool(self.is_off.any())

    def shown(self, which: IntArray) -> ShownByMany:
        """What else they say, to judge the quality of their units."""
        speed_cms, source = (self.batch[name].take(which) for name in ("speed_cms", "source"))
        return ShownByMany(self.skew_ms.take(which), speed_cms, source, self.batch["accuracy_dm"].take(which) > 0)

    def taken(self, index: int) -> Taken:
        return taken_of(self.batch[index].item())


def _first_of_each(values: IntArray, mark: IntArray) -> Mask:
    """Which of these numbers occur for the first time; ``mark`` has a place for each, with anything in it."""
    here = np.arange(values.size)
    mark[values[::-1]] = here[::-1]  # of several writes to one place the last stays
    first: Mask = mark.take(values) == here
    return first
