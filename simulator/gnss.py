"""What does a receiver say about a place, and how wrong is it?

The error wanders (first-order Gauss-Markov on each axis): two fixes a second apart are wrong in the same
direction, as real ones are, and a filter cannot average it away as it could white noise. Fixes get lost, and some
are said twice. Chance comes in as a numpy ``Generator``. Metres, seconds of the scenario, degrees WGS84.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

import numpy as np

from simulator.scenario import Party, Scenario

R68_PER_SIGMA = math.sqrt(-2.0 * math.log(0.32))  # radius that holds 68 % of a round 2-D Gaussian


@dataclass(frozen=True, slots=True, kw_only=True)
class Sky:
    """How well this receiver sees: error per axis and its memory, and the share of fixes lost or doubled.

    ``honesty`` is the spread (log-normal) of the reported accuracy around the true one.
    """

    sigma_m: float = 3.0
    tau_s: float = 60.0
    loss: float = 0.0
    duplicates: float = 0.0
    honesty: float = 0.2


OPEN = Sky()
URBAN = Sky(sigma_m=8.0, tau_s=30.0, loss=0.02, duplicates=0.005, honesty=0.35)
PERFECT = Sky(sigma_m=0.0, honesty=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SkyFix:
    """One position as the unit has it. ``accuracy_m`` is the 68 % radius, at least 1 m."""

    t: float
    lat: float
    lon: float
    accuracy_m: float
    speed_mps: float
    course_deg: float


class GnssReceiver:
    """The receiver of one person. Ask it in order of time: each error depends on the one before."""

    def __init__(self, scenario: Scenario, party: Party, *, sky: Sky, rng: np.random.Generator) -> None:
        self._scenario = scenario
        self._party = party
        self._sky = sky
        self._rng = rng
        self._error = rng.normal(0.0, sky.sigma_m, 2)
        self._last_s: float | None = None

    def fixes(self, t: float) -> list[SkyFix]:
        """What it hands over for second ``t``: one fix; none when lost; now and then the same one twice."""
        fix = self.fix(t)
        if self._rng.uniform() < self._sky.loss:
            return []
        return [fix, fix] if self._rng.uniform() < self._sky.duplicates else [fix]

    def fix(self, t: float) -> SkyFix:
        """One fix, never lost: what a press of the key takes along."""
        self._wander(t)
        east, north = self._party.track.at(t)
        lat, lon = self._scenario.plane.to_degrees(east + self._error[0], north + self._error[1])
        velocity = self._party.track.velocity(t)
        reported_m = R68_PER_SIGMA * self._sky.sigma_m * math.exp(self._rng.normal(0.0, self._sky.honesty))
        return SkyFix(
            t=t,
            lat=float(lat),
            lon=float(lon),
            accuracy_m=max(1.0, reported_m),
            speed_mps=math.hypot(*velocity),
            course_deg=math.degrees(math.atan2(*velocity)) % 360.0,
        )

    def _wander(self, t: float) -> None:
        elapsed_s = 0.0 if self._last_s is None else max(0.0, t - self._last_s)
        kept = math.exp(-elapsed_s / self._sky.tau_s)
        fresh = self._sky.sigma_m * math.sqrt(1.0 - kept * kept)
        self._error = kept * self._error + self._rng.normal(0.0, 1.0, 2) * fresh
        self._last_s = t


def receiver_of(scenario: Scenario, party: Party, sky: Sky) -> GnssReceiver:
    """The receiver of this party, seeded by the scenario's seed and the device's name."""
    return GnssReceiver(scenario, party, sky=sky, rng=chance_of(scenario, party.device))


def chance_of(scenario: Scenario, device: str, *apart: int) -> np.random.Generator:
    """A stream of chance that belongs to this device alone; ``apart`` tells several uses from each other."""
    return np.random.default_rng([scenario.seed, zlib.crc32(device.encode()), *apart])
