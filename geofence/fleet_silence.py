"""Has a group of devices fallen silent together, and is it over? DOMAIN section 4 SYS_FLEET_SILENCE, F05, F06.

A device has *missed* its report when its interval and MISSED_GRACE_MS have passed, and is *silent* after three
intervals. Of a group with n devices that should speak, k missed and s silent, an incident opens

* by the catalogue's rule: s > max(5, 2 % of n);
* early: k > max(5, 2 % of n), and k is beyond what losses explain. If each misses a report with probability p,
  then P(K >= k) <= exp(-n KL(k/n, p)) (Chernoff), KL(q, p) = q ln(q/p) + (1-q) ln((1-q)/(1-p)). The exponent is
  the group's *surprise*. It must exceed ln(groups x YEAR_S / FALSE_A_YEAR): every group looked at each second of a
  year gives FALSE_A_YEAR false openings at most. p is what the group itself, or the whole fleet if that is more,
  has missed over the last hour.

Of all groups that qualify the most surprising one explains the most with the least, and is named; of groups with
the same devices the narrowest. Its devices are explained; whatever is left must qualify without them. An incident
keeps to its group: more of it may fall silent, unsaid. It is over when for CALM_MS the missed were no more than
losses explain, or a tenth of the group; who is silent still was *left behind* and counts again once heard.

Pure: the hour is handed in. Milliseconds; columns are those of ``FleetMemory``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import exp, log
from typing import Final, NamedTuple

import numpy as np

from geofence.assumptions import (
    CALM_MOST,
    CALM_MS,
    CALM_SHARE,
    FALSE_A_YEAR,
    GONE_INTERVALS,
    GONE_MS,
    LOSS_AT_FIRST,
    LOSS_LEAST,
    LOSS_MOST,
    LOSS_OVER_S,
    MISSED_GRACE_MS,
    MISSED_LEAST_S,
    SILENT_COUNT,
    SILENT_INTERVALS,
    SILENT_SHARE,
    YEAR_S,
)
from geofence.devices import HEARD, Mask
from geofence.fleet_memory import FleetMemory
from tocsin.clock import MS
from tocsin.geodesy import FloatArray, IntArray
from tocsin.model.device import Device
from tocsin.model.fleet import WHOLE_FLEET, Dimension, Group, groups_of

MISSED_TOGETHER: Final = "missed_beyond_losses"
SILENT_TOGETHER: Final = "silent_3_intervals"
HEARD_AGAIN: Final = "heard_again"
NARROWEST_FIRST: Final = tuple(Dimension)


@dataclass(frozen=True, slots=True)
class Roll:
    """Who is in which group: ``members[d, i]`` is the index among ``groups`` of device i's group in dimension d,
    -1 for none. ``groups`` are sorted, the narrowest dimension first. ``own_s``: the interval of a device that
    takes no orders, else 0."""

    numbers: IntArray
    groups: tuple[Group, ...]
    members: IntArray
    own_s: FloatArray

    def of(self, group: Group) -> Mask:
        """Which columns belong to ``group``."""
        if group not in self.groups:
            return np.zeros(self.numbers.size, np.bool_)
        here: Mask = (self.members == self.groups.index(group)).any(axis=0)
        return here

    def counts(self, chosen: Mask) -> IntArray:
        """How many of ``chosen`` each group has."""
        found = self.members[:, chosen]
        return np.bincount(found[found >= 0], minlength=len(self.groups))


def roll_of(devices: Sequence[Device]) -> Roll:
    """``devices``: those that are ever heard, each once."""
    devices = sorted(devices, key=lambda one: one.number)
    groups_by_device = [groups_of(one) for one in devices]
    groups = sorted({WHOLE_FLEET, *(group for groups in groups_by_device for group in groups)}, key=_narrowness)
    index = {group: place for place, group in enumerate(groups)}
    members = np.full((len(Dimension), len(devices)), -1, np.int64)
    for column, mine in enumerate(groups_by_device):
        for group in mine:
            members[NARROWEST_FIRST.index(group.dimension), column] = index[group]
    numbers = np.array([one.number for one in devices], np.int64)
    own_s = np.array([one.reports_every_s or 0 for one in devices], np.float64)
    return Roll(numbers, tuple(groups), members, own_s)


def _narrowness(group: Group) -> tuple[int, str]:
    return NARROWEST_FIRST.index(group.dimension), group.value


class Heard(NamedTuple):
    """Of each device: should it speak, has it missed its report, is it silent?"""

    expected: Mask
    missed: Mask
    silent: Mask


def heard(memory: FleetMemory, roll: Roll, now_ms: int, deaf_ms: int) -> Heard:
    """``deaf_ms``: until when nobody could be heard, through no fault of a device."""
    interval_ms = MS * np.where(roll.own_s > 0, roll.own_s, memory.intervals_s())
    waited_ms = np.maximum(interval_ms, MS * MISSED_LEAST_S)
    quiet_ms = now_ms - np.maximum(memory.rows[HEARD], deaf_ms)
    gone_ms = np.maximum(GONE_MS, GONE_INTERVALS * interval_ms)
    return Heard(
        expected=memory.is_known() & (now_ms - memory.rows[HEARD] <= gone_ms),
        missed=quiet_ms > waited_ms + MISSED_GRACE_MS,
        silent=quiet_ms > SILENT_INTERVALS * waited_ms,
    )


def surprise(missed: FloatArray, expected: FloatArray, loss: FloatArray) -> FloatArray:
    """The exponent of Chernoff's bound, per group; 0 where no more is missed than ``loss`` explains."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(expected > 0, missed / expected, 0.0)
        present = np.where(share < 1, (1 - share) * np.log((1 - share) / (1 - loss)), 0.0)
        lost = np.where(share > 0, share * np.log(share / loss), 0.0)
    return np.where(share > loss, expected * (lost + present), 0.0)


