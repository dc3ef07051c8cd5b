"""How far apart are two positions on the ellipsoid?

Positions become points in space (ECEF, WGS84: EPSG 4978) and the distance is the straight line between them.
Against the geodesic of Karney (pyproj) the chord is short by at most 9 mm at 20 km, anywhere on Earth; it has no
antimeridian, no pole and no division by zero. Longer distances are for display: 1 m
short at 100 km.

Sine and cosine are computed here, from a table of whole degrees and a short Taylor sum between them, with
nothing but + - * / and the square root. IEEE 754 rounds these five correctly everywhere, so one position gives the
same bits as a Python float and in a numpy array, on every machine and library: a decision taken again is the same
decision (DOMAIN, invariant 11). ``math.sin`` and ``numpy.sin`` differ from each other in the last place.

Units: microdegrees (integers, as on the wire), metres (float64).
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

SEMI_MAJOR_M = 6_378_137.0
FLATTENING = 1 / 298.257223563
E2 = FLATTENING * (2 - FLATTENING)

DEGREE_E6 = 1_000_000
RADIANS_PER_E6 = math.pi / 180e6
QUARTER = 90

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Number = TypeVar("Number", float, FloatArray)


def _taylor(radians: float) -> tuple[float, float]:
    """Sine and cosine on [0, pi/2]: the first term left out is below 1e-17."""
    sin = cos = 0.0
    for k in range(12, -1, -1):
        sign = (-1.0) ** k
        sin += sign * radians ** (2 * k + 1) / math.factorial(2 * k + 1)
        cos += sign * radians ** (2 * k) / math.factorial(2 * k)
    return sin, cos


def _of_degree(degree: int) -> tuple[float, float]:
    """Sine and cosine of a whole degree, by its quarter: the octants of a circle are one octant."""
    quarter, rest = divmod(degree, QUARTER)
    sin, cos = _taylor(math.radians(rest)) if rest <= QUARTER // 2 else _taylor(math.radians(QUARTER - rest))[::-1]
    return ((sin, cos), (cos, -sin), (-sin, -cos), (-cos, sin))[quarter % 4]


# Rounded to 2**-52, so that the table is the same whatever rounds inside ``_taylor``.
_DEGREES: Final = [
    tuple(round(value * 2.0**52) / 2.0**52 for value in _of_degree(degree)) for degree in range(-181, 182)
]
_SIN: Final = [sin for sin, _ in _DEGREES]
_COS: Final = [cos for _, cos in _DEGREES]
_SINS, _COSINES = np.array(_SIN), np.array(_COS)
_ZERO: Final = 181  # where degree 0 stands in the tables

# Within half a degree the first terms left out are below 2e-16 (sine: the 9th power) and 1e-17 (cosine: the 8th).
_S3, _S5, _S7 = -1 / 6, 1 / 120, -1 / 5040
_C2, _C4, _C6 = -1 / 2, 1 / 24, -1 / 720


def ecef(lat_e6: npt.ArrayLike, lon_e6: npt.ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Two arrays of n microdegrees -> x, y, z in metres, n each, on the surface of the ellipsoid."""
    angles = np.empty((2, np.size(lat_e6)))
    angles[0], angles[1] = lat_e6, lon_e6
    degrees = np.rint(angles / DEGREE_E6)
    angles -= degrees * DEGREE_E6
    angles *= RADIANS_PER_E6
    at = degrees.astype(np.intp) + _ZERO
    sin, cos = _turn(angles, _SINS.take(at), _COSINES.take(at))
    normal = SEMI_MAJOR_M / np.sqrt(1.0 - E2 * sin[0] * sin[0])
    return _point(normal, sin[0], cos[0], sin[1], cos[1])


def ecef_one(lat_e6: int, lon_e6: int) -> tuple[float, float, float]:
    """The same, bit for bit, for one position."""
    sin_lat, cos_lat = _sin_cos(lat_e6)
    sin_lon, cos_lon = _sin_cos(lon_e6)
    normal = SEMI_MAJOR_M / math.sqrt(1.0 - E2 * sin_lat * sin_lat)
    return _point(normal, sin_lat, cos_lat, sin_lon, cos_lon)


def surface_e6(point: tuple[float, float, float]) -> tuple[int, int]:
    """The microdegrees of which ``ecef`` made this point: exactly these, as it errs far less than half of one."""
    x, y, z = point
    lat, lon = math.atan2(z, (1.0 - E2) * math.hypot(x, y)), math.atan2(y, x)
    return round(lat / RADIANS_PER_E6), round(lon / RADIANS_PER_E6)


def chord_m(a: tuple[float, float, float], b: tuple[float, float, float]) -> float:
    """Metres between two ECEF points."""
    dx, dy, dz = a[0] - b[0], a[1] - b[1], a[2] - b[2]
    return math.sqrt(dx * dx + dy * dy + dz * dz)


def distance_dm(a: tuple[float, float, float], b: tuple[float, float, float]) -> int:
    """Decimetres between two ECEF points, rounded half to even: the distance that decisions compare."""
    return round(10.0 * chord_m(a, b))


class Plane(NamedTuple):
    """The plane that touches the ellipsoid at ``origin``: metres east and north, with the distances of the ground
    to 0.1 m within 30 km."""

    origin: tuple[float, float, float]
    east: tuple[float, float, float]
    north: tuple[float, float, float]

    @classmethod
    def at(cls, lat_e6: int, lon_e6: int) -> Plane:
        (sin_lat, cos_lat), (sin_lon, cos_lon) = _sin_cos(lat_e6), _sin_cos(lon_e6)
        north = (-sin_lat * cos_lon, -sin_lat * sin_lon, cos_lat)
        return cls(ecef_one(lat_e6, lon_e6), (-sin_lon, cos_lon, 0.0), north)

    def of(self, point: tuple[float, float, float]) -> tuple[float, float]:
        """Metres east and north of the origin."""
        dx, dy, dz = point[0] - self.origin[0], point[1] - self.origin[1], point[2] - self.origin[2]
        (ex, ey, ez), (nx, ny, nz) = self.east, self.north
        return dx * ex + dy * ey + dz * ez, dx * nx + dy * ny + dz * nz


def _sin_cos(angle_e6: int) -> tuple[float, float]:
    degree = round(angle_e6 / DEGREE_E6)
    rest = (angle_e6 - degree * DEGREE_E6) * RADIANS_PER_E6
    return _turn(rest, _SIN[degree + _ZERO], _COS[degree + _ZERO])


def _turn(rest: Number, sin_of_degree: Number, cos_of_degree: Number) -> tuple[Number, Number]:
    """Sine and cosine of at most half a degree (radians) behind a whole number of degrees."""
    square = rest * rest
    sin = rest + rest * (square * (_S3 + square * (_S5 + square * _S7)))
    cos = 1.0 + square * (_C2 + square * (_C4 + square * _C6))
    return sin * cos_of_degree + cos * sin_of_degree, cos * cos_of_degree - sin * sin_of_degree


def _point(
    normal: Number, sin_lat: Number, cos_lat: Number, sin_lon: Number, cos_lon: Number
) -> tuple[Number, Number, Number]:
    from_axis = normal * cos_lat
    return from_axis * cos_lon, from_axis * sin_lon, normal * (1.0 - E2) * sin_lat
