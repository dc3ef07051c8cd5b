"""What does the canary do about its own alerts? As a service account does it, over the public API. ◆ ``next_act``

It takes the alert of its crossing when its receiver has heard of it, hands it off to the police, and closes it
when the receiver has the CAP message. Whatever else is open about its pair (the pre-alert that lasts, a loss
after a restart) and an alert that is over a round old it takes and closes: nobody else would. When the API does
not answer, the round lacks that stage, which is what it is for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import httpx2
import structlog

from audit.canary_round import ROUND_S, Round, Stage
from tocsin.clock import MS
from tocsin.model.episode import Episode, State, Verb

ACTOR: Final = "canary"
TIMEOUT_S: Final = 5.0
POLICE_WAITED_MS: Final = 30 * MS  # then it is closed without: what is missing is known
CREATED: Final = 300

log = structlog.get_logger()


def next_act(episode: Episode, walked: Round | None, now_ms: int) -> Verb | None:
    """What is to be done about an open alert now; ``walked``: the round that it belongs to, if it is known."""
    is_of_round = walked is not None and now_ms - episode.opened_ms < ROUND_S * MS
    if episode.state is State.RAISED:
        waits = is_of_round and walked is not None and Stage.TAKEN not in walked.passed
        return None if waits else Verb.ACKNOWLEDGE
    if walked is None or not is_of_round:
        return Verb.CLOSE
    if episode.handed_off_ms is None:
        return Verb.HAND_OFF
    has_heard = Stage.POLICE in walked.passed or now_ms - episode.handed_off_ms >= POLICE_WAITED_MS
    return Verb.CLOSE if has_heard else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """The API, as the canary sees it."""

    http: httpx2.AsyncClient

    async def do(self, verb: Verb, episode: Episode) -> bool:
        """Whether it was done. A refusal is looked at again with the newest version."""
        method, path, body = _request(verb)
        headers = {
            "If-Match": f'"{episode.version}"',
            "Idempotency-Key": f"{ACTOR}:{episode.id}:{episode.version}:{verb.value}",
        }
        try:
            answer = await self.http.request(
                method, f"/api/v1/alerts/{episode.id}/{path}", json=body, headers=headers
            )
        except httpx2.TransportError as error:
            log.warning("canary_api_unreachable", verb=verb.value, error=repr(error))
            return False
        if answer.status_code >= CREATED:
            log.warning("canary_api_refuses", verb=verb.value, status=answer.status_code)
        return answer.status_code < CREATED


def _request(verb: Verb) -> tuple[str, str, dict[str, Any]]:
    match verb:
        case Verb.ACKNOWLEDGE:
            return "PUT", "acknowledgement", {"job": "teleassistance"}
        case Verb.HAND_OFF:
            return "POST", "handoffs", {}
        case _:
            return "POST", "closure", {"outcome": "technical", "note": "canary", "inspected": True}


def platform(url: str, token: str | None) -> httpx2.AsyncClient:
    headers = {"Tocsin-Actor": ACTOR} | ({} if token is None else {"Authorization": f"Bearer {token}"})
    return httpx2.AsyncClient(base_url=url, headers=headers, timeout=TIMEOUT_S, trust_env=False)
