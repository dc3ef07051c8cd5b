"""What does a fleet of couples say in ordinary times? The messages of the second work, second after second.

Most couples live 2 to 40 km apart, and farther than the pre-alert distance; 1 % are between the alert and the
pre-alert distance, 0.1 % nearer. About one person in twelve is under way, half of them on foot, the others by car,
and turns back 4 km from home. The others stand still, and are never seen exactly: the error wanders, its size is
the accuracy that the unit reports, 5 to 30 m; 1 % of the fixes are poor, 200 to 600 m. 0.5 % of the units are
silent at any time, for half an hour on average. 3 % of the wearers have two protected persons.

A unit reports at the interval that it was told; as long as nobody tells it any, at the one that the true distance
asks for (domain, section 5): 60 s, 30 s below four alert distances, 10 s inside the pre-alert ring, 5 s inside the
alert ring. Nothing comes twice or out of order: what that costs is another question.

Units: metres, seconds of the fleet's own clock; out come fixes in FIX_DTYPE. Chance is a numpy ``Generator``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

from simulator.geofence_bench.reference import Floats, Ints
from tocsin.clock import MS
from tocsin.model.command import Action, Command
from tocsin.model.device import Device, DeviceKind
from tocsin.model.fix import FIX_DTYPE, Fixes, Source
from tocsin.model.order import Order

START_MS: Final = 1_795_219_200_000
ALERT_M: Final = (1000, 2000, 3000, 5000, 10_000)
ALERT_SHARES: Final = (0.45, 0.25, 0.12, 0.13, 0.05)
IN_PREALERT, IN_ALERT = 0.01, 0.001
APART_M: Final = (2_000.0, 40_000.0)
SHARED: Final = 0.03
FRANCE: Final = ((43.0, 49.0), (-1.0, 6.0))
METRES_PER_DEGREE: Final = 111_195.0
UNDER_WAY: Final = 0.08
JOURNEY_S: Final = 1200.0
WALK_M_S: Final = 1.4
DRIVE_M_S: Final = (5.0, 20.0)
BACK_M: Final = 4_000.0
TURN_RAD: Final = 0.05  # a second
ACCURACY_M: Final = (5.0, 30.0)
POOR, POOR_M = 0.01, (200.0, 600.0)
ERROR_KEPT_S: Final = 300.0
R68_SIGMAS: Final = 1.51  # the radius that holds 68 % of a circular normal error
SILENT, SILENT_S = 0.005, 1800.0
DELAY_MS: Final = (150, 2500)
LOOK_S: Final = 5  # so often the true distances are looked at
FIRST_S: Final = 60  # by then everybody has spoken once; then the silence begins


class Fleet:
    """n couples; device number = 1 + place. ``obey`` is how the engine reaches the units."""

    def __init__(self, pairs: int, rng: np.random.Generator) -> None:
        self._rng, self.now_s = rng, 0
        is_shared = rng.random(pairs) < SHARED
        is_shared[0] = False
        self.wearer = np.cumsum(~is_shared) - 1
        self.protected = self.wearer[-1] + 1 + np.arange(pairs)
        self.alert_m = rng.choice(ALERT_M, pairs, p=ALERT_SHARES)
        devices = self._devices = int(self.protected[-1]) + 1
        self._home = self._homes()
        self._place_m, self._error_m = np.zeros((2, devices)), np.zeros((2, devices))
        self._seen_s = np.zeros(devices)
        self._accuracy_m = rng.uniform(*ACCURACY_M, devices)
        self._course, self._speed = rng.uniform(0, 2 * np.pi, devices), np.zeros(devices)
        self._set_out(rng.random(devices) < UNDER_WAY)
        self._told_s = np.zeros(devices, np.int64)  # 0: nobody told it any
        self.interval_s = self._asked_for()
        self._next_s = rng.uniform(0, FIRST_S, devices)
        self._silent_until_s = np.zeros(devices)
        self._seq = np.zeros(devices, np.int64)

    # --- who they are

    def orders(self) -> list[Order]:
        return [
            Order(
                id=f"msr_{pair:07d}", version=1, wearer=name_of(wearer), protected=name_of(protected),
                alert_distance_m=alert_m, valid_from_ms=0, valid_until_ms=2**61,
            )
            for pair, (wearer, protected, alert_m) in enumerate(
                zip(self.wearer.tolist(), self.protected.tolist(), self.alert_m.tolist(), strict=True)
            )
        ]  # fmt: skip

    def devices(self) -> dict[str, Device]:
        wearers = int(self.wearer[-1]) + 1
        return {
            name_of(place): Device(
                id=name_of(place), number=place + 1,
                kind=DeviceKind.WEARER if place < wearers else DeviceKind.PROTECTED,
            )
            for place in range(self._devices)
        }  # fmt: skip

    def homes(self) -> tuple[Floats, Floats]:
        """His and hers, (latitude, longitude) of each couple, in degrees."""
        return self._home[:, self.wearer], self._home[:, self.protected]

    def _homes(self) -> Floats:
        """(latitude, longitude) of everybody, in degrees."""
        rng, pairs = self._rng, self.wearer.size
        nearest = np.maximum(APART_M[0], 2.2 * self.alert_m)
        apart_m = np.exp(rng.uniform(np.log(nearest), np.log(np.maximum(APART_M[1], 1.5 * nearest))))
        kind = rng.random(pairs)
        apart_m = np.where(kind < IN_ALERT + IN_PREALERT, self.alert_m * rng.uniform(1.2, 1.85, pairs), apart_m)
        apart_m = np.where(kind < IN_ALERT, self.alert_m * rng.uniform(0.2, 0.9, pairs), apart_m)
        his = np.stack([rng.uniform(*bounds, int(self.wearer[-1]) + 1) for bounds in FRANCE])
        azimuth = rng.uniform(0, 2 * np.pi, pairs)
        hers = his[:, self.wearer] + degrees(apart_m * _heading(azimuth), his[0, self.wearer])
        return np.concatenate((his, hers), axis=1)

    # --- how they live

    def second(self) -> tuple[Fixes, Ints]:
        """The fixes received during the next second, and at which interval each unit was reporting."""
        self._move()
        self.now_s += 1
        if self.now_s % LOOK_S == 0:
            self.interval_s = np.where(self._told_s > 0, self._told_s, self._asked_for())
            self._next_s = np.minimum(self._next_s, self.now_s + self.interval_s)
        speaking = np.flatnonzero((self._next_s < self.now_s) & (self._silent_until_s <= self.now_s))
        self._next_s[speaking] = np.maximum(self._next_s[speaking], self.now_s - 1) + self.interval_s[speaking]
        if self.now_s == FIRST_S:
            self._silence(np.flatnonzero(self._rng.random(self._devices) < SILENT))
        if self.now_s > FIRST_S:
            speaking = self._not_falling_silent(speaking)
        return self._fixes(speaking), self.interval_s[speaking]

    def obey(self, commands: Iterable[Command]) -> None:
        """Units keep the interval that they are told; a shorter one at once, a longer one after a report."""
        for command in commands:
            if command.action is Action.SET_CADENCE and command.interval_s:
                place = place_of(command.device)
                self._told_s[place] = self.interval_s[place] = command.interval_s
                self._next_s[place] = min(self._next_s[place], self.now_s + command.interval_s)

    def _not_falling_silent(self, speaking: Ints) -> Ints:
        """A share of those who would speak now fall silent instead, so that SILENT of all are."""
        chance = SILENT / (1 - SILENT) * self.interval_s[speaking] / SILENT_S
        falls = self._rng.random(speaking.size) < chance
        self._silence(speaking[falls])
        return speaking[~falls]

    def _silence(self, units: Ints) -> None:
        self._silent_until_s[units] = self.now_s + self._rng.exponential(SILENT_S, units.size)

    def _move(self) -> None:
        rng = self._rng
        under_way = np.flatnonzero(self._speed)
        self._course[under_way] += rng.normal(0, TURN_RAD, under_way.size)
        self._place_m[:, under_way] += self._speed[under_way] * _heading(self._course[under_way])
        far = under_way[np.hypot(*self._place_m[:, under_way]) > BACK_M]
        self._course[far] = np.arctan2(-self._place_m[1, far], -self._place_m[0, far])
        self._speed[under_way[rng.random(under_way.size) < 1 / JOURNEY_S]] = 0.0
        self._set_out((self._speed == 0.0) & (rng.random(self._devices) < UNDER_WAY / (1 - UNDER_WAY) / JOURNEY_S))

    def _set_out(self, who: npt.NDArray[np.bool_]) -> None:
        count = int(who.sum())
        on_foot = self._rng.random(count) < 0.5
        self._speed[who] = np.where(on_foot, WALK_M_S, self._rng.uniform(*DRIVE_M_S, count))

    def _asked_for(self) -> Ints:
        """The interval of each unit by the true distance of its nearest pair."""
        apart = self.apart_m() / self.alert_m
        of_pair = np.select([apart <= 1, apart <= 2, apart <= 4], [5, 10, 30], 60)
        asked = np.full(self._devices, 60)
        np.minimum.at(asked, self.wearer, of_pair)
        np.minimum.at(asked, self.protected, of_pair)
        return asked

    def apart_m(self) -> Floats:
        """The true distance of each pair, to some per mille."""
        lat_lon = self._home + degrees(self._place_m, self._home[0])
        way = lat_lon[:, self.protected] - lat_lon[:, self.wearer]
        east = way[1] * np.cos(np.radians(lat_lon[0, self.wearer]))
        apart: Floats = np.hypot(way[0], east) * METRES_PER_DEGREE
        return apart

    def silent(self) -> float:
        """The share of the units that are silent now."""
        return float((self._silent_until_s > self.now_s).mean())

    # --- how they are seen

    def _fixes(self, speaking: Ints) -> Fixes:
        rng, count = self._rng, speaking.size
        place_m, radius_m = self._seen_at(speaking)
        lat, lon = self._home[:, speaking] + degrees(place_m, self._home[0, speaking])
        fixes = np.zeros(count, FIX_DTYPE)
        fixes["t3_ms"] = START_MS + MS * (self.now_s - 1) + np.sort(rng.integers(1, MS, count))
        fixes["t4_ms"] = fixes["t3_ms"] + 2
        fixes["fix_ms"] = fixes["sent_ms"] = fixes["t3_ms"] - rng.integers(*DELAY_MS, count)
        fixes["device"], fixes["boot"], fixes["seq"], fixes["primary"] = speaking + 1, 1, self._seq[speaking], 1
        fixes["lat_e6"], fixes["lon_e6"] = np.rint(lat * 1e6), np.rint(lon * 1e6)
        fixes["accuracy_dm"] = np.rint(10 * radius_m)
        fixes["speed_cms"] = np.rint(100 * self._speed[speaking])
        fixes["course_ddeg"], fixes["battery_pct"], fixes["source"] = -1, 80, Source.GNSS
        self._seq[speaking] += 1
        return fixes

    def _seen_at(self, speaking: Ints) -> tuple[Floats, Floats]:
        """(place in metres from home, radius that is reported); remembers the wandering error."""
        rng, count = self._rng, speaking.size
        kept = np.exp(-(self.now_s - self._seen_s[speaking]) / ERROR_KEPT_S)
        kept[self._seq[speaking] == 0] = 0.0
        self._seen_s[speaking] = self.now_s
        sigma_m = self._accuracy_m[speaking] / R68_SIGMAS
        wander = rng.normal(0, 1, (2, count)) * sigma_m * np.sqrt(1 - kept**2)
        self._error_m[:, speaking] = kept * self._error_m[:, speaking] + wander
        radius_m = self._accuracy_m[speaking]
        is_poor = rng.random(count) < POOR
        radius_m[is_poor] = rng.uniform(*POOR_M, int(is_poor.sum()))
        poor_m = rng.normal(0, 1, (2, count)) * radius_m / R68_SIGMAS
        return self._place_m[:, speaking] + np.where(is_poor, poor_m, self._error_m[:, speaking]), radius_m


def name_of(place: int) -> str:
    return f"b{place + 1:07d}"


def place_of(name: str) -> int:
    return int(name[1:]) - 1


def degrees(way_m: Floats, lat: Floats) -> Floats:
    """Metres (north, east) as degrees at this latitude."""
    way: Floats = way_m / METRES_PER_DEGREE / np.stack((np.ones_like(lat), np.cos(np.radians(lat))))
    return way


def _heading(course: Floats) -> Floats:
    return np.stack((np.cos(course), np.sin(course)))