def surprise_needed(groups: int) -> float:
    return log(groups * YEAR_S / FALSE_A_YEAR)


@dataclass(slots=True)
class Open:
    """An incident that lasts. ``calm_ms``: since when its group has spoken again."""

    group: Group
    entry: str
    entry_ms: int
    since_ms: int
    calm_ms: int | None = None


class Verdict(NamedTuple):
    """A group whose silence begins (``over`` None) or ends."""

    group: Group
    reason: str
    missed: Mask
    expected: Mask
    since_ms: int
    over: Open | None = None


@dataclass(slots=True)
class FleetWatcher:
    """What is remembered between two looks: who was heard when, what is ordinarily lost, what is open.

    A verdict changes nothing here: ``begin`` and ``end`` do, when it has been told.
    """

    roll: Roll
    memory: FleetMemory = field(default_factory=FleetMemory)
    losses: dict[Group, float] = field(default_factory=dict)
    open: dict[Group, Open] = field(default_factory=dict)
    looked_ms: int = 0
    missed_share: float = 0.0

    def enrol(self, roll: Roll) -> None:
        """Other devices, or other words of theirs."""
        self.roll = roll
        self.memory = self.memory.among(roll.numbers)
        self.losses = {group: loss for group, loss in self.losses.items() if group in roll.groups}

    def look(self, now_ms: int, deaf_ms: int = 0) -> list[Verdict]:
        """What has begun and what has ended; once a second."""
        seen = self._as_when_it_began(heard(self.memory, self.roll, now_ms, deaf_ms))
        ended = list(self._ended(seen, now_ms))
        begun = list(self._begun(seen))
        self._learn(seen, now_ms)
        return ended + begun

    def standing(self, now_ms: int, deaf_ms: int = 0) -> list[Verdict]:
        """Each open incident as it is now; the reason is none yet."""
        seen = self._as_when_it_began(heard(self.memory, self.roll, now_ms, deaf_ms))
        return [self._state_of(one, seen) for one in self.open.values()]

    def _state_of(self, one: Open, seen: Heard) -> Verdict:
        expected = self.roll.of(one.group) & seen.expected
        return Verdict(one.group, "", expected & seen.missed, expected, one.since_ms, over=one)

    def begin(self, opened: Open) -> None:
        self.open[opened.group] = opened

    def end(self, group: Group) -> None:
        """Who of it is silent still has an alert of his own now, and opens no other incident."""
        del self.open[group]
        self.memory.leave(self.roll.of(group))

    def _as_when_it_began(self, seen: Heard) -> Heard:
        """Whoever should have spoken when his incident began still should, however long it lasts."""
        expected = seen.expected.copy()
        for one in self.open.values():
            were = self.memory.is_known() & (self.memory.rows[HEARD] > one.entry_ms - GONE_MS)
            expected |= self.roll.of(one.group) & were
        return seen._replace(expected=expected)

    # --- the beginning --------------------------------------------------------------------------------------

    def _begun(self, seen: Heard) -> Iterator[Verdict]:
        free = self._free(seen)
        while (best := self._best(free, seen)) is not None:
            group, reason = best
            mine = self.roll.of(group)
            missed = mine & free & seen.missed
            since_ms = int(self.memory.rows[HEARD, missed].max())
            yield Verdict(group, reason, missed, mine & free, since_ms)
            free = free & ~mine

    def _free(self, seen: Heard) -> Mask:
        """Who should speak, belongs to no open incident, and was not left behind by one."""
        free = seen.expected & ~self.memory.is_left()
        for group in self.open:
            free &= ~self.roll.of(group)
        return free

    def _best(self, free: Mask, seen: Heard) -> tuple[Group, str] | None:
        """The group that explains most of what is missed, and by which rule; None: nobody's silence is news."""
        expected = self.roll.counts(free).astype(np.float64)
        missed = self.roll.counts(free & seen.missed).astype(np.float64)
        silent = self.roll.counts(free & seen.silent)
        many = np.maximum(SILENT_COUNT, SILENT_SHARE * expected)
        early = (missed > many) & (surprise(missed, expected, self.loss()) > surprise_needed(len(expected)))
        plainly = silent > many
        if not (early | plainly).any():
            return None
        ordinary = np.full(expected.size, self._loss_of(WHOLE_FLEET))  # one for all, or luck would choose the name
        place = int(np.argmax(np.where(early | plainly, surprise(missed, expected, ordinary), -1.0)))
        return self.roll.groups[place], SILENT_TOGETHER if plainly[place] else MISSED_TOGETHER

    # --- the end --------------------------------------------------------------------------------------------

    def _ended(self, seen: Heard, now_ms: int) -> Iterator[Verdict]:
        for one in self.open.values():
            state = self._state_of(one, seen)
            if int(state.missed.sum()) > self._calm(one.group, int(state.expected.sum())):
                one.calm_ms = None
                continue
            one.calm_ms = now_ms if one.calm_ms is None else one.calm_ms
            if now_ms - one.calm_ms >= CALM_MS:
                yield state._replace(reason=HEARD_AGAIN)

    def _calm(self, group: Group, expected: int) -> float:
        """So many may still be missing. Below what opens an incident: hysteresis."""
        losses = self._loss_of(group) * expected + max(SILENT_COUNT, SILENT_SHARE * expected)
        return min(max(losses, CALM_SHARE * expected), CALM_MOST * expected)

    # --- what is ordinarily lost ----------------------------------------------------------------------------

    def loss(self) -> FloatArray:
        """The share of reports that each group ordinarily misses, at the least that of the fleet."""
        own = np.array([self._loss_of(group) for group in self.roll.groups])
        least: FloatArray = np.maximum(own, self._loss_of(WHOLE_FLEET))
        return least

    def _loss_of(self, group: Group) -> float:
        fleet = self.losses.get(WHOLE_FLEET, LOSS_AT_FIRST)
        return min(LOSS_MOST, max(LOSS_LEAST, self.losses.get(group, fleet)))

    def _learn(self, seen: Heard, now_ms: int) -> None:
        """Average over LOSS_OVER_S what was missed. A group of which more than LOSS_MOST is missing is out, and
        teaches nothing; what an open incident explains is no loss of the other groups."""
        elapsed_s = max(0, now_ms - self.looked_ms) / MS if self.looked_ms else 0.0
        self.looked_ms = now_ms
        weight = 1 - exp(-min(elapsed_s, LOSS_OVER_S) / LOSS_OVER_S)
        free = self._free(seen)
        expected, missed = self.roll.counts(free), self.roll.counts(free & seen.missed)
        for place in np.flatnonzero(expected).tolist():
            self._average(self.roll.groups[place], float(missed[place] / expected[place]), weight)
        for one in self.open.values():
            state = self._state_of(one, seen)
            self._average(one.group, int(state.missed.sum()) / max(1, int(state.expected.sum())), weight)
        self.missed_share = float(seen.missed[seen.expected].mean()) if seen.expected.any() else 0.0

    def _average(self, group: Group, share: float, weight: float) -> None:
        if share <= LOSS_MOST:
            before = self.losses.get(group, self._loss_of(WHOLE_FLEET))
            self.losses[group] = before + weight * (share - before)
