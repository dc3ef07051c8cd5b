"""What does an operator do to the API under locust? Looks at the open alerts, takes one, closes what he took.

He takes the most urgent one that nobody has, as everybody else in the room does: coming second (409, 412) is what
the API is for, counted as a race and not as a failure. ``If-Match`` carries the version that he saw,
``Tocsin-Actor`` his name (realm lab). The simulator's ``Operator`` does the same on asyncio, with patience for a
bad line; here a bad line is a failed request.

Only locust's own process may import this module.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from typing import Any, ClassVar, Final

from locust import FastHttpUser, between, task

from tocsin.model.episode import Outcome, State

PAGE: Final = "/api/v1/alerts"
TAKEN_BY_ANOTHER: Final = frozenset({409, 412})
LOOK_EVERY_S: Final = (0.5, 1.5)
HANDLE_ROUNDS: Final = 5  # how many times he looks before he closes what he has taken


@dataclass(slots=True)
class Room:
    """What the operators of this process did. ``races``: acts that came second, by status."""

    acknowledged: int = 0
    closed: int = 0
    races: Counter[str] = field(default_factory=Counter)


class OperatorUser(FastHttpUser):
    """One operator. ``host`` and ``room`` are set before the first of them is made."""

    wait_time = between(*LOOK_EVERY_S)
    room: ClassVar[Room]
    numbers: ClassVar[count[int]] = count(1)

    def __init__(self, environment: Any) -> None:  # noqa: ANN401  (locust's own)
        super().__init__(environment)
        self.headers = {"Tocsin-Actor": f"load-{next(self.numbers)}"}
        self.in_hand: dict[str, int] = {}

    @task
    def look_and_act(self) -> None:
        """Take one that nobody has; close those that have been in his hands long enough."""
        alerts = self._open_alerts()
        free = next((alert for alert in alerts if alert["state"] == State.RAISED.value), None)
        if free is not None and self._act("PUT", free, "acknowledgement", {"job": "teleassistance"}):
            self.room.acknowledged += 1
            self.in_hand[free["id"]] = 0
        for alert in alerts:
            if alert["id"] in self.in_hand:
                self._handle(alert)

    def _open_alerts(self) -> list[dict[str, Any]]:
        name = f"{PAGE}?open=true"
        with self.client.get(
            PAGE, params={"open": "true"}, headers=self.headers, name=name, catch_response=True
        ) as answer:
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}")
                return []
            found: list[dict[str, Any]] = answer.json()["items"]
            return found

    def _handle(self, alert: dict[str, Any]) -> None:
        self.in_hand[alert["id"]] += 1
        if self.in_hand[alert["id"]] < HANDLE_ROUNDS:
            return
        if self._act("POST", alert, "closure", {"outcome": Outcome.LEFT_ZONE.value, "note": ""}):
            self.room.closed += 1
            del self.in_hand[alert["id"]]

    def _act(self, method: str, alert: dict[str, Any], act: str, body: dict[str, Any]) -> bool:
        """True when it is done; a race that was lost is no failure."""
        with self.client.request(
            method, f"{PAGE}/{alert['id']}/{act}", json=body, name=f"{PAGE}/…/{act}",
            headers={**self.headers, "If-Match": f'"{alert["version"]}"'}, catch_response=True,
        ) as answer:  # fmt: skip
            if answer.status_code in TAKEN_BY_ANOTHER:
                self.room.races[str(answer.status_code)] += 1
                answer.success()
                return False
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}")
                return False
            return True
