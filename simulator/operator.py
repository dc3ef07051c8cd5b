"""What does somebody at the téléassistance do all day, over the public API?

Sees the open alerts, takes each into his hands (``PUT …/acknowledgement``), and after a while closes it with an
outcome (``POST …/closure``). ``If-Match`` carries the version he saw: when the alert has changed since (412) he
looks again. A connection that fails, or a server that says 429 or 5xx, is tried again; nothing else is.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Self

import httpx2

from tocsin.clock import Clock
from tocsin.model.episode import Outcome, State

TIMEOUT_S = 5.0
RETRY_S = (0.1, 2.0)  # first and longest wait between attempts, on the machine's time
ATTEMPTS_MAX = 8
PAGE = "/api/v1/alerts"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenAlert:
    """An open alert as this operator sees it."""

    id: str
    version: int
    code: str
    state: State
    latched: bool = False


@dataclass(slots=True, kw_only=True)
class Day:
    """What he did. ``outdated``: 412, somebody was faster; ``refused``: any other 4xx."""

    acknowledged: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    outdated: int = 0
    refused: list[tuple[str, int]] = field(default_factory=list)
    retried: int = 0


class OperatorGaveUp(ConnectionError):
    """The API did not answer properly in ATTEMPTS_MAX attempts."""


class Operator:
    """``async with Operator(url) as he: await he.run()``, or step by step.

    ``handling_s`` (deployment time) passes between taking an alert and closing it; None: he never closes.
    ``actor`` is his name, where the API asks for no token (realm lab).
    """

    def __init__(
        self,
        base_url: str,
        *,
        clock: Clock,
        token: str | None = None,
        actor: str | None = None,
        look_every_s: float = 1.0,
        handling_s: float | None = 30.0,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.day = Day()
        self._clock = clock
        self._look_every_s = look_every_s
        self._handling_s = handling_s
        self._taken_ms: dict[str, int] = {}
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        if actor is not None:
            headers["Tocsin-Actor"] = actor
        self._http = httpx2.AsyncClient(base_url=base_url, headers=headers, timeout=TIMEOUT_S, transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self.look_and_act()
            await self._clock.sleep(self._look_every_s)

    async def look_and_act(self) -> None:
        """One round: take what nobody has, close what has been in his hands long enough."""
        for alert in await self.open_alerts():
            if alert.state is State.RAISED:
                await self.acknowledge(alert)
            elif self._is_finished(alert):
                await self.close(alert)

    async def open_alerts(self) -> list[SeenAlert]:
        """As the API orders them."""
        answer = await self._ask("GET", PAGE, params={"open": "true"})
        answer.raise_for_status()
        return [
            SeenAlert(
                id=item["id"],
                version=int(item["version"]),
                code=item["code"],
                state=State(item["state"]),
                latched=bool(item.get("latched")),
            )
            for item in answer.json()["items"]
        ]

    async def acknowledge(self, alert: SeenAlert) -> bool:
        """True when it is in his hands."""
        body = {"job": "teleassistance"}
        done = await self._act("PUT", f"{PAGE}/{alert.id}/acknowledgement", alert, body)
        if done:
            self.day.acknowledged.append(alert.id)
            self._taken_ms[alert.id] = self._clock.now_ms()
        return done

    async def close(self, alert: SeenAlert, outcome: Outcome = Outcome.LEFT_ZONE, note: str = "") -> bool:
        """True when it is closed. Of a latched one he says that the device was looked at."""
        body: dict[str, Any] = {"outcome": outcome.value, "note": note}
        if alert.latched:
            body["inspected"] = True
        done = await self._act("POST", f"{PAGE}/{alert.id}/closure", alert, body)
        if done:
            self.day.closed.append(alert.id)
            self._taken_ms.pop(alert.id, None)
        return done

    def _is_finished(self, alert: SeenAlert) -> bool:
        """Only what he took himself: another's alert is not his to close."""
        if self._handling_s is None or alert.id not in self._taken_ms:
            return False
        return self._clock.now_ms() - self._taken_ms[alert.id] >= self._handling_s * 1000

    async def _act(self, method: str, path: str, alert: SeenAlert, body: dict[str, Any]) -> bool:
        """A 412 is no failure: the next round sees the alert as it is now, and acts on that."""
        answer = await self._ask(method, path, json=body, headers={"If-Match": f'"{alert.version}"'})
        if answer.status_code == httpx2.codes.PRECONDITION_FAILED:
            self.day.outdated += 1
            return False
        if answer.is_client_error:
            self.day.refused.append((alert.id, answer.status_code))
            return False
        answer.raise_for_status()
        return True

    async def _ask(self, method: str, path: str, **words: Any) -> httpx2.Response:  # noqa: ANN401  # httpx2's own
        """Tries again what trying again can help. Raises OperatorGaveUp."""
        first, longest = RETRY_S
        problem = ""
        for attempt in range(ATTEMPTS_MAX):
            try:
                answer = await self._http.request(method, path, **words)
            except httpx2.TransportError as error:
                problem = repr(error)
            else:
                if not (answer.is_server_error or answer.status_code == httpx2.codes.TOO_MANY_REQUESTS):
                    return answer
                problem = f"{answer.status_code} {answer.text[:200]}"
            self.day.retried += 1
            await asyncio.sleep(min(longest, first * 2.0**attempt))
        raise OperatorGaveUp(f"{method} {path}: {problem}")
