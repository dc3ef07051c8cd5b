"""What has a part taken, what became of it, and what has it still in its hands? As each part says it of itself.

The law of conservation (DOMAIN section 5): every accepted message ends in exactly one counted outcome. A *tally*
is what one life of one part has counted since its start, written to the bucket ``tallies`` once a second, so that
another process can count again (``audit.conservation``). All numbers only grow within a life; times are
milliseconds since 1970 UTC, of this deployment.
"""

from __future__ import annotations

import msgspec


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of thing that must not get lost. ``in_hand``: looked up where the things are, not reckoned."""

    taken: int = 0
    outcomes: dict[str, int] = {}
    in_hand: int = 0

    @property
    def difference(self) -> int:
        """0, or something was lost (above) or made (below)."""
        return self.taken - sum(self.outcomes.values()) - self.in_hand


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """What this life has put on, or read from, one stream: in the messages behind sequence ``after``, up to
    ``through``, ``rows`` rows (of ALARMS: messages), of which ``primary`` are primary. Nothing yet: 0 and 0."""

    after: int = 0
    through: int = 0
    rows: int = 0
    primary: int = 0


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """``life``: drawn at the start of the process; all begins at 0 with it. ``accounts`` by what they count
    (``messages``, ``reports``, ``rows``), ``streams`` by name. ``listening_ms``: when the present session at the
    broker began, 0 without one or for a part that needs none. ``places``: up to which sequence it has dealt with
    which subject, of a reader that has no queue at the log."""

    part: str
    life: str
    at_ms: int
    accounts: dict[str, Account]
    streams: dict[str, Stretch] = {}
    listening_ms: int = 0
    places: dict[str, int] = {}
