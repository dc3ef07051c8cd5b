"""Does every crossing still become an alert while the load is on? Pairs that cross in and out all the time.

``python -m loadtests.canary HANDOVER``: a process of its own on asyncio, apart from locust's greenlets, so that
the hour it puts on a fix is not delayed by a thousand other senders; the verdict reads t3 to t8 anyway, which
begin when ingest has the fix. Its units are the simulator's: real logins, real payloads, real connections.
They are registered as units that take no orders: nobody tells a canary how often to sing.

A wearer goes to and fro at 36 m/s, the worst case of docs/domain.md, between 990 m and 1,120 m of the protected
person; each fix is plausible after the one before. His fixes are so coarse that from two of them less than 1.9 s
apart no velocity is believed: only a fix shows him inside, never the hour alone, which has no t3 to begin at.
What counts as a crossing is decided here, from the fixes given out, and strictly: outside means OUTSIDE_FIXES
fixes in a row beyond the alert distance and the exit margin.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from typing import Final

import numpy as np

from loadtests import handover
from loadtests.handover import CanaryTally, Crossing, Login, hand_over, taken
from loadtests.walks import PLANE
from simulator.gnss import SkyFix
from simulator.unit import Line, Unit
from tocsin.clock import MS, AffineClock
from tocsin.limits import EXIT_MARGIN_M, R95_PER_R68
from tocsin.model.device import DeviceKind

SPEED_MPS: Final = 36.0
WEARER_INTERVAL_S: Final = 0.8
PROTECTED_INTERVAL_S: Final = 5.0
DECLARED_S: Final = 10
ACCURACY_M: Final = 25.0  # two 95 % radii stay below the exit margin, two sigmas above what he drives
NEAREST_M, FARTHEST_M = -10.0, EXIT_MARGIN_M + 20.0  # from the alert distance
OUTSIDE_M: Final = EXIT_MARGIN_M + 5.0
OUTSIDE_FIXES: Final = 3  # one more than the exit needs
NEAR_S, FAR_S = 0.9, 3.2  # how long he stands there: one fix at least; OUTSIDE_FIXES at least
UNSURE_M: Final = 2.0  # no fix this near the alert distance itself: rounding would decide
LEG_S: Final = (FARTHEST_M - NEAREST_M) / SPEED_MPS
PERIOD_S: Final = FAR_S + LEG_S + NEAR_S + LEG_S
CONNECT_AT_ONCE: Final = 10
LOOK_S: Final = 0.05

assert NEAR_S > WEARER_INTERVAL_S
assert FAR_S > OUTSIDE_FIXES * WEARER_INTERVAL_S
assert FARTHEST_M > OUTSIDE_M > EXIT_MARGIN_M > 2 * R95_PER_R68 * ACCURACY_M
assert 2 * sqrt(2) * ACCURACY_M / WEARER_INTERVAL_S > SPEED_MPS


def reports_every_s(wearer: str, protected: str) -> dict[str, int]:
    """For the registration of one pair: what a real unit is told between the rings, so that a fix which has waited
    for ingest is judged as one of theirs would be."""
    return {wearer: DECLARED_S, protected: DECLARED_S}


def distance_m(alert_distance_m: float, phase_s: float) -> float:
    """How far he is at this second of his round: far, coming, near, going. Never at the alert distance itself."""
    edges_s = np.cumsum([0.0, FAR_S, LEG_S, NEAR_S, LEG_S])
    beyond_m = [FARTHEST_M, FARTHEST_M, NEAREST_M, NEAREST_M, FARTHEST_M]
    margin_m = float(np.interp(phase_s % PERIOD_S, edges_s, beyond_m))
    return alert_distance_m + (UNSURE_M if abs(margin_m) < UNSURE_M else margin_m)


@dataclass(slots=True, kw_only=True)
class Shuttle:
    """The receiver of a wearer who goes to and fro, and the crossings that his fixes tell of."""

    wearer: str
    alert_distance_m: float
    start_ms: int
    phase_s: float
    given: int = 0
    crossings: list[Crossing] = field(default_factory=list)
    outside: int = OUTSIDE_FIXES  # at the beginning nobody knows him inside

    def fixes(self, t: float) -> list[SkyFix]:
        self.given += 1
        fix = self.fix(t)
        self._judge(t)
        return [fix]

    def fix(self, t: float) -> SkyFix:
        return place(self._distance_m(t), t, SPEED_MPS)

    def _distance_m(self, t: float) -> float:
        return distance_m(self.alert_distance_m, self.phase_s + t)

    def _judge(self, t: float) -> None:
        beyond_m = self._distance_m(t) - self.alert_distance_m
        if beyond_m <= 0.0:
            if self.outside >= OUTSIDE_FIXES:
                self.crossings.append(Crossing(fix_ms=self.start_ms + round(t * MS), wearer=self.wearer))
            self.outside = 0
        elif beyond_m >= OUTSIDE_M:
            self.outside += 1
        elif self.outside < OUTSIDE_FIXES:
            self.outside = 0


@dataclass(slots=True, kw_only=True)
class Post:
    """The receiver of a protected person who stays where she is."""

    given: int = 0

    def fixes(self, t: float) -> list[SkyFix]:
        self.given += 1
        return [self.fix(t)]

    def fix(self, t: float) -> SkyFix:
        return place(0.0, t, 0.0)


def place(north_m: float, t: float, speed_mps: float) -> SkyFix:
    """All pairs use the same ground: who is near whom is asked pair by pair."""
    lat, lon = PLANE.to_degrees(np.asarray(0.0), np.asarray(north_m))
    return SkyFix(t=t, lat=float(lat), lon=float(lon), accuracy_m=ACCURACY_M, speed_mps=speed_mps, course_deg=0.0)


async def run(given: handover.Canary, told_to_end: asyncio.Event) -> CanaryTally:
    """Walk until told to end; returns when what was said is acknowledged, or would not be."""
    clock = AffineClock()
    start_ms = clock.now_ms()
    posts = {pair.protected.device: Post() for pair in given.pairs}
    shuttles = [
        Shuttle(
            wearer=pair.wearer.device,
            alert_distance_m=given.alert_distance_m,
            start_ms=start_ms,
            phase_s=PERIOD_S * index / len(given.pairs),
        )
        for index, pair in enumerate(given.pairs)
    ]

    def unit(login: Login, kind: DeviceKind, receiver: Shuttle | Post, interval_s: float, index: int) -> Unit:
        return Unit(
            login.device, kind, receiver,
            line=Line(host=given.mqtt_host, port=given.mqtt_port, password=login.password),
            clock=clock, start_ms=start_ms, rng=np.random.default_rng([given.seed, index]), interval_s=interval_s,
            boot=start_ms,
        )  # fmt: skip

    protected = [
        unit(pair.protected, DeviceKind.PROTECTED, posts[pair.protected.device], PROTECTED_INTERVAL_S, 2 * index)
        for index, pair in enumerate(given.pairs)
    ]
    wearers = [
        unit(pair.wearer, DeviceKind.WEARER, shuttle, WEARER_INTERVAL_S, 2 * index + 1)
        for index, (pair, shuttle) in enumerate(zip(given.pairs, shuttles, strict=True))
    ]
    async with asyncio.TaskGroup() as group:
        # Where she is must be known before he can come near her.
        walking = group.create_task(_set_out(group, protected, wearers, Path(given.ready)))
        await told_to_end.wait()
        walking.cancel()
        for each in (*protected, *wearers):
            each.stop()
    spoken: list[Shuttle | Post] = [*posts.values(), *shuttles]
    return CanaryTally(
        offered=sum(receiver.given for receiver in spoken),
        confirmed=sum(len(each.tally.numbers) for each in (*protected, *wearers)),
        connections=sum(each.tally.connections for each in (*protected, *wearers)),
        crossings=sorted(crossing for shuttle in shuttles for crossing in shuttle.crossings),
    )


async def _set_out(group: asyncio.TaskGroup, first: list[Unit], then: list[Unit], ready: Path) -> None:
    for units in (first, then):
        for index, each in enumerate(units):
            group.create_task(each.run(), name=each.device)
            if index % CONNECT_AT_ONCE == 0:
                await _heard(units[: index + 1])
        await _heard(units)
    ready.touch()  # noqa: ASYNC240  (one empty file)


async def _heard(units: list[Unit]) -> None:
    while not all(each.tally.acknowledged.get("loc") for each in units):  # noqa: ASYNC110  (a tally tells nobody)
        await asyncio.sleep(LOOK_S)


async def _main(path: Path) -> None:
    given = taken(path, handover.Canary)
    told_to_end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told_to_end.set)
    hand_over(Path(given.tally), await run(given, told_to_end))


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
