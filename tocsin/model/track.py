"""Where was one device during a stretch of the past, as the history has it? Columns, as FIX_DTYPE has them.

Times milliseconds, degrees scaled by 1e6, accuracies decimetres (68 % radius), ABSENT where the unit told none.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tocsin.model.fix import FixFlag

TRACK_DTYPE = np.dtype(
    [("at_ms", "<i8"), ("delay_ms", "<i8"), ("lat_e6", "<i4"), ("lon_e6", "<i4"), ("accuracy_dm", "<i4"),
     ("flags", "<u2")]
)  # fmt: skip

Track = npt.NDArray[np.void]
"""A 1-D array of TRACK_DTYPE: the fixes of one device, in any order. ``delay_ms``: received minus measured."""


def came_late(track: Track, after_ms: int) -> npt.NDArray[np.bool_]:
    """Which fixes the live rules never had in time: received so much later than measured, or out of a buffer."""
    late: npt.NDArray[np.bool_] = (track["delay_ms"] > after_ms) | (track["flags"] & FixFlag.BULK != 0)
    return late
