"""Does the auditor's plain reading of the fixes agree with the real geofence, in lives that are hard for both?
F14.

Late, repeated, frozen, leaping and poor fixes, several measures of one person, authorised hours: whenever the law
'near' asks for an alert, the engine has raised it, and the desk ruled on it. With an engine that hears nothing
the same lives have differences: so the law does ask.
"""

from __future__ import annotations

import numpy as np
from geofence_streams import T0_MS, Act, Cast, Played, acts, casts, lives, messages, roster
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from alerts.desk import handle
from alerts.episodes import place_of
from audit.laws.near import NEW_MS, Near
from tocsin.model.device import Device, DeviceKind
from tocsin.model.episode import Episode, FindingCause, Realm, Ruling
from tocsin.model.finding import Code, Finding
from tocsin.model.fix import Fixes

LOOK_MS = 2_000
HEARD_MS = 40_000  # behind the last message: a held alert has come by then, and every patience is over


class Site:
    """The engine, the desk, and the law beside them. ``deaf``: the geofence is dead."""

    def __init__(self, cast: Cast, *, deaf: bool) -> None:
        self.played, self.near, self.deaf = Played(cast), Near(), deaf
        self.episodes: dict[tuple[str, str], Episode] = {}
        self.ruled = 0
        for order in roster(cast).orders:
            self.near.order(order.id, order, -10 * NEW_MS)
        for number in range(1, 7):
            name = f"b{number:07d}"
            self.near.device(name, Device(id=name, number=number, kind=DeviceKind.WEARER))

    def hears(self, fixes: Fixes) -> None:
        self.near.fixes(fixes)
        if not self.deaf:
            self.played.hear(fixes)

    def second(self, hour_ms: int) -> list[str]:
        """What the law says in it."""
        if not self.deaf:
            self.played.tick(T0_MS + hour_ms)
        findings = [one for step in self.played.steps for one in step.findings if one.code is not Code.UNCERTAIN]
        for finding in findings[self.ruled :]:
            self._rule(finding, hour_ms)
        self.ruled = len(findings)
        return [one.about for one in self.near.differences(hour_ms)] if hour_ms % LOOK_MS == 0 else []

    def _rule(self, finding: Finding, hour_ms: int) -> None:
        code, subject = place_of(finding)
        place = (code.value, subject)
        answer = handle(self.episodes.get(place), FindingCause(finding=finding), Realm.LAB, T0_MS + hour_ms)
        if isinstance(answer, Ruling):
            self.episodes[place] = answer.episode
            self.near.ruling(place, answer)


def audited(cast: Cast, life: list[Act], *, deaf: bool = False) -> list[str]:
    """The measures of which the law says that an alert is missing."""
    site, fixes, found = Site(cast, deaf=deaf), messages(cast, life), list[str]()
    received_ms = fixes["t3_ms"] - T0_MS
    for hour_ms in range(0, int(received_ms[-1]) + HEARD_MS, 1_000):
        for index in np.flatnonzero((received_ms > hour_ms - 1_000) & (received_ms <= hour_ms)):
            site.hears(fixes[index : index + 1])
        found += site.second(hour_ms)
    return found


APPROACH = (
    Cast({"msr_a": (1, 2, 1, 0.0, float("inf"))}, (2_600, 0, 0, 0, 0, 0), 10),
    [Act(who, 5_000, "toward", 14.0 if who == 1 else 0.0, "fix", 700, 50) for _ in range(20) for who in (1, 2)],
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(casts, st.one_of(lives, st.lists(acts, min_size=20, max_size=50)), st.booleans())
@example(*APPROACH, False)
def test_the_law_asks_for_nothing_that_the_geofence_has_not_raised(
    cast: Cast, life: list[Act], armed: bool
) -> None:
    assert audited(cast._replace(armed=armed), life) == []


def test_and_it_asks_when_the_geofence_is_dead() -> None:
    assert audited(*APPROACH, deaf=True) == ["msr_a"]
