"""In which ring around the protected person is the wearer?"""

from __future__ import annotations

from enum import IntEnum


class Zone(IntEnum):
    """Ordered: a larger number is nearer."""

    FAR = 0
    PREALERT = 1
    ALERT = 2
