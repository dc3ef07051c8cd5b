"""When was a part that watches the road last alive? Its newest word in the bucket ``tallies``, under its own name.

A dead part cannot say so: whoever reads this can (``alerts.pulses``). Milliseconds.
"""

from __future__ import annotations

import msgspec


class Pulse(msgspec.Struct, frozen=True, kw_only=True):
    """``at_ms``: by Tocsin's clock; ``wall_ms``: the machine's hour, which no replay moves."""

    at_ms: int
    wall_ms: int
