"""Which pairs are invented, and walk the whole road each minute so that its silence is noticed?

A *canary* pair has a name of its own form, that nobody else may have: its alerts go to a receiver of its own as
tests, and are in no queue and no statistic. By the name, and not by a field, so that whoever sees a device, a
measure or an alert of it knows.
"""

from __future__ import annotations

import re
from typing import Final

PREFIX: Final = "canary-"
CANARY: Final = r"^canary-[0-9]+(-[wv])?$"
"""The form of a name, for whoever looks for them in a table."""
_NAME = re.compile(CANARY)


def is_canary(name: str) -> bool:
    """Of a device (``canary-3-w``, ``canary-3-v``) or a measure (``canary-3``)."""
    return _NAME.fullmatch(name) is not None


def is_reserved(name: str) -> bool:
    """Nobody may register this."""
    return name.startswith(PREFIX)
