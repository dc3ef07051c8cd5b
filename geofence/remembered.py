"""What of an approach, and of visits to the pre-alert ring, outlasts the look at which it was seen?

Whole numbers only, so that a snapshot is exact: ECEF places and accuracies in decimetres, bearings in degrees from
north as seen from the protected person, hours in milliseconds.
"""

from __future__ import annotations

import msgspec

Place = tuple[int, int, int]


class Origin(msgspec.Struct, frozen=True, array_like=True):
    """Where both stood when the present leg of the approach began."""

    at_ms: int
    wearer: Place
    protected: Place
    wearer_accuracy_dm: int
    protected_accuracy_dm: int


class Course(msgspec.Struct, frozen=True, array_like=True):
    """Within the pre-alert ring: at ``at_ms`` they were ``mark_dm`` apart, COURSE_M less (``nearer``) or more than
    at the mark before; None: it is the first one of this visit."""

    at_ms: int
    mark_dm: int
    nearer: bool | None


class Crossing(msgspec.Struct, frozen=True, array_like=True):
    """He came into the pre-alert ring, from this side of her."""

    at_ms: int
    bearing_deg: int
