"""In what state is a simulated unit, and what does it say of itself? (docs/device-protocol.md, telemetry)

Only a wearer's unit has a tag: strap, case and the seconds since it heard the tag. Seconds of the deployment's
clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

BEACON_S = 2.0  # a tag says that it is there so often


@dataclass(slots=True, kw_only=True)
class Body:
    """``heard_s``: when the tag was heard last, None while it is near; ``tells_pair`` False: a unit that was
    unpaired without an alarm (F29). ``drain_pct_per_s``: what the battery loses, from ``since_s`` on."""

    has_tag: bool
    battery_pct: float = 80.0
    drain_pct_per_s: float = 0.0
    since_s: float = 0.0
    strap_closed: bool = True
    case_closed: bool = True
    heard_s: float | None = None
    tells_pair: bool = True

    def battery_at(self, now_s: float) -> float:
        return max(0.0, self.battery_pct - self.drain_pct_per_s * max(0.0, now_s - self.since_s))

    def drain(self, now_s: float, pct_per_s: float) -> None:
        self.battery_pct, self.since_s, self.drain_pct_per_s = self.battery_at(now_s), now_s, pct_per_s

    def said(self, now_s: float) -> dict[str, Any]:
        """The fields that go with every report."""
        fields: dict[str, Any] = {"batt": int(self.battery_at(now_s))}
        if self.has_tag:
            fields |= {"strap": _seal(self.strap_closed), "case": _seal(self.case_closed)}
            if self.tells_pair:
                fields["pair"] = int(BEACON_S if self.heard_s is None else max(BEACON_S, now_s - self.heard_s))
        return fields


def _seal(closed: bool) -> str:
    return "closed" if closed else "open"
