"""What does the protected person's own unit say of this alert? (invariant 18; F16, F18)

It rings when the alert is confirmed, by a second fix or by a human, or when it has lasted HER_UNIT_AFTER_S; it
says the end with the ruling that is the end. So she is neither rung up by a jump of GNSS nor left in fear of what
is over. DEGRADED is shown and does not ring. A re-entry is a visit of its own: it is confirmed anew. Pure.
"""

from __future__ import annotations

from typing import Final

import msgspec

from alerts.episodes import notifications_of
from alerts.escalation import alarms, concerns_her
from tocsin.model.episode import Channel, Episode, Notification
from tocsin.model.finding import Code

ALERT: Final = "org.tocsin.protection.alert"
DEGRADED: Final = "org.tocsin.protection.degraded"
OVER: Final = "org.tocsin.protection.over"


def shown(episode: Episode, now_ms: int) -> tuple[Episode, tuple[Notification, ...]]:
    """It lasts."""
    after = msgspec.structs.replace(episode, protected_told_ms=now_ms)
    kind = DEGRADED if episode.code is Code.DEGRADED else ALERT
    return after, notifications_of(after, kind, (Channel.UNIT,))


def news(episode: Episode, now_ms: int) -> tuple[Episode, tuple[Notification, ...]]:
    """What a ruling of any kind brings for her."""
    if episode.protected_told_ms is not None and not alarms(episode):
        after = msgspec.structs.replace(episode, protected_told_ms=None)
        return after, notifications_of(after, OVER, (Channel.UNIT,))
    if episode.protected_told_ms is None and concerns_her(episode) and _is_confirmed(episode):
        return shown(episode, now_ms)
    return episode, ()


def _is_confirmed(episode: Episode) -> bool:
    """This visit, not one before."""
    verified_ms, lasting_ms = episode.verified_ms, episode.lasting_ms
    return verified_ms is not None and lasting_ms is not None and verified_ms >= lasting_ms
