"""When was a part that watches the road last alive? Its newest word in the bucket ``tallies``, under its own name.

A dead part cannot say so: whoever reads this can (``alerts.pulses``). Milliseconds of Tocsin's clock.
"""

from __future__ import annotations

import msgspec


class Pulse(msgspec.Struct, frozen=True, kw_only=True):
    at_ms: int
