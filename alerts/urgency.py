"""What goes before what, on its way to an endpoint? (Invariant 2.)

| rank | what it is                                                            |
|------|-----------------------------------------------------------------------|
| 0    | a key: for the first time, or pressed again                           |
| 1    | P1, opened or raised                                                  |
| 2    | what else is said of a P1: a rung, who has it, that it is over        |
| 3, 4 | P2, likewise; 5, 6: P3; 7, 8: P4; 9, 10: P5                           |

A rung is told to people who have the alert before them already, ten seconds and more after it; who has just
pressed a key is known to nobody yet. 140 P1 of one burst come to their rungs in one moment, too.
"""

from __future__ import annotations

from typing import Final

from alerts.episodes import KEYS, OPENED, RAISED
from tocsin.model.episode import Notification, Ruling

NEW: Final = 1
"""Up to here: nobody has been told of it yet, and it is of the highest priority."""
URGENT: Final = 2
"""Up to here: about a P1."""

KEY: Final = 0
TOLD_FIRST: Final = frozenset({OPENED, RAISED})


def rank_of(ruling: Ruling, notification: Notification) -> int:
    """0 goes first."""
    episode, is_new = ruling.episode, notification.type in TOLD_FIRST
    if is_new and episode.code in KEYS:
        return KEY
    return 2 * episode.priority - is_new


def most_urgent_of(ruling: Ruling) -> int:
    """Of all that it says."""
    return min((rank_of(ruling, one) for one in ruling.notifications), default=2 * ruling.episode.priority)
