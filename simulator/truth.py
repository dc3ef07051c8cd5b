"""How far apart were they really? Distance between true positions, by a way of its own.

Positions become points in space (ECEF on WGS84, height zero); the chord between them is bent to an arc. Within
30 km that is the geodesic distance to better than 1 cm, and no line of it is shared with the engine that it judges
(``tocsin.geodesy``, ``geofence``), nor with pyproj. Degrees in, metres out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simulator.motion import WGS84_A_M, WGS84_E2, Floats
from simulator.scenario import Couple, Scenario

MEAN_RADIUS_M = 6_371_008.8
SAMPLE_S = 1.0
REFINE_STEPS = 20  # a second halved twenty times is a microsecond


def distance_m(lat1: Floats, lon1: Floats, lat2: Floats, lon2: Floats) -> Floats:
    """Arrays of degrees of one shape -> metres of that shape."""
    chord = np.sqrt(sum((a - b) ** 2 for a, b in zip(_ecef(lat1, lon1), _ecef(lat2, lon2), strict=True)))
    return 2.0 * MEAN_RADIUS_M * np.arcsin(np.minimum(1.0, chord / (2.0 * MEAN_RADIUS_M)))


def _ecef(lat: Floats, lon: Floats) -> tuple[Floats, Floats, Floats]:
    phi, lam = np.radians(lat), np.radians(lon)
    normal = WGS84_A_M / np.sqrt(1.0 - WGS84_E2 * np.sin(phi) ** 2)
    return (
        normal * np.cos(phi) * np.cos(lam),
        normal * np.cos(phi) * np.sin(lam),
        normal * (1.0 - WGS84_E2) * np.sin(phi),
    )


def separation_m(scenario: Scenario, couple: Couple, t: float | Floats) -> Floats:
    """The distance of a couple at second(s) ``t``."""
    hers, his = scenario.position(couple.protected, t), scenario.position(couple.wearer, t)
    return distance_m(*hers, *his)


def sample_times(scenario: Scenario, couple: Couple) -> Floats:
    """Every second of the run, and every moment at which one of the two turns or stops.

    Between two of these both move straight, so the distance is convex: no dip can hide but at its bottom, which
    ``nearest_m`` looks for.
    """
    t = np.concatenate(
        [np.arange(0.0, scenario.duration_s, SAMPLE_S), couple.wearer.track.t, couple.protected.track.t]
    )
    inside = t[(t >= 0.0) & (t <= scenario.duration_s)]
    return np.unique(np.append(inside, scenario.duration_s))


def nearest_m(scenario: Scenario, couple: Couple) -> float:
    """The smallest distance of the whole run, to the centimetre."""
    t = sample_times(scenario, couple)
    lowest = int(np.argmin(separation_m(scenario, couple, t)))
    fine = np.linspace(t[max(0, lowest - 1)], t[min(t.size - 1, lowest + 1)], 2001)
    return float(separation_m(scenario, couple, fine).min())


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """Within ``bound_m`` from ``entry_s`` until the first moment at ``bound_m + margin`` or the end of the run."""

    entry_s: float
    exit_s: float
    starts_inside: bool
    ends_inside: bool


def stays(scenario: Scenario, couple: Couple, bound_m: float, exit_margin_m: float) -> list[Stay]:
    """Every stay of the wearer inside ``bound_m``, in order of time."""
    t = sample_times(scenario, couple)
    d = separation_m(scenario, couple, t)
    found = []
    for entry, after in runs_inside(d, bound_m, bound_m + exit_margin_m):
        ends_inside = after == d.size
        found.append(
            Stay(
                entry_s=0.0 if entry == 0 else _crossing(scenario, couple, bound_m, t[entry - 1], t[entry]),
                exit_s=scenario.duration_s
                if ends_inside
                else _crossing(scenario, couple, bound_m + exit_margin_m, t[after - 1], t[after]),
                starts_inside=entry == 0,
                ends_inside=ends_inside,
            )
        )
    return found


def runs_inside(d: npt.NDArray[np.number], bound: float, exit_bound: float) -> list[tuple[int, int]]:
    """[entry, after) indices: from d <= bound until the first d >= exit_bound, or the end (``after`` = size)."""
    found, start = [], 0
    while (inside := np.flatnonzero(d[start:] <= bound)).size:
        entry = start + int(inside[0])
        outside = np.flatnonzero(d[entry:] >= exit_bound)
        after = entry + int(outside[0]) if outside.size else d.size
        found.append((entry, after))
        start = after
    return found


def _crossing(scenario: Scenario, couple: Couple, bound_m: float, before_s: float, after_s: float) -> float:
    """When, between two samples on either side of it, the distance passed ``bound_m``; by halving."""
    was_inside = bool(separation_m(scenario, couple, before_s) <= bound_m)
    for _ in range(REFINE_STEPS):
        middle_s = (before_s + after_s) / 2
        if bool(separation_m(scenario, couple, middle_s) <= bound_m) == was_inside:
            before_s = middle_s
        else:
            after_s = middle_s
    return float(after_s)
