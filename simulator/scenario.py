"""What happens in this world, to whom, and when?

``Scenario.invent(seed, ...)`` makes a fleet of couples and one *story*, the same for the same arguments:

* couple 0: he waits outside the pre-alert distance, drives straight at her, crosses 2·d_A, then d_A, stays about
  45 s inside, and leaves the way he came, beyond both exit bounds (DOMAIN section 3);
* a protected person presses her key (BAR_SOS), a TGD phone its own (TGD_SOS), both at known seconds;
* where there are three couples or more, the wearer of couple 2 cuts his strap (STRAP_TAMPER);
* all the others live their day and stay out of each other's pre-alert distance.

The clearance of the others is by construction (each lives in a quarter of the city far enough from the other's);
``simulator.oracle`` verifies it from the positions. Seconds count from the start of the run; ``start_ms`` puts
them on a clock. Realm lab only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np

from simulator.motion import BLOCK_M, MARSEILLE, City, Floats, Plane, Quarter, Track, live
from tocsin.limits import ALERT_DISTANCE_STEP_M, EXIT_MARGIN_M, PREALERT_FACTOR
from tocsin.model.device import DeviceKind
from tocsin.model.finding import Code

COUPLES_MAX = 100_000
QUARTER_M = 1_500.0  # how far anybody's day reaches from its middle
CLEAR_M = 500.0  # the others stay this far outside the pre-alert distance: above any noise we add
STORY_MARGIN_M = EXIT_MARGIN_M + 100.0  # he starts and ends beyond the pre-alert exit bound by this
STORY_DEPTH_M = 100.0  # how far he comes inside d_A: well above the noise
STORY_INSIDE_S = 45.0  # longer than the interval of whoever was last seen outside the pre-alert distance
STORY_CAR_MPS = 14.0  # 50 km/h, where the duration allows
STORY_MAX_MPS = 80.0  # below the 90 m/s from which a fix is called implausible
STORY_REST = 0.1  # at least this share of the time standing outside, half before and half after
BAR_SOS_AT = 0.35  # of the duration
TGD_SOS_AT = 0.70
STRAP_CUT_AT = 0.50
CUT_COUPLE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """One person and the unit they carry."""

    device: str
    kind: DeviceKind
    track: Track


@dataclass(frozen=True, slots=True, kw_only=True)
class Couple:
    """A measure to be: ``key`` names it here, before Tocsin has given it an id."""

    key: str
    wearer: Party
    protected: Party
    alert_distance_m: int

    @property
    def prealert_distance_m(self) -> int:
        return PREALERT_FACTOR * self.alert_distance_m


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """Somebody presses the key at this second."""

    device: str
    code: Code
    at_s: float
    silent: bool = False


What = Literal["cut_strap", "close_strap", "separate", "rejoin", "unpair", "power_off", "hear_other_unit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mishap:
    """Something happens to a unit at this second: the method of ``simulator.unit.Unit`` that is called."""

    device: str
    what: What
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Approach:
    """The schedule of couple 0: when he passes which distance, and how fast he drives."""

    leaves_s: float
    prealert_s: float
    alert_s: float
    turns_s: float  # he drives off again
    alert_end_s: float
    prealert_end_s: float
    arrives_s: float
    speed_mps: float
    start_m: float
    nearest_m: float

    @classmethod
    def plan(cls, duration_s: float, alert_distance_m: int) -> Self:
        """Fit it in. Raises ValueError when that would need a speed that no car has."""
        start_m = PREALERT_FACTOR * alert_distance_m + STORY_MARGIN_M
        nearest_m = alert_distance_m - STORY_DEPTH_M
        way_m = start_m - nearest_m
        # Both ways, less the part inside, which is in STORY_INSIDE_S already.
        budget_s = duration_s * (1.0 - STORY_REST) - STORY_INSIDE_S
        if budget_s <= 0 or 2 * (way_m - STORY_DEPTH_M) / budget_s > STORY_MAX_MPS:
            shortest_s = (2 * (way_m - STORY_DEPTH_M) / STORY_MAX_MPS + STORY_INSIDE_S) / (1.0 - STORY_REST)
            raise ValueError(f"{duration_s:g} s is too short for this story: give it {math.ceil(shortest_s)} s")
        speed = max(STORY_CAR_MPS, 2 * (way_m - STORY_DEPTH_M) / budget_s)
        hold_s = STORY_INSIDE_S - 2 * STORY_DEPTH_M / speed
        leaves_s = (duration_s - 2 * way_m / speed - hold_s) / 2
        alert_s = leaves_s + (start_m - alert_distance_m) / speed
        turns_s = leaves_s + way_m / speed + hold_s
        return cls(
            leaves_s=leaves_s,
            prealert_s=leaves_s + STORY_MARGIN_M / speed,
            alert_s=alert_s,
            turns_s=turns_s,
            alert_end_s=alert_s + STORY_INSIDE_S,
            prealert_end_s=turns_s + (way_m - STORY_MARGIN_M) / speed,
            arrives_s=turns_s + way_m / speed,
            speed_mps=speed,
            start_m=start_m,
            nearest_m=nearest_m,
        )

    def track(self, east: float, north: float, bearing: float) -> Track:
        """Along one straight avenue that ends at (``east``, ``north``), where she is."""

        def at(distance_m: float) -> tuple[float, float]:
            return east + distance_m * math.cos(bearing), north + distance_m * math.sin(bearing)

        far, near = at(self.start_m), at(self.nearest_m)
        there_s = self.leaves_s + (self.start_m - self.nearest_m) / self.speed_mps
        return Track.through(
            [
                (0.0, *far),
                (self.leaves_s, *far),
                (there_s, *near),
                (self.turns_s, *near),
                (self.arrives_s, *far),
            ]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One world. ``start_ms``: where second 0 is on the clock of the deployment."""

    seed: int
    duration_s: float
    start_ms: int
    plane: Plane
    couples: tuple[Couple, ...]
    phones: tuple[Party, ...]
    presses: tuple[Press, ...]
    approach: Approach | None
    mishaps: tuple[Mishap, ...] = ()

    @classmethod
    def invent(
        cls,
        seed: int,
        *,
        couples: int,
        duration_s: float,
        alert_km_max: int = 1,
        story: bool = True,
        origin: tuple[float, float] = MARSEILLE,
        start_ms: int = 0,
    ) -> Self:
        """``couples`` of them (couple 0 has d_A = 1 km, the others 1 to ``alert_km_max``), and one TGD phone.

        Raises ValueError for what cannot be: no couple, or a duration that the story does not fit in.
        """
        if not 1 <= couples <= COUPLES_MAX:
            raise ValueError(f"{couples} couples: 1 to {COUPLES_MAX}")
        if not 1 <= alert_km_max <= 10:
            raise ValueError(f"alert distances up to {alert_km_max} km: 1 to 10")
        rng = np.random.default_rng(seed)
        city = City.invent(rng, _half_m(alert_km_max))
        approach = Approach.plan(duration_s, ALERT_DISTANCE_STEP_M) if story else None
        fleet = [_couple(rng, city, number, duration_s, alert_km_max) for number in range(couples)]
        if approach is not None:
            fleet[0] = _approached(rng, approach, fleet[0])
        phone = Party(device="sim-t-0000", kind=DeviceKind.TGD, track=_somebody(rng, city, duration_s))
        return cls(
            seed=seed,
            duration_s=duration_s,
            start_ms=start_ms,
            plane=Plane(*origin),
            couples=tuple(fleet),
            phones=(phone,),
            presses=_presses(fleet, phone, duration_s) if story else (),
            approach=approach,
            mishaps=_mishaps(fleet, duration_s) if story else (),
        )

    @property
    def parties(self) -> tuple[Party, ...]:
        """Everybody who carries a unit, in a fixed order."""
        of_couples = [party for couple in self.couples for party in (couple.wearer, couple.protected)]
        return (*of_couples, *self.phones)

    def position(self, party: Party, t: float | Floats) -> tuple[Floats, Floats]:
        """(lat, lon) in truth at second ``t``, a number or an array."""
        return self.plane.to_degrees(*party.track.at(t))

    def starting_at(self, start_ms: int) -> Self:
        """The same world, on another hour."""
        return replace(self, start_ms=start_ms)


