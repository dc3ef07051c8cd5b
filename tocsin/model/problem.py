"""What is wrong with something that was asked for?"""

from __future__ import annotations

import msgspec


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One reason why an order is refused: where it is wrong (JSON pointer), a stable word, a sentence."""

    pointer: str
    code: str
    detail: str
