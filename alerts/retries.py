"""When is a notification tried again? Ladders as data, one deciding function.

Offsets are seconds since the first attempt (docs/operating.md): for P1 to P3 0, 1, 2, 4, 8, 15 s, then each
15 s to 5 min, then each minute to an hour; for the rest the schedule of Standard Webhooks, three days long.

Each line of a notification (``alerts.deadlines``) climbs its own ladder from its own first attempt. A 4xx is tried
again as a 5xx is: what a platform refuses in the middle of its own upgrade it takes ten minutes later, and a wrong
refusal must not be the end of an alert. Only 410 (Gone) ends a line, where another can take the message.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tocsin.clock import MS

URGENT_S: Final = (0, 1, 2, 4, 8, *range(15, 300, 15), *range(300, 3601, 60))
ADMINISTRATIVE_S: Final = (0, 5, 60, 300, 1_800, 7_200, 18_000, 36_000, 86_400, 172_800, 259_200)
URGENT_PRIORITY_MAX: Final = 3  # whoever is silent may be near within minutes

ACCEPTED: Final = "accepted"
NO_ENDPOINT: Final = "no_endpoint"
GAVE_UP: Final = "gave_up"
NO_LONGER_TOLD: Final = "no_longer_told"
STOOD_IN: Final = "default_"
"""Before a result: of the default recipient, beside a room whose own line takes nothing."""
LEFT_ALONE: Final = "left_alone"
"""An endpoint that has said 410 is not asked, while somebody else can take it."""
BROKEN: Final = "broken"
"""Our own fault, and not the endpoint's."""
UNSENT: Final = frozenset({NO_ENDPOINT, NO_LONGER_TOLD, LEFT_ALONE})
"""Nothing was handed over to anybody."""
SETTLING: Final = frozenset({ACCEPTED, GAVE_UP, STOOD_IN + ACCEPTED, STOOD_IN + GAVE_UP, *UNSENT})
"""Results after which nothing more is tried; every other result is a failure that the ladder answers."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Try now."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Try when this many seconds have passed."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The ladder has ended."""


def ladder_of(priority: int) -> tuple[int, ...]:
    return URGENT_S if priority <= URGENT_PRIORITY_MAX else ADMINISTRATIVE_S


def next_attempt(made: int, first_ms: int, now_ms: int, ladder: tuple[int, ...]) -> Attempt | Wait | GiveUp:
    """What to do after ``made`` attempts, the first of them at ``first_ms``."""
    if made >= len(ladder):
        return GiveUp()
    due_ms = first_ms + ladder[made] * MS
    if made == 0 or now_ms >= due_ms:
        return Attempt()
    return Wait((due_ms - now_ms) / MS)
