"""What does a part say of the system, of an order or of a unit, that is neither a distance nor a key?

A ``Notice`` begins or ends like a finding, and has its episode in the place (code, subject): the channel that
takes nothing, the order that expires, the phone that was not heard for a day. Its id is derived from what it says,
so that the same thing noticed twice is one.
"""

from __future__ import annotations

import msgspec

from tocsin.model.finding import Change, Code
from tocsin.model.fix import ClockPoints


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """``subject``: what it is about, a word that may stand in a subject of the log (no dot, no space). ``entry``,
    ``entry_ms``: as of a ``Finding``. ``reason``: the word for log, label and screen. ``facts``: names and values
    to show, never a position nor a person's name."""

    id: str
    code: Code
    subject: str
    change: Change
    at_ms: int
    entry: str
    entry_ms: int
    reason: str
    points: ClockPoints = ClockPoints()
    measures: tuple[str, ...] = ()
    device: str | None = None
    facts: tuple[tuple[str, str], ...] = ()
