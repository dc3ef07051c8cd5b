"""When did a part last do its work? Its newest word in the bucket ``tallies``, under its own name.

A part that is dead, or alive and standing still, cannot say so: whoever reads this can (``alerts.pulses``; of the
clerk, who does, ``audit.laws.clerk``). Milliseconds; LOOPS in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec


class Pulse(msgspec.Struct, frozen=True, kw_only=True):
    """``at_ms``: by Tocsin's clock; ``wall_ms``: the machine's hour, which no replay moves."""

    at_ms: int
    wall_ms: int


CLERK: Final = "clerk"
PROJECTOR: Final = "projector"
DOWNLINK: Final = "downlink"
FLEET: Final = "fleet"
RETROSPECT: Final = "retrospect"
RECORDER: Final = "recorder"
ARCHIVIST: Final = "archivist-lanes"  # its tally has its name
WITNESS: Final = "witness-cases"  # what it finds is said under its name
NOTARY: Final = "notary"
CUSTODIAN: Final = "custodian"
HOUSEKEEPER: Final = "housekeeper"

CLERK_SILENT_S: Final = 120
"""Eight of its looks, 15 s apart. Nobody is alerted by it: it is missed when it is sure to be away."""

LOOPS: Final[Mapping[str, int]] = MappingProxyType(
    {
        DOWNLINK: 120,  # comes back for more each 5 s; 256 orders that a broker leaves unanswered take it 39 s
        FLEET: 60,  # looks each second; F05: a silent group within 90 s, of which it has lost the most by then
        PROJECTOR: 180,  # looks five times a second, compares everything each minute
        RECORDER: 180,  # each 5 s; a statement has 2.5 s, a slow record halves what it is given ten times over
        ARCHIVIST: 180,  # the same
        RETROSPECT: 300,  # looks each second; between two windows of six hours
        WITNESS: 600,  # each 5 s; 64 cases, which together may wait 30 s for a snapshot
        NOTARY: 900,  # looks each minute; a new place gets the 2,200 heads of six years, at 0.3 s each
        CUSTODIAN: 3_600,  # each minute, and behind each chore: three statements of 300 s that end in none
        HOUSEKEEPER: 3_600,  # each minute, and behind each step of a chore, of statements that have 300 s
    }
)
"""How long each may be silent: by its period and the longest round that is not one of standing still. A round that
finds the record away, or nothing to do, is one; one that waits for another's turn, or fails by itself, is none."""