def _half_m(alert_km_max: int) -> float:
    """Room for two quarters at the widest pre-alert distance, on either side of the middle."""
    apart_m = _apart_m(alert_km_max * ALERT_DISTANCE_STEP_M)
    return apart_m / 2 + 2 * QUARTER_M + 2 * BLOCK_M


def _apart_m(alert_distance_m: int) -> float:
    """How far apart the middles of two quarters are, so that their people never meet the pre-alert distance."""
    return PREALERT_FACTOR * alert_distance_m + CLEAR_M + 2 * QUARTER_M


def _couple(rng: np.random.Generator, city: City, number: int, duration_s: float, alert_km_max: int) -> Couple:
    """Two people whose quarters face each other across the city, somewhere near its middle."""
    km = 1 if number == 0 else int(rng.integers(1, alert_km_max + 1))
    half_m = _apart_m(km * ALERT_DISTANCE_STEP_M) / 2
    bearing = float(rng.uniform(0.0, 2.0 * math.pi))
    middle_east, middle_north = (float(each) for each in rng.uniform(-QUARTER_M, QUARTER_M, 2) / 2)
    tracks = []
    for side in (1.0, -1.0):
        quarter = Quarter(
            east=middle_east + side * half_m * math.cos(bearing),
            north=middle_north + side * half_m * math.sin(bearing),
            radius_m=QUARTER_M,
        )
        tracks.append(live(rng, city, quarter, duration_s))
    return Couple(
        key=f"couple-{number:04d}",
        wearer=Party(device=f"sim-w-{number:04d}", kind=DeviceKind.WEARER, track=tracks[0]),
        protected=Party(device=f"sim-p-{number:04d}", kind=DeviceKind.PROTECTED, track=tracks[1]),
        alert_distance_m=km * ALERT_DISTANCE_STEP_M,
    )


def _approached(rng: np.random.Generator, approach: Approach, couple: Couple) -> Couple:
    """Couple 0: she stays at home, he comes."""
    east, north = couple.protected.track.at(0.0)
    home = Track.through([(0.0, float(east), float(north))])
    his = approach.track(float(east), float(north), float(rng.uniform(0.0, 2.0 * math.pi)))
    return replace(
        couple, wearer=replace(couple.wearer, track=his), protected=replace(couple.protected, track=home)
    )


def _somebody(rng: np.random.Generator, city: City, duration_s: float) -> Track:
    return live(rng, city, Quarter(east=0.0, north=0.0, radius_m=QUARTER_M), duration_s)


def _presses(fleet: list[Couple], phone: Party, duration_s: float) -> tuple[Press, ...]:
    """Of another couple where there is one: two alerts about two people are easier to tell apart."""
    victim = fleet[min(1, len(fleet) - 1)].protected
    return (
        Press(device=victim.device, code=Code.BAR_SOS, at_s=BAR_SOS_AT * duration_s),
        Press(device=phone.device, code=Code.TGD_SOS, at_s=TGD_SOS_AT * duration_s, silent=True),
    )


def _mishaps(fleet: list[Couple], duration_s: float) -> tuple[Mishap, ...]:
    """Of a couple that nothing else happens to, if there is one."""
    if len(fleet) <= CUT_COUPLE:
        return ()
    wearer = fleet[CUT_COUPLE].wearer
    return (Mishap(device=wearer.device, what="cut_strap", at_s=STRAP_CUT_AT * duration_s),)
